//! Embeddings: every provider's form through the door, batches cut and joined, encodings, and what is
//! recorded of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Reply, Setup, one_provider};
use crate::support::upstream::{Script, Seen, Step, Upstream};

const PATH: &str = "/v1/embeddings";

/// One provider's form.
struct Form {
    /// The provider's entry but for its address.
    entry: &'static str,
    /// Its base URL below the host.
    base: &'static str,
    model: &'static str,
    path: &'static str,
    /// The header that carries the credential, and what it begins with.
    auth: (&'static str, &'static str),
    sent: Value,
    answer: Value,
    /// Prompt tokens, where the answer tells them.
    tokens: Option<u64>,
}

/// The request of [`every_form`]: two texts to search with.
fn ask(model: &str) -> Value {
    json!({"model": format!("p/{model}"), "input": ["a", "b"], "dimensions": 2, "input_type": "query",
        "encoding_format": "float"})
}

fn form(entry: &'static str, model: &'static str, path: &'static str, sent: Value, answer: Value) -> Form {
    Form { entry, base: "", model, path, auth: ("authorization", "Bearer secret"), sent, answer, tokens: None }
}

fn forms() -> Vec<Form> {
    let vectors = json!([[0.5, 0.25], [-1, 2e-3]]);
    let content = |text: &str| {
        json!({"model": "models/m", "content": {"parts": [{"text": text}]},
        "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2})
    };
    let values = json!([{"values": [0.5, 0.25]}, {"values": [-1, 2e-3]}]);
    let instance = |text: &str| json!({"content": text, "task_type": "RETRIEVAL_QUERY"});
    let prediction =
        |vector: &Value, tokens: u64| json!({"embeddings": {"values": vector, "statistics": {"token_count": tokens}}});
    let data = json!([{"index": 1, "embedding": [-1, 2e-3]}, {"index": 0, "embedding": [0.5, 0.25]}]);
    vec![
        Form {
            tokens: Some(5),
            ..form(
                "kind: cohere, api_key: secret",
                "m",
                "/v2/embed",
                json!({"model": "m", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 2}),
                json!({"id": "x", "embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": 5}}}),
            )
        },
        Form {
            base: "/v1beta",
            auth: ("x-goog-api-key", "secret"),
            ..form(
                "kind: gemini, api_key: secret",
                "m",
                "/v1beta/models/m:batchEmbedContents",
                json!({"requests": [content("a"), content("b")]}),
                json!({"embeddings": values}),
            )
        },
        Form {
            tokens: Some(5),
            base: "/v1/projects/p/locations/l",
            ..form(
                "kind: vertex, api_key: secret, auth: { style: bearer }",
                "m",
                "/v1/projects/p/locations/l/publishers/google/models/m:predict",
                json!({"instances": [instance("a"), instance("b")], "parameters": {"outputDimensionality": 2}}),
                json!({"predictions": [prediction(&vectors[0], 2), prediction(&vectors[1], 3)]}),
            )
        },
        Form {
            tokens: Some(5),
            base: "/v1",
            ..form(
                "kind: voyage, api_key: secret",
                "m",
                "/v1/embeddings",
                json!({"model": "m", "input": ["a", "b"], "input_type": "query", "output_dimension": 2}),
                json!({"object": "list", "data": data, "model": "m", "usage": {"total_tokens": 5}}),
            )
        },
        Form {
            tokens: Some(5),
            base: "/v1",
            ..form(
                "kind: jina, api_key: secret",
                "m",
                "/v1/embeddings",
                json!({"model": "m", "input": ["a", "b"], "task": "retrieval.query", "dimensions": 2, "embedding_type": "float"}),
                json!({"data": data, "model": "m", "usage": {"total_tokens": 5, "prompt_tokens": 5}}),
            )
        },
        Form {
            tokens: Some(5),
            ..form(
                "kind: ollama-native, api_key: secret, auth: { style: bearer }",
                "m",
                "/api/embed",
                json!({"model": "m", "input": ["a", "b"], "dimensions": 2}),
                json!({"model": "m", "embeddings": vectors, "prompt_eval_count": 5}),
            )
        },
        form(
            "kind: huggingface, api_key: secret",
            "m",
            "/hf-inference/models/m/pipeline/feature-extraction",
            json!({"inputs": ["a", "b"]}),
            vectors.clone(),
        ),
        form(
            "kind: bedrock, api_key: secret, auth: { style: bearer }",
            "cohere.embed-v4:0",
            "/model/cohere.embed-v4%3A0/invoke",
            json!({"texts": ["a", "b"], "input_type": "search_query", "output_dimension": 2, "embedding_types": ["float"]}),
            json!({"id": "x", "embeddings": {"float": vectors}}),
        ),
    ]
}

#[tokio::test]
async fn every_form() {
    for form in forms() {
        let upstream = Upstream::scripted(vec![Script::json(form.answer.to_string())]).await;
        let yaml =
            format!("providers:\n  p: {{ base_url: \"http://{}{}\", {} }}\n", upstream.addr, form.base, form.entry);
        let gateway = Setup::new(yaml).start().await;
        let reply = gateway.post(&gateway.plain_key().await, PATH, ask(form.model)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}: {}", form.entry, reply.text());
        let seen = upstream.only();
        assert_eq!((seen.path.as_str(), seen.json()), (form.path, form.sent), "{}", form.entry);
        let auth = seen.headers[form.auth.0].to_str().unwrap();
        assert!(auth.starts_with(form.auth.1), "{}: {auth}", form.entry);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let tokens = form.tokens.unwrap_or(0);
        let expected = json!({"object": "list", "model": reply.json()["model"], "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]},
            {"object": "embedding", "index": 1, "embedding": [-1, 2e-3]}],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
        assert_eq!(reply.json(), expected, "{}", form.entry);
        let row = gateway.only_row().await;
        assert_eq!((&row["endpoint"], &row["status"]), (&json!("embeddings"), &json!("ok")));
        assert_eq!(row["estimated"], json!(form.tokens.is_none()), "{}", form.entry);
        // Two letters are two tokens to whoever counts.
        assert_eq!(row["input_tokens"], json!(form.tokens.unwrap_or(2)), "{}", form.entry);
        assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
    }
}

/// A provider of this kind behind `decide`.
async fn behind(entry: &str, decide: impl Fn(&Seen) -> Script + Send + Sync + 'static) -> (Upstream, Gateway, String) {
    let upstream = Upstream::start(decide).await;
    let yaml = format!(
        "providers:\n  p: {{ base_url: \"http://{}/v1\", api_key: secret, {entry} }}\nprices:\n  p/m: {{ input: \"1.00\" }}\n",
        upstream.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// The vectors of a Cohere request: each text's own number.
fn numbered(seen: &Seen) -> Script {
    let vectors: Vec<Value> = seen.json()["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| json!([text.as_str().unwrap().parse::<u64>().unwrap()]))
        .collect();
    let tokens = vectors.len() * 10;
    Script::json(
        json!({"embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": tokens}}}).to_string(),
    )
}

fn numbers(reply: &Reply) -> Vec<u64> {
    let data = reply.json()["data"].as_array().unwrap().clone();
    assert!(data.iter().enumerate().all(|(at, item)| item["index"] == at));
    data.iter().map(|item| item["embedding"][0].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_batch_is_cut_and_joined_in_order_however_its_parts_come() {
    let calls = AtomicUsize::new(0);
    let (upstream, gateway, key) = behind("kind: cohere", move |seen| {
        // The sooner it was asked, the later it answers.
        let turn = calls.fetch_add(1, Ordering::SeqCst) as u64;
        numbered(seen).delayed(Duration::from_millis(60 - turn * 20))
    })
    .await;
    let body = json!({"model": "p/m", "input": texts(200), "input_type": "search_document"});
    let reply = gateway.post(&key, PATH, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(numbers(&reply), (0..200).collect::<Vec<_>>());
    let mut sizes: Vec<usize> =
        upstream.seen().iter().map(|seen| seen.json()["texts"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [8, 96, 96]);
    assert_eq!(reply.json()["usage"], json!({"prompt_tokens": 2000, "total_tokens": 2000}));
    assert_eq!(reply.header("x-weir-cost-usd"), Some("0.002000000"));
    assert_eq!((reply.header("x-weir-attempts"), reply.header("x-weir-warnings")), (Some("1"), None));
    let row = gateway.only_row().await;
    assert_eq!(
        (&row["input_tokens"], &row["cost_usd"], &row["estimated"]),
        (&json!(2000), &json!("0.002000000"), &json!(false))
    );
}

#[tokio::test]
async fn titan_is_asked_text_by_text_and_its_calls_are_signed() {
    let upstream = Upstream::start(|seen| {
        let text = seen.json()["inputText"].as_str().unwrap().parse::<u64>().unwrap();
        Script::json(json!({"embedding": [text], "inputTextTokenCount": 3}).to_string())
    })
    .await;
    let yaml = format!(
        "providers:\n  p: {{ kind: bedrock, base_url: \"http://{}\", vars: {{ region: us-east-1 }}, \
         auth: {{ access_key_id: AKIDEXAMPLE, secret_access_key: example }} }}\n",
        upstream.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body = json!({"model": "p/amazon.titan-embed-text-v2:0", "input": texts(9), "dimensions": 256});
    let reply = gateway.post(&key, PATH, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(numbers(&reply), (0..9).collect::<Vec<_>>());
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 27);
    for seen in upstream.seen() {
        assert_eq!(seen.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
        assert_eq!(seen.json()["dimensions"], 256);
        assert!(
            seen.headers["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        );
    }
    assert_eq!((upstream.seen().len(), gateway.only_row().await["attempts"].as_array().unwrap().len()), (9, 1));
}

#[tokio::test]
async fn tokens_told_in_a_header_are_reported_tokens() {
    let upstream = Upstream::scripted(vec![
        Script::json(r#"{"embeddings":[[1]]}"#).header("x-amzn-bedrock-input-token-count", "7"),
    ])
    .await;
    let entry = "kind: bedrock, api_key: s, auth: { style: bearer }";
    let yaml = format!("providers:\n  p: {{ base_url: \"http://{}\", {entry} }}\n", upstream.addr);
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(&key, PATH, json!({"model": "p/cohere.embed-english-v3", "input": "a"})).await;
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 7, "{}", reply.text());
    let warning = "p/cohere.embed-english-v3: input_type approximated: the provider demands to know what the texts are for: search_document was said";
    assert_eq!(reply.header("x-weir-warnings"), Some(warning));
    let row = gateway.only_row().await;
    assert_eq!((&row["input_tokens"], &row["estimated"]), (&json!(7), &json!(false)));
}

#[tokio::test]
async fn openai_s_form_is_passed_on_untouched_within_the_limits_and_cut_beyond() {
    let (upstream, gateway, key) = behind("kind: tei", |seen| {
        let inputs = seen.json()["input"].clone();
        let count = inputs.as_array().map_or(1, Vec::len);
        let data: Vec<Value> =
            (0..count).map(|index| json!({"object": "embedding", "index": index, "embedding": [index]})).collect();
        Script::json(
            json!({"object": "list", "data": data, "model": "served", "usage": {"prompt_tokens": count, "total_tokens": count}, "odd": 1})
                .to_string(),
        )
    })
    .await;
    let odd =
        |model| format!(" {{ \"z\":1.0, \"input\" : [\"\\u00fc\",[1,2]], \"model\":\"{model}\" ,\"user\":\"u\"}}");
    let reply = gateway.post(&key, PATH, odd("p/m")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!((upstream.only().body, reply.json()["odd"].clone()), (odd("m").into(), json!(1)));
    let body = json!({"model": "p/m", "models": ["p/other"], "input": texts(70), "user": "u", "z": 1});
    let reply = gateway.post(&key, PATH, body).await;
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 70, "{}", reply.text());
    assert_eq!(reply.json()["usage"], json!({"prompt_tokens": 70, "total_tokens": 70}));
    let parts = &upstream.seen()[1..];
    assert_eq!(parts.len(), 3);
    for part in parts {
        let mut rest = part.json();
        assert!(rest["input"].take().as_array().is_some_and(|inputs| inputs.len() <= 32));
        assert_eq!(rest, json!({"model": "m", "input": null, "user": "u", "z": 1}), "all but Weir's own members");
    }
    let refused = gateway.post(&key, PATH, json!({"model": "p/m", "input": 7})).await;
    assert_eq!((refused.status, refused.json()["error"]["param"].clone()), (StatusCode::BAD_REQUEST, json!("input")));
}

#[tokio::test]
async fn vectors_come_as_the_caller_wants_them() {
    let (upstream, gateway, key) =
        behind("kind: cohere", |_| Script::json(r#"{"embeddings":{"float":[[1.0,-2,0.1,1e-10]]}}"#)).await;
    for (wanted, expected) in [
        (json!("base64"), json!("AACAPwAAAMDNzMw9/+bbLg==")),
        (json!("float"), json!([1.0, -2, 0.1, 1e-10])),
        (json!(null), json!([1.0, -2, 0.1, 1e-10])),
    ] {
        let body = json!({"model": "p/m", "input": "a", "input_type": "query", "encoding_format": wanted});
        let reply = gateway.post(&key, PATH, body).await;
        assert_eq!(reply.json()["data"][0]["embedding"], expected, "{}", reply.text());
    }
    assert_eq!(upstream.seen()[0].json()["embedding_types"], json!(["float"]));
}

#[tokio::test]
async fn a_vector_too_few_is_a_502() {
    let yaml = "kind: cohere, timeouts: { connect: 1s }";
    let (_, gateway, key) =
        behind(yaml, |_| Script::json(r#"{"embeddings":{"float":[[1]]},"meta":{"billed_units":{"input_tokens":9}}}"#))
            .await;
    let body = json!({"model": "p/m", "input": ["a", "b"], "input_type": "query"});
    let reply = gateway.post(&key, PATH, body).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, "upstream_invalid_response".into()));
    assert!(reply.text().contains("1 vectors came to 2 inputs"), "{}", reply.text());
    assert_eq!(reply.json()["error"]["type"], "upstream_error");
    let row = gateway.only_row().await;
    let tries = row["attempts"].as_array().unwrap().len() as u64;
    assert_eq!((&row["status"], &row["input_tokens"]), (&json!("upstream_error"), &json!(9 * tries)));
    assert_eq!(row["cost_usd"], format!("0.0000{:02}000", 9 * tries));
}

#[tokio::test]
async fn a_part_that_fails_fails_over_and_what_was_spent_is_metered() {
    let bad = Upstream::start(|seen| match seen.json()["texts"][0] == "0" {
        true => numbered(seen),
        false => Script::status(429, r#"{"message":"slow down"}"#).delayed(Duration::from_millis(300)),
    })
    .await;
    let good = Upstream::start(numbered).await;
    let yaml = format!(
        "providers:\n  bad: {{ kind: cohere, base_url: \"http://{}/v1\", api_key: k }}\n  good: {{ kind: cohere, base_url: \"http://{}/v1\", api_key: k }}\n\
         models:\n  both: {{ targets: [{{ provider: bad, model: m }}, {{ provider: good, model: m }}] }}\n\
         prices:\n  bad/m: {{ input: \"1.00\" }}\n  good/m: {{ input: \"10.00\" }}\n",
        bad.addr, good.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(&key, PATH, json!({"model": "both", "input": texts(100), "input_type": "query"})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(numbers(&reply), (0..100).collect::<Vec<_>>());
    assert_eq!((bad.seen().len(), good.seen().len()), (2, 2));
    assert_eq!((reply.header("x-weir-provider"), reply.header("x-weir-attempts")), (Some("good"), Some("2")));
    // 960 tokens in vain at one dollar a million, 1,000 at ten.
    assert_eq!(reply.header("x-weir-cost-usd"), Some("0.010960000"));
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 1000, "the caller's are those of the answer");
    let row = gateway.only_row().await;
    assert_eq!((&row["input_tokens"], &row["cost_usd"]), (&json!(1960), &json!("0.010960000")));
    let outcomes: Vec<&str> =
        row["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes.len(), outcomes[1]), (2, "ok"));
}

#[tokio::test]
async fn a_providers_places_are_kept_to() {
    let (upstream, gateway, key) = behind("kind: cohere, limits: { concurrency: 1 }", numbered).await;
    let body = json!({"model": "p/m", "input": texts(300), "input_type": "query"});
    let reply = gateway.post(&key, PATH, body).await;
    assert_eq!((reply.status, upstream.seen().len()), (StatusCode::OK, 4), "{}", reply.text());
    // Two requests a minute: the third part of three finds none left, and no other is under way.
    let (_, gateway, key) = behind("kind: cohere, limits: { rpm: 2 }", numbered).await;
    let reply = gateway.post(&key, PATH, json!({"model": "p/m", "input": texts(200), "input_type": "query"})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded".into()));
    let row = gateway.only_row().await;
    assert_eq!(row["input_tokens"], 1920, "the parts before it were paid for");
}

#[tokio::test]
async fn what_a_provider_is_not_told_is_told_to_the_caller() {
    let (upstream, gateway, key) = behind("kind: cohere", numbered).await;
    let body = json!({"model": "p/m", "input": ["1"], "input_type": "query", "user": "u", "seed": 7});
    let reply = gateway.post(&key, PATH, &body).await;
    let warnings = reply.header("x-weir-warnings").unwrap();
    assert!(warnings.contains("user dropped") && warnings.contains("seed dropped"), "{warnings}");
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-strict", "true")];
    let reply = gateway.request(http::Method::POST, PATH, &headers, body.to_string()).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unsupported_parameter".into()));
    assert_eq!(upstream.seen().len(), 1, "what may not be left out is not asked");
    let reply = gateway.post(&key, PATH, json!({"model": "p/m", "input": [[1, 2]]})).await;
    assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (StatusCode::BAD_REQUEST, json!("input[0]")));
    let reply = gateway.post(&key, PATH, json!({"model": "p/m", "input": []})).await;
    assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (StatusCode::BAD_REQUEST, json!("input")));
}

fn contents(count: usize) -> Value {
    let one = |text: &String| json!({"model": "models/p/m", "content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY"});
    json!({"requests": texts(count).iter().map(one).collect::<Vec<_>>()})
}

#[tokio::test]
async fn callers_of_gemini_embed_at_any_provider() {
    let (upstream, gateway, key) = behind("kind: cohere", numbered).await;
    let reply = gateway.post(&key, "/v1beta/models/p/m:batchEmbedContents", contents(100)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let vectors: Vec<Value> = (0..100).map(|n| json!({"values": [n]})).collect();
    assert_eq!(reply.json(), json!({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 1000}}));
    assert_eq!((upstream.seen().len(), &upstream.seen()[0].json()["input_type"]), (2, &json!("search_query")));
    let body = json!({"content": {"parts": [{"text": "7"}]}, "taskType": "CLUSTERING", "title": "t"});
    let reply = gateway.post(&key, "/v1beta/models/p/m:embedContent", body).await;
    assert_eq!(reply.json(), json!({"embedding": {"values": [7]}, "usageMetadata": {"promptTokenCount": 10}}));
    assert!(reply.header("x-weir-warnings").unwrap().contains("title dropped"));
    let rows = gateway.wait_rows(2).await;
    assert_eq!((&rows[1]["endpoint"], &rows[1]["model"]), (&json!("embedContent"), &json!("p/m")));
    assert_eq!((&rows[0]["input_tokens"], &rows[0]["cost_usd"]), (&json!(1000), &json!("0.001000000")));
    let reply = gateway.post(&key, "/v1beta/models/p/m:embedContent", json!({"content": {"parts": []}})).await;
    let error = &reply.json()["error"];
    assert_eq!((reply.status, &error["status"]), (StatusCode::BAD_REQUEST, &json!("INVALID_ARGUMENT")), "{error}");
    let openai = r#"{"data":[{"index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let (upstream, gateway, key) = behind("kind: openai-compatible", move |_| Script::json(openai)).await;
    let body = json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 1});
    let reply = gateway.post(&key, "/v1beta/models/p/m:embedContent", body).await;
    assert_eq!(reply.json()["embedding"], json!({"values": [0.5]}));
    assert_eq!(upstream.only().json(), json!({"model": "m", "input": "a", "dimensions": 1}));
}

#[tokio::test]
async fn what_gemini_is_told_of_each_content_goes_with_it() {
    let (upstream, gateway, key) = behind("kind: gemini", |seen| {
        let count = seen.json()["requests"].as_array().unwrap().len();
        Script::json(json!({"embeddings": vec![json!({"values": [1]}); count]}).to_string())
    })
    .await;
    let mut body = contents(102);
    body["requests"][101]["title"] = json!("the last");
    let reply = gateway.post(&key, "/v1beta/models/p/m:batchEmbedContents", &body).await;
    assert_eq!((reply.status, reply.header("x-weir-warnings")), (StatusCode::OK, None), "{}", reply.text());
    assert_eq!(reply.json()["embeddings"].as_array().unwrap().len(), 102);
    let seen = upstream.seen();
    let last = seen.iter().map(Seen::json).find(|body| body["requests"].as_array().unwrap().len() == 2).unwrap();
    assert_eq!((&last["requests"][0]["title"], &last["requests"][1]["title"]), (&json!(null), &json!("the last")));
    let (_, gateway, key) = behind("kind: cohere", numbered).await;
    let reply = gateway.post(&key, "/v1beta/models/p/m:batchEmbedContents", &body).await;
    assert!(reply.header("x-weir-warnings").unwrap().contains("requests[101].title dropped"));
}

#[tokio::test]
async fn a_place_is_that_in_the_whole() {
    let (_, gateway, key) = behind("kind: cohere", numbered).await;
    let mut inputs: Vec<Value> = texts(100).into_iter().map(Value::String).collect();
    inputs[98] = json!([1, 2]);
    let reply = gateway.post(&key, PATH, json!({"model": "p/m", "input": inputs, "input_type": "query"})).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("input[98]")));
}

#[tokio::test]
async fn the_parts_that_were_done_are_paid_for_when_time_is_up() {
    let (upstream, gateway, key) = behind("kind: cohere", |seen| match seen.json()["texts"][0] == "0" {
        true => numbered(seen),
        false => Script::new(200, "application/json", vec![Step::Hang]),
    })
    .await;
    let body = json!({"model": "p/m", "input": texts(100), "input_type": "query"});
    let auth = format!("Bearer {key}");
    let headers =
        [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-timeout-ms", "400")];
    let reply = gateway.request(http::Method::POST, PATH, &headers, body.to_string()).await;
    assert_eq!((reply.status, upstream.seen().len()), (StatusCode::GATEWAY_TIMEOUT, 2));
    let row = gateway.only_row().await;
    // And of the part that was waited for in vain, what went there.
    assert_eq!((&row["status"], &row["input_tokens"]), (&json!("timeout"), &json!(964)));
    assert_eq!((&row["cost_usd"], &row["estimated"]), (&json!("0.000964000"), &json!(true)));
}

#[tokio::test]
async fn so_many_calls_are_refused() {
    let (upstream, gateway, key) = behind("kind: bedrock, auth: { style: bearer }", |_| Script::json("{}")).await;
    let reply =
        gateway.post(&key, PATH, json!({"model": "p/amazon.titan-embed-text-v2:0", "input": texts(2049)})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "invalid_value".into()));
    assert!(reply.text().contains("send fewer inputs"), "{}", reply.text());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn errors_are_openai_s_whatever_the_provider_s() {
    let (_, gateway, key) = behind("kind: cohere", |_| Script::status(400, r#"{"message":"too long"}"#)).await;
    let reply = gateway.post(&key, PATH, json!({"model": "p/m", "input": "a", "input_type": "query"})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let error = &reply.json()["error"];
    assert_eq!((&error["message"], &error["type"]), (&json!("too long"), &json!("invalid_request_error")));
    let upstream = Upstream::scripted(vec![Script::json("{}")]).await;
    let yaml = one_provider(&upstream.url()).replace("kind: openai-compatible", "kind: groq, operations: [chat]");
    let gateway = Setup::new(yaml).start().await;
    let reply = gateway.post(&gateway.plain_key().await, PATH, json!({"model": "up/m", "input": "a"})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unsupported_operation".into()));
}

#[tokio::test]
async fn the_demo_embeds() {
    let gateway = Setup::new("{}").start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(&key, PATH, json!({"model": "demo/embed", "input": ["a", "b"], "dimensions": 3})).await;
    let reply = reply.json();
    assert_eq!(
        reply["data"].as_array().unwrap().iter().map(|i| i["embedding"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [3, 3]
    );
}
