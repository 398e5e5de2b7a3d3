//! The laws of streams, and the odd things that providers send.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::streamable;
use super::laws::{replace, reply, rules};
use crate::anthropic::{StreamDecoder, StreamEncoder, decode_answer};
use crate::hub::{Answer, Delta, Event, Fold, FoldError, PartKind, StopReason, unfold};
use crate::sse::{Frame, SseFramer};

/// The events of a stream's bytes, cut at these places.
fn decode_cut(stream: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let mut framer = SseFramer::new(1 << 20);
    let mut decoder = StreamDecoder::new(Arc::new(rules()));
    let mut events = Vec::new();
    for pair in cuts.windows(2) {
        framer.push(Bytes::copy_from_slice(&stream[pair[0]..pair[1]]));
        while let Some(frame) = framer.next() {
            decoder.push(&frame.unwrap(), &mut events);
        }
    }
    if let Some(frame) = framer.end() {
        decoder.push(&frame, &mut events);
    }
    decoder.push(&Frame::new(framer.take_rest(), false), &mut events);
    decoder.end(&mut events);
    events
}

/// The events of these, one frame each.
pub(super) fn decode(chunks: &[Value]) -> Vec<Event> {
    let stream: String = chunks
        .iter()
        .map(|chunk| format!("event: {}\ndata: {chunk}\n\n", chunk["type"].as_str().unwrap_or("x")))
        .collect();
    decode_cut(stream.as_bytes(), &[])
}

pub(super) fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

fn encode(events: &[Event]) -> String {
    let mut encoder = StreamEncoder::new(reply());
    let mut out = String::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    out
}

/// Takes out the usage as it was written: of its members the order may differ.
fn native_usage(answer: &mut Answer) -> Value {
    let native = answer.usage.as_mut().and_then(|spent| spent.native.take());
    native.map(|native| native.json.to_value()).unwrap_or_default()
}

/// Cuts the text of deltas in two, somewhere.
fn shatter(events: Vec<Event>) -> Vec<Event> {
    let halves = |text: &str| {
        let middle = text.floor_char_boundary(text.len() / 2);
        let (head, tail) = text.split_at(middle);
        [head.to_owned(), tail.to_owned()]
    };
    let deltas = |event: Event| match event {
        Event::Delta { choice, part, delta: Delta::Text(text) } => {
            halves(&text).map(|text| Event::Delta { choice, part, delta: Delta::Text(text) }).to_vec()
        }
        Event::Delta { choice, part, delta: Delta::Arguments(text) } => {
            halves(&text).map(|text| Event::Delta { choice, part, delta: Delta::Arguments(text) }).to_vec()
        }
        other => vec![other],
    };
    events.into_iter().flat_map(deltas).collect()
}

proptest! {
    #[test]
    fn a_stream_folds_to_the_whole_answer(tree in streamable(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let answer = decode_answer(tree.to_string().as_bytes(), &rules()).unwrap();
        let out = encode(&shatter(unfold(answer.clone())));
        let mut folded = fold(decode_cut(out.as_bytes(), &cuts)).unwrap();
        prop_assert_eq!(native_usage(&mut folded), tree["usage"].clone());
        let mut whole = answer;
        native_usage(&mut whole);
        prop_assert_eq!(folded, whole);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let answer = decode_answer(tree.to_string().as_bytes(), &rules()).unwrap();
        let out = encode(&unfold(answer));
        prop_assert_eq!(decode_cut(out.as_bytes(), &cuts), decode_cut(out.as_bytes(), &[]));
    }

    #[test]
    fn a_stream_cut_short_is_an_error(tree in streamable(), at in any::<usize>()) {
        let answer = decode_answer(tree.to_string().as_bytes(), &rules()).unwrap();
        let out = encode(&unfold(answer));
        let end = out.rfind("event: message_stop").unwrap();
        let events = decode_cut(&out.as_bytes()[..at % (end + 1)], &[]);
        prop_assert!(matches!(events.last(), Some(Event::Error(_))));
        prop_assert!(!events.contains(&Event::End));
        // The caller of this dialect sees the error, and no end of our making.
        let told = encode(&events);
        prop_assert!(told.contains("event: error") && !told.contains("message_stop") && !told.contains("message_delta"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let events = decode_cut(&bytes, &[3, 17]);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
    }

    #[test]
    fn odd_events_do_not_make_it_panic(at in any::<prop::sample::Index>(), which in 0..9usize, odd in 0..6usize) {
        let odd = [Value::Null, true.into(), json!(-1), "x".into(), json!([1, {}]), json!({"a": 1})][odd].clone();
        let mut chunks = search();
        let which = which % chunks.len();
        replace(&mut chunks[which], at, odd);
        let events = decode(&chunks);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
        let mut encoder = StreamEncoder::new(reply());
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let mut folded = Fold::new(1 << 20);
        for event in events {
            if folded.push(event).is_err() {
                break;
            }
        }
    }
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 0, "output_tokens": 1,
            "service_tier": "standard"}}})
}

fn begin(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn finish(reason: &str, usage: Value) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    [json!({"type": "message_delta", "delta": delta, "usage": usage}), json!({"type": "message_stop"})]
}

/// A stream with a search of the provider's, a text and a call.
fn search() -> Vec<Value> {
    let mut chunks = vec![
        start(),
        json!({"type": "ping"}),
        begin(0, json!({"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\": "})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "\"q\"}"})),
        stop(0),
        begin(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "u"}})),
        delta(1, json!({"type": "text_delta", "text": "hi"})),
        stop(1),
        begin(2, json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}})),
        stop(2),
    ];
    chunks.extend(finish("tool_use", json!({"input_tokens": 5, "output_tokens": 9})));
    chunks
}

#[test]
fn what_the_provider_runs_is_told_whole_and_a_call_without_input_has_an_empty_object() {
    let answer = fold(decode(&search())).unwrap();
    let parts = &answer.choices[0].parts;
    let PartKind::Opaque(opaque) = &parts[0].kind else { panic!("{parts:?}") };
    let native: Value = serde_json::from_str(opaque.native.json.as_str()).unwrap();
    assert_eq!(native["input"], json!({"query": "q"}));
    assert_eq!(parts[1].as_text(), Some("hi"));
    let PartKind::ToolCall(call) = &parts[2].kind else { panic!("{parts:?}") };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("f", "{}"));
    let spent = answer.usage.unwrap().tokens;
    assert_eq!((spent.input, spent.cached, spent.output), (12, 7, 9));
}

#[test]
fn the_input_of_a_beginning_counts_unless_deltas_come() {
    let with = |more: Vec<Value>| {
        let mut chunks =
            vec![start(), begin(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}))];
        chunks.extend(more);
        chunks.push(stop(0));
        chunks.extend(finish("tool_use", json!({"output_tokens": 1})));
        let answer = fold(decode(&chunks)).unwrap();
        let PartKind::ToolCall(call) = &answer.choices[0].parts[0].kind else { panic!() };
        call.arguments.clone()
    };
    let fragment = |text: &str| delta(0, json!({"type": "input_json_delta", "partial_json": text}));
    assert_eq!(with(vec![]), r#"{"a":1}"#);
    assert_eq!(with(vec![fragment("")]), r#"{"a":1}"#);
    assert_eq!(with(vec![fragment("{\"b\""), fragment(":2}")]), r#"{"b":2}"#);
}

#[test]
fn usage_is_cumulative_and_zeros_at_the_end_say_nothing() {
    let with = |usage: Value| {
        let mut chunks = vec![start()];
        chunks.extend(finish("end_turn", usage));
        fold(decode(&chunks)).unwrap().usage.unwrap().tokens
    };
    let same = with(json!({"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3}));
    assert_eq!((same.input, same.cached, same.output), (12, 7, 3));
    let later = with(json!({"input_tokens": 9, "cache_read_input_tokens": 0, "output_tokens": 3}));
    assert_eq!((later.input, later.cached, later.output), (9, 0, 3));
}

#[test]
fn an_error_inside_a_stream_is_its_end() {
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"});
    let events = decode(&[start(), overloaded, json!({"type": "message_stop"})]);
    let Some(Event::Error(error)) = events.last() else { panic!("{events:?}") };
    assert_eq!((error.message.as_str(), error.kind.as_deref()), ("Overloaded", Some("overloaded_error")));
    assert!(encode(&events).ends_with(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
    ));
}

#[test]
fn deltas_without_a_beginning_and_a_message_whole_from_the_start_are_understood() {
    let mut chunks = vec![
        delta(0, json!({"type": "text_delta", "text": "a"})),
        delta(0, json!({"type": "text_delta", "text": "b"})),
    ];
    chunks.extend(finish("max_tokens", json!({"output_tokens": 1})));
    let answer = fold(decode(&chunks)).unwrap();
    assert_eq!(answer.choices[0].parts[0].as_text(), Some("ab"));
    let mut whole = start();
    whole["message"]["content"] = json!([{"type": "text", "text": "all"}]);
    whole["message"]["stop_reason"] = "end_turn".into();
    let answer = fold(decode(&[whole, json!({"type": "message_stop"})])).unwrap();
    assert_eq!(answer.choices[0].parts[0].as_text(), Some("all"));
    assert_eq!(answer.choices[0].stop.as_ref().unwrap().reason, StopReason::End);
}

#[test]
fn a_block_that_is_nowhere_is_an_error() {
    let events = decode(&[start(), delta(3, json!({"type": "input_json_delta", "partial_json": "{}"}))]);
    assert!(matches!(events.last(), Some(Event::Error(_))));
}

#[test]
fn a_citation_of_a_text_that_has_ended_is_a_loss() {
    let shell = || Box::new(crate::hub::Part::text("a"));
    let delta = Delta::Citation(crate::hub::Citation::default());
    let events = [
        Event::PartStart { choice: 0, part: 0, shell: shell() },
        Event::PartEnd { choice: 0, part: 0 },
        Event::PartStart { choice: 0, part: 1, shell: shell() },
        Event::Delta { choice: 0, part: 0, delta },
        Event::End,
    ];
    let (mut encoder, mut out) = (StreamEncoder::new(reply()), String::new());
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let told = encoder.into_losses();
    assert!(told.iter().any(|loss| loss.why.starts_with("said of a part after its end")), "{told:?}");
}
