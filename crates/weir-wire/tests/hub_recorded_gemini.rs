//! Recorded exchanges in the Gemini dialect through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json` as in `recorded.rs`.
//! Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::gemini::{self, ArrayFramer, Framing, StreamDecoder, StreamEncoder};
use weir_wire::hub::{Answer, Capabilities, Dialect, Event, Fold, FoldError, Ids, PartKind, Reply, Request, Target};
use weir_wire::openai_chat;
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};

struct Exchange {
    name: String,
    request: Option<String>,
    body: String,
}

impl Exchange {
    fn is_stream(&self) -> bool {
        self.name.contains("stream_generate_content")
    }
}

/// The successful exchanges of every provider's `generate_content` and `stream_generate_content`.
fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let kinds = ["generate_content", "stream_generate_content"];
    let files = children(&root).into_iter().flat_map(|provider| kinds.map(|kind| children(&provider.join(kind))));
    files.flatten().filter_map(|file| exchange(&root, &file)).collect()
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn exchange(root: &Path, file: &Path) -> Option<Exchange> {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (tree["response"]["status"] == 200).then_some(())?;
    Some(Exchange {
        name: file.strip_prefix(root).ok()?.to_str()?.to_owned(),
        request: tree["request"]["body"].as_str().map(str::to_owned),
        body: tree["response"]["body"].as_str()?.to_owned(),
    })
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 0, model: "model".into(), ids: Ids::new(1) }
}

/// The tree, if it is a body of this API at all.
fn request_of(exchange: &Exchange) -> Option<(Value, Request)> {
    let text = exchange.request.as_deref()?;
    let tree: Value = serde_json::from_str(text).ok()?;
    let request = gemini::decode_request(text.as_bytes());
    Some((tree, request.unwrap_or_else(|error| panic!("{}: {error}", exchange.name))))
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    let capabilities = Capabilities::default();
    for exchange in &exchanges() {
        let Some((tree, request)) = request_of(exchange) else { continue };
        count += 1;
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::Gemini };
        match gemini::encode_request(&request, &target) {
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

/// Every request becomes one of OpenAI chat's, or is refused with a place; and what it becomes comes back
/// with the same texts and calls.
#[test]
fn requests_are_said_in_another_dialect() {
    let (mut odd, mut count, mut refused) = (Vec::new(), 0, 0);
    let capabilities = Capabilities::default();
    for exchange in &exchanges() {
        let Some((_, mut request)) = request_of(exchange) else { continue };
        count += 1;
        request.link_results(&mut Ids::new(7));
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
        let Ok(chat) = openai_chat::encode_request(&request, &target) else {
            refused += 1;
            continue;
        };
        let mut there = openai_chat::decode_request(chat.body.as_bytes()).unwrap();
        there.link_results(&mut Ids::new(8));
        let target = Target { caller: Dialect::OpenAiChat, ..target };
        let back = gemini::encode_request(&there, &target);
        let back = back.map(|encoded| gemini::decode_request(encoded.body.as_bytes()).unwrap());
        match back {
            Ok(back) if said(&back) == said(&request) => {}
            other => odd.push(format!("{}: {:?}\n  {:?}", exchange.name, said(&request), other.map(|it| said(&it)))),
        }
    }
    println!("{refused} were refused");
    report("requests said otherwise", &odd, count);
}

/// What OpenAI chat's encoder says of a result that it cannot say.
const NOTES: [&str; 2] = ["[the tool failed]", "[shown in the next message]"];

/// All texts, and all calls with their results.
fn said(request: &Request) -> (String, Vec<String>) {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        match &part.kind {
            PartKind::Text(one) => text.push_str(&one.text),
            PartKind::ToolCall(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                calls.push(format!("{:?} {} {arguments}", call.id, call.name));
            }
            PartKind::ToolResult(result) => {
                let texts: Vec<&str> = result.parts.iter().filter_map(|part| part.as_text()).collect();
                let text = texts.into_iter().find(|text| !NOTES.contains(text)).unwrap_or_default();
                calls.push(format!("{:?} {:?} {text}", result.call_id, result.name));
            }
            _ => {}
        }
    }
    (text, calls)
}

#[test]
fn answers_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| !exchange.is_stream()) {
        count += 1;
        let tree: Value = serde_json::from_str(&exchange.body).unwrap();
        match gemini::decode_answer(exchange.body.as_bytes(), &UsageRules::default()) {
            Ok(answer) => {
                let encoded = gemini::encode_answer(&answer, &mut reply(Dialect::Gemini));
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
                same_usage(&answer, &tree["usageMetadata"], &exchange.name);
                let chat = openai_chat::encode_answer(&answer, &mut reply(Dialect::Gemini));
                openai_chat::decode_answer(chat.body.as_bytes(), &UsageRules::default()).unwrap();
            }
            Err(error) => odd.push(format!("{}: {error}", exchange.name)),
        }
    }
    report("answers", &odd, count);
}

/// The counts are what the provider reported, and add up to its total.
fn same_usage(answer: &Answer, reported: &Value, name: &str) {
    let count = |member: &str| reported[member].as_u64().unwrap_or(0);
    let Some(spent) = &answer.usage else {
        assert!(reported.is_null(), "{name}");
        return;
    };
    let tokens = &spent.tokens;
    assert_eq!(tokens.input, count("promptTokenCount") + count("toolUsePromptTokenCount"), "{name}");
    assert_eq!(tokens.output, count("candidatesTokenCount") + count("thoughtsTokenCount"), "{name}");
    assert_eq!(tokens.reasoning, count("thoughtsTokenCount"), "{name}");
    assert_eq!(tokens.cached, count("cachedContentTokenCount"), "{name}");
    if reported["totalTokenCount"].is_u64() {
        assert_eq!(tokens.input + tokens.output, count("totalTokenCount"), "{name}");
    }
}

/// The chunks of a stream: server-sent events or an array, cut like this.
fn chunks(body: &str, cut: usize) -> Vec<Vec<u8>> {
    if !body.trim_start().starts_with(['[', '{']) {
        return frames(body, cut).iter().map(|frame| frame.data().into_owned()).collect();
    }
    let mut framer = ArrayFramer::new(64 << 20);
    let mut elements = Vec::new();
    body.as_bytes().chunks(cut).for_each(|bytes| framer.push(bytes, &mut elements).unwrap());
    assert!(framer.complete());
    elements
}

fn frames(body: &str, cut: usize) -> Vec<Frame> {
    let mut framer = SseFramer::new(16 << 20);
    let mut frames = Vec::new();
    for chunk in body.as_bytes().chunks(cut) {
        framer.push(Bytes::copy_from_slice(chunk));
        frames.extend(std::iter::from_fn(|| framer.next()).map(Result::unwrap));
    }
    frames.extend(framer.end());
    let rest = framer.take_rest();
    if !rest.is_empty() {
        frames.push(Frame::new(rest, frames.is_empty()));
    }
    frames
}

fn decode(chunks: &[Vec<u8>]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
    let mut events = Vec::new();
    chunks.iter().for_each(|chunk| decoder.push_chunk(chunk, &mut events));
    decoder.end(&mut events);
    events
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(64 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

fn texts(answer: &Answer, thoughts: bool) -> String {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    let texts = parts.filter_map(|part| match &part.kind {
        PartKind::Text(text) if !thoughts => Some(text.text.as_str()),
        PartKind::Thinking(thinking) if thoughts => Some(thinking.text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// What the chunks' parts say, put together.
fn concatenated(trees: &[Value], thoughts: bool) -> String {
    let parts = trees.iter().flat_map(|tree| tree["candidates"].as_array().cloned().unwrap_or_default());
    let parts = parts.flat_map(|candidate| candidate["content"]["parts"].as_array().cloned().unwrap_or_default());
    let said = parts.filter(|part| (part["thought"] == true) == thoughts);
    said.filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
}

#[test]
fn streams_fold_to_their_answers() {
    let (mut odd, mut count, mut unfinished) = (Vec::new(), 0, 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.is_stream()) {
        count += 1;
        let chunks = chunks(&exchange.body, usize::MAX);
        let trees: Vec<Value> = chunks.iter().filter_map(|chunk| serde_json::from_slice(chunk).ok()).collect();
        let ended = exchange.body.contains("finishReason") || exchange.body.contains("blockReason");
        let answer = match fold(decode(&chunks)) {
            Ok(answer) if ended => answer,
            Err(FoldError::Upstream(_)) if !ended => {
                unfinished += 1;
                continue;
            }
            other => {
                odd.push(format!("{}: ended {ended}: {other:?}", exchange.name));
                continue;
            }
        };
        let reported = trees.iter().rev().find(|tree| tree["usageMetadata"].is_object());
        same_usage(&answer, reported.map_or(&Value::Null, |tree| &tree["usageMetadata"]), &exchange.name);
        for thoughts in [false, true] {
            let (said, whole) = (concatenated(&trees, thoughts), texts(&answer, thoughts));
            if said != whole {
                odd.push(format!("{}: {whole:?} is not {said:?}", exchange.name));
            }
        }
    }
    println!("{unfinished} never came to their end");
    report("streams", &odd, count);
}

/// Line breaks in arguments become spaces too.
fn compact(answer: &mut Answer) {
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let PartKind::ToolCall(call) = &mut part.kind {
            call.arguments = call.arguments.replace('\n', " ");
        }
    }
}

#[test]
fn streams_come_back_with_the_same_meaning() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.is_stream()) {
        let events = decode(&chunks(&exchange.body, usize::MAX));
        assert_eq!(events, decode(&chunks(&exchange.body, 97)), "{}", exchange.name);
        for framing in [Framing::Sse, Framing::Array] {
            let mut encoder = StreamEncoder::new(reply(Dialect::Gemini), framing);
            let mut out = String::new();
            events.iter().for_each(|event| encoder.push(event, &mut out));
            let losses = encoder.into_losses();
            let after = fold(decode(&chunks(&out, usize::MAX)));
            let Ok(mut before) = fold(events.clone()) else {
                assert!(after.is_err(), "{}", exchange.name);
                continue;
            };
            count += 1;
            let mut after = after.unwrap();
            // Line breaks in the usage's JSON become spaces.
            let usage = [&mut before, &mut after].map(|answer| answer.usage.take().map(|spent| spent.tokens));
            assert_eq!(usage[0], usage[1], "{}", exchange.name);
            [&mut before, &mut after].into_iter().for_each(compact);
            if before != after || !losses.is_empty() {
                odd.push(format!("{}: {losses:?}\n  {before:?}\n  {after:?}", exchange.name));
            }
        }
        let mut chat = openai_chat::StreamEncoder::new(reply(Dialect::Gemini), true);
        let mut out = String::new();
        events.iter().for_each(|event| chat.push(event, &mut out));
        assert!(out.contains("[DONE]") || out.contains("\"error\""), "{}", exchange.name);
    }
    report("streams, again", &odd, count);
}
