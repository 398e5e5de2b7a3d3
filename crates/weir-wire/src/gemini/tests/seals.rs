//! Other makers' seals, through clients that read bytes and write them in another spelling.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::gemini::{Framing, StreamEncoder, decode_request, encode_answer, encode_request};
use crate::hub::{
    Answer, Capabilities, Choice, Dialect, Ids, Part, PartKind, ReasoningReplay, Reply, Request, Seal, Stop,
    StopReason, Target, Thinking, ToolCall, unfold,
};
use crate::{anthropic, base64, bedrock, openai_chat, openai_responses};

const WILD: &str = "gAAA-_:é\n\"==.";

fn seal(text: &str, origin: Dialect) -> Option<Seal> {
    Some(Seal { text: text.into(), origin: Some(origin) })
}

/// A thought in words with its signature.
fn signed(text: &str, seal_text: &str, origin: Dialect) -> Part {
    let thinking = Thinking { text: text.into(), origin: Some(origin), ..Thinking::default() };
    Part { signature: seal(seal_text, origin), ..Part::new(PartKind::Thinking(thinking)) }
}

/// A thought that its maker alone can read.
fn hidden(id: Option<&str>, text: &str, origin: Dialect) -> Part {
    let thinking = Thinking {
        id: id.map(str::to_owned),
        text: text.into(),
        summary: id.is_some(),
        encrypted: seal(WILD, origin),
        redacted: id.is_none(),
        origin: Some(origin),
    };
    Part::new(PartKind::Thinking(thinking))
}

fn call(id: &str) -> Part {
    let call = ToolCall { id: Some(id.into()), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    Part::new(PartKind::ToolCall(call))
}

fn answer(parts: Vec<Part>) -> Answer {
    let stop = Some(Stop::new(StopReason::ToolUse));
    Answer { choices: vec![Choice { parts, stop, ..Choice::default() }], ..Answer::default() }
}

/// As the SDK does it: bytes come in either alphabet and go out in the one for URLs; texts that say
/// nothing are left out, as some clients do.
fn kept(parts: &Value) -> Vec<Value> {
    let mut parts = parts.as_array().unwrap().clone();
    parts.retain(|part| part["text"] != "");
    for part in &mut parts {
        if let Some(text) = part["thoughtSignature"].as_str() {
            assert!(base64::decode(text).is_some(), "{text}");
            let spelt = text.replace('+', "-").replace('/', "_");
            part["thoughtSignature"] = spelt.trim_end_matches('=').into();
        }
    }
    parts
}

/// The contents that clients keep: of the whole answer, and of a stream in one or one for each chunk.
fn contents(parts: &[Part], source: Dialect) -> Vec<Vec<Value>> {
    let reply = || Reply { source, now: 7, model: "m".into(), ids: Ids::new(1) };
    let whole = encode_answer(&answer(parts.to_vec()), &mut reply());
    assert_eq!(whole.losses, vec![]);
    let whole: Value = serde_json::from_str(&whole.body).unwrap();
    let mut encoder = StreamEncoder::new(reply(), Framing::Array);
    let mut out = String::new();
    unfold(answer(parts.to_vec())).iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    let chunks: Vec<Value> = serde_json::from_str(&out).unwrap();
    let streamed: Vec<Vec<Value>> = chunks
        .iter()
        .map(|chunk| {
            let content = &chunk["candidates"][0]["content"];
            assert_eq!(content["role"], "model");
            assert!(!content["parts"].as_array().unwrap().is_empty());
            kept(&content["parts"])
        })
        .collect();
    let content = |parts: Vec<Value>| json!({"role": "model", "parts": parts});
    let one = kept(&whole["candidates"][0]["content"]["parts"]);
    let apart = streamed.iter().filter(|parts| !parts.is_empty()).map(|parts| content(parts.clone()));
    vec![vec![content(one)], vec![content(streamed.concat())], apart.collect()]
}

/// The request with which such a client goes on.
fn second(contents: &[Value]) -> Request {
    let user = |part: Value| json!({"role": "user", "parts": [part]});
    let result = |id: &str| user(json!({"functionResponse": {"id": id, "name": "f", "response": {"output": "r"}}}));
    let mut all = vec![user(json!({"text": "q"}))];
    all.extend(contents.iter().cloned());
    all.push(result("1"));
    let body = json!({"contents": all, "generationConfig": {"maxOutputTokens": 9}});
    decode_request(body.to_string().as_bytes()).unwrap()
}

fn meant(request: &Request) -> Vec<String> {
    let turns = request.turns.iter().filter(|turn| turn.role == crate::hub::Role::Assistant);
    turns.flat_map(|turn| &turn.parts).map(|part| format!("{:?} {:?}", part.kind, part.signature)).collect()
}

fn told(parts: &[Part]) -> Vec<String> {
    parts.iter().map(|part| format!("{:?} {:?}", part.kind, part.signature)).collect()
}

fn takes_all() -> Capabilities {
    Capabilities { reasoning_replay: ReasoningReplay::AsWritten, ..Capabilities::default() }
}

#[test]
fn an_anthropic_model_s_thoughts_come_back_signed() {
    let parts = [signed("I look ", WILD, Dialect::Anthropic), hidden(None, "", Dialect::Anthropic), call("1")];
    for contents in contents(&parts, Dialect::Anthropic) {
        let request = second(&contents);
        assert_eq!(meant(&request), told(&parts));
        let capabilities = takes_all();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
        let encoded = anthropic::encode_request(&request, &target).unwrap();
        assert_eq!(encoded.losses, vec![]);
        let body: Value = serde_json::from_str(&encoded.body).unwrap();
        let expected = json!([
            {"type": "thinking", "thinking": "I look ", "signature": WILD},
            {"type": "redacted_thinking", "data": WILD},
            {"type": "tool_use", "id": "1", "name": "f", "input": {}}
        ]);
        assert_eq!(body["messages"][1]["content"], expected);
        // No other model is told, and least of all its own dialect's.
        let encoded = encode_request(&request, &target).unwrap();
        assert!(!encoded.body.contains("thought\":true"), "{}", encoded.body);
        assert!(encoded.losses.len() >= 2);
    }
}

#[test]
fn an_openai_model_s_reasoning_comes_back_before_its_call() {
    let first = Thinking {
        id: Some("rs_1".into()),
        text: "a".into(),
        summary: true,
        origin: Some(Dialect::OpenAiResponses),
        ..Thinking::default()
    };
    let parts = [
        Part::new(PartKind::Thinking(first)),
        hidden(Some("rs_1"), "b", Dialect::OpenAiResponses),
        hidden(Some("rs_2"), "", Dialect::OpenAiResponses),
        call("1"),
    ];
    for contents in contents(&parts, Dialect::OpenAiResponses) {
        let request = second(&contents);
        assert_eq!(meant(&request), told(&parts));
        let capabilities = takes_all();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
        let encoded = openai_responses::encode_request(&request, &target).unwrap();
        assert_eq!(encoded.losses, vec![]);
        let body: Value = serde_json::from_str(&encoded.body).unwrap();
        let summary = |text: &str| json!({"type": "summary_text", "text": text});
        let items = &body["input"].as_array().unwrap()[1..4];
        let expected = json!([
            {"type": "reasoning", "id": "rs_1", "summary": [summary("a"), summary("b")], "encrypted_content": WILD},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": WILD},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
        ]);
        assert_eq!(json!(items), expected);
    }
}

#[test]
fn bedrock_s_thoughts_come_back_too() {
    let parts = [signed("hm", WILD, Dialect::Bedrock), hidden(None, "", Dialect::Bedrock), call("1")];
    for contents in contents(&parts, Dialect::Bedrock) {
        let request = second(&contents);
        assert_eq!(meant(&request), told(&parts));
        let capabilities = takes_all();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
        let encoded = bedrock::encode_request(&request, &target).unwrap();
        let body: Value = serde_json::from_str(&encoded.body).unwrap();
        let content = &body["messages"][1]["content"];
        assert_eq!(content[0], json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": WILD}}}));
        assert_eq!(content[1]["reasoningContent"]["redactedContent"], base64::encode(WILD.as_bytes()));
        assert_eq!(content[2]["toolUse"]["name"], "f");
    }
}

#[test]
fn a_seal_of_this_dialect_s_is_its_bytes_wherever_it_came_from() {
    let google = |text: &str| Part { signature: seal(text, Dialect::Gemini), ..call("1") };
    for (text, written) in [("-_8", "+/8="), ("+/8=", "+/8="), ("skip_thought_signature_validator", STAND_IN)] {
        let whole = encode_answer(
            &answer(vec![google(text)]),
            &mut Reply { source: Dialect::OpenAiChat, now: 7, model: "m".into(), ids: Ids::new(1) },
        );
        let whole: Value = serde_json::from_str(&whole.body).unwrap();
        assert_eq!(whole["candidates"][0]["content"]["parts"][0]["thoughtSignature"], written);
    }
    // What is none is carried, and is the same seal again.
    for contents in contents(&[google("no bytes")], Dialect::OpenAiChat) {
        assert_eq!(meant(&second(&contents)), told(&[google("no bytes")]));
    }
}

const STAND_IN: &str = "skip_thought_signature_validator";

#[test]
fn a_caller_s_bytes_are_standard_for_others_and_its_own_for_google() {
    let part = |data: &str| json!({"inlineData": {"mimeType": "image/png", "data": data}});
    let sealed = |text: &str| json!({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": text});
    let body = json!({"contents": [
        {"role": "user", "parts": [part("-_8="), part("-_8"), part("+/8=")]},
        {"role": "model", "parts": [sealed("-_8"), sealed(STAND_IN)]}]});
    let mut request = decode_request(body.to_string().as_bytes()).unwrap();
    let seals: Vec<&str> =
        request.turns[1].parts.iter().filter_map(|part| Some(part.signature.as_ref()?.text.as_str())).collect();
    assert_eq!(seals, ["+/8=", STAND_IN]);
    let capabilities = Capabilities { unsealed_calls: true, ..Capabilities::default() };
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
    let own = encode_request(&request, &target).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&own.body).unwrap(), body);
    request.link_results(&mut Ids::new(1));
    let chat = openai_chat::encode_request(&request, &target).unwrap();
    let chat: Value = serde_json::from_str(&chat.body).unwrap();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,+/8="}});
    assert_eq!(chat["messages"][0]["content"], json!([image, image, image]));
}

#[test]
fn pieces_without_another_maker_s_seal_stay_apart() {
    let pieces = json!([{"text": "a", "thought": true}, {"text": "b", "thought": true}, {"text": "c"}]);
    let body = json!({"contents": [{"role": "model", "parts": pieces}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.turns[0].parts.len(), 3);
    // Nor do they join across what was said between them, or across the user's words.
    let carried = base64::encode(b"weir:anthropic:signature:::s");
    let sealed = json!({"text": "d", "thought": true, "thoughtSignature": carried});
    for between in
        [json!({"role": "model", "parts": [{"text": "x"}]}), json!({"role": "user", "parts": [{"text": "x"}]})]
    {
        let model = |part: &Value| json!({"role": "model", "parts": [part]});
        let body = json!({"contents": [model(&pieces[0]), between, model(&sealed)]});
        let request = decode_request(body.to_string().as_bytes()).unwrap();
        assert_eq!(request.turns.len(), 3);
        let PartKind::Thinking(thinking) = &request.turns[2].parts[0].kind else { panic!() };
        assert_eq!(thinking.text, "d");
    }
}

#[test]
fn a_whole_answer_without_words_has_content() {
    let encoded = encode_answer(
        &answer(Vec::new()),
        &mut Reply { source: Dialect::OpenAiChat, now: 7, model: "m".into(), ids: Ids::new(1) },
    );
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!(body["candidates"][0]["content"], json!({"parts": [], "role": "model"}));
}

proptest! {
    #[test]
    fn any_seal_passes_through_a_client(text in "\\PC{1,12}", words in "[a-c]{0,3}") {
        let parts = [signed(&words, &text, Dialect::Anthropic), Part { signature: seal(&text, Dialect::Gemini), ..call("1") }];
        for contents in contents(&parts, Dialect::Anthropic) {
            let request = second(&contents);
            let back = meant(&request);
            prop_assert_eq!(&back[0], &told(&parts)[0]);
            // Google's own come back as the bytes they are.
            prop_assert_eq!(back.len(), 2);
        }
    }
}
