//! A `generateContent` answer, written whole.

use super::encode_request::Writing;
use super::form::{GEMINI, is_missing};
use super::{grounding, logprobs, stop, usage, write_parts};
use crate::hub::write::{self, Obj};
use crate::hub::{
    Answer, Capabilities, Choice, Citation, Encoded, Extra, Head, LossKind, Part, PartKind, Place, Reply, Spent, Stop,
    StopReason, Target, Text,
};

/// Writes an answer for a caller who speaks this dialect. An answer that came in it is written as it
/// was, member for member. Never fails: what cannot be said is a loss.
#[must_use]
pub fn encode_answer(answer: &Answer, reply: &mut Reply) -> Encoded {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: reply.source };
    let mut writing = Writing::new(&target, true);
    let body = write::object(|o| {
        let told = answer.choices.iter().filter(|choice| !stop::is_blocked(choice.stop.as_ref()));
        let candidates: Vec<String> = told.map(|choice| candidate(choice, &mut writing)).collect();
        if !candidates.is_empty() {
            o.raw("candidates", &format!("[{}]", candidates.join(",")));
        }
        if let Some(spent) = &answer.usage {
            usage::write(o, spent, answer.head.tier.as_ref());
        }
        head(o, &answer.head, reply);
        writing.losses.extra(&answer.head.extra, &Place::root());
        o.extra(&answer.head.extra, GEMINI);
    });
    writing.losses.seal_answer(body)
}

/// The members that say which answer it is.
pub(super) fn head(o: &mut Obj<'_>, head: &Head, reply: &mut Reply) {
    let same = reply.source == GEMINI;
    match &head.model {
        Some(model) => o.text("modelVersion", model),
        None if same => {}
        None => o.text("modelVersion", &reply.model),
    }
    match &head.id {
        Some(id) => o.text("responseId", id),
        None if same => {}
        None => o.text("responseId", &reply.ids.next("")),
    }
}

fn candidate(choice: &Choice, writing: &mut Writing<'_>) -> String {
    let at = Place::root().member("candidates");
    writing.losses.extra(&choice.extra, &at);
    writing.losses.extra(&choice.message_extra, &at);
    let (parts, grounding) = said(choice, writing);
    // Content that was missing, or that was no object, is not made up.
    let silent = parts.is_empty() && choice.extra.get(GEMINI, "content").is_some();
    let empty = parts.is_empty() && !writing.same();
    write::object(|o| {
        if empty {
            o.raw("content", r#"{"parts":[],"role":"model"}"#);
        } else if !silent {
            o.raw("content", &content(&parts, &choice.message_extra));
        }
        if let Some(stop) = &choice.stop {
            o.raw("finishReason", &stop_word(stop, writing));
            o.opt_text("finishMessage", stop.detail.as_deref());
        }
        if choice.extra.get(GEMINI, "index").is_none() {
            o.count("index", u64::from(choice.index));
        }
        if let Some(all) = &choice.logprobs {
            logprobs::write(o, all);
        }
        if let Some(grounding) = grounding {
            o.raw("groundingMetadata", &grounding);
        }
        o.extra(&told(&choice.extra, &["index", "content"]), GEMINI);
    })
}

/// The parts of a candidate, and where another dialect's texts come from.
fn said(choice: &Choice, writing: &mut Writing<'_>) -> (Vec<String>, Option<String>) {
    let same = writing.same();
    let (mut parts, mut cited) = (Vec::new(), Vec::new());
    for part in choice.parts.iter().filter(|part| same || !part.is_blank()) {
        let Some(text) = answer_part(part, writing) else { continue };
        cited
            .extend(citations(part).iter().map(|citation| (parts.len(), part.as_text().unwrap_or_default(), citation)));
        parts.push(text);
    }
    if same {
        return (parts, None);
    }
    parts.extend(explanation(choice.stop.as_ref(), &choice.parts).map(|why| write::object(|o| o.text("text", why))));
    (parts, grounding::metadata(&cited))
}

/// A part of an answer: a tool's result is no part of one.
pub(super) fn answer_part(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    if matches!(part.kind, PartKind::ToolResult(_)) && !writing.same() {
        writing.losses.drop_part(part, "an answer in this dialect has none");
        return None;
    }
    write_parts::write(part, writing)
}

/// The members, without the marks of missing ones.
pub(super) fn told(extra: &Extra, marks: &[&str]) -> Extra {
    let members = extra.members_of(GEMINI).iter();
    let kept = members.filter(|(name, _)| !(marks.contains(&name.as_str()) && is_missing(extra, name)));
    Extra::new(GEMINI, kept.cloned().collect())
}

/// A candidate's content.
pub(super) fn content(parts: &[String], extra: &Extra) -> String {
    write::object(|o| {
        if !parts.is_empty() {
            o.raw("parts", &format!("[{}]", parts.join(",")));
        }
        if extra.get(GEMINI, "role").is_none() {
            o.text("role", "model");
        }
        o.extra(&told(extra, &["role"]), GEMINI);
    })
}

fn citations(part: &Part) -> &[Citation] {
    match &part.kind {
        PartKind::Text(Text { citations, .. }) => citations,
        _ => &[],
    }
}

/// The provider's explanation of a refusal, where the model gave no words for it.
pub(super) fn explanation<'s>(stop: Option<&'s Stop>, parts: &[Part]) -> Option<&'s str> {
    let stop = stop.filter(|stop| stop.reason == StopReason::Refusal)?;
    stop.detail.as_deref().filter(|_| parts.iter().all(Part::is_blank))
}

/// The JSON of `finishReason`.
pub(super) fn stop_word(stop: &Stop, writing: &mut Writing<'_>) -> String {
    let (word, exact) = stop::json(stop);
    if !exact {
        let why = format!("the reason {:?} became {word}", stop.reason);
        writing.losses.add("candidates.finishReason", LossKind::Approximated, why);
    }
    word
}

/// What was consumed, for chunks too.
pub(super) fn write_usage(o: &mut Obj<'_>, spent: &Spent, head: &Head) {
    usage::write(o, spent, head.tier.as_ref());
}
