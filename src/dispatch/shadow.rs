//! Copies of a route's requests, sent to another target, whose answers nobody gets (`models.NAME.shadow`).
//!
//! A request leaves its copy here once its own plan is walked, and knows no more of it: no caller waits for a copy,
//! and none fails by one. How many there may be is bounded; what is beyond is not copied, and counted. A copy is a
//! request with a flight, a row and a price of its own, made from the same bytes. It keeps nothing: no conversation
//! here, and where OpenAI's dialects are spoken none at the provider.

mod alike;
mod pair;
mod said;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use weir_wire::gemini::Framing;
use weir_wire::hub::Dialect;
use weir_wire::request::Peek;
use weir_wire::translate::Inbound;
use weir_wire::usage::Usage;

use super::keep::Earlier;
use super::patience::Patience;
use super::{Dispatcher, Job, Reply, ReplyBody};
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::gate::limit::{Ask, Kind, Limiter, Line, Scope};
use crate::meter::prom::Metrics;
use crate::route::plan::Step;
use crate::snapshot::{Operation, Shadow, Target};
pub use pair::{Difference, Finished, Heard, Pair, Side, Watched};
pub use said::{Form, Reader, Said};

/// The tag of a copy's row that names its route.
pub const TAG: &str = "shadow";
/// The tag of a copy's row that names the request it copies.
pub const TAG_OF: &str = "shadow_of";
/// Most copies that wait for a place.
pub const MAX_WAITING: usize = 256;
/// Most pairs of which something is held: the copy waits, one of the two is not over, or it is not written down.
const MAX_PAIRS: usize = 2048;

/// Where copies are left.
#[derive(Debug)]
pub struct Shadows {
    copies: mpsc::Sender<Copied>,
    finished: mpsc::Sender<Finished>,
    places: pair::Places,
    metrics: Arc<Metrics>,
}

/// The other ends: who sends copies, and who writes down how they differ.
#[derive(Debug)]
pub struct Ends {
    /// Copies to send.
    pub copies: mpsc::Receiver<Copied>,
    /// Requests and copies that are over.
    pub finished: mpsc::Receiver<Finished>,
}

/// A copy on its way.
#[derive(Debug)]
pub struct Copied {
    /// The request's id.
    pub of: String,
    /// What is known of both.
    pub pair: Arc<Pair>,
    /// What it is asked with.
    request: Request,
    /// Who pays, where a caller does.
    billed: Option<Billed>,
}

/// What a copy has of its request.
#[derive(Debug)]
struct Request {
    operation: Operation,
    inbound: Inbound,
    body: Bytes,
    peek: Peek,
    headers: HeaderMap,
    prompt_tokens: u64,
    expected: Usage,
    estimate: u64,
    earlier: Option<Earlier>,
    seed: u64,
}

/// What a caller's request says of whom it is billed to.
#[derive(Debug)]
pub struct Billed {
    /// The caller.
    pub caller: Option<Caller>,
    /// One request of each limit that it falls under.
    pub line: Vec<(Arc<Limiter>, Ask)>,
    /// The body's `user`.
    pub end_user: Option<String>,
    /// The request's own tags.
    pub tags: Vec<(String, String)>,
}

impl Shadows {
    /// A place for copies, and its other ends.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, Ends) {
        let (copies, to_send) = mpsc::channel(MAX_WAITING);
        let (finished, to_write) = mpsc::channel(MAX_PAIRS);
        let places = pair::Places::default();
        (Self { copies, finished, places, metrics }, Ends { copies: to_send, finished: to_write })
    }

    /// Leaves a copy of the request, if there is room; the pair that the two are then.
    pub fn copy(&self, job: &Job, shadow: &Arc<Shadow>, billed: Option<Billed>) -> Option<Arc<Pair>> {
        let request = Request::of(job)?;
        let left = self.copies.try_reserve().ok().zip(self.places.take(MAX_PAIRS));
        let Some((room, place)) = left else {
            self.metrics.shadow("dropped");
            return None;
        };
        let pair = Pair::new(Arc::clone(shadow), self.finished.clone(), place, Arc::clone(&self.metrics));
        let of = job.flight.id.clone();
        self.metrics.shadows_waiting.inc();
        room.send(Copied { of, pair: Arc::clone(&pair), request, billed });
        Some(pair)
    }
}

impl Request {
    fn of(job: &Job) -> Option<Self> {
        Some(Self {
            operation: job.operation,
            inbound: job.operation.inbound()?,
            body: job.body.clone(),
            peek: job.peek.clone(),
            headers: job.headers.clone(),
            prompt_tokens: job.prompt_tokens,
            expected: job.expected,
            estimate: job.estimate,
            earlier: job.earlier.clone(),
            seed: job.seed,
        })
    }
}

impl Copied {
    /// Its endpoint in rows and metrics, which no caller's request has.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self.request.inbound {
            Inbound::Chat => "shadow/chat/completions",
            Inbound::Completions => "shadow/completions",
            Inbound::Responses => "shadow/responses",
            Inbound::Anthropic => "shadow/messages",
            Inbound::Gemini => "shadow/generateContent",
        }
    }

    /// What its row says of it. Without a caller it is in nobody's usage, and charged to no budget but those of its
    /// provider, its target and its tags.
    pub fn describe(&mut self, flight: &Flight) {
        let target = &self.pair.shadow.target;
        let prompt = self.request.peek.prompt.map(|prompt| self.request.body.slice(prompt.span.start..prompt.span.end));
        let billed = self.billed.as_mut();
        let mut tags = billed.as_ref().map(|billed| billed.tags.clone()).unwrap_or_default();
        tags.retain(|(name, _)| name != TAG && name != TAG_OF);
        tags.push((TAG.to_owned(), crate::flight::bounded(&self.pair.shadow.route, 64)));
        tags.push((TAG_OF.to_owned(), self.of.clone()));
        let mut draft = flight.draft();
        draft.tags = tags;
        draft.model = Some(target.name.to_string());
        draft.stream = self.request.peek.stream;
        draft.prompt_tokens = self.request.prompt_tokens;
        draft.prompt = Some(prompt.unwrap_or_else(|| self.request.body.clone()));
        if let Some(billed) = billed {
            draft.caller = billed.caller.take();
            draft.end_user = billed.end_user.take();
        }
        draft.witness = Some(self.pair.witness(Side::Copy));
    }

    fn job(&self, flight: &Arc<Flight>, deadline: u64) -> Job {
        let request = &self.request;
        let mut headers = request.headers.clone();
        // It would say that this is the same request.
        headers.remove("idempotency-key");
        if let Ok(id) = HeaderValue::from_str(&flight.id) {
            headers.insert("x-request-id", id);
        }
        Job {
            operation: request.operation,
            body: request.body.clone(),
            peek: request.peek.clone(),
            headers,
            fault: None,
            plan: Vec::new(),
            on_context_length: Vec::new(),
            on_content_filter: Vec::new(),
            flight: Arc::clone(flight),
            deadline,
            // Nobody waits for it.
            patience: Patience::default(),
            prompt_tokens: request.prompt_tokens,
            expected: request.expected,
            estimate: request.estimate,
            strict: false,
            stores: false,
            keep: None,
            counts: false,
            earlier: request.earlier.clone(),
            framing: Framing::Sse,
            seed: request.seed,
            hub: std::sync::OnceLock::new(),
            shadow: None,
            is_copy: true,
        }
    }

    /// Takes what limits it: the target's model, and its caller where that pays.
    async fn take_limits(&self, flight: &Flight) -> Result<(), ApiError> {
        let limits = flight.limits();
        let tokens = self.request.estimate;
        let model = limits.of(Scope::Model, &self.pair.shadow.target.name);
        let billed = self.billed.iter().flat_map(|billed| &billed.line);
        let asks: Vec<_> = billed
            .map(|(limiter, ask)| (Arc::clone(limiter), Ask { tokens, ..*ask }))
            .chain(model.map(|limiter| (limiter, Ask::request(tokens))))
            .collect();
        let mut line = Line::new(limits);
        let taken = line.take(&asks, flight.now()).await;
        flight.draft().line = Some(line);
        taken.map_err(|refused| {
            flight.metrics().limited(refused.whose.scope.as_str(), refused.kind.name(), refused.kind.unit());
            if refused.kind == Kind::Unknown {
                return ApiError::limits_unavailable();
            }
            let message = format!("the copy found a limit of {} reached", refused.described());
            ApiError::new(http::StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message)
        })
    }
}

impl Dispatcher {
    /// Sends a copy, and reads its answer to the end. Whatever comes of it is in its flight and its pair.
    pub async fn send_copy(&self, copied: &Copied, flight: &Arc<Flight>, deadline: u64) {
        let heard = match self.answer_of_copy(copied, flight, deadline).await {
            Ok(heard) => heard,
            Err(error) => {
                flight.draft().http_status = error.status.as_u16();
                flight.fail(error.outcome, error.code(), &error.message);
                Heard::nothing()
            }
        };
        copied.pair.heard(Side::Copy, heard);
    }

    async fn answer_of_copy(&self, copied: &Copied, flight: &Arc<Flight>, deadline: u64) -> Result<Heard, ApiError> {
        copied.take_limits(flight).await?;
        let job = copied.job(flight, deadline);
        let step = Step::alone(Arc::clone(&copied.pair.shadow.target));
        let reply = self.attempt(&job, &step).await.map_err(|failed| failed.error)?;
        flight.head_sent(reply.status.as_u16());
        Ok(Heard::Said(Box::new(read(copied.request.inbound, reply).await)))
    }
}

/// Reads an answer to its end, at which its flight is settled.
async fn read(inbound: Inbound, reply: Reply) -> Said {
    let mut reader = Reader::new(Form::of(inbound, &reply.headers, false));
    let mut broken = false;
    match reply.body {
        ReplyBody::Whole(mut body) => drain(&mut body, &mut reader, &mut broken).await,
        ReplyBody::Stream(mut body) => drain(&mut *body, &mut reader, &mut broken).await,
        ReplyBody::Raw(mut body) => drain(&mut *body, &mut reader, &mut broken).await,
    }
    let mut said = reader.finish();
    said.partial |= broken;
    said
}

async fn drain<B: http_body::Body<Data = Bytes> + Unpin>(body: &mut B, reader: &mut Reader, broken: &mut bool) {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => frame.into_data().into_iter().for_each(|data| reader.push(data)),
            Err(_) => *broken = true,
        }
    }
}

impl Job {
    /// What the target's bodies get beside what the caller said. Providers that keep answers, or would if they were
    /// told to, are told not to keep a copy's.
    pub(super) fn members<'t>(&self, target: &'t Target, dialect: Dialect) -> std::borrow::Cow<'t, [(String, String)]> {
        if !self.is_copy {
            return target.body.as_slice().into();
        }
        let keeps = match dialect {
            Dialect::OpenAiResponses => true,
            Dialect::OpenAiChat => self.peek.has_member(&self.body, STORE),
            Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama => false,
        };
        if !keeps || target.provider.unsupported.iter().any(|field| field == STORE) {
            return target.body.as_slice().into();
        }
        let mut members = target.body.clone();
        members.retain(|(name, _)| name != STORE);
        members.push((STORE.to_owned(), "false".to_owned()));
        members.into()
    }
}

/// The member that says whether OpenAI keeps an answer.
const STORE: &str = "store";
