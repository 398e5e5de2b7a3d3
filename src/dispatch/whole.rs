//! Answers that come whole: read, metered, then passed on byte for byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use http::{StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use weir_wire::answer::read_answer;
use weir_wire::hub::{AnswerError, Dialect};
use weir_wire::tap::{Flavor, with_model};
use weir_wire::translate::Facts;
use weir_wire::usage::Usage;

use super::attempt::{Trip, invalid_answer, is_event_stream};
use super::outcome::{Blame, of_timeout};
use super::withheld::{self, is_withheld};
use super::{Dispatcher, Failed, Next, Reply, ReplyBody, classify, translation};
use crate::error::ApiError;
use crate::flight::{Flight, Settling};
use crate::meter::count::CountJob;
use crate::record::Status;
use crate::snapshot::{ProviderDef, Target};
use crate::upstream::Answer;
use crate::upstream::body::{BodyError, CollectError, collect_within};
use crate::upstream::headers::for_client;

/// Most tokens of one call that are believed, in and out: a hundred times what the largest models take.
const MAX_TOKENS: u64 = 1_000_000_000;

/// Reads an answer to its end.
///
/// # Errors
/// When it breaks off, is too large, takes too long or is not JSON.
pub(super) async fn read(dispatcher: &Dispatcher, mut trip: Trip, mut answer: Answer) -> Result<Reply, Failed> {
    let provider = &trip.target.provider;
    let body = body(dispatcher, &trip, &mut answer).await?;
    if trip.translation.is_some() || matches!(trip.dialect, Dialect::Anthropic | Dialect::Gemini) {
        return decoded(trip, &answer.headers, body).await;
    }
    let read = read_answer(&body, &trip.usage);
    if !read.valid {
        return Err(invalid_answer(provider, "it is not JSON"));
    }
    // A response that failed is a response, with its status and its error in it.
    if let Some(told) = read.error.as_ref().filter(|_| trip.flavor != Flavor::Responses) {
        return Err(classify::in_band(provider, told));
    }
    if trip.withheld_goes_on && is_withheld(trip.dialect, &body, &trip.usage) {
        return Err(withheld::failed(&mut trip, credible(read.usage)));
    }
    trip.arrived();
    trip.succeeded();
    trip.record("ok");
    let mut out = for_client(&answer.headers);
    note(&trip, read.into(), &body, &mut out);
    let body = ReplyBody::Whole(WholeBody::new(body, Arc::clone(&trip.flight)));
    Ok(Reply { status: answer.status, headers: out, body, native: true })
}

/// An answer that its dialect's codec reads: to be written anew for the caller, or to be metered and
/// passed on.
async fn decoded(mut trip: Trip, headers: &HeaderMap, body: Bytes) -> Result<Reply, Failed> {
    let provider = &trip.target.provider;
    let streamed = is_event_stream(headers);
    let read = match translation::decode(trip.dialect, &body, streamed, &trip.usage) {
        Ok(read) => read,
        Err(AnswerError::Upstream(told)) => return Err(classify::in_band(provider, &told)),
        Err(error @ AnswerError::Decode(_)) => return Err(invalid_answer(provider, &error.to_string())),
    };
    let told = translation::facts(&read);
    if trip.withheld_goes_on && told.withheld() {
        return Err(withheld::failed(&mut trip, credible(told.usage)));
    }
    trip.arrived();
    trip.succeeded();
    trip.record("ok");
    let native = trip.translation.is_none();
    let mut out = for_client(headers);
    note(&trip, told.into(), &body, &mut out);
    let body = match trip.translation.take() {
        None => trip.model_as.as_deref().and_then(|model| with_model(&body, model)).unwrap_or(body),
        Some(translation) => {
            let (body, content_type) = translation.encode(read).await;
            out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            body
        }
    };
    let body = ReplyBody::Whole(WholeBody::new(body, Arc::clone(&trip.flight)));
    Ok(Reply { status: StatusCode::OK, headers: out, body, native })
}

/// What an answer says of itself, for the record.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub model: Option<String>,
    pub tier: Option<String>,
    pub usage: Option<Usage>,
    /// Whether that cannot be as it was told.
    pub bent: bool,
    /// The text it holds, where its own form is not for counting.
    pub output: Option<String>,
}

impl From<weir_wire::answer::Answer> for Noted {
    fn from(read: weir_wire::answer::Answer) -> Self {
        Self { model: read.model, tier: read.service_tier, usage: read.usage, bent: read.clamped, output: None }
    }
}

impl From<Facts> for Noted {
    fn from(facts: Facts) -> Self {
        let output = Some(facts.output_text().to_owned());
        Self { model: facts.model, tier: facts.tier, usage: facts.usage, bent: facts.bent, output }
    }
}

/// Collects an answer's body within the limits of size and time.
pub(super) async fn body(dispatcher: &Dispatcher, trip: &Trip, answer: &mut Answer) -> Result<Bytes, Failed> {
    let provider = &trip.target.provider;
    let left = trip.time_left(provider.timeouts.total);
    let (first, pause) = (trip.patience.first_byte(provider), trip.patience.between_chunks(provider));
    let mut reading = std::pin::pin!(collect_within(&mut answer.body, dispatcher.max_answer, first, pause));
    // A short answer is there with its head: a timer is set only for one that is not.
    let read = match reading.as_mut().now_or_never() {
        Some(read) => Ok(read),
        None => tokio::time::timeout(left, reading).await,
    };
    match read {
        Err(_) => Err(timed_out(trip, left)),
        Ok(Err(CollectError::TooLarge)) => Err(invalid_answer(provider, "it is larger than the gateway holds")),
        Ok(Err(CollectError::Stalled(after))) => Err(stalled(trip, after)),
        Ok(Err(CollectError::Broken(e))) => Err(broken(trip, &e)),
        Ok(Ok(body)) => Ok(body),
    }
}

fn timed_out(trip: &Trip, after: Duration) -> Failed {
    let message = format!("provider {}: no complete answer within {after:?}", trip.target.provider.id);
    let waited = trip.flight.now().saturating_sub(trip.started);
    let blame = of_timeout(Duration::from_nanos(waited), trip.target.provider.timeouts.total);
    Failed { error: ApiError::upstream_timeout(message), next: Next::Unanswered, blame }
}

fn stalled(trip: &Trip, after: Duration) -> Failed {
    let message = format!("provider {}: its answer stalled for {after:?}", trip.target.provider.id);
    let timeouts = &trip.target.provider.timeouts;
    let blame = of_timeout(after, timeouts.between_chunks.min(timeouts.first_byte));
    Failed { error: ApiError::upstream_timeout(message), next: Next::Unanswered, blame }
}

fn broken(trip: &Trip, why: &BodyError) -> Failed {
    tracing::warn!(provider = %trip.target.provider.id, %why, "provider {} broke off its answer: {why}", trip.target.provider.id);
    let message = format!("provider {} broke off its answer", trip.target.provider.id);
    Failed { error: ApiError::upstream("upstream_error", message), next: Next::Again, blame: Blame::Target }
}

/// Notes what the answer says of itself, and what it cost.
pub(super) fn note(trip: &Trip, mut read: Noted, body: &Bytes, out: &mut HeaderMap) {
    let output = read.output.take();
    let count = || match output {
        Some(output) => CountJob { output, ..trip.count_job() },
        None => CountJob { answer: body.clone(), ..trip.count_job() },
    };
    noted(&trip.flight, &trip.target, read, count, out);
}

/// A usage that a call can have had. One that is beyond all reason is as good as none: it would cost a fortune, or its
/// row would be taken for damaged.
pub(super) fn credible(usage: Option<Usage>) -> Option<Usage> {
    usage.filter(|used| used.input <= MAX_TOKENS && used.output <= MAX_TOKENS)
}

/// The warning of a usage that cannot be as it was told.
pub(super) fn bent(provider: &ProviderDef) -> String {
    format!("provider {} told a usage that cannot be; it was bent into shape, or counted here", provider.id)
}

/// The same of an answer to several calls; `count` says what to count if usage was not reported.
pub(super) fn noted(
    flight: &Flight,
    target: &Target,
    read: Noted,
    count: impl FnOnce() -> CountJob,
    out: &mut HeaderMap,
) {
    if read.bent {
        flight.warn(bent(&target.provider));
    }
    let (at, usage) = (flight.at, credible(read.usage));
    let mut draft = flight.draft();
    draft.first_byte = Some(flight.now());
    draft.served_model = read.model;
    draft.tier = read.tier;
    draft.usage = usage;
    match (&usage, &target.price) {
        (Some(usage), Some(price)) => {
            let cost = price.cost(usage, draft.tier.as_deref(), at).nano;
            let cost = draft.sunk.as_ref().map_or(cost, |sunk| sunk.cost_with(cost)).to_string();
            out.insert("x-weir-cost-usd", HeaderValue::from_str(&cost).unwrap_or(HeaderValue::from_static("0")));
        }
        (Some(_), None) => {}
        (None, _) => draft.count = Some(count()),
    }
}

/// A whole answer on its way to the client. The flight ends well, and is settled, once the body is
/// taken.
pub struct WholeBody {
    bytes: Option<Bytes>,
    taken: bool,
    settling: Option<Settling>,
    flight: Arc<Flight>,
}

impl std::fmt::Debug for WholeBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeBody").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl WholeBody {
    /// A body that concludes `flight` when it is taken.
    #[must_use]
    pub fn new(bytes: Bytes, flight: Arc<Flight>) -> Self {
        Self { bytes: Some(bytes), taken: false, settling: None, flight }
    }

    /// The bytes, as long as they have not been taken.
    #[must_use]
    pub fn peek(&self) -> Option<Bytes> {
        self.bytes.clone()
    }

    /// The same answer with other bytes.
    #[must_use]
    pub fn replaced(self, bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.taken {
            self.taken = true;
            self.flight.conclude(Status::Ok);
            self.settling = self.flight.settle();
        }
        if let Some(settling) = &mut self.settling {
            ready!(settling.as_mut().poll(cx));
            self.settling = None;
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |b| b.len() as u64))
    }
}
