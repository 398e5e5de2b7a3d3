//! A connector whose patience ends: looking the name up, connecting and TLS together take no longer than they may.
//! hyper's own limit is for the second alone, so that a name server or a handshake that says nothing would be waited for
//! as long as an answer.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Uri;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector with a limit.
#[derive(Clone, Debug)]
pub(super) struct Patient<C> {
    /// Who connects.
    pub(super) inner: C,
    /// Within this time.
    pub(super) most: Duration,
}

impl<C> Service<Uri> for Patient<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, most) = (self.inner.call(uri), self.most);
        async move {
            tokio::time::timeout(most, connecting).await.unwrap_or_else(|_| {
                let why = format!("no connection within {most:?} (timeouts.connect)");
                Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
            })
        }
        .boxed()
    }
}
