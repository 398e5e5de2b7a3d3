//! Virtual keys: what a caller presents, and what it allows.
//!
//! Every write takes the next number of one counter in its own transaction and stamps it on the
//! row. The counter's row lock makes revisions commit in their own order, so a reader that asks for
//! everything after the last revision it saw never misses one.

mod model;
mod record;

pub use self::model::{KeyHash, KeyPatch, KeyRow, NewSecret};
use self::record::Row;
use super::budgets::{self, BudgetPatch};
use super::db::Db;
use super::error::StoreError;
use super::session::{Session, Tx};
use super::statement::{Arg, Statement};
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[NEXT_REV, CURRENT_REV, INSERT, UPDATE, GET, BY_HASH, LIST, CHANGED_SINCE];

const NEXT_REV: &str = "UPDATE counters SET value = value + 1 WHERE name = 'keys_rev' RETURNING value";

const CURRENT_REV: &str = "SELECT value FROM counters WHERE name = 'keys_rev'";

macro_rules! columns {
    () => {
        "id, name, hash, prefix, last4, models, team_id, user_id, rpm, tpm, concurrency, expires_at, revoked_at, \
         metadata, created_at, updated_at, rev, organization_id, rps, rph, rpd, tps, tph, tpd, priority"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO virtual_keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
     $21, $22, $23, $24, $25)"
);

const UPDATE: &str = "\
UPDATE virtual_keys SET name = $2, hash = $3, prefix = $4, last4 = $5, models = $6, team_id = $7, user_id = $8,
    rpm = $9, tpm = $10, concurrency = $11, expires_at = $12, revoked_at = $13, metadata = $14, created_at = $15,
    updated_at = $16, rev = $17, organization_id = $18, rps = $19, rph = $20, rpd = $21, tps = $22, tph = $23, tpd = $24,
    priority = $25
WHERE id = $1";

const GET: &str = concat!("SELECT ", columns!(), " FROM virtual_keys WHERE id = $1");

const BY_HASH: &str = concat!("SELECT ", columns!(), " FROM virtual_keys WHERE hash = $1");

const LIST: &str = concat!("SELECT ", columns!(), " FROM virtual_keys WHERE id > $1 ORDER BY id LIMIT $2");

const CHANGED_SINCE: &str = concat!("SELECT ", columns!(), " FROM virtual_keys WHERE rev > $1 ORDER BY rev LIMIT $2");

/// Adds a key; its `rev` is given by the store. Answers the revision.
///
/// # Errors
/// `Conflict` when the id or the hash exists; `Invalid` when the metadata is not JSON.
pub async fn insert(db: &Db, key: &KeyRow) -> Result<i64, StoreError> {
    insert_with(db, key, None).await
}

/// Adds a key and, in the same transaction, a budget of its own.
///
/// # Errors
/// As [`insert`]; `Invalid` when the budget lacks its limit or its period.
pub async fn insert_with(db: &Db, key: &KeyRow, budget: Option<BudgetPatch>) -> Result<i64, StoreError> {
    let mut tx = db.begin().await?;
    let rev = next_rev(&mut tx).await?;
    let key = KeyRow { rev, ..key.clone() };
    match write_both(&mut tx, write(INSERT, &key)?, &key, budget.map(Some)).await {
        Ok(()) => tx.commit().await.map(|()| rev),
        Err(e) => Err(tx.undone(e).await),
    }
}

/// The key of that id.
///
/// # Errors
/// As any call to the store.
pub async fn get(db: &Db, id: &str) -> Result<Option<KeyRow>, StoreError> {
    find(&mut db.reader().await?, id).await
}

/// The key whose secret has that hash.
///
/// # Errors
/// As any call to the store.
pub async fn by_hash(db: &Db, hash: &KeyHash) -> Result<Option<KeyRow>, StoreError> {
    let statement = Statement::new(BY_HASH).bind(record::hex(hash).as_str());
    let found: Option<Row> = db.reader().await?.fetch_optional(statement).await?;
    found.map(KeyRow::try_from).transpose()
}

/// Keys in order of their id, beginning after the id `after`; at most `limit` (1 to 1001: a page, and one to see whether there is another).
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, after: Option<&str>, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    let statement = Statement::new(LIST).bind(after.unwrap_or_default()).bind(bounded(limit));
    read(&mut db.reader().await?, statement).await
}

/// Changes a key, and its own budget with it; answers the key as it is now, or `None` when there is no
/// such key.
///
/// # Errors
/// `Invalid` when the metadata is not JSON, or a new budget lacks its limit or its period; else as any call
/// to the store.
pub async fn update(db: &Db, id: &str, mut patch: KeyPatch, now: UnixMs) -> Result<Option<KeyRow>, StoreError> {
    let budget = patch.budget.take();
    change(db, id, now, budget, |key| patch.apply(key)).await
}

/// Gives a key a new secret; the old one stops working. A revoked key stays revoked.
///
/// # Errors
/// `Conflict` when another key has that hash; else as any call to the store.
pub async fn rotate(db: &Db, id: &str, secret: NewSecret, now: UnixMs) -> Result<Option<KeyRow>, StoreError> {
    change(db, id, now, None, |key| {
        key.hash = secret.hash;
        key.prefix = secret.prefix;
        key.last4 = secret.last4;
    })
    .await
}

/// Ends a key for good. The first revocation's time stays.
///
/// # Errors
/// As any call to the store.
pub async fn revoke(db: &Db, id: &str, now: UnixMs) -> Result<Option<KeyRow>, StoreError> {
    change(db, id, now, None, |key| key.revoked_at = key.revoked_at.or(Some(now))).await
}

/// Keys changed after revision `rev`, oldest change first; at most `limit` (1 to 1001). Ask again
/// with the last row's `rev` until there are none.
///
/// # Errors
/// As any call to the store.
pub async fn changed_since(db: &Db, rev: i64, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    read(&mut db.reader().await?, Statement::new(CHANGED_SINCE).bind(rev).bind(bounded(limit))).await
}

/// The revision of the last change.
///
/// # Errors
/// As any call to the store.
pub async fn current_rev(db: &Db) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = db.reader().await?.fetch_optional(Statement::new(CURRENT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(record::no_counter)
}

/// Reads, changes and writes one key, and its budget, under the counter's lock, so that no change is lost.
async fn change(
    db: &Db,
    id: &str,
    now: UnixMs,
    budget: Option<Option<BudgetPatch>>,
    apply: impl FnOnce(&mut KeyRow),
) -> Result<Option<KeyRow>, StoreError> {
    let mut tx = db.begin().await?;
    let rev = next_rev(&mut tx).await?;
    let Some(mut key) = find(&mut tx, id).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    apply(&mut key);
    key.updated_at = now;
    key.rev = rev;
    match write_both(&mut tx, write(UPDATE, &key)?, &key, budget).await {
        Ok(()) => tx.commit().await.map(|()| Some(key)),
        Err(e) => Err(tx.undone(e).await),
    }
}

/// Writes a key, then its budget. Always in this order: each holds a counter's lock.
async fn write_both(
    tx: &mut Tx,
    statement: Statement,
    key: &KeyRow,
    budget: Option<Option<BudgetPatch>>,
) -> Result<(), StoreError> {
    tx.execute(statement).await?;
    budgets::of_key::set(tx, &key.id, &key.name, budget, key.updated_at).await
}

async fn next_rev(tx: &mut Tx) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = tx.fetch_optional(Statement::new(NEXT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(record::no_counter)
}

async fn find(session: &mut Session, id: &str) -> Result<Option<KeyRow>, StoreError> {
    let found: Option<Row> = session.fetch_optional(Statement::new(GET).bind(id)).await?;
    found.map(KeyRow::try_from).transpose()
}

async fn read(session: &mut Session, statement: Statement) -> Result<Vec<KeyRow>, StoreError> {
    session.fetch_all::<Row>(statement).await?.into_iter().map(KeyRow::try_from).collect()
}

fn bounded(limit: u32) -> i64 {
    i64::from(limit.clamp(1, 1001))
}

/// The values of a key for [`INSERT`] and [`UPDATE`], which number them alike.
fn write(text: &'static str, key: &KeyRow) -> Result<Statement, StoreError> {
    let metadata = key.metadata.as_deref().map_or(Ok(Arg::Json(None)), Arg::json_text)?;
    Ok(Statement::new(text)
        .bind(key.id.as_str())
        .bind(key.name.as_str())
        .bind(record::hex(&key.hash).as_str())
        .bind(key.prefix.as_str())
        .bind(key.last4.as_str())
        .bind(Arg::json(&key.models)?)
        .bind(key.team_id.as_deref())
        .bind(key.user_id.as_deref())
        .bind(key.limits.rpm)
        .bind(key.limits.tpm)
        .bind(key.limits.concurrency)
        .bind(key.expires_at)
        .bind(key.revoked_at)
        .bind(metadata)
        .bind(key.created_at)
        .bind(key.updated_at)
        .bind(key.rev)
        .bind(key.organization_id.as_deref())
        .bind(key.limits.rps)
        .bind(key.limits.rph)
        .bind(key.limits.rpd)
        .bind(key.limits.tps)
        .bind(key.limits.tph)
        .bind(key.limits.tpd)
        .bind(key.priority.as_str()))
}
