//! The whole onion of the data plane on one page, in one function ([`data`]), for middleware that is
//! put around a service costs several allocations per request and layer:
//!
//! 1. a place in the ledger, the request id, the flight; its row names every outcome.
//! 2. a panic is a 500 for one request.
//! 3. who is calling, requests per minute, places in flight. Before any byte of the body.
//! 4. the endpoint.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use weir_wire::translate::Inbound;

use super::auth::{self, Identity};
use super::error::{Reported, Voice, wrong_method};
use super::openai::{counts, passthrough};
use super::{anthropic, azure, estimate, gemini, generate};
use crate::error::ApiError;
use crate::flight::{Caller, Flight, LEDGER_FULL};
use crate::gate::limit::{Ask, Kind, Limiter, Line, Refused, Scope};
use crate::record::Status;
use crate::snapshot::Operation;
use crate::state::{Gateway, Shared};

/// Most tags of one request, and their longest key or value.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// What is asked for, as the router found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An operation that Weir plans and dispatches: POST.
    Generate(Operation),
    /// The same where its other methods, on stored objects, pass through.
    GenerateOrPass(Operation),
    /// Anthropic's count of a request's tokens: POST.
    CountTokens,
    /// OpenAI's count of what a response would take in: POST.
    InputTokens,
    /// What a request would cost: POST.
    Estimate,
    /// Gemini's actions on a model, which stand at the end of the path: POST.
    Gemini,
    /// Azure's paths, with the model in them.
    Azure,
    /// Everything else.
    Pass,
}

impl Endpoint {
    /// Whose error shape its answers have.
    fn voice(self, uri: &Uri) -> Voice {
        let form = match self {
            Self::Generate(operation) | Self::GenerateOrPass(operation) => operation.inbound().unwrap_or(Inbound::Chat),
            Self::CountTokens => Inbound::Anthropic,
            Self::Gemini => Inbound::Gemini,
            Self::Azure | Self::InputTokens | Self::Estimate => Inbound::Chat,
            Self::Pass if uri.path().starts_with("/v1/messages/") => Inbound::Anthropic,
            Self::Pass => Inbound::Chat,
        };
        Voice { form, framing: gemini::framing(uri) }
    }
}

/// Serves a request of the data plane.
pub async fn data(gateway: Shared, request: Request, endpoint: Endpoint) -> Response {
    let voice = endpoint.voice(request.uri());
    let version = request.version();
    let flight = match open(&gateway, &request, voice) {
        Ok(flight) => flight,
        Err(shed) => return *shed,
    };
    let answer = AssertUnwindSafe(serve(&gateway, &flight, request, endpoint)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|panic| Err(panicked(&*panic)));
    let mut response = answer.unwrap_or_else(|error| voice.say(error, &flight.id));
    if let Some(Reported(error)) = response.extensions_mut().remove::<Reported>() {
        flight.fail(error.outcome, error.code(), &error.message);
    } else if response.status().is_server_error() {
        flight.fail(Status::Rejected, "internal_error", "the handler failed");
    }
    flight.decorate(response.headers_mut());
    last_of_connection(&gateway, version, response.headers_mut());
    flight.head_sent(response.status().as_u16());
    // An answer that is there whole is as good as sent.
    if response.extensions_mut().remove::<generate::Whole>().is_some() {
        flight.conclude(Status::Ok);
        flight.settle_together().await;
    } else if Arc::strong_count(&flight) == 1 {
        flight.settle_together().await;
    }
    response
}

/// Where another gateway takes new connections, this one's clients are told to make one.
fn last_of_connection(gateway: &Gateway, version: Version, headers: &mut HeaderMap) {
    // HTTP/2 has a frame for it.
    if version <= Version::HTTP_11 && gateway.readiness.is_leaving() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Opens the flight of a request, if there is room for one more.
fn open(gateway: &Shared, request: &Request, voice: Voice) -> Result<Arc<Flight>, Box<Response>> {
    let id = request_id(gateway, request.headers());
    let Ok(place) = gateway.meter.ledger.reserve() else {
        return Err(Box::new(shed(gateway, voice, &id, "ledger", LEDGER_FULL)));
    };
    if gateway.meter.metrics.in_flight.get()
        >= i64::try_from(gateway.config.load().server.max_in_flight).unwrap_or(i64::MAX)
    {
        let why = "the gateway is serving as many requests as it may (server.max_in_flight)";
        return Err(Box::new(shed(gateway, voice, &id, "in_flight", why)));
    }
    let endpoint = endpoint_of(request.uri().path());
    let now = gateway.clock().unix_ms();
    let at = if named(request.headers()).is_some() { gateway.recent_ids.time(&id, now) } else { now };
    Ok(Flight::open(id, at, endpoint, gateway.meter.clone(), place))
}

async fn serve(
    gateway: &Shared,
    flight: &Arc<Flight>,
    request: Request,
    endpoint: Endpoint,
) -> Result<Response, ApiError> {
    if request.headers().contains_key("x-weir-tags") {
        flight.draft().tags = tags(request.headers())?;
    }
    admit(gateway, flight, request.headers()).await?;
    let post = request.method() == Method::POST;
    match endpoint {
        Endpoint::Generate(operation) | Endpoint::GenerateOrPass(operation) if post => {
            generate::serve(gateway, flight, request, operation.into()).await
        }
        Endpoint::CountTokens if post => Box::pin(anthropic::count_tokens(gateway, flight, request)).await,
        Endpoint::InputTokens if post => Box::pin(counts::input_tokens(gateway, flight, request)).await,
        Endpoint::Estimate if post => Box::pin(estimate::serve(gateway, flight, request)).await,
        Endpoint::Gemini if post || gemini::action(request.uri().path()).is_none() => {
            Box::pin(gemini::serve(gateway, flight, request)).await
        }
        Endpoint::Azure if post => Box::pin(azure::serve(gateway, flight, request)).await,
        Endpoint::Generate(_)
        | Endpoint::CountTokens
        | Endpoint::InputTokens
        | Endpoint::Estimate
        | Endpoint::Gemini
        | Endpoint::Azure => Ok(only(&request, "POST")),
        // Far larger than what it is beside, and none of it is hot.
        _ => Box::pin(passthrough::serve(gateway, flight, request)).await,
    }
}

/// 405 with the methods that are accepted.
pub fn only(request: &Request, methods: &'static str) -> Response {
    let mut refusal = wrong_method(request.method(), request.uri().path()).into_response();
    refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refusal
}

/// A panic is a defect: one request gets a 500, the others and the process live on.
pub fn panicked(panic: &(dyn Any + Send)) -> ApiError {
    let why = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = why.unwrap_or("?"), "a handler panicked: {}", why.unwrap_or("?"));
    let status = http::StatusCode::INTERNAL_SERVER_ERROR;
    ApiError::new(status, "server_error", "internal_error", "the gateway failed on this request; this is a defect")
}

/// Refuses a request for which there is no room, at the cost of a counter: it gets no row.
fn shed(gateway: &Shared, voice: Voice, id: &str, reason: &str, why: &str) -> Response {
    gateway.meter.metrics.shed.with_label_values(&[reason]).inc();
    let mut response = voice.say(ApiError::overloaded(why), id);
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Authenticates and admits a request to the data plane.
async fn admit(gateway: &Shared, flight: &Flight, headers: &HeaderMap) -> Result<(), ApiError> {
    let caller = match auth::identify(gateway, headers).await? {
        Identity::Key(caller) => caller,
        Identity::Admin => return Err(admin_key()),
    };
    let asks = callers_line(flight, &caller);
    flight.draft().caller = Some(caller);
    let mut line = Line::new(flight.limits());
    let admitted = line.take(&asks, flight.now()).await;
    flight.draft().line = Some(line);
    admitted.map_err(|refused| limited(flight, &refused))
}

/// A request of each that limits a caller: its key, and whoever the key belongs to.
#[must_use]
pub fn callers_line(flight: &Flight, caller: &Caller) -> Vec<(Arc<Limiter>, Ask)> {
    let key = &caller.key;
    let mut line = Vec::with_capacity(5);
    line.push((Arc::clone(&caller.slot.limiter), Ask::request(0)));
    let subjects = [
        (Scope::Key, Some(&key.id)),
        (Scope::User, key.user_id.as_ref()),
        (Scope::Team, key.team_id.as_ref()),
        (Scope::Organization, key.organization_id.as_ref()),
    ];
    let named = subjects.into_iter().filter_map(|(scope, subject)| flight.limits().of(scope, subject?));
    line.extend(named.map(|limiter| (limiter, Ask::request(0))));
    line
}

/// The admin key does not spend: whoever holds it can make a virtual key that is metered.
fn admin_key() -> ApiError {
    let message = "the admin key manages the gateway and cannot call models; create a virtual key (POST /admin/v1/keys) and use that";
    ApiError::forbidden("admin_key_not_allowed", message)
}

/// 429 with whose limit it is, which one, and the exact wait; 503 where nobody can tell.
#[must_use]
pub fn limited(flight: &Flight, refused: &Refused) -> ApiError {
    flight.metrics().limited(refused.whose.scope.as_str(), refused.kind.name(), refused.kind.unit());
    if refused.kind == Kind::Unknown {
        return ApiError::limits_unavailable();
    }
    let who = match refused.whose.scope {
        Scope::Key => "this key".to_owned(),
        scope => format!("{} {}", scope.as_str(), crate::flight::bounded(&refused.whose.subject, 128)),
    };
    let message = match refused.kind {
        Kind::Concurrency => {
            format!("{who} may have {} requests in flight at once; wait for one to finish", refused.limit)
        }
        _ => format!(
            "{who}'s limit of {} is reached; try again in {:.3} s",
            refused.described(),
            refused.retry_after.as_secs_f64()
        ),
    };
    let kind = if refused.kind.unit() == "tokens" { "tokens" } else { "requests" };
    ApiError::new(http::StatusCode::TOO_MANY_REQUESTS, kind, "rate_limit_exceeded", message).after(refused.retry_after)
}

/// The client's `x-request-id` when it is well-formed, else a new one (UUIDv7).
fn request_id(gateway: &Shared, headers: &HeaderMap) -> String {
    named(headers).map_or_else(|| gateway.chance.uuid(gateway.clock().unix_ms()).to_string(), ToOwned::to_owned)
}

fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-request-id").and_then(|v| v.to_str().ok()).filter(|id| well_formed(id))
}

fn well_formed(id: &str) -> bool {
    (8..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// `x-weir-tags: team=search,env=prod`.
pub(super) fn tags(headers: &HeaderMap) -> Result<Vec<(String, String)>, ApiError> {
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
    if let Some(action) = gemini::action(path) {
        return action.endpoint();
    }
    let path = path.strip_prefix("/openai").unwrap_or(path);
    let deployed = path.strip_prefix("/deployments/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest);
    let versioned = path.strip_prefix("/v1/").or_else(|| path.strip_prefix("/v2/"));
    super::openai::endpoints::name_of(deployed.or(versioned).unwrap_or(path.trim_start_matches('/')))
}

/// The id of a request outside the data plane, for its handler.
#[derive(Clone, Debug)]
struct RequestId(String);

/// The id that [`common_headers`] gave a request.
#[must_use]
pub fn id_of(request: &Request) -> String {
    request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default()
}

/// Headers every answer carries, the ones outside the data plane too.
pub async fn common_headers(State(gateway): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id(&gateway, request.headers());
    let version = request.version();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    response.extensions_mut().remove::<Reported>();
    last_of_connection(&gateway, version, response.headers_mut());
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
