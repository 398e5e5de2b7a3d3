//! Providers' own accounts of what was used.

use std::sync::LazyLock;

use sqlx::FromRow;
use sqlx::types::Json;

use super::db::{Db, Engine};
use super::error::StoreError;
use super::session::Tx;
use super::statement::{Arg, Statement};
use super::usage::bulk::Bulk;
use crate::clock::UnixMs;

const STATEMENTS: &[&str] = &[PUT, FIND, LIST, LINES, DELETE, DELETE_LINES];

const PUT: &str = "\
INSERT INTO invoices (id, provider, format, content_hash, imported_at, first_day, last_day, line_count, has_tokens, \
has_cost, cost_nano, unknown_columns) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING";

const FIND: &str = "\
SELECT id, provider, format, content_hash, imported_at, first_day, last_day, line_count, has_tokens, has_cost, \
cost_nano, unknown_columns FROM invoices WHERE id = $1";

const LIST: &str = "\
SELECT id, provider, format, content_hash, imported_at, first_day, last_day, line_count, has_tokens, has_cost, \
cost_nano, unknown_columns FROM invoices WHERE id > $1 ORDER BY id LIMIT $2";

const LINES: &str = "\
SELECT day, model, CAST(SUM(line_count) AS BIGINT) AS line_count, CAST(SUM(requests) AS BIGINT) AS requests, \
CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, CAST(SUM(cached_tokens) AS BIGINT) AS cached_tokens, \
CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens, CAST(SUM(output_tokens) AS BIGINT) AS output_tokens, \
CAST(SUM(web_searches) AS BIGINT) AS web_searches, CAST(SUM(cost_nano) AS BIGINT) AS cost_nano
FROM invoice_lines WHERE invoice_id = $1 GROUP BY day, model ORDER BY day, model";

const DELETE: &str = "DELETE FROM invoices WHERE id = $1";

const DELETE_LINES: &str = "DELETE FROM invoice_lines WHERE invoice_id = $1";

static PUT_LINES: LazyLock<Bulk> = LazyLock::new(|| {
    let columns = [
        "invoice_id",
        "day",
        "model",
        "item",
        "line_count",
        "requests",
        "input_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "output_tokens",
        "web_searches",
        "cost_nano",
    ];
    Bulk::new("invoice_lines", &columns, "")
});

/// Texts for the test that prepares them on both engines.
pub(super) fn statements(engine: Engine) -> Vec<String> {
    STATEMENTS.iter().map(|text| (*text).to_owned()).chain(PUT_LINES.texts(engine).iter().cloned()).collect()
}

/// An invoice that was imported.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Invoice {
    /// Its id, made of provider and content.
    pub id: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// `openai` or `anthropic`.
    pub format: String,
    /// SHA-256 of the file, as hex.
    pub content_hash: String,
    /// When.
    pub imported_at: UnixMs,
    /// The first moment (UTC) of the first day it speaks of.
    pub first_day: UnixMs,
    /// The same of the last.
    pub last_day: UnixMs,
    /// Lines of the file, its header not counted.
    pub line_count: i64,
    /// It counts tokens.
    pub has_tokens: bool,
    /// It says what they cost.
    pub has_cost: bool,
    /// All of its cost, nano-dollars.
    pub cost_nano: i64,
    /// Columns that were not understood, and so not read.
    pub unknown_columns: Json<Vec<String>>,
}

/// What an invoice says of a day, a model and an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What kind of thing was used, such as `input`; may be empty.
    pub item: String,
    /// The numbers.
    pub sums: LineSums,
}

/// What lines of a day and a model add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct LineSums {
    /// The day's first moment, UTC.
    pub day: UnixMs,
    /// The model as the provider names it; empty where it names none.
    pub model: String,
    /// How many lines.
    pub line_count: i64,
    /// Requests.
    pub requests: i64,
    /// All prompt tokens.
    pub input_tokens: i64,
    /// Of those, read from a cache.
    pub cached_tokens: i64,
    /// Of those, written to a cache.
    pub cache_write_tokens: i64,
    /// Generated tokens.
    pub output_tokens: i64,
    /// Web searches.
    pub web_searches: i64,
    /// Cost, nano-dollars.
    pub cost_nano: i64,
}

/// Keeps an invoice, unless it is there; answers whether this call was the first.
///
/// # Errors
/// As any call to the store.
pub async fn put(db: &Db, invoice: &Invoice, lines: &[Line]) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    match fill(&mut tx, invoice, lines).await {
        Ok(is_first) => tx.commit().await.map(|()| is_first),
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn fill(tx: &mut Tx, invoice: &Invoice, lines: &[Line]) -> Result<bool, StoreError> {
    let statement = Statement::new(PUT)
        .bind(invoice.id.as_str())
        .bind(invoice.provider.as_str())
        .bind(invoice.format.as_str())
        .bind(invoice.content_hash.as_str())
        .bind(invoice.imported_at)
        .bind(invoice.first_day)
        .bind(invoice.last_day)
        .bind(invoice.line_count)
        .bind(invoice.has_tokens)
        .bind(invoice.has_cost)
        .bind(invoice.cost_nano)
        .bind(Arg::json(&invoice.unknown_columns.0)?);
    if tx.execute(statement).await? != 1 {
        return Ok(false);
    }
    let mut values = Vec::with_capacity(lines.len() * PUT_LINES.width());
    for Line { item, sums } in lines {
        values.extend([Arg::from(invoice.id.as_str()), Arg::from(sums.day), Arg::from(sums.model.as_str())]);
        values.extend([Arg::from(item.as_str())]);
        let numbers = [
            sums.line_count,
            sums.requests,
            sums.input_tokens,
            sums.cached_tokens,
            sums.cache_write_tokens,
            sums.output_tokens,
            sums.web_searches,
            sums.cost_nano,
        ];
        values.extend(numbers.map(Arg::from));
    }
    for statement in PUT_LINES.statements(tx.engine(), values) {
        tx.execute(statement).await?;
    }
    Ok(true)
}

/// The invoice of an id.
///
/// # Errors
/// As any call to the store.
pub async fn find(db: &Db, id: &str) -> Result<Option<Invoice>, StoreError> {
    db.reader().await?.fetch_optional(Statement::new(FIND).bind(id)).await
}

/// Invoices ordered by id, after one; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, after: &str, limit: u32) -> Result<Vec<Invoice>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(LIST).bind(after).bind(i64::from(limit))).await
}

/// What an invoice says by day and model, whatever the items.
///
/// # Errors
/// As any call to the store.
pub async fn lines(db: &Db, id: &str) -> Result<Vec<LineSums>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(LINES).bind(id)).await
}

/// Forgets an invoice; answers whether it was there.
///
/// # Errors
/// As any call to the store.
pub async fn delete(db: &Db, id: &str) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let found = tx.execute(Statement::new(DELETE).bind(id)).await?;
    tx.execute(Statement::new(DELETE_LINES).bind(id)).await?;
    tx.commit().await.map(|()| found == 1)
}
