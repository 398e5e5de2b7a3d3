//! `/admin/v1/invoices`: providers' own accounts, and how they differ from the ledger.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::page_limit;
use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::body::{self, BodyLimits};
use crate::http::generate::json as json_response;
use crate::http::openai::usage::FLUSH;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::reports::invoice::{self, Format, ImportError, MAX_FILE};
use crate::state::{Gateway, Shared};
use crate::store::invoices::delete;

/// `GET /admin/v1/invoices`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["limit", "cursor"])?;
    let limit = params.parsed("limit", page_limit)?.unwrap_or(100);
    let after = params.get("cursor").unwrap_or_default();
    let found = invoice::list(&gateway.db, after, limit).await.map_err(store_error)?;
    Ok(json_response(found.to_string()))
}

/// `POST /admin/v1/invoices`: the file is the body.
///
/// # Errors
/// 400 for a bad parameter or a file that is not understood, 413 for one that is too large, 503 without the
/// database.
pub async fn import(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["provider", "format"])?;
    let format = params.parsed("format", Format::parse)?.flatten();
    let provider = params.parsed("provider", |name| known(&gateway, name))?.ok_or_else(|| {
        ApiError::invalid("missing_value", "'provider' must name the provider whose invoice it is").param("provider")
    })?;
    let (head, content) = request.into_parts();
    let limits = BodyLimits { max: MAX_FILE, ..BodyLimits::of(&gateway) };
    let file = body::read(&gateway, &head.headers, content, limits).await.map_err(|error| match error.status {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError {
            message: format!("the file is larger than {MAX_FILE} bytes: import it in parts, by month"),
            ..error
        },
        _ => error,
    })?;
    let done = invoice::import(&gateway.db, gateway.clock().unix_ms(), &provider, format, &file).await;
    let done = done.map_err(|error| match error {
        ImportError::File(fault) => ApiError::invalid("invalid_invoice", fault.to_string()),
        ImportError::Store(error) => store_error(error),
    })?;
    let status = if done["imported"] == true { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, json_response(done.to_string())).into_response())
}

/// `GET /admin/v1/invoices/{id}/difference`
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn difference(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    gateway.meter.ledger.flush(FLUSH).await;
    let snapshot = gateway.snapshot.load_full();
    let told = invoice::difference(&gateway.db, &snapshot, &id).await.map_err(store_error)?;
    Ok(json_response(told.ok_or_else(|| unknown(&id))?.to_string()))
}

/// `DELETE /admin/v1/invoices/{id}`: forgets it.
///
/// # Errors
/// 404 for an unknown id, 503 without the database.
pub async fn remove(State(gateway): State<Shared>, Id(id): Id) -> Result<Response, ApiError> {
    if !delete(&gateway.db, &id).await.map_err(store_error)? {
        return Err(unknown(&id));
    }
    Ok(json_response(json!({"id": id, "object": "invoice", "deleted": true}).to_string()))
}

/// A provider of the configuration: a name that is misspelt would be compared with nothing.
fn known(gateway: &Gateway, name: &str) -> Result<String, String> {
    let snapshot = gateway.snapshot.load();
    let names = || snapshot.providers.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let found = snapshot.providers.contains_key(name).then(|| name.to_owned());
    found.ok_or_else(|| format!("must be a configured provider: {}", names()))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found("invoice_not_found", format!("there is no invoice '{}'", crate::flight::bounded(id, 100)))
}
