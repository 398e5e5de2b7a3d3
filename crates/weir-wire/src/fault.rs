//! A provider's own error, whatever shape it came in.
//!
//! `fault/parts.rs` knows the shapes, `fault/classify.rs` what sort of failure the words mean, and
//! `fault/wait.rs` how long to wait.

mod class;
mod classify;
mod parts;
mod wait;

#[cfg(test)]
mod tests;

use crate::json::{JsonError, Reader};
use crate::text;

pub use class::ErrorClass;
pub(crate) use class::IN_STREAM;
pub(crate) use parts::Parts;

/// The longest message kept, in bytes.
pub const MAX_MESSAGE: usize = 4096;
/// The longest of the other texts, in bytes.
pub(crate) const MAX_WORD: usize = 256;

/// An upstream error in the parts of OpenAI's error object. Every text is bounded, and none is
/// markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// What went wrong, in the provider's words or, when it had none fit to show, in neutral ones.
    pub message: String,
    /// The provider's `type`.
    pub kind: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// The provider's code; numbers are kept as their digits.
    pub code: Option<String>,
    /// What sort of failure it is.
    pub class: ErrorClass,
    /// How long to wait before the next try, in milliseconds, if the body says (headers may too).
    pub retry_after_ms: Option<u64>,
}

impl UpstreamError {
    /// The HTTP status an error inside a 200 stands for, if its code is one (OpenRouter).
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let status = self.code.as_deref()?.parse().ok()?;
        (400..600).contains(&status).then_some(status)
    }

    /// With the class that its own words tell, or else its code; for errors that no body described.
    pub(crate) fn classified(self) -> Self {
        let class = classify::class(None, &self, &[]);
        Self { class, ..self }
    }
}

/// Reads an error answer.
///
/// Understands OpenAI's object, numeric codes, FastAPI's `detail` (text or list), `error` as
/// text, flat objects (vLLM, TGI), nested ones and arrays of one. What it cannot read (markup,
/// plain text, nothing) gives a neutral message: a provider's pages are not for clients.
#[must_use]
pub fn read_error(status: u16, content_type: Option<&str>, body: &[u8]) -> UpstreamError {
    read_typed_error(status, content_type, None, body)
}

/// Reads an error answer whose sort stands in a header, as AWS has it in `x-amzn-errortype`
/// (`ThrottlingException:http://...`). A header that is not there changes nothing.
#[must_use]
pub fn read_typed_error(
    status: u16,
    content_type: Option<&str>,
    error_type: Option<&str>,
    body: &[u8],
) -> UpstreamError {
    let neutral = || format!("the provider answered with status {status} and no readable error");
    let html = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let mut parts = Parts::default();
    if !html && let Ok(mut reader) = Reader::new(body) {
        // A body cut short still tells what was read before the cut.
        let _: Result<(), JsonError> = parts.value(&mut reader);
    }
    error_type.into_iter().for_each(|name| parts.exception(name));
    parts.finish_as(Some(status), neutral)
}

/// The first bytes of a body for the log: at most 256, on one line, without control characters.
#[must_use]
pub fn snippet(body: &[u8]) -> String {
    let head = body.get(..MAX_WORD).unwrap_or(body);
    text::label(&String::from_utf8_lossy(head), MAX_WORD)
}

/// Reads the value of a member named `error`. Null, false and what is empty are no error, as in
/// the official SDKs.
pub(crate) fn in_band(reader: &mut Reader<'_>) -> Result<Option<UpstreamError>, JsonError> {
    let value = reader.skip()?;
    let raw = reader.raw(value.span);
    let compact: String = raw.chars().take(8).filter(|c| !c.is_whitespace()).collect();
    if matches!(compact.as_str(), "null" | "false" | "0" | "\"\"" | "{}" | "[]" | "\"None\"") {
        return Ok(None);
    }
    let mut parts = Parts::default();
    parts.error(&mut Reader::new(raw.as_bytes())?)?;
    Ok(Some(parts.finish(unnamed)))
}

/// The message of an error inside a stream that has none.
pub(crate) fn unnamed() -> String {
    "the provider reported an error without saying which".to_owned()
}
