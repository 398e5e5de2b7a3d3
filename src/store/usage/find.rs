//! One row, by the id of its request.

use super::filter::key;
use super::prepare::columns;
use super::record::Row;
use crate::clock::UnixMs;
use crate::record::UsageRow;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// Most rows of one id that are counted.
const MAX_SAME: usize = 100;

/// A row that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The newest row of that id.
    pub row: UsageRow,
    /// How many rows have it, at most a hundred: clients may name their requests, and name two alike.
    pub same_id: usize,
}

/// The newest row of a request id, or the one of that time; `key_id` restricts it to one key's rows.
///
/// # Errors
/// As any call to the store.
pub async fn find(db: &Db, id: &str, at: Option<UnixMs>, key_id: Option<&str>) -> Result<Option<Found>, StoreError> {
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement(id, at, key_id)).await?;
    let same_id = rows.len();
    let Some(newest) = rows.into_iter().next() else { return Ok(None) };
    Ok(Some(Found { row: UsageRow::try_from(newest)?, same_id }))
}

fn statement(id: &str, at: Option<UnixMs>, key_id: Option<&str>) -> Statement {
    let mut statement = Statement::new("");
    let mut conditions = format!("u.id = ${}", statement.push(key(id)));
    if let Some(at) = at {
        conditions.push_str(&format!(" AND u.at = ${}", statement.push(at)));
    }
    if let Some(key_id) = key_id {
        conditions.push_str(&format!(" AND u.key_id = ${}", statement.push(key(key_id))));
    }
    let columns = columns().join(", u.");
    statement.text =
        format!("SELECT u.{columns} FROM usage u WHERE {conditions} ORDER BY u.at DESC LIMIT {MAX_SAME}").into();
    statement
}

pub(super) fn statements() -> Vec<String> {
    [statement("i", None, None), statement("i", Some(0), Some("k"))].map(|s| s.text.into_owned()).into()
}
