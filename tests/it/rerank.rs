//! Rerank: asked in every provider's form, answered in Cohere's.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Setup};
use crate::support::upstream::{Script, Upstream};

const PATH: &str = "/v1/rerank";

async fn before(entry: &str, base: &str, scripts: Vec<Script>) -> (Upstream, Gateway, String) {
    let upstream = Upstream::scripted(scripts).await;
    let yaml = format!(
        "providers:\n  p: {{ base_url: \"http://{}{base}\", api_key: secret, {entry} }}\n\
         prices:\n  p/m: {{ input: \"1.00\", per_search: \"0.002\" }}\n",
        upstream.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

fn ask() -> Value {
    json!({"model": "p/m", "query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2, "return_documents": true})
}

/// The provider, its base, what it is asked, what it answers; the cost and the tokens.
type Form = (&'static str, &'static str, &'static str, Value, Value, Option<&'static str>, u64);

fn forms() -> Vec<Form> {
    let texts = json!(["a", "b", "c"]);
    let results = json!([{"index": 2, "relevance_score": 0.90}, {"index": 0, "relevance_score": 0.5}]);
    let units = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": 1}});
    vec![
        (
            "kind: cohere",
            "",
            "/v2/rerank",
            json!({"model": "m", "query": "q", "documents": texts, "top_n": 2}),
            json!({"id": "x", "results": results, "meta": units}),
            Some("0.002000000"),
            0,
        ),
        (
            "kind: jina",
            "/v1",
            "/v1/rerank",
            json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2, "return_documents": false}),
            json!({"model": "m", "results": results, "usage": {"total_tokens": 9}}),
            Some("0.000009000"),
            9,
        ),
        (
            "kind: voyage",
            "/v1",
            "/v1/rerank",
            json!({"model": "m", "query": "q", "documents": texts, "top_k": 2}),
            json!({"object": "list", "data": results, "model": "m", "usage": {"total_tokens": 9}}),
            Some("0.000009000"),
            9,
        ),
        (
            "kind: tei",
            "",
            "/rerank",
            json!({"query": "q", "texts": texts}),
            json!([{"index": 1, "score": 0.1}, {"index": 0, "score": 0.5}, {"index": 2, "score": 0.90}]),
            None,
            4,
        ),
    ]
}

#[tokio::test]
async fn every_form() {
    for (entry, base, path, sent, answer, cost, tokens) in forms() {
        let (upstream, gateway, key) = before(entry, base, vec![Script::json(answer.to_string())]).await;
        let reply = gateway.post(&key, PATH, ask()).await;
        assert_eq!(reply.status, StatusCode::OK, "{entry}: {}", reply.text());
        let seen = upstream.only();
        assert_eq!((seen.path.as_str(), seen.json()), (path, sent), "{entry}");
        assert_eq!(seen.headers["authorization"], "Bearer secret");
        let ranked = json!([{"index": 2, "relevance_score": 0.90, "document": {"text": "c"}},
            {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}]);
        assert_eq!(reply.json()["results"], ranked, "{entry}");
        assert!(reply.json()["id"].as_str().is_some_and(|id| !id.is_empty()), "{entry}");
        assert_eq!((reply.header("x-weir-cost-usd"), reply.header("x-weir-warnings")), (cost, None), "{entry}");
        let row = gateway.only_row().await;
        assert_eq!((&row["endpoint"], &row["status"]), (&json!("rerank"), &json!("ok")));
        assert_eq!((&row["input_tokens"], &row["estimated"]), (&json!(tokens), &json!(cost.is_none())), "{entry}");
        assert!(cost.is_none_or(|cost| row["cost_usd"] == cost), "{entry}: {row}");
    }
}

#[tokio::test]
async fn cohere_s_own_words_pass_untouched() {
    let answer = r#"{ "id":"x", "results":[{"index":0,"relevance_score":0.10}], "meta":{"billed_units":{"search_units":3}}, "odd":1}"#;
    for path in [PATH, "/v2/rerank"] {
        let (upstream, gateway, key) = before("kind: cohere", "", vec![Script::json(answer)]).await;
        let body = |model| {
            format!(" {{\"query\":\"\\u00fc\" ,\"model\":\"{model}\", \"documents\":[\"a\"],\"max_tokens_per_doc\":9}}")
        };
        let reply = gateway.post(&key, path, body("p/m")).await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, answer));
        assert_eq!((upstream.only().path.as_str(), upstream.only().body), ("/v2/rerank", body("m").into()));
        assert_eq!(reply.header("x-weir-cost-usd"), Some("0.006000000"));
        let row = gateway.only_row().await;
        assert_eq!((&row["endpoint"], &row["cost_usd"]), (&json!("rerank"), &json!("0.006000000")));
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_followed_by_the_next() {
    let bad = Upstream::scripted(vec![Script::status(503, r#"{"detail":"busy"}"#)]).await;
    let good = Upstream::scripted(vec![Script::json(r#"[{"index":0,"score":0.5}]"#)]).await;
    let yaml = format!(
        "providers:\n  bad: {{ kind: jina, base_url: \"http://{}/v1\", api_key: k }}\n  good: {{ kind: tei, base_url: \"http://{}\" }}\n\
         models:\n  both: {{ targets: [{{ provider: bad, model: m }}, {{ provider: good, model: m }}], retries: {{ attempts: 1 }} }}\n",
        bad.addr, good.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let (_, key) = gateway.key(json!({"models": ["both"]})).await;
    let reply = gateway.post(&key, PATH, json!({"model": "both", "query": "q", "documents": ["a"]})).await;
    assert_eq!(reply.json()["results"], json!([{"index": 0, "relevance_score": 0.5}]), "{}", reply.text());
    assert_eq!((reply.header("x-weir-provider"), reply.header("x-weir-attempts")), (Some("good"), Some("2")));
    let refused = gateway.post(&key, PATH, json!({"model": "good/m", "query": "q", "documents": ["a"]})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "model_not_allowed".into()));
}

#[tokio::test]
async fn an_answer_about_other_documents_is_a_502() {
    for answer in [r#"[{"index":3,"score":0.5}]"#, r#"{"results":7}"#, "x"] {
        let (_, gateway, key) = before("kind: tei", "", vec![Script::json(answer)]).await;
        let reply = gateway.post(&key, PATH, json!({"model": "p/m", "query": "q", "documents": ["a"]})).await;
        let told = (reply.status, reply.code());
        assert_eq!(told, (StatusCode::BAD_GATEWAY, "upstream_invalid_response".into()), "{answer}");
        assert_eq!(gateway.only_row().await["status"], "upstream_error");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_its_place() {
    let (upstream, gateway, key) = before("kind: jina", "/v1", vec![Script::json("{}")]).await;
    for (body, param) in [
        (json!({"query": "q", "documents": ["a"]}), "model"),
        (json!({"model": "p/m", "query": "q"}), "documents"),
        (json!({"model": "p/m", "query": "q", "documents": "a"}), "documents"),
        (json!({"model": "p/m", "query": "q", "documents": []}), "documents"),
        (json!({"model": "p/m", "query": "q", "documents": ["a", 1]}), "documents[1]"),
        (json!({"model": "p/m", "documents": ["a"]}), "query"),
        (json!({"model": "p/m", "query": "q", "documents": ["a"], "top_n": 0}), "top_n"),
    ] {
        let reply = gateway.post(&key, PATH, &body).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["param"].clone()),
            (StatusCode::BAD_REQUEST, json!(param)),
            "{body}"
        );
    }
    assert!(upstream.seen().is_empty());
    let auth = format!("Bearer {key}");
    for path in [PATH, "/v2/rerank"] {
        let reply = gateway.request(Method::GET, path, &[("authorization", &auth)], "").await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
    }
}

#[tokio::test]
async fn what_a_provider_is_not_told_is_told_to_the_caller() {
    let (upstream, gateway, key) = before("kind: tei", "", vec![Script::json(r#"[{"index":0,"score":1}]"#)]).await;
    let body =
        json!({"model": "p/m", "query": "q", "documents": [{"title": "t"}], "max_tokens_per_doc": 9, "fallbacks": []});
    let reply = gateway.post(&key, PATH, &body).await;
    let warnings = reply.header("x-weir-warnings").unwrap();
    let told = ["documents[0] approximated", "max_tokens_per_doc dropped"];
    assert!(told.iter().all(|loss| warnings.contains(loss)) && !warnings.contains("fallbacks"), "{warnings}");
    assert_eq!(upstream.only().json()["texts"], json!([r#"{"title":"t"}"#]));
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-strict", "1")];
    let reply = gateway.request(Method::POST, PATH, &headers, body.to_string()).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unsupported_parameter".into()));
}

#[tokio::test]
async fn the_demo_orders_by_shared_words() {
    let gateway = Setup::new("{}").start().await;
    let key = gateway.plain_key().await;
    let documents = ["The weather today", "Capital letters", "Paris is the capital of France."];
    let body = json!({"model": "demo/rerank", "query": "capital of france", "documents": documents, "top_n": 2});
    let reply = gateway.post(&key, PATH, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let order: Vec<u64> =
        reply.json()["results"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [2, 1]);
    assert_eq!(gateway.post(&key, PATH, &body).await.body, reply.body, "always the same");
    let row = &gateway.wait_rows(2).await[0];
    assert_eq!((&row["cost_usd"], &row["unpriced"]), (&json!("0.000000000"), &json!(false)));
}
