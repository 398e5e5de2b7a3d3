//! Who has been told of which events: a place in the outbox for each receiver (a sink), and a row for each
//! event that it did not take.
//!
//! One gateway at a time sends to a sink: it claims the sink until some moment, and writes what it did only
//! while the claim is its own and the place is where it found it. What was sent by a gateway that died before
//! writing so is sent again, with the same event id.

use sqlx::FromRow;

use super::{Stored, digest, time};
use crate::clock::UnixMs;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::session::Tx;
use crate::store::statement::Statement;

/// Longest text of a failure that is kept, in bytes.
const MAX_ERROR: usize = 500;

pub(in crate::store) const STATEMENTS: &[&str] =
    &[REGISTER, WORK, CLAIM, RELEASE, DUE, ADVANCE, FAILED, DELIVERED, AHEAD];

/// A new sink begins behind what was numbered before it: it is told of what comes.
const REGISTER: &str = "\
INSERT INTO outbox_cursors (sink, seq, owner, claimed_until, seen_at, delivered)
SELECT $1, value, '', 0, CAST($2 AS BIGINT), 0 FROM counters WHERE name = 'outbox_seq'
ON CONFLICT (sink) DO UPDATE SET seen_at = excluded.seen_at";

const WORK: &str = "\
SELECT c.seq AS seq, (SELECT value FROM counters WHERE name = 'outbox_seq') AS head,
    (SELECT COUNT(*) FROM deliveries d WHERE d.sink = c.sink AND d.state = 'pending') AS waiting,
    EXISTS (SELECT 1 FROM deliveries d WHERE d.sink = c.sink AND d.state = 'pending' AND d.next_at <= $2) AS due
FROM outbox_cursors c WHERE c.sink = $1";

const CLAIM: &str = "\
UPDATE outbox_cursors SET owner = $2, claimed_until = $3
WHERE sink = $1 AND (owner = $2 OR claimed_until <= $4) RETURNING seq";

const RELEASE: &str = "UPDATE outbox_cursors SET owner = '', claimed_until = 0 WHERE sink = $1 AND owner = $2";

const DUE: &str = "\
SELECT d.attempts AS attempts, e.id AS id, e.seq AS seq, e.kind AS kind, e.key AS key, e.at AS at, e.body AS body
FROM deliveries d JOIN outbox e ON e.id = d.event_id
WHERE d.sink = $1 AND d.state = 'pending' AND d.next_at <= $2 ORDER BY d.next_at, d.id LIMIT $3";

const ADVANCE: &str = "\
UPDATE outbox_cursors SET seq = $4, claimed_until = $5, delivered = delivered + $6,
    delivered_at = COALESCE($7, delivered_at), last_error = COALESCE($8, last_error),
    failed_at = COALESCE($9, failed_at)
WHERE sink = $1 AND owner = $2 AND seq = $3";

const FAILED: &str = "\
INSERT INTO deliveries (id, sink, event_id, state, attempts, next_at, last_error, failed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at,
    last_error = excluded.last_error, failed_at = excluded.failed_at";

const DELIVERED: &str = "DELETE FROM deliveries WHERE id = $1";

const AHEAD: &str = "\
SELECT kind, COUNT(*) AS events FROM (SELECT kind FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2) AS ahead GROUP BY kind";

/// Remembers a sink, or that it is still there. Do so at the start and every hour or so: one that nobody
/// has for thirty days is forgotten.
///
/// # Errors
/// As any call to the store.
pub async fn register(db: &Db, sink: &str, now: UnixMs) -> Result<(), StoreError> {
    db.writer().await?.execute(Statement::new(REGISTER).bind(sink).bind(now)).await.map(drop)
}

/// What there is to do for a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Work {
    /// How far it has come.
    pub seq: i64,
    /// The last number given.
    pub head: i64,
    /// Deliveries that wait for another try.
    pub waiting: i64,
    /// Whether one of them is due.
    pub due: bool,
}

/// What there is to do for a sink; nothing for one that is not remembered.
///
/// # Errors
/// As any call to the store.
pub async fn work(db: &Db, sink: &str, now: UnixMs) -> Result<Option<Work>, StoreError> {
    db.reader().await?.fetch_optional(Statement::new(WORK).bind(sink).bind(now)).await
}

/// Makes `owner` the one that sends to a sink until some moment, unless another does. Answers how far the
/// sink has come.
///
/// # Errors
/// As any call to the store.
pub async fn claim(db: &Db, sink: &str, owner: &str, now: UnixMs, until: UnixMs) -> Result<Option<i64>, StoreError> {
    let statement = Statement::new(CLAIM).bind(sink).bind(owner).bind(until).bind(now);
    let found: Option<(i64,)> = db.writer().await?.fetch_optional(statement).await?;
    Ok(found.map(|(seq,)| seq))
}

/// Gives a claim back, so that another need not wait for its end.
///
/// # Errors
/// As any call to the store.
pub async fn release(db: &Db, sink: &str, owner: &str) -> Result<(), StoreError> {
    db.writer().await?.execute(Statement::new(RELEASE).bind(sink).bind(owner)).await.map(drop)
}

/// Events of these kinds numbered above `after` and up to `to`, in their order; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn next(db: &Db, after: i64, to: i64, kinds: &[&str], limit: u32) -> Result<Vec<Stored>, StoreError> {
    if kinds.is_empty() || after >= to {
        return Ok(Vec::new());
    }
    let statement = Statement::new(next_text(kinds.len())).bind(after).bind(to).bind(i64::from(limit));
    let statement = kinds.iter().fold(statement, |s, kind| s.bind(*kind));
    db.reader().await?.fetch_all(statement).await
}

pub(in crate::store) fn next_text(kinds: usize) -> String {
    let marks: Vec<String> = (4..4 + kinds).map(|n| format!("${n}")).collect();
    format!(
        "SELECT id, seq, kind, key, at, body FROM outbox WHERE seq > $1 AND seq <= $2 AND kind IN ({}) ORDER BY seq LIMIT $3",
        marks.join(", ")
    )
}

/// An event that a sink did not take, and is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Pending {
    /// How often it was tried.
    pub attempts: i64,
    /// The event.
    #[sqlx(flatten)]
    pub event: Stored,
}

/// What a sink is due to be told again, the longest overdue first; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn due(db: &Db, sink: &str, now: UnixMs, limit: u32) -> Result<Vec<Pending>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(DUE).bind(sink).bind(now).bind(i64::from(limit))).await
}

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The event's id.
    pub event_id: String,
    /// When the event happened.
    pub event_at: UnixMs,
    /// How often it was tried by now.
    pub attempts: i64,
    /// When it is tried again; never by itself when absent.
    pub next_at: Option<UnixMs>,
    /// Why it was not taken.
    pub error: String,
}

/// What the owner of a sink's claim did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Where the sink was.
    pub from: i64,
    /// Where it is now.
    pub to: i64,
    /// When.
    pub at: UnixMs,
    /// Until when the owner keeps the claim.
    pub until: UnixMs,
    /// How many events were taken.
    pub delivered: u64,
    /// Ids of those among them that had failed before.
    pub recovered: Vec<(String, UnixMs)>,
    /// Those that were not taken.
    pub failed: Vec<Failed>,
}

/// Writes what was done. `false`, and nothing is written, when the claim is another's by now or the sink was
/// moved: what was sent will be sent again.
///
/// # Errors
/// As any call to the store.
pub async fn settle(db: &Db, sink: &str, owner: &str, done: &Done) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    match settle_in(&mut tx, sink, owner, done).await {
        Ok(true) => tx.commit().await.map(|()| true),
        Ok(false) => tx.rollback().await.map(|()| false),
        Err(error) => {
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn settle_in(tx: &mut Tx, sink: &str, owner: &str, done: &Done) -> Result<bool, StoreError> {
    let last = done.failed.last().map(|failed| bounded(&failed.error));
    let advance = Statement::new(ADVANCE)
        .bind(sink)
        .bind(owner)
        .bind(done.from)
        .bind(done.to)
        .bind(done.until)
        .bind(done.delivered)
        .bind(Some(done.at).filter(|_| done.delivered > 0))
        .bind(last)
        .bind(Some(done.at).filter(|_| last.is_some()));
    if tx.execute(advance).await? == 0 {
        return Ok(false);
    }
    for (event_id, at) in &done.recovered {
        tx.execute(Statement::new(DELIVERED).bind(id(sink, event_id, *at).as_str())).await?;
    }
    for failed in &done.failed {
        let statement = Statement::new(FAILED)
            .bind(id(sink, &failed.event_id, failed.event_at).as_str())
            .bind(sink)
            .bind(failed.event_id.as_str())
            .bind(if failed.next_at.is_some() { "pending" } else { "dead" })
            .bind(failed.attempts)
            .bind(failed.next_at.unwrap_or(0))
            .bind(bounded(&failed.error))
            .bind(done.at);
        tx.execute(statement).await?;
    }
    Ok(true)
}

/// How many events of these kinds are numbered above `after`, of the next `most` of any kind.
///
/// # Errors
/// As any call to the store.
pub async fn ahead(db: &Db, after: i64, kinds: &[&str], most: u32) -> Result<u64, StoreError> {
    let statement = Statement::new(AHEAD).bind(after).bind(i64::from(most));
    let found: Vec<(String, i64)> = db.reader().await?.fetch_all(statement).await?;
    let wanted = found.iter().filter(|(kind, _)| kinds.contains(&kind.as_str()));
    Ok(wanted.map(|(_, events)| u64::try_from(*events).unwrap_or(0)).sum())
}

/// The id of an event's delivery to a sink: `dlv_`, the event's time, a digest.
pub(super) fn id(sink: &str, event_id: &str, at: UnixMs) -> String {
    format!("dlv_{}{}", time(at), digest(&[sink, event_id], 10))
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR)]
}
