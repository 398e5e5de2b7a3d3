//! Recorded exchanges in the OpenAI Responses dialect through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/responses/*.json` as in `recorded.rs`.
//! Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::hub::{
    Answer, AnswerError, Capabilities, Dialect, Event, Fold, FoldError, Ids, PartKind, Reply, Target,
};
use weir_wire::openai_chat;
use weir_wire::openai_responses::{
    StreamDecoder, StreamEncoder, decode_answer, decode_request, encode_answer, encode_request,
};
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};

struct Exchange {
    name: String,
    request: Option<String>,
    status: u64,
    body: String,
}

impl Exchange {
    /// Whether the body is a stream, whatever its headers say.
    fn is_stream(&self) -> bool {
        ["data:", "event:", ":"].iter().any(|start| self.body.trim_start().starts_with(start))
    }
}

/// The exchanges of every provider's `responses`.
fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let files = children(&root).into_iter().flat_map(|provider| children(&provider.join("responses")));
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
        status: tree["response"]["status"].as_u64()?,
        body: tree["response"]["body"].as_str()?.to_owned(),
    })
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

fn reply() -> Reply {
    Reply { source: Dialect::OpenAiResponses, now: 0, model: "model".into(), ids: Ids::new(1) }
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
        let request = match decode_request(exchange.request.as_deref().unwrap_or_default().as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                odd.push(format!("{}: {error}", exchange.name));
                continue;
            }
        };
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::OpenAiResponses };
        match encode_request(&request, &target) {
            Ok(encoded) => {
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
            }
            Err(error) => odd.push(format!("{}: {error}", exchange.name)),
        }
        // Another dialect is told it, or the caller is told why not.
        match openai_chat::encode_request(&request, &target) {
            Ok(encoded) => {
                if !encoded.losses.is_empty() {
                    println!("{} in chat: {:?}", exchange.name, encoded.losses);
                }
            }
            Err(error) => println!("{} in chat: {error}", exchange.name),
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
        match decode_answer(exchange.body.as_bytes(), &UsageRules::default()) {
            Ok(answer) => {
                let encoded = encode_answer(&answer, &mut reply());
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
                let reported = weir_wire::answer::read_answer(exchange.body.as_bytes(), &UsageRules::default()).usage;
                assert_eq!(answer.usage.map(|spent| spent.tokens), reported, "{}", exchange.name);
            }
            Err(AnswerError::Upstream(error)) if tree["error"].is_object() => println!("an error: {}", error.message),
            Err(error) => odd.push(format!("{}: {error}", exchange.name)),
        }
    }
    report("answers", &odd, count);
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

/// The response that the stream's last event holds. (There are recordings of several streams.)
fn terminal(frames: &[Frame]) -> Option<Value> {
    let events = frames.iter().filter_map(|frame| serde_json::from_slice::<Value>(&frame.data()).ok());
    let mut ended = events.filter(|event| event["response"]["usage"].is_object());
    ended.next().map(|mut event| event["response"].take())
}

/// Removes ids and what is encrypted: there are providers who name and encrypt anew for each event.
fn forget(response: &mut Value) {
    response.as_object_mut().unwrap().remove("id");
    for item in response["output"].as_array_mut().into_iter().flatten() {
        for name in ["id", "encrypted_content", "fingerprint"] {
            item.as_object_mut().unwrap().remove(name);
        }
    }
}

/// What was said, without what items are called.
fn said(answer: &Answer) -> Vec<String> {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .map(|part| match &part.kind {
            PartKind::Text(text) => format!("text {} {:?}", text.text, text.citations),
            PartKind::Thinking(thinking) => format!("thinking {} {}", thinking.text, thinking.encrypted.is_some()),
            PartKind::ToolCall(call) => format!("call {:?}", call),
            PartKind::Opaque(opaque) => format!("own {}", opaque.name),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn streams_fold_to_the_response_at_their_end() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        let frames = frames(&exchange.body, usize::MAX);
        let events = decode(&frames);
        let (answer, terminal) = match (fold(events), terminal(&frames)) {
            (Ok(answer), Some(terminal)) => (answer, terminal),
            (Err(FoldError::Upstream(error)), _) => {
                println!("{}: {}", exchange.name, error.message);
                continue;
            }
            other => {
                odd.push(format!("{}: {other:?}", exchange.name));
                continue;
            }
        };
        count += 1;
        let mut whole = decode_answer(terminal.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let usage = |answer: &mut Answer| answer.usage.take().map(|spent| spent.tokens);
        let mut answer = answer;
        assert_eq!(usage(&mut answer), usage(&mut whole), "{}", exchange.name);
        if said(&answer) != said(&whole) || answer.choices[0].stop != whole.choices[0].stop {
            odd.push(format!("{}:\n  {:?}\n  {:?}", exchange.name, said(&answer), said(&whole)));
        }
        let encoded = encode_answer(&answer, &mut reply());
        let again: Value = serde_json::from_str(&encoded.body).unwrap();
        let mut terminal = terminal;
        terminal.as_object_mut().unwrap().remove("usage");
        let (mut again, mut terminal) = (again, terminal);
        forget(&mut again);
        forget(&mut terminal);
        let members = terminal.as_object().unwrap().iter().filter(|(name, value)| again[name.as_str()] != **value);
        let differ: Vec<String> =
            members.map(|(name, value)| format!("{name}\n    {value}\n    {}", again[name.as_str()])).collect();
        if !differ.is_empty() {
            odd.push(format!("{}: {}", exchange.name, differ.join("\n  ")));
        }
    }
    report("streams", &odd, count);
}

#[test]
fn streams_come_back_with_the_same_meaning() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges().iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        let events = decode(&frames(&exchange.body, usize::MAX));
        assert_eq!(events, decode(&frames(&exchange.body, 97)), "{}", exchange.name);
        let mut encoder = StreamEncoder::new(reply());
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let losses = encoder.into_losses();
        let again = decode(&frames(&out, usize::MAX));
        let (before, after) = (fold(events), fold(again));
        let Ok(before) = before else {
            assert!(after.is_err(), "{}", exchange.name);
            continue;
        };
        count += 1;
        let (before, after) = (encode_answer(&before, &mut reply()), encode_answer(&after.unwrap(), &mut reply()));
        let tree = |body: &str| serde_json::from_str::<Value>(body).unwrap();
        if tree(&before.body) != tree(&after.body) || !losses.is_empty() {
            odd.push(format!("{}: {losses:?}\n  {}\n  {}", exchange.name, before.body, after.body));
        }
    }
    report("streams, again", &odd, count);
}
