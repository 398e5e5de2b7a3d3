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
    let value = prop_oneof![Just(Value::Null), text(), Just(json!({"x": [1, null, {"y": "z"}]})), Just(json!([]))];
    proptest::collection::btree_map("x_[a-z]{1,4}", value, 0..2)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        .boxed()
}

fn list(item: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Value> {
    vec(item, 0..most).prop_map(Value::from).boxed()
}

fn text_block() -> BoxedStrategy<Value> {
    prop_oneof![3 => text(), 1 => Just(json!(""))].prop_map(|text| json!({"text": text})).boxed()
}

fn source() -> BoxedStrategy<Value> {
    select(vec![
        json!({"bytes": "AAAA"}),
        json!({"s3Location": {"uri": "s3://bucket/key"}}),
        json!({"s3Location": {"uri": "s3://bucket/key", "bucketOwner": "1"}}),
        json!({"bytes": "AAAA", "x": 1}),
        json!({"of_tomorrow": {"a": 1}}),
    ])
    .boxed()
}

fn media_block() -> BoxedStrategy<Value> {
    let of = |kind: &'static str, formats: Vec<&'static str>| {
        (select(formats), source(), unknown())
            .prop_map(move |(format, source, mut rest)| {
                rest["format"] = format.into();
                rest["source"] = source;
                json!({kind: rest})
            })
            .boxed()
    };
    prop_oneof![
        of("image", vec!["png", "jpeg", "webp", "of_tomorrow"]),
        of("video", vec!["mkv", "mov", "mpeg", "mpg", "three_gp", "wmv"]),
        of("audio", vec!["mp3", "mpeg", "wav", "mka", "mkv", "x-aac", "of_tomorrow"]),
    ]
    .boxed()
}

fn document_block() -> BoxedStrategy<Value> {
    let source =
        prop_oneof![source(), text().prop_map(|text| json!({"text": text})), Just(json!({"content": [{"text": "a"}]}))];
    let about = object(vec![
        ("context", text().boxed()),
        ("citations", select(vec![json!({"enabled": true}), json!({"enabled": false}), json!({})]).boxed()),
        ("name", text().boxed()),
    ]);
    let formats = select(vec!["pdf", "csv", "txt", "md", "xlsx", "of_tomorrow"]);
    (formats, source, merged(about, unknown()))
        .prop_map(|(format, source, mut rest)| {
            rest["format"] = format.into();
            rest["source"] = source;
            json!({"document": rest})
        })
        .boxed()
}

fn cache_point() -> BoxedStrategy<Value> {
    select(vec![
        json!({"cachePoint": {"type": "default"}}),
        json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        json!({"cachePoint": {"type": "default"}, "x": 1}),
    ])
    .boxed()
}

fn guard() -> BoxedStrategy<Value> {
    Just(json!({"guardContent": {"text": {"text": "a", "qualifiers": ["query"]}}})).boxed()
}

fn result_block() -> BoxedStrategy<Value> {
    let json_block = select(vec![json!({"json": {"a": [1.50]}}), json!({"json": "x"}), json!({"json": []})]);
    let held = prop_oneof![
        3 => text_block(),
        2 => json_block,
        1 => media_block(),
        1 => document_block(),
        1 => Just(json!({"searchResult": {"source": "s", "title": "t", "content": []}})),
    ];
    let status =
        select(vec![json!({}), json!({"status": "success"}), json!({"status": "error"}), json!({"status": "x"})]);
    (list(held.boxed(), 3), status, merged(unknown(), unknown()))
        .prop_map(|(content, mut result, rest)| {
            result["toolUseId"] = "t1".into();
            result["content"] = content;
            let mut block = json!({"toolResult": result});
            block.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            block
        })
        .boxed()
}

fn call_block(server: bool) -> BoxedStrategy<Value> {
    let input = select(vec![json!({}), json!({"a": 1.50, "b": null}), json!("x"), json!([1])]);
    let kinds = if server { vec!["", "tool_use", "server_tool_use"] } else { vec!["", "tool_use"] };
    ("[a-z_]{1,8}", "tooluse_[a-z]{3}", input, select(kinds))
        .prop_map(|(name, id, input, kind)| {
            let mut call = json!({"toolUseId": id, "name": name, "input": input});
            if !kind.is_empty() {
                call["type"] = kind.into();
            }
            json!({"toolUse": call})
        })
        .boxed()
}

fn thought_block() -> BoxedStrategy<Value> {
    let said = (text(), option::of(word())).prop_map(|(text, signature)| match signature {
        Some(signature) => json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}),
        None => json!({"reasoningContent": {"reasoningText": {"text": text}}}),
    });
    // Base64 of text, of bytes that are none, and no base64 at all.
    let redacted = select(vec!["RXU4RQ==", "/////w==", "?"]);
    prop_oneof![
        2 => said,
        1 => redacted.prop_map(|data| json!({"reasoningContent": {"redactedContent": data}})),
    ]
    .boxed()
}

fn citation() -> Value {
    json!({"title": "t", "sourceContent": [{"text": "q"}],
        "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 5}}})
}

fn cited_block() -> BoxedStrategy<Value> {
    let citations = select(vec![json!([citation()]), json!([citation(), citation()]), json!([])]);
    (text(), citations)
        .prop_map(
            |(text, citations)| json!({"citationsContent": {"content": [{"text": text}], "citations": citations}}),
        )
        .boxed()
}

fn assistant_block() -> BoxedStrategy<Value> {
    prop_oneof![
        3 => text_block(),
        2 => call_block(true),
        2 => thought_block(),
        1 => cited_block(),
        1 => Just(json!({"of_tomorrow": {"a": 1}})),
    ]
    .boxed()
}

fn message() -> BoxedStrategy<Value> {
    let user = prop_oneof![
        3 => text_block(),
        2 => media_block(),
        2 => document_block(),
        2 => result_block(),
        1 => guard(),
        1 => cache_point(),
        1 => Just(json!({"toolAddition": {"tool": {"name": "a"}}})),
    ];
    let of = |role: &'static str, block: BoxedStrategy<Value>| {
        merged(list(block, 4).prop_map(move |content| json!({"role": role, "content": content})), unknown())
    };
    let assistant = prop_oneof![4 => assistant_block(), 1 => cache_point()];
    prop_oneof![4 => of("user", user.boxed()), 4 => of("assistant", assistant.boxed()), 1 => of("system", text_block())]
        .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    let schema = json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}});
    let spec = object(vec![
        ("description", prop_oneof![text(), Just(json!(""))].boxed()),
        ("strict", any::<bool>().prop_map(Value::from).boxed()),
        ("inputSchema", select(vec![json!({"json": schema}), json!({"json": {}, "x": 1}), json!({})]).boxed()),
    ]);
    let spec = merged(merged(spec, unknown()), "[a-z_]{1,8}".prop_map(|name| json!({"name": name})));
    prop_oneof![
        3 => merged(spec.prop_map(|spec| json!({"toolSpec": spec})), unknown()),
        1 => Just(json!({"systemTool": {"name": "nova_grounding"}})),
        1 => cache_point(),
    ]
    .boxed()
}

fn tool_config() -> BoxedStrategy<Value> {
    let choice = select(vec![
        json!({"auto": {}}),
        json!({"any": {}}),
        json!({"tool": {"name": "f"}}),
        json!({"auto": {"x": 1}}),
        json!({"of_tomorrow": {}}),
    ]);
    merged(object(vec![("tools", list(tool(), 3)), ("toolChoice", choice.boxed())]), unknown())
}

fn config() -> BoxedStrategy<Value> {
    let number = || (0..200u64).prop_map(|n| Value::from(n as f64 / 100.0)).boxed();
    let inference = object(vec![
        ("maxTokens", (0..4096u64).prop_map(Value::from).boxed()),
        ("temperature", number()),
        ("topP", number()),
        ("stopSequences", list(text().boxed(), 3)),
    ]);
    let format = select(vec![
        json!({"type": "json_schema", "structure": {"jsonSchema": {"schema": "{\"type\":\"object\"}", "name": "n"}}}),
        json!({"type": "json_schema", "structure": {"jsonSchema": {"schema": "no JSON", "description": "d"}}}),
        json!({"type": "json_schema", "structure": {"jsonSchema": {"schema": " {}", "x": null}}}),
        json!({"type": "of_tomorrow"}),
    ]);
    let output =
        object(vec![("textFormat", format.boxed()), ("effort", select(vec![json!("low"), json!("odd")]).boxed())]);
    let additional = select(vec![
        json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 5}),
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        json!({"reasoning_config": "high", "thinking": 7}),
        json!({}),
    ]);
    object(vec![
        ("inferenceConfig", merged(inference, unknown())),
        ("outputConfig", merged(output, unknown())),
        ("additionalModelRequestFields", additional.boxed()),
        ("additionalModelResponseFieldPaths", Just(json!(["/stop_sequence"])).boxed()),
        ("guardrailConfig", Just(json!({"guardrailIdentifier": "g"})).boxed()),
        ("performanceConfig", Just(json!({"latency": "optimized"})).boxed()),
        ("serviceTier", select(vec![json!({"type": "flex"}), json!({"type": "x", "y": 1}), json!({})]).boxed()),
        ("requestMetadata", Just(json!({"a": "b"})).boxed()),
    ])
}

/// A request body.
pub(super) fn request() -> BoxedStrategy<Value> {
    let system = prop_oneof![3 => text_block(), 1 => cache_point(), 1 => guard()];
    let said = object(vec![
        ("messages", list(message(), 5)),
        ("system", list(system.boxed(), 3)),
        ("toolConfig", tool_config()),
    ]);
    merged(merged(said, config()), unknown())
}

fn usage() -> BoxedStrategy<Value> {
    let caches = object(vec![
        ("cacheReadInputTokens", (0..99u64).prop_map(Value::from).boxed()),
        ("cacheWriteInputTokens", (0..99u64).prop_map(Value::from).boxed()),
        ("cacheDetails", Just(json!([{"ttl": "5m", "inputTokens": 3}, {"ttl": "1h", "inputTokens": 4}])).boxed()),
        ("serverToolUsage", Just(json!({})).boxed()),
    ]);
    let plain = (0..99u64, 0..99u64).prop_map(|(input, output)| json!({"inputTokens": input, "outputTokens": output}));
    merged(plain, caches)
}

fn answered(block: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let reasons = vec![
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "guardrail_intervened",
        "malformed_tool_use",
        "model_context_window_exceeded",
        "of_tomorrow",
    ];
    let head = object(vec![
        ("metrics", Just(json!({"latencyMs": 7})).boxed()),
        ("trace", Just(json!({"guardrail": {"actionReason": "x"}})).boxed()),
        ("additionalModelResponseFields", Just(json!({"stop_sequence": "END"})).boxed()),
        ("serviceTier", Just(json!({"type": "priority"})).boxed()),
        ("performanceConfig", Just(json!({"latency": "standard"})).boxed()),
        ("usage", usage()),
    ]);
    let said = (list(block, 5), select(reasons)).prop_map(|(content, reason)| {
        json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason})
    });
    merged(said, head)
}

/// An answer's body.
pub(super) fn answer() -> BoxedStrategy<Value> {
    merged(answered(prop_oneof![4 => assistant_block(), 1 => media_block()].boxed()), unknown())
}

/// An answer's body that a stream can say word for word.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    let cited =
        text().prop_map(|text| json!({"citationsContent": {"content": [{"text": text}], "citations": [citation()]}}));
    let server = json!({"toolUse": {"input": {"a": 1}, "toolUseId": "s1", "name": "code", "type": "server_tool_use"}});
    let result =
        json!({"toolResult": {"content": [{"json": {"b": 2}}], "toolUseId": "s1", "status": "success", "type": "r"}});
    let call = call_block(false).prop_filter("an object", |block| block["toolUse"]["input"].is_object());
    let block = prop_oneof![
        3 => text().prop_map(|text| json!({"text": text})),
        2 => call,
        2 => thought_block(),
        1 => cited,
        1 => Just(server),
        1 => Just(result),
        1 => Just(json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}})),
    ];
    answered(block.boxed())
}
