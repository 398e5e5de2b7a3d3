//! What an assistant's message says, read and written: thoughts and text, a plan, calls.

use super::encode_request::Writing;
use super::form::{COHERE, LIST, PLAN_ID};
use super::{calls, citations, content, messages};
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Dialect, Extra, Fields, LossKind, Media, Part, PartKind, ReasoningReplay, Thinking};

/// Takes what an assistant's message says: content, plan, calls, and the citations of the content.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mut parts = content::take(fields)?;
    citations::take(fields, &mut parts)?;
    if let Some(plan) = fields.word("tool_plan")? {
        let at = fields.at().member("tool_plan");
        parts.push(Part { at, ..Part::new(PartKind::Thinking(content::thought(plan, Some(PLAN_ID)))) });
    }
    parts.append(&mut calls::take(fields)?);
    Ok(parts)
}

/// Whether a thought is a plan of this dialect.
fn is_plan(thinking: &Thinking) -> bool {
    thinking.origin == Some(COHERE) && thinking.id.as_deref() == Some(PLAN_ID)
}

/// Whether a part stands in `content`.
pub(super) fn in_content(part: &Part) -> bool {
    match &part.kind {
        PartKind::Text(_) | PartKind::Image(_) | PartKind::Video(_) | PartKind::Document(_) => true,
        PartKind::Refusal(_) | PartKind::Audio(_) => true,
        PartKind::Thinking(thinking) => !is_plan(thinking),
        PartKind::Opaque(_) => part.form.has(COHERE, LIST),
        PartKind::ToolCall(_) | PartKind::ToolResult(_) => false,
    }
}

/// Writes what an assistant's message says. `extra` is the message's.
pub(super) fn write(o: &mut Obj<'_>, parts: &[Part], extra: &Extra, writing: &mut Writing<'_>) {
    let signed = parts.iter().any(|part| origin(part) == Some(COHERE));
    let kept: Vec<Part> = parts.iter().filter_map(|part| kept(part, signed, writing)).collect();
    let said: Vec<&Part> = kept.iter().filter(|part| in_content(part)).collect();
    messages::content(o, &said, writing);
    let plan: String = kept.iter().filter_map(plan).collect();
    if !plan.is_empty() {
        o.text("tool_plan", &plan);
    }
    calls::write(o, &kept, &mut writing.losses);
    citations::write(o, &kept, extra);
}

fn plan(part: &Part) -> Option<&str> {
    match &part.kind {
        PartKind::Thinking(thinking) if is_plan(thinking) => Some(&thinking.text),
        _ => None,
    }
}

/// The part as this dialect can say it; `None` if it is left out, which is noted. `signed` if thoughts
/// of this dialect are among the parts.
fn kept(part: &Part, signed: bool, writing: &mut Writing<'_>) -> Option<Part> {
    if writing.same() {
        return Some(part.clone());
    }
    let spoken = |text: &str, writing: &mut Writing<'_>| {
        let why = format!("{} is said as text", part.kind.name());
        writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
        Some(Part { at: part.at.clone(), cache: part.cache.clone(), ..Part::text(text) })
    };
    match &part.kind {
        _ if part.is_blank() => None,
        PartKind::Thinking(thinking) => replayed(part, thinking, signed, writing).then(|| part.clone()),
        PartKind::Refusal(text) => spoken(text, writing),
        PartKind::Audio(Media { transcript: Some(words), .. }) => spoken(words, writing),
        PartKind::Opaque(_) => {
            writing.losses.drop_part(part, "cannot be said in this dialect");
            None
        }
        _ => Some(part.clone()),
    }
}

fn origin(part: &Part) -> Option<Dialect> {
    match &part.kind {
        PartKind::Thinking(thinking) => thinking.origin,
        _ => None,
    }
}

/// Whether a thought is sent back: the dialect's own, or else those of which nobody says whose they
/// are. With both, the second are the first in words for people.
fn replayed(part: &Part, thinking: &Thinking, signed: bool, writing: &mut Writing<'_>) -> bool {
    let why = if writing.capabilities().reasoning_replay == ReasoningReplay::Never {
        "the model takes no thoughts back"
    } else if thinking.origin.is_some_and(|origin| origin != COHERE) || thinking.text.is_empty() {
        "the model takes no thoughts of others"
    } else if thinking.origin.is_none() && signed {
        "the thoughts that name their maker are sent back"
    } else {
        return true;
    };
    writing.losses.drop_part(part, why);
    false
}
