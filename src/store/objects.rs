//! Which key made which object at a provider (a file, a batch, a stored response), so that no other
//! key can ask for it.

use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::statement::Statement;
use crate::clock::UnixMs;

/// Most ids asked for in one statement.
const CHUNK: usize = 200;

pub(super) const STATEMENTS: &[&str] = &[REMEMBER, FORGET];

const REMEMBER: &str = "\
INSERT INTO objects (provider, object_id, key_id, kind, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (object_id, provider) DO NOTHING";

const FORGET: &str = "DELETE FROM objects WHERE provider = $1 AND object_id = $2";

/// One object at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// Provider id.
    pub provider: &'a str,
    /// The object's id at that provider.
    pub object_id: &'a str,
    /// The key that made it.
    pub key_id: &'a str,
    /// `file`, `batch`, `response`, ...
    pub kind: &'a str,
    /// When it was made.
    pub created_at: UnixMs,
}

/// Who made an object.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Owner {
    /// The object's id at its provider.
    pub object_id: String,
    /// Provider id.
    pub provider: String,
    /// The key that made it.
    pub key_id: String,
    /// `file`, `batch`, `response`, ...
    pub kind: String,
    /// When it was made.
    pub created_at: UnixMs,
}

/// Remembers who made an object. The first owner stays; answers whether this call was the first.
///
/// # Errors
/// As any call to the store.
pub async fn remember(db: &Db, object: &Object<'_>) -> Result<bool, StoreError> {
    let statement = Statement::new(REMEMBER)
        .bind(object.provider)
        .bind(object.object_id)
        .bind(object.key_id)
        .bind(object.kind)
        .bind(object.created_at);
    Ok(db.writer().await?.execute(statement).await? == 1)
}

/// The owners of those ids, at whatever provider, ordered by id and provider. Ids nobody remembered
/// are left out.
///
/// # Errors
/// As any call to the store.
pub async fn owners(db: &Db, ids: &[&str]) -> Result<Vec<Owner>, StoreError> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let statement = chunk.iter().fold(Statement::new(owners_text(chunk.len())), |s, id| s.bind(*id));
        found.extend(db.reader().await?.fetch_all::<Owner>(statement).await?);
    }
    found.sort_by(|a, b| (&a.object_id, &a.provider).cmp(&(&b.object_id, &b.provider)));
    found.dedup();
    Ok(found)
}

/// Forgets an object; answers whether it was known.
///
/// # Errors
/// As any call to the store.
pub async fn forget(db: &Db, provider: &str, object_id: &str) -> Result<bool, StoreError> {
    let statement = Statement::new(FORGET).bind(provider).bind(object_id);
    Ok(db.writer().await?.execute(statement).await? == 1)
}

/// The text that asks for `count` ids.
pub(super) fn owners_text(count: usize) -> String {
    let marks: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    format!(
        "SELECT object_id, provider, key_id, kind, created_at FROM objects WHERE object_id IN ({})",
        marks.join(", ")
    )
}
