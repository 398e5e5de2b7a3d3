//! Recorded exchanges with real providers, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json`, each
//! `{request: {body}, response: {status, headers, body}}` with the bodies as text. Without it the
//! tests say so and pass: the recordings are not ours to ship.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::answer::read_answer;
use weir_wire::fault::{ErrorClass, read_typed_error};
use weir_wire::request::{Change, Peek, Shape};
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};
use weir_wire::tap::{Flavor, Seen, StreamTap};

struct Exchange {
    name: String,
    provider: String,
    endpoint: String,
    request: Option<String>,
    status: u16,
    content_type: String,
    /// AWS's header.
    error_type: Option<String>,
    body: String,
}

fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let mut all = Vec::new();
    for provider in children(&root) {
        for file in children(&provider).iter().flat_map(|endpoint| children(endpoint)) {
            all.extend(exchange(&root, &file));
        }
    }
    all
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn exchange(root: &Path, file: &Path) -> Option<Exchange> {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let name = file.strip_prefix(root).ok()?.to_str()?.to_owned();
    let mut path = name.split('/');
    let (provider, endpoint) = (path.next()?.to_owned(), path.next()?.to_owned());
    let headers = &tree["response"]["headers"];
    Some(Exchange {
        provider,
        endpoint,
        request: tree["request"]["body"].as_str().map(str::to_owned),
        status: u16::try_from(tree["response"]["status"].as_u64()?).ok()?,
        content_type: headers["content-type"].as_str().unwrap_or_default().to_owned(),
        error_type: headers["x-amzn-errortype"].as_str().map(str::to_owned),
        body: tree["response"]["body"].as_str()?.to_owned(),
        name,
    })
}

impl Exchange {
    fn shape(&self) -> Option<Shape> {
        Some(match self.endpoint.as_str() {
            "chat_completions" => Shape::Chat,
            "completions" => Shape::Completions,
            "embeddings" => Shape::Embeddings,
            "responses" => Shape::Responses,
            _ => return None,
        })
    }

    fn flavor(&self) -> Flavor {
        match self.endpoint.as_str() {
            "chat_completions" => Flavor::Chat,
            "completions" => Flavor::Completions,
            "responses" => Flavor::Responses,
            _ => Flavor::Other,
        }
    }

    fn is_stream(&self) -> bool {
        self.content_type.starts_with("text/event-stream")
    }

    /// Whether the provider speaks the OpenAI dialect at this endpoint.
    fn is_openai(&self) -> bool {
        let own = ["cohere", "voyage", "vertex", "ollama"];
        self.shape().is_some()
            && self.provider != "writer"
            && (self.endpoint != "embeddings" || !own.contains(&self.provider.as_str()))
    }

    fn frames(&self) -> (Vec<Frame>, Bytes) {
        let mut framer = SseFramer::new(16 << 20);
        let mut frames = Vec::new();
        for chunk in self.body.as_bytes().chunks(97) {
            framer.push(Bytes::copy_from_slice(chunk));
            frames.extend(std::iter::from_fn(|| framer.next()).map(Result::unwrap));
        }
        frames.extend(framer.end());
        (frames, framer.take_rest())
    }
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

#[test]
fn requests_are_understood_and_rewritten() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|e| e.is_openai() && e.status == 200) {
        let (Some(text), Some(shape)) = (&exchange.request, exchange.shape()) else {
            continue;
        };
        let Ok(mut tree) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        count += 1;
        let body = Bytes::copy_from_slice(text.as_bytes());
        let peek = match Peek::read(&body, shape) {
            Ok(peek) => peek,
            Err(error) => {
                odd.push(format!("{}: {error}", exchange.name));
                continue;
            }
        };
        assert_eq!(peek.rewrite(&body, &Change::default()).to_bytes(), body);
        let change = Change { model: Some("x"), include_usage: true, ..Change::default() };
        let whole = peek.rewrite(&body, &change).to_bytes();
        tree["model"] = "x".into();
        if tree["stream_options"].is_null() {
            tree["stream_options"] = Value::Object(serde_json::Map::new());
        }
        tree["stream_options"]["include_usage"] = true.into();
        assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap(), tree, "{}", exchange.name);
    }
    report("requests", &odd, count);
}

#[test]
fn answers_give_their_usage() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|e| e.is_openai() && e.status == 200 && !e.is_stream()) {
        let Ok(tree) = serde_json::from_str::<Value>(&exchange.body) else {
            continue;
        };
        count += 1;
        let answer = read_answer(exchange.body.as_bytes(), &UsageRules::default());
        let usage = answer.usage.unwrap_or_default();
        let raw = &tree["usage"];
        let number = |names: [&str; 2]| names.iter().find_map(|name| raw[*name].as_u64());
        let input = number(["prompt_tokens", "input_tokens"]);
        let output = number(["completion_tokens", "output_tokens"]);
        let output = output.unwrap_or(0);
        let outputs = [output, output + usage.reasoning];
        let same = usage.input == input.unwrap_or(0) && outputs.contains(&usage.output);
        let model = tree["model"].as_str().filter(|model| !model.is_empty());
        if !answer.valid || answer.clamped || !same || answer.model.as_deref() != model {
            odd.push(format!("{}: {answer:?} for {raw}", exchange.name));
        }
    }
    report("answers", &odd, count);
}

#[test]
fn streams_come_to_their_end() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|e| e.is_openai() && e.status == 200 && e.is_stream()) {
        count += 1;
        let (frames, rest) = exchange.frames();
        let joined: Vec<u8> = frames.iter().flat_map(|f| f.raw.to_vec()).chain(rest.to_vec()).collect();
        assert_eq!(joined, exchange.body.as_bytes(), "{}", exchange.name);
        let mut tap = StreamTap::new(exchange.flavor(), Arc::new(UsageRules::default()));
        let last = (!rest.is_empty()).then(|| Frame::new(rest.clone(), frames.is_empty()));
        let seen: Vec<_> = frames.iter().chain(&last).map(|frame| tap.observe(frame)).collect();
        let failed = seen.iter().any(|seen| matches!(seen, Seen::Error(_)));
        let usage = exchange.body.contains("_tokens\":");
        if seen.contains(&Seen::Malformed)
            || !(tap.complete() || tap.finish_seen() || failed)
            || (tap.usage().is_none() && usage)
            || (tap.clamped() && !failed)
            || (tap.output_bytes() == 0 && !failed && exchange.endpoint != "responses")
        {
            odd.push(format!(
                "{}: complete {} malformed {} usage {:?} clamped {} output {} rest {}",
                exchange.name,
                tap.complete(),
                seen.contains(&Seen::Malformed),
                tap.usage().map(|usage| (usage.input, usage.output)),
                tap.clamped(),
                tap.output_bytes(),
                rest.len()
            ));
        }
    }
    report("streams", &odd, count);
}

#[test]
fn errors_say_what_went_wrong() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|e| e.status >= 400) {
        count += 1;
        let (content_type, name) = (Some(exchange.content_type.as_str()), exchange.error_type.as_deref());
        let error = read_typed_error(exchange.status, content_type, name, exchange.body.as_bytes());
        assert!(!error.message.contains("<html"), "{}", exchange.name);
        let json = serde_json::from_str::<Value>(&exchange.body).is_ok();
        let neutral = json && error.message.starts_with("the provider answered");
        let head: String = exchange.body.chars().take(200).collect();
        if neutral || error.class == ErrorClass::Unknown {
            odd.push(format!("{}: {:?} {head}", exchange.name, error.class));
        }
    }
    report("errors", &odd, count);
}
