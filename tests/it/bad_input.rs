//! Requests that are wrong in every way a client can be wrong: each is refused in OpenAI's words,
//! with the field and the fix named, and recorded; none reaches the upstream, none is a 5xx of ours.

use std::time::Duration;

use http::{Method, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::gateway::{ADMIN, Gateway, Reply, Setup};
use crate::support::upstream::{Script, Upstream};

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[]}"#;
const JSON: &str = "application/json";

/// An upstream that is always content, a gateway before it, and a key.
async fn content() -> (Upstream, Gateway, String) {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

async fn post_as(gateway: &Gateway, key: &str, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Reply {
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", kind)];
    gateway.request(Method::POST, path, &headers[..if kind.is_empty() { 1 } else { 2 }], body.into()).await
}

/// The error object, which has its four keys and says something, in one line and lower case.
#[track_caller]
fn error_of(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), Some(JSON), "{}", reply.text());
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"], "{body}");
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{body}"));
    let (message, _, _) = (text("message"), text("type"), text("code"));
    assert!(message.len() < 1000 && !message.contains(['\n', '\r']), "{message}");
    assert!(error["param"].is_null() || error["param"].is_string(), "{body}");
    assert!(reply.header("x-request-id").is_some(), "{:?}", reply.headers);
    body["error"].clone()
}

/// Refused with this status, code and param, in a message that contains `hint`.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, param: Option<&str>, hint: &str) {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{hint}: {}", reply.text());
    let error = error_of(reply);
    assert_eq!(error["param"].as_str(), param, "{error}");
    assert!(error["message"].as_str().unwrap().contains(hint), "{hint:?} is not in {error}");
}

/// Each request has a row that says what its answer said.
async fn recorded(gateway: &Gateway, replies: &[Reply]) {
    let rows = gateway.wait_rows(replies.len()).await;
    assert_eq!(rows.len(), replies.len());
    for reply in replies {
        let row = rows.iter().find(|row| row["id"] == reply.header("x-request-id").unwrap()).unwrap();
        assert_eq!((&row["status"], &row["http_status"]), (&json!("rejected"), &json!(reply.status.as_u16())), "{row}");
        let error = &reply.json()["error"];
        assert_eq!((&row["error_code"], &row["error_message"]), (&error["code"], &error["message"]));
        assert_eq!((&row["cost_usd"], &row["attempts"]), (&json!("0.000000000"), &json!([])));
    }
}

#[tokio::test]
async fn what_is_not_one_json_object_is_refused_with_the_place() {
    let (upstream, gateway, key) = content().await;
    let cases: [(&[u8], &str); 27] = [
        (b"", "the request body is empty: send one JSON object"),
        (b" \r\n\t", "the request body is empty"),
        (b"{", "at byte 1: expected a key"),
        (br#"{"model":"m""#, "at byte 12: expected ',' or '}'"),
        (br#"{"model":"m","#, "expected a key"),
        (br#"{"model":"m"#, "at byte 11"),
        (br#"{"model""#, "at byte 8"),
        (br#"{"model":"m"} x"#, "at byte 14: unexpected text after the value"),
        (br#"{"model":"m"}{}"#, "at byte 13: unexpected text after the value"),
        (br#"{"model":"m"}// done"#, "unexpected text after the value"),
        (b"/* a chat */{\"model\":\"m\"}", "at byte 0: expected a value"),
        (br#"{"model":"m", // the model"#, "expected a key"),
        (br#"{"model":"m",}"#, "expected a key in double quotes"),
        (br#"{"model":"m","t":NaN}"#, "at byte 17: expected a value"),
        (br#"{"model":"m","t":-Infinity}"#, "at byte 18: expected a digit"),
        (br#"{"model":"m","t":01}"#, "at byte 18"),
        (br#"{"model":"m","t":True}"#, "at byte 17: expected a value"),
        (b"{'model':'m'}", "at byte 1: expected a key in double quotes"),
        (br#"{"model":'m'}"#, "at byte 9: expected a value"),
        (br#"{model:"m"}"#, "expected a key in double quotes"),
        (br#"{"model":"\ud800"}"#, "lone surrogate"),
        (br#"{"model":"\udc00\ud800"}"#, "lone surrogate"),
        (b"\xef\xbb\xbf{\"model\":\"m\"}", "byte order mark"),
        (b"{\"model\":\"\xff\"}", "not UTF-8"),
        (b"{\"model\":\"\xed\xa0\x80\"}", "not UTF-8"),
        (b"{\"model\":\"a\nb\"}", "control character in a string, escape it"),
        (b"model=m&messages=hi", "at byte 0: expected a value"),
    ];
    let mut replies = Vec::new();
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/responses"] {
        for (body, hint) in cases {
            let reply = post_as(&gateway, &key, path, JSON, body).await;
            refused(&reply, 400, "invalid_json", None, hint);
            replies.push(reply);
        }
        for other in ["[]", "[{\"model\":\"m\"}]", "\"model\"", "1", "true", "null"] {
            let reply = gateway.post(&key, path, other).await;
            refused(&reply, 400, "invalid_json", None, "must be one JSON object");
            replies.push(reply);
        }
    }
    recorded(&gateway, &replies).await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn nesting_members_and_names_are_bounded() {
    let (upstream, gateway, key) = content().await;
    let nested = |open: &str, close: &str, depth: usize| {
        format!(r#"{{"model":"up/m","messages":[],"x":{}1{}}}"#, open.repeat(depth), close.repeat(depth))
    };
    let members: String = (0..2000).map(|i| format!(r#","a{i}":1"#)).collect();
    let many: Vec<String> = (0..33).map(|i| format!("up/{i}")).collect();
    let mut replies = Vec::new();
    for (body, code, param, hint) in [
        (nested("[", "]", 10_000), "too_deep", None, "nested deeper than 128 levels"),
        (nested("{\"a\":", "}", 10_000), "too_deep", None, "nested deeper than 128 levels"),
        (nested("[", "", 10_000), "too_deep", None, "nested deeper than 128 levels"),
        (nested("[", "]", 128), "too_deep", None, "nested deeper than 128 levels"),
        (format!(r#"{{"model":"up/m","messages":[]{members}}}"#), "invalid_value", None, "more than 1024 members"),
        (json!({"model": "m".repeat(10_240), "messages": []}).to_string(), "invalid_value", Some("model"), "1 to 256"),
        (json!({"model": "", "messages": []}).to_string(), "invalid_value", Some("model"), "1 to 256"),
        (
            json!({"model": "m", "models": many, "messages": []}).to_string(),
            "invalid_value",
            Some("models"),
            "at most 32",
        ),
        (
            json!({"model": "m", "fallbacks": [""], "messages": []}).to_string(),
            "invalid_value",
            Some("fallbacks"),
            "1 to 256",
        ),
    ] {
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        refused(&reply, 400, code, param, hint);
        replies.push(reply);
    }
    recorded(&gateway, &replies).await;
    assert!(upstream.seen().is_empty());
    let reply = gateway.post(&key, "/v1/chat/completions", nested("[", "]", 127)).await;
    assert_eq!((reply.status, upstream.seen().len()), (StatusCode::OK, 1), "128 levels pass: {}", reply.text());
}

/// A body that would pass, with `name` set to `value`; `a.b` is `b` in an object `a`.
fn with(base: &Value, name: &str, value: &Value) -> Value {
    let mut body = base.clone();
    match name.split_once('.') {
        Some((outer, inner)) => body[outer] = json!({inner: value}),
        None => body[name] = value.clone(),
    }
    body
}

#[tokio::test]
async fn every_member_that_is_read_must_have_its_type() {
    let (upstream, gateway, key) = content().await;
    let chat = ("/v1/chat/completions", json!({"model": "up/m", "messages": []}));
    let legacy = ("/v1/completions", json!({"model": "up/m", "prompt": "hi"}));
    let embed = ("/v1/embeddings", json!({"model": "up/m", "input": "hi"}));
    let responses = ("/v1/responses", json!({"model": "up/m", "input": "hi"}));
    let speech = ("/v1/audio/speech", json!({"model": "up/m", "input": "hi", "voice": "v"}));
    let images = ("/v1/images/generations", json!({"model": "up/m", "prompt": "hi"}));
    let moderations = ("/v1/moderations", json!({"model": "up/m", "input": "hi"}));
    let string = json!("x");
    let number = json!(1);
    let text = [json!(1), json!(true), json!([]), json!({})];
    let integer = [json!("1"), json!(true), json!([1]), json!({}), json!(1.5), json!(1e3)];
    let list = [json!("x"), json!(1), json!({}), json!([1]), json!(["a", null]), json!([["a"]])];
    let text_or_list = [json!(1), json!(false), json!({})];
    let of = |names: &[&'static str], wrong: &[Value]| -> Vec<(&'static str, Value)> {
        names.iter().flat_map(|name| wrong.iter().map(|value| (*name, value.clone()))).collect()
    };
    let mut cases = Vec::new();
    for case in [&chat, &legacy, &embed, &responses, &speech, &images, &moderations] {
        cases.push((case, of(&["model", "user"], &text)));
        cases.push((case, vec![("model", Value::Null)]));
        cases.push((case, of(&["stream"], &[string.clone(), number.clone(), json!([])])));
        cases.push((case, of(&["models", "fallbacks"], &list)));
    }
    for case in [&chat, &legacy, &responses] {
        cases.push((case, of(&["max_tokens", "max_completion_tokens", "max_output_tokens", "n"], &integer)));
        cases.push((case, of(&["stream_options"], &[string.clone(), number.clone(), json!([])])));
        cases.push((case, of(&["stream_options.include_usage"], &[string.clone(), number.clone()])));
        cases.push((case, of(&["service_tier"], &text)));
    }
    cases.push((&chat, of(&["messages"], &[string.clone(), number.clone(), json!({}), Value::Null])));
    cases.push((&legacy, of(&["prompt"], &text_or_list)));
    cases.push((&embed, of(&["input"], &text_or_list)));
    cases.push((&embed, of(&["encoding_format"], &text)));
    cases.push((&responses, of(&["input"], &text_or_list)));
    cases.push((&speech, of(&["input"], &[number.clone(), json!([]), Value::Null])));
    cases.push((&images, of(&["prompt"], &[number, json!([])])));
    cases.push((&images, of(&["n"], &integer)));
    cases.push((&moderations, of(&["input"], &text_or_list)));
    let mut replies = Vec::new();
    for ((path, base), wrong) in cases {
        for (name, value) in wrong {
            let reply = gateway.post(&key, path, with(base, name, &value)).await;
            refused(&reply, 400, "invalid_type", Some(name), &format!("'{name}' must be "));
            replies.push(reply);
        }
    }
    assert!(replies.len() > 200, "{}", replies.len());
    recorded(&gateway, &replies).await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let (upstream, gateway, key) = content().await;
    for (name, value, hint) in [
        ("max_tokens", "-1", "an integer from 0 to 2147483647"),
        ("max_completion_tokens", "2147483648", "an integer from 0 to 2147483647"),
        ("max_output_tokens", "99999999999999999999999999", "an integer from 0 to 2147483647"),
        ("n", "0", "an integer from 1 to 128"),
        ("n", "129", "an integer from 1 to 128"),
        ("n", "-0", "an integer from 1 to 128"),
    ] {
        let body = format!(r#"{{"model":"up/m","messages":[],"{name}":{value}}}"#);
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        refused(&reply, 400, "invalid_value", Some(name), hint);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_member_that_is_read_may_not_come_twice() {
    let (upstream, gateway, key) = content().await;
    let mut replies = Vec::new();
    for (name, value) in [
        ("model", "\"up/m\""),
        ("messages", "[]"),
        ("stream", "true"),
        ("stream_options", "{}"),
        ("user", "\"u\""),
        ("max_tokens", "1"),
        ("n", "1"),
        ("tools", "[]"),
        ("models", "[]"),
        ("fallbacks", "[]"),
    ] {
        // The second key is spelled with an escape: to a parser it is the same.
        let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
        for second in [name, &escaped] {
            let mut members = vec![format!(r#""{name}":{value},"{second}":{value}"#)];
            members.extend((name != "model").then(|| r#""model":"up/m""#.to_owned()));
            members.extend((name != "messages").then(|| r#""messages":[]"#.to_owned()));
            let reply = gateway.post(&key, "/v1/chat/completions", format!("{{{}}}", members.join(","))).await;
            refused(&reply, 400, "duplicate_key", Some(name), "more than once in the body, send it once");
            replies.push(reply);
        }
    }
    let twice = r#"{"model":"up/m","messages":[],"stream_options":{"include_usage":true,"include_usage":false}}"#;
    let reply = gateway.post(&key, "/v1/chat/completions", twice).await;
    refused(&reply, 400, "duplicate_key", Some("stream_options.include_usage"), "send it once");
    replies.push(reply);
    recorded(&gateway, &replies).await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (upstream, gateway, key) = content().await;
    let mut replies = Vec::new();
    for (path, body, param, hint) in [
        ("/v1/chat/completions", json!({"messages": []}), "model", "add \"model\" to the request body"),
        ("/v1/completions", json!({"prompt": "hi"}), "model", "add \"model\""),
        ("/v1/embeddings", json!({"input": "hi"}), "model", "add \"model\""),
        ("/v1/chat/completions", json!({"model": "up/m"}), "messages", "add it as an array"),
        ("/v1/embeddings", json!({"model": "up/m"}), "input", "add it as a string or an array"),
        ("/v1/audio/speech", json!({"model": "up/m"}), "input", "add it as a string"),
        ("/v1/moderations", json!({"model": "up/m"}), "input", "add it as a string or an array"),
        ("/v1/chat/completions", json!({}), "messages", "missing required parameter 'messages'"),
    ] {
        let reply = gateway.post(&key, path, body).await;
        refused(&reply, 400, "missing_required_parameter", Some(param), hint);
        replies.push(reply);
    }
    recorded(&gateway, &replies).await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_unknown_model_is_told_with_its_neighbours() {
    let gateway = Setup::new("models:\n  fast: demo/chat\n  careful: demo/chat\n").start().await;
    let key = gateway.plain_key().await;
    let mut replies = Vec::new();
    for (model, hint) in [
        ("fats", "did you mean fast"),
        ("Fast", "did you mean fast"),
        ("demo/chta", "demo/chat"),
        ("demo/", "the model 'demo/' does not exist here"),
        ("careful ", "careful"),
        ("no-model-has-such-a-name-at-all", "GET /v1/models"),
        ("\u{202e}x", "does not exist here"),
        ("模型", "the model '模型' does not exist here"),
    ] {
        for (path, field) in
            [("/v1/chat/completions", "messages"), ("/v1/embeddings", "input"), ("/v1/responses", "input")]
        {
            let reply = gateway.post(&key, path, json!({"model": model, field: []})).await;
            refused(&reply, 404, "model_not_found", Some("model"), hint);
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            replies.push(reply);
        }
    }
    recorded(&gateway, &replies).await;
    let reply = gateway.get(&key, "/v1/models/fats").await;
    refused(&reply, 404, "model_not_found", Some("model"), "did you mean fast");
    let body = json!({"model": "fast", "fallbacks": ["carefull"], "messages": []});
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    refused(&reply, 404, "model_not_found", Some("model"), "did you mean careful");
}

#[tokio::test]
async fn a_body_of_33_mib_is_too_large() {
    let (upstream, gateway, key) = content().await;
    let filler = "x".repeat(33 << 20);
    let body = json!({"model": "up/m", "messages": [{"role": "user", "content": filler}]}).to_string();
    let mut replies = Vec::new();
    for path in ["/v1/chat/completions", "/v1/responses"] {
        let reply = gateway.post(&key, path, &body).await;
        refused(&reply, 413, "request_too_large", None, "33554432 bytes, this gateway's limit (server.body_limit)");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        replies.push(reply);
    }
    recorded(&gateway, &replies).await;
    let head =
        head("POST", "/v1/chat/completions", &key, "content-type: application/json\r\ntransfer-encoding: chunked\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", body.len(), body);
    let answer = exchange(&gateway, format!("{head}{chunk}0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_content_type_that_hides_the_body_is_refused_where_it_matters() {
    let (upstream, gateway, key) = content().await;
    let body = r#"{"model":"up/m","messages":[],"input":"hi"}"#;
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "nonsense"] {
        let reply = post_as(&gateway, &key, "/v1/chat/completions", kind, body).await;
        assert_eq!(reply.status, StatusCode::OK, "a chat is JSON, whatever it is called: {}", reply.text());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((&seen.headers["content-type"], &seen.json()["model"]), (&JSON.parse().unwrap(), &json!("m")));
    }
    let before = upstream.seen().len();
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "nonsense", ";"] {
        for path in ["/v1/evals", "/v1/moderations", "/v1/audio/speech", "/v1/batches", "/v1/evals?model=up/m"] {
            let reply = post_as(&gateway, &key, path, kind, body).await;
            let hint = "send 'content-type: application/json'";
            refused(&reply, 415, "unsupported_content_type", Some("content-type"), hint);
        }
    }
    for path in ["/v1/evals", "/v1/files"] {
        let auth = format!("Bearer {key}");
        let headers = [("authorization", auth.as_str()), ("content-type", JSON), ("content-type", "text/plain")];
        let reply = gateway.request(Method::POST, path, &headers, body).await;
        refused(&reply, 400, "invalid_header", Some("content-type"), "appears twice; send it once");
    }
    assert_eq!(upstream.seen().len(), before);
    let reply = post_as(&gateway, &key, "/v1/responses", "Application/JSON ; charset=UTF-8", body).await;
    assert_eq!((reply.status, &upstream.seen().pop().unwrap().json()["model"]), (StatusCode::OK, &json!("m")));
}

#[tokio::test]
async fn an_empty_body_is_refused_where_one_is_needed() {
    let (upstream, gateway, key) = content().await;
    for path in ["/v1/responses", "/v1/moderations", "/v1/audio/speech", "/v1/images/generations"] {
        let reply = gateway.post(&key, path, "").await;
        refused(&reply, 400, "invalid_json", None, "the request body is empty: send one JSON object");
    }
    assert!(upstream.seen().is_empty());
    for path in ["/v1/batches/batch_1/cancel", "/v1/responses/resp_123456/cancel"] {
        assert_eq!(gateway.post(&key, path, "").await.status, StatusCode::OK, "{path} has none");
    }
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", JSON)];
    assert_eq!(gateway.request(Method::GET, "/v1/responses/resp_1", &headers, "").await.status, StatusCode::OK);
}

type Headers<'h> = &'h [(&'h str, &'h str)];

#[tokio::test]
async fn keys_of_every_wrong_shape_are_refused_and_recorded() {
    let (upstream, gateway, key) = content().await;
    let (other, bearer) = (gateway.plain_key().await, |key: &str| format!("Bearer {key}"));
    let (good, second) = (bearer(&key), bearer(&other));
    let (cut, longer, upper) = (bearer(&key[..key.len() - 1]), bearer(&format!("{key}x")), bearer(&key.to_uppercase()));
    let (doubled, listed, huge) = (bearer(&good), bearer(&format!("{key},{key}")), bearer(&"k".repeat(16_000)));
    let admin = bearer(ADMIN);
    let cases: &[(Headers<'_>, u16, &str, &str)] = &[
        (&[], 401, "missing_api_key", "Authorization: Bearer sk-weir-"),
        (&[("authorization", "")], 401, "invalid_api_key", "must be 'Bearer <key>'"),
        (&[("authorization", "Bearer ")], 401, "missing_api_key", "send a virtual key"),
        (&[("x-api-key", "")], 401, "missing_api_key", "send a virtual key"),
        (&[("authorization", &key)], 401, "invalid_api_key", "must be 'Bearer <key>'"),
        (&[("authorization", "Basic dTpw")], 401, "invalid_api_key", "must be 'Bearer <key>'"),
        (&[("authorization", &cut)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", &longer)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", &upper)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", &doubled)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", &listed)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", &huge)], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", "Bearer é")], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", "Bearer null")], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", "Bearer sk-weir-")], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (&[("authorization", "Bearer ' OR ''='")], 401, "invalid_api_key", "must be a virtual key of this gateway"),
        (
            &[("authorization", &good), ("x-api-key", &other)],
            400,
            "conflicting_api_keys",
            "two different API keys; send one",
        ),
        (&[("authorization", &good), ("authorization", &second)], 400, "conflicting_api_keys", "send one"),
        (&[("x-goog-api-key", &key), ("api-key", "x")], 400, "conflicting_api_keys", "send one"),
        (&[("authorization", &admin)], 403, "admin_key_not_allowed", "create a virtual key"),
    ];
    let mut replies = Vec::new();
    for (headers, status, code, hint) in cases {
        // The body is not looked at before the key.
        for (path, body) in [("/v1/chat/completions", "{"), ("/v1/responses", "")] {
            let reply = gateway.request(Method::POST, path, headers, body).await;
            refused(&reply, *status, code, None, hint);
            assert!(!reply.text().contains(&key[8..]) && !reply.text().contains(ADMIN), "{}", reply.text());
            replies.push(reply);
        }
    }
    recorded(&gateway, &replies).await;
    for row in gateway.rows().await {
        assert_eq!(row["key_id"].is_null(), row["http_status"] != 200, "{row}");
    }
    assert!(upstream.seen().is_empty());
}

/// Names that would mean something in a URL or a header.
const TRICKS: [&str; 14] = [
    "../../admin",
    "..",
    "a?b=c",
    "a#b",
    "a%2fb",
    "a&model=b",
    "a\r\nhost: evil",
    "a b",
    " ",
    "ünï/cödé",
    "\u{1F600}",
    "a\\b",
    "http://evil/",
    "\u{0}",
];

#[tokio::test]
async fn a_models_name_is_data_wherever_it_goes() {
    let (upstream, gateway, key) = content().await;
    let escaped =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    for name in TRICKS {
        let asked = format!("up/{name}");
        let reply = gateway.post(&key, "/v1/chat/completions", json!({"model": asked, "messages": []})).await;
        assert_eq!(reply.status, StatusCode::OK, "{name:?}: {}", reply.text());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.path.as_str(), &seen.json()["model"]), ("/v1/chat/completions", &json!(name)));
        assert_eq!(seen.json(), json!({"model": name, "messages": []}), "nothing else");
        assert_eq!(seen.headers["host"], upstream.addr.to_string().as_str());

        let path = format!("/v1/realtime/calls?a=1&model={}&b=2", escaped(&asked));
        let reply = post_as(&gateway, &key, &path, "application/sdp", "v=0").await;
        assert_eq!(reply.status, StatusCode::OK, "{name:?}: {}", reply.text());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.path, format!("/v1/realtime/calls?a=1&model={}&b=2", escaped(name)));
        assert_eq!((&seen.body[..], &seen.headers["host"]), (&b"v=0"[..], &upstream.addr.to_string().parse().unwrap()));
    }
    let long = format!("up/{}", "m".repeat(10_240));
    let reply = post_as(&gateway, &key, &format!("/v1/realtime/calls?model={long}"), "application/sdp", "v=0").await;
    refused(&reply, 404, "model_not_found", Some("model"), "does not exist here");
    refused(
        &gateway.get(&key, &format!("/v1/models/{long}")).await,
        404,
        "model_not_found",
        Some("model"),
        "/v1/models",
    );
    assert_eq!(upstream.seen().len(), 2 * TRICKS.len());
    for row in gateway.wait_rows(2 * TRICKS.len() + 1).await {
        assert!(row["model"].as_str().unwrap().len() <= 256, "{row}");
    }
}

#[tokio::test]
async fn an_id_in_a_path_stays_in_its_segment() {
    let (upstream, gateway, key) = content().await;
    for (path, seen) in [
        ("/v1/files/a%3Fb", Some("/v1/files/a%3Fb")),
        ("/v1/files/a%23b", Some("/v1/files/a%23b")),
        ("/v1/files/a%252e%252e", Some("/v1/files/a%252e%252e")),
        ("/v1/files/%20", Some("/v1/files/%20")),
        ("/v1/files/x%2F..%2F..%2Fadmin", None),
        ("/v1/files/%2E%2e/x", None),
        ("/v1/files/a%0D%0AX:%201", None),
        ("/v1/files/%ff", None),
        ("/v1/models/%ff", None),
        ("/v1/models/a%2f..%2f..%2fadmin", None),
    ] {
        let before = upstream.seen().len();
        let reply = gateway.get(&key, path).await;
        match seen {
            Some(seen) => assert_eq!(upstream.seen()[before..][0].path, seen, "{}", reply.text()),
            None => {
                // What others may read as another path is refused before it is routed.
                let status = if path.ends_with("%ff") { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
                assert_eq!((reply.status, upstream.seen().len()), (status, before), "{path}");
                error_of(&reply);
            }
        }
    }
    refused(&gateway.get(ADMIN, "/admin/v1/keys/%ff").await, 404, "not_found", None, "not UTF-8");
}

fn head(method: &str, path: &str, key: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{more}\r\n")
}

/// What comes back to raw bytes until the connection closes, or for five seconds.
async fn exchange(gateway: &Gateway, request: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut from, mut to) = tokio::net::TcpStream::connect(gateway.app.addr).await.unwrap().into_split();
    let mut answer = Vec::new();
    let talk = async {
        // The gateway may refuse, and close, before it has read everything.
        let (_, _) = tokio::join!(to.write_all(request), from.read_to_end(&mut answer));
    };
    tokio::time::timeout(Duration::from_secs(5), talk).await.expect("the connection closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer's head (in lower case) and its body.
fn split(answer: &str) -> (String, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn methods_that_are_not_allowed_are_told_with_those_that_are() {
    let (upstream, gateway, key) = content().await;
    let passed = "get,post,put,patch,delete";
    for (method, path, allow, row) in [
        ("PUT", "/v1/completions", "post", true),
        ("GET", "/v1/embeddings", "post", true),
        ("OPTIONS", "/v1/completions", "post", true),
        ("OPTIONS", "/v1/chat/completions", passed, true),
        ("HEAD", "/v1/chat/completions", passed, true),
        ("HEAD", "/v1/files", passed, true),
        ("OPTIONS", "/v1/files", passed, true),
        ("TRACE", "/v1/files/file-1", passed, true),
        ("BREW", "/v1/responses", passed, true),
        ("TRACE", "/v1/models/m", passed, true),
        ("POST", "/v1/models", "get,head", false),
        ("DELETE", "/v1/usage", "get,head", false),
        ("OPTIONS", "/health", "get,head", false),
        ("POST", "/metrics", "get,head", false),
        ("TRACE", "/docs", "get,head", false),
        ("PUT", "/admin/v1/keys", "get,head,post", false),
    ] {
        let before = gateway.rows().await.len();
        let key = if path.starts_with("/admin") { ADMIN } else { &key };
        let answer = exchange(&gateway, head(method, path, key, "").as_bytes()).await;
        let (head, body) = split(&answer);
        assert!(head.starts_with("http/1.1 405"), "{method} {path}: {answer}");
        assert!(head.contains(&format!("\r\nallow: {allow}\r\n")), "{method} {path}: {head}");
        assert!(head.contains("\r\nx-request-id: ") && head.contains("\r\nx-should-retry: false"), "{head}");
        if method != "HEAD" {
            assert_eq!(body["error"]["code"], "method_not_allowed", "{answer}");
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("{path} does not accept {method}; ")), "{message}");
        }
        let rows = gateway.wait_rows(before + usize::from(row)).await;
        assert_eq!(rows.len(), before + usize::from(row), "{method} {path}");
        assert!(!row || rows.last().unwrap()["error_code"] == "method_not_allowed");
    }
    assert!(upstream.seen().is_empty());
    for path in ["/v1/chat/completions", "/v1/models/unknown"] {
        let reply = gateway.get(&key, path).await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::OK, None), "{path}");
    }
}

#[tokio::test]
async fn a_head_request_has_the_head_of_a_get() {
    let (_, gateway, key) = content().await;
    let auth = format!("Bearer {key}");
    for path in ["/health", "/v1/models", "/v1/usage", "/openapi.json", "/docs"] {
        let headers = [("authorization", auth.as_str())];
        let got = gateway.request(Method::GET, path, &headers, "").await;
        let asked = gateway.request(Method::HEAD, path, &headers, "").await;
        assert_eq!((asked.status, asked.body.len()), (StatusCode::OK, 0), "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(asked.header(name), got.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn there_is_nothing_at_unknown_paths() {
    let (upstream, gateway, key) = content().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/chat/completions",
        "/chat/completions",
        "/admin/v1/nothing",
        "/admin",
        "/favicon.ico",
        "/.env",
        "/v1/chat/completions/",
        "/health/",
        "/openapi.json/x",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let reply = gateway.request(method, path, &[("x-api-key", &key)], "").await;
            refused(&reply, 404, "unknown_path", None, &format!("there is nothing at {path}; see /docs"));
        }
    }
    let long = format!("/{}", "x".repeat(8_000));
    let reply = gateway.get(&key, &long).await;
    refused(&reply, 404, "unknown_path", None, "there is nothing at /xxx");
    assert!(reply.text().len() < 400, "it is not told in full");
    let rows = gateway.wait_rows(3).await;
    assert!(rows.iter().all(|row| row["endpoint"] == "other" || row["endpoint"] == "chat/completions"), "{rows:#?}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn heads_that_are_no_http_close_the_connection_and_nothing_else() {
    let (upstream, gateway, key) = content().await;
    let body = r#"{"model":"up/m","messages":[]}"#;
    for head in [
        "GARBAGE",
        "GET /health HTTP/9.9\r\nhost: x",
        "GET /he alth HTTP/1.1\r\nhost: x",
        "GET /health HTTP/1.1\r\nhost: x\r\nbad header: 1",
        "GET /health HTTP/1.1\r\nhost: x\r\n folded: 1",
        "GET /health HTTP/1.1\r\nhost: x\r\nname\0: 1",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: +5",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0x5",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5, 5",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, gzip",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked",
        "POST /v1/chat/completions HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked",
    ] {
        let answer = exchange(&gateway, format!("{head}\r\nx-api-key: {key}\r\n\r\n{body}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 4").count(), 1, "what follows is not taken for a request: {answer:?}");
        let (head, body) = split(&answer);
        assert!(head.contains("\r\nconnection: close") && body["error"]["message"].is_string(), "in words: {answer}");
    }
    let junk = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n\0\0junk\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = exchange(&gateway, junk.as_bytes()).await;
    let statuses: Vec<_> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| &rest[..3])
        .filter(|status| status.parse::<u16>().is_ok())
        .collect();
    assert_eq!(statuses, ["200", "400"], "one request, then junk, then nothing: {answer}");
    assert!(upstream.seen().is_empty());
    assert!(gateway.rows().await.is_empty(), "none of it was a request");
}

#[tokio::test]
async fn a_length_beside_chunks_is_refused() {
    let (upstream, gateway, key) = content().await;
    let body = r#"{"model":"up/m","messages":[]}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let smuggled = format!("GET /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n");
    for both in
        ["content-length: 5\r\ntransfer-encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
    {
        for (path, kind) in [
            ("/v1/chat/completions", JSON),
            ("/v1/responses", JSON),
            ("/v1/realtime/calls?model=up/m", "application/sdp"),
        ] {
            let before = upstream.seen().len();
            let head = head("POST", path, &key, &format!("content-type: {kind}\r\n{both}"));
            let answer = exchange(&gateway, format!("{head}{chunked}{smuggled}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
            assert_eq!(split(&answer).1["error"]["code"], "invalid_transfer_encoding", "{answer}");
            assert_eq!(answer.matches("\r\nx-request-id: ").count(), 1, "the connection ends there: {answer}");
            assert_eq!(upstream.seen().len(), before);
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused_and_recorded() {
    let (upstream, gateway, key) = content().await;
    for broken in
        ["transfer-encoding: chunked\r\n\r\nzz\r\n", "transfer-encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n"]
    {
        let head = head("POST", "/v1/chat/completions", &key, "");
        let answer = exchange(&gateway, format!("{}{broken}", &head[..head.len() - 2]).as_bytes()).await;
        let (head, body) = split(&answer);
        assert!(head.starts_with("http/1.1 400"), "{answer}");
        assert_eq!(body["error"]["code"], "incomplete_body", "{answer}");
    }
    let rows = gateway.wait_rows(2).await;
    assert!(rows.iter().all(|row| row["error_code"] == "incomplete_body"), "{rows:#?}");
    assert!(upstream.seen().is_empty());
}

// From here on chance makes up what is wrong. The seed is fixed, so that a failure comes back.

/// A gateway before an upstream that is always content, and a runtime to drive it from plain code.
struct Fuzz {
    runtime: tokio::runtime::Runtime,
    gateway: Gateway,
    key: String,
}

impl Fuzz {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (_, gateway, key) = runtime.block_on(content());
        Self { runtime, gateway, key }
    }

    /// Runs `check` on so many made-up values.
    fn run<S: Strategy>(&self, cases: u32, strategy: &S, check: impl AsyncFn(&Gateway, &str, S::Value)) {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let outcome = runner.run(strategy, |value| {
            self.runtime.block_on(check(&self.gateway, &self.key, value));
            Ok(())
        });
        outcome.unwrap_or_else(|failed| panic!("{failed}"));
    }
}

/// Answered: well, or with an error of the caller's in OpenAI's shape.
#[track_caller]
fn answered(reply: &Reply) {
    assert!(!reply.status.is_server_error(), "{}: {}", reply.status, reply.text());
    if reply.status.is_client_error() {
        error_of(reply);
    }
}

/// The bodies that are mutated, with where they go.
const VALID: [(&str, &str); 4] = [
    (
        "/v1/chat/completions",
        r#"{"model":"up/m","messages":[{"role":"user","content":"h\u00e9 🎈"}],"stream":false,"stream_options":null,"max_tokens":7,"n":1,"user":"u","fallbacks":["up/b"],"tools":[{"type":"function","function":{"name":"f","parameters":{"a":[1.5e3,-0,true,null]}}}]}"#,
    ),
    ("/v1/completions", r#"{"model":"up/m","prompt":["a","b"],"max_tokens":1}"#),
    ("/v1/embeddings", r#"{"input":[[1,2],[3]],"model":"up/m","encoding_format":"base64"}"#),
    (
        "/v1/responses",
        r#"{"model":"up/m","input":[{"role":"user","content":"x"}],"previous_response_id":"resp_1","max_output_tokens":9}"#,
    ),
];

/// One change to a text: a byte replaced, put in, cut out or doubled, or the rest dropped.
fn mutated(text: &str, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, kind, byte) in changes {
        let at = place % (bytes.len() + 1);
        match kind % 6 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => bytes.splice(at..at, text.bytes().skip(at / 2).take(usize::from(*byte))).for_each(drop),
            // A structural byte, which gets further than a random one.
            _ => bytes.insert(at, b"{}[]\",:\\0-e"[usize::from(*byte) % 11]),
        }
    }
    bytes
}

#[test]
fn no_bytes_are_too_strange_for_a_body() {
    let fuzz = Fuzz::new();
    let kinds =
        prop::sample::select(vec![JSON, "", "multipart/form-data; boundary=b", "text/plain", "application/json;x"]);
    let paths = prop::sample::select(vec![
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/files",
        "/v1/audio/speech",
    ]);
    let bodies = prop::collection::vec(any::<u8>(), 0..200);
    fuzz.run(250, &(paths, kinds, bodies), async |gateway, key, (path, kind, body)| {
        answered(&post_as(gateway, key, path, kind, body).await);
    });
}

#[test]
fn no_change_to_a_body_gets_past_the_reader() {
    let fuzz = Fuzz::new();
    let changes = prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..4);
    fuzz.run(400, &(0..VALID.len(), changes), async |gateway, key, (which, changes)| {
        let (path, text) = VALID[which];
        let body = mutated(text, &changes);
        let sound = serde_json::from_slice::<serde_json::Map<String, Value>>(&body).is_ok();
        let reply = post_as(gateway, key, path, JSON, body).await;
        answered(&reply);
        assert!(sound || reply.status == StatusCode::BAD_REQUEST, "broken JSON passed: {}", reply.text());
    });
    for (path, text) in VALID {
        let reply = fuzz.runtime.block_on(post_as(&fuzz.gateway, &fuzz.key, path, JSON, text));
        assert_eq!(reply.status, StatusCode::OK, "unchanged it passes: {}", reply.text());
    }
}

#[test]
fn no_header_value_is_too_strange() {
    const NAMES: [&str; 15] = [
        "authorization",
        "x-api-key",
        "content-type",
        "content-encoding",
        "x-weir-tags",
        "x-weir-timeout-ms",
        "x-weir-timeout-first-byte-ms",
        "x-weir-fault",
        "x-weir-cache",
        "x-request-id",
        "traceparent",
        "accept",
        "expect",
        "connection",
        "openai-organization",
    ];
    let fuzz = Fuzz::new();
    let byte = prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8, Just(b'\t'), Just(b','), Just(b'='), Just(b';')];
    let header = (prop::sample::select(NAMES.to_vec()), prop::collection::vec(byte, 0..80));
    fuzz.run(250, &prop::collection::vec(header, 1..4), async |gateway, key, headers| {
        let mut raw = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\n").into_bytes();
        for (name, value) in &headers {
            raw.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let body = VALID[0].1;
        raw.extend(format!("connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).bytes());
        sound_exchange(gateway, &raw).await;
    });
}

#[test]
fn no_path_or_query_is_too_strange() {
    let fuzz = Fuzz::new();
    let start = prop::sample::select(vec![
        "/v1/",
        "/v1/models/",
        "/v1/files/",
        "/v1/usage?",
        "/admin/v1/keys/",
        "/admin/v1/keys?",
        "/v1/responses?model=",
        "/health",
        "/",
        "",
    ]);
    let byte = prop_oneof![
        0x21..0x7f_u8,
        0x80..=0xff_u8,
        Just(b'/'),
        Just(b'.'),
        Just(b'%'),
        Just(b'?'),
        Just(b'&'),
        Just(b'=')
    ];
    let rest =
        prop_oneof![prop::collection::vec(byte, 0..60), "(%[0-9a-f]{2}|[a-z/.?&=]){0,20}".prop_map(String::into_bytes)];
    let methods = prop::sample::select(vec!["GET", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "X"]);
    fuzz.run(400, &(methods, start, rest, any::<bool>()), async |gateway, key, (method, start, rest, admin)| {
        let key = if admin { ADMIN } else { key };
        let line =
            [method.as_bytes(), b" ", start.as_bytes(), &rest, b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "]
                .concat();
        let raw = [&line, key.as_bytes(), b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"].concat();
        sound_exchange(gateway, &raw).await;
    });
}

/// One answer, no 5xx, and an error object where it is an error of a request that was one.
async fn sound_exchange(gateway: &Gateway, raw: &[u8]) {
    let answer = exchange(gateway, raw).await;
    let shown = String::from_utf8_lossy(raw);
    assert!(answer.starts_with("HTTP/1.1 2") || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let without_body = head.contains("content-length: 0") || raw.starts_with(b"HEAD");
    if head.starts_with("HTTP/1.1 4") && !without_body {
        let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {shown:?}: {answer:?}"));
        assert_eq!(body["error"].as_object().map(serde_json::Map::len), Some(4), "{shown:?}: {answer:?}");
    }
}
