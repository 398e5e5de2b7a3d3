//! A second target is asked when the first takes too long: whose answer it is, what it costs, and how often.

use std::sync::Arc;

use tokio::sync::Notify;

use super::*;
use crate::support::gateway::eventually;

const HEDGED: &str = "hedge: { after: 20ms, max_percent: 100 }, retries: { attempts: 1 }";
const SSE: &[&str] = &[
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
    "data: [DONE]\n\n",
];

fn hedged(urls: &[&str], more: &str) -> String {
    let names = ["a", "b", "c"].iter().zip(urls);
    let targets: Vec<String> = names.map(|(name, _)| format!("{{ provider: {name}, model: x }}")).collect();
    let prices = "prices:\n  a/x: { input: \"10\", output: \"20\" }\n";
    let prices =
        if urls.len() > 1 { format!("{prices}  b/x: {{ input: \"1\", output: \"2\" }}\n") } else { prices.to_owned() };
    routed(urls, "", &format!("  m: {{ targets: [{}], {HEDGED}{more} }}\n{prices}", targets.join(", ")))
}

fn body() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello there, who are you?"}]})
}

async fn hanging() -> Upstream {
    Upstream::scripted(vec![Script::new(200, "application/json", vec![Step::Hang])]).await
}

async fn count(bench: &Bench, outcome: &str) -> f64 {
    let text = bench.gateway.get("", "/metrics").await.text();
    let name = format!("weir_hedges_total{{model=\"m\",outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn the_second_answers_where_the_first_takes_too_long() {
    let (slow, quick) = (hanging().await, ok().await);
    let bench = Bench::new(hedged(&[&slow.url(), &quick.url()], "")).await;
    let reply = bench.ask(body(), &[]).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, ANSWER));
    assert_eq!((reply.header("x-weir-provider"), reply.header("x-weir-model")), (Some("b"), Some("x")));
    eventually("the slow one being let go", async || (slow.dropped().len() == 1).then_some(())).await;
    let row = bench.gateway.only_row().await;
    assert_eq!(attempts(&row), ["a outpaced", "b ok"]);
    // The answer's tokens at b's price, and the prompt at a's, as estimated by its size.
    let prompt = row["input_tokens"].as_i64().unwrap() - 1;
    assert!((10..40).contains(&prompt), "{row}");
    assert_eq!(row["cost_usd"], format!("0.{:09}", 3_000 + prompt * 10_000), "{row}");
    assert_eq!((&row["estimated"], &row["provider"]), (&json!(true), &json!("b")));
    assert_eq!(count(&bench, "won").await, 1.0);
}

#[tokio::test]
async fn the_first_may_still_be_the_quicker_one() {
    let go = Arc::new(Notify::new());
    let answer = Script::new(200, "application/json", vec![Step::Until(Arc::clone(&go)), Step::send(ANSWER)]);
    let (first, second) = (Upstream::scripted(vec![answer]).await, hanging().await);
    let bench = Bench::new(hedged(&[&first.url(), &second.url()], "")).await;
    let release = async {
        eventually("the second being asked", async || (second.seen().len() == 1).then_some(())).await;
        go.notify_one();
    };
    let (reply, ()) = tokio::join!(bench.ask(body(), &[]), release);
    assert_eq!((reply.header("x-weir-provider"), reply.text().as_str()), (Some("a"), ANSWER));
    let row = bench.gateway.only_row().await;
    assert_eq!(attempts(&row), ["b outpaced", "a ok"]);
    let prompt = row["input_tokens"].as_i64().unwrap() - 1;
    assert_eq!(row["cost_usd"], format!("0.{:09}", 30_000 + prompt * 1_000), "{row}");
    assert_eq!(count(&bench, "lost").await, 1.0);
}

#[tokio::test]
async fn streams_are_hedged_until_their_first_event() {
    let slow = Upstream::scripted(vec![Script::stream(vec![Step::send(": still here\n\n"), Step::Hang])]).await;
    let quick = Upstream::scripted(vec![Script::sse(SSE)]).await;
    let bench = Bench::new(hedged(&[&slow.url(), &quick.url()], "")).await;
    let mut asked = body();
    asked["stream"] = true.into();
    asked["stream_options"] = json!({"include_usage": true});
    let reply = bench.ask(asked, &[]).await;
    assert!(
        reply.text().contains("\"content\":\"hi\"") && reply.text().ends_with("data: [DONE]\n\n"),
        "{}",
        reply.text()
    );
    let row = bench.gateway.only_row().await;
    assert_eq!((attempts(&row), &row["status"]), (vec!["a outpaced".to_owned(), "b ok".to_owned()], &json!("ok")));
}

#[tokio::test]
async fn hedges_are_a_share_of_the_requests_and_of_their_cost() {
    let (slow, quick) = (hanging().await, ok().await);
    let late = || Script::json(ANSWER).delayed(Duration::from_millis(60));
    let first = Upstream::scripted(vec![late()]).await;
    let yaml = |percent: u64, second: &str, price: &str| {
        let models = format!(
            "  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}], hedge: {{ after: 20ms, max_percent: {percent} }} }}\n"
        );
        routed(&[&first.url(), second], "", &models)
            + "prices:\n  a/x: { input: \"1\", output: \"1\" }\n"
            + &format!("  b/x: {{ input: \"{price}\", output: \"{price}\" }}\n")
    };
    let bench = Bench::new(yaml(50, &slow.url(), "1")).await;
    for _ in 0..4 {
        assert_eq!(bench.ask(body(), &[]).await.header("x-weir-provider"), Some("a"));
    }
    assert_eq!((count(&bench, "capped").await, count(&bench, "lost").await), (2.0, 2.0), "every second one");
    let bench = Bench::new(yaml(100, &quick.url(), "2")).await;
    for n in 0..4 {
        let by = if n % 2 == 0 { "a" } else { "b" };
        assert_eq!(bench.ask(body(), &[]).await.header("x-weir-provider"), Some(by), "twice as dear, half as often");
    }
}

#[tokio::test]
async fn the_wait_is_what_nearly_all_answers_take() {
    let slow = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_slow = Arc::clone(&slow);
    let first = Upstream::start(move |_| match is_slow.load(std::sync::atomic::Ordering::Relaxed) {
        true => Script::new(200, "application/json", vec![Step::Hang]),
        false => Script::json(ANSWER),
    })
    .await;
    let second = ok().await;
    let models =
        "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], hedge: { percentile: 99 } }\n";
    let bench = Bench::new(routed(&[&first.url(), &second.url()], "", models)).await;
    for _ in 0..20 {
        assert_eq!(bench.explain(body()).await["hedge"], Value::Null, "too little is known");
        assert_eq!(bench.by().await, "a");
    }
    let shown = &bench.explain(body()).await["hedge"];
    assert_eq!(shown, &json!({"target": "b/x", "after_ms": 0, "max_percent": 5}));
    slow.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(bench.by().await, "b");
}

#[tokio::test]
async fn what_failed_beside_the_first_is_not_asked_again() {
    let go = Arc::new(Notify::new());
    let answer = Script { status: 500, ..Script::new(200, "application/json", vec![Step::Until(Arc::clone(&go))]) };
    let (first, second, third) = (Upstream::scripted(vec![answer]).await, failing(500).await, ok().await);
    let bench = Bench::new(hedged(&[&first.url(), &second.url(), &third.url()], "")).await;
    let release = async {
        eventually("the second failing", async || (second.seen().len() == 1).then_some(())).await;
        go.notify_one();
    };
    let (reply, ()) = tokio::join!(bench.ask(body(), &[]), release);
    assert_eq!(reply.header("x-weir-provider"), Some("c"));
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    let row = bench.gateway.only_row().await;
    assert_eq!(attempts(&row).last().unwrap(), "c ok");
    assert_eq!(row["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(count(&bench, "failed").await, 1.0);
}

#[tokio::test]
async fn a_lone_target_is_asked_twice() {
    let answers = vec![Script::new(200, "application/json", vec![Step::Hang]), Script::json(ANSWER)];
    let only = Upstream::scripted(answers).await;
    let bench = Bench::new(hedged(&[&only.url()], "")).await;
    assert_eq!(bench.ask(body(), &[]).await.text(), ANSWER);
    assert_eq!(attempts(&bench.gateway.only_row().await), ["a outpaced", "a ok"]);
}

#[tokio::test]
async fn budgets_hold_both_and_are_charged_what_the_row_says() {
    let (slow, quick) = (hanging().await, ok().await);
    let bench = Bench::new(hedged(&[&slow.url(), &quick.url()], "")).await;
    let (id, key) = bench.gateway.key(json!({"budget": {"usd": "1", "period": "total"}})).await;
    let shown = async || {
        bench.gateway.rows().await;
        // The keeper says once a second what is idle.
        bench.clock.advance(Duration::from_secs(1));
        bench.gateway.admin(Method::GET, &format!("/admin/v1/keys/{id}"), Value::Null).await.json()
    };
    let mut asked = body();
    asked["max_tokens"] = 1000.into();
    let reply = bench.gateway.post(&key, "/v1/chat/completions", &asked).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let row = bench.gateway.only_row().await;
    let budget = eventually("the budget being settled", async || {
        let budget = shown().await["budget"].clone();
        (budget["reserved_usd"] == "0.000000000").then_some(budget)
    })
    .await;
    assert_eq!(budget["spent_usd"], row["cost_usd"]);
    // 1,000 tokens of each target at most: 0.02 and 0.002. Where only one of them has room, there is one.
    let (_, poor) = bench.gateway.key(json!({"budget": {"usd": "0.021", "period": "total"}})).await;
    let asking = bench.gateway.post(&poor, "/v1/chat/completions", &asked);
    let gave_up = tokio::time::timeout(Duration::from_millis(300), asking).await;
    assert!(
        gave_up.is_err() && quick.seen().len() == 1,
        "the second target is not affordable, so nobody is asked twice"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_both() {
    let (slow, slower) = (hanging().await, hanging().await);
    let bench = Bench::new(hedged(&[&slow.url(), &slower.url()], "")).await;
    let leave = async {
        eventually("both being asked", async || (slow.seen().len() + slower.seen().len() == 2).then_some(())).await;
    };
    tokio::select! {
        reply = bench.ask(body(), &[]) => panic!("nobody answers: {}", reply.text()),
        () = leave => {}
    }
    eventually("both being let go", async || (slow.dropped().len() + slower.dropped().len() == 2).then_some(())).await;
    let row = bench.gateway.only_row().await;
    let mut tries = attempts(&row);
    tries.sort();
    assert_eq!(
        (tries, &row["status"]),
        (vec!["a cancelled".to_owned(), "b cancelled".to_owned()], &json!("cancelled"))
    );
    // Both had the prompt.
    let prompt = row["input_tokens"].as_i64().unwrap();
    assert!((20..80).contains(&prompt) && row["cost_usd"] != "0.000000000", "{row}");
    assert_eq!(bench.provider("a").await["in_flight"], 0);
}

#[tokio::test]
async fn a_request_that_is_wrong_is_not_saved_by_its_hedge() {
    let go = Arc::new(Notify::new());
    let no = r#"{"error":{"message":"no such voice","type":"invalid_request_error","param":"voice","code":null}}"#;
    let answer = Script {
        status: 400,
        ..Script::new(200, "application/json", vec![Step::Until(Arc::clone(&go)), Step::send(no)])
    };
    let (first, second) = (Upstream::scripted(vec![answer]).await, hanging().await);
    let bench = Bench::new(hedged(&[&first.url(), &second.url()], "")).await;
    let release = async {
        eventually("the second being asked", async || (second.seen().len() == 1).then_some(())).await;
        go.notify_one();
    };
    let (reply, ()) = tokio::join!(bench.ask(body(), &[]), release);
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text().contains("no such voice"), "{}", reply.text());
    let row = bench.gateway.only_row().await;
    assert_eq!(row["attempts"].as_array().unwrap().len(), 2, "{row}");
}

#[tokio::test]
async fn an_answer_that_the_provider_stores_is_asked_for_once() {
    let (first, second) = (ok().await, ok().await);
    let bench = Bench::new(hedged(&[&first.url(), &second.url()], "")).await;
    for (store, is_hedged) in [(json!(true), false), (json!(false), true), (Value::Null, true)] {
        let mut asked = body();
        if !store.is_null() {
            asked["store"] = store.clone();
        }
        assert_eq!(bench.explain(asked).await["hedge"].is_object(), is_hedged, "store: {store}");
    }
}
