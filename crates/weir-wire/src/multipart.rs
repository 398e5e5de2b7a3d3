//! Finding the `model` field in a `multipart/form-data` body as it streams by.
//!
//! Files may be large, so nothing but headers and the model's value is kept. The scan is strict
//! (CRLF line endings, delimiters spelled out in full): where a body can be read in two ways, what
//! Weir checks and what the upstream runs could differ, so such a body is refused.

mod boundary;
mod header;

#[cfg(test)]
mod tests;

use std::fmt;

pub use boundary::boundary_of;

/// The most parts a body may have.
pub const MAX_PARTS: usize = 256;
/// The largest header block of a part, in bytes.
pub const MAX_HEADERS: usize = 8 * 1024;
/// The longest model name, in bytes.
pub const MAX_MODEL: usize = 256;
/// How much white space may follow a delimiter on its line.
const MAX_PADDING: usize = 64;
/// The length of CRLF, with which a delimiter begins.
const LINE_BREAK: usize = 2;

/// The model field of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelField {
    /// Offset of the value's first byte in the body.
    pub start: u64,
    /// Offset behind its last byte.
    pub end: u64,
    /// The value.
    pub value: String,
}

/// How far a scan has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No news: push more.
    More,
    /// The model was found in this push. Push the rest all the same: a second model is an error.
    Found(ModelField),
    /// The body has come to its closing delimiter without a model.
    NotThere,
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartError {
    /// The content type is not `multipart/form-data` with one usable boundary.
    NoBoundary,
    /// The body breaks the format; what is wrong, in words.
    Malformed(&'static str),
    /// There are two fields named `model`.
    DuplicateModel,
    /// The model is longer than [`MAX_MODEL`] bytes, empty, not UTF-8 or sent as a file.
    BadModel,
    /// There are more than [`MAX_PARTS`] parts.
    TooManyParts,
    /// A part's headers are larger than [`MAX_HEADERS`].
    HeadersTooLarge,
    /// The body ended before its closing delimiter.
    Truncated,
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBoundary => {
                f.write_str("the content type must be multipart/form-data with a boundary of 1 to 70 characters")
            }
            Self::Malformed(what) => write!(f, "invalid multipart body: {what}"),
            Self::DuplicateModel => f.write_str("'model' appears more than once in the form, send it once"),
            Self::BadModel => write!(f, "'model' must be a text field of 1 to {MAX_MODEL} bytes, not a file"),
            Self::TooManyParts => write!(f, "the form has more than {MAX_PARTS} parts"),
            Self::HeadersTooLarge => {
                write!(f, "the headers of a form part are larger than {MAX_HEADERS} bytes")
            }
            Self::Truncated => f.write_str("the form ends before its closing boundary"),
        }
    }
}

impl std::error::Error for MultipartError {}

/// Scans one body. Feed it every chunk in order; after an error it must not be fed again.
#[derive(Debug)]
pub struct ModelFinder {
    /// CRLF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// How many bytes of the delimiter the last bytes matched.
    matched: usize,
    /// How many of those were never there: a line break presumed before the first byte.
    presumed: usize,
    state: State,
    /// Bytes seen before the chunk at hand.
    offset: u64,
    parts: usize,
    model: Option<ModelField>,
}

#[derive(Debug)]
enum State {
    /// Before the first delimiter, or in a part nobody asked for.
    Skip,
    /// In the model's value.
    Model(Partial),
    /// Behind a delimiter: the rest of its line so far.
    Line(Vec<u8>),
    /// In a part's headers: what came so far.
    Headers(Vec<u8>),
    /// Behind the closing delimiter.
    End,
}

#[derive(Debug)]
struct Partial {
    start: u64,
    value: Vec<u8>,
}

impl ModelFinder {
    /// A scan for a body with this boundary (from [`boundary_of`]).
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first delimiter may begin the body.
            matched: LINE_BREAK,
            presumed: LINE_BREAK,
            state: State::Skip,
            offset: 0,
            parts: 0,
            model: None,
        }
    }

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Progress, MultipartError> {
        let (had_model, had_end) = (self.model.is_some(), self.ended());
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::Skip | State::Model(_) => self.content(rest)?,
                State::Line(_) => self.line(rest)?,
                State::Headers(_) => self.headers(rest, at)?,
                State::End => rest.len(),
            };
        }
        self.offset += chunk.len() as u64;
        Ok(match &self.model {
            Some(model) if !had_model => Progress::Found(model.clone()),
            None if self.ended() && !had_end => Progress::NotThere,
            _ => Progress::More,
        })
    }

    /// The verdict at the end of the body: the model, or that there is none.
    pub fn finish(self) -> Result<Option<ModelField>, MultipartError> {
        match self.state {
            State::End => Ok(self.model),
            _ => Err(MultipartError::Truncated),
        }
    }

    /// Whether the closing delimiter was seen.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Passes content up to and including the next delimiter; says how much was passed.
    fn content(&mut self, bytes: &[u8]) -> Result<usize, MultipartError> {
        let mut passed = 0;
        while let Some(&byte) = bytes.get(passed) {
            if self.delimiter.get(self.matched) == Some(&byte) {
                self.matched += 1;
                passed += 1;
                if self.matched == self.delimiter.len() {
                    self.delimited()?;
                    break;
                }
            } else if self.matched > 0 {
                // What looked like a delimiter is content. Its only carriage return is its first
                // byte, so the next can begin no earlier than here.
                let content = self.delimiter.get(self.presumed..self.matched).unwrap_or_default();
                keep(&mut self.state, content)?;
                (self.matched, self.presumed) = (0, 0);
            } else {
                let rest = bytes.get(passed..).unwrap_or_default();
                let run = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
                keep(&mut self.state, rest.get(..run).unwrap_or_default())?;
                passed += run;
            }
        }
        Ok(passed)
    }

    /// A delimiter was passed: closes the model's value, if it was in it.
    fn delimited(&mut self) -> Result<(), MultipartError> {
        if self.presumed > 0 && self.parts > 0 {
            return Err(MultipartError::Malformed("a boundary directly behind a part's headers"));
        }
        (self.matched, self.presumed) = (0, 0);
        let state = std::mem::replace(&mut self.state, State::Line(Vec::new()));
        let State::Model(Partial { start, value }) = state else {
            return Ok(());
        };
        let end = start + value.len() as u64;
        let value = String::from_utf8(value).map_err(|_| MultipartError::BadModel)?;
        if value.is_empty() {
            return Err(MultipartError::BadModel);
        }
        self.model = Some(ModelField { start, end, value });
        Ok(())
    }

    /// Reads the rest of a delimiter's line: two hyphens close the body, a line break opens a
    /// part.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, MultipartError> {
        let State::Line(line) = &mut self.state else {
            return Ok(0);
        };
        for (index, &byte) in bytes.iter().enumerate() {
            line.push(byte);
            match line.as_slice() {
                b"--" => {
                    self.state = State::End;
                    return Ok(index + 1);
                }
                [padding @ .., b'\r', b'\n'] if padding.iter().all(|b| b" \t".contains(b)) => {
                    self.state = State::Headers(Vec::new());
                    self.parts += 1;
                    return match self.parts > MAX_PARTS {
                        true => Err(MultipartError::TooManyParts),
                        false => Ok(index + 1),
                    };
                }
                b"-" => {}
                [padding @ .., b' ' | b'\t' | b'\r'] if padding.len() < MAX_PADDING && !padding.contains(&b'\r') => {}
                _ => return Err(MultipartError::Malformed("text follows a boundary")),
            }
        }
        Ok(bytes.len())
    }

    /// Reads a part's headers up to the empty line.
    fn headers(&mut self, bytes: &[u8], at: usize) -> Result<usize, MultipartError> {
        let State::Headers(block) = &mut self.state else {
            return Ok(0);
        };
        for (index, &byte) in bytes.iter().enumerate() {
            if block.len() == MAX_HEADERS {
                return Err(MultipartError::HeadersTooLarge);
            }
            block.push(byte);
            if block == b"\r\n" || block.ends_with(b"\r\n\r\n") {
                let is_model = header::names_model(block)?;
                let passed = index + 1;
                let start = self.offset + (at + passed) as u64;
                self.open(is_model, start)?;
                return Ok(passed);
            }
        }
        Ok(bytes.len())
    }

    /// Opens a part's content, which begins at `start` in the body.
    fn open(&mut self, is_model: bool, start: u64) -> Result<(), MultipartError> {
        if is_model && self.model.is_some() {
            return Err(MultipartError::DuplicateModel);
        }
        self.state = match is_model {
            true => State::Model(Partial { start, value: Vec::new() }),
            false => State::Skip,
        };
        // Some parsers take a boundary directly behind the headers for one, others for content.
        // It is looked for, to be refused.
        (self.matched, self.presumed) = (LINE_BREAK, LINE_BREAK);
        Ok(())
    }
}

/// Adds content to the model's value, if the scan is in it.
fn keep(state: &mut State, content: &[u8]) -> Result<(), MultipartError> {
    let State::Model(model) = state else {
        return Ok(());
    };
    if model.value.len() + content.len() > MAX_MODEL {
        return Err(MultipartError::BadModel);
    }
    model.value.extend_from_slice(content);
    Ok(())
}
