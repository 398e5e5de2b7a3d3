//! Bodies of requests must come at a pace: a client that sends a byte now and then holds a place for as
//! long as it likes, and never pauses for long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::clock::{Clock, MonoNs};
use crate::upstream::BodyFault;
use crate::upstream::body::BodyError;

/// How fast bodies must come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What may be waited for a body in any case.
    pub grace: Duration,
    /// Bytes that earn a second more, above 0.
    pub rate: u64,
}

impl Pace {
    /// A request's body, at this pace. Only the time in which the gateway waits for the client counts.
    pub fn body(self, incoming: Incoming, clock: &Clock) -> Body {
        if http_body::Body::is_end_stream(&incoming) {
            return Body::empty();
        }
        Body::new(Paced {
            incoming,
            pace: self,
            clock: clock.clone(),
            received: 0,
            waited: 0,
            since: None,
            alarm: None,
        })
    }

    /// What may be waited for a body of which so many bytes came.
    fn allows(self, received: u64) -> Duration {
        let earned = u128::from(received) * 1_000_000_000 / u128::from(self.rate.max(1));
        self.grace.saturating_add(Duration::from_nanos(u64::try_from(earned).unwrap_or(u64::MAX)))
    }
}

struct Paced {
    incoming: Incoming,
    pace: Pace,
    clock: Clock,
    received: u64,
    /// Nanoseconds that were waited so far.
    waited: u64,
    since: Option<MonoNs>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            self.since = Some(self.clock.mono_ns());
            let left = self.pace.allows(self.received).saturating_sub(Duration::from_nanos(self.waited));
            match &mut self.alarm {
                Some(alarm) => alarm.set(tokio::time::sleep(left)),
                None => self.alarm = Some(Box::pin(tokio::time::sleep(left))),
            }
        }
        self.alarm.as_mut().map_or(Poll::Pending, |alarm| alarm.as_mut().poll(cx))
    }

    fn came(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(self.clock.mono_ns().saturating_sub(since));
        }
        self.received = self.received.saturating_add(bytes as u64);
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.came(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(fault(&error).into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                std::task::ready!(self.wait(cx));
                Poll::Ready(Some(Err(BodyFault::Slow(self.pace.rate).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What is wrong with a body that hyper gives up.
fn fault(error: &hyper::Error) -> BodyFault {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{InvalidData, InvalidInput};
            return if matches!(io.kind(), InvalidData | InvalidInput) {
                BodyFault::BadFraming(io.to_string())
            } else {
                BodyFault::Incomplete
            };
        }
        source = cause.source();
    }
    BodyFault::Incomplete
}
