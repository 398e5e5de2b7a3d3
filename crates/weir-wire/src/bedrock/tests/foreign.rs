//! From OpenAI chat to here and back: what both can say is said.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::hub::{
    CacheHint, Capabilities, Dialect, Document, EncodeError, Format, Ids, Media, Num, Part, PartKind, Place,
    ReasoningStyle, Reply, Request, Role, Seal, Source, Target, Text, Thinking, ToolCall, ToolChoice, ToolKind,
    ToolResult, Turn,
};
use crate::rules::UsageRules;
use crate::{bedrock, openai_chat};

/// Text that is not blank.
fn word() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n🦀é]{0,6}x[ a-z]{0,4}"
}

fn user() -> BoxedStrategy<Value> {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let part = prop_oneof![4 => word().prop_map(|text| json!({"type": "text", "text": text})), 1 => Just(image)];
    prop_oneof![
        word().prop_map(|text| json!([{"role": "user", "content": text}])),
        vec(part, 1..4).prop_map(|parts| json!([{"role": "user", "content": parts}])),
    ]
    .boxed()
}

fn assistant() -> BoxedStrategy<Value> {
    let arguments = select(vec!["", "{}", "{\"a\": 1.50}", "{\"b\": [null]}"]);
    let calls = vec(("[a-z_]{1,8}", arguments, word()), 0..3);
    (option::of(word()), calls)
        .prop_map(|(text, calls)| {
            let text = if calls.is_empty() { Some(text.unwrap_or_else(|| "ok".into())) } else { text };
            let mut said = json!({"role": "assistant"});
            if let Some(text) = text {
                said["content"] = text.into();
            }
            let named: Vec<Value> = (0..)
                .zip(&calls)
                .map(|(index, (name, arguments, _)): (u32, _)| {
                    json!({"id": format!("cid_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}})
                })
                .collect();
            if !named.is_empty() {
                said["tool_calls"] = named.into();
            }
            let results = (0..).zip(&calls).map(|(index, (.., text)): (u32, _)| {
                json!({"role": "tool", "tool_call_id": format!("cid_{index}"), "content": text})
            });
            std::iter::once(said).chain(results).collect::<Vec<_>>().into()
        })
        .boxed()
}

fn conversation() -> BoxedStrategy<Value> {
    let system = vec(word().prop_map(|text| json!({"role": "system", "content": text})), 0..3);
    (system, vec((user(), assistant()), 0..4), user())
        .prop_map(|(mut all, rounds, last)| {
            let said = rounds.into_iter().flat_map(|(user, assistant)| [user, assistant]).chain([last]);
            for (index, turns) in said.enumerate() {
                // Each call has its own id.
                let text = turns.to_string().replace("cid_", &format!("cid_{index}_"));
                all.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
            }
            all.into()
        })
        .boxed()
}

fn request() -> BoxedStrategy<Value> {
    let tool = json!({"type": "function", "function": {"name": "f", "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}, "strict": true}});
    let choice = select(vec![json!("auto"), json!("required"), json!({"type": "function", "function": {"name": "f"}})]);
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}});
    let params = (0..4096u64, 0..=100u64, 0..=100u64, vec(word(), 0..3), select(vec!["flex", "priority", "default"]));
    (conversation(), option::of(choice), params, any::<bool>())
        .prop_map(move |(messages, choice, (cap, temperature, top_p, stop, tier), formed)| {
            let mut body = json!({"model": "m", "messages": messages, "max_completion_tokens": cap,
                "temperature": temperature as f64 / 100.0, "top_p": top_p as f64 / 100.0, "stop": stop,
                "service_tier": tier, "metadata": {"a": "b"}, "tools": [tool]});
            if let Some(choice) = choice {
                body["tool_choice"] = choice;
            }
            if formed {
                body["response_format"] = schema.clone();
            }
            body
        })
        .boxed()
}

/// What is said, a line for each side: texts, images, calls and results.
fn said(request: &Request) -> Vec<String> {
    let instructions = request.split_instructions().0.iter().flat_map(|turn| &turn.parts);
    let mut lines: Vec<String> = instructions.map(|part| format!("System {:?}", part.as_text())).collect();
    for round in request.rounds() {
        lines.push(format!("{:?}", round.role));
        lines.extend(round.parts.into_iter().map(|part| match &part.kind {
            PartKind::ToolCall(call) => {
                let arguments = call.object().map(|json| json.to_value());
                format!("call {:?} {} {arguments:?}", call.id, call.name)
            }
            PartKind::ToolResult(result) => {
                let texts: String = result.parts.iter().filter_map(Part::as_text).collect();
                format!("result {:?} {texts:?}", result.call_id)
            }
            PartKind::Text(text) => format!("text {:?}", text.text),
            other => format!("{other:?}"),
        }));
    }
    lines
}

fn target(capabilities: &Capabilities, caller: Dialect) -> Target<'_> {
    Target { model: "m", capabilities, caller }
}

proptest! {
    #[test]
    fn what_both_can_say_survives_the_way_there_and_back(tree in request()) {
        let all = Capabilities::default();
        let before = openai_chat::decode_request(tree.to_string().as_bytes()).unwrap();
        let there = bedrock::encode_request(&before, &target(&all, Dialect::OpenAiChat)).unwrap();
        prop_assert_eq!(there.losses, vec![]);
        let between = bedrock::decode_request(there.body.as_bytes()).unwrap();
        let back = openai_chat::encode_request(&between, &target(&all, Dialect::Bedrock)).unwrap();
        prop_assert_eq!(back.losses, vec![]);
        let after = openai_chat::decode_request(back.body.as_bytes()).unwrap();
        prop_assert_eq!(said(&after), said(&before));
        let (now, then) = (&after.params, &before.params);
        prop_assert_eq!((&now.max_output, &now.temperature, &now.top_p), (&then.max_output, &then.temperature, &then.top_p));
        prop_assert_eq!((&now.stop, &now.tier, &now.metadata), (&then.stop, &then.tier, &then.metadata));
        let schema = |format: &Option<Format>| match format {
            Some(Format::JsonSchema(schema)) => Some((schema.name.clone(), schema.description.clone(), schema.schema.clone())),
            _ => None,
        };
        prop_assert_eq!(schema(&now.format), schema(&then.format));
        prop_assert_eq!(&after.tool_choice, &before.tool_choice);
        prop_assert_eq!(after.tools.iter().map(|tool| &tool.kind).collect::<Vec<_>>(), before.tools.iter().map(|tool| &tool.kind).collect::<Vec<_>>());
    }
}

fn write(turns: Vec<Turn>, capabilities: &Capabilities) -> Result<(Value, Vec<String>), EncodeError> {
    let request = Request { turns, ..Request::default() };
    let encoded = bedrock::encode_request(&request, &target(capabilities, Dialect::Anthropic))?;
    let losses = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    Ok((serde_json::from_str(&encoded.body).unwrap(), losses))
}

fn placed(part: Part) -> Part {
    Part { at: Place::root().member("messages").index(0), ..part }
}

fn document(source: Source, mime: Option<&str>, title: Option<&str>) -> Part {
    let media = Media::new(source, mime.map(str::to_owned));
    let (title, context) = (title.map(str::to_owned), Some("about it".to_owned()));
    placed(Part::new(PartKind::Document(Document { media, title, context, citations: Some(true) })))
}

#[test]
fn documents_are_said_with_their_formats() {
    let turn = |part| vec![Turn::new(Role::User, vec![part])];
    let can = Capabilities::default();
    let plain = document(Source::Plain("hé".into()), None, Some("notes.txt"));
    let (body, losses) = write(turn(plain), &can).unwrap();
    let expected = json!({"format": "txt", "name": "notes", "source": {"bytes": "aMOp"}, "context": "about it",
        "citations": {"enabled": true}});
    assert_eq!(body["messages"][0]["content"], json!([{"document": expected}]));
    assert_eq!(losses, Vec::<String>::new());
    let stored = document(Source::Url("s3://bucket/a".into()), Some("text/html; charset=utf-8"), None);
    let (body, losses) = write(turn(stored), &Capabilities { citations: false, ..can.clone() }).unwrap();
    let expected = json!({"format": "html", "name": "document", "source": {"s3Location": {"uri": "s3://bucket/a"}},
        "context": "about it"});
    assert_eq!(body["messages"][0]["content"], json!([{"document": expected}]));
    assert_eq!(losses, ["messages[0] dropped"]);
    for (source, mime) in [
        (Source::Url("https://x.test/a.pdf".into()), Some("application/pdf")),
        (Source::File("file-1".into()), Some("application/pdf")),
        (Source::Base64("AAAA".into()), Some("application/zip")),
        (Source::Base64("AAAA".into()), None),
    ] {
        assert_eq!(write(turn(document(source, mime, None)), &can).unwrap_err().field, "messages[0]");
    }
    let none = Capabilities { documents: false, ..can };
    assert!(write(turn(document(Source::Plain("a".into()), None, None)), &none).is_err());
}

#[test]
fn another_provider_s_seals_stay_behind() {
    let seal = |origin| Some(Seal { text: "s".into(), origin });
    let thought = |signature: Option<Seal>, encrypted: Option<Seal>| {
        let thinking = Thinking { text: "hm".into(), encrypted, ..Thinking::default() };
        placed(Part { signature, ..Part::new(PartKind::Thinking(thinking)) })
    };
    let written = |part| {
        let turns = vec![Turn::new(Role::Assistant, vec![part, Part::text("a")])];
        let (body, losses) = write(turns, &Capabilities::default()).unwrap();
        (body["messages"][0]["content"].as_array().unwrap().len(), losses.len())
    };
    assert_eq!(written(thought(seal(Some(Dialect::Anthropic)), None)), (2, 0));
    assert_eq!(written(thought(seal(Some(Dialect::Bedrock)), None)), (2, 0));
    assert_eq!(written(thought(None, seal(Some(Dialect::Anthropic)))), (2, 0));
    assert_eq!(written(thought(None, seal(Some(Dialect::OpenAiResponses)))), (1, 1));
    assert_eq!(written(thought(seal(Some(Dialect::Gemini)), None)), (1, 1));
    assert_eq!(written(thought(seal(None), None)), (1, 1));
    assert_eq!(written(thought(None, None)), (1, 1));
}

#[test]
fn results_come_first_and_say_their_failure() {
    let call = ToolCall { id: Some("1".into()), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    let cached = Part { cache: Some(CacheHint { ttl: None, raw: None }), ..Part::text("r") };
    let result = ToolResult { call_id: Some("1".into()), name: None, parts: vec![cached], failed: Some(true) };
    let turns = vec![
        Turn::new(Role::Assistant, vec![Part::new(PartKind::ToolCall(call))]),
        Turn::new(Role::User, vec![Part::text("and"), Part::new(PartKind::ToolResult(result))]),
    ];
    let (body, losses) = write(turns, &Capabilities::default()).unwrap();
    let expected = json!([
        {"toolResult": {"toolUseId": "1", "content": [{"text": "r"}], "status": "error"}},
        {"cachePoint": {"type": "default"}},
        {"text": "and"}]);
    assert_eq!(body["messages"][1]["content"], expected);
    assert_eq!(losses, ["tools approximated"]);
}

#[test]
fn what_cannot_be_said_is_refused_with_its_place() {
    let refused =
        |part: Part, role| write(vec![Turn::new(role, vec![placed(part)])], &Capabilities::default()).unwrap_err();
    let orphan = ToolResult { call_id: None, name: Some("f".into()), parts: vec![], failed: None };
    assert!(refused(Part::new(PartKind::ToolResult(orphan)), Role::User).why.contains("names no call"));
    let image = || Part::new(PartKind::Image(Media::new(Source::Base64("AAAA".into()), Some("image/png".into()))));
    assert_eq!(
        refused(image(), Role::System).to_string(),
        "messages[0]: an image cannot stand among Bedrock's instructions"
    );
    let call = ToolCall { name: "f".into(), ..ToolCall::default() };
    assert!(refused(Part::new(PartKind::ToolCall(call)), Role::Assistant).why.contains("has no id"));
    let sound = PartKind::Audio(Media::new(Source::Base64("AAAA".into()), Some("audio/midi".into())));
    assert!(refused(Part::new(sound), Role::User).why.contains("audio/midi"));
}

#[test]
fn spoken_and_cited_words_are_said_as_text() {
    let mut media = Media::new(Source::File("audio_1".into()), None);
    let kept = placed(Part::new(PartKind::Audio(media.clone())));
    media.transcript = Some("hello".into());
    let words = placed(Part::new(PartKind::Audio(media)));
    let cited = placed(Part::new(PartKind::Text(Text { text: "a".into(), citations: vec![Default::default()] })));
    let (body, losses) =
        write(vec![Turn::new(Role::Assistant, vec![kept, words, cited])], &Capabilities::default()).unwrap();
    assert_eq!(body["messages"][0]["content"], json!([{"text": "hello"}, {"text": "a"}]));
    assert_eq!(losses, ["messages[0] dropped", "messages[0] approximated", "messages[0] dropped"]);
}

#[test]
fn a_turn_of_which_nothing_is_left_is_told() {
    let turns = vec![Turn::new(Role::User, vec![Part::text(" \n")]), Turn::new(Role::Assistant, vec![Part::text("a")])];
    let (body, losses) = write(turns, &Capabilities::default()).unwrap();
    assert_eq!((body["messages"].as_array().unwrap().len(), losses.len()), (1, 1));
}

#[test]
fn labels_are_kept_as_far_as_aws_takes_them() {
    let many: serde_json::Map<String, Value> = (0..20).map(|label| (format!("k{label}"), "v".into())).collect();
    for (metadata, kept, lost) in [
        (json!({"a": "b"}), json!({"a": "b"}), 0),
        (json!({"a": "b", "c": 1, "d\"": "e"}), json!({"a": "b"}), 1),
        (json!({"a": "x".repeat(300)}), Value::Null, 1),
        (json!({}), Value::Null, 0),
    ] {
        let mut request = Request::default();
        request.params.metadata = Some(crate::hub::Json::of(&metadata));
        let all = Capabilities::default();
        let encoded = bedrock::encode_request(&request, &target(&all, Dialect::OpenAiChat)).unwrap();
        let body: Value = serde_json::from_str(&encoded.body).unwrap();
        assert_eq!((&body["requestMetadata"], encoded.losses.len()), (&kept, lost), "{metadata}");
    }
    let mut request = Request::default();
    request.params.metadata = Some(crate::hub::Json::of(&many.into()));
    let all = Capabilities::default();
    let encoded = bedrock::encode_request(&request, &target(&all, Dialect::OpenAiChat)).unwrap();
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!((body["requestMetadata"].as_object().unwrap().len(), encoded.losses.len()), (16, 1));
}

#[test]
fn a_blind_model_s_tools_are_refused_when_it_takes_none() {
    let chat = json!({"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "f"}}]});
    let mut request = openai_chat::decode_request(chat.to_string().as_bytes()).unwrap();
    request.link_results(&mut Ids::new(1));
    let none = Capabilities { tools: false, ..Capabilities::default() };
    let error = bedrock::encode_request(&request, &target(&none, Dialect::OpenAiChat)).unwrap_err();
    assert_eq!(error.to_string(), "tools: the model takes no tools");
    assert!(matches!(request.tools[0].kind, ToolKind::Function(_)) && request.tool_choice != Some(ToolChoice::None));
    request.params.temperature = Some(Num::decimal(1.7));
    let all = Capabilities::default();
    assert!(
        bedrock::encode_request(&request, &target(&all, Dialect::OpenAiChat))
            .unwrap()
            .body
            .contains("\"temperature\":1")
    );
}

/// A chat client that sends the model's message back sends its thoughts back, seals and all.
#[test]
fn thoughts_come_back_through_a_chat_client() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig=="}}},
        {"reasoningContent": {"redactedContent": "RXU4RQ=="}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "now", "input": {"zone": "utc"}}}]);
    let answer = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"});
    let answer = bedrock::decode_answer(answer.to_string().as_bytes(), &UsageRules::default()).unwrap();
    let mut reply = Reply { source: Dialect::Bedrock, now: 0, model: "m".into(), ids: Ids::new(1) };
    let told: Value = serde_json::from_str(&openai_chat::encode_answer(&answer, &mut reply).body).unwrap();
    let next = json!({"model": "m", "reasoning_effort": "low", "messages": [
        {"role": "user", "content": "time?"}, told["choices"][0]["message"],
        {"role": "tool", "tool_call_id": "tooluse_1", "content": "12:00"}]});
    let request = openai_chat::decode_request(next.to_string().as_bytes()).unwrap();
    let can = Capabilities { reasoning: ReasoningStyle::Budget, ..Capabilities::default() };
    let encoded = bedrock::encode_request(&request, &target(&can, Dialect::OpenAiChat)).unwrap();
    let body: Value = serde_json::from_str(&encoded.body).unwrap();
    assert_eq!(body["messages"][1]["content"], content);
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["budget_tokens"], 1024);
    let lost: Vec<&str> = encoded.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(lost, ["tools"], "definitions of the tools were left out");
}
