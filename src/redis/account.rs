//! What this replica holds in Redis, and what it has not told there yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redis::ScriptInvocation;

use crate::gate::limit::pool::{Change, Want};
use crate::gate::limit::{Ask, Limits, Whose};

/// By holder. No more than there are limiters: what holds nothing and has nothing to tell is not kept.
#[derive(Debug, Default)]
pub(super) struct Accounts(HashMap<Whose, Account>);

#[derive(Debug, Default)]
struct Account {
    limits: Limits,
    /// Places that requests of this replica have.
    places: i64,
    /// Not told yet.
    change: Change,
    /// Numbers what is told of places: of two words that overtake each other the later one holds.
    word: u64,
    to_tell: bool,
}

impl Accounts {
    /// Something came back, or was taken without asking.
    pub(super) fn settle(&mut self, whose: &Whose, limits: &Limits, change: Change) {
        let account = self.0.entry(whose.clone()).or_default();
        account.limits = *limits;
        if limits.concurrency.is_some() {
            account.places = account.places.saturating_sub(change.places).max(0);
        }
        account.change = account.change.and(&change.without_places());
        account.to_tell = true;
    }

    /// All that holds places is to be told: a sign of life.
    pub(super) fn tell_all(&mut self) {
        for account in self.0.values_mut() {
            account.to_tell |= account.places > 0;
        }
    }

    /// Some of what is to be told.
    pub(super) fn untold(&mut self, most: usize) -> Vec<Want> {
        self.0.retain(|_, account| account.to_tell || account.places > 0);
        let waiting = self.0.iter().filter(|(_, account)| account.to_tell).take(most);
        waiting
            .map(|(whose, account)| Want { whose: whose.clone(), limits: account.limits, ask: Ask::default() })
            .collect()
    }
}

/// A question to Redis. Dropped before it was answered, it leaves what it is not known of as taken.
pub(super) struct Asked<'a> {
    accounts: &'a Mutex<Accounts>,
    wants: &'a [Want],
    said: Vec<Said>,
    heard: bool,
}

struct Said {
    change: Change,
    places: i64,
    word: u64,
}

impl<'a> Asked<'a> {
    /// Reserves the places here, and takes what is to be told along.
    pub(super) fn begin(accounts: &'a Mutex<Accounts>, wants: &'a [Want]) -> Self {
        let mut all = lock(accounts);
        let mut said = Vec::with_capacity(wants.len());
        for want in wants {
            let account = all.0.entry(want.whose.clone()).or_default();
            account.limits = want.limits;
            account.places = account.places.saturating_add(places(want));
            account.word += 1;
            account.to_tell = false;
            let change = std::mem::take(&mut account.change);
            said.push(Said { change, places: account.places, word: account.word });
        }
        drop(all);
        Self { accounts, wants, said, heard: false }
    }

    /// Puts it into the form that the script reads.
    pub(super) fn write(&self, call: &mut ScriptInvocation<'_>) {
        for want in self.wants {
            let Whose { scope, subject, declared } = &want.whose;
            let of = if *declared { "limits" } else { "own" };
            // The braces keep all of them on one node of a cluster.
            call.key(format!("weir:{{limits}}:{}:{of}:{subject}", scope.as_str()));
        }
        for (want, said) in self.wants.iter().zip(&self.said) {
            let most = want.limits.concurrency.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
            call.arg(want.limits.rates().count()).arg(most).arg(places(want)).arg(said.places).arg(said.word);
            for (rate, limit) in want.limits.rates() {
                let span = u64::try_from(rate.span.as_micros()).unwrap_or(u64::MAX);
                call.arg(rate.name).arg(limit).arg(span).arg(want.of(rate, limit)).arg(said.change.rate(rate));
            }
        }
    }

    /// All of it was taken.
    pub(super) fn granted(mut self) {
        self.heard = true;
    }

    /// Nothing was taken; what was told is known there.
    pub(super) fn refused(mut self) {
        self.heard = true;
        let mut all = lock(self.accounts);
        for want in self.wants {
            if let Some(account) = all.0.get_mut(&want.whose) {
                account.places = account.places.saturating_sub(places(want)).max(0);
            }
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.heard {
            return;
        }
        let mut all = lock(self.accounts);
        for (want, said) in self.wants.iter().zip(&self.said) {
            let account = all.0.entry(want.whose.clone()).or_default();
            account.limits = want.limits;
            account.places = account.places.saturating_sub(places(want)).max(0);
            account.change = account.change.and(&said.change.only_taken());
            account.to_tell = true;
        }
    }
}

/// Places count where they are limited.
fn places(want: &Want) -> i64 {
    if want.limits.concurrency.is_some() { i64::try_from(want.ask.places).unwrap_or(i64::MAX) } else { 0 }
}

fn lock(accounts: &Mutex<Accounts>) -> MutexGuard<'_, Accounts> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}
