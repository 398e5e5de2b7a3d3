//! The door: connections are accepted here, each within its bounds, and what comes through is HTTP that has
//! one reading.
//!
//! A connection opens ([`opening`]: whom it speaks for, TLS, which HTTP), is served by hyper over bytes
//! under watch ([`guard`]), and its requests are checked ([`checks`]) on their way to the router ([`service`]).
//! hyper's connections are used in place of hyper-util's `auto`, which reads the first bytes itself: they
//! belong to the inspection.

pub mod checks;
pub mod client;
pub mod conn;
pub mod guard;
pub mod opening;
pub mod pace;
pub mod places;
pub mod proxy;
pub mod service;
pub mod stall;
pub mod tls;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use weir_wire::http1::MAX_HEAD;

use self::conn::{Conn, Waits};
use self::guard::Guarded;
use self::opening::{Closed, GONE, Opened, SILENT};
use self::places::{Place, Places};
use self::service::Door;
use self::stall::Streams;
use self::tls::Certificates;
use crate::lifecycle::Lifecycle;
use crate::state::Shared;

/// hyper's read buffer of a connection: above [`MAX_HEAD`], so that a head that is too long is refused in
/// words, by the inspector.
const MAX_BUFFER: usize = 2 * MAX_HEAD;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
/// Streams that a client reset before they were looked at, and those that were reset for its faults: one
/// more ends the connection. Rapid resets (CVE-2023-44487) come to this within milliseconds.
const MAX_RESETS: usize = 20;
const MAX_FAULTS: usize = 100;
/// What may wait in memory for the client's window, for each stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// A connection over HTTP/2 from which nothing comes is asked whether it lives; how long it may think.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// Connections for health and metrics alone.
const MAX_OPERATIONS: u64 = 256;
/// How long a client that connected before a stop, and said nothing, is waited for.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Listening {
    door: Arc<Door>,
    waits: Waits,
    places: Places,
    certificates: Option<Arc<Certificates>>,
    lifecycle: Lifecycle,
}

impl Listening {
    /// As the gateway's configuration says.
    #[must_use]
    pub fn new(gateway: &Shared, certificates: Option<Arc<Certificates>>, lifecycle: Lifecycle) -> Self {
        let config = gateway.config.load_full();
        let server = &config.server;
        let waits = Waits { header: server.header_timeout, idle: server.idle_timeout, write: server.write_timeout };
        let open = gateway.meter.metrics.connections.clone();
        let places = Places::new(server.max_connections, server.max_connections_per_address, open);
        let door = Door { gateway: Arc::clone(gateway), trusted: server.trusted_proxies.clone() };
        Self { door: Arc::new(door), waits, places, certificates, lifecycle }
    }

    /// For the address of health and metrics: in plain text, and with places of its own, so that it answers
    /// when the other one is full.
    #[must_use]
    pub fn operations(&self) -> Self {
        let places = Places::new(MAX_OPERATIONS, None, self.door.gateway.meter.metrics.connections.clone());
        Self { places, certificates: None, ..self.clone() }
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        self.door.trusted.iter().any(|network| network.contains(peer))
    }

    fn http1(&self, keep_alive: bool) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // The guard's times are stricter, and it answers in words.
        builder.max_buf_size(MAX_BUFFER).header_read_timeout(None).keep_alive(keep_alive);
        builder
    }

    fn http2(&self) -> http2::Builder<Streams> {
        let mut builder = http2::Builder::new(Streams::new(self.lifecycle.clone(), self.waits.write));
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_FAULTS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        builder
    }

    fn refused(&self, reason: &str) {
        self.door.gateway.meter.metrics.refused.with_label_values(&[reason]).inc();
    }
}

/// What is answered on connections: those that came before the soft stop, and latecomers.
#[derive(Clone, Debug)]
pub struct Routers {
    /// The gateway.
    pub serving: Router,
    /// Says on every path that the gateway is stopping.
    pub stopping: Router,
}

/// Accepts until the drain is over. At the connection limit new connections wait in the kernel's
/// queue.
pub async fn serve(listener: TcpListener, routers: Routers, listening: Listening) {
    let mut accepting = Accepting::default();
    while let Some((stream, peer, place)) = accepting.next(&listener, &listening).await {
        let (routers, served) = (routers.clone(), listening.clone());
        if listening.lifecycle.soft_stop.is_cancelled() {
            listening.lifecycle.latecomer(connection(stream, peer, place, routers.stopping, served, When::Late));
        } else {
            listening.lifecycle.connection(connection(stream, peer, place, routers.serving, served, When::Early));
        }
    }
}

/// The accepting side's luck so far.
#[derive(Debug, Default)]
struct Accepting {
    /// How long it waits after the next failure; nothing unless the last one failed.
    pause: Option<Duration>,
}

impl Accepting {
    /// The next connection and its place; `None` once the drain is over.
    async fn next(&mut self, listener: &TcpListener, listening: &Listening) -> Option<(TcpStream, IpAddr, Place)> {
        let next = async {
            let place = listening.places.take().await?;
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if self.pause.take().is_some() {
                            tracing::info!("connections are accepted again");
                        }
                        // A delta must not wait for the next one; that it could not be set is the peer's having gone.
                        let _ = stream.set_nodelay(true);
                        return Some((stream, peer.ip().to_canonical(), place));
                    }
                    Err(error) => self.failed(&error, listening).await,
                }
            }
        };
        tokio::select! {
            () = listening.lifecycle.drained.cancelled() => None,
            next = next => next,
        }
    }

    /// Out of file descriptors or memory, most likely: trying at once would make none, and cost a processor.
    async fn failed(&mut self, error: &std::io::Error, listening: &Listening) {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        listening.refused("accept_failed");
        let pause = self.pause.unwrap_or(Duration::from_millis(10));
        if self.pause.is_none() {
            tracing::warn!(%error, "connections cannot be accepted: {error}; is the limit of open files too low?");
        }
        self.pause = Some((pause * 2).min(Duration::from_secs(1)));
        tokio::time::sleep(pause).await;
    }
}

/// Whether a connection came before the stop or while others drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Early,
    Late,
}

async fn connection(stream: TcpStream, peer: IpAddr, mut place: Place, router: Router, on: Listening, when: When) {
    // What a connection needs for a moment only (a handshake is large) is not kept for as long as it lasts.
    let mut opening = Box::pin(open(stream, peer, &mut place, &on));
    let opened = tokio::select! {
        opened = opening.as_mut() => opened,
        () = last_word(on.end(when)) => Err(GONE),
    };
    drop(opening);
    match opened {
        Ok((opened, conn)) => serve_one(opened, conn, router, &on, when).await,
        Err(GONE | SILENT) => {}
        Err(reason) => on.refused(reason),
    }
    drop(place);
}

async fn last_word(end: &CancellationToken) {
    end.cancelled().await;
    tokio::time::sleep(LAST_WORD).await;
}

async fn open(
    mut stream: TcpStream,
    peer: IpAddr,
    place: &mut Place,
    on: &Listening,
) -> Result<(Opened, Arc<Conn>), Closed> {
    let (is_trusted, mut first) = (on.is_trusted(peer), BytesMut::new());
    let told = if is_trusted { opening::preamble(&mut stream, &mut first, on.waits).await? } else { None };
    let client = told.unwrap_or(peer);
    // All of a balancer's clients come from its address.
    let is_counted = told.is_some() || !is_trusted;
    if is_counted && !place.count(client) {
        return Err("connections_per_address");
    }
    let opened = opening::open(stream, first, on.certificates.as_deref(), on.waits).await?;
    Ok((opened, Conn::new(client, on.waits)))
}

fn serve_one(opened: Opened, conn: Arc<Conn>, router: Router, on: &Listening, when: When) -> BoxFuture<'_, ()> {
    let (door, shared, router) = (Arc::clone(&on.door), Arc::clone(&conn), TowerToHyperService::new(router));
    let service = service_fn(move |request| {
        // hyper keeps the room of this future for as long as the connection lasts.
        service::serve(Arc::clone(&door), Arc::clone(&shared), router.clone(), request).boxed()
    });
    if opened.is_http2 {
        let io = TokioIo::new(Guarded::http2(opened.io, opened.first, Arc::clone(&conn)));
        until_its_end(Box::pin(on.http2().serve_connection(io, service)), conn, on, when).boxed()
    } else {
        let io = TokioIo::new(Guarded::http1(opened.io, opened.first, Arc::clone(&conn)));
        // To a latecomer one answer, and it says that no other will come.
        let connection = on.http1(when == When::Early).serve_connection(io, service);
        until_its_end(Box::pin(connection), conn, on, when).boxed()
    }
}

impl Listening {
    /// When connections are asked to end.
    fn end(&self, when: When) -> &CancellationToken {
        if when == When::Early { &self.lifecycle.soft_stop } else { &self.lifecycle.drained }
    }
}

async fn until_its_end<C>(mut connection: Pin<Box<C>>, conn: Arc<Conn>, on: &Listening, when: When)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = on.end(when).cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = patience(on, when) => return,
            }
        }
        () = conn.expired.notified() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = abandoned(&conn) => return,
                () = patience(on, when) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, client = %conn.client, "a connection ended early: {error}");
    }
}

/// How long a connection that was asked to end may take.
async fn patience(on: &Listening, when: When) {
    match when {
        // Streams have been told to end; what is still there after that does not read.
        When::Early => {
            on.lifecycle.hard_stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Whoever has not asked for anything by now is not waited for.
        When::Late => {
            on.lifecycle.drained.cancelled().await;
            tokio::time::sleep(LAST_WORD).await;
        }
    }
}

/// An HTTP/2 connection that had nothing to do is told to end; its last requests are answered.
async fn abandoned(conn: &Conn) {
    loop {
        tokio::time::sleep(conn.waits.header).await;
        if !conn.is_active() {
            return;
        }
    }
}
