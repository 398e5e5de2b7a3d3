//! Answers that come as a stream: each event is looked at and passed on as it came.
//!
//! The body promises: a stream that its upstream finished is finished for the client, byte for byte;
//! one that broke ends with an error event in the client's dialect, never with an invented
//! `finish_reason` or `[DONE]`; and however it ends, its flight is settled once. It reads from the
//! upstream only when the client reads from it, so a slow reader holds one chunk and one unfinished
//! event, no more.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use weir_wire::sse::{Frame as SseFrame, SseFramer};
use weir_wire::tap::{Flavor, Seen, StreamTap, splice_cost};

use super::attempt::{Trip, invalid_answer};
use super::{Dispatcher, Failed, Next, Reply, ReplyBody, classify};
use crate::error::ApiError;
use crate::record::Status;
use crate::upstream::body::BodyError;
use crate::upstream::{Answer, AnswerBody, headers};

/// Longest single event.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;
/// Most that is read before the first event decides whether this is an answer or an error.
const MAX_PREFACE: usize = 64 * 1024;

/// Waits for the first event, and starts the stream if it is no error.
///
/// # Errors
/// When the stream ends, stalls or reports an error before its first event.
pub(super) async fn begin(dispatcher: &Dispatcher, trip: Trip, answer: Answer) -> Result<Reply, Failed> {
    let out = headers::for_client(&answer.headers);
    let mut body = StreamBody::new(dispatcher, trip, answer.body);
    let left = body.trip.time_left(body.trip.target.provider.timeouts.first_byte);
    match tokio::time::timeout(left, body.first_event()).await {
        Err(_) if body.shows_life() => {}
        Err(_) => return Err(body.abandon(Opening::Stalled(left))),
        Ok(Err(opening)) => return Err(body.abandon(opening)),
        Ok(Ok(())) => {}
    }
    body.trip.record("ok");
    body.trip.flight.draft().first_byte = Some(body.trip.flight.now());
    body.started = true;
    body.arm_timers();
    Ok(Reply { status: answer.status, headers: out, body: ReplyBody::Stream(Box::new(body)) })
}

/// Why a stream did not start.
#[derive(Debug)]
enum Opening {
    Stalled(Duration),
    Ended,
    Broken(String),
    Refused(weir_wire::fault::UpstreamError),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its upstream said so.
    Complete,
    /// Its upstream stopped without saying so, or broke.
    Cut,
    /// Its upstream reported an error, which was passed on.
    Reported,
    /// A time limit passed.
    TimedOut,
    /// The gateway is stopping.
    Stopping,
}

/// A stream on its way from an upstream to a client.
pub struct StreamBody {
    upstream: AnswerBody,
    framer: SseFramer,
    tap: StreamTap,
    ready: VecDeque<Bytes>,
    ended: bool,
    /// The usage chunk is hidden from a client that did not ask for it.
    hide_usage: bool,
    idle: Duration,
    last_chunk: Instant,
    total_deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The error an event reported: code and text.
    reported: Option<(String, String)>,
    /// Whether the client was promised a stream.
    started: bool,
    trip: Trip,
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl StreamBody {
    fn new(dispatcher: &Dispatcher, trip: Trip, upstream: AnswerBody) -> Self {
        let provider = &trip.target.provider;
        let now = Instant::now();
        Self {
            upstream,
            framer: SseFramer::new(MAX_EVENT),
            tap: StreamTap::new(trip.flavor, Arc::clone(&provider.usage)),
            ready: VecDeque::new(),
            ended: false,
            hide_usage: trip.usage_added,
            idle: provider.timeouts.between_chunks,
            last_chunk: now,
            total_deadline: now,
            timer: None,
            stop: Box::pin(dispatcher.hard_stop.clone().cancelled_owned()),
            reported: None,
            started: false,
            trip,
        }
    }

    /// The id the upstream gave its answer, once an event has named it.
    #[must_use]
    pub fn object_id(&self) -> Option<String> {
        self.tap.id().map(ToOwned::to_owned)
    }

    /// The timers start with the answer's head; until then the caller's own time limit holds.
    fn arm_timers(&mut self) {
        self.last_chunk = Instant::now();
        self.total_deadline = self.last_chunk + self.trip.time_left(self.trip.target.provider.timeouts.total);
        self.timer = Some(Box::pin(tokio::time::sleep_until(self.next_alarm())));
    }

    fn next_alarm(&self) -> Instant {
        (self.last_chunk + self.idle).min(self.total_deadline)
    }

    /// Whether something came, if only comments: an upstream that says it is still at work has not
    /// timed out. Responses wait for their id, without which nobody would own them.
    fn shows_life(&self) -> bool {
        !self.ready.is_empty() && (self.trip.flavor != Flavor::Responses || self.tap.id().is_some())
    }

    /// Reads until an event that is more than a comment.
    async fn first_event(&mut self) -> Result<(), Opening> {
        let mut preface = 0;
        loop {
            let chunk = match self.upstream.chunk().await {
                None => return Err(Opening::Ended),
                Some(Err(e)) => return Err(Opening::Broken(e.to_string())),
                Some(Ok(chunk)) => chunk,
            };
            let queued = self.ready.len();
            let turn = self.take_chunk(chunk);
            preface += self.ready.range(queued..).map(Bytes::len).sum::<usize>();
            match turn {
                Some(Turn::Refused(error)) => return Err(Opening::Refused(error)),
                Some(Turn::Broken(why)) => return Err(Opening::Broken(why.to_owned())),
                Some(Turn::Substance) => return Ok(()),
                None if preface > MAX_PREFACE => return Ok(()),
                None => {}
            }
        }
    }

    /// Gives the stream up before it started: another target may still serve the request.
    fn abandon(mut self, opening: Opening) -> Failed {
        self.ended = true;
        let provider = &self.trip.target.provider;
        match opening {
            Opening::Refused(error) => classify::in_band(provider, &error),
            Opening::Stalled(after) => {
                let message = format!("provider {}: no event within {after:?}", provider.id);
                Failed { error: ApiError::upstream_timeout(message), next: Next::OtherTarget }
            }
            Opening::Ended => invalid_answer(provider, "the stream ended before its first event"),
            Opening::Broken(why) => invalid_answer(provider, &why),
        }
    }

    /// Looks at the events a chunk completes and queues what the client gets. Says what the first
    /// telling event among them was.
    fn take_chunk(&mut self, chunk: Bytes) -> Option<Turn> {
        self.framer.push(chunk);
        let mut turn = None;
        while let Some(frame) = self.framer.next() {
            let Ok(frame) = frame else { return Some(Turn::Broken("an event is longer than 8 MiB")) };
            let seen = self.tap.observe(&frame);
            match &seen {
                Seen::UsageOnly(_) if self.hide_usage => continue,
                Seen::UsageOnly(usage) => {
                    let shown = self.with_cost(&frame, *usage);
                    self.ready.push_back(shown);
                }
                Seen::Malformed if self.trip.flavor != Flavor::Other => {
                    return Some(Turn::Broken("an event is not JSON"));
                }
                Seen::Error(told) if self.trip.target.provider.secrets.are_in(&frame.raw) => {
                    let told = classify::masked(&self.trip.target.provider, told);
                    let error = ApiError::upstream("upstream_error", told.message);
                    self.ready.push_back(error_event(self.trip.flavor, &error));
                }
                _ => self.ready.push_back(frame.raw.clone()),
            }
            let this = match seen {
                Seen::Quiet => None,
                Seen::Error(error) => {
                    let error = classify::masked(&self.trip.target.provider, &error);
                    self.reported = Some((error.code.clone().unwrap_or_default(), error.message.clone()));
                    Some(Turn::Refused(error))
                }
                _ => Some(Turn::Substance),
            };
            turn = turn.or(this);
        }
        turn
    }

    /// The usage chunk with `cost_usd` in its usage object, when the model has a price.
    fn with_cost(&self, frame: &SseFrame, usage: weir_wire::json::Span) -> Bytes {
        let cost = self
            .tap
            .usage()
            .zip(self.trip.target.price.as_ref())
            .map(|(used, price)| price.cost(&used, self.tap.service_tier(), self.trip.flight.at).nano.to_string());
        cost.map_or_else(|| frame.raw.clone(), |cost| splice_cost(frame, usage, &cost))
    }

    /// The last event of a stream may lack its blank line: `data: [DONE]` and no more.
    fn take_end(&mut self) {
        let last = self.framer.end().unwrap_or_else(|| SseFrame::new(self.framer.take_rest(), false));
        if !last.raw.is_empty() && matches!(self.tap.observe(&last), Seen::Done) {
            self.ready.push_back(last.raw);
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.as_mut().poll(cx).is_ready() {
            self.end(End::Stopping);
            return Poll::Ready(());
        }
        if self.reported.is_some() {
            self.end(End::Reported);
            return Poll::Ready(());
        }
        match self.upstream.poll_chunk(cx) {
            Poll::Pending => return self.poll_timer(cx),
            // A busy stream never waits, so its timer is never asked.
            Poll::Ready(Some(Ok(_))) if Instant::now() >= self.total_deadline => self.end(End::TimedOut),
            Poll::Ready(Some(Ok(chunk))) => {
                self.last_chunk = Instant::now();
                if let Some(Turn::Broken(_)) = self.take_chunk(chunk) {
                    self.end(End::Cut);
                }
            }
            Poll::Ready(Some(Err(_))) => self.end(End::Cut),
            Poll::Ready(None) => {
                self.take_end();
                self.end(End::Cut);
            }
        }
        Poll::Ready(())
    }

    /// The timer is moved only when it rings: a busy stream touches it once per idle period.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = self.next_alarm();
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        if next <= Instant::now() {
            self.end(End::TimedOut);
            return Poll::Ready(());
        }
        timer.as_mut().reset(next);
        // Polled once more to register the new time.
        if timer.as_mut().poll(cx).is_ready() {
            self.end(End::TimedOut);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Ends the stream. What its upstream had finished is finished, whatever happens to the
    /// connection afterwards.
    fn end(&mut self, end: End) {
        self.ended = true;
        let end = if end != End::Reported && self.tap.complete() { End::Complete } else { end };
        let provider = &self.trip.target.provider.id;
        match end {
            End::Complete => {
                self.trip.flight.conclude(Status::Ok);
            }
            End::Reported => {
                let (code, message) = self.reported.take().unwrap_or_default();
                let code = if code.is_empty() { "upstream_error" } else { &code };
                self.trip.flight.fail(Status::UpstreamError, code, &message);
            }
            End::Cut => {
                let message = format!("provider {provider} broke the stream off before it was finished");
                self.say(&ApiError::upstream("upstream_error", message));
            }
            End::TimedOut => {
                let message = format!("provider {provider}: the stream stalled or took too long");
                self.say(&ApiError::upstream_timeout(message));
            }
            End::Stopping => {
                let error =
                    ApiError::upstream("gateway_stopping", "the gateway is shutting down; the stream is incomplete");
                self.say(&ApiError { outcome: Status::Interrupted, ..error });
            }
        }
    }

    /// Ends the stream with an error event, the only honest end of an incomplete one.
    fn say(&mut self, error: &ApiError) {
        self.trip.flight.fail(error.outcome, error.code(), &error.message);
        self.ready.push_back(error_event(self.trip.flavor, error));
    }
}

/// An error as the last event of a stream, in the shape that flavour's clients read.
fn error_event(flavor: Flavor, error: &ApiError) -> Bytes {
    match flavor {
        Flavor::Responses => {
            let body = serde_json::json!({
                "type": "error", "code": error.code, "message": error.message, "param": error.param, "sequence_number": 0,
            });
            format!("event: error\ndata: {body}\n\n").into()
        }
        _ => [b"data: ", &error.body()[..], b"\n\n"].concat().into(),
    }
}

/// What a chunk's events amount to.
#[derive(Debug)]
enum Turn {
    /// The upstream reports an error.
    Refused(weir_wire::fault::UpstreamError),
    /// Something other than comments.
    Substance,
    /// The framing is broken.
    Broken(&'static str),
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            ready!(this.poll_upstream(cx));
        }
    }
}

impl Drop for StreamBody {
    /// Leaves what was seen in the draft; the flight settles when its last holder goes.
    fn drop(&mut self) {
        if !self.started {
            return; // given up before it started: the next target's figures count
        }
        // Some clients hang up at `[DONE]` without waiting for the connection's end.
        if !self.ended && self.ready.is_empty() && self.tap.complete() {
            self.trip.flight.conclude(Status::Ok);
        }
        let mut draft = self.trip.flight.draft();
        draft.usage = self.tap.usage();
        draft.served_model = self.tap.model().map(ToOwned::to_owned);
        draft.tier = self.tap.service_tier().map(ToOwned::to_owned);
        if draft.usage.is_none() {
            let mut job = self.trip.count_job();
            job.output_beyond = self.tap.output_bytes().saturating_sub(self.tap.output_text().len() as u64);
            job.output = self.tap.output_text().to_owned();
            draft.count = Some(job);
        }
    }
}
