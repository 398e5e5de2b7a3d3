//! Responses that Weir keeps, because the provider that made them keeps none: `previous_response_id`,
//! and what is asked of a stored response.

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Method;
use memchr::memmem;
use serde_json::json;
use weir_wire::json::{self, scan_object};
use weir_wire::openai_responses;
use weir_wire::request::Peek;

use crate::dispatch::keep::{Earlier, Writer};
use crate::error::ApiError;
use crate::flight::{Caller, bounded};
use crate::http::generate::json as answer;
use crate::http::openai::passthrough::objects;
use crate::state::Gateway;
use crate::store::responses::{self as store, Kept};

/// Who holds what Weir keeps, among the providers that hold objects. No provider can be called so.
pub const KEEPER: &str = ":weir";
/// How long a response is kept, as OpenAI does.
const KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
/// One in so many writes throws away what is older.
const PRUNE_EVERY: u64 = 256;

/// Writes the exchanges of a caller down.
#[must_use]
pub fn writer(gateway: &Gateway, caller: &Caller) -> Writer {
    let (db, key_id) = (gateway.db.clone(), caller.key.id.clone());
    let (clock, prunes) = (gateway.clock().clone(), gateway.chance.u64().is_multiple_of(PRUNE_EVERY));
    Writer(Arc::new(move |items, response| {
        let (db, key_id, now) = (db.clone(), key_id.clone(), clock.unix_ms());
        async move {
            let Some(id) = objects::id_of(response.as_bytes()) else { return };
            let kept = Kept { id: id.clone(), key_id: key_id.clone(), created_at: now, items, response };
            if let Err(error) = keep(&db, &kept).await {
                tracing::error!(%error, response = %id, "the response {id} could not be kept: {error}");
            }
            if prunes && let Err(error) = store::prune(&db, now - KEPT_MS).await {
                tracing::warn!(%error, "old responses could not be thrown away: {error}");
            }
        }
        .boxed()
    }))
}

async fn keep(db: &crate::store::Db, kept: &Kept) -> Result<(), crate::store::StoreError> {
    store::remember(db, kept).await?;
    store::remember_items(db, kept, &openai_responses::items_of(&kept.response)).await?;
    let object = crate::store::objects::Object {
        provider: KEEPER,
        object_id: &kept.id,
        key_id: &kept.key_id,
        kind: "response",
        created_at: kept.created_at,
    };
    crate::store::objects::remember(db, &object).await.map(|_| ())
}

/// The conversation before a request, where Weir keeps it.
///
/// # Errors
/// 503 when the database is away.
pub async fn earlier(
    gateway: &Gateway,
    held: Option<&str>,
    peek: &Peek,
    body: &[u8],
) -> Result<Option<Earlier>, ApiError> {
    if held != Some(KEEPER) || !peek.has_member(body, "previous_response_id") {
        return Ok(None);
    }
    let mut id = None;
    // The body was found to be JSON before.
    let _: Result<json::Span, json::JsonError> = scan_object(body, |field| {
        if field.key == "previous_response_id" {
            id = json::string_at(body, field.value).map(std::borrow::Cow::into_owned);
        }
    });
    let Some(id) = id else { return Ok(None) };
    let kept = Box::pin(found(gateway, &id)).await?;
    let turns = openai_responses::turns(&kept.items);
    turns.map(|turns| Some(Earlier { id: id.clone(), turns })).map_err(|error| {
        tracing::error!(%error, response = %id, "the kept response {id} cannot be read: {error}");
        ApiError::invalid("previous_response_not_found", format!("the response '{id}' cannot be continued"))
            .param("previous_response_id")
    })
}

/// The most items that one request refers to.
const MAX_REFERENCES: usize = 256;

/// A body in which what refers to an item that Weir keeps has given way to the item. Others are for the
/// provider that keeps them.
///
/// # Errors
/// 503 when the database is away.
pub async fn with_items(gateway: &Gateway, caller: &Caller, body: Bytes) -> Result<Bytes, ApiError> {
    if memmem::find(&body, b"item_reference").is_none() {
        return Ok(body);
    }
    let mut items = HashMap::new();
    for id in openai_responses::references(&body).into_iter().take(MAX_REFERENCES) {
        let found = store::item(&gateway.db, &id, &caller.key.id).await.map_err(|error| {
            tracing::error!(%error, "a kept item could not be read: {error}");
            ApiError::database_away()
        })?;
        items.extend(found.map(|item| (id, item)));
    }
    if items.is_empty() {
        return Ok(body);
    }
    Ok(openai_responses::with_items(&body, &items).map_or(body, Bytes::from))
}

async fn found(gateway: &Gateway, id: &str) -> Result<Kept, ApiError> {
    let kept = store::find(&gateway.db, id).await.map_err(|error| {
        tracing::error!(%error, "a kept response could not be read: {error}");
        ApiError::database_away()
    })?;
    kept.ok_or_else(|| {
        let message = format!("no such response: '{}'", bounded(id, 128));
        ApiError::not_found("not_found", message).param("previous_response_id")
    })
}

/// What is asked of a kept response by its path below `/v1`: its owner asks, which has been checked.
///
/// # Errors
/// 404 for one that is no longer kept, 400 for what only the provider could do.
pub async fn serve(gateway: &Gateway, caller: &Caller, method: &Method, path: &str) -> Result<Response, ApiError> {
    let mut words = path.trim_start_matches('/').split('/').skip(1);
    let (id, rest) = (words.next().unwrap_or_default(), words.next());
    match (method, rest) {
        (&Method::GET, None) => Ok(answer(found(gateway, id).await?.response)),
        (&Method::GET, Some("input_items")) => Ok(answer(input_items(&found(gateway, id).await?))),
        (&Method::DELETE, None) => {
            let gone = store::forget(&gateway.db, id, &caller.key.id).await;
            gone.map_err(|_| ApiError::database_away())?;
            // Its owner is remembered a little longer than the response, which does no harm.
            let _: Result<bool, _> = crate::store::objects::forget(&gateway.db, KEEPER, id).await;
            Ok(answer(json!({"id": id, "object": "response", "deleted": true}).to_string()))
        }
        _ => {
            let message = format!(
                "the response '{}' is over and kept by the gateway: it can be read and deleted",
                bounded(id, 128)
            );
            Err(ApiError::invalid("unsupported_operation", message))
        }
    }
}

/// The items before the answer's own.
fn input_items(kept: &Kept) -> String {
    let items: Vec<serde_json::Value> = serde_json::from_str(&kept.items).unwrap_or_default();
    let response: serde_json::Value = serde_json::from_str(&kept.response).unwrap_or_default();
    let own = response["output"].as_array().map_or(0, Vec::len);
    let before = &items[..items.len().saturating_sub(own)];
    let id = |item: Option<&serde_json::Value>| item.map(|item| item["id"].clone());
    json!({"object": "list", "data": before, "has_more": false, "first_id": id(before.first()), "last_id": id(before.last())})
        .to_string()
}
