//! The laws of streams, and the odd things that providers send.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::streamable;
use super::laws::{replace, reply};
use crate::hub::{Answer, Delta, Event, Fold, FoldError, PartKind, unfold};
use crate::openai_chat::{StreamDecoder, StreamEncoder, decode_answer};
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

fn decode(stream: &str) -> Vec<Event> {
    decode_cut(stream.as_bytes(), &[])
}

/// A stream of these chunks with its end.
fn stream(chunks: &[Value]) -> String {
    let data: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    data + "data: [DONE]\n\n"
}

/// A chunk of the first choice with this delta.
fn chunk(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

fn encode(events: &[Event]) -> String {
    let mut encoder = StreamEncoder::new(reply(), true);
    let mut out = String::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    out
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
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let out = encode(&shatter(unfold(answer.clone())));
        let mut folded = fold(decode_cut(out.as_bytes(), &cuts)).unwrap();
        // A whole answer's message says `"refusal": null`; a stream says nothing of it.
        let mut whole = answer;
        whole.choices.iter_mut().for_each(forget_silence);
        folded.choices.iter_mut().for_each(forget_silence);
        prop_assert_eq!(folded, whole);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let out = encode(&unfold(answer));
        prop_assert_eq!(decode_cut(out.as_bytes(), &cuts), decode(&out));
    }

    #[test]
    fn a_stream_cut_short_is_an_error(tree in streamable(), at in any::<usize>()) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let out = encode(&unfold(answer));
        let end = out.len() - "data: [DONE]\n\n".len();
        let events = decode_cut(&out.as_bytes()[..at % (end + 1)], &[]);
        prop_assert!(matches!(events.last(), Some(Event::Error(_))));
        prop_assert!(!events.contains(&Event::End));
        // The caller of this dialect sees the error, and neither an end nor a finish of our making.
        let told = encode(&events);
        prop_assert!(told.contains("\"error\":") && !told.contains("[DONE]"));
        prop_assert!(told.matches("\"finish_reason\":\"").count() <= out.matches("\"finish_reason\":\"").count());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let events = decode_cut(&bytes, &[3, 17]);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
    }

    #[test]
    fn odd_chunks_do_not_make_it_panic(at in any::<prop::sample::Index>(), odd in 0..6usize) {
        let odd = [Value::Null, true.into(), json!(-1), "x".into(), json!([1, {}]), json!({"a": 1})][odd].clone();
        let mut chunk = chunk(json!({"role": "assistant", "content": [{"type": "text", "text": "a"}], "refusal": "r",
            "reasoning": "t", "reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0, "format": "f"}],
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
            "audio": {"id": "a", "data": "AA", "transcript": "t"}, "function_call": {"name": "f", "arguments": "{}"},
            "tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}));
        replace(&mut chunk, at, odd);
        let events = decode(&stream(&[chunk.clone(), chunk]));
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
        prop_assert!(!matches!(fold(events), Err(FoldError::Misplaced)));
    }
}

fn forget_silence(choice: &mut crate::hub::Choice) {
    if let Some(logprobs) = &mut choice.logprobs {
        logprobs.extra = crate::hub::Extra::default();
    }
}

/// The calls of a stream of these deltas: id, name, arguments.
fn calls(deltas: &[Value]) -> Vec<(String, String, String)> {
    let mut chunks: Vec<Value> = deltas.iter().cloned().map(chunk).collect();
    chunks.push(finish("tool_calls"));
    let answer = fold(decode(&stream(&chunks))).unwrap();
    let parts = answer.choices.into_iter().flat_map(|choice| choice.parts);
    parts
        .filter_map(|part| match part.kind {
            PartKind::ToolCall(call) => Some((call.id.unwrap_or_default(), call.name, call.arguments)),
            _ => None,
        })
        .collect()
}

fn check_calls(deltas: &[Value], expected: &[(&str, &str, &str)]) {
    let calls = calls(deltas);
    let told: Vec<_> = calls.iter().map(|(id, name, arguments)| (&**id, &**name, &**arguments)).collect();
    assert_eq!(told, expected);
}

#[test]
fn fragments_of_parallel_calls_find_their_call() {
    check_calls(
        &[
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"x\""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}),
        ],
        &[("a", "f", "{}"), ("b", "g", "{\"x\":1}")],
    );
}

#[test]
fn calls_all_numbered_zero_are_told_apart_by_their_ids() {
    check_calls(
        &[
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}]}),
        ],
        &[("a", "f", "{}"), ("b", "f", "{}")],
    );
}

#[test]
fn calls_without_numbers_follow_each_other() {
    check_calls(
        &[
            json!({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}),
            json!({"tool_calls": [{"function": {"arguments": "}"}}]}),
            json!({"tool_calls": [{"id": "b", "function": {"name": "g"}}]}),
        ],
        &[("a", "f", "{}"), ("b", "g", "")],
    );
}

#[test]
fn an_id_repeated_or_made_up_anew_is_no_new_call() {
    check_calls(
        &[
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "\"x\":"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "z", "function": {"name": null, "arguments": "1}"}}]}),
        ],
        &[("a", "f", "{\"x\":1}")],
    );
}

#[test]
fn a_name_may_come_late_or_never() {
    check_calls(
        &[
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "}"}}]}),
            json!({"tool_calls": [{"index": 7, "id": "b", "function": {"arguments": "{}"}}]}),
        ],
        &[("a", "f", "{}"), ("b", "", "{}")],
    );
}

#[test]
fn an_id_may_come_late() {
    check_calls(
        &[
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}]}),
        ],
        &[("a", "f", "{}")],
    );
}

#[test]
fn a_choice_finishes_once() {
    let events = decode(&stream(&[chunk(json!({"content": "a"})), finish("stop"), finish("length")]));
    let stops: Vec<_> = events.iter().filter(|event| matches!(event, Event::Finish { .. })).collect();
    assert!(matches!(stops[..], [Event::Finish { stop, .. }] if stop.reason == crate::hub::StopReason::End));
}

#[test]
fn details_of_other_numbers_are_other_thoughts() {
    let detail = |index: u64, text: &str| {
        chunk(json!({"reasoning_details": [{"type": "reasoning.text", "text": text, "index": index}]}))
    };
    let answer = fold(decode(&stream(&[detail(0, "a"), detail(0, "b"), detail(1, "c"), finish("stop")]))).unwrap();
    let texts: Vec<_> = answer.choices[0].parts.iter().filter_map(crate::openai_chat::thinking::text_of).collect();
    assert_eq!(texts, ["ab", "c"]);
}

#[test]
fn arguments_held_for_a_name_are_bounded() {
    let delta = json!({"tool_calls": [{"index": 0, "function": {"arguments": "x".repeat(40_000)}}]});
    let events = decode(&stream(&[chunk(delta.clone()), chunk(delta)]));
    assert!(matches!(events.last(), Some(Event::Error(_))));
}

#[test]
fn numbers_of_choices_are_bounded() {
    let choices: Vec<Value> = (0..200).map(|index| json!({"index": index, "delta": {"content": "x"}})).collect();
    let events = decode(&stream(&[json!({"id": "c", "choices": choices})]));
    assert!(matches!(events.last(), Some(Event::Error(_))));
}

fn check_fails(chunks: &[Value]) {
    let events = decode(&stream(chunks));
    assert!(matches!(events.last(), Some(Event::Error(_))) && !events.contains(&Event::End));
}

#[test]
fn all_that_is_held_is_bounded() {
    let big = |name: usize| json!({format!("x{name}"): "x".repeat(50_000)});
    let beside: Vec<Value> = (0..7).map(big).collect();
    check_fails(&beside);
    check_fails(&(0..7).map(|name| chunk(big(name))).collect::<Vec<_>>());
    let calls: Vec<Value> = (0..1100).map(|at| json!({"index": at, "function": {"name": "f"}})).collect();
    check_fails(&[chunk(json!({"tool_calls": calls}))]);
    let parts =
        (0..17_000).map(|at| chunk(if at % 2 == 0 { json!({"content": "a"}) } else { json!({"refusal": "b"}) }));
    check_fails(&parts.collect::<Vec<_>>());
}

#[test]
fn members_said_last_are_told() {
    let late = json!({"id": "c", "choices": [], "sources": ["https://x.test"]});
    let events = decode(&stream(&[chunk(json!({"content": "a"})), finish("stop"), late]));
    let answer = fold(events.clone()).unwrap();
    assert!(answer.head.extra.get(crate::hub::Dialect::OpenAiChat, "sources").is_some());
    assert_eq!(fold(decode(&encode(&events))).unwrap(), answer);
}

#[test]
fn a_message_s_seal_is_its_text_s() {
    let seal = json!({"extra_content": {"google": {"thought_signature": "AAAA"}}});
    let events = decode(&stream(&[chunk(json!({"content": "a"})), chunk(seal), finish("stop")]));
    let answer = fold(events.clone()).unwrap();
    let signature = answer.choices[0].parts[0].signature.as_ref();
    assert_eq!(signature.map(|seal| seal.text.as_str()), Some("AAAA"));
    assert_eq!(fold(decode(&encode(&events))).unwrap(), answer);
}

#[test]
fn words_for_the_end_are_understood() {
    use crate::hub::StopReason::{End, Filter, Length, Refusal, Sequence, ToolUse, Unknown, Window};
    for (word, reason) in [
        ("stop", End),
        ("eos", End),
        ("stop_sequence", Sequence),
        ("length", Length),
        ("max_tokens", Length),
        ("tool_calls", ToolUse),
        ("function_call", ToolUse),
        ("content_filter", Filter),
        ("refusal", Refusal),
        ("model_length", Window),
        ("of_tomorrow", Unknown),
    ] {
        let answer = fold(decode(&stream(&[finish(word)]))).unwrap();
        assert_eq!(answer.choices[0].stop.as_ref().map(|stop| stop.reason), Some(reason), "{word}");
    }
}

#[test]
fn errors_in_any_shape_end_the_stream() {
    for error in [
        r#"{"error":{"message":"no","code":429}}"#,
        r#"{"error":"no"}"#,
        r#"{"object":"error","message":"no"}"#,
        r#"{"type":"error","message":"no"}"#,
    ] {
        let text = format!("data: {}\n\ndata: {error}\n\ndata: [DONE]\n\n", chunk(json!({"content": "a"})));
        let events = decode(&text);
        let Some(Event::Error(error)) = events.last() else { panic!("{text}") };
        assert_eq!(error.message, "no");
        assert!(encode(&events).ends_with("}}\n\n"));
    }
}

#[test]
fn nothing_is_read_behind_the_end() {
    let text = stream(&[chunk(json!({"content": "a"}))]);
    assert_eq!(decode(&(text.clone() + &text)), decode(&text));
}

#[test]
fn a_provider_without_done_ends_with_its_finish() {
    let rules = Arc::new(UsageRules { no_done: true, ..UsageRules::default() });
    let ends = |chunks: &[Value]| {
        let mut decoder = StreamDecoder::new(Arc::clone(&rules));
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(&Frame::new(format!("data: {chunk}\n\n").into(), false), &mut events);
        }
        decoder.end(&mut events);
        events.pop()
    };
    assert_eq!(ends(&[chunk(json!({"content": "a"})), finish("stop")]), Some(Event::End));
    assert!(matches!(ends(&[chunk(json!({"content": "a"}))]), Some(Event::Error(_))));
}

#[test]
fn signed_thoughts_come_together_by_their_number() {
    let detail = |rest: Value| {
        let mut detail = json!({"format": "anthropic-claude-v1", "index": 0});
        detail.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"reasoning_details": [detail]})
    };
    let mut first = detail(json!({"type": "reasoning.text", "text": "a"}));
    first["reasoning"] = "a".into();
    let last = detail(json!({"type": "reasoning.text", "signature": "s"}));
    let hidden = json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 1}]});
    let chunks = [chunk(first.clone()), chunk(first), chunk(last), chunk(hidden), finish("stop")];
    let answer = fold(decode(&stream(&chunks))).unwrap();
    let parts = &answer.choices[0].parts;
    assert_eq!(parts.len(), 2);
    assert!(matches!(&parts[0].kind, PartKind::Thinking(thinking) if thinking.text == "aa"));
    assert_eq!(parts[0].signature.as_ref().map(|seal| seal.text.as_str()), Some("s"));
    assert!(matches!(&parts[1].kind, PartKind::Thinking(thinking) if thinking.encrypted.is_some()));
}

#[test]
fn thought_and_speech_keep_their_order() {
    let deltas =
        [json!({"content": ""}), json!({"reasoning": "a"}), json!({"content": "b"}), json!({"reasoning": "c"})];
    let mut chunks: Vec<Value> = deltas.into_iter().map(chunk).collect();
    chunks.push(finish("stop"));
    let answer = fold(decode(&stream(&chunks))).unwrap();
    let kinds: Vec<&str> = answer.choices[0].parts.iter().map(|part| part.kind.name()).collect();
    assert_eq!(kinds, ["thinking", "text", "thinking"]);
}

/// As Snowflake writes every member there is.
#[test]
fn a_call_of_old_that_says_nothing_is_none() {
    let hollow = json!({"name": "", "arguments": ""});
    let call = json!({"id": "t", "type": "function", "custom": {"name": "", "input": ""},
        "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let message = json!({"role": "assistant", "content": "hi", "function_call": hollow, "tool_calls": [call]});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).to_string();
    let whole = decode_answer(body.as_bytes(), &UsageRules::default()).unwrap();
    let mut first = call.clone();
    first["index"] = 0.into();
    let chunks = [
        chunk(json!({"content": "hi", "function_call": hollow})),
        chunk(json!({"function_call": hollow, "tool_calls": [first]})),
        finish("tool_calls"),
    ];
    let streamed = fold(decode(&stream(&chunks))).unwrap();
    for answer in [&whole, &streamed] {
        let calls: Vec<_> = answer.choices[0]
            .parts
            .iter()
            .filter_map(|part| match &part.kind {
                PartKind::ToolCall(call) => Some((call.name.as_str(), call.arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(calls, [("f", "{\"a\":1}")], "{answer:?}");
    }
    let again = crate::openai_chat::encode_answer(&whole, &mut reply());
    let again: Value = serde_json::from_str(&again.body).unwrap();
    assert_eq!(again["choices"][0]["message"], message);
}

#[test]
fn a_call_of_old_may_begin_with_nothing() {
    let chunks = [
        chunk(json!({"function_call": {"name": "", "arguments": ""}})),
        chunk(json!({"function_call": {"name": "f", "arguments": ""}})),
        chunk(json!({"function_call": {"arguments": ""}})),
        chunk(json!({"function_call": {"arguments": "{}"}})),
        finish("function_call"),
    ];
    let answer = fold(decode(&stream(&chunks))).unwrap();
    let [part] = answer.choices[0].parts.as_slice() else { panic!("{answer:?}") };
    let PartKind::ToolCall(call) = &part.kind else { panic!("{part:?}") };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("f", "{}"));
}
