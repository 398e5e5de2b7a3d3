//! Answers of `responses` that Weir keeps for providers that keep none, with the conversation up to and
//! with each.

use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::statement::Statement;
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[REMEMBER, FIND, FORGET, PRUNE];

const REMEMBER: &str = "\
INSERT INTO responses (id, key_id, created_at, items, response) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING";

const FIND: &str = "SELECT id, key_id, created_at, items, response FROM responses WHERE id = $1";

const FORGET: &str = "DELETE FROM responses WHERE id = $1 AND key_id = $2";

const PRUNE: &str = "DELETE FROM responses WHERE created_at < $1";

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Kept {
    /// Its id, which Weir gave it.
    pub id: String,
    /// The key that asked.
    pub key_id: String,
    /// When.
    pub created_at: UnixMs,
    /// The conversation, the answer's items last: a JSON list of items.
    pub items: String,
    /// The answer, as it was given.
    pub response: String,
}

/// Keeps an answer; the first of an id stays.
///
/// # Errors
/// As any call to the store.
pub async fn remember(db: &Db, kept: &Kept) -> Result<(), StoreError> {
    let statement = Statement::new(REMEMBER)
        .bind(kept.id.as_str())
        .bind(kept.key_id.as_str())
        .bind(kept.created_at)
        .bind(kept.items.as_str())
        .bind(kept.response.as_str());
    db.writer().await?.execute(statement).await.map(|_| ())
}

/// The answer of this id, whoever asked for it.
///
/// # Errors
/// As any call to the store.
pub async fn find(db: &Db, id: &str) -> Result<Option<Kept>, StoreError> {
    Ok(db.reader().await?.fetch_all(Statement::new(FIND).bind(id)).await?.pop())
}

/// Forgets a key's answer; says whether there was one.
///
/// # Errors
/// As any call to the store.
pub async fn forget(db: &Db, id: &str, key_id: &str) -> Result<bool, StoreError> {
    Ok(db.writer().await?.execute(Statement::new(FORGET).bind(id).bind(key_id)).await? == 1)
}

/// Forgets what was kept before this moment; says how many.
///
/// # Errors
/// As any call to the store.
pub async fn prune(db: &Db, before: UnixMs) -> Result<u64, StoreError> {
    db.writer().await?.execute(Statement::new(PRUNE).bind(before)).await
}
