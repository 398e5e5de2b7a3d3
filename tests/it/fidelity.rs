//! What passes untouched, in both directions, and the little that does not.

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::support::gateway::{Gateway, Reply, Setup, one_provider};
use crate::support::upstream::{Script, Seen, Upstream};

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

async fn before(answer: Script) -> (Upstream, Gateway, String) {
    let upstream = Upstream::scripted(vec![answer]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

/// Sends `body` as it is and answers what the upstream got.
async fn sent(path: &str, body: &str) -> Seen {
    let (upstream, gateway, key) = before(Script::json(ANSWER)).await;
    let reply = gateway.post(&key, path, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    upstream.only()
}

/// A body with everything a rewriting gateway would bend.
fn odd(model: &str, prompt: &str) -> String {
    format!(
        " {{ \"z\" : 1.0,\t\"a\":1e-7,\"big\":100000000000000000001,\"neg\":-0.0,\n\
         \"model\":\"{model}\",{prompt},\"esc\":\"\\u00e9\\/\\ud83d\\ude00é😀\\u0000\",\r\n\
         \"nested\":{{\"b\":[],\"a\":{{}},\"\":null}},\"temperature\":0.10,\"x-unknown\":[1.50,true] }}\n"
    )
}

#[tokio::test]
async fn a_request_reaches_the_upstream_byte_for_byte_but_for_its_model() {
    for (path, prompt) in [
        ("/v1/chat/completions", r#""messages":[{"content":"\u00fc","role":"user"}]"#),
        ("/v1/completions", r#""prompt":"\u00fc""#),
        ("/v1/embeddings", r#""input":["\u00fc",""]"#),
        ("/v1/responses", r#""input":"\u00fc""#),
        ("/v1/moderations", r#""input":"\u00fc""#),
        ("/v1/images/generations", r#""prompt":"\u00fc""#),
    ] {
        let seen = sent(path, &odd("up/org/model", prompt)).await;
        assert_eq!(seen.path, path);
        assert_eq!(std::str::from_utf8(&seen.body).unwrap(), odd("org/model", prompt), "{path}");
        assert_eq!(seen.headers["content-length"].to_str().unwrap(), seen.body.len().to_string());
    }
}

#[tokio::test]
async fn usage_is_asked_for_where_the_client_did_not() {
    let stream = |options: &str| format!(r#"{{"model":"up/m","stream":true{options},"messages":[]}}"#);
    for (given, expected) in [
        ("", r#"{"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":[]}"#),
        (
            r#","stream_options":null"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        ),
        (
            r#","stream_options":{}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        ),
        (
            r#","stream_options":{"include_obfuscation":false}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"messages":[]}"#,
        ),
        (
            r#","stream_options":{"include_usage":false}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        ),
        (
            r#","stream_options":{ "include_usage" : true }"#,
            r#"{"model":"m","stream":true,"stream_options":{ "include_usage" : true },"messages":[]}"#,
        ),
    ] {
        let seen = sent("/v1/chat/completions", &stream(given)).await;
        assert_eq!(std::str::from_utf8(&seen.body).unwrap(), expected, "{given}");
    }
}

#[tokio::test]
async fn weirs_own_members_stay_here() {
    let body = r#"{"models":["up/b"],"model":"up/a","x":1.0,"fallbacks":[],"messages":[],"models2":1}"#;
    let seen = sent("/v1/chat/completions", body).await;
    assert_eq!(seen.body, r#"{"model":"a","x":1.0,"messages":[],"models2":1}"#);
    let seen = sent("/v1/responses", r#"{"model":"up/a","input":"","models":["up/b"],"fallbacks":null}"#).await;
    assert_eq!(seen.body, r#"{"model":"a","input":""}"#);
    // What passes through by its path has no alternatives here: the upstream says what it makes of them.
    let seen = sent("/v1/moderations", r#"{"model":"up/a","input":"","models":["up/b"],"fallbacks":null}"#).await;
    assert_eq!(seen.body, r#"{"model":"a","input":"","models":["up/b"],"fallbacks":null}"#);
}

async fn with_settings(settings: &str, body: &str) -> (Seen, Reply) {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let yaml = one_provider(&upstream.url()).replace("api_key:", &format!("{settings}, api_key:"));
    let gateway = Setup::new(yaml).start().await;
    let reply = gateway.post(&gateway.plain_key().await, "/v1/chat/completions", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    (upstream.only(), reply)
}

#[tokio::test]
async fn quirks_of_a_provider_are_configured() {
    let rename = "quirks: [rename_max_completion_tokens]";
    let (seen, _) = with_settings(rename, r#"{"model":"up/m","max_completion_tokens":10,"messages":[]}"#).await;
    assert_eq!(seen.body, r#"{"model":"m","max_tokens":10,"messages":[]}"#);
    let both = r#"{"model":"up/m","max_completion_tokens":5,"max_tokens":6,"messages":[]}"#;
    let (seen, _) = with_settings(rename, both).await;
    assert_eq!(seen.body, both.replace("up/", ""));
    let stream = r#"{"model":"up/m","stream":true,"messages":[]}"#;
    let (seen, _) = with_settings("quirks: [no_stream_options]", stream).await;
    assert_eq!(seen.body, stream.replace("up/", ""));
    let (seen, _) = with_settings("quirks: [rename_seed]", r#"{"model":"up/m","seed":7,"messages":[]}"#).await;
    assert_eq!(seen.body, r#"{"model":"m","random_seed":7,"messages":[]}"#);
    for (given, sent) in [(r#""a]""#, r#"["a]"]"#), (r#"["a"]"#, r#"["a"]"#), ("null", "null")] {
        let body = |model, stop| format!(r#"{{"model":"{model}","stop":{stop},"messages":[]}}"#);
        let (seen, _) = with_settings("quirks: [stop_as_array]", &body("up/m", given)).await;
        assert_eq!(seen.body, body("m", sent));
    }
}

#[tokio::test]
async fn names_of_messages_are_taken_out_with_a_warning() {
    let settings = "quirks: [no_message_name]";
    let body = r#"{"name":1,"messages":[{"name":"a","role":"user"},{"role":"user", "name":"b" ,"content":{"name":"c"}}, {"name":""}],"model":"up/m"}"#;
    let (seen, reply) = with_settings(settings, body).await;
    assert_eq!(
        seen.body,
        r#"{"name":1,"messages":[{"role":"user"},{"role":"user", "content":{"name":"c"}}, {}],"model":"m"}"#
    );
    assert_eq!(reply.header("x-weir-warnings"), Some("provider up does not support messages[].name: left out"));
    let (seen, reply) = with_settings(settings, r#"{"model":"up/m","messages":[{"role":"user"}]}"#).await;
    assert_eq!(seen.body, r#"{"model":"m","messages":[{"role":"user"}]}"#);
    assert_eq!(reply.header("x-weir-warnings"), None);
}

#[tokio::test]
async fn parameters_a_provider_refuses_are_taken_out_with_a_warning() {
    let body = r#"{"seed":1,"model":"up/m","logit_bias":{},"messages":[]}"#;
    let (seen, reply) = with_settings("unsupported: [seed, logit_bias, user]", body).await;
    assert_eq!(seen.body, r#"{"model":"m","messages":[]}"#);
    let warnings = reply.header("x-weir-warnings").expect("a warning");
    assert!(warnings.contains("seed") && warnings.contains("logit_bias") && !warnings.contains("user"), "{warnings}");
    let (_, reply) = with_settings("unsupported: [seed]", r#"{"model":"up/m","messages":[]}"#).await;
    assert_eq!(reply.header("x-weir-warnings"), None);
}

#[tokio::test]
async fn an_answer_reaches_the_client_byte_for_byte() {
    let text = odd("served", r#""usage":{"prompt_tokens":3,"completion_tokens":2,"odd":1.0},"choices":[]"#);
    let (_, gateway, key) = before(Script::json(text.clone())).await;
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"] {
        let reply = gateway.post(&key, path, json!({"model": "up/m", "messages": [], "input": ""})).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, text.clone()), "{path}");
        assert_eq!(reply.header("content-length"), Some(text.len().to_string().as_str()));
    }
}

/// A text in this encoding.
pub(crate) async fn pack(encoding: &str, text: &[u8]) -> Vec<u8> {
    use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(text).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match encoding {
        "gzip" => with!(GzipEncoder),
        "deflate" => with!(ZlibEncoder),
        "br" => with!(BrotliEncoder),
        _ => with!(ZstdEncoder),
    }
}

const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

#[tokio::test]
async fn compressed_requests_are_unpacked_and_bombs_are_not() {
    let bomb = vec![b' '; 40 << 20];
    for encoding in ENCODINGS {
        for (path, content) in [("/v1/chat/completions", "messages"), ("/v1/responses", "input")] {
            let (upstream, gateway, key) = before(Script::json(ANSWER)).await;
            let auth = format!("Bearer {key}");
            let headers = [
                ("authorization", auth.as_str()),
                ("content-type", "application/json"),
                ("content-encoding", encoding),
            ];
            let text = format!(r#"{{"model":"up/m","{content}":[]}}"#);
            let body = pack(encoding, text.as_bytes()).await;
            let reply = gateway.request(Method::POST, path, &headers, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{encoding} {path}: {}", reply.text());
            let seen = upstream.only();
            assert_eq!(seen.body, text.replace("up/", ""), "{encoding}");
            assert_eq!(seen.headers.get("content-encoding"), None);
            let reply = gateway.request(Method::POST, path, &headers, pack(encoding, &bomb).await).await;
            assert_eq!(
                (reply.status, reply.code()),
                (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large".into()),
                "{encoding}"
            );
            let reply = gateway.request(Method::POST, path, &headers, "not packed at all").await;
            assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "invalid_body".into()), "{encoding}");
            assert_eq!(upstream.seen().len(), 1);
        }
    }
    let (_, gateway, key) = before(Script::json(ANSWER)).await;
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-encoding", "compress")];
    let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, "{}").await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn an_answer_packed_unasked_is_unpacked() {
    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";
    for encoding in ENCODINGS {
        let upstream = Upstream::scripted(vec![
            packed("application/json", encoding, ANSWER).await,
            packed("text/event-stream", encoding, STREAM).await,
        ])
        .await;
        let gateway = Gateway::before(&upstream.url()).await;
        let key = gateway.plain_key().await;
        for (stream, expected) in [(false, ANSWER), (true, STREAM)] {
            let body = json!({"model": "up/m", "messages": [], "stream": stream});
            let reply = gateway.post(&key, "/v1/chat/completions", body).await;
            assert_eq!((reply.text().as_str(), reply.header("content-encoding")), (expected, None), "{encoding}");
        }
        assert_eq!(upstream.seen()[0].headers["accept-encoding"], "identity");
    }
}

async fn packed(kind: &str, encoding: &str, text: &str) -> Script {
    let body = pack(encoding, text.as_bytes()).await;
    let steps = vec![crate::support::upstream::Step::Send(body.into())];
    Script::new(200, kind, steps).header("content-encoding", encoding)
}

#[tokio::test]
async fn nothing_private_passes_in_either_direction() {
    let script = Script::json(ANSWER)
        .header("set-cookie", "a=b")
        .header("x-ratelimit-remaining-requests", "1")
        .header("authorization", "Bearer leaked")
        .header("server", "nginx")
        .header("x-weir-provider", "forged")
        .header("openai-processing-ms", "5")
        .header("x-request-id", "req_upstream");
    let (upstream, gateway, key) = before(script).await;
    let auth = format!("Bearer {key}");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("authorization", auth.as_str()),
        ("x-api-key", &key),
        ("api-key", &key),
        ("x-goog-api-key", &key),
        ("cookie", "session=1"),
        ("x-weir-tags", "a=b"),
        ("x-weir-secret", "1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("traceparent", trace),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-lang", "python"),
        ("x-request-id", "client-given-id"),
    ];
    let body = r#"{"model":"up/m","messages":[],"input":""}"#;
    for path in ["/v1/chat/completions", "/v1/responses"] {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        let reply = gateway.request(Method::POST, path, &headers, body).await;
        assert_eq!(reply.status, StatusCode::OK);
        check_answer(&reply.headers);
        let seen = upstream.seen().pop().unwrap().headers;
        check_sent(&seen, &key);
        assert_eq!(
            (seen["traceparent"].to_str().unwrap(), &seen["openai-beta"]),
            (trace, &"assistants=v2".parse().unwrap())
        );
        assert_eq!(seen["x-stainless-lang"], "python");
    }
}

fn check_answer(headers: &HeaderMap) {
    for name in ["set-cookie", "x-ratelimit-remaining-requests", "authorization", "server"] {
        assert_eq!(headers.get(name), None, "{name}");
    }
    assert_eq!(
        (&headers["x-weir-provider"], &headers["x-request-id"]),
        (&"up".parse().unwrap(), &"client-given-id".parse().unwrap())
    );
    assert_eq!(headers["openai-processing-ms"], "5");
    assert_eq!(headers["x-upstream-request-id"], "req_upstream");
}

fn check_sent(headers: &HeaderMap, key: &str) {
    for name in
        ["x-api-key", "api-key", "x-goog-api-key", "cookie", "x-weir-tags", "x-weir-secret", "x-forwarded-for", "x-hop"]
    {
        assert_eq!(headers.get(name), None, "{name}");
    }
    assert_eq!(headers.get_all("authorization").iter().count(), 1);
    assert_eq!(headers["authorization"], "Bearer upstream-secret");
    assert!(headers.values().all(|value| !String::from_utf8_lossy(value.as_bytes()).contains(key)));
    assert_eq!(headers["x-request-id"], "client-given-id", "an upstream's log can be matched with ours");
}

#[tokio::test]
async fn a_providers_headers_and_auth_are_configured() {
    let body = r#"{"model":"up/m","messages":[]}"#;
    let (seen, _) = with_settings("headers: { x-team: search, OpenAI-Organization: org-1 }", body).await;
    assert_eq!(
        (&seen.headers["x-team"], &seen.headers["openai-organization"]),
        (&"search".parse().unwrap(), &"org-1".parse().unwrap())
    );
    let (seen, _) = with_settings("auth: { style: header, header: X-Token }", body).await;
    assert_eq!(
        (seen.headers.get("authorization"), &seen.headers["x-token"]),
        (None, &"upstream-secret".parse().unwrap())
    );
    let (seen, _) = with_settings("auth: { style: prefix, prefix: \"Token \" }", body).await;
    assert_eq!(seen.headers["authorization"], "Token upstream-secret");
    let (seen, _) = with_settings("auth: { style: none }", body).await;
    assert_eq!(seen.headers.get("authorization"), None);
}

#[tokio::test]
async fn azure_is_found_by_its_environment() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let endpoint = format!("http://{}/", upstream.addr);
    let gateway = Setup::new("{}")
        .env("AZURE_OPENAI_API_KEY", "azure-secret")
        .env("AZURE_OPENAI_ENDPOINT", &endpoint)
        .start()
        .await;
    let key = gateway.plain_key().await;
    let reply =
        gateway.post(&key, "/v1/chat/completions", json!({"model": "azure/my-deployment", "messages": []})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let seen = upstream.only();
    assert_eq!((seen.path.as_str(), &seen.json()["model"]), ("/openai/v1/chat/completions", &json!("my-deployment")));
    assert_eq!((seen.headers.get("authorization"), &seen.headers["api-key"]), (None, &"azure-secret".parse().unwrap()));
}

#[tokio::test]
async fn the_deployments_form_of_azure_has_the_model_in_its_path() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let yaml = format!(
        "providers:\n  az: {{ kind: azure_classic, base_url: \"http://{}\", api_key: s, vars: {{ api_version: 2025-01-01 }} }}\n",
        upstream.addr
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    for (model, segment) in
        [("gpt-4.o", "gpt-4.o"), ("../../x?y#z", "%2E%2E%2F%2E%2E%2Fx%3Fy%23z"), ("ü %2f", "%C3%BC%20%252f")]
    {
        let reply =
            gateway.post(&key, "/v1/chat/completions", json!({"model": format!("az/{model}"), "messages": []})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.path, format!("/openai/deployments/{segment}/chat/completions?api-version=2025-01-01"));
        assert_eq!(seen.headers["api-key"], "s");
    }
}
