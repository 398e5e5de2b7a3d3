//! Recorded exchanges in the Anthropic messages dialect through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/messages/*.json` as in `recorded.rs`.
//! Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use weir_wire::anthropic::{self, StreamDecoder, StreamEncoder};
use weir_wire::hub::{
    Answer, AnswerError, Capabilities, Dialect, Event, Fold, FoldError, Ids, PartKind, Reply, Target,
};
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};

struct Exchange {
    name: String,
    request: Option<String>,
    status: u16,
    body: String,
}

impl Exchange {
    fn is_stream(&self) -> bool {
        ["data:", "event:", ":"].iter().any(|start| self.body.trim_start().starts_with(start))
    }
}

/// The exchanges of every provider's `messages` and `count_tokens`.
fn exchanges(endpoint: &str) -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let files = children(&root).into_iter().flat_map(|provider| children(&provider.join(endpoint)));
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
    Reply { source: Dialect::Anthropic, now: 0, model: "model".into(), ids: Ids::new(1) }
}

fn rules() -> UsageRules {
    UsageRules { cache_outside_input: true, ..UsageRules::default() }
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    let capabilities = Capabilities::default();
    let all = exchanges("messages").into_iter().chain(exchanges("count_tokens"));
    for exchange in all.filter(|exchange| exchange.status == 200) {
        let Some(tree) = exchange.request.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            continue;
        };
        if tree.get("messages").is_none() {
            continue;
        }
        count += 1;
        let body = exchange.request.as_deref().unwrap_or_default();
        let request = match anthropic::decode_request(body.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                odd.push(format!("{}: {error}", exchange.name));
                continue;
            }
        };
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::Anthropic };
        match anthropic::encode_request(&request, &target) {
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
    for exchange in exchanges("messages").iter().filter(|exchange| exchange.status == 200 && !exchange.is_stream()) {
        let Ok(tree) = serde_json::from_str::<Value>(&exchange.body) else {
            odd.push(format!("{}: {}", exchange.name, exchange.body.chars().take(100).collect::<String>()));
            continue;
        };
        count += 1;
        match anthropic::decode_answer(exchange.body.as_bytes(), &rules()) {
            Ok(answer) => {
                let encoded = anthropic::encode_answer(&answer, &mut reply());
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
                check_usage(&exchange.name, &answer, &tree["usage"]);
            }
            Err(AnswerError::Upstream(error)) if tree["error"].is_object() => println!("an error: {}", error.message),
            Err(error) => odd.push(format!("{}: {error} {:.200}", exchange.name, exchange.body)),
        }
    }
    report("answers", &odd, count);
}

/// The usage is what the provider reported: the input with its cache, the output. Of a request that
/// took several samplings it is all of them, of which the members beside `iterations` leave some out.
fn check_usage(name: &str, answer: &Answer, reported: &Value) {
    let samplings = reported["iterations"].as_array().filter(|all| !all.is_empty());
    let samplings = samplings.map_or(std::slice::from_ref(reported), Vec::as_slice);
    let count = |member: &str| samplings.iter().filter_map(|one| one[member].as_u64()).sum::<u64>();
    let tokens = answer.usage.as_ref().map(|spent| spent.tokens).unwrap_or_default();
    let (cached, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    assert_eq!(tokens.input, count("input_tokens") + cached + written, "{name}");
    assert_eq!((tokens.cached, tokens.cache_write), (cached, written), "{name}");
    assert_eq!(tokens.output, count("output_tokens"), "{name}");
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
    // Some recordings hold several answers, one behind the other: the first is looked at.
    let last = frames.iter().position(|frame| frame.event() == Some("message_stop"));
    frames.truncate(last.map_or(usize::MAX, |last| last + 1));
    frames
}

fn decode(frames: &[Frame]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Arc::new(rules()));
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

/// What the events' deltas say under this name, put together.
fn concatenated(frames: &[Frame], name: &str) -> String {
    let chunks = frames.iter().filter_map(|frame| serde_json::from_slice::<Value>(&frame.data()).ok());
    chunks.filter_map(|chunk| chunk["delta"][name].as_str().map(str::to_owned)).collect()
}

/// The members of all events' usage: of those said again the last.
fn reported(frames: &[Frame]) -> Value {
    let mut all = serde_json::Map::new();
    for chunk in frames.iter().filter_map(|frame| serde_json::from_slice::<Value>(&frame.data()).ok()) {
        for usage in [&chunk["message"]["usage"], &chunk["usage"]] {
            all.extend(
                usage.as_object().cloned().unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()),
            );
        }
    }
    Value::Object(all)
}

fn texts(answer: &Answer, wanted: fn(&PartKind) -> Option<&str>) -> String {
    answer.choices.iter().flat_map(|choice| &choice.parts).filter_map(|part| wanted(&part.kind)).collect()
}

#[test]
fn streams_fold_to_their_answers() {
    let (mut odd, mut count, mut whole) = (Vec::new(), 0, 0);
    for exchange in exchanges("messages").iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        count += 1;
        let frames = frames(&exchange.body, usize::MAX);
        let complete = exchange.body.contains("message_stop") && !exchange.body.contains("event: error");
        let answer = match fold(decode(&frames)) {
            Ok(answer) if complete => answer,
            Err(FoldError::Upstream(_)) if !complete => continue,
            other => {
                odd.push(format!("{}: complete {complete}: {other:?}", exchange.name));
                continue;
            }
        };
        whole += 1;
        check_usage(&exchange.name, &answer, &reported(&frames));
        let text = texts(&answer, |kind| match kind {
            PartKind::Text(text) => Some(&text.text),
            _ => None,
        });
        let thought = texts(&answer, |kind| match kind {
            PartKind::Thinking(thinking) => Some(&thinking.text),
            _ => None,
        });
        if text != concatenated(&frames, "text") || thought != concatenated(&frames, "thinking") {
            odd.push(format!("{}: {text} {thought}", exchange.name));
        }
        let encoded = anthropic::encode_answer(&answer, &mut reply());
        let decoded = anthropic::decode_answer(encoded.body.as_bytes(), &rules()).unwrap();
        if anthropic::encode_answer(&decoded, &mut reply()) != encoded || !encoded.losses.is_empty() {
            odd.push(format!("{}: whole {encoded:?}", exchange.name));
        }
    }
    println!("{whole} of them came to their end");
    report("streams", &odd, count);
}

#[test]
fn streams_come_back_with_the_same_meaning() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges("messages").iter().filter(|exchange| exchange.status == 200 && exchange.is_stream()) {
        let events = decode(&frames(&exchange.body, usize::MAX));
        assert_eq!(events, decode(&frames(&exchange.body, 97)), "{}", exchange.name);
        let mut encoder = StreamEncoder::new(reply());
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let losses = encoder.into_losses();
        let (before, after) = (fold(events), fold(decode(&frames(&out, usize::MAX))));
        let Ok(before) = before else {
            assert!(after.is_err(), "{}", exchange.name);
            continue;
        };
        count += 1;
        let mut after = after.unwrap();
        if before.usage.is_none() {
            after.usage = None;
        }
        if before != after || !losses.is_empty() {
            odd.push(format!("{}: {losses:?}\n  {before:?}\n  {after:?}", exchange.name));
        }
    }
    report("streams, again", &odd, count);
}

#[test]
fn counts_and_errors_are_read() {
    let mut counts = 0;
    let of_dialect = |exchange: &Exchange| {
        let request = exchange.request.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        request.is_some_and(|request| request["messages"].is_array())
    };
    for exchange in exchanges("count_tokens").into_iter().filter(of_dialect) {
        match anthropic::decode_count(exchange.body.as_bytes()) {
            Ok(tokens) => {
                counts += 1;
                assert_eq!(serde_json::from_str::<Value>(&exchange.body).unwrap()["input_tokens"], tokens);
            }
            Err(error) => assert!(exchange.status != 200, "{}: {error}", exchange.name),
        }
    }
    for exchange in exchanges("messages").iter().filter(|exchange| exchange.status != 200) {
        let error = weir_wire::fault::read_error(exchange.status, None, exchange.body.as_bytes());
        let told: Value = serde_json::from_str(&anthropic::encode_error(exchange.status, &error, None)).unwrap();
        let before: Value = serde_json::from_str(&exchange.body).unwrap();
        assert_eq!((&told["type"], &told["error"]["type"]), (&before["type"], &before["error"]["type"]));
        assert_eq!(told["error"]["message"], before["error"]["message"]);
    }
    println!("{counts} counts");
}

fn said(answer: &Answer) -> (String, Vec<(String, String)>) {
    let first = answer.choices.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let text = first.iter().filter_map(|part| part.as_text()).collect();
    let calls = first.iter().filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            Some((call.name.clone(), arguments.to_string()))
        }
        _ => None,
    });
    (text, calls.collect())
}

/// Calls to which nothing was added take an empty object in this dialect; broken arguments are
/// wrapped in a whole answer and cannot be in a stream.
fn comparable(answer: &Answer) -> (String, Vec<(String, String)>) {
    let (text, mut calls) = said(answer);
    for (_, arguments) in &mut calls {
        if arguments == "null" {
            *arguments = "{}".to_owned();
        }
    }
    (text, calls)
}

/// Streams of OpenAI's dialect, told to a caller of this one.
#[test]
fn streams_of_openai_s_say_the_same_in_this_dialect() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges("chat_completions").iter().filter(|one| one.status == 200 && one.is_stream()) {
        let mut decoder = weir_wire::openai_chat::StreamDecoder::new(Arc::new(UsageRules::default()));
        let mut events = Vec::new();
        frames(&exchange.body, usize::MAX).iter().for_each(|frame| decoder.push(frame, &mut events));
        decoder.end(&mut events);
        let mut encoder = StreamEncoder::new(Reply { source: Dialect::OpenAiChat, ..reply() });
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let (before, after) = (fold(events), fold(decode(&frames(&out, usize::MAX))));
        match (before, after) {
            (Ok(before), Ok(after)) => {
                count += 1;
                let usage = |answer: &Answer| answer.usage.as_ref().map(|spent| spent.tokens).unwrap_or_default();
                let (told, heard) = (usage(&before), usage(&after));
                let same = (told.input, told.cached, told.output) == (heard.input, heard.cached, heard.output);
                if comparable(&before) != comparable(&after) || !same {
                    odd.push(format!(
                        "{}: {same} {:?}\n  {:?}",
                        exchange.name,
                        comparable(&before),
                        comparable(&after)
                    ));
                }
            }
            (Err(_), Err(_)) => {}
            (before, after) => odd.push(format!("{}: {before:?} {after:?}", exchange.name)),
        }
    }
    report("streams of chat", &odd, count);
}

/// Streams of this dialect, told to a caller of OpenAI's.
#[test]
fn streams_say_the_same_in_openai_s_dialect() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges("messages").iter().filter(|one| one.status == 200 && one.is_stream()) {
        let events = decode(&frames(&exchange.body, usize::MAX));
        let mut encoder = weir_wire::openai_chat::StreamEncoder::new(reply(), true);
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let mut decoder = weir_wire::openai_chat::StreamDecoder::new(Arc::new(UsageRules::default()));
        let mut again = Vec::new();
        frames(&out, usize::MAX).iter().for_each(|frame| decoder.push(frame, &mut again));
        decoder.end(&mut again);
        match (fold(events), fold(again)) {
            (Ok(before), Ok(after)) => {
                count += 1;
                if comparable(&before) != comparable(&after) {
                    odd.push(format!("{}: {:?}\n  {:?}", exchange.name, comparable(&before), comparable(&after)));
                }
            }
            (Err(_), Err(_)) => {}
            (before, after) => odd.push(format!("{}: {before:?} {after:?}", exchange.name)),
        }
    }
    report("streams, to chat", &odd, count);
}

/// Requests of either dialect are written in the other, or refused with their place.
#[test]
fn requests_cross_or_are_refused_with_a_place() {
    let capabilities = Capabilities::default();
    let (mut crossed, mut refused) = (0, 0);
    for (endpoint, caller) in [("chat_completions", Dialect::OpenAiChat), ("messages", Dialect::Anthropic)] {
        for exchange in exchanges(endpoint).iter().filter(|exchange| exchange.status == 200) {
            let body = exchange.request.as_deref().unwrap_or_default().as_bytes();
            let read = match caller {
                Dialect::Anthropic => anthropic::decode_request(body),
                _ => weir_wire::openai_chat::decode_request(body),
            };
            let Ok(mut request) = read else { continue };
            request.link_results(&mut Ids::new(1));
            let target = Target { model: "m", capabilities: &capabilities, caller };
            let written = match caller {
                Dialect::Anthropic => weir_wire::openai_chat::encode_request(&request, &target),
                _ => anthropic::encode_request(&request, &target),
            };
            match written {
                Ok(encoded) => {
                    crossed += 1;
                    let body = encoded.body.as_bytes();
                    let again = match caller {
                        Dialect::Anthropic => weir_wire::openai_chat::decode_request(body).map(drop),
                        _ => anthropic::decode_request(body).map(drop),
                    };
                    assert_eq!(again, Ok(()), "{}", exchange.name);
                }
                Err(error) => {
                    refused += 1;
                    println!("{}: {error}", exchange.name);
                    assert!(!error.field.is_empty(), "{}: {error}", exchange.name);
                }
            }
        }
    }
    println!("{crossed} crossed, {refused} refused");
}
