//! JSON by spans: one validating pass over the bytes, no tree, no copies.
//!
//! [`scan_object`] walks the members of one object and says where each value lies, so that a
//! caller can cut a body open, change a value and leave every other byte alone. [`Reader`] is the
//! pull form of the same pass, for callers that descend.
//!
//! Stricter than most parsers on purpose, because what Weir reads and what the upstream reads must
//! be the same thing: no byte order mark, no lone surrogate escapes, no nesting beyond
//! [`MAX_DEPTH`], nothing after the object. Duplicate keys are the caller's business.

mod reader;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use reader::Reader;
pub use text::{quote, unescape};

/// How many containers may be open at once, the outermost included.
pub const MAX_DEPTH: usize = 128;

/// A half-open range of byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// How many bytes it covers.
    #[must_use]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The same range seen from `by` bytes further left: an inner offset made an outer one.
    #[must_use]
    pub fn shift(self, by: usize) -> Self {
        Self { start: self.start + by, end: self.end + by }
    }

    /// The bytes it covers, nothing if it reaches beyond them.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind with its article, for messages: `a string`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Where a value lies and what it is. A string's span includes its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its bytes.
    pub span: Span,
    /// Its kind.
    pub kind: Kind,
}

/// An object's key: unescaped, with the span of the quoted original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The unescaped name.
    pub name: Cow<'a, str>,
    /// The key as written, quotes included.
    pub span: Span,
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The unescaped key.
    pub key: Cow<'a, str>,
    /// The key as written, quotes included.
    pub key_span: Span,
    /// The value's bytes.
    pub value: Span,
    /// The value's kind.
    pub kind: Kind,
}

/// What sort of fault a body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// The JSON grammar is broken, or text follows the value.
    Syntax,
    /// The bytes are not UTF-8, or begin with a byte order mark.
    Utf8,
    /// More than [`MAX_DEPTH`] containers are open.
    TooDeep,
    /// Valid so far, but the outermost value is not an object.
    NotAnObject,
}

/// Why a body is not the JSON it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte at which it was noticed.
    pub offset: usize,
    /// The sort of fault.
    pub kind: JsonErrorKind,
    /// The fault in words.
    pub reason: &'static str,
}

impl JsonError {
    pub(crate) fn syntax(offset: usize, reason: &'static str) -> Self {
        Self { offset, kind: JsonErrorKind::Syntax, reason }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid JSON at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for JsonError {}

/// Validates `body` as one JSON object and shows `visit` each member of it, in order.
///
/// Members are shown as they are passed, so before a fault further on is known: what `visit`
/// gathered counts only when this returns `Ok`, with the span of the object in `body`.
pub fn scan_object<'a>(body: &'a [u8], mut visit: impl FnMut(Field<'a>)) -> Result<Span, JsonError> {
    let mut reader = Reader::new(body)?;
    let span = reader.object(|reader, key| {
        let value = reader.skip()?;
        visit(Field { key: key.name, key_span: key.span, value: value.span, kind: value.kind });
        Ok(())
    })?;
    reader.end()?;
    Ok(span)
}

/// The unescaped text of the string whose quoted form `span` covers in `body`, which must have
/// passed [`scan_object`]. `None` if the span covers no string.
#[must_use]
pub fn string_at(body: &[u8], span: Span) -> Option<Cow<'_, str>> {
    let quoted = std::str::from_utf8(span.of(body)).ok()?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(unescape(inner))
}
