//! Proof `reload`: the configuration changes and the process is replaced under load; no request fails, no stream is
//! cut, and the ledger has them all.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::ask::{Ask, Id};
use super::bench::{Bench, verdict};
use super::chance::Chance;
use super::ledger::ADMIN_KEY;
use super::load::End;
use super::process::Disk;
use super::wire::call;
use super::{Database, Lab};
use crate::shell::Result;

const KEYS: u8 = 2;
const CLIENTS: usize = 24;
/// Every so many reloads the file is a wrong one.
const WRONG: u64 = 5;
/// Between two changes, so that requests run through each.
const PAUSE: Duration = Duration::from_millis(100);

/// On each database.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        on(lab, *database).await?;
    }
    Ok(())
}

async fn on(lab: &Lab, database: Database) -> Result {
    let mut bench = Bench::open(lab, "reload", database, 1, Disk::Plain).await?;
    for number in 0..KEYS {
        bench.add_key(&json!({ "name": format!("reload-{number}") })).await?;
    }
    let running = bench.load(CLIENTS, bench.endless(lab.seed, ask)).start();
    let (reloads, restarts) = (lab.size(10, 50), lab.size(2, 10));
    let changed = change(&mut bench, reloads, restarts).await;
    running.stop();
    let sent = running.finish().await;
    changed?;
    let failed: Vec<String> = sent
        .iter()
        .filter(|(_, sent)| sent.end != End::Whole)
        .map(|(id, sent)| format!("{id}: {:?}", sent.end))
        .collect();
    let rows = bench.rows(None).await?;
    println!(
        "   {database}: {reloads} reloads and {restarts} restarts under {} requests, {} of them not answered whole, {} rows",
        sent.len(),
        failed.len(),
        rows.len()
    );
    if let Some(first) = failed.first() {
        return Err(format!("{} requests were not answered whole; the first: {first}", failed.len()).into());
    }
    let mut faults = bench.faults(&sent, &bench.upstream.truth.calls(), &rows, false);
    faults.extend(bench.sum_faults(&rows).await?);
    verdict(&faults)
}

async fn change(bench: &mut Bench, reloads: u64, restarts: u64) -> Result {
    for number in 1..=reloads {
        sleep(PAUSE).await;
        reload(bench, number).await?;
    }
    bench.gateways[0].write_config(bench.gateways[0].config())?;
    for _ in 0..restarts {
        sleep(PAUSE).await;
        bench.gateways[0].replace().await?;
    }
    sleep(PAUSE).await;
    Ok(())
}

/// Changes what can be changed without changing what a request costs; or breaks the file.
async fn reload(bench: &Bench, number: u64) -> Result {
    let gateway = &bench.gateways[0];
    let wrong = number.is_multiple_of(WRONG);
    let limits = format!("limits: {{ rpm: {} }}, timeouts: {{ connect: {}s }}", 10_000_000 + number, 2 + number % 3);
    let right =
        gateway.config().replace("api_key: \"key-of-the-proof\"", &format!("api_key: \"key-of-the-proof\", {limits}"));
    let models = format!("models: {{ extra-{number}: demo/chat }}\n");
    gateway.write_config(&if wrong { format!("{right}\nmodels: {{ x: [\n") } else { format!("{right}\n{models}") })?;
    let (status, text) = call("POST", &gateway.url, "/admin/v1/config/reload", Some(ADMIN_KEY), Some("{}")).await?;
    let expected = if wrong { 422 } else { 200 };
    if status == expected { Ok(()) } else { Err(format!("reload {number} answered {status}: {text}").into()) }
}

/// Whole answers and streams that last for a while.
fn ask(id: Id, chance: &mut Chance) -> Ask {
    let mut ask = Ask::mixed(id, u64::from(KEYS), chance);
    ask.script.delay_ms = chance.below(20);
    ask
}
