//! What came in other dialects, said in this one, and what this one said, in theirs.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::generate::{answer, word};
use super::laws::reply;
use crate::hub::{
    Answer, CacheHint, CacheTtl, Capabilities, Dialect, Document, Ids, Media, Part, PartKind, Place, Request, Role,
    Seal, Source, Target, Thinking, ToolCall, ToolResult, Turn,
};
use crate::ollama::{decode_answer, decode_request, encode_request};
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
fn results_hold_texts_and_images_or_images_follow() {
    let results = || {
        vec![
            result(Some("1"), vec![Part::text("r"), file("t", "a"), image()], true),
            result(Some("2"), vec![], false),
            result(Some("3"), vec![Part::text("r")], false),
            Part::text("go on"),
        ]
    };
    let (body, losses) = encode(vec![Turn::new(Role::User, results())], &Capabilities::default());
    assert_eq!(
        body["messages"],
        json!([
            {"role": "tool", "content": "[the tool failed]\n\nr\n\na\nwhy\nt", "images": ["AAAA"], "tool_call_id": "1"},
            {"role": "tool", "content": "", "tool_call_id": "2"},
            {"role": "tool", "content": "r", "tool_call_id": "3"},
            {"role": "user", "content": "go on"},
        ])
    );
    assert_eq!(losses, ["result approximated", " approximated"]);
    let can = Capabilities { tool_result_images: false, ..Capabilities::default() };
    let (body, losses) = encode(vec![Turn::new(Role::User, results())], &can);
    let said = "[the tool failed]\n\nr\n\na\nwhy\nt\n\n[shown in the next message]";
    assert_eq!(body["messages"][0], json!({"role": "tool", "content": said, "tool_call_id": "1"}));
    assert_eq!(body["messages"][3], json!({"role": "user", "content": "go on", "images": ["AAAA"]}));
    assert_eq!(losses, ["result approximated", " approximated", "image approximated"]);
}

#[test]
fn what_cannot_be_said_is_refused() {
    let turn = |part| vec![Turn::new(Role::User, vec![placed(part, "here")])];
    let media = |source| Media::new(source, None);
    assert!(refused(turn(Part::new(PartKind::Video(media(Source::Url("u".into())))))).starts_with("here: a video"));
    assert!(refused(turn(Part::new(PartKind::Audio(media(Source::Url("u".into())))))).contains("not heard"));
    assert!(refused(turn(Part::new(PartKind::Image(media(Source::File("f".into())))))).contains("another provider"));
    assert!(refused(turn(Part::new(PartKind::Image(media(Source::Url("f".into())))))).contains("not fetched"));
    let pdf = Document { media: media(Source::Base64("AA==".into())), title: None, context: None, citations: None };
    assert!(refused(turn(Part::new(PartKind::Document(pdf)))).contains("send its text"));
    let check = |turns: Vec<Turn>, can: &Capabilities| {
        let request = Request { turns, ..Request::default() };
        encode_request(&request, &Target { model: "m", capabilities: can, caller: FROM }).unwrap_err().why
    };
    let closed = Capabilities { images: false, documents: false, ..Capabilities::default() };
    assert!(check(turn(image()), &closed).contains("ask one that sees"));
    assert!(check(turn(file("t", "a")), &closed).contains("not taken"));
}

#[test]
fn instructions_hints_and_thoughts_of_others() {
    let hint = CacheHint { ttl: Some(CacheTtl::Hour), raw: None };
    let cached = Part { cache: Some(hint), ..placed(Part::text("a"), "cached") };
    let seal = || Some(Seal { text: "s".into(), origin: Some(FROM) });
    let thinking = |text: &str, origin| Thinking { text: text.into(), origin, ..Thinking::default() };
    let thought = |thinking, at| Part { signature: seal(), ..placed(Part::new(PartKind::Thinking(thinking)), at) };
    let call = ToolCall { id: Some("1".into()), name: "f".into(), arguments: "broken".into(), ..ToolCall::default() };
    let turns = vec![
        Turn::new(Role::System, vec![cached]),
        Turn::new(
            Role::Assistant,
            vec![
                thought(thinking("theirs", Some(FROM)), "theirs"),
                placed(Part::new(PartKind::ToolCall(call)), "call"),
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
                {"id": "1", "function": {"name": "f", "arguments": {"arguments": "broken"}}}]},
            {"role": "user", "content": "b"},
        ])
    );
    assert_eq!(losses, ["cached dropped", "late approximated", "theirs dropped", "call coerced", "turn coerced"]);
}

#[test]
fn a_user_s_texts_are_one_and_pictures_stand_beside_them() {
    let turn = |parts| vec![Turn { at: Place::root().member("turn"), ..Turn::new(Role::User, parts) }];
    let can = Capabilities::default();
    let (body, losses) = encode(turn(vec![Part::text("a"), Part::text("b"), image()]), &can);
    assert_eq!(body["messages"][0], json!({"role": "user", "content": "a\n\nb", "images": ["AAAA"]}));
    assert_eq!(losses, ["turn approximated"]);
    let (_, losses) = encode(turn(vec![Part::text("a"), image(), Part::text("b")]), &can);
    assert_eq!(losses, ["turn approximated", "image approximated"]);
    assert!(encode(turn(vec![image(), Part::text("a")]), &can).1.is_empty());
}

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::from).boxed()
}

/// A round of a chat caller's conversation.
fn round() -> BoxedStrategy<Vec<Value>> {
    let user = text().prop_map(|content| vec![json!({"role": "user", "content": content})]);
    let system = text().prop_map(|content| vec![json!({"role": "system", "content": content})]);
    let said = text().prop_map(|content| vec![json!({"role": "assistant", "content": content})]);
    let called = (option::of(text()), vec((select(vec!["f", "g"]), select(vec!["{}", "{\"a\": 1}"]), text()), 1..4));
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
        option::of(select(vec![json!({"type": "json_object"})])),
        any::<bool>(),
    );
    (vec(round(), 1..5), tools, members)
        .prop_map(|(rounds, tools, (temperature, top_p, penalty, seed, stop, format, stream))| {
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
                ("tools", (!tools.is_empty()).then(|| tools.clone().into())),
                ("stream", Some(stream.into())),
                ("logprobs", Some(stream.into())),
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
    let theirs = openai_chat::encode_request(&read, &target(Dialect::Ollama)).unwrap();
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
    fn thoughts_are_replayed(thought in word(), content in option::of(word())) {
        let call = json!({"id": "c", "function": {"name": "f", "arguments": {}}});
        let message = json!({"role": "assistant", "content": content.unwrap_or_default(), "thinking": thought,
            "tool_calls": [call]});
        let whole = json!({"model": "m", "done_reason": "stop", "message": message});
        let answer = decode_answer(whole.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let told: Value = serde_json::from_str(&openai_chat::encode_answer(&answer, &mut reply()).body).unwrap();
        prop_assert_eq!(&told["choices"][0]["finish_reason"], "tool_calls");
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
