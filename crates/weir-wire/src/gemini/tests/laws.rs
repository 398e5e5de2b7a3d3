//! Decode and encode again: the same.

use proptest::prelude::*;
use serde_json::Value;

use super::generate::{answer, request, word};
use crate::gemini::{decode_answer, decode_request, encode_answer, encode_request};
use crate::hub::{Capabilities, Dialect, Ids, Reply, SchemaStyle, Target};
use crate::openai_chat;
use crate::rules::UsageRules;

/// A reply to what came in this dialect.
pub(super) fn reply() -> Reply {
    Reply { source: Dialect::Gemini, now: 5, model: "m".into(), ids: Ids::new(3) }
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(tree in request()) {
        let request = decode_request(tree.to_string().as_bytes()).unwrap();
        let capabilities = Capabilities::default();
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::Gemini };
        let encoded = encode_request(&request, &target).unwrap();
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), tree);
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
    /// be written in this dialect and another, or is refused with a place.
    #[test]
    fn odd_values_do_not_make_it_panic(tree in request(), answer in answer(), at in any::<prop::sample::Index>(), odd in 0..7usize) {
        let odd = [Value::Null, true.into(), 7.into(), "x".into(), Value::Array(vec![1.into()]), serde_json::json!({"a": 1}), "".into()][odd].clone();
        let (mut tree, mut answer) = (tree, answer);
        replace(&mut tree, at, odd.clone());
        replace(&mut answer, at, odd);
        let valid = |body: &str| serde_json::from_str::<Value>(body).is_ok();
        let capabilities = Capabilities { schemas: SchemaStyle::OpenApi, ..Capabilities::default() };
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Gemini };
        if let Ok(request) = decode_request(tree.to_string().as_bytes()) {
            prop_assert!(encode_request(&request, &target).is_ok_and(|encoded| valid(&encoded.body)));
            let chat = openai_chat::encode_request(&request, &target);
            prop_assert!(chat.is_err() || valid(&chat.unwrap().body));
        }
        if let Ok(answer) = decode_answer(answer.to_string().as_bytes(), &UsageRules::default()) {
            prop_assert!(valid(&encode_answer(&answer, &mut reply()).body));
            prop_assert!(valid(&openai_chat::encode_answer(&answer, &mut reply()).body));
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
