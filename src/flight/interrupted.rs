//! The row of a request whose process died while an upstream was at it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use weir_wire::usage::Usage;

use super::{Draft, Flight, MAX_TEXT, Most, bounded};
use crate::clock::UnixMs;
use crate::gate::budget::Reservation;
use crate::money::NanoUsd;
use crate::price::{Dearest, Prices};
use crate::record::{Attempt, Status};
use crate::snapshot::Target;

/// What an interrupted row says of itself.
const DIED: &str = "the gateway died while this request was under way; its usage is an estimate";

/// Tries, and the one under way.
struct Chain<'a>(&'a [Attempt], [Option<&'a Attempt>; 2]);

impl Serialize for Chain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().chain(self.1.into_iter().flatten()))
    }
}

/// An entry, if there is something to enter.
fn some<M: SerializeMap>(map: &mut M, key: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

/// A try of which nobody lives to tell.
pub(super) fn attempt(target: &Target) -> Attempt {
    Attempt {
        provider: target.provider.id.to_string(),
        model: bounded(&target.model, MAX_TEXT),
        outcome: "interrupted".to_owned(),
        ms: 0,
    }
}

/// What a try is taken to have used: all that budgets held for it, or else its prompt; with the service tier that
/// is dearest, and what it comes to.
pub(super) fn at_worst(
    held: bool,
    price: Option<&Prices>,
    worst: &Most,
    prompt_tokens: u64,
    at: UnixMs,
) -> (Usage, Option<&'static str>, Option<NanoUsd>) {
    match (held, price) {
        // What nobody has seen may have been thoughts, or written to a cache, or served in a dearer tier.
        (true, Some(price)) => {
            let Most { usage, tier, text_only } = worst;
            let Dearest { usage, tier, cost } = price.dearest_usage(usage, tier.as_deref(), *text_only, at);
            (usage, tier, Some(cost))
        }
        _ => {
            let usage = Usage { input: prompt_tokens, ..Usage::default() };
            (usage, None, price.map(|price| price.cost(&usage, None, at).nano))
        }
    }
}

/// The row of a request whose process died while an upstream was at it. Whatever budgets held counts
/// as used, for nobody can tell what was: that keeps them hard.
pub(super) struct Interrupted<'a> {
    pub(super) flight: &'a Flight,
    pub(super) draft: &'a Draft,
}

impl Serialize for Interrupted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { flight, draft } = self;
        let key = draft.caller.as_ref().map(|caller| &caller.key);
        let held = draft.reservation.as_ref().filter(|reservation| !reservation.is_empty());
        let price = draft.price.as_ref();
        let (mut usage, tier, mut cost) =
            at_worst(held.is_some(), price.map(|price| &**price), &draft.worst, draft.prompt_tokens, flight.at);
        if let Some(sunk) = &draft.sunk {
            usage = usage.plus(&sunk.usage);
            cost = cost.map(|cost| sunk.cost_with(cost));
        }
        if let Some(beside) = &draft.beside {
            usage = usage.plus(&beside.usage);
            cost = cost.map(|cost| NanoUsd(cost.0.saturating_add(beside.cost.unwrap_or_default().0)));
        }
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("id", &flight.id)?;
        row.serialize_entry("at", &flight.at)?;
        row.serialize_entry("endpoint", draft.endpoint)?;
        row.serialize_entry("status", &Status::Interrupted)?;
        if let Some(key) = key {
            row.serialize_entry("key_id", &key.id)?;
            some(&mut row, "team_id", key.team_id.as_ref())?;
            some(&mut row, "user_id", key.user_id.as_ref())?;
            some(&mut row, "metadata", key.metadata.as_ref())?;
        }
        some(&mut row, "end_user", draft.end_user.as_ref())?;
        some(&mut row, "model", draft.model.as_ref())?;
        some(&mut row, "provider", draft.provider.as_ref().map(|provider| &*provider.id))?;
        some(&mut row, "tags", (!draft.tags.is_empty()).then_some(&draft.tags))?;
        let trying = draft.trying.as_ref().map(|(target, _)| attempt(target));
        let beside = draft.beside.as_ref().and_then(|beside| beside.attempt.as_ref());
        row.serialize_entry("attempts", &Chain(&draft.attempts, [beside, trying.as_ref()]))?;
        row.serialize_entry("usage", &usage)?;
        some(&mut row, "cost", cost.map(|cost| cost.0))?;
        some(&mut row, "tier", tier)?;
        some(&mut row, "price_version", price.map(|price| price.version()))?;
        row.serialize_entry("estimated", &true)?;
        some(&mut row, "unpriced", cost.is_none().then_some(true))?;
        some(&mut row, "stream", draft.stream.then_some(true))?;
        row.serialize_entry("error_code", "gateway_died")?;
        row.serialize_entry("error_message", DIED)?;
        some(&mut row, "charges", held.map(Reservation::charges))?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Beside, Meter};
    use super::*;
    use crate::clock::Clock;
    use crate::gate::limit::{Limiters, Rules};
    use crate::meter::journal::{Journal, Options};
    use crate::meter::ledger::Ledger;
    use crate::meter::prom::Metrics;
    use std::sync::Arc;

    #[test]
    fn a_try_beside_another_is_charged_too() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::create(folder.path(), "test", Options::default()).unwrap());
        let clock = Clock::mock(0);
        let limits = Arc::new(Limiters::new(clock.clone(), Rules::default()));
        let meter = Meter { clock, ledger: Ledger::new(journal), metrics: Arc::new(Metrics::new()), limits };
        let flight = Flight::unrecorded("id".to_owned(), "chat/completions", meter);
        let attempt =
            Attempt { provider: "a".to_owned(), model: "x".to_owned(), outcome: "interrupted".to_owned(), ms: 0 };
        let usage = Usage { input: 7, output: 1000, ..Usage::default() };
        let beside = Beside { usage, cost: Some(NanoUsd(5)), attempt: Some(attempt) };
        let draft = Draft { prompt_tokens: 7, beside: Some(Box::new(beside)), ..Draft::default() };
        let row = serde_json::to_value(Interrupted { flight: &flight, draft: &draft }).unwrap();
        assert_eq!((&row["usage"]["input"], &row["usage"]["output"]), (&14.into(), &1000.into()));
        assert_eq!((&row["attempts"][0]["provider"], &row["cost"]), (&"a".into(), &serde_json::Value::Null));
    }
}
