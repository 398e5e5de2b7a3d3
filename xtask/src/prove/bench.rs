//! What a scenario runs on: an upstream, gateways on one database, keys, and the evidence afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::ask::{Ask, Id};
use super::chance::Chance;
use super::ledger::{Ledger, Row};
use super::load::{Load, SentLog, Source};
use super::oracle::{Evidence, Fault, sums};
use super::process::{Disk, Spec, Weir};
use super::tariff::{PROVIDER, Tariffs, prices_section};
use super::truth::Call;
use super::upstream::Upstream;
use super::{Database, Lab};
use crate::shell::{Result, TempDir};

/// How long a gateway may take to settle what it has.
pub(super) const SETTLE: Duration = Duration::from_secs(30);
/// Most faults that are printed.
const SHOWN: usize = 10;

/// A virtual key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its id in rows.
    pub(super) id: String,
    secret: String,
}

/// What a scenario runs on.
#[derive(Debug)]
pub(super) struct Bench {
    /// The provider.
    pub(super) upstream: Upstream,
    /// The gateways.
    pub(super) gateways: Vec<Weir>,
    /// The keys, by the number that requests name.
    pub(super) keys: Vec<Key>,
    /// Prices.
    pub(super) tariffs: Tariffs,
    next_id: Arc<AtomicU64>,
    // Fields drop in order: the gateways end before their directory goes.
    _directory: TempDir,
}

impl Bench {
    /// Starts `gateways` processes on a fresh database.
    pub(super) async fn open(lab: &Lab, name: &str, database: Database, gateways: usize, disk: Disk) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let directory = TempDir::new("prove")?;
        let url = lab.database_url(database, name)?;
        let mut started = Vec::new();
        for number in 0..gateways {
            let spec = Spec {
                binary: lab.binary.clone(),
                config: config(&url, &upstream.url),
                directory: directory.path().join(number.to_string()),
                log: lab.logs.join(format!("{name}-{database}-{number}.log")),
                disk: disk.clone(),
            };
            started.push(Weir::start(spec).await?);
        }
        let next_id = Arc::new(AtomicU64::new(1));
        let tariffs = Tariffs::read()?;
        Ok(Self { upstream, gateways: started, keys: Vec::new(), tariffs, next_id, _directory: directory })
    }

    /// Makes a virtual key; the number by which requests name it.
    pub(super) async fn add_key(&mut self, description: &Value) -> Result<u8> {
        let (id, secret) = self.ledger().create_key(description).await?;
        let number = u8::try_from(self.keys.len())?;
        self.keys.push(Key { id, secret });
        Ok(number)
    }

    /// The first gateway's admin plane.
    pub(super) fn ledger(&self) -> Ledger {
        self.gateways[0].ledger()
    }

    /// The number that the next request gets.
    pub(super) fn next_id(&self) -> Id {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Endless requests made by `make`, each with a number of its own.
    pub(super) fn endless(&self, seed: u64, mut make: impl FnMut(Id, &mut Chance) -> Ask + Send + 'static) -> Source {
        let (next, mut chance) = (Arc::clone(&self.next_id), Chance::new(seed));
        Box::new(move || Some(make(next.fetch_add(1, Ordering::Relaxed), &mut chance)))
    }

    /// So many of them.
    pub(super) fn some(
        &self,
        count: u64,
        seed: u64,
        make: impl FnMut(Id, &mut Chance) -> Ask + Send + 'static,
    ) -> Source {
        let (mut left, mut endless) = (count, self.endless(seed, make));
        Box::new(move || {
            left = left.checked_sub(1)?;
            endless()
        })
    }

    /// A load of these requests on all gateways.
    pub(super) fn load(&self, clients: usize, source: Source) -> Load {
        let urls = self.gateways.iter().map(|gateway| gateway.url.clone()).collect();
        let keys = self.keys.iter().map(|key| key.secret.clone()).collect();
        Load { urls, keys, clients, source }
    }

    /// A key's secret.
    pub(super) fn secret(&self, key: u8) -> &str {
        &self.keys[usize::from(key)].secret
    }

    /// Waits until all is settled, and reads the rows; of a long run those since `from`.
    pub(super) async fn rows(&self, from: Option<&str>) -> Result<Vec<Row>> {
        for gateway in &self.gateways {
            gateway.settled(SETTLE).await?;
        }
        let mut rows = Vec::new();
        self.ledger().rows(from, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// What the join of clients, upstream and ledger finds.
    pub(super) fn faults(&self, sent: &SentLog, calls: &[Call], rows: &[Row], killed: bool) -> Vec<Fault> {
        let keys: Vec<String> = self.keys.iter().map(|key| key.id.clone()).collect();
        Evidence { sent, calls, rows, keys: &keys, tariffs: &self.tariffs, killed }.faults()
    }

    /// Whether totals by hour, by day, by key and by key, model and day are the sums of the rows.
    pub(super) async fn sum_faults(&self, rows: &[Row]) -> Result<Vec<Fault>> {
        let ledger = self.ledger();
        let key = |row: &Row| row.key.clone().unwrap_or_default();
        let mut faults = sums("hour", rows, &ledger.totals(&["hour"]).await?, |row| vec![row.hour()]);
        faults.extend(sums("day", rows, &ledger.totals(&["day"]).await?, |row| vec![row.day()]));
        faults.extend(sums("key", rows, &ledger.totals(&["key"]).await?, |row| vec![key(row)]));
        let all = ledger.totals(&["key", "model", "day"]).await?;
        faults.extend(sums("key, model, day", rows, &all, |row| vec![key(row), row.model.clone(), row.day()]));
        Ok(faults)
    }
}

/// Prints the first faults; any is the end of the run.
pub(super) fn verdict(faults: &[Fault]) -> Result {
    if faults.is_empty() {
        return Ok(());
    }
    faults.iter().take(SHOWN).for_each(|fault| println!("  {fault}"));
    let more = faults.len().saturating_sub(SHOWN);
    if more > 0 {
        println!("  and {more} more");
    }
    Err(format!("{} violations; the first: {}", faults.len(), faults[0]).into())
}

fn config(database: &str, upstream: &str) -> String {
    let prices = prices_section();
    format!(
        r#"database: {{ url: "{database}" }}
auth: {{ admin_key: "${{WEIR_ADMIN_KEY}}" }}
server: {{ drain_timeout: 1s, handover: handover.sock }}
providers:
  {PROVIDER}: {{ kind: openai-compatible, base_url: "{upstream}/v1", api_key: "key-of-the-proof" }}
{prices}"#
    )
}
