//! The real binary as people and scripts meet it: what it prints, with which code it ends.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::binary::{Home, Running, Said};
use crate::support::gateway::{Reply, eventually};

const ANY: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// The command fails with this code, says all of this on standard error and nothing elsewhere.
fn fails(said: &Said, code: i32, texts: &[&str]) {
    assert_eq!((said.code, said.out.as_str()), (code, ""), "{said:?}");
    assert!(texts.iter().all(|text| said.err.contains(text)), "{texts:?} in {said:?}");
}

fn succeeds(said: &Said) {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
}

async fn chat(gateway: &Running, key: &str) -> Reply {
    let body = json!({"model": "demo/chat", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    gateway.request(Method::POST, "/v1/chat/completions", &[("x-api-key", key)], body).await
}

#[test]
fn the_version_is_told() {
    let said = Home::new().run(&["--version"]);
    succeeds(&said);
    assert_eq!(said.out, format!("weir {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(Home::new().run(&["keys", "--version"]).code, 0);
}

#[test]
fn every_command_has_its_help() {
    for command in
        ["serve", "check", "config", "keys", "budgets", "usage", "invoices", "prices", "reconcile", "alerts", "doctor"]
    {
        let said = Home::new().run(&[command, "--help"]);
        succeeds(&said);
        assert!(said.out.contains("Usage: weir"), "{said:?}");
    }
}

#[test]
fn what_is_not_understood_is_named_with_the_way_out() {
    let home = Home::new();
    fails(&home.run(&["--no-such-flag"]), 2, &["--no-such-flag", "--help"]);
    fails(&home.run(&["chekc"]), 2, &["chekc", "check"]);
    fails(&home.run(&["serve", "--listen", "here"]), 2, &["here", "--listen"]);
    fails(&home.run(&["keys", "create"]), 2, &["--name"]);
    fails(&home.run(&["keys", "create", "--name", "a", "--rpm", "many"]), 2, &["many", "--rpm"]);
    fails(&home.run(&["usage", "--format", "xml"]), 2, &["xml", "csv"]);
    assert!(!home.path("weir-data").exists(), "nothing was begun");
}

#[test]
fn every_fault_of_a_configuration_is_told_with_its_place() {
    let home = Home::new();
    let yaml = "servr: {}\nauth: { requird: true }\nproviders: { opnai: { api_key: k } }\n";
    let file = home.file("bad.yaml", yaml);
    let expected = [
        format!("{file}:1:1: servr: unknown key, did you mean `server`?"),
        format!("{file}:2:9: auth.requird: unknown key, did you mean `required`?"),
        format!("{file}:3:21: providers.opnai: "),
        "did you mean `openai`?".to_owned(),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for command in ["check", "serve", "doctor"] {
        fails(&home.run(&[command, "--config", &file]), 2, &expected);
    }
    fails(&home.run(&["keys", "list", "--config", &file]), 2, &expected);
    fails(&home.run(&["usage", "--config", &file]), 2, &expected);
    let said = home.run(&["check", "--json", "--config", &file]);
    assert_eq!((said.code, said.json()["faults"].as_array().unwrap().len()), (2, 3), "{said:?}");
    let toml = home.file("bad.toml", "[server]\nlisten = \"nowhere\"\n");
    fails(
        &home.run(&["check", "--config", &toml]),
        2,
        &[&format!("{toml}:2:10: server.listen: expected an IP address")],
    );
    fails(&home.run(&["check", "--config", "/nowhere.yaml"]), 2, &["/nowhere.yaml: cannot read the file"]);
}

#[test]
fn check_finds_what_serve_would_stumble_over() {
    let home = Home::new();
    let file = home.file("weir.yaml", "providers: { openai: {} }\n");
    for command in ["check", "serve"] {
        fails(
            &home.run(&[command, "--config", &file]),
            2,
            &["providers.openai: api_key is missing: give one or set OPENAI_API_KEY"],
        );
    }
    let home = Home::new().env("OPENAI_API_KEY", "value-of-the-key");
    home.file("weir.yaml", "providers: { openai: {} }\n");
    let said = home.run(&["check"]);
    succeeds(&said);
    assert_eq!(said.out, "weir.yaml: fine (1 provider, 0 models, 0 keys, 0 prices)\n");
}

#[test]
fn a_gateway_without_keys_stays_on_loopback() {
    let home = Home::new();
    let file = home.file("open.yaml", "auth: { required: false }\n");
    fails(&home.run(&["serve", "--config", &file, "--listen", "0.0.0.0:0"]), 2, &["auth.required", "0.0.0.0:0"]);
}

#[test]
fn the_example_the_schema_and_the_reference_are_printed() {
    let variables = [
        "WEIR_ADMIN_KEY",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "OPENAI_EU_KEY",
        "OPENAI_EU_KEY_2",
        "OPENAI_EU_ORG",
        "AWS_KEY_ID",
        "AWS_SECRET",
        "AWS_TOKEN",
        "GOOGLE_KEY",
        "AZURE_OPENAI_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_CREDENTIALS",
        "CI_KEY",
        "SMTP_PASSWORD",
    ];
    let home = variables.iter().fold(Home::new(), |home, name| home.env(name, "some-value"));
    let home = home.env("ALERT_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz");
    let home = home.env("WEIR_RECEIPT_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let example = home.run(&["config", "example"]);
    succeeds(&example);
    home.file("weir.yaml", &example.out);
    fails(&home.run(&["check"]), 2, &["server.tls.cert: cannot read /etc/weir/tls/cert.pem"]);
    // Everything but the certificates is there.
    let is_tls = |line: &&str| line.contains("/etc/weir/tls/") || line.trim_start().starts_with("tls: ");
    let rest: Vec<&str> = example.out.lines().filter(|line| !is_tls(line) || line.contains("starttls")).collect();
    home.file("weir.yaml", &rest.join("\n"));
    succeeds(&home.run(&["check"]));
    let schema = home.run(&["config", "schema"]);
    assert_eq!(schema.json()["title"], "Weir configuration");
    assert!(home.run(&["config", "reference"]).out.contains("| `server.listen` |"));
    let (old, new) =
        (home.file("old.yaml", "auth: { admin_key: one }\n"), home.file("new.yaml", "auth: { admin_key: two }\n"));
    let said = home.run(&["config", "diff", &old, &new]);
    succeeds(&said);
    assert_eq!(said.out, "auth.admin_key: \"***\" -> \"***\" (changed)\n");
    let said = home.run(&["config", "diff", &old, &new, "--json"]);
    assert_eq!(said.json()[0]["path"], "auth.admin_key");
    fails(&home.run(&["config", "diff", &old, "/nowhere.yaml"]), 2, &["/nowhere.yaml"]);
}

/// The life of a key: over these arguments, straight on the database or over HTTP.
fn a_life(home: &Home, way: &[&str]) {
    let keys = |args: &[&str]| home.run(&[&["keys"], args, way].concat());
    let made = keys(&[
        "create",
        "--name",
        "app",
        "--models",
        "demo/*,gpt-*",
        "--rpm",
        "60",
        "--tpm",
        "1000",
        "--concurrency",
        "2",
        "--expires",
        "30d",
        "--team",
        "t",
        "--user",
        "u",
        "--json",
    ]);
    succeeds(&made);
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(secret.starts_with("sk-weir-"), "{secret}");
    assert_eq!(made["models"], json!(["demo/*", "gpt-*"]));
    assert_eq!((&made["limits"]["rpm"], &made["limits"]["tpm"]), (&json!(60), &json!(1000)));
    assert_eq!((&made["team_id"], &made["user_id"]), (&json!("t"), &json!("u")));
    assert!(made["expires_at"].as_str().is_some(), "{made}");
    let shown = keys(&["show", id, "--json"]);
    assert_eq!((&shown.json()["name"], &shown.json()["status"]), (&json!("app"), &json!("active")));
    let list = keys(&["list"]);
    succeeds(&list);
    assert!(list.out.starts_with("id ") && list.out.contains(id) && list.out.contains("demo/*,gpt-*"), "{list:?}");
    for said in [&shown, &list, &keys(&["list", "--json"]), &keys(&["show", id])] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{said:?}");
    }
    let rotated = keys(&["rotate", id]);
    succeeds(&rotated);
    let new = rotated.out.lines().next().unwrap();
    assert!(new.starts_with("sk-weir-") && new != secret && rotated.out.contains("shown once"), "{rotated:?}");
    succeeds(&keys(&["revoke", id]));
    assert_eq!(keys(&["show", id, "--json"]).json()["status"], "revoked");
    fails(&keys(&["show", "key_nobody"]), 1, &["key_nobody"]);
    fails(&keys(&["create", "--name", "x", "--expires", "soon"]), 2, &["--expires"]);
    fails(&keys(&["create", "--name", "x", "--models", "a["]), 2, &["a["]);
}

#[test]
fn a_database_url_that_cannot_be_opened_is_a_fault() {
    for url in ["postgres://u@h:port/d", "sqlite://:memory:", "sqlite://"] {
        let home = Home::new();
        let file = home.file("weir.yaml", &format!("database: {{ url: \"{url}\" }}\n"));
        for command in ["check", "serve"] {
            fails(&home.run(&[command, "--config", &file]), 2, &["database"]);
        }
    }
}

#[tokio::test]
async fn every_key_is_listed_however_many_there_are() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-of-cli");
    let gateway = home.serve(&ANY).await;
    let headers = [("x-api-key", "admin-of-cli")];
    for n in 0..1001 {
        let made =
            gateway.request(Method::POST, "/admin/v1/keys", &headers, json!({"name": n.to_string()}).to_string());
        assert_eq!(made.await.status, StatusCode::CREATED);
    }
    for place in [&[][..], &["--url", &gateway.url()]] {
        let list = home.run(&[&["keys", "list", "--json"], place].concat()).json();
        let ids: std::collections::BTreeSet<_> =
            list["data"].as_array().unwrap().iter().map(|k| &k["id"]).map(Value::to_string).collect();
        assert_eq!((ids.len(), &list["has_more"], &list["next_cursor"]), (1001, &json!(false), &Value::Null));
    }
}

#[tokio::test]
async fn keys_are_managed_on_the_database_and_over_http() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-of-cli");
    a_life(&home, &[]);
    let gateway = home.serve(&ANY).await;
    a_life(&home, &["--url", &gateway.url()]);
    a_life(&home, &["--url", &gateway.url(), "--admin-key", "admin-of-cli"]);
    let refused = home.run(&["keys", "list", "--url", &gateway.url(), "--admin-key", "not-the-one"]);
    fails(&refused, 1, &["403", "not the admin key"]);
    assert!(!refused.err.contains("not-the-one"), "{refused:?}");
    fails(&home.run(&["keys", "list", "--url", "127.0.0.1:1"]), 2, &["http://"]);
    fails(&home.run(&["keys", "list", "--url", "http://127.0.0.1:1"]), 1, &["127.0.0.1:1"]);
    fails(&Home::new().run(&["keys", "list", "--url", &gateway.url()]), 2, &["--admin-key", "WEIR_ADMIN_KEY"]);
}

#[tokio::test]
async fn usage_is_shown_in_every_form() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-of-cli");
    let key = home.run(&["keys", "create", "--name", "app", "--json"]).json()["key"].as_str().unwrap().to_owned();
    let gateway = home.serve(&ANY).await;
    for _ in 0..2 {
        assert_eq!(chat(&gateway, &key).await.status, StatusCode::OK);
    }
    let url = gateway.url();
    eventually("two rows", async || {
        (home.run(&["usage", "--format", "ndjson"]).out.lines().count() == 2).then_some(())
    })
    .await;
    for way in [&[][..], &["--url", &url]] {
        let usage = |args: &[&str]| {
            let said = home.run(&[&["usage"], args, way].concat());
            succeeds(&said);
            said
        };
        let table = usage(&[]).out;
        assert!(table.starts_with("at ") && table.lines().count() == 3 && table.contains("demo/chat"), "{table}");
        assert_eq!(usage(&["--format", "json"]).json()["data"].as_array().unwrap().len(), 2);
        assert_eq!(usage(&["--format", "csv"]).out.lines().count(), 3);
        assert_eq!(usage(&["--format", "csv", "--model", "other"]).out.lines().count(), 1);
        let sums = usage(&["--group-by", "model,status", "--format", "json"]).json();
        assert_eq!((&sums["data"][0]["model"], &sums["data"][0]["requests"]), (&json!("demo/chat"), &json!(2)));
        let books = home.run(&[&["reconcile"], way].concat());
        succeeds(&books);
        assert!(books.out.starts_with("2 rows") && books.out.contains("everything agrees"), "{}", books.out);
        let table = usage(&["--group-by", "model", "--since", "1d"]).out;
        assert!(table.starts_with("model ") && table.lines().count() == 2, "{table}");
        let bad = home.run(&[&["usage", "--since", "whenever"], way].concat());
        fails(&bad, 2, &["from"]);
        fails(&home.run(&[&["usage", "--group-by", "colour"], way].concat()), 2, &["group_by"]);
    }
}

#[test]
fn prices_are_shown() {
    let home = Home::new();
    let said = home.run(&["prices", "show", "openai/gpt-4o-mini"]);
    succeeds(&said);
    assert!(said.out.starts_with("openai/gpt-4o-mini  version ") && said.out.contains("cache_read"), "{said:?}");
    let found = home.run(&["prices", "show", "gpt-4o-mini", "--json"]).json();
    assert!(found.as_array().unwrap().len() > 1, "every provider that has it");
    fails(
        &home.run(&["prices", "show", "openai/gpt-4o-mni"]),
        1,
        &["openai/gpt-4o-mni", "did you mean 'openai/gpt-4o-mini'?"],
    );
    let file = home.file("weir.yaml", "prices: { demo/chat: { input: \"7\" } }\n");
    let own = home.run(&["prices", "show", "demo/chat", "--json", "--config", &file]).json();
    assert_eq!(
        (&own[0]["source"], &own[0]["prices"][0]["per_mtok_usd"]["input"]),
        (&json!("config"), &json!("7.000000000"))
    );
}

#[test]
fn the_doctor_says_what_is_wrong_and_how_to_mend_it() {
    let home = Home::new();
    let said = home.run(&["doctor", "--json"]);
    assert_eq!(said.code, 1, "only the demo: {said:?}");
    let found = said.json();
    let of =
        |check: &str| found.as_array().unwrap().iter().find(|f| f["check"] == check).cloned().unwrap_or(Value::Null);
    assert_eq!((&of("configuration")["ok"], &of("database")["ok"]), (&json!(true), &json!(true)));
    assert!(of("providers")["fix"].as_str().unwrap().contains("OPENAI_API_KEY"), "{found:#}");
    let yaml = "database: { url: \"postgres://weir:pass-word@127.0.0.1:1/weir\" }\n\
                providers: { up: { kind: openai-compatible, base_url: \"http://127.0.0.1:1/v1\", api_key: key-of-up } }\n";
    let file = home.file("weir.yaml", yaml);
    let said = home.run(&["doctor", "--config", &file]);
    assert_eq!(said.code, 1);
    for text in ["WRONG  database", "postgres://weir:***@127.0.0.1:1/weir", "WRONG  provider up", "->"] {
        assert!(said.out.contains(text), "{text} in {said:?}");
    }
    assert!(!said.out.contains("pass-word") && !said.out.contains("key-of-up"), "{said:?}");
}

#[tokio::test]
async fn the_keys_of_a_first_start_are_shown_once_and_work() {
    let home = Home::new();
    let mut gateway = home.serve(&ANY).await;
    let (admin, key) = (gateway.told("admin key ").unwrap(), gateway.told("first key ").unwrap());
    assert!(gateway.out().contains("curl http://") && gateway.out().contains(&key), "{}", gateway.out());
    assert_eq!(chat(&gateway, &key).await.status, StatusCode::OK);
    let headers = [("x-api-key", admin.as_str())];
    assert_eq!(gateway.request(Method::GET, "/admin/v1/keys", &headers, "").await.status, StatusCode::OK);
    assert!(home.path("weir-data/weir.db").exists(), "the data is in ./weir-data");
    gateway.signal("TERM");
    assert_eq!(gateway.end().await, 0, "{}", gateway.err());
    assert!(gateway.err().contains("everything is written"), "{}", gateway.err());
    let again = home.serve(&ANY).await;
    assert_eq!((again.told("admin key "), again.told("first key ")), (None, None));
    assert!(!again.out().contains(&key) && again.out().contains("weir keys create"), "{}", again.out());
    assert_eq!(chat(&again, &key).await.status, StatusCode::OK);
    assert_eq!(again.request(Method::GET, "/admin/v1/keys", &headers, "").await.status, StatusCode::OK);
    let rows = home.run(&["usage", "--format", "ndjson"]);
    assert!(rows.out.lines().count() >= 1, "the row of the first gateway was written: {rows:?}");
}

#[tokio::test]
async fn with_an_admin_key_of_ones_own_nothing_is_generated() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "my-own-admin-key");
    let mut gateway = home.serve(&ANY).await;
    assert_eq!((gateway.told("admin key "), gateway.told("first key ")), (None, None));
    assert!(!gateway.out().contains("my-own-admin-key"));
    gateway.signal("INT");
    assert_eq!(gateway.end().await, 0, "{}", gateway.err());
}

#[tokio::test]
async fn it_listens_where_the_file_says_and_the_flag_goes_before_it() {
    let home = Home::new();
    home.file("weir.yaml", "server: { listen: \"127.0.0.2:0\", metrics_listen: \"127.0.0.3:0\" }\n");
    let gateway = home.serve(&[]).await;
    assert_eq!(gateway.addr.ip().to_string(), "127.0.0.2");
    let metrics = gateway.told("metrics ").unwrap();
    assert!(metrics.starts_with("http://127.0.0.3:"), "{metrics}");
    let there = metrics.trim_start_matches("http://").trim_end_matches("/metrics");
    TcpStream::connect(there).await.expect("metrics are served there");
    assert_eq!(gateway.request(Method::GET, "/metrics", &[], "").await.status, StatusCode::NOT_FOUND);
    let other = Home::new();
    other.file("weir.yaml", "server: { listen: \"127.0.0.2:0\" }\n");
    assert_eq!(other.serve(&["--listen", "127.0.0.4:0"]).await.addr.ip().to_string(), "127.0.0.4");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_port_says_so() {
    let home = Home::new();
    let first = home.serve(&ANY).await;
    let addr = first.addr.to_string();
    let said = Home::new().run(&["serve", "--listen", &addr]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("cannot listen on {addr}")) && said.err.contains("in use"), "{said:?}");
    assert!(!said.out.contains("admin key"), "no secret of a gateway that does not serve: {said:?}");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    // Even root makes no folder in /proc.
    let home = Home::new().env("WEIR_DATA_DIR", "/proc/weir-data");
    fails(&home.run(&[&["serve"], &ANY[..]].concat()), 1, &["database", "/proc/weir-data"]);
    let home = Home::new();
    let file = home.file("a-file", "");
    let home = home.env("WEIR_DATA_DIR", &file);
    fails(&home.run(&[&["serve"], &ANY[..]].concat()), 1, &["database", &file]);
}

#[test]
fn a_corrupt_database_is_named_and_left_alone() {
    let home = Home::new();
    std::fs::create_dir(home.path("weir-data")).unwrap();
    let garbage = "this is not a database, whatever its name says. ".repeat(100);
    let file = home.file("weir-data/weir.db", &garbage);
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["keys", "list"], &["usage"]] {
        fails(&home.run(command), 1, &["database", "weir-data/weir.db", "not a database"]);
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), garbage);
}

#[tokio::test]
async fn the_log_has_the_form_and_the_level_that_are_configured() {
    for (settings, json, told) in [
        ("format: json", true, true),
        ("format: auto", true, true),
        ("format: pretty", false, true),
        ("format: json, level: warn", true, false),
        ("format: json, level: \"off\"", true, false),
    ] {
        let home = Home::new();
        home.file("weir.yaml", &format!("logging: {{ {settings} }}\n"));
        let mut gateway = home.serve(&ANY).await;
        gateway.signal("TERM");
        assert_eq!(gateway.end().await, 0);
        let log = gateway.err();
        assert_eq!(log.contains("SIGTERM: draining"), told, "{settings}: {log}");
        let is_json = log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(is_json, json, "{settings}: {log}");
    }
}

#[tokio::test]
async fn a_hang_up_is_logged_and_survived() {
    let home = Home::new();
    let mut gateway = home.serve(&ANY).await;
    let ready = async |gateway: &Running| gateway.request(Method::GET, "/health/ready", &[], "").await.status;
    assert_eq!(ready(&gateway).await, StatusCode::OK);
    gateway.signal("HUP");
    eventually("the word about it", async || gateway.err().contains("was read again and is the same").then_some(()))
        .await;
    assert_eq!((ready(&gateway).await, gateway.ended()), (StatusCode::OK, None));
}

/// Opens a stream that takes so many milliseconds a word.
async fn slow_stream(gateway: &Running, ms: u64) -> http::Response<hyper::body::Incoming> {
    let key = gateway.told("first key ").unwrap();
    let fault = format!("chunk_delay={ms}ms");
    let body =
        json!({"model": "demo/chat", "stream": true, "messages": [{"role": "user", "content": "a b c d e f g h"}]});
    let headers = [("x-api-key", key.as_str()), ("x-weir-fault", fault.as_str())];
    let mut open = gateway.send(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
    open.frame().await.unwrap().unwrap();
    open
}

#[tokio::test]
async fn while_it_drains_newcomers_are_told_to_go_elsewhere() {
    let home = Home::new();
    let mut gateway = home.serve(&ANY).await;
    let open = slow_stream(&gateway, 200).await;
    gateway.signal("TERM");
    let ready = async || gateway.request(Method::GET, "/health/ready", &[], "").await;
    let reply = eventually("unreadiness", async || Some(ready().await).filter(|r| r.status != StatusCode::OK)).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "draining"})));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(gateway.request(Method::GET, "/health", &[], "").await.status, StatusCode::OK, "it is alive");
    let key = gateway.told("first key ").unwrap();
    let reply = chat(&gateway, &key).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "gateway_stopping"));
    assert_eq!((reply.header("connection"), reply.header("retry-after")), (Some("close"), Some("1")));
    assert!(reply.header("x-request-id").is_some());
    let metrics = gateway.request(Method::GET, "/metrics", &[], "").await.text();
    assert!(metrics.contains("weir_shed_total{reason=\"stopping\"} 1"), "{metrics}");
    // Somebody who connects and says nothing does not hold the stop up.
    let silent = TcpStream::connect(gateway.addr).await.unwrap();
    let rest = open.into_body().collect().await.expect("the stream is whole").to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(gateway.end().await, 0, "{}", gateway.err());
    assert!(TcpStream::connect(gateway.addr).await.is_err(), "nothing listens any more");
    drop(silent);
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() {
    let home = Home::new();
    home.file("weir.yaml", "server: { drain_timeout: 10m }\n");
    let mut gateway = home.serve(&ANY).await;
    let open = slow_stream(&gateway, 1_000).await;
    gateway.signal("TERM");
    eventually("the drain", async || gateway.err().contains("draining").then_some(())).await;
    gateway.signal("TERM");
    let end = tokio::time::timeout(Duration::from_secs(9), open.into_body().collect()).await.expect("in time");
    assert!(String::from_utf8_lossy(&end.unwrap().to_bytes()).contains("gateway_stopping"));
    assert_eq!(gateway.end().await, 0, "{}", gateway.err());
}
