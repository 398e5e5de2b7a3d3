//! Budgets as they are managed: over the admin API, with their keys, in the configuration, by the command
//! line. What they do to requests is elsewhere.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;

use crate::support::binary::{Home, Said};
use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Reply, Setup, eventually};
use crate::support::postgres::fresh_database;
use crate::support::proxy::Proxy;

on_both!(
    a_budget_lives_its_life,
    a_key_has_a_budget_of_its_own,
    how_far_a_budget_is_spent_is_shown,
    declared_budgets_are_those_of_the_database,
    budgets_are_listed_page_by_page,
);

/// 2026-11-18T11:06:40Z, a Wednesday.
const EPOCH: i64 = 1_795_000_000_000;
const BUDGETS: &str = "/admin/v1/budgets";

/// Only the demo: nothing here needs an upstream.
const PLAIN: &str = "server: { drain_timeout: 1s }\n";

#[track_caller]
fn refused(reply: &Reply, status: StatusCode, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    let error = reply.json()["error"].clone();
    assert!(["message", "type", "param", "code"].iter().all(|k| error.get(k).is_some()), "{error}");
}

async fn create(gateway: &Gateway, body: Value) -> Value {
    let made = gateway.admin(Method::POST, BUDGETS, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    made.json()
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let shown = gateway.admin(Method::GET, path, Value::Null).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text());
    shown.json()
}

/// A change that succeeds.
async fn change(gateway: &Gateway, method: Method, path: &str, body: Value) -> Value {
    let changed = gateway.admin(method, path, body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    changed.json()
}

async fn a_budget_lives_its_life(db: Database) {
    let gateway = Setup::new(PLAIN).database(&db.url).clock(Clock::mock(EPOCH)).start().await;
    let body = json!({"name": "Search", "scope": "tag", "subject": "app=search", "usd": "12.5", "period": "month",
        "time_zone": "america/new_york", "carry_over": true, "thresholds": [90, 10, 90]});
    let made = create(&gateway, body).await;
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("bud_"), "{id}");
    let expected = json!({
        "id": id, "object": "budget", "name": "Search", "scope": "tag", "subject": "app=search",
        "usd": "12.500000000", "period": "month", "time_zone": "America/New_York", "carry_over": true,
        "thresholds": [10, 90], "raise": null, "origin": "api",
        "window": {"starts_at": "2026-11-01T04:00:00.000Z", "ends_at": "2026-12-01T05:00:00.000Z",
            "spent_usd": "0.000000000", "reserved_usd": "0.000000000", "carried_usd": "0.000000000",
            "remaining_usd": "12.500000000", "runs_out_at": null},
        "created_at": "2026-11-18T11:06:40.000Z", "updated_at": "2026-11-18T11:06:40.000Z",
    });
    assert_eq!(made, expected);
    let path = format!("{BUDGETS}/{id}");
    assert_eq!(get(&gateway, &path).await, expected);

    gateway.clock.advance(Duration::from_secs(1));
    let changed = change(&gateway, Method::PATCH, &path, json!({"usd": "20", "period": "day"})).await;
    assert_eq!((&changed["usd"], &changed["period"]), (&json!("20.000000000"), &json!("day")));
    assert_eq!((&changed["name"], &changed["thresholds"]), (&json!("Search"), &json!([10, 90])), "the rest stays");
    assert_eq!(changed["updated_at"], "2026-11-18T11:06:41.000Z");
    assert_eq!(changed["window"]["starts_at"], "2026-11-18T05:00:00.000Z");

    let raise = format!("{path}/raise");
    let raised = change(&gateway, Method::POST, &raise, json!({"usd": "5", "until": "2d"})).await;
    assert_eq!(raised["raise"], json!({"usd": "5.000000000", "until": "2026-11-20T11:06:41.000Z"}));
    assert_eq!(raised["window"]["remaining_usd"], "25.000000000");
    let other = json!({"usd": "1", "until": "2026-11-18T12:00:00Z"});
    assert_eq!(change(&gateway, Method::POST, &raise, other).await["window"]["remaining_usd"], "21.000000000");
    gateway.clock.advance(Duration::from_secs(3600));
    assert_eq!(get(&gateway, &path).await["raise"], Value::Null, "its time is over");
    change(&gateway, Method::POST, &raise, json!({"usd": "5", "until": "1h"})).await;
    assert_eq!(change(&gateway, Method::POST, &raise, json!({"usd": "0"})).await["raise"], Value::Null, "it is ended");

    let gone = change(&gateway, Method::DELETE, &path, Value::Null).await;
    assert_eq!(gone, json!({"id": id, "object": "budget", "deleted": true}));
    for (method, path, body) in [
        (Method::GET, &path, Value::Null),
        (Method::DELETE, &path, Value::Null),
        (Method::PATCH, &path, json!({"usd": "1"})),
        (Method::POST, &raise, json!({"usd": "1", "until": "1d"})),
    ] {
        refused(&gateway.admin(method, path, body).await, StatusCode::NOT_FOUND, "not_found");
    }
    assert_eq!(get(&gateway, BUDGETS).await["data"], json!([]));
}

async fn a_key_has_a_budget_of_its_own(db: Database) {
    let gateway = Setup::new(PLAIN).database(&db.url).clock(Clock::mock(EPOCH)).start().await;
    let budget = json!({"usd": "10.00", "period": "month"});
    let (id, _) = gateway.key(json!({"name": "app", "budget": budget, "organization_id": "acme"})).await;
    let path = format!("/admin/v1/keys/{id}");
    let shown = get(&gateway, &path).await;
    assert_eq!(shown["organization_id"], "acme");
    let expected = json!({"id": format!("bud_{id}"), "usd": "10.000000000", "period": "month", "time_zone": "UTC",
        "carry_over": false, "thresholds": [50, 80, 100], "spent_usd": "0.000000000", "reserved_usd": "0.000000000",
        "remaining_usd": "10.000000000", "resets_at": "2026-12-01T00:00:00.000Z"});
    assert_eq!(shown["budget"], expected);
    let (other, _) = gateway.key(json!({"name": "free"})).await;
    let listed = get(&gateway, "/admin/v1/keys").await;
    let budget_of =
        |id: &str| listed["data"].as_array().unwrap().iter().find(|k| k["id"] == id).unwrap()["budget"].clone();
    assert_eq!((budget_of(&id), budget_of(&other)), (expected, Value::Null));

    // It is a budget like the others, managed with the key.
    let as_budget = format!("{BUDGETS}/bud_{id}");
    let own = get(&gateway, &as_budget).await;
    assert_eq!((&own["origin"], &own["scope"], &own["subject"]), (&json!("key"), &json!("key"), &json!(id)));
    for (method, body) in [(Method::PATCH, json!({"usd": "1"})), (Method::DELETE, Value::Null)] {
        let reply = gateway.admin(method, &as_budget, body).await;
        refused(&reply, StatusCode::CONFLICT, "managed_elsewhere");
        assert!(reply.text().contains(&path), "it says where: {}", reply.text());
    }
    let raised =
        change(&gateway, Method::POST, &format!("{as_budget}/raise"), json!({"usd": "1", "until": "1d"})).await;
    assert_eq!(raised["window"]["remaining_usd"], "11.000000000");

    let patch = json!({"name": "renamed", "budget": {"usd": "20", "time_zone": "Asia/Tokyo"}});
    let changed = change(&gateway, Method::PATCH, &path, patch).await;
    assert_eq!((&changed["budget"]["usd"], &changed["budget"]["period"]), (&json!("20.000000000"), &json!("month")));
    assert_eq!(changed["budget"]["resets_at"], "2026-11-30T15:00:00.000Z");
    let own = get(&gateway, &as_budget).await;
    assert_eq!((&own["name"], &own["raise"]["usd"]), (&json!("renamed"), &json!("1.000000000")));
    change(&gateway, Method::PATCH, &path, json!({"organization_id": null})).await;
    assert_eq!(get(&gateway, &path).await["budget"]["usd"], "20.000000000", "what is absent stays");
    assert_eq!(get(&gateway, &path).await["organization_id"], Value::Null);

    assert_eq!(change(&gateway, Method::PATCH, &path, json!({"budget": null})).await["budget"], Value::Null);
    assert_eq!(gateway.admin(Method::GET, &as_budget, Value::Null).await.status, StatusCode::NOT_FOUND);
    let half = gateway.admin(Method::PATCH, &path, json!({"name": "half", "budget": {"usd": "1"}})).await;
    refused(&half, StatusCode::BAD_REQUEST, "invalid_value");
    assert!(half.text().contains("period"), "{}", half.text());
    assert_eq!(get(&gateway, &path).await["name"], "renamed", "all or nothing");
    let again = json!({"budget": {"usd": "3", "period": "total"}});
    let again = change(&gateway, Method::PATCH, &path, again).await;
    assert_eq!((&again["budget"]["usd"], &again["budget"]["resets_at"]), (&json!("3.000000000"), &Value::Null));
}

async fn how_far_a_budget_is_spent_is_shown(db: Database) {
    let clock = Clock::mock(EPOCH);
    let gateway = Setup::new(PLAIN).database(&db.url).clock(clock.clone()).start().await;
    let (key, _) = gateway.key(json!({"budget": {"usd": "10", "period": "day", "carry_over": true}})).await;
    // 2026-11-18, midnight of UTC.
    let start = EPOCH - 40_000_000;
    db.execute(&format!(
        "INSERT INTO budget_windows (budget_id, starts_at, ends_at, carried_nano, spent_nano, leased_nano, wanted_at) \
         VALUES ('bud_{key}', {start}, {}, 2000000000, 3500000001, 1000000000, 0)",
        start + 86_400_000
    ))
    .await;
    let path = format!("{BUDGETS}/bud_{key}");
    let window = json!({"starts_at": "2026-11-18T00:00:00.000Z", "ends_at": "2026-11-19T00:00:00.000Z",
        "spent_usd": "3.500000001", "reserved_usd": "1.000000000", "carried_usd": "2.000000000",
        "remaining_usd": "7.499999999", "runs_out_at": null});
    assert_eq!(get(&gateway, &path).await["window"], window);
    assert_eq!(get(&gateway, BUDGETS).await["data"][0]["window"], window);
    let with_key = get(&gateway, &format!("/admin/v1/keys/{key}")).await;
    assert_eq!(with_key["budget"]["spent_usd"], "3.500000001");
    assert_eq!(with_key["budget"]["reserved_usd"], "1.000000000");
    assert_eq!(with_key["budget"]["remaining_usd"], "7.499999999");

    // Less than is spent: nothing is left, and nothing is owed.
    let patch = json!({"budget": {"usd": "1"}});
    let lowered = change(&gateway, Method::PATCH, &format!("/admin/v1/keys/{key}"), patch).await;
    assert_eq!(lowered["budget"]["remaining_usd"], "0.000000000");
    // Taken away and given back, it knows what was spent.
    change(&gateway, Method::PATCH, &format!("/admin/v1/keys/{key}"), json!({"budget": null})).await;
    let back = json!({"budget": {"usd": "10", "period": "day"}});
    let back = change(&gateway, Method::PATCH, &format!("/admin/v1/keys/{key}"), back).await;
    assert_eq!(back["budget"]["remaining_usd"], "5.499999999", "nothing is carried over any more");

    clock.advance(Duration::from_millis(46_400_000 - 1));
    assert_eq!(get(&gateway, &path).await["window"]["spent_usd"], "3.500000001", "the last millisecond of the day");
    clock.advance(Duration::from_millis(1));
    let next = get(&gateway, &path).await["window"].clone();
    assert_eq!((&next["spent_usd"], &next["starts_at"]), (&json!("0.000000000"), &json!("2026-11-19T00:00:00.000Z")));
}

const DECLARED: &str = "\
keys:
  - name: ci
    key: any-text
    budget: { usd: \"5.00\", period: day, time_zone: Asia/Tokyo, carry_over: true, thresholds: [75] }
budgets:
  - { name: one, key: \"config:ci\", usd: \"1\", period: hour }
  - { name: two, user: u, usd: \"2\", period: day }
  - { name: three, team: t, usd: \"3\", period: week, time_zone: Africa/Cairo, carry_over: true, thresholds: [1, 99] }
  - { name: four, organization: o, usd: \"4\", period: month }
  - { name: five, provider: demo, usd: \"5\", period: total }
  - { name: six, model: demo/chat, usd: \"6\", period: day }
  - { name: seven, tag: \"app=x\", usd: \"7\", period: day }
";

async fn declared_budgets_are_those_of_the_database(db: Database) {
    let start = |yaml: &str| Setup::new(yaml).database(&db.url).clock(Clock::mock(EPOCH)).start();
    // Two replicas at once.
    let (gateway, other) = futures_util::future::join(Box::pin(start(DECLARED)), Box::pin(start(DECLARED))).await;
    let mut all = get(&gateway, BUDGETS).await["data"].as_array().unwrap().clone();
    assert_eq!(all.len(), 8);
    assert!(all.iter().all(|budget| budget["origin"] == "config"));
    all.sort_by_key(|budget| budget["usd"].to_string());
    let told = |budget: &Value| {
        ["id", "name", "scope", "subject", "period"].map(|name| budget[name].as_str().unwrap().to_owned()).join(" ")
    };
    let expected = [
        "config:one one key config:ci hour",
        "config:two two user u day",
        "config:three three team t week",
        "config:four four organization o month",
        "config:five five provider demo total",
        "config:key:ci ci key config:ci day",
        "config:six six model demo/chat day",
        "config:seven seven tag app=x day",
    ];
    let mut seen: Vec<String> = all.iter().map(told).collect();
    let mut wanted: Vec<String> = expected.iter().map(ToString::to_string).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted);
    for id in ["config:key:ci", "config:three"] {
        let full = get(&gateway, &format!("{BUDGETS}/{id}")).await;
        let (usd, zone, thresholds) = match id {
            "config:three" => ("3.000000000", "Africa/Cairo", json!([1, 99])),
            _ => ("5.000000000", "Asia/Tokyo", json!([75])),
        };
        assert_eq!((&full["usd"], &full["time_zone"]), (&json!(usd), &json!(zone)));
        assert_eq!((&full["carry_over"], &full["thresholds"]), (&json!(true), &thresholds));
    }

    // What the file says is changed in the file; more for a while is not the file's.
    let path = format!("{BUDGETS}/config:two");
    for (method, body) in [(Method::PATCH, json!({"usd": "1"})), (Method::DELETE, Value::Null)] {
        let reply = other.admin(method, &path, body).await;
        refused(&reply, StatusCode::CONFLICT, "managed_elsewhere");
        assert!(reply.text().contains("configuration"), "{}", reply.text());
    }
    change(&other, Method::POST, &format!("{path}/raise"), json!({"usd": "9", "until": "7d"})).await;
    create(&other, json!({"name": "api", "scope": "team", "subject": "t", "usd": "1", "period": "day"})).await;

    let fewer = "budgets: [{ name: two, user: u, usd: \"20\", period: day }]\n";
    let gateway = start(fewer).await;
    let all = get(&gateway, BUDGETS).await["data"].as_array().unwrap().clone();
    let mut ids: Vec<_> = all.iter().map(|budget| budget["name"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["api", "two"], "what is declared no longer has ended");
    let two = get(&gateway, &path).await;
    assert_eq!((&two["usd"], &two["raise"]["usd"]), (&json!("20.000000000"), &json!("9.000000000")));
}

#[tokio::test]
async fn a_database_that_is_away_at_the_start_delays_what_is_declared() {
    let url = fresh_database().await;
    let (user, rest) = url.split_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let mut proxy = Proxy::closed(host);
    let gateway = Setup::new(DECLARED).database(&format!("{user}@{}/{name}", proxy.addr)).start().await;
    let reply = gateway.admin(Method::GET, BUDGETS, Value::Null).await;
    refused(&reply, StatusCode::SERVICE_UNAVAILABLE, "database_unavailable");
    proxy.open().await;
    eventually("becoming ready", async || {
        let ready = gateway.request(Method::GET, "/health/ready", &[], "").await;
        (ready.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(get(&gateway, BUDGETS).await["data"].as_array().unwrap().len(), 8);
}

async fn budgets_are_listed_page_by_page(db: Database) {
    let gateway = Setup::new(PLAIN).database(&db.url).start().await;
    for i in 0..5 {
        let scope = if i < 3 { "team" } else { "user" };
        let body = json!({"name": format!("b{i}"), "scope": scope, "subject": "s s&", "usd": "1", "period": "day"});
        create(&gateway, body).await;
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = get(&gateway, &format!("{BUDGETS}?limit=2{cursor}")).await;
        assert_eq!(page["object"], "list");
        seen.extend(page["data"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["b0", "b1", "b2", "b3", "b4"]);
    for (query, count) in [
        ("scope=team", 3),
        ("scope=user&subject=s+s%26", 2),
        ("subject=s", 0),
        ("scope=tag", 0),
        ("subject=s%20s%26", 5),
    ] {
        let found = get(&gateway, &format!("{BUDGETS}?{query}")).await;
        assert_eq!(found["data"].as_array().unwrap().len(), count, "{query}");
    }
    for query in ["scope=teams", "limit=0", "limit=1001", "scopes=team"] {
        let reply = gateway.admin(Method::GET, &format!("{BUDGETS}?{query}"), Value::Null).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn fields_of_a_budget_are_checked_and_named() {
    let gateway = Setup::new(PLAIN).start().await;
    let with = |name: &str, value: Value| {
        let mut body = json!({"name": "b", "scope": "tag", "subject": "a=b", "usd": "1", "period": "day"});
        body[name] = value;
        body
    };
    for (name, value) in [
        ("name", json!("")),
        ("name", json!("a\nb")),
        ("name", json!(7)),
        ("scope", json!("teams")),
        ("subject", json!("no-equals")),
        ("subject", json!("")),
        ("usd", json!(1.5)),
        ("usd", json!("-1")),
        ("usd", json!("0.0000000001")),
        ("usd", json!("99999999999999999999")),
        ("usd", json!("9000000000")),
        ("period", json!("Day")),
        ("time_zone", json!("Berlin")),
        ("time_zone", json!("")),
        ("carry_over", json!("yes")),
        ("thresholds", json!([101])),
        ("thresholds", json!((1..=11).collect::<Vec<u8>>())),
    ] {
        let reply = gateway.admin(Method::POST, BUDGETS, with(name, value.clone())).await;
        refused(&reply, StatusCode::BAD_REQUEST, "invalid_value");
        assert_eq!(reply.json()["error"]["param"], name, "{value}: {}", reply.text());
    }
    for (name, value) in [("thresholds", json!([300])), ("thresholds", json!([1.5])), ("raise", json!({}))] {
        let reply = gateway.admin(Method::POST, BUDGETS, with(name, value)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.text().contains(name), "{}", reply.text());
    }
    let id = create(&gateway, with("name", json!("fine"))).await["id"].as_str().unwrap().to_owned();
    let path = format!("{BUDGETS}/{id}");
    for body in [json!({"scope": "team"}), json!({"subject": "c=d"}), json!({"origin": "config"}), json!({"usd": "x"})]
    {
        let reply = gateway.admin(Method::PATCH, &path, body.clone()).await;
        refused(&reply, StatusCode::BAD_REQUEST, "invalid_value");
    }
    for (body, param) in [
        (json!({"usd": "1"}), "until"),
        (json!({"usd": "1", "until": "soon"}), "until"),
        (json!({"usd": "1", "until": "2001-01-01T00:00:00Z"}), "until"),
        (json!({"usd": "1", "until": "0d"}), "until"),
        (json!({"usd": "-1", "until": "1d"}), "usd"),
    ] {
        let reply = gateway.admin(Method::POST, &format!("{path}/raise"), body.clone()).await;
        refused(&reply, StatusCode::BAD_REQUEST, "invalid_value");
        assert_eq!(reply.json()["error"]["param"], param, "{body}");
    }
    refused(
        &gateway.admin(Method::GET, &format!("{BUDGETS}/bud_no"), Value::Null).await,
        StatusCode::NOT_FOUND,
        "not_found",
    );
}

fn succeeds(said: &Said) {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
}

fn fails(said: &Said, code: i32, texts: &[&str]) {
    assert_eq!((said.code, said.out.as_str()), (code, ""), "{said:?}");
    assert!(texts.iter().all(|text| said.err.contains(text)), "{texts:?} in {said:?}");
}

/// The life of a budget and of a key's own: straight on the database or over HTTP.
fn a_life_by_command(home: &Home, way: &[&str]) {
    let budgets = |args: &[&str]| home.run(&[&["budgets"], args, way].concat());
    let create = ["create", "--name", "b", "--usd", "2.5", "--period", "week", "--json"];
    let made = budgets(
        &[&create[..], &["--tag", "app=a b&c", "--time-zone", "Asia/Tokyo", "--carry-over", "--thresholds", "90,10"]]
            .concat(),
    );
    succeeds(&made);
    let made = made.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["scope"], &made["subject"]), (&json!("tag"), &json!("app=a b&c")));
    assert_eq!((&made["usd"], &made["time_zone"]), (&json!("2.500000000"), &json!("Asia/Tokyo")));
    assert_eq!((&made["carry_over"], &made["thresholds"]), (&json!(true), &json!([10, 90])));
    let other = budgets(&[&create[..], &["--team", "t"]].concat()).json();
    assert_eq!((&other["scope"], &other["thresholds"]), (&json!("team"), &json!([50, 80, 100])));

    let found = budgets(&["list", "--tag", "app=a b&c", "--json"]).json();
    assert_eq!((found["data"].as_array().unwrap().len(), &found["data"][0]["id"]), (1, &json!(id)));
    let list = budgets(&["list"]);
    succeeds(&list);
    assert!(list.out.starts_with("id ") && list.out.contains(id) && list.out.contains("2.500000000"), "{list:?}");
    let raised = budgets(&["raise", id, "--usd", "1", "--until", "2d", "--json"]);
    succeeds(&raised);
    assert_eq!(raised.json()["window"]["remaining_usd"], "3.500000000");
    let shown = budgets(&["show", id]);
    assert!(
        shown.out.contains("window.remaining_usd   3.500000000\n") && shown.out.contains("raise.until"),
        "{shown:?}"
    );
    for id in [id, other["id"].as_str().unwrap()] {
        succeeds(&budgets(&["delete", id]));
        fails(&budgets(&["show", id]), 1, &[id]);
    }
    fails(&budgets(&create), 2, &["--key", "--tag"]);
    fails(&budgets(&[&create[..], &["--team", "t", "--user", "u"]].concat()), 2, &["--user"]);
    fails(&budgets(&["create", "--name", "b", "--usd", "x", "--period", "day", "--team", "t"]), 2, &["usd"]);
    fails(&budgets(&["create", "--name", "b", "--usd", "1", "--period", "year", "--team", "t"]), 2, &["period"]);
    fails(&budgets(&["raise", id, "--usd", "1"]), 2, &["until"]);

    let keys = |args: &[&str]| home.run(&[&["keys"], args, way].concat());
    let terms = ["--budget-usd", "10", "--period", "month", "--time-zone", "Africa/Cairo"];
    let key = keys(&[&["create", "--name", "k", "--organization", "acme", "--json"], &terms[..]].concat());
    succeeds(&key);
    let key = key.json();
    assert_eq!((&key["organization_id"], &key["budget"]["usd"]), (&json!("acme"), &json!("10.000000000")));
    assert_eq!(key["budget"]["time_zone"], "Africa/Cairo");
    let id = key["id"].as_str().unwrap();
    assert!(keys(&["show", id]).out.contains("10.000000000"));
    fails(&budgets(&["delete", &format!("bud_{id}")]), 1, &[id, "key"]);
    fails(&keys(&["create", "--name", "k", "--budget-usd", "1"]), 2, &["--period"]);
    fails(&keys(&["create", "--name", "k", "--budget-usd", "1", "--period", "year"]), 2, &["period"]);
}

#[tokio::test]
async fn budgets_are_managed_on_the_database_and_over_http() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-of-cli");
    a_life_by_command(&home, &[]);
    let gateway = home.serve(&["--listen", "127.0.0.1:0"]).await;
    a_life_by_command(&home, &["--url", &gateway.url()]);
}
