//! How an answer becomes the caller's.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::hub::{self, Answer, AnswerError, CustomCalls, Dialect, Event, Extra, Fold, Ids, Reply};
use weir_wire::openai_responses;
use weir_wire::rules::UsageRules;
use weir_wire::translate::{self, Caller, Decoder, Encoder, Facts, Inbound};

use super::Job;
use super::keep::Keep;
use super::stream::MAX_EVENT;
use crate::snapshot::Target;

/// What one try's answer is translated with.
#[derive(Debug)]
pub struct Translation {
    /// Whether the caller wants a stream.
    pub stream: bool,
    caller: Caller,
    keep: Option<Keep>,
}

impl Translation {
    pub(super) fn new(job: &Job, target: &Target, source: Dialect, request: &hub::Request) -> Self {
        let form = job.operation.inbound().unwrap_or(Inbound::Chat);
        let now = u64::try_from(job.flight.at / 1000).unwrap_or(0);
        let echo = if form == Inbound::Responses { echo(job, request) } else { Extra::default() };
        let reply = Reply { source, now, model: target.model.to_string(), ids: Ids::new(job.seed) };
        let include_usage = job.peek.include_usage;
        let custom = CustomCalls::new(request, MAX_EVENT);
        let model = job.peek.model.clone().filter(|_| form == Inbound::Anthropic);
        let caller = Caller { form, reply, include_usage, framing: job.framing, echo, custom, model };
        let keep = job.keep.as_ref().map(|writer| Keep::new(request, Arc::clone(&writer.0)));
        Self { stream: job.peek.stream, caller, keep }
    }

    /// The form of its caller.
    #[must_use]
    pub fn form(&self) -> Inbound {
        self.caller.form
    }

    /// A whole answer in the caller's form, and its content type: as a stream for a caller who wants
    /// one. It is kept by then, if it is to be.
    pub async fn encode(self, answer: Answer) -> (Bytes, &'static str) {
        let stream_type = self.stream_type();
        let (body, content_type, kept) = if self.stream {
            let body = self.caller.stream_answer(answer);
            let kept = self.keep.and_then(|keep| keep.put_last(&body));
            (body, stream_type, kept)
        } else {
            let body = self.caller.encode_answer(answer).body;
            let kept = self.keep.map(|keep| keep.put(&body));
            (body, "application/json", kept)
        };
        if let Some(kept) = kept {
            kept.await;
        }
        (body.into(), content_type)
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
    pub fn encoder(self) -> (Encoder, Option<Keep>) {
        (self.caller.encoder(), self.keep)
    }
}

/// What a response repeats of its request, what it goes on from included.
fn echo(job: &Job, request: &hub::Request) -> Extra {
    let mut echo = openai_responses::echo(request);
    if let Some(earlier) = &job.earlier {
        let member = ("previous_response_id".to_owned(), hub::Json::string(&earlier.id));
        echo.update(Extra::new(Dialect::OpenAiResponses, vec![member]).quieten(|_| true));
    }
    echo
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
