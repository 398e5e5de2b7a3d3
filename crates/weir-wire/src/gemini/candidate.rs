//! A candidate's members, read: what whole answers and chunks share.

use super::form::{GEMINI, missing};
use super::{logprobs, parts, stop};
use crate::hub::{DecodeError, Extra, Fields, Logprobs, Node, Part, Place, Stop};
use crate::json::Kind;

/// What one candidate says.
pub(super) struct Candidate {
    pub(super) index: u32,
    pub(super) parts: Vec<Part>,
    pub(super) stop: Option<Stop>,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) extra: Extra,
    pub(super) message_extra: Extra,
}

/// Reads a candidate. Members that are usual and missing are marked as such in the extras, so that the
/// same dialect leaves them out again.
pub(super) fn read(mut fields: Fields<'_>, position: usize) -> Result<Candidate, DecodeError> {
    let mut marks = Vec::new();
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    let index = match fields.count("index")? {
        Some(index) => u32::try_from(index).unwrap_or(u32::MAX),
        None => {
            if fields.peek("index").is_none() {
                marks.push(missing("index"));
            }
            position
        }
    };
    let mut candidate = Candidate {
        index,
        parts: Vec::new(),
        stop: stop::take(&mut fields)?,
        logprobs: logprobs::take(&mut fields),
        extra: Extra::default(),
        message_extra: Extra::default(),
    };
    match fields.object("content")? {
        Some(content) => read_content(content, &mut candidate)?,
        None if fields.peek("content").is_none() => marks.push(missing("content")),
        None => {}
    }
    let rest = fields.rest(GEMINI);
    let members = rest.members().iter().filter(|(name, _)| marks.iter().all(|(mark, _)| mark != name));
    candidate.extra = Extra::new(GEMINI, members.cloned().chain(marks.iter().cloned()).collect());
    Ok(candidate)
}

fn read_content(mut content: Fields<'_>, candidate: &mut Candidate) -> Result<(), DecodeError> {
    let mut marks = Vec::new();
    match content.peek("role") {
        Some(node) if node.text().as_deref() == Some("model") => {
            content.take("role");
        }
        Some(_) => {}
        None => marks.push(missing("role")),
    }
    let mode = content.mode();
    for (at, node) in content.list("parts")? {
        candidate.parts.push(parts::part(node, at, mode)?);
    }
    let rest = content.rest(GEMINI);
    let members = rest.members().iter().filter(|(name, _)| marks.iter().all(|(mark, _)| mark != name));
    candidate.message_extra = Extra::new(GEMINI, members.cloned().chain(marks.iter().cloned()).collect());
    Ok(())
}

/// Why the prompt was blocked, if it was: the provider's message, or its word.
pub(super) fn block_reason(node: Node<'_>) -> Option<String> {
    let mut feedback = node.fields(Place::root()).ok()?;
    let reason = feedback.peek("blockReason").filter(|node| matches!(node.kind, Kind::String | Kind::Number))?;
    let word = reason.text().map_or_else(|| reason.raw.to_owned(), std::borrow::Cow::into_owned);
    let message = feedback.word("blockReasonMessage").ok().flatten();
    Some(message.unwrap_or(word))
}
