//! Active health checks: asked for in the configuration, made by a job, seen in where requests go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir::clock::Clock;

use crate::support::gateway::{Gateway, Setup};
use crate::support::upstream::{Script, Seen, Upstream};

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
/// 2026-11-18T11:06:40Z
const EPOCH: i64 = 1_795_000_000_000;

/// An upstream whose statuses are set while it runs: of conversations, and of all that is asked for with GET.
struct Moody {
    upstream: Upstream,
    chat: Arc<AtomicU16>,
    get: Arc<AtomicU16>,
}

impl Moody {
    async fn start() -> Self {
        let (chat, get) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
        let (of_chat, of_get) = (Arc::clone(&chat), Arc::clone(&get));
        let upstream = Upstream::start(move |seen| {
            let status = if seen.method == Method::GET { &of_get } else { &of_chat };
            Script::status(status.load(Ordering::SeqCst), ANSWER)
        });
        Self { upstream: upstream.await, chat, get }
    }

    fn becomes(&self, chat: u16, get: u16) {
        self.chat.store(chat, Ordering::SeqCst);
        self.get.store(get, Ordering::SeqCst);
    }

    fn checks(&self) -> Vec<Seen> {
        checks(&self.upstream)
    }

    /// Conversations that it saw.
    fn asked(&self) -> usize {
        self.upstream.seen().len() - self.checks().len()
    }
}

fn checks(upstream: &Upstream) -> Vec<Seen> {
    upstream.seen().into_iter().filter(|seen| seen.method == Method::GET).collect()
}

/// Providers `a`, which is checked, and `b`, and the route `m` to both.
fn two(a: &str, b: &str, health: &str) -> String {
    format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{a}\", api_key: s-a, health: {{ {health} }} }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{b}\", api_key: s-b }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}], retries: {{ attempts: 1 }} }}\n"
    )
}

struct Bench {
    gateway: Gateway,
    clock: Clock,
    key: String,
}

impl Bench {
    async fn new(yaml: &str) -> Self {
        Self::of(Setup::new(yaml)).await
    }

    async fn of(setup: Setup) -> Self {
        let clock = Clock::mock(EPOCH);
        let gateway = setup.clock(clock.clone()).start().await;
        let key = gateway.plain_key().await;
        Self { gateway, clock, key }
    }

    async fn ask(&self) -> StatusCode {
        self.gateway.post(&self.key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await.status
    }

    /// Who serves a request.
    async fn by(&self) -> String {
        let reply = self.gateway.post(&self.key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.header("x-weir-provider").unwrap().to_owned()
    }

    async fn provider(&self, id: &str) -> Value {
        let all = self.gateway.admin(Method::GET, "/admin/v1/providers", Value::Null).await.json();
        all["data"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap().clone()
    }

    /// Moves the clock in steps of a second until `what` holds of provider `a`.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            let shown = self.provider("a").await;
            if holds(&shown) {
                return shown;
            }
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not come about: {:#}", self.provider("a").await)
    }

    /// Moves the clock until so many more checks were made.
    async fn checked(&self, upstream: &Upstream, more: usize) {
        let wanted = checks(upstream).len() + more;
        self.until("more checks", |_| checks(upstream).len() >= wanted).await;
    }

    async fn metric(&self, line: &str) -> bool {
        self.gateway.get("", "/metrics").await.text().contains(line)
    }
}

#[tokio::test]
async fn a_provider_that_fails_its_checks_is_left_alone_without_a_request() {
    let (a, b) = (Moody::start().await, Moody::start().await);
    let health = "check: { interval: 10s, timeout: 2s, path: /up?deep=1, failures: 2, successes: 3 }";
    let bench = Bench::new(&two(&a.upstream.url(), &b.upstream.url(), health)).await;
    a.becomes(200, 500);
    bench.until("a failure", |a| a["check"]["failures_in_a_row"] == 1).await;
    assert_eq!(bench.by().await, "a", "one failure is not enough");
    let shown = bench.until("two failures", |a| a["check"]["unwell"] == true).await;
    assert_eq!(shown["check"]["failures_in_a_row"], 2);
    assert_eq!((&shown["check"]["path"], &shown["check"]["interval_ms"]), (&json!("/up"), &json!(10_000)));
    let last = &shown["check"]["last"];
    assert_eq!((&last["outcome"], &last["status"], &last["key"]), (&json!("failed"), &json!(500), &json!(1)));
    assert!(last["at"].as_str().unwrap().starts_with("2026-11-18T11:0"), "{last}");
    assert_eq!(shown["models"][0]["breaker"], "open");
    assert_eq!((bench.by().await, a.asked()), ("b".to_owned(), 1));
    let seen = &a.checks()[0];
    assert_eq!((seen.path.as_str(), &seen.headers["authorization"]), ("/up?deep=1", &"Bearer s-a".parse().unwrap()));
    // It stays so for as long as checks fail, and no request is let through as a probe.
    bench.checked(&a.upstream, 3).await;
    assert_eq!((bench.by().await, a.asked()), ("b".to_owned(), 1));

    a.becomes(200, 404);
    bench.until("two successes", |a| a["check"]["successes_in_a_row"] == 2).await;
    assert_eq!(bench.by().await, "b", "two successes are not enough");
    let well = bench.until("three successes", |a| a["check"]["unwell"] == false).await;
    assert_eq!((&well["models"][0]["breaker"], &well["check"]["last"]["outcome"]), (&json!("closed"), &json!("ok")));
    assert_eq!(bench.by().await, "a");
    assert!(bench.metric("weir_health_checks_total{outcome=\"failed\",provider=\"a\"}").await);
    assert!(bench.provider("b").await["check"].is_null());
    assert!(b.checks().is_empty(), "nobody is checked who is not to be");
}

#[tokio::test]
async fn a_check_that_is_not_answered_in_time_fails() {
    let up = Upstream::start(|seen| {
        let slow = if seen.method == Method::GET { Duration::from_secs(3600) } else { Duration::ZERO };
        Script::json(ANSWER).delayed(slow)
    })
    .await;
    let other = Moody::start().await;
    let health = "check: { timeout: 50ms, failures: 1 }";
    let bench = Bench::new(&two(&up.url(), &other.upstream.url(), health)).await;
    let shown = bench.until("a time-out", |a| a["check"]["unwell"] == true).await;
    assert_eq!(shown["check"]["last"]["outcome"], "timeout");
    assert_eq!(bench.by().await, "b");
    assert_eq!(checks(&up)[0].path, "/v1/models", "the list of models, unless another path is said");
}

#[tokio::test]
async fn who_is_well_again_is_asked_again_without_a_request_to_find_out() {
    let (a, b) = (Moody::start().await, Moody::start().await);
    let health = "failures: 2, open_for: 1h, max_open_for: 1h, check: { interval: 1s, failures: 100 }";
    let bench = Bench::new(&two(&a.upstream.url(), &b.upstream.url(), health)).await;
    a.becomes(503, 503);
    for _ in 0..2 {
        assert_eq!(bench.by().await, "b");
    }
    bench.checked(&a.upstream, 1).await;
    assert_eq!(bench.provider("a").await["models"][0]["breaker"], "open");
    a.becomes(200, 200);
    bench.until("a closed breaker", |a| a["models"][0]["breaker"] == "closed").await;
    assert_eq!((bench.by().await, a.asked()), ("a".to_owned(), 3));
}

#[tokio::test]
async fn a_check_does_not_vouch_for_what_it_never_saw_fail() {
    let (a, b) = (Moody::start().await, Moody::start().await);
    let health = "failures: 2, open_for: 1h, max_open_for: 1h, check: { interval: 1s }";
    let bench = Bench::new(&two(&a.upstream.url(), &b.upstream.url(), health)).await;
    a.becomes(500, 200);
    for _ in 0..2 {
        assert_eq!(bench.by().await, "b");
    }
    bench.checked(&a.upstream, 3).await;
    assert_eq!(
        bench.provider("a").await["models"][0]["breaker"],
        "open",
        "its list of models is there, its models fail"
    );
    assert_eq!((bench.by().await, a.asked()), ("b".to_owned(), 2));
}

#[tokio::test]
async fn keys_take_turns_and_a_refused_one_comes_back_by_itself() {
    let refused = Arc::new(std::sync::Mutex::new(true));
    let refuses = Arc::clone(&refused);
    let up = Upstream::start(move |seen| {
        let first = seen.headers["authorization"] == "Bearer s-1";
        if first && *refuses.lock().unwrap() { Script::status(401, "{}") } else { Script::json(ANSWER) }
    })
    .await;
    let yaml = format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{}\", keys: [s-1, s-2, s-3], default: true, \
         health: {{ check: {{ interval: 1s }} }} }}\n",
        up.url()
    );
    let bench = Bench::new(&yaml).await;
    let shown = bench.until("a refusal", |a| a["keys"][0]["state"] == "rejected").await;
    assert_eq!(shown["keys"][1]["state"], "ok");
    bench.checked(&up, 6).await;
    let by_key = |key: &str| checks(&up).iter().filter(|seen| seen.headers["authorization"] == key).count();
    assert!(by_key("Bearer s-1") > 1, "a refused key is tried again by checks");
    assert!(by_key("Bearer s-2") > 1 && by_key("Bearer s-3") > 1, "each key has its turn");
    assert_eq!(bench.ask().await, StatusCode::OK, "no request meets the refused one");
    *refused.lock().unwrap() = false;
    bench.until("a key that serves again", |a| a["keys"][0]["state"] == "ok").await;
    assert!(bench.metric("weir_health_checks_total{outcome=\"rejected\",provider=\"a\"}").await);
    assert!(bench.metric("weir_upstream_keys_rejected_total{provider=\"a\"} 1").await);
    assert_eq!(bench.gateway.rows().await.len(), 1, "checks cost nothing and leave no row");
}

#[tokio::test]
async fn a_list_that_needs_no_key_says_nothing_of_keys() {
    let (a, b) = (Moody::start().await, Moody::start().await);
    let bench = Bench::new(&two(&a.upstream.url(), &b.upstream.url(), "check: { interval: 1s }")).await;
    a.becomes(401, 200);
    assert_eq!(bench.by().await, "b");
    bench.checked(&a.upstream, 3).await;
    assert_eq!(bench.provider("a").await["keys"][0]["state"], "rejected");
    a.becomes(200, 403);
    bench.until("a denial", |a| a["check"]["last"]["outcome"] == "denied").await;
    assert_eq!(bench.provider("b").await["keys"][0]["state"], "ok");
}

#[tokio::test]
async fn checks_come_and_go_with_a_reload() {
    let (a, b) = (Moody::start().await, Moody::start().await);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weir.yaml");
    // Another provider's checks tell when the job has looked.
    let other = Moody::start().await;
    let third = format!(
        "  c: {{ kind: openai-compatible, base_url: \"{}\", api_key: s-c, health: {{ check: {{ interval: 1s }} }} }}\nmodels:",
        other.upstream.url()
    );
    let yaml = |health: &str| two(&a.upstream.url(), &b.upstream.url(), health).replacen("models:", &third, 1);
    std::fs::write(&path, yaml("check: { interval: 1h }")).unwrap();
    let bench = Bench::of(Setup::new("").file(path.clone())).await;
    let reload = async |health: &str| {
        std::fs::write(&path, yaml(health)).unwrap();
        let done = bench.gateway.admin(Method::POST, "/admin/v1/config/reload", Value::Null).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    };
    bench.clock.advance(Duration::from_secs(3600));
    bench.until("a first check", |a| a["check"]["last"].is_object()).await;
    let seen = a.checks().len();
    bench.clock.advance(Duration::from_secs(1800));
    bench.checked(&other.upstream, 2).await;
    assert_eq!(a.checks().len(), seen, "the next is an hour away");

    reload("check: { interval: 1s, failures: 1 }").await;
    assert!(bench.provider("a").await["check"]["last"].is_object(), "what was seen is carried over");
    bench.checked(&a.upstream, 2).await;
    a.becomes(200, 500);
    bench.until("a failure", |a| a["check"]["unwell"] == true).await;
    assert_eq!(bench.by().await, "b");

    reload("open_for: 1s").await;
    bench.clock.advance(Duration::from_secs(60));
    bench.checked(&other.upstream, 2).await;
    let seen = a.checks().len();
    bench.clock.advance(Duration::from_secs(60));
    bench.checked(&other.upstream, 2).await;
    assert_eq!(a.checks().len(), seen, "nobody is checked any more");
    assert_eq!(bench.by().await, "a", "and a request finds out, as without checks");
}
