//! One budget in this replica's memory: per window what is leased and what is held of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::budget::{Budget, Window};
use crate::clock::UnixMs;
use crate::money::NanoUsd;

/// A window's share of this replica. In nano-dollars.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The window.
    pub window: Window,
    /// What this replica may spend, rows that are not in the database yet included.
    pub lease: i64,
    /// What requests in flight hold, and what settled rows cost that are not in the database yet.
    pub held: i64,
    /// What was held since the keeper looked last: how much a moment's work needs.
    pub demand: i64,
    /// What the keeper last told the database to be idle.
    pub told_idle: i64,
    /// An answer of the database was lost: what is leased must be read before anything more is held.
    pub unsure: bool,
}

impl Slice {
    fn new(window: Window) -> Self {
        Self { window, lease: 0, held: 0, demand: 0, told_idle: 0, unsure: false }
    }

    /// Leased and not held.
    #[must_use]
    pub fn idle(&self) -> i64 {
        self.lease.saturating_sub(self.held).max(0)
    }
}

/// A budget and its windows.
#[derive(Debug)]
pub struct Account {
    budget: ArcSwap<Budget>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The window that was asked for last: a calendar costs more than a comparison.
    current: Option<Window>,
    slices: BTreeMap<UnixMs, Slice>,
}

impl State {
    fn slice(&mut self, window: Window) -> &mut Slice {
        self.slices.entry(window.start).or_insert_with(|| Slice::new(window))
    }
}

impl Account {
    /// An account with nothing leased.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget: ArcSwap::from_pointee(budget), state: Mutex::default() }
    }

    /// The budget as of now.
    #[must_use]
    pub fn budget(&self) -> Arc<Budget> {
        self.budget.load_full()
    }

    /// Takes over a changed budget; what is leased and held stays with the windows it is of.
    pub(super) fn replace(&self, budget: Budget) {
        let mut state = self.state();
        state.current = None;
        self.budget.store(Arc::new(budget));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds `amount` of what is leased for the window of `at`.
    ///
    /// # Errors
    /// The window, when that is not enough.
    pub fn try_hold(&self, at: UnixMs, amount: NanoUsd) -> Result<UnixMs, Window> {
        let mut state = self.state();
        let window = match state.current {
            Some(window) if window.contains(at) => window,
            _ => self.budget.load().window(at),
        };
        state.current = Some(window);
        let slice = state.slice(window);
        if slice.unsure || slice.lease.saturating_sub(slice.held) < amount.0 {
            return Err(window);
        }
        slice.held = slice.held.saturating_add(amount.0);
        slice.demand = slice.demand.saturating_add(amount.0);
        Ok(window.start)
    }

    /// Gives a hold back.
    pub(super) fn release(&self, start: UnixMs, amount: NanoUsd) {
        if let Some(slice) = self.state().slices.get_mut(&start) {
            slice.held = slice.held.saturating_sub(amount.0);
        }
    }

    /// Puts a cost in the place of what was held for it.
    pub(super) fn settle(&self, start: UnixMs, held: NanoUsd, cost: NanoUsd) {
        if let Some(slice) = self.state().slices.get_mut(&start) {
            slice.held = slice.held.saturating_sub(held.0).saturating_add(cost.0);
        }
    }

    /// A cost is in the database: it is neither held nor leased any more.
    pub(super) fn written(&self, start: UnixMs, cost: NanoUsd) {
        if let Some(slice) = self.state().slices.get_mut(&start) {
            slice.held = slice.held.saturating_sub(cost.0);
            slice.lease = slice.lease.saturating_sub(cost.0).max(0);
        }
    }

    /// The keeper has leased more (or given some back), and holds `held` of it for those who waited.
    pub fn leased(&self, window: Window, more: i64, held: i64) {
        let mut state = self.state();
        let slice = state.slice(window);
        slice.lease = slice.lease.saturating_add(more).max(0);
        slice.held = slice.held.saturating_add(held);
        slice.demand = slice.demand.saturating_add(held);
    }

    /// Takes what is idle beyond `keep` out of the lease, for the keeper to give back.
    #[must_use]
    pub fn take_idle(&self, start: UnixMs, keep: i64) -> i64 {
        let mut state = self.state();
        let Some(slice) = state.slices.get_mut(&start) else { return 0 };
        let spare = slice.idle().saturating_sub(keep).max(0);
        slice.lease -= spare;
        spare
    }

    /// An answer of the database was lost: nobody knows what is leased.
    pub fn doubt(&self, window: Window) {
        self.state().slice(window).unsure = true;
    }

    /// What the database says is leased, after an answer of it was lost.
    pub fn resync(&self, start: UnixMs, lease: NanoUsd) {
        if let Some(slice) = self.state().slices.get_mut(&start) {
            slice.lease = lease.0;
            slice.unsure = false;
        }
    }

    /// The keeper has told the database what is idle.
    pub fn told_idle(&self, start: UnixMs, idle: i64) {
        if let Some(slice) = self.state().slices.get_mut(&start) {
            slice.told_idle = idle;
        }
    }

    /// A window, as it is now.
    #[must_use]
    pub fn slice(&self, start: UnixMs) -> Option<Slice> {
        self.state().slices.get(&start).copied()
    }

    /// Every window, and the demand on each since this was asked last. Windows that have ended and hold
    /// nothing are forgotten.
    #[must_use]
    pub fn look(&self, now: UnixMs) -> Vec<Slice> {
        let mut state = self.state();
        state.slices.retain(|_, slice| {
            slice.lease != 0 || slice.held != 0 || slice.window.end.is_none_or(|end| now < end)
        });
        let slices = state.slices.values_mut();
        slices.map(|slice| Slice { demand: std::mem::take(&mut slice.demand), ..*slice }).collect()
    }
}
