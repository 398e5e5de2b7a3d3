//! The inputs that the golden files hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use weir_wire::eventstream::{Message, encode};

/// One input, and the entry that it is meant for.
pub struct Seed {
    /// The entry.
    pub entry: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
    /// The JSON of its body or of each of its events.
    pub parts: Vec<Value>,
}

impl Seed {
    /// Whether it is a stream.
    pub fn is_stream(&self) -> bool {
        self.entry.ends_with("_stream")
    }

    /// The input with these parts in place of its own.
    pub fn render(&self, parts: &[String]) -> Vec<u8> {
        render(self.entry, parts)
    }
}

/// The words of the golden files, names and texts, and of what is asked of embeddings and the like.
pub static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut words = BTreeSet::new();
    files().iter().for_each(|(_, case)| gather(case, &mut words));
    let more = [
        "error",
        "code",
        "param",
        "details",
        "metadata",
        "raw",
        "retryDelay",
        "innererror",
        "detail",
        "loc",
        "msg",
        "embeddings",
        "embedding",
        "data",
        "results",
        "relevance_score",
        "query",
        "documents",
        "top_n",
        "iterations",
    ];
    words.extend(more.map(str::to_owned));
    words.into_iter().collect()
});

fn gather(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() < 24 => {
            words.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            words.insert(name.clone());
            gather(value, words);
        }),
        _ => {}
    }
}

/// All of them.
pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = files().iter().flat_map(|(path, case)| of_case(path, case)).collect();
    for (entry, body) in OTHERS {
        seeds.push(seed(entry, vec![serde_json::from_str(body).expect("the seeds are JSON")]));
    }
    let form = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n".to_vec();
    seeds.push(Seed { entry: "multipart", bytes: form, parts: Vec::new() });
    seeds
}

/// What no golden file has.
const OTHERS: &[(&str, &str)] = &[
    (
        "embed_request",
        r#"{"model":"m","input":["a","b"],"dimensions":3,"encoding_format":"base64","input_type":"search_query"}"#,
    ),
    ("bedrock_embed", r#"{"model":"m","input":["a","b"],"dimensions":256}"#),
    (
        "embed_answer",
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#,
    ),
    ("embed_answer", r#"{"id":"1","embeddings":{"float":[[0.1,0.2]]},"meta":{"billed_units":{"input_tokens":2}}}"#),
    ("rerank_request", r#"{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"return_documents":true}"#),
    (
        "rerank_answer",
        r#"{"results":[{"index":0,"relevance_score":0.9,"document":{"text":"a"}}],"meta":{"billed_units":{"search_units":1}}}"#,
    ),
    (
        "error",
        r#"{"error":{"message":"m","type":"t","param":"p","code":"c","innererror":{"code":"x"},"metadata":{"provider_name":"n","raw":"{\"error\":\"x\"}"},"details":[{"reason":"r","retryDelay":"3s"}]}}"#,
    ),
    ("error", r#"{"detail":[{"loc":["body","messages",0],"msg":"required","type":"missing"}]}"#),
    (
        "anthropic_answer",
        r#"{"id":"1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"iterations":[{"type":"compaction","input_tokens":9,"output_tokens":1}]}}"#,
    ),
    ("anthropic_count", r#"{"input_tokens":9}"#),
    (
        "gemini_usage",
        r#"{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":1,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]}"#,
    ),
    (
        "gemini_schema",
        r#"{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true,"enum":["x"]}},"required":["a"]}"#,
    ),
];

/// The golden files, each with its path.
fn files() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub");
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("golden files are there") {
            let path = entry.expect("a directory can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = std::fs::read(&path).expect("a golden file can be read");
                found.push((path, serde_json::from_slice(&text).expect("a golden file is JSON")));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The inputs of one golden file. Whose each member is stands in no one place, so that a body is
/// meant for the dialect whose members it has.
fn of_case(path: &Path, case: &Value) -> Vec<Seed> {
    let stream = path.components().any(|part| part.as_os_str() == "streams");
    let mut seeds = Vec::new();
    for name in ["request", "answer", "becomes", "chunks", "events", "folds"] {
        let value = &case[name];
        match value {
            Value::Array(parts) if stream => {
                let entry = parts.iter().find_map(stream_entry);
                seeds.extend(entry.map(|entry| seed(entry, parts.clone())));
                if entry == Some("gemini_stream") {
                    seeds.push(seed("gemini_array_stream", parts.clone()));
                }
                if entry == Some("bedrock_stream") {
                    seeds.push(seed("bedrock_binary_stream", parts.clone()));
                }
            }
            Value::Object(_) => seeds.extend(body_entry(value).map(|entry| seed(entry, vec![value.clone()]))),
            _ => {}
        }
    }
    seeds
}

fn seed(entry: &'static str, parts: Vec<Value>) -> Seed {
    let texts: Vec<String> = parts.iter().map(Value::to_string).collect();
    Seed { entry, bytes: render(entry, &texts), parts }
}

/// Which stream has such an event.
fn stream_entry(part: &Value) -> Option<&'static str> {
    let kind = part["type"].as_str().unwrap_or_default();
    Some(match () {
        () if part["choices"].is_array() => "openai_chat_stream",
        () if kind.starts_with("response.") => "openai_responses_stream",
        () if kind.contains('-') => "cohere_stream",
        () if kind.contains('_') => "anthropic_stream",
        () if part["candidates"].is_array() => "gemini_stream",
        () if part["messageStart"].is_object() => "bedrock_stream",
        () => return None,
    })
}

/// Which dialect has such a body.
fn body_entry(body: &Value) -> Option<&'static str> {
    Some(match () {
        () if body["choices"].is_array() => "openai_chat_answer",
        () if body["object"] == "response" => "openai_responses_answer",
        () if body["candidates"].is_array() => "gemini_answer",
        () if body["output"].is_object() => "bedrock_answer",
        () if body["type"] == "message" => "anthropic_answer",
        () if body["message"].is_object() => "cohere_answer",
        () if !body["input"].is_null() => "openai_responses_request",
        () if body["contents"].is_array() => "gemini_request",
        () if !body["inferenceConfig"].is_null()
            || body["messages"][0]["content"][0]["text"].is_string() && body["model"].is_null() =>
        {
            "bedrock_request"
        }
        () if !body["system"].is_null() || body["max_tokens"].is_number() => "anthropic_request",
        () if body["messages"].is_array() => "openai_chat_request",
        () => return None,
    })
}

/// The bytes of a body or of a stream of these events.
fn render(entry: &str, parts: &[String]) -> Vec<u8> {
    match entry {
        "gemini_array_stream" => format!("[{}]", parts.join(",\r\n")).into(),
        "bedrock_stream" => parts
            .iter()
            .map(|part| named(part))
            .map(|(name, json)| format!("{name} {json}\n"))
            .collect::<String>()
            .into(),
        "bedrock_binary_stream" => parts
            .iter()
            .flat_map(|part| {
                let (name, json) = named(part);
                encode(&Message::event(&name, json))
            })
            .collect(),
        "openai_chat_stream" => format!("{}data: [DONE]\n\n", frames(parts)).into(),
        stream if stream.ends_with("_stream") => frames(parts).into(),
        _ => parts.concat().into(),
    }
}

fn frames(parts: &[String]) -> String {
    parts
        .iter()
        .map(|part| match part.split_once("\"type\":\"").and_then(|(_, rest)| rest.split_once('"')) {
            Some((name, _)) => format!("event: {name}\ndata: {part}\n\n"),
            None => format!("data: {part}\n\n"),
        })
        .collect()
}

/// The only member of an object: its name, and its JSON.
fn named(part: &str) -> (String, String) {
    let inner = part.trim().strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let (name, json) = inner.split_once("\":").unwrap_or((inner, ""));
    (name.to_owned(), json.to_owned())
}
