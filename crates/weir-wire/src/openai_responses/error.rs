//! Errors of a stream, written.

use crate::fault::{ErrorClass, IN_STREAM, UpstreamError};
use crate::hub::write;
use crate::openai_chat::error_code;

/// The codes that a failed response may have.
const CODES: [&str; 6] = [
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "vector_store_timeout",
    "invalid_image",
    "data_residency_mismatch",
];

/// The event `error`, which ends a stream that cannot end in `response.failed`: the one before it had
/// the number before `sequence_number`, which is 0 if there was none. The body of an answer that is
/// an error is [`crate::openai_chat::encode_error`]'s.
#[must_use]
pub fn error_event(error: &UpstreamError, sequence_number: u64) -> String {
    let own = error.code.as_deref().filter(|_| !error.class.blames_credentials());
    let code = own.filter(|_| error.status().is_none());
    let code = code.or_else(|| error_code(error.class.shown_with(IN_STREAM))).or(own);
    let data = write::object(|o| {
        o.text("type", "error");
        match code {
            Some(code) => o.text("code", code),
            None => o.null("code"),
        }
        o.text("message", &error.message);
        match &error.param {
            Some(param) => o.text("param", param),
            None => o.null("param"),
        }
        o.count("sequence_number", sequence_number);
    });
    write::sse_data(Some("error"), &data)
}

/// The code of a failed response, of which there are few.
pub(super) fn failed_code(error: &UpstreamError) -> &str {
    let own = error.code.as_deref().filter(|code| CODES.contains(code));
    own.unwrap_or(match error.class {
        ErrorClass::RateLimit => "rate_limit_exceeded",
        ErrorClass::InvalidRequest | ErrorClass::ContextLength | ErrorClass::ContentFilter => "invalid_prompt",
        _ => "server_error",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_has_every_member_and_its_number() {
        let error = UpstreamError { message: "m".into(), class: ErrorClass::RateLimit, ..UpstreamError::default() };
        assert_eq!(
            error_event(&error, 7),
            "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"param\":null,\"sequence_number\":7}\n\n"
        );
        let refused =
            UpstreamError { class: ErrorClass::Authentication, code: Some("invalid_api_key".into()), ..error };
        assert!(error_event(&refused, 1).contains(r#""code":null"#));
        let plain = UpstreamError { param: Some("p".into()), ..UpstreamError::default() };
        assert!(error_event(&plain, 0).contains(r#""code":null,"message":"","param":"p","sequence_number":0"#));
    }

    #[test]
    fn a_failed_response_has_one_of_its_few_codes() {
        let with = |code: Option<&str>, class| UpstreamError {
            code: code.map(str::to_owned),
            class,
            ..UpstreamError::default()
        };
        assert_eq!(failed_code(&with(Some("invalid_image"), ErrorClass::Unknown)), "invalid_image");
        assert_eq!(failed_code(&with(Some("429"), ErrorClass::RateLimit)), "rate_limit_exceeded");
        assert_eq!(failed_code(&with(None, ErrorClass::ContextLength)), "invalid_prompt");
        assert_eq!(failed_code(&with(Some("x"), ErrorClass::Overloaded)), "server_error");
    }
}
