//! Rating past rows anew, after a price was corrected: each by the price that the book, as it is now,
//! has for the row's time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::store_error;
use crate::clock::UnixMs;
use crate::error::ApiError;
use crate::money::NanoUsd;
use crate::price::Book;
use crate::record::{moment, rfc3339};
use crate::store::usage::{Range, RatedRow, Rating, Run, rate, rated_rows};
use crate::store::{Db, StoreError};

/// Rows in memory at once, and in one transaction.
const BATCH: u32 = 500;
/// Models told apart in the answer.
const MAX_MODELS: usize = 1_000;
/// How often a batch is tried that met another writer.
const TRIES: u32 = 5;

/// What to rate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerateBody {
    /// A day or a time: the first row's.
    from: String,
    /// The first that is no longer included; now, if nothing is said.
    to: Option<String>,
    /// Of this provider.
    provider: Option<String>,
    /// Of this model: as it was asked for, as its provider names it, or `provider/model`.
    model: Option<String>,
    /// Only tell what would change; unless it says `false`.
    #[serde(default = "yes")]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// Rates the rows; answers how many changed and by how much.
///
/// Nothing else needs to stand still: rows are compared before they are changed, so a run that was
/// broken off is simply made again, and a second one changes nothing.
///
/// # Errors
/// 400 for a bad field, 503 without the database: what was rated until then stays.
pub async fn rerate(db: &Db, book: &Book, now: UnixMs, run_id: String, body: RerateBody) -> Result<Value, ApiError> {
    let from = time("from", &body.from)?;
    let to = body.to.as_deref().map_or(Ok(now), |to| time("to", to))?;
    if from >= to {
        return Err(ApiError::invalid("invalid_value", "from must be before to").param("from"));
    }
    let range = Range { from, to, provider: body.provider.clone().filter(|provider| !provider.is_empty()) };
    let run = Run { id: run_id, at: now };
    let mut tally = Tally::default();
    let mut after: Option<(UnixMs, String)> = None;
    loop {
        let place = after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let rows = rated_rows(db, &range, place, BATCH).await.map_err(store_error)?;
        let Some(last) = rows.last() else { break };
        after = Some((last.at, last.id.clone()));
        batch(db, book, &body, rows, &run, &mut tally).await.map_err(store_error)?;
    }
    Ok(tally.answer(&body, &range, &run))
}

fn time(name: &'static str, text: &str) -> Result<UnixMs, ApiError> {
    moment(text).ok_or_else(|| {
        let message = format!("{name} must be a day or a time such as 2026-11-01 or 2026-11-01T00:00:00Z");
        ApiError::invalid("invalid_value", message).param(name)
    })
}

async fn batch(
    db: &Db,
    book: &Book,
    body: &RerateBody,
    rows: Vec<RatedRow>,
    run: &Run,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let mut changed = Vec::new();
    for row in rows {
        let upstream = upstream_model(&row);
        if !body.model.as_deref().is_none_or(|model| is_of(&row, upstream.as_deref(), model)) {
            continue;
        }
        tally.rows += 1;
        match verdict(book, &row, upstream.as_deref()) {
            Verdict::Same => {}
            Verdict::Skipped(why) => *tally.skipped.entry(why).or_default() += 1,
            Verdict::New(rating) => changed.push((row, rating)),
        }
    }
    let done = if body.dry_run { vec![true; changed.len()] } else { rated(db, &changed, run).await? };
    for ((row, rating), _) in changed.iter().zip(done).filter(|(_, done)| *done) {
        tally.add(row, rating);
    }
    Ok(())
}

/// Replicas that write sums at the same moment may block each other; one of them is told to try again.
async fn rated(db: &Db, changed: &[(RatedRow, Rating)], run: &Run) -> Result<Vec<bool>, StoreError> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let mut tries = 1;
    loop {
        match rate(db, changed, run).await {
            Err(error) if error.is_retryable() && tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

enum Verdict {
    Same,
    New(Rating),
    Skipped(&'static str),
}

fn verdict(book: &Book, row: &RatedRow, upstream: Option<&str>) -> Verdict {
    let old = &row.rating;
    if row.usage.is_zero() {
        return if old.unpriced { Verdict::Skipped("unmeasured") } else { Verdict::Same };
    }
    // Calls that came to nothing are in it, each at a price of its own.
    if old.price_version.as_deref().is_some_and(|version| version.contains('+')) {
        return Verdict::Skipped("several_prices");
    }
    let Some(price) =
        row.provider.as_deref().zip(upstream).and_then(|(provider, model)| book.at(provider, model, row.at))
    else {
        return Verdict::Skipped("without_price");
    };
    let cost = price.cost(&row.usage, row.tier.as_deref(), row.at);
    if old.cost == cost.amount() && old.unpriced == cost.unpriced {
        return Verdict::Same;
    }
    Verdict::New(Rating {
        cost: cost.amount(),
        price_version: Some(price.version().to_owned()),
        unpriced: cost.unpriced,
    })
}

/// The model as the provider that served it names it.
fn upstream_model(row: &RatedRow) -> Option<String> {
    let served = row.attempts.iter().rfind(|attempt| Some(&attempt.provider) == row.provider.as_ref());
    let asked = || {
        let model = row.model.as_deref()?;
        let prefix = format!("{}/", row.provider.as_deref()?);
        Some(model.strip_prefix(&prefix).unwrap_or(model).to_owned())
    };
    served.map(|attempt| attempt.model.clone()).filter(|model| !model.is_empty()).or_else(asked)
}

fn is_of(row: &RatedRow, upstream: Option<&str>, model: &str) -> bool {
    let full = || Some(format!("{}/{}", row.provider.as_deref()?, upstream?));
    row.model.as_deref() == Some(model) || upstream == Some(model) || full().as_deref() == Some(model)
}

/// What a run comes to.
#[derive(Default)]
struct Tally {
    rows: u64,
    changed: u64,
    before: i64,
    after: i64,
    skipped: BTreeMap<&'static str, u64>,
    models: BTreeMap<String, (u64, i64)>,
}

impl Tally {
    fn add(&mut self, row: &RatedRow, rating: &Rating) {
        let nano = |rating: &Rating| rating.cost.map_or(0, |cost| cost.0);
        let (before, after) = (nano(&row.rating), nano(rating));
        self.changed += 1;
        self.before = self.before.saturating_add(before);
        self.after = self.after.saturating_add(after);
        let name =
            format!("{}/{}", row.provider.as_deref().unwrap_or_default(), upstream_model(row).unwrap_or_default());
        let there = self.models.len() < MAX_MODELS || self.models.contains_key(&name);
        let sum = self.models.entry(if there { name } else { "other".to_owned() }).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(after).saturating_sub(before));
    }

    fn answer(&self, body: &RerateBody, range: &Range, run: &Run) -> Value {
        let models: Vec<Value> = self
            .models
            .iter()
            .map(|(name, (rows, difference))| {
                json!({"model": name, "changed": rows, "difference_usd": NanoUsd(*difference)})
            })
            .collect();
        json!({
            "object": "price.rerating",
            "id": run.id,
            "dry_run": body.dry_run,
            "from": rfc3339(range.from),
            "to": rfc3339(range.to),
            "rows": self.rows,
            "changed": self.changed,
            "skipped": self.skipped,
            "cost_before_usd": NanoUsd(self.before),
            "cost_after_usd": NanoUsd(self.after),
            "difference_usd": NanoUsd(self.after.saturating_sub(self.before)),
            "models": models,
        })
    }
}
