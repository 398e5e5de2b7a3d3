//! Requests at a fixed rate, whatever became of those before, each by a connection that is free or a new one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::load::{End, Reading};
use super::super::wire::{Connection, Wire, request};

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that is over.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    /// Its number.
    pub(super) number: u64,
    /// Which of the routes it asked for.
    pub(super) route: usize,
    /// When it was due, since the pulse began.
    pub(super) at: Duration,
    /// From then until the last byte of its answer.
    pub(super) took: Duration,
    /// Whether its answer was whole; else what the client saw.
    pub(super) outcome: Wire<()>,
}

/// Clients of one gateway.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The gateway.
    pub(super) url: String,
    /// The key they have.
    pub(super) key: String,
    /// The routes that they ask for in turn.
    pub(super) routes: &'static [&'static str],
    free: Mutex<Vec<Connection>>,
    next: AtomicU64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Pulse {
    /// Clients without a connection yet.
    pub(super) fn new(url: String, key: String, routes: &'static [&'static str]) -> Self {
        Self { url, key, routes, free: Mutex::default(), next: AtomicU64::new(1) }
    }

    /// So many requests a second for so long, and their answers. A request's time runs from when it is due: one that
    /// is late for those before it is slow.
    pub(super) async fn beat(self: &Arc<Self>, rate: u32, length: Duration) -> Wire<Vec<Beat>> {
        let (start, step) = (Instant::now(), Duration::from_secs(1) / rate);
        let mut asked = JoinSet::new();
        let mut due = Duration::ZERO;
        while due < length {
            sleep_until(start + due).await;
            let (pulse, number) = (Arc::clone(self), self.next.fetch_add(1, Ordering::Relaxed));
            asked.spawn(async move {
                // Each route gets whole answers and streams.
                let route = usize::try_from(number / 2).unwrap_or(0) % pulse.routes.len();
                let ended = timeout(PATIENCE, pulse.ask(route, number)).await;
                let outcome = ended.unwrap_or_else(|_| Err(format!("no end within {PATIENCE:?}")));
                Beat { number, route, at: due, took: (start + due).elapsed(), outcome }
            });
            due += step;
        }
        let mut beats = Vec::with_capacity(asked.len());
        while let Some(beat) = asked.join_next().await {
            beats.push(beat.map_err(|error| error.to_string())?);
        }
        Ok(beats)
    }

    async fn ask(&self, route: usize, number: u64) -> Wire<()> {
        let mut connection = self.connection().await?;
        let body = json!({
            "model": self.routes[route], "stream": number.is_multiple_of(2),
            "messages": [{ "role": "user", "content": number.to_string() }],
        });
        let call = request("POST", &self.url, "/v1/chat/completions", Some(&self.key), Some(&body.to_string()))?;
        let response = connection.send(call).await?;
        let status = response.status().as_u16();
        let is_stream = number.is_multiple_of(2) && status == 200;
        let (mut reading, mut text, mut body) = (Reading::default(), Vec::new(), response.into_body());
        while let Some(bytes) = connection.next(&mut body).await? {
            reading.take(&bytes, is_stream);
            if !is_stream {
                text.extend_from_slice(&bytes);
            }
        }
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        match (status, is_stream) {
            (200, false) if text.ends_with(b"}") => Ok(()),
            (200, true) => match reading.end() {
                End::Whole => Ok(()),
                other => Err(format!("{other:?}")),
            },
            _ => Err(format!("{status}: {}", String::from_utf8_lossy(&text))),
        }
    }

    /// One that is free and stands, or a new one.
    async fn connection(&self) -> Wire<Connection> {
        loop {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = free else { return Connection::open(&self.url).await };
            if connection.ready().await {
                return Ok(connection);
            }
        }
    }
}
