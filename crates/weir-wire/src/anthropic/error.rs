//! Errors, written.

use crate::fault::UpstreamError;
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

/// The body of an error answer with this status.
#[must_use]
pub fn encode_error(status: u16, error: &UpstreamError, request_id: Option<&str>) -> String {
    write::object(|o| {
        o.text("type", "error");
        o.object("error", |o| inner(o, by_status(status), error));
        o.opt_text("request_id", request_id);
    })
}

/// The data of an error event: the stream has begun, so that no status says what happened.
pub(super) fn event(error: &UpstreamError) -> String {
    write::object(|o| {
        o.text("type", "error");
        o.object("error", |o| inner(o, error.status().map_or_else(|| by_word(error), by_status), error));
    })
}

fn inner(o: &mut Obj<'_>, kind: &str, error: &UpstreamError) {
    let own = error.kind.as_deref().filter(|kind| TYPES.contains(kind));
    o.text("type", own.unwrap_or(kind));
    o.text("message", &error.message);
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
            let told = event(&with(kind, code));
            assert!(told.contains(&format!("\"type\":\"{expected}\"")), "{told}");
        }
        for status in 400..600 {
            assert!(TYPES.contains(&by_status(status)));
        }
    }
}
