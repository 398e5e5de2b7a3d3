//! The admin plane, `/admin/v1`: for the admin key alone.

pub mod alerts;
pub mod budgets;
pub mod config;
pub mod costs;
pub mod invoices;
pub mod keys;
pub mod limits;
pub mod prices;
pub mod providers;
pub mod recommendations;
pub mod reconcile;
pub mod reports;
pub mod shadows;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

use super::auth;
use crate::error::ApiError;
use crate::gate::secret::KeyHash;
use crate::state::{Gateway, Shared};

/// A page's `limit`.
pub(super) fn page_limit(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| "must be a number from 1 to 1000".to_owned())
}

/// Lets only the admin key in.
pub async fn require_admin(State(gateway): State<Shared>, request: Request, next: Next) -> Response {
    if let Err(error) = check_admin(&gateway, request.headers()) {
        return error.into_response();
    }
    let changes = request.method() != Method::GET;
    let response = next.run(request).await;
    // This replica takes a change over at once; if it cannot now, its keeper does within a second.
    if changes && let Err(error) = gateway.follow_budgets().await {
        tracing::warn!(%error, "changed budgets could not be read: {error}");
    }
    response
}

/// Whether a request carries the admin key.
///
/// # Errors
/// 401 or 403 when it does not.
pub fn check_admin(gateway: &Gateway, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(key) = auth::presented(headers)? else {
        return Err(ApiError::unauthorized(
            "missing_api_key",
            "no API key: the admin plane needs the admin key, as 'Authorization: Bearer <key>'",
        ));
    };
    if gateway.is_admin(&KeyHash::of(key)) {
        return Ok(());
    }
    if gateway.admin.load().is_none() {
        return Err(ApiError::database_away());
    }
    Err(ApiError::forbidden(
        "admin_key_required",
        "this is not the admin key; virtual keys have no access to the admin plane",
    ))
}
