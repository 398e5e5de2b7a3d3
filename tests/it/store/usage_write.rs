//! Writing the usage ledger.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use weir::money::NanoUsd;
use weir::record::UsageRow;
use weir::store::reconcile::reconcile;
use weir::store::usage::{Filter, Inserted, ensure_partitions, export, insert_batch, page, totals};
use weir::store::{Db, Options, StoreErrorKind, leases};

use super::{NOW, on_both_engines, random_rows, usage_row};
use crate::support;

on_both_engines!(
    a_row_is_kept_whole,
    warnings_are_kept_within_their_bounds,
    a_batch_sent_again_changes_nothing,
    a_repetition_within_a_batch_counts_once,
    a_client_may_reuse_its_id,
    poison_is_put_aside_and_the_rest_goes_in,
    what_is_put_aside_is_charged_once,
    nul_and_oversized_text_lose_no_row,
    any_batch_size_goes_in,
    odd_times_lose_no_row,
    writers_at_once_count_every_row_once,
);

const NOTHING: Inserted = Inserted { rows: 0, quarantined: 0 };

fn rows(rows: u64) -> Inserted {
    Inserted { rows, quarantined: 0 }
}

async fn all(db: &Db) -> Vec<UsageRow> {
    page(db, &Filter::default(), None, 1000).await.unwrap().rows
}

async fn requests(db: &Db) -> u64 {
    totals(db, &Filter::default(), &[]).await.unwrap().first().map_or(0, |total| total.sums.requests)
}

/// JSONB has its own spacing.
fn same_json(mut row: UsageRow) -> UsageRow {
    row.metadata = row.metadata.map(|m| serde_json::from_str::<serde_json::Value>(&m).unwrap().to_string());
    row
}

async fn a_row_is_kept_whole(db: &Db) {
    let mut full = usage_row("019a-full", NOW);
    full.tags = [("b", "2"), ("a", "1"), ("b", "3")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    full.error_message = Some("überlast 🙂".to_owned());
    full.cost = Some(NanoUsd(-5));
    full.warnings = ["temperature dropped", "größer", "temperature dropped"].map(str::to_owned).into();
    let mut n = 0;
    let mut next = || {
        n += 1;
        n
    };
    full.usage = weir_wire::usage::Usage {
        input: next(),
        cached: next(),
        cache_write: next(),
        cache_write_5m: next(),
        cache_write_1h: next(),
        cache_write_30m: next(),
        cache_write_12h: next(),
        output: next(),
        reasoning: next(),
        audio_input: next(),
        audio_output: next(),
        image_input: next(),
        image_output: next(),
        audio_ms: next(),
        characters: next(),
        web_searches: next(),
        images: next(),
        search_units: next(),
    };
    let empty = UsageRow {
        key_id: None,
        team_id: None,
        end_user: None,
        model: None,
        provider: None,
        served_model: None,
        attempts: Vec::new(),
        usage: weir_wire::usage::Usage::default(),
        cost: None,
        price_version: None,
        tier: None,
        ttft_ms: None,
        metadata: None,
        stream: false,
        estimated: true,
        unpriced: true,
        ..usage_row("019a-empty", NOW - 1)
    };
    assert_eq!(insert_batch(db, &[empty.clone(), full.clone()]).await.unwrap(), rows(2));
    assert_eq!(all(db).await.into_iter().map(same_json).collect::<Vec<_>>(), [full.clone(), empty]);

    let by_model = Filter { model: Some("demo/chat".to_owned()), ..Filter::default() };
    let total = totals(db, &by_model, &[]).await.unwrap().remove(0);
    assert_eq!((total.sums.usage, total.sums.cost), (full.usage, NanoUsd(-5)));
}

async fn warnings_are_kept_within_their_bounds(db: &Db) {
    let mut many = usage_row("many", NOW);
    many.warnings = (0..100).map(|n| format!("{n}\0{}", "é".repeat(600))).collect();
    let mut one = usage_row("one", NOW + 1);
    one.warnings = vec!["temperature dropped".to_owned()];
    // One of nothing else than the common columns beside them, and sent twice.
    let batch = [many, one.clone(), usage_row("none", NOW + 2)];
    assert_eq!(insert_batch(db, &batch).await.unwrap(), rows(3));
    assert_eq!(insert_batch(db, &batch).await.unwrap(), NOTHING);
    let kept = all(db).await;
    assert_eq!((&kept[0].warnings, &kept[1].warnings), (&Vec::new(), &one.warnings));
    let many = &kept[2].warnings;
    assert_eq!(many.len(), 64);
    assert!(many.iter().all(|warning| warning.starts_with(|c: char| c.is_ascii_digit()) && warning.len() <= 514));
    assert!(many[7].starts_with("7\u{fffd}é"), "{}", many[7]);
}

async fn a_batch_sent_again_changes_nothing(db: &Db) {
    let batch = random_rows(1, 300);
    assert_eq!(insert_batch(db, &batch).await.unwrap(), rows(300));
    let before = totals(db, &Filter::default(), &[]).await.unwrap();
    assert_eq!(insert_batch(db, &batch).await.unwrap(), NOTHING);
    // A part of it with something new.
    let mut again = batch[..10].to_vec();
    again.push(usage_row("new", NOW));
    assert_eq!(insert_batch(db, &again).await.unwrap(), rows(1));
    let after = totals(db, &Filter::default(), &[]).await.unwrap();
    assert_eq!(after[0].sums.requests, before[0].sums.requests + 1);
    assert_eq!(after[0].sums.cost.0, before[0].sums.cost.0 + 150_000);
}

async fn a_repetition_within_a_batch_counts_once(db: &Db) {
    let row = usage_row("a", NOW);
    assert_eq!(insert_batch(db, &[row.clone(), row.clone(), row]).await.unwrap(), rows(1));
    assert_eq!(requests(db).await, 1);
}

async fn a_client_may_reuse_its_id(db: &Db) {
    let batch = [usage_row("retry-1", NOW), usage_row("retry-1", NOW + 1)];
    assert_eq!(insert_batch(db, &batch).await.unwrap(), rows(2));
    assert_eq!(all(db).await.len(), 2);
}

async fn poison_is_put_aside_and_the_rest_goes_in(db: &Db) {
    let mut batch = random_rows(2, 50);
    batch[7].usage.output = u64::MAX;
    batch[20].cost = Some(NanoUsd(i64::MAX));
    batch[31].metadata = Some("{not json".to_owned());
    batch[44].metadata = Some(format!("\"{}\"", "x".repeat(1_000_000)));
    assert_eq!(insert_batch(db, &batch).await.unwrap(), Inserted { rows: 46, quarantined: 4 });
    assert_eq!(requests(db).await, 46);
    assert_eq!(insert_batch(db, &batch).await.unwrap(), NOTHING);
}

async fn what_is_put_aside_is_charged_once(db: &Db) {
    let charges = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), NOW)).collect::<Vec<_>>();
    let row = |id: &str, cost: i64, names: &[&str]| {
        let mut row = usage_row(id, NOW + 1);
        (row.cost, row.charges) = (Some(NanoUsd(cost)), charges(names));
        row
    };
    let (good, mut poison, mut dear, mut free) = (
        row("good", 5, &["a", "b"]),
        row("poison", 30, &["a", "b"]),
        row("dear", i64::MAX, &["b"]),
        row("free", 9, &[]),
    );
    poison.metadata = Some("{not json".to_owned());
    dear.usage.input = 1;
    free.usage.output = u64::MAX;
    let batch = [good, poison, dear, free];
    for put in [Inserted { rows: 1, quarantined: 3 }, NOTHING] {
        assert_eq!(insert_batch(db, &batch).await.unwrap(), put);
        let spent = async |id: &str| {
            let windows = leases::windows(db, id, 1).await.unwrap();
            windows.first().map(|window| window.4)
        };
        assert_eq!(spent("a").await, Some(35));
        // What cannot be true is charged as the most that can.
        assert_eq!(spent("b").await, Some(35 + 1_000_000_000_000_000));
        let books = reconcile(db, NOW - 1, NOW + 1).await.unwrap();
        assert_eq!((books.rows, books.windows, books.mismatches), (1, 2, Vec::new()));
    }
}

async fn nul_and_oversized_text_lose_no_row(db: &Db) {
    let mut nul = usage_row("a\0b", NOW);
    nul.model = Some("m\0".to_owned());
    nul.error_message = Some("\0".repeat(10));
    nul.tags = vec![("t\0".to_owned(), "v\0".to_owned())];
    nul.attempts[0].outcome = "\0".to_owned();
    nul.metadata = Some(r#"{"a":"\u0000"}"#.to_owned());
    let huge = "é".repeat(100_000);
    let mut long = usage_row(&huge, NOW + 1);
    for text in [&mut long.key_id, &mut long.team_id, &mut long.user_id, &mut long.model, &mut long.provider] {
        *text = Some(huge.clone());
    }
    (long.end_user, long.error_message, long.error_code) = (Some(huge.clone()), Some(huge.clone()), Some(huge.clone()));
    long.endpoint = huge.clone();
    long.tags = (0..1000).map(|n| (format!("{n}{huge}"), huge.clone())).take(70).collect();
    assert_eq!(insert_batch(db, &[nul.clone(), long.clone()]).await.unwrap(), rows(2));
    assert_eq!(insert_batch(db, &[nul, long]).await.unwrap(), NOTHING);
    let kept = all(db).await;
    assert_eq!(kept[1].id, "a\u{fffd}b");
    assert_eq!(kept[1].model.as_deref(), Some("m\u{fffd}"));
    assert!(kept[0].id.len() <= 256 && kept[0].tags.len() == 64);
    // Asking with what was sent finds what was kept.
    let filter = Filter { key_id: Some(huge), ..Filter::default() };
    assert_eq!(page(db, &filter, None, 10).await.unwrap().rows.len(), 1);
    let filter = Filter { model: Some("m\0".to_owned()), ..Filter::default() };
    assert_eq!(totals(db, &filter, &[]).await.unwrap()[0].sums.requests, 1);
}

async fn any_batch_size_goes_in(db: &Db) {
    let mut total = 0;
    for (seed, size) in [(1, 0), (2, 1), (3, 3), (4, 37), (5, 257), (6, 1001)] {
        assert_eq!(insert_batch(db, &random_rows(seed, size)).await.unwrap(), rows(size as u64));
        total += size as u64;
        assert_eq!(requests(db).await, total);
    }
}

async fn odd_times_lose_no_row(db: &Db) {
    let batch: Vec<UsageRow> = [i64::MIN, -1, 0, 1_577_836_799_999, 4_102_444_800_000, i64::MAX]
        .into_iter()
        .enumerate()
        .map(|(n, at)| usage_row(&n.to_string(), at))
        .collect();
    assert_eq!(insert_batch(db, &batch).await.unwrap(), rows(6));
    assert_eq!(all(db).await.len(), 6);
    assert_eq!(requests(db).await, 6);
}

/// Replicas write overlapping batches in different orders; nothing deadlocks, nothing counts twice.
async fn writers_at_once_count_every_row_once(db: &Db) {
    let batch = random_rows(3, 400);
    let reversed: Vec<UsageRow> = batch.iter().rev().cloned().collect();
    let (a, b, c) =
        tokio::join!(insert_batch(db, &batch[..300]), insert_batch(db, &reversed[..300]), insert_batch(db, &reversed));
    assert_eq!(a.unwrap().rows + b.unwrap().rows + c.unwrap().rows, 400);
    assert_eq!(requests(db).await, 400);
    let cost: i64 = batch.iter().filter_map(|row| row.cost).map(|cost| cost.0).sum();
    assert_eq!(totals(db, &Filter::default(), &[]).await.unwrap()[0].sums.cost, NanoUsd(cost));
}

/// The writer is cut off at an unknown moment, again and again, and sends the batch again each time.
#[tokio::test]
async fn an_unknown_outcome_is_settled_by_sending_again() {
    let url = support::postgres::fresh_database().await;
    let db = Db::open(&url, &Options { connections: 2, ..Options::default() }).unwrap();
    db.migrate().await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let batch = random_rows(4, 500);
    let mut cut = 0;
    for delay in (0..30).map(Duration::from_millis) {
        // Dropping the call at some moment leaves the same doubt as a broken connection.
        cut += usize::from(tokio::time::timeout(delay, insert_batch(&db, &batch[..250])).await.is_err());
        let killer = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir' AND datname = current_database()")
            .execute(&mut admin);
        let (answer, killed) = tokio::join!(insert_batch(&db, &batch), killer);
        killed.unwrap();
        if let Err(e) = answer {
            assert_eq!(e.kind(), StoreErrorKind::Unavailable, "{e}");
            cut += 1;
        }
    }
    assert!(cut > 0);
    insert_batch(&db, &batch).await.unwrap();
    assert_eq!(requests(&db).await, 500);
    let mut rows = 0;
    let mut pages = export(&db, Filter::default());
    while let Some(page) = pages.next().await.unwrap() {
        rows += page.len();
    }
    assert_eq!(rows, 500);
}

#[tokio::test]
async fn quarantine_keeps_what_a_refused_row_cost() {
    let url = support::postgres::fresh_database().await;
    let db = Db::open(&url, &Options::default()).unwrap();
    db.migrate().await.unwrap();
    let mut batch = random_rows(5, 64);
    // Valid JSON that JSONB refuses: a number beyond its range, half of a surrogate pair.
    batch[10].metadata = Some(r#"{"n":1e999999}"#.to_owned());
    batch[11].metadata = Some(r#"{"n":"\ud800"}"#.to_owned());
    (batch[10].cost, batch[10].price_version) = (Some(NanoUsd(42)), Some("v1".to_owned()));
    assert_eq!(insert_batch(&db, &batch).await.unwrap(), Inserted { rows: 62, quarantined: 2 });
    assert_eq!(requests(&db).await, 62);
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let kept: (i64, String, i64, String, String) = sqlx::query_as(
        "SELECT cost_nano, price_version, input_tokens, reason, row_text FROM usage_quarantine WHERE id = $1",
    )
    .bind(&batch[10].id)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!((kept.0, kept.1.as_str()), (42, "v1"));
    assert_eq!(u64::try_from(kept.2).unwrap(), batch[10].usage.input);
    assert!(kept.3.contains("22003"), "{}", kept.3);
    assert!(kept.4.contains("chat/completions"));
}

#[tokio::test]
async fn a_month_has_its_partition_before_it_begins() {
    let url = support::postgres::fresh_database().await;
    let (one, two) = (Db::open(&url, &Options::default()).unwrap(), Db::open(&url, &Options::default()).unwrap());
    one.migrate().await.unwrap();
    let (a, b) = tokio::join!(ensure_partitions(&one, NOW), ensure_partitions(&two, NOW));
    a.and(b).unwrap();
    insert_batch(&one, &[usage_row("a", NOW)]).await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT relname::text FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    let tables: Vec<&str> = tables.iter().map(|t| t.0.as_str()).collect();
    assert_eq!(
        tables,
        [
            "usage_2026_11",
            "usage_2026_12",
            "usage_default",
            "usage_tags_2026_11",
            "usage_tags_2026_12",
            "usage_tags_default"
        ]
    );
    let (here,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM usage_2026_11").fetch_one(&mut admin).await.unwrap();
    assert_eq!(here, 1);
}

#[tokio::test]
async fn a_month_whose_rows_came_first_stays_in_the_default_partition() {
    let url = support::postgres::fresh_database().await;
    let db = Db::open(&url, &Options::default()).unwrap();
    db.migrate().await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    insert_batch(&db, &[usage_row("a", NOW)]).await.unwrap();
    for text in [
        "ALTER TABLE usage DETACH PARTITION usage_2026_11",
        "INSERT INTO usage SELECT * FROM usage_2026_11",
        "DROP TABLE usage_2026_11",
    ] {
        sqlx::query(text).execute(&mut admin).await.unwrap();
    }
    let fresh = Db::open(&url, &Options::default()).unwrap();
    assert_eq!(ensure_partitions(&fresh, NOW).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    assert_eq!(insert_batch(&fresh, &[usage_row("b", NOW)]).await.unwrap(), rows(1));
    assert_eq!(all(&fresh).await.len(), 2);
}
