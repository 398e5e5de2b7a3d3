//! What this dialect makes of other dialects' words, and they of its.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::generate::word;
use super::laws::{reply, tree};
use super::streams::{check_grammar, decode, encode, events_of, fold};
use crate::hub::{
    Answer, Capabilities, Choice, Citation, Delta, Dialect, Event, Head, Part, PartKind, Place, ReasoningReplay,
    Request, Role, Seal, Spent, Stop, StopReason, Target, Text, Thinking, ToolCall, Turn, unfold,
};
use crate::openai_chat;
use crate::openai_responses::{decode_answer, decode_request, encode_answer, encode_request};
use crate::rules::UsageRules;
use crate::usage::Usage;

fn target(capabilities: &Capabilities, caller: Dialect) -> Target<'_> {
    Target { model: "m", capabilities, caller }
}

/// A chat request of what both dialects can say, in the spelling in which it comes back.
fn chat_request() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        word().prop_map(|text| json!({"type": "text", "text": text})),
        Just(json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}})),
        Just(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
        Just(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}})),
    ];
    let content = prop_oneof![word().prop_map(Value::from), vec(part, 2..4).prop_map(Value::from)];
    let call = (0..99u8, word(), any::<bool>()).prop_map(|(id, arguments, custom)| match custom {
        false => {
            json!({"id": format!("call_{id}"), "type": "function", "function": {"name": "f", "arguments": arguments}})
        }
        true => json!({"id": format!("call_{id}"), "type": "custom", "custom": {"name": "sh", "input": arguments}}),
    });
    let round = (content, option::of(word()), proptest::collection::btree_map(0..99u8, call, 0..3), word()).prop_map(
        |(asked, said, calls, result)| {
            let mut round = vec![json!({"role": "user", "content": asked})];
            let calls: Vec<Value> = calls
                .into_iter()
                .map(|(id, mut call)| {
                    call["id"] = format!("call_{id}").into();
                    call
                })
                .collect();
            let mut assistant = json!({"role": "assistant"});
            if said.is_some() || calls.is_empty() {
                assistant["content"] = said.unwrap_or_else(|| "ok".to_owned()).into();
            }
            if !calls.is_empty() {
                assistant["tool_calls"] = calls.clone().into();
            }
            round.push(assistant);
            round.extend(
                calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": result})),
            );
            round
        },
    );
    let params = (select(vec!["low", "high", "none"]), any::<[bool; 3]>(), select(vec![json!("auto"), json!("none"), json!("required"),
        json!({"type": "function", "function": {"name": "f"}}), json!({"type": "custom", "custom": {"name": "sh"}}),
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}})]))
        .prop_map(|(effort, [parallel, store, stream], choice)| {
            json!({"model": "m", "max_completion_tokens": 16, "temperature": 0.50, "top_p": 1, "reasoning_effort": effort,
                "verbosity": "low", "service_tier": "flex", "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s",
                "prompt_cache_key": "k", "store": store, "stream": stream, "parallel_tool_calls": parallel,
                "logprobs": true, "top_logprobs": 2, "tool_choice": choice,
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
                "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false}},
                    {"type": "custom", "custom": {"name": "sh", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}]})
        });
    (option::of(word()), vec(round, 1..4), params).prop_map(|(system, rounds, mut request)| {
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let late = json!({"role": "developer", "content": "and brief"});
        let messages: Vec<Value> = system.into_iter().chain(rounds.into_iter().flatten()).chain([late]).collect();
        request["messages"] = messages.into();
        request
    })
}

/// What the model says, as any dialect's decoder might tell it.
fn said() -> impl Strategy<Value = Answer> {
    let thinking = (word(), any::<bool>(), option::of(word())).prop_map(|(text, summary, seal)| {
        let origin = Some(Dialect::Anthropic);
        let signature = seal.map(|text| Seal { text, origin });
        Part { signature, ..Part::new(PartKind::Thinking(Thinking { text, summary, origin, ..Thinking::default() })) }
    });
    let text = (word(), any::<bool>()).prop_map(|(text, cited)| {
        let citation = Citation { url: Some("https://x.test".into()), title: Some("t".into()), ..Citation::default() };
        Part::new(PartKind::Text(Text { text, citations: cited.then_some(citation).into_iter().collect() }))
    });
    let call = ("[a-z]{1,5}", option::of(word()), word()).prop_map(|(name, id, arguments)| {
        Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, ..ToolCall::default() }))
    });
    let part = prop_oneof![3 => text, 2 => thinking, 2 => call, 1 => word().prop_map(|text| Part::new(PartKind::Refusal(text))), 1 => Just(Part::text(""))];
    let stop = select(vec![
        StopReason::End,
        StopReason::ToolUse,
        StopReason::Length,
        StopReason::Filter,
        StopReason::Sequence,
    ]);
    (vec(part, 0..6), stop).prop_map(|(parts, reason)| Answer {
        head: Head { id: Some("x".into()), model: Some("claude".into()), created: Some(9), ..Head::default() },
        choices: vec![Choice { parts, stop: Some(Stop::new(reason)), ..Choice::default() }],
        usage: Some(Spent {
            tokens: Usage { input: 5, cached: 2, output: 7, reasoning: 3, ..Usage::default() },
            ..Spent::default()
        }),
    })
}

/// What was said, in words.
fn words(parts: &[Part]) -> Vec<String> {
    let words = parts.iter().filter(|part| !part.is_blank()).map(|part| match &part.kind {
        PartKind::Text(text) => {
            format!("text {} {:?}", text.text, text.citations.iter().map(|citation| &citation.url).collect::<Vec<_>>())
        }
        PartKind::Refusal(text) => format!("refusal {text}"),
        PartKind::Thinking(thinking) => format!("thought {}", thinking.text),
        PartKind::ToolCall(call) => {
            format!("call {} {} {}", call.name, call.arguments, call.id.as_deref().unwrap_or(""))
        }
        other => other.name().to_owned(),
    });
    words.collect()
}

/// The response without the ids that were made up.
fn anonymous(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().unwrap() {
        item.as_object_mut().unwrap().remove("id");
        item.as_object_mut().unwrap().remove("call_id");
    }
    response
}

/// Tells each part's additions in turn, so that they come interleaved.
fn interleave(events: Vec<Event>) -> Vec<Event> {
    let (mut starts, mut deltas, mut ends, mut after, mut before) = (vec![], vec![], vec![], vec![], vec![]);
    for event in events {
        match event {
            Event::PartStart { .. } => starts.push(event),
            Event::Delta { .. } => deltas.push(event),
            Event::PartEnd { .. } => ends.push(event),
            Event::Start(_) | Event::Choice { .. } => before.push(event),
            _ => after.push(event),
        }
    }
    deltas.reverse();
    before.into_iter().chain(starts).chain(deltas).chain(ends).chain(after).collect()
}

proptest! {
    #[test]
    fn a_chat_request_goes_through_this_dialect_and_back(sent in chat_request()) {
        let capabilities = Capabilities::default();
        let request = openai_chat::decode_request(sent.to_string().as_bytes()).unwrap();
        let there = encode_request(&request, &target(&capabilities, Dialect::OpenAiChat)).unwrap();
        prop_assert_eq!(there.losses, vec![]);
        let request = decode_request(there.body.as_bytes()).unwrap();
        let back = openai_chat::encode_request(&request, &target(&capabilities, Dialect::OpenAiResponses)).unwrap();
        prop_assert_eq!(back.losses, vec![]);
        prop_assert_eq!(tree(&back.body), sent);
    }

    /// Whole or streamed, in order or interleaved, the answer says the same, in this dialect's
    /// grammar.
    #[test]
    fn another_dialect_s_answer_says_the_same(answer in said()) {
        let source = Dialect::Anthropic;
        let whole = encode_answer(&answer, &mut reply(source));
        prop_assert_eq!(whole.losses, vec![]);
        let read = decode_answer(whole.body.as_bytes(), &UsageRules::default()).unwrap();
        let mut expected = answer.clone();
        for (part, read) in expected.choices[0].parts.iter_mut().filter(|part| !part.is_blank()).zip(&read.choices[0].parts) {
            if let (PartKind::ToolCall(call), PartKind::ToolCall(read)) = (&mut part.kind, &read.kind) {
                call.id = call.id.take().or(read.id.clone());
            }
        }
        prop_assert_eq!(words(&read.choices[0].parts), words(&expected.choices[0].parts));
        prop_assert_eq!(read.usage.unwrap().tokens, answer.usage.as_ref().unwrap().tokens);
        for events in [unfold(answer.clone()), interleave(unfold(answer))] {
            // Several additions to one part stay in their order: here there is one to a part.
            let several = events.iter().any(|event| matches!(event, Event::Delta { delta: Delta::Citation(_) | Delta::Signature(_), .. }));
            let stream = encode(&events, source);
            check_grammar(&stream);
            let last = events_of(&stream).pop().unwrap();
            if !several {
                prop_assert_eq!(anonymous(last["response"].clone()), anonymous(tree(&whole.body)));
            }
            prop_assert!(fold(decode(&stream)).is_ok());
        }
    }
}

#[test]
fn another_maker_s_seal_goes_to_the_caller_and_comes_back() {
    let seal = |text: &str| Some(Seal { text: text.into(), origin: Some(Dialect::Anthropic) });
    let thinking = Thinking { text: "hm".into(), origin: Some(Dialect::Anthropic), ..Thinking::default() };
    let redacted =
        Thinking { encrypted: seal("r"), redacted: true, origin: Some(Dialect::Anthropic), ..Thinking::default() };
    let parts = vec![
        Part { signature: seal("s"), ..Part::new(PartKind::Thinking(thinking)) },
        Part::new(PartKind::Thinking(redacted)),
        Part::text("yes"),
    ];
    let answer = Answer { choices: vec![Choice { parts: parts.clone(), ..Choice::default() }], ..Answer::default() };
    let body = tree(&encode_answer(&answer, &mut reply(Dialect::Anthropic)).body);
    let second = json!({"model": "m", "input": body["output"]});
    let request = decode_request(second.to_string().as_bytes()).unwrap();
    let said = &request.turns[0].parts;
    let without_ids = said[..2].iter().map(|part| match &part.kind {
        PartKind::Thinking(thinking) => (Thinking { id: None, ..thinking.clone() }, part.signature.clone()),
        other => panic!("{other:?}"),
    });
    let sent = parts[..2].iter().map(|part| match &part.kind {
        PartKind::Thinking(thinking) => (thinking.clone(), part.signature.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(without_ids.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
    // A provider of this dialect is not told: it is not its seal.
    let capabilities = Capabilities::default();
    let encoded = encode_request(&request, &target(&capabilities, Dialect::OpenAiResponses)).unwrap();
    assert_eq!(tree(&encoded.body)["input"].as_array().unwrap().len(), 1);
    let told: Vec<String> = encoded.losses.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "input[0].summary[0] dropped: thinking: its seal is for its maker");
}

fn google(text: &str) -> Option<Seal> {
    Some(Seal { text: text.into(), origin: Some(Dialect::Gemini) })
}

fn sealed_call(id: &str, signature: Option<Seal>) -> Part {
    let call = ToolCall { id: Some(id.into()), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    Part { signature, ..Part::new(PartKind::ToolCall(call)) }
}

/// What is left of items when a typed client has read and written them.
fn typed(items: &Value) -> Value {
    let mut items = items.clone();
    for item in items.as_array_mut().unwrap() {
        item.as_object_mut().unwrap().remove("extra_content");
    }
    items
}

#[test]
fn google_s_seal_of_a_call_stands_before_it_and_comes_back() {
    let thinking = Thinking { text: "hm".into(), origin: Some(Dialect::Gemini), ..Thinking::default() };
    let thought = || Part::new(PartKind::Thinking(thinking.clone()));
    let signed = Part { signature: google("t"), ..thought() };
    let (first, second) = (sealed_call("1", google("g.1=")), sealed_call("2", None));
    let cases = [
        (vec![first.clone(), second.clone()], vec!["reasoning", "function_call", "function_call"]),
        (vec![thought(), first.clone()], vec!["reasoning", "function_call"]),
        (vec![signed, first.clone()], vec!["reasoning", "reasoning", "function_call"]),
        (vec![thought(), Part::text("so"), first], vec!["reasoning", "message", "reasoning", "function_call"]),
        (vec![thought(), second], vec!["reasoning", "function_call"]),
    ];
    for (parts, types) in cases {
        for source in [Dialect::Gemini, Dialect::OpenAiChat] {
            let answer =
                Answer { choices: vec![Choice { parts: parts.clone(), ..Choice::default() }], ..Answer::default() };
            let whole = tree(&encode_answer(&answer, &mut reply(source)).body);
            let stream = encode(&unfold(answer), source);
            check_grammar(&stream);
            let last = events_of(&stream).pop().unwrap();
            assert_eq!(anonymous(last["response"].clone())["output"], anonymous(whole.clone())["output"]);
            let items = whole["output"].as_array().unwrap().iter();
            assert_eq!(items.map(|item| item["type"].as_str().unwrap()).collect::<Vec<_>>(), types);
            for items in [whole["output"].clone(), typed(&whole["output"])] {
                let request = decode_request(json!({"input": items}).to_string().as_bytes()).unwrap();
                let seals = |parts: &[Part]| -> Vec<_> {
                    parts.iter().map(|part| (part.kind.name(), part.signature.clone())).collect()
                };
                assert_eq!(seals(&request.turns[0].parts), seals(&parts));
            }
        }
    }
}

#[test]
fn a_seal_from_before_a_call_is_not_for_this_dialect_s_providers() {
    let parts = vec![sealed_call("1", google("g"))];
    let answer = Answer { choices: vec![Choice { parts, ..Choice::default() }], ..Answer::default() };
    let whole = tree(&encode_answer(&answer, &mut reply(Dialect::Gemini)).body);
    let request = decode_request(json!({"input": typed(&whole["output"])}).to_string().as_bytes()).unwrap();
    let capabilities = Capabilities::default();
    let encoded = encode_request(&request, &target(&capabilities, Dialect::OpenAiResponses)).unwrap();
    let items = tree(&encoded.body)["input"].clone();
    assert_eq!((items.as_array().unwrap().len(), &items[0]["extra_content"]), (1, &Value::Null));
    assert_eq!(encoded.losses.len(), 1);
    // The user's words stand between: the call behind them is another's.
    let call = json!({"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"});
    let user = json!({"role": "user", "content": "x"});
    let body = json!({"input": [whole["output"][0], user, call]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.turns[1].parts[0].signature, None);
}

#[test]
fn thoughts_go_to_providers_who_take_them() {
    let thought = Part::new(PartKind::Thinking(Thinking { text: "hm".into(), ..Thinking::default() }));
    let turns = vec![Turn::new(Role::Assistant, vec![thought, Part::text("yes")])];
    let request = Request { turns, ..Request::default() };
    let input = |capabilities: &Capabilities| {
        let encoded = encode_request(&request, &target(capabilities, Dialect::OpenAiChat)).unwrap();
        (tree(&encoded.body)["input"].clone(), encoded.losses.len())
    };
    let said = json!({"type": "message", "role": "assistant", "content": "yes"});
    assert_eq!(input(&Capabilities::default()), (json!([said]), 1));
    let capabilities = Capabilities { reasoning_replay: ReasoningReplay::ReasoningContent, ..Capabilities::default() };
    let thought = json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]});
    assert_eq!(input(&capabilities), (json!([thought, said]), 0));
}

#[test]
fn what_this_dialect_has_not_is_told() {
    let body = json!({"model": "m", "seed": 1, "stop": ["x"], "n": 2, "logit_bias": {"1": 2}, "frequency_penalty": 1,
        "messages": [{"role": "user", "name": "ann", "content": "a"}]});
    let request = openai_chat::decode_request(body.to_string().as_bytes()).unwrap();
    let capabilities = Capabilities::default();
    let encoded = encode_request(&request, &target(&capabilities, Dialect::OpenAiChat)).unwrap();
    let lost: Vec<&str> = encoded.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(lost, ["messages[0].name", "frequency_penalty", "seed", "n", "stop", "logit_bias"]);
}

#[test]
fn an_explained_refusal_is_a_refusal() {
    let stop = Stop { detail: Some("too dangerous".into()), ..Stop::new(StopReason::Refusal) };
    let answer = Answer { choices: vec![Choice { stop: Some(stop), ..Choice::default() }], ..Answer::default() };
    let whole = tree(&encode_answer(&answer, &mut reply(Dialect::Anthropic)).body);
    assert_eq!(whole["output"][0]["content"], json!([{"type": "refusal", "refusal": "too dangerous"}]));
    assert_eq!(whole["incomplete_details"]["reason"], "content_filter");
    let stream = encode(&unfold(answer), Dialect::Anthropic);
    check_grammar(&stream);
    let last = events_of(&stream).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["output"][0]["content"], whole["output"][0]["content"]);
}

#[test]
fn other_choices_and_parts_are_losses() {
    let opaque = crate::hub::Opaque {
        name: "server_tool_use".into(),
        native: crate::hub::Native { dialect: Dialect::Anthropic, json: crate::hub::Json::string("x") },
    };
    let part = Part { at: Place::root().member("content").index(0), ..Part::new(PartKind::Opaque(opaque)) };
    let choices = vec![Choice { parts: vec![part], ..Choice::default() }, Choice { index: 1, ..Choice::default() }];
    let encoded = encode_answer(&Answer { choices, ..Answer::default() }, &mut reply(Dialect::Anthropic));
    let lost: Vec<&str> = encoded.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(lost, ["choices", "content[0]"]);
}

#[test]
fn a_paused_turn_is_not_complete() {
    let choice = Choice { parts: vec![Part::text("a")], stop: Some(Stop::new(StopReason::Pause)), ..Choice::default() };
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let mut reply =
        crate::hub::Reply { source: Dialect::Anthropic, now: 1, model: "m".into(), ids: crate::hub::Ids::new(1) };
    let encoded = encode_answer(&answer, &mut reply);
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!(
        (&body["status"], &body["incomplete_details"]["reason"]),
        (&"incomplete".into(), &"max_output_tokens".into())
    );
    let told: Vec<_> = encoded.losses.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["status approximated: the reason Pause became incomplete"]);
}
