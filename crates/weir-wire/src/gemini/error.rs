//! Errors, as this dialect's clients understand them.

use super::encode_stream::Framing;
use crate::fault::{ErrorClass, IN_STREAM, UpstreamError};
use crate::hub::write::{self, Obj};

/// The body of an error answer: `{"error": {"code", "message", "status"}}`, in a list of one where the
/// client asked for a stream that is a list. A known wait is told as Google does, in `RetryInfo`.
#[must_use]
pub fn encode_error(status: u16, error: &UpstreamError, framing: Framing) -> String {
    let body = object(status, error);
    match framing {
        Framing::Sse => body,
        Framing::Array => format!("[{body}]"),
    }
}

/// The server-sent event that ends a stream which failed. Its code is the error's, or the one for what
/// happened.
#[must_use]
pub fn error_event(error: &UpstreamError) -> String {
    write::sse_data(None, &object(stream_status(error), error))
}

/// The status of an error in a stream, where none was sent.
pub(super) fn stream_status(error: &UpstreamError) -> u16 {
    let class = error.class.shown_with(IN_STREAM);
    error.status().filter(|_| class == error.class).or_else(|| class.status()).unwrap_or(500)
}

/// The error alone.
pub(super) fn object(status: u16, error: &UpstreamError) -> String {
    let own = error.kind.as_deref().filter(|kind| WORDS.contains(kind));
    let class = error.class.shown_with(status);
    let blamed = |kind: &str| matches!(kind, "UNAUTHENTICATED" | "PERMISSION_DENIED") && !class.blames_credentials();
    let own = own.filter(|kind| error.class == ErrorClass::Unknown || !blamed(kind));
    write::object(|o| {
        o.object("error", |o| {
            o.count("code", u64::from(status));
            o.text("message", &error.message);
            o.text("status", own.or_else(|| by_class(class)).unwrap_or_else(|| by_status(status)));
            if let Some(ms) = error.retry_after_ms {
                o.array("details", |a| a.object(|o| retry_info(o, ms)));
            }
        });
    })
}

fn retry_info(o: &mut Obj<'_>, ms: u64) {
    let seconds = match ms % 1000 {
        0 => format!("{}s", ms / 1000),
        rest => format!("{}.{rest:03}s", ms / 1000),
    };
    o.text("@type", "type.googleapis.com/google.rpc.RetryInfo");
    o.text("retryDelay", &seconds);
}

/// Google's words.
const WORDS: [&str; 14] = [
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ABORTED",
    "ALREADY_EXISTS",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
];

/// Google's word for what happened. Of what is wrong with a request the status knows more.
fn by_class(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::ContextLength | ErrorClass::ContentFilter | ErrorClass::TooLarge => "INVALID_ARGUMENT",
        ErrorClass::Authentication => "UNAUTHENTICATED",
        ErrorClass::Permission => "PERMISSION_DENIED",
        ErrorClass::NotFound => "NOT_FOUND",
        ErrorClass::Quota | ErrorClass::RateLimit => "RESOURCE_EXHAUSTED",
        ErrorClass::Overloaded => "UNAVAILABLE",
        ErrorClass::Timeout => "DEADLINE_EXCEEDED",
        ErrorClass::InvalidRequest | ErrorClass::Server | ErrorClass::Unknown => return None,
    })
}

/// Google's word for a status.
fn by_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 | 529 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::read_error;

    fn check(status: u16, body: &str, word: &str) {
        let told = encode_error(status, &read_error(status, None, body.as_bytes()), Framing::Sse);
        assert!(told.contains(&format!(r#""code":{status},"#)), "{told}");
        assert!(told.contains(&format!(r#""status":"{word}""#)), "{told}");
    }

    #[test]
    fn the_class_says_more_than_the_status() {
        check(400, r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#, "INVALID_ARGUMENT");
        check(402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, "RESOURCE_EXHAUSTED");
        check(429, r#"{"error":{"type":"insufficient_quota","message":"m"}}"#, "RESOURCE_EXHAUSTED");
        check(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, "UNAVAILABLE");
        check(400, r#"{"error":{"code":400,"message":"m","status":"FAILED_PRECONDITION"}}"#, "FAILED_PRECONDITION");
        check(409, r#"{"error":{"message":"m"}}"#, "ABORTED");
        check(500, "", "INTERNAL");
    }

    #[test]
    fn the_gateway_s_credentials_are_not_the_caller_s() {
        let refused = read_error(401, None, br#"{"error":{"message":"m","status":"UNAUTHENTICATED"}}"#);
        assert!(encode_error(502, &refused, Framing::Sse).contains(r#""status":"INTERNAL""#));
        assert!(error_event(&refused).contains(r#""code":500,"message":"m","status":"INTERNAL""#));
    }

    #[test]
    fn a_wait_is_told_as_google_does_and_read_again() {
        for (ms, delay) in [(39_000, "39s"), (1_200, "1.200s"), (0, "0s")] {
            let error = UpstreamError { class: ErrorClass::RateLimit, retry_after_ms: Some(ms), ..Default::default() };
            let told = encode_error(429, &error, Framing::Array);
            assert!(told.contains(&format!(r#""retryDelay":"{delay}""#)), "{told}");
            assert_eq!(read_error(429, None, told.as_bytes()).retry_after_ms, Some(ms));
        }
    }

    #[test]
    fn an_event_has_the_code_that_stands_for_it() {
        let with = |code: Option<&str>, class| UpstreamError {
            message: "m".into(),
            code: code.map(str::to_owned),
            class,
            ..UpstreamError::default()
        };
        let event = "data: {\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}\n\n";
        assert_eq!(error_event(&with(None, ErrorClass::Overloaded)), event);
        assert_eq!(error_event(&with(Some("503"), ErrorClass::Overloaded)), event);
        assert!(error_event(&with(None, ErrorClass::Unknown)).contains(r#""code":500"#));
    }
}
