//! Scheduled reports that were made, each once over all replicas.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::statement::Statement;
use crate::clock::UnixMs;

pub(super) const STATEMENTS: &[&str] = &[PUBLISH, LAST, LIST, LIST_AFTER];

const PUBLISH: &str = "\
INSERT INTO reports (name, period_start, period_end, made_at, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name, period_start) DO NOTHING";

const LAST: &str = "SELECT MAX(period_start) AS at FROM reports WHERE name = $1";

const LIST: &str = "\
SELECT name, period_start, period_end, made_at, body FROM reports
WHERE ($1 = '' OR name = $1)
ORDER BY made_at DESC, name DESC, period_start DESC LIMIT $2";

const LIST_AFTER: &str = "\
SELECT name, period_start, period_end, made_at, body FROM reports
WHERE ($1 = '' OR name = $1) AND (made_at, name, period_start) < ($3, $4, $5)
ORDER BY made_at DESC, name DESC, period_start DESC LIMIT $2";

/// A report of a period.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Made {
    /// The report's name in the configuration.
    pub name: String,
    /// The period's first moment.
    pub period_start: UnixMs,
    /// The first moment after it.
    pub period_end: UnixMs,
    /// When it was made.
    pub made_at: UnixMs,
    /// What it says: a JSON object.
    pub body: String,
}

/// A place in the list: after a report. Its text is opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    made_at: UnixMs,
    period_start: UnixMs,
    name: String,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not valid: pass next_cursor of the page before, unchanged")]
pub struct InvalidCursor;

impl Cursor {
    /// The place after a report.
    #[must_use]
    pub fn after(made: &Made) -> Self {
        Self { made_at: made.made_at, period_start: made.period_start, name: made.name.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}:{}:{}", self.made_at, self.period_start, self.name)))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let text = String::from_utf8(bytes).map_err(|_| InvalidCursor)?;
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(InvalidCursor);
        let (made_at, period_start) = (number()?, number()?);
        Ok(Self { made_at, period_start, name: parts.next().ok_or(InvalidCursor)?.to_owned() })
    }
}

#[derive(FromRow)]
struct Last {
    at: Option<UnixMs>,
}

/// Makes a report known, unless one of its name and period is known already; answers whether this call
/// was the first. Whatever else is to learn of a report learns of it in this transaction.
///
/// # Errors
/// As any call to the store.
pub async fn publish(db: &Db, made: &Made) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let statement = Statement::new(PUBLISH)
        .bind(made.name.as_str())
        .bind(made.period_start)
        .bind(made.period_end)
        .bind(made.made_at)
        .bind(made.body.as_str());
    let is_first = tx.execute(statement).await? == 1;
    tx.commit().await?;
    Ok(is_first)
}

/// The start of the last period that a report was made of.
///
/// # Errors
/// As any call to the store.
pub async fn last(db: &Db, name: &str) -> Result<Option<UnixMs>, StoreError> {
    let found: Option<Last> = db.reader().await?.fetch_optional(Statement::new(LAST).bind(name)).await?;
    Ok(found.and_then(|last| last.at))
}

/// Reports, of one name or (with an empty one) of all, the newest first; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, name: &str, after: Option<&Cursor>, limit: u32) -> Result<Vec<Made>, StoreError> {
    let text = if after.is_some() { LIST_AFTER } else { LIST };
    let mut statement = Statement::new(text).bind(name).bind(i64::from(limit));
    if let Some(after) = after {
        statement = statement.bind(after.made_at).bind(after.name.as_str()).bind(after.period_start);
    }
    db.reader().await?.fetch_all(statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { made_at: 5, period_start: -1, name: "a:b".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "!", "AAAA", &URL_SAFE_NO_PAD.encode("1:2"), &URL_SAFE_NO_PAD.encode("x:2:n")] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
