//! The clients: many at a time, each with its own connection and its own log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::ask::{Ask, Id, Leave, id_text};
use super::tariff::{Nano, nano};
use super::wire::{Connection, Wire, request};

/// Longest that any answer may take: beyond it the client gives up, and the run fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Before a gateway that cannot be reached is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of an error answer is kept.
const MAX_ERROR: usize = 4096;

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// 200, and the last byte came: `[DONE]`, or all of a whole answer.
    Whole,
    /// An error answer, whole.
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its error code.
        code: String,
        /// What it says.
        message: String,
    },
    /// The client left.
    Left(Instant),
    /// The answer broke, before its head or after; or it ended with an error event.
    Broken(String),
    /// There was no connection: the gateway cannot know of it.
    Unsent,
}

/// What a client knows of a request.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Which of the run's keys asked.
    pub(super) key: u8,
    /// Its tags, as they were sent.
    pub(super) tags: Option<&'static str>,
    /// Its end.
    pub(super) end: End,
    /// The cost that the client was told, if it was.
    pub(super) told: Option<Nano>,
}

/// The clients' log.
pub(super) type SentLog = HashMap<Id, Sent>;

/// Where requests come from: the next one, or `None` at the end.
pub(super) type Source = Box<dyn FnMut() -> Option<Ask> + Send>;

/// A load.
pub(super) struct Load {
    /// The gateways: requests go round.
    pub(super) urls: Vec<String>,
    /// The keys that the requests name by number.
    pub(super) keys: Vec<String>,
    /// So many clients at a time.
    pub(super) clients: usize,
    /// The requests.
    pub(super) source: Source,
}

/// A load under way.
pub(super) struct Running {
    tasks: JoinSet<Vec<(Id, Sent)>>,
    stop: Arc<AtomicBool>,
}

/// What all clients of a load share.
struct Shared {
    urls: Vec<String>,
    keys: Vec<String>,
    source: Mutex<Source>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts the clients.
    pub(super) fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let Self { urls, keys, clients, source } = self;
        let shared = Arc::new(Shared { urls, keys, source: Mutex::new(source), stop: Arc::clone(&stop) });
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            tasks.spawn(client(Arc::clone(&shared), number));
        }
        Running { tasks, stop }
    }

    /// Runs until the source is dry.
    pub(super) async fn run(self) -> SentLog {
        self.start().finish().await
    }
}

impl Running {
    /// No new requests.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the requests under way, and for the source to be dry where it was not stopped.
    pub(super) async fn finish(mut self) -> SentLog {
        let mut log = SentLog::new();
        while let Some(done) = self.tasks.join_next().await {
            log.extend(done.into_iter().flatten());
        }
        log
    }
}

impl Shared {
    fn next(&self) -> Option<Ask> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.source.lock().unwrap_or_else(PoisonError::into_inner)()
    }
}

async fn client(shared: Arc<Shared>, number: usize) -> Vec<(Id, Sent)> {
    let url = &shared.urls[number % shared.urls.len()];
    let mut log = Vec::new();
    let mut kept: Option<Connection> = None;
    while let Some(ask) = shared.next() {
        let connection = match usable(kept.take()).await {
            Some(connection) => Ok(connection),
            None => Connection::open(url).await,
        };
        let mut sent = Sent { key: ask.key, tags: ask.tags, end: End::Unsent, told: None };
        match connection {
            Err(_) => sleep(PAUSE).await,
            Ok(connection) => {
                let key = &shared.keys[usize::from(ask.key)];
                kept = exchange(connection, url, key, &ask, &mut sent).await;
            }
        }
        log.push((ask.script.id, sent));
    }
    log
}

async fn usable(connection: Option<Connection>) -> Option<Connection> {
    let mut connection = connection?;
    connection.ready().await.then_some(connection)
}

/// Sends one request and reads its answer; the connection comes back if it can be used again.
async fn exchange(mut connection: Connection, url: &str, key: &str, ask: &Ask, sent: &mut Sent) -> Option<Connection> {
    let call = match call(url, key, ask) {
        Ok(call) => call,
        Err(why) => {
            sent.end = End::Broken(why);
            return None;
        }
    };
    let patience = match ask.leave {
        Some(Leave::Millis(after)) => Duration::from_millis(after),
        _ => PATIENCE,
    };
    let outcome = timeout(patience, listen(&mut connection, call, ask, sent)).await;
    sent.end = match outcome {
        Ok(Ok(Some(end))) => {
            sent.end = end;
            return Some(connection);
        }
        Ok(Err(why)) => End::Broken(why),
        Err(_) if ask.leave.is_none() => End::Broken(format!("no end within {PATIENCE:?}")),
        Ok(Ok(None)) | Err(_) => {
            drop(connection);
            End::Left(Instant::now())
        }
    };
    None
}

fn call(url: &str, key: &str, ask: &Ask) -> Wire<Request<Full<Bytes>>> {
    let mut call = request("POST", url, "/v1/chat/completions", Some(key), Some(&ask.body()))?;
    let id = id_text(ask.script.id).parse().map_err(|_| "an id is no header".to_owned())?;
    call.headers_mut().insert("x-request-id", id);
    if let Some(tags) = ask.tags {
        call.headers_mut().insert("x-weir-tags", tags.parse().map_err(|_| "tags are no header".to_owned())?);
    }
    Ok(call)
}

/// Reads an answer to its end; `None` when the client has had enough.
async fn listen(
    connection: &mut Connection,
    call: Request<Full<Bytes>>,
    ask: &Ask,
    sent: &mut Sent,
) -> Wire<Option<End>> {
    let response = connection.send(call).await?;
    let status = response.status().as_u16();
    let streamed = header(&response, "content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    sent.told = header(&response, "x-weir-cost-usd").and_then(|told| nano(told).ok());
    let mut body = response.into_body();
    if status != 200 {
        return refused(connection, &mut body, status).await.map(Some);
    }
    let most = match ask.leave {
        Some(Leave::Bytes(most)) => most,
        _ => u64::MAX,
    };
    let mut reading = Reading::default();
    while let Some(bytes) = connection.next(&mut body).await? {
        reading.take(&bytes, streamed);
        if reading.bytes >= most {
            return Ok(None);
        }
    }
    sent.told = sent.told.or(reading.told);
    Ok(Some(if streamed { reading.end() } else { End::Whole }))
}

fn header<'a>(response: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

async fn refused(connection: &mut Connection, body: &mut Incoming, status: u16) -> Wire<End> {
    let mut text = Vec::new();
    while let Some(bytes) = connection.next(body).await? {
        let room = MAX_ERROR.saturating_sub(text.len());
        text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    let told: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let text = |name: &str| told["error"][name].as_str().unwrap_or("?").to_owned();
    Ok(End::Refused { status, code: text("code"), message: text("message") })
}

/// A stream as far as it came.
#[derive(Debug, Default)]
pub(super) struct Reading {
    bytes: u64,
    line: Vec<u8>,
    done: bool,
    error: Option<String>,
    told: Option<Nano>,
}

impl Reading {
    /// More of it; `streamed` where it is one of events.
    pub(super) fn take(&mut self, bytes: &[u8], streamed: bool) {
        self.bytes += bytes.len() as u64;
        if !streamed {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.event(&line);
            }
        }
    }

    fn event(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some(data) = line.trim_end().strip_prefix("data: ") else { return };
        if data == "[DONE]" {
            self.done = true;
        } else if data.starts_with("{\"error\"") {
            self.error = Some(data.to_owned());
        } else if let Some((_, rest)) = data.split_once("\"cost_usd\":\"") {
            self.told = rest.split('"').next().and_then(|told| nano(told).ok());
        }
    }

    /// How it ended.
    pub(super) fn end(self) -> End {
        match self.error {
            Some(error) => End::Broken(error),
            None if self.done => End::Whole,
            None => End::Broken("the stream ended without [DONE]".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Reading {
        let mut reading = Reading::default();
        pieces.iter().for_each(|piece| reading.take(piece.as_bytes(), true));
        reading
    }

    #[test]
    fn a_stream_is_whole_with_its_done_however_it_is_cut() {
        assert_eq!(read(&["data: {}\n\nda", "ta: [DO", "NE]\n\n"]).end(), End::Whole);
        assert_eq!(
            read(&["data: {}\n\n", "data: [DONE]"]).end(),
            End::Broken("the stream ended without [DONE]".into())
        );
    }

    #[test]
    fn an_error_event_is_no_whole_answer_and_a_cost_is_read() {
        let broken = read(&["data: {\"error\":{}}\n\n", "data: [DONE]\n\n"]);
        assert!(matches!(broken.end(), End::Broken(_)));
        assert_eq!(read(&["data: {\"usage\":{\"cost_usd\":\"0.000000012\"}}\n\n"]).told, Some(12));
    }
}
