//! `/admin/v1/alerts`: receivers of alerts, what they were told and what they never took.

use axum::Json;
use axum::extract::{Request, State};
use jiff::Timestamp;
use serde_json::Value;

use super::keys::read_body;
use crate::admin::alerts::{self as manage, ReplayBody, Wanted};
use crate::error::ApiError;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::state::Shared;

/// `GET /admin/v1/alerts`
///
/// # Errors
/// 503 without the database.
pub async fn list(State(gateway): State<Shared>) -> Result<Json<Value>, ApiError> {
    manage::list(&gateway.db, &gateway.alerts.load()).await.map(Json)
}

/// `GET /admin/v1/alerts/events`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn events(State(gateway): State<Shared>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request.uri().query(), &["kind", "since", "limit", "cursor"])?;
    manage::events(&gateway.db, wanted(&params)?).await.map(Json)
}

/// `GET /admin/v1/alerts/dead`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn dead(State(gateway): State<Shared>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request.uri().query(), &["sink", "limit", "cursor"])?;
    manage::dead(&gateway.db, wanted(&params)?).await.map(Json)
}

/// `POST /admin/v1/alerts/dead/{id}/replay`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn replay_one(State(gateway): State<Shared>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    manage::replay_one(&gateway.db, &id, gateway.clock().unix_ms()).await.map(Json)
}

/// `POST /admin/v1/alerts/replay`
///
/// # Errors
/// 400 for a bad field, 404 for an unknown receiver, 503 without the database.
pub async fn replay(State(gateway): State<Shared>, request: Request) -> Result<Json<Value>, ApiError> {
    let body: ReplayBody = read_body(&gateway, request).await?;
    manage::replay_since(&gateway.db, &body).await.map(Json)
}

/// `POST /admin/v1/alerts/{name}/test`
///
/// # Errors
/// 404 for an unknown receiver.
pub async fn test(State(gateway): State<Shared>, Id(name): Id) -> Result<Json<Value>, ApiError> {
    manage::test(&gateway.alerts.load(), &name, &gateway.chance, gateway.clock().unix_ms()).await.map(Json)
}

fn wanted(params: &Params) -> Result<Wanted, ApiError> {
    let limit = params.parsed("limit", |v| {
        let limit = v.parse::<u32>().ok().filter(|n| (1..=1000).contains(n));
        limit.ok_or_else(|| "must be a number from 1 to 1000".to_owned())
    })?;
    let since = params.parsed("since", |v| {
        v.parse::<Timestamp>().map_err(|_| "must be a time such as 2026-11-01T00:00:00Z".to_owned())
    })?;
    let text = |name| params.get(name).map(ToOwned::to_owned);
    Ok(Wanted {
        kind: text("kind"),
        since: since.map(Timestamp::as_millisecond),
        sink: text("sink"),
        cursor: text("cursor"),
        limit: limit.unwrap_or(100),
    })
}
