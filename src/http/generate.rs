//! Requests whose body Weir reads, in every dialect that comes in: read what Weir needs, plan, dispatch.
//! Where caller and target speak one dialect the bodies themselves pass through.

mod affinity;
mod brake;
pub mod explain;
mod fit;
mod plan;
mod shadow;

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use weir_wire::gemini::Framing;
use weir_wire::request::{Peek, PeekError, Shape};

use crate::dispatch::patience::{self, Patience};
use crate::dispatch::{Job, Reply, ReplyBody, fault};
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::gate::limit::Scope;
use crate::http::body::{self, BodyLimits};
use crate::http::layers::limited;
use crate::http::openai::kept;
use crate::http::openai::passthrough::objects;
use crate::snapshot::Operation;
use crate::state::Gateway;
use crate::upstream::headers;

pub use plan::{check_right, unknown_model};

/// What is asked for, as far as the path says it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation.
    pub operation: Operation,
    /// The model, where the path names it (Gemini, Azure).
    pub model: Option<String>,
    /// A stream, where the path asks for one (Gemini).
    pub stream: bool,
    /// How the chunks of a Gemini stream are told apart.
    pub framing: Framing,
}

impl From<Operation> for Ask {
    fn from(operation: Operation) -> Self {
        Self { operation, model: None, stream: false, framing: Framing::Sse }
    }
}

/// Serves an operation.
///
/// # Errors
/// What is wrong with the request, or the last failure of its targets.
pub async fn serve(gateway: &Gateway, flight: &Arc<Flight>, request: Request, ask: Ask) -> Result<Response, ApiError> {
    let operation = ask.operation;
    let (head, body) = request.into_parts();
    let explains = flag(&head.headers, explain::HEADER)?;
    let job = job(gateway, flight, head.headers, body, ask, true).await?;
    let explanation = explains.then(|| explain::header_value(&job, flight.now()));
    experiment(&job);
    let answer = gateway.dispatcher.run(&job).await;
    let watching = shadow::copied(gateway, &job, answer.as_ref());
    let mut reply = answer?;
    if let Some(explanation) = explanation {
        reply.headers.insert(explain::HEADER, explanation);
    }
    let caller = flight.draft().caller.clone();
    if let Some(caller) = caller.filter(|_| reply.native && job.stores) {
        Box::pin(own_stored(gateway, &caller, flight, operation, stored_id(&reply))).await?;
    }
    let response = respond(reply);
    Ok(match watching {
        Some(watching) => response.map(|body| watching.around(body)),
        None => response,
    })
}

/// Where the route is an experiment, the row says which target the request was given.
fn experiment(job: &Job) {
    let given = job.plan.iter().find(|step| step.skip.is_none());
    if let Some((step, name)) = given.and_then(|step| Some((step, step.route.experiment.as_ref()?))) {
        let mut draft = job.flight.draft();
        draft.tags.retain(|(tag, _)| **tag != **name);
        draft.tags.push((name.to_string(), crate::flight::bounded(&step.target.id, 64)));
    }
}

/// Reads a request and plans it; takes its tokens from the caller's limit if it spends them.
async fn job(
    gateway: &Gateway,
    flight: &Arc<Flight>,
    client: HeaderMap,
    body: Body,
    ask: Ask,
    spends: bool,
) -> Result<Job, ApiError> {
    let mut body = body::read(gateway, &client, body, BodyLimits::of(gateway)).await?;
    let caller = flight.draft().caller.clone();
    if let (Operation::Responses, Some(caller)) = (ask.operation, &caller) {
        body = Box::pin(kept::with_items(gateway, caller, body)).await?;
    }
    let peek = read(flight, &body, &ask, spends)?;
    note(flight, &peek);
    if spends {
        brake::check(gateway, flight, &client, &peek, &body)?;
    }
    let snapshot = gateway.snapshot_at(flight.at);
    let prompt_tokens = match ask.operation {
        // Its texts stand deep in the body, which has little else.
        Operation::EmbedContent => weir_wire::estimate::tokens(&body),
        _ => peek.prompt_size(&body).estimated_tokens,
    };
    let asked = plan::Asked {
        gateway,
        snapshot: &snapshot,
        flight,
        headers: &client,
        peek: &peek,
        body: &body,
        operation: ask.operation,
        prompt_tokens,
    };
    let (mut plan, expected) = (plan::of(&asked)?, asked.expected());
    if spends {
        let mut draft = flight.draft();
        draft.prompt_tokens = prompt_tokens;
        draft.prompt =
            Some(peek.prompt.map_or_else(|| body.clone(), |prompt| body.slice(prompt.span.start..prompt.span.end)));
    }
    let estimate = with_output(prompt_tokens, &peek);
    if spends {
        take_tokens(flight, estimate).await?;
    }
    let held = check_objects(gateway, caller.as_ref(), &body).await?;
    let earlier = kept::earlier(gateway, held.as_deref(), &peek, &body).await?;
    let stores = stores(ask.operation, &peek, &body);
    let keeps = spends && ask.operation == Operation::Responses && stores;
    let keep = caller.as_ref().filter(|_| keeps).map(|caller| kept::writer(gateway, caller));
    plan.prefer(&snapshot, held.as_deref());
    let fault = fault::asked(&client)?;
    fault::check(fault.as_ref(), plan.steps.iter().map(|step| &step.target))?;
    // Only its provider knows what it refers to; and a fault is asked for this one request.
    let is_copied = fault.is_none() && (held.is_none() || earlier.is_some()) && ask.operation.inbound().is_some();
    let mut job = Job {
        operation: ask.operation,
        shadow: plan.shadow.filter(|_| is_copied),
        is_copy: false,
        fault,
        strict: plan.strict || flag(&client, "x-weir-strict")?,
        deadline: deadline(gateway, flight, &client)?,
        patience: Patience::asked(&client)?,
        headers: upstream_headers(flight, client),
        prompt_tokens,
        expected,
        estimate,
        body,
        peek,
        plan: plan.steps,
        on_context_length: plan.on_context_length,
        on_content_filter: plan.on_content_filter,
        counts: !spends,
        stores,
        keep,
        earlier,
        framing: ask.framing,
        seed: gateway.chance.u64(),
        hub: OnceLock::new(),
        flight: Arc::clone(flight),
    };
    fit::keep_able(&mut job, &snapshot, caller.as_ref()).await?;
    Ok(job)
}

/// Counts the tokens of a request that is not made.
///
/// # Errors
/// As [`serve`].
pub async fn count(gateway: &Gateway, flight: &Arc<Flight>, request: Request, ask: Ask) -> Result<u64, ApiError> {
    let (head, body) = request.into_parts();
    let job = job(gateway, flight, head.headers, body, ask, false).await?;
    gateway.dispatcher.count(&job).await
}

/// Reads and plans a request that is not made.
///
/// # Errors
/// As [`serve`].
pub async fn planned(
    gateway: &Gateway,
    flight: &Arc<Flight>,
    client: HeaderMap,
    body: Body,
    ask: Ask,
) -> Result<Job, ApiError> {
    job(gateway, flight, client, body, ask, false).await
}

/// Reads the body for what Weir needs of it; what the path says counts.
fn read(flight: &Flight, body: &[u8], ask: &Ask, spends: bool) -> Result<Peek, ApiError> {
    let shape = match ask.operation {
        // What is counted may stand in a `generateContentRequest`.
        Operation::GenerateContent if !spends => Shape::Other,
        operation => shape(operation),
    };
    let mut peek = Peek::read(body, shape).map_err(|error| unreadable(flight, error))?;
    if let Some(model) = &ask.model {
        peek.model = Some(model.clone());
    }
    peek.stream |= ask.stream;
    Ok(peek)
}

/// A header that is on or off.
///
/// # Errors
/// 400 for any other word.
pub fn flag(headers: &HeaderMap, name: &'static str) -> Result<bool, ApiError> {
    match headers.get(name).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "false" | "0" | "no" | "off") => Ok(false),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some(_) => Err(ApiError::invalid("invalid_header", format!("{name} must be true or false")).param(name)),
    }
}

/// A prompt may refer to uploaded files and stored answers; another key's do not exist for this one.
/// Says which provider holds what it refers to.
async fn check_objects(gateway: &Gateway, caller: Option<&Caller>, body: &[u8]) -> Result<Option<String>, ApiError> {
    let mut ids = Vec::new();
    objects::body_ids(body, &mut ids);
    match caller {
        Some(caller) if !ids.is_empty() => Box::pin(objects::check(gateway, caller, ids)).await,
        _ => Ok(None),
    }
}

/// Whether the provider keeps the answer: chat when it is told to, Responses unless told not to.
fn stores(operation: Operation, peek: &Peek, body: &[u8]) -> bool {
    let is_told_not_to = || peek.is_false(body, "store");
    match operation {
        Operation::Chat => peek.has_member(body, "store") && !is_told_not_to(),
        Operation::Responses => !is_told_not_to(),
        _ => false,
    }
}

fn stored_id(reply: &Reply) -> Option<String> {
    match &reply.body {
        ReplyBody::Whole(whole) => whole.peek().and_then(|bytes| objects::id_of(&bytes)),
        ReplyBody::Stream(stream) => stream.object_id(),
        ReplyBody::Raw(_) => None,
    }
}

/// An answer that the provider keeps belongs to the key that made it.
async fn own_stored(
    gateway: &Gateway,
    caller: &Caller,
    flight: &Flight,
    operation: Operation,
    id: Option<String>,
) -> Result<(), ApiError> {
    let provider = flight.draft().provider.as_ref().map(|p| Arc::clone(&p.id));
    let kind = if operation == Operation::Responses { "response" } else { "chat.completion" };
    match (id, provider) {
        (Some(id), Some(provider)) => objects::own(gateway, caller, &provider, &id, kind).await,
        _ => Ok(()),
    }
}

fn shape(operation: Operation) -> Shape {
    match operation {
        Operation::Chat => Shape::Chat,
        Operation::Completions => Shape::Completions,
        Operation::Responses => Shape::Responses,
        Operation::Embeddings => Shape::Embeddings,
        Operation::Messages => Shape::Messages,
        Operation::GenerateContent => Shape::Gemini,
        Operation::Rerank => Shape::Rerank,
        Operation::EmbedContent => Shape::Other,
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
    let mut limit = gateway.config.load().server.request_timeout;
    if let Some(asked) = patience::millis(headers, "x-weir-timeout-ms")? {
        limit = limit.min(asked);
    }
    Ok(flight.start.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)))
}

/// The prompt's tokens, and the most that may be generated.
#[must_use]
pub fn estimate(peek: &Peek, body: &[u8]) -> u64 {
    with_output(peek.prompt_size(body).estimated_tokens, peek)
}

fn with_output(prompt: u64, peek: &Peek) -> u64 {
    prompt.saturating_add(peek.max_output().unwrap_or(0).saturating_mul(peek.n.unwrap_or(1)))
}

/// Takes the estimated tokens from the caller's limits, and a request of the model that it asks for.
///
/// # Errors
/// 429 when they are not there yet; then the request is given back.
pub async fn take_tokens(flight: &Flight, estimate: u64) -> Result<(), ApiError> {
    let (line, model) = {
        let mut draft = flight.draft();
        let model = draft.model.as_deref().and_then(|model| flight.limits().of(Scope::Model, model));
        if model.is_none() && draft.line.as_ref().is_none_or(|line| !line.limits_tokens()) {
            return Ok(());
        }
        (draft.line.take(), model)
    };
    let Some(mut line) = line else { return Ok(()) };
    let now = flight.now();
    let taken = line.take_tokens(estimate, model, now).await;
    if taken.is_err() {
        line.refund_requests(now);
    }
    flight.draft().line = Some(line);
    taken.map_err(|refused| limited(flight, &refused))
}

/// In a response's extensions: its body is there whole, and its flight ends well.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

/// The reply as axum sends it.
#[must_use]
pub fn respond(reply: Reply) -> Response {
    let whole = matches!(reply.body, ReplyBody::Whole(_));
    let body = match reply.body {
        ReplyBody::Whole(whole) => Body::new(whole),
        ReplyBody::Stream(stream) => Body::new(*stream),
        ReplyBody::Raw(raw) => Body::new(*raw),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if whole {
        response.extensions_mut().insert(Whole);
    }
    response
}

/// Bytes of a JSON answer.
#[must_use]
pub fn json(bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(bytes.into()));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
