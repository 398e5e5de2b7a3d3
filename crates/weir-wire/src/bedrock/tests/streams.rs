//! The laws of streams, and the odd things that providers send.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::streamable;
use super::laws::{replace, reply};
use crate::bedrock::{StreamDecoder, decode_answer, encode_answer};
use crate::eventstream::{Header, Message, MessageFramer, encode};
use crate::hub::{Answer, Delta, Event, Fold, FoldError, PartKind, StopReason};
use crate::rules::UsageRules;

fn decode(messages: &[Message]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    messages.iter().for_each(|message| decoder.push(message, &mut events));
    decoder.end(&mut events);
    events
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

fn event(name: &str, payload: Value) -> Message {
    Message::event(name, payload.to_string())
}

fn delta(index: u64, delta: Value) -> Message {
    event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abcdef"}))
}

fn begin(index: u64, start: Value) -> Message {
    event("contentBlockStart", json!({"contentBlockIndex": index, "start": start}))
}

fn stop(index: u64) -> Message {
    event("contentBlockStop", json!({"contentBlockIndex": index, "p": "ab"}))
}

fn ending(reason: &str) -> Message {
    event("messageStop", json!({"stopReason": reason}))
}

/// A text in two pieces.
fn halves(text: &str) -> Vec<String> {
    let (head, tail) = text.split_at(text.floor_char_boundary(text.len() / 2));
    vec![head.to_owned(), tail.to_owned()]
}

/// The messages in which Bedrock would stream this answer.
fn streamed(answer: &Value) -> Vec<Message> {
    let mut all = vec![event("messageStart", json!({"role": "assistant", "p": "abc"}))];
    for (index, block) in (0..).zip(answer["output"]["message"]["content"].as_array().unwrap()) {
        all.extend(block_messages(index, block));
        all.push(stop(index));
    }
    let pick = |names: &[&str]| {
        let members = names.iter().filter(|name| answer.get(**name).is_some());
        Value::Object(members.map(|name| ((*name).to_owned(), answer[*name].clone())).collect())
    };
    all.push(event("messageStop", pick(&["stopReason", "additionalModelResponseFields"])));
    all.push(event("metadata", pick(&["usage", "metrics", "trace", "performanceConfig", "serviceTier"])));
    all
}

fn block_messages(index: u64, block: &Value) -> Vec<Message> {
    let (name, inner) = block.as_object().unwrap().iter().next().unwrap();
    let without = |name: &str| {
        let mut rest = inner.clone();
        rest.as_object_mut().unwrap().shift_remove(name);
        rest
    };
    let pieces = |text: &Value, make: &dyn Fn(String) -> Value| -> Vec<Message> {
        halves(text.as_str().unwrap()).into_iter().map(|piece| delta(index, make(piece))).collect()
    };
    match name.as_str() {
        "text" => pieces(inner, &|text| json!({"text": text})),
        "toolUse" => {
            let mut all = vec![begin(index, json!({"toolUse": without("input")}))];
            if inner["input"] != json!({}) {
                let input = inner["input"].to_string().into();
                all.extend(pieces(&input, &|input| json!({"toolUse": {"input": input}})));
            }
            all
        }
        "toolResult" => vec![
            begin(index, json!({"toolResult": without("content")})),
            delta(index, json!({"toolResult": inner["content"]})),
        ],
        "reasoningContent" => match inner.get("redactedContent") {
            Some(data) => vec![delta(index, json!({"reasoningContent": {"redactedContent": data}}))],
            None => {
                let said = &inner["reasoningText"];
                let mut all = pieces(&said["text"], &|text| json!({"reasoningContent": {"text": text}}));
                if said["signature"].is_string() {
                    all.push(delta(index, json!({"reasoningContent": {"signature": said["signature"]}})));
                }
                all
            }
        },
        "citationsContent" => {
            let mut all = pieces(&inner["content"][0]["text"], &|text| json!({"text": text}));
            all.push(delta(index, json!({"citation": inner["citations"][0]})));
            all
        }
        _ => vec![
            begin(index, json!({"image": {"format": inner["format"]}})),
            delta(index, json!({"image": {"source": inner["source"]}})),
        ],
    }
}

proptest! {
    #[test]
    fn a_stream_folded_is_the_whole_answer(tree in streamable()) {
        let folded = fold(decode(&streamed(&tree))).unwrap();
        let whole = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        prop_assert_eq!(&folded.choices, &whole.choices);
        prop_assert_eq!(&folded.usage, &whole.usage);
        let encoded = encode_answer(&folded, &mut reply());
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), tree);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), size in 1..50usize) {
        let bytes: Vec<u8> = streamed(&tree).iter().flat_map(encode).collect();
        let mut framer = MessageFramer::new(1 << 20);
        let mut messages = Vec::new();
        for chunk in bytes.chunks(size) {
            framer.push(chunk);
            messages.extend(std::iter::from_fn(|| framer.next()).map(Result::unwrap));
        }
        prop_assert_eq!(decode(&messages), decode(&streamed(&tree)));
    }

    /// A stream cut off before its stop is an error and never a finish; parts are numbered in order
    /// and nothing follows the last event, whatever stands in the payloads.
    #[test]
    fn what_is_cut_off_or_odd_never_ends_well(tree in streamable(), keep in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), odd in 0..5usize) {
        let mut messages = streamed(&tree);
        let before_stop = messages.len() - 2;
        messages.truncate(keep.index(before_stop + 1));
        prop_assert!(matches!(fold(decode(&messages)), Err(FoldError::Upstream(_))));
        let odd = [Value::Null, 7.into(), "x".into(), json!([1]), json!({"a": 1})][odd].clone();
        let all = streamed(&tree);
        let broken = at.index(all.len());
        let messages: Vec<Message> = (0..).zip(all).map(|(index, message)| {
            let mut payload: Value = serde_json::from_slice(&message.payload).unwrap();
            if index == broken {
                replace(&mut payload, at, odd.clone());
            }
            Message { payload: payload.to_string().into(), ..message }
        }).collect();
        let events = decode(&messages);
        let last = events.iter().position(|event| matches!(event, Event::End | Event::Error(_)));
        prop_assert_eq!(last, Some(events.len() - 1));
        prop_assert!(!matches!(fold(events), Err(FoldError::Misplaced | FoldError::TooLarge)));
    }

    #[test]
    fn no_payload_makes_it_panic(name in 0..6usize, bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let name = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"][name];
        drop(decode(&[Message::event(name, bytes)]));
    }
}

#[test]
fn metadata_may_come_first_or_not_at_all() {
    let usage = || event("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}));
    let text = || delta(0, json!({"text": "a"}));
    for messages in [vec![text(), ending("end_turn"), usage()], vec![text(), usage(), ending("end_turn")]] {
        let answer = fold(decode(&messages)).unwrap();
        assert_eq!(answer.usage.unwrap().tokens.output, 2);
    }
    let answer = fold(decode(&[text(), ending("end_turn")])).unwrap();
    assert_eq!((answer.usage, answer.choices[0].stop.as_ref().unwrap().reason), (None, StopReason::End));
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    [text(), ending("end_turn"), usage(), text()].iter().for_each(|message| decoder.push(message, &mut events));
    assert_eq!(events.last(), Some(&Event::End), "the metadata ends it, without waiting for the connection");
}

#[test]
fn blocks_that_never_stop_are_ended_before_the_finish() {
    let events = decode(&[
        delta(0, json!({"text": "a"})),
        delta(1, json!({"text": "b"})),
        begin(2, json!({"toolUse": {"toolUseId": "t", "name": "f"}})),
        ending("tool_use"),
    ]);
    let ends = events.iter().filter(|event| matches!(event, Event::PartEnd { .. })).count();
    let answer = fold(events).unwrap();
    assert_eq!((ends, answer.choices[0].parts.len()), (3, 3));
    assert!(matches!(&answer.choices[0].parts[2].kind, PartKind::ToolCall(call) if call.arguments == "{}"));
}

#[test]
fn a_block_that_changes_its_sort_is_two_parts() {
    let events = decode(&[
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        delta(0, json!({"text": ""})),
        delta(0, json!({"text": "a"})),
        stop(0),
        stop(0),
        ending("end_turn"),
    ]);
    let answer = fold(events).unwrap();
    let parts = &answer.choices[0].parts;
    assert!(matches!(parts[0].kind, PartKind::Thinking(_)) && parts[0].signature.is_some());
    assert_eq!((parts.len(), parts[1].as_text()), (2, Some("a")));
}

#[test]
fn redacted_thoughts_in_pieces_are_one() {
    let answer = fold(decode(&[
        delta(0, json!({"reasoningContent": {"redactedContent": "RXU="}})),
        delta(0, json!({"reasoningContent": {"redactedContent": "OEU="}})),
        ending("end_turn"),
    ]));
    let body = encode_answer(&answer.unwrap(), &mut reply()).body;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["output"]["message"]["content"], json!([{"reasoningContent": {"redactedContent": "RXU4RQ=="}}]));
}

#[test]
fn failures_end_the_stream_and_say_whether_to_try_again() {
    let failed = |message: Message| {
        let events = decode(&[delta(0, json!({"text": "a"})), message, ending("end_turn")]);
        match events.last() {
            Some(Event::Error(error)) => (error.message.clone(), error.kind.clone().unwrap(), error.status()),
            other => panic!("{other:?}"),
        }
    };
    let throttled = Message::exception("throttlingException", json!({"message": "Too many tokens"}).to_string());
    assert_eq!(failed(throttled), ("Too many tokens".into(), "throttlingException".into(), Some(429)));
    let (message, kind, status) = failed(Message::exception("somethingNewException", "<html>"));
    assert_eq!((kind.as_str(), status), ("somethingNewException", Some(502)));
    assert!(message.contains("no readable error"), "{message}");
    let headers = vec![
        Header::text(":message-type", "error"),
        Header::text(":error-code", "InternalServerError"),
        Header::text(":error-message", "it broke"),
    ];
    let error = Message { headers, payload: Default::default() };
    assert_eq!(failed(error), ("it broke".into(), "InternalServerError".into(), Some(500)));
    let broken = Message::event("contentBlockDelta", "{");
    assert!(failed(broken).0.starts_with("the provider's stream broke"));
    let ended = decode(&[delta(0, json!({"text": "a"})), stop(0)]);
    assert!(matches!(ended.last(), Some(Event::Error(error)) if error.message.contains("before its last event")));
}

#[test]
fn what_is_unknown_is_passed_over() {
    let answer = fold(decode(&[
        event("of_tomorrow", json!({"a": 1})),
        Message { headers: vec![], payload: "x".into() },
        begin(0, json!({})),
        delta(0, json!({"of_tomorrow": {}})),
        delta(0, json!({"toolUse": {"input": "never announced"}})),
        delta(1, json!({"text": "a"})),
        ending("end_turn"),
    ]));
    assert_eq!(answer.unwrap().choices[0].parts.len(), 1);
}

#[test]
fn too_many_or_too_large_blocks_are_an_error() {
    let many: Vec<Message> = (0..300).map(|index| delta(index, json!({"text": "a"}))).collect();
    assert!(matches!(decode(&many).last(), Some(Event::Error(_))));
    let server = json!({"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use"}});
    let piece = "x".repeat(1 << 20);
    let mut large = vec![begin(0, server)];
    large.extend((0..9).map(|_| delta(0, json!({"toolUse": {"input": piece}}))));
    assert!(matches!(decode(&large).last(), Some(Event::Error(_))));
}

#[test]
fn deltas_are_told_as_they_come() {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    decoder.push(&delta(0, json!({"text": "a"})), &mut events);
    assert!(matches!(events.last(), Some(Event::Delta { delta: Delta::Text(text), .. }) if text == "a"));
}
