//! A connection's requests on their way to the router and its answers on their way out.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use weir_wire::http1::Refusal;

use super::conn::{Active, Conn};
use super::guard::MARKER;
use super::pace::Pace;
use super::stall::Watch;
use super::{checks, client};
use crate::config::Network;
use crate::error::ApiError;
use crate::http::error::Voice;
use crate::state::Shared;

/// What all connections have in common.
#[derive(Debug)]
pub struct Door {
    /// Its clock, chance and metrics are used.
    pub gateway: Shared,
    /// Whose forwarding headers are believed.
    pub trusted: Vec<Network>,
}

impl Door {
    /// How fast bodies of requests must come, as the configuration says now.
    fn pace(&self) -> Pace {
        let config = self.gateway.config.load();
        Pace { grace: config.server.body_idle_timeout, rate: config.server.body_min_rate }
    }
}

/// Serves one request of a connection.
pub async fn serve(
    door: Arc<Door>,
    conn: Arc<Conn>,
    router: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Result<http::Response<Outgoing>, std::convert::Infallible> {
    let active = conn.begin();
    let request = request.map(|incoming| door.pace().body(incoming, door.gateway.clock()));
    let logged =
        tracing::enabled!(target: "weir::access", tracing::Level::DEBUG).then(|| Logged::of(&request, &door, &conn));
    let refusal = if request.method() == MARKER { conn.refusal.get().copied() } else { checks::check(&request).err() };
    let response = match refusal {
        Some(refusal) => door.refuse(&request, refusal),
        None => router.call(request).await?,
    };
    if let Some(logged) = logged {
        logged.tell(&response);
    }
    let watch = Watch::current();
    if let Some(watch) = watch.as_ref().filter(|_| !response.body().is_end_stream()) {
        // The body is not asked before the client has room for some of it.
        watch.handed();
    }
    Ok(response.map(|body| Outgoing { body, watch, _active: active }))
}

impl Door {
    /// The answer to a request that is not routed. Nothing after it on this connection is read.
    fn refuse(&self, request: &Request<Body>, refusal: Refusal) -> Response {
        self.gateway.meter.metrics.refused.with_label_values(&[refusal.code]).inc();
        let id = self.gateway.chance.uuid(self.gateway.clock().unix_ms()).to_string();
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        let error = ApiError::new(status, "invalid_request_error", refusal.code, refusal.message).no_retry();
        let mut response = Voice::of(request).say(error, &id);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-request-id", id);
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"));
        }
        // HTTP/2 has no such header, and its streams do not disturb one another.
        if request.version() <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A line of the log for each request, at `debug`: else a request's record is its row.
struct Logged {
    client: IpAddr,
    method: http::Method,
    path: String,
}

impl Logged {
    fn of(request: &Request<Body>, door: &Door, conn: &Conn) -> Self {
        // The query may hold a key.
        let path = crate::flight::bounded(request.uri().path(), 200);
        let client = client::of(request.headers(), conn.client, &door.trusted);
        Self { client, method: request.method().clone(), path }
    }

    fn tell(self, response: &Response) {
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("");
        let (client, status) = (self.client, response.status().as_u16());
        tracing::debug!(
            target: "weir::access", %client, method = %self.method, path = ?self.path, status, request_id = id, "a request was answered"
        );
    }
}

/// An answer's body; while it is there its request is under way.
pub struct Outgoing {
    body: Body,
    watch: Option<Arc<Watch>>,
    _active: Active,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(watch) = &self.watch {
            watch.asked();
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(watch), Some(Ok(_))) = (&self.watch, &frame) {
            watch.handed();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
