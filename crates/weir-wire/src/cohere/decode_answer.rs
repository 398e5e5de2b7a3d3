//! An answer, read whole.

use super::form::COHERE;
use super::{logprobs, said, spent};
use crate::fault::{self, UpstreamError};
use crate::hub::{Answer, AnswerError, Choice, DecodeError, Fields, Head, Mode, Node, Place, Stop, StopReason, Word};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;

/// Reads an answer. What is of an unexpected kind is kept, not refused: providers vary. An answer
/// that ended in a failure is [`AnswerError::Upstream`].
pub fn decode_answer(body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = failure(&fields, body) {
        return Err(AnswerError::Upstream(error));
    }
    let Some(mut message) = fields.object("message")? else {
        return Err(fields.error("message", "missing, expected an object").into());
    };
    let stop = stop(&mut fields)?.map_err(AnswerError::Upstream)?;
    assistant(&mut message);
    let parts = said::take(&mut message)?;
    let logprobs = logprobs::take(&mut fields);
    let choice = Choice { parts, stop, logprobs, message_extra: message.rest(COHERE), ..Choice::default() };
    let usage = spent::take(&mut fields, rules);
    Ok(Answer { head: head(fields)?, choices: vec![choice], usage })
}

/// An error in place of an answer or an event: `{"message": "…"}`, or an `error`.
pub(super) fn failure(fields: &Fields<'_>, body: &[u8]) -> Option<UpstreamError> {
    if let Some(node) = fields.peek("error") {
        let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
        if let Some(error) = fault::in_band(&mut reader).ok().flatten() {
            return Some(error);
        }
    }
    let told = fields.peek("message").is_some_and(|node| node.kind == Kind::String);
    told.then(|| fault::read_error(502, None, body))
}

/// Takes the role, if it is the usual one.
pub(super) fn assistant(message: &mut Fields<'_>) {
    if message.peek("role").and_then(Node::text).as_deref() == Some("assistant") {
        message.take("role");
    }
}

/// What an answer says about itself, once the rest has been taken.
pub(super) fn head(mut fields: Fields<'_>) -> Result<Head, DecodeError> {
    Ok(Head { id: fields.word("id")?, extra: fields.rest(COHERE), ..Head::default() })
}

/// Takes why the answer ended, or the failure it ended in. The words beyond those of version 2 are
/// of version 1, which some hosts still say.
pub(super) fn stop(fields: &mut Fields<'_>) -> Result<Result<Option<Stop>, UpstreamError>, DecodeError> {
    let Some(word) = fields.word("finish_reason")? else { return Ok(Ok(None)) };
    let reason = match word.as_str() {
        "COMPLETE" => StopReason::End,
        "STOP_SEQUENCE" => StopReason::Sequence,
        "MAX_TOKENS" => StopReason::Length,
        "TOOL_CALL" => StopReason::ToolUse,
        "ERROR_TOXIC" => StopReason::Filter,
        "ERROR_LIMIT" => StopReason::Window,
        "ERROR" | "TIMEOUT" => return Ok(Err(failed(&word))),
        _ => StopReason::Unknown,
    };
    Ok(Ok(Some(Stop { word: Some(Word { dialect: COHERE, text: word }), ..Stop::new(reason) })))
}

fn failed(word: &str) -> UpstreamError {
    let message = match word {
        "TIMEOUT" => "the provider ran out of time in the middle of its answer",
        _ => "the provider failed in the middle of its answer",
    };
    UpstreamError { message: message.to_owned(), code: Some(word.to_owned()), ..UpstreamError::default() }
}
