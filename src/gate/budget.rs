//! Budgets at work: what a request could cost is held of every budget in its caller's line before an
//! upstream is called, and replaced by what it did cost afterwards.
//!
//! The truth is in the database, shared by all replicas. A replica spends from *leases*, amounts that it
//! took from the database beforehand, so that holding touches memory only. Where its lease does not
//! suffice, the request asks the keeper (`jobs/budget_keeper.rs`), which takes more, or learns that there
//! is no more. What all replicas have spent and leased never exceeds what a budget allows; what a
//! request holds never exceeds its replica's lease. So a budget cannot be overdrawn but by a request
//! that costs more than its worst case, and then the next one waits.

mod account;
mod index;

use std::sync::{Arc, Mutex, PoisonError};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

pub use account::{Account, Slice};
pub use index::{Index, LineOf};

use crate::budget::{Budget, Window};
use crate::clock::UnixMs;
use crate::money::NanoUsd;

/// Requests that wait for more of a budget at a time.
pub const MAX_WAITING: usize = 10_000;

/// All budgets of this replica.
#[derive(Debug)]
pub struct Budgets {
    index: ArcSwap<Index>,
    /// Whether they were read from the database.
    known: AtomicBool,
    keeper: mpsc::Sender<Demand>,
    /// The last change that is known.
    rev: AtomicI64,
    /// Whoever changes the index goes one by one.
    changing: Mutex<()>,
    /// Odd while the writer brings costs to the database.
    writing: AtomicU64,
}

/// A request that waits for more of a budget.
#[derive(Debug)]
pub struct Demand {
    /// Of which budget.
    pub account: Arc<Account>,
    /// In which window.
    pub window: Window,
    /// How much.
    pub amount: NanoUsd,
    /// What became of it.
    pub answer: oneshot::Sender<Answer>,
}

/// The keeper's answer.
#[derive(Debug)]
pub enum Answer {
    /// It is held.
    Held(Hold),
    /// There is no more: what is left of what is allowed.
    Exceeded {
        /// Neither spent nor held by anybody.
        left: NanoUsd,
        /// What may be spent in the window.
        allowance: NanoUsd,
    },
    /// The database that would know is away.
    Unavailable,
}

/// A part of one budget; dropped, it is given back.
#[derive(Debug)]
pub struct Hold {
    account: Arc<Account>,
    start: UnixMs,
    amount: NanoUsd,
}

impl Hold {
    /// What was added to an account's holds already.
    #[must_use]
    pub fn of(account: Arc<Account>, start: UnixMs, amount: NanoUsd) -> Self {
        Self { account, start, amount }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.release(self.start, self.amount);
    }
}

/// Why a request finds no room in a budget.
#[derive(Debug)]
pub enum Refused {
    /// One of its budgets does not have as much left.
    Exceeded(Box<Exceeded>),
    /// Nobody can tell: the database is away and what was leased is used up.
    Unavailable,
}

/// A budget that has not as much left as a request could cost.
#[derive(Debug)]
pub struct Exceeded {
    /// Which one.
    pub budget: Arc<Budget>,
    /// In which window.
    pub window: Window,
    /// What the request could cost.
    pub needed: NanoUsd,
    /// What is left.
    pub left: NanoUsd,
    /// What may be spent in the window.
    pub allowance: NanoUsd,
}

/// What a request holds of each budget in its line. Dropped, all of it is given back.
#[derive(Debug)]
pub struct Reservation {
    holds: Vec<Hold>,
    amount: NanoUsd,
}

impl Reservation {
    /// Whether there is no budget in the line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    /// How much it is, of each.
    #[must_use]
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }

    /// The windows it is of: a budget's id and the window's start.
    #[must_use]
    pub fn charges(&self) -> Vec<(String, UnixMs)> {
        self.holds.iter().map(|hold| (hold.account.budget().id.clone(), hold.start)).collect()
    }

    /// Puts what it did cost in the place of what it could. The keeper is told once that is written.
    #[must_use]
    pub fn settle(mut self, cost: NanoUsd) -> Vec<(String, UnixMs)> {
        let charges = self.charges();
        for hold in &mut self.holds {
            hold.account.settle(hold.start, hold.amount, cost);
            // What is left to give back.
            hold.amount = NanoUsd(0);
        }
        charges
    }
}

impl Budgets {
    /// No budgets, until they are known; `keeper` takes the demands.
    #[must_use]
    pub fn new(keeper: mpsc::Sender<Demand>) -> Self {
        Self { index: ArcSwap::from_pointee(Index::default()), known: AtomicBool::new(false), keeper, rev: AtomicI64::new(0), changing: Mutex::new(()), writing: AtomicU64::new(0) }
    }

    /// Whether they were read from the database.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// All of them.
    #[must_use]
    pub fn index(&self) -> Arc<Index> {
        self.index.load_full()
    }

    /// The last change that is known: what comes after it is news.
    #[must_use]
    pub fn rev(&self) -> i64 {
        self.rev.load(Ordering::Acquire)
    }

    /// Takes over some budgets; there are more.
    pub fn learn(&self, changed: Vec<Budget>) {
        if !changed.is_empty() {
            let _order = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let rev = changed.iter().map(|budget| budget.rev).max().unwrap_or(0);
            self.rev.fetch_max(rev, Ordering::AcqRel);
            self.index.store(Arc::new(self.index.load().with(changed)));
        }
    }

    /// Takes over the last changes: all of them are known now.
    pub fn apply(&self, changed: Vec<Budget>) {
        self.learn(changed);
        self.known.store(true, Ordering::Release);
    }

    /// The account of a budget.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<Arc<Account>> {
        self.index.load().account(id)
    }

    /// Every budget that a request is charged to.
    #[must_use]
    pub fn line(&self, of: &LineOf<'_>) -> Vec<Arc<Account>> {
        self.index.load().line(of)
    }

    /// Holds `amount` of every budget in `line`, or of none, out of what is leased.
    #[must_use]
    pub fn try_hold(&self, line: &[Arc<Account>], at: UnixMs, amount: NanoUsd) -> Option<Reservation> {
        let mut reservation = Reservation { holds: Vec::with_capacity(line.len()), amount };
        for account in line {
            let start = account.try_hold(at, amount).ok()?;
            reservation.holds.push(Hold::of(Arc::clone(account), start, amount));
        }
        Some(reservation)
    }

    /// Holds `amount` of every budget in `line`, or of none. Waits for the database only where what is
    /// leased does not suffice.
    ///
    /// # Errors
    /// The first budget that has not as much left.
    pub async fn hold(&self, line: &[Arc<Account>], at: UnixMs, amount: NanoUsd) -> Result<Reservation, Refused> {
        let mut reservation = Reservation { holds: Vec::with_capacity(line.len()), amount };
        for account in line {
            let hold = match account.try_hold(at, amount) {
                Ok(start) => Hold::of(Arc::clone(account), start, amount),
                Err(window) => self.demand(account, window, amount).await?,
            };
            reservation.holds.push(hold);
        }
        Ok(reservation)
    }

    async fn demand(&self, account: &Arc<Account>, window: Window, amount: NanoUsd) -> Result<Hold, Refused> {
        let (answer, wait) = oneshot::channel();
        let demand = Demand { account: Arc::clone(account), window, amount, answer };
        // A full queue or a keeper that has ended: nobody can tell.
        self.keeper.try_send(demand).map_err(|_| Refused::Unavailable)?;
        match wait.await {
            Ok(Answer::Held(hold)) => Ok(hold),
            Ok(Answer::Exceeded { left, allowance }) => Err(Refused::Exceeded(Box::new(Exceeded {
                budget: account.budget(),
                window,
                needed: amount,
                left,
                allowance,
            }))),
            Ok(Answer::Unavailable) | Err(_) => Err(Refused::Unavailable),
        }
    }

    /// The writer is about to change what the database says of leases.
    pub fn write_begins(&self) {
        self.writing.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was so; `None` while it is. Two equal answers, and what was read of leases between
    /// them is what this replica counts.
    #[must_use]
    pub fn quiet(&self) -> Option<u64> {
        let writing = self.writing.load(Ordering::Acquire);
        writing.is_multiple_of(2).then_some(writing)
    }

    /// Rows of these charges are in the database now: what they cost is spent and no longer held.
    pub fn written<'a>(&self, rows: impl Iterator<Item = (&'a [(String, UnixMs)], NanoUsd)>) {
        let index = self.index.load();
        for (charges, cost) in rows {
            for (id, start) in charges {
                if let Some(account) = index.account(id) {
                    account.written(*start, cost);
                }
            }
        }
        self.writing.fetch_add(1, Ordering::AcqRel);
    }

    /// The cost of a settled row turned out to be another.
    pub fn corrected(&self, charges: &[(String, UnixMs)], from: NanoUsd, to: NanoUsd) {
        let index = self.index.load();
        for (id, start) in charges {
            if let Some(account) = index.account(id) {
                account.settle(*start, from, to);
            }
        }
    }
}

#[cfg(test)]
mod tests;
