use http::{HeaderValue, header};

use super::*;

const INBOUND: [Inbound; 5] =
    [Inbound::Chat, Inbound::Completions, Inbound::Responses, Inbound::Anthropic, Inbound::Gemini];

fn read(inbound: Inbound, stream: bool, array: bool, text: &str, cut: usize) -> Said {
    let mut headers = HeaderMap::new();
    let kind = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let mut reader = Reader::new(Form::of(inbound, &headers, array));
    text.as_bytes().chunks(cut).for_each(|chunk| reader.push(Bytes::copy_from_slice(chunk)));
    reader.finish()
}

fn whole(inbound: Inbound) -> &'static str {
    match inbound {
        Inbound::Chat => {
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hello you"},"finish_reason":"stop"}]}"#
        }
        Inbound::Completions => r#"{"choices":[{"index":0,"text":"hello you","finish_reason":"stop"}]}"#,
        Inbound::Responses => {
            r#"{"id":"r","status":"completed","output":[{"type":"message","id":"i","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello you","annotations":[]}]}]}"#
        }
        Inbound::Anthropic => {
            r#"{"type":"message","role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"hello you"}],"stop_reason":"end_turn"}"#
        }
        Inbound::Gemini => {
            r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"hello you"}]},"finishReason":"STOP"}]}"#
        }
    }
}

fn streamed(inbound: Inbound) -> &'static str {
    match inbound {
        Inbound::Chat => {
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" you\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
        }
        Inbound::Completions => {
            "data: {\"choices\":[{\"index\":0,\"text\":\"hello\"}]}\n\ndata: {\"choices\":[{\"index\":0,\"text\":\" you\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
        }
        Inbound::Responses => {
            "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"status\":\"in_progress\",\"output\":[]}}\n\n\
             data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\",\"role\":\"assistant\",\"content\":[]}}\n\n\
             data: {\"type\":\"response.content_part.added\",\"output_index\":0,\"content_index\":0,\"item_id\":\"i\",\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n\
             data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"item_id\":\"i\",\"delta\":\"hello you\"}\n\n\
             data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"hello you\",\"annotations\":[]}]}}\n\n\
             data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}\n\n"
        }
        Inbound::Anthropic => {
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"a\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}\n\n\
             event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
             event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello you\"}}\n\n\
             event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
             event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
             event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        }
        Inbound::Gemini => {
            "data: {\"candidates\":[{\"index\":0,\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"hello\"}]}}]}\n\n\
             data: {\"candidates\":[{\"index\":0,\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\" you\"}]},\"finishReason\":\"STOP\"}]}\n\n"
        }
    }
}

#[test]
fn the_same_is_read_of_every_form_however_it_is_cut() {
    for inbound in INBOUND {
        let said = read(inbound, false, false, whole(inbound), 7);
        assert_eq!((said.text().as_deref(), said.stops().as_str()), (Some("hello you"), "end"), "{inbound:?}");
        assert!(!said.partial && said.bytes() == 9, "{inbound:?}");
        for cut in [1, 11, 10_000] {
            let streamed = read(inbound, true, false, streamed(inbound), cut);
            assert_eq!(
                (streamed.text().as_deref(), streamed.stops().as_str()),
                (Some("hello you"), "end"),
                "{inbound:?}"
            );
            assert!(streamed.same_text(&said) && !streamed.partial, "{inbound:?}");
        }
    }
}

#[test]
fn an_array_of_chunks_is_a_stream_too() {
    let chunk = |text: &str, stop: &str| {
        format!(
            "{{\"candidates\":[{{\"index\":0,\"content\":{{\"role\":\"model\",\n\"parts\":[{{\"text\":\"{text}\"}}]}}{stop}}}]}}"
        )
    };
    let array = format!("[{}\n,\n{}]", chunk("hello", ""), chunk(" you", ",\"finishReason\":\"STOP\""));
    let said = read(Inbound::Gemini, false, true, &array, 5);
    assert_eq!((said.text().as_deref(), said.stops().as_str(), said.partial), (Some("hello you"), "end", false));
}

#[test]
fn what_breaks_off_or_cannot_be_read_is_partial() {
    for inbound in INBOUND {
        assert!(read(inbound, false, false, "{", 7).partial, "{inbound:?}");
        if inbound != Inbound::Completions {
            let half = &streamed(inbound)[..streamed(inbound).len() / 2];
            assert!(read(inbound, true, false, half, 7).partial, "{inbound:?}");
        }
    }
    let long = " ".repeat(MAX_READ + 1);
    assert!(read(Inbound::Chat, false, false, &long, 1000).partial);
}

fn chat(message: &serde_json::Value) -> Said {
    let answer = serde_json::json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    read(Inbound::Chat, false, false, &answer.to_string(), 10_000)
}

#[test]
fn of_long_texts_lengths_and_digests_are_left() {
    let long = |end: &str| format!("{}{end}", "a ".repeat(MAX_KEPT / 2));
    let of = |text: &str| chat(&serde_json::json!({"role": "assistant", "content": text}));
    let (one, other) = (of(&long("b")), of(&long("c")));
    assert_eq!((one.text(), one.bytes()), (None, MAX_KEPT as u64 + 1));
    assert!(one.same_text(&of(&long("b"))) && !one.same_text(&other));
}

#[test]
fn calls_are_the_same_whatever_their_order_and_spelling() {
    let of = |calls: &[(&str, &str)]| {
        let calls: Vec<_> = calls
            .iter()
            .map(|(name, arguments)| serde_json::json!({"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}))
            .collect();
        chat(&serde_json::json!({"role": "assistant", "content": null, "tool_calls": calls}))
    };
    let one = of(&[("f", r#"{"a":1,"b":[{"c":2,"d":3}]}"#), ("g", "")]);
    assert_eq!(one.calls(), 2);
    for (calls, expected) in [
        (vec![("g", "{}"), ("f", r#"{ "b": [{"d":3, "c":2}], "a": 1 }"#)], Some(true)),
        (vec![("g", "{}"), ("f", r#"{"b":[{"d":3,"c":2}],"a":2}"#)], Some(false)),
        (vec![("f", r#"{"a":1,"b":[{"c":2,"d":3}]}"#)], Some(false)),
        (vec![], Some(false)),
    ] {
        assert_eq!((one.same_calls(&of(&calls)), of(&calls).same_calls(&one)), (expected, expected), "{calls:?}");
    }
    assert_eq!(of(&[]).same_calls(&of(&[])), None);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_KEPT));
    assert_eq!(of(&[("f", &long)]).same_calls(&one), None);
}
