//! Nobody waits for copies, and they are not too many.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n";

#[tokio::test]
async fn a_copy_that_stalls_delays_nobody_and_beyond_the_bound_none_is_made() {
    let gate = Arc::new(Notify::new());
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b =
        Upstream::scripted(vec![Script::stream(vec![Step::Until(Arc::clone(&gate)), Step::Hang]), answer("hi")]).await;
    // The clock stands still: no time limit ends the wait.
    let clock = Clock::mock(EPOCH);
    let gateway =
        Setup::new(format!("{}routing: {{ max_shadows: 1 }}\nserver: {{ drain_timeout: 1ms }}\n", yaml(&a, &b, "")))
            .clock(clock)
            .start()
            .await;
    let key = gateway.plain_key().await;
    ask(&gateway, &key, &chat(false)).await;
    eventually("the first is under way", async || (b.seen().len() == 1).then_some(())).await;
    for _ in 0..256 + 5 {
        ask(&gateway, &key, &chat(false)).await;
    }
    assert_eq!(b.seen().len(), 1, "one at a time");
    assert_eq!(
        (metric(&gateway, "weir_shadows_running").await, metric(&gateway, "weir_shadows_waiting").await),
        (1, 256)
    );
    assert_eq!(outcome(&gateway, "dropped").await, 5);
    assert_eq!(metric(&gateway, "weir_in_flight").await, 0, "copies take nobody's place");
    let rows = gateway.rows().await;
    assert!(rows.iter().all(|row| row["latency_ms"] == 0), "on a clock that stands still nobody waited");
}

#[tokio::test]
async fn large_bodies_are_not_held_for_copies_where_there_is_little_room() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let gateway = Setup::new(format!("{}server: {{ max_body_memory: 4MiB, body_limit: 4MiB }}\n", yaml(&a, &b, "")))
        .start()
        .await;
    let key = gateway.plain_key().await;
    let mut large = chat(false);
    large["messages"][0]["content"] = "a ".repeat(3 << 19).into();
    ask(&gateway, &key, &large).await;
    assert_eq!(outcome(&gateway, "dropped").await, 1);
    ask(&gateway, &key, &chat(false)).await;
    pair(&gateway).await;
    assert_eq!(b.seen().len(), 1);
    eventually("nothing is held", async || (metric(&gateway, "weir_body_memory_bytes").await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_copy_outlives_its_caller() {
    let gate = Arc::new(Notify::new());
    let a = Upstream::scripted(vec![Script::stream(vec![Step::send(DELTA), Step::Hang])]).await;
    let b = Upstream::scripted(vec![Script::stream(vec![
        Step::send(DELTA),
        Step::Until(Arc::clone(&gate)),
        Step::send("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"),
    ])])
    .await;
    let gateway = Setup::new(yaml(&a, &b, "")).start().await;
    let key = gateway.plain_key().await;
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, chat(true).to_string()).await;
    open.frame().await.unwrap().unwrap();
    eventually("the copy is under way", async || (b.open() == 1).then_some(())).await;
    drop(open);
    eventually("the caller left", async || {
        gateway.rows().await.iter().any(|row| row["status"] == "cancelled").then_some(())
    })
    .await;
    gate.notify_one();
    let pair = pair(&gateway).await;
    assert_eq!(
        (&pair["original"]["status"], &pair["shadow"]["status"]),
        (&json!("cancelled"), &json!("ok")),
        "{pair:#}"
    );
    assert_eq!((&pair["original"]["text_bytes"], &pair["text_equal"]), (&json!(2), &Value::Null));
}

on_both!(a_stop_waits_for_copies_as_for_connections);

async fn a_stop_waits_for_copies_as_for_connections(db: Database) {
    let gate = Arc::new(Notify::new());
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![
        Script::stream(vec![Step::send(DELTA), Step::Until(Arc::clone(&gate)), Step::send("data: [DONE]\n\n")]),
        Script::stream(vec![Step::send(DELTA), Step::Hang]),
    ])
    .await;
    let yaml = |drain: &str| {
        format!("{}server: {{ drain_timeout: {drain} }}\nrouting: {{ max_shadows: 1 }}\n", yaml(&a, &b, ""))
    };
    let first = Setup::new(yaml("10m")).database(&db.url).start().await;
    let key = first.plain_key().await;
    ask(&first, &key, &chat(false)).await;
    eventually("the copy is under way", async || (b.open() == 1).then_some(())).await;
    let stopping = Arc::clone(&first.app.gateway);
    let open = async {
        eventually("it stops", async || stopping.readiness.is_draining().then_some(())).await;
        gate.notify_one();
    };
    tokio::join!(first.app.stop(std::future::pending()), open);
    let second = Setup::new(yaml("50ms")).database(&db.url).start().await;
    let pair = pair(&second).await;
    assert_eq!(pair["shadow"]["status"], "ok", "{pair:#}");
    // One that does not end in the time is ended; one that waits is left.
    ask(&second, &key, &chat(false)).await;
    eventually("the copy is under way", async || (b.open() == 1).then_some(())).await;
    ask(&second, &key, &chat(false)).await;
    second.app.stop(std::future::pending()).await;
    let third = Setup::new(yaml("50ms")).database(&db.url).start().await;
    let found = pairs(&third, 2).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        (&found[0]["shadow"]["status"], &found[0]["shadow"]["error_code"]),
        (&json!("interrupted"), &json!("gateway_stopping"))
    );
    let rows = third.rows().await;
    let copies: Vec<&Value> = rows.iter().filter(|row| row["endpoint"] == "shadow/chat/completions").collect();
    assert_eq!(copies.len(), 2);
    assert_eq!((&copies[1]["status"], &copies[1]["estimated"]), (&json!("interrupted"), &json!(true)));
}

#[tokio::test]
async fn a_shadow_comes_and_goes_with_a_reload() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weir.yaml");
    let with = yaml(&a, &b, "");
    let without = with.replace(", shadow: { provider: b, model: y }", "");
    std::fs::write(&path, &without).unwrap();
    let gateway = Setup::new("").file(path.clone()).start().await;
    let key = gateway.plain_key().await;
    let reload = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        let reply = gateway.admin(Method::POST, "/admin/v1/config/reload", Value::Null).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    };
    ask(&gateway, &key, &chat(false)).await;
    reload(&with).await;
    ask(&gateway, &key, &chat(false)).await;
    pair(&gateway).await;
    assert_eq!(b.seen().len(), 1);
    reload(&format!("{with}routing: {{ max_shadows: 0 }}\n")).await;
    ask(&gateway, &key, &chat(false)).await;
    assert_eq!(outcome(&gateway, "dropped").await, 1);
    reload(&without).await;
    ask(&gateway, &key, &chat(false)).await;
    assert_eq!((b.seen().len(), outcome(&gateway, "dropped").await), (1, 1));
}
