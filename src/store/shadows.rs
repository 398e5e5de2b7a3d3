//! How copies of requests differ from those: one row a pair, and what they come to by route and target.

mod summary;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use sqlx::FromRow;

use super::db::{Db, Engine};
use super::error::StoreError;
use super::statement::{Arg, Statement};
use super::usage::bulk::Bulk;
use crate::clock::UnixMs;
pub use summary::{Figures, Sum, summary};

/// Days that rows are kept.
pub const KEEP_DAYS: i64 = 30;
/// Most rows that are kept.
pub const MAX_ROWS: i64 = 100_000;

const DAY: UnixMs = 86_400_000;
/// Rows that one statement throws away.
const CHUNK: i64 = 1_000;
/// Statements in a row that do.
const CHUNKS: u32 = 20;

const COLUMNS: [&str; 32] = [
    "id",
    "at",
    "request_id",
    "route",
    "endpoint",
    "stream",
    "billed",
    "target",
    "shadow_target",
    "status",
    "shadow_status",
    "error_code",
    "shadow_error_code",
    "ttft_ms",
    "shadow_ttft_ms",
    "latency_ms",
    "shadow_latency_ms",
    "input_tokens",
    "shadow_input_tokens",
    "output_tokens",
    "shadow_output_tokens",
    "cost_nano",
    "shadow_cost_nano",
    "finish",
    "shadow_finish",
    "text_bytes",
    "shadow_text_bytes",
    "text_equal",
    "similarity",
    "tool_calls",
    "shadow_tool_calls",
    "tools_equal",
];

static ROWS: LazyLock<Bulk> = LazyLock::new(|| Bulk::new("shadows", &COLUMNS, "ON CONFLICT (id) DO NOTHING"));

const LIST: &str = "\
SELECT * FROM shadows WHERE at >= $1 AND at < $2 AND ($3 = '' OR route = $3)
ORDER BY at DESC, id DESC LIMIT $4";

const LIST_AFTER: &str = "\
SELECT * FROM shadows WHERE at >= $1 AND at < $2 AND ($3 = '' OR route = $3) AND (at, id) < ($5, $6)
ORDER BY at DESC, id DESC LIMIT $4";

const OLD: &str = "DELETE FROM shadows WHERE id IN (SELECT id FROM shadows WHERE at < $1 ORDER BY at LIMIT $2)";

const TOO_MANY: &str = "\
DELETE FROM shadows WHERE id IN (SELECT id FROM shadows ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2)";

pub(super) fn statements(engine: Engine) -> Vec<String> {
    let fixed = [LIST, LIST_AFTER, OLD, TOO_MANY].map(str::to_owned);
    [ROWS.texts(engine), &fixed, &summary::STATEMENTS.map(str::to_owned)].concat()
}

/// A request and its copy.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Shadow {
    /// The copy's request id.
    pub id: String,
    /// When the request arrived.
    pub at: UnixMs,
    /// The request's id.
    pub request_id: String,
    /// The route whose shadow it is.
    pub route: String,
    /// The request's endpoint.
    pub endpoint: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Whether the copy was billed to the request's caller.
    pub billed: bool,
    /// Who answered the request, or was asked last: `provider/model`.
    pub target: String,
    /// Where the copy went.
    pub shadow_target: String,
    /// What came of the request.
    pub status: String,
    /// What came of the copy.
    pub shadow_status: String,
    /// The request's error, if it failed.
    pub error_code: Option<String>,
    /// The copy's.
    pub shadow_error_code: Option<String>,
    /// From the request's arrival to the first byte of its answer.
    pub ttft_ms: Option<i64>,
    /// From when the copy was sent.
    pub shadow_ttft_ms: Option<i64>,
    /// To the last byte.
    pub latency_ms: i64,
    /// The copy's.
    pub shadow_latency_ms: i64,
    /// Tokens of the prompt.
    pub input_tokens: i64,
    /// The copy's.
    pub shadow_input_tokens: i64,
    /// Tokens of the answer.
    pub output_tokens: i64,
    /// The copy's.
    pub shadow_output_tokens: i64,
    /// Cost in nano-dollars, where there is a price.
    pub cost_nano: Option<i64>,
    /// The copy's.
    pub shadow_cost_nano: Option<i64>,
    /// Why the answer ended, each choice's reason.
    pub finish: String,
    /// The copy's.
    pub shadow_finish: String,
    /// Bytes of the answer's text.
    pub text_bytes: i64,
    /// The copy's.
    pub shadow_text_bytes: i64,
    /// Whether the texts are the same: 1 or 0.
    pub text_equal: Option<i64>,
    /// How alike they are, in thousandths.
    pub similarity: Option<i64>,
    /// How often the answer calls tools.
    pub tool_calls: i64,
    /// The copy's.
    pub shadow_tool_calls: i64,
    /// Whether the same tools are called with the same arguments: 1 or 0.
    pub tools_equal: Option<i64>,
}

impl Shadow {
    /// In the order of [`COLUMNS`].
    fn values(&self) -> [Arg; COLUMNS.len()] {
        [
            self.id.as_str().into(),
            self.at.into(),
            self.request_id.as_str().into(),
            self.route.as_str().into(),
            self.endpoint.as_str().into(),
            self.stream.into(),
            self.billed.into(),
            self.target.as_str().into(),
            self.shadow_target.as_str().into(),
            self.status.as_str().into(),
            self.shadow_status.as_str().into(),
            self.error_code.as_deref().into(),
            self.shadow_error_code.as_deref().into(),
            self.ttft_ms.into(),
            self.shadow_ttft_ms.into(),
            self.latency_ms.into(),
            self.shadow_latency_ms.into(),
            self.input_tokens.into(),
            self.shadow_input_tokens.into(),
            self.output_tokens.into(),
            self.shadow_output_tokens.into(),
            self.cost_nano.into(),
            self.shadow_cost_nano.into(),
            self.finish.as_str().into(),
            self.shadow_finish.as_str().into(),
            self.text_bytes.into(),
            self.shadow_text_bytes.into(),
            self.text_equal.into(),
            self.similarity.into(),
            self.tool_calls.into(),
            self.shadow_tool_calls.into(),
            self.tools_equal.into(),
        ]
    }
}

/// A place in the list: after a row. Its text is opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: UnixMs,
    id: String,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not valid: pass next_cursor of the page before, unchanged")]
pub struct InvalidCursor;

impl Cursor {
    /// The place after a row.
    #[must_use]
    pub fn after(shadow: &Shadow) -> Self {
        Self { at: shadow.at, id: shadow.id.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at, self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (at, id) = text.split_once(':').filter(|(_, id)| id.len() <= 256).ok_or(InvalidCursor)?;
        Ok(Self { at: at.parse().map_err(|_| InvalidCursor)?, id: id.to_owned() })
    }
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// From this moment on.
    pub from: UnixMs,
    /// Before this one.
    pub to: UnixMs,
    /// Of this route; of all where it is empty.
    pub route: String,
}

/// Writes rows, each once; at most a few hundred.
///
/// # Errors
/// As any call to the store; a part of them may have been written.
pub async fn insert(db: &Db, rows: &[Shadow]) -> Result<(), StoreError> {
    let mut writer = db.writer().await?;
    for statement in ROWS.statements(db.engine(), rows.iter().flat_map(Shadow::values).collect()) {
        writer.execute(statement).await?;
    }
    Ok(())
}

/// Rows, the newest first; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Vec<Shadow>, StoreError> {
    let text = if after.is_some() { LIST_AFTER } else { LIST };
    let mut statement =
        Statement::new(text).bind(filter.from).bind(filter.to).bind(filter.route.as_str()).bind(i64::from(limit));
    if let Some(after) = after {
        statement = statement.bind(after.at).bind(after.id.as_str());
    }
    db.reader().await?.fetch_all(statement).await
}

/// Throws away what is older than [`KEEP_DAYS`], and the oldest of more than [`MAX_ROWS`].
///
/// # Errors
/// As any call to the store; what is not done is done the next time.
pub async fn prune(db: &Db, now: UnixMs) -> Result<u64, StoreError> {
    prune_to(db, now, MAX_ROWS).await
}

/// The same with another bound, for tests.
///
/// # Errors
/// As [`prune`].
#[doc(hidden)]
pub async fn prune_to(db: &Db, now: UnixMs, most: i64) -> Result<u64, StoreError> {
    let old = || Statement::new(OLD).bind(now - KEEP_DAYS * DAY).bind(CHUNK);
    let surplus = || Statement::new(TOO_MANY).bind(CHUNK).bind(most);
    Ok(repeated(db, old).await? + repeated(db, surplus).await?)
}

/// Until it finds no more, a connection for each: others write in between.
async fn repeated(db: &Db, statement: impl Fn() -> Statement) -> Result<u64, StoreError> {
    let mut rows = 0;
    for _ in 0..CHUNKS {
        let deleted = db.writer().await?.execute(statement()).await?;
        rows += deleted;
        if deleted < CHUNK.unsigned_abs() {
            break;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { at: -5, id: "a:b".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "x:y", ":"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
