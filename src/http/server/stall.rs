//! Answers that nobody takes in over HTTP/2, where the socket goes on and one stream's window stays shut.
//!
//! hyper asks a body for more only once the client has room for it, so that a body cannot notice. It is
//! the stream's task that waits, and so the task that is watched ([`Streams`]); what it waits for the
//! answer's body says ([`Watch`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::lifecycle::Lifecycle;

tokio::task_local! {
    /// The stream whose task is running.
    static WATCH: Arc<Watch>;
}

/// What a stream's task waits for: an odd number while the client has something to take in, another one
/// each time.
#[derive(Debug, Default)]
pub struct Watch(AtomicU64);

impl Watch {
    /// Of the task that is running; none over HTTP/1.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        WATCH.try_with(Arc::clone).ok()
    }

    /// Something was handed out.
    pub fn handed(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    /// It was taken in: more is asked for.
    pub fn asked(&self) {
        if self.0.load(Ordering::Relaxed) & 1 == 1 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs the tasks of HTTP/2 streams: a stop waits for them, and a client that takes nothing in for so long
/// loses its stream.
#[derive(Clone, Debug)]
pub struct Streams {
    lifecycle: Lifecycle,
    limit: Duration,
}

impl Streams {
    /// With this limit.
    #[must_use]
    pub fn new(lifecycle: Lifecycle, limit: Duration) -> Self {
        Self { lifecycle, limit }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let watch = Arc::new(Watch::default());
        let watched = Watched { stream: Box::pin(stream), watch: Arc::clone(&watch), limit: self.limit, alarm: None };
        self.lifecycle.stream(WATCH.scope(watch, watched));
    }
}

struct Watched<F> {
    stream: Pin<Box<F>>,
    watch: Arc<Watch>,
    limit: Duration,
    /// The wait that it is for, and the alarm.
    alarm: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let wait = this.watch.0.load(Ordering::Relaxed);
        if wait & 1 == 0 {
            return Poll::Pending;
        }
        match &mut this.alarm {
            Some((of, _)) if *of == wait => {}
            Some((of, alarm)) => {
                *of = wait;
                alarm.set(tokio::time::sleep(this.limit));
            }
            None => this.alarm = Some((wait, Box::pin(tokio::time::sleep(this.limit)))),
        }
        // Dropped with its end unsent, the stream is reset.
        this.alarm.as_mut().map_or(Poll::Pending, |(_, alarm)| alarm.as_mut().poll(cx))
    }
}
