//! Anthropic's dialect, beside `/v1/messages` itself.

pub mod models;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use weir_wire::anthropic;

use super::generate::{self, Ask};
use crate::error::ApiError;
use crate::flight::Flight;
use crate::snapshot::Operation;
use crate::state::Gateway;

/// `POST /v1/messages/count_tokens`: asked of a provider that counts, else counted here.
///
/// # Errors
/// As [`generate::serve`].
pub async fn count_tokens(gateway: &Gateway, flight: &Arc<Flight>, request: Request) -> Result<Response, ApiError> {
    let tokens = generate::count(gateway, flight, request, Ask::from(Operation::Messages)).await?;
    Ok(generate::json(anthropic::encode_count(tokens)))
}
