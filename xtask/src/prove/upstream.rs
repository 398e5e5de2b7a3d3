//! A provider in OpenAI's chat dialect that does what each request's script says and logs the truth of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::ask::Script;
use super::tariff::{MODELS, Tariffs, Tokens, model_named};
use super::truth::{Ending, Entry, Truth};
use crate::shell::Result;

/// The code of the upstream's own errors.
pub(super) const UPSTREAM_CODE: &str = "proof";

type Answer = Response<Either<Full<Bytes>, Pieces>>;

/// A running upstream; it ends with its value.
#[derive(Debug)]
pub(super) struct Upstream {
    /// Where it listens, `http://127.0.0.1:<port>`.
    pub(super) url: String,
    /// What it saw and said.
    pub(super) truth: Truth,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Starts listening.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let truth = Truth::new(Tariffs::read()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, truth.clone()));
        Ok(Self { url, truth, _tasks: tasks })
    }
}

async fn accept(listener: TcpListener, truth: Truth) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, truth.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, truth: Truth) {
    // Without effect on a connection that has gone already.
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| answer(request, truth.clone()));
    // A connection that breaks is seen by the entries of its calls.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn answer(request: Request<Incoming>, truth: Truth) -> std::result::Result<Answer, Infallible> {
    let Ok(body) = request.into_body().collect().await else { return Ok(refusal(400, "the body broke off")) };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let script = body["messages"][0]["content"].as_str().and_then(|text| serde_json::from_str::<Script>(text).ok());
    let model = body["model"].as_str().and_then(model_named);
    let (Some(script), Some(model)) = (script, model) else { return Ok(refusal(400, "no script or no such model")) };
    let (entry, before) = truth.open(model, &script);
    if before < script.fail {
        entry.end(Ending::Failed(script.status));
        return Ok(refusal(script.status, "as the script says"));
    }
    let model = MODELS[usize::from(model)].name;
    if body["stream"] == true {
        let usage = body["stream_options"]["include_usage"] == true && !script.silent;
        return Ok(streamed(Pieces::new(script, model, usage, entry)));
    }
    sleep(Duration::from_millis(script.delay_ms)).await;
    Ok(whole(&script, model, &entry))
}

/// A whole answer. With a cut in the script it is promised longer than it is.
fn whole(script: &Script, model: &str, entry: &Entry) -> Answer {
    let mut body = json!({
        "id": "chatcmpl-proof", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "word ".repeat(script.chunks as usize) },
            "finish_reason": "stop" }],
    });
    if script.cut.is_some() {
        entry.end(Ending::Cut);
        let mut answer = json_answer(StatusCode::OK, &body);
        answer.headers_mut().insert("content-length", HeaderValue::from_static("100000"));
        *answer.body_mut() = Either::Right(Pieces::broken());
        return answer;
    }
    if !script.silent {
        body["usage"] = usage(script.tokens);
        entry.report(script.tokens);
    }
    entry.end(Ending::Finished);
    json_answer(StatusCode::OK, &body)
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input, "completion_tokens": tokens.output, "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": { "cached_tokens": tokens.cached },
        "completion_tokens_details": { "reasoning_tokens": tokens.reasoning },
    })
}

fn refusal(status: u16, why: &str) -> Answer {
    let body = json!({ "error": { "message": why, "type": "proof", "param": null, "code": UPSTREAM_CODE } });
    json_answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body)
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn streamed(pieces: Pieces) -> Answer {
    let mut answer = Response::new(Either::Right(pieces));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

/// One event of a stream.
#[derive(Debug)]
enum Piece {
    Text,
    Finish,
    Usage,
    Done,
    Break,
}

/// A stream, piece by piece.
#[derive(Debug)]
struct Pieces {
    model: &'static str,
    tokens: Tokens,
    delay: Duration,
    left: VecDeque<Piece>,
    pause: Option<Pin<Box<Sleep>>>,
    entry: Option<Entry>,
}

impl Pieces {
    fn new(script: Script, model: &'static str, usage: bool, entry: Entry) -> Self {
        let mut left: VecDeque<Piece> = (0..script.chunks).map(|_| Piece::Text).collect();
        left.push_back(Piece::Finish);
        if usage {
            left.push_back(Piece::Usage);
        }
        left.push_back(Piece::Done);
        if let Some(cut) = script.cut {
            left.truncate(cut as usize);
            left.push_back(Piece::Break);
        }
        let delay = Duration::from_millis(script.delay_ms);
        Self { model, tokens: script.tokens, delay, left, pause: None, entry: Some(entry) }
    }

    /// A body that breaks off at once.
    fn broken() -> Self {
        let left = VecDeque::from([Piece::Break]);
        Self { model: "", tokens: Tokens::default(), delay: Duration::ZERO, left, pause: None, entry: None }
    }

    /// The bytes of a piece, noted as they go out.
    fn write(&self, piece: &Piece) -> io::Result<Bytes> {
        let end = |ending| {
            if let Some(entry) = &self.entry {
                entry.end(ending);
            }
        };
        Ok(match piece {
            Piece::Text => {
                self.event(json!([{ "index": 0, "delta": { "content": "word " }, "finish_reason": null }]), None)
            }
            Piece::Finish => self.event(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), None),
            Piece::Usage => {
                if let Some(entry) = &self.entry {
                    entry.report(self.tokens);
                }
                self.event(json!([]), Some(usage(self.tokens)))
            }
            Piece::Done => {
                end(Ending::Finished);
                Bytes::from_static(b"data: [DONE]\n\n")
            }
            Piece::Break => {
                end(Ending::Cut);
                return Err(io::Error::other("cut, as the script says"));
            }
        })
    }

    fn event(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let mut event = json!({
            "id": "chatcmpl-proof", "object": "chat.completion.chunk", "created": 0, "model": self.model, "choices": choices,
        });
        if let Some(usage) = usage {
            event["usage"] = usage;
        }
        format!("data: {event}\n\n").into()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let Some(piece) = self.left.pop_front() else { return Poll::Ready(None) };
        if matches!(self.left.front(), Some(Piece::Text | Piece::Break)) && !self.delay.is_zero() {
            self.pause = Some(Box::pin(sleep(self.delay)));
        }
        Poll::Ready(Some(self.write(&piece).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }
}
