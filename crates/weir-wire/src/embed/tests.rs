use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::hub::AnswerError;
use crate::rules::UsageRules;
use crate::usage::Usage;

fn request(tree: &Value) -> Request {
    decode_request(tree.to_string().as_bytes()).unwrap()
}

fn check(tree: &Value, api: Api, expected: Value, losses: &[&str]) {
    let encoded = encode_request(&request(tree), api, "their").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), expected, "{api:?}");
    let told: Vec<String> = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    assert_eq!(told, losses, "{api:?}");
}

#[test]
fn every_form_of_a_plain_request() {
    let tree = json!({"model": "m", "input": "hi"});
    check(&tree, Api::OpenAi, json!({"model": "their", "input": "hi"}), &[]);
    check(
        &tree,
        Api::Cohere,
        json!({"model": "their", "texts": ["hi"], "input_type": "search_document", "embedding_types": ["float"]}),
        &["input_type approximated"],
    );
    let content = json!({"parts": [{"text": "hi"}]});
    check(&tree, Api::Gemini, json!({"requests": [{"model": "models/their", "content": content}]}), &[]);
    check(&tree, Api::Vertex, json!({"instances": [{"content": "hi"}]}), &[]);
    for api in [Api::Voyage, Api::Jina, Api::Ollama] {
        check(&tree, api, json!({"model": "their", "input": ["hi"]}), &[]);
    }
    for api in [Api::Tei, Api::FeatureExtraction] {
        check(&tree, api, json!({"inputs": ["hi"]}), &[]);
    }
}

#[test]
fn every_form_of_a_request_with_all() {
    let tree = json!({"model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64", "user": "u",
        "input_type": "query", "truncate": "START", "x": 1});
    let mut same = tree.clone();
    same["model"] = "their".into();
    check(&tree, Api::OpenAi, same, &[]);
    check(
        &tree,
        Api::Cohere,
        json!({"model": "their", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256, "truncate": "START"}),
        &["user dropped", "x dropped"],
    );
    let one = |text: &str| json!({"model": "models/their", "content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256});
    check(
        &tree,
        Api::Gemini,
        json!({"requests": [one("a"), one("b")]}),
        &["user dropped", "truncate dropped", "x dropped"],
    );
    let one = |text: &str| json!({"content": text, "task_type": "RETRIEVAL_QUERY"});
    check(
        &tree,
        Api::Vertex,
        json!({"instances": [one("a"), one("b")], "parameters": {"outputDimensionality": 256, "autoTruncate": true}}),
        &["user dropped", "truncate coerced", "x dropped"],
    );
    check(
        &tree,
        Api::Voyage,
        json!({"model": "their", "input": ["a", "b"], "input_type": "query", "output_dimension": 256, "encoding_format": "base64", "truncation": true}),
        &["user dropped", "truncate coerced", "x dropped"],
    );
    check(
        &tree,
        Api::Jina,
        json!({"model": "their", "input": ["a", "b"], "task": "retrieval.query", "dimensions": 256, "embedding_type": "base64", "truncate": true}),
        &["user dropped", "truncate coerced", "x dropped"],
    );
    check(
        &tree,
        Api::Tei,
        json!({"inputs": ["a", "b"], "truncate": true, "truncation_direction": "Left", "dimensions": 256}),
        &["user dropped", "input_type dropped", "x dropped"],
    );
    check(
        &tree,
        Api::FeatureExtraction,
        json!({"inputs": ["a", "b"], "truncate": true, "truncation_direction": "left"}),
        &["user dropped", "dimensions dropped", "input_type dropped", "x dropped"],
    );
    check(
        &tree,
        Api::Ollama,
        json!({"model": "their", "input": ["a", "b"], "truncate": true, "dimensions": 256}),
        &["user dropped", "input_type dropped", "truncate coerced", "x dropped"],
    );
}

#[test]
fn purposes_are_understood_in_any_words() {
    let cohere = |member: &str, word: &str| {
        let encoded = encode_request(&request(&json!({"input": "a", member: word})), Api::Cohere, "").unwrap();
        let tree: Value = serde_json::from_str(&encoded.body).unwrap();
        (tree["input_type"].as_str().unwrap().to_owned(), encoded.losses.len())
    };
    for (member, word, expected, losses) in [
        ("input_type", "document", "search_document", 0),
        ("input_type", "passage", "search_document", 0),
        ("task_type", "RETRIEVAL_QUERY", "search_query", 0),
        ("task", "separation", "clustering", 0),
        ("task", "text-matching", "search_document", 1),
        ("task_type", "CLASSIFICATION", "classification", 0),
    ] {
        assert_eq!(cohere(member, word), (expected.to_owned(), losses), "{word}");
    }
    assert_eq!(cohere("task", "juggling").1, 2);
}

#[test]
fn tokens_are_for_those_who_read_them() {
    for (input, field) in [(json!([1, 2]), "input"), (json!([[1, 2], [3]]), "input[0]")] {
        let tree = json!({"model": "m", "input": input});
        check(&tree, Api::OpenAi, json!({"model": "their", "input": input}), &[]);
        for api in [Api::Cohere, Api::Gemini, Api::Vertex, Api::Voyage, Api::Jina, Api::Ollama, Api::FeatureExtraction]
        {
            assert_eq!(encode_request(&request(&tree), api, "m").unwrap_err().field, field);
        }
    }
    check(&json!({"input": [1, 2]}), Api::Tei, json!({"inputs": [[1, 2]]}), &[]);
    assert_eq!(request(&json!({"input": ["abc", [7, 8]]})).tokens(|text| text.len() as u64), [3, 2]);
}

#[test]
fn what_is_no_request_is_refused_by_its_place() {
    let refused = |tree: Value| decode_request(tree.to_string().as_bytes()).unwrap_err().field;
    assert_eq!(refused(json!({})), "input");
    assert_eq!(refused(json!({"input": []})), "input");
    assert_eq!(refused(json!({"input": 7})), "input");
    assert_eq!(refused(json!({"input": ["a", null]})), "input[1]");
    assert_eq!(refused(json!({"input": [["a"]]})), "input[0]");
    assert_eq!(refused(json!({"input": [1.5]})), "input[0]");
    assert_eq!(refused(json!({"input": "a", "encoding_format": "int8"})), "encoding_format");
    assert_eq!(refused(json!({"input": "a", "dimensions": 0})), "dimensions");
}

fn read(body: &Value, api: Api) -> Result<Answer, AnswerError> {
    decode_answer(body.to_string().as_bytes(), api, &UsageRules::default())
}

fn told(body: &Value, api: Api) -> (Value, Option<u64>) {
    let answer = read(body, api).unwrap();
    let tree: Value = serde_json::from_str(&encode_answer(&answer, None, "m")).unwrap();
    let vectors: Vec<Value> = tree["data"].as_array().unwrap().iter().map(|item| item["embedding"].clone()).collect();
    (vectors.into(), answer.usage.map(|spent| spent.tokens.input))
}

#[test]
fn every_form_of_an_answer() {
    let two = json!([[0.1, -2], [3]]);
    let data = json!([{"object": "embedding", "index": 1, "embedding": [3]}, {"object": "embedding", "index": 0, "embedding": [0.1, -2]}]);
    let usage = json!({"prompt_tokens": 5, "total_tokens": 5});
    for api in [Api::OpenAi, Api::Voyage, Api::Jina] {
        assert_eq!(told(&json!({"data": data, "usage": usage}), api), (two.clone(), Some(5)));
        assert_eq!(told(&json!({"data": data, "usage": {"total_tokens": 4}}), api), (two.clone(), Some(4)));
    }
    let meta = json!({"billed_units": {"input_tokens": 6}});
    assert_eq!(told(&json!({"embeddings": {"float": two}, "meta": meta}), Api::Cohere), (two.clone(), Some(6)));
    assert_eq!(told(&json!({"embeddings": two, "meta": meta}), Api::Cohere), (two.clone(), Some(6)));
    assert_eq!(told(&json!({"embeddings": {"base64": ["AACAPw=="]}}), Api::Cohere), (json!([[1.0]]), None));
    let values = json!([{"values": [0.1, -2]}, {"values": [3]}]);
    let counted = json!({"promptTokenCount": 7});
    assert_eq!(told(&json!({"embeddings": values, "usageMetadata": counted}), Api::Gemini), (two.clone(), Some(7)));
    assert_eq!(told(&json!({"embeddings": values}), Api::Gemini), (two.clone(), None));
    assert_eq!(told(&json!({"embedding": {"values": [3]}}), Api::Gemini), (json!([[3]]), None));
    let predictions = json!([{"embeddings": {"values": [0.1, -2], "statistics": {"token_count": 2}}},
        {"embeddings": {"values": [3], "statistics": {"token_count": 3.0}}}]);
    assert_eq!(told(&json!({"predictions": predictions}), Api::Vertex), (two.clone(), Some(5)));
    assert_eq!(told(&json!({"embeddings": two, "prompt_eval_count": 8}), Api::Ollama), (two.clone(), Some(8)));
    assert_eq!(told(&json!({"embedding": [3]}), Api::Ollama), (json!([[3]]), None));
    for api in [Api::Tei, Api::FeatureExtraction] {
        assert_eq!(told(&two, api), (two.clone(), None));
        assert_eq!(told(&json!([1, 2]), api), (json!([[1, 2]]), None));
    }
}

#[test]
fn callers_get_the_encoding_they_want() {
    let body = json!({"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AACAPw=="}]});
    let answer = read(&body, Api::OpenAi).unwrap();
    let vectors = |encoding| {
        let tree: Value = serde_json::from_str(&encode_answer(&answer, encoding, "m")).unwrap();
        (tree["data"][0]["embedding"].clone(), tree["data"][1]["embedding"].clone())
    };
    assert_eq!(vectors(None), (json!([1.0]), json!([1.0])));
    assert_eq!(vectors(Some(Encoding::Float)), (json!([1.0]), json!([1.0])));
    assert_eq!(vectors(Some(Encoding::Base64)), (json!("AACAPw=="), json!("AACAPw==")));
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for (body, api) in [
        (json!({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}), Api::OpenAi),
        (json!({"data": [{"index": 1, "embedding": [1]}]}), Api::OpenAi),
        (json!({"data": [{"index": 0, "embedding": ["x"]}]}), Api::OpenAi),
        (json!({"data": [{"index": 0, "embedding": "AAA="}]}), Api::OpenAi),
        (json!({"data": [{"index": 0}]}), Api::OpenAi),
        (json!({}), Api::OpenAi),
        (json!({"embeddings": {"int8": [[1]]}}), Api::Cohere),
        (json!({}), Api::Cohere),
        (json!({}), Api::Gemini),
        (json!({}), Api::Ollama),
        (json!([[[1]]]), Api::FeatureExtraction),
        (json!("x"), Api::Tei),
    ] {
        assert!(matches!(read(&body, api), Err(AnswerError::Decode(_))), "{body}");
    }
    for body in
        [json!({"error": {"message": "no"}}), json!({"error": "no"}), json!({"message": "no"}), json!({"detail": "no"})]
    {
        assert!(
            matches!(read(&body, Api::Cohere), Err(AnswerError::Upstream(error)) if error.message == "no"),
            "{body}"
        );
    }
}

#[test]
fn a_batch_is_cut_to_the_limits() {
    let limits = |inputs, tokens| Limits { inputs, tokens };
    assert_eq!(plan(&[1, 1, 1], limits(None, None)).as_slice(), std::slice::from_ref(&(0..3)));
    assert_eq!(plan(&[1, 1, 1], limits(Some(2), None)), [0..2, 2..3]);
    assert_eq!(plan(&[3, 3, 3, 1], limits(None, Some(6))), [0..2, 2..4]);
    assert_eq!(plan(&[1, 9, 1], limits(Some(5), Some(6))), [0..1, 1..2, 2..3]);
    assert_eq!(plan(&[], limits(Some(0), Some(0))), []);
    assert_eq!(plan(&[0, 0], limits(Some(0), None)), [0..1, 1..2]);
}

fn answer(first: usize, count: usize) -> Answer {
    let item = |at| Item { vector: Vector::floats(&format!("[{at}]")).unwrap(), extra: Extra::default() };
    let tokens = Usage { input: count as u64, ..Usage::default() };
    let usage = Some(Spent { tokens, ..Spent::default() });
    Answer {
        model: Some("m".into()),
        items: (first..first + count).map(item).collect(),
        usage,
        extra: Extra::default(),
    }
}

#[test]
fn answers_that_do_not_fit_are_errors() {
    let parts = [0..2, 2..3];
    assert_eq!(join(&parts, vec![answer(0, 2)]), Err(JoinError::Parts { sent: 2, came: 1 }));
    let told = join(&parts, vec![answer(0, 2), answer(2, 2)]).unwrap_err().to_string();
    assert_eq!(told, "the provider gave 2 vectors for 1 inputs (request 1)");
    let mut silent = answer(2, 1);
    silent.usage = None;
    assert_eq!(join(&parts, vec![answer(0, 2), silent]).unwrap().usage, None);
}

proptest! {
    #[test]
    fn parts_are_all_in_order_and_within_the_limits(
        tokens in proptest::collection::vec(0..20u64, 0..40),
        inputs in proptest::option::of(1..8usize),
        most in proptest::option::of(0..40u64),
    ) {
        let limits = Limits { inputs, tokens: most };
        let parts = plan(&tokens, limits);
        let all: Vec<usize> = parts.iter().flat_map(Clone::clone).collect();
        prop_assert_eq!(all, (0..tokens.len()).collect::<Vec<_>>());
        for part in &parts {
            prop_assert!(!part.is_empty() && inputs.is_none_or(|inputs| part.len() <= inputs));
            let sum: u64 = tokens[part.clone()].iter().sum();
            prop_assert!(part.len() == 1 || most.is_none_or(|most| sum <= most));
        }
        let answers = parts.iter().map(|part| answer(part.start, part.len())).collect();
        let whole = join(&parts, answers).unwrap();
        let expected = if tokens.is_empty() { Answer::default() } else { answer(0, tokens.len()) };
        prop_assert_eq!(whole, expected);
    }

    #[test]
    fn a_request_comes_back_as_it_was(
        input in prop_oneof![Just(json!("a")), Just(json!(["a", ""])), Just(json!([1, 2])), Just(json!([[1], [2, 3]]))],
        encoding in proptest::option::of(prop_oneof![Just("float"), Just("base64")]),
        dimensions in proptest::option::of(1..9u64),
        extra in proptest::option::of(prop_oneof![Just(json!("query")), Just(Value::Null), Just(json!([]))]),
    ) {
        let mut tree = json!({"model": "m", "input": input});
        let members = [("encoding_format", encoding.map(Value::from)), ("dimensions", dimensions.map(Value::from)), ("input_type", extra)];
        for (name, value) in members {
            if let Some(value) = value {
                tree[name] = value;
            }
        }
        let encoded = encode_request(&request(&tree), Api::OpenAi, "m").unwrap();
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), tree);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}:,0-9\"a-e. -]{0,40}") {
        for body in [bytes, text.into_bytes()] {
            drop(decode_request(&body));
            drop(crate::rerank::decode_request(&body));
            drop(crate::rerank::decode_answer(&body, 3, &UsageRules::default()));
            for api in [Api::OpenAi, Api::Cohere, Api::Gemini, Api::Ollama, Api::Tei] {
                drop(decode_answer(&body, api, &UsageRules::default()));
            }
        }
    }
}
