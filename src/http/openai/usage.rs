//! `GET /v1/usage`: what was used and what it cost. A key sees itself, the admin key everything.

pub mod answer;
pub mod ask;
pub mod receipt;

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
use crate::reports::parquet::Encoder;
use crate::state::{Gateway, Shared};
use crate::store::StoreError;
use crate::store::usage::{Cursor, Export, Filter, export, page, totals};
use ask::{Ask, Format};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest wait for rows that are on their way to the database.
pub(crate) const FLUSH: Duration = Duration::from_secs(2);

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
        (true, Format::Parquet) => parquet(gateway, ask.filter),
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
        // A query that asks for totals as Parquet was refused.
        Format::Ndjson | Format::Parquet => {
            text("application/x-ndjson", answer::totals_ndjson(group_by, &totals).into())
        }
    })
}

/// Rows as a Parquet file, a row group at a time.
fn parquet(gateway: &Gateway, filter: Filter) -> Result<Response, ApiError> {
    let encoder = Encoder::new().map_err(|error| defect(&error))?;
    let state = Some((export(&gateway.db, filter), encoder));
    let pieces = futures_util::stream::unfold(state, |state| async move {
        let (mut export, encoder) = state?;
        match parquet_piece(&mut export, encoder).await {
            Ok((bytes, encoder)) => Some((Ok(bytes), encoder.map(|encoder| (export, encoder)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(text("application/vnd.apache.parquet", Body::from_stream(pieces)))
}

/// The next bytes of the file, and its encoder unless they are the last. Encoding is work for the
/// processor: it is done where it holds up no other request.
async fn parquet_piece(export: &mut Export, mut encoder: Encoder) -> Result<(Bytes, Option<Encoder>), BoxError> {
    loop {
        let rows = export.next().await?;
        let work = move || match rows {
            Some(rows) => encoder.push(rows).map(|bytes| (bytes, Some(encoder))),
            None => encoder.finish().map(|bytes| (bytes, None)),
        };
        match tokio::task::spawn_blocking(work).await?? {
            (bytes, Some(more)) if bytes.is_empty() => encoder = more,
            (bytes, more) => return Ok((bytes.into(), more)),
        }
    }
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

/// 500: it can only be a fault of ours. The log says what it is.
fn defect(why: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%why, "an answer could not be made: {why}");
    let status = http::StatusCode::INTERNAL_SERVER_ERROR;
    ApiError::new(status, "server_error", "internal_error", "the gateway failed on this request; this is a defect")
}

fn text(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
