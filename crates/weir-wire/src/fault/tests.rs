mod providers;

use proptest::prelude::*;

use super::*;

fn check(body: &str, message: &str, kind: Option<&str>, param: Option<&str>, code: Option<&str>) {
    let error = read_error(400, Some("application/json"), body.as_bytes());
    let told = (&*error.message, error.kind.as_deref(), error.param.as_deref(), error.code.as_deref());
    assert_eq!(told, (message, kind, param, code), "{body}");
}

fn check_neutral(content_type: Option<&str>, body: &[u8]) {
    let error = read_error(503, content_type, body);
    assert_eq!(error.message, "the provider answered with status 503 and no readable error");
}

#[test]
fn openai_and_its_variations() {
    check(
        r#"{"error":{"message":"no","type":"invalid_request_error","param":"model","code":"x"}}"#,
        "no",
        Some("invalid_request_error"),
        Some("model"),
        Some("x"),
    );
    check(r#"{"error":{"message":"no","param":null,"code":null}}"#, "no", None, None, None);
    check(r#"{"error":{"code":402,"message":"pay","metadata":{"raw":"{}"}}}"#, "pay", None, None, Some("402"));
    check(r#"{"error":"no such model","error_type":"validation"}"#, "no such model", Some("validation"), None, None);
    check(
        r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
        "busy",
        Some("overloaded_error"),
        None,
        None,
    );
    check(r#"{"message":"outer","error":{"message":"inner"},"code":7}"#, "inner", None, None, Some("7"));
}

#[test]
fn flat_objects() {
    check(
        r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#,
        "too long",
        Some("BadRequestError"),
        None,
        Some("400"),
    );
    check(r#"{"message":"no credits"}"#, "no credits", None, None, None);
    check(r#"{"code":"1113","msg":"quota"}"#, "quota", None, None, Some("1113"));
}

#[test]
fn details_lists_and_arrays() {
    check(r#"{"detail":"Not Found"}"#, "Not Found", None, None, None);
    let detail =
        r#"[{"loc":["body","messages",0,"role"],"msg":"field required","type":"missing"},{"msg":"too short"}]"#;
    let message = "messages.0.role: field required; too short";
    check(&format!("{{\"detail\":{detail}}}"), message, Some("missing"), Some("messages.0.role"), None);
    check(
        &format!("{{\"object\":\"error\",\"message\":{{\"detail\":{detail}}},\"type\":\"invalid_request_error\"}}"),
        message,
        Some("missing"),
        Some("messages.0.role"),
        None,
    );
    check(
        r#"[{"error":{"code":400,"message":"bad key","status":"INVALID_ARGUMENT"}}]"#,
        "bad key",
        Some("INVALID_ARGUMENT"),
        None,
        Some("400"),
    );
    let many = format!("{{\"detail\":[{}]}}", vec![r#"{"msg":"x"}"#; 50].join(","));
    check(&many, "x; x; x; x", None, None, None);
}

#[test]
fn the_word_none_is_null() {
    check(r#"{"error":{"message":"bad","type":"None","param":"None","code":"None"}}"#, "bad", None, None, None);
    check_neutral(None, b"None");
    check_neutral(None, br#"{"error":{"message":"None"}}"#);
}

#[test]
fn f26_pages_and_plain_text_stay_out_of_messages() {
    check_neutral(Some("text/html; charset=utf-8"), b"<html><h1>502</h1></html>");
    check_neutral(Some("Text/HTML"), br#"{"error":{"message":"x"}}"#);
    check_neutral(None, b" <!doctype html>");
    check_neutral(None, br#"{"error":{"message":" <html>upstream</html>"}}"#);
    check_neutral(Some("text/plain"), b"upstream connect error");
    check_neutral(None, b"");
    check_neutral(None, b"\xff\xfe");
    check_neutral(None, b"{}");
    check_neutral(None, br#""text""#);
}

#[test]
fn a_body_cut_short_still_tells_what_it_said() {
    check(r#"{"error":{"message":"half","type":"#, "half", None, None, None);
}

#[test]
fn texts_are_bounded_and_clean() {
    let body =
        format!("{{\"error\":{{\"message\":\"{}\\u001b\",\"code\":\"{}\"}}}}", "é".repeat(9000), "c".repeat(999));
    let error = read_error(400, None, body.as_bytes());
    assert_eq!(error.message.len(), MAX_MESSAGE);
    assert_eq!(error.code.unwrap().len(), MAX_WORD);
}

#[test]
fn a_numeric_code_is_a_status_if_it_can_be() {
    let status = |code: &str| UpstreamError { code: Some(code.to_owned()), ..Default::default() }.status();
    assert_eq!((status("429"), status("200"), status("600"), status("x")), (Some(429), None, None, None));
    assert_eq!(UpstreamError::default().status(), None);
}

#[test]
fn what_is_falsy_in_band_is_no_error() {
    let read = |text: &str| in_band(&mut Reader::new(text.as_bytes()).unwrap()).unwrap();
    for nothing in ["null", "false", "0", "\"\"", "{}", "[]", "{ }", "\"None\""] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
    assert_eq!(read("true").unwrap().message, unnamed());
    assert_eq!(read("500").unwrap().status(), Some(500));
    assert_eq!(read("\"text\"").unwrap().message, "text");
    assert_eq!(read(r#"{"message":"m"}"#).unwrap().message, "m");
}

#[test]
fn f25_snippets_are_one_short_line() {
    assert_eq!(snippet(b"a\nb\x1b[31m\xff"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
    assert!(snippet(&[b'x'; 5000]).len() <= 256);
}

proptest! {
    #[test]
    fn takes_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = read_error(500, None, &body);
        prop_assert!(!error.message.is_empty() && error.message.len() <= MAX_MESSAGE);
    }

    #[test]
    fn takes_anything_like_an_error(body in "(\\{|\\[|\\}|\\]|,|:|\"error\"|\"message\"|\"detail\"|\"loc\"|\"msg\"|\"code\"|1|null|\"<b>\"){0,30}") {
        let error = read_error(500, None, body.as_bytes());
        prop_assert!(!error.message.starts_with('<'));
        let _ = snippet(body.as_bytes());
    }
}
