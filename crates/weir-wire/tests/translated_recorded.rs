//! Recorded answers of every provider, told to callers of every form, where there are any; and what
//! recorded callers asked, for every provider.
//!
//! `WEIR_RECORDINGS` names a directory of `<provider>/<endpoint>/*.json` as in `recorded.rs`; bodies
//! that are no text are in `body_base64`. Without it the tests say so and pass.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use serde_json::Value;
use weir_wire::gemini::Framing;
use weir_wire::hub::{
    Answer, CallKind, Capabilities, Choice, CustomCalls, Dialect, Event, Extra, Fold, Ids, PartKind, Reply, Request,
    StopReason, Target, ToolCall, unfold,
};
use weir_wire::rules::UsageRules;
use weir_wire::translate::{Caller, Decoder, Inbound, decode_answer, decode_request, encode_request};

const FORMS: [Inbound; 5] =
    [Inbound::Chat, Inbound::Completions, Inbound::Responses, Inbound::Anthropic, Inbound::Gemini];
const DIALECTS: [Dialect; 7] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Bedrock,
    Dialect::Cohere,
    Dialect::Ollama,
];
const LIMIT: usize = 64 << 20;

struct Exchange {
    name: String,
    dialect: Dialect,
    rules: UsageRules,
    request: Option<String>,
    body: Vec<u8>,
    stream: bool,
}

/// The dialect of an endpoint whose answers are a conversation.
fn dialect_of(provider: &str, endpoint: &str) -> Option<Dialect> {
    Some(match (provider, endpoint) {
        (_, "chat_completions") => Dialect::OpenAiChat,
        (_, "responses") => Dialect::OpenAiResponses,
        (_, "messages") => Dialect::Anthropic,
        (_, "generate_content" | "stream_generate_content") => Dialect::Gemini,
        (_, "converse" | "converse_stream") => Dialect::Bedrock,
        ("cohere", "chat") => Dialect::Cohere,
        ("ollama", "chat") => Dialect::Ollama,
        ("writer", "chat") => Dialect::OpenAiChat,
        _ => return None,
    })
}

/// The good exchanges of every conversation.
fn exchanges() -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let mut all = Vec::new();
    for endpoint in children(&root).iter().flat_map(|provider| children(provider)) {
        let (Some(provider), Some(name)) = (endpoint.parent().and_then(Path::file_name), endpoint.file_name()) else {
            continue;
        };
        let Some(dialect) = dialect_of(&provider.to_string_lossy(), &name.to_string_lossy()) else { continue };
        all.extend(children(&endpoint).iter().filter_map(|file| exchange(&root, file, dialect)));
    }
    all
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn exchange(root: &Path, file: &Path, dialect: Dialect) -> Option<Exchange> {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let response = &tree["response"];
    (response["status"] == 200).then_some(())?;
    // Version 1 of Cohere's chat stands among the recordings of version 2.
    let place = tree["request"]["path"].as_str().or(tree["request"]["url"].as_str());
    (dialect != Dialect::Cohere || place.is_none_or(|place| place.contains("/v2/"))).then_some(())?;
    let body = match response["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(response["body_base64"].as_str()?).ok()?,
    };
    let name = file.strip_prefix(root).ok()?.to_str()?.to_owned();
    let stream = is_stream(dialect, &name, &body);
    let rules = rules_of(name.split('/').next().unwrap_or_default(), dialect);
    Some(Exchange { name, dialect, rules, request: tree["request"]["body"].as_str().map(str::to_owned), body, stream })
}

/// Whether the body is a stream, whatever its headers say.
fn is_stream(dialect: Dialect, name: &str, body: &[u8]) -> bool {
    match dialect {
        Dialect::Bedrock => name.contains("converse_stream"),
        Dialect::Ollama => body.trim_ascii_end().contains(&b'\n') && serde_json::from_slice::<Value>(body).is_err(),
        _ => [&b"data:"[..], b"event:", b":"].iter().any(|start| body.trim_ascii_start().starts_with(start)),
    }
}

/// How the provider's answers are read, where that matters here.
fn rules_of(provider: &str, dialect: Dialect) -> UsageRules {
    let outside = matches!(provider, "xai" | "perplexity") && dialect == Dialect::OpenAiChat;
    UsageRules { no_done: provider == "huggingface", reasoning_outside_output: outside, ..rules(dialect) }
}

/// How answers of a dialect's own count.
fn rules(dialect: Dialect) -> UsageRules {
    UsageRules { cache_outside_input: dialect == Dialect::Anthropic, ..UsageRules::default() }
}

/// The events of the first answer in a stream: some recordings hold several, one behind the other.
fn events(dialect: Dialect, rules: UsageRules, body: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new(dialect, Arc::new(rules), LIMIT);
    let mut events = Vec::new();
    decoder.push(Bytes::copy_from_slice(body), &mut events);
    decoder.end(&mut events);
    events
}

fn fold(events: Vec<Event>) -> Result<Answer, String> {
    let mut fold = Fold::new(LIMIT);
    events.into_iter().try_for_each(|event| fold.push(event)).map_err(|error| error.to_string())?;
    fold.finish().map_err(|error| error.to_string())
}

/// The provider's answer, as events, if it is one.
fn told(exchange: &Exchange) -> Result<Vec<Event>, String> {
    if exchange.stream {
        return Ok(events(exchange.dialect, exchange.rules.clone(), &exchange.body));
    }
    if let Ok(Value::Array(chunks)) = serde_json::from_slice(&exchange.body) {
        // Gemini's stream without `alt=sse`.
        let chunks: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        return Ok(events(exchange.dialect, exchange.rules.clone(), chunks.as_bytes()));
    }
    let answer = decode_answer(exchange.dialect, &exchange.body, &exchange.rules);
    answer.map(unfold).map_err(|error| error.to_string())
}

fn caller(form: Inbound, source: Dialect) -> Caller {
    let reply = Reply { source, now: 1, model: "asked".into(), ids: Ids::new(1) };
    let custom = CustomCalls::new(&Request::default(), 0);
    Caller { form, reply, include_usage: true, framing: Framing::Sse, echo: Extra::default(), custom, model: None }
}

/// What an answer says, as far as every dialect has a place for it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// By the choices' numbers.
    choices: BTreeMap<u32, Told>,
    /// Input, what of it was cached, output, what of it was reasoning.
    usage: [u64; 4],
}

/// What one choice says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    text: String,
    /// Names and arguments.
    calls: Vec<(String, Value)>,
    stop: Option<Class>,
}

/// Why an answer ended, as far as every dialect can tell reasons apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    End,
    Tools,
    Length,
    Filter,
}

impl Class {
    fn of(reason: StopReason) -> Self {
        match reason {
            StopReason::End | StopReason::Sequence | StopReason::Malformed | StopReason::Unknown => Self::End,
            StopReason::ToolUse => Self::Tools,
            StopReason::Length | StopReason::Window | StopReason::Pause => Self::Length,
            StopReason::Filter | StopReason::Refusal => Self::Filter,
        }
    }
}

fn counts(usage: Option<weir_wire::usage::Usage>) -> [u64; 4] {
    let usage = usage.unwrap_or_default();
    [usage.input, usage.cached, usage.output, usage.reasoning]
}

fn said(answer: &Answer) -> Said {
    let choices = answer.choices.iter().map(|choice| (choice.index, choice_said(choice))).collect();
    Said { choices, usage: counts(answer.usage.as_ref().map(|spent| spent.tokens)) }
}

fn choice_said(choice: &Choice) -> Told {
    let stop = choice.stop.as_ref().map(|stop| Class::of(stop.reason));
    let mut told = Told { text: String::new(), calls: calls(choice, false), stop };
    for part in &choice.parts {
        match &part.kind {
            PartKind::Text(text) => told.text += &text.text,
            // Where there is no place for a refusal it is text.
            PartKind::Refusal(words) => told.text += words,
            _ => {}
        }
    }
    told
}

/// The calls' names and arguments; the text for a custom tool as the `input` of a function where there
/// are `functions_alone`.
fn calls(choice: &Choice, functions_alone: bool) -> Vec<(String, Value)> {
    let calls = choice.parts.iter().filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some(call),
        _ => None,
    });
    let told = |call: &ToolCall| match call.kind {
        CallKind::Custom if functions_alone => serde_json::json!({ "input": call.arguments }),
        CallKind::Custom => Value::from(call.arguments.as_str()),
        CallKind::Function => arguments(&call.arguments),
    };
    calls.map(|call| (call.name.clone(), told(call))).collect()
}

/// Arguments that were never given are none.
fn arguments(text: &str) -> Value {
    let empty = || Value::Object(serde_json::Map::new());
    if text.is_empty() { empty() } else { serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)) }
}

/// What a caller of this form must be told of an answer in this dialect, by what its form can say. Its
/// own dialect is told what it said.
fn expected(form: Inbound, source: Dialect, answer: &Answer) -> Said {
    let mut told = said(answer);
    if matches!(form, Inbound::Anthropic | Inbound::Responses) {
        // One answer is all these have.
        told.choices.retain(|index, _| *index == 0);
    }
    let same = source == form.dialect();
    for choice in &answer.choices {
        let Some(told) = told.choices.get_mut(&choice.index) else { continue };
        if form == Inbound::Completions {
            told.calls.clear();
        }
        if matches!(form, Inbound::Anthropic | Inbound::Gemini) {
            told.calls = calls(choice, true);
        }
        if !same {
            told.text += explanation(form, choice);
        }
        if !same || form == Inbound::Completions {
            told.stop = stop_in(form, told, choice);
        }
    }
    told
}

/// Why the provider refused, which stands for the model's words where it had none. Anthropic has a
/// place of its own for it, and text completions have none.
fn explanation(form: Inbound, choice: &Choice) -> &str {
    let silent = match form {
        Inbound::Chat | Inbound::Responses => !refused(choice),
        Inbound::Gemini => choice.parts.iter().all(weir_wire::hub::Part::is_blank),
        Inbound::Completions | Inbound::Anthropic => false,
    };
    let stop = choice.stop.as_ref().filter(|stop| silent && stop.reason == StopReason::Refusal);
    stop.and_then(|stop| stop.detail.as_deref()).unwrap_or_default()
}

fn refused(choice: &Choice) -> bool {
    choice.parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)))
}

/// Why the answer ended, in the form's words.
fn stop_in(form: Inbound, told: &Told, choice: &Choice) -> Option<Class> {
    let called = !told.calls.is_empty();
    let ended = choice.stop.as_ref().is_some_and(|stop| stop.reason == StopReason::End);
    let by_calls = if called { Class::Tools } else { Class::End };
    match (form, told.stop) {
        // Text completions call nothing.
        (Inbound::Completions, Some(Class::Tools)) => Some(Class::End),
        // These have no word for it, the calls tell; and a response always has a status.
        (Inbound::Gemini | Inbound::Responses, Some(Class::Tools | Class::End)) => Some(by_calls),
        (Inbound::Responses, None) => Some(by_calls),
        // An answer that just ends with a refusal or calls has ended for their sake.
        (Inbound::Anthropic, Some(Class::End)) if ended && refused(choice) => Some(Class::Filter),
        (Inbound::Anthropic, Some(Class::End)) if ended => Some(by_calls),
        (_, stop) => stop,
    }
}

/// What a caller of this form reads in a whole answer.
fn heard(form: Inbound, body: &str) -> Result<Said, String> {
    if form == Inbound::Completions {
        let mut said = Said::default();
        hear_completion(body, &mut said)?;
        return Ok(said);
    }
    let dialect = form.dialect();
    decode_answer(dialect, body.as_bytes(), &rules(dialect)).map(|answer| said(&answer)).map_err(|e| e.to_string())
}

/// What a caller of this form reads in a stream.
fn heard_stream(form: Inbound, out: &str) -> Result<Said, String> {
    if form != Inbound::Completions {
        return fold(events(form.dialect(), rules(form.dialect()), out.as_bytes())).map(|answer| said(&answer));
    }
    let mut said = Said::default();
    let chunks = out.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    chunks.filter(|chunk| *chunk != "[DONE]").try_for_each(|chunk| hear_completion(chunk, &mut said))?;
    if out.ends_with("data: [DONE]\n\n") { Ok(said) } else { Err("no [DONE]".to_owned()) }
}

/// Adds what a text completion says, whole or one chunk of it.
fn hear_completion(body: &str, said: &mut Said) -> Result<(), String> {
    let tree: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if tree["error"].is_object() {
        return Err(tree["error"].to_string());
    }
    for choice in tree["choices"].as_array().into_iter().flatten() {
        let index = u32::try_from(choice["index"].as_u64().unwrap()).unwrap();
        let told = said.choices.entry(index).or_default();
        told.text += choice["text"].as_str().unwrap();
        told.stop = choice["finish_reason"].as_str().map(completion_class).or(told.stop);
    }
    if tree["usage"].is_object() {
        let read = weir_wire::answer::read_answer(body.as_bytes(), &UsageRules::default());
        said.usage = counts(read.usage);
    }
    Ok(())
}

fn completion_class(word: &str) -> Class {
    match word {
        "stop" => Class::End,
        "length" => Class::Length,
        "content_filter" => Class::Filter,
        other => panic!("a text completion has no reason {other}"),
    }
}

/// What there is to compare in an answer: a replay of empty answers would prove nothing.
fn weighty(said: &Said) -> Vec<&'static str> {
    let any = |has: fn(&Told) -> bool| said.choices.values().any(has);
    let [input, cached, output, reasoning] = said.usage.map(|count| count > 0);
    let all = [
        ("with text", any(|told| !told.text.is_empty())),
        ("with calls", any(|told| !told.calls.is_empty())),
        ("with a stop", any(|told| told.stop.is_some())),
        ("with usage", input && output),
        ("with cached input", cached),
        ("with reasoning", reasoning),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(what, _)| what).collect()
}

fn report(odd: &[String]) {
    let shown: Vec<_> = odd.iter().take(40).map(|line| line.chars().take(1200).collect::<String>()).collect();
    assert!(odd.is_empty(), "{} odd:\n{}", odd.len(), shown.join("\n"));
}

#[test]
fn every_caller_is_told_what_the_provider_said() {
    let (mut odd, mut counted) = (Vec::new(), BTreeMap::<String, usize>::new());
    for exchange in exchanges() {
        let kind = format!("{:?} {}", exchange.dialect, if exchange.stream { "stream" } else { "whole" });
        let events = match told(&exchange) {
            Ok(events) => events,
            Err(why) => {
                println!("{}: no answer: {:.120}", exchange.name, why);
                *counted.entry(format!("{kind}, no answer")).or_default() += 1;
                continue;
            }
        };
        let answer = fold(events.clone());
        *counted.entry(format!("{kind}{}", if answer.is_ok() { "" } else { ", broken" })).or_default() += 1;
        if let Ok(answer) = &answer {
            for what in weighty(&said(answer)) {
                *counted.entry(what.to_owned()).or_default() += 1;
            }
        }
        for form in FORMS {
            let (mut encoder, mut out) = (caller(form, exchange.dialect).encoder(), String::new());
            events.iter().for_each(|event| encoder.push(event.clone(), &mut out));
            let streamed = heard_stream(form, &out);
            let Ok(answer) = &answer else {
                if streamed.is_ok() {
                    odd.push(format!("{} to {form:?}: a broken stream came to an end", exchange.name));
                }
                continue;
            };
            let whole = caller(form, exchange.dialect).encode_answer(answer.clone());
            let expected = expected(form, exchange.dialect, answer);
            // A stream of Gemini's ends with its reason: without one it is broken to its readers.
            let endless = form == Inbound::Gemini && expected.choices.values().any(|told| told.stop.is_none());
            let streamed = if endless && streamed.is_err() { None } else { Some(streamed) };
            let heard = [("whole", Some(heard(form, &whole.body))), ("streamed", streamed)];
            for (how, heard) in heard.into_iter().filter_map(|(how, heard)| Some((how, heard?))) {
                if heard.as_ref() != Ok(&expected) {
                    odd.push(format!("{} to {form:?} {how}:\n  {expected:?}\n  {heard:?}", exchange.name));
                }
            }
        }
    }
    println!("{counted:#?}");
    report(&odd);
}

#[test]
fn every_request_is_written_for_every_provider_or_refused_with_its_place() {
    let capabilities = Capabilities::default();
    let (mut odd, mut counted) = (Vec::new(), BTreeMap::<String, usize>::new());
    for exchange in exchanges() {
        let Some(body) = exchange.request.as_deref() else { continue };
        let mut request = match decode_request(exchange.dialect, body.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                println!("{}: not read: {error}", exchange.name);
                *counted.entry(format!("{:?} not read", exchange.dialect)).or_default() += 1;
                continue;
            }
        };
        request.link_results(&mut Ids::new(1));
        for to in DIALECTS {
            let target = Target { model: "m", capabilities: &capabilities, caller: exchange.dialect };
            let what = match encode_request(to, &request, &target) {
                Ok(encoded) => match serde_json::from_str::<Value>(&encoded.body) {
                    Ok(Value::Object(_)) => "written",
                    other => {
                        odd.push(format!("{} to {to:?}: {other:?}", exchange.name));
                        continue;
                    }
                },
                Err(error) if error.field.is_empty() || error.why.is_empty() => {
                    odd.push(format!("{} to {to:?}: {error:?}", exchange.name));
                    continue;
                }
                Err(_) => "refused",
            };
            *counted.entry(format!("{:?} to {to:?} {what}", exchange.dialect)).or_default() += 1;
        }
    }
    println!("{counted:#?}");
    report(&odd);
}
