//! Decode and encode again: the same.

use proptest::prelude::*;
use serde_json::Value;

use super::generate::{answer, request, word};
use crate::hub::{Capabilities, Dialect, Ids, Reply, Target};
use crate::openai_chat;
use crate::openai_responses::{decode_answer, decode_request, echo, encode_answer, encode_request};
use crate::rules::UsageRules;

/// A reply to what came in this dialect.
pub(super) fn reply(source: Dialect) -> Reply {
    Reply { source, now: 5, model: "m".into(), ids: Ids::new(3) }
}

pub(super) fn tree(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(sent in request()) {
        let request = decode_request(sent.to_string().as_bytes()).unwrap();
        let capabilities = Capabilities::default();
        let target = Target { model: &request.model, capabilities: &capabilities, caller: Dialect::OpenAiResponses };
        let encoded = encode_request(&request, &target).unwrap();
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(tree(&encoded.body), sent.clone());
        for (name, value) in echo(&request).members() {
            prop_assert_eq!(&tree(value.as_str()), &sent[name]);
        }
        // Another dialect is told it without a panic, or the caller is told why not.
        if let Ok(encoded) = openai_chat::encode_request(&request, &target) {
            tree(&encoded.body);
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was(sent in answer()) {
        let answer = decode_answer(sent.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let encoded = encode_answer(&answer, &mut reply(Dialect::OpenAiResponses));
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(tree(&encoded.body), sent);
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
    fn odd_values_do_not_make_it_panic(sent in request(), said in answer(), at in any::<prop::sample::Index>(), odd in 0..7usize) {
        let odd = [Value::Null, true.into(), 7.into(), "x".into(), Value::Array(vec![1.into()]), serde_json::json!({"a": 1}), "".into()][odd].clone();
        let (mut sent, mut said) = (sent, said);
        replace(&mut sent, at, odd.clone());
        replace(&mut said, at, odd);
        let capabilities = Capabilities::default();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiResponses };
        if let Ok(request) = decode_request(sent.to_string().as_bytes()) {
            for encoded in [encode_request(&request, &target), openai_chat::encode_request(&request, &target)].into_iter().flatten() {
                tree(&encoded.body);
            }
        }
        if let Ok(answer) = decode_answer(said.to_string().as_bytes(), &UsageRules::default()) {
            tree(&encode_answer(&answer, &mut reply(Dialect::OpenAiResponses)).body);
            tree(&openai_chat::encode_answer(&answer, &mut reply(Dialect::OpenAiResponses)).body);
            tree(&encode_answer(&answer, &mut reply(Dialect::Anthropic)).body);
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
