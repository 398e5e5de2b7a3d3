//! `GET /admin/v1/reports`: scheduled reports that were made.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::page_limit;
use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::generate::json as json_response;
use crate::http::query::Params;
use crate::state::Shared;
use crate::store::reports::{Cursor, list as stored};

/// `GET /admin/v1/reports`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request.uri().query(), &["name", "limit", "cursor"])?;
    let limit = params.parsed("limit", page_limit)?.unwrap_or(20);
    let cursor = params.parsed("cursor", |v| {
        v.parse::<Cursor>().map_err(|_| "is not a cursor: pass next_cursor of the page before, unchanged".to_owned())
    })?;
    let name = params.get("name").unwrap_or_default();
    let mut made = stored(&gateway.db, name, cursor.as_ref(), limit + 1).await.map_err(store_error)?;
    let more = made.len() > limit as usize;
    made.truncate(limit as usize);
    let next = made.last().filter(|_| more).map(|last| Cursor::after(last).to_string());
    let data: Vec<Value> = made.iter().map(|made| serde_json::from_str(&made.body).unwrap_or(Value::Null)).collect();
    let answer = json!({"object": "list", "data": data, "has_more": more, "next_cursor": next});
    Ok(json_response(answer.to_string()))
}
