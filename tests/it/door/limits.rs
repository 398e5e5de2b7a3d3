//! Clients that are slow, or many.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANSWER, delta, exchange, head, ready, told};
use crate::support::binary::Home;
use crate::support::gateway::{Setup, eventually, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

#[tokio::test]
async fn f39_a_head_that_trickles_is_given_up_in_words() {
    let (_, gateway, _) = ready("header_timeout: 200ms, idle_timeout: 1m").await;
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let trickle = async {
        // Each byte is in time; the head is not.
        while to.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = String::new();
    let read = async { from.read_to_string(&mut answer).await };
    tokio::select! {
        () = trickle => {}
        read = tokio::time::timeout(Duration::from_secs(10), read) => drop(read.expect("it is given up")),
    }
    assert_eq!(told(&answer), (408, "request_timeout".into()), "{answer}");
    assert!(answer.contains("server.header_timeout"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence() {
    let (_, gateway, _) = ready("idle_timeout: 200ms, header_timeout: 1m").await;
    assert_eq!(exchange(gateway.app.addr, b"").await, "", "before any request");
    let answer = exchange(gateway.app.addr, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
}

#[tokio::test]
async fn an_answer_that_takes_its_time_is_not_idleness() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER).delayed(Duration::from_millis(700))]).await;
    let yaml = format!("server: {{ idle_timeout: 100ms, header_timeout: 100ms }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body = "{\"model\":\"m\",\"messages\":[]}";
    let request = head("POST /v1/chat/completions HTTP/1.1", &key, &format!("content-length: {}\r\n", body.len()));
    // The beginning of another request waits for its turn as well.
    let answer = exchange(gateway.app.addr, [&request, body, "GET /he"].concat().as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn f39_a_body_that_trickles_is_given_up() {
    let (upstream, gateway, key) = ready("body_idle_timeout: 300ms, body_min_rate: 100KiB").await;
    for (path, more) in [("/v1/chat/completions", ""), ("/v1/files", "content-type: application/octet-stream\r\n")] {
        let stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let line = format!("POST {path}?model=up/m HTTP/1.1");
        to.write_all(head(&line, &key, &format!("{more}content-length: 100000\r\n")).as_bytes()).await.unwrap();
        let trickle = async {
            // No pause is long, but a hundred bytes a second are not enough.
            while to.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = String::new();
        let read = async { from.read_to_string(&mut answer).await };
        tokio::select! {
            () = trickle => {}
            read = tokio::time::timeout(Duration::from_secs(10), read) => drop(read.expect("it is given up")),
        }
        assert_eq!(told(&answer), (408, "request_timeout".into()), "{path}: {answer}");
        assert!(answer.contains("server.body_min_rate"), "{path}: {answer}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.path != "/v1/chat/completions"));
}

#[tokio::test]
async fn f38_a_client_that_does_not_read_is_given_up() {
    let upstream = Upstream::scripted(vec![Script::stream(vec![Step::Repeat(delta(64 << 10), 10_000)])]).await;
    let yaml = format!("server: {{ write_timeout: 300ms }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body = "{\"model\":\"m\",\"messages\":[],\"stream\":true}";
    let request = head("POST /v1/chat/completions HTTP/1.1", &key, &format!("content-length: {}\r\n", body.len()));
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    stream.write_all([&request, body].concat().as_bytes()).await.unwrap();
    eventually("the upstream is let go", async || (upstream.dropped().len() == 1).then_some(())).await;
    let row = gateway.only_row().await;
    assert_eq!(row["status"], "cancelled", "{row:#}");
    drop(stream);
}

#[tokio::test]
async fn f39_500_slow_connections_are_in_nobodys_way() {
    let (upstream, gateway, key) = ready("header_timeout: 1m, idle_timeout: 1m, body_idle_timeout: 1m").await;
    let mut slow = Vec::new();
    for i in 0..500 {
        let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        let begun = if i % 2 == 0 {
            "GET /health HTTP/1.1\r\nhost: x\r\na: ".into()
        } else {
            head("POST /v1/chat/completions HTTP/1.1", &key, "content-length: 100000\r\n") + "{"
        };
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..50 {
        let reply = gateway.post(&key, "/v1/chat/completions", "{\"model\":\"m\",\"messages\":[]}");
        let reply = tokio::time::timeout(Duration::from_secs(5), reply).await.expect("others are served");
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    assert_eq!(upstream.seen().len(), 50);
    let open = "weir_connections 50";
    let metrics = gateway.request(Method::GET, "/metrics", &[], "").await.text();
    assert!(metrics.contains(open), "{metrics}");
}

#[tokio::test]
async fn one_address_gets_so_many_connections() {
    let (_, gateway, _) = ready("max_connections_per_address: 3").await;
    // The key was made over a connection that is kept.
    let open = async || {
        let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.is_ok().then_some(stream)
    };
    let (first, second) = (open().await, open().await);
    assert!(first.is_some() && second.is_some());
    assert!(open().await.is_none(), "one too many");
    drop(first);
    eventually("a free place", async || open().await.map(drop)).await;
}

#[tokio::test]
async fn f77_out_of_descriptors_it_waits_and_recovers() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin");
    let running = home.serve(&["--listen", "127.0.0.1:0"]).await;
    let process = rustix::process::Pid::from_raw(i32::try_from(running.id()).unwrap());
    let limit = |descriptors| rustix::process::Rlimit { current: Some(descriptors), maximum: Some(20_000) };
    let used = std::fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap().count() as u64;
    rustix::process::prlimit(process, rustix::process::Resource::Nofile, limit(used + 20)).unwrap();
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(TcpStream::connect(running.addr).await.unwrap());
    }
    eventually("the failure is told", async || running.err().contains("cannot be accepted").then_some(())).await;
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.id())).unwrap();
        let fields: Vec<u64> = stat.rsplit(')').next().unwrap().split(' ').filter_map(|n| n.parse().ok()).collect();
        // The state is a letter; user and system time are the 14th and 15th field of all.
        fields[10] + fields[11]
    };
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(ticks() - before < 50, "it does not spin: {} of 100 ticks", ticks() - before);
    assert_eq!(running.err().matches("cannot be accepted").count(), 1, "told once: {}", running.err());
    drop(open);
    let health = running.request(Method::GET, "/health", &[], "");
    let health = tokio::time::timeout(Duration::from_secs(10), health).await.expect("it recovers");
    assert_eq!(health.status, StatusCode::OK);
    eventually("the recovery is told", async || running.err().contains("accepted again").then_some(())).await;
}
