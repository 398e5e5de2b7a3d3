//! `/admin/v1/prices`: prices of one's own, over the configuration's and the catalogue's.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use super::keys::{page_size, read_body};
use crate::admin::keys::store_error;
use crate::admin::prices::{self as manage, Author, ListFilter};
use crate::admin::rerate as again;
use crate::error::ApiError;
use crate::http::generate::json;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::state::{Gateway, Shared};

/// `GET /admin/v1/prices`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["model", "provider", "limit", "cursor"])?;
    let filter = ListFilter { provider: params.get("provider"), model: params.get("model") };
    let now = gateway.clock().unix_ms();
    let page = manage::list(&gateway.db, now, &filter, params.get("cursor"), page_size(&params)?).await?;
    Ok(json(page.to_string()))
}

/// `POST /admin/v1/prices`
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn create(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    let snapshot = gateway.snapshot.load_full();
    let made = manage::create(&gateway.db, author(&gateway, snapshot.book()), body).await?;
    Ok((StatusCode::CREATED, changed(&gateway, &made).await).into_response())
}

/// `GET /admin/v1/prices/{id}`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn show(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let price = manage::show(&gateway.db, gateway.clock().unix_ms(), &id).await?;
    Ok(json(price.to_string()))
}

/// `DELETE /admin/v1/prices/{id}`: takes it back, or ends it.
///
/// # Errors
/// 404 for an unknown id, 409 for one that no longer counts, 503 without the database.
pub async fn end(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    let snapshot = gateway.snapshot.load_full();
    let ended = manage::end(&gateway.db, author(&gateway, snapshot.book()), &id).await?;
    Ok(changed(&gateway, &ended).await)
}

/// `POST /admin/v1/prices/rerate`: rates past rows anew, or tells what that would change.
///
/// # Errors
/// 400 for a bad field, 503 without the database.
pub async fn rerate(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body = read_body(&gateway, request).await?;
    gateway.follow_prices().await.map_err(store_error)?;
    let (snapshot, now) = (gateway.snapshot.load_full(), gateway.clock().unix_ms());
    let run = format!("rerate_{}", gateway.chance.uuid(now).simple());
    let told = again::rerate(&gateway.db, snapshot.book(), now, run, body).await?;
    Ok(json(told.to_string()))
}

fn author<'a>(gateway: &'a Gateway, book: &'a crate::price::Book) -> Author<'a> {
    Author { by: "admin_api", book, chance: &gateway.chance, now: gateway.clock().unix_ms() }
}

/// The answer; this replica takes the change over at once, without waiting for its watcher.
async fn changed(gateway: &Gateway, price: &Value) -> Response {
    if let Err(error) = gateway.follow_prices().await {
        tracing::warn!(%error, "the new price is followed later: {error}");
    }
    json(price.to_string())
}
