//! Limits: exact waits, honest headers, nothing kept by a request that is over.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Reply, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

mod learned;
mod queue;
mod scopes;
mod shared;

on_both!(limits_change_while_in_use);

const EPOCH: i64 = 1_795_000_000_000;

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

/// An answer that used so many tokens.
fn answer(input: u64, output: u64) -> Script {
    Script::json(
        json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})
        .to_string(),
    )
}

async fn gateway(upstream: &Upstream) -> (Gateway, Clock) {
    let clock = Clock::mock(EPOCH);
    (Setup::new(one_provider(&upstream.url())).clock(clock.clone()).start().await, clock)
}

async fn ask(gateway: &Gateway, key: &str) -> Reply {
    gateway.post(key, "/v1/chat/completions", chat("m")).await
}

fn number(reply: &Reply, name: &str) -> u64 {
    reply.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[track_caller]
fn limited(reply: &Reply, seconds: &str, ms: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (Some(seconds), Some(ms)));
}

async fn metric(gateway: &Gateway, line: &str) -> Option<f64> {
    let text = gateway.request(Method::GET, "/metrics", &[], "").await.text();
    text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn requests_per_minute_with_the_exact_wait() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let (gateway, clock) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"limits": {"rpm": 7}})).await;
    for left in (0..7).rev() {
        let reply = ask(&gateway, &key).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 7);
        assert_eq!(number(&reply, "x-ratelimit-remaining-requests"), left);
    }
    let reply = ask(&gateway, &key).await;
    // A seventh of a minute is 8571.43 ms: waits are rounded up, never down.
    limited(&reply, "9", "8572");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(reply.header("x-ratelimit-reset-requests"), Some("1m0s"));
    clock.advance(Duration::from_millis(8571));
    limited(&ask(&gateway, &key).await, "1", "1");
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    assert_eq!(upstream.seen().len(), 8, "what is refused reaches no upstream");
    let rows = gateway.wait_rows(10).await;
    let refused: Vec<_> = rows.iter().filter(|row| row["status"] == "rejected").collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|row| row["error_code"] == "rate_limit_exceeded" && row["http_status"] == 429));
    assert!(refused.iter().all(|row| row["key_id"].is_string()));
    assert_eq!(metric(&gateway, "weir_rate_limited_total{scope=\"requests\"}").await, Some(2.0));
}

#[tokio::test]
async fn errors_tell_what_is_left_too() {
    let upstream = Upstream::scripted(vec![Script::status(500, "{}")]).await;
    let (gateway, _) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"models": ["up/m"], "limits": {"rpm": 100, "tpm": 1000}})).await;
    let failing = gateway.post(&key, "/v1/chat/completions", chat("up/m")).await;
    let forbidden = gateway.post(&key, "/v1/chat/completions", chat("up/other")).await;
    let invalid = gateway.post(&key, "/v1/chat/completions", "{").await;
    for (i, reply) in [failing, forbidden, invalid].iter().enumerate() {
        assert!(reply.status.as_u16() >= 400);
        assert_eq!(number(reply, "x-ratelimit-remaining-requests"), 99 - i as u64, "{}", reply.text());
        assert_eq!(number(reply, "x-ratelimit-limit-tokens"), 1000);
        assert!(reply.header("x-ratelimit-reset-requests").is_some_and(|v| v.ends_with("ms") || v.ends_with('s')));
    }
}

#[tokio::test]
async fn tokens_are_estimated_then_corrected() {
    let upstream = Upstream::scripted(vec![answer(200, 100), answer(500, 500), answer(1, 1)]).await;
    let (gateway, clock) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"limits": {"tpm": 1000}})).await;
    let mut body = chat("m");
    body["max_tokens"] = json!(600);
    let held = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert!(number(&held, "x-ratelimit-remaining-tokens") < 400, "the estimate is held while the request runs");
    // 300 were used: 700 are left, so that 600 and a short prompt fit again.
    let second = gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    // It used 1000: the bucket is 300 in debt.
    let third = ask(&gateway, &key).await;
    assert_eq!(
        (third.status, third.header("x-ratelimit-remaining-tokens")),
        (StatusCode::TOO_MANY_REQUESTS, Some("0"))
    );
    assert!(third.text().contains("tokens"), "{}", third.text());
    let wait = number(&third, "retry-after-ms");
    assert!((18_000..19_500).contains(&wait), "{wait}");
    clock.advance(Duration::from_millis(wait - 1));
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::TOO_MANY_REQUESTS);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    assert_eq!(metric(&gateway, "weir_rate_limited_total{scope=\"tokens\"}").await, Some(2.0));
}

#[tokio::test]
async fn tokens_of_a_failure_are_given_back() {
    let upstream = Upstream::scripted(vec![Script::status(500, "{}")]).await;
    let (gateway, _) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"limits": {"tpm": 1000}})).await;
    let mut body = chat("m");
    body["max_tokens"] = json!(900);
    for _ in 0..5 {
        let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", reply.text());
    }
}

#[tokio::test]
async fn tokens_refused_do_not_cost_a_request() {
    let upstream = Upstream::scripted(vec![answer(1000, 0)]).await;
    let (gateway, _) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"limits": {"rpm": 10, "tpm": 1000}})).await;
    ask(&gateway, &key).await;
    let refused = ask(&gateway, &key).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 9);
}

#[tokio::test]
async fn passed_through_requests_use_the_same_tokens() {
    let used = json!({"id": "r", "object": "response", "model": "m", "status": "completed", "output": [],
        "usage": {"input_tokens": 900, "output_tokens": 600, "total_tokens": 1500}});
    let upstream = Upstream::scripted(vec![Script::json(used.to_string())]).await;
    let (gateway, clock) = gateway(&upstream).await;
    let (_, key) = gateway.key(json!({"limits": {"tpm": 1000}})).await;
    let body = json!({"model": "m", "input": "hi"});
    assert_eq!(gateway.post(&key, "/v1/responses", &body).await.status, StatusCode::OK);
    let refused = gateway.post(&key, "/v1/responses", &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    clock.advance(Duration::from_millis(number(&refused, "retry-after-ms")));
    assert_eq!(gateway.post(&key, "/v1/responses", &body).await.status, StatusCode::OK);
}

/// A stream that says something and then hangs.
fn hanging() -> Script {
    Script::sse(&["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"]).then(Step::Hang)
}

fn streaming() -> String {
    let mut body = chat("m");
    body["stream"] = json!(true);
    body.to_string()
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let upstream = Upstream::scripted(vec![hanging(), hanging(), answer(1, 1)]).await;
    let (gateway, _) = gateway(&upstream).await;
    let (id, key) = gateway.key(json!({"limits": {"concurrency": 2}})).await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut reply = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
        reply.frame().await.unwrap().unwrap();
        open.push(reply);
    }
    let refused = ask(&gateway, &key).await;
    limited(&refused, "1", "1000");
    assert_eq!(metric(&gateway, "weir_rate_limited_total{scope=\"concurrency\"}").await, Some(1.0));
    let shown = gateway.admin(Method::GET, &format!("/admin/v1/keys/{id}"), Value::Null).await.json();
    assert_eq!(shown["in_flight"], 2);
    drop(open);
    eventually("a free place", async || (ask(&gateway, &key).await.status == StatusCode::OK).then_some(())).await;
    let rows = gateway.wait_rows(4).await;
    assert_eq!(rows.iter().filter(|row| row["status"] == "cancelled" && row["http_status"] == 499).count(), 2);
    assert_eq!(metric(&gateway, "weir_in_flight").await, Some(0.0));
}

async fn limits_change_while_in_use(db: Database) {
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").database(&db.url).clock(clock.clone()).start().await;
    let (id, key) = gateway.key(json!({"limits": {"rpm": 2}})).await;
    let path = format!("/admin/v1/keys/{id}");
    let ask = async || gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await;
    assert_eq!(ask().await.status, StatusCode::OK);
    assert_eq!(ask().await.status, StatusCode::OK);
    assert_eq!(ask().await.status, StatusCode::TOO_MANY_REQUESTS);
    gateway.admin(Method::PATCH, &path, json!({"limits": {"rpm": 3}})).await;
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("x-ratelimit-remaining-requests")), (StatusCode::OK, Some("0")));
    assert_eq!(ask().await.status, StatusCode::TOO_MANY_REQUESTS, "what was used stays used");
    gateway.admin(Method::PATCH, &path, json!({"limits": {"rpm": null, "concurrency": 0}})).await;
    let reply = ask().await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("x-ratelimit-limit-requests"), None);
    gateway.admin(Method::PATCH, &path, json!({"limits": {"concurrency": null}})).await;
    for _ in 0..10 {
        assert_eq!(ask().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_providers_limits_hold_for_each_of_its_keys() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", api_key: one, keys: [two], default: true, limits: {{ rpm: 2 }} }}\n",
        upstream.url()
    );
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(yaml).clock(clock.clone()).start().await;
    let key = gateway.plain_key().await;
    for _ in 0..4 {
        assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    }
    let used: Vec<String> =
        upstream.seen().iter().map(|seen| seen.headers["authorization"].to_str().unwrap().to_owned()).collect();
    assert_eq!(used, ["Bearer one", "Bearer two", "Bearer one", "Bearer two"], "in turn");
    let reply = ask(&gateway, &key).await;
    limited(&reply, "30", "30000");
    assert!(reply.text().contains("provider up"), "{}", reply.text());
    assert_eq!(upstream.seen().len(), 4);
    let rows = gateway.wait_rows(5).await;
    let refused: Vec<_> = rows.iter().filter(|row| row["status"] == "rejected").collect();
    assert_eq!((refused.len(), &refused[0]["error_code"]), (1, &json!("rate_limit_exceeded")));
    assert_eq!(metric(&gateway, "weir_rate_limited_total{scope=\"upstream\"}").await, Some(1.0));
    clock.advance(Duration::from_secs(30));
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_exhausted_upstream_key_leaves_the_others() {
    let upstream = Upstream::scripted(vec![hanging(), hanging(), answer(1, 1)]).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", keys: [one, two], default: true, limits: {{ concurrency: 1 }} }}\n",
        upstream.url()
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut first = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
    first.frame().await.unwrap().unwrap();
    let mut second = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
    second.frame().await.unwrap().unwrap();
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::TOO_MANY_REQUESTS, "both keys are busy");
    drop(second);
    eventually("the second key being free", async || {
        (ask(&gateway, &key).await.status == StatusCode::OK).then_some(())
    })
    .await;
    let used: Vec<String> =
        upstream.seen().iter().map(|seen| seen.headers["authorization"].to_str().unwrap().to_owned()).collect();
    assert_eq!(used, ["Bearer one", "Bearer two", "Bearer two"], "the free one is taken whoever's turn it is");
}

#[tokio::test]
async fn an_upstream_at_its_limit_is_passed_over() {
    let (a, b) = (Upstream::scripted(vec![answer(1, 1)]).await, Upstream::scripted(vec![answer(1, 1)]).await);
    let yaml = format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{}\", limits: {{ tpm: 100 }} }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{}\" }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}] }}\n",
        a.url(),
        b.url()
    );
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    let mut body = chat("m");
    body["max_tokens"] = json!(80);
    for _ in 0..3 {
        assert_eq!(gateway.post(&key, "/v1/chat/completions", &body).await.status, StatusCode::OK);
    }
    // Each used two tokens of a, not the eighty that were reserved: all fit one after another.
    assert_eq!((a.seen().len(), b.seen().len()), (3, 0));
    body["max_tokens"] = json!(98);
    gateway.post(&key, "/v1/chat/completions", &body).await;
    assert_eq!((a.seen().len(), b.seen().len()), (3, 1));
}
