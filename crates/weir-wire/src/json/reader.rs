//! The pull reader: a cursor that validates what it passes.

use std::borrow::Cow;

use super::text::unescape;
use super::{JsonError, JsonErrorKind, Key, Kind, MAX_DEPTH, Span, Value};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A cursor over UTF-8 JSON. Every method consumes one value (or fails), so nested reads compose:
/// the closures given to [`Reader::object`] and [`Reader::array`] must consume exactly one value
/// per call, with any method of the reader they are handed.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    pos: usize,
    depth: usize,
    /// The text is a value that was read before: its strings have no control characters.
    again: bool,
}

impl<'a> Reader<'a> {
    /// Starts on a value of a text that has been read whole before, as [`Reader::raw`] gave it.
    #[must_use]
    pub fn again(value: &'a str) -> Self {
        Self { text: value, pos: 0, depth: 0, again: true }
    }

    /// Starts at the first byte. Fails on bytes that are not UTF-8 and on a byte order mark.
    pub fn new(body: &'a [u8]) -> Result<Self, JsonError> {
        let utf8 = |offset, reason| JsonError { offset, kind: JsonErrorKind::Utf8, reason };
        if body.starts_with(BOM) {
            return Err(utf8(0, "byte order mark, send plain UTF-8 without it"));
        }
        let text =
            std::str::from_utf8(body).map_err(|e| utf8(e.valid_up_to(), "not UTF-8, encode the body as UTF-8"))?;
        Ok(Self { text, pos: 0, depth: 0, again: false })
    }

    /// The kind of the next value, which stays unread. Skips white space before it.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.white_space();
        match self.byte() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => self.fail("expected a value"),
            None if self.depth == 0 => self.fail("expected a value, found the end of the text"),
            None => self.fail("unexpected end of the text"),
        }
    }

    /// Reads an object, calling `each` behind every `"key":`. Returns the object's span.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Key<'a>) -> Result<(), JsonError>,
    ) -> Result<Span, JsonError> {
        if self.kind()? != Kind::Object {
            return Err(JsonError { offset: self.pos, kind: JsonErrorKind::NotAnObject, reason: "expected an object" });
        }
        let start = self.open()?;
        let mut more = !self.closes(Kind::Object);
        while more {
            let key = self.key()?;
            each(self, key)?;
            more = self.more(Kind::Object)?;
        }
        self.depth -= 1;
        Ok(self.since(start))
    }

    /// Reads an array, calling `each` before every element. Returns the array's span.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<Span, JsonError> {
        if self.kind()? != Kind::Array {
            return self.fail("expected an array");
        }
        let start = self.open()?;
        let mut more = !self.closes(Kind::Array);
        while more {
            each(self)?;
            more = self.more(Kind::Array)?;
        }
        self.depth -= 1;
        Ok(self.since(start))
    }

    /// Reads a string, unescaped; borrowed when it has no escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.kind()? != Kind::String {
            return self.fail("expected a string");
        }
        self.string_here()
    }

    /// Passes the next value, whatever it is, without looking at more than its grammar.
    pub fn skip(&mut self) -> Result<Value, JsonError> {
        let kind = self.kind()?;
        let start = self.pos;
        match kind {
            Kind::Array | Kind::Object => self.skip_container()?,
            _ => self.skip_scalar(kind)?,
        }
        Ok(Value { span: self.since(start), kind })
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.white_space();
        match self.byte() {
            None => Ok(()),
            Some(_) => self.fail("unexpected text after the value"),
        }
    }

    /// The offset of the next byte to be read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The raw text a span of this reader covers.
    #[must_use]
    pub fn raw(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn fail<T>(&self, reason: &'static str) -> Result<T, JsonError> {
        Err(JsonError::syntax(self.pos, reason))
    }

    fn since(&self, start: usize) -> Span {
        Span { start, end: self.pos }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.pos..).unwrap_or_default()
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.pos += 1;
        }
    }

    /// Steps over an opening bracket and returns where it was.
    fn open(&mut self) -> Result<usize, JsonError> {
        self.check_depth(self.depth)?;
        self.depth += 1;
        self.pos += 1;
        Ok(self.pos - 1)
    }

    fn check_depth(&self, depth: usize) -> Result<(), JsonError> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(JsonError {
            offset: self.pos,
            kind: JsonErrorKind::TooDeep,
            reason: "nested deeper than 128 levels, flatten the value",
        })
    }

    /// Steps over the closing bracket of an empty container, if there is one.
    fn closes(&mut self, kind: Kind) -> bool {
        self.white_space();
        let closed = self.byte() == Some(closing(kind));
        self.pos += usize::from(closed);
        closed
    }

    /// Steps over what follows a member: a comma (true) or the closing bracket (false).
    fn more(&mut self, kind: Kind) -> Result<bool, JsonError> {
        self.white_space();
        match self.byte() {
            Some(b',') => self.pos += 1,
            Some(byte) if byte == closing(kind) => {
                self.pos += 1;
                return Ok(false);
            }
            _ if kind == Kind::Object => return self.fail("expected ',' or '}'"),
            _ => return self.fail("expected ',' or ']'"),
        }
        Ok(true)
    }

    /// Reads `"key":`.
    fn key(&mut self) -> Result<Key<'a>, JsonError> {
        let start = self.key_start()?;
        let name = self.string_here()?;
        let span = self.since(start);
        self.colon()?;
        Ok(Key { name, span })
    }

    fn key_start(&mut self) -> Result<usize, JsonError> {
        self.white_space();
        if self.byte() != Some(b'"') {
            return self.fail("expected a key in double quotes");
        }
        Ok(self.pos)
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        self.white_space();
        if self.byte() != Some(b':') {
            return self.fail("expected ':' after the key");
        }
        self.pos += 1;
        Ok(())
    }

    fn skip_key(&mut self) -> Result<(), JsonError> {
        self.key_start()?;
        self.skip_string()?;
        self.colon()
    }

    /// Passes a container and all it holds, iteratively.
    fn skip_container(&mut self) -> Result<(), JsonError> {
        let mut open = Nesting::default();
        loop {
            let kind = self.kind()?;
            if matches!(kind, Kind::Array | Kind::Object) {
                self.check_depth(self.depth + open.len)?;
                self.pos += 1;
                if !self.closes(kind) {
                    open.push(kind);
                    self.member(kind)?;
                    continue;
                }
            } else {
                self.skip_scalar(kind)?;
            }
            while let Some(kind) = open.top() {
                if self.more(kind)? {
                    self.member(kind)?;
                    break;
                }
                open.pop();
            }
            if open.len == 0 {
                return Ok(());
            }
        }
    }

    /// Steps to a member's value: over its key, in an object.
    fn member(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::Object => self.skip_key(),
            _ => Ok(()),
        }
    }

    fn skip_scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.skip_string().map(|_| ()),
            Kind::Number => self.number(),
            Kind::Bool if self.byte() == Some(b't') => self.literal("true"),
            Kind::Bool => self.literal("false"),
            _ => self.literal("null"),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return self.fail("expected true, false or null");
        }
        self.pos += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.pos += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.pos += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.pos += 1;
            self.pos += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos == start {
            return self.fail("expected a digit");
        }
        Ok(())
    }

    /// Reads the string that begins here.
    fn string_here(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.pos + 1;
        let escaped = self.skip_string()?;
        let inner = self.raw(Span { start, end: self.pos - 1 });
        Ok(match escaped {
            true => unescape(inner),
            false => Cow::Borrowed(inner),
        })
    }

    /// Passes the string that begins here; says whether it has escapes.
    fn skip_string(&mut self) -> Result<bool, JsonError> {
        self.pos += 1;
        let mut escaped = false;
        loop {
            self.pos += if self.again { run_to_quote(self.rest()) } else { plain_run(self.rest()) };
            match self.byte() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fail("control character in a string, escape it"),
                None => return self.fail("string without an end"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.pos += 2;
                Ok(())
            }
            [_, b'u', ..] => self.unicode_escape(),
            _ => self.fail("unknown escape in a string"),
        }
    }

    fn unicode_escape(&mut self) -> Result<(), JsonError> {
        match self.code_unit()? {
            0xD800..=0xDBFF => {}
            0xDC00..=0xDFFF => return self.fail("lone surrogate in a string"),
            _ => {
                self.pos += 6;
                return Ok(());
            }
        }
        let high = self.pos;
        self.pos += 6;
        if self.rest().starts_with(b"\\u") && (0xDC00..=0xDFFF).contains(&self.code_unit()?) {
            self.pos += 6;
            return Ok(());
        }
        self.pos = high;
        self.fail("lone surrogate in a string")
    }

    /// The code unit of the `\uXXXX` that begins here.
    fn code_unit(&self) -> Result<u32, JsonError> {
        let digits = self.rest().get(2..6).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let unit =
            digits.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        unit.map_or_else(|| self.fail("expected four hexadecimal digits after \\u"), Ok)
    }
}

fn closing(kind: Kind) -> u8 {
    match kind {
        Kind::Object => b'}',
        _ => b']',
    }
}

/// How many leading bytes are neither a quote nor a backslash.
fn run_to_quote(bytes: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// How many leading bytes are neither a quote, nor a backslash, nor a control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    // Thirty-two at a time without an early exit compiles to vector instructions, which is what
    // makes a megabyte of base64 cheap to pass.
    const LANES: usize = 32;
    let special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let mut run = 0;
    for chunk in bytes.chunks_exact(LANES) {
        if chunk.iter().fold(false, |any, &byte| any | special(byte)) {
            break;
        }
        run += LANES;
    }
    let rest = bytes.get(run..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        if let Some(at) = first_special(u64::from_le_bytes(*word)) {
            return run + at;
        }
        run += 8;
    }
    run + tail.iter().position(|&byte| special(byte)).unwrap_or(tail.len())
}

/// Where the first quote, backslash or control character of eight bytes stands. Borrows reach only
/// bytes above one that is found, so the lowest is right.
fn first_special(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let is = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let found = is(b'"') | is(b'\\') | control;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// The open containers: one bit each, set for an object. [`MAX_DEPTH`] is its width.
#[derive(Default)]
struct Nesting {
    objects: u128,
    len: usize,
}

impl Nesting {
    fn push(&mut self, kind: Kind) {
        self.objects = self.objects << 1 | u128::from(kind == Kind::Object);
        self.len += 1;
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.len = self.len.saturating_sub(1);
    }

    fn top(&self) -> Option<Kind> {
        match (self.len, self.objects & 1) {
            (0, _) => None,
            (_, 0) => Some(Kind::Array),
            _ => Some(Kind::Object),
        }
    }
}
