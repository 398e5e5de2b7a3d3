//! An answer, written whole.

use super::encode_request::Writing;
use super::form::OLLAMA;
use super::{logprobs, messages, spent, time};
use crate::hub::write::{self, Obj};
use crate::hub::{Answer, Capabilities, Choice, Encoded, LossKind, Losses, Place, Reply, Stop, StopReason, Target};

/// Writes an answer. One that came in this dialect is written as it was, member for member. No
/// caller speaks this dialect to Weir: it is for tests and for fixtures of providers.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing { losses: Losses::new(reply.source, OLLAMA), target: &target, answer: true };
    let body = write::object(|o| {
        match &answer.head.model {
            Some(model) => o.text("model", model),
            None if writing.same() => {}
            None => o.text("model", &reply.model),
        }
        if !writing.same() {
            o.text("created_at", &time::text(answer.head.created.unwrap_or(reply.now)));
        }
        if let Some(choice) = answer.choices.first() {
            one_choice(o, choice, &mut writing);
        }
        if answer.choices.len() > 1 {
            writing.losses.add("choices", LossKind::Dropped, "this dialect gives one choice");
        }
        if let Some(spent) = &answer.usage {
            spent::write(o, spent);
        }
        if answer.head.extra.get(OLLAMA, "done").is_none() {
            o.flag("done", true);
        }
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, OLLAMA);
    });
    writing.losses.seal_answer(body)
}

fn one_choice(o: &mut Obj<'_>, choice: &Choice, writing: &mut Writing<'_>) {
    o.object("message", |o| {
        if choice.message_extra.get(OLLAMA, "role").is_none() {
            o.text("role", "assistant");
        }
        messages::answer(o, &choice.parts, writing);
        writing.losses.extra(&choice.message_extra, &Place::root().member("message"));
        o.extra(&choice.message_extra, OLLAMA);
    });
    if let Some(stop) = &choice.stop {
        o.text("done_reason", word(stop));
    }
    if let Some(logprobs) = &choice.logprobs {
        logprobs::write(o, logprobs);
    }
    writing.losses.extra(&choice.extra, &Place::root());
}

fn word(stop: &Stop) -> &str {
    if let Some(word) = stop.word_of(OLLAMA) {
        return word;
    }
    match stop.reason {
        StopReason::Length | StopReason::Window | StopReason::Pause => "length",
        _ => "stop",
    }
}
