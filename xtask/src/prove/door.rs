//! Proof `door`: thousands of streams that say nothing cost little memory and give it back; hundreds of clients that
//! never finish a head or a body are in nobody's way.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Lab;
use super::process::{Disk, Spec, Weir};
use super::wire::host;
use crate::shell::{Result, TempDir};

/// What a gateway may hold with 9,000 idle streams, where providers speak HTTP/2, as those of the catalogue do, and where
/// each stream has a connection of its own to them.
const MAX_RSS: [(&str, u64); 2] = [("http2", 250 << 20), ("http1", 375 << 20)];
/// Streams that the upstream allows on a connection over HTTP/2.
const STREAMS: u32 = 100;
/// What it may hold a minute after they are gone, over what it held before.
const MAX_REST: u64 = 56 << 20;
/// Slow clients, half of them within a head and half within a body.
const SLOW: usize = 500;
/// How much longer the slowest of a hundred requests may take beside them.
const MAX_RATIO: f64 = 1.2;
/// Clocks and schedulers are no better than this: below it a ratio says nothing.
const NOISE: Duration = Duration::from_millis(2);
/// Descriptors that are not streams'.
const SPARE: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// On SQLite: the door knows no database.
pub(super) async fn prove(lab: &Lab) -> Result {
    let directory = TempDir::new("prove")?;
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", upstream.local_addr()?);
    let mut upstreams = JoinSet::new();
    upstreams.spawn(serve(upstream));
    for (model, most) in MAX_RSS {
        let log = lab.logs.join(format!("door-{model}.log"));
        let (binary, directory) = (lab.binary.clone(), directory.path().join(model));
        let weir = Weir::start(Spec { binary, config: config(&url), directory, log, disk: Disk::Plain }).await?;
        let (_, key) = weir.ledger().create_key(&json!({ "name": "door" })).await?;
        idle(lab, &weir, &key, (model, most)).await?;
        if model == "http1" {
            slow(lab, &weir, &key).await?;
        }
    }
    Ok(())
}

fn config(url: &str) -> String {
    format!(
        "logging: {{ format: json }}\n\
         server: {{ header_timeout: 5m, idle_timeout: 5m, body_idle_timeout: 5m, request_timeout: 10m, \
         max_connections: 10000, max_in_flight: 10000 }}\n\
         providers:\n  \
         http1: {{ kind: openai-compatible, base_url: \"{url}\", timeouts: {{ first_byte: 5m, between_chunks: 10m }} }}\n  \
         http2: {{ kind: openai-compatible, base_url: \"{url}\", timeouts: {{ first_byte: 5m, between_chunks: 10m }}, \
         pool: {{ http2: always }} }}\n"
    )
}

/// An upstream that answers at once, and of a stream begins one and says no more.
async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut start = [0; 3];
            // Whoever says nothing at all is none of the gateway's connections.
            let is_http2 = stream.peek(&mut start).await.is_ok_and(|_| start == *b"PRI");
            let (io, service) = (TokioIo::new(stream), service_fn(answer));
            // That the gateway goes away is how it ends.
            if is_http2 {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(STREAMS).serve_connection(io, service).await.ok();
            } else {
                http1::Builder::new().serve_connection(io, service).await.ok();
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<Said>, Infallible> {
    const WHOLE: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let is_stream = body.windows(13).any(|part| part == b"\"stream\":true");
    let (kind, text) = if is_stream { ("text/event-stream", EVENT) } else { ("application/json", WHOLE) };
    let said = Said { text: Some(Bytes::from_static(text.as_bytes())), ends: !is_stream };
    let mut response = Response::new(said);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// A text, and then an end or nothing ever again.
struct Said {
    text: Option<Bytes>,
    ends: bool,
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        match self.text.take() {
            Some(text) => Poll::Ready(Some(Ok(Frame::data(text)))),
            None if self.ends => Poll::Ready(None),
            // The connection's end drops it.
            None => Poll::Pending,
        }
    }
}

fn request(key: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// How long requests take, one after the other: the 99th of a hundred.
async fn p99(weir: &Weir, key: &str, requests: usize) -> Result<Duration> {
    let mut stream = TcpStream::connect(host(&weir.url)).await?;
    stream.set_nodelay(true)?;
    let sent = request(key, r#"{"model":"http1/m","messages":[]}"#);
    let mut times = Vec::with_capacity(requests);
    let mut answer = vec![0; 16 * 1024];
    for _ in 0..requests {
        let start = Instant::now();
        stream.write_all(sent.as_bytes()).await?;
        let mut read = 0;
        while !answer[..read].ends_with(b"}}") {
            match timeout(PATIENCE, stream.read(&mut answer[read..])).await?? {
                0 => return Err(format!("an end: {}", String::from_utf8_lossy(&answer[..read])).into()),
                more => read += more,
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer[..read]).into_owned().into());
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() * 99 / 100])
}

/// In rounds, of which the best counts on each side: what else the machine does is not the gateway's.
async fn slow(lab: &Lab, weir: &Weir, key: &str) -> Result {
    let requests = lab.size(200, 1_000);
    let (mut alone, mut beside) = (Duration::MAX, Duration::MAX);
    p99(weir, key, requests).await?;
    for _ in 0..5 {
        alone = alone.min(p99(weir, key, requests).await?);
        beside = beside.min(p99_beside(weir, key, requests).await?);
    }
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!("   {SLOW} slow clients: p99 {alone:?} without, {beside:?} beside them ({ratio:.2} times)");
    if ratio > MAX_RATIO && beside > alone + NOISE {
        return Err(format!("slow clients make others {ratio:.2} times slower; the bound is {MAX_RATIO}").into());
    }
    Ok(())
}

async fn p99_beside(weir: &Weir, key: &str, requests: usize) -> Result<Duration> {
    let whole = request(key, &format!("{{\"model\":\"http1/m\",\"x\":\"{}\"}}", "y".repeat(10_000)));
    let head = whole.find("\r\n\r\n").unwrap_or_default() + 4;
    let mut slow = Vec::with_capacity(SLOW);
    for i in 0..SLOW {
        let mut stream = TcpStream::connect(host(&weir.url)).await?;
        let begun = if i % 2 == 0 { head - 10 } else { head + 10 };
        stream.write_all(&whole.as_bytes()[..begun]).await?;
        slow.push(stream);
    }
    let trickle = async {
        loop {
            for stream in slow.iter_mut().skip(1).step_by(2) {
                // One that was given up is given up.
                stream.write_all(b"y").await.ok();
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    tokio::select! {
        beside = p99(weir, key, requests) => beside,
        () = trickle => Err("it has no end".into()),
    }
}

async fn idle(lab: &Lab, weir: &Weir, key: &str, (provider, most): (&str, u64)) -> Result {
    let wanted = lab.size(500, 9_000);
    let count = wanted.min(usize::try_from(open_files()?.saturating_sub(SPARE) / 2)?);
    let before = weir.resident()?;
    let sent = request(key, &format!(r#"{{"model":"{provider}/m","messages":[],"stream":true}}"#));
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(host(&weir.url)).await?;
        stream.write_all(sent.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        while !answer.windows(9).any(|part| part == b"\"content\"") {
            if timeout(PATIENCE, stream.read_buf(&mut answer)).await?? == 0 {
                return Err(format!("an end: {}", String::from_utf8_lossy(&answer)).into());
            }
        }
        streams.push(stream);
    }
    sleep(Duration::from_secs(2)).await;
    let held = weir.resident()?;
    drop(streams);
    weir.settled(PATIENCE).await?;
    sleep(lab.size(Duration::from_secs(5), Duration::from_secs(60))).await;
    let after = weir.resident()?;
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "   {count} idle streams, {provider} upstream: {} MiB before, {} with them ({} KiB each), {} after",
        mib(before),
        mib(held),
        held.saturating_sub(before) / count as u64 / 1024,
        mib(after)
    );
    if count < wanted {
        println!("   the limit of open files allows {count} of {wanted} streams");
    }
    if held > most || after > before + MAX_REST {
        return Err(format!("the bounds are {} MiB, and {} more than before at last", mib(most), mib(MAX_REST)).into());
    }
    Ok(())
}

/// How many files a process of this user may have open.
fn open_files() -> Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).ok_or("no limit of open files")?;
    Ok(line.split_whitespace().nth(3).ok_or("no limit of open files")?.parse()?)
}
