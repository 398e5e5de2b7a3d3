//! The caller's own times of each try: they end it, lead on to the next target, and are held against nobody.

use super::*;
use crate::support::upstream::BlackHole;

const HELLO: &str =
    "data: {\"id\":\"c\",\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";

/// One failure opens a breaker, and what stalls has all the time it wants.
fn slow_then_good(slow: &str, good: &Upstream) -> String {
    let settings = "health: { failures: 1 }, timeouts: { connect: 20s, first_byte: 20s, between_chunks: 20s }";
    let models = "  m: { targets: [{ provider: a, model: x }, { provider: b, model: x }], retries: { attempts: 1 } }\n";
    routed(&[slow, &good.url()], settings, models)
}

async fn in_time(bench: &Bench, body: Value, headers: &[(&str, &str)]) -> Reply {
    tokio::time::timeout(Duration::from_secs(10), bench.ask(body, headers)).await.expect("the provider has 20 s")
}

#[tokio::test]
async fn a_caller_may_wait_less_for_each_try() {
    let whole = json!({"model": "m", "messages": []});
    let stream = json!({"model": "m", "messages": [], "stream": true});
    let hole = BlackHole::open().await;
    let late = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_secs(20))]).await;
    let silent = Upstream::scripted(vec![Script::new(200, "text/event-stream", vec![Step::Hang])]).await;
    let half = vec![Step::send("{"), Step::Hang];
    let half = Upstream::scripted(vec![Script::new(200, "application/json", half)]).await;
    for (name, slow, body, header, outcome) in [
        ("no connection", hole.url(), &whole, "x-weir-timeout-connect-ms", "a upstream_error"),
        ("no connection either", hole.url(), &whole, "x-weir-timeout-first-byte-ms", "a upstream_timeout"),
        ("no head", late.url(), &whole, "x-weir-timeout-first-byte-ms", "a upstream_timeout"),
        ("no event", silent.url(), &stream, "x-weir-timeout-first-byte-ms", "a upstream_timeout"),
        ("half an answer", half.url(), &whole, "x-weir-timeout-between-chunks-ms", "a upstream_timeout"),
    ] {
        let good = ok().await;
        let bench = Bench::new(slow_then_good(&slow, &good)).await;
        let reply = in_time(&bench, body.clone(), &[(header, "100")]).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("b")), "{name}");
        let row = bench.gateway.only_row().await;
        assert_eq!(attempts(&row), [outcome, "b ok"], "{name}");
        let counted = row["warnings"].to_string().contains("its prompt is counted");
        assert_eq!(counted, !name.starts_with("no connection"), "{name}: what was never sent costs nothing");
        let shown = bench.provider("a").await;
        assert_eq!(shown["models"][0]["breaker"], "closed", "{name}: others may have the time");
        let sent = good.only();
        assert!(!sent.headers.keys().any(|name| name.as_str().starts_with("x-weir-")), "{name}: {:?}", sent.headers);
    }
    // A connection that stands is not waited for.
    let bench = Bench::new(slow_then_good(&ok().await.url(), &ok().await)).await;
    for _ in 0..2 {
        let reply = in_time(&bench, whole.clone(), &[("x-weir-timeout-connect-ms", "5000")]).await;
        assert_eq!((reply.status, reply.header("x-weir-provider")), (StatusCode::OK, Some("a")));
    }
}

#[tokio::test]
async fn a_caller_may_wait_less_within_a_stream() {
    let steps = vec![Step::send(HELLO), Step::Hang];
    let stalled = Upstream::scripted(vec![Script::new(200, "text/event-stream", steps)]).await;
    for header in ["x-weir-timeout-between-chunks-ms", "x-weir-timeout-ms"] {
        let bench = Bench::new(slow_then_good(&stalled.url(), &ok().await)).await;
        let body = json!({"model": "m", "messages": [], "stream": true});
        let reply = in_time(&bench, body, &[(header, "200")]).await;
        let text = reply.text();
        assert!(text.starts_with(HELLO) && text.contains("upstream_timeout") && !text.contains("[DONE]"), "{text}");
        assert_eq!(bench.gateway.only_row().await["status"], "timeout", "{header}");
        let shown = bench.provider("a").await;
        assert_eq!(shown["models"][0]["breaker"], "closed", "{header}: others may have the time");
    }
}

#[tokio::test]
async fn a_caller_s_time_is_a_number_and_no_longer_than_its_provider_s() {
    let late = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_secs(20))]).await;
    let bench = Bench::new(routed(&[&late.url()], "timeouts: { first_byte: 100ms }", "  m: a/x\n")).await;
    let body = json!({"model": "m", "messages": []});
    for name in [
        "x-weir-timeout-ms",
        "x-weir-timeout-connect-ms",
        "x-weir-timeout-first-byte-ms",
        "x-weir-timeout-between-chunks-ms",
    ] {
        for nonsense in ["0", "-1", "1.5", "soon", ""] {
            let reply = bench.ask(body.clone(), &[(name, nonsense)]).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (StatusCode::BAD_REQUEST, "invalid_header"),
                "{nonsense:?}"
            );
            assert_eq!(reply.json()["error"]["param"], name);
        }
    }
    let reply = in_time(&bench, body, &[("x-weir-timeout-first-byte-ms", "60000")]).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
}
