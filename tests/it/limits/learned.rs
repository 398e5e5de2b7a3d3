//! Limits that upstreams tell of themselves.

use super::*;

fn learning(upstream: &Upstream, learn: bool) -> Setup {
    Setup::new(format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", keys: [one, two], default: true, \
         limits: {{ learn: {learn} }} }}\n",
        upstream.url()
    ))
}

fn told(seen: &crate::support::upstream::Seen) -> Script {
    // The first key has one request left and is full again in ten seconds; the second has no tokens.
    if seen.headers["authorization"] == "Bearer one" {
        answer(1, 1)
            .header("x-ratelimit-limit-requests", "10")
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "10s")
    } else {
        answer(1, 1)
            .header("anthropic-ratelimit-tokens-limit", "1000")
            .header("anthropic-ratelimit-tokens-remaining", "0")
            .header("anthropic-ratelimit-tokens-reset", "2026-11-18T11:07:40Z")
    }
}

#[tokio::test]
async fn what_an_upstream_tells_of_its_limits_is_learned() {
    let upstream = Upstream::start(told).await;
    let clock = Clock::mock(EPOCH);
    let gateway = learning(&upstream, true).clock(clock.clone()).start().await;
    let key = gateway.plain_key().await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    }
    let refused = ask(&gateway, &key).await;
    // Two tokens of a thousand a minute are there before one request of ten in ten seconds.
    limited(&refused, "1", "120");
    assert!(refused.text().contains("1000 tokens, as the upstream told"), "{}", refused.text());
    let shown = gateway.admin(Method::GET, "/admin/v1/limits?scope=upstream_key", Value::Null).await.json();
    let of = |n: usize| shown["data"][n]["rates"].clone();
    assert_eq!(of(1)["learned_requests"], json!({"limit": 10, "remaining": 0, "reset_ms": 10_000}));
    assert_eq!(of(2)["learned_tokens"]["limit"], 1000);
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn nothing_is_learned_where_nobody_said_so() {
    let upstream = Upstream::start(told).await;
    let gateway = learning(&upstream, false).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    for _ in 0..6 {
        assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    }
}
