//! Where rows go that the database refuses: what they cost must not be lost with them, and is charged to
//! their budgets all the same.

use serde_json::json;

use super::classes;
use super::prepare::{MAX_COST, Prepared, bounded};
use super::write::Batch;
use crate::store::db::Db;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::leases;
use crate::store::outbox::{self, NewEvent};
use crate::store::session::Tx;
use crate::store::statement::{Arg, Statement};

const MAX_ROW_TEXT: usize = 64 * 1024;
const MAX_TEXT: usize = 1024;

const PUT: &str = "\
INSERT INTO usage_quarantine (at, id, key_id, team_id, user_id, provider, model, status, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nano, price_version, reason, row_text, charges, charged_nano)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (at, id) DO NOTHING";

pub(super) fn statements() -> Vec<String> {
    vec![PUT.to_owned()]
}

/// Puts a row aside and charges it to its budgets, in one transaction; answers 1, or 0 when it was there
/// already. A row that cannot be charged is put aside uncharged.
///
/// # Errors
/// As any call to the store.
pub(super) async fn put(
    db: &Db,
    prepared: &Prepared<'_>,
    batch: &Batch<'_>,
    reason: &StoreError,
) -> Result<u64, StoreError> {
    tracing::error!(id = %prepared.id, %reason, "a usage row was refused by the database and put in quarantine");
    match put_in(db, prepared, batch, reason, Some(charged(prepared))).await {
        Err(error) if error.kind() == StoreErrorKind::Invalid => {
            tracing::error!(id = %prepared.id, %error, "and it cannot be charged to its budgets: {error}");
            put_in(db, prepared, batch, reason, None).await
        }
        put => put,
    }
}

/// What each of its budgets is charged: what it cost, unless that cannot be true.
fn charged(prepared: &Prepared<'_>) -> i64 {
    let most = i64::try_from(MAX_COST).unwrap_or(i64::MAX);
    prepared.row.cost.map_or(0, |cost| cost.0.clamp(-most, most))
}

async fn put_in(
    db: &Db,
    prepared: &Prepared<'_>,
    batch: &Batch<'_>,
    reason: &StoreError,
    charged: Option<i64>,
) -> Result<u64, StoreError> {
    let charged = charged.filter(|_| !prepared.row.charges.is_empty());
    let mut tx = db.begin().await?;
    match fill(&mut tx, prepared, batch, reason, charged).await {
        Ok(put) => tx.commit().await.map(|()| put),
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn fill(
    tx: &mut Tx,
    prepared: &Prepared<'_>,
    batch: &Batch<'_>,
    reason: &StoreError,
    charged: Option<i64>,
) -> Result<u64, StoreError> {
    let put = tx.execute(statement(prepared, reason, charged)?).await?;
    if let (1, Some(charged)) = (put, charged) {
        let charges = prepared.row.charges.iter().map(|charge| (charge.clone(), charged)).collect();
        let spent = leases::spend(tx, batch.replica, &charges).await?;
        let events: Vec<NewEvent> = spent.iter().flat_map(|spent| batch.told.spent(spent)).collect();
        if !events.is_empty() {
            outbox::put(tx, &events).await?;
        }
    }
    Ok(put)
}

fn statement(prepared: &Prepared<'_>, reason: &StoreError, charged: Option<i64>) -> Result<Statement, StoreError> {
    let row = prepared.row;
    let text = |value: &Option<String>| value.as_deref().map(|v| bounded(v, MAX_TEXT).to_owned());
    let charges = charged.map(|_| Arg::json(&row.charges)).transpose()?;
    Ok(Statement::new(PUT)
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
        .bind(bounded(&row_text(prepared), MAX_ROW_TEXT))
        .bind(charges.unwrap_or(Arg::Json(None)))
        .bind(charged))
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
