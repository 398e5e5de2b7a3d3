//! Virtual keys: create, list, show, update, rotate, revoke. The admin API and `weir keys` both end
//! here.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::budgets::{TermsBody, describe_of_key, patch as patch_of};
use crate::budget::key_budget_id;
use crate::clock::{Entropy, UnixMs};
use crate::error::ApiError;
use crate::gate::rights::ModelRights;
use crate::gate::secret::{self, NewSecret};
use crate::limits::{Limits, LimitsPatch, MOST, Priority};
use crate::record::rfc3339;
use crate::store::budgets::{self, BudgetPatch};
use crate::store::keys::{self as store, KeyPatch, KeyRow};
use crate::store::{Db, StoreError, StoreErrorKind};

const MAX_NAME: usize = 200;
const MAX_METADATA: usize = 8 * 1024;
const MAX_PATTERNS: usize = 200;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    name: String,
    #[serde(default)]
    models: Vec<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    organization_id: Option<String>,
    limits: Option<Limits>,
    priority: Option<Priority>,
    expires_at: Option<Timestamp>,
    metadata: Option<serde_json::Map<String, Value>>,
    budget: Option<TermsBody>,
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
    #[serde(deserialize_with = "present")]
    organization_id: Option<Option<String>>,
    limits: Option<LimitsPatch>,
    priority: Option<Priority>,
    #[serde(deserialize_with = "present")]
    expires_at: Option<Option<Timestamp>>,
    #[serde(deserialize_with = "present")]
    metadata: Option<Option<serde_json::Map<String, Value>>>,
    #[serde(deserialize_with = "present")]
    budget: Option<Option<TermsBody>>,
}

/// Tells `null` from absent.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// What was done: the object to show, and the row as it is now.
#[derive(Clone, Debug)]
pub struct Done {
    /// The key without its secret, or with it right after it was made; or a page of keys.
    pub object: Value,
    /// The row, for the key ring.
    pub row: Option<KeyRow>,
}

impl Done {
    async fn row(db: &Db, row: KeyRow, now: UnixMs) -> Result<Self, ApiError> {
        let shown = described(db, std::slice::from_ref(&row), now).await?.pop();
        Ok(Self { object: shown.unwrap_or_default(), row: Some(row) })
    }

    /// The one answer that has the secret: not even a database that went away meanwhile may lose it.
    async fn with_secret(db: &Db, row: KeyRow, now: UnixMs, secret: NewSecret) -> Self {
        let shown = described(db, std::slice::from_ref(&row), now).await.ok().and_then(|mut all| all.pop());
        let mut object = shown.unwrap_or_else(|| describe(&row, now));
        object["key"] = Value::from(secret.text);
        Self { object, row: Some(row) }
    }
}

/// A page of keys after `cursor`.
///
/// # Errors
/// 503 without the database.
pub async fn list(db: &Db, now: UnixMs, cursor: Option<&str>, limit: u32) -> Result<Done, ApiError> {
    let mut rows = store::list(db, cursor, limit + 1).await.map_err(store_error)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let data = described(db, &rows, now).await?;
    Ok(Done { object: json!({"object": "list", "data": data, "has_more": more, "next_cursor": next}), row: None })
}

/// Makes a key.
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(db: &Db, chance: &Entropy, now: UnixMs, mut body: CreateBody) -> Result<Done, ApiError> {
    let secret = secret::generate(chance);
    let budget = body.budget.take().map(terms).transpose()?;
    let row = new_row(chance, now, &secret, body)?;
    store::insert_with(db, &row, budget).await.map_err(store_error)?;
    Ok(Done::with_secret(db, row, now, secret).await)
}

/// The row of a key that is being made.
fn new_row(chance: &Entropy, now: UnixMs, secret: &NewSecret, body: CreateBody) -> Result<KeyRow, ApiError> {
    check_name(&body.name)?;
    Ok(KeyRow {
        id: format!("key_{}", chance.uuid(now).simple()),
        name: body.name,
        hash: store::KeyHash(secret.hash.0),
        prefix: secret.prefix.clone(),
        last4: secret.last4.clone(),
        models: checked_models(body.models)?,
        team_id: checked_id("team_id", body.team_id)?,
        user_id: checked_id("user_id", body.user_id)?,
        organization_id: checked_id("organization_id", body.organization_id)?,
        limits: checked_limits(body.limits.unwrap_or_default())?,
        priority: body.priority.unwrap_or_default(),
        expires_at: body.expires_at.map(|at| future(at, now)).transpose()?,
        revoked_at: None,
        metadata: body.metadata.map(metadata_text).transpose()?,
        created_at: now,
        updated_at: now,
        rev: 0,
    })
}

/// One key.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(db: &Db, now: UnixMs, id: &str) -> Result<Done, ApiError> {
    let row = store::get(db, id).await.map_err(store_error)?.ok_or_else(|| no_key(id))?;
    Done::row(db, row, now).await
}

/// Changes a key.
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 503 without the database.
pub async fn update(db: &Db, now: UnixMs, id: &str, body: UpdateBody) -> Result<Done, ApiError> {
    let patch = patch(body, now)?;
    let row = store::update(db, id, patch, now).await.map_err(store_error)?.ok_or_else(|| no_key(id))?;
    Done::row(db, row, now).await
}

fn patch(body: UpdateBody, now: UnixMs) -> Result<KeyPatch, ApiError> {
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let limits = body.limits.unwrap_or_default();
    let mut new = Limits::default();
    limits.apply(&mut new);
    checked_limits(new)?;
    Ok(KeyPatch {
        name: body.name,
        models: body.models.map(|models| checked_models(models.unwrap_or_default())).transpose()?,
        team_id: body.team_id.map(|id| checked_id("team_id", id)).transpose()?,
        user_id: body.user_id.map(|id| checked_id("user_id", id)).transpose()?,
        organization_id: body.organization_id.map(|id| checked_id("organization_id", id)).transpose()?,
        limits,
        priority: body.priority,
        expires_at: body.expires_at.map(|at| at.map(|at| future(at, now)).transpose()).transpose()?,
        metadata: body.metadata.map(|m| m.map(metadata_text).transpose()).transpose()?,
        budget: body.budget.map(|budget| budget.map(terms).transpose()).transpose()?,
    })
}

/// Gives a key a new secret.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn rotate(db: &Db, chance: &Entropy, now: UnixMs, id: &str) -> Result<Done, ApiError> {
    let secret = secret::generate(chance);
    let new = store::NewSecret {
        hash: store::KeyHash(secret.hash.0),
        prefix: secret.prefix.clone(),
        last4: secret.last4.clone(),
    };
    let row = store::rotate(db, id, new, now).await.map_err(store_error)?.ok_or_else(|| no_key(id))?;
    Ok(Done::with_secret(db, row, now, secret).await)
}

/// Revokes a key; its rows stay.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn revoke(db: &Db, now: UnixMs, id: &str) -> Result<Done, ApiError> {
    let row = store::revoke(db, id, now).await.map_err(store_error)?.ok_or_else(|| no_key(id))?;
    Done::row(db, row, now).await
}

fn no_key(id: &str) -> ApiError {
    ApiError::not_found("not_found", format!("there is no key '{}'", crate::flight::bounded(id, 64)))
}

/// A failure of the store, in the caller's words.
#[must_use]
pub fn store_error(error: StoreError) -> ApiError {
    if error.kind() == StoreErrorKind::Invalid {
        return ApiError::invalid("invalid_value", error.to_string());
    }
    tracing::error!(%error, "the database failed: {error}");
    ApiError::database_away()
}

/// Keys without their secrets, each with its own budget.
async fn described(db: &Db, rows: &[KeyRow], now: UnixMs) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<String> = rows.iter().map(|row| key_budget_id(&row.id)).collect();
    let found = budgets::get_many(db, &ids).await.map_err(store_error)?;
    let states = budgets::state(db, &found, now).await.map_err(store_error)?;
    let of_keys: HashMap<&str, Value> = found
        .iter()
        .zip(&states)
        .map(|(budget, state)| (budget.subject.as_str(), describe_of_key(budget, state, now)))
        .collect();
    let with_budget = |row: &KeyRow| {
        let mut object = describe(row, now);
        object["budget"] = of_keys.get(row.id.as_str()).cloned().unwrap_or_default();
        object
    };
    Ok(rows.iter().map(with_budget).collect())
}

/// What a body says of a key's own budget; its field is told as one of `budget`.
fn terms(body: TermsBody) -> Result<BudgetPatch, ApiError> {
    patch_of(body).map_err(|error| match error.param.clone() {
        Some(param) => {
            let message = format!("budget.{}", error.message);
            ApiError { message, ..error }.param(format!("budget.{param}"))
        }
        None => error,
    })
}

/// A key without its secret.
fn describe(row: &KeyRow, now: UnixMs) -> Value {
    let time = |at: Option<UnixMs>| at.map(rfc3339);
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
        "organization_id": row.organization_id,
        "limits": row.limits,
        "priority": row.priority.as_str(),
        "expires_at": time(row.expires_at),
        "revoked_at": time(row.revoked_at),
        "metadata": row.metadata.as_deref().and_then(|m| serde_json::from_str::<Value>(m).ok()),
        "created_at": time(Some(row.created_at)),
        "updated_at": time(Some(row.updated_at)),
    })
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fine = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    fine.then_some(()).ok_or_else(|| {
        ApiError::invalid("invalid_value", "name must have 1 to 200 bytes and no control characters").param("name")
    })
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
        Some(id) if !fine(&id) => Err(ApiError::invalid(
            "invalid_value",
            format!("{param} must have 1 to 128 bytes and no control characters"),
        )
        .param(param)),
        id => Ok(id),
    }
}

fn checked_limits(limits: Limits) -> Result<Limits, ApiError> {
    match limits.too_large() {
        Some(name) => {
            let param = format!("limits.{name}");
            Err(ApiError::invalid("invalid_value", format!("{param} must be at most {MOST}")).param(param))
        }
        None => Ok(limits),
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
        return Err(ApiError::invalid(
            "invalid_value",
            format!("metadata must have at most {MAX_METADATA} bytes of JSON"),
        )
        .param("metadata"));
    }
    Ok(text)
}
