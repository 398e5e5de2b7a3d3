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

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::from).boxed()
}

fn one(value: Value) -> BoxedStrategy<Value> {
    Just(value).boxed()
}

fn flag() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::from).boxed()
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
    proptest::collection::btree_map("x_[a-z]{1,4}", value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        .boxed()
}

fn cache() -> BoxedStrategy<Value> {
    select(vec![
        json!({}),
        json!({"cache_control": null}),
        json!({"cache_control": {"type": "ephemeral"}}),
        json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    ])
    .boxed()
}

fn citation() -> BoxedStrategy<Value> {
    select(vec![
        json!({"type": "char_location", "cited_text": "c", "document_index": 0, "document_title": "t", "start_char_index": 0, "end_char_index": 3}),
        json!({"type": "web_search_result_location", "cited_text": "c", "url": "https://x.test", "title": null, "encrypted_index": "e"}),
        json!({"type": "of_tomorrow"}),
    ])
    .boxed()
}

fn text_block() -> BoxedStrategy<Value> {
    let citations = object(vec![(
        "citations",
        prop_oneof![vec(citation(), 0..3).prop_map(Value::from), Just(Value::Null)].boxed(),
    )]);
    merged(merged(word().prop_map(|text| json!({"type": "text", "text": text})), citations), unknown())
}

fn image() -> BoxedStrategy<Value> {
    let source = select(vec![
        json!({"type": "base64", "media_type": "image/png", "data": "AAAA"}),
        json!({"type": "url", "url": "https://x.test/a.png"}),
        json!({"type": "file", "file_id": "file_1"}),
        json!({"type": "of_tomorrow", "a": 1}),
    ]);
    merged(source.prop_map(|source| json!({"type": "image", "source": source})), unknown())
}

fn document() -> BoxedStrategy<Value> {
    let source = select(vec![
        json!({"type": "base64", "media_type": "application/pdf", "data": "AAAA"}),
        json!({"type": "text", "media_type": "text/plain", "data": "words"}),
        json!({"type": "url", "url": "https://x.test/a.pdf"}),
        json!({"type": "file", "file_id": "file_1"}),
        json!({"type": "content", "content": "words"}),
        json!({"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        json!({"type": "content", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}),
    ]);
    let about = object(vec![
        ("title", prop_oneof![text(), one(Value::Null)].boxed()),
        ("context", text()),
        ("citations", select(vec![json!({"enabled": true}), json!({"enabled": true, "x": 1}), json!({})]).boxed()),
    ]);
    merged(source.prop_map(|source| json!({"type": "document", "source": source})), about)
}

fn opaque() -> BoxedStrategy<Value> {
    select(vec![
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}),
        json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "u"}]}),
        json!({"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}),
        json!({"type": "container_upload", "file_id": "file_1"}),
    ])
    .boxed()
}

fn result() -> BoxedStrategy<Value> {
    let inner = prop_oneof![text_block(), image(), Just(json!({"type": "tool_reference", "tool_name": "f"}))].boxed();
    let rest = object(vec![("content", content(inner)), ("is_error", flag())]);
    merged(rest, Just(json!({"type": "tool_result", "tool_use_id": "toolu_1"})))
}

fn content(block: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![text(), vec(block, 0..4).prop_map(Value::from), Just("".into())].boxed()
}

fn thought() -> BoxedStrategy<Value> {
    let signature = select(vec![json!({}), json!({"signature": ""}), json!({"signature": "EqQB"})]);
    let thinking = select(vec!["", "hm"]).prop_map(|text| json!({"type": "thinking", "thinking": text}));
    prop_oneof![
        3 => merged(thinking, signature),
        1 => word().prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
    ]
    .boxed()
}

fn call() -> BoxedStrategy<Value> {
    let input = select(vec![json!({}), json!({"a": 1.50, "b": [null, {"c": "d"}]})]);
    let call = ("[a-z_]{1,8}", input, "toolu_[a-z]{3}")
        .prop_map(|(name, input, id)| json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    let caller = object(vec![(
        "caller",
        select(vec![json!({"type": "direct"}), json!({"type": "code_execution_20250825", "tool_id": "t"})]).boxed(),
    )]);
    merged(call, caller)
}

fn message() -> BoxedStrategy<Value> {
    let said = |role: &'static str, block: BoxedStrategy<Value>| {
        let content = content(merged(block, cache()));
        merged(content.prop_map(move |content| json!({"role": role, "content": content})), unknown())
    };
    let user = prop_oneof![3 => text_block(), 1 => image(), 1 => document(), 2 => result(), 1 => opaque()];
    let assistant = prop_oneof![3 => text_block(), 2 => thought(), 2 => call(), 1 => opaque()];
    prop_oneof![4 => said("user", user.boxed()), 4 => said("assistant", assistant.boxed()), 1 => said("system", text_block())]
        .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    let schema = json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}});
    let function = object(vec![
        ("description", text()),
        ("input_schema", one(schema)),
        ("strict", flag()),
        ("type", one("custom".into())),
        ("defer_loading", flag()),
    ]);
    let function = merged(function, "[a-z_]{1,8}".prop_map(|name| json!({"name": name})));
    prop_oneof![
        3 => merged(function, cache()),
        1 => Just(json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3})),
    ]
    .boxed()
}

fn tool_choice() -> BoxedStrategy<Value> {
    select(vec![
        json!({"type": "auto"}),
        json!({"type": "auto", "disable_parallel_tool_use": true}),
        json!({"type": "any", "disable_parallel_tool_use": false}),
        json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}),
        json!({"type": "none"}),
        json!({"type": "of_tomorrow"}),
        json!({"type": "auto", "x": 1}),
    ])
    .boxed()
}

fn params() -> BoxedStrategy<Value> {
    let schema = json!({"type": "json_schema", "schema": {"type": "object", "minProperties": 1}});
    let number = || (0..100u64).prop_map(|n| Value::from(n as f64 / 100.0)).boxed();
    let how = object(vec![
        ("max_tokens", (1..9999u64).prop_map(Value::from).boxed()),
        ("temperature", number()),
        ("top_p", number()),
        ("top_k", (1..99u64).prop_map(Value::from).boxed()),
        ("stop_sequences", vec(text(), 0..3).prop_map(Value::from).boxed()),
        ("stream", flag()),
        (
            "thinking",
            select(vec![
                json!({"type": "enabled", "budget_tokens": 2000}),
                json!({"type": "adaptive", "display": "omitted"}),
                json!({"type": "between_tools"}),
                json!({"type": "disabled"}),
            ])
            .boxed(),
        ),
        (
            "output_config",
            select(vec![
                json!({"effort": "high"}),
                json!({"format": schema}),
                json!({"effort": "turbo", "format": null, "task_budget": {"x": 1}}),
                json!({}),
                json!({"format": {"type": "of_tomorrow"}}),
            ])
            .boxed(),
        ),
        ("output_format", one(schema.clone())),
    ]);
    let labels = object(vec![
        (
            "metadata",
            select(vec![json!({"user_id": "u"}), json!({"user_id": "u", "x": 1}), json!({}), json!({"user_id": null})])
                .boxed(),
        ),
        ("service_tier", select(vec!["auto", "standard_only", "priority"]).prop_map(Value::from).boxed()),
        ("speed", select(vec!["standard", "fast"]).prop_map(Value::from).boxed()),
        ("container", text()),
        ("cache_control", one(json!({"type": "ephemeral"}))),
    ]);
    merged(how, labels)
}

/// A request body.
pub(super) fn request() -> BoxedStrategy<Value> {
    let messages = vec(message(), 0..6).prop_map(|messages| json!({"model": "m", "messages": messages}));
    let rest = object(vec![
        ("system", content(merged(text_block(), cache()))),
        ("tools", vec(tool(), 0..3).prop_map(Value::from).boxed()),
        ("tool_choice", tool_choice()),
    ]);
    merged(merged(messages, rest), merged(params(), unknown()))
}

fn usage() -> BoxedStrategy<Value> {
    (1..9999u64, 0..9999u64)
        .prop_map(|(input, output)| {
            json!({"input_tokens": input, "output_tokens": output, "cache_read_input_tokens": input / 2,
                "cache_creation_input_tokens": 3, "service_tier": "standard",
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}})
        })
        .boxed()
}

fn answered(block: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let stop = select(vec![
        json!({"stop_reason": "end_turn"}),
        json!({"stop_reason": "stop_sequence", "stop_sequence": "x"}),
        json!({"stop_reason": "tool_use"}),
        json!({"stop_reason": "pause_turn"}),
        json!({"stop_reason": "model_context_window_exceeded"}),
        json!({"stop_reason": "of_tomorrow"}),
        json!({"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "cyber", "explanation": "no"}}),
    ]);
    let said = (vec(block, 0..4), usage()).prop_map(|(content, usage)| {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": usage})
    });
    let container = object(vec![("container", one(json!({"id": "c", "expires_at": "x"})))]);
    merged(said, merged(container, stop))
}

/// An answer's body.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let odd =
        prop_oneof![Just(json!("x")), Just(json!({"type": "text"})), Just(json!({"type": "tool_use", "name": 1}))];
    let block = prop_oneof![4 => text_block(), 2 => thought(), 2 => call(), 2 => opaque(), 1 => odd];
    let silent = object(vec![("stop_sequence", one(Value::Null)), ("stop_reason", one(Value::Null))]);
    merged(merged(answered(block.boxed()), silent), unknown())
}

/// An answer's body that a stream can say word for word.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    let text = (word(), vec(citation(), 0..2)).prop_map(|(text, citations)| match &citations[..] {
        [] => json!({"type": "text", "text": text}),
        _ => json!({"type": "text", "text": text, "citations": citations}),
    });
    let thought = prop_oneof![
        word().prop_map(|text| json!({"type": "thinking", "thinking": text, "signature": "EqQB"})),
        Just(json!({"type": "thinking", "thinking": "", "signature": "EqQB"})),
        word().prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
    ];
    answered(prop_oneof![4 => text, 2 => thought, 2 => call(), 2 => opaque()].boxed())
}
