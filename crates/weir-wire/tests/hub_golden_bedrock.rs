//! Golden pairs between OpenAI chat and Bedrock Converse: readable files under
//! `golden/hub/bedrock/`.
//!
//! `requests/*.json`: a chat `request` and the Converse body it `becomes` for a model of these
//! `capabilities`, with the `losses` told; or why it is `refused`. `answers/*.json`: a Converse
//! `answer` and the chat completion it `becomes`, with the `losses`; or the `error`.
//! `streams/*.json`: the `events` of a ConverseStream, each an object of its name (an exception's
//! behind `!`), and the chat `chunks` they become, as far as `choices`, `usage` and `error` go.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weir_wire::eventstream::Message;
use weir_wire::hub::{AnswerError, Capabilities, Dialect, Ids, Reply, Target};
use weir_wire::rules::UsageRules;
use weir_wire::{bedrock, openai_chat};

fn check(of: &str, becomes: impl Fn(&Value) -> Value) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub/bedrock").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let case: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let outcome = becomes(&case);
        for name in ["becomes", "losses", "refused", "error", "chunks"] {
            assert_eq!(outcome[name], case[name], "{}: {name}", file.display());
        }
    }
}

fn written(encoded: weir_wire::hub::Encoded) -> Value {
    let losses: Vec<String> = encoded.losses.iter().map(ToString::to_string).collect();
    let becomes: Value = serde_json::from_str(&encoded.body).unwrap();
    match losses[..] {
        [] => json!({"becomes": becomes}),
        _ => json!({"becomes": becomes, "losses": losses}),
    }
}

#[test]
fn chat_requests_become_converse() {
    check("requests", |case| {
        let mut request = openai_chat::decode_request(case["request"].to_string().as_bytes()).unwrap();
        request.link_results(&mut Ids::new(1));
        let given = &case["capabilities"];
        let capabilities: Capabilities =
            if given.is_null() { Capabilities::default() } else { serde_json::from_value(given.clone()).unwrap() };
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
        match bedrock::encode_request(&request, &target) {
            Ok(encoded) => written(encoded),
            Err(error) => json!({"refused": error.to_string()}),
        }
    });
}

fn reply() -> Reply {
    Reply { source: Dialect::Bedrock, now: 7, model: "m".into(), ids: Ids::new(1) }
}

#[test]
fn converse_answers_become_chat() {
    check("answers", |case| {
        match bedrock::decode_answer(case["answer"].to_string().as_bytes(), &UsageRules::default()) {
            Ok(answer) => written(openai_chat::encode_answer(&answer, &mut reply())),
            Err(AnswerError::Upstream(error)) => json!({"error": error.message}),
            Err(error) => panic!("{error}"),
        }
    });
}

fn message(event: &Value) -> Message {
    let (name, payload) = event.as_object().unwrap().iter().next().unwrap();
    match name.strip_prefix('!') {
        Some(name) => Message::exception(name, payload.to_string()),
        None => Message::event(name, payload.to_string()),
    }
}

#[test]
fn converse_streams_become_chat() {
    check("streams", |case| {
        let mut decoder = bedrock::StreamDecoder::new();
        let mut events = Vec::new();
        for event in case["events"].as_array().unwrap() {
            decoder.push(&message(event), &mut events);
        }
        decoder.end(&mut events);
        let mut encoder = openai_chat::StreamEncoder::new(reply(), true);
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let data = out.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
        let chunks: Vec<Value> = data.map(chunk).collect();
        json!({"chunks": chunks})
    });
}

/// What a chunk says, without what every chunk does.
fn chunk(data: &str) -> Value {
    let Ok(Value::Object(mut chunk)) = serde_json::from_str(data) else { return data.into() };
    chunk.retain(|name, value| ["choices", "usage", "error"].contains(&name.as_str()) && !value.is_null());
    Value::Object(chunk)
}
