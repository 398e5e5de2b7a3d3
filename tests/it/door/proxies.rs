//! Load balancers in front.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{exchange, ready, told};
use crate::support::binary::Home;
use crate::support::gateway::{Gateway, eventually};

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// A connection that begins so, kept open after its first answer.
async fn open(gateway: &Gateway, start: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    let _ = stream.write_all(&[start, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"].concat()).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    assert_eq!(start, *b"HTTP/1.1 200");
    Some(stream)
}

#[tokio::test]
async fn a_trusted_proxy_tells_whom_it_speaks_for() {
    let (_, gateway, _) = ready("trusted_proxies: [\"127.0.0.0/8\"], max_connections_per_address: 1").await;
    let one = open(&gateway, b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n").await;
    assert!(one.is_some());
    assert!(open(&gateway, b"PROXY TCP4 192.0.2.1 192.0.2.9 1 3\r\n").await.is_none(), "its only place is taken");
    assert!(open(&gateway, b"PROXY TCP4 192.0.2.2 192.0.2.9 1 2\r\n").await.is_some(), "another's is not");
    let binary = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 1, 192, 0, 2, 9, 0, 1, 0, 2]].concat();
    assert!(open(&gateway, &binary).await.is_none(), "the same in version 2");
    let own = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let (first, second) = (open(&gateway, own).await, open(&gateway, own).await);
    assert!(first.is_some() && second.is_some(), "the balancer itself is not counted");
    let (first, second) = (open(&gateway, b"").await, open(&gateway, b"").await);
    assert!(first.is_some() && second.is_some(), "nor is it without a header");
    assert_eq!(exchange(gateway.app.addr, b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\n\r\n").await, "");
    let metrics = gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_refused_total{reason=\"proxy\"} 1"), "{metrics}");
    assert!(metrics.contains("weir_refused_total{reason=\"connections_per_address\"} 2"), "{metrics}");
    // In pieces.
    let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in format!("PROXY TCP4 192.0.2.3 192.0.2.9 1 2\r\n{HEALTH}").bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let (_, gateway, _) = ready("trusted_proxies: [\"10.0.0.0/8\"]").await;
    let answer = exchange(gateway.app.addr, format!("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n{HEALTH}").as_bytes()).await;
    assert_eq!(told(&answer), (400, "proxy_not_trusted".into()), "{answer}");
    let answer = exchange(gateway.app.addr, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await;
    assert_eq!(told(&answer).0, 400, "{answer}");
}

#[tokio::test]
async fn the_log_names_the_client() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin").env("RUST_LOG", "weir::access=debug");
    for (trusted, line, client) in [
        ("127.0.0.1", "x-forwarded-for: 198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "forwarded: for=203.0.113.8;proto=https", "203.0.113.8"),
        ("10.0.0.1", "x-forwarded-for: 203.0.113.9", "127.0.0.1"),
    ] {
        let config = home.file("weir.yaml", &format!("server: {{ trusted_proxies: [\"{trusted}\"] }}\n"));
        let running = home.serve(&["--config", &config, "--listen", "127.0.0.1:0"]).await;
        let request = format!("GET /health?key=s3cret HTTP/1.1\r\nhost: x\r\n{line}\r\nconnection: close\r\n\r\n");
        exchange(running.addr, request.as_bytes()).await;
        let log = eventually("a line of the log", async || {
            Some(running.err()).filter(|log| log.contains("a request was answered"))
        })
        .await;
        assert!(log.contains(&format!("\"client\":\"{client}\"")) && log.contains("/health"), "{line}: {log}");
        assert!(!log.contains("s3cret"), "{log}");
    }
}
