//! Which models there are, in each dialect that asks; and Gemini's actions on them at either of its
//! versions.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway::{ADMIN, Gateway, Reply, Setup};

const ROUTES: &str = "models: { a: demo/chat, b: demo/chat, c: demo/chat, vectors: demo/embed }\n\
    providers: { openai: { api_key: k, base_url: \"http://127.0.0.1:9/v1\" } }\n";

/// Four models that can be talked to (`a`, `b`, `c`, `demo/chat`), and two that embed.
async fn gateway() -> (Gateway, String) {
    let gateway = Setup::new(ROUTES).start().await;
    let (_, key) = gateway.key(json!({"models": ["a", "b", "c", "vectors", "demo/*"]})).await;
    (gateway, key)
}

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Reply {
    gateway.request(Method::GET, path, headers, "").await
}

/// As Anthropic's clients ask.
async fn anthropic(gateway: &Gateway, key: &str, path: &str) -> Reply {
    get(gateway, path, &[("x-api-key", key), ("anthropic-version", "2023-06-01")]).await
}

/// As Google's clients ask.
async fn gemini(gateway: &Gateway, key: &str, path: &str) -> Reply {
    get(gateway, path, &[("x-goog-api-key", key), ("x-goog-api-client", "google-genai-sdk/3")]).await
}

fn ids(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|model| model[name].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_dialect_has_its_own_list() {
    let (gateway, key) = gateway().await;
    let plain = gateway.get(&key, "/v1/models").await.json();
    assert_eq!(plain["object"], "list");
    assert_eq!(ids(&plain["data"], "id"), ["a", "b", "c", "vectors", "demo/chat", "demo/embed", "demo/rerank"]);

    let listed = anthropic(&gateway, &key, "/v1/models?beta=true").await.json();
    assert_eq!(ids(&listed["data"], "id"), ["a", "b", "c", "demo/chat"], "what embeds cannot be sent messages");
    let pages = json!({"has_more": listed["has_more"], "first_id": listed["first_id"], "last_id": listed["last_id"]});
    assert_eq!(pages, json!({"has_more": false, "first_id": "a", "last_id": "demo/chat"}));
    let model = &listed["data"][0];
    assert_eq!(
        (&model["type"], &model["display_name"], &model["lifecycle"]),
        (&json!("model"), &json!("a"), &json!("active"))
    );
    assert_eq!(model["created_at"], "1970-01-01T00:00:00Z");

    for path in ["/v1beta/models", "/v1/models"] {
        let listed = gemini(&gateway, &key, path).await.json();
        let names = ["models/a", "models/b", "models/c", "models/demo/chat"];
        assert_eq!(ids(&listed["models"], "name"), names, "{path}");
        assert_eq!(listed["models"][0]["supportedGenerationMethods"][1], "streamGenerateContent");
        assert!(listed.get("nextPageToken").is_none(), "{path}: {listed}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_model_is_told() {
    let (gateway, _) = gateway().await;
    let key = gateway.plain_key().await;
    let told = anthropic(&gateway, &key, "/v1/models/openai/gpt-4o-mini").await.json();
    let limits = (&told["id"], &told["max_input_tokens"], &told["max_tokens"]);
    assert_eq!(limits, (&json!("openai/gpt-4o-mini"), &json!(128_000), &json!(16_384)), "{told}");
    for path in ["/v1beta/models/openai/gpt-4o-mini", "/v1beta/models/models/openai%2Fgpt-4o-mini"] {
        let told = gemini(&gateway, &key, path).await.json();
        let limits = (&told["name"], &told["inputTokenLimit"], &told["outputTokenLimit"]);
        assert_eq!(limits, (&json!("models/openai/gpt-4o-mini"), &json!(128_000), &json!(16_384)), "{told}");
    }
    let told = gemini(&gateway, &key, "/v1beta/models/demo/chat").await.json();
    assert!(told["name"] == "models/demo/chat" && told.get("inputTokenLimit").is_none(), "{told}");
}

#[tokio::test]
async fn anthropics_pages_go_both_ways() {
    let (gateway, key) = gateway().await;
    for (query, expected, more) in [
        ("limit=2", &["a", "b"][..], true),
        ("limit=2&after_id=b", &["c", "demo/chat"], false),
        ("limit=2&after_id=demo%2Fchat", &[], false),
        ("limit=2&before_id=demo/chat", &["b", "c"], true),
        ("limit=2&before_id=b", &["a"], false),
        ("limit=2&before_id=c", &["a", "b"], false),
        ("limit=", &["a", "b", "c", "demo/chat"], false),
    ] {
        let page = anthropic(&gateway, &key, &format!("/v1/models?{query}")).await.json();
        assert_eq!(ids(&page["data"], "id"), expected, "{query}");
        assert_eq!(page["has_more"], more, "{query}");
        assert_eq!(page["last_id"], expected.last().map_or(Value::Null, |id| json!(id)), "{query}");
    }
    for query in ["limit=0", "limit=1001", "limit=x", "after_id=nobody", "after_id=a&before_id=c", "limit=1&limit=2"] {
        let reply = anthropic(&gateway, &key, &format!("/v1/models?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        let said = reply.json();
        assert_eq!(
            (&said["type"], &said["error"]["type"]),
            (&json!("error"), &json!("invalid_request_error")),
            "{query}"
        );
        assert_eq!(said["request_id"], reply.header("x-request-id").unwrap(), "{query}");
    }
}

#[tokio::test]
async fn geminis_pages_follow_each_other() {
    let (gateway, key) = gateway().await;
    let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = gemini(&gateway, &key, &format!("/v1beta/models?pageSize=3{token}")).await.json();
        names.extend(ids(&page["models"], "name"));
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => break,
        }
    }
    assert_eq!((pages, names.len()), (2, 4), "{names:?}");
    let all = gemini(&gateway, &key, "/v1beta/models?pageSize=100000&key=ignored").await.json();
    assert_eq!(ids(&all["models"], "name"), names);
    for query in ["pageSize=-1", "pageSize=x", "pageToken=nobody"] {
        let reply = gemini(&gateway, &key, &format!("/v1beta/models?{query}")).await;
        assert_eq!(reply.json()["error"]["status"], "INVALID_ARGUMENT", "{query}: {}", reply.text());
    }
}

#[tokio::test]
async fn what_a_key_may_not_use_is_not_there() {
    let (gateway, _) = gateway().await;
    let (_, key) = gateway.key(json!({"models": ["b"]})).await;
    assert_eq!(ids(&anthropic(&gateway, &key, "/v1/models").await.json()["data"], "id"), ["b"]);
    assert_eq!(ids(&gemini(&gateway, &key, "/v1beta/models").await.json()["models"], "name"), ["models/b"]);
    for (name, status) in [("b", StatusCode::OK), ("a", StatusCode::NOT_FOUND), ("nobody", StatusCode::NOT_FOUND)] {
        assert_eq!(anthropic(&gateway, &key, &format!("/v1/models/{name}")).await.status, status, "{name}");
        assert_eq!(gemini(&gateway, &key, &format!("/v1beta/models/{name}")).await.status, status, "{name}");
    }
    // The admin key sees all, as elsewhere.
    assert!(anthropic(&gateway, ADMIN, "/v1/models/a").await.status.is_success());
    // Nothing can be said to what embeds.
    assert_eq!(anthropic(&gateway, ADMIN, "/v1/models/demo/embed").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn errors_are_in_the_dialect_that_asks() {
    let (gateway, key) = gateway().await;
    let reply = anthropic(&gateway, "sk-weir-nobody", "/v1/models").await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["type"]),
        (StatusCode::UNAUTHORIZED, &json!("authentication_error"))
    );
    let reply = anthropic(&gateway, &key, "/v1/models/nobody").await;
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (StatusCode::NOT_FOUND, &json!("not_found_error")));
    let reply = gemini(&gateway, "sk-weir-nobody", "/v1beta/models").await;
    assert_eq!((reply.status, &reply.json()["error"]["status"]), (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED")));
    for path in ["/v1beta/models/nobody", "/v1beta/models/%ff", "/v1beta/nothing", "/v1/models/nobody"] {
        let reply = gemini(&gateway, &key, path).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["status"]),
            (StatusCode::NOT_FOUND, &json!("NOT_FOUND")),
            "{path}"
        );
        assert!(reply.header("x-request-id").is_some() && reply.header("x-weir-error-code").is_some(), "{path}");
    }
    let reply = gateway.request(Method::DELETE, "/v1beta/models", &[("x-goog-api-key", &key)], "").await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!(405)));
}

#[tokio::test]
async fn geminis_actions_are_served_at_both_versions() {
    let (gateway, key) = gateway().await;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).to_string();
    let post = async |path: &str| gateway.request(Method::POST, path, &[("x-goog-api-key", &key)], body.clone()).await;
    for version in ["v1", "v1beta"] {
        for model in ["a", "demo/chat", "demo%2Fchat"] {
            let reply = post(&format!("/{version}/models/{model}:generateContent")).await;
            let said = reply.json()["candidates"][0]["content"]["parts"][0]["text"].as_str().map(ToOwned::to_owned);
            assert!(said.is_some_and(|said| said.ends_with("You said: hi")), "{version} {model}: {}", reply.text());
        }
        let counted = post(&format!("/{version}/models/a:countTokens")).await.json();
        assert!(counted["totalTokens"].is_u64(), "{version}: {counted}");
        let streamed = post(&format!("/{version}/models/a:streamGenerateContent?alt=sse")).await;
        assert!(streamed.text().starts_with("data: {") && streamed.text().contains("\"STOP\""), "{version}");
        let reply = post(&format!("/{version}/models/nobody:generateContent")).await;
        assert_eq!(reply.json()["error"]["status"], "NOT_FOUND", "{version}: {}", reply.text());
    }
    let rows = gateway.wait_rows(12).await;
    assert!(rows.iter().any(|row| row["endpoint"] == "countTokens"), "they are recorded");
}
