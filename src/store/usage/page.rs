//! Rows, newest first, a page at a time.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::filter::{Filter, Source, TagFilter, within};
use super::prepare::{MAX_KEY_TEXT, columns};
use super::record::Row;
use crate::clock::UnixMs;
use crate::record::UsageRow;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// Most rows of one page.
const MAX_LIMIT: u32 = 1000;

/// A place in the order of rows: after one of them. Its text is opaque to clients.
///
/// It names a row rather than counting rows, so new rows do not move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: UnixMs,
    id: String,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not valid: pass next_cursor of the page before, unchanged")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.at.to_be_bytes()[..], self.id.as_bytes()].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > 2 * MAX_KEY_TEXT {
            return Err(InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (at, id) = bytes.split_first_chunk::<8>().ok_or(InvalidCursor)?;
        let id = std::str::from_utf8(id).map_err(|_| InvalidCursor)?;
        Ok(Self { at: i64::from_be_bytes(*at), id: id.to_owned() })
    }
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The rows, newest first; of one millisecond, the greatest id first.
    pub rows: Vec<UsageRow>,
    /// Where the next page begins; `None` when this is the last.
    pub next_cursor: Option<Cursor>,
}

/// A page of the rows that match, at most `limit` (1 to 1000), after `cursor` or from the newest.
///
/// # Errors
/// As any call to the store.
pub async fn page(db: &Db, filter: &Filter, cursor: Option<&Cursor>, limit: u32) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_LIMIT);
    let wanted = limit as usize;
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement(filter, cursor, limit)).await?;
    let more = rows.len() > wanted;
    let rows = rows.into_iter().take(wanted).map(UsageRow::try_from).collect::<Result<Vec<_>, _>>()?;
    let next_cursor = rows.last().filter(|_| more).map(|row| Cursor { at: row.at, id: row.id.clone() });
    Ok(Page { rows, next_cursor })
}

/// All rows that match, newest first, a page in memory at a time.
#[must_use]
pub fn export(db: &Db, filter: Filter) -> Export {
    Export { db: db.clone(), filter, cursor: None, done: false }
}

/// An export that is under way.
#[derive(Debug)]
pub struct Export {
    db: Db,
    filter: Filter,
    cursor: Option<Cursor>,
    done: bool,
}

impl Export {
    /// The next rows, up to 1000; `None` after the last. After an error, asking again goes on where
    /// it stopped.
    ///
    /// # Errors
    /// As any call to the store.
    pub async fn next(&mut self) -> Result<Option<Vec<UsageRow>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let page = page(&self.db, &self.filter, self.cursor.as_ref(), MAX_LIMIT).await?;
        self.done = page.next_cursor.is_none();
        self.cursor = page.next_cursor;
        Ok(Some(page.rows).filter(|rows| !rows.is_empty()))
    }
}

fn statement(filter: &Filter, cursor: Option<&Cursor>, limit: u32) -> Statement {
    let mut statement = Statement::new("");
    let mut conditions = within("at", filter.from, filter.to, &mut statement);
    conditions.push_str(&filter.conditions(Source::Rows, &mut statement));
    conditions.push_str(&filter.tag_condition(&mut statement));
    if let Some(cursor) = cursor {
        let (at, id) = (statement.push(cursor.at), statement.push(cursor.id.as_str()));
        conditions.push_str(&format!(" AND (u.at, u.id) < (${at}, ${id})"));
    }
    // One more than asked for tells whether there is a next page.
    let limit = statement.push(i64::from(limit) + 1);
    let columns = columns().join(", u.");
    statement.text =
        format!("SELECT u.{columns} FROM usage u {conditions} ORDER BY u.at DESC, u.id DESC LIMIT ${limit}").into();
    statement
}

pub(super) fn statements() -> Vec<String> {
    let everything = Filter {
        from: Some(0),
        to: Some(1),
        key_id: Some("k".to_owned()),
        team_id: Some(String::new()),
        user: Some("u".to_owned()),
        model: Some("m".to_owned()),
        provider: Some("p".to_owned()),
        status: Some(crate::record::Status::Ok),
        endpoint: Some("e".to_owned()),
        tag: Some(TagFilter { name: "n".to_owned(), value: Some("v".to_owned()) }),
    };
    let cursor = Cursor { at: 0, id: String::new() };
    [statement(&Filter::default(), None, 1), statement(&everything, Some(&cursor), 1)]
        .map(|statement| statement.text.into_owned())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        for id in ["", "019abc", "é-\u{fffd}", &"x".repeat(MAX_KEY_TEXT)] {
            let cursor = Cursor { at: 1_700_000_000_123, id: id.to_owned() };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "!", "AAAA", "AAAAAAAAAAD_", &"A".repeat(10_000)] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }
}
