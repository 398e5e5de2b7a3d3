//! Proof `outage`: the database away, its connections cut, its file locked, the disk full. What cannot be recorded is
//! refused with 503, nothing is lost, no key is called wrong, and work resumes by itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::ask::{Ask, Id};
use super::bench::{Bench, verdict};
use super::chance::Chance;
use super::load::{End, Running, Sent, SentLog};
use super::oracle::Fault;
use super::process::{Disk, can_mount};
use super::tariff::{ALPHA, Tokens};
use super::upstream::UPSTREAM_CODE;
use super::{Database, Lab};
use crate::shell::Result;

const CLIENTS: usize = 16;
/// Before a trouble begins, and between the cuts of connections.
const BEFORE: Duration = Duration::from_millis(300);
const CUTS: Duration = Duration::from_millis(20);
/// How long a gateway may take to work again once the trouble is over.
const RESUMES: Duration = Duration::from_secs(30);
/// How long a full disk may be filled on until work stops: what was reserved beforehand may be used.
const STOPS: Duration = Duration::from_secs(60);
/// The small disk, and the metadata of a key whose rows fill it.
const DISK: &str = "64m";
const METADATA: usize = 7_500;

/// What each database can suffer.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        match database {
            Database::Sqlite => locked(lab).await?,
            Database::Postgres => {
                away(lab).await?;
                cut(lab).await?;
            }
        }
        full(lab, *database).await?;
    }
    Ok(())
}

/// A load on gateways that suffer.
struct Suffering {
    bench: Bench,
    sent: SentLog,
    running: Option<Running>,
    unused: u8,
}

impl Suffering {
    /// Key 0 makes the load; the last key is not used before the trouble, so that no gateway knows it.
    async fn begin(lab: &Lab, name: &str, database: Database, disk: Disk) -> Result<Self> {
        let mut bench = Bench::open(lab, name, database, 1, disk).await?;
        let metadata = if name == "outage-full" { json!({ "ballast": "x".repeat(METADATA) }) } else { json!({}) };
        bench.add_key(&json!({ "name": name, "metadata": metadata })).await?;
        let unused = bench.add_key(&json!({ "name": "unused" })).await?;
        let mut suffering = Self { bench, sent: SentLog::new(), running: None, unused };
        suffering.works("before the trouble").await?;
        suffering.running = Some(suffering.bench.load(CLIENTS, suffering.bench.endless(lab.seed, ask)).start());
        sleep(BEFORE).await;
        Ok(suffering)
    }

    /// One request of a key; its end.
    async fn probe(&mut self, key: u8) -> End {
        let tokens = Tokens { input: 3, output: 2, ..Tokens::default() };
        let source = self.bench.some(1, 0, move |id, _| Ask { key, ..Ask::plain(id, ALPHA, tokens) });
        let log = self.bench.load(1, source).run().await;
        let end = log.values().next().map_or(End::Unsent, |sent| sent.end.clone());
        self.sent.extend(log);
        end
    }

    /// Waits until a request is answered.
    async fn works(&mut self, when: &str) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let end = self.probe(0).await;
            if end == End::Whole {
                return Ok(start.elapsed());
            }
            if start.elapsed() > RESUMES {
                return Err(format!("{when} no request is answered within {RESUMES:?}: {end:?}").into());
            }
            sleep(CUTS).await;
        }
    }

    /// The trouble is over: work resumes by itself, and the books are right.
    async fn end(mut self, what: &str, database: Database) -> Result {
        let resumed = self.works("after the trouble").await?;
        if let Some(running) = self.running.take() {
            running.stop();
            self.sent.extend(running.finish().await);
        }
        if self.bench.gateways[0].has_ended() {
            return Err(format!("{what}: the gateway ended").into());
        }
        let rows = self.bench.rows(None).await?;
        let calls = self.bench.upstream.truth.calls();
        let mut faults = called_wrong(&self.sent);
        faults.extend(self.bench.faults(&self.sent, &calls, &rows, false));
        faults.extend(self.bench.sum_faults(&rows).await?);
        let of = |test: fn(&End) -> bool| self.sent.values().filter(|sent| test(&sent.end)).count();
        let refused = of(|end| matches!(end, End::Refused { status: 503, code, .. } if code != UPSTREAM_CODE));
        println!(
            "   {database}, {what}: {} requests, {} whole, {refused} refused with 503, {} rows; worked again after {resumed:?}",
            self.sent.len(),
            of(|end| *end == End::Whole),
            rows.len(),
        );
        verdict(&faults)
    }
}

/// A mixed load that lasts.
fn ask(id: Id, chance: &mut Chance) -> Ask {
    let mut ask = Ask::troubled(id, 1, chance);
    ask.script.delay_ms = chance.below(10);
    ask
}

/// No valid key is called wrong, whatever the database does.
fn called_wrong(sent: &SentLog) -> Vec<Fault> {
    let wrong = |sent: &Sent| matches!(sent.end, End::Refused { status: 401 | 403, .. });
    let named = sent.iter().filter(|(_, sent)| wrong(sent));
    named
        .map(|(id, sent)| Fault::Wrong(*id, "nothing".to_owned(), format!("a valid key was refused: {:?}", sent.end)))
        .collect()
}

/// PostgreSQL stops, and comes back.
async fn away(lab: &Lab) -> Result {
    let mut suffering = Suffering::begin(lab, "outage-away", Database::Postgres, Disk::Plain).await?;
    lab.postgres()?.as_mut().ok_or("the cluster is gone")?.halt();
    let over = Instant::now() + lab.size(Duration::from_secs(3), Duration::from_secs(60));
    let unused = suffering.unused;
    let stranger = suffering.probe(unused).await;
    if !matches!(stranger, End::Refused { status: 503, .. }) {
        return Err(format!("a valid key that is not in memory, without a database: {stranger:?}").into());
    }
    tokio::time::sleep_until(over).await;
    lab.postgres()?.as_mut().ok_or("the cluster is gone")?.resume()?;
    suffering.end("PostgreSQL away", Database::Postgres).await
}

/// Connections are cut again and again, transactions with them.
async fn cut(lab: &Lab) -> Result {
    let suffering = Suffering::begin(lab, "outage-cut", Database::Postgres, Disk::Plain).await?;
    let over = Instant::now() + lab.size(Duration::from_secs(1), Duration::from_secs(30));
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'outage_cut'";
    while Instant::now() < over {
        lab.postgres()?.as_ref().ok_or("the cluster is gone")?.query(cut)?;
        sleep(CUTS).await;
    }
    suffering.end("connections cut", Database::Postgres).await
}

/// Another process holds SQLite's lock.
async fn locked(lab: &Lab) -> Result {
    let suffering = Suffering::begin(lab, "outage-locked", Database::Sqlite, Disk::Plain).await?;
    let path = suffering.bench.gateways[0].data().join("weir.db");
    let lock = Lock::take(&path.to_string_lossy())?;
    sleep(lab.size(Duration::from_secs(2), Duration::from_secs(20))).await;
    drop(lock);
    suffering.end("SQLite locked", Database::Sqlite).await
}

/// Takes the lock that every writer needs, says so, and holds it until it is killed.
const LOCKER: &str = "\
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
database.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
sys.stdin.read()
";

/// SQLite's lock, held by another process.
struct Lock(Child);

impl Lock {
    fn take(path: &str) -> Result<Self> {
        let mut command = Command::new("python3");
        command.args(["-c", LOCKER, path]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut lock = Self(command.spawn().map_err(|error| format!("cannot start python3: {error}"))?);
        let mut said = [0; 6];
        let out = lock.0.stdout.as_mut().ok_or("python3 has no output")?;
        out.read_exact(&mut said).map_err(|error| format!("the database cannot be locked: {error}"))?;
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The disk with the data is full, and has room again.
async fn full(lab: &Lab, database: Database) -> Result {
    if !can_mount() {
        println!("   {database}, disk full: not possible here (no file system can be mounted, even in a namespace)");
        return Ok(());
    }
    let mut suffering = Suffering::begin(lab, "outage-full", database, Disk::Small(DISK)).await?;
    let filler = suffering.bench.gateways[0].data_from_here().join("filler");
    fill(&filler)?;
    let start = Instant::now();
    while !matches!(suffering.probe(0).await, End::Refused { status: 503, .. }) {
        if database == Database::Postgres && start.elapsed() > lab.size(Duration::from_secs(5), STOPS) {
            // The rows leave the journal for the database, so that the space it has is enough.
            break;
        }
        if start.elapsed() > STOPS {
            return Err(format!("with a full disk work goes on for {STOPS:?}, unrecorded or not").into());
        }
        sleep(CUTS).await;
    }
    sleep(BEFORE).await;
    std::fs::remove_file(&filler)?;
    suffering.end("disk full", database).await
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) -> Result {
    let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut piece = vec![0; 1024 * 1024];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
    Ok(())
}
