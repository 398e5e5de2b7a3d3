//! The laws of streams, and the odd things that providers send.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::answer;
use super::laws::{replace, reply, tree};
use crate::hub::{Answer, Delta, Dialect, Event, Fold, FoldError, unfold};
use crate::openai_responses::{StreamDecoder, StreamEncoder, decode_answer, encode_answer};
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

pub(super) fn decode(stream: &str) -> Vec<Event> {
    decode_cut(stream.as_bytes(), &[])
}

fn stream(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

pub(super) fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

pub(super) fn encode(events: &[Event], source: Dialect) -> String {
    let mut encoder = StreamEncoder::new(reply(source));
    let mut out = String::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    out
}

/// Cuts the text of deltas in two, somewhere.
fn shatter(events: Vec<Event>) -> Vec<Event> {
    let split = |text: String| {
        let (head, tail) = text.split_at(text.floor_char_boundary(text.len() / 2));
        [head.to_owned(), tail.to_owned()]
    };
    let cut = |event: Event| match event {
        Event::Delta { choice, part, delta: Delta::Text(text) } => {
            split(text).map(|text| Event::Delta { choice, part, delta: Delta::Text(text) }).to_vec()
        }
        Event::Delta { choice, part, delta: Delta::Arguments(text) } => {
            split(text).map(|text| Event::Delta { choice, part, delta: Delta::Arguments(text) }).to_vec()
        }
        other => vec![other],
    };
    events.into_iter().flat_map(cut).collect()
}

/// The events of a stream's text.
pub(super) fn events_of(stream: &str) -> Vec<Value> {
    stream.lines().filter_map(|line| line.strip_prefix("data: ")).map(tree).collect()
}

/// Checks a stream as the official SDKs gather it: numbered, one item and one part at a time, each
/// begun before it goes on and ended before the next, the whole equal to its pieces.
pub(super) fn check_grammar(stream: &str) {
    let events = events_of(stream);
    let (mut items, mut open): (Vec<Value>, Option<Value>) = (Vec::new(), None);
    let (mut part, mut pieces) = (None::<(Value, Value)>, String::new());
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        let kind = event["type"].as_str().unwrap();
        if event.get("output_index").is_some() {
            assert_eq!(event["output_index"], items.len(), "{kind}");
        }
        match kind {
            "response.created" => assert_eq!(number, 0),
            "response.in_progress" => assert_eq!(number, 1),
            "response.output_item.added" => {
                assert!(open.replace(event["item"].clone()).is_none(), "one item at a time");
                pieces.clear();
            }
            "response.output_item.done" => {
                let begun = open.take().expect("an item begins before it ends");
                assert_eq!((&begun["type"], &begun["id"]), (&event["item"]["type"], &event["item"]["id"]));
                assert!(part.is_none());
                items.push(event["item"].clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                let place = (event["content_index"].clone(), event["summary_index"].clone());
                assert!(part.replace(place).is_none(), "one part at a time");
                pieces.clear();
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let place = (event["content_index"].clone(), event["summary_index"].clone());
                assert_eq!(part.take(), Some(place));
                let said = ["text", "refusal"].iter().find_map(|name| event["part"][name].as_str());
                assert_eq!(said, Some(pieces.as_str()));
            }
            _ if kind.ends_with(".delta") => {
                assert_eq!(event["item_id"], open.as_ref().expect("an item is open")["id"]);
                pieces.push_str(event["delta"].as_str().unwrap());
            }
            _ if kind.ends_with(".done") => {
                let said = ["text", "refusal", "arguments", "input"].iter().find_map(|name| event[name].as_str());
                assert_eq!(said, Some(pieces.as_str()), "{kind}");
            }
            "response.output_text.annotation.added" => assert!(part.is_some()),
            "response.completed" | "response.incomplete" => {
                assert_eq!(event["response"]["output"], Value::from(items.clone()));
                assert_eq!(number, events.len() - 1);
            }
            "response.failed" => assert_eq!(number, events.len() - 1),
            other => panic!("unknown event {other}"),
        }
    }
    let ids = events.iter().filter_map(|event| event["response"]["id"].as_str());
    let ids: std::collections::HashSet<&str> = ids.collect();
    assert_eq!(ids.len(), 1, "a response keeps its id");
}

proptest! {
    #[test]
    fn a_stream_folded_is_the_whole_answer(sent in answer(), cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
        // What the model says has but one type in a stream.
        let sent = tree(&sent.to_string().replace("\"input_text\"", "\"output_text\""));
        let answer = decode_answer(sent.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let stream = encode(&shatter(unfold(answer)), Dialect::OpenAiResponses);
        let events = decode(&stream);
        prop_assert_eq!(&events, &decode_cut(stream.as_bytes(), &cuts));
        let folded = fold(events).unwrap();
        let again = encode_answer(&folded, &mut reply(Dialect::OpenAiResponses));
        let mut again = tree(&again.body);
        // Items without an id are given one in a stream: its events refer to it.
        for (item, was) in again["output"].as_array_mut().unwrap().iter_mut().zip(sent["output"].as_array().unwrap()) {
            if was.get("id").is_none() {
                item.as_object_mut().unwrap().remove("id");
            }
        }
        prop_assert_eq!(again, sent);
    }

    #[test]
    fn a_stream_with_odd_values_does_not_make_it_panic(sent in answer(), at in any::<prop::sample::Index>(), odd in 0..5usize) {
        let odd = [Value::Null, 7.into(), "x".into(), json!([1]), json!({"a": 1})][odd].clone();
        let answer = decode_answer(sent.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let mut events = Value::from(events_of(&encode(&unfold(answer), Dialect::OpenAiResponses)));
        replace(&mut events, at, odd);
        let text: String = events.as_array().into_iter().flatten().map(|event| format!("data: {event}\n\n")).collect();
        let events = decode(&text);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
        let last = events.iter().filter(|event| matches!(event, Event::End | Event::Error(_))).count();
        prop_assert_eq!(last, 1);
        let fold = fold(events);
        prop_assert!(!matches!(fold, Err(FoldError::Misplaced)), "{:?}", fold);
    }
}

fn created() -> Value {
    json!({"type": "response.created", "response": {"id": "r", "created_at": 1, "model": "m", "output": []}})
}

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "r", "created_at": 1, "model": "m", "status": "completed", "output": output}})
}

#[test]
fn a_stream_cut_short_is_an_error_and_never_a_finish() {
    let added = json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "a", "role": "assistant", "content": []}});
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hal"});
    let events = decode(&stream(&[created(), added, delta]));
    assert!(matches!(&events[..], [.., Event::Error(error)] if error.message.contains("before its last event")));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish { .. })));
    let out = encode(&events, Dialect::OpenAiResponses);
    let last = events_of(&out).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
}

#[test]
fn failures_carry_the_provider_s_words_and_what_was_consumed() {
    let failed = json!({"type": "response.failed", "response": {"id": "r", "status": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "slow down"}, "usage": {"input_tokens": 5, "output_tokens": 1}}});
    let events = decode(&stream(&[created(), failed]));
    let [.., Event::Usage(spent), Event::Error(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((spent.tokens.input, error.code.as_deref()), (5, Some("rate_limit_exceeded")));
    let last = events_of(&encode(&events, Dialect::OpenAiResponses)).pop().unwrap();
    assert_eq!(last["response"]["error"], json!({"code": "rate_limit_exceeded", "message": "slow down"}));
    let events = decode(&stream(&[created(), json!({"type": "error", "code": "x", "message": "no", "param": null})]));
    assert!(
        matches!(&events[..], [.., Event::Error(error)] if error.message == "no" && error.code.as_deref() == Some("x"))
    );
    let whole =
        json!({"id": "r", "status": "failed", "output": [], "error": {"code": "server_error", "message": "oh"}});
    let error = decode_answer(whole.to_string().as_bytes(), &UsageRules::default()).unwrap_err();
    assert_eq!(error.to_string(), "the provider failed: oh");
}

#[test]
fn what_came_without_deltas_is_told_at_its_end() {
    let item = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "g", "arguments": "{\"a\":1}"});
    let message =
        json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]});
    let half = [
        created(),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "g", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{\"a\""}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        completed(json!([item, message])),
    ];
    let whole = decode_answer(half[4]["response"].to_string().as_bytes(), &UsageRules::default()).unwrap();
    let folded = fold(decode(&stream(&half))).unwrap();
    assert_eq!(folded.choices, whole.choices);
    // Nothing but the last event.
    let folded = fold(decode(&stream(&half[4..]))).unwrap();
    assert_eq!(folded.choices, whole.choices);
}

#[test]
fn items_that_change_their_ids_and_numbers_are_told_once() {
    let message = |id: &str| json!({"type": "message", "id": id, "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]});
    let events = [
        created(),
        json!({"type": "response.output_item.added", "output_index": 3, "item": {"type": "message", "id": "a", "role": "assistant", "content": []}}),
        json!({"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "item_id": "b", "delta": "hi"}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": message("a")}),
        completed(json!([message("a")])),
    ];
    let folded = fold(decode(&stream(&events))).unwrap();
    assert_eq!(folded.choices[0].parts.len(), 1);
}
