//! Errors, written.

use crate::fault::{ErrorClass, IN_STREAM, UpstreamError};
use crate::hub::write::{self, Obj};

/// The types of errors of this dialect.
const TYPES: [&str; 10] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
];

/// The body of an error answer with this status. The type is the provider's if it is one of this
/// dialect's that says more than that the request is invalid, else the one for what happened.
#[must_use]
pub fn encode_error(status: u16, error: &UpstreamError, request_id: Option<&str>) -> String {
    write::object(|o| {
        o.text("type", "error");
        o.object("error", |o| inner(o, error.class.shown_with(status), || by_status(status), error));
        o.opt_text("request_id", request_id);
    })
}

/// The event that ends a stream which failed: it has begun, so that no status says what happened.
#[must_use]
pub fn error_event(error: &UpstreamError) -> String {
    let data = write::object(|o| {
        o.text("type", "error");
        let fallback = || error.status().map_or_else(|| by_word(error), by_status);
        o.object("error", |o| inner(o, error.class.shown_with(IN_STREAM), fallback, error));
    });
    write::sse_data(Some("error"), &data)
}

fn inner(o: &mut Obj<'_>, class: ErrorClass, fallback: impl FnOnce() -> &'static str, error: &UpstreamError) {
    let blamed =
        |kind: &str| matches!(kind, "authentication_error" | "permission_error") && !class.blames_credentials();
    let own = TYPES.into_iter().find(|known| error.kind.as_deref() == Some(known));
    // OpenAI has the first word for almost everything, and both say no more than a class does.
    let vague = |kind: &str| matches!(kind, "invalid_request_error" | "api_error");
    let exact = own.filter(|kind| !vague(kind) && (class == ErrorClass::Unknown || !blamed(kind)));
    o.text("type", exact.or_else(|| by_class(class)).or(own).unwrap_or_else(fallback));
    o.text("message", &error.message);
}

/// The type for what happened.
fn by_class(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::InvalidRequest | ErrorClass::ContextLength | ErrorClass::ContentFilter => "invalid_request_error",
        ErrorClass::Authentication => "authentication_error",
        ErrorClass::Permission => "permission_error",
        ErrorClass::NotFound => "not_found_error",
        ErrorClass::Quota => "billing_error",
        ErrorClass::RateLimit => "rate_limit_error",
        ErrorClass::Overloaded => "overloaded_error",
        ErrorClass::Timeout => "timeout_error",
        ErrorClass::Server => "api_error",
        ErrorClass::TooLarge => "request_too_large",
        ErrorClass::Unknown => return None,
    })
}

/// The type for a status.
fn by_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The type for another dialect's words.
fn by_word(error: &UpstreamError) -> &'static str {
    let words = [error.kind.as_deref(), error.code.as_deref()];
    let has = |part: &str| words.iter().flatten().any(|word| word.to_ascii_lowercase().contains(part));
    match () {
        () if has("insufficient_quota") || has("billing") => "billing_error",
        () if has("rate_limit") || has("resource_exhausted") || has("throttl") => "rate_limit_error",
        () if has("overloaded") || has("unavailable") || has("slow_down") => "overloaded_error",
        () if has("timeout") || has("deadline") => "timeout_error",
        () if has("invalid_api_key") || has("unauthenticated") || has("authentication") => "authentication_error",
        () if has("permission") => "permission_error",
        () if has("not_found") => "not_found_error",
        () if has("invalid") || has("validation") => "invalid_request_error",
        () => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_this_dialect_s_types() {
        let with = |kind: Option<&str>, code: Option<&str>| UpstreamError {
            message: "m".into(),
            kind: kind.map(str::to_owned),
            code: code.map(str::to_owned),
            ..UpstreamError::default()
        };
        assert_eq!(
            encode_error(429, &with(Some("tokens"), None), Some("req_1")),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"},"request_id":"req_1"}"#
        );
        assert!(encode_error(500, &with(Some("overloaded_error"), None), None).contains("overloaded_error"));
        for (kind, code, expected) in [
            (Some("server_error"), None, "api_error"),
            (None, Some("529"), "overloaded_error"),
            (Some("requests"), Some("rate_limit_exceeded"), "rate_limit_error"),
            (Some("INVALID_ARGUMENT"), None, "invalid_request_error"),
            (Some("throttlingException"), None, "rate_limit_error"),
        ] {
            let told = error_event(&with(kind, code));
            assert!(told.starts_with("event: error\ndata: {\"type\":\"error\"") && told.ends_with("}}\n\n"), "{told}");
            assert!(told.contains(&format!("\"type\":\"{expected}\"")), "{told}");
        }
        for status in 400..600 {
            assert!(TYPES.contains(&by_status(status)));
        }
    }

    fn check(status: u16, body: &str, expected: &str) {
        let error = crate::fault::read_error(status, None, body.as_bytes());
        let told = encode_error(status, &error, None);
        assert!(told.contains(&format!("\"type\":\"{expected}\"")), "{told}");
    }

    #[test]
    fn the_class_says_more_than_the_status() {
        let openai = |kind: &str, code: &str| {
            format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":"{code}"}}}}"#)
        };
        check(400, &openai("invalid_request_error", "context_length_exceeded"), "invalid_request_error");
        check(400, &openai("invalid_request_error", "content_filter"), "invalid_request_error");
        check(401, &openai("invalid_request_error", "invalid_api_key"), "authentication_error");
        check(404, &openai("invalid_request_error", "model_not_found"), "not_found_error");
        check(429, &openai("insufficient_quota", "insufficient_quota"), "billing_error");
        check(503, &openai("server_error", "slow_down"), "overloaded_error");
        check(500, &openai("server_error", "x"), "api_error");
        check(400, r#"{"error":{"status":"INVALID_ARGUMENT","message":"API key not valid"}}"#, "authentication_error");
        check(413, "", "request_too_large");
        check(529, "", "overloaded_error");
    }

    #[test]
    fn the_gateway_s_credentials_are_not_the_caller_s() {
        let error = crate::fault::read_error(401, None, br#"{"error":{"message":"m","type":"authentication_error"}}"#);
        assert!(encode_error(502, &error, None).contains(r#""type":"api_error""#));
        assert!(encode_error(401, &error, None).contains(r#""type":"authentication_error""#));
        assert!(error_event(&error).contains(r#""type":"api_error""#));
    }
}
