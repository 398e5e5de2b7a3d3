//! What people ask of deliveries: how receivers do, which events they never took, and to send them again.

use sqlx::FromRow;

use super::first_id;
use crate::clock::UnixMs;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

pub(in crate::store) const STATEMENTS: &[&str] =
    &[CURSORS, COUNTS, DEAD, REPLAY_ONE, FIRST_SINCE, MOVE_BACK, FORGET_SINCE];

const CURSORS: &str = "\
SELECT sink, seq, owner, claimed_until, seen_at, delivered, delivered_at, last_error, failed_at
FROM outbox_cursors ORDER BY sink";

const COUNTS: &str = "SELECT sink, state, COUNT(*) AS events FROM deliveries GROUP BY sink, state";

const DEAD: &str = "\
SELECT d.id AS id, d.sink AS sink, d.attempts AS attempts, d.last_error AS last_error, d.failed_at AS failed_at,
    e.id AS event_id, e.kind AS kind, e.at AS at, e.body AS body
FROM deliveries d JOIN outbox e ON e.id = d.event_id
WHERE d.state = 'dead' AND d.id < $1 AND ($2 = '' OR d.sink = $2) ORDER BY d.id DESC LIMIT $3";

const REPLAY_ONE: &str = "\
UPDATE deliveries SET state = 'pending', attempts = 0, next_at = $2 WHERE id = $1 AND state = 'dead' RETURNING sink";

const FIRST_SINCE: &str = "SELECT MIN(seq) AS seq FROM outbox WHERE id >= $1 AND seq IS NOT NULL";

const MOVE_BACK: &str = "UPDATE outbox_cursors SET seq = $2 WHERE sink = $1 AND seq > $2";

const FORGET_SINCE: &str = "DELETE FROM deliveries WHERE sink = $1 AND event_id >= $2";

/// A receiver's place in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Cursor {
    /// Its name.
    pub sink: String,
    /// Everything up to this number was delivered or has a row.
    pub seq: i64,
    /// Which gateway sends to it; empty when none does.
    pub owner: String,
    /// Until when.
    pub claimed_until: UnixMs,
    /// When a gateway last had it in its configuration.
    pub seen_at: UnixMs,
    /// Events it took, in all.
    pub delivered: i64,
    /// When it last took one.
    pub delivered_at: Option<UnixMs>,
    /// Why it last did not.
    pub last_error: Option<String>,
    /// When that was.
    pub failed_at: Option<UnixMs>,
}

/// Every receiver's place.
///
/// # Errors
/// As any call to the store.
pub async fn cursors(db: &Db) -> Result<Vec<Cursor>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(CURSORS)).await
}

/// How many deliveries of a receiver are in a state (`pending`, `dead`).
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Count {
    /// The receiver.
    pub sink: String,
    /// `pending` or `dead`.
    pub state: String,
    /// How many.
    pub events: i64,
}

/// Deliveries by receiver and state.
///
/// # Errors
/// As any call to the store.
pub async fn counts(db: &Db) -> Result<Vec<Count>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(COUNTS)).await
}

/// An event that a receiver never took.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Dead {
    /// The delivery's id, `dlv_...`.
    pub id: String,
    /// The receiver.
    pub sink: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it was not taken the last time.
    pub last_error: String,
    /// When that was.
    pub failed_at: UnixMs,
    /// The event's id.
    pub event_id: String,
    /// What happened.
    pub kind: String,
    /// When.
    pub at: UnixMs,
    /// The particulars, a JSON object.
    pub body: String,
}

/// Dead letters, the newest event first, after the one of the id `after`; of one receiver or of all; at most
/// `limit` (1 to 1001).
///
/// # Errors
/// As any call to the store.
pub async fn dead(db: &Db, sink: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<Dead>, StoreError> {
    let statement = Statement::new(DEAD)
        // Beyond every id.
        .bind(after.unwrap_or("dlv_g"))
        .bind(sink.unwrap_or_default())
        .bind(i64::from(limit.clamp(1, 1001)));
    db.reader().await?.fetch_all(statement).await
}

/// Sends a dead letter again, with all its tries before it. Answers its receiver, or nothing when there is no
/// dead letter of that id.
///
/// # Errors
/// As any call to the store.
pub async fn replay_one(db: &Db, id: &str, now: UnixMs) -> Result<Option<String>, StoreError> {
    let statement = Statement::new(REPLAY_ONE).bind(id).bind(now);
    let found: Option<(String,)> = db.writer().await?.fetch_optional(statement).await?;
    Ok(found.map(|(sink,)| sink))
}

/// Takes a receiver back to the first event from that moment on; everything after is sent again, in its order,
/// dead letters included. One that has not come so far stays where it is.
///
/// # Errors
/// As any call to the store.
pub async fn replay_since(db: &Db, sink: &str, since: UnixMs) -> Result<(), StoreError> {
    let first = first_id(since);
    let mut tx = db.begin().await?;
    let work = async {
        let found: Option<(Option<i64>,)> = tx.fetch_optional(Statement::new(FIRST_SINCE).bind(first.as_str())).await?;
        if let Some((Some(seq),)) = found {
            tx.execute(Statement::new(MOVE_BACK).bind(sink).bind(seq - 1)).await?;
        }
        // The place goes over them again, or they are before it and stay.
        tx.execute(Statement::new(FORGET_SINCE).bind(sink).bind(first.as_str())).await
    };
    match work.await {
        Ok(_) => tx.commit().await,
        Err(error) => {
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}
