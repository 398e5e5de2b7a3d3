//! Newline-delimited JSON, cut into lines and left as it is (Ollama's own API and others).
//!
//! A [`Line`] is the bytes up to and including a line feed. The raw bytes of all lines and the
//! last, put together, are the input byte for byte, and any cutting of the bytes gives the same
//! lines. A carriage return before the line feed belongs to the ending; alone it ends nothing, as
//! between JSON's tokens it is mere space.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// A line grew beyond the framer's limit. The framer drops what it holds and yields nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for LineTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stream line is larger than {} bytes", self.limit)
    }
}

impl std::error::Error for LineTooLarge {}

/// One line, its ending included if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The bytes as they came.
    pub raw: Bytes,
}

impl Line {
    /// The line without spaces around it. Empty for blank lines, which say nothing.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.raw.trim_ascii()
    }
}

/// Cuts a byte stream into lines. Push chunks, take lines until there are none, push the next; at
/// the end of the stream take [`NdjsonFramer::end`], for the last line may lack its line feed.
///
/// Holds at most `max_line` bytes besides the chunks not yet taken. A line that lies within one
/// chunk is a slice of it.
#[derive(Debug)]
pub struct NdjsonFramer {
    max_line: usize,
    /// The beginning of a line that spans chunks.
    held: BytesMut,
    chunks: VecDeque<Bytes>,
    failed: bool,
}

impl NdjsonFramer {
    /// A framer that refuses lines of more than `max_line` bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self { max_line, held: BytesMut::new(), chunks: VecDeque::new(), failed: false }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !self.failed {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole line, or `None` until more is pushed.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, which an Iterator may not say")]
    pub fn next(&mut self) -> Option<Result<Line, LineTooLarge>> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            let end = memchr::memchr(b'\n', &chunk).map(|at| at + 1);
            if self.held.len() + end.unwrap_or(chunk.len()) > self.max_line {
                return Some(Err(self.fail()));
            }
            let Some(end) = end else {
                // Copied, so that the chunk can be freed.
                self.held.extend_from_slice(&chunk);
                continue;
            };
            let head = chunk.split_to(end);
            if chunk.has_remaining() {
                self.chunks.push_front(chunk);
            }
            return Some(Ok(self.line(head)));
        }
        None
    }

    /// Says that the stream has ended: the last line, if it has no line feed.
    pub fn end(&mut self) -> Option<Line> {
        let last = std::mem::take(&mut self.held);
        (!last.is_empty()).then(|| Line { raw: last.freeze() })
    }

    fn line(&mut self, tail: Bytes) -> Line {
        if self.held.is_empty() {
            return Line { raw: tail };
        }
        self.held.extend_from_slice(&tail);
        Line { raw: std::mem::take(&mut self.held).freeze() }
    }

    fn fail(&mut self) -> LineTooLarge {
        self.failed = true;
        self.held = BytesMut::new();
        self.chunks.clear();
        LineTooLarge { limit: self.max_line }
    }
}
