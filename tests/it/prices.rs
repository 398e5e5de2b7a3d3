//! Prices: whose holds when, what requests would cost, and rating past rows anew, on both databases.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use weir::clock::Clock;

use crate::support::binary::Home;
use crate::support::database::{Database, on_both};
use crate::support::gateway::{ADMIN, Gateway, Reply, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Upstream};

on_both!(
    a_price_lives_its_life,
    prices_come_into_force_by_the_clock,
    another_replica_has_a_price_within_a_second,
    what_is_no_price_is_refused,
    rows_are_rated_anew_and_every_sum_with_them,
    a_request_is_estimated,
);

/// 18 November 2026, 11:06:40 UTC, a Wednesday.
const EPOCH: i64 = 1_795_000_000_000;
const PRICES: &str = "/admin/v1/prices";

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

/// Answers each chat with this usage, and the tier if the body asks for one.
async fn using(usage: Value) -> Upstream {
    Upstream::start(move |seen| {
        let tier = seen.json()["service_tier"].clone();
        let answer =
            json!({"id": "c", "object": "chat.completion", "model": "m", "choices": [], "usage": usage, "service_tier": tier});
        Script::json(answer.to_string())
    })
    .await
}

fn thousand() -> Value {
    json!({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000})
}

/// Cost and price version of the row of one more request.
async fn charged(gateway: &Gateway, key: &str, body: Value) -> (String, String) {
    let before = gateway.rows().await.len();
    let reply = gateway.post(key, "/v1/chat/completions", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let id = reply.header("x-request-id").unwrap();
    let row = gateway.wait_rows(before + 1).await.into_iter().find(|row| row["id"] == id).unwrap();
    let text = |name: &str| row[name].as_str().unwrap_or("none").to_owned();
    (text("cost_usd"), text("price_version"))
}

async fn cost(gateway: &Gateway, key: &str, model: &str) -> String {
    charged(gateway, key, chat(model)).await.0
}

async fn set(gateway: &Gateway, body: Value) -> Value {
    let reply = gateway.admin(Method::POST, PRICES, body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    reply.json()
}

fn path(price: &Value) -> String {
    format!("{PRICES}/{}", price["id"].as_str().unwrap())
}

async fn ids(gateway: &Gateway, query: &str) -> Vec<(String, String)> {
    let page = gateway.admin(Method::GET, &format!("{PRICES}{query}"), Value::Null).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    page.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|price| (text(&price["version"]), text(&price["status"])))
        .collect()
}

async fn a_price_lives_its_life(db: Database) {
    let up = using(thousand()).await;
    let gateway = Setup::new(one_provider(&up.url())).database(&db.url).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    assert_eq!(cost(&gateway, &key, "up/priced").await, "0.001000000", "the configuration's");

    let price = set(&gateway, json!({"model": "up/priced", "prices": {"input": "3"}, "note": "new contract"})).await;
    assert_eq!(price["effective_from"], "2026-11-18T11:06:40.000Z");
    assert_eq!((&price["status"], &price["note"]), (&json!("in_force"), &json!("new contract")));
    assert_eq!((&price["created_by"], &price["prices"]), (&json!("admin_api"), &json!({"input": "3"})));
    let version = price["version"].as_str().unwrap().to_owned();
    assert_eq!(charged(&gateway, &key, chat("up/priced")).await, ("0.003000000".to_owned(), version), "at once");

    // A correction is a new version from the same moment on.
    set(&gateway, json!({"model": "up/priced", "prices": {"input": "4"}, "effective_from": price["effective_from"]}))
        .await;
    assert_eq!(cost(&gateway, &key, "up/priced").await, "0.004000000");
    let shown = gateway.admin(Method::GET, &path(&price), Value::Null).await.json();
    assert_eq!(
        (&shown["status"], &shown["prices"]),
        (&json!("superseded"), &json!({"input": "3"})),
        "nothing is edited"
    );
    let refused = gateway.admin(Method::DELETE, &path(&price), Value::Null).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "price_not_in_force"));

    let later =
        set(&gateway, json!({"model": "up/priced", "prices": {"input": "9"}, "effective_from": "2027-01-01"})).await;
    assert_eq!(later["status"], "scheduled");
    let other = set(&gateway, json!({"model": "openai/gpt-4o", "prices": {"input": "1"}})).await;
    assert_eq!(other["model"], "openai/gpt-4o", "a provider need not be configured to be known");
    let all = ids(&gateway, "?model=up/priced").await;
    assert_eq!(all.iter().map(|(_, s)| s.as_str()).collect::<Vec<_>>(), ["superseded", "in_force", "scheduled"]);
    assert_eq!(ids(&gateway, "?provider=openai").await.len(), 1);
    assert_eq!(ids(&gateway, "?model=gpt-4o").await.len(), 1);
    let first = gateway.admin(Method::GET, &format!("{PRICES}?limit=3"), Value::Null).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&gateway, &format!("?limit=3&cursor={cursor}")).await.len(), 1);

    // What does not hold yet is taken back; what does is ended by a newer version.
    let gone = gateway.admin(Method::DELETE, &path(&later), Value::Null).await;
    assert_eq!((gone.status, &gone.json()["status"]), (StatusCode::OK, &json!("withdrawn")));
    let again = gateway.admin(Method::DELETE, &path(&later), Value::Null).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let page = gateway.admin(Method::GET, &format!("{PRICES}?model=up/priced"), Value::Null).await.json();
    let current = page["data"].as_array().unwrap().iter().find(|price| price["status"] == "in_force").unwrap().clone();
    let end = gateway.admin(Method::DELETE, &path(&current), Value::Null).await.json();
    assert_eq!((&end["prices"], &end["status"]), (&Value::Null, &json!("in_force")));
    assert_eq!(cost(&gateway, &key, "up/priced").await, "0.001000000", "the configuration's again");
    let nobody = gateway.admin(Method::GET, &format!("{PRICES}/price_none"), Value::Null).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));

    // A model without any price gets one.
    assert_eq!(cost(&gateway, &key, "up/unknown").await, "none");
    set(&gateway, json!({"model": "up/unknown", "prices": {"input": "5"}})).await;
    assert_eq!(cost(&gateway, &key, "up/unknown").await, "0.005000000");
}

async fn prices_come_into_force_by_the_clock(db: Database) {
    let up = using(thousand()).await;
    let yaml = format!(
        "{}  up/dated:\n    - {{ input: \"1\" }}\n    - {{ input: \"2\", effective_from: 2026-11-18T11:07:00Z }}\n",
        one_provider(&up.url())
    );
    let gateway = Setup::new(yaml).database(&db.url).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    let from = "2026-11-18T11:07:30Z";
    set(&gateway, json!({"model": "up/dated", "prices": {"input": "3"}, "effective_from": from})).await;
    set(&gateway, json!({"model": "up/dated", "prices": null, "effective_from": "2026-11-18T11:08:00Z"})).await;
    let model = "up/dated";
    assert_eq!(cost(&gateway, &key, model).await, "0.001000000");
    gateway.clock.advance(Duration::from_millis(19_999));
    assert_eq!(cost(&gateway, &key, model).await, "0.001000000", "a millisecond before");
    gateway.clock.advance(Duration::from_millis(1));
    assert_eq!(cost(&gateway, &key, model).await, "0.002000000", "to the millisecond");
    gateway.clock.advance(Duration::from_secs(30));
    assert_eq!(cost(&gateway, &key, model).await, "0.003000000", "the database goes before the configuration");
    gateway.clock.advance(Duration::from_secs(30));
    assert_eq!(cost(&gateway, &key, model).await, "0.002000000", "and hands back to it");
}

async fn another_replica_has_a_price_within_a_second(db: Database) {
    let up = using(thousand()).await;
    let yaml = one_provider(&up.url());
    let first = Setup::new(yaml.clone()).database(&db.url).start().await;
    let second = Setup::new(yaml.clone()).database(&db.url).start().await;
    let key = first.plain_key().await;
    assert_eq!(cost(&second, &key, "up/priced").await, "0.001000000");
    set(&first, json!({"model": "up/priced", "prices": {"input": "7"}})).await;
    let started = second.clock.mono_ns();
    eventually("the other replica's price", async || {
        (cost(&second, &key, "up/priced").await == "0.007000000").then_some(())
    })
    .await;
    assert!(second.clock.mono_ns() - started < 2_000_000_000, "within a second, and a busy machine's second more");
    // One that starts later has it from its first request on.
    let third = Setup::new(yaml).database(&db.url).start().await;
    assert_eq!(cost(&third, &key, "up/priced").await, "0.007000000");
}

async fn what_is_no_price_is_refused(db: Database) {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").database(&db.url).start().await;
    let check = async |body: Value, param: &str, says: &str| {
        let reply = gateway.admin(Method::POST, PRICES, body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    };
    let fine = json!({"input": "1"});
    check(json!({"model": "gpt-4o", "prices": fine}), "model", "provider/model").await;
    check(json!({"model": "opnai/x", "prices": fine}), "model", "there is no provider 'opnai'").await;
    check(json!({"model": "demo/x", "prices": {"input": 1}}), "prices", "input: expected a decimal number").await;
    check(json!({"model": "demo/x", "prices": {"inptu": "1"}}), "prices", "did you mean \"input\"").await;
    check(json!({"model": "demo/x", "prices": {}}), "prices", "no price at all").await;
    check(json!({"model": "demo/x", "prices": {"input": "-1"}}), "prices", "negative").await;
    check(json!({"model": "demo/x", "prices": fine, "effective_from": "soon"}), "effective_from", "2026-11-01").await;
    check(json!({"model": "demo/x", "prices": fine, "note": "\u{7}"}), "note", "control characters").await;
    check(json!({"model": "demo/x", "price": fine}), "price", "unknown field").await;
    let unpriced = gateway.get("nobody", PRICES).await;
    assert_eq!(unpriced.status, StatusCode::FORBIDDEN, "for the admin key alone");
    let cursor = gateway.admin(Method::GET, &format!("{PRICES}?cursor=x"), Value::Null).await;
    assert_eq!(cursor.status, StatusCode::BAD_REQUEST);
    let rerate = format!("{PRICES}/rerate");
    for body in [json!({}), json!({"from": "x"}), json!({"from": "2026-02-01", "to": "2026-01-01"})] {
        let reply = gateway.admin(Method::POST, &rerate, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    }
}

/// One number of the database.
async fn number(db: &Database, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    if db.url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&db.url).await.unwrap();
        return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    }
    let mut connection = PgConnection::connect(&db.url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn execute(db: &Database, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if db.url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(&db.url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
}

async fn rerate(gateway: &Gateway, mut body: Value) -> Value {
    body["from"] = json!("2026-11-18");
    let reply = gateway.admin(Method::POST, &format!("{PRICES}/rerate"), body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

/// What rows, hours and days add up to.
async fn sums(db: &Database) -> [i64; 3] {
    let mut sums = [0; 3];
    for (sum, table) in sums.iter_mut().zip(["usage", "usage_hourly", "usage_daily"]) {
        *sum = number(db, &format!("SELECT CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) FROM {table}")).await;
    }
    sums
}

async fn rows_are_rated_anew_and_every_sum_with_them(db: Database) {
    let up = using(thousand()).await;
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(one_provider(&up.url())).database(&db.url).clock(clock).start().await;
    let key = gateway.plain_key().await;
    let mut batch = chat("up/priced");
    batch["service_tier"] = json!("flex");
    for body in [chat("up/priced"), batch, chat("up/unknown"), chat("demo/chat")] {
        charged(&gateway, &key, body).await;
    }
    gateway.clock.advance(Duration::from_secs(3_600));
    assert_eq!(cost(&gateway, &key, "up/priced").await, "0.001000000");
    gateway.clock.advance(Duration::from_millis(1));
    assert_eq!(sums(&db).await, [3_000_000; 3]);
    // The first row was charged to a budget's window.
    execute(&db, "INSERT INTO budget_windows (budget_id, starts_at, ends_at, carried_nano, spent_nano, leased_nano, wanted_at) VALUES ('bud_1', 0, NULL, 0, 1000000, 0, 0)").await;
    execute(&db, "UPDATE usage SET charges = '[[\"bud_1\", 0]]' WHERE at = (SELECT MIN(at) FROM usage) AND id = (SELECT MIN(id) FROM usage WHERE model = 'up/priced')").await;

    // The price was wrong until noon, and the other model's was never there.
    let flex = json!({"input": "2", "tiers": {"flex": {"input": "1.5"}}});
    set(&gateway, json!({"model": "up/priced", "prices": flex, "effective_from": "2026-11-18"})).await;
    set(&gateway, json!({"model": "up/priced", "prices": null, "effective_from": "2026-11-18T12:00:00Z"})).await;
    set(&gateway, json!({"model": "up/unknown", "prices": {"input": "5"}, "effective_from": "2026-11-18"})).await;

    let told = rerate(&gateway, json!({})).await;
    assert_eq!((&told["dry_run"], &told["rows"], &told["changed"]), (&json!(true), &json!(5), &json!(3)), "{told:#}");
    assert_eq!(told["difference_usd"], "0.006500000");
    assert_eq!(sums(&db).await, [3_000_000; 3], "nothing was changed");
    let one = rerate(&gateway, json!({"model": "unknown", "provider": "up"})).await;
    assert_eq!((&one["rows"], &one["difference_usd"]), (&json!(1), &json!("0.005000000")));
    assert_eq!(rerate(&gateway, json!({"provider": "demo"})).await["rows"], 1);

    let done = rerate(&gateway, json!({"dry_run": false, "model": "up/unknown"})).await;
    assert_eq!((&done["changed"], &done["difference_usd"]), (&json!(1), &json!("0.005000000")));
    assert_eq!(sums(&db).await, [8_000_000; 3]);
    let done = rerate(&gateway, json!({"dry_run": false})).await;
    assert_eq!((&done["changed"], &done["difference_usd"]), (&json!(2), &json!("0.001500000")), "{done:#}");
    assert_eq!((&done["cost_before_usd"], &done["cost_after_usd"]), (&json!("0.002000000"), &json!("0.003500000")));
    assert_eq!(sums(&db).await, [9_500_000; 3], "rows, hours and days");
    let spent = number(&db, "SELECT spent_nano FROM budget_windows").await;
    let first = number(&db, "SELECT cost_nano FROM usage WHERE charges IS NOT NULL").await;
    assert!([1_500_000, 2_000_000].contains(&first), "{first}");
    assert_eq!(spent, first, "and the window");
    assert_eq!(number(&db, "SELECT CAST(SUM(unpriced) AS BIGINT) FROM usage_daily").await, 0);
    let kept = "SELECT COUNT(*) FROM usage_ratings WHERE version = 1 AND (cost_nano = 1000000 OR unpriced)";
    assert_eq!(number(&db, kept).await, 3, "the old ones are kept");
    let rows = gateway.rows().await;
    let version = |row: &&Value| row["price_version"].as_str().unwrap().split('-').next().unwrap().to_owned();
    let (before, after): (Vec<&Value>, Vec<&Value>) = rows
        .iter()
        .filter(|row| row["provider"] == "up")
        .partition(|row| row["at"].as_str().unwrap() < "2026-11-18T12");
    assert_eq!(before.iter().map(version).collect::<Vec<_>>(), ["db"; 3]);
    assert_eq!(after.iter().map(version).collect::<Vec<_>>(), ["config"], "after noon nothing changed");

    let again = rerate(&gateway, json!({"dry_run": false})).await;
    assert_eq!((&again["changed"], &again["difference_usd"]), (&json!(0), &json!("0.000000000")), "once is enough");
    assert_eq!(sums(&db).await, [9_500_000; 3]);
    // A second correction is a second version of the old.
    set(&gateway, json!({"model": "up/unknown", "prices": {"input": "6"}, "effective_from": "2026-11-18"})).await;
    rerate(&gateway, json!({"dry_run": false})).await;
    assert_eq!(sums(&db).await, [10_500_000; 3]);
    assert_eq!(number(&db, "SELECT COUNT(*) FROM usage_ratings WHERE version = 2 AND cost_nano = 5000000").await, 1);
}

async fn estimate(gateway: &Gateway, key: &str, body: Value) -> Reply {
    let reply = gateway.post(key, "/v1/estimate", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply
}

async fn a_request_is_estimated(db: Database) {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140,
        "prompt_tokens_details": {"cached_tokens": 50}});
    let up = using(usage).await;
    let yaml = format!(
        "providers:\n  up: {{ kind: openai, base_url: \"{}\", api_key: k }}\nmodels:\n  best: {{ targets: [{{ provider: up, model: gpt-4o-mini }}, {{ provider: up, model: own }}] }}\n\
         prices:\n  up/own: {{ input: \"1\", output: \"10\" }}\n",
        up.url()
    );
    let gateway = Setup::new(yaml).database(&db.url).start().await;
    let (_, key) = gateway.key(json!({"limits": {"rpm": 5}})).await;
    let mut body =
        json!({"model": "best", "max_tokens": 100, "messages": [{"role": "user", "content": "hello world"}]});
    let told = estimate(&gateway, &key, body.clone()).await;
    assert!(told.header("x-ratelimit-remaining-requests").is_some());
    let told = told.json();
    assert_eq!(told["expected_output"], json!({"basis": "default", "tokens": 500}));
    let [mini, own] = told["targets"].as_array().unwrap().as_slice() else { panic!("{told:#}") };
    // Two words in a message, counted: 8 * 0.15 + 100 * 0.60. At worst it is its JSON's 23 tokens and 16 more
    // for whatever the template adds, at priority's 0.25 and 1.00.
    assert_eq!((&mini["target"], &mini["input_tokens"]), (&json!("up/gpt-4o-mini"), &json!(8)));
    assert_eq!((&mini["counted_by"], &mini["output_tokens"]), (&json!("o200k_base"), &json!(100)));
    assert_eq!((&mini["expected_usd"], &mini["worst_usd"]), (&json!("0.000061200"), &json!("0.000109750")));
    assert!(mini["price_version"].as_str().unwrap().starts_with("catalog-"));
    // No tokenizer is known: by its size, and at worst a token a byte.
    assert_eq!((&own["counted_by"], &own["most_output_tokens"]), (&json!("size"), &json!(100)));
    assert!(own["most_input_tokens"].as_u64() > own["input_tokens"].as_u64());
    assert_eq!(own["unpriced"], false);
    assert_eq!(up.seen().len(), 0, "nobody was asked");

    // What the caller had before is what it expects.
    let reply = gateway.post(&key, "/v1/chat/completions", body.clone()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    gateway.wait_rows(2).await;
    let told = estimate(&gateway, &key, body.clone()).await.json();
    assert_eq!(told["expected_output"], json!({"basis": "history", "tokens": 40, "requests": 1, "days": 30}));
    // 4 * 0.15 + 4 * 0.075 + 40 * 0.60: half of the prompt comes from the cache.
    assert_eq!(told["targets"][0]["expected_usd"], "0.000024900");

    // Nothing says how long an answer of this model may be.
    body["model"] = json!("up/nobody-knows");
    body["max_tokens"] = Value::Null;
    let told = estimate(&gateway, &key, body.clone()).await.json();
    assert_eq!((&told["targets"][0]["worst_usd"], &told["targets"][0]["unpriced"]), (&Value::Null, &json!(true)));

    let responses = json!({"model": "up/gpt-4o-mini", "input": "hello world", "max_output_tokens": 100});
    let told = estimate(&gateway, &key, responses).await.json();
    assert_eq!(told["targets"][0]["input_tokens"], 8, "{told:#}");
    let limited = gateway.post(&key, "/v1/estimate", body).await;
    assert_eq!((limited.status, limited.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"));

    let rows = gateway.wait_rows(6).await;
    let estimates: Vec<&Value> = rows.iter().filter(|row| row["endpoint"] == "estimate").collect();
    assert_eq!(estimates.len(), 5);
    assert!(estimates[..4].iter().all(|row| row["status"] == "ok" && row["cost_usd"] == "0.000000000"), "{rows:#?}");
    assert_eq!(up.seen().len(), 1);
}

#[tokio::test]
async fn an_estimate_is_refused_as_the_request_would_be() {
    let up = using(thousand()).await;
    let gateway = Gateway::before(&up.url()).await;
    let (_, key) = gateway.key(json!({"models": ["up/*"]})).await;
    let check = async |key: &str, body: Value, status: StatusCode, code: &str| {
        let reply = gateway.post(key, "/v1/estimate", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    };
    check("nobody", chat("up/m"), StatusCode::UNAUTHORIZED, "invalid_api_key").await;
    check(&key, chat("demo/chat"), StatusCode::FORBIDDEN, "model_not_allowed").await;
    check(&key, json!({"model": "up/m"}), StatusCode::BAD_REQUEST, "missing_required_parameter").await;
    check(&key, json!({"messages": []}), StatusCode::BAD_REQUEST, "missing_required_parameter").await;
    let get = gateway.get(&key, "/v1/estimate").await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
    let anthropic =
        [("x-api-key", key.as_str()), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")];
    let body = json!({"model": "up/priced", "max_tokens": 10, "system": "be brief", "messages": [{"role": "user", "content": "hi"}]});
    let told = gateway.request(Method::POST, "/v1/estimate", &anthropic, body.to_string()).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text());
    assert_eq!(told.json()["targets"][0]["output_tokens"], 10);
    assert!(up.seen().is_empty());
}

#[tokio::test]
async fn prices_have_steps_tiers_and_cheap_hours() {
    let up = using(json!({"prompt_tokens": 300_000, "completion_tokens": 0, "total_tokens": 300_000})).await;
    let yaml = format!(
        "{}  up/long: {{ input: \"1\", above: {{ 200000: {{ input: \"2\" }} }}, tiers: {{ flex: {{ input: \"0.5\" }}, batch: {{ input: \"0.5\", above: {{ 200000: {{ input: \"0.7\" }} }} }} }} }}\n  \
         up/night: {{ input: \"1\", off_peak: {{ hours_utc: [\"11:00-12:00\"], weekdays: [3], prices: {{ input: \"0.1\" }} }} }}\n",
        one_provider(&up.url())
    );
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    let key = gateway.plain_key().await;
    let tier = |name: &str| {
        let mut body = chat("up/long");
        body["service_tier"] = json!(name);
        body
    };
    assert_eq!(cost(&gateway, &key, "up/long").await, "0.600000000", "the whole request");
    assert_eq!(charged(&gateway, &key, tier("flex")).await.0, "0.300000000", "a tier steps up in proportion");
    assert_eq!(charged(&gateway, &key, tier("batch")).await.0, "0.210000000", "or as it says");
    assert_eq!(cost(&gateway, &key, "up/night").await, "0.030000000", "on a Wednesday morning");
    gateway.clock.advance(Duration::from_secs(3_600));
    assert_eq!(cost(&gateway, &key, "up/night").await, "0.300000000");
}

#[tokio::test]
async fn a_price_is_that_of_the_place() {
    let up = using(thousand()).await;
    let yaml = format!(
        "providers:\n  here: {{ kind: bedrock, base_url: \"{0}\", api_key: k }}\n  \
         gov: {{ kind: bedrock, base_url: \"{0}\", api_key: k, vars: {{ region: us-gov-west-1 }} }}\n",
        up.url()
    );
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    let version = async |model: &str| {
        let told = estimate(&gateway, &key, chat(model)).await.json();
        let target = &told["targets"][0];
        (target["expected_usd"].clone(), target["price_version"].as_str().unwrap().to_owned())
    };
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let (here, gov) = (version(&format!("here/{sonnet}")).await, version(&format!("gov/{sonnet}")).await);
    assert_ne!(here.1, gov.1);
    let nano = |usd: &Value| usd.as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    // 3.60 and 18 instead of 3 and 15.
    assert_eq!(nano(&gov.0) * 10, nano(&here.0) * 12);
}

#[test]
fn the_command_line_shows_the_price_of_the_place() {
    let home = Home::new();
    let text = "providers:\n  eu: { kind: openai, base_url: \"https://eu.api.openai.com/v1\", api_key: k }\n  \
        gov: { kind: bedrock, vars: { region: us-gov-west-1 } }\n";
    let file = home.file("weir.yaml", text);
    let shown = |model: &str| home.run(&["prices", "show", model, "--config", &file]).out;
    let eu = shown("eu/gpt-5.4");
    assert!(eu.contains("times 1.1 (regional_processing_eu)") && eu.contains("*regional_processing_eu"), "{eu}");
    assert!(!shown("eu/gpt-4o-mini").contains("times"), "it has no such factor");
    let gov = shown("gov/anthropic.claude-sonnet-4-5-20250929-v1:0");
    assert!(gov.contains("of region us-gov-west-1"), "{gov}");
}

#[test]
fn the_command_line_sets_lists_ends_and_rates() {
    let home = Home::new();
    let file = home.file("weir.yaml", "prices: { openai/gpt-4o: { input: \"7\", output: \"8\" } }\n");
    let run = |args: &[&str]| home.run(&[args, &["--config", &file]].concat());
    let shown = || run(&["prices", "show", "openai/gpt-4o", "--json"]).json();
    assert_eq!((&shown()[0]["source"], &shown()[0]["status"]), (&json!("config"), &json!("in_force")));
    assert_eq!(shown()[1]["status"], "superseded", "the catalogue's");
    assert!(!home.path("weir-data").join("weir.db").exists(), "showing makes no database");

    let set = run(&["prices", "set", "openai/gpt-4o", "input=3", "output=4", "--note", "contract", "--json"]);
    assert_eq!(set.code, 0, "{set:?}");
    let set = set.json();
    assert_eq!((&set["created_by"], &set["prices"]["output"]), (&json!("command_line"), &json!("4")));
    run(&["prices", "set", "openai/gpt-4o", "input=1", "--from", "2990-01-01"]);
    let found = shown();
    let statuses: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["source"].as_str().unwrap(), e["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        statuses[..3],
        [("database", "in_force"), ("database", "scheduled"), ("config", "superseded")],
        "{statuses:?}"
    );
    let text = run(&["prices", "show", "openai/gpt-4o"]).out;
    assert!(text.starts_with("openai/gpt-4o  version db-1  source database  in force  from "), "{text}");
    let list = run(&["prices", "list", "--model", "openai/gpt-4o"]);
    assert!(list.out.contains("input=3 output=4") && list.out.contains("scheduled"), "{list:?}");

    let rated = run(&["prices", "rerate", "--from", "2026-01-01"]);
    assert!(rated.out.contains("0 of 0 rows would change, by 0.000000000 USD"), "{rated:?}");
    assert!(rated.out.contains("--apply"), "{rated:?}");
    let ended = run(&["prices", "end", set["id"].as_str().unwrap()]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(shown()[0]["source"], "config", "handed back");
    for (args, says) in [
        (vec!["prices", "set", "openai/gpt-4o", "input"], "input=2.50"),
        (vec!["prices", "set", "openai/gpt-4o"], "no price"),
        (vec!["prices", "set", "openai/gpt-4o", "input=x"], "input: expected a decimal number"),
        (vec!["prices", "rerate", "--from", "soon"], "from must be a day or a time"),
    ] {
        let said = run(&args);
        assert!(said.code == 2 && said.err.contains(says), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_over_http() {
    let gateway = Setup::new("server: { drain_timeout: 1s }\n").start().await;
    let home = Home::new();
    let url = gateway.url("");
    let run = async |args: &[&str]| {
        let args: Vec<String> =
            args.iter().chain(&["--url", &url, "--admin-key", ADMIN]).map(|a| (*a).to_owned()).collect();
        let home = &home;
        tokio::task::block_in_place(move || home.run(&args.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let set = run(&["prices", "set", "openai/gpt-4o", "input=3", "--json"]).await;
    assert_eq!((set.code, &set.json()["created_by"]), (0, &json!("admin_api")), "{set:?}");
    let shown = run(&["prices", "show", "openai/gpt-4o", "--json"]).await.json();
    assert_eq!(shown[0]["source"], "database");
    let rated = run(&["prices", "rerate", "--from", "2026-01-01", "--apply", "--json"]).await.json();
    assert_eq!((&rated["dry_run"], &rated["changed"]), (&json!(false), &json!(0)));
    assert_eq!(run(&["prices", "end", "price_none"]).await.code, 1);
}
