//! A chat caller's custom tool at every target that has functions alone: the request says a function
//! with one text, and its call comes back to the caller as a call of the custom tool.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use serde_json::{Value, json};
use weir_wire::hub::{Answer, Capabilities, CustomCalls, Dialect, Ids, Reply, Request, Target, unfold};
use weir_wire::rules::UsageRules;
use weir_wire::{anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses};

const LIMIT: usize = 1 << 16;

fn request() -> Request {
    let call = json!({"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** \"x\"\n"}});
    let body = json!({"model": "m",
        "messages": [
            {"role": "user", "content": "fix it"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "failed"}
        ],
        "tools": [{"type": "custom", "custom": {"name": "patch", "description": "d"}}],
        "tool_choice": {"type": "custom", "custom": {"name": "patch"}}});
    let mut request = openai_chat::decode_request(body.to_string().as_bytes()).unwrap();
    request.link_results(&mut Ids::new(1));
    request
}

/// The body for a target of this dialect without custom tools, and what was lost.
fn encoded(dialect: Dialect) -> (Value, Vec<String>) {
    let capabilities = Capabilities { custom_tools: false, ..Capabilities::default() };
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    let request = request();
    let encoded = match dialect {
        Dialect::OpenAiChat => openai_chat::encode_request(&request, &target),
        Dialect::OpenAiResponses => openai_responses::encode_request(&request, &target),
        Dialect::Anthropic => anthropic::encode_request(&request, &target),
        Dialect::Gemini => gemini::encode_request(&request, &target),
        Dialect::Bedrock => bedrock::encode_request(&request, &target),
        Dialect::Cohere => cohere::encode_request(&request, &target),
        Dialect::Ollama => ollama::encode_request(&request, &target),
    };
    let encoded = encoded.unwrap();
    let told = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), told)
}

/// Of each dialect: where a tool's schema stands, a call's arguments, and the choice with its value.
const PLACES: [(Dialect, &str, &str, &str, &str); 7] = [
    (
        Dialect::OpenAiChat,
        "/tools/0/function/parameters",
        "/messages/1/tool_calls/0/function/arguments",
        "/tool_choice/function/name",
        "patch",
    ),
    (Dialect::OpenAiResponses, "/tools/0/parameters", "/input/1/arguments", "/tool_choice/type", "function"),
    (Dialect::Anthropic, "/tools/0/input_schema", "/messages/1/content/0/input", "/tool_choice/name", "patch"),
    (
        Dialect::Gemini,
        "/tools/0/functionDeclarations/0/parametersJsonSchema",
        "/contents/1/parts/0/functionCall/args",
        "/toolConfig/functionCallingConfig/mode",
        "ANY",
    ),
    (
        Dialect::Bedrock,
        "/toolConfig/tools/0/toolSpec/inputSchema/json",
        "/messages/1/content/0/toolUse/input",
        "/toolConfig/toolChoice/tool/name",
        "patch",
    ),
    (
        Dialect::Cohere,
        "/tools/0/function/parameters",
        "/messages/1/tool_calls/0/function/arguments",
        "/tool_choice",
        "REQUIRED",
    ),
    // This one has no choice: its model's name stands in.
    (Dialect::Ollama, "/tools/0/function/parameters", "/messages/1/tool_calls/0/function/arguments", "/model", "m"),
];

#[test]
fn the_tool_its_choice_and_its_calls_are_functions() {
    for (dialect, tool, call, choice, chosen) in PLACES {
        let (body, told) = encoded(dialect);
        let at = |place: &str| body.pointer(place).cloned().unwrap_or_default();
        assert!(!body.to_string().contains("custom"), "{dialect:?}: {body}");
        assert_eq!(at(tool)["required"], json!(["input"]), "{dialect:?}: {body}");
        let arguments = match at(call) {
            Value::String(text) => serde_json::from_str(&text).unwrap(),
            object => object,
        };
        assert_eq!(arguments, json!({"input": "*** \"x\"\n"}), "{dialect:?}: {body}");
        assert_eq!(at(choice), chosen, "{dialect:?}: {body}");
        assert!(told.contains(&"tools[0] approximated".to_owned()), "{dialect:?}: {told:?}");
    }
}

/// A provider's answer that calls the function.
fn answer(dialect: Dialect) -> Answer {
    let input = json!({"input": "a\nb"});
    let rules = UsageRules::default();
    match dialect {
        Dialect::Anthropic => {
            let call = json!({"type": "tool_use", "id": "c2", "name": "patch", "input": input});
            let body = json!({"type": "message", "role": "assistant", "content": [call], "stop_reason": "tool_use"});
            anthropic::decode_answer(body.to_string().as_bytes(), &rules).unwrap()
        }
        Dialect::Gemini => {
            let call = json!({"functionCall": {"id": "c2", "name": "patch", "args": input}});
            let body = json!({"candidates": [{"content": {"role": "model", "parts": [call]}, "finishReason": "STOP"}]});
            gemini::decode_answer(body.to_string().as_bytes(), &rules).unwrap()
        }
        _ => {
            let call = json!({"id": "c2", "function": {"name": "patch", "arguments": input}});
            let message = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            let body = json!({"message": message, "done": true, "done_reason": "stop"});
            ollama::decode_answer(body.to_string().as_bytes(), &rules).unwrap()
        }
    }
}

#[test]
fn its_calls_come_back_as_the_caller_s_whole_and_streamed() {
    for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama] {
        let reply = || Reply { source: dialect, now: 1, model: "m".into(), ids: Ids::new(1) };
        let mut calls = CustomCalls::new(&request(), LIMIT);
        let mut answer = answer(dialect);
        let streamed = unfold(answer.clone());
        calls.answer(&mut answer);
        let encoded = openai_chat::encode_answer(&answer, &mut reply());
        let whole: Value = serde_json::from_str(&encoded.body).unwrap();
        let expected = json!({"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "a\nb"}});
        assert_eq!(whole["choices"][0]["message"]["tool_calls"][0], expected, "{dialect:?}");
        let (mut events, mut out) = (Vec::new(), String::new());
        streamed.into_iter().for_each(|event| calls.push(event, &mut events));
        let mut encoder = openai_chat::StreamEncoder::new(reply(), false);
        events.iter().for_each(|event| encoder.push(event, &mut out));
        let chunks = out.split("\n\n").filter_map(|frame| serde_json::from_str(frame.strip_prefix("data: ")?).ok());
        let told: Vec<Value> =
            chunks.map(|chunk: Value| chunk["choices"][0]["delta"]["tool_calls"][0]["custom"].clone()).collect();
        let said: String = told.iter().filter_map(|custom| custom["input"].as_str()).collect();
        assert!(told.iter().any(|custom| custom["name"] == "patch"), "{dialect:?}: {out}");
        assert_eq!(said, "a\nb", "{dialect:?}");
    }
}
