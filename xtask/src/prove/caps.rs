//! Budgets of a run, and whether they were kept: by what the upstream did, and by their own books.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, SETTLE};
use super::ledger::Row;
use super::load::{Sent, SentLog};
use super::oracle::{Fault, cap, spent};
use super::tariff::{Nano, usd};
use super::truth::Call;
use crate::shell::Result;

/// Between two looks at books that are not settled.
const PAUSE: Duration = Duration::from_millis(100);

/// After this every process knows a new budget.
pub(super) const KNOWN: Duration = Duration::from_millis(1_200);

/// A budget.
pub(super) struct Cap {
    name: String,
    /// Where the admin plane shows it.
    path: String,
    /// What it allows.
    pub(super) limit: Nano,
    belongs: Box<dyn Fn(&Sent) -> bool>,
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, usd(self.limit))
    }
}

/// What the books are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Books<'a> {
    /// The clients' log.
    pub(super) sent: &'a SentLog,
    /// The upstream's.
    pub(super) calls: &'a [Call],
    /// The ledger.
    pub(super) rows: &'a [Row],
}

impl Cap {
    /// A new key with a budget of its own.
    pub(super) async fn with_key(bench: &mut Bench, description: &Value, limit: Nano) -> Result<Self> {
        let mut description = description.clone();
        description["budget"] = json!({ "usd": usd(limit), "period": "total" });
        let key = bench.add_key(&description).await?;
        let id = &bench.keys[usize::from(key)].id;
        Ok(Self {
            name: format!("the budget of key {key}"),
            path: format!("/admin/v1/keys/{id}"),
            limit,
            belongs: Box::new(move |sent| sent.key == key),
        })
    }

    /// A new budget of a team, a tag, ...; `belongs` says whose requests are its.
    pub(super) async fn alone(
        bench: &Bench,
        (scope, subject): (&str, &str),
        limit: Nano,
        belongs: impl Fn(&Sent) -> bool + 'static,
    ) -> Result<Self> {
        let name = format!("the budget of {scope} {subject}");
        let body = json!({ "name": name, "scope": scope, "subject": subject, "usd": usd(limit), "period": "total" });
        let made = bench.ledger().send("POST", "/admin/v1/budgets", &body).await?;
        let id = made["id"].as_str().ok_or("a new budget without an id")?;
        Ok(Self { name, path: format!("/admin/v1/budgets/{id}"), limit, belongs: Box::new(belongs) })
    }

    /// What the upstream's work has cost of it.
    pub(super) fn spent(&self, books: &Books<'_>) -> Nano {
        spent(books.sent, books.calls, &self.belongs)
    }

    /// Whether it was kept, and its own books say what its rows cost and hold nothing back.
    async fn faults(&self, bench: &Bench, books: &Books<'_>) -> Result<Vec<Fault>> {
        let mut faults: Vec<Fault> = cap(&self.name, self.limit, self.spent(books)).into_iter().collect();
        let told = bench.ledger().budget(&self.path).await?;
        let belongs = |row: &&Row| row.id.and_then(|id| books.sent.get(&id)).is_some_and(&self.belongs);
        let own: Nano = books.rows.iter().filter(belongs).map(|row| row.cost.unwrap_or(0)).sum();
        let differs = |says: String, rows: String| Fault::Sums(self.name.clone(), says, rows);
        if told.spent != own {
            faults.push(differs(format!("{} spent", usd(told.spent)), usd(own)));
        }
        if told.reserved != 0 {
            faults.push(differs(format!("{} reserved", usd(told.reserved)), "all settled".to_owned()));
        }
        faults.extend(cap(&format!("{}, by its rows,", self.name), self.limit, own));
        Ok(faults)
    }
}

/// The faults of all budgets. What is given back may be given back a little later, so they are looked at until the
/// time is over.
pub(super) async fn faults(caps: &[Cap], bench: &Bench, books: &Books<'_>) -> Result<Vec<Fault>> {
    let until = Instant::now() + SETTLE;
    loop {
        let mut faults = Vec::new();
        for cap in caps {
            faults.extend(cap.faults(bench, books).await?);
        }
        let hopeless = faults.iter().any(|fault| matches!(fault, Fault::Overshoot(..)));
        if faults.is_empty() || hopeless || Instant::now() > until {
            return Ok(faults);
        }
        sleep(PAUSE).await;
    }
}
