//! Decode and encode again: the same.

use proptest::prelude::*;
use serde_json::Value;

use super::generate::{answer, request, word};
use crate::bedrock::embed::Style;
use crate::bedrock::{decode_answer, decode_request, encode_answer, encode_request};
use crate::embed;
use crate::hub::{Capabilities, Dialect, Ids, Reply, Target, fold::Fold, unfold};
use crate::rules::UsageRules;

/// A reply to what came in this dialect.
pub(super) fn reply() -> Reply {
    Reply { source: Dialect::Bedrock, now: 5, model: "m".into(), ids: Ids::new(3) }
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(tree in request()) {
        let request = decode_request(tree.to_string().as_bytes()).unwrap();
        let capabilities = Capabilities::default();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Bedrock };
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
        let mut fold = Fold::new(1 << 20);
        unfold(answer.clone()).into_iter().try_for_each(|event| fold.push(event)).unwrap();
        prop_assert_eq!(fold.finish(), Ok(answer));
    }

    /// What another dialect's caller can say of a Bedrock request is written, or refused with a place.
    #[test]
    fn what_is_written_for_others_is_json(tree in request()) {
        let mut request = decode_request(tree.to_string().as_bytes()).unwrap();
        request.link_results(&mut Ids::new(1));
        let capabilities = Capabilities::default();
        let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::Anthropic };
        if let Ok(encoded) = encode_request(&request, &target) {
            prop_assert!(serde_json::from_str::<Value>(&encoded.body).is_ok());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in word()) {
        for body in [bytes, text.into_bytes()] {
            drop(decode_request(&body));
            drop(decode_answer(&body, &UsageRules::default()));
            drop(embed::decode_answer(&body, embed::Api::Bedrock(Style::TitanV2), &UsageRules::default()));
            let Ok(request) = embed::decode_request(&body) else { continue };
            drop(embed::encode_request(&request, embed::Api::Bedrock(Style::TitanV2), "m"));
        }
    }

    /// A valid body with any value replaced by any other is read or refused, and what is read can
    /// be written, or is refused with a place.
    #[test]
    fn odd_values_do_not_make_it_panic(tree in request(), answer in answer(), at in any::<prop::sample::Index>(), odd in 0..7usize) {
        let odd = [Value::Null, true.into(), 7.into(), "x".into(), Value::Array(vec![1.into()]), serde_json::json!({"a": 1}), "".into()][odd].clone();
        let (mut tree, mut answer) = (tree, answer);
        replace(&mut tree, at, odd.clone());
        replace(&mut answer, at, odd);
        let capabilities = Capabilities::default();
        for caller in [Dialect::Bedrock, Dialect::OpenAiChat] {
            let target = Target { model: "m", capabilities: &capabilities, caller };
            if let Ok(request) = decode_request(tree.to_string().as_bytes()) {
                let encoded = encode_request(&request, &target);
                prop_assert!(encoded.is_err() || serde_json::from_str::<Value>(&encoded.unwrap().body).is_ok());
            }
        }
        if let Ok(decoded) = decode_answer(answer.to_string().as_bytes(), &UsageRules::default()) {
            let encoded = encode_answer(&decoded, &mut reply());
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
