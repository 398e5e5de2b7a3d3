//! `GET /admin/v1/reconcile`: whether the books agree.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::generate::json as answer;
use crate::http::openai::usage::ask::time;
use crate::http::query::Params;
use crate::money::NanoUsd;
use crate::state::Shared;
use crate::store::reconcile::{self, Mismatch, Reconciled};

/// Without `from`: as far back as a month and a few days, which holds every window but a total.
const DEFAULT_SPAN: i64 = 35 * 24 * 60 * 60 * 1000;

/// Compares rows, sums, budgets and leases between `from` and `to`.
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn show(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let now = gateway.clock().unix_ms();
    let params = Params::read(request.uri().query(), &["from", "to"])?;
    let from = params.parsed("from", |text| time(text, now))?.unwrap_or(now - DEFAULT_SPAN);
    let to = params.parsed("to", |text| time(text, now))?.unwrap_or(now + 1);
    let found = reconcile::settled(&gateway.db, from, to).await.map_err(store_error)?;
    Ok(answer(describe(&found).to_string()))
}

/// What was compared, and what does not agree.
#[must_use]
pub fn describe(found: &Reconciled) -> Value {
    json!({
        "object": "reconciliation",
        "agrees": found.mismatches.is_empty(),
        "rows": found.rows,
        "cost_usd": NanoUsd(found.cost),
        "hours": found.hours,
        "windows": found.windows,
        "mismatches": found.mismatches.iter().map(mismatch).collect::<Vec<_>>(),
    })
}

fn mismatch(mismatch: &Mismatch) -> Value {
    let Mismatch { what, expected, found, money } = mismatch;
    let difference = found.saturating_sub(*expected);
    match money {
        true => json!({"what": what, "expected": NanoUsd(*expected), "found": NanoUsd(*found), "difference": NanoUsd(difference)}),
        false => json!({"what": what, "expected": expected, "found": found, "difference": difference}),
    }
}
