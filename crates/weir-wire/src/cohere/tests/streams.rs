//! The laws of streams, and the odd things that providers send.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::{stream_of, streamable};
use super::laws::replace;
use crate::cohere::{StreamDecoder, decode_answer};
use crate::hub::{Answer, Dialect, Event, Extra, Fold, FoldError, PartKind, StopReason};
use crate::rules::UsageRules;
use crate::sse::{Frame, SseFramer};

/// The events of a stream's bytes, cut at these places.
fn decode_cut(stream: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let mut framer = SseFramer::new(1 << 20);
    let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
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

/// The bytes of these events.
fn stream(events: &[Value]) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    events.iter().map(event).collect()
}

fn decode(events: &[Value]) -> Vec<Event> {
    decode_cut(stream(events).as_bytes(), &[])
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

proptest! {
    #[test]
    fn a_stream_folds_to_the_whole_answer(tree in streamable(), step in 1..6usize, cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let mut whole = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let bytes = stream(&stream_of(&tree, step));
        let mut folded = fold(decode_cut(bytes.as_bytes(), &cuts)).unwrap();
        sort(&mut folded);
        sort(&mut whole);
        prop_assert_eq!(folded, whole);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let events = stream_of(&tree, 2);
        prop_assert_eq!(decode_cut(stream(&events).as_bytes(), &cuts), decode(&events));
    }

    #[test]
    fn a_stream_cut_short_is_an_error(tree in streamable(), at in any::<usize>()) {
        let mut events = stream_of(&tree, 2);
        events.pop();
        let bytes = stream(&events);
        let events = decode_cut(&bytes.as_bytes()[..at % (bytes.len() + 1)], &[]);
        prop_assert!(matches!(events.last(), Some(Event::Error(_))));
        let finished = events.iter().any(|event| matches!(event, Event::End | Event::Finish { .. }));
        prop_assert!(!finished);
    }

    #[test]
    fn parts_open_and_close_once(tree in streamable()) {
        let mut open = std::collections::BTreeSet::new();
        for event in decode(&stream_of(&tree, 3)) {
            match event {
                Event::PartStart { part, .. } => prop_assert!(open.insert(part)),
                Event::Delta { part, .. } => prop_assert!(open.contains(&part) || tree["message"]["citations"].is_array()),
                Event::PartEnd { part, .. } => prop_assert!(open.remove(&part)),
                _ => {}
            }
        }
        prop_assert!(open.is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let events = decode_cut(&bytes, &[3, 17]);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
    }

    #[test]
    fn odd_events_do_not_make_it_panic(tree in streamable(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), odd in 0..6usize) {
        let odd = [Value::Null, true.into(), json!(-1), "x".into(), json!([1, {}]), json!({"a": 1})][odd].clone();
        let mut events = stream_of(&tree, 4);
        let which = which.index(events.len());
        replace(&mut events[which], at, odd);
        let events = decode(&events);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
        prop_assert!(!matches!(fold(events), Err(FoldError::Misplaced)));
    }
}

/// Members come in another order in a stream.
fn sort(answer: &mut Answer) {
    let extra = &mut answer.choices[0].message_extra;
    let mut members = extra.members().to_vec();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    *extra = Extra::new(Dialect::Cohere, members);
}

fn error(events: &[Value]) -> String {
    match decode(events).pop() {
        Some(Event::Error(error)) => error.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_is_an_error_and_not_a_finish() {
    let start = json!({"type": "message-start", "id": "a", "delta": {"message": {"role": "assistant"}}});
    let end = |delta: Value| [start.clone(), json!({"type": "message-end", "delta": delta})];
    assert_eq!(error(&end(json!({"finish_reason": "ERROR"}))), "the provider failed in the middle of its answer");
    assert_eq!(error(&end(json!({"finish_reason": "ERROR", "error": "no GPU"}))), "no GPU");
    assert_eq!(error(&end(json!({"error": "no GPU"}))), "no GPU");
    let message = "the provider ran out of time in the middle of its answer";
    assert_eq!(error(&end(json!({"finish_reason": "TIMEOUT"}))), message);
    assert_eq!(error(&[start.clone(), json!({"message": "too many tokens"})]), "too many tokens");
    assert_eq!(error(&[start.clone(), json!({"error": {"message": "overloaded"}})]), "overloaded");
    assert!(error(std::slice::from_ref(&start)).contains("before its last event"));
    // Usage that came with the failure is told before it.
    let events = decode(&end(json!({"finish_reason": "ERROR", "usage": {"billed_units": {"input_tokens": 3}}})));
    assert!(matches!(&events[events.len() - 2], Event::Usage(spent) if spent.tokens.input == 3));
}

#[test]
fn done_is_no_end_and_nothing_is_read_behind_the_end() {
    let bytes = "data: {\"type\":\"message-start\",\"id\":\"a\"}\n\ndata: [DONE]\n\n";
    assert!(matches!(decode_cut(bytes.as_bytes(), &[]).last(), Some(Event::Error(_))));
    let end = json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}});
    let bytes = stream(&[end.clone(), end]) + "data: [DONE]\n\n";
    let events = decode_cut(bytes.as_bytes(), &[]);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::End)).count(), 1);
    assert_eq!(fold(events).unwrap().choices[0].stop.as_ref().unwrap().reason, StopReason::End);
}

#[test]
fn the_event_s_name_stands_in_for_its_type_and_debug_says_nothing() {
    let bytes = "event: debug\ndata: {\"prompt\":\"secret\"}\n\n\
        event: content-delta\ndata: {\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"hi\"}}}}\n\n\
        event: message-end\ndata: {\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n";
    let answer = fold(decode_cut(bytes.as_bytes(), &[])).unwrap();
    assert_eq!(answer.choices[0].parts[0].as_text(), Some("hi"));
    assert_eq!(answer.choices[0].parts.len(), 1);
}

#[test]
fn calls_may_interleave_and_never_end() {
    let call = |kind: &str, index: u64, function: Value| json!({"type": kind, "index": index, "delta": {"message": {"tool_calls": {"id": format!("c{index}"), "type": "function", "function": function}}}});
    let events = [
        call("tool-call-start", 0, json!({"name": "f", "arguments": ""})),
        call("tool-call-start", 1, json!({"name": "g", "arguments": ""})),
        call("tool-call-delta", 1, json!({"arguments": "{\"b\""})),
        call("tool-call-delta", 0, json!({"arguments": "{}"})),
        call("tool-call-delta", 1, json!({"arguments": ":1}"})),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}),
    ];
    let answer = fold(decode(&events)).unwrap();
    let calls: Vec<_> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::ToolCall(call) => (call.id.as_deref().unwrap(), call.name.as_str(), call.arguments.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [("c0", "f", "{}"), ("c1", "g", "{\"b\":1}")]);
}
