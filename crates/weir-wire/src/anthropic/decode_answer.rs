//! A message, read whole.

use super::form::OWN;
use super::{content, stop, usage};
use crate::fault;
use crate::hub::{Answer, AnswerError, Choice, DecodeError, Fields, Head, Mode, Node, Place};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;

/// Reads an answer. What is of an unexpected kind is kept for callers of the same dialect, not
/// refused: providers vary. Providers of this dialect count the cache beside the input, which the
/// rules must say.
pub fn decode_answer(body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = fields.peek("error").and_then(in_band) {
        return Err(AnswerError::Upstream(error));
    }
    if fields.peek("content").is_none_or(|node| node.kind != Kind::Array) {
        return Err(fields.error("content", "missing, expected a list of blocks").into());
    }
    let mut choice = Choice::default();
    for (at, node) in fields.whole_list("content")? {
        choice.parts.push(content::block(node, at, Mode::Answer)?);
    }
    choice.stop = stop::take(&mut fields);
    let usage = usage::take(&mut fields, rules);
    let tier = usage.as_ref().and_then(usage::tier);
    let head = Head { tier, ..head(fields)? };
    Ok(Answer { head, choices: vec![choice], usage })
}

/// An error inside an answer of success.
pub(super) fn in_band(node: Node<'_>) -> Option<fault::UpstreamError> {
    let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
    fault::in_band(&mut reader).ok().flatten()
}

/// What a message says about itself, once the rest has been taken.
pub(super) fn head(mut fields: Fields<'_>) -> Result<Head, DecodeError> {
    for (name, word) in [("type", "message"), ("role", "assistant")] {
        if fields.peek(name).and_then(Node::text).as_deref() == Some(word) {
            fields.take(name);
        }
    }
    Ok(Head { id: fields.word("id")?, model: fields.word("model")?, extra: fields.rest(OWN), ..Head::default() })
}
