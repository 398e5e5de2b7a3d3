//! One error of every provider's shape, and what it means.

use super::*;
use crate::fault::ErrorClass::*;

/// An answer (status and body) gives this class, this message and this wait in milliseconds.
fn check(status: u16, body: &str, class: ErrorClass, message: &str, wait: Option<u64>) {
    let error = read_error(status, Some("application/json"), body.as_bytes());
    assert_eq!((error.class, &*error.message, error.retry_after_ms), (class, message, wait), "{status} {body}");
}

/// As [`check`], with AWS's header.
fn check_aws(status: u16, header: &str, body: &str, class: ErrorClass, kind: &str) {
    let error = read_typed_error(status, Some("application/json"), Some(header), body.as_bytes());
    assert_eq!((error.class, error.kind.as_deref()), (class, Some(kind)), "{status} {header} {body}");
    assert!(!error.message.is_empty());
}

/// OpenAI's object with these words gives this class.
fn check_openai(status: u16, kind: &str, code: &str, class: ErrorClass) {
    let body = format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":"{code}"}}}}"#);
    check(status, &body, class, "m", None);
}

#[test]
fn openai() {
    check_openai(400, "invalid_request_error", "context_length_exceeded", ContextLength);
    check_openai(400, "invalid_request_error", "content_policy_violation", ContentFilter);
    check_openai(400, "image_generation_user_error", "moderation_blocked", ContentFilter);
    check_openai(400, "invalid_request_error", "unsupported_parameter", InvalidRequest);
    check_openai(400, "invalid_request_error", "previous_response_not_found", InvalidRequest);
    check_openai(400, "invalid_request_error", "billing_hard_limit_reached", Quota);
    check_openai(401, "invalid_request_error", "invalid_api_key", Authentication);
    check_openai(403, "request_forbidden", "unsupported_country_region_territory", Permission);
    check_openai(404, "invalid_request_error", "model_not_found", NotFound);
    check_openai(409, "invalid_request_error", "conflict", InvalidRequest);
    check_openai(429, "insufficient_quota", "insufficient_quota", Quota);
    check_openai(429, "requests", "rate_limit_exceeded", RateLimit);
    check_openai(429, "tokens", "x", RateLimit);
    check_openai(500, "server_error", "x", Server);
    check_openai(503, "server_error", "slow_down", Overloaded);
    check(
        429,
        r#"{"error":{"message":"Rate limit reached for m in organization o on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000. Please try again in 6m0.5s. Visit the page to learn more.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
        RateLimit,
        "Rate limit reached for m in organization o on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000. Please try again in 6m0.5s. Visit the page to learn more.",
        Some(360_500),
    );
}

#[test]
fn azure() {
    check(
        400,
        r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
        ContentFilter,
        "The response was filtered",
        None,
    );
    check(
        400,
        r#"{"error":{"message":"refused","code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        ContentFilter,
        "refused",
        None,
    );
    check(
        429,
        r#"{"error":{"code":"429","message":"Requests have exceeded call rate limit. Please retry after 26 seconds."}}"#,
        RateLimit,
        "Requests have exceeded call rate limit. Please retry after 26 seconds.",
        Some(26_000),
    );
    check(404, r#"{"error":{"code":"DeploymentNotFound","message":"no"}}"#, NotFound, "no", None);
    check(401, r#"{"statusCode":401,"message":"denied"}"#, Authentication, "denied", None);
}

#[test]
fn anthropic() {
    let body = |kind: &str, message: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#)
    };
    for (status, kind, class) in [
        (400, "invalid_request_error", InvalidRequest),
        (401, "authentication_error", Authentication),
        (402, "billing_error", Quota),
        (403, "permission_error", Permission),
        (404, "not_found_error", NotFound),
        (413, "request_too_large", TooLarge),
        (429, "rate_limit_error", RateLimit),
        (500, "api_error", Server),
        (504, "timeout_error", Timeout),
        (529, "overloaded_error", Overloaded),
        (502, "overloaded_error", Overloaded),
    ] {
        check(status, &body(kind, "m"), class, "m", None);
    }
    let long = "prompt is too long: 201000 tokens > 200000 maximum";
    check(400, &body("invalid_request_error", long), ContextLength, long, None);
    let poor = "Your credit balance is too low to access the API.";
    check(400, &body("invalid_request_error", poor), Quota, poor, None);
    let filtered = "Output blocked by content filtering policy";
    check(400, &body("invalid_request_error", filtered), ContentFilter, filtered, None);
}

#[test]
fn gemini() {
    check(
        429,
        r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"x"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"39s"}]}}]"#,
        RateLimit,
        "You exceeded your current quota, please check your plan.",
        Some(39_000),
    );
    check(
        400,
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#,
        Authentication,
        "API key not valid. Please pass a valid API key.",
        None,
    );
    let long = "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).";
    for (status, word, message, class) in [
        (400, "INVALID_ARGUMENT", "bad", InvalidRequest),
        (400, "INVALID_ARGUMENT", long, ContextLength),
        (400, "FAILED_PRECONDITION", "User location is not supported", InvalidRequest),
        (401, "UNAUTHENTICATED", "no", Authentication),
        (403, "PERMISSION_DENIED", "no", Permission),
        (404, "NOT_FOUND", "no", NotFound),
        (500, "INTERNAL", "no", Server),
        (503, "UNAVAILABLE", "The model is overloaded.", Overloaded),
        (504, "DEADLINE_EXCEEDED", "slow", Timeout),
    ] {
        let body = format!(r#"{{"error":{{"code":{status},"message":"{message}","status":"{word}"}}}}"#);
        check(status, &body, class, message, None);
    }
}

#[test]
fn bedrock() {
    let body = r#"{"message":"m"}"#;
    for (status, name, class) in [
        (400, "ValidationException", InvalidRequest),
        (400, "ServiceQuotaExceededException", RateLimit),
        (403, "AccessDeniedException", Permission),
        (403, "ExpiredTokenException", Authentication),
        (403, "UnrecognizedClientException", Authentication),
        (403, "InvalidSignatureException", Authentication),
        (404, "ResourceNotFoundException", NotFound),
        (408, "ModelTimeoutException", Timeout),
        (424, "ModelErrorException", Server),
        (429, "ThrottlingException", RateLimit),
        (429, "ModelNotReadyException", Overloaded),
        (500, "InternalServerException", Server),
        (503, "ServiceUnavailableException", Overloaded),
    ] {
        check_aws(status, name, body, class, name);
    }
    let uri = "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/";
    check_aws(
        400,
        uri,
        r#"{"message":"Input is too long for requested model."}"#,
        ContextLength,
        "ValidationException",
    );
    check_aws(400, uri, r#"{"message":"The provided model identifier is invalid."}"#, NotFound, "ValidationException");
    check_aws(400, "x", r#"{"__type":"com.amazon.coral#ThrottlingException"}"#, RateLimit, "ThrottlingException");
    check_aws(429, "ThrottlingException", "", RateLimit, "ThrottlingException");
    check_aws(403, "AccessDenied", "<AccessDenied/>", Permission, "AccessDenied");
    check(403, r#"{"Message":"User is not authorized"}"#, Permission, "User is not authorized", None);
}

#[test]
fn cohere_mistral_and_their_like() {
    check(404, r#"{"id":"1","message":"model 'x' not found"}"#, NotFound, "model 'x' not found", None);
    check(429, r#"{"message":"You are using a Trial key"}"#, RateLimit, "You are using a Trial key", None);
    check(498, r#"{"message":"invalid token"}"#, Authentication, "invalid token", None);
    let long = "too many tokens: total number of tokens in the prompt cannot exceed 4081";
    check(400, &format!(r#"{{"message":"{long}"}}"#), ContextLength, long, None);
    check(
        422,
        r#"{"object":"error","message":{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]},"type":"invalid_request_error","param":null,"code":null}"#,
        InvalidRequest,
        "messages: Field required",
        None,
    );
    check(
        429,
        r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
        RateLimit,
        "Service tier capacity exceeded for this model.",
        None,
    );
    check(
        400,
        r#"{"detail":"Model x is not supported. Supported models are ['y']."}"#,
        NotFound,
        "Model x is not supported. Supported models are ['y'].",
        None,
    );
}

#[test]
fn openrouter() {
    let said = "google/m:free is temporarily rate-limited upstream.";
    check(
        429,
        &format!(
            r#"{{"error":{{"message":"Provider returned error","code":429,"metadata":{{"raw":"{said}","provider_name":"Google"}}}}}}"#
        ),
        RateLimit,
        &format!("Provider returned error (Google): {said}"),
        None,
    );
    check(
        400,
        r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"provider_name":"OpenAI","raw":"{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}"}}}"#,
        ContextLength,
        "Provider returned error (OpenAI): too long",
        None,
    );
    check(402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, Quota, "Insufficient credits", None);
    check(
        403,
        r#"{"error":{"code":403,"message":"flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
        ContentFilter,
        "flagged",
        None,
    );
    // Its own code counts inside a 200, and in the 502 that stands for one.
    check(502, r#"{"error":{"message":"m","code":429}}"#, RateLimit, "m", None);
    check(
        400,
        r#"{"error":{"message":"x/y is not a valid model ID","code":400}}"#,
        NotFound,
        "x/y is not a valid model ID",
        None,
    );
}

#[test]
fn groq_deepseek_xai_alibaba() {
    check(
        413,
        r#"{"error":{"message":"Request too large for model m on tokens per minute (TPM): Limit 6000, Requested 8000, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        TooLarge,
        "Request too large for model m on tokens per minute (TPM): Limit 6000, Requested 8000, please reduce your message size and try again.",
        None,
    );
    check(
        429,
        r#"{"error":{"message":"Rate limit reached. Please try again in 1.2s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        RateLimit,
        "Rate limit reached. Please try again in 1.2s.",
        Some(1_200),
    );
    check(
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        Quota,
        "Insufficient Balance",
        None,
    );
    check(
        400,
        r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error"}}"#,
        ContentFilter,
        "Content Exists Risk",
        None,
    );
    check(
        400,
        r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}"#,
        NotFound,
        "Model Not Exist",
        None,
    );
    check(
        400,
        r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: ab***cd."}"#,
        Authentication,
        "Incorrect API key provided: ab***cd.",
        None,
    );
    check(
        403,
        r#"{"code":"The caller does not have permission to execute the specified operation","error":"Your team doesn't have any credits yet."}"#,
        Quota,
        "Your team doesn't have any credits yet.",
        None,
    );
    check(
        400,
        r#"{"code":"DataInspectionFailed","message":"inappropriate","request_id":"1"}"#,
        ContentFilter,
        "inappropriate",
        None,
    );
    check(429, r#"{"code":"Throttling.RateQuota","message":"slow down"}"#, RateLimit, "slow down", None);
}

#[test]
fn servers_of_one_s_own() {
    let long = "This model's maximum context length is 4096 tokens.";
    check(
        400,
        &format!(r#"{{"object":"error","message":"{long}","type":"BadRequestError","param":null,"code":400}}"#),
        ContextLength,
        long,
        None,
    );
    check(404, r#"{"error":"model 'x' not found"}"#, NotFound, "model 'x' not found", None);
    check(404, r#"{"detail":"Not Found"}"#, NotFound, "Not Found", None);
    check(
        422,
        r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048","error_type":"validation"}"#,
        ContextLength,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048",
        None,
    );
    check(
        424,
        r#"{"error":"Request failed during generation","error_type":"generation"}"#,
        Server,
        "Request failed during generation",
        None,
    );
    check(429, r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, Overloaded, "Model is overloaded", None);
    check(
        400,
        r#"{"error":{"code":400,"message":"too big","type":"exceed_context_size_error","n_ctx":4096}}"#,
        ContextLength,
        "too big",
        None,
    );
    check(
        503,
        r#"{"error":"Model x is currently loading","estimated_time":20.0}"#,
        Overloaded,
        "Model x is currently loading",
        Some(20_000),
    );
    check(400, r#"{"error":["Error in `parameters`: bad"]}"#, InvalidRequest, "Error in `parameters`: bad", None);
}

#[test]
fn what_says_nothing_still_has_its_status() {
    let neutral = |status| format!("the provider answered with status {status} and no readable error");
    for (status, class) in [(401, Authentication), (429, RateLimit), (503, Overloaded), (504, Timeout), (520, Server)] {
        for body in ["", "None", "{}", "[]", "upstream connect error", "<html><body>rate limit</body></html>"] {
            check(status, body, class, &neutral(status), None);
        }
    }
    let html = read_error(529, Some("text/html"), b"<html>");
    assert_eq!((html.class, html.message), (Overloaded, neutral(529)));
    assert_eq!(read_error(200, None, b"").class, Unknown);
}

#[test]
fn no_page_is_shown_in_any_text() {
    check(
        502,
        r#"{"error":{"message":"502 Bad Gateway: <!DOCTYPE html><html>secret</html>"}}"#,
        Server,
        "502 Bad Gateway",
        None,
    );
    let error = read_error(500, None, br#"{"error":{"message":"x","type":"<html>","code":"a <body>"}}"#);
    assert_eq!((error.kind, error.code), (None, None));
    let raw = r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"provider_name":"X","raw":"<html>secret</html>"}}}"#;
    check(502, raw, Server, "Provider returned error", None);
}

#[test]
fn routers_behind_routers_are_not_followed() {
    let mut body = r#"{"error":{"message":"deepest"}}"#.to_owned();
    for _ in 0..6 {
        body = format!(r#"{{"error":{{"message":"m","metadata":{{"raw":{}}}}}}}"#, crate::json::quote(&body));
    }
    let error = read_error(502, None, body.as_bytes());
    assert_eq!(error.message, "m");
}

#[test]
fn a_wait_is_for_what_passes() {
    let body = |kind: &str| format!(r#"{{"error":{{"message":"try again in 2s","type":"{kind}"}}}}"#);
    check(429, &body("insufficient_quota"), Quota, "try again in 2s", None);
    check(500, &body("server_error"), Server, "try again in 2s", Some(2_000));
    let negative = r#"{"error":{"code":429,"message":"m","details":[{"retryDelay":"-3s"},{"retryDelay":7},"x",null]}}"#;
    check(429, negative, RateLimit, "m", None);
}

#[test]
fn in_band_errors_have_a_class_without_a_status() {
    let class = |text: &str| in_band(&mut Reader::new(text.as_bytes()).unwrap()).unwrap().unwrap().class;
    assert_eq!(class(r#"{"message":"m","code":429}"#), RateLimit);
    assert_eq!(class(r#"{"message":"m","type":"overloaded_error"}"#), Overloaded);
    assert_eq!(class(r#"{"message":"m","type":"server_error"}"#), Server);
    assert_eq!(class(r#"{"message":"m","type":"invalid_request_error"}"#), InvalidRequest);
    assert_eq!(class(r#"{"message":"m"}"#), Unknown);
    assert_eq!(class(r#""prompt is too long""#), ContextLength);
}
