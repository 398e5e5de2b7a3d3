//! Budgets: create, list, show, update, raise, delete. The admin API and `weir budgets` both end here.

use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::store_error;
use super::when::{EXPECTED, when};
use crate::budget::{self as model, Budget, DEFAULT_THRESHOLDS, Origin, Period, Raise, Scope, Zone};
use crate::clock::{Entropy, UnixMs};
use crate::error::ApiError;
use crate::money::NanoUsd;
use crate::record::rfc3339;
use crate::store::Db;
use crate::store::budgets::{self as store, BudgetPatch, State};

pub use crate::store::budgets::Filter;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    name: String,
    scope: Scope,
    subject: String,
    usd: NanoUsd,
    period: Period,
    time_zone: Option<Zone>,
    #[serde(default)]
    carry_over: bool,
    thresholds: Option<Vec<u8>>,
}

/// The body of an update: what is absent stays. Scope and subject are what a budget is, and stay as well.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateBody {
    name: Option<String>,
    usd: Option<NanoUsd>,
    period: Option<Period>,
    time_zone: Option<Zone>,
    carry_over: Option<bool>,
    thresholds: Option<Vec<u8>>,
}

/// What may be spent how often, in the body of a key: what is absent stays, or is the default of a new one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TermsBody {
    usd: Option<NanoUsd>,
    period: Option<Period>,
    time_zone: Option<Zone>,
    carry_over: Option<bool>,
    thresholds: Option<Vec<u8>>,
}

/// The body of a raise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaiseBody {
    /// How much more; 0 ends a raise.
    usd: NanoUsd,
    /// Until when: RFC 3339, or a span from now.
    until: Option<String>,
}

/// A page of budgets after `cursor`.
///
/// # Errors
/// 503 without the database.
pub async fn list(db: &Db, now: UnixMs, cursor: Option<&str>, limit: u32, filter: &Filter) -> Result<Value, ApiError> {
    let mut found = store::list(db, cursor, limit + 1, filter).await.map_err(store_error)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|budget| budget.id.clone());
    let states = store::state(db, &found, now).await.map_err(store_error)?;
    let data: Vec<Value> = found.iter().zip(&states).map(|(budget, state)| describe(budget, state, now)).collect();
    Ok(json!({"object": "list", "data": data, "has_more": more, "next_cursor": next}))
}

/// Makes a budget.
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(db: &Db, chance: &Entropy, now: UnixMs, body: CreateBody) -> Result<Value, ApiError> {
    let id = format!("bud_{}", chance.uuid(now).simple());
    let budget = new_budget(id, now, body)?;
    store::insert(db, &budget).await.map_err(store_error)?;
    shown(db, now, budget).await
}

fn new_budget(id: String, now: UnixMs, body: CreateBody) -> Result<Budget, ApiError> {
    model::check_name(&body.name).map_err(|why| wrong("name", why))?;
    model::check_subject(body.scope, &body.subject).map_err(|why| wrong("subject", why))?;
    let thresholds = body.thresholds.map(checked_thresholds).transpose()?;
    Ok(Budget {
        id,
        name: body.name,
        scope: body.scope,
        subject: body.subject,
        period: body.period,
        zone: body.time_zone.unwrap_or_default(),
        limit: checked_usd(body.usd)?,
        carry_over: body.carry_over,
        thresholds: thresholds.unwrap_or_else(|| DEFAULT_THRESHOLDS.to_vec()),
        raise: None,
        origin: Origin::Api,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        rev: 0,
    })
}

/// One budget.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(db: &Db, now: UnixMs, id: &str) -> Result<Value, ApiError> {
    let budget = find(db, id).await?;
    shown(db, now, budget).await
}

/// Changes a budget of its own.
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 409 for one that is managed elsewhere, 503 without the database.
pub async fn update(db: &Db, now: UnixMs, id: &str, body: UpdateBody) -> Result<Value, ApiError> {
    if let Some(name) = &body.name {
        model::check_name(name).map_err(|why| wrong("name", why))?;
    }
    let UpdateBody { name, usd, period, time_zone, carry_over, thresholds } = body;
    let terms = TermsBody { usd, period, time_zone, carry_over, thresholds };
    let patch = BudgetPatch { name, ..patch(terms)? };
    managed_here(&find(db, id).await?)?;
    changed(db, now, id, patch).await
}

/// Allows more for a while, in place of what was allowed so before. Any budget may be raised, wherever it is
/// managed.
///
/// # Errors
/// 400 for a bad field, 404 for an unknown id, 503 without the database.
pub async fn raise(db: &Db, now: UnixMs, id: &str, body: RaiseBody) -> Result<Value, ApiError> {
    let amount = checked_usd(body.usd)?;
    let raise = if amount.0 == 0 { None } else { Some(Raise { amount, until: until(body.until.as_deref(), now)? }) };
    changed(db, now, id, BudgetPatch { raise: Some(raise), ..BudgetPatch::default() }).await
}

/// Ends a budget of its own; what was charged to it stays.
///
/// # Errors
/// 404 for an unknown id, 409 for one that is managed elsewhere, 503 without the database.
pub async fn delete(db: &Db, now: UnixMs, id: &str) -> Result<Value, ApiError> {
    managed_here(&find(db, id).await?)?;
    store::delete(db, id, now).await.map_err(store_error)?.ok_or_else(|| no_budget(id))?;
    Ok(json!({"id": id, "object": "budget", "deleted": true}))
}

/// What a body of terms changes, checked.
///
/// # Errors
/// 400 for a bad field.
pub(super) fn patch(terms: TermsBody) -> Result<BudgetPatch, ApiError> {
    Ok(BudgetPatch {
        limit: terms.usd.map(checked_usd).transpose()?,
        period: terms.period,
        zone: terms.time_zone,
        carry_over: terms.carry_over,
        thresholds: terms.thresholds.map(checked_thresholds).transpose()?,
        ..BudgetPatch::default()
    })
}

async fn changed(db: &Db, now: UnixMs, id: &str, patch: BudgetPatch) -> Result<Value, ApiError> {
    let budget = store::update(db, id, patch, now).await.map_err(store_error)?.ok_or_else(|| no_budget(id))?;
    shown(db, now, budget).await
}

async fn find(db: &Db, id: &str) -> Result<Budget, ApiError> {
    store::get(db, id).await.map_err(store_error)?.ok_or_else(|| no_budget(id))
}

fn no_budget(id: &str) -> ApiError {
    ApiError::not_found("not_found", format!("there is no budget '{}'", crate::flight::bounded(id, 64)))
}

/// Refuses what would be undone by the budget's key or by the next start.
fn managed_here(budget: &Budget) -> Result<(), ApiError> {
    let place = match budget.origin {
        Origin::Api => return Ok(()),
        Origin::Key => format!("the key '{0}': change it with PATCH /admin/v1/keys/{0}", budget.subject),
        Origin::Config => format!("the configuration: change '{}' there", budget.name),
    };
    let message = format!("this budget is managed with {place}; only a raise can be made here");
    Err(ApiError::new(http::StatusCode::CONFLICT, "invalid_request_error", "managed_elsewhere", message).no_retry())
}

fn until(text: Option<&str>, now: UnixMs) -> Result<UnixMs, ApiError> {
    let at = text.and_then(|text| when(text, now));
    let at = at.ok_or_else(|| wrong("until", &format!("expected {EXPECTED}")))?;
    if at <= now {
        return Err(wrong("until", "it must be in the future"));
    }
    Ok(at)
}

fn checked_usd(amount: NanoUsd) -> Result<NanoUsd, ApiError> {
    model::check_amount(amount).map_err(|why| wrong("usd", why))?;
    Ok(amount)
}

fn checked_thresholds(thresholds: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    model::checked_thresholds(thresholds).map_err(|why| wrong("thresholds", why))
}

fn wrong(param: &'static str, why: &str) -> ApiError {
    ApiError::invalid("invalid_value", format!("{param}: {why}")).param(param)
}

async fn shown(db: &Db, now: UnixMs, budget: Budget) -> Result<Value, ApiError> {
    let states = store::state(db, std::slice::from_ref(&budget), now).await.map_err(store_error)?;
    Ok(states.first().map(|state| describe(&budget, state, now)).unwrap_or_default())
}

/// A budget and how far it is spent.
fn describe(budget: &Budget, state: &State, now: UnixMs) -> Value {
    let raise = budget.raise.filter(|raise| now < raise.until);
    json!({
        "id": budget.id,
        "object": "budget",
        "name": budget.name,
        "scope": budget.scope,
        "subject": budget.subject,
        "usd": budget.limit,
        "period": budget.period,
        "time_zone": budget.zone,
        "carry_over": budget.carry_over,
        "thresholds": budget.thresholds,
        "raise": raise.map(|raise| json!({"usd": raise.amount, "until": rfc3339(raise.until)})),
        "origin": budget.origin,
        "window": {
            // That of a total begins with time; nothing was charged to it before it was made.
            "starts_at": rfc3339(state.window.end.map_or(budget.created_at, |_| state.window.start)),
            "ends_at": state.window.end.map(rfc3339),
            "spent_usd": state.spent,
            "reserved_usd": state.reserved,
            "carried_usd": state.carried,
            "remaining_usd": state.remaining(budget, now),
            "runs_out_at": runs_out(budget, state, now),
        },
        "created_at": rfc3339(budget.created_at),
        "updated_at": rfc3339(budget.updated_at),
    })
}

/// When it is used up, if it goes on like this.
fn runs_out(budget: &Budget, state: &State, now: UnixMs) -> Option<String> {
    let allowance = budget.allowance(state.carried, now);
    budget.runs_out(&state.window, state.spent, allowance, now).map(rfc3339)
}

/// A key's own budget, as it is shown with the key.
pub(super) fn describe_of_key(budget: &Budget, state: &State, now: UnixMs) -> Value {
    json!({
        "id": budget.id,
        "usd": budget.limit,
        "period": budget.period,
        "time_zone": budget.zone,
        "carry_over": budget.carry_over,
        "thresholds": budget.thresholds,
        "spent_usd": state.spent,
        "reserved_usd": state.reserved,
        "remaining_usd": state.remaining(budget, now),
        "resets_at": state.window.end.map(rfc3339),
    })
}
