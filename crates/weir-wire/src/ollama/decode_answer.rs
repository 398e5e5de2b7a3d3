//! An answer, read whole.

use super::form::OLLAMA;
use super::{logprobs, said, spent, time};
use crate::fault::{self, UpstreamError};
use crate::hub::{
    Answer, AnswerError, Choice, DecodeError, Fields, Head, Mode, Node, Part, PartKind, Place, Stop, StopReason, Word,
};
use crate::json::Reader;
use crate::rules::UsageRules;

/// Members that say nothing to others: how long things took, in nanoseconds, and the time, which is
/// also read.
const QUIET: [&str; 5] = ["created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"];

/// Reads an answer. What is of an unexpected kind is kept, not refused: servers vary.
pub fn decode_answer(body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = failure(&fields) {
        return Err(AnswerError::Upstream(error));
    }
    let Some(mut message) = fields.object("message")? else {
        return Err(fields.error("message", "missing, expected an object").into());
    };
    done(&mut fields);
    assistant(&mut message);
    let parts = said::take(&mut message)?;
    let called = parts.iter().any(is_call);
    let stop = fields.word("done_reason")?.map(|word| stop(&word, called));
    let logprobs = logprobs::take(&mut fields);
    let choice = Choice { parts, stop, logprobs, message_extra: message.rest(OLLAMA), ..Choice::default() };
    let usage = spent::take(&mut fields, rules);
    Ok(Answer { head: head(fields)?, choices: vec![choice], usage })
}

/// An error in place of an answer or a line: `{"error": "…"}`.
pub(super) fn failure(fields: &Fields<'_>) -> Option<UpstreamError> {
    let node = fields.peek("error")?;
    fault::in_band(&mut Reader::new(node.raw.as_bytes()).ok()?).ok().flatten()
}

/// Takes whether this is the end, where it is as it should be.
pub(super) fn done(fields: &mut Fields<'_>) -> bool {
    let done = fields.peek("done").is_some_and(|node| node.raw == "true");
    if done {
        fields.take("done");
    }
    done
}

/// Takes the role, if it is the usual one.
pub(super) fn assistant(message: &mut Fields<'_>) {
    if message.peek("role").and_then(Node::text).as_deref() == Some("assistant") {
        message.take("role");
    }
}

pub(super) fn is_call(part: &Part) -> bool {
    matches!(part.kind, PartKind::ToolCall(_))
}

/// What an answer says about itself, once the rest has been taken.
pub(super) fn head(mut fields: Fields<'_>) -> Result<Head, DecodeError> {
    let created = fields.peek("created_at").and_then(Node::text).and_then(|text| time::seconds(&text));
    let model = fields.word("model")?;
    Ok(Head { model, created, extra: fields.rest(OLLAMA).quieten(|name| QUIET.contains(&name)), ..Head::default() })
}

/// Why the answer ended; servers of old do not say. `load` and `unload` are the reasons of answers
/// that say nothing, to requests without messages.
pub(super) fn stop(word: &str, called: bool) -> Stop {
    let reason = match word {
        "stop" if called => StopReason::ToolUse,
        "stop" => StopReason::End,
        "length" => StopReason::Length,
        _ => StopReason::Unknown,
    };
    Stop { word: Some(Word { dialect: OLLAMA, text: word.to_owned() }), ..Stop::new(reason) }
}
