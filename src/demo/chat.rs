//! `demo/chat`: repeats what it is told, calls the tools it is given, fits the schema it is asked for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::fault::Faults;
use super::{headers, schema, text, whole};
use crate::upstream::{Answer, AnswerBody};

/// What the demo answers, before it is written as JSON or as a stream.
struct Turn {
    id: String,
    created: i64,
    content: Option<String>,
    tool_calls: Vec<Value>,
    finish: &'static str,
    usage: Value,
}

/// Answers a chat request.
pub(super) fn answer(request: &Value, created: i64, faults: &Faults) -> Answer {
    let turn = turn(request, created);
    if request["stream"] == true {
        stream(chunks(&turn, request["stream_options"]["include_usage"] == true), faults)
    } else {
        whole(StatusCode::OK, &completion(&turn))
    }
}

fn turn(request: &Value, created: i64) -> Turn {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let prompt: u64 = messages.iter().map(|m| text::tokens(&text::content(m)) + 3).sum();
    let max = request["max_completion_tokens"].as_u64().or_else(|| request["max_tokens"].as_u64());
    let tool_calls = tool_calls(request, messages);
    let (content, finish) = if tool_calls.is_empty() {
        let (content, cut) = text::cut(&spoken(request, messages), max);
        (Some(content), if cut { "length" } else { "stop" })
    } else {
        (None, "tool_calls")
    };
    let calls: u64 =
        tool_calls.iter().map(|c| text::tokens(c["function"]["arguments"].as_str().unwrap_or("")) + 2).sum();
    let used = content.as_deref().map_or(0, text::tokens) + calls;
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": used, "total_tokens": prompt + used,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}});
    Turn { id: format!("chatcmpl-demo-{:016x}", fingerprint(request)), created, content, tool_calls, finish, usage }
}

/// The same request has the same id.
fn fingerprint(request: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    request.to_string().hash(&mut hasher);
    hasher.finish()
}

fn spoken(request: &Value, messages: &[Value]) -> String {
    let format = &request["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => {
            let schema = &format["json_schema"]["schema"];
            schema::instance(schema, schema).to_string()
        }
        Some("json_object") => json!({"answer": text::reply(messages)}).to_string(),
        _ => text::reply(messages),
    }
}

/// The demo calls the first tool (or the one it is told to) when the last word is the user's.
fn tool_calls(request: &Value, messages: &[Value]) -> Vec<Value> {
    let choice = &request["tool_choice"];
    let answered = messages.last().is_some_and(|m| m["role"] == "tool");
    if choice == "none" || answered {
        return Vec::new();
    }
    let wanted = choice["function"]["name"].as_str();
    let functions =
        request["tools"].as_array().into_iter().flatten().filter(|t| t["type"] == "function").map(|t| &t["function"]);
    let Some(function) = functions.into_iter().find(|f| wanted.is_none_or(|name| f["name"] == name)) else {
        return Vec::new();
    };
    let parameters = &function["parameters"];
    let arguments = if parameters.is_object() { schema::instance(parameters, parameters) } else { json!({}) };
    let arguments = if arguments.is_object() { arguments } else { json!({}) };
    let call = json!({"id": "call_demo_1", "type": "function", "function": {"name": function["name"], "arguments": arguments.to_string()}});
    vec![call]
}

fn completion(turn: &Turn) -> Value {
    let mut message = json!({"role": "assistant", "content": turn.content, "refusal": null});
    if !turn.tool_calls.is_empty() {
        message["tool_calls"] = turn.tool_calls.clone().into();
    }
    json!({
        "id": turn.id, "object": "chat.completion", "created": turn.created, "model": "chat",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": turn.finish}],
        "usage": turn.usage, "service_tier": "default", "system_fingerprint": "fp_demo",
    })
}

/// A stream's chunks, word by word.
fn chunks(turn: &Turn, include_usage: bool) -> Vec<String> {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for (i, word) in turn.content.iter().flat_map(|c| c.split_whitespace()).enumerate() {
        deltas.push(json!({"content": if i == 0 { word.to_owned() } else { format!(" {word}") }}));
    }
    for (index, call) in turn.tool_calls.iter().enumerate() {
        deltas.extend(tool_deltas(index, call));
    }
    let chunk = |delta: &Value, finish: Value, usage: Value, choices: bool| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let mut chunk = json!({"id": turn.id, "object": "chat.completion.chunk", "created": turn.created, "model": "chat",
            "system_fingerprint": "fp_demo", "choices": if choices { vec![choice] } else { vec![] }});
        if include_usage {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let mut out: Vec<String> = deltas.iter().map(|delta| chunk(delta, Value::Null, Value::Null, true)).collect();
    out.push(chunk(&json!({}), turn.finish.into(), Value::Null, true));
    if include_usage {
        out.push(chunk(&Value::Null, Value::Null, turn.usage.clone(), false));
    }
    out.push("data: [DONE]\n\n".to_owned());
    out
}

/// The first delta of a call names it, the next ones carry its arguments in pieces.
fn tool_deltas(index: usize, call: &Value) -> Vec<Value> {
    let function = &call["function"];
    let arguments: Vec<char> = function["arguments"].as_str().unwrap_or("").chars().collect();
    let first = json!({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": ""}}]});
    let rest = arguments.chunks(8).map(
        |piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece.iter().collect::<String>()}}]}),
    );
    std::iter::once(first).chain(rest).collect()
}

/// Sends chunks with the faults that were asked for.
fn stream(chunks: Vec<String>, faults: &Faults) -> Answer {
    let delay = faults.chunk_delay.unwrap_or(Duration::ZERO);
    let mut items: Vec<Result<Bytes, crate::upstream::body::BodyError>> =
        chunks.into_iter().map(|c| Ok(Bytes::from(c))).collect();
    if let Some(after) = faults.malformed_after {
        items.truncate(after);
        items.push(Ok(Bytes::from_static(b"data: {\"broken\":\n\n")));
    }
    if let Some(after) = faults.cut_after {
        items.truncate(after);
        items.push(Err("the demo provider cuts the stream as x-weir-fault asked".into()));
    }
    let paced = futures_util::stream::iter(items).then(move |item| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        item
    });
    Answer { status: StatusCode::OK, headers: headers("text/event-stream"), body: AnswerBody::Local(Box::pin(paced)) }
}

/// Answers a legacy completion request.
pub(super) fn complete(request: &Value, created: i64, faults: &Faults) -> Answer {
    let prompt = match &request["prompt"] {
        Value::String(text) => text.clone(),
        other => other[0].as_str().unwrap_or_default().to_owned(),
    };
    let (said, cut) =
        text::cut(&text::reply(&[json!({"role": "user", "content": prompt})]), request["max_tokens"].as_u64());
    let (asked, used) = (text::tokens(&prompt), text::tokens(&said));
    let usage = json!({"prompt_tokens": asked, "completion_tokens": used, "total_tokens": asked + used});
    let id = format!("cmpl-demo-{:016x}", fingerprint(request));
    let finish = if cut { "length" } else { "stop" };
    let object = |text: &str, finish: Value| {
        json!({"id": id, "object": "text_completion", "created": created, "model": "chat",
            "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}]})
    };
    if request["stream"] != true {
        let mut answer = object(&said, finish.into());
        answer["usage"] = usage;
        return whole(StatusCode::OK, &answer);
    }
    let mut chunks: Vec<String> =
        said.split_inclusive(' ').map(|word| format!("data: {}\n\n", object(word, Value::Null))).collect();
    chunks.push(format!("data: {}\n\n", object("", finish.into())));
    if request["stream_options"]["include_usage"] == true {
        chunks.push(format!("data: {}\n\n", json!({"id": id, "object": "text_completion", "created": created, "model": "chat", "choices": [], "usage": usage})));
    }
    chunks.push("data: [DONE]\n\n".to_owned());
    stream(chunks, faults)
}
