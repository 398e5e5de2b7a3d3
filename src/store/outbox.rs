//! Events on their way out: written in the transaction of what they tell of, numbered when they are
//! committed, read by each receiver from its own place.
//!
//! A number taken before the commit would become visible out of order on PostgreSQL (the transaction that
//! took 7 may commit after the one that took 8), and whoever had read up to 8 would never see 7. So events
//! are written without one, by writers that share no row and wait for nobody. [`number`] gives numbers to
//! what is committed, under the lock of one counter: numbers become visible in their own order, and a
//! receiver that has read up to a number has missed nothing below it. Nothing depends on clocks, on how
//! long a transaction takes, or on ids of transactions, which a restored backup would not have.

pub mod deliveries;
pub mod letters;
pub mod prune;

use std::borrow::Cow;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use sqlx::FromRow;

use super::db::{Db, Engine};
use super::error::{StoreError, StoreErrorKind};
use super::session::Tx;
use super::statement::{Arg, Statement};
use super::usage::bulk::Bulk;
use crate::clock::UnixMs;
pub use crate::events::Event as NewEvent;

/// Largest particulars of an event, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// Longest key that is kept as it is; of a longer one its beginning and a digest.
const MAX_KEY: usize = 512;
/// Events that get their numbers in one transaction.
const NUMBERED_AT_ONCE: u32 = 1000;

const STATEMENTS: &[&str] = &[LOCK, NUMBER, TAKEN, HEAD, LIST];

/// Takes the counter's lock. What the next statement sees is what was committed before.
const LOCK: &str = "UPDATE counters SET value = value WHERE name = 'outbox_seq' RETURNING value";

const NUMBER: &str = "\
UPDATE outbox SET seq = $1 + fresh.place
FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM outbox WHERE seq IS NULL ORDER BY id LIMIT $2) AS fresh
WHERE outbox.id = fresh.id";

const TAKEN: &str = "UPDATE counters SET value = value + $1 WHERE name = 'outbox_seq'";

const HEAD: &str = "\
SELECT value AS seq, EXISTS (SELECT 1 FROM outbox WHERE outbox.seq IS NULL) AS unnumbered
FROM counters WHERE name = 'outbox_seq'";

const LIST: &str = "\
SELECT id, seq, kind, key, at, body FROM outbox
WHERE id < $1 AND id >= $2 AND ($3 = '' OR kind = $3) ORDER BY id DESC LIMIT $4";

static EVENTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("outbox", &["id", "kind", "key", "at", "body"], "ON CONFLICT DO NOTHING"));

pub(super) fn statements(engine: Engine) -> Vec<String> {
    let fixed = [STATEMENTS, deliveries::STATEMENTS, letters::STATEMENTS, prune::STATEMENTS].concat();
    let fixed = fixed.into_iter().map(str::to_owned).chain([deliveries::next_text(1), deliveries::next_text(7)]);
    fixed.chain(EVENTS.texts(engine).iter().cloned()).collect()
}

/// An event in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Stored {
    /// `evt_` and 32 hexadecimal digits: its time and a digest of its key, so that ids are in the order
    /// of time and the same event has the same id whoever writes it.
    pub id: String,
    /// Its number; absent until [`number`] has given it one.
    pub seq: Option<i64>,
    /// What happened.
    pub kind: String,
    /// What exactly.
    pub key: String,
    /// When.
    pub at: UnixMs,
    /// The particulars, a JSON object.
    pub body: String,
}

/// Writes events within the caller's transaction. One whose key is there already is left out: keys are
/// remembered for as long as their events are (at least thirty days, but for `usage.settled`).
///
/// # Errors
/// `Invalid` when a body is larger than [`MAX_BODY`], which no event of `crate::events` is; else as any
/// call to the store.
pub(crate) async fn put(tx: &mut Tx, events: &[NewEvent]) -> Result<(), StoreError> {
    if let Some(event) = events.iter().find(|event| event.body.len() > MAX_BODY) {
        let why = format!("the particulars of an event {} are larger than {MAX_BODY} bytes", event.kind);
        return Err(StoreError::new(StoreErrorKind::Invalid, why));
    }
    let mut keyed: Vec<(Cow<'_, str>, &NewEvent)> = events.iter().map(|e| (stored_key(&e.key), e)).collect();
    // One order among all writers, so that two that write the same keys cannot block each other in a circle.
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let values = keyed.iter().flat_map(|(key, event)| {
        [
            Arg::from(id(event.at, key).as_str()),
            Arg::from(event.kind),
            Arg::from(key.as_ref()),
            Arg::from(event.at),
            Arg::from(event.body.as_str()),
        ]
    });
    for statement in EVENTS.statements(tx.engine(), values.collect()) {
        tx.execute(statement).await?;
    }
    Ok(())
}

/// Writes events in a transaction of their own.
///
/// # Errors
/// As of writing them within the caller's.
pub async fn put_now(db: &Db, events: &[NewEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    match put(&mut tx, events).await {
        Ok(()) => tx.commit().await,
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

/// How far the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Head {
    /// The last number that was given.
    pub seq: i64,
    /// Whether there are events without one.
    pub unnumbered: bool,
}

/// How far the numbers are.
///
/// # Errors
/// As any call to the store.
pub async fn head(db: &Db) -> Result<Head, StoreError> {
    db.reader().await?.fetch_optional(Statement::new(HEAD)).await?.ok_or_else(no_counter)
}

/// Gives numbers to events that have none, at most a thousand of them, and says to how many. Any number
/// of replicas may do so at once.
///
/// # Errors
/// As any call to the store.
pub async fn number(db: &Db) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    match number_in(&mut tx).await {
        Ok(count) => tx.commit().await.map(|()| count),
        Err(error) => {
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn number_in(tx: &mut Tx) -> Result<u64, StoreError> {
    let (last,): (i64,) = tx.fetch_optional(Statement::new(LOCK)).await?.ok_or_else(no_counter)?;
    let count = tx.execute(Statement::new(NUMBER).bind(last).bind(i64::from(NUMBERED_AT_ONCE))).await?;
    if count > 0 {
        tx.execute(Statement::new(TAKEN).bind(count)).await?;
    }
    Ok(count)
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only from this moment on.
    pub since: Option<UnixMs>,
    /// Only those listed after the event of this id, which are older.
    pub after: Option<String>,
    /// At most so many: 1 to 1001 (a page, and one to see whether there is another).
    pub limit: u32,
}

/// Events, the newest first.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, listing: &Listing) -> Result<Vec<Stored>, StoreError> {
    let statement = Statement::new(LIST)
        // Beyond every id.
        .bind(listing.after.as_deref().unwrap_or("evt_g"))
        .bind(listing.since.map_or_else(String::new, first_id).as_str())
        .bind(listing.kind.as_deref().unwrap_or_default())
        .bind(i64::from(listing.limit.clamp(1, 1001)));
    db.reader().await?.fetch_all(statement).await
}

/// The least id of an event of this moment.
fn first_id(at: UnixMs) -> String {
    format!("evt_{}", time(at))
}

/// A time as an id has it: 48 bits, in hexadecimal digits.
fn time(at: UnixMs) -> String {
    format!("{:012x}", at.clamp(0, 0xffff_ffff_ffff))
}

fn id(at: UnixMs, key: &str) -> String {
    format!("evt_{}{}", time(at), digest(&[key], 10))
}

/// The beginning of a digest, `bytes` of it, in hexadecimal digits.
fn digest(parts: &[&str], bytes: usize) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

fn stored_key(key: &str) -> Cow<'_, str> {
    if key.len() <= MAX_KEY {
        return Cow::Borrowed(key);
    }
    Cow::Owned(format!("{}~{}", &key[..key.floor_char_boundary(MAX_KEY - 33)], digest(&[key], 16)))
}

fn no_counter() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "the counter outbox_seq is missing from table counters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time_and_of_the_key_alone() {
        let one = id(1_795_257_000_000, "a");
        assert_eq!((one.len(), &one[..16]), (36, "evt_01a1fda7e040"));
        assert_eq!(one, id(1_795_257_000_000, "a"));
        assert_ne!(one, id(1_795_257_000_000, "b"));
        assert!(one < id(1_795_257_000_001, "a"));
        assert!(first_id(1_795_257_000_000) < one && one.as_str() < "evt_g");
        assert!(id(-5, "a").starts_with("evt_000000000000"));
    }

    #[test]
    fn long_keys_stay_different() {
        let (a, b) = (format!("{}a", "é".repeat(500)), format!("{}b", "é".repeat(500)));
        assert_ne!(stored_key(&a), stored_key(&b));
        assert!(stored_key(&a).len() <= MAX_KEY);
        assert_eq!(stored_key("short"), "short");
    }
}
