//! Errors, as this dialect's clients understand them.

use super::encode_stream::Framing;
use crate::fault::UpstreamError;
use crate::hub::write;

/// The body of an error answer: `{"error": {"code", "message", "status"}}`, in a list of one where the
/// client asked for a stream that is a list.
#[must_use]
pub fn encode_error(status: u16, error: &UpstreamError, framing: Framing) -> String {
    let body = object(status, error);
    match framing {
        Framing::Sse => body,
        Framing::Array => format!("[{body}]"),
    }
}

/// The error alone.
pub(super) fn object(status: u16, error: &UpstreamError) -> String {
    write::object(|o| {
        o.object("error", |o| {
            o.count("code", u64::from(status));
            o.text("message", &error.message);
            o.text("status", word(status));
        });
    })
}

/// Google's word for a status.
fn word(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
