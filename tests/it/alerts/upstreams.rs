//! Events of upstream keys and targets: once for each time that something begins or ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::*;
use crate::support::upstream::Step;

on_both!(
    a_refused_key_is_told_once_over_replicas_and_restarts,
    a_key_that_may_not_use_a_model_is_told_of_with_it,
    a_target_that_flaps_does_not_flood,
    what_cannot_be_written_is_told_later,
);

const ANSWER: &str = r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

/// An upstream whose status is set while it runs.
async fn moody() -> (Upstream, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let current = Arc::clone(&status);
    let answer =
        move |_: &Seen| Script::new(current.load(Ordering::SeqCst), "application/json", vec![Step::send(ANSWER)]);
    (Upstream::start(answer).await, status)
}

fn provider(name: &str, url: &str) -> String {
    format!(
        "  {name}: {{ kind: openai-compatible, base_url: \"{url}\", api_key: s-{name}, health: {{ failures: 1, open_for: 1s, max_open_for: 1s }} }}\n"
    )
}

async fn ask(gateway: &Gateway, model: &str) {
    let (_, key) = gateway.key(json!({})).await;
    gateway.post(&key, "/v1/chat/completions", json!({"model": model, "messages": []})).await;
}

/// The particulars of the events of a kind, the oldest first, but for those of `mark`.
async fn told(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let page = gateway.admin(Method::GET, &format!("/admin/v1/alerts/events?kind={kind}"), Value::Null).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let all = page.json()["data"].as_array().unwrap().clone();
    all.into_iter().rev().map(|event| event["data"].clone()).filter(|data| data["provider"] != "mark").collect()
}

async fn until_told(gateway: &Gateway, kind: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} events {kind}"), async || {
        Some(told(gateway, kind).await).filter(|told| told.len() >= count)
    })
    .await
}

/// Waits until everything that happened before was looked at: a model that is refused now is told of, too.
async fn looked(gateway: &Gateway, mark: &str) {
    ask(gateway, &format!("mark/{mark}")).await;
    eventually("a mark", async || {
        let page = gateway.admin(Method::GET, "/admin/v1/alerts/events?kind=upstream.key_rejected", Value::Null).await;
        page.json()["data"].as_array().unwrap().iter().any(|event| event["data"]["model"] == mark).then_some(())
    })
    .await;
}

async fn a_refused_key_is_told_once_over_replicas_and_restarts(database: Database) {
    let (up, status) = moody().await;
    let (mark, denies) = moody().await;
    denies.store(403, Ordering::SeqCst);
    let hooked = ok().await;
    let yaml = format!(
        "alerts:\n{}providers:\n{}{}",
        hook("ops", &hooked.url(), ", events: [\"upstream.key_*\"]"),
        provider("a", &up.url()),
        provider("mark", &mark.url())
    );
    let clock = Clock::mock(EPOCH);
    let start = async || Setup::new(yaml.clone()).database(&database.url).clock(clock.clone()).start().await;
    let (one, two) = (start().await, start().await);
    ask(&one, "a/m").await;
    status.store(401, Ordering::SeqCst);
    ask(&one, "a/m").await;
    ask(&two, "a/m").await;
    let rejected = until_told(&one, "upstream.key_rejected", 1).await;
    let print = rejected[0]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(rejected[0], json!({"provider": "a", "key": 1, "fingerprint": print, "model": null, "status": 401}));
    assert_eq!(print.len(), 12);
    clock.advance(Duration::from_secs(301));
    ask(&one, "a/m").await;
    ask(&two, "a/m").await;
    looked(&one, "1").await;
    looked(&two, "2").await;
    one.app.stop(std::future::pending()).await;
    let one = start().await;
    ask(&one, "a/m").await;
    looked(&one, "3").await;
    assert_eq!(told(&one, "upstream.key_rejected").await.len(), 1, "it is told once");
    assert!(told(&one, "upstream.key_restored").await.is_empty());

    status.store(200, Ordering::SeqCst);
    clock.advance(Duration::from_secs(301));
    let restored = eventually("a key that serves again", async || {
        ask(&one, "a/m").await;
        ask(&two, "a/m").await;
        Some(told(&one, "upstream.key_restored").await).filter(|told| !told.is_empty())
    })
    .await;
    assert_eq!(
        restored,
        [
            json!({"provider": "a", "key": 1, "fingerprint": print, "model": null, "rejected_at": "2026-11-18T11:06:40.000Z"})
        ]
    );
    clock.advance(Duration::from_secs(1));
    status.store(401, Ordering::SeqCst);
    ask(&two, "a/m").await;
    assert_eq!(until_told(&one, "upstream.key_rejected", 2).await.len(), 2, "another time is another event");
    let all = seen(&hooked, 5).await;
    assert!(all.iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("s-a")), "no key is told");
}

async fn a_key_that_may_not_use_a_model_is_told_of_with_it(database: Database) {
    let (up, status) = moody().await;
    let yaml = format!("providers:\n{}", provider("a", &up.url()));
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(yaml).database(&database.url).clock(clock.clone()).start().await;
    status.store(403, Ordering::SeqCst);
    ask(&gateway, "a/org/m").await;
    let rejected = until_told(&gateway, "upstream.key_rejected", 1).await;
    assert_eq!((&rejected[0]["model"], &rejected[0]["status"]), (&json!("org/m"), &json!(403)));
    status.store(200, Ordering::SeqCst);
    ask(&gateway, "a/other").await;
    clock.advance(Duration::from_secs(301));
    let restored = eventually("a key that serves again", async || {
        ask(&gateway, "a/org/m").await;
        Some(told(&gateway, "upstream.key_restored").await).filter(|told| !told.is_empty())
    })
    .await;
    assert_eq!((restored.len(), &restored[0]["model"]), (1, &json!("org/m")));
}

async fn a_target_that_flaps_does_not_flood(database: Database) {
    let (up, status) = moody().await;
    let (mark, denies) = moody().await;
    denies.store(403, Ordering::SeqCst);
    let yaml = format!("providers:\n{}{}", provider("a", &up.url()), provider("mark", &mark.url()));
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(yaml).database(&database.url).clock(clock.clone()).start().await;
    for n in 0..3 {
        status.store(500, Ordering::SeqCst);
        ask(&gateway, "a/m").await;
        until_told(&gateway, "upstream.target_down", 1).await;
        looked(&gateway, &format!("down{n}")).await;
        status.store(200, Ordering::SeqCst);
        clock.advance(Duration::from_secs(10));
        ask(&gateway, "a/m").await;
        looked(&gateway, &format!("up{n}")).await;
    }
    assert_eq!(told(&gateway, "upstream.target_down").await, [json!({"provider": "a", "model": "m"})]);
    assert!(told(&gateway, "upstream.target_up").await.is_empty(), "it has not been well for half a minute");
    clock.advance(Duration::from_secs(31));
    let back = eventually("a target that serves again", async || {
        ask(&gateway, "a/m").await;
        Some(told(&gateway, "upstream.target_up").await).filter(|told| !told.is_empty())
    })
    .await;
    assert_eq!(back, [json!({"provider": "a", "model": "m", "down_at": "2026-11-18T11:06:40.000Z"})]);

    status.store(500, Ordering::SeqCst);
    ask(&gateway, "a/m").await;
    looked(&gateway, "quiet").await;
    assert_eq!(told(&gateway, "upstream.target_down").await.len(), 1, "that was a moment ago");
    clock.advance(Duration::from_secs(301));
    ask(&gateway, "a/m").await;
    assert_eq!(until_told(&gateway, "upstream.target_down", 2).await.len(), 2, "what stays down is told after all");
}

async fn what_cannot_be_written_is_told_later(database: Database) {
    let (up, status) = moody().await;
    let yaml = format!("providers:\n{}", provider("a", &up.url()));
    let gateway = Setup::new(yaml).database(&database.url).clock(Clock::mock(EPOCH)).start().await;
    ask(&gateway, "a/m").await;
    database.execute("ALTER TABLE upstream_states RENAME TO elsewhere").await;
    status.store(401, Ordering::SeqCst);
    ask(&gateway, "a/m").await;
    let key = || gateway.app.gateway.snapshot.load().providers["a"].credentials[0].health.clone();
    eventually("a mark that was put back", async || key().take_news().then(|| key().put_news_back())).await;
    database.execute("ALTER TABLE elsewhere RENAME TO upstream_states").await;
    assert_eq!(until_told(&gateway, "upstream.key_rejected", 1).await.len(), 1);
}
