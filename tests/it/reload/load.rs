//! Reloads while requests and streams run: none fails. `cargo xtask prove reload` does the same for longer and with
//! processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use super::{ANSWER, DELTA, END, Filed, ask, chat, provider, reload};
use crate::support::upstream::{Script, Step, Upstream};

/// Reloads, of which every fifth is of a wrong file.
const RELOADS: usize = 50;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_drop_nothing() {
    let upstream = Upstream::start(|seen| match seen.json()["stream"].as_bool() {
        Some(true) => {
            let pause = || Step::Wait(std::time::Duration::from_millis(5));
            Script::sse(&[DELTA]).then(pause()).then(Step::send(DELTA)).then(pause()).then(Step::send(END))
        }
        _ => Script::json(ANSWER),
    })
    .await;
    let file = |n: usize| {
        // Its limits, time-outs and keys change, and a second provider comes and goes.
        let more = format!(", limits: {{ rpm: {} }}, timeouts: {{ connect: {}s }}", 1_000_000 + n, 1 + n % 3);
        let second = if n.is_multiple_of(2) { provider("second", &upstream.url(), "") } else { String::new() };
        format!("providers:\n{}{second}models: {{ m: up/x, m{n}: up/x }}\n", provider("up", &upstream.url(), &more))
    };
    let filed = Arc::new(Filed::start(&file(0)).await);
    let key = filed.gateway.plain_key().await;
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async |number: usize| {
        while !stop.load(Ordering::Relaxed) {
            let mut body = chat("m");
            body["stream"] = json!(number.is_multiple_of(2));
            let reply = filed.gateway.post(&key, "/v1/chat/completions", body).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            assert!(number % 2 == 1 || reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reloads = async {
        for n in 1..=RELOADS {
            let wrong = n.is_multiple_of(5);
            filed.write(&if wrong { "models: { m: [\n".to_owned() } else { file(n) });
            let before = answered.load(Ordering::Relaxed);
            let reply = reload(&filed.gateway, json!({})).await;
            let expected = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
            assert_eq!(reply.status, expected, "{}", reply.text());
            let model = if wrong { n - 1 } else { n };
            assert_eq!(ask(&filed.gateway, &key, &format!("m{model}")).await.status, StatusCode::OK);
            while answered.load(Ordering::Relaxed) < before + CLIENTS {
                tokio::task::yield_now().await;
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all((0..CLIENTS).map(client)), reloads);
    let rows = filed.gateway.wait_rows(answered.load(Ordering::Relaxed).min(1000)).await;
    assert!(rows.iter().all(|row| row["status"] == "ok"), "every row is a good one");
}
