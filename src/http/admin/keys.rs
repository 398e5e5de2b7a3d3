//! `/admin/v1/keys`: virtual keys. A secret is shown once, when it is made.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gate::rights::ModelRights;
use crate::gate::secret::{self, NewSecret};
use crate::http::body::{self, BodyLimits};
use crate::http::openai::generate::json as json_response;
use crate::http::openai::usage::store_error;
use crate::http::query::Params;
use crate::state::{Gateway, Shared, key_data};
use crate::store;
use crate::store::keys::{KeyPatch, KeyRow};

const MAX_NAME: usize = 200;
const MAX_METADATA: usize = 8 * 1024;
const MAX_PATTERNS: usize = 200;
const MAX_BODY: u64 = 256 * 1024;

/// Limits of a key.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsBody {
    /// Requests per minute.
    rpm: Option<u64>,
    /// Tokens per minute.
    tpm: Option<u64>,
    /// Requests in flight.
    concurrency: Option<u64>,
}

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    name: String,
    #[serde(default)]
    models: Vec<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    limits: Option<LimitsBody>,
    expires_at: Option<Timestamp>,
    metadata: Option<serde_json::Map<String, Value>>,
}

/// The body of an update: what is absent stays, what is null is cleared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateBody {
    name: Option<String>,
    #[serde(deserialize_with = "present")]
    models: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "present")]
    team_id: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    user_id: Option<Option<String>>,
    limits: Option<LimitsPatch>,
    #[serde(deserialize_with = "present")]
    expires_at: Option<Option<Timestamp>>,
    #[serde(deserialize_with = "present")]
    metadata: Option<Option<serde_json::Map<String, Value>>>,
}

/// Limits in an update.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsPatch {
    #[serde(deserialize_with = "present")]
    rpm: Option<Option<u64>>,
    #[serde(deserialize_with = "present")]
    tpm: Option<Option<u64>>,
    #[serde(deserialize_with = "present")]
    concurrency: Option<Option<u64>>,
}

/// Tells `null` from absent.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// `GET /admin/v1/keys`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["limit", "cursor"])?;
    let limit = params.parsed("limit", |v| {
        v.parse::<u32>().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| "must be a number from 1 to 1000".to_owned())
    })?;
    let limit = limit.unwrap_or(100);
    let mut rows = store::keys::list(&gateway.db, params.get("cursor"), limit + 1).await.map_err(store_error)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let data: Vec<Value> = rows.iter().map(|row| describe(&gateway, row)).collect();
    Ok(json_response(json!({"object": "list", "data": data, "has_more": more, "next_cursor": next}).to_string()))
}

/// `POST /admin/v1/keys`
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body: CreateBody = read_body(&gateway, request).await?;
    check_name(&body.name)?;
    let now = gateway.clock().unix_ms();
    let secret = secret::generate(&gateway.chance);
    let limits = body.limits.unwrap_or_default();
    let row = KeyRow {
        id: format!("key_{}", gateway.chance.uuid(now).simple()),
        name: body.name,
        hash: store::keys::KeyHash(secret.hash.0),
        prefix: secret.prefix.clone(),
        last4: secret.last4.clone(),
        models: checked_models(body.models)?,
        team_id: checked_id("team_id", body.team_id)?,
        user_id: checked_id("user_id", body.user_id)?,
        rpm: checked_limit("limits.rpm", limits.rpm)?,
        tpm: checked_limit("limits.tpm", limits.tpm)?,
        concurrency: checked_limit("limits.concurrency", limits.concurrency)?,
        expires_at: body.expires_at.map(|at| future(at, now)).transpose()?,
        revoked_at: None,
        metadata: body.metadata.map(metadata_text).transpose()?,
        created_at: now,
        updated_at: now,
        rev: 0,
    };
    store::keys::insert(&gateway.db, &row).await.map_err(store_error)?;
    adopt(&gateway, &row);
    Ok((StatusCode::CREATED, json_response(with_secret(describe(&gateway, &row), &secret).to_string())).into_response())
}

/// `GET /admin/v1/keys/{id}`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(State(gateway): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let row = store::keys::get(&gateway.db, &id).await.map_err(store_error)?.ok_or_else(|| no_key(&id))?;
    Ok(json_response(describe(&gateway, &row).to_string()))
}

/// `PATCH /admin/v1/keys/{id}`
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 503 without the database.
pub async fn update(State(gateway): State<Shared>, Path(id): Path<String>, request: Request) -> Result<Response, ApiError> {
    let body: UpdateBody = read_body(&gateway, request).await?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let now = gateway.clock().unix_ms();
    let limits = body.limits.unwrap_or_default();
    let patch = KeyPatch {
        name: body.name,
        models: body.models.map(|models| checked_models(models.unwrap_or_default())).transpose()?,
        team_id: body.team_id.map(|id| checked_id("team_id", id)).transpose()?,
        user_id: body.user_id.map(|id| checked_id("user_id", id)).transpose()?,
        rpm: limits.rpm.map(|n| checked_limit("limits.rpm", n)).transpose()?,
        tpm: limits.tpm.map(|n| checked_limit("limits.tpm", n)).transpose()?,
        concurrency: limits.concurrency.map(|n| checked_limit("limits.concurrency", n)).transpose()?,
        expires_at: body.expires_at.map(|at| at.map(|at| future(at, now)).transpose()).transpose()?,
        metadata: body.metadata.map(|m| m.map(metadata_text).transpose()).transpose()?,
    };
    let row = store::keys::update(&gateway.db, &id, patch, now).await.map_err(store_error)?.ok_or_else(|| no_key(&id))?;
    adopt(&gateway, &row);
    Ok(json_response(describe(&gateway, &row).to_string()))
}

/// `POST /admin/v1/keys/{id}/rotate`: a new secret; the old one is dead.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn rotate(State(gateway): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let secret = secret::generate(&gateway.chance);
    let new = store::keys::NewSecret {
        hash: store::keys::KeyHash(secret.hash.0),
        prefix: secret.prefix.clone(),
        last4: secret.last4.clone(),
    };
    let now = gateway.clock().unix_ms();
    let row = store::keys::rotate(&gateway.db, &id, new, now).await.map_err(store_error)?.ok_or_else(|| no_key(&id))?;
    adopt(&gateway, &row);
    Ok(json_response(with_secret(describe(&gateway, &row), &secret).to_string()))
}

/// `DELETE /admin/v1/keys/{id}`: revokes it; its rows stay.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn revoke(State(gateway): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let now = gateway.clock().unix_ms();
    let row = store::keys::revoke(&gateway.db, &id, now).await.map_err(store_error)?.ok_or_else(|| no_key(&id))?;
    adopt(&gateway, &row);
    Ok(json_response(describe(&gateway, &row).to_string()))
}

/// This replica need not wait for its own watcher.
fn adopt(gateway: &Gateway, row: &KeyRow) {
    match key_data(row.clone()) {
        Ok(data) => gateway.keys.apply(data),
        Err(why) => tracing::error!(key = %row.id, %why, "the stored key {} is unusable: {why}", row.id),
    }
}

fn no_key(id: &str) -> ApiError {
    ApiError::not_found("not_found", format!("there is no key '{}'", crate::flight::bounded(id, 64)))
}

/// A key without its secret.
#[must_use]
pub fn describe(gateway: &Gateway, row: &KeyRow) -> Value {
    let time = |at: Option<i64>| at.map(crate::http::openai::usage::rfc3339);
    let now = gateway.clock().unix_ms();
    let status = match (row.revoked_at, row.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if at <= now => "expired",
        _ => "active",
    };
    json!({
        "id": row.id,
        "object": "key",
        "name": row.name,
        "prefix": row.prefix,
        "last4": row.last4,
        "status": status,
        "models": row.models,
        "team_id": row.team_id,
        "user_id": row.user_id,
        "limits": {"rpm": row.rpm, "tpm": row.tpm, "concurrency": row.concurrency},
        "in_flight": gateway.keys.slot(&row.id).map_or(0, |slot| slot.limiter.in_flight()),
        "expires_at": time(row.expires_at),
        "revoked_at": time(row.revoked_at),
        "metadata": row.metadata.as_deref().and_then(|m| serde_json::from_str::<Value>(m).ok()),
        "created_at": time(Some(row.created_at)),
        "updated_at": time(Some(row.updated_at)),
    })
}

fn with_secret(mut object: Value, secret: &NewSecret) -> Value {
    object["key"] = Value::from(secret.text.clone());
    object
}

async fn read_body<T: DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits { max: MAX_BODY, idle: gateway.config.server.body_idle_timeout };
    let bytes = body::read(&head.headers, body, limits).await?;
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        let api = ApiError::invalid("invalid_value", if path == "." { why.to_string() } else { format!("{path}: {why}") });
        if path == "." { api } else { api.param(path) }
    })
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fine = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    fine.then_some(()).ok_or_else(|| ApiError::invalid("invalid_value", "name must have 1 to 200 bytes and no control characters").param("name"))
}

fn checked_models(models: Vec<String>) -> Result<Vec<String>, ApiError> {
    let fail = |why: String| ApiError::invalid("invalid_value", format!("models: {why}")).param("models");
    if models.len() > MAX_PATTERNS {
        return Err(fail(format!("more than {MAX_PATTERNS} patterns")));
    }
    if models.iter().any(|m| m.trim().is_empty() || m.len() > 256) {
        return Err(fail("a pattern must have 1 to 256 bytes".to_owned()));
    }
    ModelRights::new(&models).map_err(fail)?;
    Ok(models)
}

fn checked_id(param: &'static str, id: Option<String>) -> Result<Option<String>, ApiError> {
    let fine = |id: &String| !id.is_empty() && id.len() <= 128 && !id.chars().any(char::is_control);
    match id {
        Some(id) if !fine(&id) => {
            Err(ApiError::invalid("invalid_value", format!("{param} must have 1 to 128 bytes and no control characters")).param(param))
        }
        id => Ok(id),
    }
}

fn checked_limit(param: &'static str, limit: Option<u64>) -> Result<Option<u64>, ApiError> {
    const MOST: u64 = 1_000_000_000_000;
    match limit {
        Some(n) if n > MOST => Err(ApiError::invalid("invalid_value", format!("{param} must be at most {MOST}")).param(param)),
        limit => Ok(limit),
    }
}

fn future(at: Timestamp, now: i64) -> Result<i64, ApiError> {
    let at = at.as_millisecond();
    if at <= now {
        return Err(ApiError::invalid("invalid_value", "expires_at must be in the future").param("expires_at"));
    }
    Ok(at)
}

fn metadata_text(map: serde_json::Map<String, Value>) -> Result<String, ApiError> {
    let text = Value::Object(map).to_string();
    if text.len() > MAX_METADATA {
        return Err(ApiError::invalid("invalid_value", format!("metadata must have at most {MAX_METADATA} bytes of JSON")).param("metadata"));
    }
    Ok(text)
}
