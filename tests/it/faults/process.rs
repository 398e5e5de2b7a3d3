//! Faults of the process and of its machine: clocks that are set, handlers that panic, a log that nobody reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;
use weir::upstream::{Answer, Call, Provider, SendError};

use crate::support::binary::Home;
use crate::support::gateway::{ADMIN, Gateway, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
/// 2026-11-18T11:06:40Z.
const EPOCH: i64 = 1_795_000_000_000;
const HOUR_MS: i64 = 3_600_000;

async fn ask(gateway: &Gateway, key: &str, model: &str) -> u16 {
    let reply = gateway.post(key, "/v1/chat/completions", json!({"model": model, "messages": []}));
    tokio::time::timeout(Duration::from_secs(20), reply).await.expect("an answer in time").status.as_u16()
}

/// F76: somebody sets the machine's clock an hour ahead, or two back. Limits and breakers go by another, and each row
/// has the time that it was by then.
#[tokio::test]
async fn f76_a_clock_that_is_set_changes_no_limit_and_no_breaker() {
    let clock = Clock::mock(EPOCH);
    let (good, bad) = (
        Upstream::scripted(vec![Script::json(ANSWER)]).await,
        Upstream::scripted(vec![Script::status(500, "{}")]).await,
    );
    let yaml = format!(
        "{}  bad: {{ kind: openai-compatible, base_url: \"{}\", api_key: k, health: {{ failures: 1, open_for: 10s }} }}\n\
         models: {{ two: {{ targets: [{{ provider: bad, model: m }}, {{ provider: up, model: m }}], retries: {{ attempts: 1 }} }} }}\n",
        one_provider(&good.url()).split("prices:").next().unwrap(),
        bad.url()
    );
    let gateway = Setup::new(yaml).clock(clock.clone()).start().await;
    let (_, limited) = gateway.key(json!({"limits": {"rpm": 2}})).await;
    let free = gateway.plain_key().await;
    assert_eq!([ask(&gateway, &limited, "up/m").await, ask(&gateway, &limited, "up/m").await], [200, 200]);
    assert_eq!(ask(&gateway, &free, "two").await, 200);
    for set in [HOUR_MS, -2 * HOUR_MS, HOUR_MS] {
        clock.set_ahead(set);
        assert_eq!(ask(&gateway, &limited, "up/m").await, 429, "{set}");
        assert_eq!(ask(&gateway, &free, "two").await, 200);
        assert_eq!(bad.seen().len(), 1, "it is left alone: {set}");
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&gateway, &limited, "up/m").await, 200);
    assert_eq!(ask(&gateway, &free, "two").await, 200);
    assert_eq!(bad.seen().len(), 2, "it is tried again");
    let mut hours: Vec<String> =
        gateway.wait_rows(11).await.iter().map(|row| row["at"].as_str().unwrap()[11..13].to_owned()).collect();
    hours.sort();
    hours.dedup();
    assert_eq!(hours, ["10", "11", "12"]);
}

/// A provider that is a defect.
#[derive(Debug)]
struct Panics;

impl Provider for Panics {
    fn send(&self, _: Call) -> BoxFuture<'_, Result<Answer, SendError>> {
        async { panic!("as the test wants it: sk-in-a-panic") }.boxed()
    }
}

/// F79: a handler that panics is one request's failure: it has a row, its place is free again, and others are served.
#[tokio::test]
async fn f79_a_panic_is_one_request_s() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let gateway = Setup::new(one_provider(&upstream.url())).start().await;
    let (_, key) = gateway.key(json!({"limits": {"concurrency": 1}})).await;
    let dispatcher = &gateway.app.gateway.dispatcher;
    let whole = dispatcher.senders.load_full();
    let broken: HashMap<Arc<str>, Arc<dyn Provider>> =
        whole.keys().map(|name| (Arc::clone(name), Arc::new(Panics) as Arc<dyn Provider>)).collect();
    dispatcher.senders.store(Arc::new(broken));
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let reply = gateway.post(&key, path, json!({"model": "up/m", "max_tokens": 1, "messages": []})).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", reply.text());
        assert!(!reply.text().contains("sk-in-a-panic"), "{}", reply.text());
    }
    dispatcher.senders.store(whole);
    assert_eq!(ask(&gateway, &key, "up/m").await, 200, "its place is free");
    let rows = gateway.wait_rows(3).await;
    let failed: Vec<&Value> = rows.iter().filter(|row| row["http_status"] == 500).collect();
    assert_eq!(failed.len(), 2, "{rows:#?}");
    assert!(failed.iter().all(|row| row["error_code"] == "internal_error"), "{failed:#?}");
    let metrics = gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_in_flight 0"), "{metrics}");
}

/// F82: a log that goes into a pipe which nobody reads. Lines are lost, and counted; requests are not.
#[tokio::test]
async fn f82_a_log_that_nobody_reads_holds_nothing_up() {
    let home = Home::new().env("WEIR_ADMIN_KEY", ADMIN).env("RUST_LOG", "trace").env("PATH", "/usr/bin:/bin");
    home.file("weir.yaml", "server: { listen: '127.0.0.1:0' }\n");
    let mut gateway = home.serve_by("mkfifo log && exec 2<>log && exec", std::process::Stdio::null()).await;
    let lost = async || {
        let metrics = gateway.request(Method::GET, "/metrics", &[], "");
        let metrics = tokio::time::timeout(Duration::from_secs(20), metrics).await.expect("it answers").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("weir_log_lines_dropped_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("the metric is there")
    };
    // Each writes some kilobytes; what waits to be written is bounded.
    let mut requests = 0;
    while lost().await == 0 {
        requests += 1;
        assert!(requests < 20_000, "all of it is taken");
    }
    gateway.signal("TERM");
    assert_eq!(gateway.end().await, 0, "the end is not held up either");
}

#[tokio::test]
async fn f81_threads_that_are_held_are_seen() {
    let gateway = Setup::new("").start().await;
    let late = async || {
        let text = gateway.get("", "/metrics").await.text();
        let at = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        (at("weir_runtime_delay_seconds_sum ").unwrap(), at("weir_runtime_delay_seconds_count ").unwrap())
    };
    let (before, _) = late().await;
    // The test's thread is the gateway's: this is the fault, not a wait.
    std::thread::sleep(Duration::from_millis(600));
    let after = eventually("a late timer", async || Some(late().await).filter(|(sum, _)| sum - before >= 0.3)).await;
    assert!(after.1 >= 1.0, "{after:?}");
}
