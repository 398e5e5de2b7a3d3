//! A way to a server that can be closed and opened again: the server seems to be down meanwhile.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A proxy on loopback.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    target: String,
    open: Option<CancellationToken>,
}

impl Proxy {
    /// A closed proxy to `host:port`.
    pub(crate) fn closed(target: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { addr: listener.local_addr().unwrap(), target: target.to_owned(), open: None }
    }

    /// From now on connections reach the server.
    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        let (stop, target) = (CancellationToken::new(), self.target.clone());
        self.open = Some(stop.clone());
        spawn(async move {
            while let Some(Ok((client, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (stop, target) = (stop.clone(), target.clone());
                spawn(async move {
                    let _ = stop.run_until_cancelled(forward(client, &target)).await;
                });
            }
        });
    }

    /// Breaks every connection and refuses new ones.
    pub(crate) async fn close(&mut self) {
        if let Some(stop) = self.open.take() {
            stop.cancel();
        }
        // The listener is gone as soon as a connection is refused.
        while TcpStream::connect(self.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

async fn forward(mut client: TcpStream, target: &str) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends its tasks")]
fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    tokio::spawn(task);
}
