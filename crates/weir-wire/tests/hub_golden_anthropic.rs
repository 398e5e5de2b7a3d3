//! Golden pairs for the Anthropic messages codec: readable files under `golden/hub/anthropic/`.
//!
//! Each has what came in `from` dialect (`anthropic` or `chat`) and what `becomes` of it in the other,
//! with the `losses` told; a request may have the target's `capabilities`, or why it is `refused`.
//! `requests/*.json` and `answers/*.json` hold bodies, `streams/*.json` lists of events.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::hub::{Answer, Capabilities, Dialect, Encoded, Event, Ids, Loss, Reply, Request, Target};
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};
use weir_wire::{anthropic, openai_chat};

fn cases(of: &str) -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub/anthropic").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .into_iter()
        .map(|file| (file.clone(), serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()))
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn dialect(case: &Value) -> Dialect {
    if case["from"] == "anthropic" { Dialect::Anthropic } else { Dialect::OpenAiChat }
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 1_700_000_000, model: "asked".into(), ids: Ids::new(1) }
}

fn rules() -> UsageRules {
    UsageRules { cache_outside_input: true, ..UsageRules::default() }
}

fn check(file: &Path, case: &Value, becomes: &Value, losses: &[Loss]) {
    let told: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(becomes, &case["becomes"], "{}", file.display());
    assert_eq!(told, texts(&case["losses"]), "{}", file.display());
}

#[test]
fn requests() {
    for (file, case) in cases("requests") {
        let from = dialect(&case);
        let body = case["request"].to_string();
        let capabilities: Capabilities = match &case["capabilities"] {
            Value::Null => Capabilities::default(),
            given => serde_json::from_value(given.clone()).unwrap(),
        };
        let target = Target { model: "m", capabilities: &capabilities, caller: from };
        let read = |request: Request| {
            let mut request = request;
            request.link_results(&mut Ids::new(1));
            request
        };
        let written = match from {
            Dialect::Anthropic => {
                openai_chat::encode_request(&read(anthropic::decode_request(body.as_bytes()).unwrap()), &target)
            }
            _ => anthropic::encode_request(&read(openai_chat::decode_request(body.as_bytes()).unwrap()), &target),
        };
        match written {
            Ok(Encoded { body, losses }) => check(&file, &case, &serde_json::from_str(&body).unwrap(), &losses),
            Err(error) => assert_eq!(case["refused"], error.to_string(), "{}", file.display()),
        }
    }
}

fn decode(from: Dialect, body: &str) -> Answer {
    match from {
        Dialect::Anthropic => anthropic::decode_answer(body.as_bytes(), &rules()).unwrap(),
        _ => openai_chat::decode_answer(body.as_bytes(), &UsageRules::default()).unwrap(),
    }
}

#[test]
fn answers() {
    for (file, case) in cases("answers") {
        let from = dialect(&case);
        let answer = decode(from, &case["answer"].to_string());
        let Encoded { body, losses } = match from {
            Dialect::Anthropic => openai_chat::encode_answer(&answer, &mut reply(from)),
            _ => anthropic::encode_answer(&answer, &mut reply(from)),
        };
        check(&file, &case, &serde_json::from_str(&body).unwrap(), &losses);
    }
}

fn frames(stream: &str) -> Vec<Frame> {
    let mut framer = SseFramer::new(1 << 20);
    framer.push(Bytes::copy_from_slice(stream.as_bytes()));
    std::iter::from_fn(|| framer.next()).map(Result::unwrap).collect()
}

/// The data of each event; the name of one that is not in its data stands before it.
fn data(out: &str) -> Value {
    let read = |frame: &Frame| {
        let data = frame.data();
        let value: Value =
            serde_json::from_slice(&data).unwrap_or_else(|_| String::from_utf8(data.to_vec()).unwrap().into());
        let named = frame.event().is_none_or(|name| value["type"] == name);
        assert!(named, "an event is named as its data");
        value
    };
    frames(out).iter().map(read).collect()
}

#[test]
fn streams() {
    for (file, case) in cases("streams") {
        let from = dialect(&case);
        let chunks = case["events"].as_array().unwrap();
        let line = |chunk: &Value| match chunk {
            Value::String(text) => format!("data: {text}\n\n"),
            chunk => format!("data: {chunk}\n\n"),
        };
        let stream: String = chunks.iter().map(line).collect();
        let mut events: Vec<Event> = Vec::new();
        let mut out = String::new();
        let losses = match from {
            Dialect::Anthropic => {
                let mut decoder = anthropic::StreamDecoder::new(Arc::new(rules()));
                frames(&stream).iter().for_each(|frame| decoder.push(frame, &mut events));
                decoder.end(&mut events);
                let mut encoder = openai_chat::StreamEncoder::new(reply(from), true);
                events.iter().for_each(|event| encoder.push(event, &mut out));
                encoder.into_losses()
            }
            _ => {
                let mut decoder = openai_chat::StreamDecoder::new(Arc::new(UsageRules::default()));
                frames(&stream).iter().for_each(|frame| decoder.push(frame, &mut events));
                decoder.end(&mut events);
                let mut encoder = anthropic::StreamEncoder::new(reply(from));
                events.iter().for_each(|event| encoder.push(event, &mut out));
                encoder.into_losses()
            }
        };
        check(&file, &case, &data(&out), &losses);
    }
}
