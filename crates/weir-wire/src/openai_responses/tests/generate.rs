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

fn fixed(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

fn cache() -> BoxedStrategy<Value> {
    fixed(vec![json!({}), json!({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}})])
}

/// Text with its type, sources and tokens.
fn said_text(kinds: &'static [&'static str]) -> BoxedStrategy<Value> {
    let annotations = fixed(vec![
        json!([]),
        json!([{"type": "url_citation", "start_index": 0, "end_index": 2, "title": "t", "url": "https://x.test"}]),
        json!([{"type": "file_citation", "file_id": "f", "filename": "n", "index": 1}, 7]),
    ]);
    let tokens = json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1, "bytes": [98]}]}]);
    let about = object(vec![("annotations", annotations), ("logprobs", fixed(vec![json!([]), tokens]))]);
    let text = (select(kinds), word()).prop_map(|(kind, text)| json!({"type": kind, "text": text}));
    merged(merged(text, about), unknown())
}

fn user_part() -> BoxedStrategy<Value> {
    let image = merged(
        fixed(vec![
            json!({"image_url": "https://x.test/a.png"}),
            json!({"image_url": "data:image/png;base64,AAAA"}),
            json!({"file_id": "file-1"}),
            json!({}),
        ]),
        fixed(vec![json!({}), json!({"detail": "low"}), json!({"detail": null})]),
    );
    let file = fixed(vec![
        json!({"file_id": "file-1"}),
        json!({"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}),
        json!({"file_data": "AAAA"}),
        json!({"file_url": "https://x.test/a.pdf"}),
    ]);
    let part = prop_oneof![
        said_text(&["input_text", "output_text", "text"]),
        merged(image, Just(json!({"type": "input_image"}))),
        merged(file, Just(json!({"type": "input_file"}))),
        select(vec!["wav", "mp3"])
            .prop_map(|format| json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": format}})),
        Just(json!({"type": "of_tomorrow", "a": 1})),
    ];
    merged(merged(part, cache()), unknown())
}

fn content(part: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![text(), vec(part, 0..4).prop_map(Value::from), Just("".into())].boxed()
}

fn status() -> BoxedStrategy<Value> {
    fixed(vec!["completed".into(), "in_progress".into(), Value::Null])
}

fn model_part() -> BoxedStrategy<Value> {
    let refusal = merged(word().prop_map(|text| json!({"type": "refusal", "refusal": text})), unknown());
    prop_oneof![
        4 => said_text(&["output_text", "input_text"]),
        1 => refusal,
        1 => Just(json!({"type": "of_tomorrow"}))
    ]
    .boxed()
}

/// What the model says, in an answer or sent back.
pub(super) fn output_item() -> BoxedStrategy<Value> {
    let id = || text().boxed();
    let about = || object(vec![("id", id()), ("status", status())]);
    let message =
        vec(model_part(), 0..4).prop_map(|content| json!({"type": "message", "role": "assistant", "content": content}));
    let message = merged(message, object(vec![("phase", fixed(vec!["final_answer".into()]))]));
    let call = (word(), word(), "[a-z_]{1,8}").prop_map(
        |(id, arguments, name)| json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}),
    );
    let custom = (word(), word())
        .prop_map(|(id, input)| json!({"type": "custom_tool_call", "call_id": id, "name": "sh", "input": input}));
    let thoughts = |kind: &'static str| {
        vec(merged(word().prop_map(move |text| json!({"type": kind, "text": text})), unknown()), 0..3)
            .prop_map(Value::from)
            .boxed()
    };
    let reasoning = merged(
        Just(json!({"type": "reasoning"})),
        object(vec![
            ("summary", thoughts("summary_text")),
            ("content", thoughts("reasoning_text")),
            ("encrypted_content", prop_oneof![text(), Just(Value::Null)].boxed()),
        ]),
    );
    let own = fixed(vec![
        json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}),
        json!({"type": "mcp_approval_request", "id": "m", "arguments": "{}", "name": "n", "server_label": "s"}),
        json!({"type": "image_generation_call", "id": "i", "result": "AAAA"}),
    ]);
    prop_oneof![
        3 => merged(merged(message, about()), unknown()),
        2 => merged(merged(call, about()), unknown()),
        1 => merged(custom, about()),
        2 => merged(merged(reasoning, about()), unknown()),
        1 => own,
    ]
    .boxed()
}

fn input_item() -> BoxedStrategy<Value> {
    let role = select(vec!["user", "system", "developer"]);
    let message = (role, content(user_part()), any::<bool>()).prop_map(|(role, content, typed)| match typed {
        true => json!({"type": "message", "role": role, "content": content}),
        false => json!({"role": role, "content": content}),
    });
    let easy = text().prop_map(|text| json!({"role": "assistant", "content": text}));
    let result = (select(vec!["function_call_output", "custom_tool_call_output"]), content(user_part()))
        .prop_map(|(kind, output)| json!({"type": kind, "call_id": "call_1", "output": output}));
    let own = fixed(vec![
        json!({"type": "item_reference", "id": "msg_1"}),
        json!({"id": "msg_1"}),
        json!({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}),
        json!({"type": "compaction", "encrypted_content": "x"}),
    ]);
    prop_oneof![
        3 => merged(message, unknown()),
        1 => easy,
        4 => output_item(),
        2 => merged(result, object(vec![("id", text().boxed()), ("status", status())])),
        1 => own,
    ]
    .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    let function = object(vec![
        ("description", text().boxed()),
        ("parameters", fixed(vec![json!({"type": "object", "properties": {}}), Value::Null])),
        ("strict", fixed(vec![true.into(), false.into(), Value::Null])),
        ("defer_loading", fixed(vec![true.into()])),
    ]);
    let format = fixed(vec![
        json!({"type": "text"}),
        json!({"type": "grammar", "syntax": "lark", "definition": "start: \"a\""}),
        json!({"type": "grammar", "syntax": "lark", "definition": "x", "more": 1}),
    ]);
    prop_oneof![
        merged("[a-z]{1,4}".prop_map(|name| json!({"type": "function", "name": name})), function),
        merged(Just(json!({"type": "custom", "name": "sh"})), object(vec![("format", format)])),
        Just(json!({"type": "web_search", "filters": {"allowed_domains": ["x.test"]}})),
        Just(json!({"type": "namespace", "name": "n", "description": "d", "tools": []})),
    ]
    .boxed()
}

fn choice() -> BoxedStrategy<Value> {
    fixed(vec![
        "auto".into(),
        "none".into(),
        "required".into(),
        json!({"type": "function", "name": "f"}),
        json!({"type": "custom", "name": "sh"}),
        json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]}),
        json!({"type": "web_search_preview"}),
    ])
}

fn format() -> BoxedStrategy<Value> {
    fixed(vec![
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}),
        json!({"type": "json_schema", "schema": {}, "description": null}),
        json!({"type": "of_tomorrow"}),
    ])
}

/// A request.
pub(super) fn request() -> BoxedStrategy<Value> {
    let input = prop_oneof![
        1 => text(),
        1 => Just("".into()),
        6 => vec(input_item(), 0..7).prop_map(Value::from)
    ];
    let number = || fixed(vec![json!(0.5), json!(1), json!(16)]);
    let text_options = object(vec![
        ("format", format()),
        ("verbosity", fixed(vec!["low".into(), Value::Null])),
        ("x_more", fixed(vec![1.into(), Value::Null])),
    ]);
    let include = fixed(vec![
        json!([]),
        json!(["reasoning.encrypted_content"]),
        json!(["message.output_text.logprobs", "web_search_call.results"]),
    ]);
    let reasoning = object(vec![
        ("effort", fixed(vec!["low".into(), "none".into(), "turbo".into(), Value::Null])),
        ("summary", fixed(vec!["auto".into()])),
        ("mode", fixed(vec!["pro".into()])),
    ]);
    let how = object(vec![
        ("max_output_tokens", number()),
        ("temperature", number()),
        ("top_p", number()),
        ("top_logprobs", number()),
        ("reasoning", reasoning),
        ("text", text_options),
        ("include", include),
        ("tools", vec(tool(), 0..4).prop_map(Value::from).boxed()),
        ("tool_choice", choice()),
        ("parallel_tool_calls", any::<bool>().prop_map(Value::from).boxed()),
    ]);
    let whose = object(vec![
        ("instructions", prop_oneof![text(), Just("".into()), Just(Value::Null)].boxed()),
        ("service_tier", fixed(vec!["auto".into(), "flex".into(), "on_demand".into()])),
        ("metadata", fixed(vec![json!({"a": "b"})])),
        ("store", any::<bool>().prop_map(Value::from).boxed()),
        ("stream", any::<bool>().prop_map(Value::from).boxed()),
        (
            "stream_options",
            fixed(vec![json!({"include_obfuscation": false}), json!({"x": 1, "include_obfuscation": true})]),
        ),
        ("truncation", fixed(vec!["auto".into(), "disabled".into()])),
        ("previous_response_id", text().boxed()),
        ("conversation", fixed(vec!["conv_1".into(), json!({"id": "conv_1"})])),
        ("prompt_cache_key", text().boxed()),
        ("safety_identifier", text().boxed()),
        ("user", text().boxed()),
    ]);
    let body = input.prop_map(|input| json!({"model": "m", "input": input}));
    merged(merged(merged(body, how), whose), unknown())
}

/// An answer that is complete or was cut short.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let usage = fixed(vec![
        json!({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 12}),
        json!({"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "cost": 0.10}),
    ]);
    let end = fixed(vec![
        json!({"status": "completed", "incomplete_details": null}),
        json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}),
        json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
        json!({"status": "incomplete", "incomplete_details": {"reason": "steered"}}),
    ]);
    let output = vec(output_item(), 0..6).prop_map(
        |output| json!({"id": "resp_1", "object": "response", "created_at": 3, "model": "m", "error": null, "output": output}),
    );
    let about = object(vec![
        ("service_tier", fixed(vec!["default".into(), "priority".into()])),
        ("tools", fixed(vec![json!([]), json!([{"type": "function", "name": "f"}])])),
        ("temperature", fixed(vec![json!(1.0), Value::Null])),
        ("metadata", fixed(vec![json!({}), json!({"a": "b"})])),
    ]);
    let usage = usage.prop_map(|usage| json!({"usage": usage}));
    merged(merged(merged(merged(output, end), about), usage), unknown())
}
