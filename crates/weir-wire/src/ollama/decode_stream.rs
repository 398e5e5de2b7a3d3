//! A streamed answer, read line by line.

use std::sync::Arc;

use super::decode_answer::{assistant, done, failure, head, is_call, stop};
use super::form::OLLAMA;
use super::{logprobs, said, spent};
use crate::fault::UpstreamError;
use crate::hub::fold::MAX_PARTS;
use crate::hub::{DecodeError, Delta, Event, Extra, Fields, Head, Mode, Node, Part, PartKind, Place, Text, Thinking};
use crate::rules::UsageRules;

/// The most pieces of log probabilities an answer has.
const MAX_PIECES: usize = 1 << 20;

/// Reads the lines of one stream, as [`NdjsonFramer`](crate::ndjson::NdjsonFramer) cuts them.
#[derive(Debug)]
pub struct StreamDecoder {
    rules: Arc<UsageRules>,
    began: bool,
    /// The text or the thought that goes on.
    open: Option<(u32, Saying)>,
    parts: u32,
    called: bool,
    pieces: usize,
    /// Members of the answer and of its message as they were last told.
    told: (Extra, Extra),
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    Text,
    Thought,
}

impl StreamDecoder {
    /// For one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(rules: Arc<UsageRules>) -> Self {
        Self {
            rules,
            began: false,
            open: None,
            parts: 0,
            called: false,
            pieces: 0,
            told: (Extra::default(), Extra::default()),
            closed: false,
        }
    }

    /// Reads one whole line, with or without its ending, and appends its events. Blank lines say
    /// nothing, and behind the last event nothing is read.
    pub fn push_line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = line.trim_ascii();
        if self.closed || line.is_empty() {
            return;
        }
        match self.line(line, events) {
            Ok(None) => {}
            Ok(Some(error)) => self.fail(error, events),
            Err(error) => self.fail(broken(&error.to_string()), events),
        }
    }

    /// Says that no more lines come. Without one that says `done` before, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if !self.closed {
            self.fail(broken("it ended before its last line"), events);
        }
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<Option<UpstreamError>, DecodeError> {
        let mut fields = Node::of_body(line, Mode::Answer)?.fields(Place::root())?;
        if let Some(error) = failure(&fields) {
            return Ok(Some(error));
        }
        let message = fields.object("message")?;
        let last = done(&mut fields);
        if fields.peek("done").is_some_and(|node| node.raw == "false") {
            fields.take("done");
        }
        let logprobs = logprobs::take(&mut fields);
        let usage = spent::take(&mut fields, &self.rules);
        let reason = if last { fields.word("done_reason")? } else { None };
        self.head(head(fields)?, last, events);
        if let Some(message) = message {
            self.message(message, events)?;
        }
        if let Some(more) = logprobs {
            self.pieces = self.pieces.saturating_add(more.content.len());
            if self.pieces > MAX_PIECES {
                return Err(DecodeError::new("", "too many log probabilities"));
            }
            events.push(Event::Logprobs { choice: 0, more });
        }
        events.extend(usage.map(Event::Usage));
        if last {
            self.finish(reason.as_deref(), events);
        }
        Ok(None)
    }

    /// What a line says about the answer. The time of all but the first and the last says nothing.
    fn head(&mut self, mut head: Head, last: bool, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.began, true) {
            self.told.0 = head.extra.clone();
            events.push(Event::Start(head));
            let (extra, message_extra) = (Extra::default(), Extra::default());
            events.push(Event::Choice { choice: 0, extra, message_extra });
            return;
        }
        if !last {
            head.extra.remove(OLLAMA, "created_at");
            head.created = None;
        }
        if last || !within(&head.extra, &self.told.0) {
            self.told.0 = head.extra.clone();
            events.push(Event::Update(head));
        }
    }

    fn message(&mut self, mut message: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        assistant(&mut message);
        for part in said::take(&mut message)? {
            self.part(part, events)?;
        }
        let message_extra = message.rest(OLLAMA);
        if !within(&message_extra, &self.told.1) {
            self.told.1 = message_extra.clone();
            events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra });
        }
        Ok(())
    }

    /// A part of a line: more of what is being said, or a new one.
    fn part(&mut self, mut part: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.called |= is_call(&part);
        let (saying, delta) = match &mut part.kind {
            PartKind::Text(Text { text, .. }) => (Some(Saying::Text), Delta::Text(std::mem::take(text))),
            PartKind::Thinking(Thinking { text, .. }) => (Some(Saying::Thought), Delta::Text(std::mem::take(text))),
            PartKind::ToolCall(call) => (None, Delta::Arguments(std::mem::take(&mut call.arguments))),
            _ => (None, Delta::Text(String::new())),
        };
        let going_on = self.open.filter(|(_, open)| Some(*open) == saying);
        let number = match going_on {
            Some((number, _)) => number,
            None => self.begin(part, events)?,
        };
        if !matches!(&delta, Delta::Text(text) | Delta::Arguments(text) if text.is_empty()) {
            events.push(Event::Delta { choice: 0, part: number, delta });
        }
        match saying {
            Some(saying) => self.open = Some((number, saying)),
            None => events.push(Event::PartEnd { choice: 0, part: number }),
        }
        Ok(())
    }

    fn begin(&mut self, shell: Part, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        self.pause(events);
        if self.parts as usize >= MAX_PARTS {
            return Err(DecodeError::new("", format!("more than {MAX_PARTS} parts")));
        }
        let part = self.parts;
        self.parts += 1;
        events.push(Event::PartStart { choice: 0, part, shell: Box::new(shell) });
        Ok(part)
    }

    fn pause(&mut self, events: &mut Vec<Event>) {
        if let Some((part, _)) = self.open.take() {
            events.push(Event::PartEnd { choice: 0, part });
        }
    }

    fn finish(&mut self, reason: Option<&str>, events: &mut Vec<Event>) {
        self.pause(events);
        let stop = reason.map(|word| stop(word, self.called));
        events.extend(stop.map(|stop| Event::Finish { choice: 0, stop }));
        events.push(Event::End);
        self.closed = true;
    }
}

/// Whether all members were told before, as they are.
fn within(members: &Extra, told: &Extra) -> bool {
    members.members().iter().all(|(name, value)| told.get(OLLAMA, name) == Some(value))
}

fn broken(why: &str) -> UpstreamError {
    let message = format!("the provider's stream is broken: {why}");
    UpstreamError { message, ..UpstreamError::default() }
}
