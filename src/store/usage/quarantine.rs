//! Where rows go that the database refuses: what they cost must not be lost with them.

use serde_json::json;

use super::classes;
use super::prepare::{Prepared, bounded};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

const MAX_ROW_TEXT: usize = 64 * 1024;
const MAX_TEXT: usize = 1024;

const PUT: &str = "\
INSERT INTO usage_quarantine (at, id, key_id, team_id, user_id, provider, model, status, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nano, price_version, reason, row_text)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (at, id) DO NOTHING";

pub(super) fn statements() -> Vec<String> {
    vec![PUT.to_owned()]
}

/// Puts a row aside; answers 1, or 0 when it was there already.
///
/// # Errors
/// As any call to the store.
pub(super) async fn put(db: &Db, prepared: &Prepared<'_>, reason: &StoreError) -> Result<u64, StoreError> {
    let row = prepared.row;
    let text = |value: &Option<String>| value.as_deref().map(|v| bounded(v, MAX_TEXT).to_owned());
    let statement = Statement::new(PUT)
        .bind(prepared.at)
        .bind(prepared.id.as_str())
        .bind(text(&row.key_id).as_deref())
        .bind(text(&row.team_id).as_deref())
        .bind(text(&row.user_id).as_deref())
        .bind(text(&row.provider).as_deref())
        .bind(text(&row.model).as_deref())
        .bind(row.status.as_str())
        .bind(row.usage.input)
        .bind(row.usage.cached)
        .bind(row.usage.cache_write)
        .bind(row.usage.output)
        .bind(row.usage.reasoning)
        .bind(row.cost.map(|cost| cost.0))
        .bind(text(&row.price_version).as_deref())
        .bind(bounded(&reason.to_string(), MAX_TEXT))
        .bind(bounded(&row_text(prepared), MAX_ROW_TEXT));
    tracing::error!(id = %prepared.id, %reason, "a usage row was refused by the database and put in quarantine");
    db.writer().await?.execute(statement).await
}

/// The whole row, for a person to read; what may be long comes last.
fn row_text(prepared: &Prepared<'_>) -> String {
    let row = prepared.row;
    let numbers = json!({
        "classes": classes(&row.usage),
        "http_status": row.http_status,
        "estimated": row.estimated,
        "unpriced": row.unpriced,
        "latency_ms": row.latency_ms,
        "ttft_ms": row.ttft_ms,
        "overhead_us": row.overhead_us,
        "stream": row.stream,
    });
    let texts = json!({
        "endpoint": row.endpoint,
        "served_model": row.served_model,
        "end_user": row.end_user,
        "error_code": row.error_code,
        "error_message": row.error_message,
        "attempts": row.attempts,
        "tags": row.tags,
        "warnings": row.warnings,
        "metadata": row.metadata,
    });
    format!("{numbers}\n{texts}")
}
