//! What flows from an upstream's stream to a client's: the upstream's own events, looked at in passing,
//! or those of another dialect, written anew.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use weir_wire::gemini::Framing;
use weir_wire::hub::Event;
use weir_wire::json::Span;
use weir_wire::sse::{Frame, SseFramer};
use weir_wire::tap::{Flavor, Seen, StreamTap, splice_cost, splice_model};
use weir_wire::translate::{Decoder, Encoder, Facts};
use weir_wire::usage::Usage;
use weir_wire::{anthropic, gemini};

use super::attempt::Trip;
use super::keep::Keep;
use super::stream::{MAX_EVENT, Step, Turn};
use super::{classify, whole};
use crate::error::ApiError;

/// The state of one stream. One of these lives in each stream's body, so the larger form is boxed.
#[derive(Debug)]
pub(super) enum Flow {
    /// The same dialect on both sides.
    Pass(Box<Pass>),
    /// Two dialects.
    Translate(Box<Translate>),
}

/// Frames pass as they came.
#[derive(Debug)]
pub(super) struct Pass {
    framer: SseFramer,
    tap: StreamTap,
    /// The usage chunk is hidden from a client that did not ask for it.
    hide_usage: bool,
}

/// Events are read and written.
pub(super) struct Translate {
    decoder: Decoder,
    encoder: Encoder,
    facts: Facts,
    /// The events of the chunk at hand, kept for its memory.
    events: Vec<Event>,
    /// Keeps the exchange at its end.
    keep: Option<Keep>,
    keeping: Option<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Translate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Flow {
    /// For the stream of a trip, whose translation it takes.
    pub(super) fn of(trip: &mut Trip) -> Self {
        let rules = Arc::clone(&trip.usage);
        match trip.translation.take() {
            None => Self::Pass(Box::new(Pass {
                framer: SseFramer::new(MAX_EVENT),
                tap: StreamTap::new(trip.flavor, rules),
                hide_usage: trip.usage_added,
            })),
            Some(translation) => {
                let (encoder, keep) = translation.encoder();
                Self::Translate(Box::new(Translate {
                    decoder: Decoder::new(trip.dialect, rules, MAX_EVENT),
                    encoder,
                    facts: Facts::default(),
                    events: Vec::new(),
                    keep,
                    keeping: None,
                }))
            }
        }
    }

    /// Reads a chunk and queues what the client gets of it.
    pub(super) fn chunk(&mut self, trip: &Trip, chunk: Bytes, ready: &mut VecDeque<Bytes>) -> Step {
        match self {
            Self::Pass(pass) => pass.chunk(trip, chunk, ready),
            Self::Translate(translate) => {
                translate.decoder.push(chunk, &mut translate.events);
                translate.write(trip, ready)
            }
        }
    }

    /// Nothing more comes, and what came is complete: a dialect that ends with its connection ends here.
    pub(super) fn close(&mut self, trip: &Trip, ready: &mut VecDeque<Bytes>) {
        if let Self::Translate(translate) = self
            && !translate.facts.complete
        {
            translate.finish(trip, ready);
        }
    }

    /// The upstream has closed: what that completes is passed on.
    pub(super) fn finish(&mut self, trip: &Trip, ready: &mut VecDeque<Bytes>) {
        match self {
            Self::Pass(pass) => pass.finish(ready),
            Self::Translate(translate) => translate.finish(trip, ready),
        }
    }

    /// Ends the stream with an error, in the form that its client reads.
    pub(super) fn fail(&mut self, trip: &Trip, error: &ApiError, ready: &mut VecDeque<Bytes>) {
        match self {
            Self::Pass(_) => ready.push_back(error_event(trip.flavor, error)),
            Self::Translate(translate) => {
                let mut out = String::new();
                translate.encoder.fail(error.told(), &mut out);
                ready.push_back(out.into());
            }
        }
    }

    /// What must be done before the client sees the end.
    pub(super) fn keeping(&mut self) -> Option<&mut BoxFuture<'static, ()>> {
        match self {
            Self::Pass(_) => None,
            Self::Translate(translate) => translate.keeping.as_mut(),
        }
    }

    /// It has been done.
    pub(super) fn kept(&mut self) {
        if let Self::Translate(translate) = self {
            translate.keeping = None;
        }
    }

    /// Whether what came, of which `ready` is the client's part, is the end of an answer that a filter withheld.
    pub(super) fn withheld(&self, trip: &Trip, ready: &VecDeque<Bytes>) -> bool {
        match self {
            Self::Pass(_) => {
                let (mut decoder, mut events) =
                    (Decoder::new(trip.dialect, Arc::clone(&trip.usage), MAX_EVENT), Vec::new());
                ready.iter().for_each(|frame| decoder.push(frame.clone(), &mut events));
                if self.complete() {
                    decoder.end(&mut events);
                }
                let mut facts = Facts::default();
                for event in &events {
                    facts.event(event);
                }
                facts.withheld()
            }
            Self::Translate(translate) => translate.facts.withheld(),
        }
    }

    /// Whether the upstream has finished.
    pub(super) fn complete(&self) -> bool {
        match self {
            Self::Pass(pass) => pass.tap.complete(),
            Self::Translate(translate) => translate.facts.complete || translate.decoder.could_end(),
        }
    }

    /// Whether the upstream has said that nothing follows.
    pub(super) fn terminal(&self) -> bool {
        match self {
            Self::Pass(pass) => pass.tap.terminal(),
            Self::Translate(translate) => translate.facts.complete,
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Pass(pass) => pass.tap.id(),
            Self::Translate(translate) => translate.facts.id.as_deref(),
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        whole::credible(match self {
            Self::Pass(pass) => pass.tap.usage(),
            Self::Translate(translate) => translate.facts.usage,
        })
    }

    /// Whether a usage was told that cannot be.
    pub(super) fn bent(&self) -> bool {
        match self {
            Self::Pass(pass) => pass.tap.clamped(),
            Self::Translate(translate) => translate.facts.bent,
        }
    }

    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Self::Pass(pass) => pass.tap.model(),
            Self::Translate(translate) => translate.facts.model.as_deref(),
        }
    }

    pub(super) fn tier(&self) -> Option<&str> {
        match self {
            Self::Pass(pass) => pass.tap.service_tier(),
            Self::Translate(translate) => translate.facts.tier.as_deref(),
        }
    }

    /// The text produced, as far as it is kept, and the bytes of all of it.
    pub(super) fn output(&self) -> (&str, u64) {
        match self {
            Self::Pass(pass) => (pass.tap.output_text(), pass.tap.output_bytes()),
            Self::Translate(translate) => (translate.facts.output_text(), translate.facts.output_bytes()),
        }
    }
}

impl Pass {
    fn chunk(&mut self, trip: &Trip, chunk: Bytes, ready: &mut VecDeque<Bytes>) -> Step {
        self.framer.push(chunk);
        let mut step = Step::default();
        while let Some(frame) = self.framer.next() {
            let turn = match frame {
                Ok(frame) => self.frame(trip, &frame, ready),
                Err(_) => Some(Turn::Broken("an event is longer than 8 MiB")),
            };
            if let Some(Turn::Broken(_)) = turn {
                return Step { turn, ..step };
            }
            step.then(turn);
        }
        step
    }

    fn frame(&mut self, trip: &Trip, frame: &Frame, ready: &mut VecDeque<Bytes>) -> Option<Turn> {
        let provider = &trip.target.provider;
        match self.tap.observe(frame) {
            Seen::Quiet => {
                // The model is named once, before anything is said.
                let renamed = trip.model_as.as_deref().and_then(|model| splice_model(frame, model));
                ready.push_back(renamed.unwrap_or_else(|| frame.raw.clone()));
                None
            }
            Seen::UsageOnly(_) if self.hide_usage => None,
            Seen::UsageOnly(usage) => {
                ready.push_back(self.with_cost(trip, frame, usage));
                Some(Turn::Substance)
            }
            Seen::Malformed if trip.flavor != Flavor::Other => Some(Turn::Broken("an event is not JSON")),
            Seen::Error(told) => {
                let told_masked = classify::masked(provider, &told);
                let shown = match provider.secrets.are_in(&frame.raw) {
                    true => {
                        error_event(trip.flavor, &ApiError::upstream("upstream_error", told_masked.message.clone()))
                    }
                    false => frame.raw.clone(),
                };
                ready.push_back(shown);
                Some(Turn::Refused(told_masked))
            }
            Seen::Done | Seen::Delta | Seen::Malformed => {
                ready.push_back(frame.raw.clone());
                Some(Turn::Substance)
            }
        }
    }

    /// The usage chunk with `cost_usd` in its usage object, when the model has a price.
    fn with_cost(&self, trip: &Trip, frame: &Frame, usage: Span) -> Bytes {
        let cost = cost(trip, self.tap.usage(), self.tap.service_tier());
        cost.map_or_else(|| frame.raw.clone(), |cost| splice_cost(frame, usage, &cost))
    }

    /// The last event of a stream may lack its blank line: `data: [DONE]` and no more.
    fn finish(&mut self, ready: &mut VecDeque<Bytes>) {
        let last = self.framer.end().unwrap_or_else(|| Frame::new(self.framer.take_rest(), false));
        if !last.raw.is_empty() && matches!(self.tap.observe(&last), Seen::Done) {
            ready.push_back(last.raw);
        }
    }
}

impl Translate {
    /// Writes the events at hand.
    fn write(&mut self, trip: &Trip, ready: &mut VecDeque<Bytes>) -> Step {
        let (mut out, mut step) = (String::new(), Step::default());
        for event in self.events.drain(..) {
            let telling = self.facts.event(&event);
            let (event, this) = match event {
                Event::Error(error) => {
                    let masked = classify::masked(&trip.target.provider, &error);
                    (Event::Error(masked.clone()), Some(Turn::Refused(masked)))
                }
                event => (event, telling.then_some(Turn::Substance)),
            };
            if matches!(event, Event::End)
                && let Some(cost) = cost(trip, self.facts.usage, self.facts.tier.as_deref())
            {
                self.encoder.cost(&cost);
            }
            let ends = matches!(event, Event::End);
            self.encoder.push(event, &mut out);
            if ends && let Some(keep) = self.keep.take() {
                self.keeping = keep.put_last(&out);
            }
            step.then(this);
        }
        if !out.is_empty() {
            ready.push_back(out.into());
        }
        step
    }

    /// What the connection's end completes. What it breaks is told by who sees it end.
    fn finish(&mut self, trip: &Trip, ready: &mut VecDeque<Bytes>) {
        self.decoder.end(&mut self.events);
        self.events.retain(|event| !matches!(event, Event::Error(_)));
        self.write(trip, ready);
    }
}

fn cost(trip: &Trip, usage: Option<Usage>, tier: Option<&str>) -> Option<String> {
    let (used, price) = whole::credible(usage).zip(trip.target.price.as_ref())?;
    Some(price.cost(&used, tier, trip.flight.at).nano.to_string())
}

/// An error as the last event of a stream, in the shape that flavour's clients read.
fn error_event(flavor: Flavor, error: &ApiError) -> Bytes {
    match flavor {
        Flavor::Responses => {
            let body = serde_json::json!({
                "type": "error", "code": error.code, "message": error.message, "param": error.param, "sequence_number": 0,
            });
            format!("event: error\ndata: {body}\n\n").into()
        }
        Flavor::Messages => {
            let body = anthropic::encode_error(error.status.as_u16(), &error.told(), None);
            format!("event: error\ndata: {body}\n\n").into()
        }
        Flavor::Gemini => {
            let body = gemini::encode_error(error.status.as_u16(), &error.told(), Framing::Sse);
            format!("data: {body}\n\n").into()
        }
        Flavor::Chat | Flavor::Completions | Flavor::Other => [b"data: ", &error.body()[..], b"\n\n"].concat().into(),
    }
}
