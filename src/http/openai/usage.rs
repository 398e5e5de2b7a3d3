//! `GET /v1/usage`: what was used and what it cost. A key sees itself, the admin key everything.

pub mod answer;
pub mod ask;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, header};

use crate::admin::keys::store_error;
use crate::error::ApiError;
use crate::http::auth::{Identity, identify};
use crate::http::generate::json;
use crate::record::UsageRow;
use crate::state::{Gateway, Shared};
use crate::store::StoreError;
use crate::store::usage::{Cursor, Export, Filter, export, page, totals};
use ask::{Ask, Format};

/// Longest wait for rows that are on their way to the database.
const FLUSH: Duration = Duration::from_secs(2);

/// `GET /v1/usage`
///
/// # Errors
/// 401 without a key, 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let key = match identify(&gateway, request.headers()).await? {
        Identity::Admin => None,
        Identity::Key(caller) => Some(caller.key.id.clone()),
    };
    serve(&gateway, request.uri().query(), key).await
}

/// `GET /admin/v1/usage`: the same for the admin key.
///
/// # Errors
/// As [`list`].
pub async fn admin(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    serve(&gateway, request.uri().query(), None).await
}

async fn serve(gateway: &Gateway, query: Option<&str>, key: Option<String>) -> Result<Response, ApiError> {
    let mut ask = Ask::read(query, gateway.clock().unix_ms())?;
    if let Some(own) = key {
        match &ask.filter.key_id {
            Some(other) if *other != own => {
                return Err(ApiError::forbidden("forbidden", "a virtual key sees its own usage only").param("key_id"));
            }
            _ => ask.filter.key_id = Some(own),
        }
    }
    // What was just answered should be in the answer.
    gateway.meter.ledger.flush(FLUSH).await;
    match (ask.group_by.is_empty(), ask.format) {
        (true, Format::Json) => one_page(gateway, ask.filter, ask.cursor, ask.limit).await,
        (true, format) => Ok(exported(gateway, ask.filter, format)),
        (false, format) => grouped(gateway, &ask.filter, &ask.group_by, format).await,
    }
}

async fn one_page(gateway: &Gateway, filter: Filter, cursor: Option<Cursor>, limit: u32) -> Result<Response, ApiError> {
    let page = page(&gateway.db, &filter, cursor.as_ref(), limit).await.map_err(store_error)?;
    Ok(json(answer::page(&page)))
}

async fn grouped(
    gateway: &Gateway,
    filter: &Filter,
    group_by: &[crate::store::usage::GroupBy],
    format: Format,
) -> Result<Response, ApiError> {
    let totals = totals(&gateway.db, filter, group_by).await.map_err(store_error)?;
    Ok(match format {
        Format::Json => json(answer::totals(group_by, &totals)),
        Format::Csv => text("text/csv; charset=utf-8", answer::totals_csv(group_by, &totals).into()),
        Format::Ndjson => text("application/x-ndjson", answer::totals_ndjson(group_by, &totals).into()),
    })
}

/// Rows, page by page, as the client reads them: bounded memory however many there are.
fn exported(gateway: &Gateway, filter: Filter, format: Format) -> Response {
    let (content_type, head): (_, Bytes) = match format {
        Format::Csv => ("text/csv; charset=utf-8", answer::csv_header().into()),
        _ => ("application/x-ndjson", Bytes::new()),
    };
    let write = match format {
        Format::Csv => answer::csv_row,
        _ => answer::ndjson_row,
    };
    let pages = row_pages(export(&gateway.db, filter), write);
    let chunks = futures_util::StreamExt::chain(futures_util::stream::iter([Ok(head)]), pages);
    text(content_type, Body::from_stream(chunks))
}

fn row_pages(export: Export, write: fn(&UsageRow, &mut String)) -> impl Stream<Item = Result<Bytes, StoreError>> {
    futures_util::stream::unfold(Some(export), move |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(rows)) => {
                let mut out = String::with_capacity(rows.len() * 256);
                rows.iter().for_each(|row| write(row, &mut out));
                Some((Ok(Bytes::from(out)), Some(export)))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn text(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
