use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sse::SseFramer;

fn tap(flavor: Flavor) -> StreamTap {
    StreamTap::new(flavor, Arc::default())
}

fn frame(text: &str) -> Frame {
    Frame::new(Bytes::copy_from_slice(text.as_bytes()), false)
}

fn data(json: &str) -> Frame {
    frame(&format!("data: {json}\n\n"))
}

/// A tap that has seen a whole stream, and what it saw.
fn watch(flavor: Flavor, stream: &str) -> (StreamTap, Vec<Seen>) {
    let mut framer = SseFramer::new(usize::MAX);
    framer.push(Bytes::copy_from_slice(stream.as_bytes()));
    let mut tap = tap(flavor);
    let mut seen = Vec::new();
    while let Some(frame) = framer.next() {
        seen.push(tap.observe(&frame.unwrap()));
    }
    (tap, seen)
}

fn check_seen(json: &str, expected: &Seen) {
    assert_eq!(&tap(Flavor::Chat).observe(&data(json)), expected, "{json}");
}

fn check_text(flavor: Flavor, json: &str, expected: &str) {
    let mut tap = tap(flavor);
    let seen = tap.observe(&data(json));
    assert_eq!(tap.output_text(), expected, "{json}");
    assert_eq!(tap.output_bytes(), expected.len() as u64);
    let visible = if expected.is_empty() { Seen::Quiet } else { Seen::Delta };
    assert_eq!(seen, visible, "{json}");
}

fn delta(delta: &serde_json::Value) -> String {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}).to_string()
}

const CHAT: &str = concat!(
    ": processing\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-4o\",\"service_tier\":\"auto\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"h\\u00e9\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-4o\",\"service_tier\":\"default\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn a_chat_stream_from_comment_to_done() {
    let (tap, seen) = watch(Flavor::Chat, CHAT);
    let usage = Span { start: 32, end: 73 };
    let expected = [Seen::Quiet, Seen::Quiet, Seen::Delta, Seen::Quiet, Seen::UsageOnly(usage), Seen::Done];
    assert_eq!(seen, expected);
    assert_eq!((tap.model(), tap.service_tier(), tap.id()), (Some("gpt-4o"), Some("default"), Some("c1")));
    assert_eq!((tap.frames(), tap.deltas()), (6, 1));
    assert_eq!(tap.output_text(), "hé");
    let usage = tap.usage().unwrap();
    assert_eq!((usage.input, usage.output), (5, 2));
    assert!(tap.complete() && tap.finish_seen() && !tap.clamped());
}

#[test]
fn f16_a_stream_without_its_end_is_not_complete() {
    let cut = CHAT.strip_suffix("data: [DONE]\n\n").unwrap();
    let (tap, _) = watch(Flavor::Chat, cut);
    assert!(tap.finish_seen() && !tap.complete());
    let rules: Arc<UsageRules> = Arc::new(serde_json::from_str(r#"{"no_done":true}"#).unwrap());
    let mut tap = StreamTap::new(Flavor::Chat, rules);
    assert!(!tap.complete());
    tap.observe(&data(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#));
    assert!(tap.complete());
    let (tap, _) = watch(Flavor::Responses, "data: [DONE]\n\n");
    assert!(!tap.complete());
}

#[test]
fn f30_usage_in_every_chunk_is_replaced_never_added() {
    let chunk = |input, output| {
        data(&json!({"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": input, "completion_tokens": output}}).to_string())
    };
    let mut tap = tap(Flavor::Chat);
    for output in 1..=24 {
        assert_eq!(tap.observe(&chunk(10, output)), Seen::Delta);
    }
    assert_eq!(tap.usage().unwrap().output, 24);
    tap.observe(&chunk(0, 0));
    assert_eq!(tap.usage().unwrap().output, 24);
    tap.observe(&data(r#"{"choices":[],"usage":null}"#));
    assert_eq!((tap.usage().unwrap().input, tap.usage_span()), (10, None));
}

#[test]
fn f31_usage_after_done_counts() {
    let (tap, _) = watch(
        Flavor::Chat,
        "data: [DONE]\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
    );
    assert_eq!(tap.usage().unwrap().input, 5);
}

#[test]
fn f30_groq_reports_elsewhere() {
    let mut tap = tap(Flavor::Chat);
    tap.observe(&data(r#"{"choices":[{"delta":{}}],"x_groq":{"usage":{"prompt_tokens":4,"completion_tokens":1}}}"#));
    assert_eq!(tap.usage().unwrap().input, 4);
}

#[test]
fn f33_the_served_model_is_the_first_named() {
    let stream =
        "data: {\"model\":\"\",\"choices\":[]}\n\ndata: {\"model\":\"real\"}\n\ndata: {\"model\":\"other\"}\n\n";
    assert_eq!(watch(Flavor::Chat, stream).0.model(), Some("real"));
}

#[test]
fn every_kind_of_output_is_text() {
    let check = |value: serde_json::Value, expected| check_text(Flavor::Chat, &delta(&value), expected);
    check(json!({"role": "assistant", "content": null}), "");
    check(json!({"content": "a\"b"}), "a\"b");
    check(json!({"reasoning_content": "think"}), "think");
    check(json!({"reasoning": "think", "reasoning_details": [{"text": "think"}]}), "think");
    check(json!({"reasoning": "think", "reasoning_content": "think"}), "think");
    check(json!({"refusal": "no"}), "no");
    check(
        json!({"tool_calls": [{"index": 3, "id": "i", "function": {"name": "f", "arguments": "{\"a\""}}]}),
        "f{\"a\"",
    );
    check(json!({"tool_calls": [{"function": {"arguments": {"a": 1}}}]}), "{\"a\":1}");
    check(json!({"tool_calls": [{"custom": {"input": "x"}}]}), "x");
    check(json!({"tool_calls": null, "function_call": {"arguments": "x"}}), "x");
    check(json!({"audio": {"transcript": "said"}}), "said");
    check(
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}]}),
        "ab",
    );
    check_text(Flavor::Completions, r#"{"choices":[{"text":" word","index":0}]}"#, " word");
}

#[test]
fn f32_odd_chunks_do_no_harm() {
    for odd in [
        r#"{"choices":null}"#,
        r#"{"choices":[null,7,{}]}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":99}],"content":7}}]}"#,
        r#"{"choices":[],"prompt_filter_results":[]}"#,
        r#"{"type":7,"delta":{},"response":[],"error":null,"object":null}"#,
        r#"{"choices":[{"delta":{"tool_calls":{}},"finish_reason":"None"}],"usage":"None"}"#,
    ] {
        check_seen(odd, &Seen::Quiet);
    }
    let mut tap = tap(Flavor::Chat);
    assert_eq!(tap.observe(&data(r#"{"choices":[{"delta":{"audio":{"data":"QUJD"}}}]}"#)), Seen::Delta);
    assert_eq!(tap.output_bytes(), 0);
}

#[test]
fn data_that_is_no_object_is_malformed() {
    for bad in ["{", "[1]", "7", "{\"choices\":[{]}", "{} {}", "[done]"] {
        check_seen(bad, &Seen::Malformed);
    }
    assert_eq!(tap(Flavor::Chat).observe(&frame("data: \n\n")), Seen::Quiet);
    assert_eq!(tap(Flavor::Chat).observe(&frame("event: ping\n\n")), Seen::Quiet);
    assert_eq!(tap(Flavor::Chat).observe(&frame("\n")), Seen::Quiet);
}

fn error_of(flavor: Flavor, frame: &Frame) -> UpstreamError {
    match tap(flavor).observe(frame) {
        Seen::Error(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn f17_errors_in_the_stream() {
    let chat = |json: &str| error_of(Flavor::Chat, &data(json));
    let error = chat(
        r#"{"error":{"message":"overloaded","type":"server_error","code":502},"choices":[{"finish_reason":"error"}]}"#,
    );
    assert_eq!((error.message.as_str(), error.status()), ("overloaded", Some(502)));
    assert_eq!(chat(r#"{"error":"text"}"#).message, "text");
    assert_eq!(chat(r#"{"object":"error","message":"old","code":400}"#).message, "old");
    let error = error_of(
        Flavor::Responses,
        &data(r#"{"type":"error","code":"x","message":"m","param":null,"sequence_number":1}"#),
    );
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("m", Some("x")));
    let error = error_of(Flavor::Chat, &frame("event: error\ndata: {\"message\":\"named\"}\n\n"));
    assert_eq!(error.message, "named");
}

#[test]
fn trap_17_a_failed_response_ends_the_stream_and_is_billed() {
    let mut tap = tap(Flavor::Responses);
    let seen = tap.observe(&data(
        r#"{"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"died"},"usage":{"input_tokens":3,"output_tokens":1}}}"#,
    ));
    assert!(matches!(seen, Seen::Error(error) if error.message == "died"));
    assert_eq!(tap.usage().unwrap().input, 3);
    assert!(tap.complete());
    let mut tap = self::tap(Flavor::Responses);
    let seen = tap.observe(&data(r#"{"type":"response.failed","response":{"error":null}}"#));
    assert!(matches!(seen, Seen::Error(_)));
}

#[test]
fn a_responses_stream() {
    let (tap, seen) = watch(
        Flavor::Responses,
        concat!(
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"gpt-5\",\"error\":null,\"usage\":null}}\n\n",
            "event: response.output_text.delta\ndata: {\"delta\":\"hi\",\"type\":\"response.output_text.delta\",\"sequence_number\":4}\n\n",
            "event: response.function_call_arguments.delta\ndata: {\"delta\":\"{}\",\"type\":\"response.function_call_arguments.delta\"}\n\n",
            "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"text\":\"hi\"}\n\n",
            "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"service_tier\":\"flex\",\"output\":[{\"content\":[]}],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        ),
    );
    assert_eq!(seen, [Seen::Quiet, Seen::Delta, Seen::Delta, Seen::Quiet, Seen::Done]);
    assert_eq!((tap.id(), tap.model(), tap.service_tier()), (Some("resp_1"), Some("gpt-5"), Some("flex")));
    assert_eq!((tap.output_text(), tap.usage().unwrap().output), ("hi{}", 1));
    assert!(tap.complete() && tap.usage_span().is_some());
}

#[test]
fn images_speech_and_transcripts() {
    for (event, usage) in [
        ("image_generation.completed", r#"{"input_tokens":1,"output_tokens":2}"#),
        ("image_edit.completed", r#"{"input_tokens":1,"output_tokens":2}"#),
        ("speech.audio.done", r#"{"input_tokens":1,"output_tokens":2}"#),
        ("transcript.text.done", r#"{"type":"tokens","input_tokens":1,"output_tokens":2}"#),
    ] {
        let mut tap = tap(Flavor::Other);
        let seen = tap.observe(&data(&format!("{{\"type\":\"{event}\",\"usage\":{usage}}}")));
        assert_eq!((seen, tap.usage().unwrap().output, tap.complete()), (Seen::Done, 2, true));
    }
    check_text(Flavor::Other, r#"{"type":"transcript.text.delta","delta":"word"}"#, "word");
    let mut tap = tap(Flavor::Other);
    assert_eq!(tap.observe(&data(r#"{"type":"speech.audio.delta","audio":"QUJD"}"#)), Seen::Delta);
    assert_eq!(tap.observe(&data(r#"{"type":"response.audio.delta","delta":"QUJD"}"#)), Seen::Delta);
    let image = r#"{"type":"image_generation.partial_image","b64_json":"QUJD"}"#;
    assert_eq!((tap.observe(&data(image)), tap.output_bytes()), (Seen::Delta, 0));
}

#[test]
fn output_is_kept_up_to_its_cap_and_counted_beyond() {
    let mut tap = tap(Flavor::Chat);
    let chunk = data(&delta(&json!({"content": "é".repeat(50_001)})));
    for _ in 0..4 {
        tap.observe(&chunk);
    }
    assert_eq!(tap.output_text().len(), OUTPUT_CAP);
    assert_eq!(tap.output_bytes(), 4 * 100_002);
}

fn check_splice(raw: &str, expected: &str) {
    let frame = frame(raw);
    let mut tap = tap(Flavor::Chat);
    tap.observe(&frame);
    let spliced = splice_cost(&frame, tap.usage_span().unwrap(), "0.000150000");
    assert_eq!(std::str::from_utf8(&spliced).unwrap(), expected);
}

#[test]
fn the_cost_is_the_last_member_of_usage() {
    check_splice(
        ": c\r\ndata:{\"choices\":[], \"usage\": {\"prompt_tokens\":1 } ,\"x\":{}}\r\n\r\n",
        ": c\r\ndata:{\"choices\":[], \"usage\": {\"prompt_tokens\":1 ,\"cost_usd\":\"0.000150000\"} ,\"x\":{}}\r\n\r\n",
    );
    check_splice("data: {\"usage\":{}}\n\n", "data: {\"usage\":{\"cost_usd\":\"0.000150000\"}}\n\n");
    check_splice(
        "data: {\"usage\":{\"cost_usd\":\"9\",\"prompt_tokens\":1}}\n\n",
        "data: {\"usage\":{\"cost_usd\":\"0.000150000\",\"prompt_tokens\":1}}\n\n",
    );
    check_splice(
        "data: {\"usage\":\ndata: {\"prompt_tokens\":1\ndata: }}\n\n",
        "data: {\"usage\":\ndata: {\"prompt_tokens\":1\ndata: ,\"cost_usd\":\"0.000150000\"}}\n\n",
    );
}

#[test]
fn a_span_that_is_no_object_changes_nothing() {
    let frame = data(r#"{"usage":7}"#);
    for span in [Span { start: 9, end: 10 }, Span { start: 5, end: 900 }, Span { start: 3, end: 1 }] {
        assert_eq!(splice_cost(&frame, span, "1"), frame.raw);
    }
}

proptest! {
    #[test]
    fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut tap = tap(Flavor::Chat);
        tap.observe(&Frame::new(Bytes::from(bytes.clone()), true));
        let mut text = b"data: ".to_vec();
        text.extend(bytes);
        tap.observe(&Frame::new(text.into(), true));
    }

    #[test]
    fn any_shape_of_chunk_is_taken(
        name in "choices|delta|response|error|usage|type|x_groq|object|message",
        inner in "\\{\"(delta|content|tool_calls|usage|audio|function|error)\":(\\[[0-9]?\\]|\\{\\}|null|\"x\"|7)\\}|\\[[0-9]\\]|\"response\\.failed\"|7",
        list in any::<bool>(),
    ) {
        let value = if list { format!("[{inner}]") } else { inner };
        let seen = tap(Flavor::Responses).observe(&data(&format!("{{\"{name}\":{value}}}")));
        prop_assert_ne!(seen, Seen::Malformed);
    }

    #[test]
    fn output_is_the_text_however_it_is_split(parts in prop::collection::vec(".{0,20}", 0..10)) {
        let mut tap = tap(Flavor::Chat);
        for part in &parts {
            tap.observe(&data(&delta(&json!({"content": part}))));
        }
        prop_assert_eq!(tap.output_text(), parts.concat());
    }
}

#[test]
fn a_message_names_the_model_as_its_caller_does() {
    let raw = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\", \"model\" : \"m\",\"x\":1}}\n\n";
    let frame = Frame::new(Bytes::from_static(raw), true);
    let said = splice_model(&frame, "p/m\"").unwrap();
    let expected = String::from_utf8(raw.to_vec()).unwrap().replace("\"m\"", "\"p/m\\\"\"");
    assert_eq!(said, expected.as_bytes());
    let other = Frame::new(Bytes::from_static(b"data: {\"type\":\"ping\"}\n\n"), false);
    assert_eq!(splice_model(&other, "p/m"), None);
    assert_eq!(with_model(br#"{"model":"m","content":[]}"#, "p/m").unwrap(), r#"{"model":"p/m","content":[]}"#);
    assert_eq!(with_model(b"[]", "p/m"), None);
}
