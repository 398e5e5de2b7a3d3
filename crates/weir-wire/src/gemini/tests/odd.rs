//! Single cases: what is refused, schemas, thinking by every style, results with pictures.

use serde_json::{Value, json};

use crate::gemini::{Framing, decode_answer, decode_request, encode_error, encode_request, read_usage, schema};
use crate::hub::{
    CallKind, Capabilities, Custom, Dialect, Extra, Form, Json, Losses, Media, Native, Num, Opaque, Part, PartKind,
    Place, Reasoning, ReasoningStyle, Request, Role, Seal, Source, StopReason, Target, Tool, ToolCall, ToolKind,
    ToolResult, Turn,
};
use crate::rules::UsageRules;

const FROM: Dialect = Dialect::Anthropic;

/// The body and the losses, each as `field what`.
fn encode(request: &Request, capabilities: &Capabilities, caller: Dialect) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &Target { model: "m", capabilities, caller }).unwrap();
    let losses = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), losses)
}

fn refused(request: &Request) -> String {
    let capabilities = Capabilities::default();
    encode_request(request, &Target { model: "m", capabilities: &capabilities, caller: FROM }).unwrap_err().to_string()
}

fn says(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

fn placed(mut part: Part, at: &str) -> Part {
    part.at = Place::root().member(at);
    part
}

fn image() -> Part {
    let media = Media::new(Source::Base64("iVBORw".into()), None);
    placed(Part::new(PartKind::Image(media)), "image")
}

fn call(id: &str, name: &str) -> Part {
    Part::new(PartKind::ToolCall(ToolCall { id: Some(id.into()), name: name.into(), ..ToolCall::default() }))
}

fn result(id: &str, parts: Vec<Part>, failed: bool) -> Part {
    let result = ToolResult { call_id: Some(id.into()), name: None, parts, failed: failed.then_some(true) };
    placed(Part::new(PartKind::ToolResult(result)), "result")
}

#[test]
fn what_is_no_request_is_told_with_its_place() {
    for (body, told) in [
        (json!({}), "contents: missing, expected a list of contents"),
        (
            json!({"contents": [{"role": "assistant"}]}),
            "contents[0].role: unknown role \"assistant\", expected user or model",
        ),
        (
            json!({"contents": [{"parts": [{"text": 7}]}]}),
            "contents[0].parts[0].text: expected a string, found a number",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": {}}]}]}),
            "contents[0].parts[0].functionCall.name: missing, expected a string",
        ),
        (
            json!({"contents": [], "generationConfig": {"topP": "x"}}),
            "generationConfig.topP: expected a number, found a string",
        ),
        (json!({"contents": [], "a.b": 1}), "a.b: unknown member"),
    ] {
        assert_eq!(decode_request(body.to_string().as_bytes()).unwrap_err().to_string(), told);
    }
}

#[test]
fn results_hold_pictures_where_the_model_takes_them() {
    let request = says(vec![
        Turn::new(Role::Assistant, vec![call("1", "f"), call("2", "g")]),
        Turn::new(
            Role::User,
            vec![result("1", vec![Part::text("a"), image()], false), result("2", vec![], true), Part::text("so?")],
        ),
    ]);
    let (body, losses) = encode(&request, &Capabilities::default(), FROM);
    let data = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw"}});
    let first = json!({"functionResponse": {"id": "1", "name": "f", "response": {"output": "a"}, "parts": [data]}});
    let second = json!({"functionResponse": {"id": "2", "name": "g", "response": {"error": ""}}});
    assert_eq!(body["contents"][1], json!({"role": "user", "parts": [first, second]}));
    assert_eq!(body["contents"][2], json!({"role": "user", "parts": [{"text": "so?"}]}));
    assert!(losses.is_empty());
    let less = Capabilities { tool_result_images: false, ..Capabilities::default() };
    let (body, losses) = encode(&request, &less, FROM);
    let response = &body["contents"][1]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"output": ["a", "[shown in the next message]"]}));
    assert_eq!(body["contents"][2]["parts"], json!([data, {"text": "so?"}]));
    assert_eq!(losses, ["image approximated"]);
}

#[test]
fn results_stand_directly_behind_their_calls() {
    let request = says(vec![
        Turn::new(Role::User, vec![Part::text("a")]),
        Turn::new(Role::Assistant, vec![call("1", "f"), call("2", "f")]),
        Turn::new(Role::Tool, vec![result("2", vec![Part::text("y")], false)]),
        Turn::new(Role::System, vec![Part::text("late")]),
        Turn::new(Role::Tool, vec![result("1", vec![Part::text("x")], false)]),
    ]);
    let (body, losses) = encode(&request, &Capabilities::default(), FROM);
    let contents = body["contents"].as_array().unwrap();
    assert_eq!(
        contents.iter().map(|content| content["parts"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [1, 2, 2, 1]
    );
    assert_eq!(contents[3]["parts"][0]["text"], "late");
    assert_eq!(losses, [" coerced"]);
}

#[test]
fn what_the_user_said_is_refused_and_what_the_model_said_dropped() {
    let opaque = Opaque { name: "search_result".into(), native: Native { dialect: FROM, json: Json::string("x") } };
    let part = placed(Part::new(PartKind::Opaque(opaque)), "p");
    let user = says(vec![Turn::new(Role::User, vec![part.clone()])]);
    assert_eq!(refused(&user), "p: a provider's own part cannot be said in this dialect");
    let model = says(vec![Turn::new(Role::User, vec![Part::text("a")]), Turn::new(Role::Assistant, vec![part])]);
    assert_eq!(encode(&model, &Capabilities::default(), FROM).1, ["p dropped"]);
    let orphan = says(vec![Turn::new(Role::User, vec![result("9", vec![], false)])]);
    assert!(refused(&orphan).starts_with("result: the tool result answers no call"));
    let custom = Custom { name: "sh".into(), description: None, format: None, extra: Extra::default() };
    let tool = Tool {
        kind: ToolKind::Custom(custom),
        cache: None,
        form: Form::default(),
        at: Place::root(),
        extra: Extra::default(),
    };
    let given = Request { tools: vec![tool], ..Request::default() };
    let (body, losses) = encode(&given, &Capabilities::default(), FROM);
    assert_eq!(body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["required"], json!(["input"]));
    assert_eq!(losses, [" approximated"]);
}

#[test]
fn a_custom_call_and_a_foreign_seal_are_told() {
    let call = ToolCall { name: "sh".into(), arguments: "ls".into(), kind: CallKind::Custom, ..ToolCall::default() };
    let signature = Some(Seal { text: "s".into(), origin: Some(FROM) });
    let part = Part { signature, ..placed(Part::new(PartKind::ToolCall(call)), "c") };
    let (body, losses) = encode(&says(vec![Turn::new(Role::Assistant, vec![part])]), &Capabilities::default(), FROM);
    assert_eq!(body["contents"][0]["parts"], json!([{"functionCall": {"name": "sh", "args": {"input": "ls"}}}]));
    assert_eq!(losses, ["c approximated", "c dropped"]);
}

/// The `thinkingConfig` for this reasoning and style, and the losses.
fn thinking(reasoning: Reasoning, style: ReasoningStyle, off: bool) -> (Value, usize) {
    let mut request = says(vec![Turn::new(Role::User, vec![Part::text("a")])]);
    request.params.reasoning = reasoning;
    let capabilities =
        Capabilities { reasoning: style, reasoning_off: off, min_budget: 128, ..Capabilities::default() };
    let (body, losses) = encode(&request, &capabilities, FROM);
    (body["generationConfig"]["thinkingConfig"].clone(), losses.len())
}

#[test]
fn thinking_is_a_level_or_a_budget_and_never_both() {
    use ReasoningStyle::{Budget, Effort as Level, None as Never};
    let budget = |tokens| Reasoning { budget: Some(Num::whole(tokens)), ..Reasoning::default() };
    let on = |enabled| Reasoning { enabled: Some(enabled), ..Reasoning::default() };
    assert_eq!(thinking(budget(3000), Level, true), (json!({"includeThoughts": true, "thinkingLevel": "HIGH"}), 1));
    assert_eq!(thinking(budget(3000), Budget, true), (json!({"includeThoughts": true, "thinkingBudget": 3000}), 0));
    assert_eq!(thinking(budget(9), Budget, true), (json!({"includeThoughts": true, "thinkingBudget": 128}), 1));
    assert_eq!(thinking(on(false), Budget, true), (json!({"thinkingBudget": 0}), 0));
    assert_eq!(thinking(on(false), Budget, false), (json!({"thinkingBudget": 128}), 1));
    assert_eq!(thinking(on(false), Level, false), (json!({"thinkingLevel": "LOW"}), 1));
    assert_eq!(thinking(on(true), Budget, true), (json!({"includeThoughts": true, "thinkingBudget": -1}), 0));
    assert_eq!(thinking(on(true), Level, true), (json!({"includeThoughts": true}), 0));
    assert_eq!(thinking(on(true), Never, true), (Value::Null, 1));
}

#[test]
fn a_caller_s_own_level_becomes_a_budget_for_older_models() {
    let body = |config: Value| json!({"contents": [], "generationConfig": {"thinkingConfig": config}}).to_string();
    let with = |config: Value, reasoning| {
        let request = decode_request(body(config).as_bytes()).unwrap();
        let (body, losses) = encode(&request, &Capabilities { reasoning, ..Capabilities::default() }, Dialect::Gemini);
        (body["generationConfig"]["thinkingConfig"].clone(), losses.len())
    };
    assert_eq!(with(json!({"thinkingLevel": "HIGH"}), ReasoningStyle::Budget), (json!({"thinkingBudget": 4096}), 0));
    assert_eq!(with(json!({"thinkingBudget": 9}), ReasoningStyle::Effort), (json!({"thinkingBudget": 9}), 0));
    let both = json!({"thinkingLevel": "HIGH", "thinking_budget": 5000});
    assert_eq!(with(both.clone(), ReasoningStyle::Effort), (json!({"thinkingLevel": "HIGH"}), 1));
    assert_eq!(with(both, ReasoningStyle::Budget), (json!({"thinkingBudget": 5000}), 1));
}

fn open(tree: &Value) -> (Option<Value>, usize) {
    let mut losses = Losses::new(FROM, Dialect::Gemini);
    let open = schema::to_openapi(&Json::of(tree), "s", &mut losses);
    (open.map(|json| json.to_value()), losses.seal(String::new()).unwrap().losses.len())
}

#[test]
fn schemas_are_said_in_the_subset() {
    for (tree, expected, losses) in [
        (json!({"type": ["string", "null"]}), json!({"type": "STRING", "nullable": true}), 0),
        (
            json!({"type": ["string", "integer", "null"]}),
            json!({"nullable": true, "anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
            0,
        ),
        (json!({"enum": ["a", null]}), json!({"type": "STRING", "enum": ["a"], "nullable": true}), 0),
        (json!({"type": "integer", "enum": [1, 2]}), json!({"type": "INTEGER"}), 1),
        (json!({"const": "a"}), json!({"type": "STRING", "enum": ["a"]}), 0),
        (json!({"type": "array"}), json!({"type": "ARRAY", "items": {"type": "STRING"}}), 0),
        (
            json!({"properties": {"a": {"type": "string", "format": "uri"}}, "required": ["a", "b"]}),
            json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}),
            1,
        ),
        (
            json!({"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "number"}}}]}),
            json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "NUMBER"}}}),
            0,
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"type": "boolean", "description": "d"}]}),
            json!({"type": "BOOLEAN", "description": "d", "nullable": true}),
            0,
        ),
        (json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string"}}}), json!({"type": "STRING"}), 0),
    ] {
        assert_eq!(open(&tree), (Some(expected), losses), "{tree}");
    }
    assert_eq!(open(&json!({"type": "object", "properties": {}})), (None, 0));
    assert_eq!(open(&json!({"type": "array", "items": {"$ref": "#/gone"}})).1, 1);
}

/// References that multiply with each step, and schemas within themselves, come to an end.
#[test]
fn schemas_are_bounded() {
    let twice = |next: usize| json!({"properties": {"l": {"$ref": format!("#/$defs/{next}")}, "r": {"$ref": format!("#/$defs/{next}")}}});
    let defs: serde_json::Map<String, Value> = (0..40).map(|number| (number.to_string(), twice(number + 1))).collect();
    let (written, losses) = open(&json!({"$ref": "#/$defs/0", "$defs": defs}));
    assert!(written.unwrap().to_string().len() < 1 << 20);
    assert_eq!(losses, 1);
    assert_eq!(open(&json!({"$ref": "#"})).1, 1);
    assert_eq!(open(&json!({"type": "array", "items": {"$ref": "#"}})).1, 1);
}

#[test]
fn the_subset_is_read_as_a_json_schema_and_comes_back() {
    let tree = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}});
    let read = schema::from_openapi(&Json::of(&tree));
    assert_eq!(read.schema.to_value(), json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}));
    assert!(read.capitals && read.exact);
    assert_eq!(schema::capitals(&read.schema).to_value(), tree);
    let mixed = schema::from_openapi(&Json::of(&json!({"type": "Object"})));
    assert!(!mixed.exact);
}

#[test]
fn counts_are_put_into_the_hub_s_classes() {
    let usage = json!({"promptTokenCount": 100, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 20,
        "thoughtsTokenCount": 5, "totalTokenCount": 132, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, {"modality": 2, "tokenCount": 9}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 11}]});
    let read = read_usage(usage.to_string().as_bytes()).unwrap();
    assert_eq!((read.input, read.cached, read.output, read.reasoning), (107, 60, 25, 5));
    assert_eq!((read.audio_input, read.image_input, read.image_output), (30, 9, 11));
    assert_eq!(read_usage(b"{\"trafficType\":\"ON_DEMAND\"}"), None);
    assert_eq!(read_usage(b"[]"), None);
}

#[test]
fn reasons_have_their_meaning() {
    for (word, reason) in [
        (json!("STOP"), StopReason::End),
        (json!("MAX_TOKENS"), StopReason::Length),
        (json!("RECITATION"), StopReason::Filter),
        (json!("IMAGE_SAFETY"), StopReason::Filter),
        (json!("UNEXPECTED_TOOL_CALL"), StopReason::Malformed),
        (json!("OTHER"), StopReason::Unknown),
        (json!(2), StopReason::Length),
    ] {
        let body = json!({"candidates": [{"finishReason": word}]}).to_string();
        let answer = decode_answer(body.as_bytes(), &UsageRules::default()).unwrap();
        assert_eq!(answer.choices[0].stop.as_ref().unwrap().reason, reason, "{body}");
    }
    assert!(decode_answer(b"{}", &UsageRules::default()).is_err());
}

#[test]
fn errors_are_google_s() {
    let error = crate::fault::UpstreamError { message: "no".into(), ..Default::default() };
    let body = r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#;
    assert_eq!(encode_error(404, &error, Framing::Sse), body);
    assert_eq!(encode_error(404, &error, Framing::Array), format!("[{body}]"));
}

/// A text of another dialect with a source, and what is said behind it.
fn cited() -> crate::hub::Answer {
    use crate::hub::{Answer, Choice, Citation, Stop, Text};
    let citation = Citation { start: Some(4), end: Some(9), url: Some("https://x.test".into()), ..Citation::default() };
    let text = PartKind::Text(Text { text: "née Curie".into(), citations: vec![citation] });
    let thought = PartKind::Thinking(crate::hub::Thinking { text: "hm".into(), ..Default::default() });
    let parts = vec![Part::new(thought), Part::new(text), call("1", "f")];
    let choice = Choice { parts, stop: Some(Stop::new(StopReason::ToolUse)), ..Choice::default() };
    Answer { choices: vec![choice], ..Answer::default() }
}

#[test]
fn sources_of_another_dialect_point_by_bytes_in_answers_and_streams() {
    use crate::gemini::{StreamEncoder, encode_answer};
    let reply = || crate::hub::Reply { source: FROM, now: 0, model: "m".into(), ids: crate::hub::Ids::new(1) };
    let support = json!({"segment": {"partIndex": 1, "startIndex": 5, "endIndex": 10}, "groundingChunkIndices": [0]});
    let whole: Value = serde_json::from_str(&encode_answer(&cited(), &mut reply()).body).unwrap();
    assert_eq!(whole["candidates"][0]["groundingMetadata"]["groundingSupports"][0], support);
    let mut encoder = StreamEncoder::new(reply(), Framing::Array);
    let mut out = String::new();
    crate::hub::unfold(cited()).iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.into_losses(), vec![]);
    let chunks: Value = serde_json::from_str(&out).unwrap();
    let last = chunks.as_array().unwrap().last().unwrap();
    assert_eq!(last["candidates"][0]["groundingMetadata"]["groundingSupports"][0], support);
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["responseId"], chunks[0]["responseId"]);
}

#[test]
fn a_call_too_large_to_hold_ends_the_stream() {
    use crate::gemini::StreamEncoder;
    use crate::hub::{Delta, Event};
    let reply = crate::hub::Reply { source: FROM, now: 0, model: "m".into(), ids: crate::hub::Ids::new(1) };
    let mut encoder = StreamEncoder::new(reply, Framing::Array);
    let mut out = String::new();
    encoder.push(&Event::PartStart { choice: 0, part: 0, shell: Box::new(call("1", "f")) }, &mut out);
    let piece = Event::Delta { choice: 0, part: 0, delta: Delta::Arguments("x".repeat(8 << 20)) };
    (0..9).for_each(|_| encoder.push(&piece, &mut out));
    encoder.push(&Event::End, &mut out);
    let chunks: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(chunks[0]["error"]["status"], "INTERNAL");
    assert_eq!(chunks.as_array().unwrap().len(), 1);
}
