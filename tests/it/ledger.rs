//! The ledger keeps every request: through the death of the process, a database that is away, a journal
//! that is full.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use weir::meter::journal::{Journal, Options};

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":1000000,"completion_tokens":1,"total_tokens":1000001}}"#;

fn chat() -> String {
    json!({"model": "up/priced", "messages": [{"role": "user", "content": "hi"}]}).to_string()
}

/// A gateway on this database with its journals in `root`.
async fn gateway(root: &Path, db: &Database, upstream: &Upstream, ledger: &str) -> Gateway {
    let yaml = format!(
        "{}keys: [{{ name: ci, key: a-declared-key-of-the-test }}]\nledger: {{ journal: \"{}\" {ledger} }}\n",
        one_provider(&upstream.url()),
        root.display()
    );
    Setup::new(yaml).database(&db.url).start().await
}

const KEY: &str = "a-declared-key-of-the-test";

/// What a process leaves that was killed: rows of two requests, one of them in the database already,
/// and a request that an upstream was at.
fn leave_behind(root: &Path, id: &str) {
    let journal = Journal::create(root, id, Options::default()).unwrap();
    for (ticket, id) in [(1, "request-one"), (2, "request-two"), (3, "request-three")] {
        let row = json!({"id": id, "at": 1_795_000_000_000_i64, "endpoint": "chat/completions", "status": "interrupted",
            "usage": {"input": 7}, "cost": 70, "estimated": true, "error_code": "gateway_died"});
        let _ = journal.begin(ticket, &row).unwrap();
    }
    for (ticket, id) in [(1, "request-one"), (2, "request-two")] {
        let row = json!({"id": id, "at": 1_795_000_000_000_i64, "endpoint": "chat/completions", "status": "ok",
            "http_status": 200, "usage": {"input": 5, "output": 2}, "cost": 90});
        journal.settle(ticket, row, |_, _| ());
    }
    journal.commit_all().unwrap();
}

on_both!(what_a_dead_process_left_is_written_once);

async fn what_a_dead_process_left_is_written_once(db: Database) {
    let upstream = Upstream::scripted(Vec::new()).await;
    // Twice the same: a process that died before it could remove what it had written.
    for id in ["first", "again"] {
        let root = TempDir::new().unwrap();
        leave_behind(root.path(), id);
        let gateway = gateway(root.path(), &db, &upstream, "").await;
        let rows = gateway.wait_rows(3).await;
        assert_eq!(rows.len(), 3, "{rows:#?}");
        let told = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
        for id in ["request-one", "request-two"] {
            let row = told(id);
            assert_eq!(
                (&row["status"], &row["cost_usd"], &row["estimated"]),
                (&json!("ok"), &json!("0.000000090"), &json!(false))
            );
        }
        let row = told("request-three");
        assert_eq!(
            (&row["status"], &row["cost_usd"], &row["estimated"]),
            (&json!("interrupted"), &json!("0.000000070"), &json!(true))
        );
        eventually("the journal is removed", async || {
            (std::fs::read_dir(root.path()).unwrap().count() == 1).then_some(())
        })
        .await;
        let totals = gateway.admin(http::Method::GET, "/admin/v1/usage?group_by=status", Value::Null).await.json();
        let sum = |status: &str| {
            totals["data"].as_array().unwrap().iter().find(|total| total["status"] == status).unwrap()["cost_usd"]
                .clone()
        };
        assert_eq!((sum("ok"), sum("interrupted")), (json!("0.000000180"), json!("0.000000070")));
        gateway.app.stop(std::future::pending()).await;
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "a gateway that stopped leaves no journal");
    }
}

/// Nobody else may touch the file until the connection is dropped.
async fn lock(db: &Database) -> SqliteConnection {
    let mut connection = SqliteConnection::connect(&db.url).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.unwrap();
    connection
}

/// The files of a journal as they are now, as another machine would find them on the disk.
fn copy(from: &Path, to: &Path) {
    for journal in std::fs::read_dir(from).unwrap() {
        let journal = journal.unwrap();
        let target = to.join(journal.file_name());
        std::fs::create_dir_all(&target).unwrap();
        for file in std::fs::read_dir(journal.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
    }
}

/// The process dies while an upstream is at a request under a budget: it is charged at the dearest tier that
/// the answer could have named, which is what was held.
#[tokio::test]
async fn what_died_under_a_budget_costs_what_its_dearest_tier_costs() {
    let check = async |member: Value, tier: Option<&str>, times: u64| {
        let upstream = Upstream::start(|_| Script::stream(vec![Step::Hang])).await;
        let (db, root, copied) = (Database::sqlite(), TempDir::new().unwrap(), TempDir::new().unwrap());
        let yaml = |root: &Path| {
            format!(
                "providers:\n  up: {{ kind: openai-compatible, base_url: \"{}\", api_key: k }}\nprices:\n  up/tiered:\n    input: \"1\"\n    output: \"2\"\n    \
                 tiers: {{ flex: {{ input: \"0.5\" }}, priority: {{ input: \"3\" }} }}\n\
                 keys: [{{ name: ci, key: {KEY}, budget: {{ usd: \"5\", period: total }} }}]\nledger: {{ journal: \"{}\" }}\n",
                upstream.url(),
                root.display()
            )
        };
        let first = Setup::new(yaml(root.path())).database(&db.url).start().await;
        let mut body =
            json!({"model": "up/tiered", "max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        let told = first.post(KEY, "/v1/estimate", body.clone()).await.json()["targets"][0].clone();
        let auth = format!("Bearer {KEY}");
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
        let asking = first.request(http::Method::POST, "/v1/chat/completions", &headers, body.to_string());
        let died = async {
            eventually("the upstream has it", async || (upstream.seen().len() == 1).then_some(())).await;
            copy(root.path(), copied.path());
        };
        tokio::select! {
            reply = asking => panic!("{}", reply.text()),
            () = died => {}
        }
        let other = Database::sqlite();
        let second = Setup::new(yaml(copied.path())).database(&other.url).start().await;
        let rows = second.wait_rows(2).await;
        let row = rows.iter().find(|row| row["status"] == "interrupted").unwrap_or_else(|| panic!("{rows:#?}"));
        let mut connection = SqliteConnection::connect(&other.url).await.unwrap();
        let query = sqlx::query_scalar("SELECT tier FROM usage WHERE status = 'interrupted'");
        let kept: Option<String> = query.fetch_one(&mut connection).await.unwrap();
        assert_eq!(kept.as_deref(), tier, "by which it is rated anew");
        let tokens = |name: &str| row[name].as_u64().unwrap();
        let nano = times * (tokens("input_tokens") * 1_000 + tokens("output_tokens") * 2_000);
        assert_eq!(row["cost_usd"], format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000), "{row:#}");
        assert_eq!(row["cost_usd"], told["worst_usd"], "what was held, as the estimate says it");
    };
    check(json!({"service_tier": "priority"}), Some("priority"), 3).await;
    check(json!({}), Some("priority"), 3).await;
    check(json!({"service_tier": "default"}), None, 1).await;
    check(json!({"service_tier": "flex"}), None, 1).await;
}

#[tokio::test]
async fn whoever_has_the_end_of_an_answer_is_in_the_journal() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";
    let scripts = vec![
        Script::json(ANSWER),
        // The connection stays open: the end is what says so.
        Script::stream(vec![Step::send(stream), Step::Hang]),
        Script::status(400, r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#),
    ];
    let upstream = Upstream::scripted(scripts).await;
    let (db, root) = (Database::sqlite(), TempDir::new().unwrap());
    let first = gateway(root.path(), &db, &upstream, "").await;
    let locked = lock(&db).await;
    let auth = format!("Bearer {KEY}");
    let ask = async |id: &str, body: String| {
        let headers = [("authorization", auth.as_str()), ("x-request-id", id), ("content-type", "application/json")];
        first.send(http::Method::POST, "/v1/chat/completions", &headers, body).await
    };
    let read = async |response: http::Response<hyper::body::Incoming>, until: &str| {
        use http_body_util::BodyExt as _;
        let mut body = response.into_body();
        let mut text = String::new();
        while !text.contains(until) {
            let frame = body.frame().await.expect("there is more").unwrap();
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
        // What is on the disk at this moment.
        let found = TempDir::new().unwrap();
        copy(root.path(), found.path());
        (body, found)
    };
    let whole = ask("a-whole-answer", chat()).await;
    let (_, at_whole) = read(whole, "usage").await;
    let mut body: Value = serde_json::from_str(&chat()).unwrap();
    body["stream"] = json!(true);
    let streamed = ask("a-streamed-answer", body.to_string()).await;
    let (_open, at_stream) = read(streamed, "[DONE]").await;
    let refused = ask("a-refused-request", chat()).await;
    let (_, at_refused) = read(refused, "error").await;
    drop(locked);
    for (found, id, status) in [
        (at_whole, "a-whole-answer", "ok"),
        (at_stream, "a-streamed-answer", "ok"),
        (at_refused, "a-refused-request", "client_error"),
    ] {
        let other = Database::sqlite();
        let next = gateway(found.path(), &other, &upstream, "").await;
        eventually(id, async || {
            next.rows().await.iter().any(|row| row["id"] == id && row["status"] == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn while_the_database_is_away_requests_go_on_and_their_rows_follow() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER); 50]).await;
    let (db, root) = (Database::sqlite(), TempDir::new().unwrap());
    let gateway = gateway(root.path(), &db, &upstream, "").await;
    let locked = lock(&db).await;
    for _ in 0..50 {
        assert_eq!(gateway.post(KEY, "/v1/chat/completions", chat()).await.status, StatusCode::OK);
    }
    let pending = gateway.get("", "/metrics").await.text();
    assert!(pending.contains("weir_usage_journal_pending 50"), "{pending}");
    drop(locked);
    let rows = gateway.wait_rows(50).await;
    assert!(rows.iter().all(|row| row["cost_usd"] == "1.000002000"));
    assert!(gateway.get("", "/metrics").await.text().contains("weir_usage_dropped_total 0"));
}

#[tokio::test]
async fn a_full_journal_refuses_what_is_new_and_takes_it_again_when_there_is_room() {
    let upstream = Upstream::scripted(vec![Script::json(ANSWER); 500]).await;
    let (db, root) = (Database::sqlite(), TempDir::new().unwrap());
    let yaml = format!(
        "{}keys: [{{ name: ci, key: {KEY}, metadata: {{ notes: \"{}\" }} }}]\nledger: {{ journal: \"{}\", max_size: 16MiB }}\n",
        one_provider(&upstream.url()),
        "n".repeat(200_000),
        root.path().display()
    );
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    assert_eq!(gateway.post(KEY, "/v1/chat/completions", chat()).await.status, StatusCode::OK);
    let locked = lock(&db).await;
    let mut accepted = 1;
    let refused = loop {
        let reply = gateway.post(KEY, "/v1/chat/completions", chat()).await;
        match reply.status {
            StatusCode::OK => accepted += 1,
            _ => break reply,
        }
        assert!(accepted < 300, "the journal has a bound");
    };
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded".to_owned()));
    assert!(refused.header("retry-after").is_some() && refused.text().contains("usage cannot be recorded"));
    drop(locked);
    eventually("room", async || {
        (gateway.post(KEY, "/v1/chat/completions", chat()).await.status == StatusCode::OK).then_some(())
    })
    .await;
    gateway.wait_rows(accepted + 1).await;
}

#[tokio::test]
async fn where_power_losses_must_be_survived_answers_wait_for_the_disk() {
    for (durability, syncs) in [("process", false), ("power", true)] {
        let upstream = Upstream::scripted(vec![Script::json(ANSWER); 3]).await;
        let (db, root) = (Database::sqlite(), TempDir::new().unwrap());
        let gateway = gateway(root.path(), &db, &upstream, &format!(", durability: {durability}")).await;
        let answers = futures_util::future::join_all((0..3).map(|_| gateway.post(KEY, "/v1/chat/completions", chat())));
        let answers = tokio::time::timeout(Duration::from_secs(10), answers).await.expect("nobody waits for ever");
        assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
        let metrics = gateway.get("", "/metrics").await.text();
        assert_eq!(!metrics.contains("weir_usage_journal_syncs_total 0\n"), syncs, "{durability}");
        gateway.wait_rows(3).await;
    }
}
