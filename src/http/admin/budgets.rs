//! `/admin/v1/budgets`: what may be spent by whom in which period.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::keys::read_body;
use crate::admin::budgets::{self as manage, Filter};
use crate::budget::Scope;
use crate::error::ApiError;
use crate::http::generate::json;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::state::Shared;

/// `GET /admin/v1/budgets`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["limit", "cursor", "scope", "subject"])?;
    let limit = params.parsed("limit", |v| {
        v.parse::<u32>()
            .ok()
            .filter(|n| (1..=1000).contains(n))
            .ok_or_else(|| "must be a number from 1 to 1000".to_owned())
    })?;
    let scope = params.parsed("scope", |v| {
        Scope::parse(v).ok_or_else(|| {
            let words: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            format!("must be one of {}", words.join(", "))
        })
    })?;
    let filter = Filter { scope, subject: params.get("subject").map(ToOwned::to_owned) };
    let now = gateway.clock().unix_ms();
    let page = manage::list(&gateway.db, now, params.get("cursor"), limit.unwrap_or(100), &filter).await?;
    Ok(json(page.to_string()))
}

/// `POST /admin/v1/budgets`
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    let made = manage::create(&gateway.db, &gateway.chance, gateway.clock().unix_ms(), body).await?;
    Ok((StatusCode::CREATED, json(made.to_string())).into_response())
}

/// `GET /admin/v1/budgets/{id}`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let shown = manage::show(&gateway.db, gateway.clock().unix_ms(), &id).await?;
    Ok(json(shown.to_string()))
}

/// `PATCH /admin/v1/budgets/{id}`
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 409 for one that is managed elsewhere, 503 without the database.
pub async fn update(State(gateway): State<Shared>, Id(id): Id, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    let changed = manage::update(&gateway.db, gateway.clock().unix_ms(), &id, body).await?;
    Ok(json(changed.to_string()))
}

/// `POST /admin/v1/budgets/{id}/raise`: more for a while.
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 503 without the database.
pub async fn raise(State(gateway): State<Shared>, Id(id): Id, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    let raised = manage::raise(&gateway.db, gateway.clock().unix_ms(), &id, body).await?;
    Ok(json(raised.to_string()))
}

/// `DELETE /admin/v1/budgets/{id}`: ends it; what was charged to it stays.
///
/// # Errors
/// 404 for an unknown id, 409 for one that is managed elsewhere, 503 without the database.
pub async fn delete(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let done = manage::delete(&gateway.db, gateway.clock().unix_ms(), &id).await?;
    Ok(json(done.to_string()))
}
