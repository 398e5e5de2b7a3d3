//! Requests and answers of this dialect, by chance.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Text with what needs escaping, never empty.
pub(super) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z \"\\\\\n\u{1}🦀é/<]{1,12}"
}

fn text() -> impl Strategy<Value = Value> {
    word().prop_map(Value::from)
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_]{1,8}"
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
fn merged(
    first: impl Strategy<Value = Value> + 'static,
    second: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Value> {
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
    let value = prop_oneof![
        Just(Value::Null),
        text(),
        any::<i64>().prop_map(Value::from),
        Just(json!({"x": [1, null, {"y": "z"}]})),
        Just(json!([]))
    ];
    proptest::collection::btree_map("x_[a-z]{1,4}", value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        .boxed()
}

fn cache() -> BoxedStrategy<Value> {
    let breakpoint = select(vec![
        json!({}),
        json!({"prompt_cache_breakpoint": {"mode": "explicit"}}),
        json!({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}),
        json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    ]);
    breakpoint.boxed()
}

fn text_part() -> BoxedStrategy<Value> {
    merged(merged(word().prop_map(|text| json!({"type": "text", "text": text})), cache()), unknown())
}

fn user_part() -> BoxedStrategy<Value> {
    let detail = select(vec![json!({}), json!({"detail": "low"})]);
    let image = merged(
        select(vec![json!({"url": "https://x.test/a.png"}), json!({"url": "data:image/png;base64,AAAA"})]),
        merged(detail, unknown()),
    );
    let file = select(vec![
        json!({"file_id": "file-1"}),
        json!({"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}),
        json!({"file_data": "AAAA"}),
    ]);
    let part = prop_oneof![
        text_part(),
        image.prop_map(|image| json!({"type": "image_url", "image_url": image})),
        Just(json!({"type": "image_url", "image_url": "https://x.test/a.png"})),
        select(vec!["wav", "mp3"])
            .prop_map(|format| json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": format}})),
        file.prop_map(|file| json!({"type": "file", "file": file})),
        Just(json!({"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}})),
        Just(json!({"type": "document_url", "document_url": "https://x.test/a.pdf"})),
        Just(json!({"type": "of_tomorrow", "of_tomorrow": {"a": 1}})),
    ];
    merged(part, cache())
}

fn content(part: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![text(), vec(part, 0..4).prop_map(Value::from), Just("".into()), Just(Value::Null)].boxed()
}

fn detail() -> BoxedStrategy<Value> {
    let formats = vec!["anthropic-claude-v1", "openai-responses-v1", "google-gemini-v1", "xai-responses-v1"];
    let said = prop_oneof![
        (word(), option::of(word())).prop_map(|(text, signature)| match signature {
            Some(signature) => json!({"type": "reasoning.text", "text": text, "signature": signature}),
            None => json!({"type": "reasoning.text", "text": text}),
        }),
        word().prop_map(|text| json!({"type": "reasoning.summary", "summary": text})),
        word().prop_map(|data| json!({"type": "reasoning.encrypted", "data": data})),
    ];
    let about = (select(formats), 0..9u64).prop_map(|(format, index)| json!({"format": format, "index": index}));
    merged(said, about)
}

fn thoughts() -> BoxedStrategy<Value> {
    object(vec![
        ("reasoning_content", text().boxed()),
        ("reasoning", text().boxed()),
        ("reasoning_details", vec(detail(), 0..3).prop_map(Value::from).boxed()),
    ])
}

fn call() -> BoxedStrategy<Value> {
    let arguments = select(vec!["", "{}", "{\"a\": 1}", "{\"a\":"]);
    let function = (name(), arguments, "call_[a-z]{3}").prop_map(|(name, arguments, id)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    });
    let custom = (name(), word(), "call_[a-z]{3}")
        .prop_map(|(name, input, id)| json!({"id": id, "type": "custom", "custom": {"name": name, "input": input}}));
    let seal = select(vec![json!({}), json!({"extra_content": {"google": {"thought_signature": "AAAA"}}})]);
    merged(prop_oneof![3 => function, 1 => custom], merged(seal, unknown()))
}

fn assistant() -> BoxedStrategy<Value> {
    let refusal = word().prop_map(|refusal| json!({"type": "refusal", "refusal": refusal}));
    let said = object(vec![
        ("content", content(prop_oneof![text_part(), refusal].boxed())),
        ("refusal", prop_oneof![text(), Just(Value::Null)].boxed()),
        ("tool_calls", vec(call(), 0..3).prop_map(Value::from).boxed()),
        ("function_call", name().prop_map(|name| json!({"name": name, "arguments": "{}"})).boxed()),
        ("audio", Just(json!({"id": "audio_1"})).boxed()),
    ]);
    let seal = object(vec![(
        "extra_content",
        select(vec![
            json!({"google": {"thought_signature": "AAAA"}}),
            json!({"google": {"thought_signature": "AAAA", "thought": true}}),
        ])
        .boxed(),
    )]);
    merged(merged(said, seal), merged(thoughts(), unknown()))
}

fn message() -> BoxedStrategy<Value> {
    let roled = |role: &'static str, rest: BoxedStrategy<Value>| merged(rest, Just(json!({"role": role})));
    let named = object(vec![("name", text().boxed())]);
    let with_content =
        |part: BoxedStrategy<Value>| content(part).prop_map(|content| json!({"content": content})).boxed();
    let instruction = merged(with_content(text_part()), named.clone());
    let result = merged(with_content(text_part()), Just(json!({"tool_call_id": "call_1"})));
    let result = merged(result, named.clone());
    prop_oneof![
        1 => roled("system", instruction.clone()),
        1 => roled("developer", instruction),
        4 => roled("user", merged(with_content(user_part()), named.clone())),
        4 => roled("assistant", merged(assistant(), named)),
        2 => roled("tool", merged(result, unknown())),
        1 => (text(), name()).prop_map(|(text, name)| json!({"role": "function", "name": name, "content": text})),
    ]
    .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    let schema = json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}});
    let function = object(vec![
        ("description", text().boxed()),
        ("parameters", Just(schema).boxed()),
        ("strict", any::<bool>().prop_map(Value::from).boxed()),
    ]);
    let function = merged(merged(function, unknown()), name().prop_map(|name| json!({"name": name})));
    let format = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"a\""}});
    let custom = object(vec![("description", text().boxed()), ("format", Just(format).boxed())]);
    let custom = merged(custom, name().prop_map(|name| json!({"name": name})));
    prop_oneof![
        3 => merged(function.prop_map(|function| json!({"type": "function", "function": function})), cache()),
        1 => custom.prop_map(|custom| json!({"type": "custom", "custom": custom})),
        1 => Just(json!({"type": "web_search", "filters": {"a": [1]}})),
    ]
    .boxed()
}

fn tool_choice() -> BoxedStrategy<Value> {
    select(vec![
        json!("auto"),
        json!("none"),
        json!("required"),
        json!("any"),
        json!({"type": "function", "function": {"name": "f"}}),
        json!({"function": {"name": "f"}}),
        json!({"type": "custom", "custom": {"name": "f"}}),
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}]}}),
        json!({"type": "of_tomorrow"}),
    ])
    .boxed()
}

fn format() -> BoxedStrategy<Value> {
    select(vec![
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_object", "schema": {"type": "object"}}),
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}),
        json!({"type": "json_schema", "json_schema": {"name": "n", "description": "d", "strict": null, "x": 1}}),
        json!({"type": "grammar", "grammar": "g"}),
    ])
    .boxed()
}

fn number() -> BoxedStrategy<Value> {
    prop_oneof![(0..200u64).prop_map(|n| Value::from(n as f64 / 100.0)), (0..9u64).prop_map(Value::from)].boxed()
}

fn params() -> BoxedStrategy<Value> {
    let flag = || any::<bool>().prop_map(Value::from).boxed();
    let count = || (0..4096u64).prop_map(Value::from).boxed();
    let one = |value: Value| Just(value).boxed();
    let sampling = object(vec![
        ("temperature", number()),
        ("top_p", number()),
        ("top_k", count()),
        ("frequency_penalty", number()),
        ("presence_penalty", number()),
        ("seed", count()),
        ("n", count()),
        ("stop", prop_oneof![text(), vec(text(), 0..3).prop_map(Value::from)].boxed()),
        ("logprobs", flag()),
        ("top_logprobs", count()),
        ("logit_bias", one(json!({"50256": -100}))),
        ("max_tokens", count()),
        ("max_completion_tokens", count()),
    ]);
    let output = object(vec![
        ("response_format", format()),
        ("verbosity", one("low".into())),
        ("reasoning_effort", select(vec![json!("none"), json!("high"), json!("turbo")]).boxed()),
        ("reasoning", select(vec![json!({"effort": "low"}), json!({"max_tokens": 2000, "exclude": true})]).boxed()),
        ("thinking", one(json!({"type": "enabled", "budget_tokens": 2000}))),
        ("modalities", one(json!(["text", "audio"]))),
        ("audio", one(json!({"voice": "alloy", "format": "wav"}))),
        ("prediction", content(text_part()).prop_map(|content| json!({"type": "content", "content": content})).boxed()),
        ("web_search_options", one(json!({"search_context_size": "low"}))),
        ("stream", flag()),
        ("stream_options", one(json!({"include_usage": true, "include_obfuscation": false, "x": 1}))),
    ]);
    let labels = object(vec![
        ("service_tier", select(vec![json!("auto"), json!("fast"), json!("on_demand")]).boxed()),
        ("metadata", one(json!({"a": "b"}))),
        ("user", text().boxed()),
        ("safety_identifier", text().boxed()),
        ("prompt_cache_key", text().boxed()),
        ("store", flag()),
        ("temperature", one(Value::Null)),
    ]);
    merged(merged(labels, sampling), output)
}

/// A request body.
pub(super) fn request() -> BoxedStrategy<Value> {
    let messages = vec(message(), 0..6).prop_map(|messages| json!({"model": "m", "messages": messages}));
    let tools = object(vec![
        ("tools", vec(tool(), 0..3).prop_map(Value::from).boxed()),
        ("functions", name().prop_map(|name| json!([{"name": name, "parameters": {}}])).boxed()),
        ("tool_choice", tool_choice()),
        ("function_call", select(vec![json!("auto"), json!({"name": "f"})]).boxed()),
        ("parallel_tool_calls", any::<bool>().prop_map(Value::from).boxed()),
    ]);
    merged(merged(messages, tools), merged(params(), unknown()))
}

fn logprobs() -> BoxedStrategy<Value> {
    let token = (word(), -900..0i32).prop_map(|(token, logprob)| {
        let logprob = f64::from(logprob) / 100.0;
        json!({"token": token, "logprob": logprob, "bytes": [1, 2], "top_logprobs": [{"token": "x", "logprob": -1, "bytes": null}]})
    });
    let plain = (word(), number())
        .prop_map(|(token, logprob)| json!({"token": token, "logprob": logprob, "bytes": null, "top_logprobs": []}));
    vec(prop_oneof![token, plain], 1..3).prop_map(|content| json!({"content": content, "refusal": null})).boxed()
}

/// What an assistant's message says: members in which no null and no order stands that a stream
/// could not say.
fn said() -> BoxedStrategy<Value> {
    let annotation = json!({"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 3, "url": "https://x.test", "title": "t"}});
    let one_member = select(vec!["reasoning_content", "reasoning"]);
    let thought = (one_member, text()).prop_map(|(name, text)| json!({name: text}));
    let said = prop_oneof![
        text().prop_map(|text| json!({"content": text})),
        text().prop_map(move |text| json!({"content": text, "annotations": [annotation.clone()]})),
        text().prop_map(|text| json!({"refusal": text})),
        Just(json!({})),
    ];
    let calls = prop_oneof![Just(json!({})), vec(call(), 1..4).prop_map(|calls| json!({"tool_calls": calls}))];
    merged(prop_oneof![Just(json!({})), thought], merged(said, calls))
}

fn choices(message: BoxedStrategy<Value>, reasons: Vec<&'static str>) -> BoxedStrategy<Value> {
    let message = merged(message, Just(json!({"role": "assistant"})));
    let choice =
        (message, option::of(select(reasons)), option::of(logprobs())).prop_map(|(message, reason, logprobs)| {
            let mut choice = json!({"message": message});
            if let Some(reason) = reason {
                choice["finish_reason"] = reason.into();
            }
            if let Some(logprobs) = logprobs {
                choice["logprobs"] = logprobs;
            }
            choice
        });
    vec(choice, 0..3)
        .prop_map(|mut choices| {
            (0..).zip(&mut choices).for_each(|(index, choice): (u64, _)| choice["index"] = index.into());
            Value::from(choices)
        })
        .boxed()
}

fn answered(choices: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let usage = (0..9999u64, 0..9999u64).prop_map(|(input, output)| {
        json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": input / 2}, "cost": 0.10})
    });
    let head = object(vec![
        ("usage", usage.boxed()),
        ("service_tier", Just("default".into()).boxed()),
        ("system_fingerprint", text().boxed()),
    ]);
    let fixed = choices.prop_map(
        |choices| json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m", "choices": choices}),
    );
    merged(fixed, head)
}

/// An answer's body.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let reasons = vec!["stop", "length", "tool_calls", "content_filter", "function_call", "eos", "of_tomorrow"];
    merged(answered(choices(assistant(), reasons)), unknown())
}

/// An answer's body that a stream can say word for word.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    answered(choices(said(), vec!["stop", "length", "tool_calls"]))
}
