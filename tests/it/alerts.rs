//! Events on their way to webhooks and mail servers, through a whole gateway.

mod cli;
mod mail;
mod upstreams;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir::clock::Clock;
use weir::config::{Config, ConfigSource, Format, diff};
use weir::events::{self, Event};
use weir::money::NanoUsd;
use weir::store::outbox::{deliveries, put_now};
use weir::store::{Db, Options};

use crate::support::database::{Database, on_both};
use crate::support::gateway::{Gateway, Setup, eventually};
use crate::support::upstream::{Script, Seen, Upstream};

/// 2026-11-18T11:06:40Z
const EPOCH: i64 = 1_795_000_000_000;
/// Thirty-two letters in base64.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

on_both!(
    an_event_is_posted_signed_and_once,
    what_is_not_taken_is_tried_again_and_then_put_aside,
    two_replicas_tell_a_receiver_once,
    a_restart_goes_on_where_it_was,
    everything_since_a_moment_is_told_again,
    a_receiver_that_never_answers_holds_up_nobody,
    what_waits_for_another_try_is_bounded,
    another_gateway_takes_over_from_a_dead_one,
    events_and_receivers_are_listed,
);

fn hook(name: &str, url: &str, rest: &str) -> String {
    format!("  - {{ name: {name}, webhook: {{ url: \"{url}\", secret: \"{SECRET}\" }}{rest} }}\n")
}

fn event(key: &str) -> Event {
    events::price_unknown(EPOCH, "up", key, "req_1")
}

async fn put(gateway: &Gateway, events: &[Event]) {
    put_now(&gateway.app.gateway.db, events).await.unwrap();
}

async fn ok() -> Upstream {
    Upstream::scripted(vec![Script::json("{}")]).await
}

async fn seen(upstream: &Upstream, count: usize) -> Vec<Seen> {
    eventually(&format!("{count} deliveries"), async || Some(upstream.seen()).filter(|seen| seen.len() >= count)).await
}

/// The receiver of that name, as the admin API shows it.
async fn receiver(gateway: &Gateway, name: &str) -> Value {
    let list = gateway.admin(Method::GET, "/admin/v1/alerts", Value::Null).await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text());
    let found = list.json()["data"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("no {name} in {}", list.text()))
}

async fn until(gateway: &Gateway, name: &str, field: &str, value: u64) {
    eventually(&format!("{field} {value}"), async || (receiver(gateway, name).await[field] == value).then_some(()))
        .await;
}

fn id(seen: &Seen) -> String {
    seen.headers["webhook-id"].to_str().unwrap().to_owned()
}

/// Checks a signature with another implementation of HMAC than the gateway's.
fn check_signature(seen: &Seen) {
    let header = |name: &str| seen.headers[name].to_str().unwrap();
    let signed = [header("webhook-id"), ".", header("webhook-timestamp"), "."].concat().into_bytes();
    let signed = [signed.as_slice(), &seen.body].concat();
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    aws_lc_rs::hmac::verify(&key, &signed, &signature).expect("the signature is right");
}

async fn an_event_is_posted_signed_and_once(database: Database) {
    let upstream = ok().await;
    let url = format!("http://{}/hooks/s3cret?token=t0ken", upstream.addr);
    let yaml = format!(
        "alerts:\n  - name: ops\n    webhook: {{ url: \"{url}\", secret: \"${{SECRET}}\", headers: {{ x-team: money }} }}\n"
    );
    let setup = Setup::new(yaml).env("SECRET", SECRET).database(&database.url).clock(Clock::mock(EPOCH + 7_500));
    let gateway = setup.start().await;
    let settled = Event::new(events::USAGE_SETTLED, "1", EPOCH, &json!({"id": "req_1"}));
    put(&gateway, &[settled, event("m"), event("m")]).await;
    put(&gateway, &[event("m")]).await;
    seen(&upstream, 1).await;
    put(&gateway, &[event("n")]).await;
    let all = seen(&upstream, 2).await;
    until(&gateway, "ops", "delivered", 2).await;
    assert_eq!(upstream.seen().len(), 2, "each is told once, and usage.settled is not asked for");
    let first = &all[0];
    check_signature(first);
    let header = |name: &str| first.headers[name].to_str().unwrap().to_owned();
    assert_eq!((first.method.clone(), first.path.as_str()), (Method::POST, "/hooks/s3cret?token=t0ken"));
    assert_eq!(header("webhook-timestamp"), "1795000007");
    assert_eq!((header("content-type"), header("x-team")), ("application/json".into(), "money".into()));
    assert!(header("user-agent").starts_with("weir/"));
    let body = first.json();
    assert_eq!(body["id"], id(first));
    assert_eq!(body["type"], "price.unknown");
    assert_eq!(body["created_at"], "2026-11-18T11:06:40.000Z");
    assert_eq!(body["data"], json!({"provider": "up", "model": "m", "request_id": "req_1"}));
    let shown = receiver(&gateway, "ops").await;
    assert_eq!(shown["target"], format!("http://{}/***", upstream.addr));
    assert_eq!((&shown["pending"], &shown["dead"], &shown["last_error"]), (&json!(0), &json!(0), &Value::Null));
}

async fn what_is_not_taken_is_tried_again_and_then_put_aside(database: Database) {
    let clock = Clock::mock(EPOCH);
    let upstream = Upstream::start(|seen| match seen.json()["data"]["model"].as_str() {
        Some("gone") => Script::status(410, "{}"),
        Some("moved") => Script::status(302, "").header("location", "http://127.0.0.1:9/"),
        Some("bad") => Script::status(503, "try\r\nlater").header("retry-after", "60"),
        _ => Script::json("{}"),
    })
    .await;
    let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), ", retry: { attempts: 3 }"));
    let gateway = Setup::new(yaml).database(&database.url).clock(clock.clone()).start().await;
    let tries = |model: &str| upstream.seen().iter().filter(|seen| seen.json()["data"]["model"] == model).count();
    put(&gateway, &[event("bad")]).await;
    until(&gateway, "ops", "retrying", 1).await;
    // Others go on meanwhile, and the clock has not moved.
    put(&gateway, &[event("good")]).await;
    until(&gateway, "ops", "delivered", 1).await;
    assert_eq!(tries("bad"), 1);
    let shown = receiver(&gateway, "ops").await;
    assert_eq!(shown["last_error"], "it answered 503 Service Unavailable: try  later");
    for tried in 2..=3 {
        clock.advance(Duration::from_secs(59));
        put(&gateway, &[event(&format!("good{tried}"))]).await;
        until(&gateway, "ops", "delivered", tried).await;
        assert!(tries("bad") < usize::try_from(tried).unwrap(), "the receiver wanted a minute");
        clock.advance(Duration::from_secs(60));
        eventually("another try", async || (tries("bad") == usize::try_from(tried).unwrap()).then_some(())).await;
    }
    until(&gateway, "ops", "dead", 1).await;
    put(&gateway, &[event("gone")]).await;
    until(&gateway, "ops", "dead", 2).await;
    assert_eq!(tries("gone"), 1, "410 is an answer for good");
    put(&gateway, &[event("moved")]).await;
    until(&gateway, "ops", "retrying", 1).await;
    dead_letters_are_shown_and_sent_again(&gateway, &upstream).await;
}

async fn dead_letters_are_shown_and_sent_again(gateway: &Gateway, upstream: &Upstream) {
    let dead = gateway.admin(Method::GET, "/admin/v1/alerts/dead?sink=ops", Value::Null).await.json();
    let letters = dead["data"].as_array().unwrap();
    let of = |model: &str| letters.iter().find(|letter| letter["event"]["data"]["model"] == model).unwrap().clone();
    assert_eq!((letters.len(), &dead["has_more"]), (2, &json!(false)));
    let (bad, gone) = (of("bad"), of("gone"));
    assert_eq!((&bad["attempts"], &gone["attempts"]), (&json!(3), &json!(1)));
    assert_eq!(bad["last_error"], "it answered 503 Service Unavailable: try  later");
    let other = gateway.admin(Method::GET, "/admin/v1/alerts/dead?sink=other", Value::Null).await.json();
    assert_eq!(other["data"], json!([]));
    let before = upstream.seen().len();
    let path = format!("/admin/v1/alerts/dead/{}/replay", gone["id"].as_str().unwrap());
    let replayed = gateway.admin(Method::POST, &path, Value::Null).await;
    assert_eq!((replayed.status, &replayed.json()["sink"]), (StatusCode::OK, &json!("ops")));
    let again = seen(upstream, before + 1).await;
    assert_eq!(id(again.last().unwrap()), gone["event"]["id"].as_str().unwrap(), "with the id it had");
    until(gateway, "ops", "dead", 2).await;
    // It is pending or dead again; what is not dead cannot be replayed.
    let missing = gateway.admin(Method::POST, "/admin/v1/alerts/dead/dlv_0/replay", Value::Null).await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "not_found".into()));
}

async fn two_replicas_tell_a_receiver_once(database: Database) {
    let upstream = ok().await;
    let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), ""));
    let start = async || Setup::new(yaml.clone()).database(&database.url).start().await;
    let (one, two) = tokio::join!(start(), start());
    for batch in 0..20 {
        let events: Vec<Event> = (0..10).map(|n| event(&format!("m{batch}-{n}"))).collect();
        put(if batch % 2 == 0 { &one } else { &two }, &events).await;
    }
    seen(&upstream, 200).await;
    until(&two, "ops", "delivered", 200).await;
    one.app.stop(std::future::ready(())).await;
    put(&two, &[event("last")]).await;
    until(&two, "ops", "delivered", 201).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    upstream.seen().iter().for_each(|seen| *times.entry(id(seen)).or_default() += 1);
    assert_eq!(times.len(), 201);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

async fn a_restart_goes_on_where_it_was(database: Database) {
    let upstream = ok().await;
    let down = Upstream::scripted(vec![Script::status(500, "")]).await;
    let setup = |url: &str| {
        let yaml = format!("alerts:\n{}", hook("ops", url, ", retry: { backoff: 1ms }"));
        Setup::new(yaml).database(&database.url)
    };
    let gateway = setup(&down.url()).start().await;
    put(&gateway, &[event("a"), event("b")]).await;
    until(&gateway, "ops", "pending", 2).await;
    seen(&down, 2).await;
    gateway.app.stop(std::future::ready(())).await;
    let db = Db::open(&database.url, &Options::default()).unwrap();
    put_now(&db, &[event("c")]).await.unwrap();
    db.close().await;
    let gateway = setup(&upstream.url()).start().await;
    until(&gateway, "ops", "delivered", 3).await;
    let models: Vec<Value> = upstream.seen().iter().map(|seen| seen.json()["data"]["model"].clone()).collect();
    assert_eq!(models.len(), 3, "{models:?}");
}

async fn everything_since_a_moment_is_told_again(database: Database) {
    let upstream = ok().await;
    let yaml = format!(
        "alerts:\n{}{}",
        hook("ops", &upstream.url(), ", events: [\"price.*\"]"),
        hook("other", &upstream.url(), ", events: [\"report.ready\"]")
    );
    let gateway = Setup::new(yaml).database(&database.url).start().await;
    let at = |n: i64| Event { at: EPOCH + n * 60_000, ..event(&format!("m{n}")) };
    put(&gateway, &[at(0), at(1), at(2)]).await;
    until(&gateway, "ops", "delivered", 3).await;
    let replay = async |body: Value| gateway.admin(Method::POST, "/admin/v1/alerts/replay", body).await;
    let done = replay(json!({"sink": "ops", "since": "2026-11-18T11:07:40Z"})).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    until(&gateway, "ops", "delivered", 5).await;
    let again: Vec<String> = upstream.seen().iter().map(id).collect();
    assert_eq!(again[3..].iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
    assert!(again[3..].iter().all(|id| again[..3].contains(id)), "with the ids they had");
    let nobody = replay(json!({"sink": "nobody", "since": "2026-11-18T11:07:40Z"})).await;
    assert_eq!((nobody.status, nobody.code()), (StatusCode::NOT_FOUND, "not_found".into()));
    let when = replay(json!({"sink": "ops", "since": "yesterday"})).await;
    assert_eq!(when.status, StatusCode::BAD_REQUEST);
    assert_eq!(replay(json!({"sink": "ops"})).await.status, StatusCode::BAD_REQUEST);
}

async fn a_receiver_that_never_answers_holds_up_nobody(database: Database) {
    let (upstream, hangs) = (ok().await, Upstream::start(|_| Script::json("").delayed(Duration::from_secs(600))).await);
    let yaml = format!(
        "providers: {{ demo: {{}} }}\nalerts:\n{}{}",
        hook("dead", &hangs.url(), ""),
        hook("ops", &upstream.url(), "")
    );
    let gateway = Setup::new(yaml).database(&database.url).start().await;
    let key = gateway.plain_key().await;
    put(&gateway, &(0..40).map(|n| event(&format!("m{n}"))).collect::<Vec<_>>()).await;
    until(&gateway, "ops", "delivered", 40).await;
    let body = json!({"model": "demo/chat", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.post(&key, "/v1/chat/completions", body).await.status, StatusCode::OK);
    assert_eq!(receiver(&gateway, "dead").await["delivered"], 0);
    until(&gateway, "dead", "pending", 40).await;
    // The stop does not wait for it for long, and what it was not told it is told later.
    gateway.app.stop(std::future::ready(())).await;
    let yaml = format!("alerts:\n{}{}", hook("dead", &upstream.url(), ""), hook("ops", &upstream.url(), ""));
    let gateway = Setup::new(yaml).database(&database.url).start().await;
    until(&gateway, "dead", "delivered", 40).await;
    assert_eq!(receiver(&gateway, "ops").await["delivered"], 40);
}

async fn what_waits_for_another_try_is_bounded(database: Database) {
    let clock = Clock::mock(EPOCH);
    let fails = Upstream::scripted(vec![Script::status(500, "").header("retry-after", "3600")]).await;
    let yaml = format!("alerts:\n{}", hook("ops", &fails.url(), ", retry: { attempts: 2 }"));
    let gateway = Setup::new(yaml).clock(clock.clone()).database(&database.url).start().await;
    put(&gateway, &(0..300).map(|n| event(&format!("m{n}"))).collect::<Vec<_>>()).await;
    until(&gateway, "ops", "retrying", 256).await;
    assert_eq!(receiver(&gateway, "ops").await["pending"], 300);
    assert_eq!(fails.seen().len(), 256, "the others wait in the outbox and lose no tries");
    clock.advance(Duration::from_secs(3600));
    until(&gateway, "ops", "dead", 256).await;
    until(&gateway, "ops", "retrying", 44).await;
}

async fn another_gateway_takes_over_from_a_dead_one(database: Database) {
    let clock = Clock::mock(EPOCH);
    let upstream = ok().await;
    let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), ""));
    let gateway = Setup::new(yaml).clock(clock.clone()).database(&database.url).start().await;
    let db = &gateway.app.gateway.db;
    eventually("the receiver's place", async || {
        deliveries::claim(db, "ops", "a dead gateway", EPOCH, EPOCH + 120_000).await.unwrap()
    })
    .await;
    put(&gateway, &[event("m")]).await;
    until(&gateway, "ops", "pending", 1).await;
    clock.advance(Duration::from_secs(119));
    assert_eq!(upstream.seen().len(), 0);
    clock.advance(Duration::from_secs(1));
    until(&gateway, "ops", "delivered", 1).await;
}

async fn events_and_receivers_are_listed(database: Database) {
    let upstream = Upstream::scripted(vec![Script::json("{}"), Script::status(500, "")]).await;
    let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), ", events: [\"report.*\", \"ledger.*\"]"));
    let gateway = Setup::new(yaml).database(&database.url).clock(Clock::mock(EPOCH)).start().await;
    let get = async |path: &str| gateway.admin(Method::GET, path, Value::Null).await;
    let shown = receiver(&gateway, "ops").await;
    assert_eq!(shown["events"], json!(["ledger.mismatch", "report.ready"]));
    assert_eq!((&shown["kind"], &shown["configured"]), (&json!("webhook"), &json!(true)));
    let mismatch = events::ledger_mismatch(EPOCH + 1, "rows against hours", NanoUsd(5), NanoUsd(3));
    put(&gateway, &[event("a"), event("b"), mismatch]).await;
    let page = get("/admin/v1/alerts/events?limit=2").await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (2, &json!(true)));
    assert_eq!(
        page["data"][0]["data"],
        json!({"what": "rows against hours", "expected_usd": "0.000000005", "found_usd": "0.000000003",
            "difference_usd": "-0.000000002"})
    );
    let next = format!("/admin/v1/alerts/events?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let next = get(&next).await.json();
    assert_eq!((next["data"].as_array().unwrap().len(), &next["next_cursor"]), (1, &Value::Null));
    let of_kind = get("/admin/v1/alerts/events?kind=price.unknown").await.json();
    assert_eq!(of_kind["data"].as_array().unwrap().len(), 2);
    let late = get("/admin/v1/alerts/events?since=2026-11-18T11:06:40.001Z").await.json();
    assert_eq!(late["data"].as_array().unwrap().len(), 1);
    for bad in ["events?kind=nothing", "events?since=now", "events?limit=0", "dead?limit=5000"] {
        let reply = get(&format!("/admin/v1/alerts/{bad}")).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::BAD_REQUEST, "invalid_value".into()), "{bad}");
    }
    until(&gateway, "ops", "delivered", 1).await;
    let test = gateway.admin(Method::POST, "/admin/v1/alerts/ops/test", Value::Null).await.json();
    assert_eq!((&test["delivered"], &test["error"]), (&json!(false), &json!("it answered 500 Internal Server Error")));
    let nobody = gateway.admin(Method::POST, "/admin/v1/alerts/nobody/test", Value::Null).await;
    assert_eq!((nobody.status, nobody.code()), (StatusCode::NOT_FOUND, "not_found".into()));
}

#[tokio::test]
async fn a_test_is_told_at_once_and_is_no_event() {
    let upstream = ok().await;
    let gateway = Setup::new(format!("alerts:\n{}", hook("ops", &upstream.url(), ""))).start().await;
    let test = gateway.admin(Method::POST, "/admin/v1/alerts/ops/test", Value::Null).await.json();
    assert_eq!((&test["delivered"], &test["error"]), (&json!(true), &Value::Null));
    let seen = upstream.only();
    check_signature(&seen);
    assert_eq!((&seen.json()["type"], &seen.json()["data"]["sink"]), (&json!("alert.test"), &json!("ops")));
    assert_eq!(test["event_id"], seen.json()["id"]);
    let events = gateway.admin(Method::GET, "/admin/v1/alerts/events", Value::Null).await.json();
    assert_eq!(events["data"], json!([]));
}

/// The clock stands still: only waits of no time at all pass.
#[tokio::test]
async fn waits_are_as_long_as_configured() {
    for (tries, retry) in [(2, "attempts: 2, backoff: 1ms"), (4, "attempts: 4, backoff: 1h, max_backoff: 1ms")] {
        let upstream = Upstream::scripted(vec![Script::status(500, "")]).await;
        let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), &format!(", retry: {{ {retry} }}")));
        let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
        put(&gateway, &[event("m")]).await;
        until(&gateway, "ops", "dead", 1).await;
        assert_eq!(upstream.seen().len(), tries, "{retry}");
    }
}

#[tokio::test]
async fn deliveries_are_counted() {
    let upstream = Upstream::start(|seen| match seen.json()["data"]["model"].as_str() {
        Some("gone") => Script::status(410, "{}"),
        Some("bad") => Script::status(500, "{}"),
        _ => Script::json("{}"),
    })
    .await;
    let yaml = format!("alerts:\n{}", hook("ops", &upstream.url(), ", retry: { backoff: 1h }"));
    let gateway = Setup::new(yaml).clock(Clock::mock(EPOCH)).start().await;
    put(&gateway, &[event("good"), event("gone"), event("bad")]).await;
    until(&gateway, "ops", "dead", 1).await;
    let expected = [
        "weir_alert_deliveries_total{outcome=\"dead\",sink=\"ops\"} 1",
        "weir_alert_deliveries_total{outcome=\"delivered\",sink=\"ops\"} 1",
        "weir_alert_deliveries_total{outcome=\"failed\",sink=\"ops\"} 1",
        "weir_alerts_pending{sink=\"ops\"} 1",
    ];
    eventually("the counts", async || {
        let text = gateway.request(Method::GET, "/metrics", &[], "").await.text();
        expected.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

/// What a configuration of one receiver has wrong, if anything.
fn faults(alert: &str) -> String {
    let text = format!("alerts:\n  - {alert}\n");
    let source = ConfigSource::Text { name: "a.yaml".into(), text, format: Format::Yaml };
    let outcome = Config::load(&source, &|_| None, &weir::cli::known());
    outcome.map_or_else(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect(), |_| String::new())
}

#[test]
fn plain_text_leaves_the_machine_only_where_that_is_said() {
    let hook = |url: &str, rest: &str| {
        faults(&format!("{{ name: a, webhook: {{ url: \"{url}\", secret: \"{SECRET}\"{rest} }} }}"))
    };
    for fine in ["https://hooks.example.com/x", "http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:80/x"] {
        assert_eq!(hook(fine, ""), "", "{fine}");
    }
    assert!(hook("http://hooks.internal/x", "").contains("allow_http: true"));
    assert_eq!(hook("http://hooks.internal/x", ", allow_http: true"), "");
    let mail =
        |smtp: &str| faults(&format!("{{ name: a, email: {{ smtp: {{ {smtp} }}, from: a@b.c, to: [d@e.f] }} }}"));
    assert_eq!(mail("host: mail.example.com"), "");
    assert_eq!(mail("host: localhost, tls: none"), "");
    assert!(mail("host: mail.example.com, tls: none").contains("allow_plaintext: true"));
    assert_eq!(mail("host: mail.example.com, tls: none, allow_plaintext: true"), "");
}

#[test]
fn what_is_wrong_with_a_receiver_is_told() {
    let hook = format!("webhook: {{ url: \"https://h/x\", secret: \"{SECRET}\" }}");
    let mail = "email: { smtp: { host: m }, from: a@b.c, to: [d@e.f] }";
    let check = |alert: &str, told: &str| {
        let faults = faults(alert);
        assert!(faults.contains(told) && faults.lines().count() == 1, "{alert}: {faults}");
    };
    check("{ name: a }", "either `webhook` or `email`");
    check(&format!("{{ name: a, {hook}, {mail} }}"), "either `webhook` or `email`");
    check(&format!("{{ {hook} }}"), "the key `name` is missing");
    check(&format!("{{ name: \"a b\", {hook} }}"), "1 to 64 ASCII letters");
    check(&format!("{{ name: a, {hook}, events: [\"budgets.*\"] }}"), "matches no event; there are budget.threshold");
    check(&format!("{{ name: a, {mail}, events: [\"usage.*\"] }}"), "goes to webhooks only");
    check("{ name: a, webhook: { url: \"https://h/x\", secret: short } }", "openssl rand -base64 32");
    check(
        "{ name: a, webhook: { url: \"ftp://h/x\", secret: \"${X:-whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}\" } }",
        "https://host/path",
    );
    check(
        &format!("{{ name: a, webhook: {{ url: \"https://u:p@h/\", secret: \"{SECRET}\" }} }}"),
        "must not hold credentials",
    );
    check(
        &format!(
            "{{ name: a, webhook: {{ url: \"https://h/\", secret: \"{SECRET}\", headers: {{ webhook-id: x }} }} }}"
        ),
        "the gateway writes this header itself",
    );
    check("{ name: a, email: { smtp: { host: m, username: u }, from: a@b.c, to: [d@e.f] } }", "go together");
    check("{ name: a, email: { smtp: { host: m }, from: a@b.c, to: [] } }", "1 to 20 recipients");
    check("{ name: a, email: { smtp: { host: m }, from: \"A <a@b.c>\", to: [d@e.f] } }", "ops@example.com");
    check(&format!("{{ name: a, {hook}, retry: {{ attempts: 0 }} }}"), "at least 1");
    check(&format!("{{ name: a, {hook} }}\n  - {{ name: a, {hook} }}"), "another receiver is called `a` already");
}

#[test]
fn a_changed_secret_is_told_and_not_shown() {
    let load = |path: &str, secret: &str| {
        let text =
            format!("alerts:\n  - {{ name: ops, webhook: {{ url: \"https://h/{path}\", secret: \"{secret}\" }} }}\n");
        let source = ConfigSource::Text { name: "a.yaml".into(), text, format: Format::Yaml };
        Config::load(&source, &|_| None, &weir::cli::known()).unwrap()
    };
    let other = "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2";
    let changes: Vec<String> =
        diff(&load("one", SECRET), &load("two", other)).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "alerts.ops.webhook.secret: \"***\" -> \"***\" (changed)",
            "alerts.ops.webhook.url: \"https://h/***\" -> \"https://h/***\" (changed)"
        ]
    );
}
