//! `GET /metrics`: Prometheus text. On `server.metrics_listen` when that is set, and then only there.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::state::Shared;

/// The metrics of this process.
pub async fn metrics(State(gateway): State<Shared>) -> Response {
    let metrics = &gateway.meter.metrics;
    let pending = i64::try_from(gateway.meter.ledger.pending()).unwrap_or(i64::MAX);
    metrics.journal_pending.set(pending);
    metrics.keys_cached.set(i64::try_from(gateway.keys.len()).unwrap_or(i64::MAX));
    metrics.body_memory.set(i64::try_from(gateway.body_memory.held()).unwrap_or(i64::MAX));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}
