//! A streamed answer, read chunk by chunk.

use std::sync::Arc;

use super::decode_answer::{head, in_band, spent};
use super::form::GEMINI;
use super::stream_candidate::CandidateState;
use super::{candidate, stop};
use crate::fault::UpstreamError;
use crate::hub::fold::MAX_CHOICES;
use crate::hub::{DecodeError, Event, Extra, Head, Mode, Node, Place, Spent};
use crate::rules::UsageRules;
use crate::sse::Frame;

/// The most bytes of members kept for comparison with those of later chunks.
const MAX_EXTRA: usize = 256 * 1024;

/// Reads the chunks of one stream: the frames of server-sent events, or the elements of an array.
#[derive(Debug)]
pub struct StreamDecoder {
    head: Option<Head>,
    usage: Option<Spent>,
    candidates: Vec<CandidateState>,
    /// Why the prompt was blocked.
    blocked: Option<String>,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream. How this dialect counts tokens is its own convention, so that the rules say
    /// nothing here.
    #[must_use]
    pub fn new(_rules: Arc<UsageRules>) -> Self {
        Self { head: None, usage: None, candidates: Vec::new(), blocked: None, closed: false }
    }

    /// Reads one frame and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        self.push_chunk(&frame.data(), events);
    }

    /// Reads one chunk: the data of a frame, or an element of an array.
    pub fn push_chunk(&mut self, chunk: &[u8], events: &mut Vec<Event>) {
        let payload = chunk.trim_ascii();
        if self.closed || payload.is_empty() || payload == b"[DONE]" {
            return;
        }
        match self.chunk(payload, events) {
            Ok(None) => {}
            Ok(Some(error)) => self.fail(error, events),
            Err(error) => self.fail(broken(&error.to_string()), events),
        }
    }

    /// Says that no more chunks come, which is how this dialect ends. Unless every candidate has said
    /// why it ended, or the prompt was blocked, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        if !self.could_end() {
            return self.fail(broken("it ended before its finish reason"), events);
        }
        if self.candidates.is_empty() {
            events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra: Extra::default() });
            events.push(Event::Finish { choice: 0, stop: stop::blocked(self.blocked.take()) });
        }
        self.candidates.iter_mut().for_each(|candidate| candidate.finish(events));
        events.push(Event::End);
        self.closed = true;
    }

    /// Whether all has been said that must be: every candidate why it ended, or why there is none.
    #[must_use]
    pub fn could_end(&self) -> bool {
        let whole = self.candidates.iter().all(|candidate| candidate.stop.is_some());
        whole && (!self.candidates.is_empty() || self.blocked.is_some())
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn chunk(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<Option<UpstreamError>, DecodeError> {
        let node = Node::of_body(data, Mode::Answer)?;
        if let Some(error) = in_band(node) {
            return Ok(Some(error));
        }
        let mut fields = node.fields(Place::root())?;
        let candidates = fields.list("candidates")?;
        let (usage, tier) = spent(&mut fields);
        if let Some(reason) = fields.peek("promptFeedback").and_then(candidate::block_reason) {
            self.blocked = Some(reason);
        }
        self.head(Head { tier, ..head(fields)? }, events)?;
        for (position, (at, node)) in candidates.into_iter().enumerate() {
            let said = candidate::read(node.fields(at)?, position)?;
            let found = self.candidates.iter().position(|known| known.index == said.index);
            let found = found.unwrap_or(self.candidates.len());
            if found >= MAX_CHOICES {
                return Err(DecodeError::new("candidates", "too many candidates"));
            }
            if found == self.candidates.len() {
                self.candidates.push(CandidateState::new(said.index));
            }
            if let Some(state) = self.candidates.get_mut(found) {
                state.chunk(said, events)?;
            }
        }
        // The counts are those of the whole answer so far: each replaces the last.
        if let Some(usage) = usage.filter(|usage| self.usage.as_ref() != Some(usage)) {
            self.usage = Some(usage.clone());
            events.push(Event::Usage(usage));
        }
        Ok(None)
    }

    /// What is new about the answer: all at first, later what was not said yet.
    fn head(&mut self, mut said: Head, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let members = said.extra.members().iter().filter(|(_, value)| !value.is_empty());
        said.extra = Extra::new(GEMINI, members.cloned().collect());
        let Some(known) = &mut self.head else {
            self.head = Some(said.clone());
            events.push(Event::Start(said));
            return Ok(());
        };
        let members = said.extra.members().iter().filter(|(name, value)| known.extra.get(GEMINI, name) != Some(value));
        let news = Head {
            id: said.id.filter(|_| known.id.is_none()),
            model: said.model.filter(|_| known.model.is_none()),
            created: None,
            tier: said.tier.filter(|tier| known.tier.as_ref() != Some(tier)),
            extra: Extra::new(GEMINI, members.cloned().collect()),
        };
        if news == Head::default() {
            return Ok(());
        }
        known.update(news.clone());
        if known.extra.size() > MAX_EXTRA {
            return Err(DecodeError::new("", "too many members beside the candidates"));
        }
        events.push(Event::Update(news));
        Ok(())
    }
}

fn broken(why: &str) -> UpstreamError {
    UpstreamError {
        message: format!("the provider's stream broke: {why}"),
        kind: Some("upstream_error".to_owned()),
        ..UpstreamError::default()
    }
}
