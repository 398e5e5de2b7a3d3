//! Proof `limits`: several processes share one limit. Together they never let more through than it allows, and hardly
//! less, whether all of them are asked or one alone.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::process::{Disk, Spec, Weir};
use super::wire::{Connection, Wire, request};
use super::{Database, Lab};
use crate::shell::{Result, Service, TempDir, free_port, succeeds};

/// A minute's requests. What was not used is saved up, so that many may come at once.
const LIMIT: u64 = 600;
/// Of what may pass, so much must, in percent.
const USED: u64 = 95;
const PROCESSES: usize = 3;
/// Clients of each process, and how long one that is refused waits before it asks again.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);
/// How long replicas take to know of each other.
const KNOWN: Duration = Duration::from_secs(3);

/// Who keeps what is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Database,
    Redis,
}

/// Over PostgreSQL, and with Redis beside it.
pub(super) async fn prove(lab: &Lab) -> Result {
    if !lab.databases.contains(&Database::Postgres) {
        println!("   nothing to do: processes share limits over PostgreSQL");
        return Ok(());
    }
    for keeper in [Keeper::Database, Keeper::Redis] {
        on(lab, keeper).await?;
    }
    Ok(())
}

async fn on(lab: &Lab, keeper: Keeper) -> Result {
    let directory = TempDir::new("prove")?;
    let redis = if keeper == Keeper::Redis { Some(Redis::start(lab)?) } else { None };
    let url = lab.database_url(Database::Postgres, &format!("limits_{keeper:?}").to_lowercase())?;
    let mut gateways = Vec::new();
    for number in 0..PROCESSES {
        let spec = Spec {
            binary: lab.binary.clone(),
            config: config(&url, redis.as_ref()),
            directory: directory.path().join(number.to_string()),
            log: lab.logs.join(format!("limits-{keeper:?}-{number}.log").to_lowercase()),
            disk: Disk::Plain,
        };
        gateways.push(Weir::start(spec).await?);
    }
    let description = json!({ "name": "limits", "team_id": "proof" });
    let (_, key) = gateways[0].ledger().create_key(&description).await?;
    sleep(KNOWN).await;
    let all: Vec<String> = gateways.iter().map(|gateway| gateway.url.clone()).collect();
    let length = Duration::from_secs(lab.size(4, 40));
    let start = Instant::now();
    let together = ask(&all, &key, length).await?;
    // From now on the others have no use for their parts.
    let alone = ask(&all[..1], &key, length).await?;
    let allowed = LIMIT + LIMIT * u64::try_from(start.elapsed().as_millis())? / 60_000;
    let passed = together.passed + alone.passed;
    println!(
        "   {keeper:?}, {PROCESSES} processes: {passed} of {allowed} passed ({} asked of all, {} of one), {} refused",
        together.passed,
        alone.passed,
        together.refused + alone.refused
    );
    if passed > allowed {
        return Err(format!("{} more than the limit allows", passed - allowed).into());
    }
    if passed * 100 < allowed * USED {
        return Err(format!("only {passed} of {allowed} passed").into());
    }
    Ok(())
}

/// What became of requests.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    passed: u64,
    refused: u64,
}

/// Asks these processes, as fast as some clients can, for so long.
async fn ask(urls: &[String], key: &str, length: Duration) -> Result<Told> {
    let until = Instant::now() + length;
    let (passed, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for url in urls {
        for _ in 0..CLIENTS {
            let (url, key) = (url.clone(), key.to_owned());
            let (passed, refused) = (Arc::clone(&passed), Arc::clone(&refused));
            clients.spawn(async move { client(&url, &key, until, &passed, &refused).await });
        }
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(Told { passed: passed.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed) })
}

async fn client(url: &str, key: &str, until: Instant, passed: &AtomicU64, refused: &AtomicU64) -> Wire<()> {
    let body = json!({ "model": "demo/chat", "messages": [] }).to_string();
    let mut connection = Connection::open(url).await?;
    while Instant::now() < until {
        let asked = request("POST", url, "/v1/chat/completions", Some(key), Some(&body))?;
        let response = connection.send(asked).await?;
        let status = response.status().as_u16();
        let mut incoming = response.into_body();
        while connection.next(&mut incoming).await?.is_some() {}
        match status {
            200 => passed.fetch_add(1, Ordering::Relaxed),
            429 => refused.fetch_add(1, Ordering::Relaxed),
            other => return Err(format!("a request was answered {other}")),
        };
        if status == 429 {
            sleep(PAUSE).await;
        }
        if !connection.ready().await {
            connection = Connection::open(url).await?;
        }
    }
    Ok(())
}

/// A slow machine is no Redis that is away: what is proved is the one account, not what stands in for it.
fn config(database: &str, redis: Option<&Redis>) -> String {
    let sharing = redis.map_or_else(
        || "limit_sharing: database\n".to_owned(),
        |redis| format!("limit_sharing: redis\nredis: {{ url: \"redis://127.0.0.1:{}\", timeout: 1s }}\n", redis.port),
    );
    format!(
        "database: {{ url: \"{database}\" }}\nauth: {{ admin_key: \"${{WEIR_ADMIN_KEY}}\" }}\n{sharing}\
         limits: [{{ team: proof, rpm: {LIMIT} }}]\n"
    )
}

/// A Redis server, which ends with its value.
#[derive(Debug)]
struct Redis {
    port: u16,
    _service: Service,
}

impl Redis {
    fn start(lab: &Lab) -> Result<Self> {
        let port = free_port()?;
        let number = port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut service = Service::start("Redis", &mut command, &lab.logs.join("limits-redis.log"))?;
        let ping = || succeeds(Command::new("redis-cli").args(["-p", &number, "ping"]));
        service.wait_until(&format!("redis://127.0.0.1:{port}"), ping)?;
        Ok(Self { port, _service: service })
    }
}
