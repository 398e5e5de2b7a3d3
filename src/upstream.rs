//! Upstream calls: bytes out, bytes in. Nothing here knows a dialect.

pub mod auth;
mod begun;
pub mod body;
pub mod client;
pub mod decode;
pub mod headers;
mod lanes;
mod patient;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode, Uri};

pub use body::{AnswerBody, BodyFault, CallBody};
pub use lanes::LaneOptions;

/// One prepared call.
#[derive(Debug)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Where to: absolute.
    pub uri: Uri,
    /// Everything but what HTTP itself needs (`host`, `content-length`).
    pub headers: HeaderMap,
    /// The body.
    pub body: CallBody,
    /// How long until the answer's headers must be there; signing counts.
    pub first_byte: Duration,
    /// How long a connection may take, where that is less than the provider has.
    pub connect: Option<Duration>,
    /// Adds credentials that are more than a static header, just before the call is sent.
    pub signer: Option<Arc<dyn auth::Signer>>,
}

/// An answer: its head is here, its body is still to come.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// All its headers; [`headers::for_client`] says which a client gets.
    pub headers: HeaderMap,
    /// Its body.
    pub body: AnswerBody,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No connection: nothing was sent, so trying elsewhere is safe.
    Connect(String),
    /// No connection within the time that the caller gave it.
    ConnectTimeout(Duration),
    /// The upstream ends its connection in good order (HTTP/2's `GOAWAY`) and has not looked at the call: nothing was done.
    Unprocessed,
    /// No headers within the time for the first byte.
    FirstByteTimeout(Duration),
    /// The same, and the upstream has not heard of the call: no connection stood by then, or it was made to be late.
    UnsentTimeout(Duration),
    /// The connection broke after the request was (partly) sent.
    Broken(String),
    /// The client's own body broke off.
    ClientBody(BodyFault),
    /// The gateway has no credentials for the call, and why: nothing was sent.
    Credentials(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::ConnectTimeout(after) => write!(f, "cannot connect: no connection within {after:?}"),
            Self::Unprocessed => f.write_str("the connection was closed before the call was looked at"),
            Self::FirstByteTimeout(after) | Self::UnsentTimeout(after) => write!(f, "no answer within {after:?}"),
            Self::Broken(why) => write!(f, "the connection broke before an answer: {why}"),
            Self::ClientBody(why) => write!(f, "the request body broke off: {why}"),
            Self::Credentials(why) => write!(f, "the gateway has no credentials to send: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Something that takes prepared calls: an HTTP client, or the demo provider.
pub trait Provider: Send + Sync + fmt::Debug {
    /// Sends a call; resolves when the answer's head is there. Dropping the future, or the answer's
    /// body, cancels the call.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, SendError>>;
}
