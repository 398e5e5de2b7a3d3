//! A Converse answer, read whole.

use super::form::{BEDROCK, extra, shut};
use super::{content, params};
use crate::counts::Number;
use crate::fault;
use crate::hub::{
    Answer, AnswerError, Choice, DecodeError, Fields, Head, Mode, Native, Node, Place, Spent, Stop, StopReason, Word,
};
use crate::json::Kind;
use crate::rules::UsageRules;
use crate::usage::Usage;

/// Reads an answer. What is of an unexpected kind is kept for callers of the same dialect, not
/// refused. AWS counts in one way, so there are no rules of usage to heed.
pub fn decode_answer(body: &[u8], _rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    let Some(mut output) = fields.object("output")? else {
        // AWS's gateway tells some errors under a status of success.
        if ["message", "Message", "__type"].iter().any(|name| fields.peek(name).is_some()) {
            return Err(AnswerError::Upstream(fault::read_error(502, None, body)));
        }
        return Err(fields.error("output", "missing, expected an object").into());
    };
    let mut left = Vec::new();
    let mut choice = Choice::default();
    if let Some(mut message) = output.object("message")? {
        assistant(&mut message);
        choice.parts = content::take(&mut message, "content")?;
        // Nothing said is written as an empty list anyway.
        message.whole_list("content")?;
        choice.message_extra = message.rest(BEDROCK);
    }
    shut("output", output, &mut left);
    let sequence = sequence(&fields);
    choice.stop = fields.word("stopReason")?.map(|word| stop(&word, sequence));
    let usage = usage(&mut fields)?;
    let tier = params::tier(&mut fields)?;
    let head = Head { tier, extra: extra(fields, left), ..Head::default() };
    Ok(Answer { head, choices: vec![choice], usage })
}

/// Takes the role, if it is the usual one.
pub(super) fn assistant(message: &mut Fields<'_>) {
    if message.peek("role").and_then(Node::text).as_deref() == Some("assistant") {
        message.take("role");
    }
}

/// Why it ended, by its word.
pub(super) fn stop(word: &str, sequence: Option<String>) -> Stop {
    let reason = match word {
        "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::Sequence,
        "max_tokens" => StopReason::Length,
        "tool_use" => StopReason::ToolUse,
        "guardrail_intervened" | "content_filtered" => StopReason::Filter,
        "malformed_model_output" | "malformed_tool_use" => StopReason::Malformed,
        "model_context_window_exceeded" => StopReason::Window,
        _ => StopReason::Unknown,
    };
    let word = Some(Word { dialect: BEDROCK, text: word.to_owned() });
    Stop { word, sequence: sequence.filter(|_| reason == StopReason::Sequence), ..Stop::new(reason) }
}

/// The text that ended it, where the caller asked for the field that says so.
pub(super) fn sequence(fields: &Fields<'_>) -> Option<String> {
    let node = fields.peek("additionalModelResponseFields").filter(|node| node.kind == Kind::Object)?;
    let mut inner = node.fields(Place::root()).ok()?;
    let plain = inner.word("stop_sequence").ok()?;
    plain.or_else(|| inner.object("delta").ok()??.word("stop_sequence").ok()?)
}

/// Takes `usage`. What was read from a cache and written to it stands beside the input here.
pub(super) fn usage(fields: &mut Fields<'_>) -> Result<Option<Spent>, DecodeError> {
    let Some(node) = fields.take_kind("usage", Kind::Object)? else { return Ok(None) };
    let mut inner = node.fields(Place::root())?;
    let names = ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"];
    let told = names.map(|name| inner.peek(name).map(|node| Number::read(node.raw, node.kind, 1)).unwrap_or_default());
    let bent = told.iter().any(|number| number.clamped);
    let [input, output, cached, written] = told.map(|number| number.value.unwrap_or_default());
    let mut tokens = Usage {
        input: input.saturating_add(cached).saturating_add(written),
        cached,
        cache_write: written,
        output,
        ..Usage::default()
    };
    for (at, node) in inner.list("cacheDetails")? {
        if node.kind != Kind::Object {
            continue;
        }
        let mut detail = node.fields(at)?;
        let tokens_of = detail.count("inputTokens")?.unwrap_or_default();
        match detail.text("ttl")?.as_deref() {
            Some("5m") => tokens.cache_write_5m = tokens.cache_write_5m.saturating_add(tokens_of),
            Some("1h") => tokens.cache_write_1h = tokens.cache_write_1h.saturating_add(tokens_of),
            _ => {}
        }
    }
    Ok(Some(Spent { tokens, native: Some(Native { dialect: BEDROCK, json: node.json() }), bent }))
}
