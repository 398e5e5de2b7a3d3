//! A `generateContent` answer, read whole.

use super::form::GEMINI;
use super::{candidate, grounding, stop, usage};
use crate::fault;
use crate::hub::{Answer, AnswerError, Choice, DecodeError, Fields, Head, Mode, Native, Node, PartKind, Place, Spent};
use crate::json::Kind;
use crate::rules::UsageRules;

/// Reads an answer. What is of an unexpected kind is kept for callers of the same dialect, not
/// refused. How this dialect counts tokens is its own convention, so that the rules say nothing here.
pub fn decode_answer(body: &[u8], _rules: &UsageRules) -> Result<Answer, AnswerError> {
    let node = Node::of_body(body, Mode::Answer)?;
    if let Some(error) = in_band(node) {
        return Err(AnswerError::Upstream(error));
    }
    let mut fields = node.fields(Place::root())?;
    if !["candidates", "promptFeedback", "usageMetadata"].iter().any(|name| fields.peek(name).is_some()) {
        return Err(fields.error("candidates", "missing, expected a list").into());
    }
    let mut choices = Vec::new();
    for (position, (at, node)) in fields.list("candidates")?.into_iter().enumerate() {
        choices.push(choice(node.fields(at)?, position)?);
    }
    let blocked = fields.peek("promptFeedback").and_then(candidate::block_reason);
    if choices.is_empty() && blocked.is_some() {
        choices.push(Choice { stop: Some(stop::blocked(blocked)), ..Choice::default() });
    }
    let (spent, tier) = spent(&mut fields);
    let head = Head { tier, ..head(fields)? };
    Ok(Answer { head, choices, usage: spent })
}

/// An error under a status of success: an object with `error`, or a list of one.
pub(super) fn in_band(node: Node<'_>) -> Option<fault::UpstreamError> {
    let inner = match node.kind {
        Kind::Array => node.items(&Place::root()).ok()?.into_iter().next()?.1,
        _ => node,
    };
    let fields = inner.fields(Place::root()).ok()?;
    let error = fields.peek("error")?;
    let mut reader = crate::json::Reader::new(error.raw.as_bytes()).ok()?;
    fault::in_band(&mut reader).ok().flatten()
}

/// What was consumed, and the tier that is billed. What holds no count is left.
pub(super) fn spent(fields: &mut Fields<'_>) -> (Option<Spent>, Option<crate::hub::Tier>) {
    let Some(node) = fields.peek("usageMetadata").filter(|node| node.kind == Kind::Object) else {
        return (None, None);
    };
    let Some(read) = usage::of_node(node) else { return (None, None) };
    fields.take("usageMetadata");
    let native = Some(Native { dialect: GEMINI, json: node.json() });
    (Some(Spent { tokens: read.usage, native, bent: read.clamped }), usage::tier(node))
}

/// What an answer or a chunk says about itself, once the rest has been taken.
pub(super) fn head(mut fields: Fields<'_>) -> Result<Head, DecodeError> {
    Ok(Head {
        id: fields.word("responseId")?,
        model: fields.word("modelVersion")?,
        created: None,
        tier: None,
        extra: fields.rest(GEMINI),
    })
}

fn choice(fields: Fields<'_>, position: usize) -> Result<Choice, DecodeError> {
    let said = candidate::read(fields, position)?;
    let mut parts = said.parts;
    let calls = parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    grounding::attach(&said.extra, &mut parts);
    Ok(Choice {
        index: said.index,
        parts,
        stop: said.stop.map(|stop| if calls { stop::with_calls(stop) } else { stop }),
        logprobs: said.logprobs,
        extra: said.extra,
        message_extra: said.message_extra,
    })
}
