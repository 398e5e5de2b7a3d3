//! Recorded Bedrock exchanges through the hub, where there are any.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json` as in `recorded.rs`;
//! bodies that are no text are in `body_base64`. Without it the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]
#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use serde_json::Value;
use weir_wire::bedrock::embed::Style;
use weir_wire::bedrock::{StreamDecoder, decode_answer, decode_request, encode_answer, encode_request};
use weir_wire::embed;
use weir_wire::eventstream::{Kind, Message, MessageFramer};
use weir_wire::hub::{
    Answer, AnswerError, Capabilities, Dialect, Event, Fold, FoldError, Ids, PartKind, Reply, Target, unfold,
};
use weir_wire::openai_chat;
use weir_wire::rules::UsageRules;
use weir_wire::sse::Frame;

struct Exchange {
    name: String,
    request: Option<String>,
    status: u16,
    body: Vec<u8>,
}

fn exchanges(endpoints: &[&str]) -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let files = endpoints.iter().flat_map(|endpoint| children(&root.join("bedrock").join(endpoint)));
    files.filter_map(|file| exchange(&root, &file)).collect()
}

/// The exchanges of every provider's `chat_completions`.
fn chats() -> Vec<Exchange> {
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
    let response = &tree["response"];
    let body = match response["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(response["body_base64"].as_str()?).ok()?,
    };
    Some(Exchange {
        name: file.strip_prefix(root).ok()?.to_str()?.to_owned(),
        request: tree["request"]["body"].as_str().map(str::to_owned),
        status: u16::try_from(response["status"].as_u64()?).ok()?,
        body,
    })
}

fn report(what: &str, odd: &[String], of: usize) {
    println!("{what}: {of} checked");
    assert!(odd.is_empty(), "{what}: {} of {of}:\n{}", odd.len(), odd.join("\n"));
}

fn reply() -> Reply {
    Reply { source: Dialect::Bedrock, now: 0, model: "model".into(), ids: Ids::new(1) }
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(64 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Bedrock };
    for exchange in exchanges(&["converse", "converse_stream"]).iter().filter(|exchange| exchange.status == 200) {
        let Some(body) = exchange.request.as_deref() else { continue };
        let Ok(tree) = serde_json::from_str::<Value>(body) else { continue };
        count += 1;
        let encoded = decode_request(body.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|request| encode_request(&request, &target).map_err(|error| error.to_string()));
        match encoded {
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

/// What the provider reported, counted in this test's own way.
fn reported(usage: &Value) -> (u64, u64, u64, u64) {
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let (cached, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    (count("inputTokens") + cached + written, count("outputTokens"), cached, written)
}

fn counted(answer: &Answer) -> (u64, u64, u64, u64) {
    let tokens = answer.usage.as_ref().map(|spent| spent.tokens).unwrap_or_default();
    (tokens.input, tokens.output, tokens.cached, tokens.cache_write)
}

#[test]
fn answers_come_back_as_they_were() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges(&["converse"]).iter().filter(|exchange| exchange.status == 200) {
        let Ok(tree) = serde_json::from_slice::<Value>(&exchange.body) else {
            odd.push(format!("{}: no JSON", exchange.name));
            continue;
        };
        count += 1;
        match decode_answer(&exchange.body, &UsageRules::default()) {
            Ok(answer) => {
                let encoded = encode_answer(&answer, &mut reply());
                let again: Value = serde_json::from_str(&encoded.body).unwrap();
                if again != tree || !encoded.losses.is_empty() {
                    odd.push(format!("{}: {:?}\n  {tree}\n  {again}", exchange.name, encoded.losses));
                }
                let (input, output, ..) = counted(&answer);
                assert_eq!(counted(&answer), reported(&tree["usage"]), "{}", exchange.name);
                assert_eq!(Some(input + output), tree["usage"]["totalTokens"].as_u64(), "{}", exchange.name);
                assert_eq!(fold(unfold(answer.clone())), Ok(answer), "{}", exchange.name);
            }
            Err(AnswerError::Upstream(error)) if tree["output"].is_null() => println!("an error: {}", error.message),
            Err(error) => odd.push(format!("{}: {error}", exchange.name)),
        }
    }
    report("answers", &odd, count);
}

fn messages(body: &[u8], cut: usize) -> Vec<Message> {
    let mut framer = MessageFramer::new(32 << 20);
    let mut messages = Vec::new();
    for chunk in body.chunks(cut) {
        framer.push(chunk);
        messages.extend(std::iter::from_fn(|| framer.next()).map(Result::unwrap));
    }
    assert_eq!(framer.end(), Ok(()));
    messages
}

fn decode(messages: &[Message]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    messages.iter().for_each(|message| decoder.push(message, &mut events));
    decoder.end(&mut events);
    events
}

/// What the deltas say at this place, put together.
fn concatenated(messages: &[Message], pointer: &str) -> String {
    let payloads = messages.iter().filter_map(|message| serde_json::from_slice::<Value>(&message.payload).ok());
    payloads.filter_map(|payload| payload.pointer(pointer)?.as_str().map(str::to_owned)).collect()
}

fn texts(answer: &Answer, wanted: fn(&PartKind) -> Option<&str>) -> String {
    answer.choices.iter().flat_map(|choice| &choice.parts).filter_map(|part| wanted(&part.kind)).collect()
}

#[test]
fn streams_fold_to_their_answers() {
    let (mut odd, mut count) = (Vec::new(), 0);
    for exchange in exchanges(&["converse_stream"]).iter().filter(|exchange| exchange.status == 200) {
        count += 1;
        let all = messages(&exchange.body, usize::MAX);
        let events = decode(&all);
        assert_eq!(events, decode(&messages(&exchange.body, 7)), "{}", exchange.name);
        let answer = match fold(events) {
            Ok(answer) => answer,
            Err(error) => {
                odd.push(format!("{}: {error}", exchange.name));
                continue;
            }
        };
        let text = texts(&answer, |kind| match kind {
            PartKind::Text(text) => Some(&text.text),
            _ => None,
        });
        let thoughts = texts(&answer, |kind| match kind {
            PartKind::Thinking(thinking) => Some(&thinking.text),
            _ => None,
        });
        assert_eq!(text, concatenated(&all, "/delta/text"), "{}", exchange.name);
        assert_eq!(thoughts, concatenated(&all, "/delta/reasoningContent/text"), "{}", exchange.name);
        let metadata = all.iter().rev().find(|message| message.kind() == Kind::Event("metadata"));
        let metadata: Value =
            metadata.map(|message| serde_json::from_slice(&message.payload).unwrap()).unwrap_or_default();
        assert_eq!(counted(&answer), reported(&metadata["usage"]), "{}", exchange.name);
        // Written whole and read again it is the same answer.
        let encoded = encode_answer(&answer, &mut reply());
        let again = decode_answer(encoded.body.as_bytes(), &UsageRules::default()).unwrap();
        let second = encode_answer(&again, &mut reply());
        if encoded.body != second.body || !encoded.losses.is_empty() || again.choices != answer.choices {
            odd.push(format!("{}: {:?}\n  {answer:?}\n  {again:?}", exchange.name, encoded.losses));
        }
    }
    report("streams", &odd, count);
}

#[test]
fn errors_are_read() {
    let mut count = 0;
    for exchange in exchanges(&["converse", "converse_stream"]).iter().filter(|exchange| exchange.status >= 400) {
        count += 1;
        let tree: Value = serde_json::from_slice(&exchange.body).unwrap();
        let error = weir_wire::fault::read_error(exchange.status, None, &exchange.body);
        assert_eq!(Some(error.message.as_str()), tree["message"].as_str(), "{}", exchange.name);
    }
    println!("errors: {count} checked");
}

#[test]
fn embeddings_are_read() {
    let mut count = 0;
    for exchange in exchanges(&["invoke"]).iter().filter(|exchange| exchange.status == 200) {
        let Ok(tree) = serde_json::from_slice::<Value>(&exchange.body) else { continue };
        if tree["embedding"].is_null() && tree["embeddings"].is_null() {
            continue;
        }
        count += 1;
        let api = embed::Api::Bedrock(Style::TitanV2);
        let read = embed::decode_answer(&exchange.body, api, &UsageRules::default()).unwrap();
        assert_eq!(read.items.len(), 1, "{}", exchange.name);
        let tokens = read.usage.map(|spent| spent.tokens.input);
        assert_eq!(tokens, tree["inputTextTokenCount"].as_u64(), "{}", exchange.name);
    }
    println!("embeddings: {count} checked");
}

/// Streams of `invoke-with-response-stream` come in the same frames.
#[test]
fn other_streams_are_framed_too() {
    let mut count = 0;
    for exchange in exchanges(&["invoke_stream"]).iter().filter(|exchange| exchange.status == 200) {
        count += 1;
        let all = messages(&exchange.body, usize::MAX);
        assert_eq!(all, messages(&exchange.body, 11), "{}", exchange.name);
        let bytes: Vec<u8> = all.iter().flat_map(weir_wire::eventstream::encode).collect();
        assert!(bytes == exchange.body, "{}", exchange.name);
    }
    println!("framed: {count} checked");
}

/// Text and thoughts, each put together, and a line for each call.
fn meaning(answer: &Answer) -> (String, String, Vec<String>) {
    let text = texts(answer, |kind| match kind {
        PartKind::Text(text) => Some(&text.text),
        _ => None,
    });
    let thoughts = texts(answer, |kind| match kind {
        PartKind::Thinking(thinking) => Some(&thinking.text),
        _ => None,
    });
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    let calls = parts.filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some(format!("{:?} {} {}", call.id, call.name, call.object()?.to_value())),
        _ => None,
    });
    (text, thoughts, calls.collect())
}

/// Recorded answers and streams, told to a chat client, who understands the same.
#[test]
fn chat_clients_are_told_the_same() {
    let rules = UsageRules::default();
    let mut count = 0;
    for exchange in exchanges(&["converse", "converse_stream"]).iter().filter(|exchange| exchange.status == 200) {
        count += 1;
        let name = &exchange.name;
        let (before, events) = if name.contains("converse_stream") {
            let events = decode(&messages(&exchange.body, usize::MAX));
            (fold(events.clone()).unwrap(), events)
        } else {
            let answer = decode_answer(&exchange.body, &rules).unwrap();
            (answer.clone(), unfold(answer))
        };
        let whole = openai_chat::encode_answer(&before, &mut reply());
        let whole = openai_chat::decode_answer(whole.body.as_bytes(), &rules).unwrap();
        assert_eq!(meaning(&whole), meaning(&before), "{name}");
        assert_eq!(counted(&whole), counted(&before), "{name}");
        let mut encoder = openai_chat::StreamEncoder::new(reply(), true);
        let mut out = String::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let mut decoder = openai_chat::StreamDecoder::new(Arc::new(rules.clone()));
        let mut again = Vec::new();
        for frame in out.split_inclusive("\n\n") {
            decoder.push(&Frame::new(frame.to_owned().into(), false), &mut again);
        }
        decoder.end(&mut again);
        let streamed = fold(again).unwrap();
        assert_eq!(meaning(&streamed), meaning(&before), "{name}");
        assert_eq!(counted(&streamed), counted(&before), "{name}");
    }
    println!("told to chat clients: {count} checked");
}

/// What real callers say in OpenAI chat is written as AWS wants it, or refused with its place.
#[test]
fn chat_requests_are_written_or_refused() {
    let (mut written, mut refused) = (0, std::collections::BTreeMap::<String, usize>::new());
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    for exchange in chats().iter().filter(|exchange| exchange.status == 200) {
        let Some(body) = exchange.request.as_deref() else { continue };
        let Ok(mut request) = openai_chat::decode_request(body.as_bytes()) else { continue };
        request.link_results(&mut Ids::new(1));
        match encode_request(&request, &target) {
            Ok(encoded) => {
                written += 1;
                is_wellformed(&serde_json::from_str(&encoded.body).unwrap(), &exchange.name);
            }
            Err(error) => *refused.entry(error.why).or_default() += 1,
        }
    }
    println!("chat requests: {written} written, refused: {refused:#?}");
}

/// What AWS demands of every request: sides that alternate, no blank text, a result behind every
/// call, and definitions of tools wherever there are calls.
fn is_wellformed(body: &Value, name: &str) {
    let none = Vec::new();
    let messages = body["messages"].as_array().unwrap_or(&none);
    let blocks = |message: &Value, kind: &str| -> Vec<Value> {
        let all = message["content"].as_array().unwrap();
        assert!(!all.is_empty(), "{name}");
        all.iter().map(|block| block[kind].clone()).filter(|block| !block.is_null()).collect()
    };
    let mut called = false;
    for (index, message) in messages.iter().enumerate() {
        let next = messages.get(index + 1);
        assert!(next.is_none_or(|next| next["role"] != message["role"]), "{name}: {body}");
        assert!(blocks(message, "text").iter().all(|text| !text.as_str().unwrap().trim().is_empty()), "{name}");
        for call in blocks(message, "toolUse") {
            called = true;
            assert!(call["input"].is_object(), "{name}");
            let results = blocks(next.unwrap(), "toolResult");
            assert!(results.iter().any(|result| result["toolUseId"] == call["toolUseId"]), "{name}: {body}");
        }
    }
    let tools = body["toolConfig"]["tools"].as_array().map_or(0, Vec::len);
    assert!(!called || tools > 0, "{name}");
    assert!(body["toolConfig"].is_null() || tools > 0, "{name}");
}
