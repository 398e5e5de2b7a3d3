//! The binary `application/vnd.amazon.eventstream` format, in which AWS streams its answers.
//!
//! A message is a prelude of twelve bytes (length of the whole, length of the headers, CRC32 of
//! these eight bytes), headers, payload, and a CRC32 of all before it; numbers are big-endian.
//! Both sums are checked: a stream that lost a byte has lost its place, and nothing behind it
//! can be trusted. Any cutting of the bytes gives the same messages.
//!
//! Source: the event stream encoding of the AWS SDKs (botocore `eventstream.py`).

mod header;
mod message;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

pub use header::{Header, HeaderValue};
pub use message::{Kind, Message, encode};

/// The most bytes of a message's headers (AWS's own limit).
pub const MAX_HEADERS: usize = 128 * 1024;
/// The most bytes of a message's payload (AWS's own limit).
pub const MAX_PAYLOAD: usize = 24 << 20;
/// What a message has besides headers and payload: prelude and final sum.
const OVERHEAD: usize = PRELUDE + SUM;
const PRELUDE: usize = 12;
const SUM: usize = 4;

/// Why bytes are no messages. The framer drops what it holds and yields nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// A message is larger than the limit in bytes.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The lengths at its start contradict each other.
    Lengths,
    /// The sum of its prelude or of all of it is wrong.
    Sum,
    /// Its headers cannot be read.
    Headers,
    /// The stream ended within a message.
    Truncated,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "a stream message is larger than {limit} bytes"),
            Self::Lengths => f.write_str("a stream message's lengths are impossible"),
            Self::Sum => f.write_str("a stream message's checksum is wrong"),
            Self::Headers => f.write_str("a stream message's headers are malformed"),
            Self::Truncated => f.write_str("the stream ended within a message"),
        }
    }
}

impl std::error::Error for MessageError {}

/// Cuts a byte stream into messages. Push chunks, take messages until there are none, push the
/// next; at the end of the stream ask [`MessageFramer::end`].
///
/// Holds at most `max_message` bytes besides the last chunk.
#[derive(Debug)]
pub struct MessageFramer {
    max_message: usize,
    held: BytesMut,
    failed: bool,
}

impl MessageFramer {
    /// A framer that refuses messages of more than `max_message` bytes, prelude and sums included.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self { max_message, held: BytesMut::new(), failed: false }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        if !self.failed {
            self.held.extend_from_slice(chunk);
        }
    }

    /// The next whole message, or `None` until more is pushed.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, which an Iterator may not say")]
    pub fn next(&mut self) -> Option<Result<Message, MessageError>> {
        match self.cut() {
            Ok(None) => None,
            Ok(Some(message)) => Some(Ok(message)),
            Err(error) => {
                self.failed = true;
                self.held = BytesMut::new();
                Some(Err(error))
            }
        }
    }

    /// Says that the stream has ended: an error if it did so within a message.
    pub fn end(&self) -> Result<(), MessageError> {
        if self.held.is_empty() { Ok(()) } else { Err(MessageError::Truncated) }
    }

    fn cut(&mut self) -> Result<Option<Message>, MessageError> {
        let Some(lengths) = self.lengths()? else { return Ok(None) };
        if self.held.len() < lengths.total {
            return Ok(None);
        }
        let mut whole = self.held.split_to(lengths.total).freeze();
        let sum = whole.split_off(lengths.total - SUM);
        if crc32fast::hash(&whole) != number(&sum, 0) {
            return Err(MessageError::Sum);
        }
        whole.advance(PRELUDE);
        let headers = header::read(&whole.split_to(lengths.headers)).ok_or(MessageError::Headers)?;
        Ok(Some(Message { headers, payload: whole }))
    }

    /// The lengths the prelude tells, once it is there and its sum is right.
    fn lengths(&self) -> Result<Option<Lengths>, MessageError> {
        let Some(prelude) = self.held.get(..PRELUDE) else { return Ok(None) };
        if crc32fast::hash(prelude.get(..8).unwrap_or_default()) != number(prelude, 8) {
            return Err(MessageError::Sum);
        }
        let total = number(prelude, 0) as usize;
        let headers = number(prelude, 4) as usize;
        let Some(payload) = total.checked_sub(OVERHEAD).and_then(|rest| rest.checked_sub(headers)) else {
            return Err(MessageError::Lengths);
        };
        if total > self.max_message {
            return Err(MessageError::TooLarge { limit: self.max_message });
        }
        if headers > MAX_HEADERS || payload > MAX_PAYLOAD {
            return Err(MessageError::TooLarge { limit: MAX_PAYLOAD });
        }
        Ok(Some(Lengths { total, headers }))
    }
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    total: usize,
    headers: usize,
}

/// The big-endian number at `at`; 0 where there are no four bytes.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_be_bytes(*four))
}

/// The bytes behind `len` bytes, with those; `None` if there are fewer.
fn split(bytes: &Bytes, at: &mut usize, len: usize) -> Option<Bytes> {
    let end = at.checked_add(len).filter(|end| *end <= bytes.len())?;
    let part = bytes.slice(*at..end);
    *at = end;
    Some(part)
}
