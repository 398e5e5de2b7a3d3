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

fn images() -> BoxedStrategy<Value> {
    list(pick(vec![json!("AAAA"), json!("AA==")]), 2)
}

fn call() -> BoxedStrategy<Value> {
    let arguments = pick(vec![json!({}), json!({"a": 1.50, "b": ["x"]})]);
    let known = object(vec![("arguments", arguments), ("index", (0..3u64).prop_map(Value::from).boxed())]);
    let named = "[a-z]{1,5}".prop_map(|name| json!({"name": name})).boxed();
    let function = merged(merged(named, known), unknown());
    let whole = function.prop_map(|function| json!({"function": function})).boxed();
    let beside =
        object(vec![("id", "[a-z0-9_]{1,8}".prop_map(Value::from).boxed()), ("type", Just(json!("function")).boxed())]);
    merged(merged(whole, beside), unknown())
}

fn content() -> BoxedStrategy<Value> {
    prop_oneof![4 => text(), 1 => Just(json!("")), 1 => Just(Value::Null)].boxed()
}

fn message() -> BoxedStrategy<Value> {
    let role =
        |role: &'static str, members| merged(Just(json!({"role": role})).boxed(), merged(object(members), unknown()));
    let name = || "[a-z]{1,5}".prop_map(Value::from).boxed();
    prop_oneof![
        role("system", vec![("content", content())]),
        role("user", vec![("content", content()), ("images", images())]),
        role(
            "assistant",
            vec![("content", content()), ("thinking", text()), ("tool_calls", list(call(), 3)), ("images", images())]
        ),
        role(
            "tool",
            vec![("content", content()), ("tool_name", name()), ("tool_call_id", name()), ("images", images())]
        ),
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

fn options() -> BoxedStrategy<Value> {
    let number = || pick(vec![json!(1), json!(0.5), json!(0.70)]);
    let known = object(vec![
        ("num_predict", pick(vec![json!(5), json!(-1), json!(-2)])),
        ("temperature", number()),
        ("top_p", number()),
        ("top_k", number()),
        ("seed", number()),
        ("presence_penalty", number()),
        ("frequency_penalty", number()),
        ("repeat_penalty", number()),
        ("num_ctx", Just(json!(4096)).boxed()),
        ("stop", list(text(), 3)),
    ]);
    merged(known, unknown())
}

/// A request.
pub(super) fn request() -> BoxedStrategy<Value> {
    let flag = || pick(vec![json!(true), json!(false)]);
    let params = object(vec![
        ("tools", list(tool(), 3)),
        ("options", options()),
        ("format", pick(vec![json!(""), json!("json"), json!("xml"), json!({"type": "object", "x": 1}), json!({})])),
        ("think", pick(vec![json!(true), json!(false), json!("low"), json!("high"), json!("deep"), json!("")])),
        ("keep_alive", pick(vec![json!("5m"), json!(-1), json!(null)])),
        ("logprobs", flag()),
        ("top_logprobs", Just(json!(3)).boxed()),
        ("truncate", flag()),
    ]);
    let whole = (list(message(), 4), any::<bool>())
        .prop_map(|(messages, stream)| json!({"model": "m", "messages": messages, "stream": stream}))
        .boxed();
    merged(merged(whole, params), unknown())
}

fn logprob() -> BoxedStrategy<Value> {
    let one = || object(vec![("bytes", Just(json!([104, 105])).boxed())]);
    let named = |rest: BoxedStrategy<Value>| {
        let said = (word(), select(vec![-0.50, -2.25]))
            .prop_map(|(token, logprob)| json!({"token": token, "logprob": logprob}));
        merged(said.boxed(), rest)
    };
    merged(named(one()), object(vec![("top_logprobs", list(named(one()), 2))]))
}

/// An answer.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let said = object(vec![("thinking", text()), ("tool_calls", list(call(), 3)), ("images", images())]);
    let content = prop_oneof![3 => text(), 1 => Just(json!(""))];
    let content = content.prop_map(|content| json!({"role": "assistant", "content": content})).boxed();
    let message = merged(merged(content, said), unknown());
    let whole = message.prop_map(|message| json!({"model": "m", "message": message, "done": true})).boxed();
    let count = || (0..99u64).prop_map(Value::from).boxed();
    let rest = object(vec![
        ("created_at", pick(vec![json!("2026-08-07T06:08:14.73237Z"), json!("later")])),
        ("done_reason", pick(vec![json!("stop"), json!("length"), json!("load"), json!("other")])),
        ("total_duration", count()),
        ("load_duration", count()),
        ("prompt_eval_count", count()),
        ("prompt_eval_duration", count()),
        ("eval_count", count()),
        ("eval_duration", count()),
        ("logprobs", list(logprob(), 3)),
    ]);
    merged(merged(whole, rest), unknown())
}

/// An answer whose members can all be said in a stream.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    answer()
        .prop_map(|mut answer| {
            answer.as_object_mut().unwrap().retain(|name, value| name != "logprobs" || *value != json!([]));
            let message = answer["message"].as_object_mut().unwrap();
            message.retain(|name, value| !matches!(name.as_str(), "images" | "tool_calls") || *value != json!([]));
            answer
        })
        .boxed()
}

/// The lines a server would send for an answer, texts in pieces of `step` characters. Each says what
/// the answer says beside its message, and the last how long it took.
pub(super) fn stream_of(answer: &Value, step: usize) -> Vec<Value> {
    let mut base = answer.clone();
    let members = base.as_object_mut().unwrap();
    members.retain(|name, _| !name.ends_with("_count") && !name.ends_with("_duration"));
    for name in ["done_reason", "logprobs"] {
        members.remove(name);
    }
    members["done"] = false.into();
    let said = ["thinking", "content", "images", "tool_calls"];
    let kept = members["message"].as_object_mut().unwrap();
    kept.retain(|name, _| !said.contains(&name.as_str()));
    kept.insert("content".into(), "".into());
    let mut lines = Vec::new();
    let mut say = |name: &str, value: Value| {
        let mut line = base.clone();
        line["message"][name] = value;
        lines.push(line);
    };
    let message = &answer["message"];
    for name in ["thinking", "content"] {
        pieces(message[name].as_str().unwrap_or_default(), step).into_iter().for_each(|piece| say(name, piece.into()));
    }
    for name in ["images", "tool_calls"] {
        message[name].as_array().into_iter().flatten().for_each(|item| say(name, json!([item])));
    }
    for logprob in answer["logprobs"].as_array().into_iter().flatten() {
        let mut line = base.clone();
        line["logprobs"] = json!([logprob]);
        lines.push(line);
    }
    let mut last = base.clone();
    for (name, value) in answer.as_object().unwrap() {
        if name != "message" && name != "logprobs" {
            last[name] = value.clone();
        }
    }
    lines.push(last);
    lines
}

fn pieces(text: &str, step: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(step.max(1)).map(|piece| piece.iter().collect()).collect()
}
