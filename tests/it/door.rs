//! The door, by raw bytes: what is no request, who is slow, who comes too often. Numbers (F52, ...) are those
//! of the catalogue of faults that a gateway must survive.

pub(crate) mod http2;
mod limits;
mod proxies;
pub(crate) mod tls;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::gateway::{Gateway, Setup, one_provider};
use crate::support::upstream::{Script, Upstream};

/// What comes back to raw bytes until the connection closes.
pub(super) async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let stream = TcpStream::connect(addr).await.unwrap();
    talk(stream, request).await
}

/// The same on a connection that stands.
pub(super) async fn talk(stream: impl AsyncRead + AsyncWrite, request: &[u8]) -> String {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut answer = Vec::new();
    let talk = async {
        // The gateway may refuse, and close, before it has read everything.
        let (_, read) = tokio::join!(to.write_all(request), from.read_to_end(&mut answer));
        read
    };
    let read = tokio::time::timeout(Duration::from_secs(10), talk).await.expect("the connection closes");
    read.unwrap_or_else(|e| panic!("{e} instead of an end: {:?}", String::from_utf8_lossy(&answer)));
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer's status and, of an error, its code.
pub(super) fn told(answer: &str) -> (u16, String) {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    (status, body["error"]["code"].as_str().unwrap_or("").to_owned())
}

/// A gateway with one upstream that answers, and a key.
pub(super) async fn ready(server: &str) -> (Upstream, Gateway, String) {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let gateway = Setup::new(format!("server: {{ {server} }}\n{}", one_provider(&upstream.url()))).start().await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

pub(super) const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
/// An event of a stream with so much text.
pub(super) fn delta(size: usize) -> bytes::Bytes {
    let text = "x".repeat(size);
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into()
}

const BODY: &str = r#"{"model":"m","messages":[]}"#;

/// A head with a key, and what else it says.
fn head(line: &str, key: &str, more: &str) -> String {
    format!("{line}\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}\r\n")
}

/// 46 heads and bodies that servers forgive. Each one is answered in words, and the connection closes.
#[tokio::test]
async fn f52_what_can_be_read_in_two_ways_is_refused() {
    let (upstream, gateway, key) = ready("drain_timeout: 1s").await;
    let post = |more: &str, body: &str| [&head("POST /v1/chat/completions HTTP/1.1", &key, more), body].concat();
    let get = |line: &str, more: &str| head(line, &key, more);
    let chunked = |chunks: &str| post("transfer-encoding: chunked\r\n", chunks);
    let length = BODY.len();
    let size = format!("{length:x}");
    let probes: Vec<(&str, String, u16, &str)> = vec![
        (
            "CL and TE",
            post(&format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"), BODY),
            400,
            "invalid_transfer_encoding",
        ),
        (
            "TE and CL",
            post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        (
            "CL twice, the same",
            post(&format!("content-length: {length}\r\ncontent-length: {length}\r\n"), BODY),
            400,
            "invalid_content_length",
        ),
        ("CL twice", post("content-length: 3\r\ncontent-length: 4\r\n", BODY), 400, "invalid_content_length"),
        ("CL list", post("content-length: 3, 3\r\n", BODY), 400, "invalid_content_length"),
        ("CL plus", post("content-length: +3\r\n", BODY), 400, "invalid_content_length"),
        ("CL hex", post("content-length: 0x3\r\n", BODY), 400, "invalid_content_length"),
        ("CL minus", post("content-length: -1\r\n", BODY), 400, "invalid_content_length"),
        ("CL huge", post("content-length: 99999999999999999999\r\n", BODY), 400, "invalid_content_length"),
        ("CL empty", post("content-length:\r\n", BODY), 400, "invalid_content_length"),
        ("TE xchunked", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), 400, "invalid_transfer_encoding"),
        (
            "TE chunked, identity",
            post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        (
            "TE identity, chunked",
            post("transfer-encoding: identity, chunked\r\n", "0\r\n\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        (
            "TE twice",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        (
            "TE in two headers",
            post("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        ("TE with a space", post("transfer-encoding : chunked\r\n", "0\r\n\r\n"), 400, "invalid_header"),
        ("TE after VT", post("transfer-encoding: \u{b}chunked\r\n", "0\r\n\r\n"), 400, "invalid_header"),
        (
            "TE in HTTP/1.0",
            head("POST /v1/chat/completions HTTP/1.0", &key, "transfer-encoding: chunked\r\n"),
            400,
            "invalid_transfer_encoding",
        ),
        ("a folded header", get("GET /health HTTP/1.1", "a: b\r\n c\r\n"), 400, "invalid_header"),
        ("a bare CR", get("GET /health HTTP/1.1", "a: b\rc\r\n"), 400, "invalid_header"),
        ("a NUL", get("GET /health HTTP/1.1", "a: b\0c\r\n"), 400, "invalid_header"),
        ("no name", get("GET /health HTTP/1.1", ": b\r\n"), 400, "invalid_header"),
        ("no colon", get("GET /health HTTP/1.1", "ab\r\n"), 400, "invalid_header"),
        ("bare LF", "GET /health HTTP/1.1\nhost: x\n\n".into(), 400, "invalid_line_ending"),
        ("one bare LF", get("GET /health HTTP/1.1", "a: b\n"), 400, "invalid_line_ending"),
        ("no Host", "GET /health HTTP/1.1\r\n\r\n".into(), 400, "invalid_host"),
        ("two Hosts", get("GET /health HTTP/1.1", "host: x\r\n"), 400, "invalid_host"),
        ("two other Hosts", get("GET /health HTTP/1.1", "Host: y\r\n"), 400, "invalid_host"),
        ("an odd Host", "GET /health HTTP/1.1\r\nhost: localhost:4000/#@evil\r\n\r\n".into(), 400, "invalid_host"),
        ("a Host with a user", "GET /health HTTP/1.1\r\nhost: a@b\r\n\r\n".into(), 400, "invalid_host"),
        ("an empty Host", "GET /health HTTP/1.1\r\nhost:\r\n\r\n".into(), 400, "invalid_host"),
        ("another host in the target", get("GET http://evil/health HTTP/1.1", ""), 400, "invalid_host"),
        ("a user in the target", get("GET http://x@evil/health HTTP/1.1", ""), 400, "invalid_target"),
        ("a fragment", get("GET /health#@evil HTTP/1.1", ""), 400, "invalid_target"),
        ("no target", get("GET HTTP/1.1", ""), 400, "invalid_request_line"),
        ("two spaces", get("GET  /health HTTP/1.1", ""), 400, "invalid_request_line"),
        ("a lower-case method", get("get /health HTTP/1.1", ""), 400, "invalid_method"),
        ("CONNECT", get("CONNECT x:443 HTTP/1.1", ""), 405, "method_not_allowed"),
        ("//", get("GET //evil/../admin HTTP/1.1", ""), 400, "invalid_path"),
        ("..%2f", get("GET /v1/files/..%2f..%2fadmin HTTP/1.1", ""), 400, "invalid_path"),
        ("%00", get("GET /v1/files/%00 HTTP/1.1", ""), 400, "invalid_path"),
        (
            "64 KB in a header",
            get("GET /health HTTP/1.1", &format!("a: {}\r\n", "y".repeat(64 << 10))),
            431,
            "headers_too_large",
        ),
        ("1 MB in the target", get(&format!("GET /{} HTTP/1.1", "y".repeat(1 << 20)), ""), 431, "headers_too_large"),
        ("101 headers", get("GET /health HTTP/1.1", &"a: 1\r\n".repeat(99)), 431, "headers_too_many"),
        ("TLS", "\u{16}\u{3}\u{1}".into(), 400, "tls_on_plain_port"),
        ("not HTTP", "{\"model\":1}\r\n\r\n".into(), 400, "invalid_request_line"),
        ("a version", get("GET /health HTTP/3.0", ""), 400, "invalid_request_line"),
        ("a chunk that is too long", chunked(&format!("{size}\r\n{BODY}x\r\n0\r\n\r\n")), 400, "incomplete_body"),
        ("a chunk with LF", chunked(&format!("{size};\n{BODY}\r\n0\r\n\r\n")), 400, "incomplete_body"),
        ("a chunk of 0x3", chunked(&format!("0x{size}\r\n{BODY}\r\n0\r\n\r\n")), 400, "incomplete_body"),
        ("a chunk without its end", chunked(&format!("{size}\r\n{BODY}0\r\n\r\n")), 400, "incomplete_body"),
        ("a chunk of 2^64", chunked(&format!("1{}\r\n{BODY}\r\n0\r\n\r\n", "0".repeat(16))), 400, "incomplete_body"),
    ];
    for (name, request, status, code) in probes {
        // What comes after is never answered.
        let request = [request.as_bytes(), get("GET /health/ready HTTP/1.1", "").as_bytes()].concat();
        let answer = exchange(gateway.app.addr, &request).await;
        assert_eq!(told(&answer), (status, code.to_owned()), "{name}: {answer}");
        assert_eq!(answer.matches("\r\nx-request-id: ").count(), 1, "{name}: {answer}");
        let head = answer.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase();
        // The connection ends after a broken body as well; that is found too late to say so.
        assert!(head.contains("\r\nconnection: close") || code == "incomplete_body", "{name}: {answer}");
        assert!(head.contains("\r\nx-request-id: "), "{name}: {answer}");
    }
    assert!(upstream.seen().is_empty());
    let metrics = gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_refused_total{reason=\"invalid_transfer_encoding\"} 8"), "{metrics}");
}

#[tokio::test]
async fn f53_what_is_right_passes() {
    let (upstream, gateway, key) = ready("drain_timeout: 1s").await;
    let (length, close) = (BODY.len(), "connection: close\r\n");
    let post = |more: &str, body: &str| {
        [&head("POST /v1/chat/completions HTTP/1.1", &key, &format!("{more}{close}")), body].concat()
    };
    let chunks = format!("{length:x};name=\"value\"\r\n{BODY}\r\n0\r\ntrailer: x\r\n\r\n");
    for (name, request) in [
        ("a length", post(&format!("content-length: {length}\r\n"), BODY)),
        ("chunks", post("transfer-encoding: chunked\r\n", &chunks)),
        (
            "an absolute target",
            format!(
                "POST http://X:80/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{close}content-length: {length}\r\n\r\n{BODY}"
            ),
        ),
        (
            "HTTP/1.0 without a host",
            format!(
                "POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{BODY}"
            ),
        ),
        (
            "a GET with a body",
            [&head("GET /health HTTP/1.1", &key, &format!("content-length: 3\r\n{close}")), "abc"].concat(),
        ),
    ] {
        let answer = exchange(gateway.app.addr, request.as_bytes()).await;
        assert_eq!(told(&answer).0, 200, "{name}: {answer}");
    }
    assert_eq!(upstream.seen().len(), 4);
    assert!(
        upstream.seen().iter().all(|seen| seen.body == BODY && !seen.headers.contains_key("transfer-encoding")),
        "framed anew"
    );
}

#[tokio::test]
async fn refusals_come_in_their_turn() {
    let (upstream, gateway, key) = ready("drain_timeout: 1s").await;
    let good =
        [&head("POST /v1/chat/completions HTTP/1.1", &key, &format!("content-length: {}\r\n", BODY.len())), BODY]
            .concat();
    let bad = head("GET /health HTTP/1.1", &key, "host: y\r\n");
    let all = [good.as_str(), &good, &bad, &good].concat();
    for pieces in [1, 7, 100, all.len()] {
        let before = upstream.seen().len();
        let stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let mut answers = Vec::new();
        let send = async {
            for piece in all.as_bytes().chunks(pieces) {
                to.write_all(piece).await.unwrap();
            }
        };
        let (_, read) = tokio::join!(send, from.read_to_end(&mut answers));
        read.unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["200", "200", "400"], "{answers}");
        assert_eq!(upstream.seen().len(), before + 2, "what follows a refused request is none");
    }
}

#[tokio::test]
async fn refusals_speak_the_callers_dialect() {
    let (_, gateway, _) = ready("drain_timeout: 1s").await;
    let answer = exchange(gateway.app.addr, b"GET /v1beta//models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.contains("\"INVALID_ARGUMENT\"") && answer.contains("x-weir-error-code: invalid_path"), "{answer}");
}
