//! Configurations that were in force, and the one that all replicas follow, if there is one.
//!
//! As with keys and prices, every write takes the lock of one counter, `config_rev`, so that replicas that
//! write at once do so one after the other, and a reader that saw a number has seen all before it.

use sqlx::FromRow;

use super::db::Db;
use super::error::{StoreError, StoreErrorKind};
use super::session::Tx;
use super::statement::Statement;
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[NEXT_REV, HEAD, SET_TRUTH, NEWEST, INSERT, PRUNE, GET, LIST];

/// Most versions that are kept.
pub const MAX_VERSIONS: i64 = 100;
/// The longest document, in bytes.
pub const MAX_DOCUMENT: usize = 4 << 20;

const NEXT_REV: &str = "UPDATE counters SET value = value + 1 WHERE name = 'config_rev' RETURNING value";

const HEAD: &str = "\
SELECT r.value AS rev, t.value AS truth FROM counters r, counters t
WHERE r.name = 'config_rev' AND t.name = 'config_truth'";

const SET_TRUTH: &str = "UPDATE counters SET value = $1 WHERE name = 'config_truth'";

const NEWEST: &str = "SELECT number, hash FROM config_versions ORDER BY number DESC LIMIT 1";

const INSERT: &str = "\
INSERT INTO config_versions (number, made_at, source, made_by, note, hash, document)
VALUES ($1, $2, $3, $4, $5, $6, $7)";

const PRUNE: &str = "\
DELETE FROM config_versions WHERE number <= $1
AND number <> (SELECT value FROM counters WHERE name = 'config_truth')";

macro_rules! columns {
    () => {
        "number, made_at, source, made_by, note, hash"
    };
}

const GET: &str = concat!("SELECT ", columns!(), ", document FROM config_versions WHERE number = $1");

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    ", '' AS document FROM config_versions WHERE number < $1 ORDER BY number DESC LIMIT $2"
);

/// How far the table is, and which version all replicas follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Head {
    /// The number of the last change.
    pub rev: i64,
    /// The version that is the truth; 0 where each replica follows its own file.
    pub truth: i64,
}

/// A configuration to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// Where it came from: `file`, `api` or `rollback`.
    pub source: &'static str,
    /// Who put it into force: `start`, `signal`, `file_change` or `admin_api`.
    pub made_by: &'static str,
    /// Why.
    pub note: Option<String>,
    /// Tells whether two documents are the same.
    pub hash: String,
    /// JSON, without secrets.
    pub document: String,
    /// When.
    pub made_at: UnixMs,
}

/// A configuration that was kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Version {
    /// Its number, from 1.
    pub number: i64,
    /// When it came into force for the first time.
    pub made_at: UnixMs,
    /// `file`, `api` or `rollback`.
    pub source: String,
    /// `start`, `signal`, `file_change` or `admin_api`.
    pub made_by: String,
    /// Why.
    pub note: Option<String>,
    /// Tells whether two documents are the same.
    pub hash: String,
    /// JSON, without secrets; empty in a list.
    pub document: String,
}

/// What becomes of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Stays,
    New,
    None,
}

#[derive(FromRow)]
struct Newest {
    number: i64,
    hash: String,
}

#[derive(FromRow)]
struct Rev {
    #[expect(dead_code, reason = "the statement is run for its lock")]
    value: i64,
}

/// How far the table is.
///
/// # Errors
/// As any call to the store.
pub async fn head(db: &Db) -> Result<Head, StoreError> {
    Ok(db.reader().await?.fetch_optional(Statement::new(HEAD)).await?.unwrap_or_default())
}

/// Keeps a configuration that one replica has of its file, unless it is the newest already; answers its number.
///
/// # Errors
/// As any call to the store, and `Invalid` for a document beyond [`MAX_DOCUMENT`].
pub async fn record(db: &Db, new: &NewVersion) -> Result<i64, StoreError> {
    let newest: Option<Newest> = db.reader().await?.fetch_optional(Statement::new(NEWEST)).await?;
    match newest.filter(|newest| newest.hash == new.hash) {
        Some(newest) => Ok(newest.number),
        None => write(db, new, Truth::Stays).await,
    }
}

/// Keeps a configuration and makes it the one that all replicas follow; answers its number.
///
/// # Errors
/// As [`record`].
pub async fn adopt(db: &Db, new: &NewVersion) -> Result<i64, StoreError> {
    write(db, new, Truth::New).await
}

/// Keeps a configuration of a file, and leaves each replica to its own file again; answers its number.
///
/// # Errors
/// As [`record`].
pub async fn release(db: &Db, new: &NewVersion) -> Result<i64, StoreError> {
    write(db, new, Truth::None).await
}

async fn write(db: &Db, new: &NewVersion, truth: Truth) -> Result<i64, StoreError> {
    if new.document.len() > MAX_DOCUMENT {
        let why = format!("the configuration is longer than {MAX_DOCUMENT} bytes and is not kept");
        return Err(StoreError::new(StoreErrorKind::Invalid, why));
    }
    let mut tx = db.begin().await?;
    match write_in(&mut tx, new, truth).await {
        Ok(number) => tx.commit().await.map(|()| number),
        Err(error) => Err(tx.undone(error).await),
    }
}

async fn write_in(tx: &mut Tx, new: &NewVersion, truth: Truth) -> Result<i64, StoreError> {
    let _: Option<Rev> = tx.fetch_optional(Statement::new(NEXT_REV)).await?;
    let newest: Option<Newest> = tx.fetch_optional(Statement::new(NEWEST)).await?;
    let same = newest.as_ref().filter(|newest| newest.hash == new.hash).map(|newest| newest.number);
    let number = match same {
        Some(number) if truth != Truth::New => number,
        _ => insert(tx, newest.map_or(1, |newest| newest.number + 1), new).await?,
    };
    match truth {
        Truth::Stays => {}
        Truth::New => drop(tx.execute(Statement::new(SET_TRUTH).bind(number)).await?),
        Truth::None => drop(tx.execute(Statement::new(SET_TRUTH).bind(0_i64)).await?),
    }
    tx.execute(Statement::new(PRUNE).bind(number - MAX_VERSIONS)).await?;
    Ok(number)
}

async fn insert(tx: &mut Tx, number: i64, new: &NewVersion) -> Result<i64, StoreError> {
    let statement = Statement::new(INSERT)
        .bind(number)
        .bind(new.made_at)
        .bind(new.source)
        .bind(new.made_by)
        .bind(new.note.as_deref())
        .bind(new.hash.as_str())
        .bind(new.document.as_str());
    tx.execute(statement).await.map(|_| number)
}

/// A version, with its document.
///
/// # Errors
/// As any call to the store.
pub async fn get(db: &Db, number: i64) -> Result<Option<Version>, StoreError> {
    db.reader().await?.fetch_optional(Statement::new(GET).bind(number)).await
}

/// Versions before one, newest first, without their documents; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, before: i64, limit: u32) -> Result<Vec<Version>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(LIST).bind(before).bind(i64::from(limit))).await
}
