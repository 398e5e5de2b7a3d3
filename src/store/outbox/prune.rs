//! What the outbox forgets: what everybody has been told of long ago, and what is too much.

use super::letters::cursors;
use super::{first_id, head};
use crate::clock::UnixMs;
use crate::events::USAGE_SETTLED;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// Days that events are kept after everybody has been told.
pub const KEEP_DAYS: i64 = 30;
/// Days that `usage.settled` is kept: the ledger has it too.
pub const KEEP_USAGE_DAYS: i64 = 1;
/// Days that dead letters are kept.
pub const KEEP_DEAD_DAYS: i64 = 90;
/// Most events that are kept, whether everybody has been told or not.
pub const MAX_EVENTS: i64 = 1_000_000;
/// Most dead letters of one receiver that are kept.
pub const MAX_DEAD: i64 = 10_000;

const DAY: UnixMs = 86_400_000;
/// Rows of one statement.
const CHUNK: i64 = 1_000;
/// Statements of one kind in a row.
const CHUNKS: u32 = 50;

pub(in crate::store) const STATEMENTS: &[&str] =
    &[OLD, OLD_OF_KIND, TOO_MANY, OLD_DEAD, TOO_MANY_DEAD, FORGET_ROWS, FORGET_SINKS];

const OLD: &str = "\
DELETE FROM outbox WHERE id IN (
    SELECT e.id FROM outbox e WHERE e.id < $1 AND e.seq <= $2
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id)
    ORDER BY e.id LIMIT $3)";

const OLD_OF_KIND: &str = "\
DELETE FROM outbox WHERE id IN (
    SELECT e.id FROM outbox e WHERE e.id < $1 AND e.seq <= $2 AND e.kind = $4
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id)
    ORDER BY e.id LIMIT $3)";

const TOO_MANY: &str = "\
DELETE FROM outbox WHERE id IN (
    SELECT e.id FROM outbox e WHERE e.seq <= $1
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id)
    ORDER BY e.seq LIMIT $2)";

const OLD_DEAD: &str = "\
DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state = 'dead' AND failed_at < $1 LIMIT $2)";

const TOO_MANY_DEAD: &str = "\
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE sink = $1 AND state = 'dead' ORDER BY id DESC LIMIT $2 OFFSET $3)";

const FORGET_ROWS: &str = "\
DELETE FROM deliveries WHERE sink IN (SELECT sink FROM outbox_cursors WHERE seen_at < $1)";

const FORGET_SINKS: &str = "DELETE FROM outbox_cursors WHERE seen_at < $1";

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events that everybody had been told of.
    pub told: u64,
    /// Events that somebody had not been told of, because there were too many.
    pub lost: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Forgets receivers that no gateway has had for [`KEEP_DAYS`], dead letters and events that are old or too
/// many. An event that has a delivery waiting or dead is kept with it.
///
/// # Errors
/// As any call to the store; what is not done is done the next time.
pub async fn prune(db: &Db, now: UnixMs) -> Result<Pruned, StoreError> {
    prune_to(db, now, MAX_EVENTS).await
}

/// The same with another bound of events, for tests.
///
/// # Errors
/// As of [`prune`].
#[doc(hidden)]
pub async fn prune_to(db: &Db, now: UnixMs, max_events: i64) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let old = now - KEEP_DAYS * DAY;
    for text in [FORGET_ROWS, FORGET_SINKS] {
        db.writer().await?.execute(Statement::new(text).bind(old)).await?;
    }
    let sinks = cursors(db).await?;
    pruned.dead += repeated(db, || Statement::new(OLD_DEAD).bind(now - KEEP_DEAD_DAYS * DAY).bind(CHUNK)).await?;
    for sink in &sinks {
        let statement = || Statement::new(TOO_MANY_DEAD).bind(sink.sink.as_str()).bind(CHUNK).bind(MAX_DEAD);
        pruned.dead += repeated(db, statement).await?;
    }
    let head = head(db).await?.seq;
    let told = sinks.iter().map(|sink| sink.seq).min().unwrap_or(head);
    let statement = || Statement::new(OLD).bind(first_id(old).as_str()).bind(told).bind(CHUNK);
    pruned.told += repeated(db, statement).await?;
    let old = first_id(now - KEEP_USAGE_DAYS * DAY);
    let statement = || Statement::new(OLD_OF_KIND).bind(old.as_str()).bind(told).bind(CHUNK).bind(USAGE_SETTLED);
    pruned.told += repeated(db, statement).await?;
    let surplus = head - max_events;
    pruned.told += repeated(db, || Statement::new(TOO_MANY).bind(surplus.min(told)).bind(CHUNK)).await?;
    pruned.lost += repeated(db, || Statement::new(TOO_MANY).bind(surplus).bind(CHUNK)).await?;
    Ok(pruned)
}

/// Runs a statement that deletes a few rows until it finds no more, and says how many they were.
async fn repeated(db: &Db, statement: impl Fn() -> Statement) -> Result<u64, StoreError> {
    let mut rows = 0;
    for _ in 0..CHUNKS {
        // A connection for each: others write in between.
        let deleted = db.writer().await?.execute(statement()).await?;
        rows += deleted;
        if deleted < CHUNK.unsigned_abs() {
            break;
        }
    }
    Ok(rows)
}
