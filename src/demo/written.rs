//! A turn of the demo as OpenAI's dialect writes it, whole or as a stream.

use serde_json::{Value, json};

use super::thoughts::Thoughts;
use super::{logprobs, text, tools};

/// What the demo answers, before it is written.
#[derive(Debug)]
pub(super) struct Turn {
    /// The same for the same request.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// At least one.
    pub choices: Vec<Choice>,
    /// OpenAI's usage object.
    pub usage: Value,
    /// How many alternatives to each token are told, where their likelihood is.
    pub logprobs: Option<u64>,
}

/// One of the answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// What was thought before.
    pub thoughts: Option<Thoughts>,
    /// What is said.
    pub content: Option<String>,
    /// The content is no JSON.
    pub plain: bool,
    /// What is said instead.
    pub refusal: Option<String>,
    /// Calls, as they stand in a message.
    pub tool_calls: Vec<Value>,
    /// `finish_reason`
    pub finish: &'static str,
}

/// The whole answer.
pub(super) fn completion(turn: &Turn) -> Value {
    let choices: Vec<Value> =
        turn.choices.iter().enumerate().map(|(index, choice)| whole(turn, index, choice)).collect();
    json!({
        "id": turn.id, "object": "chat.completion", "created": turn.created, "model": "chat",
        "choices": choices, "usage": turn.usage, "service_tier": "default", "system_fingerprint": "fp_demo",
    })
}

fn whole(turn: &Turn, index: usize, choice: &Choice) -> Value {
    let mut message = json!({"role": "assistant", "content": choice.content, "refusal": choice.refusal});
    if !choice.tool_calls.is_empty() {
        message["tool_calls"] = choice.tool_calls.clone().into();
    }
    if let Some(thoughts) = &choice.thoughts {
        message["reasoning_content"] = thoughts.text.clone().into();
        message["reasoning_details"] = thoughts.details();
    }
    let logprobs = turn.logprobs.zip(choice.content.as_deref());
    let logprobs = logprobs.map(|(top, content)| logprobs::of(text::pieces(content), top));
    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish})
}

/// A stream's chunks, word by word, each as an event.
pub(super) fn chunks(turn: &Turn, include_usage: bool) -> Vec<String> {
    let mut out = Vec::new();
    let chunk = |choices: Value, usage: &Value| {
        let mut chunk = json!({"id": turn.id, "object": "chat.completion.chunk", "created": turn.created, "model": "chat",
            "system_fingerprint": "fp_demo", "choices": choices});
        if include_usage {
            chunk["usage"] = usage.clone();
        }
        format!("data: {chunk}\n\n")
    };
    for (index, choice) in turn.choices.iter().enumerate() {
        let one = |(delta, logprobs): (Value, Value), finish: Value| {
            let choice = json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish});
            chunk(json!([choice]), &Value::Null)
        };
        out.extend(deltas(turn, choice).into_iter().map(|delta| one(delta, Value::Null)));
        out.push(one((json!({}), Value::Null), choice.finish.into()));
    }
    if include_usage {
        out.push(chunk(json!([]), &turn.usage));
    }
    out.push("data: [DONE]\n\n".to_owned());
    out
}

/// What a choice's chunks add, each with its `logprobs`.
fn deltas(turn: &Turn, choice: &Choice) -> Vec<(Value, Value)> {
    let plain = |delta| (delta, Value::Null);
    let mut deltas = vec![plain(json!({"role": "assistant", "content": ""}))];
    deltas.extend(choice.thoughts.iter().flat_map(Thoughts::deltas).map(plain));
    deltas.extend(choice.content.iter().flat_map(|content| text::pieces(content)).map(|word| {
        let logprobs = turn.logprobs.map(|top| logprobs::of(std::iter::once(word.clone()), top));
        (json!({"content": word}), logprobs.unwrap_or(Value::Null))
    }));
    let refused = choice.refusal.iter().flat_map(|refusal| text::pieces(refusal));
    deltas.extend(refused.map(|word| plain(json!({"refusal": word}))));
    let calls = choice.tool_calls.iter().enumerate();
    deltas.extend(calls.flat_map(|(index, call)| tools::deltas(index, call)).map(plain));
    deltas
}
