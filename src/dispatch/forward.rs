//! Calls that pass through by path: any method, any body, one target. The answer is metered where
//! it says what was used, and otherwise left alone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use weir_wire::answer::read_answer;
use weir_wire::hub::Dialect;
use weir_wire::tap::Flavor;

use super::afford::Bound;
use super::attempt::{self, Lease, Trip, internal, is_event_stream};
use super::outcome::Blame;
use super::patience::Patience;
use super::whole::{self, WholeBody};
use super::{Dispatcher, Failed, Next, Reply, ReplyBody, classify, stream};
use crate::clock::MonoNs;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::flight::{Flight, Settling};
use crate::record::Status;
use crate::snapshot::{ProviderDef, Target};
use crate::upstream::body::BodyError;
use crate::upstream::{Answer, AnswerBody, Call, CallBody, headers};

/// A request to pass through.
#[derive(Debug)]
pub struct Forward {
    /// Method.
    pub method: Method,
    /// Path below the provider's base URL, as the client wrote it, with a leading slash.
    pub path: String,
    /// Query as the client wrote it.
    pub query: Option<String>,
    /// The client's headers that an upstream gets.
    pub headers: HeaderMap,
    /// Body.
    pub body: CallBody,
    /// Where to. Its model is empty when the request names none.
    pub target: Arc<Target>,
    /// What kind of stream its answer would be.
    pub flavor: Flavor,
    /// The prompt, in case it must be counted.
    pub prompt: Bytes,
    /// Whether a good answer costs something, reported or not.
    pub spends: bool,
    /// The most that it can use, if it costs something.
    pub bound: Bound,
    /// `x-weir-fault`, for providers that allow it.
    pub fault: Option<Faults>,
    /// The request.
    pub flight: Arc<Flight>,
    /// When it must be over.
    pub deadline: MonoNs,
    /// The caller's own times.
    pub patience: Patience,
}

impl Dispatcher {
    /// Sends a request once and hands its answer over. A JSON answer is whole in memory.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn forward(&self, forward: Forward) -> Result<Reply, ApiError> {
        let (flight, started) = (Arc::clone(&forward.flight), forward.flight.now());
        let target = Arc::clone(&forward.target);
        let outcome = self.try_forward(forward, started).await;
        outcome.map_err(|failed| {
            flight.attempt(&target.provider, &target.model, failed.error.code(), started);
            failed.error
        })
    }

    async fn try_forward(&self, forward: Forward, started: MonoNs) -> Result<Reply, Failed> {
        let provider = Arc::clone(&forward.target.provider);
        if forward.spends {
            self.afford(&forward.flight, &forward.target, || forward.bound.clone()).await?;
        }
        let lease = Lease::take(&forward.target, &forward.flight, 0, true).await?;
        let stake = lease.stake(&forward.target);
        let flight = Arc::clone(&forward.flight);
        let sender = self.senders.load().get(&provider.sender).cloned();
        let sender = sender.ok_or_else(|| internal(format!("provider {} has no sender", provider.id)))?;
        if forward.spends {
            forward.flight.draft().prompt = Some(forward.prompt.clone());
            attempt::begin(&forward.flight, &forward.target, started).await?;
        } else {
            attempt::trying(&forward.flight, &forward.target, started);
        }
        let call = Call {
            method: forward.method,
            uri: uri(&provider, &forward.path, forward.query.as_deref())?,
            headers: call_headers(forward.headers, &lease),
            body: forward.body,
            first_byte: attempt::time_left(
                &forward.flight,
                forward.deadline,
                forward.patience.first_byte(&provider).min(provider.timeouts.total),
            ),
            connect: forward.patience.connect,
            signer: None,
        };
        let trip = Trip {
            flight: forward.flight,
            target: forward.target,
            lease,
            started,
            deadline: attempt::try_deadline(&provider, started, forward.deadline),
            flavor: forward.flavor,
            usage_added: false,
            dialect: Dialect::OpenAiChat,
            model_as: None,
            usage: Arc::clone(&provider.usage),
            translation: None,
            prompt: forward.prompt,
            withheld_goes_on: false,
            patience: forward.patience,
        };
        let outcome = match self.send(&*sender, call, &trip, forward.fault.as_ref()).await {
            Err(error) => Err(classify::send_error(&provider, &error)),
            Ok(answer) => self.passed(trip, answer, forward.spends).await,
        };
        outcome.inspect_err(|failed| stake.failed(failed, flight.metrics(), flight.now()))
    }

    async fn passed(&self, trip: Trip, answer: Answer, spends: bool) -> Result<Reply, Failed> {
        let answer = self.head(&trip, answer).await?;
        if is_event_stream(&answer.headers) {
            return stream::begin(self, trip, answer).await;
        }
        self.pass(trip, answer, spends).await
    }

    async fn pass(&self, mut trip: Trip, mut answer: Answer, spends: bool) -> Result<Reply, Failed> {
        let mut out = headers::for_client(&answer.headers);
        let status = answer.status;
        if !is_json(&answer.headers) {
            trip.record("ok");
            let length = answer.body.declared_length();
            trip.flight.draft().unmetered = spends && trip.flight.draft().usage.is_none();
            let body = RawBody::new(answer.body, length, trip);
            return Ok(Reply { status, headers: out, body: ReplyBody::Raw(Box::new(body)), native: true });
        }
        let body = whole::body(self, &trip, &mut answer).await?;
        trip.arrived();
        trip.succeeded();
        trip.record("ok");
        let read = read_answer(&body, &trip.usage);
        if spends && read.valid {
            let reported = read.usage.is_some();
            whole::note(&trip, read.into(), &body, &mut out);
            let mut draft = trip.flight.draft();
            draft.count = None;
            draft.unmetered = !reported;
        }
        let body = ReplyBody::Whole(WholeBody::new(body, Arc::clone(&trip.flight)));
        Ok(Reply { status, headers: out, body, native: true })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The provider's base URL, the client's path and both queries. The path was checked by the router:
/// it has no dot segments and stays below the base.
fn uri(provider: &ProviderDef, path: &str, query: Option<&str>) -> Result<Uri, Failed> {
    let mut text = format!("{}{path}", provider.base_url);
    let queries = [query, provider.query.as_deref()].into_iter().flatten().filter(|q| !q.is_empty());
    for (i, query) in queries.enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(query);
    }
    text.parse().map_err(|_| Failed {
        error: ApiError::invalid("invalid_url", "the path or query is not a valid URL"),
        next: Next::Stop,
        blame: Blame::Nobody,
    })
}

fn call_headers(mut headers: HeaderMap, lease: &Lease) -> HeaderMap {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    lease.add_headers(&mut headers);
    headers
}

/// An answer that is passed on as it comes: audio, images, files.
pub struct RawBody {
    upstream: AnswerBody,
    length: Option<u64>,
    /// Bytes to come, where the upstream said how many there are.
    left: Option<u64>,
    /// The last bytes, until the flight is settled.
    held: Option<Bytes>,
    settling: Option<Settling>,
    ended: bool,
    idle: Duration,
    last_chunk: Instant,
    timer: Pin<Box<Sleep>>,
    trip: Trip,
}

impl std::fmt::Debug for RawBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawBody").field("length", &self.length).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl RawBody {
    fn new(upstream: AnswerBody, length: Option<u64>, trip: Trip) -> Self {
        trip.flight.draft().first_byte = Some(trip.flight.now());
        let idle = trip.patience.between_chunks(&trip.target.provider);
        let now = Instant::now();
        Self {
            upstream,
            length,
            left: length,
            held: None,
            settling: None,
            ended: false,
            idle,
            last_chunk: now,
            timer: Box::pin(tokio::time::sleep_until(now + idle)),
            trip,
        }
    }

    fn broke(&mut self, status: Status, code: &str, why: &str) -> BodyError {
        self.ended = true;
        match status {
            Status::Timeout => self.trip.given_up(self.last_chunk.elapsed()),
            _ => self.trip.broke(),
        }
        let message = format!("provider {}: {why}", self.trip.target.provider.id);
        self.trip.flight.fail(status, code, &message);
        message.into()
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        ready!(self.timer.as_mut().poll(cx));
        let next = self.last_chunk + self.idle;
        if next > Instant::now() {
            self.timer.as_mut().reset(next);
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(self.broke(Status::Timeout, "upstream_timeout", "the answer stalled"))
    }
}

impl Body for RawBody {
    type Data = Bytes;
    type Error = BodyError;

    /// A raw body has no place for an error event: when it breaks, the connection does, which is
    /// the only way HTTP has to say that what came is not all.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(settling) = &mut this.settling {
            ready!(settling.as_mut().poll(cx));
            this.settling = None;
        }
        if let Some(chunk) = this.held.take() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        match this.upstream.poll_chunk(cx) {
            Poll::Pending => this.poll_idle(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Ok(chunk))) => {
                this.last_chunk = Instant::now();
                this.left = this.left.map(|left| left.saturating_sub(chunk.len() as u64));
                if this.left == Some(0) {
                    this.trip.succeeded();
                    this.trip.flight.conclude(Status::Ok);
                    this.held = Some(chunk);
                    this.settling = this.trip.flight.settle();
                    return Pin::new(this).poll_frame(cx);
                }
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Poll::Ready(Some(Err(_))) => {
                let error = this.broke(Status::UpstreamError, "upstream_error", "the answer broke off");
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.ended = true;
                this.trip.succeeded();
                this.trip.flight.conclude(Status::Ok);
                this.settling = this.trip.flight.settle();
                Pin::new(this).poll_frame(cx)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
