//! Decode and encode again: the same.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::{answer, request, word};
use crate::hub::{AnswerError, Capabilities, Dialect, Ids, Reply, StopReason, Target};
use crate::ollama::{decode_answer, decode_request, encode_answer, encode_request};
use crate::rules::UsageRules;

/// A reply to what came in this dialect.
pub(super) fn reply() -> Reply {
    Reply { source: Dialect::Ollama, now: 5, model: "m".into(), ids: Ids::new(3) }
}

fn again(tree: &Value) -> (Value, usize) {
    let request = decode_request(tree.to_string().as_bytes()).unwrap();
    let capabilities = Capabilities::default();
    let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::Ollama };
    let encoded = encode_request(&request, &target).unwrap();
    (serde_json::from_str(&encoded.body).unwrap(), encoded.losses.len())
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(tree in request()) {
        prop_assert_eq!(again(&tree), (tree, 0));
    }

    #[test]
    fn an_answer_comes_back_as_it_was(tree in answer()) {
        let answer = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let encoded = encode_answer(&answer, &mut reply());
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), tree);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in word()) {
        for body in [bytes, text.into_bytes()] {
            drop(decode_request(&body));
            drop(decode_answer(&body, &UsageRules::default()));
        }
    }

    /// A valid body with any value replaced by any other is read or refused, and what is read can
    /// be written, or is refused with a place.
    #[test]
    fn odd_values_do_not_make_it_panic(tree in request(), answer in answer(), at in any::<prop::sample::Index>(), odd in 0..7usize) {
        let odd = [Value::Null, true.into(), 7.into(), "x".into(), json!([1]), json!({"a": 1}), "".into()][odd].clone();
        let (mut tree, mut answer) = (tree, answer);
        replace(&mut tree, at, odd.clone());
        replace(&mut answer, at, odd);
        let capabilities = Capabilities::default();
        for caller in [Dialect::Ollama, Dialect::OpenAiChat] {
            let target = Target { model: "m", capabilities: &capabilities, caller };
            if let Ok(request) = decode_request(tree.to_string().as_bytes()) {
                let encoded = encode_request(&request, &target);
                prop_assert!(encoded.is_err() || serde_json::from_str::<Value>(&encoded.unwrap().body).is_ok());
            }
        }
        if let Ok(answer) = decode_answer(answer.to_string().as_bytes(), &UsageRules::default()) {
            let encoded = encode_answer(&answer, &mut reply());
            prop_assert!(serde_json::from_str::<Value>(&encoded.body).is_ok());
        }
    }
}

/// Replaces one of the values within.
pub(super) fn replace(tree: &mut Value, at: prop::sample::Index, odd: Value) {
    let mut left = at.index(count(tree));
    put(tree, &mut left, &odd);
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn put(tree: &mut Value, left: &mut usize, odd: &Value) -> bool {
    if *left == 0 {
        *tree = odd.clone();
        return true;
    }
    *left -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().any(|item| put(item, left, odd)),
        Value::Object(members) => members.values_mut().any(|value| put(value, left, odd)),
        _ => false,
    }
}

#[test]
fn who_says_nothing_is_streamed_to_and_it_is_said() {
    assert_eq!(again(&json!({"model": "m", "messages": []})).0["stream"], true);
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    let request = crate::hub::Request::default();
    assert_eq!(encode_request(&request, &target).unwrap().body, r#"{"model":"m","messages":[],"stream":false}"#);
}

#[test]
fn an_error_under_a_status_of_success_is_the_provider_s() {
    let Err(AnswerError::Upstream(error)) = decode_answer(br#"{"error":"no such model"}"#, &UsageRules::default())
    else {
        panic!()
    };
    assert_eq!(error.message, "no such model");
    assert!(matches!(decode_answer(b"{}", &UsageRules::default()), Err(AnswerError::Decode(_))));
}

#[test]
fn reasons_counts_and_times() {
    let read = |tree: Value| decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
    let with = |reason: Value, calls: Value| {
        let message = json!({"role": "assistant", "content": "", "tool_calls": calls});
        read(json!({"model": "m", "message": message, "done": true, "done_reason": reason}))
    };
    let reason = |answer: crate::hub::Answer| answer.choices[0].stop.as_ref().map(|stop| stop.reason);
    let call = json!([{"function": {"name": "f", "arguments": {}}}]);
    assert_eq!(reason(with(json!("stop"), json!([]))), Some(StopReason::End));
    assert_eq!(reason(with(json!("stop"), call.clone())), Some(StopReason::ToolUse));
    assert_eq!(reason(with(json!("length"), call)), Some(StopReason::Length));
    assert_eq!(reason(with(json!("load"), json!([]))), Some(StopReason::Unknown));
    assert_eq!(reason(with(json!(null), json!([]))), None);
    let cached = read(json!({"created_at": "1970-01-01T00:01:00.5Z", "message": {"content": "a"}, "eval_count": 7}));
    let usage = cached.usage.unwrap().tokens;
    assert_eq!((usage.input, usage.output, cached.head.created), (0, 7, Some(60)));
    assert_eq!(read(json!({"message": {"content": "a"}})).usage, None);
}
