//! The laws of streams, and what models stream in pieces.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::streamable;
use super::laws::{replace, reply};
use crate::gemini::{ArrayError, ArrayFramer, Framing, StreamDecoder, StreamEncoder, decode_answer};
use crate::hub::{Answer, Delta, Event, Fold, FoldError, PartKind, StopReason, unfold};
use crate::rules::UsageRules;
use crate::sse::{Frame, SseFramer};

fn decoder() -> StreamDecoder {
    StreamDecoder::new(Arc::new(UsageRules::default()))
}

/// The events of a stream's bytes, cut at these places.
fn decode_cut(stream: &[u8], cuts: &[usize], framing: Framing) -> Vec<Event> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let (mut decoder, mut events) = (decoder(), Vec::new());
    let (mut frames, mut array) = (SseFramer::new(1 << 20), ArrayFramer::new(1 << 20));
    for pair in cuts.windows(2) {
        let bytes = &stream[pair[0]..pair[1]];
        match framing {
            Framing::Sse => {
                frames.push(Bytes::copy_from_slice(bytes));
                while let Some(frame) = frames.next() {
                    decoder.push(&frame.unwrap(), &mut events);
                }
            }
            Framing::Array => {
                let mut elements = Vec::new();
                array.push(bytes, &mut elements).unwrap();
                elements.iter().for_each(|element| decoder.push_chunk(element, &mut events));
            }
        }
    }
    if framing == Framing::Sse {
        frames.end().iter().for_each(|frame| decoder.push(frame, &mut events));
        decoder.push(&Frame::new(frames.take_rest(), false), &mut events);
    }
    decoder.end(&mut events);
    events
}

fn events(chunks: &[Value]) -> Vec<Event> {
    let (mut decoder, mut events) = (decoder(), Vec::new());
    chunks.iter().for_each(|chunk| decoder.push_chunk(chunk.to_string().as_bytes(), &mut events));
    decoder.end(&mut events);
    events
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

fn encode(events: &[Event], framing: Framing) -> String {
    let mut encoder = StreamEncoder::new(reply(), framing);
    let mut out = String::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    out
}

/// Cuts the text of deltas in two, somewhere.
fn shatter(events: Vec<Event>) -> Vec<Event> {
    let halves = |text: &str| {
        let (head, tail) = text.split_at(text.floor_char_boundary(text.len() / 2));
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

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::Sse), Just(Framing::Array)]
}

proptest! {
    #[test]
    fn a_stream_folds_to_the_whole_answer(tree in streamable(), framing in framing(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let out = encode(&shatter(unfold(answer.clone())), framing);
        prop_assert_eq!(fold(decode_cut(out.as_bytes(), &cuts, framing)).unwrap(), answer);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), framing in framing(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let out = encode(&unfold(answer), framing);
        prop_assert_eq!(decode_cut(out.as_bytes(), &cuts, framing), decode_cut(out.as_bytes(), &[], framing));
    }

    /// Without the chunk that says why it ended, a stream is none, and its caller is told so.
    #[test]
    fn a_stream_cut_short_is_an_error(tree in streamable()) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let mut said = unfold(answer);
        said.retain(|event| !matches!(event, Event::Finish { .. }));
        let out = encode(&said, Framing::Sse);
        let told = decode_cut(out.as_bytes(), &[], Framing::Sse);
        prop_assert!(matches!(told.last(), Some(Event::Error(_))));
        let again = encode(&told, Framing::Array);
        prop_assert!(again.contains("\"error\"") && !again.contains("finishReason"));
        prop_assert!(serde_json::from_str::<Value>(&again).is_ok());
    }

    #[test]
    fn odd_chunks_do_not_make_it_panic(tree in streamable(), at in any::<prop::sample::Index>(), odd in 0..5usize) {
        let odd = [Value::Null, 7.into(), "x".into(), json!([1]), json!({"a": 1})][odd].clone();
        let mut broken = tree.clone();
        replace(&mut broken, at, odd);
        let told = events(&[tree.clone(), broken, tree]);
        prop_assert!(matches!(told.last(), Some(Event::End | Event::Error(_))));
        let mut encoder = StreamEncoder::new(reply(), Framing::Array);
        let mut out = String::new();
        told.iter().for_each(|event| encoder.push(event, &mut out));
        prop_assert!(serde_json::from_str::<Value>(&out).is_ok());
    }

    #[test]
    fn no_bytes_make_a_framer_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut elements = Vec::new();
        let read = ArrayFramer::new(16).push(&bytes, &mut elements);
        prop_assert!(read.is_ok() || elements.iter().all(|element| element.len() <= 16));
    }
}

fn part(part: Value) -> Value {
    json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]})
}

fn finish() -> Value {
    json!({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}})
}

#[test]
fn arguments_in_pieces_become_one_object() {
    let piece = |value: Value| part(json!({"functionCall": value}));
    let answer = fold(events(&[
        part(json!({"functionCall": {"id": "1", "name": "f", "willContinue": true}, "thoughtSignature": "AA"})),
        piece(
            json!({"partialArgs": [{"jsonPath": "$.a", "stringValue": "x", "willContinue": true}], "willContinue": true}),
        ),
        piece(json!({"partialArgs": [{"jsonPath": "$.a", "stringValue": "y"}], "willContinue": true})),
        piece(json!({})),
        finish(),
    ]));
    let choice = &answer.unwrap().choices[0];
    let PartKind::ToolCall(call) = &choice.parts[0].kind else { panic!("{choice:?}") };
    assert_eq!((call.id.as_deref(), call.arguments.as_str(), choice.parts.len()), (Some("1"), r#"{"a":"xy"}"#, 1));
    assert!(call.extra.is_empty());
    assert_eq!(choice.stop.as_ref().unwrap().reason, StopReason::ToolUse);
    assert_eq!(choice.parts[0].signature.as_ref().unwrap().text, "AA");
}

#[test]
fn a_call_in_an_earlier_chunk_makes_the_reason_tool_use() {
    let told =
        fold(events(&[part(json!({"functionCall": {"name": "f", "args": {}}})), part(json!({"text": ""})), finish()]));
    let choice = &told.unwrap().choices[0];
    assert_eq!((choice.parts.len(), choice.stop.as_ref().unwrap().reason), (1, StopReason::ToolUse));
}

#[test]
fn the_last_usage_and_the_last_reason_count() {
    let chunk = |reason: &str, prompt: u64| {
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": 1, "thoughtsTokenCount": 2, "toolUsePromptTokenCount": 5}})
    };
    let answer = fold(events(&[chunk("STOP", 3), chunk("MAX_TOKENS", 4)])).unwrap();
    let tokens = answer.usage.unwrap().tokens;
    assert_eq!((tokens.input, tokens.output, tokens.reasoning), (9, 3, 2));
    assert_eq!(answer.choices[0].stop.as_ref().unwrap().reason, StopReason::Length);
    assert_eq!(answer.choices[0].parts.len(), 1);
}

#[test]
fn a_blocked_prompt_is_an_answer_without_a_word() {
    let blocked =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}});
    let streamed = fold(events(std::slice::from_ref(&blocked))).unwrap();
    let whole = decode_answer(blocked.to_string().as_bytes(), &UsageRules::default()).unwrap();
    assert_eq!(streamed, whole);
    assert_eq!(whole.choices[0].stop.as_ref().unwrap().reason, StopReason::Filter);
    let out = encode(&unfold(whole), Framing::Array);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!([blocked]));
}

#[test]
fn errors_come_as_objects_and_in_lists() {
    let error = json!({"error": {"code": 429, "message": "too many", "status": "RESOURCE_EXHAUSTED"}});
    for body in [error.clone(), json!([error])] {
        let told = events(&[part(json!({"text": "a"})), body.clone()]);
        let Some(Event::Error(error)) = told.last() else { panic!("{told:?}") };
        assert_eq!((error.message.as_str(), error.status()), ("too many", Some(429)));
        assert!(decode_answer(body.to_string().as_bytes(), &UsageRules::default()).is_err());
        let out = encode(&told, Framing::Sse);
        assert!(out.ends_with(
            "data: {\"error\":{\"code\":429,\"message\":\"too many\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n\n"
        ));
    }
}

#[test]
fn an_array_is_cut_into_its_elements() {
    let cut = |text: &str| {
        let (mut framer, mut elements) = (ArrayFramer::new(64), Vec::new());
        framer.push(text.as_bytes(), &mut elements).map(|()| (elements.len(), framer.complete()))
    };
    assert_eq!(cut(r#"[{"a":"]}\""},{"b":[1]}"#), Ok((2, false)));
    assert_eq!(cut("[{}\n,\r\n{}]\n"), Ok((2, true)));
    assert_eq!(cut("[]"), Ok((0, true)));
    assert_eq!(cut(r#"{"error":{}}"#), Ok((1, true)));
    assert_eq!(cut("<html>"), Err(ArrayError::NotAnArray));
    assert_eq!(cut("[1]"), Err(ArrayError::NotAnArray));
    assert_eq!(cut(&format!("[{{\"a\":\"{}\"}}]", "x".repeat(64))), Err(ArrayError::TooLarge));
}
