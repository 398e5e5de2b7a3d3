//! The row of a request whose process died while an upstream was at it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use weir_wire::usage::Usage;

use super::{Draft, Flight, MAX_TEXT, Most, bounded};
use crate::gate::budget::Reservation;
use crate::price::Dearest;
use crate::record::{Attempt, Status};

/// What an interrupted row says of itself.
const DIED: &str = "the gateway died while this request was under way; its usage is an estimate";

/// Tries, and the one under way.
struct Chain<'a>(&'a [Attempt], Option<&'a Attempt>);

impl Serialize for Chain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().chain(self.1))
    }
}

/// An entry, if there is something to enter.
fn some<M: SerializeMap>(map: &mut M, key: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
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
        let (usage, tier, cost) = match (held, price) {
            // What nobody has seen may have been thoughts, or written to a cache, or served in a dearer tier.
            (Some(_), Some(price)) => {
                let Most { usage, tier, text_only } = &draft.worst;
                let Dearest { usage, tier, cost } = price.dearest_usage(usage, tier.as_deref(), *text_only, flight.at);
                (usage, tier, Some(cost))
            }
            _ => {
                let usage = Usage { input: draft.prompt_tokens, ..Usage::default() };
                (usage, None, price.map(|price| price.cost(&usage, None, flight.at).nano))
            }
        };
        let (usage, cost) = match &draft.sunk {
            Some(sunk) => (usage.plus(&sunk.usage), cost.map(|cost| sunk.cost_with(cost))),
            None => (usage, cost),
        };
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
        let trying = draft.trying.as_ref().map(|(target, _)| Attempt {
            provider: target.provider.id.to_string(),
            model: bounded(&target.model, MAX_TEXT),
            outcome: "interrupted".to_owned(),
            ms: 0,
        });
        row.serialize_entry("attempts", &Chain(&draft.attempts, trying.as_ref()))?;
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
