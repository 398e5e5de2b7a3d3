//! `/admin/v1/keys`: virtual keys. A secret is shown once, when it is made.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::admin::keys::{self as manage, Done};
use crate::error::ApiError;
use crate::http::body::{self, BodyLimits};
use crate::http::generate::json;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::state::{Gateway, Shared, key_data};

const MAX_BODY: u64 = 256 * 1024;

/// `GET /admin/v1/keys`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["limit", "cursor"])?;
    let limit = page_size(&params)?;
    let now = gateway.clock().unix_ms();
    answer(&gateway, manage::list(&gateway.db, now, params.get("cursor"), limit).await?)
}

/// `limit`: 1 to 1000, or 100.
pub(super) fn page_size(params: &Params) -> Result<u32, ApiError> {
    let limit = params.parsed("limit", |v| {
        let limit = v.parse::<u32>().ok().filter(|n| (1..=1000).contains(n));
        limit.ok_or_else(|| "must be a number from 1 to 1000".to_owned())
    })?;
    Ok(limit.unwrap_or(100))
}

/// `POST /admin/v1/keys`
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    let done = manage::create(&gateway.db, &gateway.chance, gateway.clock().unix_ms(), body).await?;
    Ok((StatusCode::CREATED, answer(&gateway, done)?).into_response())
}

/// `GET /admin/v1/keys/{id}`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let mut done = manage::show(&gateway.db, gateway.clock().unix_ms(), &id).await?;
    done.object["in_flight"] = gateway.keys.slot(&id).map_or(0, |slot| slot.limiter.in_flight()).into();
    answer(&gateway, Done { row: None, ..done })
}

/// `PATCH /admin/v1/keys/{id}`
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 503 without the database.
pub async fn update(State(gateway): State<Shared>, Id(id): Id, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    answer(&gateway, manage::update(&gateway.db, gateway.clock().unix_ms(), &id, body).await?)
}

/// `POST /admin/v1/keys/{id}/rotate`: a new secret; the old one is dead.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn rotate(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let now = gateway.clock().unix_ms();
    answer(&gateway, manage::rotate(&gateway.db, &gateway.chance, now, &id).await?)
}

/// `DELETE /admin/v1/keys/{id}`: revokes it; its rows stay.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn revoke(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    answer(&gateway, manage::revoke(&gateway.db, gateway.clock().unix_ms(), &id).await?)
}

/// The answer; this replica takes the change over at once, without waiting for its watcher.
fn answer(gateway: &Gateway, done: Done) -> Result<Response, ApiError> {
    if let Some(row) = done.row {
        let id = row.id.clone();
        match key_data(row) {
            Ok(data) => gateway.keys.apply(data),
            Err(why) => tracing::error!(key = %id, %why, "the stored key {id} is unusable: {why}"),
        }
    }
    Ok(json(done.object.to_string()))
}

/// A JSON body of the admin plane; what is wrong with it is told with its field.
///
/// # Errors
/// 400 for what is no such body, 413 for one that is too large.
pub(super) async fn read_body<T: DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits { max: MAX_BODY, ..BodyLimits::of(gateway) };
    parse_body(&body::read(gateway, &head.headers, body, limits).await?)
}

/// The same of a body that was read.
///
/// # Errors
/// 400 for what is no such body.
pub(super) fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        let api =
            ApiError::invalid("invalid_value", if path == "." { why.to_string() } else { format!("{path}: {why}") });
        if path == "." { api } else { api.param(path) }
    })
}
