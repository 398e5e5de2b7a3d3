//! Requests for embeddings of this dialect's callers, and answers to them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{decode_request, encode_answer};
use crate::embed::{self, Api, Input, Purpose};
use crate::hub::Num;
use crate::rules::UsageRules;

fn read(tree: &Value) -> Result<embed::Request, String> {
    decode_request(tree.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn content(text: &str) -> Value {
    json!({"parts": [{"text": text}]})
}

/// The body and the losses, each as `field what`.
fn written(request: &embed::Request, api: Api) -> (Value, Vec<String>) {
    let encoded = embed::encode_request(request, api, "their").unwrap();
    let told = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    (serde_json::from_str(&encoded.body).unwrap(), told)
}

#[test]
fn one_content_in_either_spelling() {
    for (task, dimensions) in [("taskType", "outputDimensionality"), ("task_type", "output_dimensionality")] {
        let body = json!({"model": "models/g", "content": {"role": "user", "parts": [{"text": "hi"}]},
            task: "RETRIEVAL_QUERY", dimensions: 256});
        let request = read(&body).unwrap();
        assert_eq!(request.inputs, [Input::Text("hi".into())]);
        assert!(request.single);
        assert_eq!((request.model.as_str(), request.purpose), ("g", Some(Purpose::Query)));
        assert_eq!(request.dimensions, Some(Num::whole(256)));
        let (body, told) = written(&request, Api::OpenAi);
        assert_eq!(body, json!({"model": "their", "input": "hi", "dimensions": 256}));
        assert_eq!(told, ["taskType dropped"]);
        assert_eq!(written(&request, Api::Cohere).0["input_type"], "search_query");
        assert!(written(&request, Api::Cohere).1.is_empty());
    }
    assert!(read(&json!({"content": {"parts": {"text": "hi"}}})).unwrap().single);
}

#[test]
fn a_batch_comes_back_as_it_was() {
    let one = |text: &str, title: &str| {
        json!({"model": "models/their", "content": content(text), "taskType": "RETRIEVAL_DOCUMENT", "title": title,
            "outputDimensionality": 8})
    };
    let body = json!({"requests": [one("a", "A"), one("b", "B")]});
    let request = read(&body).unwrap();
    assert!(!request.single);
    assert_eq!(request.inputs.len(), 2);
    assert_eq!(written(&request, Api::Gemini), (body, vec![]));
    let (_, told) = written(&request, Api::Voyage);
    assert_eq!(told, ["requests[0].title dropped", "requests[1].title dropped"]);
    let (_, told) = written(&request, Api::OpenAi);
    assert_eq!(told, ["taskType dropped", "requests[0].title dropped", "requests[1].title dropped"]);
}

#[test]
fn a_word_nobody_knows_is_kept_and_told() {
    let body = json!({"content": content("a"), "taskType": "NEW_TASK", "title": "t"});
    let request = read(&body).unwrap();
    let expected = json!({"model": "models/their", "content": content("a"), "taskType": "NEW_TASK", "title": "t"});
    assert_eq!(written(&request, Api::Gemini), (json!({"requests": [expected]}), vec![]));
    assert_eq!(written(&request, Api::OpenAi).1, ["title dropped", "taskType dropped"]);
}

#[test]
fn what_cannot_be_embedded_so_is_told_with_its_place() {
    let two = |first: Value, second: Value| {
        let one = |mut more: Value| {
            more["content"] = content("a");
            more
        };
        json!({"requests": [one(first), one(second)]})
    };
    for (body, told) in [
        (json!({}), "content: missing, expected an object"),
        (json!({"requests": []}), "requests: empty, send at least one request"),
        (json!({"content": {}}), "content.parts: missing, expected a list of one text"),
        (
            json!({"content": {"parts": [{"text": "a"}, {"text": "b"}]}}),
            "content.parts: 2 parts: put them into one text, or send a request for each",
        ),
        (
            json!({"requests": [{"content": {"parts": [{"inlineData": {}}]}}]}),
            "requests[0].content.parts[0].text: missing: only text can be embedded here",
        ),
        (
            json!({"content": content("a"), "outputDimensionality": 0}),
            "outputDimensionality: expected a whole number of at least 1",
        ),
        (
            two(json!({}), json!({"taskType": "CLUSTERING"})),
            "requests[1].taskType: not that of requests[0]: send a batch for each taskType",
        ),
        (
            two(json!({"model": "models/a"}), json!({"model": "models/b"})),
            "requests[1].model: not that of requests[0]: send a batch for each model",
        ),
    ] {
        assert_eq!(read(&body).unwrap_err(), told);
    }
}

#[test]
fn answers_are_of_one_or_of_a_batch() {
    let theirs = json!({"object": "list", "model": "m", "data": [
        {"object": "embedding", "index": 0, "embedding": [0.5, -1.25]},
        {"object": "embedding", "index": 1, "embedding": "AACAPwAAAMA="}],
        "usage": {"prompt_tokens": 7, "total_tokens": 7}});
    let rules = UsageRules::default();
    let answer = embed::decode_answer(theirs.to_string().as_bytes(), Api::OpenAi, &rules).unwrap();
    let of = |single| serde_json::from_str::<Value>(&encode_answer(&answer, single).body).unwrap();
    let usage = json!({"promptTokenCount": 7});
    let vectors = json!([{"values": [0.5, -1.25]}, {"values": [1.0, -2.0]}]);
    assert_eq!(of(false), json!({"embeddings": vectors, "usageMetadata": usage}));
    assert_eq!(of(true), json!({"embedding": {"values": [0.5, -1.25]}, "usageMetadata": usage}));
    assert_eq!(encode_answer(&answer, false).losses, []);
    let again = embed::decode_answer(of(false).to_string().as_bytes(), Api::Gemini, &rules).unwrap();
    assert_eq!((again.items.len(), again.usage.unwrap().tokens.input), (2, 7));
}

proptest! {
    #[test]
    fn texts_come_back_in_their_order(texts in proptest::collection::vec("\\PC{0,9}", 1..6)) {
        let requests: Vec<Value> = texts.iter().map(|text| json!({"model": "models/their", "content": content(text)})).collect();
        let body = json!({"requests": requests});
        prop_assert_eq!(written(&read(&body).unwrap(), Api::Gemini), (body, vec![]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), odd in 0..6usize, which in 0..5usize) {
        drop(decode_request(&bytes));
        let odd = [Value::Null, true.into(), json!(-1), "x".into(), json!([1, {}]), json!({"a": 1})][odd].clone();
        let mut body = json!({"content": content("a")});
        body[["content", "taskType", "outputDimensionality", "requests", "model"][which]] = odd;
        drop(read(&body));
    }
}
