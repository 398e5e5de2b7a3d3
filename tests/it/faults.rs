//! Faults on request at any provider, and `chaos`: what a caller sees, what is recorded, what it costs. Below, faults
//! that come by themselves; docs/faults.md numbers all of them and says where each is tested.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, eventually};
use crate::support::upstream::{Script, Step, Upstream};

mod answers;
mod clients;
mod network;
mod process;
mod rows;

const PATH: &str = "/v1/chat/completions";

fn chat(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi there"}]})
}

fn answer() -> Script {
    Script::json(
        json!({"id": "c", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 1_000, "total_tokens": 2_000}})
        .to_string(),
    )
}

async fn answering() -> Upstream {
    Upstream::start(|_| answer()).await
}

/// Providers `up`, where faults are allowed, and `other`, where they are not; a price for both; a route over
/// both.
fn two(up: &Upstream, other: &Upstream, more: &str) -> String {
    format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", api_key: k, faults: allowed, timeouts: {{ first_byte: 2s }} }}\n  \
         other: {{ kind: openai-compatible, base_url: \"{}\", api_key: k }}\n\
         models:\n  best: {{ targets: [{{ provider: up, model: m }}, {{ provider: other, model: m }}] }}\n\
         prices: {{ up/m: {{ input: \"1\", output: \"2\" }}, other/m: {{ input: \"1\", output: \"2\" }} }}\n{more}",
        up.url(),
        other.url()
    )
}

async fn ask(gateway: &Gateway, key: &str, fault: &str, body: Value) -> Reply {
    let headers = [("x-api-key", key), ("x-weir-fault", fault)];
    gateway.request(Method::POST, PATH, &headers, body.to_string()).await
}

async fn metrics(gateway: &Gateway) -> String {
    gateway.get("", "/metrics").await.text()
}

#[tokio::test]
async fn any_provider_fails_as_asked_in_its_own_dialect() {
    let up = answering().await;
    for kind in ["openai", "anthropic", "gemini", "cohere", "ollama", "bedrock"] {
        let yaml =
            format!("providers:\n  up: {{ kind: {kind}, base_url: \"{}\", api_key: k, faults: allowed }}\n", up.url());
        let gateway = Setup::new(yaml).start().await;
        let key = gateway.plain_key().await;
        for status in [429, 500] {
            let reply = ask(&gateway, &key, &format!("status={status}"), chat("up/m")).await;
            assert_eq!(reply.status.as_u16(), status, "{kind}: {}", reply.text());
            assert!(reply.text().contains("this failure was asked for"), "{kind}: {}", reply.text());
            let told = format!("fault injected at up: status={status} (request)");
            assert_eq!(reply.header("x-weir-warnings"), Some(told.as_str()), "{kind}");
        }
        let broken = ask(&gateway, &key, "malformed_after=0", chat("up/m")).await;
        assert_eq!(
            (broken.status, broken.code().as_str()),
            (StatusCode::BAD_GATEWAY, "upstream_invalid_response"),
            "{kind}"
        );
        let cut = ask(&gateway, &key, "cut_after=0", chat("up/m")).await;
        assert!(cut.status.is_server_error(), "{kind}: {}", cut.text());
        let rows = gateway.wait_rows(4).await;
        assert!(rows.iter().all(|row| row["attempts"].as_array().unwrap().len() == 1), "{rows:#?}");
        let text = metrics(&gateway).await;
        assert!(
            text.contains(r#"weir_faults_injected_total{fault="status",origin="request",provider="up"} 2"#),
            "{text}"
        );
        assert!(text.contains("weir_chaos_active 0"), "{text}");
    }
    assert_eq!(up.seen().len(), 2 * 6, "a failed status is not sent, the others are");
}

#[tokio::test]
async fn faults_are_refused_where_they_are_not_allowed() {
    let (up, other) = (answering().await, answering().await);
    let gateway = Setup::new(two(&up, &other, "")).start().await;
    let key = gateway.plain_key().await;
    let check = async |fault: &str, model: &str, status: StatusCode, code: &str, says: &str| {
        let reply = ask(&gateway, &key, fault, chat(model)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
        assert!(reply.text().contains(says), "{}", reply.text());
        assert_eq!(reply.json()["error"]["param"], "x-weir-fault");
    };
    let (bad, forbidden) = (StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN);
    check("status=503", "other/m", forbidden, "faults_not_allowed", "providers.NAME.faults").await;
    check("status=503,provider=other", "best", forbidden, "faults_not_allowed", "up, other").await;
    for nonsense in ["status=200", "oops", "delay=1h", "rate=7,status=500", "cut_after=x"] {
        check(nonsense, "up/m", bad, "invalid_header", nonsense.split(',').next().unwrap()).await;
    }
    assert_eq!((up.seen().len(), other.seen().len()), (0, 0));
    // Nothing that goes wrong is nothing to allow.
    assert_eq!(ask(&gateway, &key, "", chat("other/m")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_passes_by_path_can_fail_too() {
    for (allowed, status) in [("forbidden", 403), ("allowed", 418)] {
        let up = answering().await;
        let yaml = format!(
            "providers:\n  up: {{ kind: openai, base_url: \"{}\", api_key: k, default: true, faults: {allowed} }}\n",
            up.url()
        );
        let gateway = Setup::new(yaml).start().await;
        let key = gateway.plain_key().await;
        let headers =
            [("x-api-key", key.as_str()), ("x-weir-fault", "status=418"), ("content-type", "application/json")];
        let body = json!({"model": "omni-moderation-latest", "input": "hi"}).to_string();
        let reply = gateway.request(Method::POST, "/v1/moderations", &headers, body).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        assert!(up.seen().is_empty());
    }
}

#[tokio::test]
async fn a_program_s_fallbacks_can_be_tried() {
    let (up, other) = (answering().await, answering().await);
    let gateway = Setup::new(two(&up, &other, "")).start().await;
    let key = gateway.plain_key().await;
    let reply = ask(&gateway, &key, "status=503", chat("best")).await;
    assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("other")), "{}", reply.text());
    let warned = reply.header("x-weir-warnings").unwrap();
    assert!(
        warned.contains("fault injected at up: status=503") && warned.contains("other does not allow it"),
        "{warned}"
    );
    assert_eq!((up.seen().len(), other.seen().len()), (0, 1));
    let row = gateway.only_row().await;
    assert_eq!(row["cost_usd"], "0.003000000", "what was not sent costs nothing: {row:#}");
    assert_eq!(row["attempts"].as_array().unwrap().len(), 3, "it is retried like any other");
    // For another provider than this.
    let reply = ask(&gateway, &key, "status=503,rate=0", chat("up/m")).await;
    assert_eq!((reply.status, reply.header("x-weir-warnings")), (StatusCode::OK, None));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_metered_by_what_came() {
    let event =
        |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let all = ["one ", "two ", "three ", "four "].map(event).concat();
    // In pieces that are no events.
    let (first, second) = all.split_at(100);
    let steps = vec![Step::send(first), Step::send(second), Step::send("data: [DONE]\n\n")];
    let up = Upstream::start(move |_| Script::stream(steps.clone())).await;
    let gateway = Setup::new(two(&up, &up, "")).start().await;
    let key = gateway.plain_key().await;
    let mut body = chat("up/m");
    body["stream"] = json!(true);
    for fault in ["cut_after=2", "malformed_after=2"] {
        let reply = ask(&gateway, &key, fault, body.clone()).await;
        assert_eq!(reply.status, StatusCode::OK, "the head is good");
        let text = reply.text();
        assert!(text.contains("two ") && !text.contains("three ") && !text.contains("[DONE]"), "{fault}: {text}");
    }
    let rows = gateway.wait_rows(2).await;
    for row in &rows {
        assert_eq!((&row["status"], &row["estimated"]), (&json!("upstream_error"), &json!(true)), "{row:#}");
        assert!(row["output_tokens"].as_u64().unwrap() > 0 && row["cost_usd"] != "0.000000000", "{row:#}");
        assert!(row["warnings"][0].as_str().unwrap().contains("fault injected"), "{row:#}");
    }
}

#[tokio::test]
async fn a_delay_counts_as_the_provider_s() {
    let up = answering().await;
    let gateway = Setup::new(two(&up, &up, "")).start().await;
    let key = gateway.plain_key().await;
    let late = ask(&gateway, &key, "delay=3s", chat("up/m")).await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
        "{}",
        late.text()
    );
    assert!(up.seen().is_empty(), "longer than its time for a first byte");
    let reply = ask(&gateway, &key, "delay=30ms,chunk_delay=30ms", chat("up/m")).await;
    assert_eq!((reply.status, up.seen().len()), (StatusCode::OK, 1));
    let rows = gateway.wait_rows(2).await;
    let of = |status: &str| rows.iter().find(|row| row["status"] == status).unwrap();
    assert!(of("ok")["latency_ms"].as_u64().unwrap() >= 60, "{rows:#?}");
    assert_eq!(of("timeout")["cost_usd"], "0.000000000");
}

#[tokio::test]
async fn whoever_leaves_before_the_provider_heard_of_it_pays_nothing() {
    let up = answering().await;
    let gateway = Setup::new(two(&up, &up, "")).start().await;
    let key = gateway.plain_key().await;
    let asking = ask(&gateway, &key, "delay=1s", chat("up/m"));
    let begun = eventually("the fault", async || {
        metrics(&gateway).await.contains(r#"weir_faults_injected_total{fault="delay""#).then_some(())
    });
    tokio::select! {
        reply = asking => panic!("{}", reply.text()),
        () = begun => {}
    }
    let row = gateway.only_row().await;
    assert_eq!((&row["status"], &row["cost_usd"]), (&json!("cancelled"), &json!("0.000000000")), "{row:#}");
    assert!(up.seen().is_empty());
}

#[tokio::test]
async fn chaos_makes_calls_go_wrong_where_it_is_enabled() {
    let (up, other) = (answering().await, answering().await);
    let list = "faults: [{ provider: other, fault: \"status=500\" }, { model: best, fault: \"delay=1ms\" }, { model: best, fault: \"status=502,rate=0\" }]";
    for enabled in [false, true] {
        let yaml = two(&up, &other, &format!("chaos: {{ enabled: {enabled}, {list} }}\n"));
        let gateway = Setup::new(yaml).clock(Clock::system()).start().await;
        let key = gateway.plain_key().await;
        let post = async |model: &str| gateway.post(&key, PATH, chat(model)).await;
        let (best, direct, broken) = (post("best").await, post("up/m").await, post("other/m").await);
        let told = best.header("x-weir-warnings");
        assert_eq!(
            (best.status, direct.status, direct.header("x-weir-warnings")),
            (StatusCode::OK, StatusCode::OK, None)
        );
        assert_eq!(told, enabled.then_some("fault injected at up: delay=1ms (chaos)"));
        assert_eq!(broken.status == StatusCode::OK, !enabled, "{}", broken.text());
        let details = gateway.get(ADMIN, "/health/details").await.json();
        assert_eq!(details["chaos"]["active"], enabled);
        let listed = details["chaos"]["faults"].as_array().unwrap();
        assert_eq!(listed.len(), if enabled { 3 } else { 0 });
        let text = metrics(&gateway).await;
        assert!(text.contains(&format!("weir_chaos_active {}", u8::from(enabled))), "{text}");
        assert_eq!(
            text.contains(r#"weir_faults_injected_total{fault="status",origin="chaos",provider="other"} 1"#),
            enabled
        );
    }
}
