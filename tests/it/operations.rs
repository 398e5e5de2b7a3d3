//! What an operator relies on: health, metrics, bounds on what comes in, an orderly end, logs.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

on_both!(a_stream_that_outlives_the_drain_is_interrupted);

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

fn streaming(model: &str) -> String {
    let mut body = chat(model);
    body["stream"] = json!(true);
    body.to_string()
}

async fn plain(gateway: &Gateway, path: &str) -> Reply {
    gateway.request(Method::GET, path, &[], "").await
}

/// Metric lines by name with labels.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no metric: {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|e| panic!("{line}: {e}")))
        })
        .collect()
}

#[tokio::test]
async fn health_needs_no_key_and_details_need_the_admins() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    assert_eq!(plain(&gateway, "/health").await.json(), json!({"status": "ok"}));
    assert_eq!(plain(&gateway, "/health/ready").await.json(), json!({"status": "ready"}));
    assert_eq!(plain(&gateway, "/health/details").await.status, StatusCode::UNAUTHORIZED);
    let details = gateway.get(ADMIN, "/health/details").await.json();
    assert_eq!((&details["status"], &details["database"]["status"]), (&json!("ok"), &json!("ok")));
    assert_eq!((&details["database"]["engine"], &details["draining"]), (&json!("sqlite"), &json!(false)));
    assert_eq!(details["providers"][0]["id"], "demo");
    for path in ["/health", "/health/ready", "/openapi.json", "/docs", "/nothing"] {
        assert!(plain(&gateway, path).await.header("x-request-id").is_some(), "{path}");
    }
}

#[tokio::test]
async fn every_metric_is_there_and_counts() {
    let answer = json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [], "usage": {
        "prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 200}, "completion_tokens_details": {"reasoning_tokens": 50}}});
    let upstream = Upstream::scripted(vec![Script::json(answer.to_string())]).await;
    let gateway = Setup::new(one_provider(&upstream.url())).start().await;
    let key = gateway.plain_key().await;
    gateway.post(&key, "/v1/chat/completions", chat("up/priced")).await;
    let stream = gateway.post(&key, "/v1/chat/completions", streaming("demo/chat")).await;
    assert!(stream.text().ends_with("data: [DONE]\n\n"));
    gateway.post("nobody", "/v1/chat/completions", chat("up/priced")).await;
    gateway.wait_rows(3).await;
    let reply = plain(&gateway, "/metrics").await;
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let seen = metrics(&reply.text());
    let value = |name: &str| *seen.get(name).unwrap_or_else(|| panic!("no {name} in {seen:#?}"));
    let up = "provider=\"up\"";
    let model = "model=\"up/priced\"";
    for (name, expected) in [
        (format!("weir_requests_total{{endpoint=\"chat/completions\",{model},{up},status=\"ok\"}}"), 1.0),
        (
            "weir_requests_total{endpoint=\"chat/completions\",model=\"none\",provider=\"none\",status=\"rejected\"}"
                .into(),
            1.0,
        ),
        (format!("weir_tokens_total{{kind=\"input\",{model},{up}}}"), 1000.0),
        (format!("weir_tokens_total{{kind=\"output\",{model},{up}}}"), 500.0),
        (format!("weir_tokens_total{{kind=\"cached\",{model},{up}}}"), 200.0),
        (format!("weir_tokens_total{{kind=\"reasoning\",{model},{up}}}"), 50.0),
        (format!("weir_cost_usd_total{{{model},{up}}}"), 0.00182),
        (format!("weir_upstream_attempts_total{{outcome=\"ok\",{up}}}"), 1.0),
        (format!("weir_request_duration_seconds_count{{endpoint=\"chat/completions\",{up}}}"), 1.0),
        ("weir_overhead_seconds_count{endpoint=\"chat/completions\"}".into(), 3.0),
        ("weir_time_to_first_token_seconds_count{model=\"demo/chat\",provider=\"demo\"}".into(), 1.0),
        ("weir_in_flight".into(), 0.0),
        ("weir_usage_journal_pending".into(), 0.0),
        ("weir_usage_dropped_total".into(), 0.0),
        ("weir_keys_cached".into(), 1.0),
    ] {
        assert!((value(&name) - expected).abs() < 1e-9, "{name}: {}", value(&name));
    }
    assert!(value("process_resident_memory_bytes") > 0.0);
}

#[tokio::test]
async fn labels_are_bounded_whatever_callers_make_up() {
    let upstream = Upstream::start(|seen| {
        let model = seen.json()["model"].as_str().unwrap_or_default().to_owned();
        Script::status(500, json!({"error": {"message": "no", "type": "x", "param": null, "code": model}}).to_string())
    })
    .await;
    let gateway = Setup::new(one_provider(&upstream.url())).start().await;
    let key = gateway.plain_key().await;
    for i in 0..1000 {
        let model = if i % 2 == 0 { format!("made-up-{i}") } else { format!("up/made-up-{i}") };
        gateway.post(&key, "/v1/chat/completions", chat(&model)).await;
        gateway.get(&key, &format!("/v1/made-up/{i}")).await;
        gateway.get(&key, &format!("/v1/files/made-up-{i}/content")).await;
    }
    let text = plain(&gateway, "/metrics").await.text();
    assert!(!text.contains("made-up"), "{text}");
    let series = text.lines().filter(|line| line.starts_with("weir_requests_total")).count();
    assert!(series <= 8, "{series}");
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own() {
    let gateway = Setup::new("server: { metrics_listen: \"127.0.0.1:0\" }\n").start().await;
    let there = gateway.app.metrics_addr.expect("metrics are apart");
    assert_ne!(there, gateway.app.addr);
    assert_eq!(plain(&gateway, "/metrics").await.status, StatusCode::NOT_FOUND, "and then only there");
    assert_eq!(plain(&gateway, "/health/ready").await.status, StatusCode::OK);
    let text = raw(there, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("weir_in_flight"), "{text}");
    let text = raw(there, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let text = raw(there, "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 404"), "{text}");
}

/// Sends bytes and reads to the end of the connection.
async fn raw(addr: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // A server that refuses early may close before all is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn large_requests_are_refused() {
    let gateway = Setup::new("server: { body_limit: 10KiB, upload_limit: 20KiB }\n").start().await;
    let key = gateway.plain_key().await;
    let mut body = chat("demo/chat");
    body["messages"][0]["content"] = json!("x".repeat(9 * 1024));
    assert_eq!(gateway.post(&key, "/v1/chat/completions", &body).await.status, StatusCode::OK);
    body["messages"][0]["content"] = json!("x".repeat(11 * 1024));
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"));
    assert!(reply.header("x-request-id").is_some());
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/octet-stream")];
    let reply = gateway.request(Method::POST, "/v1/files", &headers, "x".repeat(21 * 1024)).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"));
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    for filler in [format!("x-large: {}\r\n", "y".repeat(64 * 1024)), "x-many: 1\r\n".repeat(150)] {
        let text = raw(gateway.app.addr, &format!("GET /health HTTP/1.1\r\nhost: x\r\n{filler}\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }
}

/// A stream that says something and then hangs.
fn hanging() -> Script {
    Script::sse(&["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"]).then(Step::Hang)
}

#[tokio::test]
async fn beyond_max_in_flight_the_answer_is_overloaded() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let yaml = format!("server: {{ max_in_flight: 1 }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming("m")).await;
    open.frame().await.unwrap().unwrap();
    let reply = gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    assert!(reply.header("retry-after").is_some() && reply.header("x-request-id").is_some());
    assert!(plain(&gateway, "/metrics").await.text().contains("weir_shed_total{reason=\"in_flight\"} 1"));
    drop(open);
    eventually("a free place", async || {
        let reply = gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await;
        (reply.status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn beyond_max_body_memory_the_answer_is_overloaded() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let yaml = format!("server: {{ max_body_memory: 1KiB }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut body: Value = serde_json::from_str(&streaming("m")).unwrap();
    body["messages"][0]["content"] = json!("x".repeat(600));
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    open.frame().await.unwrap().unwrap();
    let held = metrics(&plain(&gateway, "/metrics").await.text())["weir_body_memory_bytes"];
    assert!((600.0..1024.0).contains(&held), "{held}");
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (Some("1"), Some("1000")));
    assert!(plain(&gateway, "/metrics").await.text().contains("weir_shed_total{reason=\"body_memory\"} 1"));
    assert_eq!(
        gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await.status,
        StatusCode::OK,
        "a small one"
    );
    drop(open);
    eventually("room again", async || {
        let text = plain(&gateway, "/metrics").await.text();
        (metrics(&text)["weir_body_memory_bytes"] < 1.0).then_some(())
    })
    .await;
    body["model"] = json!("demo/chat");
    assert_eq!(gateway.post(&key, "/v1/chat/completions", &body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_id_is_kept_or_replaced() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    let key = gateway.plain_key().await;
    let ask = async |id: &str| {
        let headers = [("x-api-key", key.as_str()), ("x-request-id", id)];
        let reply =
            gateway.request(Method::POST, "/v1/chat/completions", &headers, chat("demo/chat").to_string()).await;
        reply.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("my-own-id:42.7_x").await, "my-own-id:42.7_x");
    for bad in ["short", "has spaces in it", "bobby';drop table--", &"x".repeat(129)] {
        let id = ask(bad).await;
        assert!(id != bad && id.len() == 36, "{id}");
    }
    let first = gateway.wait_rows(5).await[0].clone();
    assert_eq!(first["id"], "my-own-id:42.7_x");
    // The same id again, at one moment even: every row is there.
    futures_util::future::join_all((0..20).map(|_| ask("my-own-id:42.7_x"))).await;
    gateway.wait_rows(25).await;
}

#[tokio::test]
async fn a_stream_finishes_while_the_gateway_drains() {
    let upstream = Upstream::scripted(vec![
        Script::sse(&["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"])
            .then(Step::Wait(Duration::from_millis(300)))
            .then(Step::Send(
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
                    .into(),
            )),
    ])
    .await;
    let db = Database::sqlite();
    let yaml = one_provider(&upstream.url());
    let gateway = Setup::new(&yaml).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming("m")).await;
    open.frame().await.unwrap().unwrap();
    let addr = gateway.app.addr;
    let (rest, ()) = tokio::join!(open.into_body().collect(), gateway.app.stop(std::future::pending()));
    let rest = rest.expect("the stream is whole").to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    assert!(TcpStream::connect(addr).await.is_err(), "nothing listens any more");
    let next = Setup::new(&yaml).database(&db.url).start().await;
    assert_eq!(next.only_row().await["status"], "ok", "the row was written last of all");
}

async fn a_stream_that_outlives_the_drain_is_interrupted(db: Database) {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let yaml = format!("server: {{ drain_timeout: 200ms }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(&yaml).database(&db.url).clock(Clock::system()).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming("m")).await;
    open.frame().await.unwrap().unwrap();
    let (rest, ()) = tokio::join!(open.into_body().collect(), gateway.app.stop(std::future::pending()));
    let rest = String::from_utf8(rest.expect("the stream ends in order").to_bytes().to_vec()).unwrap();
    assert!(rest.contains("\"code\":\"gateway_stopping\"") && !rest.contains("[DONE]"), "{rest}");
    let next = Setup::new(&yaml).database(&db.url).start().await;
    let row = next.only_row().await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("interrupted"), &json!("gateway_stopping")));
    assert_eq!(row["estimated"], true, "what was generated is counted");
}

#[tokio::test]
async fn a_second_signal_skips_the_wait() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let yaml = format!("server: {{ drain_timeout: 10m }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming("m")).await;
    open.frame().await.unwrap().unwrap();
    let shared = std::sync::Arc::clone(&gateway.app.gateway);
    let stop = gateway.app.stop(async {
        // The first signal came: new traffic should go elsewhere from now on.
        assert!(shared.readiness.is_draining());
    });
    let (rest, ()) = tokio::join!(open.into_body().collect(), stop);
    assert!(rest.unwrap().to_bytes().ends_with(b"}\n\n"));
}
