//! What usage comes to, on both databases: costs over time, exports, receipts, scheduled reports,
//! providers' invoices.

mod recommend;

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};
use weir::clock::Clock;
use weir::money::NanoUsd;
use weir::record::{Status, UsageRow};
use weir::store::usage::insert_batch;
use weir::store::{Db, Options};

use crate::store::{NOW, random_rows, usage_row};
use crate::support::binary::Home;
use crate::support::database::{Database, on_both};
use crate::support::gateway::{ADMIN, Gateway, Setup};

on_both!(
    a_series_adds_up_to_what_the_rows_say,
    buckets_are_hours_days_and_months_of_the_zone,
    the_dearest_groups_stand_for_themselves_and_the_rest_together,
    savings_failures_and_forecast_are_those_of_the_rows,
    parquet_is_the_rows,
    a_receipt_is_the_row_and_its_signature_holds,
    a_receipts_key_is_made_once_and_may_be_configured,
    a_report_is_made_once_for_each_period,
    what_a_pause_missed_is_made_up_for,
    an_invoice_is_compared_by_day_and_model,
    anthropics_files_are_read_as_well,
    a_file_that_is_not_understood_is_refused_whole,
);

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A gateway over a database that has these rows, at [`NOW`].
async fn with_rows(db: &Database, yaml: &str, rows: &[UsageRow]) -> Gateway {
    let gateway = Setup::new(yaml).database(&db.url).clock(Clock::mock(NOW)).start().await;
    let store = Db::open(&db.url, &Options::default()).unwrap();
    for batch in rows.chunks(500) {
        insert_batch(&store, batch).await.unwrap();
    }
    store.close().await;
    gateway
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.get(ADMIN, path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

fn nano(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse::<NanoUsd>().ok()).unwrap_or_else(|| panic!("an amount: {value}")).0
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}"))
}

fn cost(row: &UsageRow) -> i64 {
    row.cost.map_or(0, |cost| cost.0)
}

/// The sum of a line of a series.
fn sum(line: &Value) -> i64 {
    list(&line["cost_usd"]).iter().map(nano).sum()
}

async fn a_series_adds_up_to_what_the_rows_say(db: Database) {
    let rows = random_rows(1, 800);
    let gateway = with_rows(&db, "", &rows).await;
    let (from, to) = (NOW - 30 * DAY + 12_345, NOW - DAY + 54_321);
    let text = |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let range = format!("from={}&to={}", text(from), text(to));
    let within: Vec<&UsageRow> = rows.iter().filter(|row| (from..to).contains(&row.at)).collect();
    for (bucket, zone) in [
        ("hour", "UTC"),
        ("day", "UTC"),
        ("day", "Europe/Berlin"),
        ("day", "America/New_York"),
        ("month", "Asia/Tokyo"),
    ] {
        let path = format!("/admin/v1/costs?{range}&bucket={bucket}&time_zone={zone}&group_by=model,provider&top=3");
        let told = get(&gateway, &path).await;
        let all: i64 = within.iter().map(|row| cost(row)).sum();
        assert_eq!(nano(&told["totals"]["cost_usd"]), all, "{path}");
        assert_eq!(told["totals"]["requests"], within.len());
        assert_eq!(list(&told["series"]).iter().map(sum).sum::<i64>(), all, "{path}");
        for (i, cut) in list(&told["buckets"]).iter().enumerate() {
            let [start, end] = ["start", "end"]
                .map(|name| cut[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond());
            let expected: i64 = within.iter().filter(|row| (start..end).contains(&row.at)).map(|row| cost(row)).sum();
            let found: i64 = list(&told["series"]).iter().map(|line| nano(&line["cost_usd"][i])).sum();
            assert_eq!(found, expected, "{path}: {cut}");
        }
    }
}

async fn buckets_are_hours_days_and_months_of_the_zone(db: Database) {
    let gateway = with_rows(&db, "", &[usage_row("a", NOW)]).await;
    let told = get(&gateway, "/admin/v1/costs?from=2026-10-24&to=2026-10-27&time_zone=Europe/Berlin").await;
    let starts: Vec<&str> = list(&told["buckets"]).iter().map(|cut| cut["start"].as_str().unwrap()).collect();
    // The day on which the clocks go back has 25 hours; the range begins at midnight of UTC.
    let expected = [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
        "2026-10-27T00:00:00+01:00",
    ];
    assert_eq!(starts, expected);
    let told = get(&gateway, "/admin/v1/costs?from=2026-09-15&to=2026-12-01&bucket=month").await;
    let starts: Vec<&str> = list(&told["buckets"]).iter().map(|cut| cut["start"].as_str().unwrap()).collect();
    assert_eq!(starts, ["2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]);
    assert_eq!(told["series"][0]["cost_usd"], json!(["0.000000000", "0.000000000", "0.000150000"]), "zeros are filled");
    let defaults = get(&gateway, "/admin/v1/costs").await;
    assert_eq!((&defaults["bucket"], &defaults["time_zone"]), (&json!("day"), &json!("UTC")));
    assert_eq!(defaults["group_by"], json!(["model"]));
    assert_eq!(list(&defaults["buckets"]).len(), 31);
    for (query, param) in [
        ("bucket=week", "bucket"),
        ("bucket=hour&from=2026-01-01", "bucket"),
        ("from=2026-12-01", "from"),
        ("time_zone=Asia/Kolkata", "time_zone"),
        ("time_zone=Mars", "time_zone"),
        ("top=0", "top"),
        ("top=51", "top"),
        ("group_by=day", "group_by"),
        ("group_by=key,team,user,model", "group_by"),
        ("group_by=tag&from=2026-01-01", "from"),
        ("tag=a&from=2026-01-01", "from"),
        ("colour=red", "colour"),
    ] {
        let reply = gateway.get(ADMIN, &format!("/admin/v1/costs?{query}")).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["param"]),
            (StatusCode::BAD_REQUEST, &json!(param)),
            "{query}"
        );
    }
    // Hours do not mind where a zone's days begin, but the forecast's days do.
    let hours = get(&gateway, "/admin/v1/costs?bucket=hour&from=2d&time_zone=Asia/Kolkata").await;
    assert_eq!((&hours["forecast"], list(&hours["buckets"]).len()), (&Value::Null, 49));
    assert!(hours["buckets"][0]["start"].as_str().unwrap().ends_with(":30:00+05:30"), "{}", hours["buckets"][0]);
}

async fn the_dearest_groups_stand_for_themselves_and_the_rest_together(db: Database) {
    let rows = random_rows(2, 600);
    let gateway = with_rows(&db, "", &rows).await;
    let told = get(&gateway, "/admin/v1/costs?from=60d&group_by=key,user&top=4").await;
    let mut by_hand: BTreeMap<(Option<&str>, Option<&str>), i64> = BTreeMap::new();
    for row in &rows {
        *by_hand.entry((row.key_id.as_deref(), row.user_id.as_deref())).or_default() += cost(row);
    }
    let mut dearest: Vec<_> = by_hand.into_iter().collect();
    dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    let (top, series) = (list(&told["top"]), list(&told["series"]));
    assert_eq!((top.len(), series.len()), (4, 5));
    for (((key, user), cost), (one, line)) in dearest.iter().zip(top.iter().zip(series)) {
        assert_eq!((one["key"].as_str(), one["user"].as_str(), nano(&one["cost_usd"])), (*key, *user, *cost));
        assert_eq!((line["group"]["key"].as_str(), sum(line), &line["other"]), (*key, *cost, &json!(false)));
    }
    let rest: i64 = dearest[4..].iter().map(|(_, cost)| cost).sum();
    assert_eq!((sum(&series[4]), &series[4]["group"], &series[4]["other"]), (rest, &Value::Null, &json!(true)));
    // Tags come from rows, and a row with two is in both groups.
    let tags = get(&gateway, "/admin/v1/costs?from=60d&group_by=tag").await;
    let web: i64 = rows.iter().filter(|row| row.tags.contains(&("app".into(), "web".into()))).map(cost).sum();
    let found = list(&tags["top"]).iter().find(|one| one["tag"] == "app=web").unwrap();
    assert_eq!(nano(&found["cost_usd"]), web);
    let filtered = get(&gateway, "/admin/v1/costs?from=60d&tag=app=web&group_by=").await;
    assert_eq!(nano(&filtered["totals"]["cost_usd"]), web);
    let only = get(&gateway, "/admin/v1/costs?from=60d&user=ann&status=ok&group_by=user").await;
    assert_eq!(list(&only["top"]).len(), 1);
    assert_eq!((&only["top"][0]["user"], &only["top"][0]["share_percent"]), (&json!("ann"), &json!("100.00")));
}

async fn savings_failures_and_forecast_are_those_of_the_rows(db: Database) {
    let yaml = "providers:\n  up: { kind: openai-compatible, base_url: \"http://127.0.0.1:9\", api_key: k, default: true }\n\
                models:\n  fast: up/priced\n  both: { targets: [{ provider: up, model: priced }, { provider: up, model: other }] }\n\
                prices:\n  up/priced: { input: \"1.00\", output: \"2.00\", cache_read: \"0.10\" }\n";
    let mut rows = Vec::new();
    let mut add = |model: &str, cached: u64, status: Status, cost: i64, before: i64| {
        let mut row = usage_row(&format!("r{}", rows.len()), NOW - before);
        row.model = Some(model.to_owned());
        row.provider = Some("up".to_owned());
        row.usage.input = cached + 1;
        row.usage.cached = cached;
        row.status = status;
        row.cost = Some(NanoUsd(cost));
        rows.push(row);
    };
    add("up/priced", 1_000_000, Status::Ok, 100, HOUR);
    add("fast", 7, Status::Ok, 100, 2 * HOUR);
    add("both", 11, Status::Timeout, 30, 3 * HOUR);
    add("up/unheard-of", 13, Status::Cancelled, 5, 4 * HOUR);
    // Every day of four weeks before cost 1,000.
    for day in 1..=28 {
        add("up/priced", 0, Status::Ok, 1_000, day * DAY);
    }
    let gateway = with_rows(&db, yaml, &rows).await;
    let told = get(&gateway, "/admin/v1/costs?from=1d&to=2027-01-01").await;
    let savings = &told["cached_savings"];
    assert_eq!(savings["saved_usd"], "0.900006300", "{savings}");
    assert_eq!((&savings["cached_tokens"], &savings["not_priced_cached_tokens"]), (&json!(1_000_007), &json!(24)));
    let not: Vec<&str> = list(&savings["not_priced"]).iter().map(|one| one["model"].as_str().unwrap()).collect();
    assert_eq!(not.len(), 2, "{savings}");
    assert!(not.contains(&"both") && not.contains(&"up/unheard-of"), "{not:?}");
    assert_eq!((&told["failed"]["cost_usd"], &told["failed"]["requests"]), (&json!("0.000000035"), &json!(2)));
    assert_eq!(told["failed"]["by_status"][0], json!({"status": "timeout", "requests": 1, "cost_usd": "0.000000030"}));
    // 21 November, 10:30: 20 days of 1,000 and today's 235; 13.5 hours of today and nine days are left.
    let expected = json!({"method": "weekday_average", "month_start": "2026-11-01T00:00:00Z",
        "month_end": "2026-12-01T00:00:00Z", "month_to_date_usd": "0.000020235", "expected_rest_usd": "0.000009562",
        "month_end_usd": "0.000029797", "history_days": 28});
    assert_eq!(told["forecast"], expected);
    let mine = get(&gateway, "/admin/v1/costs?model=fast").await;
    assert_eq!(mine["forecast"]["method"], "linear");
}

async fn parquet_is_the_rows(db: Database) {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let mut rows = random_rows(3, 2_500);
    rows[0].warnings = vec!["left out".to_owned()];
    rows[0].usage.cache_write_1h = 9;
    let gateway = with_rows(&db, "", &rows).await;
    let reply = gateway.get(ADMIN, "/v1/usage?format=parquet").await;
    assert_eq!(reply.header("content-type"), Some("application/vnd.apache.parquet"));
    let reader = SerializedFileReader::new(reply.body.clone()).unwrap();
    let read: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let lines = gateway.get(ADMIN, "/v1/usage?format=ndjson").await.text();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((read.len(), lines.len()), (2_500, 2_500));
    for (row, line) in read.iter().zip(&lines) {
        for (name, field) in row.get_column_iter() {
            assert_eq!(plain(field), expected(name, &line[name.as_str()]), "{name}");
        }
    }
    // Columns and members are the same, but for token classes of which there are none.
    let columns: Vec<&str> = read[0].get_column_iter().map(|(name, _)| name.as_str()).collect();
    for name in lines[0].as_object().unwrap().keys() {
        assert!(columns.contains(&name.as_str()), "{name} is a column");
    }
    let csv = gateway.get(ADMIN, "/v1/usage?format=csv&limit=1").await.text();
    assert_eq!(csv.lines().next().unwrap(), columns.join(","), "the order is that of the CSV");
    let some = gateway.get(ADMIN, "/admin/v1/usage?format=parquet&status=ok&key_id=key_a").await;
    let reader = SerializedFileReader::new(some.body).unwrap();
    let count = rows.iter().filter(|row| row.status == Status::Ok && row.key_id.as_deref() == Some("key_a")).count();
    assert_eq!(reader.get_row_iter(None).unwrap().count(), count);
    let none = gateway.get(ADMIN, "/v1/usage?format=parquet&key_id=nobody").await;
    assert_eq!(SerializedFileReader::new(none.body).unwrap().get_row_iter(None).unwrap().count(), 0);
    let totals = gateway.get(ADMIN, "/v1/usage?format=parquet&group_by=model").await;
    assert_eq!((totals.status, &totals.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("format")));
}

/// A Parquet cell as text.
fn plain(field: &parquet::record::Field) -> String {
    use parquet::record::Field;
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => bytes.as_utf8().unwrap().to_owned(),
        Field::TimestampMillis(at) => weir::record::rfc3339(*at),
        other => other.to_string(),
    }
}

/// The same cell of a JSON row.
fn expected(name: &str, value: &Value) -> String {
    match value {
        // A token class of which there are none is left out of JSON.
        Value::Null
            if name.ends_with("_tokens")
                || matches!(name, "audio_ms" | "characters" | "web_searches" | "images" | "search_units") =>
        {
            "0".to_owned()
        }
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn chat() -> Value {
    json!({"model": "demo/chat", "messages": [{"role": "user", "content": "hi"}]})
}

async fn call(gateway: &Gateway, key: &str, id: &str) {
    let headers = [("x-api-key", key), ("x-request-id", id)];
    let reply = gateway.request(http::Method::POST, "/v1/chat/completions", &headers, chat().to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

async fn a_receipt_is_the_row_and_its_signature_holds(db: Database) {
    let gateway = Setup::new("").database(&db.url).clock(Clock::mock(NOW)).start().await;
    let (a, b) = (gateway.plain_key().await, gateway.plain_key().await);
    call(&gateway, &a, "req-of-a").await;
    let receipt = gateway.get(&a, "/v1/usage/req-of-a").await.json();
    let jwk = gateway.get(&a, "/v1/usage/receipts/key").await.json();
    assert_eq!(weir::reports::receipt::verify(&receipt, &jwk).as_deref(), Ok(jwk["kid"].as_str().unwrap()));
    let mut row = receipt.clone();
    let told = row.as_object_mut().unwrap().shift_remove("receipt").unwrap();
    assert_eq!(row, gateway.only_row().await, "the row as a list gives it");
    assert_eq!((&told["version"], &told["algorithm"]), (&json!(1), &json!("Ed25519")));
    assert_eq!((&told["issued_at"], &told["key_id"]), (&json!("2026-11-21T10:30:00.000Z"), &jwk["kid"]));
    let mut forged = receipt.clone();
    forged["output_tokens"] = json!(0);
    assert!(weir::reports::receipt::verify(&forged, &jwk).is_err());
    // Another key's request is as unknown as one that never was.
    for (key, path) in [(&b, "/v1/usage/req-of-a"), (&a, "/v1/usage/req-of-nobody")] {
        let reply = gateway.get(key, path).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::NOT_FOUND, "request_not_found"));
    }
    assert_eq!(gateway.get(ADMIN, "/v1/usage/req-of-a").await.status, StatusCode::OK);
    assert_eq!(
        gateway.request(http::Method::GET, "/v1/usage/req-of-a", &[], "").await.status,
        StatusCode::UNAUTHORIZED
    );
    // Two of one id: the newest, and the other by its time.
    gateway.clock.advance(std::time::Duration::from_millis(1500));
    call(&gateway, &a, "req-of-a").await;
    call(&gateway, &b, "req-of-a").await;
    let newest = gateway.get(&a, "/v1/usage/req-of-a").await.json();
    assert_eq!(
        (&newest["at"], &newest["receipt"]["rows_with_this_id"]),
        (&json!("2026-11-21T10:30:01.500Z"), &json!(2))
    );
    let older = gateway.get(&a, "/v1/usage/req-of-a?at=2026-11-21T10:30:00Z").await.json();
    assert_eq!((&older["at"], &older["id"]), (&json!("2026-11-21T10:30:00.000Z"), &json!("req-of-a")));
    let reply = gateway.get(&a, "/v1/usage/req-of-a?at=soon").await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("at")));
}

async fn a_receipts_key_is_made_once_and_may_be_configured(db: Database) {
    let one = Setup::new("").database(&db.url).start().await;
    let other = Setup::new("").database(&db.url).start().await;
    let (a, b) = tokio::join!(get(&one, "/v1/usage/receipts/key"), get(&other, "/v1/usage/receipts/key"));
    assert_eq!(a, b, "replicas sign with one key");
    // The key of RFC 8037, appendix A.
    let own = "receipts: { signing_key: nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A }\n";
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let configured = Setup::new(own).database(&db.url).start().await;
    assert_eq!(get(&configured, "/v1/usage/receipts/key").await["x"], x);
    let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let by_variable = Setup::new("").env("WEIR_RECEIPT_KEY", seed).database(&db.url).start().await;
    assert_eq!(get(&by_variable, "/v1/usage/receipts/key").await["x"], x);
}

const SCHEDULE: &str = "reports:
  - { name: daily, every: day, at: \"11:45\", time_zone: Europe/Berlin, group_by: [team, status] }
  - { name: weekly, every: week }
  - { name: monthly, every: month }
";

async fn a_report_is_made_once_for_each_period(db: Database) {
    let rows = random_rows(4, 600);
    let clock = Clock::mock(NOW);
    let store = Db::open(&db.url, &Options::default()).unwrap();
    store.migrate().await.unwrap();
    insert_batch(&store, &rows).await.unwrap();
    // Three replicas, whose jobs look at once.
    let start = || Setup::new(SCHEDULE).database(&db.url).clock(clock.clone()).start();
    let (a, b, c) = tokio::join!(start(), start(), start());
    let jobs = [&a, &b, &c].map(|one| weir::jobs::reports::Reports::new(one.app.gateway.clone()));
    for _ in 0..2 {
        let (x, y, z) = tokio::join!(jobs[0].make_all(), jobs[1].make_all(), jobs[2].make_all());
        for made in [x, y, z] {
            made.unwrap();
        }
    }
    let told = get(&a, "/admin/v1/reports").await;
    let mut periods: Vec<(&str, &str, &str)> = list(&told["data"])
        .iter()
        .map(|one| {
            let text = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).unwrap();
            (text("/name"), text("/period/start"), text("/period/end"))
        })
        .collect();
    periods.sort_unstable();
    // It is 11:30 in Berlin: the report on the 20th is not due.
    let expected = [
        ("daily", "2026-11-19T00:00:00+01:00", "2026-11-20T00:00:00+01:00"),
        ("monthly", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("weekly", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"),
    ];
    assert_eq!(periods, expected);
    clock.advance(std::time::Duration::from_secs(15 * 60));
    let made = tokio::join!(jobs[0].make_all(), jobs[1].make_all());
    assert_eq!(made.0.unwrap() + made.1.unwrap(), 1);
    let daily = get(&b, "/admin/v1/reports?name=daily").await;
    let newest = &daily["data"][0];
    assert_eq!((list(&daily["data"]).len(), &newest["made_at"]), (2, &json!("2026-11-21T10:45:00.000Z")));
    let end = NOW - NOW % DAY - HOUR;
    let of = |from: i64| rows.iter().filter(move |row| (from..from + DAY).contains(&row.at));
    let costs = &newest["costs"];
    assert_eq!(nano(&costs["totals"]["cost_usd"]), of(end - DAY).map(cost).sum::<i64>());
    assert_eq!(nano(&newest["previous_period"]["cost_usd"]), of(end - 2 * DAY).map(cost).sum::<i64>());
    assert_eq!(costs["group_by"], json!(["team", "status"]));
    let page = get(&b, "/admin/v1/reports?limit=3").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = get(&b, &format!("/admin/v1/reports?limit=3&cursor={cursor}")).await;
    assert_eq!((list(&page["data"]).len(), list(&rest["data"]).len(), &rest["has_more"]), (3, 1, &json!(false)));
    let bad = a.get(ADMIN, "/admin/v1/reports?cursor=zzz").await;
    assert_eq!((bad.status, &bad.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("cursor")));
}

async fn what_a_pause_missed_is_made_up_for(db: Database) {
    let clock = Clock::mock(NOW);
    let yaml = "reports: [{ name: daily, every: day }]\n";
    let first = Setup::new(yaml).database(&db.url).clock(clock.clone()).start().await;
    let job = weir::jobs::reports::Reports::new(first.app.gateway.clone());
    job.make_all().await.unwrap();
    assert_eq!(list(&get(&first, "/admin/v1/reports").await["data"]).len(), 1, "it begins with the last period");
    clock.advance(std::time::Duration::from_secs(5 * 24 * 3600));
    assert_eq!(job.make_all().await.unwrap(), 5);
    assert_eq!(job.make_all().await.unwrap(), 0);
    let told = get(&first, "/admin/v1/reports").await;
    let starts: Vec<&str> = list(&told["data"]).iter().map(|one| one["period"]["start"].as_str().unwrap()).collect();
    assert_eq!(starts.len(), 6);
    assert_eq!((starts[0], starts[5]), ("2026-11-25T00:00:00Z", "2026-11-20T00:00:00Z"));
}

const PROVIDER: &str = "providers:
  up: { kind: openai-compatible, base_url: \"http://127.0.0.1:9\", api_key: k, default: true }
  claude: { kind: anthropic, base_url: \"http://127.0.0.1:9\", api_key: k }
models:
  fast: up/model-a
";

async fn import(gateway: &Gateway, query: &str, file: &str) -> crate::support::gateway::Reply {
    let auth = format!("Bearer {ADMIN}");
    let headers = [("authorization", auth.as_str()), ("content-type", "text/csv")];
    let path = format!("/admin/v1/invoices?{query}");
    gateway.request(http::Method::POST, &path, &headers, file.to_owned()).await
}

fn served(id: &str, day: i64, model: &str, provider: &str, tokens: [u64; 3], cost: i64) -> UsageRow {
    let mut row = usage_row(id, NOW - day * DAY);
    let [input, cached, output] = tokens;
    row.usage = weir_wire::usage::Usage { input, cached, output, ..Default::default() };
    row.model = Some(model.to_owned());
    row.provider = Some(provider.to_owned());
    row.cost = Some(NanoUsd(cost));
    row
}

async fn an_invoice_is_compared_by_day_and_model(db: Database) {
    let rows = [
        served("a", 0, "fast", "up", [100, 40, 10], 1_000),
        served("b", 0, "up/model-a", "up", [60, 0, 5], 500),
        served("c", 1, "up/model-b", "up", [7, 0, 7], 70),
        // Before the invoice's days, and of another provider.
        served("d", 9, "fast", "up", [9, 9, 9], 9),
        served("e", 0, "fast", "claude", [9, 9, 9], 9),
    ];
    let gateway = with_rows(&db, PROVIDER, &rows).await;
    let usage = "start_time,end_time,start_time_iso,end_time_iso,model,num_model_requests,input_tokens,output_tokens,\
        input_cached_tokens,mood\n\
        1795219200,1795219260,2026-11-21T00:00:00+00:00,2026-11-21T00:01:00+00:00,model-a-2026-08-06,1,150,15,40,fine\n\
        1795219260,1795219320,2026-11-21T00:01:00+00:00,2026-11-21T00:02:00+00:00,model-a-2026-08-06,2,30,0,0,fine\n\
        1795132800,1795132860,2026-11-20T00:00:00+00:00,2026-11-20T00:01:00+00:00,model-z,1,11,1,0,fine\n";
    let made = import(&gateway, "provider=up", usage).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["format"], &made["lines"], &made["imported"]), (&json!("openai"), &json!(3), &json!(true)));
    assert_eq!((&made["first_day"], &made["last_day"]), (&json!("2026-11-20"), &json!("2026-11-21")));
    assert_eq!((&made["unknown_columns"], &made["cost_usd"]), (&json!(["mood"]), &Value::Null));
    let id = made["id"].as_str().unwrap();
    let told = get(&gateway, &format!("/admin/v1/invoices/{id}/difference")).await;
    let data = list(&told["data"]);
    let sides: Vec<[&str; 3]> =
        data.iter().map(|one| ["day", "model", "side"].map(|name| one[name].as_str().unwrap())).collect();
    let expected =
        [["2026-11-20", "model-b", "weir"], ["2026-11-20", "model-z", "provider"], ["2026-11-21", "model-a", "both"]];
    assert_eq!(sides, expected);
    let both = &data[2];
    assert_eq!(
        both["provider"],
        json!({"requests": 3, "input_tokens": 180, "cached_tokens": 40, "cache_write_tokens": 0, "output_tokens": 15, "web_searches": 0})
    );
    assert_eq!((&both["weir"]["input_tokens"], &both["difference"]["input_tokens"]), (&json!(160), &json!(20)));
    assert_eq!(
        (&both["difference"]["input_tokens_percent"], &both["difference"]["requests"]),
        (&json!("12.50"), &json!(1))
    );
    assert_eq!((&both["provider_models"], &both["weir_models"]), (&json!(["model-a-2026-08-06"]), &json!(["model-a"])));
    let totals = &told["totals"];
    assert_eq!((&totals["provider"]["input_tokens"], &totals["weir"]["input_tokens"]), (&json!(191), &json!(167)));
    assert_eq!(
        (&totals["only_provider"]["input_tokens"], &totals["only_weir"]["input_tokens"]),
        (&json!(11), &json!(7))
    );
    // The same once more changes nothing; costs are an invoice of their own.
    let again = import(&gateway, "provider=up&format=openai", usage).await;
    assert_eq!(
        (again.status, &again.json()["imported"], &again.json()["id"]),
        (StatusCode::OK, &json!(false), &json!(id))
    );
    let costs = "start_time_iso,amount_value,amount_currency,line_item\n\
        2026-11-21T00:00:00Z,0.0000012,usd,\"model-a-2026-08-06, input\"\n2026-11-21T00:00:00Z,6e-7,usd,\"model-a-2026-08-06, output\"\n";
    let made = import(&gateway, "provider=up", costs).await.json();
    let told = get(&gateway, &format!("/admin/v1/invoices/{}/difference", made["id"].as_str().unwrap())).await;
    let expected = json!({"cost_usd": "0.000000300", "cost_percent": "20.00"});
    assert_eq!((list(&told["data"]).len(), &told["data"][0]["difference"]), (1, &expected));
    let all = get(&gateway, "/admin/v1/invoices?limit=1").await;
    let next = all["next_cursor"].as_str().unwrap();
    let rest = get(&gateway, &format!("/admin/v1/invoices?cursor={next}")).await;
    assert_eq!((list(&all["data"]).len(), list(&rest["data"]).len()), (1, 1));
    let gone = gateway.admin(http::Method::DELETE, &format!("/admin/v1/invoices/{id}"), Value::Null).await;
    assert_eq!(gone.json()["deleted"], true);
    for (method, path) in [(http::Method::DELETE, ""), (http::Method::GET, "/difference")] {
        let reply = gateway.admin(method, &format!("/admin/v1/invoices/{id}{path}"), Value::Null).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::NOT_FOUND, "invoice_not_found"));
    }
    let back = import(&gateway, "provider=up", usage).await;
    assert_eq!(back.status, StatusCode::CREATED, "what was forgotten can be imported again");
}

async fn anthropics_files_are_read_as_well(db: Database) {
    let rows = [served("a", 0, "claude/model-one-20260101", "claude", [4124, 4000, 52], 1_000)];
    let gateway = with_rows(&db, PROVIDER, &rows).await;
    let usage = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
        usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
        usage_output_tokens,web_search_count,inference_geo,speed\n\
        2026-11-21,model-one-20260101,app,Default,standard,≤ 200k,101,20,3,4000,52,0,global,\n";
    let made = import(&gateway, "provider=claude&format=auto", usage).await.json();
    assert_eq!((&made["format"], &made["unknown_columns"]), (&json!("anthropic"), &json!([])));
    let told = get(&gateway, &format!("/admin/v1/invoices/{}/difference", made["id"].as_str().unwrap())).await;
    let difference = &told["data"][0]["difference"];
    assert_eq!((&difference["input_tokens"], &difference["cache_write_tokens"]), (&json!(0), &json!(23)));
    assert_eq!(difference.get("requests"), None, "the file counts none");
    let costs = "usage_date_utc,model,token_type,cost_usd\n2026-11-21,Model One,output,0.000000400\n";
    let made = import(&gateway, "provider=claude", costs).await.json();
    let told = get(&gateway, &format!("/admin/v1/invoices/{}/difference", made["id"].as_str().unwrap())).await;
    assert_eq!(told["data"][0]["difference"]["cost_usd"], "-0.000000600");
    assert_eq!(told["data"][0]["difference"]["cost_percent"], "-60.00");
}

async fn a_file_that_is_not_understood_is_refused_whole(db: Database) {
    let gateway = with_rows(&db, PROVIDER, &[]).await;
    let file = "start_time_iso,amount_value\n2026-11-21,1\nsoon,1\n2026-11-21,x\n";
    for (query, file, code, said) in [
        ("provider=up", file, "invalid_invoice", "line 3: day"),
        ("provider=up", file, "invalid_invoice", "line 4: amount"),
        ("provider=up", "a,b\n1,2\n", "invalid_invoice", "cannot be told"),
        ("provider=up", "", "invalid_invoice", "cannot be told"),
        (
            "provider=up&format=anthropic",
            "start_time_iso,amount_value\n2026-11-21,1\n",
            "invalid_invoice",
            "says the day",
        ),
        ("provider=nobody", file, "invalid_value", "configured provider: claude, demo, up"),
        ("provider=up&format=pdf", file, "invalid_value", "openai, anthropic or auto"),
        ("", file, "missing_value", "provider"),
    ] {
        let reply = import(&gateway, query, file).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_REQUEST, code), "{}", reply.text());
        assert!(reply.text().contains(said), "{query}: {}", reply.text());
    }
    assert_eq!(list(&get(&gateway, "/admin/v1/invoices").await["data"]).len(), 0);
    let request = format!(
        "POST /admin/v1/invoices?provider=up HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
         authorization: Bearer {ADMIN}\r\ncontent-length: 999999999\r\n\r\n"
    );
    let answer = gateway.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn receipts_and_invoices_on_the_command_line() {
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-of-cli");
    let key = home.run(&["keys", "create", "--name", "app", "--json"]).json()["key"].as_str().unwrap().to_owned();
    let gateway = home.serve(&["--listen", "127.0.0.1:0"]).await;
    let headers = [("x-api-key", key.as_str()), ("x-request-id", "request-one")];
    let reply = gateway.request(http::Method::POST, "/v1/chat/completions", &headers, chat().to_string()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let receipt = gateway.request(http::Method::GET, "/v1/usage/request-one", &headers, "").await.text();
    let jwk = gateway.request(http::Method::GET, "/v1/usage/receipts/key", &headers, "").await.text();
    let (file, key_file) = (home.file("receipt.json", &receipt), home.file("key.json", &jwk));
    let forged = home.file("forged.json", &receipt.replace("request-one", "request-two"));
    let url = gateway.url();
    for way in [&["--key", &key_file][..], &["--url", &url], &[]] {
        let said = home.run(&[&["usage", "verify", &file], way].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{way:?}");
        assert!(said.out.contains("the receipt holds (request request-one, 0.000000000 USD"), "{said:?}");
        let said = home.run(&[&["usage", "verify", &forged], way].concat());
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{way:?}");
        assert!(said.err.contains("the signature does not fit"), "{said:?}");
    }
    assert_eq!(home.run(&["usage", "verify", "/nowhere.json", "--key", &key_file]).code, 2);
    let csv = home.file("usage.csv", "start_time_iso,model,input_tokens,output_tokens,mood\n2026-11-21,m,5,7,fine\n");
    let mut ids = Vec::new();
    for way in [&["--url", &url][..], &[]] {
        let run = |args: &[&str]| home.run(&[&["invoices"], args, way].concat());
        let said = run(&["import", &csv, "--provider", "demo", "--format", "openai"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        assert!(said.out.contains("1 lines of demo, 2026-11-21 to 2026-11-21"), "{said:?}");
        assert!(said.out.contains("not known and were not read: mood"), "{said:?}");
        let id = run(&["list", "--json"]).json()["data"][0]["id"].as_str().unwrap().to_owned();
        let said = run(&["diff", &id]);
        assert!(said.out.lines().last().unwrap().starts_with("total"), "{said:?}");
        assert_eq!(run(&["diff", &id, "--json"]).json()["totals"]["provider"]["output_tokens"], 7);
        let wrong = run(&["import", &csv, "--provider", "nobody"]);
        assert_eq!((wrong.code, wrong.err.contains("provider")), (2, true), "{wrong:?}");
        assert_eq!(run(&["diff", "inv_none"]).code, 1);
        assert_eq!(run(&["delete", &id]).code, 0);
        assert_eq!(run(&["delete", &id]).code, 1);
        ids.push(id);
    }
    assert_eq!(ids[0], ids[1], "an invoice's id is made of what it says");
    for way in [&["--url", &url][..], &[]] {
        let path = home.path("usage.parquet").display().to_string();
        let said = home.run(&[&["usage", "--format", "parquet", "--output", &path], way].concat());
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""), "{said:?}");
        let file = bytes::Bytes::from(std::fs::read(&path).unwrap());
        let read = parquet::file::reader::SerializedFileReader::new(file).unwrap();
        assert_eq!(parquet::file::reader::FileReader::get_row_iter(&read, None).unwrap().count(), 1);
    }
    assert_eq!(home.run(&["usage", "--output", "/nowhere/file"]).code, 1);
}

/// Rows of a year, made by the database itself.
const A_YEAR: &str = "
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59999)
INSERT INTO usage (at, id, key_id, tags, endpoint, model, provider, status, http_status, attempts, input_tokens,
    cached_tokens, output_tokens, reasoning_tokens, cost_nano, estimated, unpriced, latency_ms, overhead_us, stream,
    error_message)
SELECT 1763700000000 + i * 500000, 'req-' || i, 'key-' || i % 50, '[[\"a\",\"b\"]]', 'chat/completions', 'model-' || i % 20,
    'demo', 'ok', 200, '[]', i, 0, i, 0, i, false, false, 5, 5, false, CASE WHEN i % 100 = 0 THEN hex(zeroblob(2000)) END
FROM n";

#[tokio::test]
async fn a_years_export_holds_one_group_of_rows() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use sqlx::Connection as _;
    use weir::reports::parquet::{Encoder, GROUP_BYTES, GROUP_ROWS};
    let db = Database::sqlite();
    let store = Db::open(&db.url, &Options::default()).unwrap();
    store.migrate().await.unwrap();
    let mut connection = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
    sqlx::query(A_YEAR).execute(&mut connection).await.unwrap();
    let mut rows = weir::store::usage::export(&store, weir::store::usage::Filter::default());
    let mut encoder = Encoder::new().unwrap();
    let (mut file, mut most, mut largest) = (Vec::new(), 0, 0);
    while let Some(page) = rows.next().await.unwrap() {
        let ready = encoder.push(page).unwrap();
        largest = largest.max(ready.len());
        file.extend(ready);
        most = most.max(encoder.held());
    }
    let footer = encoder.finish().unwrap();
    assert!(most < GROUP_BYTES && largest < GROUP_BYTES, "{most} {largest}");
    file.extend(&footer);
    let read = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let groups: Vec<i64> = read.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!((groups.len(), groups.iter().sum::<i64>()), (60_000 / GROUP_ROWS, 60_000));
    // What cannot be sent before the end: the footer, which grows by the group.
    assert!(footer.len() / groups.len() < 10_000, "{} for {groups:?}", footer.len());
}
