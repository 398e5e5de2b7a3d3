//! One message, read and written.

use bytes::Bytes;

use super::OVERHEAD;
use super::header::{self, Header, HeaderValue};

/// A message: its headers and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// What it carries, JSON for Bedrock.
    pub payload: Bytes,
}

/// What a message is, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'m> {
    /// An event of this name (`:event-type`).
    Event(&'m str),
    /// A failure the API describes, by its name (`:exception-type`); the payload says more.
    Exception(&'m str),
    /// A failure beneath the API, with its code and message (`:error-code`, `:error-message`).
    Error {
        /// The code.
        code: &'m str,
        /// The message.
        message: &'m str,
    },
    /// A message type nobody knows.
    Unknown,
}

impl Message {
    /// An event of this name with JSON in it, as AWS writes them.
    #[must_use]
    pub fn event(name: &str, json: impl Into<Bytes>) -> Self {
        Self::of(":event-type", name, "event", json.into())
    }

    /// An exception of this name with JSON in it.
    #[must_use]
    pub fn exception(name: &str, json: impl Into<Bytes>) -> Self {
        Self::of(":exception-type", name, "exception", json.into())
    }

    fn of(header: &str, name: &str, kind: &str, payload: Bytes) -> Self {
        let headers = vec![
            Header::text(header, name),
            Header::text(":content-type", "application/json"),
            Header::text(":message-type", kind),
        ];
        Self { headers, payload }
    }

    /// The value of a header of text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).and_then(|header| match &header.value {
            HeaderValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        let word = |name| self.text(name).unwrap_or_default();
        match self.text(":message-type") {
            Some("event") => Kind::Event(word(":event-type")),
            Some("exception") => Kind::Exception(word(":exception-type")),
            Some("error") => Kind::Error { code: word(":error-code"), message: word(":error-message") },
            _ => Kind::Unknown,
        }
    }
}

/// The bytes of a message: for tests and for playing a provider.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    let mut headers = Vec::new();
    message.headers.iter().for_each(|header| header::write(header, &mut headers));
    let total = OVERHEAD + headers.len() + message.payload.len();
    let mut out = Vec::with_capacity(total);
    for length in [total, headers.len()] {
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(&message.payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}
