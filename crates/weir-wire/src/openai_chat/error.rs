//! Errors, written.

use crate::fault::{ErrorClass, IN_STREAM, UpstreamError};
use crate::hub::write::{self, Obj};

/// The types that OpenAI uses, and Weir's own for an upstream that failed. Others' words say nothing
/// to clients of this dialect.
const TYPES: [&str; 12] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "insufficient_quota",
    "requests",
    "tokens",
    "server_error",
    "image_generation_user_error",
    "request_forbidden",
    "upstream_error",
];

/// The body of an error answer with this status: `{"error": {message, type, param, code}}`, all four
/// always. A type of another dialect becomes OpenAI's for what happened, and where the provider
/// gave no code but the status's digits, the code is OpenAI's too.
#[must_use]
pub fn encode_error(status: u16, error: &UpstreamError) -> String {
    object(Some(status), error)
}

/// The event that ends a stream which failed. No `[DONE]` follows it.
#[must_use]
pub fn error_event(error: &UpstreamError) -> String {
    write::sse_data(None, &object(None, error))
}

/// The type and the code of an error answer with this status.
#[must_use]
pub fn error_words(status: u16, error: &UpstreamError) -> (String, Option<String>) {
    let (kind, code) = words(Some(status), error);
    (kind.to_owned(), code.map(str::to_owned))
}

fn object(status: Option<u16>, error: &UpstreamError) -> String {
    write::object(|o| o.object("error", |o| inner(o, status, error)))
}

fn inner(o: &mut Obj<'_>, status: Option<u16>, error: &UpstreamError) {
    let (kind, code) = words(status, error);
    o.text("message", &error.message);
    o.text("type", kind);
    for (name, value) in [("param", error.param.as_deref()), ("code", code)] {
        match value {
            Some(value) => o.text(name, value),
            None => o.null(name),
        }
    }
}

fn words(status: Option<u16>, error: &UpstreamError) -> (&str, Option<&str>) {
    let class = match (error.class, status) {
        (ErrorClass::Unknown, Some(status)) => ErrorClass::of_status(status),
        (class, Some(status)) => class.shown_with(status),
        (class, None) => class.shown_with(IN_STREAM),
    };
    // Words that blame the caller for the gateway's credentials go with the class that does.
    let fits = class.blames_credentials() || !error.class.blames_credentials();
    let own = error.kind.as_deref().filter(|kind| fits && TYPES.contains(kind));
    let own_code = error.code.as_deref().filter(|_| fits && (error.status().is_none() || code(class).is_none()));
    (own.unwrap_or_else(|| kind(class)), own_code.or_else(|| code(class)))
}

/// OpenAI's type for what happened.
fn kind(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::InvalidRequest
        | ErrorClass::ContextLength
        | ErrorClass::ContentFilter
        | ErrorClass::NotFound
        | ErrorClass::TooLarge => "invalid_request_error",
        ErrorClass::Authentication => "authentication_error",
        ErrorClass::Permission => "permission_error",
        ErrorClass::Quota => "insufficient_quota",
        ErrorClass::RateLimit => "rate_limit_error",
        ErrorClass::Overloaded | ErrorClass::Timeout | ErrorClass::Server => "server_error",
        ErrorClass::Unknown => "upstream_error",
    }
}

/// OpenAI's code for what happened, where it has one.
pub(crate) fn code(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::ContextLength => "context_length_exceeded",
        ErrorClass::ContentFilter => "content_filter",
        ErrorClass::Authentication => "invalid_api_key",
        ErrorClass::NotFound => "model_not_found",
        ErrorClass::Quota => "insufficient_quota",
        ErrorClass::RateLimit => "rate_limit_exceeded",
        ErrorClass::TooLarge => "request_too_large",
        ErrorClass::Overloaded => "overloaded",
        ErrorClass::Timeout => "upstream_timeout",
        ErrorClass::InvalidRequest | ErrorClass::Permission | ErrorClass::Server | ErrorClass::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{read_error, read_typed_error};

    fn check(status: u16, error: &UpstreamError, kind: &str, code: &str) {
        let written = encode_error(status, error);
        let ends = format!(r#""type":"{kind}","param":null,"code":{code}}}}}"#);
        assert!(written.starts_with(r#"{"error":{"message":""#) && written.ends_with(&ends), "{written}");
    }

    fn check_body(status: u16, body: &str, kind: &str, code: &str) {
        check(status, &read_error(status, None, body.as_bytes()), kind, code);
    }

    #[test]
    fn others_errors_become_openai_s() {
        let anthropic = |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
        check_body(529, &anthropic("overloaded_error"), "server_error", r#""overloaded""#);
        check_body(429, &anthropic("rate_limit_error"), "rate_limit_error", r#""rate_limit_exceeded""#);
        check_body(402, &anthropic("billing_error"), "insufficient_quota", r#""insufficient_quota""#);
        check_body(400, &anthropic("invalid_request_error"), "invalid_request_error", "null");
        check_body(500, &anthropic("api_error"), "server_error", "null");
        let long =
            r#"{"error":{"code":400,"message":"exceeds the maximum number of tokens","status":"INVALID_ARGUMENT"}}"#;
        check_body(400, long, "invalid_request_error", r#""context_length_exceeded""#);
        let throttled = read_typed_error(429, None, Some("ThrottlingException"), br#"{"message":"m"}"#);
        check(429, &throttled, "rate_limit_error", r#""rate_limit_exceeded""#);
        check_body(504, "", "server_error", r#""upstream_timeout""#);
        check_body(413, "", "invalid_request_error", r#""request_too_large""#);
    }

    #[test]
    fn openai_s_own_words_stay() {
        let body = r#"{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
        assert_eq!(encode_error(429, &read_error(429, None, body.as_bytes())), body);
        let body = r#"{"error":{"message":"m","type":"invalid_request_error","param":"model","code":"odd"}}"#;
        assert_eq!(encode_error(400, &read_error(400, None, body.as_bytes())), body);
    }

    #[test]
    fn the_gateway_s_credentials_are_not_the_caller_s() {
        let body = r#"{"error":{"message":"m","type":"authentication_error"}}"#;
        let refused = read_error(401, None, body.as_bytes());
        check(401, &refused, "authentication_error", r#""invalid_api_key""#);
        check(502, &refused, "server_error", "null");
        let refused = read_error(401, None, br#"{"error":{"message":"m","code":"invalid_api_key"}}"#);
        check(502, &refused, "server_error", "null");
        assert!(error_event(&refused).contains(r#""type":"server_error","param":null,"code":null"#));
    }

    #[test]
    fn an_event_is_the_object_and_nothing_else() {
        let error = UpstreamError { message: "a\nb".into(), code: Some("x".into()), ..UpstreamError::default() };
        let event =
            "data: {\"error\":{\"message\":\"a\\nb\",\"type\":\"upstream_error\",\"param\":null,\"code\":\"x\"}}\n\n";
        assert_eq!(error_event(&error), event);
    }
}
