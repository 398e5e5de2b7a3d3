//! The accept loop: bounded connections, bounded heads, a graceful end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Server;
use crate::lifecycle::Lifecycle;

/// Largest request head, and hyper's read buffer of a connection.
const MAX_HEAD: usize = 32 * 1024;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Listening {
    header_timeout: Duration,
    connections: Arc<Semaphore>,
    lifecycle: Lifecycle,
}

impl Listening {
    /// As the configuration says.
    #[must_use]
    pub fn new(server: &Server, lifecycle: Lifecycle) -> Self {
        let most = usize::try_from(server.max_connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { header_timeout: server.header_timeout, connections: Arc::new(Semaphore::new(most)), lifecycle }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header_timeout).max_buf_size(MAX_HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(30)));
        builder
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
    let (builder, mut last) = (listening.builder(), listening.builder());
    // One answer, and it says that no other will come.
    last.http1().keep_alive(false);
    let (builder, last) = (Arc::new(builder), Arc::new(last));
    let lifecycle = &listening.lifecycle;
    while let Some((stream, place)) = accept(&listener, &listening).await {
        let lifecycle = lifecycle.clone();
        if lifecycle.soft_stop.is_cancelled() {
            let (builder, router) = (Arc::clone(&last), routers.stopping.clone());
            listening.lifecycle.latecomer(async move {
                latecomer(stream, &builder, router, &lifecycle).await;
                drop(place);
            });
        } else {
            let (builder, router) = (Arc::clone(&builder), routers.serving.clone());
            listening.lifecycle.connection(async move {
                connection(stream, &builder, router, &lifecycle).await;
                drop(place);
            });
        }
    }
}

/// The next connection and its place; `None` once the drain is over.
async fn accept(listener: &TcpListener, listening: &Listening) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(&listening.connections).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) => {
                    // Out of file descriptors, most likely: spinning would not make any.
                    tracing::warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    tokio::select! {
        () = listening.lifecycle.drained.cancelled() => None,
        next = next => next,
    }
}

async fn connection(stream: TcpStream, builder: &Builder<TokioExecutor>, router: Router, lifecycle: &Lifecycle) {
    let connection = builder.serve_connection(io(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = lifecycle.soft_stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                // Streams have been told to end; what is still there after that does not read.
                () = async { lifecycle.hard_stop.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => return,
            }
        }
    };
    tell(outcome);
}

/// A connection that came during the drain: it is answered, and not waited for.
async fn latecomer(stream: TcpStream, builder: &Builder<TokioExecutor>, router: Router, lifecycle: &Lifecycle) {
    let connection = builder.serve_connection(io(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = lifecycle.drained.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // Whoever has not asked for anything by now is not waited for.
            match tokio::time::timeout(Duration::from_millis(500), connection).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    tell(outcome);
}

fn io(stream: TcpStream) -> TokioIo<TcpStream> {
    // A delta must not wait for the next one; that it could not be set is the peer's having gone.
    let _ = stream.set_nodelay(true);
    TokioIo::new(stream)
}

fn tell(outcome: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early: {error}");
    }
}
