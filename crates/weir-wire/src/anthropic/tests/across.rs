//! From OpenAI's dialect into this one and back: what both can say is the same.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::laws::rules;
use super::streams::fold;
use crate::anthropic::{self, StreamDecoder, StreamEncoder};
use crate::hub::{
    Answer, Capabilities, Dialect, Event, Ids, Part, PartKind, Reply, Request, Source, Spent, Target, unfold,
};
use crate::openai_chat;
use crate::rules::UsageRules;
use crate::sse::{Frame, SseFramer};

const CHAT: Dialect = Dialect::OpenAiChat;
const OWN: Dialect = Dialect::Anthropic;

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z\"\\\\é🦀]{1,9}"
}

/// What a user says.
fn user() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        3 => word().prop_map(|text| json!({"type": "text", "text": text})),
        1 => Just(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
        1 => Just(json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})),
        1 => Just(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}})),
    ];
    let content = prop_oneof![word().prop_map(Value::from), vec(part, 1..4).prop_map(Value::from)];
    content.prop_map(|content| json!({"role": "user", "content": content}))
}

/// A model's turn with calls, and the tools' answers.
fn tools(at: usize) -> impl Strategy<Value = Vec<Value>> {
    let call = ("[a-z]{1,5}", select(vec!["{}", "{\"a\": 1.50}", "{\"b\":[null,{\"c\":\"d\"}]}"]), word());
    (proptest::option::of(word()), vec(call, 1..4)).prop_map(move |(text, calls)| {
        let id = |index: usize| format!("call_{at}_{index}");
        let made: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments, _))| {
                json!({"id": id(index), "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let mut messages = vec![json!({"role": "assistant", "tool_calls": made})];
        if let Some(text) = text {
            messages[0]["content"] = text.into();
        }
        let results = calls.iter().enumerate();
        messages.extend(
            results
                .map(|(index, (_, _, result))| json!({"role": "tool", "tool_call_id": id(index), "content": result})),
        );
        messages
    })
}

fn exchange(at: usize) -> BoxedStrategy<Vec<Value>> {
    let said = word().prop_map(|text| vec![json!({"role": "assistant", "content": text})]);
    let reply = prop_oneof![said, tools(at)];
    (user(), reply).prop_map(|(user, reply)| std::iter::once(user).chain(reply).collect()).boxed()
}

fn params() -> impl Strategy<Value = Value> {
    let choice = select(vec![
        json!({}),
        json!({"tool_choice": "auto"}),
        json!({"tool_choice": "none"}),
        json!({"tool_choice": "required", "parallel_tool_calls": false}),
        json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}}});
    let how = select(vec![
        json!({}),
        json!({"temperature": 0.70, "top_p": 0.9, "stop": ["a", "b"]}),
        json!({"reasoning_effort": "high", "user": "u"}),
        json!({"service_tier": "auto", "stream": true, "response_format": format}),
    ]);
    (choice, how).prop_map(|(mut choice, how)| {
        choice.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        choice
    })
}

fn request() -> impl Strategy<Value = Value> {
    let system = vec(word().prop_map(|text| json!({"role": "system", "content": text})), 0..2);
    (system, exchange(0), exchange(1), user(), params()).prop_map(|(system, first, second, last, params)| {
        let messages: Vec<Value> = system.into_iter().chain(first).chain(second).chain([last]).collect();
        let schema = json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}});
        let tool = json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": true}});
        let mut body = json!({"model": "m", "messages": messages, "max_completion_tokens": 99, "tools": [tool]});
        body.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        body
    })
}

/// What is said, a line for each part.
fn says(request: &Request) -> Vec<String> {
    let leading = request.split_instructions().0.iter().flat_map(|turn| &turn.parts);
    let leading = leading.map(|part| format!("system {}", describe(part)));
    let rounds = request.rounds();
    let said =
        rounds.iter().flat_map(|round| round.parts.iter().map(|part| format!("{:?} {}", round.role, describe(part))));
    leading.chain(said).collect()
}

fn describe(part: &Part) -> String {
    match &part.kind {
        PartKind::Text(text) => text.text.clone(),
        PartKind::ToolCall(call) => format!("{:?} {} {}", call.id, call.name, call.arguments),
        PartKind::ToolResult(result) => {
            format!("{:?} {:?}", result.call_id, result.parts.iter().map(describe).collect::<Vec<_>>())
        }
        PartKind::Image(media) => format!("{:?} {:?}", media.source, media.mime),
        PartKind::Document(document) => match &document.media.source {
            Source::Base64(data) => format!("{data} {:?} {:?}", document.media.mime, document.title),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// The parameters and tools that both can say.
fn asks(request: &Request) -> String {
    let params = &request.params;
    let tools: Vec<_> = request.tools.iter().map(|tool| &tool.kind).collect();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {tools:?}",
        params.max_output,
        params.temperature,
        params.top_p,
        params.stop,
        params.reasoning.effort,
        params.tier,
        params.user,
        params.stream,
        params.format,
        request.tool_choice,
        request.parallel_tools,
    )
}

fn target(caller: Dialect, capabilities: &Capabilities) -> Target<'_> {
    Target { model: "m", capabilities, caller }
}

/// What the answer says, and why it ended.
fn answers(answer: &Answer) -> String {
    let parts = &answer.choices[0].parts;
    let texts: String = parts.iter().filter_map(Part::as_text).collect();
    let calls: Vec<String> =
        parts.iter().filter(|part| matches!(part.kind, PartKind::ToolCall(_))).map(describe).collect();
    let thoughts = parts.iter().filter_map(|part| match &part.kind {
        PartKind::Thinking(thinking) => Some(&thinking.text),
        _ => None,
    });
    let thoughts: Vec<_> = thoughts.collect();
    let reason = answer.choices[0].stop.as_ref().map(|stop| stop.reason);
    format!("{texts} {calls:?} {thoughts:?} {reason:?} {:?}", answer.usage.as_ref().map(|spent| spent.tokens))
}

fn answer() -> impl Strategy<Value = Value> {
    let call = ("[a-z]{1,5}", select(vec!["{}", "{\"a\": 1.50}"]));
    let thought = select(vec![json!({"reasoning_content": "hm"}), json!({})]);
    (thought, word(), vec(call, 0..3), 20..99u64).prop_map(|(mut message, text, calls, input)| {
        let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
        let calls: Vec<Value> = calls.iter().enumerate().map(|(index, (name, arguments))| {
            json!({"id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}})
        }).collect();
        message["role"] = "assistant".into();
        message["content"] = text.into();
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": input, "completion_tokens": 9, "total_tokens": input + 9,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2}}})
    })
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 7, model: "m".into(), ids: Ids::new(3) }
}

fn decode(stream: &str) -> Vec<Event> {
    let mut framer = SseFramer::new(1 << 20);
    let mut decoder = StreamDecoder::new(Arc::new(rules()));
    let mut events = Vec::new();
    framer.push(Bytes::copy_from_slice(stream.as_bytes()));
    while let Some(frame) = framer.next() {
        let frame: Frame = frame.unwrap();
        decoder.push(&frame, &mut events);
    }
    decoder.end(&mut events);
    events
}

/// Begins all parts before any goes on, as servers of OpenAI's dialect may.
fn interleave(events: Vec<Event>) -> Vec<Event> {
    let rank = |event: &Event| match event {
        Event::Start(_) | Event::Choice { .. } => 0,
        Event::PartStart { .. } => 1,
        Event::Delta { .. } => 2,
        Event::PartEnd { .. } => 3,
        _ => 4,
    };
    let mut events = events;
    events.sort_by_key(rank);
    events
}

proptest! {
    #[test]
    fn a_request_of_openai_s_comes_back(body in request()) {
        let all = Capabilities::default();
        let mut first = openai_chat::decode_request(body.to_string().as_bytes()).unwrap();
        first.link_results(&mut Ids::new(1));
        let there = anthropic::encode_request(&first, &target(CHAT, &all)).unwrap();
        prop_assert_eq!(there.losses, vec![]);
        let second = anthropic::decode_request(there.body.as_bytes()).unwrap();
        prop_assert_eq!(says(&second), says(&first));
        let back = openai_chat::encode_request(&second, &target(OWN, &all)).unwrap();
        prop_assert_eq!(back.losses, vec![]);
        let third = openai_chat::decode_request(back.body.as_bytes()).unwrap();
        prop_assert_eq!(says(&third), says(&first));
        prop_assert_eq!(asks(&third), asks(&first));
    }

    #[test]
    fn an_answer_of_openai_s_comes_back(body in answer()) {
        let first = openai_chat::decode_answer(body.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let there = anthropic::encode_answer(&first, &mut reply(CHAT));
        prop_assert_eq!(there.losses, vec![]);
        let second = anthropic::decode_answer(there.body.as_bytes(), &rules()).unwrap();
        prop_assert_eq!(answers(&second), answers(&first));
        let back = openai_chat::encode_answer(&second, &mut reply(OWN));
        prop_assert_eq!(back.losses, vec![]);
        let third = openai_chat::decode_answer(back.body.as_bytes(), &UsageRules::default()).unwrap();
        prop_assert_eq!(answers(&third), answers(&first));
    }

    /// Streamed and whole say the same, however the parts were interleaved.
    #[test]
    fn a_stream_of_openai_s_says_what_its_answer_does(body in answer(), mixed in any::<bool>()) {
        let first = openai_chat::decode_answer(body.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let mut encoder = StreamEncoder::new(reply(CHAT));
        let mut out = String::new();
        let events = unfold(first.clone());
        let events = if mixed { interleave(events) } else { events };
        events.iter().for_each(|event| encoder.push(event, &mut out));
        prop_assert_eq!(encoder.into_losses(), vec![]);
        let folded = fold(decode(&out)).unwrap();
        let whole = anthropic::encode_answer(&first, &mut reply(CHAT));
        let whole = anthropic::decode_answer(whole.body.as_bytes(), &rules()).unwrap();
        prop_assert_eq!(answers(&folded), answers(&whole));
        let usage = folded.usage.map(|Spent { tokens, .. }| tokens);
        prop_assert_eq!(usage, first.usage.map(|Spent { tokens, .. }| tokens));
    }
}
