//! A streamed answer, read event by event.

use std::sync::Arc;

use super::decode_answer::{assistant, failure, head, stop};
use super::form::COHERE;
use super::stream_parts::Parts;
use super::{citations, logprobs, spent};
use crate::fault::UpstreamError;
use crate::hub::{DecodeError, Event, Extra, Fields, Head, Logprobs, Mode, Node, Place};
use crate::json::Kind;
use crate::rules::UsageRules;
use crate::sse::Frame;

/// The most pieces of log probabilities and of citations an answer has.
const MAX_PIECES: usize = 1 << 20;

/// Members of the message at the start that are empty lists to be filled.
const FILLED: [&str; 4] = ["content", "tool_plan", "tool_calls", "citations"];

/// Reads the frames of one stream.
#[derive(Debug)]
pub struct StreamDecoder {
    rules: Arc<UsageRules>,
    began: bool,
    parts: Parts,
    pieces: usize,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(rules: Arc<UsageRules>) -> Self {
        Self { rules, began: false, parts: Parts::default(), pieces: 0, closed: false }
    }

    /// Reads one frame and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        let data = frame.data();
        let payload = data.trim_ascii();
        if self.closed || payload.is_empty() {
            return;
        }
        if payload == b"[DONE]" {
            return self.end(events);
        }
        match self.event(payload, frame.event(), events) {
            Ok(None) => {}
            Ok(Some(error)) => self.fail(error, events),
            Err(error) => self.fail(broken(&error.to_string()), events),
        }
    }

    /// Says that no more frames come. Without `message-end` before, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if !self.closed {
            self.fail(broken("it ended before its last event"), events);
        }
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn event(
        &mut self,
        data: &[u8],
        name: Option<&str>,
        events: &mut Vec<Event>,
    ) -> Result<Option<UpstreamError>, DecodeError> {
        let mut fields = Node::of_body(data, Mode::Answer)?.fields(Place::root())?;
        if let Some(error) = failure(&fields, data) {
            return Ok(Some(error));
        }
        let kind = fields.word("type")?;
        let kind = kind.as_deref().or(name).unwrap_or_default();
        if kind == "message-start" {
            self.start(fields, events)?;
            return Ok(None);
        }
        self.begin(Head::default(), events);
        match kind {
            "content-start" | "content-delta" => self.content(kind, &mut fields, events)?,
            "content-end" => self.parts.content_end(fields.count("index")?, events),
            "tool-plan-delta" => {
                let text = message(&mut fields)?.map(|mut message| message.text("tool_plan")).transpose()?.flatten();
                self.parts.plan(&text.unwrap_or_default(), events)?;
            }
            "tool-call-start" | "tool-call-delta" => {
                let index = fields.count("index")?;
                let call = message(&mut fields)?.and_then(|mut message| message.take("tool_calls"));
                self.parts.call(kind == "tool-call-start", index, call, events)?;
            }
            "tool-call-end" => self.parts.call_end(fields.count("index")?, events),
            "citation-start" => self.citation(&mut fields, events)?,
            "message-end" => return self.finish(&mut fields, events),
            "error" => return Ok(Some(crate::fault::read_error(502, None, data))),
            _ => {}
        }
        Ok(None)
    }

    fn begin(&mut self, head: Head, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.began, true) {
            events.push(Event::Start(head));
            let (extra, message_extra) = (Extra::default(), Extra::default());
            events.push(Event::Choice { choice: 0, extra, message_extra });
        }
    }

    /// `message-start`: the id, and a message whose lists are still empty.
    fn start(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let message = message(&mut fields)?;
        let head = head(fields)?;
        self.begin(head, events);
        let Some(mut message) = message else { return Ok(()) };
        assistant(&mut message);
        for name in FILLED {
            message.take(name);
        }
        let message_extra = message.rest(COHERE);
        if !message_extra.is_empty() {
            events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra });
        }
        Ok(())
    }

    fn content(&mut self, kind: &str, fields: &mut Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = fields.count("index")?;
        let content = message(fields)?.and_then(|mut message| message.take("content"));
        if let Some(content) = content.filter(|node| node.kind == Kind::Object) {
            self.parts.content(kind == "content-start", index, content, events)?;
        }
        if let Some(more) = fields.peek("logprobs").map(logprobs::piece).transpose()?.flatten() {
            self.afford(1)?;
            let more = Logprobs { content: vec![more], ..Logprobs::default() };
            events.push(Event::Logprobs { choice: 0, more });
        }
        Ok(())
    }

    /// `citation-start`: one citation, though its member has the name of a list.
    fn citation(&mut self, fields: &mut Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(node) = message(fields)?.and_then(|mut message| message.take("citations")) else { return Ok(()) };
        let all = match node.kind {
            Kind::Array => node.items(&Place::root())?.into_iter().map(|(_, node)| node).collect(),
            Kind::Object => vec![node],
            _ => Vec::new(),
        };
        self.afford(all.len())?;
        for node in all {
            self.parts.citation(node, citations::about(node)?, events)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        fields: &mut Fields<'_>,
        events: &mut Vec<Event>,
    ) -> Result<Option<UpstreamError>, DecodeError> {
        let mut delta = fields.object("delta")?;
        let usage = delta.as_mut().and_then(|delta| spent::take(delta, &self.rules));
        events.extend(usage.map(Event::Usage));
        let told = delta.as_mut().map(|delta| delta.word("error")).transpose()?.flatten();
        let stop = delta.as_mut().map(stop).transpose()?.unwrap_or(Ok(None));
        let stop = match (stop, told) {
            (Err(error), None) => return Ok(Some(error)),
            (Err(error), Some(told)) => return Ok(Some(UpstreamError { message: bounded(&told), ..error })),
            (Ok(_), Some(told)) => {
                return Ok(Some(UpstreamError { message: bounded(&told), ..UpstreamError::default() }));
            }
            (Ok(stop), None) => stop,
        };
        self.parts.close(events);
        events.extend(stop.map(|stop| Event::Finish { choice: 0, stop }));
        events.push(Event::End);
        self.closed = true;
        Ok(None)
    }

    fn afford(&mut self, pieces: usize) -> Result<(), DecodeError> {
        self.pieces = self.pieces.saturating_add(pieces);
        if self.pieces > MAX_PIECES { Err(DecodeError::new("", "too many pieces")) } else { Ok(()) }
    }
}

/// `delta.message` of an event.
fn message<'a>(fields: &mut Fields<'a>) -> Result<Option<Fields<'a>>, DecodeError> {
    match fields.object("delta")? {
        Some(mut delta) => delta.object("message"),
        None => Ok(None),
    }
}

fn bounded(message: &str) -> String {
    crate::text::message(message, crate::fault::MAX_MESSAGE)
}

fn broken(why: &str) -> UpstreamError {
    let message = format!("the provider's stream is broken: {why}");
    UpstreamError { message, ..UpstreamError::default() }
}
