//! A configuration that changes while requests run: nothing is dropped, nothing is forgotten, and a wrong one changes
//! nothing.

mod files;
mod load;
mod replicas;

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use weir::clock::Clock;

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Reply, Setup, eventually};
use crate::support::upstream::{Script, Step, Upstream};

on_both!(versions_are_kept_compared_and_gone_back_to, budgets_are_declared_anew);

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A gateway on a file that the test writes.
struct Filed {
    gateway: Gateway,
    folder: TempDir,
    /// Names the database, where it is not the gateway's own.
    database: String,
}

impl Filed {
    async fn start(yaml: &str) -> Self {
        Self::with(yaml, |setup| setup).await
    }

    async fn with(yaml: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        Self::made(String::new(), yaml, more).await
    }

    async fn on(db: &Database, yaml: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        Self::made(format!("database: {{ url: \"{}\" }}\n", db.url), yaml, more).await
    }

    async fn made(database: String, yaml: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("weir.yaml");
        std::fs::write(&path, format!("{yaml}{database}")).unwrap();
        Self { gateway: more(Setup::new("").file(path)).start().await, folder, database }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, yaml: &str) {
        std::fs::write(self.path("weir.yaml"), format!("{yaml}{}", self.database)).unwrap();
    }

    /// Writes the file and reloads, which must go well.
    async fn reload(&self, yaml: &str) -> Value {
        self.write(yaml);
        let reply = reload(&self.gateway, Value::Null).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }
}

async fn reload(gateway: &Gateway, body: Value) -> Reply {
    gateway.admin(Method::POST, "/admin/v1/config/reload", body).await
}

async fn config(gateway: &Gateway) -> Value {
    gateway.admin(Method::GET, "/admin/v1/config", Value::Null).await.json()
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

async fn ask(gateway: &Gateway, key: &str, model: &str) -> Reply {
    gateway.post(key, "/v1/chat/completions", chat(model)).await
}

fn provider(name: &str, url: &str, more: &str) -> String {
    format!("  {name}: {{ kind: openai-compatible, base_url: \"{url}\", api_key: k-{name}{more} }}\n")
}

fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn metrics(gateway: &Gateway) -> String {
    gateway.request(Method::GET, "/metrics", &[], "").await.text()
}

#[tokio::test]
async fn a_reload_puts_models_keys_and_limits_into_force() {
    let filed = Filed::start("models: { a: demo/chat }\n").await;
    let gateway = &filed.gateway;
    let key = gateway.plain_key().await;
    assert_eq!(ask(gateway, &key, "a").await.status, StatusCode::OK);
    let done = filed
        .reload("models: { b: demo/chat }\nkeys: [{ name: ci, key: the-declared-key, limits: { rpm: 1 } }]\n")
        .await;
    assert_eq!((&done["outcome"], &done["source"], &done["version"]), (&json!("applied"), &json!("file"), &json!(2)));
    let paths: Vec<&str> = done["changes"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"keys.ci.key") && paths.contains(&"models.b.targets[0].model"), "{paths:?}");
    assert!(!done.to_string().contains("the-declared-key"));
    assert_eq!(ask(gateway, &key, "a").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(gateway, "the-declared-key", "b").await.status, StatusCode::OK);
    assert_eq!(ask(gateway, "the-declared-key", "b").await.status, StatusCode::TOO_MANY_REQUESTS);

    let same = reload(gateway, Value::Null).await.json();
    assert_eq!((&same["outcome"], &same["version"]), (&json!("unchanged"), &json!(2)));
    filed.reload("models: { b: demo/chat }\nkeys: [{ name: ci, key: the-declared-key, limits: { rpm: 2 } }]\n").await;
    assert_eq!(ask(gateway, "the-declared-key", "b").await.status, StatusCode::OK, "one of two is used");
    assert_eq!(ask(gateway, "the-declared-key", "b").await.status, StatusCode::TOO_MANY_REQUESTS);
    filed.reload("models: { b: demo/chat }\n").await;
    assert_eq!(ask(gateway, "the-declared-key", "b").await.status, StatusCode::UNAUTHORIZED);
    let text = metrics(gateway).await;
    assert_eq!(metric(&text, "weir_config_reloads_total{outcome=\"applied\"}"), Some(3.0));
}

#[tokio::test]
async fn listed_limits_change_and_what_was_used_stays_used() {
    let file = |rpm: u32| {
        format!("models: {{ a: demo/chat }}\nlimits: [{{ team: red, rpm: {rpm} }}, {{ model: a, rpm: 100 }}]\n")
    };
    let filed = Filed::start(&file(2)).await;
    let gateway = &filed.gateway;
    let key = gateway.key(json!({"team_id": "red"})).await.1;
    let statuses = async |n: usize| {
        let mut passed = 0;
        for _ in 0..n {
            passed += usize::from(ask(gateway, &key, "a").await.status == StatusCode::OK);
        }
        passed
    };
    assert_eq!(statuses(3).await, 2);
    filed.reload(&file(5)).await;
    assert_eq!(statuses(6).await, 3, "two of the five were used");
    filed.reload("models: { a: demo/chat }\n").await;
    assert_eq!(statuses(20).await, 20, "nothing limits the team any more");
}

#[tokio::test]
async fn a_refused_reload_tells_every_fault_and_changes_nothing() {
    let filed = Filed::start("models: { a: demo/chat }\n").await;
    let gateway = &filed.gateway;
    let key = gateway.plain_key().await;
    filed.write("servr: {}\nmodels: { b: demo/chat, c: openia/x }\nauth: { requird: 1 }\n");
    let reply = reload(gateway, Value::Null).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_config"));
    let error = reply.json()["error"].clone();
    let faults = error["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 3, "{error:#}");
    assert_eq!((&faults[0]["key"], &faults[0]["line"], &faults[0]["column"]), (&json!("servr"), &json!(1), &json!(1)));
    assert_eq!(faults[0]["suggestion"], "server");
    assert!(faults[1]["text"].as_str().unwrap().ends_with("did you mean `openai`?"), "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("weir.yaml:1:1: servr") && error["param"].is_null());
    assert_eq!(ask(gateway, &key, "a").await.status, StatusCode::OK);
    assert_eq!(ask(gateway, &key, "b").await.status, StatusCode::NOT_FOUND);
    assert_eq!(metric(&metrics(gateway).await, "weir_config_refused"), Some(1.0));
    assert_eq!(config(gateway).await["refused"]["faults"].as_array().unwrap().len(), 3);

    // Right by itself, and not with the rest: a provider without its key.
    filed.write("providers: { openai: {} }\n");
    let reply = reload(gateway, Value::Null).await;
    assert_eq!(reply.json()["error"]["faults"][0]["key"], "providers.openai");
    filed.reload("models: { b: demo/chat }\n").await;
    assert_eq!(metric(&metrics(gateway).await, "weir_config_refused"), Some(0.0));
    assert_eq!(
        (&config(gateway).await["refused"], ask(gateway, &key, "b").await.status),
        (&Value::Null, StatusCode::OK)
    );
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let filed = Filed::start("models: { a: demo/chat }\n").await;
    let body = json!({"config": "models: { b: demo/chat }\n", "dry_run": true});
    let done = reload(&filed.gateway, body).await.json();
    assert_eq!((&done["outcome"], &done["version"]), (&json!("checked"), &json!(1)));
    assert!(!done["changes"].as_array().unwrap().is_empty());
    let now = config(&filed.gateway).await;
    assert_eq!(
        (&now["version"], &now["source"], &now["document"]["models"]["a"]),
        (&json!(1), &json!("file"), &json!("demo/chat"))
    );
}

#[tokio::test]
async fn streams_and_requests_under_way_keep_what_they_began_with() {
    let (streaming, whole) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (first, second) = (Arc::clone(&streaming), Arc::clone(&whole));
    let upstream = Upstream::start(move |seen| match seen.json()["stream"].as_bool() {
        Some(true) => Script::sse(&[DELTA]).then(Step::Until(Arc::clone(&first))).then(Step::Send(END.into())),
        _ => Script::new(200, "application/json", vec![Step::Until(Arc::clone(&second)), Step::Send(ANSWER.into())]),
    })
    .await;
    let other = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let file = |name: &str, url: &str| format!("providers:\n{}models: {{ m: {name}/x }}\n", provider(name, url, ""));
    let filed = Filed::start(&file("up", &upstream.url())).await;
    let gateway = &filed.gateway;
    let key = gateway.plain_key().await;
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    let mut body = chat("m");
    body["stream"] = json!(true);
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    open.frame().await.unwrap().unwrap();
    let waiting = ask(gateway, &key, "m");
    let reloads = async {
        eventually("both calls upstream", async || (upstream.seen().len() == 2).then_some(())).await;
        // Its address changes, and then it is gone.
        filed.reload(&file("up", &other.url())).await;
        assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::OK);
        filed.reload(&file("another", &other.url())).await;
        assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::OK);
        let senders = gateway.app.gateway.dispatcher.senders.load().len();
        assert!(senders >= 3, "the one in use is still there: {senders}");
        whole.notify_one();
        streaming.notify_one();
    };
    let (answer, ()) = tokio::join!(waiting, reloads);
    assert_eq!(answer.status, StatusCode::OK);
    let rest = open.into_body().collect().await.expect("the stream is whole").to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    assert_eq!((upstream.seen().len(), other.seen().len()), (2, 2));
    eventually("the end of what nobody uses", async || {
        let names: Vec<String> =
            gateway.app.gateway.dispatcher.senders.load().keys().map(ToString::to_string).collect();
        (names.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_counted_is_carried_over() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let file = |rpm: u32, more: &str| {
        let limits = format!(", limits: {{ rpm: {rpm} }}{more}");
        format!(
            "providers:\n{}models: {{ m: up/x }}\nbrake: {{ session_turns: 3 }}\n",
            provider("up", &upstream.url(), &limits)
        )
    };
    let filed = Filed::with(&file(2, ""), |setup| setup.clock(Clock::mock(1_795_000_000_000))).await;
    let gateway = &filed.gateway;
    let key = gateway.key(json!({"limits": {"rpm": 100}})).await.1;
    assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::OK);
    filed.reload(&file(2, ", timeouts: { connect: 3s }")).await;
    assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::OK);
    assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::TOO_MANY_REQUESTS, "the upstream key's two are used");
    filed.reload(&file(3, "")).await;
    assert_eq!(ask(gateway, &key, "m").await.status, StatusCode::OK);
    let refused = ask(gateway, &key, "m").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("95"), "the caller's own, too");
}

#[tokio::test]
async fn connections_of_a_provider_that_did_not_change_stay() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let file = |model: &str, more: &str| {
        format!("providers:\n{}models: {{ {model}: up/x }}\n", provider("up", &upstream.url(), more))
    };
    let filed = Filed::start(&file("a", "")).await;
    let sender = || {
        let snapshot = filed.gateway.app.gateway.snapshot.load_full();
        let name = Arc::clone(&snapshot.providers["up"].sender);
        Arc::clone(&filed.gateway.app.gateway.dispatcher.senders.load()[&name])
    };
    let before = sender();
    filed.reload(&file("b", "")).await;
    assert!(Arc::ptr_eq(&before, &sender()));
    filed.reload(&file("b", ", limits: { rpm: 7 }")).await;
    assert!(!Arc::ptr_eq(&before, &sender()));
}

#[tokio::test]
async fn keys_that_wait_for_a_restart_are_named() {
    let filed = Filed::start("server: { max_in_flight: 5 }\n").await;
    let done = filed.reload("server: { max_connections: 7, max_in_flight: 6 }\nlogging: { level: debug }\n").await;
    let waits: Vec<&str> =
        done["needs_restart"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    assert_eq!(waits, ["logging.level", "server.max_connections"]);
    let now = config(&filed.gateway).await;
    assert_eq!(
        (&now["config"]["server"]["max_in_flight"], &now["config"]["server"]["max_connections"]),
        (&json!(6), &json!(10_000))
    );
    assert_eq!(now["needs_restart"].as_array().unwrap().len(), 2, "as long as they wait");
    assert_eq!(metric(&metrics(&filed.gateway).await, "weir_config_needs_restart"), Some(2.0));
    filed.reload("server: { max_in_flight: 6 }\n").await;
    assert_eq!(config(&filed.gateway).await["needs_restart"], json!([]));
}

#[tokio::test]
async fn who_may_call_changes_with_a_reload() {
    let filed = Filed::start("auth: { admin_key: first }\n").await;
    let gateway = &filed.gateway;
    let admin = async |key: &str| gateway.get(key, "/admin/v1/config").await.status;
    let free =
        async || gateway.request(Method::POST, "/v1/chat/completions", &[], chat("demo/chat").to_string()).await.status;
    assert_eq!((admin("first").await, free().await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    filed.write("auth: { admin_key: second, required: false }\n");
    let headers = [("authorization", "Bearer first")];
    let done = gateway.request(Method::POST, "/admin/v1/config/reload", &headers, "").await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert_eq!((admin("first").await, admin("second").await), (StatusCode::FORBIDDEN, StatusCode::OK));
    assert_eq!(free().await, StatusCode::OK);
}

async fn versions_are_kept_compared_and_gone_back_to(db: Database) {
    let filed = Filed::on(&db, "models: { a: demo/chat }\n", |setup| setup).await;
    let gateway = &filed.gateway;
    let key = gateway.plain_key().await;
    filed.reload("models: { b: demo/chat }\n").await;
    let text = "models: { c: demo/chat }\nkeys: [{ name: ci, key: \"${CI_KEY}\" }]\n";
    let reply = reload(gateway, json!({"config": text})).await;
    assert!(reply.text().contains("CI_KEY is not set"), "{}", reply.text());
    let reply = reload(gateway, json!({"config": {"models": {"c": "demo/chat"}}, "note": "by hand"})).await.json();
    assert_eq!((&reply["source"], &reply["version"]), (&json!("database"), &json!(3)));
    assert_eq!(ask(gateway, &key, "c").await.status, StatusCode::OK);

    let list = gateway.admin(Method::GET, "/admin/v1/config/versions?limit=2", Value::Null).await.json();
    let of =
        |list: &Value, name: &str| list["data"].as_array().unwrap().iter().map(|v| v[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of(&list, "version"), of(&list, "source")),
        (vec![json!(3), json!(2)], vec![json!("api"), json!("file")])
    );
    assert_eq!(
        (of(&list, "in_force"), of(&list, "note")),
        (vec![json!(true), json!(false)], vec![json!("by hand"), Value::Null])
    );
    assert_eq!((&list["has_more"], &list["next_cursor"]), (&json!(true), &json!("2")));
    let rest = gateway.admin(Method::GET, "/admin/v1/config/versions?cursor=2", Value::Null).await.json();
    assert_eq!((of(&rest, "version"), of(&rest, "made_by")), (vec![json!(1)], vec![json!("start")]));

    let one = gateway.admin(Method::GET, "/admin/v1/config/versions/1", Value::Null).await.json();
    assert_eq!(one["document"]["models"], json!({"a": "demo/chat"}));
    let diff =
        async |path: &str| gateway.admin(Method::GET, &format!("/admin/v1/config/versions/{path}"), Value::Null).await;
    let changes = json!([
        {"path": "models.a", "old": "\"demo/chat\"", "new": null}, {"path": "models.b", "old": null, "new": "\"demo/chat\""}]);
    assert_eq!(diff("1/diff?to=2").await.json()["changes"], changes);
    let now = diff("1/diff").await.json();
    assert_eq!((&now["from"], &now["to"]), (&json!(1), &json!(3)));
    assert!(now["changes"].as_array().unwrap().iter().any(|change| change["path"] == "models.c"), "{now:#}");
    assert_eq!(diff("9/diff").await.status, StatusCode::NOT_FOUND);

    let back = json!({"version": 1, "note": "c was wrong"});
    let back = gateway.admin(Method::POST, "/admin/v1/config/rollback", back).await.json();
    assert_eq!(
        (&back["outcome"], &back["version"], &back["source"]),
        (&json!("applied"), &json!(4), &json!("database"))
    );
    assert_eq!(ask(gateway, &key, "a").await.status, StatusCode::OK);
    assert_eq!(ask(gateway, &key, "c").await.status, StatusCode::NOT_FOUND);
    let none = gateway.admin(Method::POST, "/admin/v1/config/rollback", json!({"version": 99})).await;
    assert_eq!((none.status, none.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));

    // The file has no say while the database does, until it is told to.
    let again = filed.reload("models: { d: demo/chat }\n").await;
    assert_eq!(
        (&again["outcome"], &again["source"], &again["version"]),
        (&json!("unchanged"), &json!("database"), &json!(4))
    );
    let to_file = reload(gateway, json!({"source": "file"})).await.json();
    assert_eq!(
        (&to_file["outcome"], &to_file["source"], &to_file["version"]),
        (&json!("applied"), &json!("file"), &json!(5))
    );
    assert_eq!(ask(gateway, &key, "d").await.status, StatusCode::OK);
}

async fn budgets_are_declared_anew(db: Database) {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER)]).await;
    let file = |usd: &str| {
        format!(
            "providers:\n{}prices: {{ up/x: {{ input: \"1000000\", output: \"0\" }} }}\n\
             keys: [{{ name: ci, key: the-declared-key{usd} }}]\n",
            provider("up", &upstream.url(), "")
        )
    };
    let filed = Filed::on(&db, &file(", budget: { usd: \"0.5\", period: day }"), |setup| setup).await;
    let gateway = &filed.gateway;
    assert_eq!(ask(gateway, "the-declared-key", "up/x").await.status, StatusCode::PAYMENT_REQUIRED);
    filed.reload(&file(", budget: { usd: \"5000000\", period: day }")).await;
    assert_eq!(ask(gateway, "the-declared-key", "up/x").await.status, StatusCode::OK);
    filed.reload(&file("")).await;
    let budgets = gateway.admin(Method::GET, "/admin/v1/budgets", Value::Null).await.json();
    assert_eq!(budgets["data"], json!([]));
}

#[tokio::test]
async fn receivers_of_alerts_come_and_go() {
    let hook = Upstream::scripted(vec![Script::status(200, "")]).await;
    let receiver = |name: &str| {
        let secret = "whsec_c2lnbmluZy1zZWNyZXQvUncxU2UtMTIzNDU2Nzg5MA==";
        format!(
            "alerts: [{{ name: {name}, webhook: {{ url: \"http://{}/{name}\", secret: \"{secret}\" }}, events: [usage.settled] }}]\n",
            hook.addr
        )
    };
    let filed = Filed::start("").await;
    let gateway = &filed.gateway;
    let key = gateway.plain_key().await;
    filed.reload(&receiver("one")).await;
    // It is told of what happens after it was remembered.
    let told = async |path: &str| {
        eventually("a note", async || {
            ask(gateway, &key, "demo/chat").await;
            hook.seen().iter().any(|seen| seen.path == path).then_some(())
        })
        .await;
    };
    told("/one").await;
    filed.reload(&receiver("two")).await;
    told("/two").await;
    let list = gateway.admin(Method::GET, "/admin/v1/alerts", Value::Null).await.json();
    let configured: Vec<_> = list["data"].as_array().unwrap().iter().filter(|one| one["configured"] == true).collect();
    assert_eq!((configured.len(), &configured[0]["name"]), (1, &json!("two")));
}

#[tokio::test]
async fn the_database_keeps_no_secret_that_stands_in_a_text() {
    let db = Database::sqlite();
    let secrets = [
        "literal-upstream",
        "literal-second",
        "literal-header",
        "literal-declared",
        "bGl0ZXJhbC1zaWduaW5nLXNlY3JldC0x",
        "literal-in-url",
        "literal-admin",
    ];
    let [upstream, second, header, declared, signing, in_url, admin] = secrets;
    let yaml = |model: &str| {
        format!(
            "models: {{ {model}: demo/chat }}\nauth: {{ admin_key: {admin} }}\nproviders:\n  up: {{ kind: openai-compatible, base_url: \"http://127.0.0.1:1/v1\", api_key: {upstream}, \
             keys: [\"${{NONE:-{second}}}\"], headers: {{ x-team: {header} }} }}\n\
             keys: [{{ name: ci, key: {declared} }}]\nalerts: [{{ name: h, webhook: {{ url: \"http://127.0.0.1:1/{in_url}\", secret: whsec_{signing} }} }}]\n"
        )
    };
    let filed = Filed::on(&db, &yaml("a"), |setup| setup.env("WEIR_ADMIN_KEY", admin)).await;
    let gateway = &filed.gateway;
    let admin_post = async |path: &str, body: Value| {
        let auth = format!("Bearer {admin}");
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
        gateway.request(Method::POST, path, &headers, body.to_string()).await
    };
    filed.write(&yaml("b"));
    assert_eq!(admin_post("/admin/v1/config/reload", json!({})).await.status, StatusCode::OK);
    // Version 1 has `***` where they stood, and takes those in force.
    let back = admin_post("/admin/v1/config/rollback", json!({"version": 1})).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.text());
    assert_eq!(ask(gateway, declared, "a").await.status, StatusCode::OK);
    let shown = gateway.get(admin, "/admin/v1/config").await.text();
    let literal =
        admin_post("/admin/v1/config/reload", json!({"config": "keys: [{ name: x, key: literal-new }]"})).await;
    assert_eq!(literal.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(literal.json()["error"]["faults"][0]["key"], "keys[0].key");
    // What is shown can be sent back.
    let document = serde_json::from_str::<Value>(&shown).unwrap()["document"].clone();
    let sent = admin_post("/admin/v1/config/reload", json!({"config": document})).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());
    let gone = admin_post("/admin/v1/config/reload", json!({"config": "keys: [{ name: y, key: '***' }]"})).await;
    assert!(gone.text().contains("there is none"), "{}", gone.text());

    let mut seen = vec![shown, back.text(), literal.text(), sent.text()];
    seen.extend(db.files().iter().map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()));
    for secret in secrets {
        assert!(seen.iter().all(|text| !text.contains(secret)), "{secret} is somewhere");
    }
    assert!(seen.iter().all(|text| !text.contains("literal-new")));
}
