//! A text completion, written whole.

use super::logprobs;
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Choice, Dialect, Encoded, Extra, Head, LossKind, Losses, Part, PartKind, Place, Reply, Stop, StopReason,
};
use crate::openai_chat;

/// Whose members these answers have.
pub(super) const CHAT: Dialect = Dialect::OpenAiChat;

/// Writes an answer for a caller of text completions. Never fails: what is no text is a loss.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let mut losses = Losses::new(reply.source, CHAT);
    let body = write::object(|o| {
        head(o, &answer.head, reply);
        let choices: Vec<String> = answer.choices.iter().map(|choice| one_choice(choice, &mut losses)).collect();
        o.raw("choices", &format!("[{}]", choices.join(",")));
        if let Some(spent) = &answer.usage {
            openai_chat::write_usage(o, spent, None);
        }
        losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, CHAT);
    });
    losses.seal_answer(body)
}

/// The members with which every answer and every chunk begins. The id of a chat completion becomes
/// that of a text completion.
pub(super) fn head(o: &mut Obj<'_>, head: &Head, reply: &mut Reply) {
    o.text("id", &id(head, reply));
    o.text("object", "text_completion");
    o.count("created", head.created.unwrap_or(reply.now));
    o.text("model", head.model.as_deref().unwrap_or(&reply.model));
}

/// The id of an answer: the provider's, or a new one.
pub(super) fn id(head: &Head, reply: &mut Reply) -> String {
    match head.id.as_deref() {
        Some(id) => id.strip_prefix("chatcmpl-").map_or_else(|| id.to_owned(), |rest| format!("cmpl-{rest}")),
        None => reply.ids.next("cmpl-"),
    }
}

fn one_choice(choice: &Choice, losses: &mut Losses) -> String {
    write::object(|o| {
        let text: String = choice.parts.iter().filter_map(|part| said(part, losses)).collect();
        o.text("text", &text);
        o.count("index", u64::from(choice.index));
        match &choice.logprobs {
            Some(all) => o.raw("logprobs", &logprobs::text_of(all, 0).0),
            None => o.null("logprobs"),
        }
        match &choice.stop {
            Some(stop) => o.text("finish_reason", word(stop, losses)),
            None => o.null("finish_reason"),
        }
        unsaid(&choice.message_extra, losses);
        losses.extra(&choice.extra, &Place::root().member("choices"));
        o.extra(&choice.extra, CHAT);
    })
}

/// What a part adds to the text; nothing if it is no text, which is noted.
pub(super) fn said<'p>(part: &'p Part, losses: &mut Losses) -> Option<&'p str> {
    match &part.kind {
        PartKind::Text(text) => {
            if !text.citations.is_empty() {
                losses.add(part.at.as_str(), LossKind::Dropped, "citations: a text completion has none");
            }
            Some(&text.text)
        }
        PartKind::Refusal(words) => {
            refused(part, losses);
            Some(words)
        }
        _ if part.is_blank() => None,
        _ => {
            losses.drop_part(part, "a text completion is text alone");
            None
        }
    }
}

/// Notes that a refusal is said as text.
pub(super) fn refused(part: &Part, losses: &mut Losses) {
    losses.add(part.at.as_str(), LossKind::Approximated, "a refusal is said as text");
}

/// Notes the members of a chat message, which a text completion has no message for.
pub(super) fn unsaid(message: &Extra, losses: &mut Losses) {
    let at = Place::root().member("choices").member("message");
    for (name, _) in message.loud().iter().filter(|(_, value)| !value.is_empty()) {
        losses.add(at.member(name).as_str(), LossKind::Dropped, "a text completion has no message");
    }
}

/// The word for why it ended: one of three.
pub(super) fn word(stop: &Stop, losses: &mut Losses) -> &'static str {
    let (word, exact) = match stop.reason {
        // A text completion has no calls.
        StopReason::ToolUse => ("stop", false),
        reason => openai_chat::reason_word(reason),
    };
    if stop.reason == StopReason::Refusal && stop.detail.is_some() {
        losses.add("choices.finish_reason", LossKind::Dropped, "a text completion does not explain a refusal");
    }
    if !exact {
        let why = format!("the reason {:?} became {word}", stop.reason);
        losses.add("choices.finish_reason", LossKind::Approximated, why);
    }
    word
}
