//! Shadow traffic: copies of requests, of which their callers notice nothing.

mod bounds;
mod paid;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Reply, Setup, eventually};
use crate::support::upstream::{Script, Step, Upstream};

/// 2026-11-18T11:06:40Z
const EPOCH: i64 = 1_795_000_000_000;

fn answer(text: &str) -> Script {
    Script::json(
        json!({
            "id": "c", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        })
        .to_string(),
    )
}

fn streamed(texts: &[&str]) -> Script {
    let mut out: Vec<String> = texts
        .iter()
        .map(|text| format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]})))
        .collect();
    out.push("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned());
    out.push(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n"
            .to_owned(),
    );
    Script::sse(&out.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Model `m` at `a`, copied to `b` with these settings. At `a` a million tokens cost a dollar, at `b` two.
fn yaml(a: &Upstream, b: &Upstream, shadow: &str) -> String {
    with(a, &format!("  b: {{ kind: openai-compatible, base_url: \"{}\", api_key: s-b }}\n", b.url()), shadow)
}

fn with(a: &Upstream, b: &str, shadow: &str) -> String {
    format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{}\", api_key: s-a }}\n{b}\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}], retries: {{ attempts: 1 }}, shadow: {{ provider: b, model: y{shadow} }} }}\n\
         prices:\n  a/x: {{ input: \"1\", output: \"1\" }}\n  b/y: {{ input: \"2\", output: \"2\" }}\n",
        a.url()
    )
}

fn chat(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

async fn ask(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    let reply = gateway.post(key, "/v1/chat/completions", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply
}

/// The pairs, the newest first, once there are so many.
async fn pairs(gateway: &Gateway, count: usize) -> Vec<Value> {
    eventually("the pairs are written down", async || {
        let listed = gateway.admin(Method::GET, "/admin/v1/shadows", Value::Null).await;
        assert_eq!(listed.status, StatusCode::OK, "{}", listed.text());
        let data = listed.json()["data"].as_array().unwrap().clone();
        (data.len() >= count).then_some(data)
    })
    .await
}

async fn pair(gateway: &Gateway) -> Value {
    let pairs = pairs(gateway, 1).await;
    assert_eq!(pairs.len(), 1, "{pairs:#?}");
    pairs[0].clone()
}

async fn metric(gateway: &Gateway, line: &str) -> u64 {
    let text = gateway.get("", "/metrics").await.text();
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
}

async fn outcome(gateway: &Gateway, outcome: &str) -> u64 {
    metric(gateway, &format!("weir_shadows_total{{outcome=\"{outcome}\"}}")).await
}

on_both!(what_differs_is_written_down, what_pairs_come_to_is_told_by_route_and_target);

async fn what_differs_is_written_down(db: Database) {
    let a = Upstream::scripted(vec![answer("the cat sat on the mat")]).await;
    let b = Upstream::scripted(vec![answer("the cat sat on the rug")]).await;
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(yaml(&a, &b, "")).clock(clock).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    let reply = ask(&gateway, &key, &chat(false)).await;
    let Step::Send(sent) = answer("the cat sat on the mat").steps[0].clone() else { unreachable!() };
    assert_eq!(reply.body, sent, "the caller gets the answer as it came");
    assert_eq!(reply.header("x-weir-provider"), Some("a"));
    let pair = pair(&gateway).await;
    let (of, copy) = (&pair["original"], &pair["shadow"]);
    assert_eq!((&of["request_id"], &copy["request_id"]), (&json!(reply.header("x-request-id")), &pair["id"]));
    assert_eq!((&of["target"], &copy["target"], &pair["route"]), (&json!("a/x"), &json!("b/y"), &json!("m")));
    assert_eq!((&of["status"], &copy["status"]), (&json!("ok"), &json!("ok")));
    assert_eq!((&of["cost_usd"], &copy["cost_usd"]), (&json!("0.000015000"), &json!("0.000030000")));
    assert_eq!((&of["input_tokens"], &copy["output_tokens"]), (&json!(10), &json!(5)));
    assert_eq!((&of["finish"], &copy["finish"]), (&json!(["end"]), &json!(["end"])));
    assert_eq!(
        (&of["text_bytes"], &pair["text_equal"], &pair["similarity"]),
        (&json!(22), &json!(false), &json!(0.75))
    );
    assert_eq!((&pair["tools_equal"], &pair["billed"], &pair["stream"]), (&Value::Null, &json!(false), &json!(false)));
    assert_eq!(pair["at"], "2026-11-18T11:06:40.000Z");
    assert!(!pair.to_string().contains("cat"), "nothing of what was said is kept");
    // The same bytes but for the model.
    assert_eq!(
        (b.only().json()["model"].clone(), b.only().json()["messages"].clone()),
        (json!("y"), chat(false)["messages"].clone())
    );
    assert_eq!(b.only().headers["authorization"], "Bearer s-b");
    assert_eq!(b.only().headers["x-request-id"], copy["request_id"].as_str().unwrap());
}

async fn what_pairs_come_to_is_told_by_route_and_target(db: Database) {
    let a = Upstream::scripted(vec![answer("one two three four")]).await;
    let b = Upstream::scripted(
        ["one two three four", "one two three five", "six"]
            .map(answer)
            .into_iter()
            .chain([Script::status(500, "{}")])
            .collect(),
    )
    .await;
    let more = "  b: { kind: openai-compatible, base_url: \"URL\", api_key: k, health: { failures: 0, min_requests: 1000 } }\n";
    let gateway = Setup::new(with(&a, &more.replace("URL", &b.url()), "")).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    for n in 1..=4 {
        ask(&gateway, &key, &chat(false)).await;
        pairs(&gateway, n).await;
    }
    let summary = async |query: &str| {
        let path = format!("/admin/v1/shadows/summary{query}");
        gateway.admin(Method::GET, &path, Value::Null).await.json()["data"].as_array().unwrap().clone()
    };
    let found = summary("").await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let sum = &found[0];
    assert_eq!((&sum["route"], &sum["target"], &sum["pairs"]), (&json!("m"), &json!("b/y"), &json!(4)));
    assert_eq!((&sum["compared"], &sum["text_equal"], &sum["similarity"]), (&json!(3), &json!(0.333), &json!(0.5)));
    assert_eq!(
        (&sum["original"]["failures"], &sum["shadow"]["failures"], &sum["both_ok"]),
        (&json!(0), &json!(1), &json!(3))
    );
    assert_eq!(
        (&sum["original"]["cost_usd"], &sum["shadow"]["cost_usd"]),
        (&json!("0.000060000"), &json!("0.000090000"))
    );
    assert_eq!(sum["original"]["of_both_ok"]["cost_usd"], "0.000045000");
    for side in ["original", "shadow"] {
        for figure in ["latency_ms", "ttft_ms"] {
            let of = &sum[side]["of_both_ok"][figure];
            assert!(of["p50"].as_u64().unwrap() <= of["p95"].as_u64().unwrap(), "{sum:#}");
        }
    }
    assert_eq!(summary("?route=other").await.len() + summary("?to=2020-01-01").await.len(), 0);
    assert_eq!(summary("?route=m&from=1d").await.len(), 1);
    // In pages.
    let page = async |query: &str| {
        gateway.admin(Method::GET, &format!("/admin/v1/shadows?limit=3{query}"), Value::Null).await.json()
    };
    let first = page("").await;
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (3, &json!(true)));
    let rest = page(&format!("&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["has_more"], &rest["next_cursor"]),
        (1, &json!(false), &Value::Null)
    );
    assert_eq!(rest["data"][0]["text_equal"], true, "the oldest");
    let wrong = page("&cursor=x").await;
    assert_eq!(wrong["error"]["param"], "cursor");
}

#[tokio::test]
async fn streams_are_read_to_their_end_and_compared() {
    let a = Upstream::scripted(vec![streamed(&["the cat ", "sat"])]).await;
    let b = Upstream::scripted(vec![streamed(&["the", " cat", " sat"])]).await;
    let gateway = Setup::new(yaml(&a, &b, "")).start().await;
    let key = gateway.plain_key().await;
    let plain = Setup::new(yaml(&a, &b, "").replace(", shadow: { provider: b, model: y }", "")).start().await;
    let unshadowed = ask(&plain, &plain.plain_key().await, &chat(true)).await;
    let reply = ask(&gateway, &key, &chat(true)).await;
    assert_eq!(reply.body, unshadowed.body, "byte for byte what it is without a shadow");
    let pair = pair(&gateway).await;
    assert_eq!((&pair["text_equal"], &pair["similarity"], &pair["stream"]), (&json!(true), &json!(1.0), &json!(true)));
    assert_eq!((&pair["original"]["text_bytes"], &pair["shadow"]["output_tokens"]), (&json!(11), &json!(5)));
}

#[tokio::test]
async fn a_shadow_may_speak_another_dialect() {
    let a = Upstream::scripted(vec![streamed(&["hello"]), answer("hello")]).await;
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "y", "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2}});
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"y\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n\
        event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let b = Upstream::scripted(vec![Script::sse(&[stream]), Script::json(whole.to_string())]).await;
    let more = format!("  b: {{ kind: anthropic, base_url: \"{}\", api_key: k }}\n", b.url());
    let gateway = Setup::new(with(&a, &more, "")).start().await;
    let key = gateway.plain_key().await;
    for (n, stream) in [(1, true), (2, false)] {
        ask(&gateway, &key, &chat(stream)).await;
        let pair = pairs(&gateway, n).await[0].clone();
        assert_eq!((&pair["text_equal"], &pair["stream"]), (&json!(true), &json!(stream)), "{pair:#}");
        assert_eq!((&pair["shadow"]["finish"], &pair["shadow"]["input_tokens"]), (&json!(["end"]), &json!(3)));
    }
    assert!(b.seen().iter().all(|seen| seen.path.ends_with("/messages")));
}

#[tokio::test]
async fn calls_of_tools_are_compared_by_what_they_say() {
    let called = |arguments: &str| {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [call]}, "finish_reason": "tool_calls"});
        Script::json(
            json!({"id": "c", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).to_string(),
        )
    };
    let a = Upstream::scripted(vec![called(r#"{"a":1,"b":2}"#)]).await;
    let b = Upstream::scripted(vec![called(r#"{ "b": 2, "a": 1 }"#), called(r#"{"a":2,"b":2}"#), answer("no")]).await;
    let gateway = Setup::new(yaml(&a, &b, "")).start().await;
    let key = gateway.plain_key().await;
    let mut body = chat(false);
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for (n, equal) in [(1, true), (2, false), (3, false)] {
        ask(&gateway, &key, &body).await;
        let pair = pairs(&gateway, n).await[0].clone();
        assert_eq!((&pair["tools_equal"], &pair["original"]["tool_calls"]), (&json!(equal), &json!(1)), "{pair:#}");
        assert_eq!(pair["original"]["finish"], json!(["tool_use"]));
    }
}

#[tokio::test]
async fn every_dialect_that_comes_in_is_copied() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let speaks_chat = yaml(&a, &b, "").replace(", api_key:", ", operations: [chat, models], api_key:");
    let gateway = Setup::new(speaks_chat).start().await;
    let key = gateway.plain_key().await;
    let prompts = json!([{"role": "user", "content": "hi"}]);
    let asks = [
        ("/v1/messages", json!({"model": "m", "max_tokens": 5, "messages": prompts})),
        ("/v1/responses", json!({"model": "m", "input": "hi"})),
        ("/v1beta/models/m:generateContent", json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})),
        ("/v1beta/models/m:streamGenerateContent", json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})),
    ];
    for (n, (path, body)) in asks.iter().enumerate() {
        let reply = gateway.post(&key, path, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        let pair = pairs(&gateway, n + 1).await[0].clone();
        assert_eq!(
            (&pair["text_equal"], &pair["original"]["text_bytes"]),
            (&json!(true), &json!(2)),
            "{path}: {pair:#}"
        );
    }
    let rows = gateway.rows().await;
    let endpoints: Vec<&str> =
        rows.iter().map(|row| row["endpoint"].as_str().unwrap()).filter(|name| name.starts_with("shadow/")).collect();
    assert_eq!(endpoints, ["shadow/messages", "shadow/responses", "shadow/generateContent", "shadow/generateContent"]);
    // Nobody may go on from what a copy was answered.
    let kept = rows.iter().filter(|row| row["endpoint"] == "responses").count();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn providers_are_told_to_keep_nothing_of_a_copy() {
    let said = json!({"id": "resp_1", "object": "response", "status": "completed", "model": "x", "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}});
    let a = Upstream::start({
        let said = said.clone();
        move |seen| if seen.path.ends_with("/responses") { Script::json(said.to_string()) } else { answer("hi") }
    })
    .await;
    let b =
        Upstream::start(
            move |seen| if seen.path.ends_with("/responses") { Script::json(said.to_string()) } else { answer("hi") },
        )
        .await;
    let kind = |yaml: String| yaml.replace("kind: openai-compatible", "kind: openai");
    let gateway = Setup::new(kind(yaml(&a, &b, ""))).start().await;
    let key = gateway.plain_key().await;
    gateway.post(&key, "/v1/responses", json!({"model": "m", "input": "hi"})).await;
    pairs(&gateway, 1).await;
    let mut stored = chat(false);
    stored["store"] = json!(true);
    ask(&gateway, &key, &stored).await;
    ask(&gateway, &key, &chat(false)).await;
    pairs(&gateway, 3).await;
    let told = |up: &Upstream| up.seen().iter().map(|seen| seen.json()["store"].clone()).collect::<Vec<_>>();
    assert_eq!(told(&a), [Value::Null, json!(true), Value::Null]);
    assert_eq!(told(&b), [json!(false), json!(false), Value::Null]);
    // What refers to what one provider keeps is not copied.
    let next = gateway
        .post(&key, "/v1/responses", json!({"model": "m", "input": "hi", "previous_response_id": "resp_1"}))
        .await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.text());
    ask(&gateway, &key, &chat(false)).await;
    pairs(&gateway, 4).await;
    assert_eq!(b.seen().len(), 4);
}

#[tokio::test]
async fn what_asks_for_a_fault_or_was_refused_is_not_copied() {
    let a = Upstream::scripted(vec![
        Script::status(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#),
        answer("hi"),
    ])
    .await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let yaml = yaml(&a, &b, "").replace("api_key: s-a", "api_key: s-a, faults: allowed");
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    assert_eq!(gateway.post(&key, "/v1/chat/completions", chat(false)).await.status, StatusCode::BAD_REQUEST);
    let auth = format!("Bearer {key}");
    let headers =
        [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-fault", "delay=1ms")];
    let faulty = gateway.request(Method::POST, "/v1/chat/completions", &headers, chat(false).to_string()).await;
    assert_eq!(faulty.status, StatusCode::OK, "{}", faulty.text());
    // Embeddings are no conversation.
    gateway.post(&key, "/v1/embeddings", json!({"model": "m", "input": "hi"})).await;
    gateway.post(&key, "/v1/messages/count_tokens", json!({"model": "m", "messages": []})).await;
    ask(&gateway, &key, &chat(false)).await;
    pair(&gateway).await;
    assert_eq!(b.seen().len(), 1);
}

#[tokio::test]
async fn as_many_are_copied_as_is_said() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let gateway = Setup::new(yaml(&a, &b, ", percent: 50")).start().await;
    let key = gateway.plain_key().await;
    for _ in 0..200 {
        ask(&gateway, &key, &chat(false)).await;
    }
    eventually("all are through", async || {
        (metric(&gateway, "weir_shadows_waiting").await + metric(&gateway, "weir_shadows_running").await == 0)
            .then_some(())
    })
    .await;
    // Six times the standard deviation.
    assert!((58..=142).contains(&b.seen().len()), "{}", b.seen().len());
}

#[tokio::test]
async fn where_a_copy_would_go_is_explained() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let gateway = Setup::new(yaml(&a, &a, ", percent: 30, bill: true")).start().await;
    let explained = gateway.admin(Method::POST, "/admin/v1/routes/explain", chat(false)).await.json();
    assert_eq!(explained["shadow"], json!({"target": "b/y", "percent": 30, "bill": true}));
    let key = gateway.plain_key().await;
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-weir-explain", "true")];
    let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, chat(false).to_string()).await;
    let steps: Value = serde_json::from_str(reply.header("x-weir-explain").unwrap()).unwrap();
    assert_eq!(steps[0]["shadow"], "b/y");
    let direct = json!({"model": "a/x", "messages": []});
    assert_eq!(gateway.admin(Method::POST, "/admin/v1/routes/explain", direct).await.json()["shadow"], Value::Null);
}

#[tokio::test]
async fn a_copy_that_fails_is_no_concern_of_the_callers() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let cut = Script::sse(&["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"])
        .then(Step::Wait(Duration::from_millis(5)))
        .then(Step::Cut);
    let b = Upstream::scripted(vec![Script::status(500, "{}"), cut]).await;
    let gateway = Setup::new(yaml(&a, &b, "")).start().await;
    let key = gateway.plain_key().await;
    for (n, status) in [(1, "upstream_error"), (2, "upstream_error")] {
        ask(&gateway, &key, &chat(n == 2)).await;
        let pair = pairs(&gateway, n).await[0].clone();
        assert_eq!(
            (&pair["original"]["status"], &pair["shadow"]["status"]),
            (&json!("ok"), &json!(status)),
            "{pair:#}"
        );
        assert_eq!((&pair["text_equal"], &pair["similarity"]), (&Value::Null, &Value::Null));
        assert_eq!(pair["shadow"]["error_code"], "upstream_error");
    }
    assert_eq!((outcome(&gateway, "ok").await, outcome(&gateway, "failed").await), (0, 2));
    assert_eq!(b.seen().len(), 2, "it is tried once");
}

#[tokio::test]
async fn what_failed_itself_is_copied_all_the_same() {
    let a = Upstream::scripted(vec![Script::status(503, "{}")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let gateway = Setup::new(yaml(&a, &b, "")).start().await;
    let key = gateway.plain_key().await;
    assert_eq!(gateway.post(&key, "/v1/chat/completions", chat(false)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let pair = pair(&gateway).await;
    assert_eq!(
        (&pair["original"]["status"], &pair["shadow"]["status"]),
        (&json!("upstream_error"), &json!("ok")),
        "{pair:#}"
    );
    assert_eq!((&pair["original"]["target"], &pair["text_equal"]), (&json!("a/x"), &Value::Null));
}
