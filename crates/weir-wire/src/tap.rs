//! A side tap on a stream: reads frames as they pass and changes nothing.
//!
//! It learns what the ledger must know (usage, served model, tier, whether the stream came to its
//! proper end) and keeps the produced text up to a bound, so that tokens can be counted when a
//! stream is cut before its usage.

mod chunk;
mod output;
mod splice;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use chunk::Chunk;
pub use output::OUTPUT_CAP;
pub(crate) use output::Output;
pub use splice::{splice_cost, splice_model, with_model};

use crate::counts::Reading;
use crate::fault::UpstreamError;
use crate::hub::Dialect;
use crate::json::Span;
use crate::rules::UsageRules;
use crate::sse::Frame;
use crate::usage::Usage;
use watch::Watch;

/// The family of a stream, which decides what its end looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// `chat/completions`: ends with `[DONE]`.
    Chat,
    /// `completions`: ends with `[DONE]`.
    Completions,
    /// `responses`: ends with a terminal event.
    Responses,
    /// Images, speech, transcriptions: end with a terminal event or `[DONE]`.
    Other,
    /// Anthropic messages: ends with `message_stop`.
    Messages,
    /// Gemini: ends when every candidate has said why it ended.
    Gemini,
}

impl Flavor {
    /// The dialect whose decoder reads such streams; none where reading in passing is enough.
    fn decoded(self) -> Option<Dialect> {
        match self {
            Self::Messages => Some(Dialect::Anthropic),
            Self::Gemini => Some(Dialect::Gemini),
            Self::Chat | Self::Completions | Self::Responses | Self::Other => None,
        }
    }
}

/// What a frame turned out to be. Of several things the first in this order:
/// error, end, usage, output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The provider reports an error in the stream.
    Error(UpstreamError),
    /// The end: `[DONE]` or a terminal event.
    Done,
    /// The chunk that `include_usage` adds: no choices, and usage at this span of
    /// [`Frame::data`].
    UsageOnly(Span),
    /// Visible output.
    Delta,
    /// Data that is not one JSON object.
    Malformed,
    /// Nothing of note: a comment, a role, a ping.
    Quiet,
}

/// Reads the frames of one stream.
#[derive(Debug)]
pub struct StreamTap {
    flavor: Flavor,
    rules: Arc<UsageRules>,
    facts: Facts,
    output: Output,
    /// Reads the stream in place of the above.
    watch: Option<Box<Watch>>,
}

/// What the frames said about the answer.
#[derive(Debug, Default)]
struct Facts {
    usage: Option<Reading>,
    usage_span: Option<Span>,
    model: Option<String>,
    service_tier: Option<String>,
    id: Option<String>,
    done: bool,
    terminal: bool,
    finished: bool,
    frames: u64,
    deltas: u64,
}

impl StreamTap {
    /// A tap for one stream of a provider with these usage rules.
    #[must_use]
    pub fn new(flavor: Flavor, rules: Arc<UsageRules>) -> Self {
        let watch = flavor.decoded().map(|dialect| Box::new(Watch::new(dialect, Arc::clone(&rules))));
        Self { flavor, rules, facts: Facts::default(), output: Output::default(), watch }
    }

    /// Reads one frame. Frames after the end are read too: usage may come late.
    pub fn observe(&mut self, frame: &Frame) -> Seen {
        self.facts.frames += 1;
        self.facts.usage_span = None;
        if let Some(watch) = &mut self.watch {
            let seen = watch.observe(frame);
            self.facts.deltas += u64::from(seen == Seen::Delta);
            return seen;
        }
        let data = frame.data();
        let payload = data.trim_ascii();
        if payload.is_empty() {
            return Seen::Quiet;
        }
        if payload == b"[DONE]" {
            self.facts.done = true;
            return Seen::Done;
        }
        let chunk = Chunk::new(&mut self.facts, &mut self.output, &self.rules);
        let seen = chunk.read(&data, frame).unwrap_or(Seen::Malformed);
        self.facts.deltas += u64::from(seen == Seen::Delta);
        seen
    }

    /// Whether the stream came to its proper end: `[DONE]` (or a finish reason, for providers
    /// that send no `[DONE]`), or the terminal event.
    #[must_use]
    pub fn complete(&self) -> bool {
        let facts = &self.facts;
        if let Some(watch) = &self.watch {
            return watch.complete();
        }
        match self.flavor {
            Flavor::Chat | Flavor::Completions => facts.done || (self.rules.no_done && facts.finished),
            Flavor::Responses => facts.terminal,
            Flavor::Other | Flavor::Messages | Flavor::Gemini => facts.terminal || facts.done,
        }
    }

    /// Whether an event said that nothing follows: `[DONE]`, or the terminal event. A stream that is
    /// [complete](Self::complete) without one may bring its usage yet.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.watch.as_ref().map_or(self.facts.done || self.facts.terminal, |watch| watch.terminal())
    }

    /// The usage reported, if any: the latest, unless an earlier one was larger (usage in streams
    /// is cumulative). Never a sum.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.watch {
            Some(watch) => watch.facts.usage,
            None => self.facts.usage.map(|reading| reading.usage),
        }
    }

    /// Whether a usage value was bent into range ([`crate::counts`]).
    #[must_use]
    pub fn clamped(&self) -> bool {
        self.facts.usage.is_some_and(|reading| reading.clamped)
    }

    /// Where the last frame observed has its usage object, in [`Frame::data`].
    #[must_use]
    pub fn usage_span(&self) -> Option<Span> {
        self.facts.usage_span
    }

    /// The model that serves, as the stream names it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.watch.as_ref().map_or(&self.facts.model, |watch| &watch.facts.model).as_deref()
    }

    /// The tier that is billed: the last one named.
    #[must_use]
    pub fn service_tier(&self) -> Option<&str> {
        self.watch.as_ref().map_or(&self.facts.service_tier, |watch| &watch.facts.tier).as_deref()
    }

    /// The answer's id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.watch.as_ref().map_or(&self.facts.id, |watch| &watch.facts.id).as_deref()
    }

    /// Whether any choice gave its finish reason.
    #[must_use]
    pub fn finish_seen(&self) -> bool {
        self.watch.as_ref().map_or(self.facts.finished, |watch| watch.complete())
    }

    /// How many frames were observed, comments and the end included.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.facts.frames
    }

    /// How many of them were [`Seen::Delta`].
    #[must_use]
    pub fn deltas(&self) -> u64 {
        self.facts.deltas
    }

    /// The text produced so far: content, reasoning, refusals, names and arguments of tool calls,
    /// in order of arrival; the first [`OUTPUT_CAP`] bytes of it.
    #[must_use]
    pub fn output_text(&self) -> &str {
        self.watch.as_ref().map_or(self.output.text(), |watch| watch.facts.output_text())
    }

    /// How many bytes of text were produced, kept or not.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.watch.as_ref().map_or(self.output.bytes(), |watch| watch.facts.output_bytes())
    }
}
