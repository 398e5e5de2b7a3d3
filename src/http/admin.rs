//! The admin plane, `/admin/v1`: for the admin key alone.

pub mod budgets;
pub mod keys;
pub mod prices;
pub mod providers;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;

use super::auth;
use crate::error::ApiError;
use crate::gate::secret::KeyHash;
use crate::state::{Gateway, Shared};

/// Lets only the admin key in.
pub async fn require_admin(State(gateway): State<Shared>, request: Request, next: Next) -> Response {
    match check_admin(&gateway, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
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
    if gateway.admin.get().is_none() {
        return Err(ApiError::database_away());
    }
    Err(ApiError::forbidden(
        "admin_key_required",
        "this is not the admin key; virtual keys have no access to the admin plane",
    ))
}
