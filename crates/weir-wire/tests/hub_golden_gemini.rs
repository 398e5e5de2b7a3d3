//! Golden pairs of the Gemini dialect from and to OpenAI chat: readable files under `golden/hub/gemini/`.
//!
//! `from_openai_chat/*.json`: a chat `request` and what a Gemini model is sent, or a chat provider's `answer`
//! or `chunks` and what a Gemini client is told. `to_openai_chat/*.json`: the other way round. Each says what it
//! `becomes` (of chunks: a list of chunks) with the `losses`, or why it is `refused`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_wire::gemini::{self, Framing};
use weir_wire::hub::{Capabilities, Dialect, EncodeError, Encoded, Event, Ids, Loss, Reply, Request, Target};
use weir_wire::openai_chat;
use weir_wire::rules::UsageRules;
use weir_wire::sse::Frame;

fn cases(of: &str) -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub/gemini").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let read = |file: PathBuf| {
        let case = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (file, case)
    };
    files.into_iter().map(read).collect()
}

/// Checks a case against what it became.
fn check(file: &Path, case: &Value, became: Result<(Value, Vec<Loss>), EncodeError>) {
    let name = file.display();
    let (body, losses) = match became {
        Ok(became) => became,
        Err(error) => {
            assert_eq!(case["refused"], error.to_string(), "{name}");
            return;
        }
    };
    let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
    let told = json!({"becomes": body, "losses": losses});
    assert_eq!(told["becomes"], case["becomes"], "{name}:\n{told:#}");
    let expected = if case["losses"].is_null() { json!([]) } else { case["losses"].clone() };
    assert_eq!(told["losses"], expected, "{name}");
}

fn body(encoded: Encoded) -> (Value, Vec<Loss>) {
    (serde_json::from_str(&encoded.body).unwrap(), encoded.losses)
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 1_700_000_000, model: "asked".into(), ids: Ids::new(1) }
}

fn rules() -> UsageRules {
    UsageRules::default()
}

type Encode = fn(&Request, &Target<'_>) -> Result<Encoded, EncodeError>;

fn request(
    case: &Value,
    mut request: Request,
    caller: Dialect,
    encode: Encode,
) -> Result<(Value, Vec<Loss>), EncodeError> {
    request.link_results(&mut Ids::new(7));
    let capabilities: Capabilities = match &case["capabilities"] {
        Value::Null => Capabilities::default(),
        given => serde_json::from_value(given.clone()).unwrap(),
    };
    encode(&request, &Target { model: "m", capabilities: &capabilities, caller }).map(body)
}

fn data(out: &str) -> Value {
    let frames = out.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    frames.map(|data| serde_json::from_str::<Value>(data).unwrap_or_else(|_| data.into())).collect()
}

#[test]
fn from_openai_chat() {
    for (file, case) in cases("from_openai_chat") {
        let became = if case["request"].is_object() {
            let read = openai_chat::decode_request(case["request"].to_string().as_bytes()).unwrap();
            request(&case, read, Dialect::OpenAiChat, gemini::encode_request)
        } else if case["answer"].is_object() {
            let answer = openai_chat::decode_answer(case["answer"].to_string().as_bytes(), &rules()).unwrap();
            Ok(body(gemini::encode_answer(&answer, &mut reply(Dialect::OpenAiChat))))
        } else {
            let mut decoder = openai_chat::StreamDecoder::new(Arc::new(rules()));
            let mut events: Vec<Event> = Vec::new();
            for chunk in case["chunks"].as_array().unwrap() {
                decoder.push(&Frame::new(format!("data: {chunk}\n\n").into(), false), &mut events);
            }
            decoder.push(&Frame::new("data: [DONE]\n\n".into(), false), &mut events);
            let mut encoder = gemini::StreamEncoder::new(reply(Dialect::OpenAiChat), Framing::Sse);
            let mut out = String::new();
            events.iter().for_each(|event| encoder.push(event, &mut out));
            Ok((data(&out), encoder.into_losses()))
        };
        check(&file, &case, became);
    }
}

#[test]
fn to_openai_chat() {
    for (file, case) in cases("to_openai_chat") {
        let became = if case["request"].is_object() {
            let read = gemini::decode_request(case["request"].to_string().as_bytes()).unwrap();
            request(&case, read, Dialect::Gemini, openai_chat::encode_request)
        } else if case["answer"].is_object() {
            let answer = gemini::decode_answer(case["answer"].to_string().as_bytes(), &rules()).unwrap();
            Ok(body(openai_chat::encode_answer(&answer, &mut reply(Dialect::Gemini))))
        } else {
            let mut decoder = gemini::StreamDecoder::new(Arc::new(rules()));
            let mut events: Vec<Event> = Vec::new();
            for chunk in case["chunks"].as_array().unwrap() {
                decoder.push_chunk(chunk.to_string().as_bytes(), &mut events);
            }
            decoder.end(&mut events);
            let mut encoder = openai_chat::StreamEncoder::new(reply(Dialect::Gemini), true);
            let mut out = String::new();
            events.iter().for_each(|event| encoder.push(event, &mut out));
            Ok((data(&out), encoder.into_losses()))
        };
        check(&file, &case, became);
    }
}
