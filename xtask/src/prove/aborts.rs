//! Proof `aborts`: clients that leave at random bytes. Each has its row, and the upstream is left at once.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::ask::{Ask, Id, id_text};
use super::bench::{Bench, verdict};
use super::chance::Chance;
use super::load::{End, Sent, SentLog};
use super::process::Disk;
use super::truth::{Call, Ending};
use super::wire::host;
use super::{Database, Lab};
use crate::shell::Result;

const CLIENTS: u64 = 48;
/// Of a hundred departures, 99 must reach the upstream within this.
const P99: Duration = Duration::from_secs(1);
/// A client that hears nothing for so long gives up: the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// On each database.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        on(lab, *database).await?;
    }
    Ok(())
}

async fn on(lab: &Lab, database: Database) -> Result {
    let mut bench = Bench::open(lab, "aborts", database, 1, Disk::Plain).await?;
    bench.add_key(&json!({ "name": "aborts" })).await?;
    let requests = lab.size(200, 10_000);
    let sent = leave(&bench, requests, lab.seed).await;
    // The gateway says that nothing is in flight before the last hang-up has reached the upstream.
    let rows = bench.rows(None).await?;
    let calls = hung_up(&bench).await;
    let mut faults = bench.faults(&sent, &calls, &rows, false);
    faults.extend(bench.sum_faults(&rows).await?);
    let mut took = latencies(&sent, &calls);
    took.sort_unstable();
    let p = |share: usize| took.get(took.len() * share / 100).or(took.last()).copied().unwrap_or_default();
    let left = sent.values().filter(|sent| matches!(sent.end, End::Left(_))).count();
    let without = sent.keys().filter(|id| !rows.iter().any(|row| row.id == Some(**id))).count();
    println!(
        "   {database}: {} requests, {left} left early, {} rows, {without} left before they were heard; {} hang-ups seen: p50 {:?}, p99 {:?}, most {:?}",
        sent.len(),
        rows.len(),
        took.len(),
        p(50),
        p(99),
        took.last().copied().unwrap_or_default(),
    );
    if p(99) >= P99 {
        return Err(format!("the upstream saw clients leave after {:?} (p99); the bound is {P99:?}", p(99)).into());
    }
    verdict(&faults)
}

/// Waits until no call is open: longer than the bound is a failure by itself.
async fn hung_up(bench: &Bench) -> Vec<Call> {
    let until = Instant::now() + PATIENCE;
    loop {
        let calls = bench.upstream.truth.calls();
        if calls.iter().all(|call| call.ending != Ending::Open) || Instant::now() > until {
            return calls;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// From the client's departure to the upstream's knowledge of it.
fn latencies(sent: &SentLog, calls: &[Call]) -> Vec<Duration> {
    let took = |call: &Call| match (&sent.get(&call.id)?.end, call.ending) {
        (End::Left(left), Ending::HungUp(seen)) => Some(seen.saturating_duration_since(*left)),
        (End::Left(left), Ending::Open) => Some(left.elapsed()),
        _ => None,
    };
    calls.iter().filter_map(took).collect()
}

async fn leave(bench: &Bench, requests: u64, seed: u64) -> SentLog {
    let mut tasks = JoinSet::new();
    for number in 0..CLIENTS {
        let (url, key) = (bench.gateways[0].url.clone(), bench.secret(0).to_owned());
        let share = requests / CLIENTS + u64::from(number < requests % CLIENTS);
        let first = 1 + number * (requests / CLIENTS + 1);
        let mut chance = Chance::new(seed ^ number.wrapping_mul(0x1_0001));
        tasks.spawn(async move {
            let mut log = Vec::new();
            for id in first..first + share {
                let end = one(&url, &key, id, &mut chance).await;
                log.push((id, Sent { key: 0, tags: None, end, told: None }));
            }
            log
        });
    }
    let mut log = SentLog::new();
    while let Some(done) = tasks.join_next().await {
        log.extend(done.into_iter().flatten());
    }
    log
}

/// One request whose client leaves after some bytes of the answer, the head counted in, or at some moment.
async fn one(url: &str, key: &str, id: Id, chance: &mut Chance) -> End {
    let mut ask = Ask::mixed(id, 1, chance);
    ask.script.delay_ms = chance.between(1, 25);
    ask.script.chunks = u32::try_from(chance.between(10, 40)).unwrap_or(10);
    if !ask.stream {
        ask.script.delay_ms *= 10;
    }
    let bytes = if chance.percent(80) { usize::try_from(chance.between(1, 2_500)).unwrap_or(1) } else { usize::MAX };
    let moment = if bytes == usize::MAX { Duration::from_millis(chance.below(200)) } else { PATIENCE };
    let Ok(mut stream) = TcpStream::connect(host(url)).await else { return End::Unsent };
    let mut heard = Vec::new();
    let outcome = timeout(moment, talk(&mut stream, &message(url, key, &ask), bytes, &mut heard)).await;
    drop(stream);
    let left = Instant::now();
    match outcome {
        _ if whole(&heard) => End::Whole,
        Ok(Err(why)) => End::Broken(why),
        Err(_) if bytes != usize::MAX => End::Broken(format!("no answer within {PATIENCE:?}")),
        _ => End::Left(left),
    }
}

fn message(url: &str, key: &str, ask: &Ask) -> String {
    let (body, id) = (ask.body(), id_text(ask.script.id));
    let host = host(url);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nx-request-id: {id}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends it and reads until enough came, or all.
async fn talk(
    stream: &mut TcpStream,
    message: &str,
    bytes: usize,
    heard: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    stream.write_all(message.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut piece = [0; 1024];
    while heard.len() < bytes && !whole(heard) {
        let room = piece.len().min(bytes - heard.len());
        match stream.read(&mut piece[..room]).await {
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(read) => heard.extend_from_slice(&piece[..read]),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Whether the last byte of the answer is there.
fn whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.contains("data: [DONE]\n\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_known() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert!(!whole(b"HTTP/1.1 200 OK\r\n"));
        assert!(!whole(format!("{head}four").as_bytes()));
        assert!(whole(format!("{head}fives").as_bytes()));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!whole(format!("{head}10\r\ndata: [DONE]\n").as_bytes()));
        assert!(whole(format!("{head}10\r\ndata: [DONE]\n\n").as_bytes()));
    }
}
