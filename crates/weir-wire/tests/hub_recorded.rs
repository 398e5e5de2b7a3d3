//! Recorded exchanges with real providers through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json` as in `recorded.rs`.
//! Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_wire::hub::{AnswerError, Capabilities, Dialect, Ids, Target};
use weir_wire::openai_chat::{self, Reply};
use weir_wire::rules::UsageRules;

struct Exchange {
    name: String,
    request: Option<String>,
    status: u16,
    body: String,
}

impl Exchange {
    /// Whether the body is a stream, whatever its headers say.
    fn is_stream(&self) -> bool {
        self.body.trim_start().starts_with("data:") || self.body.starts_with(':')
    }
}

/// The exchanges of every provider's `chat_completions`.
fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let files = children(&root).into_iter().flat_map(|provider| children(&provider.join("chat_completions")));
    files.filter_map(|file| exchange(&root, &file)).collect()
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn exchange(root: &Path, file: &Path) -> Option<Exchange> {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(Exchange {
        name: file.strip_prefix(root).ok()?.to_str()?.to_owned(),
        request: tree["request"]["body"].as_str().map(str::to_owned),
        status: u16::try_from(tree["response"]["status"].as_u64()?).ok()?,
        body: tree["response"]["body"].as_str()?.to_owned(),
    })
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

fn reply() -> Reply {
    Reply { source: Dialect::OpenAiChat, now: 0, model: "model".into(), ids: Ids::new(1) }
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    let capabilities = Capabilities::default();
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200) {
        let Some(tree) = exchange.request.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            continue;
        };
        count += 1;
        let body = exchange.request.as_deref().unwrap_or_default();
        let request = match openai_chat::decode_request(body.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                odd.push(format!("{}: {error}", exchange.name));
                continue;
            }
        };
        let target =
            Target { model: &request.model, capabilities: &capabilities, caller: Dialect::OpenAiChat };
        match openai_chat::encode_request(&request, &target) {
            Ok(encoded) => {
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
            }
            Err(error) => odd.push(format!("{}: {error}", exchange.name)),
        }
    }
    report("requests", &odd, count);
}

#[test]
fn answers_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200 && !exchange.is_stream()) {
        let tree: Value = serde_json::from_str(&exchange.body).unwrap();
        count += 1;
        match openai_chat::decode_answer(exchange.body.as_bytes(), &UsageRules::default()) {
            Ok(answer) => {
                let encoded = openai_chat::encode_answer(&answer, &mut reply());
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
            }
            Err(AnswerError::Upstream(error)) if tree["error"].is_object() => println!("an error: {}", error.message),
            Err(error) => odd.push(format!("{}: {error} {}", exchange.name, &exchange.body[..200.min(exchange.body.len())])),
        }
    }
    report("answers", &odd, count);
}
