//! Small calls to the places that hand out credentials.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};

use super::{SignError, Tls};
use crate::upstream::body::{self, CollectError};
use crate::upstream::client::{Http2, HttpProvider, PoolOptions};
use crate::upstream::{Call, CallBody, Provider as _};

/// Largest answer that is read: tokens have a few kilobytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Until a connection must stand: the metadata endpoints are a hop away, and elsewhere nobody answers.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest text of a source's error that is passed on.
const MAX_TOLD: usize = 300;

/// A client for sources of credentials.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: HttpProvider,
}

/// A whole answer. It may hold secrets, so it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Fetcher {
    /// Nothing connects before the first call.
    pub(super) fn new(tls: Tls) -> Self {
        let options = PoolOptions { connect_timeout: CONNECT, max_idle_per_host: 1, http2: Http2::Never };
        Self { client: HttpProvider::new(options, tls) }
    }

    /// Sends a request; its answer must be there, whole, `within` this time. Redirects are not followed.
    ///
    /// # Errors
    /// What went wrong, with the URL.
    pub(super) async fn send(
        &self,
        request: Result<Request<Bytes>, http::Error>,
        within: Duration,
    ) -> Result<Answer, SignError> {
        let (head, body) =
            request.map_err(|e| SignError::new(format!("the request cannot be built: {e}")))?.into_parts();
        let told = format!("{} {}", head.method, shown(&head.uri));
        let body = CallBody::from(body);
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        let call = Call { method, uri, headers, body, first_byte: within, connect: None, signer: None };
        match tokio::time::timeout(within, self.whole(call)).await {
            Ok(answer) => answer.map_err(|why| SignError::new(format!("{told}: {why}"))),
            Err(_) => Err(SignError::new(format!("{told}: no answer within {within:?}"))),
        }
    }

    async fn whole(&self, call: Call) -> Result<Answer, String> {
        let mut answer = self.client.send(call).await.map_err(|e| e.to_string())?;
        let body = body::collect(&mut answer.body, MAX_ANSWER).await.map_err(|e| match e {
            CollectError::TooLarge => format!("the answer is larger than {MAX_ANSWER} bytes"),
            CollectError::Stalled(after) => format!("the answer stalled for {after:?}"),
            CollectError::Broken(e) => format!("the answer broke off: {e}"),
        })?;
        Ok(Answer { status: answer.status, body })
    }
}

/// A URL without user and query, which may say more than a message should.
fn shown(uri: &Uri) -> String {
    let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", uri.scheme_str().unwrap_or(""), uri.host().unwrap_or(""), uri.path())
}

/// A source's own words, on one line and not many.
pub(super) fn told(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TOLD).collect()
}

/// Name and value as a form's field.
pub(super) fn field(name: &str, value: &str) -> String {
    let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
    format!("{name}={value}")
}

/// Whether a URL may carry secrets: TLS, or never off this machine.
pub(super) fn is_safe(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && uri.host().is_some_and(is_loopback))
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback())
}

/// The host as an address, if it is one (IPv6 in brackets).
pub(super) fn address(host: &str) -> Option<std::net::IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
