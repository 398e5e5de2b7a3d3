//! How fast the usage ledger is written and summed. Run in release:
//! `cargo run --release --example store_bench -- sqlite:///tmp/bench/weir.db [rows]`, or with the URL
//! of an empty PostgreSQL database.

use std::time::Instant;

use weir::clock::Entropy;
use weir::money::NanoUsd;
use weir::record::{Attempt, Status, UsageRow};
use weir::store::usage::{Filter, GroupBy, insert_batch, page, totals};
use weir::store::{Db, Options};

const BATCH: usize = 500;
const START: i64 = 1_795_257_000_000;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its figures are its purpose")]
#[expect(clippy::disallowed_methods, reason = "it measures the real clock")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: store_bench DATABASE_URL [ROWS]")?;
    let count: usize = args.next().map_or(Ok(200_000), |n| n.parse())?;
    let db = Db::open(&url, &Options::default())?;
    db.migrate().await?;

    let batches: Vec<Vec<UsageRow>> = (0..count / BATCH).map(batch).collect();
    for writers in [1, 4] {
        let part = batches.len() / 2;
        let mine = if writers == 1 { &batches[..part] } else { &batches[part..] };
        let begun = Instant::now();
        let tasks = (0..writers).map(|w| {
            let db = db.clone();
            async move {
                for rows in mine.iter().skip(w).step_by(writers) {
                    insert_batch(&db, rows).await.expect("inserts");
                }
            }
        });
        futures_util::future::join_all(tasks).await;
        let rows = mine.len() * BATCH;
        println!("{writers} writer(s): {:.0} rows/s", rows as f64 / begun.elapsed().as_secs_f64());
    }

    let filter = Filter { from: Some(START - 1_234_567), to: Some(START + 86_400_000), ..Filter::default() };
    for group_by in [&[][..], &[GroupBy::Model], &[GroupBy::Key, GroupBy::Day], &[GroupBy::Tag]] {
        let begun = Instant::now();
        let groups = totals(&db, &filter, group_by).await?.len();
        println!("totals by {group_by:?}: {groups} groups in {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let rows = page(&db, &Filter { key_id: Some("key_7".to_owned()), ..filter }, None, 100).await?.rows.len();
    println!("a key's newest {rows} rows in {:?}", begun.elapsed());
    Ok(())
}

fn batch(n: usize) -> Vec<UsageRow> {
    let chance = Entropy::fixed(n as u64);
    (0..BATCH).map(|i| row(&chance, START + (n * BATCH + i) as i64 / 10)).collect()
}

fn row(chance: &Entropy, at: i64) -> UsageRow {
    let below = |n: u64| chance.u64() % n;
    UsageRow {
        id: chance.uuid(at).to_string(),
        at,
        key_id: Some(format!("key_{}", below(50))),
        team_id: Some("team_a".to_owned()),
        user_id: None,
        end_user: Some(format!("customer-{}", below(1000))),
        tags: if below(4) == 0 { vec![("app".to_owned(), "web".to_owned())] } else { Vec::new() },
        endpoint: "chat/completions".to_owned(),
        model: Some(format!("model-{}", below(5))),
        provider: Some("openai".to_owned()),
        served_model: Some("gpt-2026-01-01".to_owned()),
        status: Status::Ok,
        http_status: 200,
        attempts: vec![Attempt {
            provider: "openai".to_owned(),
            model: "gpt".to_owned(),
            outcome: "ok".to_owned(),
            ms: 312,
        }],
        usage: weir_wire::usage::Usage { input: below(5000), output: below(900), ..Default::default() },
        cost: Some(NanoUsd(below(1_000_000) as i64)),
        price_version: Some("2026-11-01".to_owned()),
        estimated: false,
        unpriced: false,
        latency_ms: below(5000),
        ttft_ms: Some(below(900)),
        overhead_us: below(500),
        stream: true,
        error_code: None,
        error_message: None,
        metadata: None,
        warnings: Vec::new(),
        charges: Vec::new(),
    }
}
