//! Answers of `responses` that Weir keeps for providers that keep none, with the conversation up to and
//! with each.

use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::statement::Statement;
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[REMEMBER, FIND, FORGET, PRUNE, REMEMBER_ITEM, ITEM, PRUNE_ITEMS];

/// Most items of an answer that can be referred to.
const MAX_ITEMS: usize = 256;

const REMEMBER: &str = "\
INSERT INTO responses (id, key_id, created_at, items, response) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING";

const FIND: &str = "SELECT id, key_id, created_at, items, response FROM responses WHERE id = $1";

const FORGET: &str = "DELETE FROM responses WHERE id = $1 AND key_id = $2";

const PRUNE: &str = "DELETE FROM responses WHERE created_at < $1";

const REMEMBER_ITEM: &str = "\
INSERT INTO response_items (id, key_id, created_at, item) VALUES ($1, $2, $3, $4)
ON CONFLICT (id, key_id) DO NOTHING";

const ITEM: &str = "SELECT item FROM response_items WHERE id = $1 AND key_id = $2";

const PRUNE_ITEMS: &str = "DELETE FROM response_items WHERE created_at < $1";

#[derive(FromRow)]
struct Item {
    item: String,
}

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

/// Keeps an answer's items, by their ids.
///
/// # Errors
/// As any call to the store.
pub async fn remember_items(db: &Db, kept: &Kept, items: &[(String, String)]) -> Result<(), StoreError> {
    let mut writer = db.writer().await?;
    for (id, item) in items.iter().take(MAX_ITEMS) {
        let statement = Statement::new(REMEMBER_ITEM)
            .bind(id.as_str())
            .bind(kept.key_id.as_str())
            .bind(kept.created_at)
            .bind(item.as_str());
        writer.execute(statement).await?;
    }
    Ok(())
}

/// A key's item, if it is kept.
///
/// # Errors
/// As any call to the store.
pub async fn item(db: &Db, id: &str, key_id: &str) -> Result<Option<String>, StoreError> {
    let found: Vec<Item> = db.reader().await?.fetch_all(Statement::new(ITEM).bind(id).bind(key_id)).await?;
    Ok(found.into_iter().next().map(|found| found.item))
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
    let mut writer = db.writer().await?;
    let items = writer.execute(Statement::new(PRUNE_ITEMS).bind(before)).await?;
    Ok(items + writer.execute(Statement::new(PRUNE).bind(before)).await?)
}
