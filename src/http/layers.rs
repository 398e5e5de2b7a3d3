//! The whole onion of the data plane on one page. From the outside in:
//!
//! 1. [`observe`]: a place in the ledger, the request id, the flight; its row names every outcome.
//! 2. [`admit`]: who is calling, requests per minute, places in flight. Before any byte of the body.
//! 3. the handler, inside `CatchPanic` (`router.rs`): a panic is a 500 for one request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue};

use super::auth::{self, Identity};
use super::error::Reported;
use crate::error::ApiError;
use crate::flight::Flight;
use crate::gate::limit::Refused;
use crate::record::Status;
use crate::state::Shared;

/// Most tags of one request, and their longest key or value.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// Opens the flight of a request and closes its head.
pub async fn observe(State(gateway): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id(&gateway, request.headers());
    let Ok(place) = gateway.meter.ledger.reserve() else {
        return shed(&gateway, &id, "ledger", "usage cannot be recorded at the moment, so nothing is accepted");
    };
    if gateway.meter.metrics.in_flight.get() >= i64::try_from(gateway.config.server.max_in_flight).unwrap_or(i64::MAX) {
        let why = "the gateway is serving as many requests as it may (server.max_in_flight)";
        return shed(&gateway, &id, "in_flight", why);
    }
    let flight = Flight::open(id, endpoint_of(request.uri().path()), gateway.meter.clone(), place);
    let tags = tags(request.headers());
    request.extensions_mut().insert(Arc::clone(&flight));
    let mut response = match tags {
        Ok(tags) => {
            flight.draft().tags = tags;
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if let Some(Reported(error)) = response.extensions_mut().remove::<Reported>() {
        flight.fail(error.outcome, error.code(), &error.message);
    } else if response.status().is_server_error() {
        flight.fail(Status::Rejected, "internal_error", "the handler failed");
    }
    flight.decorate(response.headers_mut());
    flight.head_sent(response.status().as_u16());
    response
}

/// Refuses a request for which there is no room, at the cost of a counter: it gets no row.
fn shed(gateway: &Shared, id: &str, reason: &str, why: &str) -> Response {
    gateway.meter.metrics.shed.with_label_values(&[reason]).inc();
    let mut response = ApiError::overloaded(why).into_response();
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Authenticates and admits a request to the data plane.
pub async fn admit(State(gateway): State<Shared>, request: Request, next: Next) -> Response {
    let flight = request.extensions().get::<Arc<Flight>>().cloned();
    let (head, body) = request.into_parts();
    match admitted(&gateway, flight, &head.headers).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(error) => error.into_response(),
    }
}

async fn admitted(gateway: &Shared, flight: Option<Arc<Flight>>, headers: &HeaderMap) -> Result<(), ApiError> {
    let flight = flight.ok_or_else(internal)?;
    let caller = match auth::identify(gateway, headers).await? {
        Identity::Key(caller) => caller,
        Identity::Admin => return Err(admin_key()),
    };
    let limiter = Arc::clone(&caller.slot);
    flight.draft().caller = Some(caller);
    limiter.limiter.admit_request(flight.now()).map_err(|refused| limited(&flight, refused))?;
    flight.draft().admitted = true;
    Ok(())
}

fn internal() -> ApiError {
    ApiError::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "server_error",
        "internal_error",
        "the request has no flight",
    )
}

/// The admin key does not spend: whoever holds it can make a virtual key that is metered.
fn admin_key() -> ApiError {
    let message = "the admin key manages the gateway and cannot call models; create a virtual key (POST /admin/v1/keys) and use that";
    ApiError::forbidden("admin_key_not_allowed", message)
}

/// 429 with the exact wait.
#[must_use]
pub fn limited(flight: &Flight, refused: Refused) -> ApiError {
    flight.metrics().rate_limited(refused.scope.as_str());
    let message = match refused.scope {
        crate::gate::limit::Scope::Concurrency => {
            format!("this key may have {} requests in flight at once; wait for one to finish", refused.limit)
        }
        scope => format!(
            "this key's limit of {} {} per minute is reached; try again in {:.3} s",
            refused.limit,
            scope.as_str(),
            refused.retry_after.as_secs_f64()
        ),
    };
    let kind = if refused.scope == crate::gate::limit::Scope::Tokens { "tokens" } else { "requests" };
    ApiError::new(http::StatusCode::TOO_MANY_REQUESTS, kind, "rate_limit_exceeded", message).after(refused.retry_after)
}

/// The client's `x-request-id` when it is well-formed, else a new one (UUIDv7).
fn request_id(gateway: &Shared, headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|v| v.to_str().ok()).filter(|id| well_formed(id));
    given.map_or_else(|| gateway.chance.uuid(gateway.clock().unix_ms()).to_string(), ToOwned::to_owned)
}

fn well_formed(id: &str) -> bool {
    (8..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// `x-weir-tags: team=search,env=prod`.
fn tags(headers: &HeaderMap) -> Result<Vec<(String, String)>, ApiError> {
    let Some(value) = headers.get("x-weir-tags") else { return Ok(Vec::new()) };
    let text = value.to_str().map_err(|_| bad_tags("it must be plain ASCII"))?;
    let mut tags: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| bad_tags("each tag is written name=value"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.len() > MAX_TAG || value.len() > MAX_TAG {
            return Err(bad_tags("names have 1 to 64 characters, values at most 64"));
        }
        if tags.iter().any(|(k, _)| k == key) {
            return Err(bad_tags("a name appears twice"));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    if tags.len() > MAX_TAGS { Err(bad_tags("there are more than 16")) } else { Ok(tags) }
}

fn bad_tags(why: &str) -> ApiError {
    ApiError::invalid("invalid_header", format!("x-weir-tags: {why}")).param("x-weir-tags")
}

/// The endpoint's name in rows and metrics: the path below `/v1`, object ids replaced, so that the
/// set of names is bounded.
#[must_use]
pub fn endpoint_of(path: &str) -> &'static str {
    super::openai::endpoints::name_of(path.strip_prefix("/v1/").unwrap_or(path))
}

/// Headers every answer carries, the ones outside the data plane too.
pub async fn common_headers(State(gateway): State<Shared>, request: Request, next: Next) -> Response {
    let id = request_id(&gateway, request.headers());
    let mut response = next.run(request).await;
    response.extensions_mut().remove::<Reported>();
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("?"));
    response.headers_mut().entry("x-request-id").or_insert(value);
    response.headers_mut().entry("x-content-type-options").or_insert(HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &'static str, expected: Result<&[(&str, &str)], &str>) {
        let headers: HeaderMap =
            [(http::HeaderName::from_static("x-weir-tags"), HeaderValue::from_static(text))].into_iter().collect();
        let got = tags(&headers).map_err(|e| e.message);
        let expected =
            expected.map(|list| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            (got, expected) => panic!("{got:?} {expected:?}"),
        }
    }

    #[test]
    fn tags_are_read_or_refused() {
        check("a=b, c=d", Ok(&[("a", "b"), ("c", "d")]));
        check("a=", Ok(&[("a", "")]));
        check("", Ok(&[]));
        check("a", Err("name=value"));
        check("=b", Err("1 to 64"));
        check("a=1,a=2", Err("twice"));
    }

    #[test]
    fn request_ids_have_a_limited_form() {
        assert!(well_formed("req_12345678"));
        for id in ["short", "has space in it", "new\nline-id", "ünïcödë-id"] {
            assert!(!well_formed(id), "{id:?}");
        }
        assert!(!well_formed(&"a".repeat(129)));
    }
}
