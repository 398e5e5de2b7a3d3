//! Recorded requests of the small forms (text completions, Gemini's embeddings and token counts) through
//! the hub, where there are any. `WEIR_RECORDINGS` as in `hub_recorded.rs`.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::PathBuf;

use serde_json::Value;
use weir_wire::embed::{self, Api};
use weir_wire::hub::{Capabilities, Dialect, Target};
use weir_wire::rules::UsageRules;
use weir_wire::{gemini, openai_chat, openai_completions};

/// Name, request and answer of each exchange in this directory that was answered well.
fn exchanges(directory: &str) -> Vec<(String, String, String)> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let entries = std::fs::read_dir(root.join(directory)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let exchange = |file: &PathBuf| {
        let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let (asked, told) = (tree["request"]["body"].as_str()?, tree["response"]["body"].as_str()?);
        let name = file.file_name()?.to_str()?.to_owned();
        (tree["response"]["status"] == 200).then(|| (name, asked.to_owned(), told.to_owned()))
    };
    files.iter().filter_map(exchange).collect()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn text_completions_become_chat_or_are_refused_by_name() {
    let (mut read, mut refused) = (0, 0);
    for (name, asked, _) in exchanges("openai/completions") {
        let tree = parse(&asked);
        let request = match openai_completions::decode_request(asked.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                assert!(["prompt", "suffix"].contains(&error.field.as_str()), "{name}: {error}");
                refused += 1;
                continue;
            }
        };
        read += 1;
        let capabilities = Capabilities::default();
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::OpenAiChat };
        let encoded = openai_chat::encode_request(&request, &target).unwrap();
        let chat = parse(&encoded.body);
        for member in ["temperature", "top_p", "n", "stop", "seed", "user", "stream", "presence_penalty"] {
            assert!(tree[member].is_null() || chat[member] == tree[member], "{name}: {member}");
        }
        let most = if tree["max_tokens"].is_null() { 16.into() } else { tree["max_tokens"].clone() };
        assert_eq!(chat["max_tokens"], most, "{name}");
    }
    println!("text completions: {read} read, {refused} refused");
}

#[test]
fn counts_of_tokens_are_asked_and_told_as_they_were() {
    let mut count = 0;
    for directory in ["gemini/count_tokens", "vertex/count_tokens"] {
        for (name, asked, told) in exchanges(directory) {
            count += 1;
            let request = gemini::decode_count(asked.as_bytes()).unwrap();
            let capabilities = Capabilities::default();
            let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
            let encoded = gemini::encode_count_request(&request, &target, gemini::CountForm::Flat).unwrap();
            assert_eq!((parse(&encoded.body), encoded.losses.len()), (parse(&asked), 0), "{name}");
            let tokens = gemini::decode_count_answer(told.as_bytes()).unwrap();
            assert_eq!(parse(&gemini::encode_count(tokens))["totalTokens"], parse(&told)["totalTokens"], "{name}");
        }
    }
    println!("counts: {count} checked");
}

#[test]
fn embeddings_are_asked_and_told_as_they_were() {
    let (mut count, mut refused) = (0, 0);
    for (name, asked, told) in exchanges("gemini/embed") {
        let request = match gemini::embed::decode_request(asked.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                assert!(error.why.contains("parts"), "{name}: {error}");
                refused += 1;
                continue;
            }
        };
        count += 1;
        let encoded = embed::encode_request(&request, Api::Gemini, &request.model).unwrap();
        let mut before = parse(&asked);
        for item in before["requests"].as_array_mut().unwrap() {
            // Whose content it is says nothing of what is embedded.
            item["content"].as_object_mut().unwrap().remove("role");
        }
        assert_eq!((parse(&encoded.body), encoded.losses.len()), (before, 0), "{name}");
        let answer = embed::decode_answer(told.as_bytes(), Api::Gemini, &UsageRules::default()).unwrap();
        let written = parse(&gemini::embed::encode_answer(&answer, request.single).body);
        assert_eq!(written["embeddings"], parse(&told)["embeddings"], "{name}");
        let tokens = |tree: &Value| tree["usageMetadata"]["promptTokenCount"].clone();
        assert_eq!(tokens(&written), tokens(&parse(&told)), "{name}");
    }
    println!("embeddings: {count} checked, {refused} refused");
}
