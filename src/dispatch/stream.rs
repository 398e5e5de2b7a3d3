//! Answers that come as a stream: each event is looked at and passed on as it came.
//!
//! The body promises: a stream that its upstream finished is finished for the client, byte for byte;
//! one that broke ends with an error event in the client's dialect, never with an invented
//! `finish_reason` or `[DONE]`; and however it ends, its flight is settled once. It reads from the
//! upstream only when the client reads from it, so a slow reader holds one chunk and one unfinished
//! event, no more.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use weir_wire::tap::Flavor;

use super::attempt::{Trip, invalid_answer};
use super::flow::Flow;
use super::outcome::of_timeout;
use super::{Dispatcher, Failed, Next, Reply, ReplyBody, classify, whole, withheld};
use crate::error::ApiError;
use crate::flight::Settling;
use crate::record::Status;
use crate::upstream::body::BodyError;
use crate::upstream::{Answer, AnswerBody, headers};

/// Longest single event.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;
/// Most that is read before the first event decides whether this is an answer or an error.
const MAX_PREFACE: usize = 64 * 1024;

/// How long the end of a stream without usage waits for usage after it.
const GRACE: Duration = Duration::from_millis(300);

/// Waits for the first event, and starts the stream if it is no error.
///
/// # Errors
/// When the stream ends, stalls or reports an error before its first event.
pub(super) async fn begin(dispatcher: &Dispatcher, trip: Trip, answer: Answer) -> Result<Reply, Failed> {
    let native = trip.translation.is_none();
    let mut out = headers::for_client(&answer.headers);
    if let Some(translation) = &trip.translation {
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(translation.stream_type()));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let mut body = StreamBody::new(dispatcher, trip, answer.body);
    let left = body.trip.time_left(body.trip.patience.first_byte(&body.trip.target.provider));
    match tokio::time::timeout(left, body.first_event()).await {
        Err(_) if body.shows_life() => {}
        Err(_) => return Err(body.abandon(Opening::Stalled(left))),
        Ok(Err(opening)) => return Err(body.abandon(opening)),
        Ok(Ok(())) if body.trip.withheld_goes_on && body.flow.withheld(&body.trip, &body.ready) => {
            return Err(body.withheld().await);
        }
        Ok(Ok(())) => {}
    }
    body.trip.arrived();
    body.trip.record("ok");
    body.trip.flight.draft().first_byte = Some(body.trip.flight.now());
    body.started = true;
    body.arm_timers();
    Ok(Reply { status: answer.status, headers: out, body: ReplyBody::Stream(Box::new(body)), native })
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
    flow: Flow,
    ready: VecDeque<Bytes>,
    ended: bool,
    /// The upstream's end was seen already, and is a good one.
    exhausted: bool,
    idle: Duration,
    last_chunk: Instant,
    total_deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The error an event reported: code and text.
    reported: Option<(String, String)>,
    /// Whether the client was promised a stream.
    started: bool,
    /// The row on its way to the disk; until it is there the client does not get the end.
    settling: Option<Settling>,
    settled: bool,
    /// How long the end is held back for usage that may follow it.
    grace: Option<Pin<Box<Sleep>>>,
    trip: Trip,
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl StreamBody {
    fn new(dispatcher: &Dispatcher, mut trip: Trip, upstream: AnswerBody) -> Self {
        let flow = Flow::of(&mut trip);
        let provider = &trip.target.provider;
        let now = Instant::now();
        Self {
            upstream,
            flow,
            ready: VecDeque::new(),
            ended: false,
            exhausted: false,
            idle: trip.patience.between_chunks(provider),
            last_chunk: now,
            total_deadline: now,
            timer: None,
            stop: Box::pin(dispatcher.hard_stop.clone().cancelled_owned()),
            reported: None,
            started: false,
            settling: None,
            settled: false,
            grace: None,
            trip,
        }
    }

    /// The id the upstream gave its answer, once an event has named it.
    #[must_use]
    pub fn object_id(&self) -> Option<String> {
        self.flow.id().map(ToOwned::to_owned)
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
        !self.ready.is_empty() && (self.trip.flavor != Flavor::Responses || self.flow.id().is_some())
    }

    /// Reads until an event that is more than a comment.
    async fn first_event(&mut self) -> Result<(), Opening> {
        let mut preface = 0;
        loop {
            let chunk = match self.upstream.chunk().await {
                // Of a dialect that ends with its connection: all that it says may be why it says nothing.
                None if self.flow.complete() => {
                    self.flow.finish(&self.trip, &mut self.ready);
                    self.exhausted = true;
                    return Ok(());
                }
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
                let blame = of_timeout(after, provider.timeouts.first_byte);
                Failed { error: ApiError::upstream_timeout(message), next: Next::Unanswered, blame }
            }
            Opening::Ended => invalid_answer(provider, "the stream ended before its first event"),
            Opening::Broken(why) => invalid_answer(provider, &why),
        }
    }

    /// Gives the stream up because a filter left nothing to say in it. What it used may follow.
    async fn withheld(mut self) -> Failed {
        let rest = async {
            while !self.exhausted
                && let Some(Ok(chunk)) = self.upstream.chunk().await
            {
                self.take_chunk(chunk);
            }
        };
        // Whether it came or not, it is not waited for any longer.
        let _ = tokio::time::timeout(GRACE, rest).await;
        self.ended = true;
        let usage = self.flow.usage();
        withheld::failed(&mut self.trip, usage)
    }

    /// Looks at the events a chunk completes and queues what the client gets. Says what the first
    /// telling event among them was.
    fn take_chunk(&mut self, chunk: Bytes) -> Option<Turn> {
        let Step { turn, error } = self.flow.chunk(&self.trip, chunk, &mut self.ready);
        if let Some(error) = error {
            self.reported = Some((error.code.unwrap_or_default(), error.message));
        }
        turn
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
        if self.exhausted {
            self.end(End::Cut);
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
                self.flow.finish(&self.trip, &mut self.ready);
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
        let end = if end != End::Reported && self.flow.complete() { End::Complete } else { end };
        match end {
            End::Cut | End::Reported => self.trip.broke(),
            End::TimedOut => self.trip.given_up(self.last_chunk.elapsed()),
            End::Complete | End::Stopping => {}
        }
        let provider = &self.trip.target.provider.id;
        match end {
            End::Complete => {
                self.trip.succeeded();
                self.flow.close(&self.trip, &mut self.ready);
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
        self.flow.fail(&self.trip, error, &mut self.ready);
    }
}

/// What a chunk brought.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The first telling thing.
    pub turn: Option<Turn>,
    /// The error the upstream reported, if any.
    pub error: Option<weir_wire::fault::UpstreamError>,
}

impl Step {
    /// Adds what came next.
    pub(super) fn then(&mut self, turn: Option<Turn>) {
        if let Some(Turn::Refused(error)) = &turn {
            self.error.get_or_insert_with(|| error.clone());
        }
        self.turn = self.turn.take().or(turn);
    }
}

/// What a chunk's events amount to.
#[derive(Debug)]
pub(super) enum Turn {
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
            if let Some(keeping) = this.flow.keeping() {
                ready!(keeping.as_mut().poll(cx));
                this.flow.kept();
            }
            ready!(this.poll_settled(cx));
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

impl StreamBody {
    /// Before the client gets the end of its answer the row is settled. The end is what says that the
    /// answer is finished, not the connection's: some clients hang up there. Where no usage has come by
    /// then, the end is held back until the upstream's: some report it afterwards.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.settled && (self.ended || self.flow.terminal()) {
            if self.ended || self.flow.usage().is_some() {
                self.settle();
            } else if self.poll_upstream(cx).is_pending() {
                let grace = self.grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
                ready!(grace.as_mut().poll(cx));
                self.settle();
            }
        }
        if let Some(settling) = &mut self.settling {
            ready!(settling.as_mut().poll(cx));
            self.settling = None;
        }
        Poll::Ready(())
    }

    fn settle(&mut self) {
        self.settled = true;
        if self.flow.complete() {
            self.trip.flight.conclude(Status::Ok);
        }
        self.note();
        self.settling = self.trip.flight.settle();
    }

    /// Leaves what was seen in the draft.
    fn note(&self) {
        if self.flow.bent() {
            self.trip.flight.warn(whole::bent(&self.trip.target.provider));
        }
        let mut draft = self.trip.flight.draft();
        draft.usage = self.flow.usage();
        draft.served_model = self.flow.model().map(ToOwned::to_owned);
        draft.tier = self.flow.tier().map(ToOwned::to_owned);
        if draft.usage.is_none() {
            let mut job = self.trip.count_job();
            let (kept, bytes) = self.flow.output();
            job.output_beyond = bytes.saturating_sub(kept.len() as u64);
            job.output = kept.to_owned();
            draft.count = Some(job);
        }
    }
}

impl Drop for StreamBody {
    /// The client left before the end.
    fn drop(&mut self) {
        // One that was given up before it started: the next target's figures count.
        if self.started && !self.settled {
            self.note();
        }
    }
}
