//! Two tries of one request at the same time: each keeps what it alone knows of the request to itself, for as long as
//! nobody knows whose answer it will be.

use std::future::Future;
use std::mem::swap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use weir_wire::usage::Usage;

use super::{Beside, Draft, Flight, MAX_TEXT, Most, bounded, outcome_label};
use crate::clock::MonoNs;
use crate::gate::budget::Reservation;
use crate::meter::count::CountJob;
use crate::price::Prices;
use crate::record::Attempt;
use crate::snapshot::{ProviderDef, Target};

/// The answer of another target was there first.
pub const OUTPACED: &str = "outpaced";
/// The client left.
const CANCELLED: &str = "cancelled";

/// What of a draft belongs to one try.
#[derive(Debug, Default)]
struct Parts {
    trying: Option<(Arc<Target>, MonoNs)>,
    provider: Option<Arc<ProviderDef>>,
    model_label: Option<Arc<str>>,
    price: Option<Arc<Prices>>,
    worst: Most,
    reservation: Option<Reservation>,
    prompt: Option<Bytes>,
    usage: Option<Usage>,
    count: Option<CountJob>,
    warnings: Vec<String>,
    upstream_ns: u64,
    beside: Option<Box<Beside>>,
}

impl Parts {
    fn swap(&mut self, draft: &mut Draft) {
        swap(&mut self.trying, &mut draft.trying);
        swap(&mut self.provider, &mut draft.provider);
        swap(&mut self.model_label, &mut draft.model_label);
        swap(&mut self.price, &mut draft.price);
        swap(&mut self.worst, &mut draft.worst);
        swap(&mut self.reservation, &mut draft.reservation);
        swap(&mut self.prompt, &mut draft.prompt);
        swap(&mut self.usage, &mut draft.usage);
        swap(&mut self.count, &mut draft.count);
        swap(&mut self.warnings, &mut draft.warnings);
        swap(&mut self.upstream_ns, &mut draft.upstream_ns);
        swap(&mut self.beside, &mut draft.beside);
    }
}

/// A try with parts of its own. While it is polled they stand in the flight's draft; once it has ended they stay
/// there. Dropped before that, it leaves what it may have cost in the flight.
#[derive(Debug)]
pub struct Lane<F> {
    flight: Arc<Flight>,
    /// `None` once it has ended.
    parts: Option<Parts>,
    /// Boxed: it moves. `None` once it is dropped.
    future: Option<Pin<Box<F>>>,
    outcome: &'static str,
}

impl<F: Future> Lane<F> {
    /// A try that is under way: it takes its parts out of the draft.
    #[must_use]
    pub fn under_way(flight: &Arc<Flight>, future: Pin<Box<F>>) -> Self {
        let mut parts = Parts::default();
        parts.swap(&mut flight.draft());
        Self { flight: Arc::clone(flight), parts: Some(parts), future: Some(future), outcome: CANCELLED }
    }

    /// A try that begins beside one that is under way.
    #[must_use]
    pub fn beside<O>(other: &Lane<O>, prompt: Option<Bytes>, future: Pin<Box<F>>) -> Self {
        let flight = Arc::clone(&other.flight);
        let parts = other.parts.as_ref().map(|other| Parts {
            prompt,
            warnings: other.warnings.clone(),
            // Until now the request waited for the other one.
            upstream_ns: other.upstream_ns
                + other.trying.as_ref().map_or(0, |(_, since)| flight.now().saturating_sub(*since)),
            beside: Some(Box::new(flight.at_worst(other))),
            ..Parts::default()
        });
        Self { flight, parts, future: Some(future), outcome: CANCELLED }
    }

    /// The other one's answer was there first.
    pub fn outpaced(mut self) {
        self.outcome = OUTPACED;
    }
}

impl<F: Future> Future for Lane<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let (Some(future), Some(parts)) = (&mut this.future, &mut this.parts) else { return Poll::Pending };
        parts.swap(&mut this.flight.draft());
        let polled = future.as_mut().poll(cx);
        match polled {
            Poll::Ready(_) => this.parts = None,
            Poll::Pending => parts.swap(&mut this.flight.draft()),
        }
        polled
    }
}

impl<F> Drop for Lane<F> {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        // What the try holds of limits is given back by what stands in the draft meanwhile: its estimate stands.
        parts.count = Some(CountJob::default());
        parts.swap(&mut self.flight.draft());
        self.future = None;
        parts.swap(&mut self.flight.draft());
        self.flight.left(parts, self.outcome);
    }
}

impl Flight {
    /// A try that nobody waits for any more.
    fn left(&self, mut parts: Parts, outcome: &'static str) {
        let mut draft = self.draft();
        if draft.provider.is_none() {
            // Nobody else answers: the flight ends with this one, whose upstream had the prompt.
            let tokenizer = parts.trying.as_ref().and_then(|(target, _)| target.info.as_ref()?.tokenizer.clone());
            let prompt = parts.prompt.clone().filter(|_| parts.trying.is_some() && parts.usage.is_none());
            parts.count = prompt.map(|prompt| CountJob { prompt, tokenizer, ..CountJob::default() });
            return parts.swap(&mut draft);
        }
        let Some((target, started)) = parts.trying.take() else { return };
        let now = self.now();
        let elapsed = now.saturating_sub(started);
        let attempt = Attempt {
            provider: target.provider.id.to_string(),
            model: bounded(&target.model, MAX_TEXT),
            outcome: outcome.to_owned(),
            ms: elapsed / 1_000_000,
        };
        // The last one is the one that answered.
        let place = draft.attempts.len() - usize::from(draft.attempts.last().is_some_and(|last| last.outcome == "ok"));
        draft.attempts.insert(place, attempt);
        draft.also_held.extend(parts.reservation.take());
        let prompt_tokens = draft.prompt_tokens;
        drop(draft);
        self.metrics().attempt(&target.provider.id, outcome_label(outcome));
        if outcome == OUTPACED {
            target.health.outpaced(elapsed / 1000, self.draft().stream, now);
        }
        // The upstream had it, and may bill it: the prompt for certain.
        if parts.prompt.is_some() {
            let usage = Usage { input: prompt_tokens, ..Usage::default() };
            self.sink(parts.price.as_deref(), &usage, true);
        }
    }

    /// What a try comes to if nobody lives to tell.
    fn at_worst(&self, parts: &Parts) -> Beside {
        let held = parts.reservation.is_some();
        let prompt_tokens = self.draft().prompt_tokens;
        let (usage, _, cost) =
            super::interrupted::at_worst(held, parts.price.as_deref(), &parts.worst, prompt_tokens, self.at);
        let attempt = parts.trying.as_ref().map(|(target, _)| super::interrupted::attempt(target));
        Beside { usage, cost, attempt }
    }
}
