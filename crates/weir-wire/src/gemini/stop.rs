//! Why an answer ended: `finishReason`. Read and written.

use super::form::GEMINI;
use crate::hub::{DecodeError, Fields, Stop, StopReason, Word};
use crate::json::Kind;

/// The word of a stop that is no candidate's: the prompt was blocked, `promptFeedback` says why.
pub(super) const BLOCKED: &str = "promptFeedback.blockReason";

/// Takes `finishReason`, a word or its number, with `finishMessage`.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<Stop>, DecodeError> {
    let word = match fields.peek("finishReason") {
        Some(node) if node.kind == Kind::Number => fields.num("finishReason")?.map(|number| number.as_str().to_owned()),
        _ => fields.word("finishReason")?,
    };
    let Some(word) = word else { return Ok(None) };
    let detail = fields.word("finishMessage")?;
    Ok(Some(Stop { detail, ..of_word(&word) }))
}

fn of_word(word: &str) -> Stop {
    let reason = match word {
        "STOP" | "1" => StopReason::End,
        "MAX_TOKENS" | "2" => StopReason::Length,
        "SAFETY"
        | "3"
        | "RECITATION"
        | "4"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "6"
        | "PROHIBITED_CONTENT"
        | "7"
        | "SPII"
        | "8"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_OTHER"
        | "MODEL_ARMOR" => StopReason::Filter,
        "MALFORMED_FUNCTION_CALL"
        | "9"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE" => StopReason::Malformed,
        "CONTINUATION" => StopReason::Pause,
        _ => StopReason::Unknown,
    };
    Stop { word: Some(Word { dialect: GEMINI, text: word.to_owned() }), ..Stop::new(reason) }
}

/// A stop whose candidate called tools: this dialect says `STOP` of it.
pub(super) fn with_calls(mut stop: Stop) -> Stop {
    if stop.reason == StopReason::End {
        stop.reason = StopReason::ToolUse;
    }
    stop
}

/// The stop of an answer without candidates, whose prompt was blocked.
pub(super) fn blocked(reason: Option<String>) -> Stop {
    let word = Some(Word { dialect: GEMINI, text: BLOCKED.to_owned() });
    Stop { word, detail: reason, ..Stop::new(StopReason::Filter) }
}

/// Whether a stop is that of a blocked prompt.
pub(super) fn is_blocked(stop: Option<&Stop>) -> bool {
    stop.and_then(|stop| stop.word_of(GEMINI)) == Some(BLOCKED)
}

/// The JSON of the word for a stop, and whether it says the same.
pub(super) fn json(stop: &Stop) -> (String, bool) {
    if let Some(word) = stop.word_of(GEMINI) {
        let number = !word.is_empty() && word.len() < 10 && word.bytes().all(|byte| byte.is_ascii_digit());
        return (if number { word.to_owned() } else { crate::json::quote(word) }, true);
    }
    let (word, exact) = match stop.reason {
        StopReason::End | StopReason::Sequence | StopReason::ToolUse => ("STOP", true),
        StopReason::Length | StopReason::Window => ("MAX_TOKENS", true),
        StopReason::Filter | StopReason::Refusal => ("SAFETY", true),
        StopReason::Pause => ("MAX_TOKENS", false),
        StopReason::Malformed => ("MALFORMED_FUNCTION_CALL", true),
        StopReason::Unknown => ("OTHER", true),
    };
    (crate::json::quote(word), exact)
}
