//! A response, read whole.

use super::form::RESPONSES;
use super::{item, logprobs};
use crate::answer::read_answer;
use crate::fault::{self, UpstreamError};
use crate::hub::{
    Answer, AnswerError, Choice, DecodeError, Fields, Head, Logprobs, Mode, Native, Node, Part, PartKind, Place, Spent,
    Stop, StopReason, Tier, Word,
};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;

/// Reads an answer. What is of an unexpected kind is kept for callers of the same dialect, not
/// refused: providers vary. An answer that failed is the provider's error.
pub fn decode_answer(body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = failure(&fields) {
        return Err(AnswerError::Upstream(error));
    }
    if fields.peek("output").is_none_or(|node| node.kind != Kind::Array) {
        return Err(fields.error("output", "missing, expected a list").into());
    }
    let mut choice = Choice::default();
    for (at, node) in fields.whole_list("output")? {
        choice.parts.extend(item::read(node, at)?.parts);
    }
    let tokens: Vec<_> = choice.parts.iter().filter_map(logprobs::of_part).flat_map(|some| some.content).collect();
    choice.logprobs = (!tokens.is_empty()).then(|| Logprobs { content: tokens, ..Logprobs::default() });
    choice.stop = stop(&mut fields, &choice.parts)?;
    let native = fields.take_kind("usage", Kind::Object)?.map(|node| Native { dialect: RESPONSES, json: node.json() });
    let read = read_answer(body, rules);
    let usage = read.usage.map(|tokens| Spent { tokens, native, bent: read.clamped });
    Ok(Answer { head: head(fields)?, choices: vec![choice], usage })
}

/// The error of a response that failed, or that says it did.
pub(super) fn failure(fields: &Fields<'_>) -> Option<UpstreamError> {
    let failed = fields.peek("status").and_then(Node::text).as_deref() == Some("failed");
    let error = fields.peek("error").and_then(|node| {
        let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
        fault::in_band(&mut reader).ok().flatten()
    });
    error.or_else(|| {
        failed.then(|| UpstreamError {
            message: fault::unnamed(),
            kind: Some("upstream_error".to_owned()),
            ..UpstreamError::default()
        })
    })
}

/// What a response says about itself, once the rest has been taken. Most of it is an echo of the
/// request, and quiet.
pub(super) fn head(mut fields: Fields<'_>) -> Result<Head, DecodeError> {
    if fields.peek("object").and_then(Node::text).as_deref() == Some("response") {
        fields.take("object");
    }
    Ok(Head {
        id: fields.word("id")?,
        model: fields.word("model")?,
        created: fields.count("created_at")?,
        tier: fields.word("service_tier")?.map(|word| Tier::from_word(&word)),
        extra: fields.rest(RESPONSES).quieten(|_| true),
    })
}

/// Takes the status: why it ended. What is not complete says why in `incomplete_details`, which is
/// left.
pub(super) fn stop(fields: &mut Fields<'_>, parts: &[Part]) -> Result<Option<Stop>, DecodeError> {
    let Some(word) = fields.word("status")? else { return Ok(None) };
    let details = fields.peek("incomplete_details").filter(|node| node.kind == Kind::Object);
    let why = details.and_then(|node| node.fields(Place::root()).ok()?.word("reason").ok()?);
    let calls = parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let reason = match (word.as_str(), why.as_deref()) {
        ("completed", _) if calls => StopReason::ToolUse,
        ("completed", _) => StopReason::End,
        ("incomplete", Some("max_output_tokens")) => StopReason::Length,
        ("incomplete", Some("content_filter")) => StopReason::Filter,
        _ => StopReason::Unknown,
    };
    Ok(Some(Stop { word: Some(Word { dialect: RESPONSES, text: word }), ..Stop::new(reason) }))
}
