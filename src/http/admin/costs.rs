//! `GET /admin/v1/costs`: what usage cost, over time.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::admin::keys::store_error;
use crate::clock::UnixMs;
use crate::error::ApiError;
use crate::http::generate::json;
use crate::http::openai::usage::FLUSH;
use crate::http::openai::usage::ask::{filter, group_by, time};
use crate::http::query::Params;
use crate::reports::costs::{Ask, MAX_TOP, Plan};
use crate::reports::zone::{DAY, Length, Zone};
use crate::state::Shared;
use crate::store::usage::GroupBy;

const KNOWN: [&str; 15] = [
    "from",
    "to",
    "since",
    "key_id",
    "team_id",
    "user",
    "model",
    "provider",
    "endpoint",
    "status",
    "tag",
    "group_by",
    "bucket",
    "top",
    "time_zone",
];
const DIMENSIONS: [GroupBy; 8] = [
    GroupBy::Key,
    GroupBy::Team,
    GroupBy::User,
    GroupBy::Model,
    GroupBy::Provider,
    GroupBy::Endpoint,
    GroupBy::Status,
    GroupBy::Tag,
];
const DEFAULT_RANGE: UnixMs = 30 * DAY;
const DEFAULT_TOP: u32 = 10;

/// `GET /admin/v1/costs`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn show(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let now = gateway.clock().unix_ms();
    let plan = read(request.uri().query(), now)?;
    // What was just answered should be in the answer.
    gateway.meter.ledger.flush(FLUSH).await;
    let snapshot = gateway.snapshot.load_full();
    let answer = plan.answer(&gateway.db, &snapshot, now).await.map_err(store_error)?;
    Ok(json(answer.to_string()))
}

/// Reads a query string.
fn read(query: Option<&str>, now: UnixMs) -> Result<Plan, ApiError> {
    let params = Params::read(query, &KNOWN)?;
    let from = params.parsed("from", |v| time(v, now))?;
    let since = params.parsed("since", |v| time(v, now))?;
    // The present millisecond included: what has just been answered was asked for in it.
    let to = params.parsed("to", |v| time(v, now))?.unwrap_or(now.saturating_add(1));
    let ask = Ask {
        filter: filter(&params)?,
        from: from.or(since).unwrap_or(to.saturating_sub(DEFAULT_RANGE)),
        to,
        group_by: params.parsed("group_by", |v| group_by(v, &DIMENSIONS))?.unwrap_or_else(|| vec![GroupBy::Model]),
        bucket: params.parsed("bucket", bucket)?.unwrap_or(Length::Day),
        zone: params.parsed("time_zone", Zone::parse)?.unwrap_or_default(),
        top: params.parsed("top", top)?.unwrap_or(DEFAULT_TOP),
    };
    Plan::new(ask).map_err(|unfit| {
        ApiError::invalid("invalid_value", format!("'{}' {}", unfit.param, unfit.why)).param(unfit.param)
    })
}

fn bucket(text: &str) -> Result<Length, String> {
    match text {
        "hour" => Ok(Length::Hour),
        "day" => Ok(Length::Day),
        "month" => Ok(Length::Month),
        _ => Err("must be hour, day or month".to_owned()),
    }
}

fn top(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MAX_TOP).contains(n))
        .ok_or_else(|| format!("must be a number from 1 to {MAX_TOP}"))
}
