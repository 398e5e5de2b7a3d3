//! A scripted server on loopback. It lives as long as the runtime of its test.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Method and path, as in `GET /x?y`.
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    /// The fields of a form.
    pub(super) fn form(&self) -> std::collections::HashMap<String, String> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        self.body.split('&').filter_map(|field| field.split_once('=')).map(|(n, v)| (n.to_owned(), decode(v))).collect()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        super::text(&self.headers, name)
    }
}

type Decide = dyn Fn(&Seen) -> (u16, String) + Send + Sync;

pub(super) struct Server {
    /// Without a slash at its end.
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers each request with the status and body that `decide` says.
    pub(super) async fn start(decide: impl Fn(&Seen) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (decide, log): (Arc<Decide>, _) = (Arc::new(decide), Arc::clone(&seen));
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (decide, log) = (Arc::clone(&decide), Arc::clone(&log));
                spawn(async move {
                    let service = hyper::service::service_fn(move |r| answer(Arc::clone(&decide), Arc::clone(&log), r));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, seen }
    }

    /// What it saw so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The lines of what it saw.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn answer(
    decide: Arc<Decide>,
    log: Arc<Mutex<Vec<Seen>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let line = format!("{} {}", head.method, head.uri.path_and_query().unwrap());
    let seen = Seen { line, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() };
    let (status, text) = decide(&seen);
    log.lock().unwrap().push(seen);
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends its tasks")]
fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    tokio::spawn(task);
}
