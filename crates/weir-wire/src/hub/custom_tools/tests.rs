//! Custom tools said as functions, and their calls told as the caller's.

use proptest::prelude::*;

use super::super::{Dialect, Fold, Json, Native, Role, Stop, StopReason, Turn, unfold};
use super::*;

fn tool(format: Option<CustomFormat>) -> Tool {
    let custom = Custom { name: "patch".into(), description: Some("d".into()), format, extra: Extra::default() };
    let at = Place::root().member("tools").index(0);
    Tool { kind: ToolKind::Custom(custom), cache: None, form: Form::default(), at, extra: Extra::default() }
}

fn call(name: &str, kind: CallKind, arguments: &str) -> Part {
    let call = ToolCall { name: name.into(), arguments: arguments.into(), kind, ..ToolCall::default() };
    Part { at: Place::root().member("call"), ..Part::new(PartKind::ToolCall(call)) }
}

fn losses() -> Losses {
    Losses::new(Dialect::OpenAiChat, Dialect::Cohere)
}

fn told(losses: Losses) -> Vec<String> {
    losses.seal(String::new()).unwrap().losses.iter().map(ToString::to_string).collect()
}

fn request(format: Option<CustomFormat>) -> Request {
    Request { tools: vec![tool(format)], ..Request::default() }
}

#[test]
fn a_request_without_custom_tools_is_left_as_it_is() {
    let mut losses = losses();
    let request = Request {
        turns: vec![Turn::new(Role::Assistant, vec![call("f", CallKind::Function, "{}")])],
        ..Request::default()
    };
    assert!(matches!(as_functions(&request, &mut losses), Cow::Borrowed(_)));
    assert!(told(losses).is_empty());
}

#[test]
fn tools_choices_and_calls_become_functions() {
    let mut request = request(Some(CustomFormat::Text));
    request.tool_choice = Some(ToolChoice::Named { name: "patch".into(), custom: true });
    let parts = vec![call("patch", CallKind::Custom, "a\"b"), call("old", CallKind::Custom, "")];
    request.turns = vec![Turn::new(Role::Assistant, parts)];
    let mut losses = losses();
    let made = as_functions(&request, &mut losses);
    let ToolKind::Function(function) = &made.tools[0].kind else { panic!() };
    assert_eq!((function.name.as_str(), function.description.as_deref()), ("patch", Some("d")));
    assert_eq!(function.parameters.as_ref().unwrap().as_str(), SCHEMA);
    assert_eq!(made.tool_choice, Some(ToolChoice::Named { name: "patch".into(), custom: false }));
    let expected =
        [call("patch", CallKind::Function, r#"{"input":"a\"b"}"#), call("old", CallKind::Function, r#"{"input":""}"#)];
    assert_eq!(made.turns[0].parts, expected);
    assert_eq!(
        told(losses),
        [
            "tools[0] approximated: the custom tool patch is a function with one text, input, here",
            "call approximated: the input of the custom tool old became an object",
        ]
    );
}

#[test]
fn a_grammar_is_told_in_words() {
    let grammar = CustomFormat::Grammar { syntax: "lark".into(), definition: "start: x".into() };
    let mut losses = losses();
    let made = as_functions(&request(Some(grammar)), &mut losses).into_owned();
    let ToolKind::Function(function) = &made.tools[0].kind else { panic!() };
    let words = "d\n\nThe input is a text of this lark grammar:\nstart: x";
    assert_eq!(function.description.as_deref(), Some(words));
    assert_eq!(told(losses)[1], "tools[0].format approximated: the grammar is told in the description");
    let opaque = CustomFormat::Opaque(Native { dialect: Dialect::OpenAiChat, json: Json::string("x") });
    let mut losses = self::losses();
    let _ = as_functions(&request(Some(opaque)), &mut losses);
    assert!(told(losses)[1].starts_with("tools[0].format dropped"));
}

fn answer(parts: Vec<Part>) -> Answer {
    let choice = super::super::Choice { parts, stop: Some(Stop::new(StopReason::ToolUse)), ..Default::default() };
    Answer { choices: vec![choice], ..Answer::default() }
}

fn streamed(calls: &mut CustomCalls, answer: Answer) -> Vec<Event> {
    let mut out = Vec::new();
    unfold(answer).into_iter().for_each(|event| calls.push(event, &mut out));
    out
}

fn fold(events: Vec<Event>) -> Answer {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event)).unwrap();
    fold.finish().unwrap()
}

#[test]
fn calls_are_told_as_the_caller_s() {
    let parts = vec![
        call("patch", CallKind::Function, r#"{"input":"a\nb"}"#),
        call("other", CallKind::Function, r#"{"input":"x"}"#),
        call("patch", CallKind::Function, "{\"input\":"),
        call("patch", CallKind::Function, r#"{"input":"x","y":1}"#),
        call("patch", CallKind::Function, ""),
        call("patch", CallKind::Custom, r#"{"input":"x"}"#),
    ];
    let expected = [
        call("patch", CallKind::Custom, "a\nb"),
        parts[1].clone(),
        call("patch", CallKind::Custom, "{\"input\":"),
        call("patch", CallKind::Custom, r#"{"input":"x","y":1}"#),
        call("patch", CallKind::Custom, ""),
        parts[5].clone(),
    ];
    let mut calls = CustomCalls::new(&request(None), 1000);
    assert!(!calls.is_empty());
    let mut whole = answer(parts.clone());
    calls.answer(&mut whole);
    assert_eq!(whole.choices[0].parts, expected);
    assert_eq!(fold(streamed(&mut calls, answer(parts))), whole);
    // All that was held back has been given free again.
    assert_eq!((calls.left, calls.open.len()), (1000, 0));
}

#[test]
fn interleaved_calls_and_calls_that_never_end_are_whole_at_the_finish() {
    let start = |part| Event::PartStart { choice: 0, part, shell: Box::new(call("patch", CallKind::Function, "")) };
    let more = |part, text: &str| Event::Delta { choice: 0, part, delta: Delta::Arguments(text.into()) };
    let finish = Event::Finish { choice: 0, stop: Stop::new(StopReason::ToolUse) };
    let mut calls = CustomCalls::new(&request(None), 1000);
    let mut out = Vec::new();
    let events = [
        start(0),
        start(1),
        more(1, "{\"input\":"),
        more(0, "{\"input\":\"a\"}"),
        more(1, "\"b\"}"),
        finish,
        Event::End,
    ];
    events.into_iter().for_each(|event| calls.push(event, &mut out));
    assert_eq!(out[2], more(0, "a"));
    assert_eq!(out[3], more(1, "b"));
    assert!(matches!(out[4..], [Event::Finish { .. }, Event::End]));
}

#[test]
fn too_much_to_hold_is_an_error_and_the_last_event() {
    let mut calls = CustomCalls::new(&request(None), 10);
    let out = streamed(&mut calls, answer(vec![call("patch", CallKind::Function, &"x".repeat(20))]));
    assert!(matches!(out.last(), Some(Event::Error(_))));
}

proptest! {
    /// What a caller's custom tool was called with comes back, through the function that stands for it.
    #[test]
    fn any_input_comes_back(text in "\\PC{0,20}[\n\"\\\\]?") {
        let mut request = request(None);
        request.turns = vec![Turn::new(Role::Assistant, vec![call("patch", CallKind::Custom, &text)])];
        let made = as_functions(&request, &mut losses()).into_owned();
        let mut calls = CustomCalls::new(&request, 10_000);
        let mut whole = answer(made.turns[0].parts.clone());
        let events = streamed(&mut calls, whole.clone());
        calls.answer(&mut whole);
        prop_assert_eq!(&whole.choices[0].parts, &request.turns[0].parts);
        prop_assert_eq!(fold(events), whole);
    }
}
