//! Streams of other dialects than OpenAI's, read by their own decoders.

use std::sync::Arc;

use super::Seen;
use crate::hub::{Dialect, Event};
use crate::rules::UsageRules;
use crate::sse::Frame;
use crate::translate::{Decoder, Facts};

/// Reads the frames of one stream with its dialect's decoder, and forgets what they say but for the
/// facts.
#[derive(Debug)]
pub(super) struct Watch {
    decoder: Decoder,
    pub(super) facts: Facts,
    events: Vec<Event>,
}

impl Watch {
    pub(super) fn new(dialect: Dialect, rules: Arc<UsageRules>) -> Self {
        // Frames come cut: the decoder's own framer holds nothing.
        Self { decoder: Decoder::new(dialect, rules, 0), facts: Facts::default(), events: Vec::new() }
    }

    /// As [`super::StreamTap::observe`].
    pub(super) fn observe(&mut self, frame: &Frame) -> Seen {
        self.decoder.frame(frame, &mut self.events);
        let mut seen = Seen::Quiet;
        for event in self.events.drain(..) {
            let telling = self.facts.event(&event);
            seen = match (event, seen) {
                (Event::Error(error), _) => Seen::Error(error),
                (_, seen @ Seen::Error(_)) => seen,
                (Event::End, _) => Seen::Done,
                (_, Seen::Done) => Seen::Done,
                (_, Seen::Quiet) if telling => Seen::Delta,
                (_, seen) => seen,
            };
        }
        seen
    }

    /// Whether an event said that nothing follows.
    pub(super) fn terminal(&self) -> bool {
        self.facts.complete
    }

    /// Whether the stream came to its proper end. A dialect that ends with its connection has, once
    /// nothing more can be missing.
    pub(super) fn complete(&self) -> bool {
        self.facts.complete || self.decoder.could_end()
    }
}
