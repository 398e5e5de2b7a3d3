//! Requests and answers of text completions.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{StreamEncoder, decode_request, encode_answer};
use crate::fault::UpstreamError;
use crate::hub::{
    Answer, Capabilities, Choice, Citation, Delta, Dialect, Encoded, Event, Extra, Head, Ids, Json, Logprobs, Num,
    Part, PartKind, Reply, Request, Role, Spent, Stop, StopReason, Target, Thinking, TokenLogprob, ToolCall, unfold,
};
use crate::usage::Usage;
use crate::{anthropic, openai_chat};

fn reply() -> Reply {
    Reply { source: Dialect::Anthropic, now: 5, model: "m".into(), ids: Ids::new(3) }
}

fn read(tree: &Value) -> Request {
    decode_request(tree.to_string().as_bytes()).unwrap()
}

fn refused(tree: &Value) -> String {
    decode_request(tree.to_string().as_bytes()).unwrap_err().to_string()
}

fn to_chat(request: &Request) -> Value {
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    let encoded = openai_chat::encode_request(request, &target).unwrap();
    assert_eq!(encoded.losses, []);
    serde_json::from_str(&encoded.body).unwrap()
}

#[test]
fn a_prompt_is_one_user_s_turn() {
    for prompt in [json!("hi"), json!(["hi"])] {
        let request = read(&json!({"model": "m", "prompt": prompt}));
        assert_eq!(request.turns.len(), 1);
        assert_eq!(request.turns[0].role, Role::User);
        assert_eq!(request.turns[0].parts[0].as_text(), Some("hi"));
        assert_eq!(
            to_chat(&request),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 16})
        );
    }
}

#[test]
fn parameters_are_those_of_chat() {
    let body = json!({"model": "m", "prompt": "hi", "max_tokens": 40, "temperature": 0.70, "top_p": 0.5, "n": 2,
        "seed": 7, "stop": ["a", "b"], "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"5": -100},
        "user": "u", "stream": true, "stream_options": {"include_usage": true}, "logprobs": 3, "echo": false,
        "best_of": 1, "suffix": null});
    let request = read(&body);
    let mut expected = body;
    let members = expected.as_object_mut().unwrap();
    for name in ["prompt", "echo", "best_of", "suffix"] {
        members.remove(name);
    }
    members.insert("messages".into(), json!([{"role": "user", "content": "hi"}]));
    members.insert("logprobs".into(), true.into());
    members.insert("top_logprobs".into(), 3.into());
    assert_eq!(to_chat(&request), expected);
    let least = read(&json!({"prompt": "hi", "logprobs": 0})).params;
    assert_eq!((least.logprobs, least.top_logprobs), (Some(true), None));
}

#[test]
fn what_would_change_the_question_is_refused() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"prompt": "hi"});
        body[name] = value;
        refused(&body)
    };
    assert_eq!(with("prompt", json!(["a", "b"])), "prompt: 2 prompts: send one request for each");
    for tokens in [json!([1, 2]), json!([[1, 2]]), json!([7])] {
        let why = "prompt: token ids mean something to one tokenizer alone: send the text";
        assert_eq!(with("prompt", tokens), why);
    }
    assert_eq!(with("prompt", json!([[1], [2]])), "prompt: 2 prompts: send one request for each");
    for nothing in [json!(null), json!(""), json!([]), json!([""])] {
        assert_eq!(with("prompt", nothing), "prompt: missing or empty, expected a string");
    }
    assert_eq!(with("prompt", json!({})), "prompt: expected a string, found an object");
    assert!(with("suffix", json!("end")).starts_with("suffix: the model writes behind"));
    assert!(with("logprobs", json!(true)).starts_with("logprobs: expected a whole number"));
    assert!(refused(&json!({"model": "m"})).starts_with("prompt: missing"));
}

#[test]
fn what_asks_for_more_is_a_loss_elsewhere() {
    let request = read(&json!({"model": "m", "prompt": "hi", "echo": true, "best_of": 4, "min_p": 0.1, "x": ""}));
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    let encoded = anthropic::encode_request(&request, &target).unwrap();
    let fields: Vec<_> = encoded.losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(fields, ["echo", "best_of", "min_p"]);
    assert_eq!(to_chat(&request)["best_of"], 4);
}

fn token(token: &str, logprob: f64, top: &[(&str, f64)]) -> TokenLogprob {
    let top = top.iter().map(|(text, logprob)| self::token(text, *logprob, &[])).collect();
    TokenLogprob { token: token.into(), logprob: Num::decimal(logprob), bytes: None, top, extra: Extra::default() }
}

fn said(parts: Vec<Part>, reason: StopReason) -> Answer {
    let choice = Choice { parts, stop: Some(Stop::new(reason)), ..Choice::default() };
    let tokens = Usage { input: 5, output: 7, ..Usage::default() };
    Answer { choices: vec![choice], usage: Some(Spent { tokens, ..Spent::default() }), ..Answer::default() }
}

fn whole(answer: &Answer) -> (Value, Vec<String>) {
    let Encoded { body, losses } = encode_answer(answer, &mut reply());
    let told = losses.iter().map(|loss| format!("{} {}: {}", loss.field, loss.what.word(), loss.why)).collect();
    (serde_json::from_str(&body).unwrap(), told)
}

#[test]
fn an_answer_is_its_text() {
    let (body, losses) = whole(&said(vec![Part::text("a"), Part::text("b")], StopReason::Length));
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(losses, Vec::<String>::new());
    let mut rest = body;
    rest.as_object_mut().unwrap().remove("id");
    let usage = rest["usage"].take();
    assert_eq!((usage["prompt_tokens"].as_u64(), usage["total_tokens"].as_u64()), (Some(5), Some(12)));
    let choice = json!({"text": "ab", "index": 0, "logprobs": null, "finish_reason": "length"});
    let expected = json!({"object": "text_completion", "created": 5, "model": "m", "choices": [choice], "usage": null});
    assert_eq!(rest, expected);
}

#[test]
fn ids_and_members_of_a_chat_answer_are_kept() {
    let extra = Extra::new(Dialect::OpenAiChat, vec![("system_fingerprint".into(), Json::string("f"))]);
    let head =
        Head { id: Some("chatcmpl-9".into()), model: Some("x".into()), created: Some(1), extra, ..Head::default() };
    let mut answer = Answer { head, ..said(vec![Part::text("a")], StopReason::End) };
    answer.choices[0].message_extra = Extra::new(Dialect::OpenAiChat, vec![("y".into(), Json::string("z"))]);
    let Encoded { body, losses } = encode_answer(&answer, &mut Reply { source: Dialect::OpenAiChat, ..reply() });
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((body["id"].as_str(), body["system_fingerprint"].as_str()), (Some("cmpl-9"), Some("f")));
    assert_eq!(losses.iter().map(|loss| loss.field.as_str()).collect::<Vec<_>>(), ["choices.message.y"]);
    answer.head.id = Some("msg_1".into());
    assert_eq!(whole(&answer).0["id"], "msg_1");
}

#[test]
fn what_is_no_text_is_a_loss() {
    let thought = PartKind::Thinking(Thinking { text: "t".into(), ..Thinking::default() });
    let call = PartKind::ToolCall(ToolCall { name: "f".into(), ..ToolCall::default() });
    let mut cited = Part::text("a");
    if let PartKind::Text(text) = &mut cited.kind {
        text.citations.push(Citation::default());
    }
    let parts = vec![Part::new(thought), cited, Part::new(PartKind::Refusal("no".into())), Part::new(call)];
    let answer = said(parts, StopReason::ToolUse);
    let (body, losses) = whole(&answer);
    assert_eq!(body["choices"][0]["text"], "ano");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(losses.len(), 5, "{losses:?}");
    let (text, finish, streamed) = streamed(unfold(answer), true);
    assert_eq!((text.as_str(), finish.as_deref()), ("ano", Some("stop")));
    assert_eq!(streamed.len(), 5, "{streamed:?}");
}

#[test]
fn stops_have_three_words_and_none_is_made_up() {
    for (reason, expected) in [
        (StopReason::End, "stop"),
        (StopReason::Sequence, "stop"),
        (StopReason::Window, "length"),
        (StopReason::Filter, "content_filter"),
        (StopReason::Refusal, "content_filter"),
    ] {
        let (body, losses) = whole(&said(vec![Part::text("a")], reason));
        assert_eq!(body["choices"][0]["finish_reason"], expected);
        assert_eq!(losses.len(), 0);
    }
    let mut answer = said(vec![Part::text("a")], StopReason::Refusal);
    answer.choices[0].stop.as_mut().unwrap().detail = Some("too dangerous".into());
    assert_eq!(whole(&answer).1.len(), 1);
    assert_eq!(streamed(unfold(answer), true).2.len(), 1);
    let mut answer = said(vec![Part::text("a")], StopReason::End);
    answer.choices[0].stop = None;
    assert_eq!(whole(&answer).0["choices"][0]["finish_reason"], Value::Null);
}

#[test]
fn log_probabilities_are_four_lists() {
    let mut answer = said(vec![Part::text("é b")], StopReason::End);
    let content = vec![token("é", -0.5, &[("é", -0.5), ("é", -9.0), ("\"", -2.0)]), token(" b", -0.25, &[])];
    answer.choices[0].logprobs = Some(Logprobs { content, ..Logprobs::default() });
    let expected = json!({"tokens": ["é", " b"], "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"é": -0.5, "\"": -2.0}, {}], "text_offset": [0, 1]});
    assert_eq!(whole(&answer).0["choices"][0]["logprobs"], expected);
    let (mut encoder, mut out) = (StreamEncoder::new(reply(), false), String::new());
    for part in ["a", "bc", "d"] {
        let more = Logprobs { content: vec![token(part, -1.0, &[])], ..Logprobs::default() };
        encoder.push(&Event::Logprobs { choice: 0, more }, &mut out);
    }
    let offsets: Vec<Value> =
        chunks(&out).iter().map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"][0].clone()).collect();
    assert_eq!(offsets, [json!(0), json!(1), json!(3)]);
    assert_eq!(chunks(&out)[0]["choices"][0]["logprobs"]["top_logprobs"], Value::Null);
}

fn chunks(out: &str) -> Vec<Value> {
    out.split("\n\n").filter_map(|frame| serde_json::from_str(frame.strip_prefix("data: ")?).ok()).collect()
}

/// The text of a stream, its finish and what was lost.
fn streamed(events: Vec<Event>, usage: bool) -> (String, Option<String>, Vec<String>) {
    let (mut encoder, mut out) = (StreamEncoder::new(reply(), usage), String::new());
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let mut text = String::new();
    let mut finish = None;
    let mut ids = std::collections::HashSet::new();
    for chunk in chunks(&out) {
        assert_eq!(chunk["object"], "text_completion");
        ids.insert(chunk["id"].as_str().unwrap().to_owned());
        text += chunk["choices"][0]["text"].as_str().unwrap_or_default();
        finish = chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned).or(finish);
    }
    assert_eq!(ids.len(), 1);
    let told = encoder.into_losses().iter().map(ToString::to_string).collect();
    (text, finish, told)
}

#[test]
fn a_stream_ends_with_its_usage_and_done() {
    let answer = said(vec![Part::text("hello")], StopReason::End);
    for include in [true, false] {
        let (mut encoder, mut out) = (StreamEncoder::new(reply(), include), String::new());
        unfold(answer.clone()).iter().for_each(|event| encoder.push(event, &mut out));
        encoder.push(&Event::End, &mut out);
        assert!(out.ends_with("data: [DONE]\n\n") && out.matches("[DONE]").count() == 1);
        let all = chunks(&out);
        assert_eq!(all.len(), if include { 3 } else { 2 });
        assert_eq!(all[0]["choices"][0], json!({"text": "hello", "index": 0, "logprobs": null, "finish_reason": null}));
        assert_eq!(all[0].get("usage").is_some(), include);
        let last = &all[all.len() - 1];
        assert_eq!(last["usage"]["total_tokens"].as_u64(), include.then_some(12));
    }
}

#[test]
fn an_error_ends_a_stream_without_done() {
    let (mut encoder, mut out) = (StreamEncoder::new(reply(), true), String::new());
    let error = UpstreamError { message: "broke".into(), ..UpstreamError::default() };
    encoder.push(&Event::Error(error), &mut out);
    encoder.push(&Event::End, &mut out);
    assert_eq!(chunks(&out)[0]["error"]["message"], "broke");
    assert!(!out.contains("[DONE]"));
}

proptest! {
    #[test]
    fn a_stream_says_what_the_whole_says(texts in proptest::collection::vec("[a-zé\"\n]{0,6}", 0..5), reason in 0..3usize) {
        let reason = [StopReason::End, StopReason::Length, StopReason::Filter][reason];
        let answer = said(texts.iter().map(Part::text).collect(), reason);
        let (body, losses) = whole(&answer);
        let (text, finish, told) = streamed(unfold(answer), false);
        prop_assert_eq!(body["choices"][0]["text"].as_str().unwrap(), text);
        prop_assert_eq!(body["choices"][0]["finish_reason"].as_str(), finish.as_deref());
        prop_assert_eq!((losses.len(), told.len()), (0, 0));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        drop(decode_request(&bytes));
    }

    #[test]
    fn odd_members_do_not_make_it_panic(which in 0..9usize, odd in 0..8usize) {
        let odd = [Value::Null, true.into(), json!(-7), "x".into(), json!([1]), json!({"a": 1}), json!([[]]), json!(1.5)][odd].clone();
        let name = ["prompt", "logprobs", "stop", "suffix", "n", "echo", "best_of", "stream_options", "max_tokens"][which];
        let mut body = json!({"model": "m", "prompt": "hi"});
        body[name] = odd;
        drop(decode_request(body.to_string().as_bytes()));
    }
}

#[test]
fn a_delta_of_a_part_that_never_began_is_passed_over() {
    let (mut encoder, mut out) = (StreamEncoder::new(reply(), true), String::new());
    encoder.push(&Event::Delta { choice: 0, part: 9, delta: Delta::Text("x".into()) }, &mut out);
    assert_eq!(out, "");
}
