//! Prices of one's own: add, list, show, end. The admin API and `weir prices` both end here.

use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::store_error;
use crate::clock::{Entropy, UnixMs};
use crate::error::ApiError;
use crate::price::{Book, Prices};
use crate::record::{moment, rfc3339};
use crate::store::Db;
use crate::store::prices::{self as store, NewPrice, PriceRow};

const MAX_NOTE: usize = 500;
const MAX_MODEL: usize = 256;
const MAX_ENTRIES: usize = 64 * 1024;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// `provider/model`.
    model: String,
    /// As under `prices` in the configuration; null hands back to the configuration and the catalogue.
    prices: Option<Value>,
    /// A day or a time; now, if nothing is said.
    effective_from: Option<String>,
    /// Why.
    note: Option<String>,
}

/// Who adds a price, and what is known there.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// `admin_api` or `command_line`.
    pub by: &'static str,
    /// The prices that there are: whose providers a price can be for.
    pub book: &'a Book,
    /// Chance, for the id.
    pub chance: &'a Entropy,
    /// Now.
    pub now: UnixMs,
}

/// Adds a price.
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(db: &Db, author: Author<'_>, body: CreateBody) -> Result<Value, ApiError> {
    let price = new_price(author, body)?;
    let row = store::insert(db, &price).await.map_err(store_error)?;
    show(db, author.now, &row.price.id).await
}

fn new_price(author: Author<'_>, body: CreateBody) -> Result<NewPrice, ApiError> {
    let (provider, model) = checked_model(author.book, &body.model)?;
    let effective_from = match body.effective_from {
        None => author.now,
        Some(text) => moment(&text).filter(|at| *at >= 0).ok_or_else(|| {
            let message = "effective_from must be a day or a time such as 2026-11-01 or 2026-11-01T00:00:00Z";
            invalid(message.to_owned(), "effective_from")
        })?,
    };
    let note = body.note.filter(|note| !note.is_empty());
    if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE || note.chars().any(char::is_control)) {
        let message = format!("note must have at most {MAX_NOTE} bytes and no control characters");
        return Err(invalid(message, "note"));
    }
    Ok(NewPrice {
        id: format!("price_{}", author.chance.uuid(author.now).simple()),
        provider,
        model,
        effective_from,
        entries: body.prices.filter(|prices| !prices.is_null()).map(|prices| checked_entries(&prices)).transpose()?,
        note,
        created_at: author.now,
        created_by: author.by.to_owned(),
    })
}

fn checked_model(book: &Book, name: &str) -> Result<(String, String), ApiError> {
    let fine = name.len() <= MAX_MODEL && !name.chars().any(char::is_control);
    let parts = name.split_once('/').filter(|(_, model)| fine && !model.is_empty());
    let (provider, model) = parts
        .ok_or_else(|| invalid(format!("model must be `provider/model`, of at most {MAX_MODEL} bytes"), "model"))?;
    if !book.knows(provider) {
        let provider = crate::flight::bounded(provider, 64);
        return Err(invalid(
            format!("model: there is no provider '{provider}', neither configured nor known"),
            "model",
        ));
    }
    Ok((provider.to_owned(), model.to_owned()))
}

fn checked_entries(prices: &Value) -> Result<String, ApiError> {
    let text = prices.to_string();
    if text.len() > MAX_ENTRIES {
        return Err(invalid(format!("prices must have at most {MAX_ENTRIES} bytes of JSON"), "prices"));
    }
    Prices::from_own(prices, "new").map(|_| text).map_err(|faults| {
        let told: Vec<String> = faults.iter().take(10).map(|fault| format!("prices: {fault}")).collect();
        invalid(told.join("; "), "prices")
    })
}

/// A page of prices, in the order in which they were made.
///
/// # Errors
/// 400 for a bad cursor, 503 without the database.
pub async fn list(
    db: &Db,
    now: UnixMs,
    filter: &ListFilter<'_>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Value, ApiError> {
    let after = cursor.map_or(Ok(0), |cursor| cursor.parse::<i64>()).map_err(|_| {
        invalid("cursor is not valid: pass next_cursor of the page before, unchanged".to_owned(), "cursor")
    })?;
    let (provider, model) = match filter.model.and_then(|name| name.split_once('/')) {
        Some((provider, model)) => (Some(provider), Some(model)),
        None => (filter.provider, filter.model),
    };
    let filter = store::Filter { provider, model, after };
    let mut rows = store::list(db, filter, limit + 1, now).await.map_err(store_error)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.version.to_string());
    let data: Vec<Value> = rows.iter().map(|row| describe(row, now)).collect();
    Ok(json!({"object": "list", "data": data, "has_more": more, "next_cursor": next}))
}

/// Which prices to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFilter<'f> {
    /// Of this provider.
    pub provider: Option<&'f str>,
    /// Of this model: `provider/model`, or a model's own name.
    pub model: Option<&'f str>,
}

/// One price.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(db: &Db, now: UnixMs, id: &str) -> Result<Value, ApiError> {
    let row = store::get(db, id, now).await.map_err(store_error)?;
    row.map(|row| describe(&row, now)).ok_or_else(|| no_price(id))
}

/// Takes back a price that does not hold yet; ends one that does, by a newer version without prices.
/// Answers the one that was taken back or the one that ends it.
///
/// # Errors
/// 404 for an unknown id, 409 for one that no longer counts, 503 without the database.
pub async fn end(db: &Db, author: Author<'_>, id: &str) -> Result<Value, ApiError> {
    let now = author.now;
    if store::withdraw(db, id, now).await.map_err(store_error)? {
        return show(db, now, id).await;
    }
    let row = store::get(db, id, now).await.map_err(store_error)?.ok_or_else(|| no_price(id))?;
    if row.withdrawn_at.is_some() || !row.counts || row.price.entries.is_none() {
        let message = format!("the price '{id}' no longer counts, and what was is not changed");
        return Err(ApiError::new(http::StatusCode::CONFLICT, "invalid_request_error", "price_not_in_force", message));
    }
    let end = NewPrice {
        id: format!("price_{}", author.chance.uuid(now).simple()),
        effective_from: now,
        entries: None,
        note: Some(format!("ends {id}")),
        created_at: now,
        created_by: author.by.to_owned(),
        ..row.price
    };
    let row = store::insert(db, &end).await.map_err(store_error)?;
    show(db, now, &row.price.id).await
}

fn describe(row: &PriceRow, now: UnixMs) -> Value {
    let price = &row.price;
    let status = match (row.withdrawn_at, row.counts) {
        (Some(_), _) => "withdrawn",
        (None, false) => "superseded",
        (None, true) if price.effective_from > now => "scheduled",
        (None, true) => "in_force",
    };
    json!({
        "id": price.id,
        "object": "price",
        "model": format!("{}/{}", price.provider, price.model),
        "version": format!("db-{}", row.version),
        "status": status,
        "effective_from": rfc3339(price.effective_from),
        "prices": price.entries.as_deref().and_then(|entries| serde_json::from_str::<Value>(entries).ok()),
        "note": price.note,
        "created_at": rfc3339(price.created_at),
        "created_by": price.created_by,
        "withdrawn_at": row.withdrawn_at.map(rfc3339),
    })
}

fn no_price(id: &str) -> ApiError {
    ApiError::not_found("not_found", format!("there is no price '{}'", crate::flight::bounded(id, 64)))
}

fn invalid(message: String, param: &'static str) -> ApiError {
    ApiError::invalid("invalid_value", message).param(param)
}
