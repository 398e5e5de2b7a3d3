//! Budgets are hard: what is held before an upstream hears of a request, what is settled after it, on
//! one replica and on several.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Reply, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Upstream};

/// 2026-11-18T11:06:40Z, a Wednesday
const EPOCH: i64 = 1_795_000_000_000;

/// An answer of so many generated tokens, at two dollars a million.
fn answer(tokens: u64) -> Script {
    Script::json(
        json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [],
        "usage": {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}})
        .to_string(),
    )
}

/// A request that may generate so many tokens.
fn chat(max_tokens: u64) -> Value {
    json!({"model": "up/priced", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]})
}

async fn upstream(tokens: u64) -> Upstream {
    Upstream::scripted(vec![answer(tokens); 500]).await
}

async fn gateway(db: &Database, upstream: &Upstream, more: &str) -> Gateway {
    Setup::new(format!("{}{more}", one_provider(&upstream.url()))).database(&db.url).start().await
}

fn count(replies: &[Reply], status: StatusCode) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// A key's budget, once nothing is held of it any more.
async fn settled(gateway: &Gateway, id: &str) -> Value {
    eventually("nothing is held", async || {
        gateway.rows().await;
        let key = gateway.admin(Method::GET, &format!("/admin/v1/keys/{id}"), Value::Null).await.json();
        (key["budget"]["reserved_usd"] == "0.000000000").then(|| key["budget"].clone())
    })
    .await
}

on_both!(a_budget_is_not_overdrawn_whatever_comes_at_once, what_a_request_did_not_cost_is_there_for_the_next);

async fn a_budget_is_not_overdrawn_whatever_comes_at_once(db: Database) {
    let upstream = upstream(100_000).await;
    let gateway = gateway(&db, &upstream, "").await;
    // Each costs 0.20 and may cost a little more, for nobody knows what its prompt is counted as.
    let (id, key) = gateway.key(json!({"budget": {"usd": "1.50", "period": "total"}})).await;
    let replies = join_all((0..60).map(|_| gateway.post(&key, "/v1/chat/completions", chat(100_000)))).await;
    assert_eq!((count(&replies, StatusCode::OK), count(&replies, StatusCode::PAYMENT_REQUIRED)), (7, 53));
    assert_eq!(upstream.seen().len(), 7, "no upstream hears of what cannot be paid");
    let refused = replies.iter().find(|reply| reply.status == StatusCode::PAYMENT_REQUIRED).unwrap();
    assert_eq!((refused.code().as_str(), refused.header("x-should-retry")), ("budget_exceeded", Some("false")));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("'test' (key ")
            && message.contains("1.500000000 USD a total")
            && message.contains("does not begin anew"),
        "{message}"
    );
    let budget = settled(&gateway, &id).await;
    assert_eq!((&budget["spent_usd"], &budget["remaining_usd"]), (&json!("1.400000000"), &json!("0.100000000")));
    let metrics = gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_budget_rejected_total{scope=\"key\"} 53"), "{metrics}");
    let rows = gateway.rows().await;
    assert_eq!(
        rows.iter().filter(|row| row["error_code"] == "budget_exceeded" && row["status"] == "rejected").count(),
        53
    );
}

async fn what_a_request_did_not_cost_is_there_for_the_next(db: Database) {
    let upstream = upstream(100_000).await;
    let gateway = gateway(&db, &upstream, "").await;
    let (id, key) = gateway.key(json!({"budget": {"usd": "1.05", "period": "total"}})).await;
    // Two hold all there is; five cost it.
    for n in 0..5 {
        let reply = gateway.post(&key, "/v1/chat/completions", chat(if n < 4 { 120_000 } else { 110_000 })).await;
        assert_eq!(reply.status, StatusCode::OK, "{n}: {}", reply.text());
    }
    let reply = gateway.post(&key, "/v1/chat/completions", chat(100_000)).await;
    assert_eq!(reply.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(settled(&gateway, &id).await["spent_usd"], "1.000000000");
}

#[tokio::test]
async fn replicas_share_what_is_left() {
    let db = Database::postgres().await;
    let upstream = upstream(100_000).await;
    let gateways =
        [gateway(&db, &upstream, "").await, gateway(&db, &upstream, "").await, gateway(&db, &upstream, "").await];
    for _ in 0..3 {
        let before = upstream.seen().len();
        let (id, key) = gateways[0].key(json!({"budget": {"usd": "4.05", "period": "month"}})).await;
        let all = gateways
            .iter()
            .flat_map(|gateway| (0..40).map(|_| gateway.post(&key, "/v1/chat/completions", chat(100_000))));
        let replies = join_all(all).await;
        let admitted = count(&replies, StatusCode::OK);
        assert_eq!(count(&replies, StatusCode::PAYMENT_REQUIRED), 120 - admitted);
        assert_eq!(upstream.seen().len() - before, admitted);
        assert_eq!(admitted, 20, "all that could be paid, and no more");
        for gateway in &gateways {
            gateway.rows().await;
        }
        assert_eq!(settled(&gateways[0], &id).await["spent_usd"], "4.000000000");
    }
}

#[tokio::test]
async fn what_one_replica_does_not_need_another_gets() {
    let db = Database::postgres().await;
    let upstream = upstream(1_000).await;
    let gateways = [gateway(&db, &upstream, "").await, gateway(&db, &upstream, "").await];
    let (id, key) = gateways[0].key(json!({"budget": {"usd": "0.0205", "period": "total"}})).await;
    // The first takes more than it needs for these, which leaves little to the second.
    for _ in 0..2 {
        assert_eq!(gateways[0].post(&key, "/v1/chat/completions", chat(1_000)).await.status, StatusCode::OK);
    }
    for n in 0..7 {
        let reply = gateways[1].post(&key, "/v1/chat/completions", chat(1_000)).await;
        assert_eq!(reply.status, StatusCode::OK, "{n}: {}", reply.text());
    }
    gateways[0].rows().await;
    gateways[1].rows().await;
    assert_eq!(settled(&gateways[1], &id).await["spent_usd"], "0.018000000");
}

#[tokio::test]
async fn every_budget_of_the_line_counts() {
    let db = Database::sqlite();
    let upstream = upstream(100_000).await;
    let more = "budgets:\n  - { name: search, team: search, usd: \"0.45\", period: month }\n\
        \x20 - { name: dev, tag: env=dev, usd: \"0.25\", period: day, time_zone: Europe/Berlin }\n\
        \x20 - { name: model, model: up/priced, usd: \"1.25\", period: week }\n\
        \x20 - { name: up, provider: up, usd: \"1.05\", period: total }\n\
        \x20 - { name: user, user: ada, usd: \"0.25\", period: hour }\n\
        \x20 - { name: org, organization: acme, usd: \"0.25\", period: hour }\n\
        \x20 - { name: own, key: \"config:ci\", usd: \"0.05\", period: hour }\n\
        keys: [{ name: ci, key: a-declared-key-of-the-test }]\n";
    let gateway = gateway(&db, &upstream, more).await;
    let (_, plain) = gateway.key(json!({})).await;
    let (_, team) = gateway.key(json!({"team_id": "search"})).await;
    let (_, user) = gateway.key(json!({"user_id": "ada"})).await;
    let (_, org) = gateway.key(json!({"organization_id": "acme"})).await;
    let ask = async |key: &str, tags: &str| {
        let auth = format!("Bearer {key}");
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-tags", tags)];
        let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, chat(100_000).to_string()).await;
        match reply.status {
            StatusCode::OK => "ok".to_owned(),
            _ => reply.json()["error"]["message"].as_str().unwrap().split('\'').nth(1).unwrap().to_owned(),
        }
    };
    assert_eq!(ask("a-declared-key-of-the-test", "").await, "own");
    assert_eq!(ask(&team, "").await, "ok");
    assert_eq!(ask(&team, "env=dev").await, "ok");
    assert_eq!(ask(&team, "").await, "search");
    assert_eq!(ask(&plain, "env=dev").await, "dev");
    assert_eq!(ask(&plain, "env=prod").await, "ok");
    assert_eq!(ask(&user, "").await, "ok");
    assert_eq!(ask(&user, "").await, "user");
    assert_eq!(ask(&org, "").await, "ok");
    // Five have been served, 1.00 in all: the provider's is used up.
    assert_eq!(ask(&plain, "").await, "up");
    gateway.rows().await;
    eventually("all is written", async || {
        let listed = gateway.admin(Method::GET, "/admin/v1/budgets", Value::Null).await.json();
        let spent = |name: &str| {
            let found = listed["data"].as_array().unwrap().iter().find(|budget| budget["name"] == name).unwrap();
            found["window"]["spent_usd"].as_str().unwrap().to_owned()
        };
        (["search", "dev", "model", "up"].map(spent) == ["0.400000000", "0.200000000", "1.000000000", "1.000000000"])
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_period_begins_anew_and_a_raise_is_for_a_while() {
    let db = Database::sqlite();
    let upstream = upstream(100_000).await;
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(one_provider(&upstream.url())).database(&db.url).clock(clock.clone()).start().await;
    let (id, key) = gateway.key(json!({"budget": {"usd": "0.25", "period": "hour"}})).await;
    let ask = async || gateway.post(&key, "/v1/chat/completions", chat(100_000)).await.status;
    assert_eq!((ask().await, ask().await), (StatusCode::OK, StatusCode::PAYMENT_REQUIRED));
    clock.advance(Duration::from_secs(3600 - 400 - 1));
    assert_eq!(ask().await, StatusCode::PAYMENT_REQUIRED, "one second before the hour is over");
    clock.advance(Duration::from_secs(1));
    assert_eq!((ask().await, ask().await), (StatusCode::OK, StatusCode::PAYMENT_REQUIRED));
    let path = format!("/admin/v1/budgets/bud_{id}/raise");
    let raised = gateway.admin(Method::POST, &path, json!({"usd": "0.25", "until": "30m"})).await;
    assert_eq!(raised.status, StatusCode::OK, "{}", raised.text());
    assert_eq!((ask().await, ask().await), (StatusCode::OK, StatusCode::PAYMENT_REQUIRED));
}

#[tokio::test]
async fn what_is_left_is_carried_over_where_that_is_wanted() {
    let db = Database::sqlite();
    let upstream = upstream(100_000).await;
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(one_provider(&upstream.url())).database(&db.url).clock(clock.clone()).start().await;
    for (carry_over, second) in [(false, 1), (true, 2)] {
        let (_, key) =
            gateway.key(json!({"budget": {"usd": "0.25", "period": "hour", "carry_over": carry_over}})).await;
        clock.advance(Duration::from_secs(3600));
        let replies = join_all((0..5).map(|_| gateway.post(&key, "/v1/chat/completions", chat(100_000)))).await;
        assert_eq!(count(&replies, StatusCode::OK), second, "carry_over: {carry_over}");
    }
}

#[tokio::test]
async fn what_has_no_price_is_refused_under_a_budget_or_allowed() {
    for (policy, status) in [("refuse", StatusCode::PAYMENT_REQUIRED), ("allow", StatusCode::OK)] {
        let db = Database::sqlite();
        let upstream = upstream(1).await;
        let gateway = gateway(&db, &upstream, &format!("budget_policy: {{ unpriced: {policy} }}\n")).await;
        let (_, key) = gateway.key(json!({"budget": {"usd": "1", "period": "day"}})).await;
        let body = json!({"model": "up/nobody-knows", "messages": [{"role": "user", "content": "hi"}]});
        let reply = gateway.post(&key, "/v1/chat/completions", body.clone()).await;
        assert_eq!(reply.status, status, "{policy}");
        if status != StatusCode::OK {
            assert_eq!((reply.code().as_str(), &reply.json()["error"]["param"]), ("price_unknown", &json!("model")));
        }
        assert_eq!(gateway.post(&gateway.plain_key().await, "/v1/chat/completions", body).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn before_budgets_are_known_requests_are_refused_or_allowed() {
    for (policy, status) in [("refuse", StatusCode::SERVICE_UNAVAILABLE), ("allow", StatusCode::OK)] {
        let upstream = upstream(1).await;
        let yaml = format!(
            "{}keys: [{{ name: ci, key: a-declared-key-of-the-test }}]\nbudget_policy: {{ unknown: {policy} }}\n",
            one_provider(&upstream.url())
        );
        let gateway = Setup::new(yaml).database("postgres://nobody@127.0.0.1:1/nothing").start().await;
        let reply = gateway.post("a-declared-key-of-the-test", "/v1/chat/completions", chat(1)).await;
        assert_eq!(reply.status, status, "{policy}: {}", reply.text());
        if status != StatusCode::OK {
            assert_eq!(reply.code(), "budget_unavailable");
        }
    }
}

on_both!(what_budgets_come_to_is_told);

async fn what_budgets_come_to_is_told(db: Database) {
    let upstream = upstream(100_000).await;
    let more = "keys:\n  - { name: ci, key: a-declared-key-of-the-test, organization_id: acme, \
        budget: { usd: \"0.50\", period: month, thresholds: [30, 100] } }\n\
        budgets: [{ name: all-of-acme, organization: acme, usd: \"10\", period: total }]\n";
    let gateway = gateway(&db, &upstream, more).await;
    let key = "a-declared-key-of-the-test";
    for status in [StatusCode::OK, StatusCode::OK, StatusCode::PAYMENT_REQUIRED] {
        assert_eq!(gateway.post(key, "/v1/chat/completions", chat(100_000)).await.status, status);
        // Each written by itself, so that each is seen to reach what it reaches.
        gateway.rows().await;
    }
    // No price is known for this one, and no budget has a say in it.
    let body = json!({"model": "up/nobody-knows", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.post(&gateway.plain_key().await, "/v1/chat/completions", body).await.status, StatusCode::OK);
    gateway.rows().await;
    let events = async |kind: &str| {
        let path = format!("/admin/v1/alerts/events?kind={kind}");
        gateway.admin(Method::GET, &path, Value::Null).await.json()["data"].as_array().unwrap().clone()
    };
    let reached = eventually("a threshold", async || events("budget.threshold").await.first().cloned()).await;
    let told = &reached["data"];
    assert_eq!((&told["percent"], &told["budget"]["name"]), (&json!(30), &json!("ci")), "{reached}");
    assert_eq!((&told["spent_usd"], &told["limit_usd"]), (&json!("0.200000000"), &json!("0.500000000")));
    let refused = events("budget.exceeded").await;
    assert_eq!((refused.len(), &refused[0]["data"]["budget"]["scope"]), (1, &json!("key")), "{refused:?}");
    let unknown = events("price.unknown").await;
    assert_eq!((unknown.len(), &unknown[0]["data"]["provider"]), (1, &json!("up")), "{unknown:?}");
    let listed = gateway.admin(Method::GET, "/admin/v1/budgets?scope=organization", Value::Null).await.json();
    assert_eq!(listed["data"][0]["window"]["spent_usd"], "0.400000000");
}

#[tokio::test]
async fn a_cheaper_target_is_taken_where_the_first_cannot_be_paid() {
    let db = Database::sqlite();
    let upstream = upstream(100_000).await;
    let more = "  up/cheap: { input: \"0.10\", output: \"0.20\" }\nmodels:\n  best: { targets: [{ provider: up, model: priced }, { provider: up, model: cheap }] }\n";
    let gateway = gateway(&db, &upstream, more).await;
    let (_, key) = gateway.key(json!({"budget": {"usd": "0.10", "period": "day"}})).await;
    let mut body = chat(100_000);
    body["model"] = json!("best");
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    assert_eq!((reply.status, reply.header("x-weir-model")), (StatusCode::OK, Some("cheap")), "{}", reply.text());
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_prompt_that_fits_when_it_is_counted_is_served() {
    let db = Database::sqlite();
    let upstream = upstream(1).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai, base_url: \"{}\", api_key: upstream-secret, default: true }}\nprices:\n  up/gpt-4o-mini: {{ input: \"1.00\", output: \"2.00\" }}\n",
        upstream.url()
    );
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let (_, key) = gateway.key(json!({"budget": {"usd": "0.004", "period": "day"}})).await;
    // Eight thousand bytes are some two thousand tokens.
    let body = json!({"model": "up/gpt-4o-mini", "max_tokens": 1, "messages": [{"role": "user", "content": "so it is. ".repeat(800)}]});
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

/// A provider of OpenAI's models, and one that only the configuration knows.
async fn of_openai(db: &Database, upstream: &Upstream) -> Gateway {
    let yaml = format!(
        "providers:\n  up: {{ kind: openai, base_url: \"{}\", api_key: upstream-secret }}\nprices:\n  up/priced: {{ input: \"1.00\", output: \"2.00\" }}\n",
        upstream.url()
    );
    Setup::new(yaml).database(&db.url).start().await
}

/// One nano-dollar less, as decimal text.
fn one_less(usd: &str) -> String {
    let nano: i64 = usd.replace('.', "").parse().unwrap();
    format!("{}.{:09}", (nano - 1) / 1_000_000_000, (nano - 1) % 1_000_000_000)
}

/// Posts a body in OpenAI's or, with its version, in Anthropic's form.
async fn post_as(gateway: &Gateway, key: &str, path: &str, body: &Value) -> Reply {
    let auth = format!("Bearer {key}");
    let mut headers = vec![("authorization", auth.as_str()), ("content-type", "application/json")];
    if body["system"].is_string() {
        headers.push(("anthropic-version", "2023-06-01"));
    }
    gateway.request(Method::POST, path, &headers, body.to_string()).await
}

/// What the estimate says of the body's one target: a budget of that much lets it through, a budget of
/// one nano-dollar less refuses it and says why.
async fn check_worst(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let told = post_as(gateway, &gateway.plain_key().await, "/v1/estimate", body).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text());
    let told = told.json()["targets"][0].clone();
    let worst = told["worst_usd"].as_str().unwrap_or_else(|| panic!("{told:#}")).to_owned();
    for (usd, status) in [(worst.clone(), StatusCode::OK), (one_less(&worst), StatusCode::PAYMENT_REQUIRED)] {
        let (_, key) = gateway.key(json!({"budget": {"usd": usd, "period": "total"}})).await;
        let reply = post_as(gateway, &key, path, body).await;
        assert_eq!(reply.status, status, "{usd} of {worst} for {body}: {}", reply.text());
        if status == StatusCode::PAYMENT_REQUIRED {
            assert!(reply.text().contains(&format!("could cost {worst} USD")), "{}", reply.text());
        }
    }
    told
}

#[tokio::test]
async fn the_estimate_is_what_a_budget_must_have_left() {
    let db = Database::sqlite();
    let upstream = upstream(1).await;
    let gateway = of_openai(&db, &upstream).await;
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "what?"}]);
    let user = |content: Value| json!([{"role": "user", "content": content}]);
    let chats = [
        chat(100),
        json!({"model": "up/gpt-4o-mini", "max_tokens": 50, "messages": user(json!("so it is. ".repeat(50)))}),
        json!({"model": "up/gpt-4o-mini", "n": 3, "messages": user(json!("hi"))}),
        json!({"model": "up/gpt-4o-mini", "service_tier": "default", "max_tokens": 1, "messages": user(json!("hi"))}),
        json!({"model": "up/gpt-4o-mini", "max_tokens": 1, "messages": user(image.clone())}),
    ];
    for body in &chats {
        check_worst(&gateway, "/v1/chat/completions", body).await;
    }
    let assumed =
        check_worst(&gateway, "/v1/chat/completions", &json!({"model": "up/priced", "messages": user(image)})).await;
    assert_eq!(assumed["most_output_tokens"], 32_768);
    let words = assumed["assumes"].to_string();
    assert!(words.contains("at most 2 pictures") && words.contains("no max_tokens"), "{words}");
    let responses = json!({"model": "up/gpt-4o-mini", "input": "hi", "max_output_tokens": 20});
    let told = check_worst(&gateway, "/v1/responses", &responses).await;
    assert_eq!(told["assumes"], json!([]));
    let messages =
        json!({"model": "up/gpt-4o-mini", "max_tokens": 9, "system": "be brief", "messages": user(json!("hi"))});
    check_worst(&gateway, "/v1/messages", &messages).await;
}

#[tokio::test]
async fn searches_that_the_provider_runs_are_held() {
    let db = Database::sqlite();
    let upstream = upstream(1).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai, base_url: \"{}\", api_key: upstream-secret }}\nprices:\n  \
         up/finder: {{ input: \"1.00\", output: \"2.00\", per_web_search: \"0.01\" }}\n",
        upstream.url()
    );
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let messages = |tools: Value| {
        json!({"model": "up/finder", "max_tokens": 9, "system": "be brief", "tools": tools,
        "messages": [{"role": "user", "content": "what is new?"}]})
    };
    let responses = |more: Value| {
        let mut body = json!({"model": "up/finder", "input": "what is new?", "max_output_tokens": 9});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let estimate =
        async |body: Value| post_as(&gateway, &gateway.plain_key().await, "/v1/estimate", &body).await.json();
    // A cent each, and what each finds.
    let nano = |told: &Value| told["worst_usd"].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    let prompt = |told: &Value| told["most_input_tokens"].as_u64().unwrap();
    let bounded = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]);
    let told = estimate(messages(bounded)).await["targets"][0].clone();
    assert_eq!(told["most_web_searches"], 3, "{told:#}");
    assert_eq!(nano(&told), prompt(&told) * 1_000 + 9 * 2_000 + 3 * 10_000_000);
    assert!(prompt(&told) > 3 * 8_192 && prompt(&told) < 3 * 8_192 + 500, "{told:#}");
    for (more, searches, assumed) in [
        (json!({"tools": [{"type": "web_search"}], "max_tool_calls": 2}), 2, false),
        (json!({"tools": [{"type": "web_search_preview"}]}), 10, true),
        (json!({"tools": [{"type": "function", "name": "web_search", "parameters": {}}]}), 0, false),
    ] {
        let told = check_worst(&gateway, "/v1/responses", &responses(more)).await;
        assert_eq!(told["most_web_searches"], searches, "{told:#}");
        assert_eq!(nano(&told), prompt(&told) * 1_000 + 9 * 2_000 + searches * 10_000_000);
        assert_eq!(told["assumes"].to_string().contains("10 searches"), assumed, "{told:#}");
    }
    let told = estimate(responses(json!({"tools": [{"type": "web_search"}]}))).await;
    assert_eq!(told["excludes"], json!([]), "{told:#}");
    let told =
        estimate(responses(json!({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}))).await;
    assert_eq!(told["excludes"].as_array().unwrap().len(), 1, "{told:#}");
}

#[tokio::test]
async fn an_answer_that_searched_more_than_was_held_is_charged_in_full() {
    let db = Database::sqlite();
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "server_tool_use": {"web_search_requests": 9}});
    let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "a"}],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    let upstream = Upstream::scripted(vec![Script::json(answer.to_string())]).await;
    let yaml = format!(
        "providers:\n  ant: {{ kind: anthropic, base_url: \"{}\", api_key: upstream-secret }}\nprices:\n  \
         ant/finder: {{ input: \"1.00\", output: \"2.00\", per_web_search: \"0.01\" }}\n",
        upstream.url()
    );
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let (id, key) = gateway.key(json!({"budget": {"usd": "0.05", "period": "total"}})).await;
    let body = json!({"model": "ant/finder", "max_tokens": 9, "system": "be brief",
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}],
        "messages": [{"role": "user", "content": "what is new?"}]});
    let reply = post_as(&gateway, &key, "/v1/messages", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(settled(&gateway, &id).await["spent_usd"], "0.090020000");
    let next = post_as(&gateway, &key, "/v1/messages", &body).await;
    assert_eq!(
        (next.status, upstream.seen().len()),
        (StatusCode::PAYMENT_REQUIRED, 1),
        "the next waits until it is paid"
    );
}

#[tokio::test]
async fn a_session_that_runs_away_is_stopped() {
    let db = Database::sqlite();
    let upstream = upstream(100_000).await;
    let brake = "brake: { session_usd: \"0.35\", session_turns: 3, repeats: 1, idle: 1h }\n";
    let clock = Clock::mock(EPOCH);
    let yaml = format!("{}{brake}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).database(&db.url).clock(clock.clone()).start().await;
    let key = gateway.plain_key().await;
    let auth = format!("Bearer {key}");
    let ask = async |session: (&str, &str), max_tokens: u64, user: Value| {
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), session];
        let mut body = chat(max_tokens);
        body["model"] = json!(if max_tokens == 100_000 { "up/priced" } else { "up/free" });
        if !user.is_null() {
            body["user"] = user;
        }
        let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
        match reply.status {
            StatusCode::OK => "ok".to_owned(),
            status => {
                assert_eq!((status, reply.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "session_stopped"));
                let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
                message.split("brake.").nth(1).unwrap().split(')').next().unwrap().to_owned()
            }
        }
    };
    let named = ("x-weir-session", "one");
    for _ in 0..2 {
        assert_eq!(ask(named, 100_000, Value::Null).await, "ok");
    }
    assert_eq!(ask(named, 100_000, Value::Null).await, "session_usd");
    let tagged = ("x-weir-tags", "session=two");
    for n in 1..=3 {
        assert_eq!(ask(tagged, n, Value::Null).await, "ok");
    }
    assert_eq!(ask(tagged, 4, Value::Null).await, "session_turns");
    let nothing = ("accept", "application/json");
    let user = || json!("three");
    assert_eq!(
        [ask(nothing, 1, user()).await, ask(nothing, 1, user()).await, ask(nothing, 1, user()).await],
        ["ok", "ok", "repeats"]
    );
    // Whoever names no session has none.
    for _ in 0..5 {
        assert_eq!(ask(nothing, 1, Value::Null).await, "ok");
    }
    clock.advance(Duration::from_secs(3601));
    assert_eq!(ask(named, 1, Value::Null).await, "ok", "a session unheard of for so long is another");
}

#[tokio::test]
async fn the_books_agree_and_a_difference_is_found() {
    for db in [Database::sqlite(), Database::postgres().await] {
        let upstream = upstream(100_000).await;
        let gateway = gateway(&db, &upstream, "").await;
        let (_, key) = gateway.key(json!({"budget": {"usd": "1.05", "period": "total"}})).await;
        for _ in 0..6 {
            gateway.post(&key, "/v1/chat/completions", chat(100_000)).await;
        }
        gateway.rows().await;
        let check = async || gateway.admin(Method::GET, "/admin/v1/reconcile?from=1970-01-01", Value::Null).await;
        let agreed = check().await;
        assert_eq!(agreed.status, StatusCode::OK, "{}", agreed.text());
        let agreed = agreed.json();
        assert_eq!(
            (&agreed["agrees"], &agreed["rows"], &agreed["cost_usd"]),
            (&json!(true), &json!(6), &json!("1.000000000"))
        );
        disturb(&db).await;
        let job = weir::jobs::reconcile::Reconcile::new(std::sync::Arc::clone(&gateway.app.gateway));
        assert_eq!(
            job.look().await.unwrap(),
            1,
            "the hour's sum; the budget has no end and is not looked at each hour"
        );
        assert!(gateway.get("", "/metrics").await.text().contains("weir_ledger_mismatches 1"));
        let events =
            gateway.admin(Method::GET, "/admin/v1/alerts/events?kind=ledger.mismatch", Value::Null).await.json();
        assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
        let found = check().await.json();
        assert_eq!(found["agrees"], false);
        let told: Vec<&str> =
            found["mismatches"].as_array().unwrap().iter().map(|m| m["what"].as_str().unwrap()).collect();
        assert!(
            told.iter().any(|what| what.starts_with("cost of hour"))
                && told.iter().any(|what| what.starts_with("spent of budget")),
            "{told:?}"
        );
    }
}

/// Somebody has been at the books.
async fn disturb(db: &Database) {
    for change in
        ["UPDATE usage_hourly SET cost_nano = cost_nano + 1", "UPDATE budget_windows SET spent_nano = spent_nano - 1"]
    {
        if db.url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
            sqlx::query(change).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(&db.url).await.unwrap();
            sqlx::query(change).execute(&mut connection).await.unwrap();
        }
    }
}
