//! One frame and the fields in it.

use std::borrow::Cow;

use bytes::Bytes;

use crate::json::Span;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A run of lines up to and including a blank one: an event, or comments, or the blank line alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as they came.
    pub raw: Bytes,
    /// Where the lines begin: behind a byte order mark at the start of the stream.
    start: usize,
}

impl Frame {
    /// A frame of these bytes; `first` if they begin the stream.
    #[must_use]
    pub fn new(raw: Bytes, first: bool) -> Self {
        let start = match first && raw.starts_with(BOM) {
            true => BOM.len(),
            false => 0,
        };
        Self { raw, start }
    }

    /// The event's data: its `data` lines joined by line feeds, borrowed when there is but one.
    /// Empty when there is none, which for every API is as if there were no event.
    #[must_use]
    pub fn data(&self) -> Cow<'_, [u8]> {
        let mut lines = self.data_spans();
        let Some(first) = lines.next() else {
            return Cow::Borrowed(&[]);
        };
        let first = first.of(&self.raw);
        let Some(second) = lines.next() else {
            return Cow::Borrowed(first);
        };
        let mut joined = first.to_vec();
        for line in std::iter::once(second).chain(lines) {
            joined.push(b'\n');
            joined.extend_from_slice(line.of(&self.raw));
        }
        Cow::Owned(joined)
    }

    /// The event's name, if it has one that is text.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        let last = self.values(b"event").last()?;
        std::str::from_utf8(last.of(&self.raw)).ok()
    }

    /// Where the byte at `offset` of [`Frame::data`] lies in `raw`.
    #[must_use]
    pub fn raw_offset(&self, offset: usize) -> Option<usize> {
        let mut before = 0;
        for line in self.data_spans() {
            if offset <= before + line.len() {
                return Some(line.start + offset - before);
            }
            before += line.len() + 1;
        }
        None
    }

    fn data_spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.values(b"data")
    }

    /// The values of the fields of this name.
    fn values<'a>(&'a self, name: &'static [u8]) -> impl Iterator<Item = Span> + 'a {
        self.lines().filter_map(move |line| value_of(&self.raw, line, name))
    }

    fn lines(&self) -> impl Iterator<Item = Span> + '_ {
        let mut next = self.start;
        std::iter::from_fn(move || {
            let text = self.raw.get(next..).filter(|text| !text.is_empty())?;
            let start = next;
            let len = memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len());
            let ending = match text.get(len..) {
                Some([b'\r', b'\n', ..]) => 2,
                Some([]) | None => 0,
                Some(_) => 1,
            };
            next += len + ending;
            Some(Span { start, end: start + len })
        })
    }
}

/// The value of `line` if its field is `name`: what follows the colon and one optional space.
fn value_of(raw: &[u8], line: Span, name: &[u8]) -> Option<Span> {
    let tail = line.of(raw).strip_prefix(name)?;
    let skipped = match tail {
        [] => 0,
        [b':', b' ', ..] => 2,
        [b':', ..] => 1,
        _ => return None,
    };
    Some(Span { start: line.start + name.len() + skipped, end: line.end })
}
