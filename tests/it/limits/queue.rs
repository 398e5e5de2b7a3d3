//! Requests that wait for an upstream in place of a 429.

use futures_util::future::join;

use super::*;

fn queued(upstream: &Upstream, limits: &str, queue: &str) -> Setup {
    Setup::new(format!(
        "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", default: true, limits: {{ {limits} }}, \
         queue: {{ {queue} }} }}\nkeys: [{{ name: idle, key: sk-idle, team_id: c, priority: low }}]\n",
        upstream.url()
    ))
}

async fn held(gateway: &Gateway, key: &str) -> http::Response<hyper::body::Incoming> {
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    let mut reply = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
    reply.frame().await.unwrap().unwrap();
    reply
}

async fn waiting(gateway: &Gateway, count: f64) {
    eventually("a queue of that length", async || {
        (metric(gateway, "weir_queue_length{provider=\"up\"}").await.unwrap_or_default() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_a_place_in_place_of_a_429() {
    let upstream = Upstream::scripted(vec![hanging(), answer(1, 1)]).await;
    let gateway = queued(&upstream, "concurrency: 1", "max_wait: 30s, max_size: 1").start().await;
    let key = gateway.plain_key().await;
    let open = held(&gateway, &key).await;
    let leave = async {
        waiting(&gateway, 1.0).await;
        // Only one may wait.
        let full = ask(&gateway, &key).await;
        assert_eq!((full.status, full.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
        drop(open);
    };
    let (waited, ()) = join(ask(&gateway, &key), leave).await;
    assert_eq!(waited.status, StatusCode::OK, "{}", waited.text());
    waiting(&gateway, 0.0).await;
    let admitted = "weir_queue_wait_seconds_count{outcome=\"admitted\",provider=\"up\"}";
    assert_eq!(metric(&gateway, admitted).await, Some(1.0));
}

#[tokio::test]
async fn who_waits_longer_than_may_be_is_refused_and_who_leaves_makes_room() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let gateway = queued(&upstream, "concurrency: 1", "max_wait: 100ms").start().await;
    let key = gateway.plain_key().await;
    let _open = held(&gateway, &key).await;
    let refused = ask(&gateway, &key).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));
    assert!(refused.text().contains("1 requests at once"), "{}", refused.text());
    let gateway = queued(&upstream, "concurrency: 1", "max_wait: 1h, max_size: 1").start().await;
    let key = gateway.plain_key().await;
    let _open = held(&gateway, &key).await;
    let body = chat("m").to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut leaver = tokio::net::TcpStream::connect(gateway.app.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut leaver, head.as_bytes()).await.unwrap();
    waiting(&gateway, 1.0).await;
    drop(leaver);
    waiting(&gateway, 0.0).await;
    let left = "weir_queue_wait_seconds_count{outcome=\"left\",provider=\"up\"}";
    assert_eq!(metric(&gateway, left).await, Some(1.0));
}

#[tokio::test]
async fn a_queue_is_fair_between_teams_and_keeps_priorities() {
    let upstream = Upstream::start(|seen| if seen.json()["stream"] == true { hanging() } else { answer(1, 1) }).await;
    let gateway = queued(&upstream, "concurrency: 1", "max_wait: 1m").start().await;
    let plain = gateway.plain_key().await;
    let key = async |fields: Value| gateway.key(fields).await.1;
    let a = key(json!({"team_id": "a"})).await;
    let b = key(json!({"team_id": "b"})).await;
    let urgent = key(json!({"team_id": "a", "priority": "high"})).await;
    let idle = "sk-idle".to_owned();
    let open = held(&gateway, &plain).await;
    let asks = [(&idle, "idle"), (&a, "a1"), (&a, "a2"), (&a, "a3"), (&b, "b1"), (&urgent, "urgent")];
    let all = futures_util::future::join_all(asks.iter().enumerate().map(|(n, (key, user))| {
        let gateway = &gateway;
        async move {
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            waiting(gateway, n as f64).await;
            let mut body = chat("m");
            body["user"] = json!(user);
            assert_eq!(gateway.post(key, "/v1/chat/completions", body).await.status, StatusCode::OK);
        }
    }));
    let open_it = async {
        waiting(&gateway, 6.0).await;
        drop(open);
    };
    join(all, open_it).await;
    let order: Vec<Value> = upstream.seen()[1..].iter().map(|seen| seen.json()["user"].clone()).collect();
    assert_eq!(order, ["urgent", "a1", "b1", "a2", "a3", "idle"]);
}

#[tokio::test]
async fn a_rate_that_comes_too_late_is_not_waited_for() {
    let (a, b) = (Upstream::scripted(vec![answer(1, 1)]).await, Upstream::scripted(vec![answer(1, 1)]).await);
    let yaml = format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{}\", limits: {{ rpm: 1 }}, queue: {{ max_wait: 59s }} }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{}\", limits: {{ rps: 20 }}, queue: {{ max_wait: 1m }} }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}] }}\n",
        a.url(),
        b.url()
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, &key).await.status, StatusCode::OK);
    }
    assert_eq!((a.seen().len(), b.seen().len()), (1, 2), "a minute is longer than 59 s: the next target is asked");
    // Of a rate that comes in time nobody is refused.
    let asks = (0..40).map(|_| gateway.post(&key, "/v1/chat/completions", chat("b/x")));
    let replies = futures_util::future::join_all(asks).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
}
