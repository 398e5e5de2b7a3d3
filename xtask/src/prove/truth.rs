//! What the upstream saw and said: the truth that the ledger is held against.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::ask::{Id, Script};
use super::tariff::{Nano, Tariffs, Tokens};

/// How a call ended, as the upstream saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is under way.
    Open,
    /// The whole answer was handed to the connection.
    Finished,
    /// It was refused with this status.
    Failed(u16),
    /// The upstream broke the connection, as told.
    Cut,
    /// The gateway hung up.
    HungUp(Instant),
}

/// A call of the upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The request that it belongs to.
    pub(super) id: Id,
    /// The model that was called.
    pub(super) model: u8,
    /// Its end.
    pub(super) ending: Ending,
    /// The usage that went out, once it did.
    pub(super) reported: Option<Tokens>,
    /// What the call costs once all of it is generated: the script's tokens at the model's price.
    pub(super) cost: Nano,
}

impl Call {
    /// Whether the provider generated something, all of it or a part, that it would bill.
    pub(super) fn worked(&self) -> bool {
        !matches!(self.ending, Ending::Failed(_))
    }
}

/// The log of all calls.
#[derive(Clone, Debug)]
pub(super) struct Truth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tariffs: Tariffs,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    calls: Vec<Call>,
    tries: HashMap<Id, u32>,
}

impl Truth {
    /// An empty log.
    pub(super) fn new(tariffs: Tariffs) -> Self {
        Self(Arc::new(Inner { tariffs, log: Mutex::default() }))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; the entry tells how it ends. Beside it the number of calls of the same request before.
    pub(super) fn open(&self, model: u8, script: &Script) -> (Entry, u32) {
        let cost = self.0.tariffs.cost(model, script.tokens);
        let mut log = self.log();
        let place = log.calls.len();
        log.calls.push(Call { id: script.id, model, ending: Ending::Open, reported: None, cost });
        let tries = log.tries.entry(script.id).or_default();
        let before = *tries;
        *tries += 1;
        drop(log);
        (Entry { truth: self.clone(), place }, before)
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.log().calls.clone()
    }

    /// How many calls there were.
    pub(super) fn count(&self) -> usize {
        self.log().calls.len()
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.log().calls.get_mut(place) {
            change(call);
        }
    }
}

/// A call under way; dropped before its end was told, it was hung up on.
#[derive(Debug)]
pub(super) struct Entry {
    truth: Truth,
    place: usize,
}

impl Entry {
    /// Its usage goes out.
    pub(super) fn report(&self, used: Tokens) {
        self.truth.change(self.place, |call| call.reported = Some(used));
    }

    /// It ends, for the first time.
    pub(super) fn end(&self, ending: Ending) {
        self.truth.change(self.place, |call| {
            if call.ending == Ending::Open {
                call.ending = ending;
            }
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(Ending::HungUp(Instant::now()));
    }
}
