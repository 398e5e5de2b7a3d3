//! What came in other dialects, said in this one, and what of it comes back through its callers.

use serde_json::{Value, json};

use super::streams::{decode, fold};
use crate::anthropic::{StreamEncoder, decode_request, encode_answer, encode_count_request, encode_request};
use crate::hub::{
    Answer, CacheHint, CacheTtl, CallKind, Capabilities, Choice, Dialect, Event, Head, Ids, Json, Logprobs, Native,
    Opaque, Part, PartKind, Place, ReasoningReplay, ReasoningStyle, Reply, Request, Role, Seal, Spent, Stop,
    StopReason, Target, Thinking, ToolCall, ToolResult, Turn, unfold,
};
use crate::openai_chat;
use crate::sse::{Frame, SseFramer};
use crate::usage::Usage;

fn placed(mut part: Part, at: &str) -> Part {
    part.at = Place::root().member(at);
    part
}

fn call(id: &str) -> Part {
    let call = ToolCall { id: Some(id.into()), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    Part::new(PartKind::ToolCall(call))
}

fn result(id: &str) -> Part {
    let result = ToolResult { call_id: Some(id.into()), name: None, parts: vec![Part::text("r")], failed: None };
    Part::new(PartKind::ToolResult(result))
}

fn says(turns: Vec<Turn>) -> Request {
    let mut request = Request { turns, ..Request::default() };
    request.params.max_output = Some(crate::hub::Num::whole(9));
    request
}

/// The body and the losses, each as `field what`.
fn encode(request: &Request, capabilities: &Capabilities, caller: Dialect) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &Target { model: "m", capabilities, caller }).unwrap();
    let losses = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), losses)
}

fn from_chat(request: &Request) -> (Value, Vec<String>) {
    encode(request, &Capabilities::default(), Dialect::OpenAiChat)
}

fn reply(source: Dialect) -> Reply {
    Reply { source, now: 7, model: "asked".into(), ids: Ids::new(1) }
}

fn stream(events: &[Event], source: Dialect) -> (Vec<Value>, Vec<String>) {
    let mut encoder = StreamEncoder::new(reply(source));
    let mut out = String::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let mut framer = SseFramer::new(1 << 20);
    framer.push(out.into_bytes().into());
    let frames: Vec<Frame> = std::iter::from_fn(|| framer.next()).map(Result::unwrap).collect();
    let told = frames.iter().map(|frame| serde_json::from_slice(&frame.data()).unwrap()).collect();
    (told, encoder.into_losses().iter().map(ToString::to_string).collect())
}

/// What a client sends back of an answer's content.
fn sent_back(content: &Value) -> Vec<Part> {
    let body = json!({"messages": [{"role": "assistant", "content": content}]});
    decode_request(body.to_string().as_bytes()).unwrap().turns.remove(0).parts
}

fn foreign_parts() -> Vec<Part> {
    let seal = |text: &str, origin| Some(Seal { text: text.into(), origin: Some(origin) });
    let hidden = Thinking {
        id: Some("rs_1".into()),
        text: "sum".into(),
        summary: true,
        encrypted: seal("enc", Dialect::OpenAiResponses),
        origin: Some(Dialect::OpenAiResponses),
        ..Thinking::default()
    };
    let signature = || seal("sig", Dialect::Gemini);
    let sealed = |text: &str| Part { signature: signature(), ..Part::text(text) };
    vec![Part::new(PartKind::Thinking(hidden)), sealed("a"), sealed(""), Part { signature: signature(), ..call("1") }]
}

/// Form and place apart, the parts are the same.
fn meant(parts: &[Part]) -> Vec<String> {
    parts.iter().map(|part| format!("{:?} {:?}", part.kind, part.signature)).collect()
}

fn answer(parts: Vec<Part>, reason: StopReason) -> Answer {
    let choice = Choice { parts, stop: Some(Stop::new(reason)), ..Choice::default() };
    Answer { head: Head::default(), choices: vec![choice], usage: None }
}

#[test]
fn other_makers_seals_pass_through_a_client_whole_and_streamed() {
    let answer = answer(foreign_parts(), StopReason::ToolUse);
    let encoded = encode_answer(&answer, &mut reply(Dialect::Gemini));
    assert_eq!(encoded.losses, vec![]);
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!(meant(&sent_back(&body["content"])), meant(&foreign_parts()));
    let (told, losses) = stream(&unfold(answer), Dialect::Gemini);
    assert_eq!(losses, Vec::<String>::new());
    let folded = fold(decode(&told)).unwrap();
    let whole = encode_answer(&folded, &mut reply(Dialect::Anthropic));
    let whole: Value = serde_json::from_str(&whole.body).unwrap();
    assert_eq!(whole["content"], body["content"]);
}

#[test]
fn the_seal_of_a_call_stands_in_the_thought_before_it() {
    let thinking = Thinking { text: "hm".into(), origin: Some(Dialect::Gemini), ..Thinking::default() };
    let thought = Part::new(PartKind::Thinking(thinking));
    let signature = Some(Seal { text: "si:g==".into(), origin: Some(Dialect::Gemini) });
    let sealed = Part { signature: signature.clone(), ..call("1") };
    let types = |parts: &[Part], source| {
        let answer = answer(parts.to_vec(), StopReason::ToolUse);
        let whole = encode_answer(&answer, &mut reply(source));
        let whole: Value = serde_json::from_str(&whole.body).unwrap();
        assert_eq!(meant(&sent_back(&whole["content"])), meant(parts));
        let (told, losses) = stream(&unfold(answer), source);
        assert_eq!(losses, Vec::<String>::new());
        let streamed = encode_answer(&fold(decode(&told)).unwrap(), &mut reply(Dialect::Anthropic));
        let streamed: Value = serde_json::from_str(&streamed.body).unwrap();
        assert_eq!(streamed["content"], whole["content"]);
        let blocks = whole["content"].as_array().unwrap().iter();
        blocks.map(|block| block["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for source in [Dialect::Gemini, Dialect::OpenAiChat] {
        let parts = [thought.clone(), sealed.clone(), call("2")];
        assert_eq!(types(&parts, source), ["thinking", "tool_use", "tool_use"]);
        let apart = [thought.clone(), Part::text("so"), sealed.clone()];
        assert_eq!(types(&apart, source), ["thinking", "text", "thinking", "tool_use"]);
        let twice = [Part { signature: signature.clone(), ..thought.clone() }, sealed.clone()];
        assert_eq!(types(&twice, source), ["thinking", "thinking", "tool_use"]);
        let without = [thought.clone(), call("1"), sealed.clone()];
        assert_eq!(types(&without, source), ["thinking", "tool_use", "thinking", "tool_use"]);
    }
}

#[test]
fn thoughts_of_others_are_for_those_alone() {
    let encoded = encode_answer(&answer(foreign_parts(), StopReason::End), &mut reply(Dialect::Gemini));
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    let turn = json!({"max_tokens": 9, "messages": [{"role": "assistant", "content": body["content"]}]});
    let request = decode_request(turn.to_string().as_bytes()).unwrap();
    let (again, losses) = encode(&request, &Capabilities::default(), Dialect::Anthropic);
    let call = json!({"type": "tool_use", "id": "1", "name": "f", "input": {}});
    assert_eq!(again["messages"][0]["content"], json!([{"type": "text", "text": "a"}, call]));
    assert_eq!(losses, ["messages[0].content[0] dropped"]);
    let takes = Capabilities { reasoning_replay: ReasoningReplay::ReasoningContent, ..Capabilities::default() };
    let target = Target { model: "m", capabilities: &takes, caller: Dialect::Anthropic };
    let chat = openai_chat::encode_request(&request, &target).unwrap();
    let chat: Value = serde_json::from_str(&chat.body).unwrap();
    assert_eq!(chat["messages"][0]["reasoning_content"], "sum");
}

#[test]
fn a_message_of_another_model_s_thoughts_alone_is_none() {
    let thought = json!([{"type": "thinking", "thinking": "hm", "signature": "weir::none:::"}]);
    let body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": thought}, {"role": "user", "content": "b"}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    let (again, losses) = encode(&request, &Capabilities::default(), Dialect::Anthropic);
    assert_eq!((again["messages"].as_array().unwrap().len(), losses.len()), (2, 1));
}

#[test]
fn what_the_model_said_is_dropped_and_what_the_user_said_refused() {
    let native = Native { dialect: Dialect::OpenAiResponses, json: Json::string("x") };
    let own = || placed(Part::new(PartKind::Opaque(Opaque { name: "x".into(), native: native.clone() })), "input[1]");
    let by_model = says(vec![Turn::new(Role::Assistant, vec![own(), Part::text("a")])]);
    assert_eq!(from_chat(&by_model).1, ["input[1] dropped"]);
    let by_user = says(vec![Turn::new(Role::User, vec![own()])]);
    let all = Capabilities::default();
    let target = Target { model: "m", capabilities: &all, caller: Dialect::OpenAiResponses };
    assert!(encode_request(&by_user, &target).unwrap_err().to_string().starts_with("input[1]: a provider's own part"));
}

#[test]
fn an_instruction_between_a_call_and_its_result_follows_it() {
    let turns = vec![
        Turn::new(Role::User, vec![Part::text("a")]),
        Turn::new(Role::Assistant, vec![call("1")]),
        Turn::new(Role::System, vec![Part::text("later")]),
        Turn::new(Role::Tool, vec![result("1")]),
    ];
    let (body, losses) = from_chat(&says(turns.clone()));
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!((roles, losses), (vec![json!("user"), json!("assistant"), json!("user"), json!("system")], vec![]));
    let early = Capabilities { late_instructions: false, ..Capabilities::default() };
    let (body, losses) = encode(&says(turns), &early, Dialect::OpenAiChat);
    let last = &body["messages"][2]["content"];
    assert_eq!(
        (last[0]["type"].as_str(), last[1]["text"].as_str()),
        (Some("tool_result"), Some("<system>\nlater\n</system>"))
    );
    assert_eq!(losses.len(), 1);
}

#[test]
fn the_last_four_cache_hints_are_written() {
    let hinted = |index: usize| {
        let cache = Some(CacheHint { ttl: Some(CacheTtl::FiveMinutes), raw: None });
        Part { cache, ..placed(Part::text("a"), &format!("p{index}")) }
    };
    let (body, losses) = from_chat(&says(vec![Turn::new(Role::User, (0..6).map(hinted).collect())]));
    assert_eq!(losses, ["p0 dropped", "p1 dropped"]);
    let hint = json!({"type": "ephemeral", "ttl": "5m"});
    let content = body["messages"][0]["content"].as_array().unwrap();
    assert_eq!(content.iter().filter(|block| block["cache_control"] == hint).count(), 4);
}

#[test]
fn the_input_of_a_custom_tool_becomes_an_object_whole_and_streamed() {
    let call =
        ToolCall { name: "sh".into(), arguments: "ls \"a\"".into(), kind: CallKind::Custom, ..ToolCall::default() };
    let answer = answer(vec![Part::new(PartKind::ToolCall(call))], StopReason::ToolUse);
    let encoded = encode_answer(&answer, &mut reply(Dialect::OpenAiChat));
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!((&body["content"][0]["input"], encoded.losses.len()), (&json!({"input": "ls \"a\""}), 1));
    assert!(body["content"][0]["id"].as_str().unwrap().starts_with("toolu_"));
    let (told, losses) = stream(&unfold(answer), Dialect::OpenAiChat);
    let folded = fold(decode(&told)).unwrap();
    let PartKind::ToolCall(call) = &folded.choices[0].parts[0].kind else { panic!() };
    assert_eq!((call.arguments.as_str(), losses.len()), (r#"{"input":"ls \"a\""}"#, 1));
}

#[test]
fn a_stream_tells_a_refusal_one_choice_and_the_input_it_knows() {
    let mut answer = answer(vec![Part::new(PartKind::Refusal("no".into())), Part::text("")], StopReason::End);
    let logprobs = Logprobs::default();
    answer.choices[0].logprobs = Some(logprobs);
    answer.choices.push(Choice { index: 1, parts: vec![Part::text("other")], ..Choice::default() });
    let mut events = unfold(answer);
    let tokens = Usage { input: 5, cached: 2, output: 1, ..Usage::default() };
    events.insert(1, Event::Usage(Spent { tokens, ..Spent::default() }));
    let (told, losses) = stream(&events, Dialect::OpenAiChat);
    assert_eq!(told[0]["message"]["usage"]["input_tokens"], 3);
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    assert_eq!(kinds, [&["message_start"], &block[..], &["message_delta", "message_stop"]].concat());
    let details = json!({"type": "refusal", "category": null, "explanation": "no"});
    assert_eq!(told[4]["delta"], json!({"stop_reason": "refusal", "stop_details": details, "stop_sequence": null}));
    assert_eq!(losses.len(), 2, "{losses:?}");
}

#[test]
fn a_caller_of_this_dialect_is_told_of_the_other_style_of_thinking() {
    let with = |thinking: Value, reasoning: ReasoningStyle, reasoning_off: bool| {
        let body = json!({"model": "m", "max_tokens": 9000, "thinking": thinking, "messages": []});
        let request = decode_request(body.to_string().as_bytes()).unwrap();
        let capabilities = Capabilities { reasoning, reasoning_off, ..Capabilities::default() };
        let (body, losses) = encode(&request, &capabilities, Dialect::Anthropic);
        (body["thinking"].clone(), body["output_config"].clone(), losses.len())
    };
    let budget = json!({"type": "enabled", "budget_tokens": 4000});
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    assert_eq!(with(budget.clone(), ReasoningStyle::Budget, true), (budget.clone(), Value::Null, 0));
    assert_eq!(with(budget, ReasoningStyle::Adaptive, true), (adaptive.clone(), json!({"effort": "high"}), 1));
    let own = json!({"type": "enabled", "budget_tokens": 4096});
    assert_eq!(with(json!({"type": "adaptive"}), ReasoningStyle::Budget, true).0, own);
    let off = json!({"type": "disabled"});
    assert_eq!(with(off.clone(), ReasoningStyle::Adaptive, true), (off.clone(), Value::Null, 0));
    assert_eq!(with(off.clone(), ReasoningStyle::Adaptive, false), (Value::Null, json!({"effort": "low"}), 1));
    assert_eq!(with(off, ReasoningStyle::None, true), (Value::Null, Value::Null, 1));
}

#[test]
fn a_count_has_the_prompt_alone() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 9,
        "temperature": 0.5, "stop": "x", "user": "u", "stream": true, "n": 2, "reasoning_effort": "low"});
    let request = openai_chat::decode_request(body.to_string().as_bytes()).unwrap();
    let all = Capabilities::default();
    let target = Target { model: "m", capabilities: &all, caller: Dialect::OpenAiChat };
    let encoded = encode_count_request(&request, &target).unwrap();
    let told: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!(
        told,
        json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "output_config": {"effort": "low"}})
    );
    assert_eq!(encoded.losses, vec![]);
}

#[test]
fn a_begun_answer_has_no_white_space_at_its_end() {
    let begun = placed(Part::text("a \n"), "messages[1].content");
    let turns = vec![Turn::new(Role::User, vec![Part::text("q ")]), Turn::new(Role::Assistant, vec![begun])];
    let (body, losses) = from_chat(&says(turns));
    assert_eq!(body["messages"][0]["content"], "q ");
    assert_eq!(body["messages"][1]["content"], json!([{"type": "text", "text": "a"}]));
    assert_eq!(losses, ["messages[1].content coerced"]);
}

#[test]
fn the_allowed_tools_are_those_given_even_where_none_can_be_forced() {
    let function = |name: &str| json!({"type": "function", "function": {"name": name}});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [], "tools": [function("f"), function("g")],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("g")]}}});
    let request = openai_chat::decode_request(body.to_string().as_bytes()).unwrap();
    let free = Capabilities { forced_tools: false, ..Capabilities::default() };
    let (told, losses) = encode(&request, &free, Dialect::OpenAiChat);
    assert_eq!((told["tools"].as_array().unwrap().len(), &told["tool_choice"]), (1, &json!({"type": "auto"})));
    assert_eq!(losses, ["tool_choice approximated", "tool_choice coerced"]);
    let (told, _) = from_chat(&request);
    assert_eq!(told["tool_choice"], json!({"type": "any"}));
}

#[test]
fn a_stream_s_members_are_bounded() {
    let mut chunks = vec![];
    for index in 0..20 {
        let name = format!("x{index}");
        chunks.push(json!({"type": "message_delta", "delta": {name: "y".repeat(20_000)}}));
    }
    assert!(matches!(decode(&chunks).last(), Some(Event::Error(_))));
}
