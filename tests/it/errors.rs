//! Upstreams that fail, and what is made of it: retries, fallbacks, the client's answer, the row.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Reply, Setup, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
/// A port on which nothing listens: the discard port of loopback.
const NOBODY: &str = "http://127.0.0.1:9/v1";

async fn ok() -> Upstream {
    Upstream::scripted(vec![Script::json(ANSWER)]).await
}

/// Providers `a`, `b`, `c` at these addresses, and the model `m` with these settings.
fn routed(urls: &[&str], settings: &str, model: &str) -> String {
    let mut yaml = "providers:\n".to_owned();
    for (name, url) in ["a", "b", "c"].iter().zip(urls) {
        yaml +=
            &format!("  {name}: {{ kind: openai-compatible, base_url: \"{url}\", api_key: s-{name}, {settings} }}\n");
    }
    yaml + "models:\n" + model
}

const A_THEN_B: &str = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: y }], retries: { attempts: 2, backoff: 1ms } }\n";

async fn chat(gateway: &Gateway, model: &str) -> Reply {
    let key = gateway.plain_key().await;
    gateway.post(&key, "/v1/chat/completions", json!({"model": model, "messages": []})).await
}

/// `provider:outcome` of each attempt.
fn attempts(row: &Value) -> Vec<String> {
    let list = row["attempts"].as_array().unwrap().iter();
    list.map(|a| format!("{}:{}", a["provider"].as_str().unwrap(), a["outcome"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_refused_connection_leads_to_the_next_target() {
    let up = ok().await;
    let gateway = Setup::new(routed(&[NOBODY, &up.url()], "", A_THEN_B)).start().await;
    let reply = chat(&gateway, "m").await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, ANSWER));
    assert_eq!((reply.header("x-weir-provider"), reply.header("x-weir-model")), (Some("b"), Some("y")));
    assert_eq!(reply.header("x-weir-attempts"), Some("2"), "who does not listen is not asked twice");
    assert_eq!(up.only().json()["model"], "y");
    let row = gateway.only_row().await;
    assert_eq!(attempts(&row), ["a:upstream_error", "b:ok"]);
    assert_eq!((&row["provider"], &row["model"], &row["status"]), (&json!("b"), &json!("m"), &json!("ok")));
}

#[tokio::test]
async fn a_server_error_is_retried_at_the_same_target() {
    for status in [500, 502, 503, 529] {
        let up = Upstream::scripted(vec![Script::status(status, "{}"), Script::json(ANSWER)]).await;
        let gateway = Setup::new(routed(&[&up.url(), NOBODY], "", A_THEN_B)).start().await;
        assert_eq!(chat(&gateway, "m").await.status, StatusCode::OK, "{status}");
        assert_eq!(up.seen().len(), 2);
        assert_eq!(attempts(&gateway.only_row().await), ["a:upstream_error", "a:ok"], "{status}");
    }
}

#[tokio::test]
async fn fallbacks_of_the_route_and_of_the_body_come_after_its_targets() {
    let (bad, good) = (Upstream::scripted(vec![Script::status(500, "{}")]).await, ok().await);
    let model = "  m: { targets: [{ provider: a, model: x }], fallbacks: [spare], retries: { attempts: 1, backoff: 1ms } }\n  spare: b/y\n";
    let gateway = Setup::new(routed(&[&bad.url(), &good.url()], "", model)).start().await;
    assert_eq!(chat(&gateway, "m").await.header("x-weir-provider"), Some("b"));
    for extension in ["models", "fallbacks"] {
        let key = gateway.plain_key().await;
        let body = json!({"model": "a/x", extension: ["b/z"], "messages": []});
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        assert_eq!((reply.status, reply.header("x-weir-model")), (StatusCode::OK, Some("z")), "{extension}");
        let sent = good.seen().pop().unwrap();
        assert_eq!(sent.body, r#"{"model":"z","messages":[]}"#, "{extension} does not go upstream");
    }
}

#[tokio::test]
async fn an_error_in_the_first_event_falls_back_too() {
    let bad =
        Upstream::scripted(vec![Script::sse(&["data: {\"error\":{\"message\":\"full\",\"code\":503}}\n\n"])]).await;
    let good = Upstream::scripted(vec![Script::sse(&[
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
        "data: [DONE]\n\n",
    ])])
    .await;
    let gateway = Setup::new(routed(&[&bad.url(), &good.url()], "", A_THEN_B)).start().await;
    let key = gateway.plain_key().await;
    let body = json!({"model": "m", "messages": [], "stream": true});
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    assert_eq!(reply.text(), "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n");
    assert_eq!(attempts(&gateway.only_row().await), ["a:503", "a:503", "b:ok"]);
}

#[tokio::test]
async fn nothing_is_retried_after_the_first_byte() {
    let cut = Script::sse(&["data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n"])
        .then(Step::Wait(Duration::from_millis(5)))
        .then(Step::Cut);
    let (bad, good) = (Upstream::scripted(vec![cut]).await, ok().await);
    let gateway = Setup::new(routed(&[&bad.url(), &good.url()], "", A_THEN_B)).start().await;
    let key = gateway.plain_key().await;
    let body = json!({"model": "m", "messages": [], "stream": true});
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    assert!(reply.text().contains("upstream_error"), "{}", reply.text());
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_429_passes_with_its_wait_when_nothing_else_answers() {
    let error = r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    for (name, value, after, ms) in [
        ("retry-after", "7", "7", "7000"),
        ("retry-after-ms", "1500", "2", "1500"),
        ("retry-after", "1e9", "3600", "3600000"),
    ] {
        let up = Upstream::scripted(vec![Script::status(429, error).header(name, value)]).await;
        let gateway = Gateway::before(&up.url()).await;
        let reply = chat(&gateway, "up/m").await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::TOO_MANY_REQUESTS, error));
        assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (Some(after), Some(ms)));
        let row = gateway.only_row().await;
        assert_eq!((&row["status"], &row["http_status"]), (&json!("upstream_error"), &json!(429)));
        assert_eq!(row["error_code"], "rate_limit_exceeded");
    }
}

#[tokio::test]
async fn nonsense_in_retry_after_is_dropped() {
    for value in ["soon", "-5", "NaN", "inf", ""] {
        let up = Upstream::scripted(vec![Script::status(429, "{}").header("retry-after", value)]).await;
        let reply = chat(&Gateway::before(&up.url()).await, "up/m").await;
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None), "{value:?}");
    }
}

#[tokio::test]
async fn refused_credentials_are_the_gateways_problem() {
    for status in [401, 403] {
        let text = r#"{"error":{"message":"Incorrect API key: upstream-secret","type":"t","param":null,"code":"invalid_api_key"}}"#;
        let up = Upstream::scripted(vec![Script::status(status, text)]).await;
        let gateway = Gateway::before(&up.url()).await;
        for path in ["/v1/chat/completions", "/v1/responses"] {
            let key = gateway.plain_key().await;
            let reply = gateway.post(&key, path, json!({"model": "up/m", "messages": [], "input": ""})).await;
            assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, "upstream_credentials_rejected".into()));
            assert!(!reply.text().contains("secret") && !reply.text().contains("Incorrect"), "{}", reply.text());
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        }
        for row in gateway.wait_rows(2).await {
            assert!(!row.to_string().contains("upstream-secret"), "{row}");
        }
    }
}

#[tokio::test]
async fn the_upstreams_own_refusals_keep_status_message_and_code() {
    for status in [400, 404, 413, 415, 422, 451] {
        let text = format!(
            r#"{{"error":{{"message":"no such thing","type":"odd_type","param":"model","code":"odd_{status}","extra":1.0}}}}"#
        );
        let up = Upstream::scripted(vec![Script::status(status, text.clone())]).await;
        let gateway = Setup::new(routed(&[&up.url(), NOBODY], "", A_THEN_B)).start().await;
        let reply = chat(&gateway, "m").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (status, text), "byte for byte");
        assert_eq!(up.seen().len(), 1, "{status} would fail anywhere");
        let row = gateway.only_row().await;
        assert_eq!((&row["status"], &row["http_status"]), (&json!("client_error"), &json!(status)));
        assert_eq!(row["error_code"], format!("odd_{status}"));
    }
}

#[tokio::test]
async fn errors_in_foreign_shapes_are_put_into_openais() {
    let html = "<html><body>502 Bad Gateway <b>nginx</b> at 10.0.0.7</body></html>";
    for (status, content_type, body, message) in [
        (502, "text/html", html, None),
        (400, "application/json", html, None),
        (500, "text/plain", "Traceback (most recent call last): secret.py", None),
        (503, "application/json", "", None),
        (400, "application/json", r#"{"detail":"field required"}"#, Some("field required")),
        (
            422,
            "application/json",
            r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"missing"}]}"#,
            Some("field required"),
        ),
        (400, "application/json", r#"{"object":"error","message":"too long","code":40303}"#, Some("too long")),
        (400, "application/json", r#"{"error":"plain words"}"#, Some("plain words")),
        (400, "application/json", r#"{"error":{"message":"half"}}"#, Some("half")),
    ] {
        let up = Upstream::scripted(vec![Script::new(status, content_type, vec![Step::send(body)])]).await;
        let gateway = Gateway::before(&up.url()).await;
        let reply = chat(&gateway, "up/m").await;
        assert_eq!(reply.status.as_u16(), status, "{body}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let error = reply.json()["error"].clone();
        assert_eq!(error.as_object().unwrap().len(), 4, "{error}");
        let text = error["message"].as_str().unwrap();
        assert!(!text.is_empty() && !text.contains('<') && !text.contains("secret.py"), "{text}");
        assert!(message.is_none_or(|message| text.contains(message)), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_a_bad_gateway() {
    let cut = Script::new(
        200,
        "application/json",
        vec![Step::send("{\"id\":"), Step::Wait(Duration::from_millis(5)), Step::Cut],
    );
    for (script, code) in [
        (Script::new(200, "text/html", vec![Step::send("<html>hi</html>")]), "upstream_invalid_response"),
        (Script::json(""), "upstream_invalid_response"),
        (Script::json("{\"id\":1"), "upstream_invalid_response"),
        (Script::json("{\"id\":1}").header("content-encoding", "gzip"), "upstream_error"),
        (Script::json("{\"id\":1}").header("content-encoding", "rot13"), "upstream_invalid_response"),
        (cut, "upstream_error"),
    ] {
        let up = Upstream::scripted(vec![script]).await;
        let gateway = Gateway::before(&up.url()).await;
        let reply = chat(&gateway, "up/m").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, code.to_owned()), "{}", reply.text());
        assert!(!reply.text().contains("html"), "{}", reply.text());
        assert_eq!(gateway.only_row().await["status"], "upstream_error");
    }
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    let up = Upstream::scripted(vec![Script::json(r#"{"error":{"message":"no credit","code":402}}"#)]).await;
    let reply = chat(&Gateway::before(&up.url()).await, "up/m").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::PAYMENT_REQUIRED, "402".into()));
    assert_eq!(reply.json()["error"]["message"], "no credit");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = ok().await;
    for status in [301, 302, 307, 308] {
        let up = Upstream::scripted(vec![Script::status(status, "").header("location", &elsewhere.url())]).await;
        let gateway = Gateway::before(&up.url()).await;
        let reply = chat(&gateway, "up/m").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_GATEWAY, "upstream_error".into()));
        assert_eq!(reply.header("location"), None);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn no_answer_in_time_is_a_504_and_leads_to_the_next_target() {
    let slow = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_secs(20))]).await;
    let settings = "timeouts: { first_byte: 100ms }";
    let gateway = Setup::new(routed(&[&slow.url(), NOBODY], settings, "  m: a/x\n")).start().await;
    let reply = chat(&gateway, "m").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout".into()));
    let row = gateway.only_row().await;
    assert_eq!((&row["status"], &row["http_status"]), (&json!("timeout"), &json!(504)));
    assert_eq!(attempts(&row), ["a:upstream_timeout"]);
    let good = ok().await;
    let gateway = Setup::new(routed(&[&slow.url(), &good.url()], settings, A_THEN_B)).start().await;
    assert_eq!(chat(&gateway, "m").await.status, StatusCode::OK);
    assert_eq!(
        attempts(&gateway.only_row().await),
        ["a:upstream_timeout", "b:ok"],
        "a timeout is not retried in place"
    );
}

#[tokio::test]
async fn the_client_may_ask_for_less_time() {
    let slow = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_secs(20))]).await;
    let good = ok().await;
    let gateway = Setup::new(routed(&[&slow.url(), &good.url()], "", A_THEN_B)).start().await;
    let auth = format!("Bearer {}", gateway.plain_key().await);
    let ask = async |timeout: &str| {
        let headers =
            [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-timeout-ms", timeout)];
        gateway.request(Method::POST, "/v1/chat/completions", &headers, r#"{"model":"m","messages":[]}"#).await
    };
    let reply = ask("150").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout".into()));
    assert_eq!(attempts(&gateway.only_row().await), ["a:upstream_timeout"]);
    assert!(good.seen().is_empty(), "no time is left for another");
    for nonsense in ["0", "-1", "1.5", "soon", ""] {
        let reply = ask(nonsense).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "invalid_header".into()), "{nonsense:?}");
        assert_eq!(reply.json()["error"]["param"], "x-weir-timeout-ms");
    }
}

#[tokio::test]
async fn retries_stop_at_the_deadline() {
    let up = Upstream::scripted(vec![Script::status(503, "{}").header("retry-after", "5")]).await;
    let model = "  m: { targets: [{ provider: a, model: x }], retries: { attempts: 10, backoff: 1ms } }\n";
    let yaml = routed(&[&up.url()], "", model) + "server: { request_timeout: 1s }\n";
    let gateway = Setup::new(yaml).start().await;
    let reply = chat(&gateway, "m").await;
    assert_eq!((reply.status, up.seen().len()), (StatusCode::SERVICE_UNAVAILABLE, 1), "five seconds are not left");
    assert_eq!(reply.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn when_all_fail_the_last_failure_is_told() {
    let bad = Upstream::scripted(vec![Script::status(500, r#"{"error":{"message":"b is down"}}"#)]).await;
    let gateway = Setup::new(routed(&[NOBODY, &bad.url()], "", A_THEN_B)).start().await;
    let reply = chat(&gateway, "m").await;
    assert_eq!((reply.status, reply.header("x-should-retry")), (StatusCode::INTERNAL_SERVER_ERROR, Some("false")));
    assert_eq!(reply.json()["error"]["message"], "b is down");
    let row = gateway.only_row().await;
    assert_eq!((&row["status"], &row["cost_usd"]), (&json!("upstream_error"), &json!("0.000000000")));
    assert_eq!(attempts(&row), ["a:upstream_error", "b:upstream_error", "b:upstream_error"]);
}

fn strategy(name: &str, targets: &str) -> String {
    format!("  m: {{ strategy: {name}, targets: [{targets}] }}\n")
}

/// Which provider serves each of `count` requests in a row.
async fn served_by(gateway: &Gateway, count: usize) -> Vec<String> {
    let key = gateway.plain_key().await;
    let mut by = Vec::new();
    for _ in 0..count {
        let reply = gateway.post(&key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        by.push(reply.header("x-weir-provider").unwrap().to_owned());
    }
    by
}

const BOTH: &str = "{ provider: a, model: x }, { provider: b, model: y }";

#[tokio::test]
async fn strategies_choose_as_they_are_named() {
    let (a, b) = (ok().await, ok().await);
    let start = async |name: &str, targets: &str| {
        Setup::new(routed(&[&a.url(), &b.url()], "", &strategy(name, targets))).start().await
    };
    assert_eq!(served_by(&start("priority", BOTH).await, 4).await, ["a", "a", "a", "a"]);
    assert_eq!(served_by(&start("round_robin", BOTH).await, 4).await, ["a", "b", "a", "b"]);
    let weighted = start("weighted", "{ provider: a, model: x, weight: 4 }, { provider: b, model: y }").await;
    let count = served_by(&weighted, 200).await.iter().filter(|by| *by == "a").count();
    assert!((125..195).contains(&count), "{count} of 200 with a share of 4 in 5");
    let yaml = routed(&[&a.url(), &b.url()], "", &strategy("cost", BOTH))
        + "prices:\n  a/x: { input: \"2\", output: \"2\" }\n  b/y: { input: \"1\", output: \"1\" }\n";
    assert_eq!(served_by(&Setup::new(yaml).start().await, 3).await, ["b", "b", "b"]);
}

#[tokio::test]
async fn the_fastest_and_the_least_busy_are_preferred() {
    let slow = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_millis(80))]).await;
    let fast = ok().await;
    let latency = Setup::new(routed(&[&slow.url(), &fast.url()], "", &strategy("latency", BOTH))).start().await;
    assert_eq!(served_by(&latency, 5).await, ["a", "b", "b", "b", "b"], "each is tried once");
    let hanging = Upstream::scripted(vec![
        Script::sse(&["data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n"]).then(Step::Hang),
    ])
    .await;
    let busy = Setup::new(routed(&[&hanging.url(), &fast.url()], "", &strategy("least_busy", BOTH))).start().await;
    let auth = format!("Bearer {}", busy.plain_key().await);
    let headers = [("authorization", auth.as_str())];
    let open =
        busy.send(Method::POST, "/v1/chat/completions", &headers, r#"{"model":"m","messages":[],"stream":true}"#).await;
    assert_eq!(open.headers()["x-weir-provider"], "a");
    assert_eq!(served_by(&busy, 3).await, ["b", "b", "b"], "a is still at it");
}

#[tokio::test]
async fn an_operation_the_provider_does_not_serve_is_named() {
    let up = ok().await;
    let yaml = one_provider(&up.url()).replace("api_key:", "operations: [embeddings], api_key:");
    let gateway = Setup::new(yaml).start().await;
    let reply = chat(&gateway, "up/m").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unsupported_operation".into()));
    assert!(up.seen().is_empty());
}
