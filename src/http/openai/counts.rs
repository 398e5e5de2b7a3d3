//! `POST /v1/responses/input_tokens`

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use serde_json::json;

use crate::error::ApiError;
use crate::flight::Flight;
use crate::http::generate::{self, Ask};
use crate::snapshot::Operation;
use crate::state::Gateway;

/// Counts what a response would take in: by the provider where it does, else here.
///
/// # Errors
/// As [`generate::serve`].
pub async fn input_tokens(gateway: &Gateway, flight: &Arc<Flight>, request: Request) -> Result<Response, ApiError> {
    let tokens = generate::count(gateway, flight, request, Ask::from(Operation::Responses)).await?;
    Ok(generate::json(json!({"object": "response.input_tokens", "input_tokens": tokens}).to_string()))
}
