//! Proof `exact`: of a mixed load the ledger says the truth to a nano-dollar, by request, key, model, hour and day.

use serde_json::json;

use super::ask::Ask;
use super::bench::{Bench, verdict};
use super::oracle::Fault;
use super::process::Disk;
use super::tariff::{Nano, usd};
use super::{Database, Lab};
use crate::shell::Result;

const KEYS: u8 = 3;

/// On each database.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        on(lab, *database).await?;
    }
    Ok(())
}

async fn on(lab: &Lab, database: Database) -> Result {
    let mut bench = Bench::open(lab, "exact", database, 1, Disk::Plain).await?;
    for number in 0..KEYS {
        bench.add_key(&json!({ "name": format!("exact-{number}") })).await?;
    }
    let requests = lab.size(2_000, 1_000_000);
    let source = bench.some(requests, lab.seed, |id, chance| Ask::troubled(id, u64::from(KEYS), chance));
    let sent = bench.load(lab.size(32, 64), source).run().await;
    let rows = bench.rows(None).await?;
    let calls = bench.upstream.truth.calls();
    let mut faults = bench.faults(&sent, &calls, &rows, false);
    faults.extend(bench.sum_faults(&rows).await?);
    faults.extend(counted(&bench, rows.len()).await?);
    let (ok, cost): (usize, Nano) = rows
        .iter()
        .filter(|row| row.status == "ok")
        .fold((0, 0), |(ok, cost), row| (ok + 1, cost + row.cost.unwrap_or(0)));
    println!(
        "   {database}: {} requests, {} calls, {} rows, {ok} ok for {} USD",
        sent.len(),
        calls.len(),
        rows.len(),
        usd(cost)
    );
    verdict(&faults)
}

/// The metrics count each row once.
async fn counted(bench: &Bench, rows: usize) -> Result<Option<Fault>> {
    let counted = bench.ledger().metric("weir_requests_total").await?;
    let differs = counted != rows as f64;
    Ok(differs.then(|| Fault::Sums("weir_requests_total".to_owned(), counted.to_string(), rows.to_string())))
}
