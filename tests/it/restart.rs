//! A gateway that is replaced by another while requests and streams run: none fails, none is cut. With real processes,
//! a client that keeps its connections, and the two ways that are offered: sockets that a service manager keeps, and
//! sockets that one gateway hands to the next. `cargo xtask prove restart` does the same for longer.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::support::binary::{Home, Running};

/// Times that the gateway is replaced.
const RESTARTS: usize = 3;
const CLIENTS: usize = 6;
const ADMIN: &str = "the-admin-key";
const KEY: &str = "sk-the-declared-key";

fn home(more: &str) -> Home {
    let home = Home::new().env("WEIR_ADMIN_KEY", ADMIN);
    home.file("weir.yaml", &format!("{more}keys: [{{ name: load, key: {KEY} }}]\n"));
    home
}

/// Clients that call again and again until they are told to stop; a request that fails fails the test.
struct Load {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    fn on(url: String) -> Arc<Self> {
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Arc::new(Self { client, url, stop: AtomicBool::new(false), answered: AtomicUsize::new(0) })
    }

    async fn run(&self) {
        join_all((0..CLIENTS).map(|number| self.client(number % 2 == 0))).await;
    }

    async fn client(&self, streams: bool) {
        while !self.stop.load(Ordering::Relaxed) {
            let words = "word ".repeat(20);
            let body =
                json!({"model": "demo/chat", "stream": streams, "messages": [{"role": "user", "content": words}]});
            let request = Request::builder()
                .method(Method::POST)
                .uri(format!("{}/v1/chat/completions", self.url))
                .header("authorization", format!("Bearer {KEY}"))
                .header("content-type", "application/json")
                .header("x-weir-fault", if streams { "chunk_delay=20ms" } else { "delay=5ms" })
                .body(Full::new(Bytes::from(body.to_string())))
                .unwrap();
            let answer = self.client.request(request).await.unwrap_or_else(|e| panic!("a request failed: {e:?}"));
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap_or_else(|e| panic!("an answer was cut: {e:?}"));
            let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            assert_eq!(status, StatusCode::OK, "{text}");
            assert!(!streams || text.ends_with("data: [DONE]\n\n"), "{text}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for this many further answers.
    async fn more(&self, count: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        while self.answered.load(Ordering::Relaxed) < wanted {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_by_hand_over_fails_no_request() {
    let home = home("server: { handover: handover.sock, drain_timeout: 10s }\n");
    let mut running = home.serve(&["--listen", "127.0.0.1:0"]).await;
    let load = Load::on(running.url());
    let restarts = async {
        for _ in 0..RESTARTS {
            load.more(20).await;
            // The same command; it takes the place of the one that runs, which ends by itself.
            let next = home.serve(&["--listen", "127.0.0.1:0"]).await;
            assert_eq!(next.addr, running.addr);
            assert_eq!(running.end().await, 0, "{}", running.err());
            running = next;
        }
        load.more(20).await;
        load.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(load.run(), restarts);
    running.signal("TERM");
    assert_eq!(running.end().await, 0);
    assert!(!home.path("handover.sock").exists(), "the last one tidies up");
}

/// Starts a gateway as a service manager does that has opened its socket.
async fn activated(home: &Home, socket: &TcpListener) -> Running {
    let socket = OwnedFd::from(socket.try_clone().unwrap());
    home.serve_by("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=api exec", Stdio::from(socket)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_behind_a_managers_socket_fails_no_request() {
    let home = home("server: { drain_timeout: 10s }\n");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let load = Load::on(format!("http://{}", socket.local_addr().unwrap()));
    let mut running = activated(&home, &socket).await;
    assert_eq!(running.addr, socket.local_addr().unwrap());
    let restarts = async {
        for number in 0..RESTARTS {
            load.more(20).await;
            if number % 2 == 0 {
                // One after the other: what comes meanwhile waits in the socket.
                running.signal("TERM");
                assert_eq!(running.end().await, 0, "{}", running.err());
                running = activated(&home, &socket).await;
            } else {
                // The next before the last ends: nobody waits.
                let next = activated(&home, &socket).await;
                running.signal("TERM");
                assert_eq!(running.end().await, 0, "{}", running.err());
                running = next;
            }
        }
        load.more(20).await;
        load.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(load.run(), restarts);
}

#[tokio::test]
async fn a_gateway_that_fails_to_start_takes_nothing_over() {
    let home = home("server: { handover: handover.sock }\n");
    let mut running = home.serve(&["--listen", "127.0.0.1:0"]).await;
    home.file("wrong.yaml", "server: { handover: handover.sock }\nproviders: { openai: {} }\n");
    let said = home.run(&["serve", "--config", "wrong.yaml"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert_eq!(running.request(Method::GET, "/health/ready", &[], "").await.status, StatusCode::OK);
    assert_eq!(running.ended(), None);
}

#[tokio::test]
async fn sighup_reloads_and_a_wrong_file_is_told_in_the_log() {
    use crate::support::gateway::eventually;
    let home = home("models: { a: demo/chat }\n");
    let mut running = home.serve(&["--listen", "127.0.0.1:0"]).await;
    let auth = format!("Bearer {ADMIN}");
    let reloads = async |outcome: &str| {
        let text = running.request(Method::GET, "/metrics", &[("authorization", &auth)], "").await.text();
        let name = format!("weir_config_reloads_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    running.signal("HUP");
    eventually("a look at the same file", async || (reloads("unchanged").await > 0).then_some(())).await;
    home.file("weir.yaml", &format!("models: {{ b: demo/chat }}\nkeys: [{{ name: load, key: {KEY} }}]\n"));
    running.signal("HUP");
    eventually("the new file", async || (reloads("applied").await > 0).then_some(())).await;
    home.file("weir.yaml", "servr: 1\n");
    running.signal("HUP");
    eventually("the refusal", async || (reloads("refused").await > 0).then_some(())).await;
    assert!(running.err().contains("weir.yaml:1:1: servr: unknown key, did you mean `server`?"), "{}", running.err());
    let headers = [("authorization", "Bearer sk-the-declared-key"), ("content-type", "application/json")];
    let body = json!({"model": "b", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    assert_eq!(running.request(Method::POST, "/v1/chat/completions", &headers, body).await.status, StatusCode::OK);
    assert_eq!(running.ended(), None);
}
