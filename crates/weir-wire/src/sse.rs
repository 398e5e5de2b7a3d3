//! Server-sent events, cut into frames and left as they are.
//!
//! A [`Frame`] is the bytes up to and including a blank line. The raw bytes of all frames and the
//! rest, put together, are the input byte for byte, so a stream can be forwarded frame by frame
//! and still reach the client untouched. Line endings, comments, multi-line data and the byte
//! order mark follow the WHATWG rules, and any cutting of the bytes gives the same frames.

mod frame;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

pub use frame::Frame;

/// A frame grew beyond the framer's limit. The framer drops what it holds and yields nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stream event is larger than {} bytes", self.limit)
    }
}

impl std::error::Error for FrameTooLarge {}

/// Cuts a byte stream into frames. Push chunks, take frames until there are none, push the next;
/// at the end of the stream call [`SseFramer::end`], take the last frames, then
/// [`SseFramer::take_rest`].
///
/// Holds at most `max_frame` bytes besides the chunks not yet taken. A frame that lies within one
/// chunk is a slice of it.
#[derive(Debug)]
pub struct SseFramer {
    max_frame: usize,
    /// The beginning of a frame that spans chunks.
    held: BytesMut,
    chunks: VecDeque<Bytes>,
    line: Line,
    first: bool,
    failed: bool,
}

/// Where in a line the scan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At its start.
    Empty,
    /// Behind at least one byte of it.
    Begun,
    /// Behind the carriage return that ends it; a line feed may belong to it.
    Returned { blank: bool },
}

impl SseFramer {
    /// A framer that refuses frames of more than `max_frame` bytes.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self {
            max_frame,
            held: BytesMut::new(),
            chunks: VecDeque::new(),
            line: Line::Empty,
            first: true,
            failed: false,
        }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !self.failed {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole frame, or `None` until more is pushed.
    ///
    /// A frame whose blank line ends in a carriage return at the very end of the bytes is held
    /// back until the next byte shows whether a line feed belongs to it.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, which an Iterator may not say")]
    pub fn next(&mut self) -> Option<Result<Frame, FrameTooLarge>> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            let end = self.scan(&chunk);
            let len = self.held.len() + end.unwrap_or(chunk.len());
            if len > self.max_frame {
                return Some(Err(self.fail()));
            }
            let Some(end) = end else {
                self.hold(chunk);
                continue;
            };
            let head = chunk.split_to(end);
            if chunk.has_remaining() {
                self.chunks.push_front(chunk);
            }
            return Some(Ok(self.frame(head)));
        }
        None
    }

    /// Says that the stream has ended: a frame held back for a line feed that will not come is
    /// whole now.
    pub fn end(&mut self) -> Option<Frame> {
        let whole = self.line == Line::Returned { blank: true } && self.chunks.is_empty();
        whole.then(|| self.frame(Bytes::new()))
    }

    /// The bytes of a frame left unfinished. Empty if the stream ended with a blank line.
    ///
    /// Some servers leave out the blank line behind their last event, so the rest is worth a look:
    /// as [`Frame::new`] of it.
    pub fn take_rest(&mut self) -> Bytes {
        let mut rest = std::mem::take(&mut self.held);
        for chunk in self.chunks.drain(..) {
            rest.extend_from_slice(&chunk);
        }
        self.line = Line::Empty;
        rest.freeze()
    }

    /// Where the frame ends in `chunk`, if it does; remembers the state of the line either way.
    fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            match (self.line, byte) {
                (Line::Returned { blank }, _) => {
                    at += usize::from(byte == b'\n');
                    self.line = Line::Empty;
                    if blank {
                        return Some(at);
                    }
                }
                (Line::Empty, b'\n') => return Some(at + 1),
                (line, b'\n' | b'\r') => {
                    at += 1;
                    let blank = line == Line::Empty;
                    self.line = match byte {
                        b'\r' => Line::Returned { blank },
                        _ => Line::Empty,
                    };
                }
                _ => {
                    self.line = Line::Begun;
                    let rest = chunk.get(at..).unwrap_or_default();
                    at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
            }
        }
        None
    }

    /// Keeps the beginning of a frame. The chunk itself is copied, so that it can be freed.
    fn hold(&mut self, chunk: Bytes) {
        self.held.extend_from_slice(&chunk);
    }

    /// The frame whose last bytes are `tail`.
    fn frame(&mut self, tail: Bytes) -> Frame {
        let raw = if self.held.is_empty() {
            tail
        } else {
            self.held.extend_from_slice(&tail);
            std::mem::take(&mut self.held).freeze()
        };
        self.line = Line::Empty;
        let first = std::mem::take(&mut self.first);
        Frame::new(raw, first)
    }

    fn fail(&mut self) -> FrameTooLarge {
        self.failed = true;
        self.line = Line::Empty;
        self.held = BytesMut::new();
        self.chunks.clear();
        FrameTooLarge { limit: self.max_frame }
    }
}
