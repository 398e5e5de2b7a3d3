//! From OpenAI chat to this dialect and back: what both can say is the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::generate::word;
use crate::gemini::{decode_request, encode_request};
use crate::hub::{Capabilities, Dialect, Ids, Target};
use crate::openai_chat;

/// One turn of the conversation: what the user says, or the model with its calls and their results.
#[derive(Clone, Debug)]
enum Said {
    User(Vec<String>),
    Model(Option<String>, Vec<(String, String)>),
}

fn said() -> impl Strategy<Value = Said> {
    let call = (select(vec!["f", "g"]), select(vec!["{}", "{\"a\":1}", "{\"a\":{\"b\":[null]}}"]), word());
    let calls = vec(call, 0..3).prop_map(|calls| {
        let named = |(name, arguments, result): (&str, &str, String)| (format!("{name} {arguments}"), result);
        calls.into_iter().map(named).collect::<Vec<_>>()
    });
    prop_oneof![
        vec(word(), 1..3).prop_map(Said::User),
        (option::of(word()), calls).prop_map(|(text, calls)| Said::Model(text, calls))
    ]
}

fn messages(instructions: Vec<String>, turns: Vec<Said>) -> Vec<Value> {
    let mut messages: Vec<Value> =
        instructions.into_iter().map(|text| json!({"role": "system", "content": text})).collect();
    messages.push(json!({"role": "user", "content": "begin"}));
    for (number, turn) in turns.into_iter().enumerate() {
        match turn {
            Said::User(texts) => {
                let parts: Vec<Value> = texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect();
                messages.push(json!({"role": "user", "content": parts}));
            }
            Said::Model(None, calls) if calls.is_empty() => {}
            Said::Model(text, calls) => {
                let mut message = json!({"role": "assistant"});
                if let Some(text) = text {
                    message["content"] = text.into();
                }
                let (mut made, mut results) = (Vec::new(), Vec::new());
                for (index, (call, result)) in calls.into_iter().enumerate() {
                    let (name, arguments) = call.split_once(' ').unwrap();
                    let id = format!("call_{number}_{index}");
                    let function = json!({"name": name, "arguments": arguments});
                    made.push(json!({"id": id, "type": "function", "function": function}));
                    results.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
                }
                if !made.is_empty() {
                    message["tool_calls"] = made.into();
                }
                messages.push(message);
                messages.append(&mut results);
            }
        }
    }
    messages
}

fn params() -> impl Strategy<Value = Value> {
    let given: Vec<(&str, Value)> = vec![
        ("temperature", json!(0.5)),
        ("top_p", json!(0.25)),
        ("top_k", json!(3)),
        ("presence_penalty", json!(1)),
        ("frequency_penalty", json!(0.1)),
        ("max_completion_tokens", json!(99)),
        ("seed", json!(7)),
        ("n", json!(2)),
        ("stop", json!(["a", "b"])),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("reasoning_effort", json!("medium")),
        ("service_tier", json!("priority")),
        ("metadata", json!({"a": "b"})),
        ("modalities", json!(["text", "image"])),
        ("store", json!(true)),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}),
        ),
        (
            "tools",
            json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}}},
            {"type": "function", "function": {"name": "g"}}]),
        ),
        ("tool_choice", json!({"type": "function", "function": {"name": "f"}})),
    ];
    proptest::sample::subsequence(given, 0..19).prop_map(|given| {
        given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    })
}

/// Who says what, in order: texts of one side put together, calls and results by themselves.
fn told(messages: &Value) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    for message in messages.as_array().unwrap() {
        let role = message["role"].as_str().unwrap();
        let text = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        };
        if let Some(id) = message["tool_call_id"].as_str() {
            told.push((format!("result of {id}"), text));
            continue;
        }
        match told.last_mut().filter(|(last, _)| last == role) {
            Some((_, known)) => known.push_str(&text),
            None => told.push((role.to_owned(), text)),
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            told.push((format!("call {}", call["id"]), format!("{} {arguments}", call["function"]["name"])));
        }
    }
    told.retain(|(_, text)| !text.is_empty());
    told
}

proptest! {
    #[test]
    fn a_chat_request_survives_this_dialect(
        instructions in vec(word(), 0..3), turns in vec(said(), 0..5), mut tree in params(),
    ) {
        tree["model"] = "m".into();
        tree["messages"] = messages(instructions, turns).into();
        let capabilities = Capabilities::default();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
        let request = openai_chat::decode_request(tree.to_string().as_bytes()).unwrap();
        let there = encode_request(&request, &target).unwrap();
        prop_assert_eq!(there.losses, vec![]);
        let mut back = decode_request(there.body.as_bytes()).unwrap();
        back.link_results(&mut Ids::new(1));
        let target = Target { caller: Dialect::Gemini, ..target };
        let back = openai_chat::encode_request(&back, &target).unwrap();
        prop_assert_eq!(back.losses, vec![]);
        let mut back: Value = serde_json::from_str(&back.body).unwrap();
        prop_assert_eq!(told(&back["messages"]), told(&tree["messages"]));
        for body in [&mut back, &mut tree] {
            body.as_object_mut().unwrap().remove("messages");
        }
        prop_assert_eq!(back, tree);
    }
}
