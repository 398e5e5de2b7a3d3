//! Upstreams over many connections, and answers that must not be passed on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{ANSWER, ready};
use crate::config_keys::spawn;
use crate::support::gateway::{Gateway, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Upstream};

/// An upstream over HTTP/2 without TLS that allows ten streams on a connection, and answers once it is let.
struct Narrow {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Semaphore>,
}

async fn narrow() -> Narrow {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (connections, streams) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let told =
        Narrow { addr, connections: Arc::clone(&connections), streams: Arc::clone(&streams), gate: Arc::clone(&gate) };
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (streams, gate) = (Arc::clone(&streams), Arc::clone(&gate));
            spawn(async move {
                let service = service_fn(move |_| {
                    streams.fetch_add(1, Ordering::SeqCst);
                    let gate = Arc::clone(&gate);
                    async move {
                        let _open = gate.acquire().await;
                        let body: BoxBody<Bytes, Infallible> = Full::from(ANSWER).boxed();
                        Ok::<_, Infallible>(
                            Response::builder().header("content-type", "application/json").body(body).unwrap(),
                        )
                    }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // That the gateway goes away is how it ends.
                let _ = builder.max_concurrent_streams(10).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    told
}

#[tokio::test]
async fn f10_streams_get_connections_as_they_need_them() {
    let up = narrow().await;
    let pool = "pool: { http2: always, http2_streams: 10, http2_connections: 5 }, api_key:";
    let yaml = one_provider(&format!("http://{}/v1", up.addr)).replace("api_key:", pool);
    let gateway = Arc::new(Setup::new(yaml).start().await);
    let key = gateway.plain_key().await;
    let ask = |gateway: Arc<Gateway>, key: String| async move {
        gateway.post(&key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await
    };
    let calls: Vec<_> = (0..50).map(|_| ask(Arc::clone(&gateway), key.clone())).collect();
    let all = futures_util::future::join_all(calls);
    let meanwhile = async {
        eventually("all streams at once", async || (up.streams.load(Ordering::SeqCst) == 50).then_some(())).await;
        assert_eq!(up.connections.load(Ordering::SeqCst), 5);
        let one_more = ask(Arc::clone(&gateway), key.clone());
        let reply = tokio::time::timeout(Duration::from_secs(5), one_more).await.expect("it is not queued");
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        assert!(reply.text().contains("pool.http2_connections"), "{}", reply.text());
        up.gate.add_permits(1000);
    };
    let (replies, ()) = tokio::join!(all, meanwhile);
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
    assert_eq!(ask(Arc::clone(&gateway), key.clone()).await.status, StatusCode::OK, "places are given back");
    assert_eq!(up.connections.load(Ordering::SeqCst), 5);
}

/// An upstream that writes these bytes for each request that it gets, and counts its connections.
async fn raw(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            spawn(async move {
                let mut seen = vec![0; 64 * 1024];
                // One read is one request: they are small, and there is one at a time.
                while stream.read(&mut seen).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if answer.contains("HTTP/1.0") {
                        return;
                    }
                }
            });
        }
    });
    (url, connections)
}

async fn ask(gateway: &Gateway, key: &str) -> crate::support::gateway::Reply {
    gateway.post(key, "/v1/chat/completions", json!({"model": "m", "messages": []})).await
}

#[tokio::test]
async fn f11_informational_answers_are_swallowed_and_a_switch_is_a_failure() {
    let (url, _) = raw(concat!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    ))
    .await;
    let gateway = Gateway::before(&url).await;
    let key = gateway.plain_key().await;
    let reply = gateway.get(&key, "/v1/files").await;
    assert_eq!((reply.status, reply.text().as_str(), reply.header("link")), (StatusCode::OK, "{}", None));
    let (url, _) = raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
    let gateway = Gateway::before(&url).await;
    let key = gateway.plain_key().await;
    for reply in [ask(&gateway, &key).await, gateway.get(&key, "/v1/files").await] {
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (StatusCode::BAD_GATEWAY, "upstream_error"),
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("upgrade"), None);
    }
}

#[tokio::test]
async fn f12_a_redirect_is_not_followed_with_credentials_or_without() {
    let elsewhere = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/chat/completions", elsewhere.url());
        let upstream = Upstream::scripted(vec![Script::status(status, "{}").header("location", &location)]).await;
        let gateway = Gateway::before(&upstream.url()).await;
        let key = gateway.plain_key().await;
        for reply in [ask(&gateway, &key).await, gateway.get(&key, "/v1/files/f/content").await] {
            assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{status}: {}", reply.text());
            assert_eq!(reply.header("location"), None, "nor is the client sent there with its key");
        }
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn f34_an_upstreams_private_headers_reach_nobody() {
    const PRIVATE: [&str; 16] = [
        "set-cookie",
        "authorization",
        "x-goog-api-key",
        "x-api-key",
        "api-key",
        "proxy-authenticate",
        "proxy-connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "server",
        "via",
        "x-ratelimit-limit-requests",
        "alt-svc",
        "strict-transport-security",
    ];
    let with = |script: Script| PRIVATE.iter().fold(script, |script, name| script.header(name, "s3cret"));
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let upstream = Upstream::scripted(vec![
        with(Script::json(ANSWER)),
        with(Script::sse(&[event])),
        with(Script::json("{}")),
        with(Script::status(400, "{\"error\":{\"message\":\"no\",\"type\":\"x\",\"param\":null,\"code\":null}}")),
    ])
    .await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    let stream = json!({"model": "m", "messages": [], "stream": true});
    for reply in [
        ask(&gateway, &key).await,
        gateway.post(&key, "/v1/chat/completions", stream).await,
        gateway.get(&key, "/v1/files/f/content").await,
        ask(&gateway, &key).await,
    ] {
        for name in PRIVATE {
            assert_ne!(reply.header(name), Some("s3cret"), "{name}: {:?}", reply.headers);
        }
    }
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn f35_an_answer_ends_where_it_says_or_is_none() {
    let good = "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[]}";
    let length = good.len();
    let answer = |head: &str, body: String| -> &'static str {
        Box::leak(format!("{head}\r\ncontent-type: application/json\r\n{body}").into_boxed_str())
    };
    let chunks = format!("{length:x}\r\n{good}\r\n0\r\n");
    for (name, answer, status, reused) in [
        (
            "trailers",
            answer("HTTP/1.1 200 OK", format!("transfer-encoding: chunked\r\ntrailer: a\r\n\r\n{chunks}a: b\r\n\r\n")),
            200,
            true,
        ),
        ("HTTP/1.0 until its end", answer("HTTP/1.0 200 OK", format!("\r\n{good}")), 200, false),
        (
            "both framings",
            answer(
                "HTTP/1.1 200 OK",
                format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}\r\n"),
            ),
            502,
            false,
        ),
        (
            "both framings, turned",
            answer(
                "HTTP/1.1 200 OK",
                format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n{chunks}\r\n"),
            ),
            502,
            false,
        ),
        (
            "two lengths",
            answer("HTTP/1.1 200 OK", format!("content-length: {length}\r\ncontent-length: 3\r\n\r\n{good}")),
            502,
            false,
        ),
        ("no length", answer("HTTP/1.1 200 OK", format!("content-length: x\r\n\r\n{good}")), 502, false),
    ] {
        let (url, connections) = raw(answer).await;
        let route = "models: { once: { targets: [{ provider: up, model: m }], retries: { attempts: 1 } } }\n";
        let gateway = Setup::new(format!("{}{route}", one_provider(&url))).start().await;
        let key = gateway.plain_key().await;
        for _ in 0..3 {
            let reply = gateway.post(&key, "/v1/chat/completions", json!({"model": "once", "messages": []})).await;
            assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.text());
            assert_eq!(reply.header("a"), None, "{name}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), if reused { 1 } else { 3 }, "{name}");
    }
}

/// What would be fetched if anything in a request were.
#[tokio::test]
async fn f51_nothing_that_a_caller_names_is_connected_to() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    spawn(async move {
        while trap.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (upstream, gateway, key) = ready("drain_timeout: 1s").await;
    let url = |host: &str| format!("http://{host}:{port}/x");
    for url in [
        url("127.0.0.1"),
        url("0x7f000001"),
        url("2130706433"),
        url("127.1"),
        url("[::ffff:127.0.0.1]"),
        url("localhost."),
    ] {
        let parts =
            json!([{"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_data": url}}]);
        let body = json!({"model": "m", "messages": [{"role": "user", "content": parts}], "api_base": url, "base_url": url,
            "webhook": url, "extra_headers": {"host": url}, "custom_llm_provider": url});
        gateway.post(&key, "/v1/chat/completions", &body).await;
        let image = json!({"type": "image", "source": {"type": "url", "url": url}});
        let messages = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [image]}]});
        gateway.post(&key, "/v1/messages", messages).await;
        let file =
            json!({"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": url, "mimeType": "image/png"}}]}]});
        gateway.post(&key, "/v1beta/models/up/m:generateContent", file).await;
        let input = json!([{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]);
        gateway.post(&key, "/v1/responses", json!({"model": "m", "input": input, "background": false})).await;
        let mcp =
            json!({"model": "m", "input": "x", "tools": [{"type": "mcp", "server_label": "l", "server_url": url}]});
        gateway.post(&key, "/v1/responses", mcp).await;
        let headers = [
            ("x-api-key", key.as_str()),
            ("x-forwarded-host", &url),
            ("x-weir-upstream", &url),
            ("forwarded", "host=x"),
        ];
        gateway.request(Method::GET, &format!("/v1/files?url={url}"), &headers, "").await;
    }
    assert!(upstream.seen().iter().all(|seen| seen.headers["host"] == upstream.addr.to_string().as_str()));
    let chats: Vec<Value> =
        upstream.seen().iter().filter(|seen| seen.path == "/v1/chat/completions").map(|seen| seen.json()).collect();
    assert!(chats.iter().any(|chat| chat.to_string().contains("2130706433")), "they are passed on as they are");
    assert_eq!(caught.load(Ordering::SeqCst), 0);
}
