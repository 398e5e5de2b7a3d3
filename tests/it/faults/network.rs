//! Faults of the way to an upstream: names, connections, TLS, HTTP/2.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::config_keys::spawn;
use crate::door::http2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, fields, frame};
use crate::door::tls::certificates;
use crate::support::gateway::{Gateway, Reply, Setup};
use crate::support::upstream::{Script, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
/// A port on which nothing listens: the discard port of loopback.
const NOBODY: &str = "http://127.0.0.1:9/v1";
/// No wait of these tests is longer, on a machine that does other things as well.
const SOON: Duration = Duration::from_secs(20);

/// Providers `a` and `b` with these settings, the route `m` over both and `alone` over `a`, each asked once.
fn routed(a: &str, b: &str, settings: &str) -> String {
    format!(
        "providers:\n  a: {{ kind: openai-compatible, base_url: \"{a}\", api_key: s-a, {settings} }}\n  \
         b: {{ kind: openai-compatible, base_url: \"{b}\", api_key: s-b }}\n\
         models:\n  m: {{ targets: [{{ provider: a, model: x }}, {{ provider: b, model: x }}], retries: {{ attempts: 1 }} }}\n  \
         alone: {{ targets: [{{ provider: a, model: x }}], retries: {{ attempts: 1 }} }}\n  \
         again: {{ targets: [{{ provider: a, model: x }}], retries: {{ attempts: 2, backoff: 1ms }} }}\n"
    )
}

async fn ask(gateway: &Gateway, key: &str, model: &str) -> Reply {
    let reply = gateway.post(key, "/v1/chat/completions", json!({"model": model, "messages": []}));
    tokio::time::timeout(SOON, reply).await.expect("an answer in time")
}

/// `a` fails as if it had never been asked, so that `b` serves; alone it is a 502 that names it and tells no more.
async fn fails_over(name: &str, gateway: &Gateway) {
    let key = gateway.plain_key().await;
    let reply = ask(gateway, &key, "m").await;
    assert_eq!(
        (reply.status, reply.header("x-weir-provider")),
        (StatusCode::OK, Some("b")),
        "{name}: {}",
        reply.text()
    );
    let reply = ask(gateway, &key, "alone").await;
    let told = (reply.status, reply.code());
    assert_eq!(told, (StatusCode::BAD_GATEWAY, "upstream_error".to_owned()), "{name}: {}", reply.text());
    let text = reply.text();
    assert!(text.contains("provider a") && !text.contains("BEGIN") && text.len() < 400, "{name}: {text}");
    for row in gateway.wait_rows(2).await {
        let cost = &row["attempts"][0]["outcome"];
        assert_eq!(cost, "upstream_error", "{name}: {row}");
    }
}

async fn good() -> Upstream {
    Upstream::scripted(vec![Script::json(ANSWER)]).await
}

/// F01: nobody listens. Nothing was sent, so the next target is asked at once; where there is none, the breaker opens
/// and requests are refused without being sent.
#[tokio::test]
async fn f01_a_refused_connection_costs_nothing_and_opens_the_breaker() {
    let gateway = Setup::new(routed(NOBODY, &good().await.url(), "health: { failures: 4 }")).start().await;
    fails_over("refused", &gateway).await;
    let key = gateway.plain_key().await;
    ask(&gateway, &key, "alone").await;
    let metrics = gateway.get("", "/metrics").await.text();
    assert!(metrics.contains("weir_breaker_state{model=\"x\",provider=\"a\"} 1"), "{metrics}");
    for row in gateway.wait_rows(3).await.iter().filter(|row| row["status"] != "ok") {
        assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(0), &json!(false)), "{row}");
    }
}

/// F02: a name that nobody knows, or whose server does not answer, is given up within `timeouts.connect`.
#[tokio::test]
async fn f02_a_name_that_cannot_be_looked_up_is_given_up_in_time() {
    let settings = "timeouts: { connect: 2s, first_byte: 60s }";
    let gateway = Setup::new(routed("http://nobody.invalid/v1", &good().await.url(), settings)).start().await;
    fails_over("a name of nobody", &gateway).await;
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Plain text in answer to whatever comes.
    Plain,
    /// It is closed after the first bytes.
    Closes,
    /// Nothing is ever said.
    Silent,
}

/// A server that does no TLS; what it was sent.
async fn no_tls(door: Door) -> (u16, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            spawn(async move {
                let mut bytes = vec![0; 16 * 1024];
                let read = stream.read(&mut bytes).await.unwrap_or(0);
                all.lock().unwrap().extend_from_slice(&bytes[..read]);
                match door {
                    Door::Plain => {
                        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await)
                    }
                    Door::Closes => {}
                    Door::Silent => std::future::pending().await,
                }
            });
        }
    });
    (port, seen)
}

/// An HTTPS server with a certificate of the authority `name` for `localhost`, which answers well.
async fn https(folder: &Path, name: &str) -> u16 {
    let cert = CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}-key.pem"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(vec![cert], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut bytes = vec![0; 16 * 1024];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let head = format!("content-type: application/json\r\ncontent-length: {}", ANSWER.len());
                    let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{ANSWER}");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// F04: a certificate of an authority that nobody trusts, or for another name. Plain text is never an answer to that.
#[tokio::test]
async fn f04_a_certificate_that_is_not_trusted_is_no_connection() {
    let Some(folder) = certificates() else { return };
    let (port, good) = (https(folder.path(), "one").await, good().await);
    let roots = folder.path().join("one-ca.pem").display().to_string();
    let start = async |host: &str, trusted: bool| {
        let setup = Setup::new(routed(&format!("https://{host}:{port}/v1"), &good.url(), ""));
        if trusted { setup.env("SSL_CERT_FILE", &roots).start().await } else { setup.start().await }
    };
    let gateway = start("localhost", true).await;
    let key = gateway.plain_key().await;
    assert_eq!(ask(&gateway, &key, "alone").await.status, StatusCode::OK, "it is a good one");
    fails_over("an authority that nobody knows", &start("localhost", false).await).await;
    fails_over("a certificate for another name", &start("127.0.0.1", true).await).await;
}

/// F04: no TLS where TLS should be, an end in the middle of the handshake, and none at all, which is given up after
/// `timeouts.connect`, however long an answer may take.
#[tokio::test]
async fn f04_a_handshake_that_fails_or_never_ends_is_no_connection() {
    let good = good().await;
    for door in [Door::Plain, Door::Closes, Door::Silent] {
        let (port, seen) = no_tls(door).await;
        let settings = "timeouts: { connect: 300ms, first_byte: 60s }";
        let gateway = Setup::new(routed(&format!("https://127.0.0.1:{port}/v1"), &good.url(), settings)).start().await;
        fails_over(&format!("{door:?}"), &gateway).await;
        let seen = seen.lock().unwrap();
        let sent = String::from_utf8_lossy(&seen);
        assert!(!sent.contains("POST") && !sent.contains("s-a"), "{door:?}: nothing goes in plain text");
    }
}

/// F07: an upstream that closes a connection just as the next request comes over it. It is asked again over another one,
/// which the client never learns.
#[tokio::test]
async fn f07_a_kept_connection_that_is_gone_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            // One answer a connection, and then an end that was not announced: at once, or as the next request comes.
            spawn(once(stream, count.load(Ordering::SeqCst).is_multiple_of(2)));
        }
    });
    let gateway = Setup::new(routed(&url, NOBODY, "")).start().await;
    let key = gateway.plain_key().await;
    for n in 0..20 {
        let reply = ask(&gateway, &key, "again").await;
        assert_eq!(reply.status, StatusCode::OK, "{n}: {}", reply.text());
    }
    assert!(taken.load(Ordering::SeqCst) >= 20, "one request a connection");
}

async fn once(mut stream: TcpStream, waits: bool) {
    let mut bytes = vec![0; 16 * 1024];
    if stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
        let head = format!("content-type: application/json\r\ncontent-length: {}", ANSWER.len());
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{ANSWER}").as_bytes()).await.unwrap();
        if waits {
            let _ = stream.read(&mut bytes).await;
        }
    }
}

/// What an upstream over HTTP/2 does with a stream.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Answers,
    /// Once the next stream came.
    AnswersLate,
    Resets(u32),
    /// Says that it ends the connection and has not looked at this stream, and then answers those it did.
    GoesAway,
    /// The same for this reason, and the connection is closed.
    GoesAwayFor(u32),
}

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// An upstream over HTTP/2 that does these with its streams in turn, whatever their connection, and then answers; how
/// many streams it had.
async fn http2(deeds: &'static [Deed]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let streams = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&streams);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(frames(stream, deeds, Arc::clone(&count)));
        }
    });
    (url, streams)
}

async fn frames(mut stream: TcpStream, deeds: &[Deed], count: Arc<AtomicUsize>) {
    let mut preface = [0; 24];
    if stream.read_exact(&mut preface).await.is_err() {
        return;
    }
    let mut out = frame(SETTINGS, 0, 0, &[]);
    let (mut late, mut last) = (Vec::new(), 0);
    loop {
        if stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] == 0 => out = frame(SETTINGS, 1, 0, &[]),
            HEADERS => {
                let deed = deeds.get(count.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(Deed::Answers);
                match deed {
                    Deed::Answers => out = answered(id),
                    Deed::AnswersLate => late.push(id),
                    Deed::Resets(reason) => out = frame(RST_STREAM, 0, id, &reason.to_be_bytes()),
                    Deed::GoesAway => {
                        out = frame(GOAWAY, 0, 0, &[u32::to_be_bytes(last), 0_u32.to_be_bytes()].concat());
                        out.extend(late.drain(..).flat_map(answered));
                    }
                    Deed::GoesAwayFor(reason) => {
                        out = frame(GOAWAY, 0, 0, &[u32::to_be_bytes(last), reason.to_be_bytes()].concat());
                        let _ = stream.write_all(&out).await;
                        return;
                    }
                }
                last = id;
            }
            _ => {}
        }
    }
}

/// A good answer, as frames.
fn answered(id: u32) -> Vec<u8> {
    // 0x88 is `:status: 200` in HPACK's static table.
    let head = [vec![0x88], fields(&[("content-type", "application/json")])].concat();
    [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, ANSWER.as_bytes())].concat()
}

/// A route's requests one after the other over HTTP/2, with a breaker that opens at the first failure: their statuses.
async fn over_http2(deeds: &'static [Deed], model: &str, requests: usize) -> (Vec<u16>, usize) {
    let (url, streams) = http2(deeds).await;
    let settings = "pool: { http2: always }, health: { failures: 2 }";
    let gateway = Setup::new(routed(&url, NOBODY, settings)).start().await;
    let key = gateway.plain_key().await;
    let mut statuses = Vec::new();
    for _ in 0..requests {
        statuses.push(ask(&gateway, &key, model).await.status.as_u16());
    }
    (statuses, streams.load(Ordering::SeqCst))
}

/// F08: `GOAWAY`. Streams up to the one it names end well, the others are asked again over a new connection, however
/// often the route tries; nobody is blamed.
#[tokio::test]
async fn f08_streams_beyond_a_goaway_are_asked_again_and_the_others_end_well() {
    let (url, streams) = http2(&[Deed::AnswersLate, Deed::GoesAway]).await;
    let settings = "pool: { http2: always }, health: { failures: 1 }";
    let gateway = Setup::new(routed(&url, NOBODY, settings)).start().await;
    let key = gateway.plain_key().await;
    let second = async {
        // The first has arrived, on the connection that both have.
        while streams.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        ask(&gateway, &key, "alone").await
    };
    let (first, second) = tokio::join!(ask(&gateway, &key, "alone"), second);
    for reply in [first, second] {
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, ANSWER));
    }
    assert_eq!(streams.load(Ordering::SeqCst), 3, "the second was asked twice");
    let tried: BTreeMap<usize, Value> =
        gateway.wait_rows(2).await.into_iter().map(|row| (row["attempts"].as_array().unwrap().len(), row)).collect();
    assert_eq!(tried.keys().copied().collect::<Vec<_>>(), [1, 2], "{tried:#?}");
    assert_eq!(ask(&gateway, &key, "alone").await.status, StatusCode::OK, "the breaker is closed");
}

/// F09: a stream that is refused was not looked at, and is sent again at once; one that is reset for other reasons only
/// where the route tries again.
#[tokio::test]
async fn f09_a_refused_stream_is_sent_again_and_calm_is_kept() {
    assert_eq!(over_http2(&[Deed::Resets(REFUSED_STREAM)], "alone", 2).await, (vec![200, 200], 3));
    assert_eq!(over_http2(&[Deed::Resets(ENHANCE_YOUR_CALM)], "alone", 2).await, (vec![502, 200], 2));
    assert_eq!(over_http2(&[Deed::Resets(ENHANCE_YOUR_CALM)], "again", 2).await, (vec![200, 200], 3));
    assert_eq!(over_http2(&[Deed::GoesAwayFor(ENHANCE_YOUR_CALM)], "again", 2).await, (vec![200, 200], 3));
    let (statuses, streams) = over_http2(&[Deed::Resets(ENHANCE_YOUR_CALM); 9], "alone", 4).await;
    assert_eq!((statuses, streams), (vec![502, 502, 502, 502], 4), "one that is alone is asked all the same");
}
