//! `/health*`: is it alive, should it get traffic, what is wrong.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::admin;
use crate::error::ApiError;
use crate::state::Shared;

/// `GET /health`: the process serves. No authentication, no dependencies.
pub async fn alive() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /health/ready`: 200 when new traffic is welcome. A database that is away later does not make
/// it unready, for cached keys go on working and usage is kept; one that was never there does.
pub async fn ready(State(gateway): State<Shared>) -> Response {
    let (status, why) = if gateway.readiness.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if !gateway.readiness.database_was_up() {
        (StatusCode::SERVICE_UNAVAILABLE, "the database is not reachable yet")
    } else {
        (StatusCode::OK, "ready")
    };
    let mut response = (status, Json(json!({"status": why}))).into_response();
    if gateway.readiness.is_draining() {
        // The next probe finds out on a new connection whether anybody still listens.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `GET /health/details`: each component and provider, for the admin key.
///
/// # Errors
/// Without the admin key.
pub async fn details(State(gateway): State<Shared>, request: Request) -> Result<Json<serde_json::Value>, ApiError> {
    admin::check_admin(&gateway, request.headers())?;
    let started = gateway.clock().mono_ns();
    let database = gateway.db.ping().await;
    let took_us = gateway.clock().mono_ns().saturating_sub(started) / 1000;
    let snapshot = gateway.snapshot.load();
    let now = gateway.clock().mono_ns();
    let providers: Vec<_> = snapshot.providers.values().map(|p| admin::providers::describe(p, now)).collect();
    Ok(Json(json!({
        "status": if database.is_ok() { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "catalog": crate::catalog::Catalog::embedded().version(),
        "draining": gateway.readiness.is_draining(),
        "database": {
            "engine": format!("{:?}", gateway.db.engine()).to_lowercase(),
            "status": if database.is_ok() { "ok" } else { "down" },
            "error": database.err().map(|e| e.to_string()),
            "latency_us": took_us,
        },
        "ledger": {"pending": gateway.meter.ledger.pending()},
        "keys": {"cached": gateway.keys.len()},
        "chaos": {"active": snapshot.chaos.is_active(), "faults": if snapshot.chaos.is_active() { json!(snapshot.chaos.faults) } else { json!([]) }},
        "providers": providers,
    })))
}
