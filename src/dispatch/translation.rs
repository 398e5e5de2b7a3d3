//! How an answer becomes the caller's.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::hub::{self, Answer, AnswerError, CustomCalls, Dialect, Event, Extra, Fold, Ids, Reply};
use weir_wire::openai_responses;
use weir_wire::rules::UsageRules;
use weir_wire::translate::{self, Caller, Decoder, Encoder, Facts, Inbound};

use super::Job;
use super::stream::MAX_EVENT;
use crate::snapshot::Target;

/// What one try's answer is translated with.
#[derive(Debug)]
pub struct Translation {
    /// Whether the caller wants a stream.
    pub stream: bool,
    caller: Caller,
}

impl Translation {
    pub(super) fn new(job: &Job, target: &Target, source: Dialect, request: &hub::Request) -> Self {
        let form = job.operation.inbound().unwrap_or(Inbound::Chat);
        let now = u64::try_from(job.flight.at / 1000).unwrap_or(0);
        let echo = if form == Inbound::Responses { openai_responses::echo(request) } else { Extra::default() };
        let reply = Reply { source, now, model: target.model.to_string(), ids: Ids::new(job.seed) };
        let include_usage = job.peek.include_usage;
        let custom = CustomCalls::new(request, MAX_EVENT);
        let caller = Caller { form, reply, include_usage, framing: job.framing, echo, custom };
        Self { stream: job.peek.stream, caller }
    }

    /// The form of its caller.
    #[must_use]
    pub fn form(&self) -> Inbound {
        self.caller.form
    }

    /// A whole answer in the caller's form, and its content type: as a stream for a caller who wants
    /// one.
    #[must_use]
    pub fn encode(self, answer: Answer) -> (Bytes, &'static str) {
        let stream_type = self.stream_type();
        match self.stream {
            true => (self.caller.stream_answer(answer).into(), stream_type),
            false => (self.caller.encode_answer(answer).body.into(), "application/json"),
        }
    }

    /// The content type of a stream.
    #[must_use]
    pub fn stream_type(&self) -> &'static str {
        match self.caller.framing {
            weir_wire::gemini::Framing::Array if self.caller.form == Inbound::Gemini => "application/json",
            _ => "text/event-stream; charset=utf-8",
        }
    }

    /// For a stream.
    #[must_use]
    pub fn encoder(self) -> Encoder {
        self.caller.encoder()
    }
}

/// Reads a whole answer, which some servers send as a stream all the same.
///
/// # Errors
/// When it is not in its dialect, or reports an error.
pub fn decode(dialect: Dialect, body: &Bytes, streamed: bool, rules: &Arc<UsageRules>) -> Result<Answer, AnswerError> {
    if !streamed {
        return translate::decode_answer(dialect, body, rules);
    }
    let (mut decoder, mut events) = (Decoder::new(dialect, Arc::clone(rules), MAX_EVENT), Vec::new());
    decoder.push(body.clone(), &mut events);
    decoder.end(&mut events);
    gathered(events, body.len())
}

fn gathered(events: Vec<Event>, size: usize) -> Result<Answer, AnswerError> {
    let mut fold = Fold::new(size.saturating_mul(2));
    let broken = |error: hub::FoldError| match error {
        hub::FoldError::Upstream(error) => AnswerError::Upstream(error),
        error => AnswerError::Decode(hub::DecodeError::new("", error.to_string())),
    };
    for event in events {
        fold.push(event).map_err(broken)?;
    }
    fold.finish().map_err(broken)
}

/// What the record must know of a whole answer.
#[must_use]
pub fn facts(answer: &Answer) -> Facts {
    let mut facts = Facts::default();
    facts.answer(answer);
    facts
}
