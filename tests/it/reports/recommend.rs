//! What other models would have cost, and how fast they are: with numbers computed by hand.

use weir::record::Attempt;
use weir::reports::recommend::{Ask, recommend};
use weir_wire::usage::Usage;

use super::*;

on_both!(
    every_row_is_priced_anew_at_each_model,
    what_is_asked_about_is_compared_and_nothing_else,
    tiers_and_kinds_are_those_of_the_rows,
);

const YAML: &str = r#"
providers:
  a: { kind: openai-compatible, base_url: "http://127.0.0.1:9/v1" }
  b: { kind: openai-compatible, base_url: "http://127.0.0.1:9/v1" }
  c: { kind: openai-compatible, base_url: "http://127.0.0.1:9/v1" }
  openai: { api_key: sk-nobody }
models:
  fast: { targets: [{ provider: a, model: big }, { provider: c, model: unpriced }] }
  cheap: { targets: [{ provider: b, model: small }, { provider: c, model: free }, { provider: demo, model: chat }] }
  known: openai/gpt-4o-mini
prices:
  a/big: { input: "10", output: "30", cache_read: "1", above: { 100000: { input: "20", output: "60" } } }
  b/small: { input: "2", output: "8", cache_read: "0.50", tiers: { batch: { input: "1", output: "4" } } }
  c/free: { input: "0", output: "0" }
  openai/gpt-4o-mini: { input: "0.10", output: "0.20" }
"#;

fn tried(provider: &str, model: &str, outcome: &str) -> Attempt {
    Attempt { provider: provider.to_owned(), model: model.to_owned(), outcome: outcome.to_owned(), ms: 1 }
}

/// A request for `asked` that was served there.
fn row(id: &str, asked: &str, (provider, model): (&str, &str), usage: Usage) -> UsageRow {
    UsageRow {
        model: Some(asked.to_owned()),
        provider: Some(provider.to_owned()),
        served_model: None,
        attempts: vec![tried(provider, model, "ok")],
        usage,
        ..usage_row(id, NOW - HOUR)
    }
}

fn streamed(first: u64, all: u64, row: UsageRow) -> UsageRow {
    UsageRow { stream: true, ttft_ms: Some(first), latency_ms: all, ..row }
}

fn whole(row: UsageRow) -> UsageRow {
    UsageRow { stream: false, ttft_ms: Some(9000), latency_ms: 9000, ..row }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

/// The workload of that name.
fn of<'v>(told: &'v Value, model: &str) -> &'v Value {
    let found = list(&told["data"]).iter().find(|one| one["model"] == model);
    found.unwrap_or_else(|| panic!("no {model} in {told:#}"))
}

fn names(offers: &Value) -> Vec<&str> {
    list(offers).iter().map(|offer| offer["target"].as_str().unwrap()).collect()
}

async fn every_row_is_priced_anew_at_each_model(db: Database) {
    let mut rows = Vec::new();
    let short = Usage { cached: 400, reasoning: 50, ..usage(1000, 200) };
    for n in 0..20 {
        // 600 * 10 + 400 * 1 + 200 * 30 = 12,400 millionths; elsewhere 600 * 2 + 400 * 0.5 + 200 * 8 = 3,000.
        rows.push(streamed(400, 2400, row(&format!("f{n}"), "fast", ("a", "big"), short)));
        // 100 * 2 + 100 * 8 = 1,000; at a/big 100 * 10 + 100 * 30 = 4,000.
        rows.push(streamed(200, 700, row(&format!("s{n}"), "b/small", ("b", "small"), usage(100, 100))));
    }
    // A long prompt: 180,000 * 20 + 1,000 * 60 = 3,660,000; elsewhere 180,000 * 2 + 1,000 * 8 = 368,000.
    rows.push(whole(row("long", "fast", ("a", "big"), usage(180_000, 1000))));
    rows.push(UsageRow {
        status: Status::UpstreamError,
        attempts: vec![tried("a", "big", "upstream_error")],
        cost: None,
        ..row("bad", "fast", ("a", "big"), Usage::default())
    });
    rows.push(UsageRow { cost: None, unpriced: true, ..row("u", "other", ("c", "unpriced"), usage(10, 10)) });
    rows.push(UsageRow { cost: Some(NanoUsd(500_000_000)), ..row("g", "gone", ("x", "old"), usage(100_000, 0)) });
    rows.push(UsageRow { attempts: Vec::new(), ..row("r", "fast", ("a", "big"), usage(1, 1)) });
    let gateway = with_rows(&db, YAML, &rows).await;
    let told = get(&gateway, "/admin/v1/recommendations").await;
    assert_eq!((&told["object"], &told["is_complete"], &told["requests"]), (&json!("list"), &json!(true), &json!(44)));

    let fast = of(&told, "fast");
    assert_eq!((&fast["requests"], &fast["compared_requests"]), (&json!(22), &json!(22)));
    // 20 * 0.0124 + 3.66. What was paid is what the rows say: 21 of them cost 0.00015 each.
    assert_eq!((&fast["current_usd"], &fast["paid_usd"]), (&json!("3.908000000"), &json!("0.003150000")));
    assert_eq!(
        fast["tokens"],
        json!({"input": 200_000, "cached": 8_000, "cache_write": 0, "output": 5_000, "reasoning": 1_000})
    );
    assert_eq!((&fast["largest_prompt_tokens"], &fast["largest_output_tokens"]), (&json!(180_000), &json!(1_000)));
    assert_eq!(fast["served_by"], json!([{"target": "a/big", "requests": 22}]));
    assert_eq!(names(&fast["candidates"]), ["b/small", "openai/gpt-4o-mini"], "what fits comes first");
    let small = &fast["candidates"][0];
    // 20 * 0.003 + 0.368; 3.48 of 3.908.
    assert_eq!(
        [&small["cost_usd"], &small["saving_usd"], &small["saving_percent"], &small["fits"], &small["routes"]],
        [&json!("0.428000000"), &json!("3.480000000"), &json!(89.0), &json!(true), &json!(["cheap"])]
    );
    assert_eq!(small["caveats"], json!(["the catalogue does not know it: nor what it takes"]));
    assert_eq!(
        small["speed"],
        json!({"tries": 20, "success_percent": 100.0, "whole": null, "streams":
            {"samples": 20, "time_to_first_token_ms": {"p50": 200, "p95": 200}, "tokens_per_second": 200.0}})
    );
    let mini = &fast["candidates"][1];
    // 20 * (1,000 * 0.10 + 200 * 0.20) + 180,000 * 0.10 + 1,000 * 0.20 = 21,000 millionths.
    assert_eq!([&mini["cost_usd"], &mini["fits"]], [&json!("0.021000000"), &json!(false)]);
    assert_eq!(
        list(&mini["caveats"])[..2],
        ["a prompt of 180000 tokens does not fit: it takes 128000", "no measurements"]
    );
    assert_eq!(fast["not_priced"], json!(["c/free", "c/unpriced"]), "what costs nothing is not recommended");
    // 5,000 tokens in 21 answers: 238 each. At 100 tokens a second after 400 ms, and at 200 after 200.
    assert_eq!(
        fast["faster"],
        json!([{"target": "b/small", "answer_ms": 1390, "current_answer_ms": 2780, "answer_tokens": 238,
            "measured_by": "streams", "faster_percent": 50.0, "saving_usd": "3.480000000"}])
    );
    assert_eq!(fast["speed"]["success_percent"], 95.4, "21 of 22");
    assert_eq!(fast["speed"]["whole"]["latency_ms"], json!({"p50": 9000, "p95": 9000}));

    let small = of(&told, "b/small");
    assert_eq!(names(&small["candidates"]), ["openai/gpt-4o-mini", "a/big"], "the cheapest first");
    let [mini, big] = [0, 1].map(|n| &small["candidates"][n]);
    assert_eq!((&small["current_usd"], &mini["saving_percent"]), (&json!("0.020000000"), &json!(97.0)));
    assert_eq!((&big["saving_usd"], &big["saving_percent"]), (&json!("-0.060000000"), &json!(-300.0)));
    assert_eq!((&big["speed"]["tries"], &small["faster"]), (&json!(22), &json!([])));

    let other = of(&told, "other");
    assert_eq!((&other["compared_requests"], &other["candidates"]), (&json!(0), &json!([])));
    let gone = of(&told, "gone");
    assert_eq!(gone["current_usd"], "0.500000000", "what is there no more costs what it cost");
    assert_eq!(names(&gone["candidates"]), ["openai/gpt-4o-mini", "b/small", "a/big"]);
    assert!(told["notes"].as_array().unwrap().len() > 3);
}

async fn what_is_asked_about_is_compared_and_nothing_else(db: Database) {
    let at = |row: UsageRow, at: i64| UsageRow { at, ..row };
    let fast = |id: &str| row(id, "fast", ("a", "big"), usage(1000, 0));
    let mut rows: Vec<UsageRow> = (0..1200).map(|n| at(fast(&format!("m{n}")), NOW - HOUR + n % 7)).collect();
    rows.push(UsageRow { key_id: Some("key_b".to_owned()), ..fast("k") });
    rows.push(UsageRow { team_id: Some("team_b".to_owned()), ..fast("t") });
    rows.push(at(fast("old"), NOW - 8 * DAY));
    rows.push(row("c", "cheap", ("b", "small"), usage(1000, 0)));
    let gateway = with_rows(&db, YAML, &rows).await;
    for (query, requests) in [
        ("", 1203),
        ("?since=30d", 1204),
        ("?since=30d&until=2d", 1),
        ("?model=cheap", 1),
        ("?key=key_b", 1),
        ("?team=team_b", 1),
        ("?team=team_a&model=fast", 1201),
        ("?key=nobody", 0),
    ] {
        let told = get(&gateway, &format!("/admin/v1/recommendations{query}")).await;
        assert_eq!(told["requests"], requests, "{query}");
        if requests == 1203 {
            // 1,202 times 0.01.
            assert_eq!(of(&told, "fast")["current_usd"], "12.020000000");
        }
    }
    let told = get(&gateway, "/admin/v1/recommendations?key=key_b").await;
    let small = &of(&told, "fast")["candidates"][1];
    assert_eq!(
        (&small["target"], &small["speed"]["tries"]),
        (&json!("b/small"), &json!(1)),
        "everybody's speed counts"
    );
    let ask = Ask { from: NOW - 30 * DAY, to: NOW, model: None, key: None, team: None, rows: 500 };
    let inner = &gateway.app.gateway;
    let told = recommend(&inner.db, &inner.snapshot.load(), &ask).await.unwrap();
    assert_eq!((&told["is_complete"], &told["requests"]), (&json!(false), &json!(500)));
    // The newest: 171 rows of the seventh millisecond, 171 of the sixth, and of the fifth as many as are left.
    assert_eq!(told["since"], jiff::Timestamp::from_millisecond(NOW - HOUR + 4).map(|at| format!("{at:.3}")).unwrap());
    let key = gateway.plain_key().await;
    assert_eq!(gateway.get(&key, "/admin/v1/recommendations").await.status, StatusCode::FORBIDDEN);
    for bad in ["since=93d", "since=1d&until=2d", "until=x", "key_id=k"] {
        let reply = gateway.get(ADMIN, &format!("/admin/v1/recommendations?{bad}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

async fn tiers_and_kinds_are_those_of_the_rows(db: Database) {
    let batch = UsageRow { tier: Some("batch".to_owned()), ..row("b", "fast", ("a", "big"), usage(1000, 100)) };
    let embedded = UsageRow {
        endpoint: "embeddings".to_owned(),
        ..row("e", "openai/text-embedding-3-large", ("openai", "text-embedding-3-large"), usage(1_000_000, 0))
    };
    let another = UsageRow {
        endpoint: "embeddings".to_owned(),
        ..row("s", "openai/text-embedding-3-small", ("openai", "text-embedding-3-small"), usage(1_000_000, 0))
    };
    let passed = UsageRow { endpoint: "images/generations".to_owned(), ..row("i", "x", ("a", "x"), usage(1, 0)) };
    let seen = UsageRow {
        usage: Usage { image_input: 500, ..usage(1000, 0) },
        ..row("v", "seen", ("a", "big"), Usage::default())
    };
    let gateway = with_rows(&db, YAML, &[batch, embedded, another, passed, seen]).await;
    let told = get(&gateway, "/admin/v1/recommendations").await;
    assert_eq!(told["not_compared_requests"], 1);
    let fast = of(&told, "fast");
    // 1,000 * 10 + 100 * 30, for a/big has no price of that tier; 1,000 * 1 + 100 * 4.
    let small = list(&fast["candidates"]).iter().find(|one| one["target"] == "b/small").unwrap();
    assert_eq!((&fast["current_usd"], &small["cost_usd"]), (&json!("0.013000000"), &json!("0.001400000")));
    let large = of(&told, "openai/text-embedding-3-large");
    assert_eq!(
        (&large["kind"], names(&large["candidates"])),
        (&json!("embeddings"), vec!["openai/text-embedding-3-small"])
    );
    let caveats = list(&large["candidates"][0]["caveats"]);
    assert!(caveats.contains(&json!("its vectors do not compare with those of another model")), "{caveats:?}");
    assert!(!names(&of(&told, "seen")["candidates"]).is_empty());
}
