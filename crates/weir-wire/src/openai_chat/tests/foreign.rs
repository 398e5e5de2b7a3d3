//! What came in other dialects, said in this one.

use serde_json::{Value, json};

use crate::hub::{
    Answer, CacheHint, CacheTtl, Capabilities, Choice, Citation, Delta, Dialect, Document, Effort, Event, Extra, Field,
    Format, Function, Head, Ids, Json, LossKind, Media, Native, Num, Opaque, Params, Part, PartKind, Place, Reasoning,
    ReasoningReplay, Reply, Request, Role, Schema, Seal, Source, Spent, Stop, StopReason, Target, Text, Thinking, Tool,
    ToolCall, ToolChoice, ToolKind, ToolResult, Turn, unfold,
};
use crate::openai_chat::{StreamDecoder, StreamEncoder, decode_answer, decode_request, encode_answer, encode_request};
use crate::rules::UsageRules;
use crate::sse::Frame;
use crate::usage::Usage;

const FROM: Dialect = Dialect::Anthropic;

fn placed(mut part: Part, at: &str) -> Part {
    part.at = Place::root().member(at);
    part
}

fn media(mime: &str) -> Media {
    Media::new(Source::Base64("AAAA".into()), Some(mime.into()))
}

fn call(id: &str) -> Part {
    let call = ToolCall { id: Some(id.into()), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    Part::new(PartKind::ToolCall(call))
}

fn result(id: &str, parts: Vec<Part>, failed: bool) -> Part {
    let result = ToolResult { call_id: Some(id.into()), name: None, parts, failed: failed.then_some(true) };
    placed(Part::new(PartKind::ToolResult(result)), "messages[2].content[0]")
}

fn sealed_thought() -> Part {
    let thinking = Thinking { text: "hm".into(), origin: Some(FROM), ..Thinking::default() };
    let signature = Some(Seal { text: "sig".into(), origin: Some(FROM) });
    Part { signature, ..placed(Part::new(PartKind::Thinking(thinking)), "messages[1].content[0]") }
}

/// The body and the losses, each as `field what`.
fn encode(request: &Request, capabilities: &Capabilities) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &Target { model: "m", capabilities, caller: FROM }).unwrap();
    let losses = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), losses)
}

fn refused(request: &Request, capabilities: &Capabilities) -> String {
    encode_request(request, &Target { model: "m", capabilities, caller: FROM }).unwrap_err().to_string()
}

fn says(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

#[test]
fn tool_results_become_messages_before_what_the_user_says() {
    let image = placed(Part::new(PartKind::Image(media("image/png"))), "messages[2].content[0].content[1]");
    let request = says(vec![
        Turn::new(Role::System, vec![Part::text("a"), Part::text("b")]),
        Turn::new(Role::Assistant, vec![Part::text("let me "), Part::text("see"), call("1"), call("2")]),
        Turn::new(
            Role::User,
            vec![result("1", vec![Part::text("r"), image], true), result("2", vec![], false), Part::text("go on")],
        ),
    ]);
    let (body, losses) = encode(&request, &Capabilities::default());
    assert_eq!(losses, ["messages[2].content[0] approximated", "messages[2].content[0].content[1] approximated"]);
    let f = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "let me see", "tool_calls": [f("1"), f("2")]},
            {"role": "tool", "tool_call_id": "1", "content": [
                {"type": "text", "text": "[the tool failed]"},
                {"type": "text", "text": "r"},
                {"type": "text", "text": "[shown in the next message]"}]},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "go on"}]},
        ])
    );
}

#[test]
fn a_result_without_its_call_is_refused_until_linked() {
    let orphan = ToolResult { call_id: None, name: Some("f".into()), parts: vec![Part::text("r")], failed: None };
    let orphan = placed(Part::new(PartKind::ToolResult(orphan)), "contents[1].parts[0]");
    let mut request = says(vec![Turn::new(Role::Assistant, vec![call("1")]), Turn::new(Role::User, vec![orphan])]);
    let all = Capabilities::default();
    assert!(refused(&request, &all).starts_with("contents[1].parts[0]: the tool result names no call"));
    request.link_results(&mut Ids::new(1));
    assert_eq!(encode(&request, &all).0["messages"][1], json!({"role": "tool", "tool_call_id": "1", "content": "r"}));
}

#[test]
fn thoughts_are_replayed_as_the_target_takes_them() {
    let request = says(vec![Turn::new(Role::Assistant, vec![sealed_thought(), Part::text("x")])]);
    let with = |reasoning_replay| encode(&request, &Capabilities { reasoning_replay, ..Capabilities::default() });
    let (body, losses) = with(ReasoningReplay::AsWritten);
    assert_eq!(body["messages"][0], json!({"role": "assistant", "content": "x"}));
    assert_eq!(losses, ["messages[1].content[0] dropped"]);
    let (body, losses) = with(ReasoningReplay::ReasoningContent);
    assert_eq!(body["messages"][0]["reasoning_content"], "hm");
    assert!(losses.is_empty());
    let (body, _) = with(ReasoningReplay::Details);
    let detail = json!({"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0});
    assert_eq!(body["messages"][0]["reasoning_details"], json!([detail]));
}

#[test]
fn parameters_are_said_in_this_dialect_or_reported() {
    let schema = Schema {
        name: None,
        description: None,
        schema: Some(Json::parse(r#"{"type":"object"}"#).unwrap()),
        strict: None,
        extra: Extra::default(),
    };
    let native = |json: &str| Some(Native { dialect: FROM, json: Json::parse(json).unwrap() });
    let request = Request {
        params: Params {
            max_output: Some(Num::whole(9)),
            temperature: Some(Num::decimal(0.5)),
            stop: vec!["a".into(), "b".into()],
            reasoning: Reasoning { budget: Some(Num::whole(3000)), native: native("{}"), ..Reasoning::default() },
            format: Some(Format::JsonSchema(schema)),
            ..Params::default()
        },
        tool_choice: Some(ToolChoice::Required),
        extra: Extra::new(FROM, vec![("container".into(), Json::string("c"))]),
        ..Request::default()
    };
    let (body, losses) = encode(&request, &Capabilities::default());
    assert_eq!(losses, ["thinking coerced", "container dropped"]);
    assert_eq!(body["max_completion_tokens"], 9);
    assert_eq!(body["reasoning_effort"], "high");
    assert_eq!(body["response_format"]["json_schema"], json!({"name": "response", "schema": {"type": "object"}}));
    let less = Capabilities {
        sampling: false,
        forced_tools: false,
        json_schema: false,
        max_stops: Some(1),
        ..Capabilities::default()
    };
    let (body, losses) = encode(&request, &less);
    assert_eq!(body["tool_choice"], "auto");
    assert_eq!(body["stop"], json!(["a"]));
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    assert_eq!(
        losses,
        [
            "tool_choice coerced",
            "temperature dropped",
            "stop_sequences coerced",
            "thinking coerced",
            "output_config.format approximated",
            "container dropped"
        ]
    );
}

#[test]
fn a_provider_without_stream_options_is_sent_none() {
    let params = Params { stream: Some(true), stream_usage: Some(true), ..Params::default() };
    let request = Request { params, ..Request::default() };
    assert_eq!(encode(&request, &Capabilities::default()).0["stream_options"], json!({"include_usage": true}));
    let (body, losses) = encode(&request, &Capabilities { stream_options: false, ..Capabilities::default() });
    assert_eq!((&body["stream"], body.get("stream_options"), losses.len()), (&json!(true), None, 0));
}

#[test]
fn a_message_s_seal_reaches_its_text() {
    let message = json!({"role": "assistant", "content": "a",
        "extra_content": {"google": {"thought_signature": "AAAA"}}});
    let request = decode_request(json!({"messages": [message]}).to_string().as_bytes()).unwrap();
    let seal = Seal { text: "AAAA".into(), origin: Some(Dialect::Gemini) };
    assert_eq!(request.turns[0].parts[0].signature, Some(seal));
    assert!(request.turns[0].extra.is_empty());
}

#[test]
fn thinking_that_cannot_be_turned_off_is_the_least() {
    let reasoning = Reasoning { effort: Some(Effort::None), ..Reasoning::default() };
    let request = Request { params: Params { reasoning, ..Params::default() }, ..Request::default() };
    let (body, losses) = encode(&request, &Capabilities { reasoning_off: false, ..Capabilities::default() });
    assert_eq!((body["reasoning_effort"].as_str(), losses.len()), (Some("low"), 1));
    assert_eq!(encode(&request, &Capabilities::default()).0["reasoning_effort"], "none");
}

#[test]
fn what_the_user_said_is_refused_rather_than_dropped() {
    let one = |kind| says(vec![Turn::new(Role::User, vec![placed(Part::new(kind), "messages[0].content[0]")])]);
    let blind =
        Capabilities { images: false, documents: false, audio: false, media_urls: false, ..Capabilities::default() };
    let file = |source| Document { media: Media::new(source, None), title: None, context: None, citations: None };
    for (kind, capabilities) in [
        (PartKind::Image(media("image/png")), &blind),
        (PartKind::Image(Media::from_url("https://x.test/a")), &Capabilities { images: true, ..blind.clone() }),
        (PartKind::Audio(media("audio/wav")), &blind),
        (PartKind::Document(file(Source::Base64("AA".into()))), &blind),
        (PartKind::Document(file(Source::Url("https://x.test/a.pdf".into()))), &Capabilities::default()),
        (PartKind::Image(Media::new(Source::File("file_1".into()), None)), &Capabilities::default()),
        (
            PartKind::Opaque(Opaque {
                name: "search_result".into(),
                native: Native { dialect: FROM, json: Json::string("x") },
            }),
            &Capabilities::default(),
        ),
    ] {
        let told = refused(&one(kind.clone()), capabilities);
        assert!(told.starts_with("messages[0].content[0]: ") && told.contains(kind.name()), "{told}");
    }
    let text = file(Source::Plain("words".into()));
    let (body, losses) =
        encode(&one(PartKind::Document(Document { title: Some("T".into()), ..text })), &blind_but_text());
    assert_eq!(body["messages"][0]["content"], json!([{"type": "text", "text": "T\n\nwords"}]));
    assert_eq!(losses, ["messages[0].content[0] approximated"]);
}

fn blind_but_text() -> Capabilities {
    Capabilities { images: false, ..Capabilities::default() }
}

#[test]
fn cache_hints_change_their_spelling_and_lifetime() {
    let raw = Native { dialect: FROM, json: Json::parse(r#"{"type":"ephemeral","ttl":"1h"}"#).unwrap() };
    let hint = |ttl| Some(CacheHint { ttl, raw: Some(raw.clone()) });
    let part = Part { cache: hint(Some(CacheTtl::Hour)), ..placed(Part::text("x"), "system[0]") };
    let function =
        Function { name: "f".into(), description: None, parameters: None, strict: None, extra: Extra::default() };
    let tool = Tool {
        kind: ToolKind::Function(function),
        cache: hint(None),
        form: crate::hub::Form::default(),
        at: Place::root(),
        extra: Extra::default(),
    };
    let request = Request { tools: vec![tool], ..says(vec![Turn::new(Role::System, vec![part])]) };
    let with = |cache_style| encode(&request, &Capabilities { cache_style, ..Capabilities::default() });
    use crate::hub::CacheStyle::{AsWritten, Breakpoint, CacheControl};
    let (body, losses) = with(CacheControl);
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["tools"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert!(losses.is_empty());
    let (body, losses) = with(Breakpoint);
    assert_eq!(body["messages"][0]["content"][0]["prompt_cache_breakpoint"], json!({"mode": "explicit", "ttl": "12h"}));
    assert_eq!(losses, ["system[0] coerced"]);
    assert_eq!(with(AsWritten).1.len(), 2);
}

fn answer() -> Answer {
    let citation = Citation { start: Some(0), end: Some(2), url: Some("https://x.test".into()), ..Citation::default() };
    let text = PartKind::Text(Text { text: "hi".into(), citations: vec![citation] });
    let id = Some("rs_1".to_owned());
    let encrypted = Some(Seal { text: "enc".into(), origin: Some(Dialect::OpenAiResponses) });
    let origin = Some(Dialect::OpenAiResponses);
    let hidden = Thinking { id, text: "sum".into(), summary: true, encrypted, redacted: false, origin };
    let tokens = Usage { input: 10, cached: 4, output: 5, reasoning: 2, ..Usage::default() };
    Answer {
        head: Head { model: Some("m".into()), ..Head::default() },
        choices: vec![Choice {
            parts: vec![sealed_thought(), Part::new(PartKind::Thinking(hidden)), Part::new(text), no_arguments()],
            stop: Some(Stop::new(StopReason::ToolUse)),
            ..Choice::default()
        }],
        usage: Some(Spent { tokens, ..Spent::default() }),
    }
}

/// A call to which no arguments come, with no id.
fn no_arguments() -> Part {
    Part::new(PartKind::ToolCall(ToolCall { name: "f".into(), ..ToolCall::default() }))
}

fn reply() -> Reply {
    Reply { source: FROM, now: 1_700_000_000, model: "asked".into(), ids: Ids::new(1) }
}

#[test]
fn an_answer_has_all_that_clients_expect() {
    let encoded = encode_answer(&answer(), &mut reply());
    assert_eq!(encoded.losses, vec![]);
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!((body["object"].as_str(), body["created"].as_u64()), (Some("chat.completion"), Some(1_700_000_000)));
    let choice = &body["choices"][0];
    assert_eq!((choice["finish_reason"].as_str(), &choice["logprobs"]), (Some("tool_calls"), &Value::Null));
    let message = &choice["message"];
    assert_eq!((message["content"].as_str(), &message["refusal"]), (Some("hi"), &Value::Null));
    assert_eq!(message["reasoning_content"], "hmsum");
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    assert!(message["tool_calls"][0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(message["annotations"][0]["url_citation"]["url"], "https://x.test");
    assert_eq!(body["usage"]["total_tokens"], 15);
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
}

/// Thoughts that went to a client of this dialect come back as what they were.
#[test]
fn sealed_thoughts_survive_a_client_of_this_dialect() {
    let encoded = encode_answer(&answer(), &mut reply());
    let mut body: Value = serde_json::from_str(&encoded.body).unwrap();
    let message = body["choices"][0]["message"].take();
    let next = json!({"model": "m", "messages": [message]}).to_string();
    let request = decode_request(next.as_bytes()).unwrap();
    check_thoughts(&request.turns[0].parts);
}

fn check_thoughts(parts: &[Part]) {
    let thoughts: Vec<(&Thinking, Option<&Seal>)> = parts
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::Thinking(thinking) => Some((thinking, part.signature.as_ref())),
            _ => None,
        })
        .collect();
    let [(signed, signature), (summary, None), (hidden, None)] = thoughts[..] else { panic!("{thoughts:?}") };
    assert_eq!((signed.text.as_str(), signed.origin), ("hm", Some(FROM)));
    assert_eq!(signature, Some(&Seal { text: "sig".into(), origin: Some(FROM) }));
    assert!(summary.summary && summary.text == "sum" && summary.id.as_deref() == Some("rs_1"));
    let seal = hidden.encrypted.as_ref().unwrap();
    assert_eq!((seal.text.as_str(), seal.origin), ("enc", Some(Dialect::OpenAiResponses)));
    assert_eq!(hidden.id.as_deref(), Some("rs_1"));
}

#[test]
fn a_stream_says_the_same_as_the_whole_answer() {
    let mut encoder = StreamEncoder::new(reply(), true);
    let mut out = String::new();
    unfold(answer()).iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    assert!(out.ends_with("data: [DONE]\n\n"));
    let mut decoder = StreamDecoder::new(std::sync::Arc::new(UsageRules::default()));
    let (mut events, mut fold) = (Vec::new(), crate::hub::Fold::new(1 << 20));
    for event in out.split_inclusive("\n\n") {
        decoder.push(&Frame::new(event.to_owned().into(), false), &mut events);
    }
    events.into_iter().for_each(|event| fold.push(event).unwrap());
    let folded = fold.finish().unwrap();
    check_thoughts(&folded.choices[0].parts);
    let whole = decode_answer(encode_answer(&answer(), &mut reply()).body.as_bytes(), &UsageRules::default()).unwrap();
    let calls = |answer: &Answer| answer.choices[0].parts.last().unwrap().kind.clone();
    let (PartKind::ToolCall(streamed), PartKind::ToolCall(whole)) = (calls(&folded), calls(&whole)) else { panic!() };
    assert_eq!((streamed.name, streamed.arguments), (whole.name, whole.arguments));
    assert_eq!(folded.usage.unwrap().tokens, answer().usage.unwrap().tokens);
}

#[test]
fn what_no_answer_here_can_hold_is_a_loss() {
    let parts = vec![Part::new(PartKind::Image(media("image/png")))];
    let stop = Some(Stop::new(StopReason::Pause));
    let answer = Answer { choices: vec![Choice { parts, stop, ..Choice::default() }], ..Answer::default() };
    let encoded = encode_answer(&answer, &mut reply());
    let kinds: Vec<LossKind> = encoded.losses.iter().map(|loss| loss.what).collect();
    assert_eq!(kinds, [LossKind::Dropped, LossKind::Approximated]);
    let mut encoder = StreamEncoder::new(reply(), false);
    let mut out = String::new();
    unfold(answer).iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses().len(), 2);
    assert!(out.contains("\"finish_reason\":\"length\"") && !out.contains("usage"));
}

#[test]
fn makers_of_thoughts_are_known_by_their_format() {
    use crate::openai_chat::thinking::{format_of, origin};
    for (format, maker) in [
        ("anthropic-claude-v1", Dialect::Anthropic),
        ("openai-responses-v1", Dialect::OpenAiResponses),
        ("google-gemini-v1", Dialect::Gemini),
    ] {
        assert_eq!((origin(format), format_of(Some(maker))), (Some(maker), Some(format)));
    }
    assert_eq!((origin("xai-responses-v1"), format_of(None)), (None, None));
    assert_eq!(format_of(Some(Dialect::Bedrock)), format_of(Some(Dialect::Anthropic)));
}

#[test]
fn a_refusal_s_explanation_is_told() {
    let stop = Stop { detail: Some("because".into()), ..Stop::new(StopReason::Refusal) };
    let answer = Answer { choices: vec![Choice { stop: Some(stop), ..Choice::default() }], ..Answer::default() };
    let body: Value = serde_json::from_str(&encode_answer(&answer, &mut reply()).body).unwrap();
    let choice = &body["choices"][0];
    assert_eq!(
        (choice["message"]["refusal"].as_str(), choice["finish_reason"].as_str()),
        (Some("because"), Some("content_filter"))
    );
    let mut encoder = StreamEncoder::new(reply(), false);
    let mut out = String::new();
    unfold(answer).iter().for_each(|event| encoder.push(event, &mut out));
    assert!(out.contains(r#"{"refusal":"because"}"#));
}

#[test]
fn a_part_without_its_choice_still_has_a_role() {
    let mut encoder = StreamEncoder::new(reply(), false);
    let mut out = String::new();
    let shell = Box::new(Part::text(""));
    encoder.push(&Event::PartStart { choice: 0, part: 0, shell }, &mut out);
    encoder.push(&Event::Delta { choice: 0, part: 0, delta: Delta::Text("x".into()) }, &mut out);
    assert!(out.starts_with("data: {\"id\":\"chatcmpl-") && out.contains("\"role\":\"assistant\""));
    assert_eq!(Field::Stop.name(FROM), "stop_sequences");
}

/// A text with a citation of its first two characters.
fn cited(text: &str) -> Part {
    let citation = Citation { start: Some(0), end: Some(2), url: Some("https://x.test".into()), ..Citation::default() };
    Part::new(PartKind::Text(Text { text: text.into(), citations: vec![citation] }))
}

#[test]
fn passages_of_joined_texts_are_counted_from_the_start() {
    let parts = vec![cited("héé"), call("1"), cited("abcd"), Part::text("e"), cited("fg")];
    let choice = Choice { parts, ..Choice::default() };
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let places = |annotations: &Value| -> Vec<(u64, u64)> {
        let of = |one: &Value, name: &str| one["url_citation"][name].as_u64().unwrap();
        annotations.as_array().unwrap().iter().map(|one| (of(one, "start_index"), of(one, "end_index"))).collect()
    };
    let expected = vec![(0, 2), (3, 5), (8, 10)];
    let whole: Value = serde_json::from_str(&encode_answer(&answer, &mut reply()).body).unwrap();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], "hééabcdefg");
    assert_eq!(places(&message["annotations"]), expected);
    let (mut encoder, mut out) = (StreamEncoder::new(reply(), false), String::new());
    unfold(answer).iter().for_each(|event| encoder.push(event, &mut out));
    let chunks = out.split("\n\n").filter_map(|frame| serde_json::from_str(frame.strip_prefix("data: ")?).ok());
    let told: Vec<(u64, u64)> = chunks
        .flat_map(|chunk: Value| match &chunk["choices"][0]["delta"]["annotations"] {
            Value::Null => Vec::new(),
            annotations => places(annotations),
        })
        .collect();
    assert_eq!(told, expected);
}

/// The deltas of a stream of these parts.
fn deltas(parts: Vec<Part>, source: Dialect) -> Vec<Value> {
    let answer = Answer { choices: vec![Choice { parts, ..Choice::default() }], ..Answer::default() };
    let mut encoder = StreamEncoder::new(Reply { source, ..reply() }, false);
    let mut out = String::new();
    unfold(answer).iter().for_each(|event| encoder.push(event, &mut out));
    let data = out.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    chunks.map(|mut chunk| chunk["choices"][0]["delta"].take()).collect()
}

#[test]
fn google_s_seal_is_in_the_fragment_that_names_the_call() {
    let seal = Seal { text: "g".into(), origin: Some(Dialect::Gemini) };
    let call = |id: &str, signature| {
        let call = ToolCall { id: Some(id.into()), name: "f".into(), ..ToolCall::default() };
        Part { signature, ..Part::new(PartKind::ToolCall(call)) }
    };
    let google = json!({"google": {"thought_signature": "g"}});
    let told = deltas(vec![call("1", Some(seal.clone())), call("2", None)], Dialect::Gemini);
    let calls: Vec<&Value> = told.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    let function = |arguments: &str| json!({"arguments": arguments});
    let start = |index: u8, id: &str| json!({"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
    let mut sealed = start(0, "1");
    sealed["extra_content"] = google.clone();
    let more = |index: u8| json!({"index": index, "function": function("{}")});
    assert_eq!(calls, [&sealed, &more(0), &start(1, "2"), &more(1)]);
    // One that comes late has a function all the same.
    let mut encoder = StreamEncoder::new(Reply { source: Dialect::Gemini, ..reply() }, false);
    let mut out = String::new();
    let begin = Event::PartStart { choice: 0, part: 0, shell: Box::new(call("1", None)) };
    let delta = |delta| Event::Delta { choice: 0, part: 0, delta };
    for event in [begin, delta(Delta::Arguments("{}".into())), delta(Delta::Signature(seal))] {
        encoder.push(&event, &mut out);
    }
    let last = out.rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last.trim()).unwrap();
    let late = json!({"index": 0, "function": function(""), "extra_content": google});
    assert_eq!(last["choices"][0]["delta"]["tool_calls"][0], late);
}

/// As the official SDKs gather a stream: what has the same number is one, and texts are put together.
fn gathered(told: &[Value]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for detail in told.iter().filter_map(|delta| delta["reasoning_details"].as_array()).flatten() {
        let number = usize::try_from(detail["index"].as_u64().unwrap()).unwrap();
        let Some(known) = all.get_mut(number) else {
            assert_eq!(number, all.len());
            all.push(detail.clone());
            continue;
        };
        for (name, value) in detail.as_object().unwrap() {
            let joined = match (known[name].as_str(), value.as_str()) {
                (Some(before), Some(more)) if name != "type" => format!("{before}{more}").into(),
                _ => value.clone(),
            };
            known[name] = joined;
        }
    }
    all
}

#[test]
fn details_gathered_by_their_number_are_those_of_the_whole_answer() {
    let encrypted = Some(Seal { text: "enc".into(), origin: Some(Dialect::OpenAiResponses) });
    let summary = Thinking {
        id: Some("rs_1".into()),
        text: "sum".into(),
        summary: true,
        encrypted,
        origin: Some(Dialect::OpenAiResponses),
        ..Thinking::default()
    };
    let parts = vec![sealed_thought(), Part::new(PartKind::Thinking(summary)), Part::text("so"), sealed_thought()];
    let told = deltas(parts.clone(), FROM);
    let answer = Answer { choices: vec![Choice { parts, ..Choice::default() }], ..Answer::default() };
    let whole: Value = serde_json::from_str(&encode_answer(&answer, &mut reply()).body).unwrap();
    let details = whole["choices"][0]["message"]["reasoning_details"].as_array().unwrap();
    assert_eq!(details.len(), 4);
    assert_eq!(&gathered(&told), details);
}
