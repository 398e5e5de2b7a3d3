//! Keeps this replica's shares of limits: leases more where requests wait, gives back what it does not
//! need, and knows how many replicas there are.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonoNs};
use crate::gate::limit::leased::{Demand, Lease, LeasedPool, Missing};
use crate::gate::limit::pool::{Pool, Replicas};
use crate::gate::limit::{Limits, Whose};
use crate::limits::RATES;
use crate::store::shares::{self, Ask, Leased, Lessee, Rates};
use crate::store::{Db, StoreError};

/// Between two looks at what is too much or too little.
const TICK: Duration = Duration::from_millis(100);
const SECOND: MonoNs = 1_000_000_000;
/// Between two signs of life.
const RENEW: MonoNs = 5 * SECOND;
/// A replica without a sign of life for so long is taken for dead.
const DEAD_MS: i64 = 30_000;
/// For one call to the database.
const CALL: Duration = Duration::from_millis(1500);
/// After a call that failed, nobody asks for so long.
const AWAY: MonoNs = 500_000_000;
/// Requests that are answered in one round.
const ROUND: usize = 4096;
/// Holders whose shares are settled in one transaction.
const BATCH: usize = 256;

/// What the keeper works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// This replica's shares.
    pub pool: Arc<LeasedPool>,
    /// Requests that wait for more.
    pub demands: Receiver<Demand>,
    /// This replica's name.
    pub replica: String,
}

/// The keeper of shares.
#[derive(Debug)]
pub struct ShareKeeper {
    parts: Parts,
    looked: MonoNs,
    renewed: Option<MonoNs>,
    away_until: MonoNs,
}

/// What is asked of one holder, by its name in the database.
type Asks = BTreeMap<String, (Whose, Ask)>;

impl ShareKeeper {
    /// Its name in logs.
    pub const NAME: &'static str = "share_keeper";

    /// A keeper of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, looked: 0, renewed: None, away_until: 0 }
    }

    /// Runs until it is stopped; then it gives everything back.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                demand = self.parts.demands.recv() => match demand {
                    Some(demand) => self.demands(demand).await,
                    None => break,
                },
                () = tokio::time::sleep(TICK) => {}
            }
            self.look().await;
        }
        self.keep(|lease| settled(lease, 0)).await;
        let _ = self.call(shares::forget(&self.parts.db, &self.parts.replica)).await;
    }

    fn now(&self) -> MonoNs {
        self.parts.clock.mono_ns()
    }

    fn lessee(&self) -> Lessee<'_> {
        let now = self.parts.clock.unix_ms();
        let replicas = self.parts.pool.replicas().map_or(1, |replicas| replicas.count);
        let replicas = i64::try_from(replicas).unwrap_or(i64::MAX);
        Lessee { replica: &self.parts.replica, now, expires_at: now.saturating_add(DEAD_MS), replicas }
    }

    /// A call to the database, which may not take long: requests wait.
    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        let answer = tokio::time::timeout(CALL, call).await;
        let there = matches!(answer, Ok(Ok(_)));
        if self.parts.pool.is_there() != there {
            self.parts.pool.set_there(there);
            match &answer {
                Ok(Ok(_)) => tracing::info!(job = Self::NAME, "limits are shared in the database"),
                Ok(Err(error)) => {
                    tracing::warn!(job = Self::NAME, %error, "limits cannot be shared in the database: {error}");
                }
                Err(_) => tracing::warn!(job = Self::NAME, "limits cannot be shared: the database does not answer"),
            }
        }
        answer.ok()?.ok()
    }

    /// Answers the requests that wait, all together.
    async fn demands(&mut self, first: Demand) {
        let mut waiting = vec![first];
        while waiting.len() < ROUND
            && let Ok(demand) = self.parts.demands.try_recv()
        {
            waiting.push(demand);
        }
        // Whoever has left needs nothing any more.
        waiting.retain(|demand| !demand.answer.is_closed());
        let mut asks = Asks::new();
        for missing in waiting.iter().flat_map(|demand| &demand.missing) {
            self.add(&mut asks, missing);
        }
        if self.lease(asks).await {
            for Demand { answer, .. } in waiting {
                // Whoever has left meanwhile finds it leased the next time.
                let _ = answer.send(());
            }
        }
    }

    fn add(&self, asks: &mut Asks, missing: &Missing) {
        let (used, places) = self.parts.pool.with(&missing.whose, |lease| (lease.used, lease.places));
        let ask = || (missing.whose.clone(), nothing(&missing.whose, missing.limits, places));
        let (_, ask) = asks.entry(holder(&missing.whose)).or_insert_with(ask);
        for (at, rate) in ask.rates.iter_mut().enumerate().filter(|(at, _)| missing.rates[*at] > 0) {
            rate.demands.push(missing.rates[at]);
            // As much again as was used within the last second.
            rate.more = used[at];
        }
        ask.wanted = ask.wanted.max(ask.places.saturating_add(missing.places));
    }

    /// Asks the database, and takes over what came of it. `false` when it does not answer.
    async fn lease(&mut self, asks: Asks) -> bool {
        if self.now() < self.away_until {
            return false;
        }
        let (whose, asks): (Vec<Whose>, Vec<Ask>) = asks.into_values().unzip();
        let leased = self.call(shares::lease(&self.parts.db, self.lessee(), &asks)).await;
        let Some(leased) = leased else {
            self.away_until = self.now().saturating_add(AWAY);
            for (whose, ask) in whose.iter().zip(&asks) {
                self.unheard(whose, ask);
            }
            return false;
        };
        for ((whose, ask), leased) in whose.iter().zip(&asks).zip(&leased) {
            self.heard(whose, ask, leased);
        }
        true
    }

    fn heard(&self, whose: &Whose, ask: &Ask, leased: &Leased) {
        let pool = &self.parts.pool;
        for (at, rate) in RATES.into_iter().enumerate() {
            if let Some((more, left)) = leased.rates[at] {
                pool.with(whose, |lease| {
                    lease.rates[at] = lease.rates[at].saturating_add(more);
                    // Whoever waits for it has not taken it yet: until then it is not idle.
                    lease.used[at] = lease.used[at].saturating_add(more);
                });
                pool.known(whose, rate, left);
            }
        }
        if let Some(places) = leased.places {
            pool.with(whose, |lease| {
                lease.places = places;
                lease.peak = lease.peak.max(places);
            });
            pool.known_places(whose, places < ask.wanted);
        }
    }

    /// It is not known whether the database has heard of it. What was given back is then lost, and what
    /// was used is told again: a limit may be missed from below, never from above.
    fn unheard(&self, whose: &Whose, ask: &Ask) {
        self.parts.pool.with(whose, |lease| {
            for (has, rate) in lease.rates.iter_mut().zip(&ask.rates) {
                *has = has.saturating_add(rate.back.min(0));
            }
        });
    }

    /// What is to be done without being asked.
    async fn look(&mut self) {
        let now = self.now();
        if now < self.away_until || (now.saturating_sub(self.looked) < SECOND && self.looked != 0) {
            return;
        }
        self.looked = now.max(1);
        if self.keep(|lease| settled(lease, 1)).await {
            self.parts.pool.tidy();
        }
        if self.renewed.is_none_or(|at| now.saturating_sub(at) >= RENEW)
            && self.call(shares::renew(&self.parts.db, self.lessee())).await.is_some()
        {
            self.renewed = Some(now);
        }
    }

    /// Settles what `change` says of every lease.
    async fn keep(&mut self, change: impl Fn(&mut Lease) -> Option<([Rates; RATES.len()], i64, i64)>) -> bool {
        let mut asks = Asks::new();
        for (whose, _) in self.parts.pool.all() {
            let settled = self.parts.pool.with(&whose, |lease| change(lease).map(|told| (told, lease.limits)));
            if let Some(((rates, places, wanted), limits)) = settled {
                let ask = Ask { rates, wanted, ..nothing(&whose, limits, places) };
                asks.insert(holder(&whose), (whose, ask));
            }
            if asks.len() >= BATCH && !self.lease(std::mem::take(&mut asks)).await {
                return false;
            }
        }
        asks.is_empty() || self.lease(asks).await
    }
}

/// What of a lease is to be told: debts, what is too much, what runs low. It keeps what it used within
/// the last second `seconds` times over.
fn settled(lease: &mut Lease, seconds: i64) -> Option<([Rates; RATES.len()], i64, i64)> {
    let mut rates: [Rates; RATES.len()] = Default::default();
    let mut any = false;
    for (at, rate) in rates.iter_mut().enumerate() {
        let keep = lease.used[at].saturating_mul(seconds);
        let has = lease.rates[at];
        if has < 0 || has > keep.saturating_mul(2) {
            rate.back = if has < 0 { has } else { has - keep };
            lease.rates[at] = has.saturating_sub(rate.back);
        } else if has < keep / 2 {
            rate.more = keep;
        }
        any |= rate.back != 0 || rate.more != 0;
    }
    let wanted = if seconds == 0 { lease.in_use } else { lease.in_use.max(lease.peak) };
    // More only where requests took places without asking.
    let wanted = if wanted < lease.places { wanted } else { lease.places.max(lease.in_use) };
    any |= wanted != lease.places;
    // What is given back is nobody's from now on, before the database hears of it.
    let places = lease.places;
    lease.places = wanted.min(places);
    any.then_some((rates, places, wanted))
}

fn nothing(whose: &Whose, limits: Limits, places: i64) -> Ask {
    Ask { holder: holder(whose), limits, rates: Default::default(), places, wanted: places }
}

fn holder(whose: &Whose) -> String {
    let of = if whose.declared { "limits" } else { "own" };
    format!("{}:{of}:{}", whose.scope.as_str(), whose.subject)
}

/// Follows how many replicas there are, and whether the pool answers.
#[derive(Debug)]
pub struct ReplicaWatch {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Who is to know it.
    pub pool: Arc<dyn Pool>,
    /// This replica's name.
    pub replica: String,
    /// 1 while the pool answers.
    pub is_there: IntGauge,
}

impl ReplicaWatch {
    /// Runs until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut looked: Option<MonoNs> = None;
        loop {
            let now = self.clock.mono_ns();
            if looked.is_none_or(|at| now.saturating_sub(at) >= SECOND) {
                looked = Some(now);
                self.look().await;
            }
            self.is_there.set(i64::from(self.pool.is_there()));
            if tokio::time::timeout(TICK, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn look(&self) {
        let since = self.clock.unix_ms().saturating_sub(DEAD_MS);
        let asked = shares::replicas(&self.db, &self.replica, since);
        if let Ok(Ok((count, rank))) = tokio::time::timeout(CALL, asked).await {
            let count = u64::try_from(count).unwrap_or(0).max(1);
            let rank = u64::try_from(rank).unwrap_or(0).min(count - 1);
            self.pool.set_replicas(Replicas { count, rank });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(rates: i64, used: i64) -> Lease {
        let mut lease = Lease::default();
        (lease.rates[0], lease.used[0]) = (rates, used);
        lease
    }

    #[test]
    fn what_is_idle_goes_back_and_what_runs_low_is_asked_for() {
        // (has, used) and then (back, more, left here).
        for (given, expected) in [
            ((10, 0), Some((10, 0, 0))),
            ((10, 4), Some((6, 0, 4))),
            ((8, 4), None),
            ((2, 4), None),
            ((1, 4), Some((0, 4, 1))),
            ((-3, 4), Some((-3, 0, 0))),
            ((0, 0), None),
        ] {
            let mut lease = lease(given.0, given.1);
            let told = settled(&mut lease, 1).map(|(rates, ..)| (rates[0].back, rates[0].more, lease.rates[0]));
            assert_eq!(told, expected, "{given:?}");
        }
        let mut last = lease(3, 4);
        assert_eq!(settled(&mut last, 0).map(|(rates, ..)| rates[0].back), Some(3), "at the end everything");
    }

    #[test]
    fn places_that_nobody_has_go_back_at_once_and_those_taken_apart_are_told() {
        let places = |places, in_use, peak| {
            let mut lease = Lease::default();
            (lease.places, lease.in_use, lease.peak) = (places, in_use, peak);
            lease
        };
        let mut idle = places(5, 1, 2);
        assert_eq!(settled(&mut idle, 1).map(|(_, has, wanted)| (has, wanted)), Some((5, 2)));
        assert_eq!(idle.places, 2, "nobody takes what is given back");
        let mut apart = places(1, 3, 3);
        assert_eq!(settled(&mut apart, 1).map(|(_, has, wanted)| (has, wanted)), Some((1, 3)));
        assert_eq!(apart.places, 1);
        assert!(settled(&mut places(2, 2, 2), 1).is_none());
    }
}
