//! Several gateways on one database.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Filed, ask, config, reload};
use crate::support::database::Database;
use crate::support::gateway::{Gateway, eventually};

/// Longest until a change on one replica is in force on the other.
const SOON: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "measures how soon a change arrives")]
async fn soon(what: &str, probe: impl AsyncFnMut() -> Option<()>) {
    let begun = Instant::now();
    eventually(what, probe).await;
    assert!(begun.elapsed() < SOON, "{what} took {:?}", begun.elapsed());
}

async fn has(gateway: &Gateway, key: &str, model: &str) -> Option<()> {
    (ask(gateway, key, model).await.status == StatusCode::OK).then_some(())
}

#[tokio::test]
async fn replicas_follow_the_database_and_go_back_to_their_files() {
    let db = Database::postgres().await;
    let start = async |model: &str| Filed::on(&db, &format!("models: {{ {model}: demo/chat }}\n"), |setup| setup).await;
    let (a, b) = (start("a").await, start("b").await);
    let key = a.gateway.plain_key().await;
    assert!(has(&a.gateway, &key, "a").await.is_some() && has(&b.gateway, &key, "b").await.is_some());

    let shared = json!({"models": {"shared": "demo/chat"}, "logging": {"level": "error"}});
    let done = reload(&a.gateway, json!({"config": shared})).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert_eq!(done.json()["needs_restart"], json!([]), "the database's address stands in each file");
    assert_eq!(done.json()["left_to_file"][0]["path"], "logging.level");
    assert!(has(&a.gateway, &key, "shared").await.is_some(), "at once where it was asked for");
    soon("the change on the other", async || has(&b.gateway, &key, "shared").await).await;
    let version = &done.json()["version"];
    soon("its number", async || (&config(&b.gateway).await["version"] == version).then_some(())).await;

    let c = start("c").await;
    assert!(has(&c.gateway, &key, "shared").await.is_some(), "who starts later follows from its first request on");
    assert_eq!(ask(&c.gateway, &key, "c").await.status, StatusCode::NOT_FOUND);
    b.write("models: { b2: demo/chat }\n");

    let rollback = json!({"version": 1});
    assert_eq!(b.gateway.admin(Method::POST, "/admin/v1/config/rollback", rollback).await.status, StatusCode::OK);
    soon("the way back, on the other", async || has(&c.gateway, &key, "a").await).await;
    assert_eq!(ask(&b.gateway, &key, "b2").await.status, StatusCode::NOT_FOUND);

    assert_eq!(reload(&a.gateway, json!({"source": "file"})).await.status, StatusCode::OK);
    soon("its own file again", async || has(&b.gateway, &key, "b2").await).await;
    soon("and the third's", async || has(&c.gateway, &key, "c").await).await;
    assert!(has(&a.gateway, &key, "a").await.is_some());
}

#[tokio::test]
async fn a_replica_that_cannot_follow_keeps_what_it_has() {
    let db = Database::postgres().await;
    let a = Filed::on(&db, "models: { a: demo/chat }\n", |s| s.env("ONLY_HERE", "the-declared-key")).await;
    let b = Filed::on(&db, "models: { b: demo/chat }\n", |s| s).await;
    let key = a.gateway.plain_key().await;
    let text = "models: { new: demo/chat }\nkeys: [{ name: ci, key: \"${ONLY_HERE}\" }]\n";
    assert_eq!(reload(&a.gateway, json!({"config": text})).await.status, StatusCode::OK);
    assert_eq!(ask(&a.gateway, "the-declared-key", "new").await.status, StatusCode::OK);
    let refused = eventually("the refusal", async || {
        let refused = config(&b.gateway).await["refused"].clone();
        (refused != Value::Null).then_some(refused)
    })
    .await;
    assert!(refused["faults"][0]["problem"].as_str().unwrap().contains("ONLY_HERE is not set"), "{refused}");
    assert!(has(&b.gateway, &key, "b").await.is_some());
}
