//! `GET /v1/usage/{request_id}`: one request's row as a signed receipt.

use axum::extract::{Request, State};
use axum::response::Response;
use secrecy::ExposeSecret as _;

use super::answer;
use super::ask::time;
use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::auth::{Identity, identify};
use crate::http::generate::json;
use crate::http::path::Id;
use crate::http::query::Params;
use crate::reports::receipt::Signer;
use crate::state::{Gateway, Shared};
use crate::store::usage::find;

/// `GET /v1/usage/{request_id}`: a key gets the receipts of its own requests, the admin key all.
///
/// Of rows that share an id the newest, unless `at` names the time of one.
///
/// # Errors
/// 401 without a key, 404 where there is no such row or it is another key's, 503 without the database.
pub async fn show(State(gateway): State<Shared>, Id(id): Id, request: Request) -> Result<Response, ApiError> {
    let key = match identify(&gateway, request.headers()).await? {
        Identity::Admin => None,
        Identity::Key(caller) => Some(caller.key.id.clone()),
    };
    let now = gateway.clock().unix_ms();
    let at = Params::read(request.uri().query(), &["at"])?.parsed("at", |v| time(v, now))?;
    // It may be on its way to the database.
    gateway.meter.ledger.flush(super::FLUSH).await;
    let found = find(&gateway.db, &id, at, key.as_deref()).await.map_err(store_error)?;
    let found = found.ok_or_else(|| unknown(&id))?;
    let receipt = signer(&gateway).await?.sign(answer::row(&found.row), now, found.same_id);
    Ok(json(receipt.to_string()))
}

/// `GET /v1/usage/receipts/key`: the public key that receipts are checked with, as a JWK.
///
/// # Errors
/// 401 without a key, 503 without the database.
pub async fn key(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    identify(&gateway, request.headers()).await?;
    Ok(json(signer(&gateway).await?.jwk().to_string()))
}

fn unknown(id: &str) -> ApiError {
    let shown = crate::flight::bounded(id, 200);
    let message = format!("no request '{shown}' of this key has ended; its id is the x-request-id of its answer");
    ApiError::not_found("request_not_found", message)
}

/// The configuration's key, else the database's.
async fn signer(gateway: &Gateway) -> Result<Signer, ApiError> {
    match &gateway.config.load_full().receipts.signing_key {
        // Checked when the configuration was read.
        Some(key) => Signer::from_text(key.expose_secret()).map_err(|why| super::defect(&why)),
        None => Signer::stored(&gateway.db, &gateway.chance).await.map_err(store_error),
    }
}
