//! Prices of one's own: from when on, in which version. Rows are added and withdrawn, never edited.
//!
//! As with keys, every write takes the next number of one counter in its own transaction, so that a
//! reader of everything after the last number it saw never misses one.

use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::types::Json;

use super::db::Db;
use super::error::{StoreError, StoreErrorKind};
use super::session::Tx;
use super::statement::{Arg, Statement};
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[NEXT_REV, CURRENT_REV, INSERT, WITHDRAW, COUNT, GET, LIST, CHANGED_SINCE];

/// Most rows of the table: all of them are held in memory.
pub const MAX_PRICES: i64 = 20_000;

const NEXT_REV: &str = "UPDATE counters SET value = value + 1 WHERE name = 'prices_rev' RETURNING value";

const CURRENT_REV: &str = "SELECT value FROM counters WHERE name = 'prices_rev'";

macro_rules! columns {
    () => {
        "p.id, p.provider, p.model, p.effective_from, p.version, p.entries, p.note, p.created_at, p.created_by, \
         p.withdrawn_at, p.rev"
    };
}

/// Whether no other row of the model comes before it, now or from its begin on.
macro_rules! counts {
    () => {
        "CAST(CASE WHEN EXISTS (SELECT 1 FROM prices q WHERE q.provider = p.provider AND q.model = p.model
            AND q.withdrawn_at IS NULL
            AND q.effective_from <= CASE WHEN p.effective_from > $1 THEN p.effective_from ELSE $1 END
            AND (q.effective_from > p.effective_from
                OR (q.effective_from = p.effective_from AND q.version > p.version)))
        THEN 0 ELSE 1 END AS BIGINT) AS counts"
    };
}

const INSERT: &str = "\
INSERT INTO prices (id, provider, model, effective_from, version, entries, note, created_at, created_by, rev)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const WITHDRAW: &str =
    "UPDATE prices SET withdrawn_at = $2, rev = $3 WHERE id = $1 AND effective_from > $2 AND withdrawn_at IS NULL";

const COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM prices";

const GET: &str = concat!("SELECT ", columns!(), ", ", counts!(), " FROM prices p WHERE p.id = $2");

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    ", ",
    counts!(),
    " FROM prices p WHERE p.version > $2 AND ($3 = '' OR p.provider = $3) AND ($4 = '' OR p.model = $4)
    ORDER BY p.version LIMIT $5"
);

const CHANGED_SINCE: &str =
    concat!("SELECT ", columns!(), ", ", counts!(), " FROM prices p WHERE p.rev > $2 ORDER BY p.rev LIMIT $3");

/// A price of one's own to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPrice {
    /// `price_...`
    pub id: String,
    /// The provider's name in the gateway.
    pub provider: String,
    /// The model as the provider names it.
    pub model: String,
    /// From when on it holds.
    pub effective_from: UnixMs,
    /// What it says, as JSON (`price::Prices::from_own`); `None` hands back to the configuration and
    /// the catalogue.
    pub entries: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: UnixMs,
    /// `admin_api` or `command_line`.
    pub created_by: String,
}

/// A price of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// As it was given.
    pub price: NewPrice,
    /// Its number among all changes: the higher of two from one moment on holds.
    pub version: i64,
    /// When it was taken back, before it ever held.
    pub withdrawn_at: Option<UnixMs>,
    /// The number of its last change.
    pub rev: i64,
    /// Whether no other comes before it, at the time asked for or from its begin on.
    pub counts: bool,
}

#[derive(FromRow)]
struct Row {
    id: String,
    provider: String,
    model: String,
    effective_from: UnixMs,
    version: i64,
    entries: Option<Json<Box<RawValue>>>,
    note: Option<String>,
    created_at: UnixMs,
    created_by: String,
    withdrawn_at: Option<UnixMs>,
    rev: i64,
    counts: i64,
}

impl From<Row> for PriceRow {
    fn from(row: Row) -> Self {
        let price = NewPrice {
            id: row.id,
            provider: row.provider,
            model: row.model,
            effective_from: row.effective_from,
            entries: row.entries.map(|json| json.0.get().to_owned()),
            note: row.note,
            created_at: row.created_at,
            created_by: row.created_by,
        };
        let (version, withdrawn_at, rev) = (row.version, row.withdrawn_at, row.rev);
        Self { price, version, withdrawn_at, rev, counts: row.counts == 1 }
    }
}

/// Adds a price; its version is given by the store.
///
/// # Errors
/// `Invalid` when there are [`MAX_PRICES`] or the entries are not JSON; else as any call to the store.
pub async fn insert(db: &Db, price: &NewPrice) -> Result<PriceRow, StoreError> {
    let entries = price.entries.as_deref().map_or(Ok(Arg::Json(None)), Arg::json_text)?;
    let mut tx = db.begin().await?;
    let version = next_rev(&mut tx).await?;
    let there: Option<(i64,)> = tx.fetch_optional(Statement::new(COUNT)).await?;
    if there.is_some_and(|(count,)| count >= MAX_PRICES) {
        tx.rollback().await?;
        let message = format!("there are {MAX_PRICES} prices of one's own, and no more can be");
        return Err(StoreError::new(StoreErrorKind::Invalid, message));
    }
    let insert = Statement::new(INSERT)
        .bind(price.id.as_str())
        .bind(price.provider.as_str())
        .bind(price.model.as_str())
        .bind(price.effective_from)
        .bind(version)
        .bind(entries)
        .bind(price.note.as_deref())
        .bind(price.created_at)
        .bind(price.created_by.as_str())
        .bind(version);
    tx.execute(insert).await?;
    tx.commit().await?;
    Ok(PriceRow { price: price.clone(), version, withdrawn_at: None, rev: version, counts: true })
}

/// Takes back a price that does not hold yet; answers whether this call did.
///
/// # Errors
/// As any call to the store.
pub async fn withdraw(db: &Db, id: &str, now: UnixMs) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let rev = next_rev(&mut tx).await?;
    let done = tx.execute(Statement::new(WITHDRAW).bind(id).bind(now).bind(rev)).await?;
    if done == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.commit().await.map(|()| true)
}

/// The price of that id, and whether it counts at `now`.
///
/// # Errors
/// As any call to the store.
pub async fn get(db: &Db, id: &str, now: UnixMs) -> Result<Option<PriceRow>, StoreError> {
    let found: Option<Row> = db.reader().await?.fetch_optional(Statement::new(GET).bind(now).bind(id)).await?;
    Ok(found.map(PriceRow::from))
}

/// Which prices to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'f> {
    /// Of this provider.
    pub provider: Option<&'f str>,
    /// Of this model.
    pub model: Option<&'f str>,
    /// Beginning after this version.
    pub after: i64,
}

/// Prices in the order in which they were made, at most `limit` (1 to 1001).
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, filter: Filter<'_>, limit: u32, now: UnixMs) -> Result<Vec<PriceRow>, StoreError> {
    let statement = Statement::new(LIST)
        .bind(now)
        .bind(filter.after)
        .bind(filter.provider.unwrap_or_default())
        .bind(filter.model.unwrap_or_default())
        .bind(i64::from(limit.clamp(1, 1001)));
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement).await?;
    Ok(rows.into_iter().map(PriceRow::from).collect())
}

/// Prices changed after revision `rev`, oldest change first; at most `limit` (1 to 1001). Ask again
/// with the last row's `rev` until there are none.
///
/// # Errors
/// As any call to the store.
pub async fn changed_since(db: &Db, rev: i64, limit: u32) -> Result<Vec<PriceRow>, StoreError> {
    let statement = Statement::new(CHANGED_SINCE).bind(0_i64).bind(rev).bind(i64::from(limit.clamp(1, 1001)));
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement).await?;
    Ok(rows.into_iter().map(PriceRow::from).collect())
}

/// The revision of the last change.
///
/// # Errors
/// As any call to the store.
pub async fn current_rev(db: &Db) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = db.reader().await?.fetch_optional(Statement::new(CURRENT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(no_counter)
}

async fn next_rev(tx: &mut Tx) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = tx.fetch_optional(Statement::new(NEXT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(no_counter)
}

fn no_counter() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "the counter prices_rev is missing from table counters")
}
