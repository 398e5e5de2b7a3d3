//! The demo provider: answers in this process, without network and without cost, so that everything
//! can be tried before there is a key. Deterministic: the same request gets the same answer.

mod chat;
mod completion;
mod embed;
mod logprobs;
mod media;
mod rerank;
mod schema;
mod stream;
mod text;
mod thoughts;
mod tools;
mod written;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::upstream::{Answer, AnswerBody, Call, CallBody, Provider, SendError};

/// The demo provider.
#[derive(Debug)]
pub struct Demo {
    clock: Clock,
}

impl Demo {
    /// A demo provider.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    async fn answer(&self, call: Call) -> Result<Answer, SendError> {
        let path = call.uri.path().to_owned();
        let body = body_of(call.body);
        let Ok(request) = serde_json::from_slice::<Value>(&body) else {
            return Ok(error(StatusCode::BAD_REQUEST, "invalid_json", "the body is not JSON"));
        };
        Ok(self.serve(&path, &request))
    }

    fn serve(&self, path: &str, request: &Value) -> Answer {
        let created = self.clock.unix_ms() / 1000;
        let model = request["model"].as_str().unwrap_or_default();
        match (path.strip_prefix("/v1/").unwrap_or(path), model) {
            ("chat/completions", "chat") => chat::answer(request, created),
            ("completions", "chat") => completion::answer(request, created),
            ("embeddings", "embed") => embed::answer(request),
            ("rerank", "rerank") => rerank::answer(request),
            (operation, model) => {
                let message = format!(
                    "demo/{model} does not serve {operation}: use demo/chat for chat and completions, demo/embed for embeddings, demo/rerank for rerank"
                );
                error(StatusCode::BAD_REQUEST, "unsupported_operation", &message)
            }
        }
    }
}

impl Provider for Demo {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, SendError>> {
        self.answer(call).boxed()
    }
}

fn body_of(body: CallBody) -> Bytes {
    match body {
        CallBody::Pieces(pieces) if pieces.len() == 1 => pieces.into_iter().next().unwrap_or_default(),
        CallBody::Pieces(pieces) => pieces.into_iter().flatten().collect::<Vec<u8>>().into(),
        CallBody::Stream { .. } => Bytes::new(),
    }
}

fn headers(content_type: &'static str) -> HeaderMap {
    [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect()
}

fn whole(status: StatusCode, value: &Value) -> Answer {
    let body = AnswerBody::whole(Bytes::from(value.to_string()));
    Answer { status, headers: headers("application/json"), body }
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    whole(status, &json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
}
