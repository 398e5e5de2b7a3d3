//! HTTP/1 requests as a client writes them, before a server makes sense of them.
//!
//! A server's parser forgives: of two lengths it takes one, a bare line feed ends a line as well. What it
//! forgives and the proxy in front of it reads otherwise is how requests are smuggled, and after the
//! parsing nothing of it is left to be seen. [`Inspector`] therefore reads the raw bytes first and passes on
//! only what has one reading (RFC 9112): it follows a connection from head to body to head, so that each
//! head is seen and no body is taken for one.

pub mod authority;
mod chunked;
mod head;

#[cfg(test)]
mod tests;

use chunked::{Chunked, Progress};

/// Longest head of a request, its last empty line included.
pub const MAX_HEAD: usize = 32 * 1024;
/// Most header fields of a request.
pub const MAX_HEADERS: usize = 100;

/// Why a request is not passed on: an HTTP status, a code for programs, a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 4xx.
    pub status: u16,
    /// One of a small set.
    pub code: &'static str,
    /// What is wrong, and what would be right.
    pub message: &'static str,
}

impl Refusal {
    const fn bad(code: &'static str, message: &'static str) -> Self {
        Self { status: 400, code, message }
    }
}

/// What is to be done with the bytes that an [`Inspector`] was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many of them, from the first on and at least one, may be passed on.
    Pass(usize),
    /// They are the beginning of a head: show them again, with more.
    Wait,
    /// They begin with a head that is refused. Nothing after it has a meaning.
    Refuse(Refusal),
    /// They go on with a body that breaks its form, and how. Nothing after it has a meaning.
    Broken(&'static str),
}

/// Follows the requests of one connection.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Within a head, of which so many bytes were searched for its end.
    Head {
        searched: usize,
    },
    /// Within a body, so many bytes before its end.
    Sized(u64),
    /// Within a body that comes in chunks.
    Chunks(Chunked),
    Refused(Refusal),
    Broken(&'static str),
}

impl Default for State {
    fn default() -> Self {
        Self::Head { searched: 0 }
    }
}

/// How long the body after a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Sized(u64),
    Chunked,
}

impl Inspector {
    /// Looks at bytes that follow what was passed on so far. After [`Step::Wait`] the same bytes come again,
    /// with more behind them.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.state {
            _ if bytes.is_empty() => Step::Wait,
            State::Head { .. } => self.head(bytes),
            State::Sized(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::default();
                }
                Step::Pass(taken)
            }
            State::Chunks(chunks) => match chunks.advance(bytes) {
                Progress::Within(taken) => Step::Pass(taken),
                Progress::End(taken) => {
                    self.state = State::default();
                    Step::Pass(taken)
                }
                // What is right before the fault is passed on first.
                Progress::Broken(taken, why) => {
                    self.state = State::Broken(why);
                    if taken > 0 { Step::Pass(taken) } else { Step::Broken(why) }
                }
            },
            State::Refused(refusal) => Step::Refuse(*refusal),
            State::Broken(why) => Step::Broken(why),
        }
    }

    /// Whether a head comes next, or is half there.
    #[must_use]
    pub fn expects_head(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    fn head(&mut self, bytes: &[u8]) -> Step {
        let State::Head { searched } = self.state else { return Step::Wait };
        let judged = head::end(bytes, searched).and_then(|end| match end {
            Some(end) => head::check(&bytes[..end]).map(|framing| Some((end, framing))),
            None => Ok(None),
        });
        match judged {
            Err(refusal) => {
                self.state = State::Refused(refusal);
                Step::Refuse(refusal)
            }
            Ok(None) => {
                self.state = State::Head { searched: bytes.len() };
                Step::Wait
            }
            Ok(Some((end, framing))) => {
                self.state = match framing {
                    Framing::Sized(0) => State::default(),
                    Framing::Sized(length) => State::Sized(length),
                    Framing::Chunked => State::Chunks(Chunked::default()),
                };
                Step::Pass(end)
            }
        }
    }
}
