//! A scripted upstream on loopback: answers what it is told, byte for byte, and remembers what it saw.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the upstream got JSON")
    }
}

/// A part of an answer's body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes, as one chunk.
    Send(Bytes),
    /// These bytes, as one chunk, so many times.
    Repeat(Bytes, usize),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing until the test says so.
    Until(Arc<Notify>),
    /// The connection breaks.
    Cut,
    /// Nothing ever again.
    Hang,
}

impl Step {
    pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Self {
        Self::Send(Bytes::copy_from_slice(bytes.as_ref()))
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) steps: Vec<Step>,
    /// Wait before the head.
    pub(crate) delay: Duration,
}

impl Script {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::new(200, "application/json", vec![Step::Send(Bytes::from(body.into()))])
    }

    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self { status, ..Self::json(body) }
    }

    /// An event stream of these steps.
    pub(crate) fn stream(steps: Vec<Step>) -> Self {
        Self::new(200, "text/event-stream", steps)
    }

    /// An event stream of these chunks.
    pub(crate) fn sse(chunks: &[&str]) -> Self {
        Self::new(
            200,
            "text/event-stream",
            chunks.iter().map(|c| Step::Send(Bytes::copy_from_slice(c.as_bytes()))).collect(),
        )
    }

    pub(crate) fn new(status: u16, content_type: &str, steps: Vec<Step>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], steps, delay: Duration::ZERO }
    }

    #[must_use]
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

type Decide = dyn Fn(&Seen) -> Script + Send + Sync;

struct Shared {
    decide: Box<Decide>,
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    sent: AtomicU64,
    dropped: Mutex<Vec<Instant>>,
}

/// The upstream. It lives as long as the runtime of its test.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Answers each request as `decide` says.
    pub(crate) async fn start(decide: impl Fn(&Seen) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            decide: Box::new(decide),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            dropped: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let shared = Arc::clone(&serving);
                spawn(async move {
                    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&shared), request));
                    // A cut connection is what the script asked for.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { addr, shared }
    }

    /// Answers the scripts in turn; the last one again and again.
    pub(crate) async fn scripted(scripts: Vec<Script>) -> Self {
        let queue = Mutex::new(VecDeque::from(scripts));
        Self::start(move |_| {
            let mut queue = queue.lock().unwrap();
            if queue.len() > 1 { queue.pop_front().unwrap() } else { queue[0].clone() }
        })
        .await
    }

    /// Its base URL, `/v1` included.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// What it saw so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The only request it saw.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Answers whose bodies are being sent.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes of answers' bodies that went out so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// When answers were dropped by the other side before their end.
    pub(crate) fn dropped(&self) -> Vec<Instant> {
        self.shared.dropped.lock().unwrap().clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends its tasks")]
fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    tokio::spawn(task);
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Scripted>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let seen = Seen { method: head.method, path, headers: head.headers, body };
    let script = (shared.decide)(&seen);
    shared.seen.lock().unwrap().push(seen);
    tokio::time::sleep(script.delay).await;
    let mut response = Response::builder().status(StatusCode::from_u16(script.status).unwrap());
    for (name, value) in &script.headers {
        response = response.header(*name, value);
    }
    shared.open.fetch_add(1, Ordering::SeqCst);
    let whole = matches!(script.steps[..], [Step::Send(_)]);
    Ok(response.body(Scripted { steps: script.steps.into(), wait: None, finished: false, whole, shared }).unwrap())
}

struct Scripted {
    steps: VecDeque<Step>,
    wait: Option<BoxFuture<'static, ()>>,
    finished: bool,
    whole: bool,
    shared: Arc<Shared>,
}

impl Drop for Scripted {
    #[expect(clippy::disallowed_methods, reason = "measures how soon a client's departure arrives")]
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
        if !self.finished {
            self.shared.dropped.lock().unwrap().push(Instant::now());
        }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                std::task::ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => {
                    self.shared.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Repeat(_, 0)) => {}
                Some(Step::Repeat(bytes, times)) => {
                    self.steps.push_front(Step::Repeat(bytes.clone(), times - 1));
                    self.steps.push_front(Step::Send(bytes));
                }
                Some(Step::Until(gate)) => self.wait = Some(async move { gate.notified().await }.boxed()),
                Some(Step::Wait(time)) => self.wait = Some(tokio::time::sleep(time).boxed()),
                Some(Step::Cut) => {
                    self.finished = true;
                    return Poll::Ready(Some(Err(std::io::Error::other("cut"))));
                }
                Some(Step::Hang) => self.wait = Some(std::future::pending().boxed()),
                None => {
                    self.finished = true;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.steps.front() {
            Some(Step::Send(bytes)) if self.whole => http_body::SizeHint::with_exact(bytes.len() as u64),
            _ => http_body::SizeHint::default(),
        }
    }
}

/// An address whose queue is full: no further handshake is answered.
pub(crate) struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(addr)).await {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue of {addr} does not fill up");
        }
        Self { listener, _waiting: waiting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.listener.local_addr().unwrap())
    }
}
