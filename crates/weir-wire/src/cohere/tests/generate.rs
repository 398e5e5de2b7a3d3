//! Requests and answers of this dialect, by chance, and the stream of an answer.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Text with what needs escaping, never empty.
pub(super) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z \"\\\\\n\u{1}🦀é/<]{1,12}"
}

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::from).boxed()
}

fn pick(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

/// An object of these members, each there or not.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    let values: Vec<_> = values.into_iter().map(option::of).collect();
    values
        .prop_map(move |values| {
            let there = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
            Value::Object(there.collect())
        })
        .boxed()
}

/// Members put together; the later ones win.
fn merged(first: BoxedStrategy<Value>, second: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    (first, second)
        .prop_map(|(mut first, second)| {
            if let (Value::Object(first), Value::Object(second)) = (&mut first, second) {
                first.extend(second);
            }
            first
        })
        .boxed()
}

/// Members nobody knows, nulls among them.
fn unknown() -> BoxedStrategy<Value> {
    let value =
        prop_oneof![Just(Value::Null), text(), Just(json!({"x": [1, null, {"y": "z"}]})), Just(json!([]))].boxed();
    proptest::collection::btree_map("x_[a-z]{1,4}", value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        .boxed()
}

fn list(of: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Value> {
    vec(of, 0..=most).prop_map(Value::Array).boxed()
}

fn typed(kind: &'static str, member: &'static str, value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    merged(value.prop_map(move |value| json!({"type": kind, member: value})).boxed(), unknown())
}

fn image() -> BoxedStrategy<Value> {
    let url = pick(vec![
        json!({"url": "https://x.test/a.png", "detail": "low"}),
        json!({"url": "data:image/png;base64,AAAA"}),
    ]);
    typed("image_url", "image_url", url)
}

fn document() -> BoxedStrategy<Value> {
    let data = prop_oneof![
        merged(object(vec![("title", text()), ("context", text()), ("text", text())]), unknown()),
        text(),
        Just(json!({"text": 7})),
    ];
    let data = data.prop_map(|data| json!({"data": data})).boxed();
    let whole = merged(merged(data, object(vec![("id", text())])), unknown());
    prop_oneof![whole, text()].boxed()
}

fn tool_document() -> BoxedStrategy<Value> {
    let inner = document().prop_filter("an object", Value::is_object).boxed();
    prop_oneof![
        typed("document", "document", inner.clone()),
        inner.prop_map(|inner| json!({"type": "document", "document": inner}))
    ]
    .boxed()
}

fn content(part: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let empty = pick(vec![json!(""), Value::Null, json!([])]);
    let content = prop_oneof![text(), list(part, 3), empty];
    content.prop_map(|content| json!({"content": content})).boxed()
}

fn call() -> BoxedStrategy<Value> {
    let arguments = pick(vec![json!("{}"), json!("{\"a\":1}"), json!(""), json!("broken")]);
    let function = merged(
        merged("[a-z]{1,5}".prop_map(|name| json!({"name": name})).boxed(), object(vec![("arguments", arguments)])),
        unknown(),
    );
    let whole = function.prop_map(|function| json!({"type": "function", "function": function})).boxed();
    merged(merged(whole, object(vec![("id", "[a-z0-9_]{1,8}".prop_map(Value::from).boxed())])), unknown())
}

fn citation() -> BoxedStrategy<Value> {
    let source = pick(vec![
        json!({"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": "t", "text": "x"}}),
        json!({"type": "tool", "id": "f:0", "tool_output": {"url": "https://x.test"}}),
        json!({"type": "tool", "id": "f:1"}),
    ]);
    let kind = pick(vec![json!("TEXT_CONTENT"), json!("PLAN"), json!("TEXT_CONTENT")]);
    object(vec![
        ("start", (0..9u64).prop_map(Value::from).boxed()),
        ("end", (9..20u64).prop_map(Value::from).boxed()),
        ("text", text()),
        ("sources", list(source, 3)),
        ("type", kind),
        ("content_index", (0..3u64).prop_map(Value::from).boxed()),
    ])
}

fn assistant() -> BoxedStrategy<Value> {
    let part = prop_oneof![typed("text", "text", text()), typed("thinking", "thinking", text())].boxed();
    let rest = object(vec![("tool_plan", text()), ("tool_calls", list(call(), 3)), ("citations", list(citation(), 4))]);
    merged(option::weighted(0.8, content(part)).prop_map(|content| content.unwrap_or(json!({}))).boxed(), rest)
}

fn message() -> BoxedStrategy<Value> {
    let role = |role: &'static str, rest: BoxedStrategy<Value>| {
        merged(Just(json!({"role": role})).boxed(), merged(rest, unknown()))
    };
    let texts = typed("text", "text", text());
    let shown = prop_oneof![texts.clone(), image()].boxed();
    let result = content(prop_oneof![texts.clone(), tool_document()].boxed());
    let id = "[a-z]{1,5}".prop_map(|id| json!({"tool_call_id": id})).boxed();
    prop_oneof![
        role("system", content(texts)),
        role("user", content(shown)),
        role("assistant", assistant()),
        role("tool", merged(result, id)),
    ]
    .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    let parameters = Just(json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 0.10}}})).boxed();
    let function = merged(
        "[a-z]{1,5}".prop_map(|name| json!({"name": name})).boxed(),
        merged(object(vec![("description", text()), ("parameters", parameters)]), unknown()),
    );
    let known =
        merged(function.prop_map(|function| json!({"type": "function", "function": function})).boxed(), unknown());
    prop_oneof![4 => known, 1 => Just(json!({"type": "search", "x": 1}))].boxed()
}

fn format() -> BoxedStrategy<Value> {
    pick(vec![
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_object", "json_schema": {"type": "object"}}),
        json!({"type": "json_object", "schema": {"type": "object"}}),
        json!({"type": "json_object", "schema": {}, "json_schema": {}}),
        json!({"type": "xml", "x": 1}),
    ])
}

/// A request.
pub(super) fn request() -> BoxedStrategy<Value> {
    let number = || pick(vec![json!(1), json!(0.5), json!(0.70)]);
    let flag = || pick(vec![json!(true), json!(false)]);
    let thinking = pick(vec![
        json!({"type": "enabled"}),
        json!({"type": "enabled", "token_budget": 100}),
        json!({"type": "disabled", "x": 1}),
    ]);
    let params = object(vec![
        ("max_tokens", number()),
        ("temperature", number()),
        ("p", number()),
        ("k", number()),
        ("frequency_penalty", number()),
        ("presence_penalty", number()),
        ("seed", number()),
        ("stop_sequences", list(text(), 3)),
        ("logprobs", flag()),
        ("stream", flag()),
        ("thinking", thinking),
        ("response_format", format()),
        ("tool_choice", pick(vec![json!("REQUIRED"), json!("NONE"), json!("LATER")])),
        ("tools", list(tool(), 3)),
        ("strict_tools", flag()),
        ("documents", list(document(), 3)),
        ("safety_mode", pick(vec![json!("CONTEXTUAL"), json!("OFF")])),
        ("citation_options", Just(json!({"mode": "FAST"})).boxed()),
        ("priority", number()),
    ]);
    let messages = list(message(), 4).prop_map(|messages| json!({"model": "m", "messages": messages})).boxed();
    merged(merged(messages, params), unknown())
}

/// An answer.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let usage = pick(vec![
        json!({"billed_units": {"input_tokens": 3, "output_tokens": 4}, "tokens": {"input_tokens": 50}, "cached_tokens": 7}),
        json!({"tokens": {"input_tokens": 5.0, "output_tokens": 6}, "cached_tokens": 2}),
        json!({}),
    ]);
    let piece = pick(vec![
        json!({"text": "a", "token_ids": [1], "logprobs": [-0.50]}),
        json!({"token_ids": [1, 2], "logprobs": [-0.5, -0.25]}),
    ]);
    let message = merged(assistant(), merged(Just(json!({"role": "assistant"})).boxed(), unknown()));
    let whole = message.prop_map(|message| json!({"id": "a", "message": message})).boxed();
    let finish = select(vec!["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR_LIMIT", "OTHER"]);
    let rest = object(vec![
        ("finish_reason", finish.prop_map(Value::from).boxed()),
        ("usage", usage),
        ("logprobs", list(piece, 2)),
    ]);
    merged(merged(whole, rest), unknown())
}

/// An answer whose members can all be said in a stream.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    answer()
        .prop_map(|mut answer| {
            let message = answer["message"].as_object_mut().unwrap();
            message.retain(|_, value| *value != json!("") && *value != json!([]) && !value.is_null());
            if message.get("content").is_some_and(Value::is_string) {
                let text = message["content"].take();
                message["content"] = json!([{"type": "text", "text": text}]);
            }
            for part in message.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
                part.as_object_mut().unwrap().retain(|name, _| !name.starts_with("x_"));
            }
            let has_text = message.get("content").is_some();
            answer
                .as_object_mut()
                .unwrap()
                .retain(|name, value| *value != json!([]) && !value.is_null() && (has_text || name != "logprobs"));
            answer
        })
        .boxed()
}

/// The events a provider would send for an answer, texts in pieces of `step` characters.
pub(super) fn stream_of(answer: &Value, step: usize) -> Vec<Value> {
    let message = &answer["message"];
    let mut begun = message.as_object().unwrap().clone();
    begun.insert("content".into(), json!([]));
    begun.insert("tool_plan".into(), json!(""));
    begun.insert("tool_calls".into(), json!([]));
    begun.insert("citations".into(), json!([]));
    let mut start = answer.as_object().unwrap().clone();
    start.retain(|name, _| !matches!(name.as_str(), "message" | "usage" | "finish_reason" | "logprobs"));
    start.insert("type".into(), "message-start".into());
    start.insert("delta".into(), json!({"message": begun}));
    let mut events = vec![Value::Object(start)];
    let mut logprobs = answer["logprobs"].as_array().cloned().unwrap_or_default().into_iter();
    for (index, part) in list_of(&message["content"]).enumerate() {
        let kind = part["type"].as_str().unwrap();
        events.push(json!({"type": "content-start", "index": index,
            "delta": {"message": {"content": {"type": kind, kind: ""}}}}));
        for piece in pieces(part[kind].as_str().unwrap(), step) {
            events.push(
                json!({"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: piece}}}}),
            );
            if let Some(logprob) = logprobs.next() {
                events.last_mut().unwrap()["logprobs"] = logprob;
            }
        }
        events.push(json!({"type": "content-end", "index": index}));
    }
    for logprob in logprobs {
        events.push(json!({"type": "content-delta", "index": 0, "logprobs": logprob}));
    }
    for (index, citation) in list_of(&message["citations"]).enumerate() {
        events.push(json!({"type": "citation-start", "index": index, "delta": {"message": {"citations": citation}}}));
        events.push(json!({"type": "citation-end", "index": index}));
    }
    for piece in pieces(message["tool_plan"].as_str().unwrap_or_default(), step) {
        events.push(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}));
    }
    for (index, call) in list_of(&message["tool_calls"]).enumerate() {
        let mut begun = call.clone();
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        if call["function"]["arguments"].is_string() {
            begun["function"]["arguments"] = "".into();
        }
        events.push(json!({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": begun}}}));
        for piece in pieces(arguments, step) {
            let delta = json!({"message": {"tool_calls": {"function": {"arguments": piece}}}});
            events.push(json!({"type": "tool-call-delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "tool-call-end", "index": index}));
    }
    let mut end = json!({});
    for name in ["finish_reason", "usage"] {
        if let Some(value) = answer.get(name) {
            end[name] = value.clone();
        }
    }
    events.push(json!({"type": "message-end", "delta": end}));
    events
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pieces(text: &str, step: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(step.max(1)).map(|piece| piece.iter().collect()).collect()
}
