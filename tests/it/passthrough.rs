//! What is passed through by path: uploads, binary answers, objects and whose they are.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Reply, Setup, one_provider};
use crate::support::upstream::{Script, Seen, Step, Upstream};

async fn echo() -> (Upstream, Gateway, String) {
    let upstream = Upstream::scripted(vec![Script::json(r#"{"text":"hi"}"#)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    (upstream, gateway, key)
}

pub(crate) async fn call(gateway: &Gateway, key: &str, method: Method, path: &str, kind: &str, body: &[u8]) -> Reply {
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", kind)];
    gateway.request(method, path, &headers[..if kind.is_empty() { 1 } else { 2 }], body.to_vec()).await
}

pub(crate) fn part(name: &str, more: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("--bOuN.dArY\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// A form with a file of `size` bytes and the model behind it.
fn form(size: usize, model: &str) -> Vec<u8> {
    let file: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let parts = [
        part("file", "; filename=\"a.wav\"\r\nContent-Type: audio/wav", &file),
        part("model", "", model.as_bytes()),
        part("language", "", b"d\xc3\xa9"),
    ];
    [parts.concat(), b"--bOuN.dArY--\r\n".to_vec()].concat()
}

pub(crate) const FORM: &str = "multipart/form-data; boundary=bOuN.dArY";

#[tokio::test]
async fn a_form_keeps_every_byte_but_its_model() {
    let (upstream, gateway, key) = echo().await;
    let sent = form(3 << 20, "up/whisper-1");
    let reply = call(&gateway, &key, Method::POST, "/v1/audio/transcriptions", FORM, &sent).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, r#"{"text":"hi"}"#));
    let seen = upstream.only();
    assert_eq!(
        (seen.path.as_str(), seen.headers["content-type"].to_str().unwrap()),
        ("/v1/audio/transcriptions", FORM)
    );
    let expected = form(3 << 20, "whisper-1");
    assert!(seen.body == expected, "the form changed");
    assert_eq!(seen.headers["content-length"].to_str().unwrap(), expected.len().to_string());
    let row = gateway.only_row().await;
    assert_eq!((&row["model"], &row["provider"]), (&json!("up/whisper-1"), &json!("up")));
    assert_eq!((&row["status"], &row["unpriced"]), (&json!("ok"), &json!(true)));
}

fn chunked(path: &str, key: &str, kind: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut raw = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    for chunk in chunks {
        raw.extend(format!("{:x}\r\n", chunk.len()).bytes());
        raw.extend_from_slice(chunk);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"0\r\n\r\n");
    raw
}

#[tokio::test]
async fn a_chunked_upload_stays_chunked() {
    let (upstream, gateway, key) = echo().await;
    let sent = form(1000, "up/whisper-1");
    let chunks: Vec<&[u8]> = sent.chunks(7).collect();
    let answer = gateway.raw(&chunked("/v1/audio/transcriptions", &key, FORM, &chunks)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = upstream.only();
    assert!(seen.body == form(1000, "whisper-1"));
    assert_eq!(seen.headers.get("content-length"), None);
}

#[tokio::test]
async fn an_http2_upload_of_unknown_length_arrives() {
    let (upstream, gateway, key) = echo().await;
    let chunks = futures_util::stream::iter(
        [b"v=", b"0\n"].map(|chunk| Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from_static(chunk)))),
    );
    let request = http::Request::post(gateway.url("/v1/realtime/calls?model=up/m"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/sdp")
        .body(http_body_util::StreamBody::new(chunks))
        .unwrap();
    let mut builder = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let reply = builder.http2_only(true).build_http().request(request).await.unwrap();
    assert_eq!((reply.status(), reply.version()), (StatusCode::OK, http::Version::HTTP_2));
    assert_eq!(&upstream.only().body[..], b"v=0\n");
}

#[tokio::test]
async fn a_form_with_two_models_is_refused_wherever_the_second_stands() {
    let (upstream, gateway, key) = echo().await;
    for between in [0, 3 << 20] {
        let file = part("file", "; filename=\"a\"", &vec![b'x'; between]);
        let body =
            [part("model", "", b"up/a"), file, part("model", "", b"up/b"), b"--bOuN.dArY--\r\n".to_vec()].concat();
        let reply = call(&gateway, &key, Method::POST, "/v1/audio/transcriptions", FORM, &body).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "invalid_multipart".into()), "{between}");
    }
    assert!(upstream.seen().iter().all(|seen| !seen.body.ends_with(b"--bOuN.dArY--\r\n")), "none arrived whole");
}

#[tokio::test]
async fn forms_that_cannot_be_read_are_refused() {
    let (upstream, gateway, key) = echo().await;
    let cut = &form(10, "up/m")[..60];
    for (kind, body) in [
        ("multipart/form-data", form(10, "up/m")),
        ("multipart/form-data; boundary=\"\"", form(10, "up/m")),
        (FORM, b"no form at all".to_vec()),
        (FORM, cut.to_vec()),
        (FORM, form(10, &"m".repeat(300))),
        (FORM, form(10, "")),
    ] {
        let reply = call(&gateway, &key, Method::POST, "/v1/audio/transcriptions", kind, &body).await;
        let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(
            (reply.status, reply.code()),
            (StatusCode::BAD_REQUEST, "invalid_multipart".into()),
            "{kind}: {text}"
        );
    }
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", FORM), ("content-encoding", "gzip")];
    let reply = gateway.request(Method::POST, "/v1/audio/transcriptions", &headers, form(10, "up/m")).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "its model cannot be seen");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upload_above_the_limit_is_a_413_however_it_comes() {
    let upstream = Upstream::scripted(vec![Script::json("{}")]).await;
    let yaml = one_provider(&upstream.url()) + "server: { upload_limit: 64KiB }\n";
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let body = form(100 << 10, "up/m");
    let reply = call(&gateway, &key, Method::POST, "/v1/files", FORM, &body).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large".into()));
    let model_first =
        [part("model", "", b"up/a"), part("file", "", &vec![b'x'; 100 << 10]), b"--bOuN.dArY--\r\n".to_vec()].concat();
    for (kind, body) in [(FORM, body.as_slice()), (FORM, &model_first), ("application/octet-stream", &body)] {
        let chunks: Vec<&[u8]> = body.chunks(8 << 10).collect();
        let answer = gateway.raw(&chunked("/v1/files", &key, kind, &chunks)).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{kind}: {answer}");
        assert!(answer.contains("request_too_large"), "{answer}");
    }
}

#[tokio::test]
async fn sound_is_passed_on_as_it_comes() {
    let sound = |n: usize| Step::send([0xff_u8, 0xfb, 0, n as u8].repeat(1000));
    let upstream = Upstream::scripted(vec![
        Script::new(200, "audio/mpeg", vec![sound(1), Step::Wait(Duration::from_millis(300)), sound(2)])
            .header("content-disposition", "attachment"),
    ])
    .await;
    let gateway = Gateway::before(&upstream.url()).await;
    let auth = format!("Bearer {}", gateway.plain_key().await);
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
    let body = r#"{"model":"up/tts-1","input":"Grüße","voice":"alloy"}"#;
    let answer = gateway.send(Method::POST, "/v1/audio/speech", &headers, body).await;
    assert_eq!(answer.headers()["content-type"], "audio/mpeg");
    assert_eq!(answer.headers()["content-disposition"], "attachment");
    let mut body = answer.into_body();
    let first =
        tokio::time::timeout(Duration::from_millis(250), body.frame()).await.expect("the first bytes do not wait");
    let mut got = first.unwrap().unwrap().into_data().unwrap().to_vec();
    got.extend(body.collect().await.unwrap().to_bytes());
    assert_eq!(got, [[0xff_u8, 0xfb, 0, 1].repeat(1000), [0xff_u8, 0xfb, 0, 2].repeat(1000)].concat());
    assert_eq!(upstream.only().body, r#"{"model":"tts-1","input":"Grüße","voice":"alloy"}"#);
    let row = gateway.only_row().await;
    assert_eq!((&row["status"], &row["endpoint"]), (&json!("ok"), &json!("audio/speech")));
}

#[tokio::test]
async fn a_broken_binary_answer_breaks_the_connection() {
    let steps = vec![Step::send([1_u8; 100]), Step::Wait(Duration::from_millis(5)), Step::Cut];
    let upstream = Upstream::scripted(vec![Script::new(200, "audio/mpeg", steps)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let auth = format!("Bearer {}", gateway.plain_key().await);
    let answer = gateway.send(Method::GET, "/v1/files/file-abc/content", &[("authorization", auth.as_str())], "").await;
    assert!(answer.into_body().collect().await.is_err(), "half a file is no file");
    assert_eq!(gateway.only_row().await["status"], "upstream_error");
}

#[tokio::test]
async fn the_query_may_name_the_model() {
    let (upstream, gateway, key) = echo().await;
    let reply =
        call(&gateway, &key, Method::POST, "/v1/realtime/calls?model=up%2Fgpt-x&a=b%20c", "application/sdp", b"v=0")
            .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        (upstream.only().path.as_str(), &upstream.only().body[..]),
        ("/v1/realtime/calls?model=gpt%2Dx&a=b%20c", &b"v=0"[..])
    );
    let reply =
        call(&gateway, &key, Method::POST, "/v1/evals?model=up/a", "application/json", br#"{"model":"up/b"}"#).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "conflicting_model".into()));
    for query in ["model=up/a&model=up/b", "model=up/a&%6dodel=up/b"] {
        let path = format!("/v1/realtime/calls?{query}");
        let reply = call(&gateway, &key, Method::POST, &path, "application/sdp", b"v=0").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "conflicting_model".into()), "{query}");
    }
}

/// An upstream of files and responses: creating answers the id the request asks for.
async fn objects() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|seen: &Seen| {
        let made = seen.headers.get("x-make").map(|v| v.to_str().unwrap().to_owned());
        match (&seen.method, made) {
            (_, Some(id)) if id.starts_with("resp") => {
                let event = format!("event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"{id}\"}}}}\n\n");
                Script::sse(&[&event, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
                    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"])
            }
            (_, Some(id)) => Script::json(format!(r#"{{"id":"{id}","object":"file","bytes":1.0}}"#)),
            (&Method::GET, None) if seen.path.split('?').next() == Some("/v1/files") => Script::json(
                r#"{"object":"list","data":[{"id":"file-theirs1","n":1.0},{"id":"file-mine01","n":1e-7,"big":100000000000000000001},{"id":"file-theirs2"}],"first_id":"file-theirs1","last_id":"file-theirs2","has_more":false,"x":1.0}"#,
            ),
            _ => Script::json(r#"{"ok":1.0}"#),
        }
    })
    .await;
    let gateway = Gateway::before(&upstream.url()).await;
    (upstream, gateway)
}

async fn make(gateway: &Gateway, key: &str, id: &str) {
    let auth = format!("Bearer {key}");
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json"), ("x-make", id)];
    let (path, body) = if id.starts_with("resp") {
        ("/v1/responses", r#"{"model":"up/m","stream":true,"input":"hi"}"#)
    } else {
        ("/v1/files", r#"{"purpose":"batch"}"#)
    };
    let reply = gateway.request(Method::POST, path, &headers, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn another_keys_objects_do_not_exist() {
    let (upstream, gateway) = objects().await;
    let (mine, theirs) = (gateway.plain_key().await, gateway.plain_key().await);
    for id in ["file-theirs1", "resp_theirs1"] {
        make(&gateway, &theirs, id).await;
    }
    make(&gateway, &mine, "file-mine01").await;
    let before = upstream.seen().len();
    let body = |text: &str| text.as_bytes().to_vec();
    let deep = format!("{}{{\"file_id\":\"file-theirs1\"}}{}", "[".repeat(126), "]".repeat(126));
    for (method, path, sent) in [
        (Method::GET, "/v1/files/file-theirs1", body("")),
        (Method::GET, "/v1/files/file-theirs1/content", body("")),
        (Method::GET, "/v1/files/file%2Dtheirs1", body("")),
        (Method::DELETE, "/v1/files/file-theirs1", body("")),
        (Method::GET, "/v1/responses/resp_theirs1", body("")),
        (Method::POST, "/v1/responses/resp_theirs1/cancel", body("")),
        (Method::GET, "/v1/files?after=file-theirs1", body("")),
        (Method::POST, "/v1/batches", body(r#"{"input_file_id":"file-theirs1"}"#)),
        (Method::POST, "/v1/responses", body(r#"{"model":"up/m","previous_response_id":"resp_theirs1"}"#)),
        (Method::POST, "/v1/responses", body(r#"{"model":"up/m","previous\u005fresponse_id":"resp_theirs1"}"#)),
        (Method::POST, "/v1/responses", body(r#"{"model":"up/m","x":1e400,"previous_response_id":"resp_theirs1"}"#)),
        (Method::POST, "/v1/responses", body(r#"{"model":"up/m","previous_response_id":"resp\u005ftheirs1"}"#)),
        (Method::POST, "/v1/responses", body(&format!(r#"{{"model":"up/m","x":{deep}}}"#))),
        (Method::POST, "/v1/batches", body(r#"{"input_file_id":"file-mine01","input_file_id":"file-theirs1"}"#)),
        (
            Method::POST,
            "/v1/chat/completions",
            body(
                r#"{"model":"up/m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-theirs1"}}]}]}"#,
            ),
        ),
    ] {
        let reply = call(&gateway, &mine, method.clone(), path, "application/json", &sent).await;
        let what =
            format!("{method} {path} {}: {}", String::from_utf8_lossy(&sent[..sent.len().min(90)]), reply.text());
        assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, "not_found".into()), "{what}");
    }
    assert_eq!(upstream.seen().len(), before, "none of it reached the provider");
    for (key, path) in [(&mine, "/v1/files/file-mine01"), (&theirs, "/v1/responses/resp_theirs1")] {
        assert_eq!(call(&gateway, key, Method::GET, path, "", b"").await.text(), r#"{"ok":1.0}"#);
    }
}

#[tokio::test]
async fn lists_show_ones_own_objects_byte_for_byte() {
    let (_, gateway) = objects().await;
    let (mine, theirs) = (gateway.plain_key().await, gateway.plain_key().await);
    for id in ["file-theirs1", "file-theirs2"] {
        make(&gateway, &theirs, id).await;
    }
    make(&gateway, &mine, "file-mine01").await;
    let shown = call(&gateway, &mine, Method::GET, "/v1/files?limit=5", "", b"").await.text();
    assert_eq!(
        shown,
        r#"{"object":"list","data":[{"id":"file-mine01","n":1e-7,"big":100000000000000000001}],"first_id":"file-mine01","last_id":"file-mine01","has_more":false,"x":1.0}"#
    );
}

#[tokio::test]
async fn a_deleted_object_is_forgotten() {
    let (_, gateway) = objects().await;
    let (mine, theirs) = (gateway.plain_key().await, gateway.plain_key().await);
    make(&gateway, &theirs, "file-again1").await;
    assert_eq!(call(&gateway, &theirs, Method::DELETE, "/v1/files/file-again1", "", b"").await.status, StatusCode::OK);
    assert_eq!(call(&gateway, &mine, Method::GET, "/v1/files/file-again1", "", b"").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_held_to_models_may_not_start_work_whose_model_is_unseen() {
    let (upstream, gateway, _) = echo().await;
    let (_, key) = gateway.key(json!({"models": ["up/a"]})).await;
    for (path, kind, body) in [
        ("/v1/batches", "application/json", r#"{"input_file_id":"file-1"}"#),
        ("/v1/fine_tuning/jobs", "application/json", "{}"),
        ("/v1/responses", "application/json", r#"{"model":"up/b"}"#),
        ("/v1/chat/completions", "application/json", r#"{"model":"up/b","messages":[]}"#),
        ("/v1/responses", "text/plain", r#"{"model":"up/b"}"#),
        ("/v1/responses?model=up/a", "text/plain", r#"{"model":"up/b"}"#),
        ("/v1/chat/completions", "application/json", r#"{"model":"up/a","fallbacks":["up/b"],"messages":[]}"#),
    ] {
        let reply = call(&gateway, &key, Method::POST, path, kind, body.as_bytes()).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::FORBIDDEN, "model_not_allowed".into()), "{path} {body}");
    }
    assert!(upstream.seen().is_empty());
    let reply = call(&gateway, &key, Method::POST, "/v1/responses", "application/json", br#"{"model":"up/a"}"#).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(call(&gateway, &key, Method::GET, "/v1/batches", "", b"").await.status, StatusCode::OK);
}

fn two_providers(url: &str, more: &str) -> String {
    let provider = |name: &str, more: &str| {
        format!("  {name}: {{ kind: openai-compatible, base_url: \"{url}\", api_key: s-{name}{more} }}\n")
    };
    format!("providers:\n{}{}", provider("one", ""), provider("two", more))
}

#[tokio::test]
async fn without_a_default_provider_there_is_nowhere_to_go() {
    let upstream = Upstream::scripted(vec![Script::json("{}")]).await;
    let gateway = Setup::new(two_providers(&upstream.url(), "")).start().await;
    let key = gateway.plain_key().await;
    let reply = call(&gateway, &key, Method::GET, "/v1/files", "", b"").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, "no_default_provider".into()));
    let reply = gateway.post(&key, "/v1/chat/completions", json!({"model": "gpt-unheard-of", "messages": []})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, "model_not_found".into()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn the_default_provider_gets_what_nobody_else_knows() {
    let upstream = Upstream::scripted(vec![Script::json(r#"{"id":"x","object":"model"}"#)]).await;
    let gateway = Setup::new(two_providers(&upstream.url(), ", default: true")).start().await;
    let key = gateway.plain_key().await;
    for (path, sent_to) in [("/v1/files", "/v1/files"), ("/v1/models/unheard-of", "/v1/models/unheard-of")] {
        assert_eq!(call(&gateway, &key, Method::GET, path, "", b"").await.status, StatusCode::OK, "{path}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.path.as_str(), seen.headers["authorization"].as_bytes()), (sent_to, &b"Bearer s-two"[..]));
    }
    gateway.post(&key, "/v1/chat/completions", json!({"model": "org/unheard-of", "messages": []})).await;
    assert_eq!(upstream.seen().pop().unwrap().json()["model"], "org/unheard-of");
    let deleted = call(&gateway, &key, Method::DELETE, "/v1/models/ft:gpt-x", "", b"").await;
    assert_eq!((deleted.status, upstream.seen().pop().unwrap().method), (StatusCode::OK, Method::DELETE));
    assert_eq!(gateway.wait_rows(4).await.len(), 4, "each is recorded");
}

#[tokio::test]
async fn paths_that_could_lead_elsewhere_lead_nowhere() {
    let (upstream, gateway, key) = echo().await;
    for path in [
        "/v1/files/../../admin/v1/keys",
        "/v1/files/%2e%2e/admin",
        "/v1/files/..%2f..%2fadmin",
        "/v1//files",
        "//v1/files",
        "/v1/files//x",
        "/v1/files/%5c..%5cx",
        "/v1/files/%00",
        "/v1/files/%0d%0ahost:%20evil",
        "/v1/files/%ff",
        "/v1/nothing",
        "/V1/files",
        "/v1/%66iles",
        "/v1",
        "/v1/",
        "/",
    ] {
        let raw = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        let answer = gateway.raw(raw.as_bytes()).await;
        let told = answer.starts_with("HTTP/1.1 404") && answer.contains("unknown_path");
        let refused = answer.starts_with("HTTP/1.1 400") && answer.contains("invalid_path");
        let ambiguous = path.contains("..") || path.contains("//") || path.contains("%0") || path.contains("%2e");
        assert!(if ambiguous { refused } else { told }, "{path}: {answer}");
        assert!(answer.contains("x-request-id: "), "{path}: {answer}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_websocket_upgrade_is_refused_in_words() {
    let (_, gateway, key) = echo().await;
    let raw = format!(
        "GET /v1/realtime?model=up/gpt-realtime HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let answer = gateway.raw(raw.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("WebSocket upgrades are not supported"), "{answer}");
}

#[tokio::test]
async fn the_demo_says_what_it_does_not_serve() {
    let gateway = Setup::new("{}").start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(&key, "/v1/moderations", json!({"model": "demo/chat", "input": "hi"})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "unsupported_operation".into()));
    let row: Value = gateway.only_row().await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("rejected"), &json!("unsupported_operation")));
}
