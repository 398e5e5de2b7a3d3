//! Golden pairs between the OpenAI Responses dialect and OpenAI chat completions: readable files
//! under `golden/hub/openai_responses/`.
//!
//! Each says `from` which dialect it goes to the other. `requests/*.json`: a `request` and what
//! `becomes` of it for a model of these `capabilities`, with the `losses` told; or why it is
//! `refused`. `answers/*.json`: an `answer` and what `becomes` of it. `streams/*.json`: the `events`
//! of a stream and what they `become`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_wire::hub::{Capabilities, Dialect, Event, Ids, Loss, Reply, Target};
use weir_wire::rules::UsageRules;
use weir_wire::sse::Frame;
use weir_wire::{openai_chat, openai_responses};

fn cases(of: &str) -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub/openai_responses").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let read = |file: &PathBuf| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    files.into_iter().map(|file| (file.clone(), read(&file))).collect()
}

fn from_chat(case: &Value) -> bool {
    match case["from"].as_str().unwrap() {
        "openai_chat" => true,
        "openai_responses" => false,
        other => panic!("from {other}?"),
    }
}

/// What `expected` names is as it says.
fn compare(file: &Path, case: &Value, actual: &Value) {
    for name in ["becomes", "refused", "losses"] {
        let pretty = serde_json::to_string_pretty(&actual[name]).unwrap();
        assert_eq!(case[name], actual[name], "{}: {name} is\n{pretty}", file.display());
    }
}

fn told(losses: &[Loss]) -> Value {
    losses.iter().map(|loss| Value::from(loss.to_string())).collect()
}

fn tree(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[test]
fn requests() {
    for (file, case) in cases("requests") {
        let body = case["request"].to_string();
        let (mut request, caller) = match from_chat(&case) {
            true => (openai_chat::decode_request(body.as_bytes()).unwrap(), Dialect::OpenAiChat),
            false => (openai_responses::decode_request(body.as_bytes()).unwrap(), Dialect::OpenAiResponses),
        };
        let capabilities: Capabilities = match &case["capabilities"] {
            Value::Null => Capabilities::default(),
            given => serde_json::from_value(given.clone()).unwrap(),
        };
        request.link_results(&mut Ids::new(1));
        let target = Target { model: "m", capabilities: &capabilities, caller };
        let encoded = match caller {
            Dialect::OpenAiChat => openai_responses::encode_request(&request, &target),
            _ => openai_chat::encode_request(&request, &target),
        };
        let actual = match encoded {
            Ok(encoded) => json!({"becomes": tree(&encoded.body), "losses": told(&encoded.losses)}),
            Err(error) => json!({"refused": error.to_string()}),
        };
        compare(&file, &case, &actual);
    }
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 1, model: "m".into(), ids: Ids::new(1) }
}

#[test]
fn answers() {
    for (file, case) in cases("answers") {
        let (body, rules) = (case["answer"].to_string(), UsageRules::default());
        let encoded = match from_chat(&case) {
            true => {
                let answer = openai_chat::decode_answer(body.as_bytes(), &rules).unwrap();
                openai_responses::encode_answer(&answer, &mut reply(Dialect::OpenAiChat))
            }
            false => {
                let answer = openai_responses::decode_answer(body.as_bytes(), &rules).unwrap();
                openai_chat::encode_answer(&answer, &mut reply(Dialect::OpenAiResponses))
            }
        };
        let actual = json!({"becomes": tree(&encoded.body), "losses": told(&encoded.losses)});
        compare(&file, &case, &actual);
    }
}

/// The data of a stream's events.
fn data(stream: &str) -> Value {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(tree).collect()
}

#[test]
fn streams() {
    for (file, case) in cases("streams") {
        let frames = case["events"].as_array().unwrap().iter().map(|event| format!("data: {event}\n\n"));
        let frames = frames.chain(["data: [DONE]\n\n".to_owned()]).map(|text| Frame::new(text.into(), false));
        let (mut events, mut out): (Vec<Event>, String) = (Vec::new(), String::new());
        let rules = Arc::new(UsageRules::default());
        let losses = if from_chat(&case) {
            let mut decoder = openai_chat::StreamDecoder::new(rules);
            frames.for_each(|frame| decoder.push(&frame, &mut events));
            decoder.end(&mut events);
            let mut encoder = openai_responses::StreamEncoder::new(reply(Dialect::OpenAiChat));
            events.iter().for_each(|event| encoder.push(event, &mut out));
            encoder.into_losses()
        } else {
            let mut decoder = openai_responses::StreamDecoder::new(rules);
            frames.for_each(|frame| decoder.push(&frame, &mut events));
            decoder.end(&mut events);
            let mut encoder = openai_chat::StreamEncoder::new(reply(Dialect::OpenAiResponses), true);
            events.iter().for_each(|event| encoder.push(event, &mut out));
            encoder.into_losses()
        };
        compare(&file, &case, &json!({"becomes": data(&out), "losses": told(&losses)}));
    }
}
