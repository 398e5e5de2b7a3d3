//! Faults of clients that no other file has.

use http::{Method, StatusCode};
use serde_json::json;

use crate::passthrough::{FORM, call, part};
use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Setup, one_provider};
use crate::support::upstream::{Script, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

on_both!(f43_a_nul_costs_no_row);

/// F43: a NUL, which PostgreSQL's texts cannot hold, wherever a caller can put one: the request is served, and its row
/// is written.
async fn f43_a_nul_costs_no_row(db: Database) {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER.replace("\"m\"", "\"m\\u0000\""))]).await;
    let gateway = Setup::new(one_provider(&upstream.url())).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    for body in [
        r#"{"model":"up/m\u0000","messages":[]}"#,
        r#"{"model":"up/m","user":"a\u0000b","messages":[{"role":"user","content":"\u0000"}]}"#,
        r#"{"model":"up/m","metadata":{"a\u0000":"\u0000"},"messages":[]}"#,
    ] {
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, StatusCode::OK, "{body}: {}", reply.text());
    }
    let reply = gateway.post(&key, "/v1/chat/completions", r#"{"model":"\u0000","messages":[]}"#).await;
    assert!(reply.status.is_client_error() || reply.status == StatusCode::OK, "{}", reply.text());
    assert_eq!(gateway.wait_rows(4).await.len(), 4);
}

/// F49: a model in the body, another in the query and more in headers: the body's is looked at, and the same goes
/// upstream; a key that may not have it gets nothing.
#[tokio::test]
async fn f49_what_is_checked_is_what_is_asked() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let (_, key) = gateway.key(json!({"models": ["up/cheap"]})).await;
    let ask = async |query: &str, model: &str| {
        let auth = format!("Bearer {key}");
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
            ("x-model", "up/dear"),
            ("x-weir-model", "up/dear"),
        ];
        let path = format!("/v1/chat/completions?{query}");
        gateway.request(Method::POST, &path, &headers, json!({"model": model, "messages": []}).to_string()).await
    };
    for query in ["model=up/dear", "model=up%2Fdear&model=up/dear", "MODEL=up/dear"] {
        let reply = ask(query, "up/cheap").await;
        if reply.status == StatusCode::OK {
            let seen = upstream.seen().pop().unwrap();
            assert_eq!((seen.json()["model"].as_str(), seen.path.as_str()), (Some("cheap"), "/v1/chat/completions"));
        } else {
            assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "conflicting_model".to_owned()));
        }
        let reply = ask(&query.replace("dear", "cheap"), "up/dear").await;
        assert!(reply.status.is_client_error(), "{query}: {}", reply.text());
    }
    assert!(upstream.seen().iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("dear")));
}

/// F56: ten thousand parts, a part within a part, a file that is named like a way out of a folder: what is passed on is
/// what came, and nothing is written anywhere.
#[tokio::test]
async fn f56_odd_forms_pass_or_are_refused_and_are_written_nowhere() {
    let upstream = Upstream::scripted(vec![Script::json(r#"{"text":"hi"}"#)]).await;
    let gateway = Gateway::before(&upstream.url()).await;
    let key = gateway.plain_key().await;
    let end = b"--bOuN.dArY--\r\n".to_vec();
    let model = part("model", "", b"up/m");
    let many: Vec<u8> = (0..10_000).flat_map(|n| part(&format!("a{n}"), "", b"1")).collect();
    let out = part("file", "; filename=\"../../../../tmp/weir-way-out\"\r\nContent-Type: audio/wav", b"RIFF");
    let nested = part("file", "\r\nContent-Type: multipart/mixed; boundary=inner", b"--inner\r\n\r\nx\r\n--inner--");
    for (name, file) in [("many parts", many), ("a way out", out), ("a part within a part", nested)] {
        let body = [file, model.clone(), end.clone()].concat();
        let before = upstream.seen().len();
        let reply = call(&gateway, &key, Method::POST, "/v1/audio/transcriptions", FORM, &body).await;
        if reply.status == StatusCode::OK {
            let sent = [
                body.strip_suffix(&[model.clone(), end.clone()].concat()[..]).unwrap(),
                &part("model", "", b"m"),
                &end,
            ]
            .concat();
            assert!(upstream.seen()[before].body == sent, "{name}: it is changed");
        } else {
            assert_eq!(
                (reply.status, reply.code()),
                (StatusCode::BAD_REQUEST, "invalid_multipart".to_owned()),
                "{name}"
            );
            assert!(
                upstream.seen().iter().skip(before).all(|seen| !seen.body.ends_with(&end)),
                "{name}: none arrived whole"
            );
        }
    }
    assert!(!std::path::Path::new("/tmp/weir-way-out").exists());
}
