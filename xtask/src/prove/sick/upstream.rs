//! An upstream that falls ill on command, in the ways in which providers do.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::super::chance::Chance;
use crate::shell::Result;

/// How long a stalled upstream is silent.
const STALL: Duration = Duration::from_secs(30);
/// Of so many answers one is cut.
const CUT_ONE_OF: u64 = 100;
/// The first is among the first, for runs that are short.
const FIRST_CUT: u64 = 10;
/// Pieces of a stream.
const PIECES: u32 = 5;
/// A connection on loopback that does not stand by then will not.
const NO_CONNECTION: Duration = Duration::from_millis(300);
/// Connections that fill the queue of a socket that listens with no room.
const MOST_TO_FILL: usize = 8;
const BACKLOG: u32 = 1024;

/// What an upstream has. It is had by requests that come after it: what began before ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illness {
    /// Nothing.
    None,
    /// Nobody listens.
    Refuses,
    /// What is sent to it is lost: who connects hears nothing, and who is connected neither.
    BlackHole,
    /// It takes half a minute until it says anything.
    Stalls,
    /// It answers 500 at once.
    Fails,
    /// It breaks one of a hundred answers off: whole ones in the middle, streams in turn before the first event and
    /// after it.
    Cuts,
}

/// What all of an upstream's connections share.
#[derive(Debug)]
struct Shared {
    illness: watch::Receiver<Illness>,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// Answers since it cuts some; streams that it cut.
    answers: u64,
    streams: u64,
    /// Requests whose streams were cut after the first event.
    lost: HashSet<u64>,
    /// Calls that came.
    calls: u64,
}

/// An upstream; it ends with its value.
#[derive(Debug)]
pub(super) struct Upstream {
    /// Where it listens: `http://127.0.0.1:<port>/v1`.
    pub(super) url: String,
    addr: SocketAddr,
    illness: watch::Sender<Illness>,
    shared: Arc<Shared>,
    /// Keeps the port while nobody listens.
    _port: TcpSocket,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// A healthy one.
    pub(super) fn start() -> Result<Self> {
        let port = socket("127.0.0.1:0".parse()?)?;
        let addr = port.local_addr()?;
        let (illness, seen) = watch::channel(Illness::None);
        let shared = Arc::new(Shared { illness: seen.clone(), log: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(live(socket(addr)?.listen(BACKLOG)?, addr, seen, Arc::clone(&shared)));
        Ok(Self { url: format!("http://{addr}/v1"), addr, illness, shared, _port: port, _tasks: tasks })
    }

    /// Falls ill, and checks that who connects sees it.
    ///
    /// # Errors
    /// When this machine's network does not do what the illness takes.
    pub(super) async fn falls(&self, illness: Illness) -> std::result::Result<(), String> {
        self.illness.send_replace(illness);
        for _ in 0..20 {
            let connects = timeout(NO_CONNECTION, TcpStream::connect(self.addr)).await;
            let as_told = match illness {
                Illness::Refuses => matches!(connects, Ok(Err(_))),
                Illness::BlackHole => connects.is_err(),
                _ => matches!(connects, Ok(Ok(_))),
            };
            if as_told {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the upstream cannot be made one that {illness:?}"))
    }

    /// The requests whose streams it cut after the first event.
    pub(super) fn lost(&self) -> HashSet<u64> {
        self.shared.log().lost.clone()
    }

    /// How often it was called.
    pub(super) fn calls(&self) -> u64 {
        self.shared.log().calls
    }
}

fn socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Several may have the port as long as one listens.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens as its illness lets it.
async fn live(listener: TcpListener, addr: SocketAddr, mut illness: watch::Receiver<Illness>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let now = *illness.borrow_and_update();
        if matches!(now, Illness::Refuses | Illness::BlackHole) {
            // Dropped before the next one listens.
            drop(listener.take());
            let _full = if now == Illness::BlackHole { full(addr).await } else { None };
            if illness.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = listener.take().or_else(|| socket(addr).and_then(|socket| socket.listen(BACKLOG)).ok()) else {
            return;
        };
        tokio::select! {
            accepted = open.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
            changed = illness.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        listener = Some(open);
    }
}

/// A socket that listens, accepts nobody, and whose queue is full: whatever else wants to connect is dropped without
/// a word.
async fn full(addr: SocketAddr) -> Option<(TcpListener, Vec<TcpStream>)> {
    let listener = socket(addr).and_then(|socket| socket.listen(0)).ok()?;
    let mut queue = Vec::new();
    for _ in 0..MOST_TO_FILL {
        match timeout(NO_CONNECTION, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => queue.push(stream),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Some((listener, queue))
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without effect on a connection that has gone already.
    stream.set_nodelay(true).ok();
    let mut illness = shared.illness.clone();
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let refuses = async {
        // Whoever told it is gone: so is this.
        illness.wait_for(|now| *now == Illness::Refuses).await.ok();
    };
    tokio::select! {
        // However it ends: it is the gateway's to bear.
        _ = &mut connection => return,
        () = refuses => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> std::result::Result<Response<Said>, Infallible> {
    let illness = *shared.illness.borrow();
    shared.log().calls += 1;
    if illness == Illness::BlackHole {
        return pending().await;
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(refusal(400)) };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let number = body["messages"][0]["content"].as_str().and_then(|text| text.parse().ok());
    let Some(number) = number else { return Ok(refusal(400)) };
    match illness {
        Illness::Fails => return Ok(refusal(500)),
        Illness::Stalls => sleep(STALL).await,
        _ => {}
    }
    let is_stream = body["stream"] == true;
    let cut = if illness == Illness::Cuts { shared.log().cut(number, is_stream) } else { None };
    let time = thinking(number);
    Ok(if is_stream { streamed(time, cut) } else { whole(time, cut).await })
}

/// How long an answer takes, the same for a number wherever it is asked: 80 to 120 ms.
fn thinking(number: u64) -> Duration {
    Duration::from_millis(Chance::new(number).between(80, 121))
}

impl Log {
    /// After how many pieces this answer is cut, if it is.
    fn cut(&mut self, number: u64, is_stream: bool) -> Option<u32> {
        self.answers += 1;
        if self.answers % CUT_ONE_OF != FIRST_CUT {
            return None;
        }
        if !is_stream {
            return Some(1);
        }
        self.streams += 1;
        if self.streams.is_multiple_of(2) {
            return Some(0);
        }
        self.lost.insert(number);
        Some(2)
    }
}

fn refusal(status: u16) -> Response<Said> {
    let text = r#"{"error":{"message":"it is ill","type":"server_error","param":null,"code":null}}"#;
    let mut response = response("application/json", VecDeque::from([(Duration::ZERO, Some(Bytes::from(text)))]));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

async fn whole(time: Duration, cut: Option<u32>) -> Response<Said> {
    const TEXT: &str = r#"{"id":"chatcmpl-sick","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"well, well"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}}"#;
    sleep(time).await;
    let steps = match cut {
        None => VecDeque::from([(Duration::ZERO, Some(Bytes::from_static(TEXT.as_bytes())))]),
        Some(_) => VecDeque::from([
            (Duration::ZERO, Some(Bytes::from_static(&TEXT.as_bytes()[..TEXT.len() / 2]))),
            (Duration::ZERO, None),
        ]),
    };
    let mut response = response("application/json", steps);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(TEXT.len()));
    response
}

fn streamed(time: Duration, cut: Option<u32>) -> Response<Said> {
    const PIECE: &str = "data: {\"id\":\"chatcmpl-sick\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well \"},\"finish_reason\":null}]}\n\n";
    const END: &str = "data: {\"id\":\"chatcmpl-sick\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let pause = time / (PIECES + 1);
    let count = cut.unwrap_or(PIECES);
    let mut steps: VecDeque<_> = (0..count).map(|_| (pause, Some(Bytes::from_static(PIECE.as_bytes())))).collect();
    steps.push_back((pause, cut.is_none().then(|| Bytes::from_static(END.as_bytes()))));
    response("text/event-stream", steps)
}

fn response(kind: &'static str, steps: VecDeque<(Duration, Option<Bytes>)>) -> Response<Said> {
    let mut response = Response::new(Said { steps, pause: None });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Texts, each after a pause; `None` is where the connection breaks.
struct Said {
    steps: VecDeque<(Duration, Option<Bytes>)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Said {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.pause.is_none()
            && let Some((pause, _)) = self.steps.front().filter(|(pause, _)| !pause.is_zero())
        {
            self.pause = Some(Box::pin(sleep(*pause)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(
            self.steps.pop_front().map(|(_, text)| text.map(Frame::data).ok_or_else(|| io::Error::other("cut"))),
        )
    }
}
