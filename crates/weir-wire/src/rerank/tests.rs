use serde_json::{Value, json};

use super::*;
use crate::hub::AnswerError;
use crate::rules::UsageRules;

fn request(tree: &Value) -> Request {
    decode_request(tree.to_string().as_bytes()).unwrap()
}

fn ask() -> Value {
    json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, {"text": "c", "title": "t"}], "top_n": 2,
        "return_documents": true, "max_tokens_per_doc": 100})
}

fn check(api: Api, expected: Value, losses: &[&str]) {
    let encoded = encode_request(&request(&ask()), api, "their");
    assert_eq!(serde_json::from_str::<Value>(&encoded.body).unwrap(), expected);
    let told: Vec<String> = encoded.losses.iter().map(|loss| format!("{} {}", loss.field, loss.what.word())).collect();
    assert_eq!(told, losses);
}

#[test]
fn every_form_of_a_request() {
    let object = "{\"text\":\"c\",\"title\":\"t\"}";
    let texts = json!(["a", "b", object]);
    check(
        Api::Cohere,
        json!({"model": "their", "query": "q", "documents": texts, "top_n": 2, "max_tokens_per_doc": 100}),
        &["documents[2] approximated"],
    );
    check(
        Api::Jina,
        json!({"model": "their", "query": "q", "documents": ["a", {"text": "b"}, {"text": "c", "title": "t"}], "top_n": 2, "return_documents": false}),
        &["max_tokens_per_doc dropped"],
    );
    check(
        Api::Voyage,
        json!({"model": "their", "query": "q", "documents": texts, "top_k": 2}),
        &["documents[2] approximated", "max_tokens_per_doc dropped"],
    );
    check(
        Api::Tei,
        json!({"query": "q", "texts": texts}),
        &["documents[2] approximated", "max_tokens_per_doc dropped"],
    );
}

fn answers(body: &Value, sent: usize) -> Result<Answer, AnswerError> {
    decode_answer(body.to_string().as_bytes(), sent, &UsageRules::default())
}

fn told(body: &Value) -> Value {
    let request = request(&ask());
    let answer = answers(body, request.documents.len()).unwrap();
    serde_json::from_str(&encode_answer(&answer, &request, "made-up", "m")).unwrap()
}

#[test]
fn every_form_of_an_answer() {
    let results = json!([
        {"index": 2, "relevance_score": 0.90, "document": {"text": "c", "title": "t"}},
        {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}},
    ]);
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": 1}});
    let plain = json!([{"index": 2, "relevance_score": 0.90}, {"index": 0, "relevance_score": 0.5}]);
    assert_eq!(
        told(&json!({"id": "x", "results": plain, "meta": meta})),
        json!({"id": "x", "model": "m", "results": results, "meta": meta})
    );
    let usage = json!({"prompt_tokens": 9, "total_tokens": 9});
    assert_eq!(
        told(&json!({"model": "j", "usage": {"total_tokens": 9}, "results": [
            {"index": 2, "relevance_score": 0.90, "document": {"text": "c"}}, {"index": 0, "relevance_score": 0.5}]})),
        json!({"id": "made-up", "model": "j", "results": results, "usage": usage})
    );
    assert_eq!(
        told(&json!({"object": "list", "data": plain, "model": "v", "usage": {"total_tokens": 9}})),
        json!({"id": "made-up", "model": "v", "results": results, "usage": usage})
    );
    // TEI gives all, in whatever order, and the caller gets what it asked for.
    assert_eq!(
        told(
            &json!([{"index": 1, "score": -0.1}, {"index": 2, "score": 0.90}, {"index": 0, "score": 0.5, "text": "a"}])
        ),
        json!({"id": "made-up", "model": "m", "results": results})
    );
}

#[test]
fn usage_is_what_was_reported() {
    let answer = answers(&json!({"results": [], "meta": {"billed_units": {"search_units": 3}}}), 1).unwrap();
    assert_eq!(answer.usage.unwrap().tokens.search_units, 3);
    let answer = answers(&json!({"data": [], "usage": {"total_tokens": 7}}), 1).unwrap();
    assert_eq!(answer.usage.unwrap().tokens.input, 7);
    assert_eq!(answers(&json!([]), 1).unwrap().usage, None);
}

#[test]
fn scores_are_not_touched() {
    let body = r#"[{"index":0,"score":0.1000000000000000055511151231257827}]"#;
    let answer = decode_answer(body.as_bytes(), 1, &UsageRules::default()).unwrap();
    assert!(encode_answer(&answer, &request(&ask()), "i", "m").contains("0.1000000000000000055511151231257827"));
}

#[test]
fn a_result_is_of_one_document_that_was_sent() {
    for results in [json!([{"index": 3, "score": 1}]), json!([{"index": 0, "score": 1}, {"index": 0, "score": 1}])] {
        assert!(matches!(answers(&results, 3), Err(AnswerError::Decode(_))));
    }
    for odd in [json!([{"index": -1, "score": 1}]), json!([{"index": 0}]), json!({"results": 1}), json!({}), json!("x")]
    {
        assert!(answers(&odd, 3).is_err(), "{odd}");
    }
    for failed in
        [json!({"message": "no"}), json!({"detail": "no"}), json!({"error": {"message": "no"}}), json!({"error": "no"})]
    {
        match answers(&failed, 3) {
            Err(AnswerError::Upstream(error)) => assert_eq!(error.message, "no"),
            other => panic!("{failed}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_request_is_refused_by_its_place() {
    let refused = |tree: Value| decode_request(tree.to_string().as_bytes()).unwrap_err().field;
    assert_eq!(refused(json!({"query": "q"})), "documents");
    assert_eq!(refused(json!({"query": "q", "documents": []})), "documents");
    assert_eq!(refused(json!({"query": "q", "documents": ["a", 1]})), "documents[1]");
    assert_eq!(refused(json!({"documents": ["a"]})), "query");
    assert_eq!(refused(json!({"query": "q", "documents": ["a"], "top_n": 0})), "top_n");
    assert_eq!(refused(json!({"query": "q", "documents": ["a"], "top_k": 1.5})), "top_k");
}
