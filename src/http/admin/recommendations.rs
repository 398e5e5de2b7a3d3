//! `GET /admin/v1/recommendations`: which configured models would be cheaper or faster.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::admin::keys::store_error;
use crate::clock::UnixMs;
use crate::error::ApiError;
use crate::http::generate::json;
use crate::http::openai::usage::FLUSH;
use crate::http::openai::usage::ask::time;
use crate::http::query::Params;
use crate::reports::recommend::{Ask, MAX_RANGE, MAX_ROWS, recommend};
use crate::reports::zone::DAY;
use crate::state::Shared;

const KNOWN: [&str; 5] = ["model", "key", "team", "since", "until"];
const DEFAULT_RANGE: UnixMs = 7 * DAY;

/// `GET /admin/v1/recommendations`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let now = gateway.clock().unix_ms();
    let ask = read(request.uri().query(), now)?;
    // What was just answered should be in the answer.
    gateway.meter.ledger.flush(FLUSH).await;
    let snapshot = gateway.snapshot_at(now);
    let answer = recommend(&gateway.db, &snapshot, &ask).await.map_err(store_error)?;
    Ok(json(answer.to_string()))
}

fn read(query: Option<&str>, now: UnixMs) -> Result<Ask, ApiError> {
    let params = Params::read(query, &KNOWN)?;
    // The present millisecond included: what has just been answered was asked for in it.
    let to = params.parsed("until", |text| time(text, now))?.unwrap_or(now.saturating_add(1));
    let from = params.parsed("since", |text| time(text, now))?.unwrap_or(to.saturating_sub(DEFAULT_RANGE));
    let unfit = |why: &str| Err(ApiError::invalid("invalid_value", format!("'since' {why}")).param("since"));
    if from >= to {
        return unfit("must be before 'until'");
    }
    if to - from > MAX_RANGE {
        return unfit("must be at most 92 days before 'until'");
    }
    let text = |name: &str| params.get(name).map(ToOwned::to_owned);
    Ok(Ask { from, to, model: text("model"), key: text("key"), team: text("team"), rows: MAX_ROWS })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_000_000_000;

    #[test]
    fn a_query_is_read_whole_and_bounded() {
        let ask = read(Some("model=fast&key=key_1&team=t&since=2d&until=1d"), NOW).unwrap();
        assert_eq!((ask.from, ask.to), (NOW - 2 * DAY, NOW - DAY));
        assert_eq!([ask.model, ask.key, ask.team].map(Option::unwrap), ["fast", "key_1", "t"]);
        assert_eq!(read(None, NOW).unwrap().from, NOW + 1 - 7 * DAY);
        for bad in ["since=100d", "since=1d&until=2d", "since=x", "limit=5"] {
            assert!(read(Some(bad), NOW).is_err(), "{bad}");
        }
    }
}
