//! Where requests go: strategies, health, retries, and what is told of it.

mod hedge;
mod patience;
mod withheld;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Step, Upstream};

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
/// 2026-11-18T11:06:40Z, a Wednesday.
const EPOCH: i64 = 1_795_000_000_000;
/// A port on which nothing listens: the discard port of loopback.
const NOBODY: &str = "http://127.0.0.1:9/v1";

async fn ok() -> Upstream {
    Upstream::scripted(vec![Script::json(ANSWER)]).await
}

async fn failing(status: u16) -> Upstream {
    Upstream::scripted(vec![Script::status(status, r#"{"error":{"message":"no"}}"#)]).await
}

/// Providers `a`, `b`, `c` at these addresses with these settings, and these models.
fn routed(urls: &[&str], settings: &str, models: &str) -> String {
    let mut yaml = "providers:\n".to_owned();
    for (name, url) in ["a", "b", "c"].iter().zip(urls) {
        yaml +=
            &format!("  {name}: {{ kind: openai-compatible, base_url: \"{url}\", api_key: s-{name}, {settings} }}\n");
    }
    format!("{yaml}models:\n{models}")
}

/// `provider outcome` of each try.
fn attempts(row: &Value) -> Vec<String> {
    let attempts = row["attempts"].as_array().unwrap();
    attempts.iter().map(|a| format!("{} {}", a["provider"].as_str().unwrap(), a["outcome"].as_str().unwrap())).collect()
}

const ABC: &str =
    "targets: [{ id: a, provider: a, model: x }, { id: b, provider: b, model: x }, { id: c, provider: c, model: x }]";

struct Bench {
    gateway: Gateway,
    clock: Clock,
    key: String,
}

impl Bench {
    async fn new(yaml: String) -> Self {
        let clock = Clock::mock(EPOCH);
        let gateway = Setup::new(yaml).clock(clock.clone()).start().await;
        let key = gateway.plain_key().await;
        Self { gateway, clock, key }
    }

    async fn ask(&self, body: Value, headers: &[(&str, &str)]) -> Reply {
        let auth = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", auth.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        self.gateway.request(Method::POST, "/v1/chat/completions", &all, body.to_string()).await
    }

    /// Who serves a plain request for `m`.
    async fn by(&self) -> String {
        self.by_with(json!({}), &[]).await
    }

    async fn by_with(&self, more: Value, headers: &[(&str, &str)]) -> String {
        let mut body = json!({"model": "m", "messages": []});
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let reply = self.ask(body, headers).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.header("x-weir-provider").unwrap().to_owned()
    }

    async fn explain(&self, body: Value) -> Value {
        let reply = self.gateway.admin(Method::POST, "/admin/v1/routes/explain", body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }

    async fn provider(&self, id: &str) -> Value {
        let all = self.gateway.admin(Method::GET, "/admin/v1/providers", Value::Null).await.json();
        all["data"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap().clone()
    }
}

#[tokio::test]
async fn a_target_that_fails_is_left_alone_and_tried_again() {
    let (bad, good) = (failing(500).await, ok().await);
    let settings = "health: { failures: 3, open_for: 10s, max_open_for: 15s }";
    let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
    let bench = Bench::new(routed(&[&bad.url(), &good.url()], settings, models)).await;
    for _ in 0..3 {
        assert_eq!(bench.by().await, "b");
    }
    assert_eq!(bad.seen().len(), 3);
    assert_eq!(bench.by().await, "b");
    assert_eq!(bad.seen().len(), 3, "it is left alone");
    let shown = bench.provider("a").await;
    assert_eq!((&shown["models"][0]["breaker"], &shown["models"][0]["open_for_ms"]), (&json!("open"), &json!(10_000)));
    let metrics = bench.gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_breaker_state{model=\"x\",provider=\"a\"} 1"), "{metrics}");
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.by().await, "b");
    assert_eq!(bad.seen().len(), 4, "one request tries it");
    bench.clock.advance(Duration::from_secs(14));
    assert_eq!(bench.by().await, "b");
    assert_eq!(bad.seen().len(), 4, "and it is left alone for longer, up to the bound");
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.by().await, "b");
    assert_eq!(bad.seen().len(), 5);
}

#[tokio::test]
async fn a_target_that_is_well_again_is_asked_again() {
    let up =
        Upstream::scripted((0..3).map(|_| Script::status(503, "{}")).chain([Script::json(ANSWER)]).collect()).await;
    let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
    let bench =
        Bench::new(routed(&[&up.url(), &ok().await.url()], "health: { failures: 3, open_for: 1s }", models)).await;
    for _ in 0..4 {
        assert_eq!(bench.by().await, "b");
    }
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!((bench.by().await, bench.by().await), ("a".to_owned(), "a".to_owned()));
    assert_eq!(bench.provider("a").await["models"][0]["breaker"], "closed");
}

#[tokio::test]
async fn a_share_of_failures_is_enough() {
    // Every second request fails: never two in a row.
    let scripts =
        |n: usize| (0..n).map(|n| if n % 2 == 0 { Script::status(500, "{}") } else { Script::json(ANSWER) }).collect();
    for (settings, asked) in [
        ("health: { failures: 0, success_percent: 60, min_requests: 6, window: 1m, open_for: 1m }", 7),
        ("health: { failures: 0, success_percent: 40, min_requests: 6, window: 1m }", 12),
        ("health: { failures: 0, success_percent: 60, min_requests: 6, window: 2s }", 12),
    ] {
        let up = Upstream::scripted(scripts(40)).await;
        let models =
            "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
        let bench = Bench::new(routed(&[&up.url(), &ok().await.url()], settings, models)).await;
        for _ in 0..12 {
            bench.by().await;
            bench.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(up.seen().len(), asked, "{settings}");
    }
}

#[tokio::test]
async fn streams_that_break_off_count_as_failures() {
    let cut = || {
        Script::sse(&["data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n"])
            .then(Step::Wait(Duration::from_millis(5)))
            .then(Step::Cut)
    };
    let up = Upstream::scripted(vec![cut()]).await;
    let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
    let bench = Bench::new(routed(&[&up.url(), &ok().await.url()], "health: { failures: 2 }", models)).await;
    for _ in 0..2 {
        let reply = bench.ask(json!({"model": "m", "messages": [], "stream": true}), &[]).await;
        assert!(reply.text().contains("upstream_error"), "{}", reply.text());
    }
    assert_eq!(bench.by().await, "b");
    assert_eq!(up.seen().len(), 2);
}

#[tokio::test]
async fn not_everything_is_left_alone() {
    let settings = "health: { failures: 1, open_for: 1m }";
    for (percent, asked) in [(100, [2, 1]), (50, [1, 2]), (0, [2, 2])] {
        let (a, b) = (failing(500).await, failing(500).await);
        let models =
            "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
        let yaml = routed(&[&a.url(), &b.url()], settings, models);
        let bench = Bench::new(format!("{yaml}routing: {{ max_ejected_percent: {percent} }}\n")).await;
        for _ in 0..2 {
            let reply = bench.ask(json!({"model": "m", "messages": []}), &[]).await;
            assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", reply.text());
        }
        // One is always asked, the one that will be well soonest.
        let seen = [a.seen().len(), b.seen().len()];
        assert_eq!(seen.iter().sum::<usize>(), asked.iter().sum::<usize>(), "{percent} %: {seen:?}");
    }
}

#[tokio::test]
async fn a_429_cools_the_key_that_got_it_alone() {
    let up = Upstream::start(|seen| {
        let first = seen.headers["authorization"] == "Bearer first";
        if first {
            Script::status(429, "{}")
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "1m30s")
        } else {
            Script::json(ANSWER)
        }
    })
    .await;
    let yaml = format!(
        "providers: {{ a: {{ kind: openai-compatible, base_url: \"{}\", keys: [first, second] }} }}\n\
         models: {{ m: {{ targets: [{{ provider: a, model: x }}], fallbacks: [a/y] }} }}\n",
        up.url()
    );
    let bench = Bench::new(yaml).await;
    for _ in 0..6 {
        bench.by().await;
    }
    let firsts =
        |up: &Upstream| up.seen().iter().filter(|seen| seen.headers["authorization"] == "Bearer first").count();
    assert_eq!(firsts(&up), 1);
    let keys = bench.provider("a").await["keys"].clone();
    assert_eq!(
        (&keys[0]["state"], &keys[0]["for_ms"], &keys[1]["state"]),
        (&json!("cooling"), &json!(90_000), &json!("ok"))
    );
    bench.clock.advance(Duration::from_secs(90));
    for _ in 0..2 {
        bench.by().await;
    }
    assert_eq!(firsts(&up), 2);
}

#[tokio::test]
async fn while_every_key_cools_the_caller_is_told_how_long() {
    let up =
        Upstream::scripted(vec![Script::status(429, "{}").header("retry-after", "20"), Script::json(ANSWER)]).await;
    let bench = Bench::new(routed(&[&up.url()], "", "  m: a/x\n")).await;
    let ask = async || bench.ask(json!({"model": "m", "messages": []}), &[]).await;
    assert_eq!(ask().await.status, StatusCode::TOO_MANY_REQUESTS);
    bench.clock.advance(Duration::from_secs(5));
    let told = ask().await;
    assert_eq!((told.status, told.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    assert_eq!(told.header("retry-after"), Some("15"));
    assert_eq!(up.seen().len(), 1);
    bench.clock.advance(Duration::from_secs(15));
    assert_eq!(ask().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_used_again() {
    let up = Upstream::start(|seen| {
        if seen.headers["authorization"] == "Bearer first" { Script::status(401, "{}") } else { Script::json(ANSWER) }
    })
    .await;
    let yaml = format!(
        "providers: {{ a: {{ kind: openai-compatible, base_url: \"{}\", keys: [first, second] }} }}\n\
         models: {{ m: {{ targets: [{{ provider: a, model: x }}], fallbacks: [a/y] }} }}\n",
        up.url()
    );
    let bench = Bench::new(yaml).await;
    for _ in 0..8 {
        bench.by().await;
    }
    let firsts =
        |up: &Upstream| up.seen().iter().filter(|seen| seen.headers["authorization"] == "Bearer first").count();
    assert_eq!(firsts(&up), 1);
    assert_eq!(bench.provider("a").await["keys"][0]["state"], "rejected");
    let metrics = bench.gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_upstream_keys_rejected_total{provider=\"a\"} 1"), "{metrics}");
    bench.clock.advance(Duration::from_secs(300));
    for _ in 0..4 {
        bench.by().await;
    }
    assert_eq!(firsts(&up), 2, "it is tried once in a while");
}

#[tokio::test]
async fn the_only_key_that_is_refused_is_tried_again_too() {
    let up = Upstream::scripted(vec![Script::status(401, "{}"), Script::json(ANSWER)]).await;
    let bench = Bench::new(routed(&[&up.url()], "", "  m: a/x\n")).await;
    let ask = async || bench.ask(json!({"model": "m", "messages": []}), &[]).await;
    for _ in 0..2 {
        let refused = ask().await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (StatusCode::BAD_GATEWAY, "upstream_credentials_rejected")
        );
    }
    assert_eq!(up.seen().len(), 1);
    bench.clock.advance(Duration::from_secs(300));
    assert_eq!((ask().await.status, ask().await.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(bench.provider("a").await["keys"][0]["state"], "ok");
}

#[tokio::test]
async fn second_tries_are_a_share_of_all() {
    for (percent, tries) in [(0, 10), (50, 30)] {
        let up = failing(500).await;
        let models = "  m: { targets: [{ provider: a, model: x }], retries: { attempts: 2, backoff: 0s } }\n";
        let yaml = routed(&[&up.url()], "health: { failures: 0, success_percent: 0 }", models);
        let bench = Bench::new(format!("{yaml}routing: {{ retry_percent: {percent} }}\n")).await;
        for _ in 0..40 {
            bench.ask(json!({"model": "m", "messages": []}), &[]).await;
        }
        assert_eq!(up.seen().len(), 40 + tries, "{percent} %");
    }
}

#[tokio::test]
async fn hash_keeps_a_caller_at_its_target() {
    let (a, b, c) = (ok().await, ok().await, failing(500).await);
    let urls = [&*a.url(), &*b.url(), &*c.url()];
    let models =
        format!("  m: {{ strategy: hash, hash_by: [prompt_cache_key, user], {ABC}, retries: {{ attempts: 1 }} }}\n");
    let bench = Bench::new(routed(&urls, "health: { failures: 1, open_for: 1h }", &models)).await;
    let mut before = BTreeMap::new();
    for n in 0..30 {
        let caller = json!({"prompt_cache_key": format!("conversation {n}"), "user": format!("u{}", n % 3)});
        before.insert(n, bench.by_with(caller, &[]).await);
    }
    assert!(before.values().any(|by| by == "a") && before.values().any(|by| by == "b"));
    assert!(c.seen().len() == 1, "whoever belonged there has another while it is unwell");
    for (n, by) in &before {
        let caller = json!({"prompt_cache_key": format!("conversation {n}"), "user": "somebody else"});
        assert_eq!(bench.by_with(caller, &[]).await, *by, "{n}");
    }
    // Without the first, the next counts.
    let one = bench.by_with(json!({"user": "eve"}), &[]).await;
    for _ in 0..5 {
        assert_eq!(bench.by_with(json!({"user": "eve"}), &[]).await, one);
    }
}

#[tokio::test]
async fn split_gives_the_same_caller_the_same_target_by_weight() {
    let (a, b) = (ok().await, ok().await);
    let models = "  m: { strategy: split, hash_by: [session], experiment: prompt-a, targets: [{ id: control, provider: a, model: x, weight: 9 }, { id: candidate, provider: b, model: x }] }\n";
    let bench = Bench::new(routed(&[&a.url(), &b.url()], "", models)).await;
    let mut candidates = 0;
    for n in 0..200 {
        let session = format!("s{n}");
        let headers = [("x-weir-session", session.as_str())];
        let by = bench.by_with(json!({}), &headers).await;
        if n < 20 {
            assert_eq!(bench.by_with(json!({}), &headers).await, by);
        }
        candidates += usize::from(by == "b");
    }
    assert!((8..40).contains(&candidates), "{candidates} of 200 with a share of one in ten");
    let path = "/v1/usage?group_by=tag&tag=prompt-a=candidate";
    bench.gateway.wait_rows(100).await;
    let found = bench.gateway.admin(Method::GET, path, Value::Null).await.json();
    let tags: Vec<&str> = found["data"].as_array().unwrap().iter().map(|row| row["tag"].as_str().unwrap()).collect();
    assert_eq!(tags, ["prompt-a=candidate"], "{found}");
}

#[tokio::test]
async fn conditions_choose_the_targets() {
    let (a, b, c) = (ok().await, ok().await, ok().await);
    let models = format!(
        "  m:\n    strategy: conditional\n    {ABC}\n    rules:\n\
         \x20     - {{ if: \"tags.plan == 'gold'\", use: [c, b] }}\n\
         \x20     - {{ if: \"request.stream || headers['x-kind'] == 'batch'\", use: [b] }}\n\
         \x20     - {{ if: \"time.weekday == 3 && request.max_output_tokens > 100\", use: [c] }}\n"
    );
    let bench = Bench::new(routed(&[&a.url(), &b.url(), &c.url()], "", &models)).await;
    assert_eq!(bench.by().await, "a", "where no rule holds it is the order of the list");
    assert_eq!(bench.by_with(json!({}), &[("x-weir-tags", "plan=gold")]).await, "c");
    assert_eq!(bench.by_with(json!({}), &[("x-kind", "batch")]).await, "b");
    assert_eq!(bench.by_with(json!({"max_tokens": 200}), &[]).await, "c");
    bench.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(bench.by_with(json!({"max_tokens": 200}), &[]).await, "a", "on a Thursday");
    let explained = bench.explain(json!({"model": "m", "messages": [], "stream": true})).await;
    let skipped: Vec<_> =
        explained["steps"].as_array().unwrap().iter().map(|s| (s["id"].clone(), s["skipped"].clone())).collect();
    assert_eq!(skipped[0], (json!("b"), Value::Null));
    assert_eq!(skipped[1].1, "the rule that holds does not name it");
}

#[tokio::test]
async fn wanted_regions_come_first_or_alone() {
    let (a, b, c) = (ok().await, ok().await, ok().await);
    let targets = "targets: [{ provider: a, model: x, region: us }, { provider: b, model: x, region: eu }, { provider: c, model: x }]";
    let urls = [&*a.url(), &*b.url(), &*c.url()];
    let bench = Bench::new(routed(&urls, "", &format!("  m: {{ {targets}, regions: [eu] }}\n"))).await;
    assert_eq!(bench.by().await, "b");
    assert_eq!(bench.by_with(json!({}), &[("x-weir-region", "US")]).await, "a");
    let wrong = bench.ask(json!({"model": "m", "messages": []}), &[("x-weir-region", "eu,,")]).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_header"));
    let required = format!("  m: {{ {targets}, regions: [eu, us], region_required: true }}\n");
    let bench = Bench::new(routed(&urls, "", &required)).await;
    let explained = bench.explain(json!({"model": "m", "messages": []})).await;
    let steps: Vec<_> =
        explained["steps"].as_array().unwrap().iter().map(|s| (s["region"].clone(), s["place"].clone())).collect();
    assert_eq!(steps, [(json!("eu"), json!(1)), (json!("us"), json!(2)), (Value::Null, Value::Null)]);
    let nowhere = bench.ask(json!({"model": "m", "messages": []}), &[("x-weir-region", "mars")]).await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "no_healthy_target"));
}

#[tokio::test]
async fn capable_takes_the_best_of_those_that_can() {
    let (a, b) = (Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_millis(40))]).await, ok().await);
    let yaml = |prefer: &str| {
        let models = format!(
            "  m: {{ strategy: capable, prefer: {prefer}, targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}] }}\n"
        );
        routed(&[&a.url(), &b.url()], "", &models)
            + "prices:\n  a/x: { input: \"1\", output: \"1\" }\n  b/x: { input: \"2\", output: \"2\" }\n"
    };
    let bench = Bench::new(yaml("cost")).await;
    assert_eq!((bench.by().await, bench.by().await), ("a".to_owned(), "a".to_owned()));
    // Times are measured, so with the machine's clock.
    let gateway = Setup::new(yaml("latency")).start().await;
    let key = gateway.plain_key().await;
    let mut by = Vec::new();
    for _ in 0..4 {
        let reply = gateway.post(&key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await;
        by.push(reply.header("x-weir-provider").unwrap().to_owned());
    }
    assert_eq!(by, ["a", "b", "b", "b"], "each is tried once");
}

#[tokio::test]
async fn auto_weighs_time_failures_and_cost() {
    let (a, b) = (ok().await, ok().await);
    let models = "  m: { strategy: auto, targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
    let yaml = routed(&[&a.url(), &b.url()], "health: { failures: 0 }", models)
        + "prices:\n  a/x: { input: \"9\", output: \"9\" }\n  b/x: { input: \"1\", output: \"1\" }\n";
    let bench = Bench::new(yaml).await;
    assert_eq!(bench.by().await, "b", "the cheaper one, as long as nothing else is known");
    let explained = bench.explain(json!({"model": "m", "messages": []})).await;
    assert_eq!(explained["steps"][1]["score"], json!({"of": "auto", "value": 3.0}), "a ninth of the price: a third");
}

#[tokio::test]
async fn cost_is_that_of_this_request() {
    let (a, b) = (ok().await, ok().await);
    let models = "  m: { strategy: cost, targets: [{ provider: a, model: x }, { provider: b, model: x }] }\n";
    let yaml = routed(&[&a.url(), &b.url()], "", models)
        + "prices:\n  a/x: { input: \"10\", output: \"1\" }\n  b/x: { input: \"1\", output: \"5\" }\n";
    let bench = Bench::new(yaml).await;
    let long = json!({"messages": [{"role": "user", "content": "word ".repeat(2000)}], "max_tokens": 10});
    assert_eq!(bench.by_with(long, &[]).await, "b", "a long prompt");
    let short = json!({"messages": [{"role": "user", "content": "word"}], "max_tokens": 400});
    assert_eq!(bench.by_with(short, &[]).await, "a", "a long answer");
}

#[tokio::test]
async fn what_one_target_refuses_goes_where_it_is_said() {
    let told = |code: &str| {
        Script::status(
            400,
            json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": code}})
                .to_string(),
        )
    };
    for (code, status, by) in [
        ("context_length_exceeded", StatusCode::OK, Some("b")),
        ("content_filter", StatusCode::OK, Some("c")),
        ("invalid_value", StatusCode::BAD_REQUEST, Some("a")),
    ] {
        let (a, b, c) = (Upstream::scripted(vec![told(code)]).await, ok().await, ok().await);
        let models = "  m: { targets: [{ provider: a, model: x }], fallbacks_on: { context_length: [b/x], content_filter: [c/x] } }\n";
        let bench = Bench::new(routed(&[&a.url(), &b.url(), &c.url()], "", models)).await;
        let reply = bench.ask(json!({"model": "m", "messages": []}), &[]).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (status, by), "{code}: {}", reply.text());
    }
}

#[tokio::test]
async fn what_is_explained_is_what_is_done() {
    let (bad, good) = (failing(500).await, ok().await);
    let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], fallbacks: [b/y], retries: { attempts: 1 } }\n";
    let bench = Bench::new(
        routed(&[&bad.url(), &good.url()], "health: { failures: 1, open_for: 1m }, limits: { rpm: 5 }", models)
            + "prices:\n  b/x: { input: \"1\", output: \"2\" }\n",
    )
    .await;
    let first = bench.ask(json!({"model": "m", "messages": []}), &[("x-weir-explain", "true")]).await;
    let plan: Value = serde_json::from_str(first.header("x-weir-explain").unwrap()).unwrap();
    let targets: Vec<_> = plan.as_array().unwrap().iter().map(|step| step["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["a/x", "b/x", "b/y"]);
    let explained = bench.explain(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})).await;
    let steps = explained["steps"].as_array().unwrap();
    assert_eq!(steps[0]["skipped"], "its breaker is open for another 60000 ms");
    assert_eq!((&steps[0]["breaker"], &steps[0]["place"]), (&json!("open"), &Value::Null));
    assert_eq!((&steps[1]["target"], &steps[1]["place"]), (&json!("b/x"), &json!(1)));
    assert_eq!(steps[1]["limits_left"], json!({"requests": 4, "tokens": null}));
    assert_eq!(steps[1]["predicted_cost_usd"], "0.001008000");
    assert_eq!((&steps[2]["target"], &steps[2]["route"]), (&json!("b/y"), &json!("b/y")));
    let (asked, served) = (bad.seen().len(), good.seen().len());
    assert_eq!(bench.by().await, "b");
    assert_eq!((bad.seen().len(), good.seen().len()), (asked, served + 1), "as explained; explaining asks nobody");
    bench.gateway.wait_rows(2).await;
    let rows = bench.gateway.admin(Method::GET, "/v1/usage", Value::Null).await.json();
    assert_eq!(rows["data"].as_array().unwrap().len(), 2, "explaining leaves no row");
    let unknown = bench
        .gateway
        .admin(Method::POST, "/admin/v1/routes/explain?key_id=nobody", json!({"model": "m", "messages": []}))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let (id, _) = bench.gateway.key(json!({"models": ["other"]})).await;
    let path = format!("/admin/v1/routes/explain?key_id={id}");
    let refused = bench.gateway.admin(Method::POST, &path, json!({"model": "m", "messages": []})).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "model_not_allowed"));
}

#[tokio::test]
async fn who_does_not_listen_is_asked_once_more_at_once_where_there_is_no_other() {
    let bench = Bench::new(routed(&[NOBODY], "", "  m: a/x\n")).await;
    let reply = bench.ask(json!({"model": "m", "messages": []}), &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_GATEWAY, "upstream_error"));
    assert_eq!(reply.header("x-weir-attempts"), Some("2"));
}

/// A caller with little time, over and over: others still have the target, and it is known to be slow.
#[tokio::test]
async fn a_caller_s_own_short_time_leaves_no_target_alone() {
    let slow = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_millis(300))]).await;
    let models = "  m: { strategy: latency, targets: [{ provider: a, model: x }], retries: { attempts: 1 } }\n";
    let settings = "health: { failures: 2, min_requests: 2 }, timeouts: { first_byte: 5s, total: 10s }";
    let yaml = routed(&[&slow.url()], settings, models);
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let bench = Bench { clock: gateway.clock.clone(), gateway, key };
    for _ in 0..5 {
        let hasty = bench.ask(json!({"model": "m", "messages": []}), &[("x-weir-timeout-ms", "30")]).await;
        assert_eq!(hasty.status, StatusCode::GATEWAY_TIMEOUT, "{}", hasty.text());
    }
    assert_eq!(bench.provider("a").await["models"][0]["breaker"], "closed");
    assert_eq!(bench.by().await, "a");
}

/// Who never answers is not the quickest because it was the quickest once, nor because nothing was measured of it.
#[tokio::test]
async fn who_was_waited_for_in_vain_is_not_the_quickest() {
    let script =
        |n: usize| if n < 3 { Script::json(ANSWER) } else { Script::json(ANSWER).delayed(Duration::from_secs(60)) };
    let stalls = Upstream::scripted((0..4).map(script).collect()).await;
    let good = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_millis(60))]).await;
    let models = "  m: { strategy: latency, targets: [{ provider: a, model: x }, { provider: b, model: x }] }\n";
    let settings = "timeouts: { first_byte: 500ms }, health: { failures: 100, success_percent: 0 }";
    let gateway = Setup::new(routed(&[&stalls.url(), &good.url()], settings, models)).start().await;
    let key = gateway.plain_key().await;
    let bench = Bench { clock: gateway.clock.clone(), gateway, key };
    let mut by = Vec::new();
    while stalls.seen().len() < 4 {
        by.push(bench.by().await);
        assert!(by.len() < 20, "{by:?}");
    }
    assert_eq!(by.last().map(String::as_str), Some("b"), "it fell over: {by:?}");
    for _ in 0..5 {
        assert_eq!(bench.by().await, "b");
    }
    assert_eq!(stalls.seen().len(), 4, "once was enough");
}
