//! Where connections come in: sockets that this process opens, that its service manager gave it, or that the gateway
//! before it hands over.

use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::config::Server;

/// The name of a given socket that is for metrics; every other is for the API.
pub(super) const METRICS: &str = "metrics";

/// A listening socket that somebody else opened.
#[derive(Debug)]
pub struct Socket {
    /// [`METRICS`], or anything.
    pub name: String,
    /// The socket.
    pub listener: StdListener,
}

/// The open sockets.
#[derive(Debug)]
pub(super) struct Doors {
    /// Of the API; never empty.
    pub(super) api: Vec<TcpListener>,
    /// Of the metrics, when apart.
    pub(super) metrics: Option<TcpListener>,
}

impl Doors {
    /// Takes the sockets that were given, and opens what is missing.
    pub(super) async fn open(server: &Server, given: Vec<Socket>) -> Result<Self, StartError> {
        let (metrics, api): (Vec<_>, Vec<_>) = given.into_iter().partition(|socket| socket.name == METRICS);
        let mut api = api.into_iter().map(|socket| taken(socket.listener)).collect::<Result<Vec<_>, _>>()?;
        if api.is_empty() {
            api.push(bound(server.listen).await?);
        }
        let metrics = match (metrics.into_iter().next(), server.metrics_listen) {
            (Some(socket), Some(_)) => Some(taken(socket.listener)?),
            (None, Some(wanted)) => Some(bound(wanted).await?),
            // An older configuration had metrics apart: nobody listens there any more.
            (_, None) => None,
        };
        Ok(Self { api, metrics })
    }

    /// The same sockets for a gateway that comes after this one.
    pub(super) fn copies(&self) -> std::io::Result<Vec<Socket>> {
        let copy = |listener: &TcpListener, name: &str| {
            use std::os::fd::AsFd as _;
            let listener = StdListener::from(listener.as_fd().try_clone_to_owned()?);
            Ok(Socket { name: name.to_owned(), listener })
        };
        let api = self.api.iter().map(|listener| copy(listener, "api"));
        api.chain(self.metrics.iter().map(|listener| copy(listener, METRICS))).collect()
    }
}

async fn bound(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|error| StartError::Listen(addr, error))
}

fn taken(listener: StdListener) -> Result<TcpListener, StartError> {
    let addr = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let ready = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    ready.map_err(|error| StartError::Listen(addr, error))
}

/// Where a socket is.
pub(super) fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    listener.local_addr().map_err(|error| StartError::Listen(nowhere, error))
}

/// Accepts until the process leaves its sockets to another: what waits in their queue is the other's.
pub(super) async fn until_left(accepting: impl Future<Output = ()>, left: CancellationToken) {
    tokio::select! {
        () = left.cancelled() => {}
        () = accepting => {}
    }
}
