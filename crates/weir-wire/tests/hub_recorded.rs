//! Recorded exchanges with real providers through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json` as in `recorded.rs`.
//! Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::hub::{
    Answer, AnswerError, Capabilities, Dialect, Event, Fold, FoldError, Ids, PartKind, Reply, Target,
};
use weir_wire::openai_chat::{self, StreamDecoder, StreamEncoder};
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};
use weir_wire::tap::{Flavor, Seen, StreamTap};

struct Exchange {
    name: String,
    request: Option<String>,
    status: u16,
    body: String,
}

impl Exchange {
    /// Whether the body is a stream, whatever its headers say.
    fn is_stream(&self) -> bool {
        ["data:", "event:", ":"].iter().any(|start| self.body.trim_start().starts_with(start))
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
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::OpenAiChat };
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
        let Ok(tree) = serde_json::from_str::<Value>(&exchange.body) else {
            odd.push(format!("{}: {}", exchange.name, exchange.body.chars().take(100).collect::<String>()));
            continue;
        };
        count += 1;
        match openai_chat::decode_answer(exchange.body.as_bytes(), &UsageRules::default()) {
            Ok(answer) => {
                let encoded = openai_chat::encode_answer(&answer, &mut reply());
                let mut again: Value = serde_json::from_str(&encoded.body).unwrap();
                forget_invented_ids(&tree, &mut again);
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
                let reported = weir_wire::answer::read_answer(exchange.body.as_bytes(), &UsageRules::default()).usage;
                assert_eq!(answer.usage.map(|spent| spent.tokens), reported, "{}", exchange.name);
            }
            Err(AnswerError::Upstream(error)) if tree["error"].is_object() => println!("an error: {}", error.message),
            Err(error) => {
                odd.push(format!("{}: {error} {}", exchange.name, &exchange.body[..200.min(exchange.body.len())]))
            }
        }
    }
    report("answers", &odd, count);
}

/// A call that came with an empty id has been given one: clients answer calls by their ids.
fn forget_invented_ids(before: &Value, after: &mut Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                match after.get_mut(name) {
                    Some(id) if name == "id" && value == "" => *id = "".into(),
                    Some(inner) => forget_invented_ids(value, inner),
                    None => {}
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).for_each(|(before, after)| forget_invented_ids(before, after));
        }
        _ => {}
    }
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

fn decode(frames: &[Frame]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
    let mut events = Vec::new();
    frames.iter().for_each(|frame| decoder.push(frame, &mut events));
    decoder.end(&mut events);
    events
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(64 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

/// What the chunks' deltas say under this name, put together.
fn concatenated(frames: &[Frame], name: &str) -> String {
    let chunks = frames.iter().filter_map(|frame| serde_json::from_slice::<Value>(&frame.data()).ok());
    chunks
        .flat_map(|chunk| chunk["choices"].as_array().cloned().unwrap_or_default())
        .filter_map(|choice| choice["delta"][name].as_str().map(str::to_owned))
        .collect()
}

fn texts(answer: &Answer, wanted: fn(&PartKind) -> Option<&str>) -> String {
    answer.choices.iter().flat_map(|choice| &choice.parts).filter_map(|part| wanted(&part.kind)).collect()
}

#[test]
fn streams_fold_to_their_answers() {
    let (mut odd, mut count, mut whole) = (Vec::new(), 0, 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        count += 1;
        let frames = frames(&exchange.body, usize::MAX);
        let mut tap = StreamTap::new(Flavor::Chat, Arc::new(UsageRules::default()));
        let seen: Vec<Seen> = frames.iter().map(|frame| tap.observe(frame)).collect();
        let failed = seen.iter().any(|seen| matches!(seen, Seen::Error(_)));
        let answer = match fold(decode(&frames)) {
            Ok(answer) if tap.complete() && !failed => answer,
            Err(FoldError::Upstream(_)) if !tap.complete() || failed => continue,
            other => {
                odd.push(format!("{}: failed {failed}: {other:?}", exchange.name));
                continue;
            }
        };
        whole += 1;
        assert_eq!(answer.usage.as_ref().map(|spent| spent.tokens), tap.usage(), "{}", exchange.name);
        assert_eq!(answer.head.id.as_deref(), tap.id(), "{}", exchange.name);
        let content = concatenated(&frames, "content");
        if !content.is_empty() {
            let text = texts(&answer, |kind| match kind {
                PartKind::Text(text) => Some(&text.text),
                _ => None,
            });
            if !text.contains(&content) {
                odd.push(format!("{}: {content} is not {text}", exchange.name));
            }
        }
        for name in ["reasoning", "reasoning_content"] {
            let thought = texts(&answer, |kind| match kind {
                PartKind::Thinking(thinking) => Some(&thinking.text),
                _ => None,
            });
            if !thought.contains(&concatenated(&frames, name)) {
                odd.push(format!("{}: {thought} is not its {name}", exchange.name));
            }
        }
    }
    println!("{whole} of them came to their end");
    report("streams", &odd, count);
}

#[test]
fn streams_come_back_with_the_same_meaning() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        let events = decode(&frames(&exchange.body, usize::MAX));
        assert_eq!(events, decode(&frames(&exchange.body, 97)), "{}", exchange.name);
        let mut encoder = StreamEncoder::new(reply(), true);
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let losses = encoder.into_losses();
        let again = decode(&frames(&out, usize::MAX));
        let (before, after) = (fold(events), fold(again));
        let Ok(mut before) = before else {
            assert!(after.is_err(), "{}", exchange.name);
            continue;
        };
        count += 1;
        let usage = before.usage.take();
        let mut after = after.unwrap();
        if before.head.id.is_none() {
            assert!(after.head.id.take().is_some(), "an id is invented");
        }
        let same_usage = after.usage.take().map(|spent| spent.tokens) == usage.map(|spent| spent.tokens);
        if before != after || !losses.is_empty() || !same_usage {
            odd.push(format!("{}: usage {same_usage} {losses:?}\n  {before:?}\n  {after:?}", exchange.name));
        }
        let encoded = openai_chat::encode_answer(&before, &mut reply());
        let decoded = openai_chat::decode_answer(encoded.body.as_bytes(), &UsageRules::default()).unwrap();
        // A whole message has one place for its texts and one for its thoughts: after that it stays.
        let again = openai_chat::encode_answer(&Answer { usage: None, ..decoded }, &mut reply());
        if again != encoded {
            odd.push(format!("{}: whole\n  {encoded:?}\n  {again:?}", exchange.name));
        }
    }
    report("streams, again", &odd, count);
}
