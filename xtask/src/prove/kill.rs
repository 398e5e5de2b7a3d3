//! Proof `kill`: `kill -9` at a random moment of a mixed load, a start on the same data, and the books are right.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::ask::{Ask, Id, Leave};
use super::bench::{Bench, verdict};
use super::caps::{self, Books, Cap, KNOWN};
use super::chance::Chance;
use super::ledger::Row;
use super::load::{End, SentLog};
use super::process::Disk;
use super::tariff::Nano;
use super::{Database, Lab};
use crate::shell::Result;

const KEYS: u8 = 2;
const CLIENTS: usize = 24;
/// A budget that is never spent, in nano-dollars: here its books are looked at, not its bound.
const AMPLE: Nano = 1_000_000 * 1_000_000_000;
/// The moment of the kill, in milliseconds after the load began.
const EARLIEST: u64 = 50;
const LATEST: u64 = 700;

/// On each database.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        on(lab, *database).await?;
    }
    Ok(())
}

async fn on(lab: &Lab, database: Database) -> Result {
    let mut bench = Bench::open(lab, "kill", database, 1, Disk::Plain).await?;
    let mut caps = Vec::new();
    for number in 0..KEYS {
        caps.push(Cap::with_key(&mut bench, &json!({ "name": format!("kill-{number}") }), AMPLE).await?);
    }
    sleep(KNOWN).await;
    let trials = lab.size(3, 100);
    let (mut chance, mut sent, mut from) = (Chance::new(lab.seed), SentLog::new(), None);
    for trial in 1..=trials {
        let (log, last) = one(&mut bench, &mut chance, from.as_deref())
            .await
            .map_err(|error| format!("trial {trial} on {database}: {error}"))?;
        sent.extend(log);
        from = last.or(from);
    }
    let rows = bench.rows(None).await?;
    let calls = bench.upstream.truth.calls();
    let mut faults = bench.faults(&sent, &calls, &rows, true);
    faults.extend(bench.sum_faults(&rows).await?);
    faults.extend(caps::faults(&caps, &bench, &Books { sent: &sent, calls: &calls, rows: &rows }).await?);
    let of = |status: &str| rows.iter().filter(|row| row.status == status).count();
    let whole = sent.values().filter(|sent| sent.end == End::Whole).count();
    println!(
        "   {database}: {trials} kills, {} requests, {whole} answered whole, {} calls, {} rows: {} ok, {} cancelled, {} interrupted",
        sent.len(),
        calls.len(),
        rows.len(),
        of("ok"),
        of("cancelled"),
        of("interrupted"),
    );
    verdict(&faults)
}

/// One kill; what its clients saw, and the time of the last row.
async fn one(bench: &mut Bench, chance: &mut Chance, from: Option<&str>) -> Result<(SentLog, Option<String>)> {
    let first_id = bench.next_id();
    let first_call = bench.upstream.truth.count();
    let running = bench.load(CLIENTS, bench.endless(chance.next(), ask)).start();
    sleep(Duration::from_millis(chance.between(EARLIEST, LATEST))).await;
    bench.gateways[0].kill();
    running.stop();
    let sent = running.finish().await;
    bench.gateways[0].resume().await?;
    let mut rows = bench.rows(from).await?;
    let last = rows.iter().map(|row| &row.at).max().cloned();
    let of_trial = |row: &Row| row.id.is_none_or(|id| id >= first_id);
    rows.retain(of_trial);
    let calls = bench.upstream.truth.calls().split_off(first_call);
    verdict(&bench.faults(&sent, &calls, &rows, true))?;
    Ok((sent, last))
}

/// Streams that last, trouble, and clients that leave.
fn ask(id: Id, chance: &mut Chance) -> Ask {
    let mut ask = Ask::troubled(id, u64::from(KEYS), chance);
    ask.script.delay_ms = chance.below(20);
    ask.leave = match chance.below(10) {
        0 => Some(Leave::Bytes(chance.between(1, 2_000))),
        1 => Some(Leave::Millis(chance.between(1, 100))),
        _ => None,
    };
    ask
}
