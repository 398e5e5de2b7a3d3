//! Golden pairs of OpenAI chat and Ollama's own chat, both ways: readable files under
//! `golden/hub/ollama/`.
//!
//! `requests/*.json`: a chat caller's `request` and what `becomes` of it for a model of these
//! `capabilities`, with the `losses` told; or why it is `refused`. `answers/*.json`: a provider's
//! `answer` and what `becomes` of it for a chat caller. `streams/*.json`: a provider's `lines`, and the
//! `chunks` of a chat stream, with the answer they fold to.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_wire::hub::{Capabilities, Dialect, Fold, Ids, Loss, Reply, Target};
use weir_wire::rules::UsageRules;
use weir_wire::{ollama, openai_chat};

fn cases(of: &str) -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hub/ollama").join(of);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .into_iter()
        .map(|file| (file.clone(), serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()))
        .collect()
}

fn told(losses: &[Loss]) -> Value {
    losses.iter().map(ToString::to_string).collect()
}

fn reply() -> Reply {
    Reply { source: Dialect::Ollama, now: 7, model: "m".into(), ids: Ids::new(1) }
}

/// The case with what came out of it; equal to what it was, if it is right.
fn check(file: &Path, case: &Value, came: &[(&str, Value)]) {
    let mut again = case.clone();
    for (name, value) in came {
        again[*name] = value.clone();
    }
    let written = |case: &Value| serde_json::to_string_pretty(case).unwrap();
    assert_eq!(written(case), written(&again), "{}", file.display());
}

#[test]
fn requests() {
    for (file, case) in cases("requests") {
        let mut request = openai_chat::decode_request(case["request"].to_string().as_bytes()).unwrap();
        request.link_results(&mut Ids::new(1));
        let capabilities: Capabilities = match &case["capabilities"] {
            Value::Null => Capabilities::default(),
            given => serde_json::from_value(given.clone()).unwrap(),
        };
        let target = Target { model: "llama", capabilities: &capabilities, caller: Dialect::OpenAiChat };
        let came = match ollama::encode_request(&request, &target) {
            Ok(encoded) => {
                vec![("becomes", serde_json::from_str(&encoded.body).unwrap()), ("losses", told(&encoded.losses))]
            }
            Err(error) => vec![("refused", error.to_string().into())],
        };
        check(&file, &case, &came);
    }
}

#[test]
fn answers() {
    for (file, case) in cases("answers") {
        let came = match ollama::decode_answer(case["answer"].to_string().as_bytes(), &UsageRules::default()) {
            Ok(answer) => {
                let encoded = openai_chat::encode_answer(&answer, &mut reply());
                vec![("becomes", serde_json::from_str(&encoded.body).unwrap()), ("losses", told(&encoded.losses))]
            }
            Err(error) => vec![("error", error.to_string().into())],
        };
        check(&file, &case, &came);
    }
}

#[test]
fn streams() {
    for (file, case) in cases("streams") {
        let mut decoder = ollama::StreamDecoder::new(Arc::new(UsageRules::default()));
        let mut events = Vec::new();
        for line in case["lines"].as_array().unwrap() {
            decoder.push_line(format!("{line}\n").as_bytes(), &mut events);
        }
        decoder.end(&mut events);
        let mut encoder = openai_chat::StreamEncoder::new(reply(), true);
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let mut came = vec![("chunks", chunks(&out)), ("losses", told(&encoder.into_losses()))];
        let mut fold = Fold::new(1 << 20);
        if events.into_iter().try_for_each(|event| fold.push(event)).is_ok() {
            let encoded = ollama::encode_answer(&fold.finish().unwrap(), &mut reply());
            came.push(("folds", serde_json::from_str(&encoded.body).unwrap()));
        }
        check(&file, &case, &came);
    }
}

/// What each chunk says: its delta, its finish, its usage, its error; and the end.
fn chunks(out: &str) -> Value {
    let data = out.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    data.map(|data| {
        let Ok(tree) = serde_json::from_str::<Value>(data) else { return data.into() };
        let choice = &tree["choices"][0];
        if choice.is_null() {
            return if tree["error"].is_null() { json!({"usage": tree["usage"]}) } else { tree };
        }
        match choice["finish_reason"].as_str() {
            Some(word) => json!({"finish_reason": word}),
            None => choice["delta"].clone(),
        }
    })
    .collect()
}
