//! `demo/chat` for callers of text completions.

use http::StatusCode;
use serde_json::{Value, json};

use super::{stream, text, whole};
use crate::upstream::Answer;

/// Answers a legacy completion request.
pub(super) fn answer(request: &Value, created: i64) -> Answer {
    let prompt = match &request["prompt"] {
        Value::String(text) => text.clone(),
        other => other[0].as_str().unwrap_or_default().to_owned(),
    };
    let said = text::reply(&[json!({"role": "user", "content": prompt})]);
    let (said, cut) = text::cut(text::until_stop(&said, &request["stop"]), request["max_tokens"].as_u64());
    let (asked, used) = (text::tokens(&prompt), text::tokens(&said));
    let usage = json!({"prompt_tokens": asked, "completion_tokens": used, "total_tokens": asked + used});
    let id = format!("cmpl-demo-{:016x}", text::fingerprint(&request.to_string()));
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
    stream::answer(chunks)
}
