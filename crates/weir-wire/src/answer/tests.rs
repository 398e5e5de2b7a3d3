use proptest::prelude::*;

use super::*;

fn read(body: &str) -> Answer {
    read_answer(body.as_bytes(), &UsageRules::default())
}

fn usage(input: u64, output: u64) -> Option<Usage> {
    Some(Usage { input, output, ..Usage::default() })
}

#[test]
fn chat() {
    let answer = read(
        r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-08-06","service_tier":"priority",
        "choices":[{"message":{"content":"usage: {\"prompt_tokens\":9}"}}],
        "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12},"error":null}"#,
    );
    let expected = Answer {
        valid: true,
        usage: usage(5, 7),
        clamped: false,
        model: Some("gpt-4o-2024-08-06".to_owned()),
        service_tier: Some("priority".to_owned()),
        id: Some("chatcmpl-1".to_owned()),
        object: Some("chat.completion".to_owned()),
        error: None,
    };
    assert_eq!(answer, expected);
}

#[test]
fn responses_with_searches() {
    let answer = read(
        r#"{"object":"response","usage":{"input_tokens":1,"output_tokens":2},"service_tier":null,
        "tool_usage":{"image_gen":{"input_tokens":0},"web_search":{"num_requests":3}}}"#,
    );
    assert_eq!(answer.usage.unwrap().web_searches, 3);
    assert_eq!(answer.service_tier, None);
}

#[test]
fn images_with_and_without_usage() {
    let images = |body| read(body).usage.unwrap();
    let counted = images(r#"{"data":[{"b64_json":"QUJD"},{"url":"https://x/y"}],"created":1}"#);
    assert_eq!((counted.images, counted.input), (2, 0));
    let both = images(
        r#"{"data":[{"b64_json":"QUJD","url":null}],"usage":{"input_tokens":50,"output_tokens":4160,
        "input_tokens_details":{"text_tokens":10,"image_tokens":40}}}"#,
    );
    assert_eq!((both.images, both.input, both.image_input, both.output), (1, 50, 40, 4160));
    assert_eq!(read(r#"{"object":"list","data":[{"embedding":[0.1]}]}"#).usage, None);
}

#[test]
fn usage_in_other_places() {
    assert_eq!(read(r#"{"x_groq":{"id":"a","usage":{"prompt_tokens":1,"completion_tokens":2}}}"#).usage, usage(1, 2));
    let body = r#"{"usage":{"prompt_tokens":3},"x_groq":{"usage":{"prompt_tokens":1}}}"#;
    assert_eq!(read(body).usage, usage(3, 0));
    let rerank = read(r#"{"results":[],"meta":{"billed_units":{"search_units":1}}}"#);
    assert_eq!(rerank.usage.unwrap().search_units, 1);
    let native = r#"{"result":{"response":"hi","usage":{"prompt_tokens":1,"completion_tokens":2}}}"#;
    assert_eq!(read(native).usage, None);
    let rules: UsageRules = serde_json::from_str(r#"{"usage_in":["result.usage"]}"#).unwrap();
    assert_eq!(read_answer(native.as_bytes(), &rules).usage, usage(1, 2));
}

#[test]
fn errors_inside_a_success() {
    let error = read(r#"{"error":{"message":"overloaded","code":503}}"#).error.unwrap();
    assert_eq!((error.message.as_str(), error.status()), ("overloaded", Some(503)));
}

#[test]
fn f25_f30_odd_bodies_are_read_as_far_as_they_go() {
    for invalid in ["", "[]", "<html>", "{\"a\":1", "{} x", "null"] {
        assert!(!read(invalid).valid, "{invalid}");
    }
    let cut = read(r#"{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":1},"choices":["#);
    assert_eq!((cut.valid, cut.usage, cut.model.as_deref()), (false, usage(5, 1), Some("m")));
    let odd = read(
        r#"{"model":7,"id":null,"object":"None","usage":{"prompt_tokens":-1},"data":{},"x_groq":3,"meta":[],"tool_usage":{"web_search":1}}"#,
    );
    assert!(odd.valid && odd.clamped);
    assert_eq!((odd.model, odd.id, odd.object), (None, None, None));
    let label = read(&format!("{{\"model\":\"{}\\u0000\"}}", "m".repeat(1000))).model.unwrap();
    assert_eq!(label.len(), MAX_LABEL);
}

proptest! {
    #[test]
    fn takes_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_answer(&body, &UsageRules::default());
    }

    #[test]
    fn takes_anything_like_an_answer(
        names in prop::collection::vec("usage|model|id|error|data|x_groq|meta|tool_usage|result", 0..6),
        value in "(\\{\"(usage|web_search|prompt_tokens)\":[0-9]\\}|\\[\\]|[0-9]|null|\"x\")",
    ) {
        let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        prop_assert!(read(&body).valid);
    }
}
