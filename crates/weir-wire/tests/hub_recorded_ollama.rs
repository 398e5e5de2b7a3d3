//! Recorded exchanges with Ollama's own chat through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` as in `hub_recorded.rs`.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::hub::{Answer, Capabilities, Dialect, Event, Fold, Ids, PartKind, Reply, Target};
use weir_wire::ndjson::NdjsonFramer;
use weir_wire::ollama::{StreamDecoder, decode_answer, decode_request, encode_answer, encode_request};
use weir_wire::openai_chat;
use weir_wire::rules::UsageRules;

struct Exchange {
    name: String,
    request: Option<String>,
    body: String,
}

impl Exchange {
    fn is_stream(&self) -> bool {
        self.body.trim_end().contains('\n')
    }
}

fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let entries = std::fs::read_dir(root.join("ollama/chat")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.iter().filter_map(|file| exchange(file)).collect()
}

fn exchange(file: &std::path::Path) -> Option<Exchange> {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (tree["response"]["status"] == 200).then_some(())?;
    Some(Exchange {
        name: file.file_name()?.to_str()?.to_owned(),
        request: tree["request"]["body"].as_str().map(str::to_owned),
        body: tree["response"]["body"].as_str()?.to_owned(),
    })
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    let capabilities = Capabilities::default();
    for exchange in exchanges() {
        let Some(body) = exchange.request else { continue };
        count += 1;
        let request = decode_request(body.as_bytes()).unwrap();
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::Ollama };
        let encoded = encode_request(&request, &target).unwrap();
        let (before, after): (Value, Value) =
            (serde_json::from_str(&body).unwrap(), serde_json::from_str(&encoded.body).unwrap());
        if before != after || !encoded.losses.is_empty() {
            odd.push(format!("{}: {:?}\n  {before}\n  {after}", exchange.name, encoded.losses));
        }
    }
    report("requests", &odd, count);
}

#[test]
fn answers_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| !exchange.is_stream()) {
        count += 1;
        let answer = decode_answer(exchange.body.as_bytes(), &UsageRules::default()).unwrap();
        let tree: Value = serde_json::from_str(&exchange.body).unwrap();
        assert_eq!(counts(&answer), reported(&tree), "{}", exchange.name);
        let encoded = encode_answer(&answer, &mut reply());
        let again: Value = serde_json::from_str(&encoded.body).unwrap();
        if tree != again || !encoded.losses.is_empty() {
            odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
        }
        check_for_chat(&exchange.name, &answer);
    }
    report("answers", &odd, count);
}

fn reply() -> Reply {
    Reply { source: Dialect::Ollama, now: 0, model: "model".into(), ids: Ids::new(1) }
}

fn counts(answer: &Answer) -> Option<(u64, u64)> {
    answer.usage.as_ref().map(|spent| (spent.tokens.input, spent.tokens.output))
}

/// A prompt that was cached whole is not counted.
fn reported(tree: &Value) -> Option<(u64, u64)> {
    Some((tree["prompt_eval_count"].as_u64().unwrap_or_default(), tree["eval_count"].as_u64()?))
}

/// What a chat caller gets of it says the same.
fn check_for_chat(name: &str, answer: &Answer) {
    let encoded = openai_chat::encode_answer(answer, &mut reply());
    let again = openai_chat::decode_answer(encoded.body.as_bytes(), &UsageRules::default()).unwrap();
    assert_eq!(said(&again), said(answer), "{name}");
    let stop = |answer: &Answer| answer.choices[0].stop.as_ref().map(|stop| stop.reason);
    if encoded.losses.is_empty() && !encoded.body.contains("\"stop\"") {
        assert_eq!(stop(&again), stop(answer), "{name}");
    }
    assert_eq!(counts(&again), counts(answer), "{name}");
}

/// Text, thoughts, calls and citations.
fn said(answer: &Answer) -> (String, String, Vec<String>, usize) {
    let mut all = (String::new(), String::new(), Vec::new(), 0);
    for part in &answer.choices[0].parts {
        match &part.kind {
            PartKind::Text(text) => {
                all.0 += &text.text;
                all.3 += text.citations.len();
            }
            PartKind::Thinking(thinking) => all.1 += &thinking.text,
            PartKind::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                all.2.push(format!("{} {arguments}", call.name));
            }
            other => panic!("{other:?}"),
        }
    }
    all
}

fn lines(body: &str, cut: usize) -> Vec<Bytes> {
    let mut framer = NdjsonFramer::new(16 << 20);
    let mut lines = Vec::new();
    for chunk in body.as_bytes().chunks(cut) {
        framer.push(Bytes::copy_from_slice(chunk));
        lines.extend(std::iter::from_fn(|| framer.next()).map(|line| line.unwrap().raw));
    }
    lines.extend(framer.end().map(|line| line.raw));
    lines
}

fn decode(lines: &[Bytes]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
    let mut events = Vec::new();
    lines.iter().for_each(|line| decoder.push_line(line, &mut events));
    decoder.end(&mut events);
    events
}

#[test]
fn streams_fold_to_their_answers() {
    let mut count = 0;
    for exchange in exchanges().iter().filter(|exchange| exchange.is_stream()) {
        count += 1;
        let lines = lines(&exchange.body, usize::MAX);
        let events = decode(&lines);
        assert_eq!(events, decode(&self::lines(&exchange.body, 97)), "{}", exchange.name);
        let mut fold = Fold::new(64 << 20);
        events.into_iter().try_for_each(|event| fold.push(event)).unwrap();
        let answer = fold.finish().unwrap();
        let trees: Vec<Value> = lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(counts(&answer), reported(trees.last().unwrap()), "{}", exchange.name);
        let joined =
            |name: &str| -> String { trees.iter().filter_map(|tree| tree["message"][name].as_str()).collect() };
        let (text, thought, calls, _) = said(&answer);
        assert_eq!((text, thought), (joined("content"), joined("thinking")), "{}", exchange.name);
        let called: usize =
            trees.iter().filter_map(|tree| tree["message"]["tool_calls"].as_array()).map(Vec::len).sum();
        assert_eq!(calls.len(), called, "{}", exchange.name);
        check_for_chat(&exchange.name, &answer);
    }
    report("streams", &[], count);
}
