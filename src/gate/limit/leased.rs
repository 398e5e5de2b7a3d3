//! Limits of all replicas together, kept in the database: replicas lease shares of what is left.
//!
//! A request takes of its replica's leases, in memory. Where those do not suffice it asks the keeper
//! (`jobs/shares.rs`), which leases more or learns how long it takes until there is more; until then
//! requests are refused without asking again. What all replicas have leased and used of a limit never
//! exceeds it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::pool::{Change, Left, NotTaken, Pool, Replicas, Taking, Want};
use super::{Kind, Limits, Whose};
use crate::clock::{Clock, MonoNs};
use crate::limits::{RATES, Rate};

/// Requests that wait for more at a time.
pub const MAX_WAITING: usize = 10_000;
/// How long a request waits for the keeper at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a request asks, where others are quicker than it.
const TRIES: usize = 4;
/// What the database said is told in headers for so long.
const FRESH: MonoNs = 50_000_000;
/// After the database has said that there is no more it is asked again when there must be, or after so
/// long: others may have given something back.
const ASK_AGAIN: MonoNs = 200_000_000;

/// A request that waits for more of some limits.
#[derive(Debug)]
pub struct Demand {
    /// What is missing here: whose, and how much of each rate and of places.
    pub missing: Vec<Missing>,
    /// Told once the database has answered; dropped where it does not.
    pub answer: oneshot::Sender<()>,
}

/// What is missing of one holder's limits.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Whose.
    pub whose: Whose,
    /// What they are.
    pub limits: Limits,
    /// How much of each rate.
    pub rates: [i64; RATES.len()],
    /// How many places.
    pub places: i64,
}

/// What this replica has of one holder's limits.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// What the limits are.
    pub limits: Limits,
    /// Leased of each rate and not used; negative where more was used.
    pub rates: [i64; RATES.len()],
    /// Used of each rate since the keeper looked last.
    pub used: [i64; RATES.len()],
    /// Places leased.
    pub places: i64,
    /// Places that requests have.
    pub in_use: i64,
    /// Most places in use since the keeper looked last.
    pub peak: i64,
    /// What the database said was left of each rate, and when.
    known: [Option<(i64, MonoNs)>; RATES.len()],
    /// When it said that there are no more places.
    no_places: Option<MonoNs>,
}

impl Lease {
    /// Whether it has nothing, and nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rates == [0; RATES.len()] && self.places == 0 && self.in_use == 0
    }

    /// How long until so much more can be leased, where that is known and it is not worth asking now.
    fn wait(&self, index: usize, limit: u64, missing: i64, now: MonoNs) -> Option<Duration> {
        let (left, at) = self.known[index]?;
        let short = missing.saturating_sub(left);
        if short <= 0 || now.saturating_sub(at) >= ASK_AGAIN {
            return None;
        }
        let span = RATES[index].span.as_nanos();
        let needed = u128::from(short.unsigned_abs()).saturating_mul(span).div_ceil(u128::from(limit.max(1)));
        let until = at.saturating_add(u64::try_from(needed).unwrap_or(u64::MAX));
        (now < until).then(|| Duration::from_nanos(until - now))
    }

    /// What is left of each rate, where that was told a moment ago.
    fn left(&self, now: MonoNs) -> Left {
        let mut all = Left::default();
        for (rate, _) in self.limits.rates() {
            let at = index(rate);
            if let Some((left, _)) = self.known[at].filter(|(_, when)| now.saturating_sub(*when) < FRESH) {
                all.set(rate, left.saturating_add(self.rates[at]));
            }
        }
        all
    }
}

/// The replica's leases of all limits.
#[derive(Debug)]
pub struct LeasedPool {
    clock: Clock,
    leases: Mutex<HashMap<Whose, Lease>>,
    keeper: mpsc::Sender<Demand>,
    count: AtomicU64,
    rank: AtomicU64,
    there: AtomicBool,
}

/// What came of a look into the leases.
enum Look {
    Taken(Vec<Left>),
    Refused(NotTaken),
    Missing(Vec<Missing>),
}

impl LeasedPool {
    /// Nothing leased; `keeper` takes the demands.
    #[must_use]
    pub fn new(clock: Clock, keeper: mpsc::Sender<Demand>) -> Self {
        Self {
            clock,
            leases: Mutex::default(),
            keeper,
            count: AtomicU64::new(0),
            rank: AtomicU64::new(0),
            there: AtomicBool::new(true),
        }
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<Whose, Lease>> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database answers, as the keeper knows.
    pub fn set_there(&self, there: bool) {
        self.there.store(there, Ordering::Relaxed);
    }

    /// Every lease.
    #[must_use]
    pub fn all(&self) -> Vec<(Whose, Lease)> {
        self.leases().iter().map(|(whose, lease)| (whose.clone(), lease.clone())).collect()
    }

    /// Changes one under the lock.
    pub fn with<T>(&self, whose: &Whose, change: impl FnOnce(&mut Lease) -> T) -> T {
        change(self.leases().entry(whose.clone()).or_default())
    }

    /// Forgets what is empty and was not used since the keeper looked last.
    pub fn tidy(&self) {
        self.leases().retain(|_, lease| {
            let idle = lease.used == [0; RATES.len()] && lease.peak == 0;
            lease.used = [0; RATES.len()];
            lease.peak = lease.in_use;
            !(lease.is_empty() && idle)
        });
    }

    /// The database has said what is left of a rate.
    pub fn known(&self, whose: &Whose, rate: Rate, left: i64) {
        let now = self.clock.mono_ns();
        self.with(whose, |lease| lease.known[index(rate)] = Some((left, now)));
    }

    /// The database has said whether there are places.
    pub fn known_places(&self, whose: &Whose, none: bool) {
        let now = self.clock.mono_ns();
        self.with(whose, |lease| lease.no_places = none.then_some(now));
    }

    /// Takes what is wanted where all of it is leased. Otherwise it is told what is missing, unless it is
    /// known that there is no more; the `last` time what is missing is refused.
    fn look(&self, wants: &[Want], last: bool) -> Look {
        let now = self.clock.mono_ns();
        let mut leases = self.leases();
        let mut missing = Vec::new();
        let mut refused: Option<(Duration, usize, Kind, u64)> = None;
        for (which, want) in wants.iter().enumerate() {
            let lease = leases.entry(want.whose.clone()).or_default();
            if lease.limits != want.limits {
                // What is known is of other limits.
                *lease = Lease { limits: want.limits, known: Default::default(), no_places: None, ..lease.clone() };
            }
            let lacks = lacks(lease, want, now, last, &mut |wait, kind, limit| {
                if refused.as_ref().is_none_or(|(longest, ..)| wait > *longest) {
                    refused = Some((wait, which, kind, limit));
                }
            });
            missing.extend(lacks);
        }
        let left = |leases: &HashMap<Whose, Lease>| {
            wants.iter().map(|want| leases.get(&want.whose).map(|lease| lease.left(now)).unwrap_or_default()).collect()
        };
        if let Some((wait, which, kind, limit)) = refused {
            return Look::Refused(NotTaken::Refused { which, kind, limit, wait, left: left(&leases) });
        }
        if !missing.is_empty() {
            return Look::Missing(missing);
        }
        for want in wants {
            take(leases.entry(want.whose.clone()).or_default(), want);
        }
        Look::Taken(left(&leases))
    }

    async fn ask(&self, wants: &[Want]) -> Result<Vec<Left>, NotTaken> {
        for tried in 0.. {
            let missing = match self.look(wants, tried == TRIES) {
                Look::Taken(left) => return Ok(left),
                Look::Refused(refused) => return Err(refused),
                Look::Missing(missing) => missing,
            };
            let (answer, told) = oneshot::channel();
            if !self.there.load(Ordering::Relaxed) || self.keeper.try_send(Demand { missing, answer }).is_err() {
                return Err(NotTaken::Away);
            }
            match timeout(PATIENCE, told).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(NotTaken::Away),
            }
        }
        Err(NotTaken::Away)
    }
}

/// What a lease has not, and whether it is known that there is no more of it.
fn lacks(
    lease: &Lease,
    want: &Want,
    now: MonoNs,
    last: bool,
    refuse: &mut dyn FnMut(Duration, Kind, u64),
) -> Option<Missing> {
    let mut lacks = Missing { whose: want.whose.clone(), limits: want.limits, rates: [0; RATES.len()], places: 0 };
    for (rate, limit) in want.limits.rates() {
        let (at, need) = (index(rate), i64::try_from(want.of(rate, limit)).unwrap_or(i64::MAX));
        let short = need.saturating_sub(lease.rates[at]);
        if limit == 0 && (need > 0 || (want.ask.of(rate.unit) > 0)) {
            refuse(rate.span, Kind::Rate(rate), limit);
        } else if need > 0 && short > 0 {
            match lease.wait(at, limit, short, now).or(last.then_some(Duration::from_millis(1))) {
                Some(wait) => refuse(wait, Kind::Rate(rate), limit),
                None => lacks.rates[at] = short,
            }
        }
    }
    if let Some(most) = want.limits.concurrency {
        let need = lease.in_use.saturating_add(i64::try_from(want.ask.places).unwrap_or(i64::MAX));
        let none = last || lease.no_places.is_some_and(|at| now.saturating_sub(at) < ASK_AGAIN);
        if want.ask.places > 0 && need > lease.places {
            if none {
                refuse(Duration::from_secs(1), Kind::Concurrency, most);
            } else {
                lacks.places = need - lease.places;
            }
        }
    }
    (lacks.rates != [0; RATES.len()] || lacks.places > 0).then_some(lacks)
}

fn take(lease: &mut Lease, want: &Want) {
    for (rate, limit) in want.limits.rates() {
        let need = i64::try_from(want.of(rate, limit)).unwrap_or(i64::MAX);
        let at = index(rate);
        lease.rates[at] = lease.rates[at].saturating_sub(need);
        lease.used[at] = lease.used[at].saturating_add(need);
    }
    if want.limits.concurrency.is_some() {
        lease.in_use = lease.in_use.saturating_add(i64::try_from(want.ask.places).unwrap_or(i64::MAX));
        lease.peak = lease.peak.max(lease.in_use);
    }
}

fn index(rate: Rate) -> usize {
    RATES.iter().position(|known| *known == rate).unwrap_or(0)
}

impl Pool for LeasedPool {
    fn take<'a>(&'a self, wants: &'a [Want]) -> Taking<'a> {
        Box::pin(self.ask(wants))
    }

    fn settle(&self, whose: &Whose, limits: &Limits, change: Change) {
        self.with(whose, |lease| {
            lease.limits = *limits;
            for (rate, _) in limits.rates() {
                let at = index(rate);
                lease.rates[at] = lease.rates[at].saturating_add(change.rate(rate));
            }
            if limits.concurrency.is_some() {
                lease.in_use = lease.in_use.saturating_sub(change.places).max(0);
                lease.peak = lease.peak.max(lease.in_use);
            }
        });
    }

    fn replicas(&self) -> Option<Replicas> {
        let count = self.count.load(Ordering::Relaxed);
        (count > 0).then(|| Replicas { count, rank: self.rank.load(Ordering::Relaxed) })
    }

    fn set_replicas(&self, replicas: Replicas) {
        self.count.store(replicas.count, Ordering::Relaxed);
        self.rank.store(replicas.rank, Ordering::Relaxed);
    }

    fn is_there(&self) -> bool {
        self.there.load(Ordering::Relaxed)
    }

    fn name(&self) -> &'static str {
        "database"
    }
}
