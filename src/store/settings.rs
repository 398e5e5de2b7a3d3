//! Named values the gateway must remember about itself, such as the hash of its admin key.

use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::statement::Statement;

pub(super) const STATEMENTS: &[&str] = &[GET, SET, SET_IF_ABSENT];

const GET: &str = "SELECT value FROM settings WHERE name = $1";

const SET: &str = "\
INSERT INTO settings (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value";

const SET_IF_ABSENT: &str = "\
INSERT INTO settings (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO NOTHING";

#[derive(FromRow)]
struct Value {
    value: String,
}

/// The value of that name, if it was ever set.
///
/// # Errors
/// As any call to the store.
pub async fn get(db: &Db, name: &str) -> Result<Option<String>, StoreError> {
    let found: Option<Value> = db.reader().await?.fetch_optional(Statement::new(GET).bind(name)).await?;
    Ok(found.map(|row| row.value))
}

/// Sets the value of that name; the last writer wins.
///
/// # Errors
/// As any call to the store.
pub async fn set(db: &Db, name: &str, value: &str) -> Result<(), StoreError> {
    db.writer().await?.execute(Statement::new(SET).bind(name).bind(value)).await.map(drop)
}

/// Sets the value of that name unless it has one; the first writer wins, also among replicas that
/// start together. Answers whether this call was the first.
///
/// # Errors
/// As any call to the store.
pub async fn set_if_absent(db: &Db, name: &str, value: &str) -> Result<bool, StoreError> {
    let rows = db.writer().await?.execute(Statement::new(SET_IF_ABSENT).bind(name).bind(value)).await?;
    Ok(rows == 1)
}
