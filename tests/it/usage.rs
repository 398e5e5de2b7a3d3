//! Usage rows, what they cost, and every way to ask for them, on both databases.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, one_provider};
use crate::support::upstream::{Script, Upstream};

on_both!(
    a_row_has_every_field,
    a_row_has_the_warnings_of_its_answer,
    every_outcome_has_its_row,
    each_filter_filters,
    pages_hold_still_while_rows_come_in,
    totals_by_every_dimension,
    rows_in_every_format,
    a_key_sees_itself,
);

/// 18 November 2026, 11:06:40 UTC.
const EPOCH: i64 = 1_795_000_000_000;

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

fn used(usage: &Value) -> Script {
    let answer = json!({"id": "c", "object": "chat.completion", "model": "served-1", "choices": [], "usage": usage});
    Script::json(answer.to_string())
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.get(ADMIN, path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

async fn count(gateway: &Gateway, query: &str) -> usize {
    get(gateway, &format!("/v1/usage?{query}")).await["data"].as_array().unwrap().len()
}

async fn a_row_has_every_field(db: Database) {
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 200, "audio_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 100}});
    let upstream = Upstream::scripted(vec![used(&usage)]).await;
    let yaml = format!("{}models:\n  fast: up/priced\n", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).database(&db.url).clock(Clock::mock(EPOCH)).start().await;
    let fields = json!({"team_id": "t", "user_id": "u", "metadata": {"k": "v"}});
    let (id, key) = gateway.key(fields).await;
    let mut body = chat("fast");
    body["user"] = json!("end-user-7");
    let headers =
        [("x-api-key", key.as_str()), ("x-weir-tags", "env=prod, team=search"), ("x-request-id", "req-12345678")];
    let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let mut row = gateway.only_row().await;
    let price_version = row["price_version"].take();
    assert!(price_version.is_string());
    let expected = json!({
        "id": "req-12345678", "at": "2026-11-18T11:06:40.000Z", "key_id": id, "team_id": "t", "user_id": "u",
        "end_user": "end-user-7", "tags": {"env": "prod", "team": "search"}, "endpoint": "chat/completions",
        "model": "fast", "provider": "up", "served_model": "served-1", "status": "ok", "http_status": 200,
        "attempts": [{"provider": "up", "model": "priced", "outcome": "ok", "ms": 0}],
        "input_tokens": 1000, "cached_tokens": 200, "cache_write_tokens": 0, "output_tokens": 500,
        "reasoning_tokens": 100, "audio_input_tokens": 30, "cost_usd": "0.001820000", "price_version": null,
        "estimated": false, "unpriced": false, "latency_ms": 0, "ttft_ms": 0, "overhead_us": 0, "stream": false,
        "error_code": null, "error_message": null, "metadata": {"k": "v"},
        "warnings": [],
    });
    assert_eq!(row, expected);
}

async fn a_row_has_the_warnings_of_its_answer(db: Database) {
    let upstream = Upstream::scripted(vec![used(&json!({"prompt_tokens": 1, "completion_tokens": 1}))]).await;
    let yaml = one_provider(&upstream.url()).replace("api_key:", "unsupported: [seed], faults: allowed, api_key:");
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    let mut body = chat("up/m");
    body["seed"] = json!(7);
    let reply = gateway.post(&key, "/v1/chat/completions", &body).await;
    let told = "provider up does not support seed: left out";
    assert_eq!(reply.header("x-weir-warnings"), Some(told));
    gateway.post(&key, "/v1/chat/completions", chat("up/m")).await;
    let headers = [("x-api-key", key.as_str()), ("x-weir-fault", "status=503")];
    gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    let rows = gateway.wait_rows(3).await;
    assert_eq!((&rows[0]["warnings"], &rows[1]["warnings"]), (&json!([told]), &json!([])));
    assert_eq!(rows[2]["warnings"].as_array().map(Vec::len), Some(2), "{}", rows[2]);
    let lines = gateway.get(ADMIN, "/v1/usage?format=ndjson").await.text();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["warnings"], json!([told]));
    let csv = gateway.get(ADMIN, "/v1/usage?format=csv").await.text();
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().ends_with(",metadata,warnings"), "{csv}");
    assert!(lines.next().unwrap().contains("fault injected at up: status=503 (request)\"\""), "{csv}");
    assert!(lines.next().unwrap().ends_with(",[]"), "{csv}");
    assert!(lines.next().unwrap().ends_with(&format!(",\"[\"\"{told}\"\"]\"")), "{csv}");
}

async fn every_outcome_has_its_row(db: Database) {
    let gateway =
        Setup::new("keys: [{ name: slow, key: slow-key, limits: { rpm: 1 } }]\n").database(&db.url).start().await;
    let (_, key) = gateway.key(json!({"models": ["demo/chat"]})).await;
    let path = "/v1/chat/completions";
    gateway.post(&key, path, chat("demo/chat")).await;
    gateway.post("nobody", path, chat("demo/chat")).await;
    gateway.post(&key, path, chat("demo/embed")).await;
    gateway.post(&key, path, chat("no-such-model")).await;
    gateway.post(&key, path, "{").await;
    gateway.post(ADMIN, path, chat("demo/chat")).await;
    gateway.post("slow-key", path, chat("demo/chat")).await;
    gateway.post("slow-key", path, chat("demo/chat")).await;
    gateway.get(&key, "/v1/nothing").await;
    let tags = [("x-api-key", key.as_str()), ("x-weir-tags", "nonsense")];
    gateway.request(Method::POST, path, &tags, chat("demo/chat").to_string()).await;
    let rows = gateway.wait_rows(10).await;
    let mut seen: Vec<(String, u64, String)> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            (text("status"), row["http_status"].as_u64().unwrap(), text("error_code"))
        })
        .collect();
    seen.sort();
    let expected = [
        ("ok", 200, ""),
        ("ok", 200, ""),
        ("rejected", 400, "invalid_header"),
        ("rejected", 400, "invalid_json"),
        ("rejected", 401, "invalid_api_key"),
        ("rejected", 403, "admin_key_not_allowed"),
        ("rejected", 403, "model_not_allowed"),
        ("rejected", 404, "model_not_found"),
        ("rejected", 404, "unknown_path"),
        ("rejected", 429, "rate_limit_exceeded"),
    ];
    assert_eq!(seen, expected.map(|(s, h, c)| (s.to_owned(), h, c.to_owned())));
    let rejected = rows.iter().filter(|row| row["status"] == "rejected");
    for row in rejected {
        assert!(row["error_message"].as_str().is_some_and(|m| !m.is_empty()), "{row}");
        assert_eq!((&row["cost_usd"], &row["unpriced"]), (&json!("0.000000000"), &json!(false)));
    }
}

#[tokio::test]
async fn a_row_is_there_as_soon_as_its_answer() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    let key = gateway.plain_key().await;
    for n in 1..=20 {
        let reply = gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await;
        let rows = gateway.rows().await;
        assert_eq!(rows.len(), n);
        assert_eq!(rows[n - 1]["id"], reply.header("x-request-id").unwrap());
    }
}

async fn priced(upstream: &Upstream, extra: &str) -> (Gateway, String) {
    let yaml =
        format!("providers:\n  openai: {{ base_url: \"{}\", api_key: k, default: true }}\n{extra}", upstream.url());
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    (gateway, key)
}

/// Asks once, and sees the cost in the header and in the row.
async fn cost(model: &str, answer: Value, extra: &str, expected: Option<&str>) -> Value {
    let upstream = Upstream::scripted(vec![Script::json(answer.to_string())]).await;
    let (gateway, key) = priced(&upstream, extra).await;
    let reply = gateway.post(&key, "/v1/chat/completions", chat(model)).await;
    assert_eq!(reply.header("x-weir-cost-usd"), expected, "{}", reply.text());
    let row = gateway.only_row().await;
    assert_eq!(row["cost_usd"].as_str(), expected);
    row
}

fn answer(input: u64, cached: u64, output: u64) -> Value {
    json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [], "usage": {
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": cached}}})
}

#[tokio::test]
async fn the_catalogues_prices_are_exact() {
    // 600 at $0.15, 400 cached at $0.075, 200 at $0.60, each per million.
    let row = cost("gpt-4o-mini", answer(1000, 400, 200), "", Some("0.000240000")).await;
    assert_eq!((&row["unpriced"], &row["estimated"]), (&json!(false), &json!(false)));
    assert!(row["price_version"].as_str().is_some_and(|v| !v.is_empty()));
    cost("openai/gpt-4o-mini", answer(1000, 400, 200), "", Some("0.000240000")).await;
}

#[tokio::test]
async fn tiers_have_their_own_prices() {
    let mut priority = answer(1000, 400, 200);
    priority["service_tier"] = json!("priority");
    cost("gpt-4o-mini", priority, "", Some("0.000400000")).await;
    // gpt-5.4 costs more for a long prompt: all of it above 272000 tokens.
    cost("gpt-5.4", answer(272_000, 0, 0), "", Some("0.680000000")).await;
    cost("gpt-5.4", answer(300_000, 100_000, 1000), "", Some("1.072500000")).await;
}

#[tokio::test]
async fn the_configurations_prices_go_before_the_catalogues() {
    let prices = "prices:\n  openai/gpt-4o-mini: { input: \"1\", output: \"0.000003\" }\n";
    cost("gpt-4o-mini", answer(10, 0, 1_000_000), prices, Some("0.000013000")).await;
}

#[tokio::test]
async fn a_model_without_a_price_is_flagged() {
    let row = cost("nobody-knows-this", answer(10, 0, 10), "", None).await;
    assert_eq!(
        (&row["unpriced"], &row["price_version"], &row["input_tokens"]),
        (&json!(true), &Value::Null, &json!(10))
    );
}

/// Four requests a day apart that differ in everything a filter can tell.
async fn different_requests(db: &Database) -> (Gateway, Vec<String>) {
    let one = json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11});
    let upstream = Upstream::scripted(vec![used(&one)]).await;
    let clock = Clock::mock(EPOCH);
    let yaml = one_provider(&upstream.url());
    let gateway = Setup::new(yaml).database(&db.url).clock(clock.clone()).start().await;
    let (first, first_key) = gateway.key(json!({"team_id": "t1", "user_id": "u1"})).await;
    let (second, second_key) = gateway.key(json!({"team_id": "t2", "user_id": "u2"})).await;
    for (key, path, body, tags) in [
        (&first_key, "/v1/chat/completions", chat("up/priced"), "env=prod,a=1"),
        (&first_key, "/v1/chat/completions", chat("demo/chat"), "env=dev"),
        (&second_key, "/v1/embeddings", json!({"model": "demo/embed", "input": "hi"}), "env=prod"),
        (&second_key, "/v1/chat/completions", json!({"model": "up/priced"}), ""),
    ] {
        let headers = [("x-api-key", key.as_str()), ("x-weir-tags", tags)];
        gateway.request(Method::POST, path, &headers, body.to_string()).await;
        gateway.rows().await;
        clock.advance(Duration::from_secs(24 * 3600));
    }
    (gateway, vec![first, second])
}

async fn each_filter_filters(db: Database) {
    let (gateway, keys) = different_requests(&db).await;
    let all = gateway.wait_rows(4).await;
    assert_eq!(all.len(), 4);
    for (query, expected) in [
        (format!("key_id={}", keys[0]), 2),
        ("team_id=t2".into(), 2),
        ("user=u1".into(), 2),
        ("model=up/priced".into(), 2),
        ("model=up%2Fpriced".into(), 2),
        ("provider=demo".into(), 2),
        ("endpoint=embeddings".into(), 1),
        ("status=rejected".into(), 1),
        ("status=ok".into(), 3),
        ("tag=env".into(), 3),
        ("tag=env=prod".into(), 2),
        ("tag=a:1".into(), 1),
        ("tag=env=staging".into(), 0),
        ("from=2026-11-20".into(), 2),
        ("from=2026-11-19T11:06:40Z".into(), 3),
        ("to=2026-11-19T11:06:40Z".into(), 1),
        ("from=2d".into(), 2),
        ("from=2026-11-19&to=2026-11-21".into(), 2),
        ("provider=demo&tag=env=prod".into(), 1),
        ("limit=3".into(), 3),
    ] {
        assert_eq!(count(&gateway, &query).await, expected, "{query}");
        if !query.starts_with("limit") {
            let sums = get(&gateway, &format!("/v1/usage?{query}&group_by=status")).await;
            let sum: u64 = sums["data"].as_array().unwrap().iter().map(|t| t["requests"].as_u64().unwrap()).sum();
            assert_eq!(sum, expected as u64, "the totals of {query}");
        }
    }
}

async fn totals_by_every_dimension(db: Database) {
    let (gateway, keys) = different_requests(&db).await;
    gateway.wait_rows(4).await;
    for (by, mut expected) in [
        ("key", vec![(keys[0].as_str(), 2), (keys[1].as_str(), 2)]),
        ("team", vec![("t1", 2), ("t2", 2)]),
        ("user", vec![("u1", 2), ("u2", 2)]),
        ("model", vec![("demo/chat", 1), ("demo/embed", 1), ("up/priced", 2)]),
        ("provider", vec![("", 1), ("demo", 2), ("up", 1)]),
        ("endpoint", vec![("chat/completions", 3), ("embeddings", 1)]),
        ("status", vec![("ok", 3), ("rejected", 1)]),
        ("tag", vec![("a=1", 1), ("env=dev", 1), ("env=prod", 2)]),
        ("hour", (18..22).map(|d| (&*format!("2026-11-{d}T11:00:00Z").leak(), 1)).collect()),
        ("day", (18..22).map(|d| (&*format!("2026-11-{d}").leak(), 1)).collect()),
        ("month", vec![("2026-11", 4)]),
    ] {
        let totals = get(&gateway, &format!("/v1/usage?group_by={by}")).await;
        let totals = totals["data"].as_array().unwrap();
        let mut seen: Vec<(&str, u64)> = totals
            .iter()
            .map(|t| (t[by].as_str().unwrap_or_default(), t["requests"].as_u64().unwrap()))
            .filter(|(name, _)| by != "tag" || !name.is_empty())
            .collect();
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{by}");
    }
    let both = get(&gateway, "/v1/usage?group_by=model,status&provider=up").await;
    let total = &both["data"][0];
    assert_eq!((&total["model"], &total["status"], &total["errors"]), (&json!("up/priced"), &json!("ok"), &json!(0)));
    // 10 at $1 and 1 at $2 per million.
    assert_eq!((&total["cost_usd"], &total["input_tokens"]), (&json!("0.000012000"), &json!(10)));
}

async fn pages_hold_still_while_rows_come_in(db: Database) {
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").database(&db.url).clock(clock.clone()).start().await;
    let key = gateway.plain_key().await;
    // Several rows share a millisecond: the cursor must tell them apart.
    let ask = async || {
        let reply = gateway.post(&key, "/v1/chat/completions", chat("demo/chat")).await;
        reply.header("x-request-id").unwrap().to_owned()
    };
    let mut made = BTreeSet::new();
    for i in 0..25 {
        made.insert(ask().await);
        if i % 4 == 0 {
            clock.advance(Duration::from_millis(1));
        }
    }
    gateway.wait_rows(25).await;
    clock.advance(Duration::from_millis(1));
    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = get(&gateway, &format!("/v1/usage?limit=10{cursor}")).await;
        let rows = page["data"].as_array().unwrap();
        sizes.push(rows.len());
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        ask().await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(seen.len(), 25, "none twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made, "none missed");
}

async fn rows_in_every_format(db: Database) {
    let (gateway, _) = different_requests(&db).await;
    let rows = gateway.wait_rows(4).await;
    let raw = async |format: &str| -> Reply { gateway.get(ADMIN, &format!("/v1/usage?{format}")).await };
    let lines = raw("format=ndjson").await;
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let mut parsed: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    parsed.sort_by_key(|row| row["at"].as_str().unwrap().to_owned());
    assert_eq!(parsed, rows, "the same rows as JSON");

    let csv = raw("format=csv").await;
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    let text = csv.text();
    let mut lines = text.split("\r\n");
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    for name in rows[0].as_object().unwrap().keys() {
        assert!(names.contains(&name.as_str()), "{name} is a column");
    }
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), 4);
    assert!(text.contains("\"{\"\"env\"\":\"\"prod\"\",\"\"a\"\":\"\"1\"\"}\""), "cells are quoted: {text}");

    let totals = raw("format=csv&group_by=status").await.text();
    assert!(totals.starts_with("status,requests,errors,input_tokens"), "{totals}");
    assert_eq!(totals.lines().count(), 3);
    assert_eq!(raw("format=ndjson&group_by=day").await.text().lines().count(), 4);
}

async fn a_key_sees_itself(db: Database) {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").database(&db.url).start().await;
    let ((a, a_key), (b, b_key)) = (gateway.key(json!({})).await, gateway.key(json!({})).await);
    for key in [&a_key, &a_key, &b_key] {
        gateway.post(key, "/v1/chat/completions", chat("demo/chat")).await;
    }
    for (key, path, expected) in [
        (a_key.as_str(), "/v1/usage".to_owned(), 2),
        (&a_key, format!("/v1/usage?key_id={a}"), 2),
        (&b_key, "/v1/usage?format=ndjson".to_owned(), 1),
        (ADMIN, "/v1/usage?format=ndjson".to_owned(), 3),
        (ADMIN, format!("/admin/v1/usage?format=ndjson&key_id={b}"), 1),
    ] {
        let reply = gateway.get(key, &path).await;
        let seen = if path.contains("ndjson") {
            reply.text().lines().count()
        } else {
            reply.json()["data"].as_array().unwrap().len()
        };
        assert_eq!(seen, expected, "{path}");
    }
    let foreign = gateway.get(&a_key, &format!("/v1/usage?key_id={b}")).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let grouped = gateway.get(&a_key, "/v1/usage?group_by=key").await.json();
    assert_eq!((&grouped["data"][0]["requests"], grouped["data"].as_array().unwrap().len()), (&json!(2), 1));
    assert_eq!(gateway.request(Method::GET, "/v1/usage", &[], "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    for (query, param) in [
        ("status=fine", "status"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("group_by=colour", "group_by"),
        ("format=xml", "format"),
        ("cursor=zzz", "cursor"),
        ("from=soon", "from"),
        ("to=99999999999999999w", "to"),
        ("modle=x", "modle"),
        ("tag=a&tag=b", "tag"),
    ] {
        for path in ["/v1/usage", "/admin/v1/usage"] {
            let reply = gateway.get(ADMIN, &format!("{path}?{query}")).await;
            let param_seen = reply.json()["error"]["param"].clone();
            assert_eq!((reply.status, param_seen), (StatusCode::BAD_REQUEST, json!(param)), "{query}");
        }
    }
}
