//! Virtual keys from their making to their end, on both databases and on several replicas.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, eventually};
use crate::support::postgres::fresh_database;
use crate::support::proxy::Proxy;

on_both!(
    a_key_lives_its_life,
    another_replica_follows_within_a_second,
    bad_keys_do_not_stampede,
    models_are_limited_by_globs,
);

/// Only the demo: nothing here needs an upstream.
const PLAIN: &str = "server: { drain_timeout: 1s }\n";

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

async fn status_of(gateway: &Gateway, key: &str) -> StatusCode {
    gateway.post(key, "/v1/chat/completions", chat("demo/chat")).await.status
}

async fn with_headers(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    gateway.request(Method::POST, "/v1/chat/completions", headers, chat("demo/chat").to_string()).await
}

#[track_caller]
fn refused(reply: &Reply, status: StatusCode, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    assert!(reply.header("x-request-id").is_some());
    let error = reply.json()["error"].clone();
    assert!(["message", "type", "param", "code"].iter().all(|k| error.get(k).is_some()), "{error}");
}

async fn a_key_lives_its_life(db: Database) {
    let gateway = Setup::new(PLAIN).database(&db.url).start().await;
    let body = json!({"name": "app", "models": ["demo/*"], "team_id": "t1", "user_id": "u1",
        "organization_id": "o1", "limits": {"rpm": 100, "tpm": 100_000, "concurrency": 5}, "expires_at": "2090-01-01T00:00:00Z",
        "metadata": {"cost_center": "42"}});
    let made = gateway.admin(Method::POST, "/admin/v1/keys", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(secret.starts_with("sk-weir-"));
    assert_eq!(status_of(&gateway, secret).await, StatusCode::OK);

    let path = format!("/admin/v1/keys/{id}");
    let shown = gateway.admin(Method::GET, &path, Value::Null).await;
    assert!(!shown.text().contains(secret), "the secret is shown once");
    let shown = shown.json();
    for field in ["name", "models", "team_id", "user_id", "organization_id", "limits", "metadata"] {
        assert_eq!(shown[field], made[field], "{field}");
    }
    assert_eq!((&shown["status"], &shown["last4"]), (&json!("active"), &json!(secret[secret.len() - 4..])));
    assert_eq!(shown["expires_at"], "2090-01-01T00:00:00.000Z");

    let patch = json!({"name": "app2", "limits": {"tpm": null}, "metadata": null});
    let changed = gateway.admin(Method::PATCH, &path, patch).await.json();
    assert_eq!((&changed["name"], &changed["metadata"]), (&json!("app2"), &Value::Null));
    let limits = &changed["limits"];
    assert_eq!((&limits["rpm"], &limits["tpm"], &limits["concurrency"]), (&json!(100), &Value::Null, &json!(5)));
    assert_eq!(
        limits.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["rps", "rpm", "rph", "rpd", "tps", "tpm", "tph", "tpd", "concurrency"]
    );

    let rotated = gateway.admin(Method::POST, &format!("{path}/rotate"), Value::Null).await.json();
    let new = rotated["key"].as_str().unwrap();
    assert_ne!(new, secret);
    assert_eq!(status_of(&gateway, secret).await, StatusCode::UNAUTHORIZED, "the old secret is dead");
    assert_eq!(status_of(&gateway, new).await, StatusCode::OK);

    let listed = gateway.admin(Method::GET, "/admin/v1/keys?limit=1000", Value::Null).await;
    assert!(!listed.text().contains(new));
    assert!(listed.json()["data"].as_array().unwrap().iter().any(|key| key["id"] == id));

    let gone = gateway.admin(Method::DELETE, &path, Value::Null).await.json();
    assert_eq!(gone["status"], "revoked");
    refused(&with_headers(&gateway, &[("x-api-key", new)]).await, StatusCode::UNAUTHORIZED, "invalid_api_key");
    let again = gateway.admin(Method::GET, &path, Value::Null).await.json();
    assert_eq!(again["status"], "revoked", "its row stays");
}

async fn another_replica_follows_within_a_second(db: Database) {
    let (here, there) =
        (Setup::new(PLAIN).database(&db.url).start().await, Setup::new(PLAIN).database(&db.url).start().await);
    let (id, key) = here.key(json!({"limits": {"rpm": 1000}})).await;
    let path = format!("/admin/v1/keys/{id}");
    assert_eq!(status_of(&there, &key).await, StatusCode::OK, "the other replica caches it");

    here.admin(Method::PATCH, &path, json!({"models": ["fast"], "limits": {"rpm": 900}})).await;
    let reply = soon(&there, &key, StatusCode::FORBIDDEN).await;
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("900"));

    here.admin(Method::PATCH, &path, json!({"models": null, "limits": {"rpm": null}})).await;
    soon(&there, &key, StatusCode::OK).await;
    let rotated = here.admin(Method::POST, &format!("{path}/rotate"), Value::Null).await.json();
    let new = rotated["key"].as_str().unwrap();
    soon(&there, &key, StatusCode::UNAUTHORIZED).await;
    assert_eq!(status_of(&there, new).await, StatusCode::OK);
    here.admin(Method::DELETE, &path, Value::Null).await;
    soon(&there, new, StatusCode::UNAUTHORIZED).await;
}

/// Asks until the answer has that status, for one second.
async fn soon(gateway: &Gateway, key: &str, status: StatusCode) -> Reply {
    let ask = async {
        loop {
            let reply = gateway.post(key, "/v1/chat/completions", chat("demo/chat")).await;
            if reply.status == status {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.unwrap_or_else(|_| panic!("no {status} within a second"))
}

#[tokio::test]
async fn four_headers_carry_a_key_and_may_not_disagree() {
    let gateway = Setup::new(PLAIN).start().await;
    let (key, other) = (gateway.plain_key().await, gateway.plain_key().await);
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("x-api-key", key.clone()),
        ("api-key", key.clone()),
        ("x-goog-api-key", key.clone()),
    ] {
        assert_eq!(with_headers(&gateway, &[(name, &value)]).await.status, StatusCode::OK, "{name}");
    }
    let same = with_headers(&gateway, &[("x-api-key", &key), ("api-key", &key)]).await;
    assert_eq!(same.status, StatusCode::OK);
    let different = with_headers(&gateway, &[("x-api-key", &key), ("api-key", &other)]).await;
    refused(&different, StatusCode::BAD_REQUEST, "conflicting_api_keys");
    let different =
        with_headers(&gateway, &[("authorization", &format!("Bearer {key}")), ("x-goog-api-key", "k")]).await;
    refused(&different, StatusCode::BAD_REQUEST, "conflicting_api_keys");
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_recorded() {
    let gateway = Setup::new(PLAIN).start().await;
    let key = gateway.plain_key().await;
    let other = if key.ends_with('x') { 'y' } else { 'x' };
    let garbled = format!("{}{other}", &key[..key.len() - 1]);
    let long = format!("Bearer {}", "k".repeat(20_000));
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "missing_api_key"),
        (&[("authorization", "Bearer")], "missing_api_key"),
        (&[("authorization", "Basic abc")], "invalid_api_key"),
        (&[("x-api-key", &garbled)], "invalid_api_key"),
        (&[("x-api-key", "unknown")], "invalid_api_key"),
        (&[("x-api-key", "' OR 1=1 --")], "invalid_api_key"),
        (&[("authorization", &long)], "invalid_api_key"),
    ];
    for (headers, code) in cases {
        let reply = with_headers(&gateway, headers).await;
        refused(&reply, StatusCode::UNAUTHORIZED, code);
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        for (_, value) in *headers {
            assert!(!reply.text().contains(value.trim_start_matches("Bearer ")) || value.len() < 8, "{}", reply.text());
        }
    }
    let rows = gateway.wait_rows(cases.len()).await;
    assert_eq!(rows.len(), cases.len());
    assert!(rows.iter().all(|row| row["status"] == "rejected" && row["http_status"] == 401 && row["key_id"].is_null()));
}

#[tokio::test]
async fn a_key_expires_to_the_millisecond() {
    let clock = Clock::mock(1_795_000_000_000);
    let gateway = Setup::new(PLAIN).clock(clock.clone()).start().await;
    let (id, key) = gateway.key(json!({"expires_at": "2026-11-18T11:06:50Z"})).await;
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(status_of(&gateway, &key).await, StatusCode::OK);
    clock.advance(Duration::from_millis(1));
    let reply = with_headers(&gateway, &[("x-api-key", &key)]).await;
    refused(&reply, StatusCode::UNAUTHORIZED, "invalid_api_key");
    assert!(reply.text().contains("expired"), "{}", reply.text());
    let shown = gateway.admin(Method::GET, &format!("/admin/v1/keys/{id}"), Value::Null).await;
    assert_eq!(shown.json()["status"], "expired");
    let past = json!({"name": "late", "expires_at": "2026-11-18T11:06:50Z"});
    let reply = gateway.admin(Method::POST, "/admin/v1/keys", past).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("expires_at")));
}

#[tokio::test]
async fn a_declared_key_works_and_leaves_its_metadata_in_the_row() {
    let yaml = "keys:\n  - { name: ci, key: \"${CI_KEY}\", models: [\"demo/chat\"], team_id: platform, user_id: bot, \
                expires_at: \"2090-01-01T00:00:00Z\", limits: { rpm: 1 }, metadata: { purpose: nightly, n: 3 } }\n";
    let gateway = Setup::new(yaml).env("CI_KEY", "any-text-i-like").start().await;
    let reply = with_headers(&gateway, &[("api-key", "any-text-i-like")]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let row = gateway.only_row().await;
    assert_eq!(
        (&row["key_id"], &row["team_id"], &row["user_id"]),
        (&json!("config:ci"), &json!("platform"), &json!("bot"))
    );
    assert_eq!(row["metadata"], json!({"purpose": "nightly", "n": 3}));
    assert_eq!(status_of(&gateway, "any-text-i-like").await, StatusCode::TOO_MANY_REQUESTS, "its limit holds");
}

#[tokio::test]
async fn a_keys_metadata_is_copied_to_its_rows() {
    let gateway = Setup::new(PLAIN).start().await;
    let (id, key) = gateway.key(json!({"metadata": {"a": 1}, "team_id": "t", "user_id": "u"})).await;
    status_of(&gateway, &key).await;
    gateway.admin(Method::PATCH, &format!("/admin/v1/keys/{id}"), json!({"metadata": {"a": 2}})).await;
    status_of(&gateway, &key).await;
    let rows = gateway.wait_rows(2).await;
    let seen: Vec<_> = rows.iter().map(|row| row["metadata"].clone()).collect();
    assert_eq!(seen, [json!({"a": 1}), json!({"a": 2})], "each row keeps what held at the time");
    assert_eq!((&rows[0]["team_id"], &rows[0]["user_id"]), (&json!("t"), &json!("u")));
}

async fn models_are_limited_by_globs(db: Database) {
    let yaml = "models:\n  fast: demo/chat\n  slow: demo/chat\n";
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let (_, key) = gateway.key(json!({"models": ["fa*", "demo/emb*"]})).await;
    assert_eq!(gateway.post(&key, "/v1/chat/completions", chat("fast")).await.status, StatusCode::OK);
    for model in ["slow", "demo/chat"] {
        let reply = gateway.post(&key, "/v1/chat/completions", chat(model)).await;
        refused(&reply, StatusCode::FORBIDDEN, "model_not_allowed");
        assert!(reply.text().contains("fa*, demo/emb*"), "it names what is allowed: {}", reply.text());
        assert_eq!(reply.json()["error"]["param"], "model");
    }
    for extension in ["fallbacks", "models"] {
        let mut body = chat("fast");
        body[extension] = json!(["slow"]);
        let reply = gateway.post(&key, "/v1/chat/completions", body).await;
        refused(&reply, StatusCode::FORBIDDEN, "model_not_allowed");
    }
    let listed = gateway.get(&key, "/v1/models").await.json();
    let mut names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["demo/embed", "fast"]);
    assert_eq!(gateway.get(&key, "/v1/models/fast").await.status, StatusCode::OK);
    assert_eq!(gateway.get(&key, "/v1/models/slow").await.status, StatusCode::NOT_FOUND);
    let broken = gateway.admin(Method::POST, "/admin/v1/keys", json!({"name": "x", "models": ["a["]})).await;
    assert_eq!((broken.status, &broken.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("models")));
}

#[tokio::test]
async fn the_admin_key_manages_and_does_not_spend() {
    let gateway = Setup::new(PLAIN).start().await;
    let key = gateway.plain_key().await;
    let reply = gateway.post(ADMIN, "/v1/chat/completions", chat("demo/chat")).await;
    refused(&reply, StatusCode::FORBIDDEN, "admin_key_not_allowed");
    for path in ["/admin/v1/keys", "/admin/v1/usage", "/admin/v1/providers", "/health/details"] {
        assert_eq!(gateway.get(ADMIN, path).await.status, StatusCode::OK, "{path}");
        refused(&gateway.get(&key, path).await, StatusCode::FORBIDDEN, "admin_key_required");
        let nobody = gateway.request(Method::GET, path, &[], "").await;
        refused(&nobody, StatusCode::UNAUTHORIZED, "missing_api_key");
    }
    let reply = gateway.post(&key, "/admin/v1/keys", json!({"name": "mine"})).await;
    refused(&reply, StatusCode::FORBIDDEN, "admin_key_required");
}

#[tokio::test]
async fn without_required_keys_everybody_may_call_on_loopback() {
    let gateway = Setup::new("auth: { required: false }\n").start().await;
    assert_eq!(with_headers(&gateway, &[]).await.status, StatusCode::OK);
    assert_eq!(gateway.only_row().await["key_id"], "anonymous");
    let nobody = gateway.request(Method::GET, "/admin/v1/keys", &[], "").await;
    refused(&nobody, StatusCode::UNAUTHORIZED, "missing_api_key");
}

#[tokio::test]
async fn fields_of_a_key_are_checked_and_named() {
    let gateway = Setup::new(PLAIN).start().await;
    for (body, param) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "a", "limits": {"rpm": -1}}), "limits.rpm"),
        (json!({"name": "a", "limits": {"tpm": 1e30}}), "limits.tpm"),
        (json!({"name": "a", "team_id": ""}), "team_id"),
        (json!({"name": "a", "organization_id": "o\n"}), "organization_id"),
        (json!({"name": "a", "budget": {"usd": "-1", "period": "day"}}), "budget.usd"),
        (json!({"name": "a", "budget": {"usd": 1, "period": "day"}}), "budget.usd"),
        (json!({"name": "a", "budget": {"usd": "1", "period": "year"}}), "budget.period"),
        (json!({"name": "a", "budget": {"usd": "1", "period": "day", "time_zone": "Berlin"}}), "budget.time_zone"),
        (json!({"name": "a", "budget": {"usd": "1", "period": "day", "thresholds": [0]}}), "budget.thresholds"),
        (json!({"name": "a", "metadata": {"x": "y".repeat(9000)}}), "metadata"),
    ] {
        let reply = gateway.admin(Method::POST, "/admin/v1/keys", body.clone()).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{body}");
    }
    let reply = gateway.admin(Method::POST, "/admin/v1/keys", json!({"name": "a", "budgte": 1})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text().contains("budgte"), "{}", reply.text());
    let reply = gateway.admin(Method::GET, "/admin/v1/keys/key_nobody", Value::Null).await;
    refused(&reply, StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let gateway = Setup::new(PLAIN).start().await;
    for i in 0..5 {
        gateway.key(json!({"name": format!("k{i}")})).await;
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = gateway.admin(Method::GET, &format!("/admin/v1/keys?limit=2{cursor}"), Value::Null).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4"]);
}

async fn bad_keys_do_not_stampede(db: Database) {
    let gateway = Setup::new(PLAIN).database(&db.url).start().await;
    let key = gateway.plain_key().await;
    let ask = |i: u32| {
        let (gateway, key) = (&gateway, format!("bad-key-{i}"));
        async move { gateway.get(&key, "/v1/models").await.status }
    };
    for start in (0..10_000).step_by(200) {
        let asked = futures_util::future::join_all((start..start + 200).map(ask)).await;
        assert!(asked.iter().all(|status| *status == StatusCode::UNAUTHORIZED));
    }
    assert_eq!(status_of(&gateway, &key).await, StatusCode::OK);
    assert!(gateway.app.gateway.keys.len() <= 2, "refused keys take no place among the keys");
}

#[tokio::test]
async fn secrets_are_stored_as_hashes_only() {
    let db = Database::sqlite();
    let gateway = Setup::new(PLAIN).database(&db.url).start().await;
    let (id, key) = gateway.key(json!({"name": "findable-name"})).await;
    let rotated = gateway.admin(Method::POST, &format!("/admin/v1/keys/{id}/rotate"), Value::Null).await.json();
    let new = rotated["key"].as_str().unwrap().to_owned();
    status_of(&gateway, &new).await;
    gateway.wait_rows(1).await;
    gateway.app.stop(std::future::pending()).await;
    let bytes: Vec<u8> = db.files().iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("findable-name"), "the search finds what is there");
    for secret in [key.as_str(), &new, ADMIN] {
        assert!(!holds(secret));
        // The secret part on its own, without prefix and check.
        assert!(!holds(&secret[secret.len().saturating_sub(40)..secret.len() - 7]));
    }
}

/// The same database, through a proxy that can be closed.
async fn behind_proxy() -> (Proxy, String) {
    let url = fresh_database().await;
    let (user, rest) = url.split_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::closed(host);
    let url = format!("{user}@{}/{name}", proxy.addr);
    (proxy, url)
}

#[tokio::test]
async fn a_database_that_goes_away_loses_nothing() {
    let (mut proxy, url) = behind_proxy().await;
    proxy.open().await;
    let gateway = Setup::new(PLAIN).database(&url).start().await;
    let (cached, fresh) = (gateway.plain_key().await, gateway.plain_key().await);
    assert_eq!(status_of(&gateway, &cached).await, StatusCode::OK);
    gateway.wait_rows(1).await;

    proxy.close().await;
    for _ in 0..20 {
        assert_eq!(status_of(&gateway, &cached).await, StatusCode::OK, "a cached key goes on working");
    }
    let reply = with_headers(&gateway, &[("x-api-key", &fresh)]).await;
    refused(&reply, StatusCode::SERVICE_UNAVAILABLE, "database_unavailable");
    assert!(reply.header("retry-after").is_some());
    let ready = gateway.request(Method::GET, "/health/ready", &[], "").await;
    assert_eq!(ready.status, StatusCode::OK, "the replicas are not pulled for a database that is away");
    let usage = gateway.get(ADMIN, "/v1/usage").await;
    refused(&usage, StatusCode::SERVICE_UNAVAILABLE, "database_unavailable");
    let details = gateway.get(ADMIN, "/health/details").await.json();
    assert_eq!((&details["status"], &details["database"]["status"]), (&json!("degraded"), &json!("down")));

    proxy.open().await;
    let rows = eventually("writing the rows", async || {
        let page = gateway.get(ADMIN, "/v1/usage?limit=1000").await;
        let rows = page.json()["data"].as_array().cloned().unwrap_or_default();
        (rows.len() >= 22).then_some(rows)
    })
    .await;
    assert_eq!(rows.iter().filter(|row| row["status"] == "ok").count(), 21, "nothing lost, nothing doubled");
    assert_eq!(rows.iter().filter(|row| row["error_code"] == "database_unavailable").count(), 1);
    assert_eq!(status_of(&gateway, &fresh).await, StatusCode::OK, "and was never an invalid key");
}

#[tokio::test]
async fn a_gateway_starts_without_its_database_and_recovers() {
    let (mut proxy, url) = behind_proxy().await;
    let gateway = Setup::new(PLAIN).database(&url).start().await;
    let ready = gateway.request(Method::GET, "/health/ready", &[], "").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(gateway.request(Method::GET, "/health", &[], "").await.status, StatusCode::OK);
    let reply = with_headers(&gateway, &[("x-api-key", "some-key")]).await;
    refused(&reply, StatusCode::SERVICE_UNAVAILABLE, "database_unavailable");
    proxy.open().await;
    eventually("becoming ready", async || {
        let ready = gateway.request(Method::GET, "/health/ready", &[], "").await;
        (ready.status == StatusCode::OK).then_some(())
    })
    .await;
    let key = gateway.plain_key().await;
    assert_eq!(status_of(&gateway, &key).await, StatusCode::OK);
    let rows = gateway.wait_rows(2).await;
    assert_eq!(rows[0]["error_code"], "database_unavailable", "the row from before is there too");
}
