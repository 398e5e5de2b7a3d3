//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`: read what Weir needs, plan,
//! dispatch. The bodies themselves pass through.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use weir_wire::request::{Peek, PeekError, Shape};

use crate::dispatch::{Job, Reply, ReplyBody};
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::http::body::{self, BodyLimits};
use crate::http::layers::limited;
use crate::http::openai::passthrough::objects;
use crate::route::plan;
use crate::snapshot::{Operation, Retries, Route, Snapshot, Target};
use crate::state::Gateway;
use crate::upstream::headers;

/// Targets of one request, all fallbacks included.
const MAX_PLAN: usize = 16;

/// Serves an operation.
///
/// # Errors
/// What is wrong with the request, or the last failure of its targets.
pub async fn serve(
    gateway: &Gateway,
    flight: &Arc<Flight>,
    request: Request,
    operation: Operation,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits { max: gateway.config.server.body_limit, idle: gateway.config.server.body_idle_timeout };
    let body = body::read(&head.headers, body, limits).await?;
    let peek = Peek::read(&body, shape(operation)).map_err(|error| unreadable(flight, error))?;
    note(flight, &peek);
    let plan = plan_of(gateway, &gateway.snapshot.load(), flight, &peek)?;
    let estimate = estimate(&peek, &body);
    take_tokens(flight, estimate)?;
    let caller = flight.draft().caller.clone();
    check_objects(gateway, caller.as_ref(), &body).await?;
    let stores = peek.has_member(&body, "store");
    let deadline = deadline(gateway, flight, &head.headers)?;
    let job = Job {
        operation,
        fault: head.headers.get("x-weir-fault").cloned(),
        headers: upstream_headers(flight, head.headers),
        body,
        peek,
        plan,
        deadline,
        estimate,
        flight: Arc::clone(flight),
    };
    let reply = gateway.dispatcher.run(&job).await?;
    if let Some(caller) = caller.filter(|_| stores) {
        Box::pin(own_stored(gateway, &caller, &job.flight, stored_id(&reply))).await?;
    }
    Ok(respond(reply))
}

/// A prompt may refer to uploaded files; another key's do not exist for this one.
async fn check_objects(gateway: &Gateway, caller: Option<&Caller>, body: &[u8]) -> Result<(), ApiError> {
    let mut ids = Vec::new();
    objects::body_ids(body, &mut ids);
    match caller {
        Some(caller) if !ids.is_empty() => Box::pin(objects::check(gateway, caller, ids)).await.map(|_| ()),
        _ => Ok(()),
    }
}

fn stored_id(reply: &Reply) -> Option<String> {
    match &reply.body {
        ReplyBody::Whole(whole) => whole.peek().and_then(|bytes| objects::id_of(&bytes)),
        ReplyBody::Stream(stream) => stream.object_id(),
        ReplyBody::Raw(_) => None,
    }
}

/// A completion that the provider was asked to store belongs to the key that made it.
async fn own_stored(gateway: &Gateway, caller: &Caller, flight: &Flight, id: Option<String>) -> Result<(), ApiError> {
    let provider = flight.draft().provider.as_ref().map(|p| Arc::clone(&p.id));
    match (id, provider) {
        (Some(id), Some(provider)) => objects::own(gateway, caller, &provider, &id, "chat.completion").await,
        _ => Ok(()),
    }
}

fn shape(operation: Operation) -> Shape {
    match operation {
        Operation::Chat => Shape::Chat,
        Operation::Completions => Shape::Completions,
        Operation::Embeddings => Shape::Embeddings,
    }
}

/// A body that cannot be read; the row names the model it asks for, if that much is known.
#[must_use]
pub fn unreadable(flight: &Flight, mut error: PeekError) -> ApiError {
    flight.draft().model = error.model.take();
    peek_error(error)
}

/// A body that cannot be read, in the caller's words.
#[must_use]
pub fn peek_error(error: PeekError) -> ApiError {
    let api = ApiError::invalid(error.code.as_str(), error.message);
    match error.param {
        Some(param) => api.param(param),
        None => api,
    }
}

fn note(flight: &Flight, peek: &Peek) {
    let mut draft = flight.draft();
    draft.model.clone_from(&peek.model);
    draft.stream = peek.stream;
    draft.end_user.clone_from(&peek.user);
}

/// The client's headers that an upstream gets, and the request's id.
pub fn upstream_headers(flight: &Flight, client: HeaderMap) -> HeaderMap {
    let mut headers = headers::for_upstream(client);
    if let Ok(id) = http::HeaderValue::from_str(&flight.id) {
        headers.insert("x-request-id", id);
    }
    headers
}

/// When the request must be over: the gateway's limit, or the client's own shorter one.
///
/// # Errors
/// When `x-weir-timeout-ms` is no positive number.
pub fn deadline(gateway: &Gateway, flight: &Flight, headers: &HeaderMap) -> Result<u64, ApiError> {
    let mut limit = gateway.config.server.request_timeout;
    if let Some(value) = headers.get("x-weir-timeout-ms") {
        let asked = value.to_str().ok().and_then(|v| v.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
        let asked = asked.ok_or_else(|| {
            ApiError::invalid("invalid_header", "x-weir-timeout-ms must be a positive number of milliseconds")
                .param("x-weir-timeout-ms")
        })?;
        limit = limit.min(Duration::from_millis(asked));
    }
    Ok(flight.start.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)))
}

/// Every target of the request in order: the model's own, the body's alternatives, and what the
/// routes fall back to.
fn plan_of(
    gateway: &Gateway,
    snapshot: &Snapshot,
    flight: &Flight,
    peek: &Peek,
) -> Result<Vec<(Arc<Target>, Retries)>, ApiError> {
    let caller = flight.draft().caller.clone();
    let asked = peek.require_model().map_err(peek_error)?;
    let mut names: Vec<String> = Vec::new();
    for name in [asked].into_iter().chain(peek.models.iter().chain(&peek.fallbacks).map(String::as_str)) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    let mut plan = Vec::with_capacity(names.len());
    let mut done = 0;
    let asked_for = names.len();
    while done < names.len() && plan.len() < MAX_PLAN {
        let route = snapshot.resolve(&names[done]).map_err(|unknown| unknown_model(&names[done], &unknown.nearest))?;
        // What the caller names must be allowed; what a route falls back to is the operator's choice.
        if done < asked_for {
            check_right(caller.as_ref(), &route)?;
        }
        plan.extend(plan::order(&route, &gateway.chance).into_iter().map(|target| (target, route.retries)));
        for fallback in &route.fallbacks {
            if !names.contains(fallback) {
                names.push(fallback.clone());
            }
        }
        done += 1;
    }
    Ok(plan)
}

/// 404 with the nearest names.
#[must_use]
pub fn unknown_model(name: &str, nearest: &[String]) -> ApiError {
    let shown = crate::flight::bounded(name, 128);
    let hint = match nearest {
        [] => "see GET /v1/models for what there is".to_owned(),
        names => format!("did you mean {}?", names.join(", ")),
    };
    ApiError::not_found("model_not_found", format!("the model '{shown}' does not exist here; {hint}")).param("model")
}

/// Whether the caller may use a model, by the name it asked for or the model's own.
///
/// # Errors
/// 403 with what the key may use.
pub fn check_right(caller: Option<&Caller>, route: &Route) -> Result<(), ApiError> {
    let Some(caller) = caller else { return Ok(()) };
    let rights = &caller.key.rights;
    let own_name = || !route.configured && route.targets.iter().all(|t| rights.allows(&t.name));
    if rights.is_unrestricted() || rights.allows(&route.name) || own_name() {
        return Ok(());
    }
    let message =
        format!("this key may not use the model '{}'; it may use: {}", route.name, rights.patterns().join(", "));
    Err(ApiError::forbidden("model_not_allowed", message).param("model"))
}

/// The prompt's tokens, and the most that may be generated.
#[must_use]
pub fn estimate(peek: &Peek, body: &[u8]) -> u64 {
    let output = peek.max_output().unwrap_or(0).saturating_mul(peek.n.unwrap_or(1));
    peek.prompt_size(body).estimated_tokens.saturating_add(output)
}

/// Takes the estimated tokens from the caller's limit.
///
/// # Errors
/// 429 when they are not there yet.
pub fn take_tokens(flight: &Flight, estimate: u64) -> Result<(), ApiError> {
    let Some(caller) = flight.draft().caller.clone() else { return Ok(()) };
    if caller.key.limits.tpm.is_none() {
        return Ok(());
    }
    let now = flight.now();
    match caller.slot.limiter.admit_tokens(estimate, now) {
        Ok(taken) => {
            flight.draft().tokens_taken = taken;
            Ok(())
        }
        Err(refused) => {
            caller.slot.limiter.refund_request(now);
            Err(limited(flight, refused))
        }
    }
}

/// The reply as axum sends it.
#[must_use]
pub fn respond(reply: Reply) -> Response {
    let body = match reply.body {
        ReplyBody::Whole(whole) => Body::new(whole),
        ReplyBody::Stream(stream) => Body::new(*stream),
        ReplyBody::Raw(raw) => Body::new(raw),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// Bytes of a JSON answer.
#[must_use]
pub fn json(bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(bytes.into()));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
