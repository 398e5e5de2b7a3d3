//! What came in other dialects, said in this one, and what this one said, in theirs.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::generate::{answer, word};
use super::laws::reply;
use crate::cohere::{decode_answer, decode_request, encode_request};
use crate::hub::{
    Answer, CacheHint, CacheTtl, Capabilities, Dialect, Document, Format, Ids, Media, Part, PartKind, Place, Request,
    Role, Seal, Source, Target, Thinking, ToolCall, ToolResult, Turn,
};
use crate::openai_chat;
use crate::rules::UsageRules;

const FROM: Dialect = Dialect::Anthropic;

fn placed(mut part: Part, at: &str) -> Part {
    part.at = Place::root().member(at);
    part
}

/// The body and the losses, each as `field what`.
fn encode(turns: Vec<Turn>, capabilities: &Capabilities) -> (Value, Vec<String>) {
    let request = Request { turns, ..Request::default() };
    let encoded = encode_request(&request, &Target { model: "m", capabilities, caller: FROM }).unwrap();
    let losses = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), losses)
}

fn refused(turns: Vec<Turn>) -> String {
    let request = Request { turns, ..Request::default() };
    let capabilities = Capabilities::default();
    encode_request(&request, &Target { model: "m", capabilities: &capabilities, caller: FROM }).unwrap_err().to_string()
}

fn file(text: &str, title: &str) -> Part {
    let media = Media::new(Source::Plain(text.into()), Some("text/plain".into()));
    Part::new(PartKind::Document(Document {
        media,
        title: Some(title.into()),
        context: Some("why".into()),
        citations: None,
    }))
}

fn image() -> Part {
    placed(Part::new(PartKind::Image(Media::new(Source::Base64("AAAA".into()), Some("image/png".into())))), "image")
}

fn result(id: Option<&str>, parts: Vec<Part>, failed: bool) -> Part {
    let call_id = id.map(str::to_owned);
    let result = ToolResult { call_id, name: None, parts, failed: failed.then_some(true) };
    placed(Part::new(PartKind::ToolResult(result)), "result")
}

#[test]
fn results_hold_texts_and_documents_and_images_follow() {
    let results = vec![
        result(Some("1"), vec![Part::text("r"), file("t", "a"), image()], true),
        result(Some("2"), vec![], false),
        result(Some("3"), vec![Part::text("r")], false),
        Part::text("go on"),
    ];
    let (body, losses) = encode(vec![Turn::new(Role::User, results)], &Capabilities::default());
    let text = |text: &str| json!({"type": "text", "text": text});
    let document = json!({"type": "document", "document": {"data": {"title": "a", "context": "why", "text": "t"}}});
    let shown = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "tool", "tool_call_id": "1", "content":
                [text("[the tool failed]"), text("r"), document, text("[shown in the next message]")]},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "tool", "tool_call_id": "3", "content": "r"},
            {"role": "user", "content": [shown, text("go on")]},
        ])
    );
    assert_eq!(losses, ["result approximated", "image approximated"]);
}

#[test]
fn what_cannot_be_said_is_refused() {
    let turn = |part| vec![Turn::new(Role::User, vec![placed(part, "here")])];
    assert!(refused(turn(result(None, vec![], false))).starts_with("here: the tool result names no call"));
    let media = |source| Media::new(source, None);
    assert!(refused(turn(Part::new(PartKind::Video(media(Source::Url("u".into())))))).starts_with("here: a video"));
    assert!(refused(turn(Part::new(PartKind::Image(media(Source::File("f".into())))))).contains("another provider"));
    let sound =
        result(Some("1"), vec![placed(Part::new(PartKind::Audio(media(Source::Url("u".into())))), "sound")], false);
    assert!(refused(turn(sound)).starts_with("sound: audio has no place"));
    let mut closed = Capabilities { media_urls: false, documents: false, tools: false, ..Capabilities::default() };
    let check = |turns: Vec<Turn>, can: &Capabilities| {
        let request = Request { turns, ..Request::default() };
        encode_request(&request, &Target { model: "m", capabilities: can, caller: FROM }).unwrap_err().why
    };
    assert!(check(turn(Part::new(PartKind::Image(media(Source::Url("u".into()))))), &closed).contains("not fetched"));
    assert!(check(turn(file("t", "a")), &closed).contains("not taken"));
    closed.documents = true;
    assert!(encode(turn(file("t", "a")), &closed).1.is_empty());
}

#[test]
fn instructions_hints_and_thoughts_of_others() {
    let hint = CacheHint { ttl: Some(CacheTtl::Hour), raw: None };
    let cached = Part { cache: Some(hint), ..placed(Part::text("a"), "cached") };
    let seal = || Some(Seal { text: "s".into(), origin: Some(FROM) });
    let thinking = |text: &str, origin| Thinking { text: text.into(), origin, ..Thinking::default() };
    let thought = |thinking, at| Part { signature: seal(), ..placed(Part::new(PartKind::Thinking(thinking)), at) };
    let call = ToolCall { id: Some("1".into()), name: "f".into(), ..ToolCall::default() };
    let turns = vec![
        Turn::new(Role::System, vec![cached]),
        Turn::new(
            Role::Assistant,
            vec![
                thought(thinking("theirs", Some(FROM)), "theirs"),
                Part::new(PartKind::ToolCall(call)),
                placed(Part::text("late"), "late"),
            ],
        ),
        Turn { at: Place::root().member("turn"), ..Turn::new(Role::Developer, vec![Part::text("b")]) },
    ];
    let can = Capabilities { late_instructions: false, ..Capabilities::default() };
    let (body, losses) = encode(turns, &can);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "a"},
            {"role": "assistant", "content": "late", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "user", "content": "b"},
        ])
    );
    assert_eq!(losses, ["cached dropped", "late approximated", "theirs dropped", "turn coerced"]);
}

#[test]
fn documents_are_read_into_the_last_user_s_turn() {
    let body = json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "documents": ["one", {"id": "2", "data": {"text": "two", "title": "t"}}, {"data": {"n": 3}}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    let read: Vec<(String, Option<String>)> = request.turns[0]
        .parts
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::Document(document) => match &document.media.source {
                Source::Plain(text) => Some((text.clone(), document.title.clone())),
                other => panic!("{other:?}"),
            },
            _ => None,
        })
        .collect();
    assert_eq!(read, [("one".into(), None), ("two".into(), Some("t".into())), ("{\"n\":3}".into(), None)]);
}

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::from).boxed()
}

/// A round of a chat caller's conversation.
fn round() -> BoxedStrategy<Vec<Value>> {
    let image = json!({"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}});
    let listed = text().prop_map(move |text| json!([{"type": "text", "text": text}, image]));
    let user =
        prop_oneof![text(), listed.boxed()].prop_map(|content| vec![json!({"role": "user", "content": content})]);
    let system = text().prop_map(|content| vec![json!({"role": "system", "content": content})]);
    let said = text().prop_map(|content| vec![json!({"role": "assistant", "content": content})]);
    let called =
        (option::of(text()), vec((select(vec!["f", "g"]), select(vec!["{}", "{\"a\": 1}", "broken"]), text()), 1..4));
    let called = called.prop_map(|(content, calls)| {
        let mut messages = vec![json!({"role": "assistant", "content": content, "tool_calls": []})];
        for (number, (name, arguments, result)) in calls.into_iter().enumerate() {
            let id = format!("c{number}");
            let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
            messages[0]["tool_calls"].as_array_mut().unwrap().push(call);
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
        }
        if messages[0]["content"].is_null() {
            messages[0].as_object_mut().unwrap().remove("content");
        }
        messages
    });
    prop_oneof![user, system, said, called].boxed()
}

/// A chat caller's request of what this dialect says too.
fn chat() -> BoxedStrategy<Value> {
    let number = || option::of(select(vec![json!(0.5), json!(0.25)]));
    let tools = vec(select(vec!["f", "g"]), 0..3).prop_map(|names| {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object"}}});
        names.into_iter().map(tool).collect::<Vec<_>>()
    });
    let members = (
        number(),
        number(),
        number(),
        option::of(1..9u64),
        option::of(vec(text(), 1..3)),
        option::of(select(vec![json!({"type": "text"}), json!({"type": "json_object"})])),
        option::of(select(vec![json!("required"), json!("none")])),
        option::of(any::<bool>()),
    );
    (vec(round(), 1..5), tools, members)
        .prop_map(|(rounds, tools, (temperature, top_p, penalty, seed, stop, format, choice, stream))| {
            let mut tree = json!({"model": "m", "messages": rounds.concat()});
            let members = [
                ("temperature", temperature),
                ("top_p", top_p),
                ("frequency_penalty", penalty.clone()),
                ("presence_penalty", penalty),
                ("seed", seed.map(Value::from)),
                ("max_completion_tokens", seed.map(Value::from)),
                ("stop", stop.map(Value::from)),
                ("response_format", format),
                ("tool_choice", choice.filter(|_| !tools.is_empty())),
                ("tools", (!tools.is_empty()).then(|| tools.clone().into())),
                ("stream", stream.map(Value::from)),
                ("logprobs", stream.map(Value::from)),
            ];
            for (name, value) in members {
                if let Some(value) = value {
                    tree[name] = value;
                }
            }
            tree
        })
        .boxed()
}

/// The tree, read, passed through this dialect and written again.
fn through(tree: &Value) -> (Value, usize) {
    let capabilities = Capabilities::default();
    let target = |caller| Target { model: "m", capabilities: &capabilities, caller };
    let mut request = openai_chat::decode_request(tree.to_string().as_bytes()).unwrap();
    request.link_results(&mut Ids::new(1));
    let ours = encode_request(&request, &target(Dialect::OpenAiChat)).unwrap();
    let read = decode_request(ours.body.as_bytes()).unwrap();
    let theirs = openai_chat::encode_request(&read, &target(Dialect::Cohere)).unwrap();
    (serde_json::from_str(&theirs.body).unwrap(), ours.losses.len() + theirs.losses.len())
}

fn calls(answer: &Answer) -> Vec<(Option<String>, String, String)> {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| match &part.kind {
            PartKind::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                Some((call.id.clone(), call.name.clone(), arguments.to_owned()))
            }
            _ => None,
        })
        .collect()
}

fn words(answer: &Answer, thoughts: bool) -> String {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| match &part.kind {
            PartKind::Text(text) if !thoughts => Some(text.text.as_str()),
            PartKind::Thinking(thinking) if thoughts => Some(thinking.text.as_str()),
            _ => None,
        })
        .collect()
}

proptest! {
    /// All a chat caller can say that this dialect can say too comes back member for member.
    #[test]
    fn a_chat_request_survives(tree in chat()) {
        prop_assert_eq!(through(&tree), (tree, 0));
    }

    #[test]
    fn a_chat_caller_gets_the_same_answer(tree in answer()) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let encoded = openai_chat::encode_answer(&answer, &mut reply());
        let again = openai_chat::decode_answer(encoded.body.as_bytes(), &UsageRules::default()).unwrap();
        for thoughts in [false, true] {
            prop_assert_eq!(words(&again, thoughts), words(&answer, thoughts));
        }
        for (ours, theirs) in calls(&answer).iter().zip(calls(&again)) {
            prop_assert!(ours.0.is_none() || ours.0 == theirs.0);
            prop_assert_eq!((&ours.1, &ours.2), (&theirs.1, &theirs.2));
        }
        prop_assert_eq!(calls(&answer).len(), calls(&again).len());
        let counts = |answer: &Answer| answer.usage.as_ref().map(|spent| spent.tokens).unwrap_or_default();
        prop_assert_eq!(counts(&answer), counts(&again));
    }

    /// What this dialect thought comes back to it through a chat caller's second turn.
    #[test]
    fn thoughts_and_plans_are_replayed(thought in option::of(word()), plan in option::of(word())) {
        let mut message = json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        if let Some(thought) = &thought {
            message["content"] = json!([{"type": "thinking", "thinking": thought}]);
        }
        if let Some(plan) = &plan {
            message["tool_plan"] = plan.as_str().into();
        }
        let whole = json!({"id": "a", "finish_reason": "TOOL_CALL", "message": message});
        let answer = decode_answer(whole.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let told: Value = serde_json::from_str(&openai_chat::encode_answer(&answer, &mut reply()).body).unwrap();
        let next = json!({"model": "m", "messages": [told["choices"][0]["message"]]});
        let request = openai_chat::decode_request(next.to_string().as_bytes()).unwrap();
        let capabilities = Capabilities::default();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
        let encoded = encode_request(&request, &target).unwrap();
        prop_assert_eq!(encoded.losses, vec![]);
        let again: Value = serde_json::from_str(&encoded.body).unwrap();
        prop_assert_eq!(&again["messages"][0], &message);
    }
}

#[test]
fn a_schema_of_either_word_is_the_same() {
    for name in ["schema", "json_schema"] {
        let body = json!({"messages": [], "response_format": {"type": "json_object", name: {"type": "object"}}});
        let request = decode_request(body.to_string().as_bytes()).unwrap();
        let Some(Format::JsonSchema(schema)) = request.params.format else { panic!("{name}") };
        assert_eq!(schema.schema.unwrap().as_str(), "{\"type\":\"object\"}");
    }
}
