//! An answer, written whole.

use super::encode_request::Writing;
use super::form::COHERE;
use super::{logprobs, said, spent};
use crate::hub::write::{self, Obj};
use crate::hub::{Answer, Capabilities, Choice, Encoded, LossKind, Losses, Place, Reply, Stop, StopReason, Target};

/// Writes an answer. One that came in this dialect is written as it was, member for member. No
/// caller speaks this dialect to Weir: it is for tests and for fixtures of providers.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing { losses: Losses::new(reply.source, COHERE), target: &target };
    let body = write::object(|o| {
        match &answer.head.id {
            Some(id) => o.text("id", id),
            None if writing.same() => {}
            None => o.text("id", &reply.ids.next("")),
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
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, COHERE);
    });
    writing.losses.seal_answer(body)
}

fn one_choice(o: &mut Obj<'_>, choice: &Choice, writing: &mut Writing<'_>) {
    if let Some(stop) = &choice.stop {
        o.text("finish_reason", word(stop));
    }
    o.object("message", |o| {
        if choice.message_extra.get(COHERE, "role").is_none() {
            o.text("role", "assistant");
        }
        said::write(o, &choice.parts, &choice.message_extra, writing);
        writing.losses.extra(&choice.message_extra, &Place::root().member("message"));
        o.extra(&choice.message_extra, COHERE);
    });
    if let Some(logprobs) = &choice.logprobs {
        logprobs::write(o, logprobs);
    }
    writing.losses.extra(&choice.extra, &Place::root());
}

fn word(stop: &Stop) -> &str {
    if let Some(word) = stop.word_of(COHERE) {
        return word;
    }
    match stop.reason {
        StopReason::Sequence => "STOP_SEQUENCE",
        StopReason::Length | StopReason::Window | StopReason::Pause => "MAX_TOKENS",
        StopReason::ToolUse => "TOOL_CALL",
        StopReason::End | StopReason::Filter | StopReason::Refusal | StopReason::Malformed | StopReason::Unknown => {
            "COMPLETE"
        }
    }
}
