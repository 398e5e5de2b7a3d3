//! Sums by hour and by day.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::bulk::Bulk;
use super::prepare::{Prepared, key_text};
use super::{CLASSES, calendar, classes};
use crate::clock::UnixMs;
use crate::store::db::Engine;
use crate::store::error::StoreError;
use crate::store::session::Tx;
use crate::store::statement::Arg;

/// What a sum is broken down by, besides time.
pub(super) const DIMENSIONS: [&str; 7] = ["key_id", "team_id", "user_id", "provider", "model", "endpoint", "status"];

/// How many measures a sum has.
pub(super) const WIDTH: usize = 1 + CLASSES.len() + 4;

/// What is summed: requests, the token classes, cost, unpriced, estimated, latency.
pub(super) fn measures() -> Vec<&'static str> {
    [&["requests"][..], &CLASSES, &["cost_nano", "unpriced", "estimated", "latency_ms"]].concat()
}

/// A table of sums.
pub(super) struct Grain {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) length: UnixMs,
}

pub(super) const HOURLY: Grain = Grain { table: "usage_hourly", column: "hour", length: calendar::HOUR };
pub(super) const DAILY: Grain = Grain { table: "usage_daily", column: "day", length: calendar::DAY };

static HOURS: LazyLock<Bulk> = LazyLock::new(|| upsert(&HOURLY));
static DAYS: LazyLock<Bulk> = LazyLock::new(|| upsert(&DAILY));

pub(super) fn statements(engine: Engine) -> Vec<String> {
    [HOURS.texts(engine), DAYS.texts(engine)].concat()
}

fn upsert(grain: &Grain) -> Bulk {
    let table = grain.table;
    let identity = [&[grain.column][..], &DIMENSIONS].concat();
    let sums: Vec<String> = measures().iter().map(|m| format!("{m} = {table}.{m} + excluded.{m}")).collect();
    let tail = format!("ON CONFLICT ({}) DO UPDATE SET {}", identity.join(", "), sums.join(", "));
    Bulk::new(table, &[identity, measures()].concat(), &tail)
}

/// Adds rows that were just inserted to the sums.
pub(super) async fn add(tx: &mut Tx, rows: &[&Prepared<'_>]) -> Result<(), StoreError> {
    for (bulk, grain) in [(&*HOURS, &HOURLY), (&*DAYS, &DAILY)] {
        for statement in bulk.statements(tx.engine(), values(rows, grain)) {
            tx.execute(statement).await?;
        }
    }
    Ok(())
}

/// The sums in order of their identity: writers that lock in one order cannot block each other in a
/// circle.
fn values(rows: &[&Prepared<'_>], grain: &Grain) -> Vec<Arg> {
    let mut sums: BTreeMap<(UnixMs, [&str; DIMENSIONS.len()]), [i64; WIDTH]> = BTreeMap::new();
    for prepared in rows {
        let start = prepared.at - prepared.at % grain.length;
        let sum = sums.entry((start, dimensions(prepared))).or_insert([0; WIDTH]);
        // check() bounds each number far below what 500 of them need to overflow.
        sum.iter_mut().zip(amounts(prepared)).for_each(|(s, n)| *s = s.saturating_add(n));
    }
    let mut out = Vec::with_capacity(sums.len() * (1 + DIMENSIONS.len() + WIDTH));
    for ((start, dimensions), sum) in sums {
        out.push(Arg::from(start));
        out.extend(dimensions.map(Arg::from));
        out.extend(sum.map(Arg::from));
    }
    out
}

fn dimensions<'a>(prepared: &Prepared<'a>) -> [&'a str; DIMENSIONS.len()] {
    let row = prepared.row;
    let text = |value: Option<&'a str>| key_text(value).unwrap_or_default();
    [
        text(row.key_id.as_deref()),
        text(row.team_id.as_deref()),
        text(row.user_id.as_deref()),
        text(row.provider.as_deref()),
        text(row.model.as_deref()),
        text(Some(&row.endpoint)),
        row.status.as_str(),
    ]
}

fn amounts(prepared: &Prepared<'_>) -> [i64; WIDTH] {
    let row = prepared.row;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut out = [0; WIDTH];
    out[0] = 1;
    for (slot, n) in out[1..].iter_mut().zip(classes(&row.usage)) {
        *slot = count(n);
    }
    let rest =
        [row.cost.map_or(0, |cost| cost.0), i64::from(row.unpriced), i64::from(row.estimated), count(row.latency_ms)];
    out[1 + CLASSES.len()..].copy_from_slice(&rest);
    out
}
