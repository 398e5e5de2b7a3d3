//! The limits that the configuration declares, and the limiters of those they are for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::pool::{OnAway, Pool};
use super::{Limiter, Limits, Scope, Whose};
use crate::clock::{Clock, MonoNs};

/// The subject that stands for each on its own.
pub const EACH: &str = "*";
/// Limiters of one scope in memory. Beyond, those at rest are forgotten.
const MAX_LIVE: usize = 100_000;

/// Limits of a subject, or of each.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Of what kind.
    pub scope: Scope,
    /// Which one, or [`EACH`].
    pub subject: String,
    /// How much.
    pub limits: Limits,
}

/// All declared limits.
#[derive(Clone, Debug, Default)]
pub struct Rules(HashMap<Scope, OfScope>);

#[derive(Clone, Debug, Default)]
struct OfScope {
    each: Option<Limits>,
    named: HashMap<String, Limits>,
}

impl Rules {
    /// These; of two for the same subject the last holds.
    #[must_use]
    pub fn new(declared: impl IntoIterator<Item = Declared>) -> Self {
        let mut rules = Self::default();
        for Declared { scope, subject, limits } in declared {
            let of = rules.0.entry(scope).or_default();
            if subject == EACH {
                of.each = Some(limits);
            } else {
                of.named.insert(subject, limits);
            }
        }
        rules
    }

    /// The limits of a subject: its own, which take the place of those of each.
    fn of(&self, scope: Scope, subject: &str) -> Option<Limits> {
        let of = self.0.get(&scope)?;
        of.named.get(subject).copied().or(of.each)
    }
}

/// Every limiter but those of virtual keys' own limits and of upstream keys, and how limits are shared.
#[derive(Debug)]
pub struct Limiters {
    clock: Clock,
    rules: ArcSwap<Rules>,
    live: papaya::HashMap<Whose, Arc<Limiter>>,
    order: Mutex<VecDeque<Whose>>,
    pool: Option<Arc<dyn Pool>>,
    on_away: OnAway,
}

impl Limiters {
    /// Limiters of these rules, of this replica alone.
    #[must_use]
    pub fn new(clock: Clock, rules: Rules) -> Self {
        Self {
            clock,
            rules: ArcSwap::from_pointee(rules),
            live: papaya::HashMap::new(),
            order: Mutex::default(),
            pool: None,
            on_away: OnAway::default(),
        }
    }

    /// The same, of all replicas together.
    #[must_use]
    pub fn shared(self, pool: Arc<dyn Pool>, on_away: OnAway) -> Self {
        Self { pool: Some(pool), on_away, ..self }
    }

    /// What replicas share, if they do.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<dyn Pool>> {
        self.pool.as_ref()
    }

    pub(super) fn on_away(&self) -> OnAway {
        self.on_away
    }

    pub(super) fn now(&self) -> MonoNs {
        self.clock.mono_ns()
    }

    /// Takes over other rules; what was used stays used.
    pub fn set_rules(&self, rules: Rules) {
        let (now, rules) = (self.now(), Arc::new(rules));
        // Before the limiters there are: one that is made meanwhile has the new ones already.
        self.rules.store(Arc::clone(&rules));
        for (whose, limiter) in &self.live.pin() {
            limiter.set_limits(rules.of(whose.scope, &whose.subject).unwrap_or_default(), now);
        }
    }

    /// The limiter of a subject, if anything limits it.
    #[must_use]
    pub fn of(&self, scope: Scope, subject: &str) -> Option<Arc<Limiter>> {
        let limits = self.rules.load().of(scope, subject)?;
        Some(self.live(scope, subject, limits))
    }

    /// The limiter of a subject that is named itself, not only among each.
    #[must_use]
    pub fn named(&self, scope: Scope, subject: &str) -> Option<Arc<Limiter>> {
        let limits = self.rules.load().0.get(&scope)?.named.get(subject).copied()?;
        Some(self.live(scope, subject, limits))
    }

    fn live(&self, scope: Scope, subject: &str, limits: Limits) -> Arc<Limiter> {
        let whose = Whose { declared: true, ..Whose::new(scope, subject) };
        let live = self.live.pin();
        if let Some(limiter) = live.get(&whose) {
            return Arc::clone(limiter);
        }
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have made it meanwhile.
        if let Some(limiter) = live.get(&whose) {
            return Arc::clone(limiter);
        }
        let now = self.now();
        let limiter = Arc::new(Limiter::new(whose.clone(), limits, now));
        live.insert(whose.clone(), Arc::clone(&limiter));
        order.push_back(whose);
        let mut looked = 0;
        while order.len() > MAX_LIVE && looked < 64 {
            looked += 1;
            let Some(oldest) = order.pop_front() else { break };
            // One that somebody holds, or that has not all back yet, would come back with full buckets.
            let busy = live.get(&oldest).is_some_and(|old| Arc::strong_count(old) > 1 || !old.at_rest(now));
            if busy {
                order.push_back(oldest);
            } else {
                live.remove(&oldest);
            }
        }
        limiter
    }

    /// All that are in memory, and all that are named.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Limiter>> {
        let rules = self.rules.load();
        for (scope, of) in &rules.0 {
            for (subject, limits) in &of.named {
                self.live(*scope, subject, *limits);
            }
        }
        self.live.pin().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpm(n: u64) -> Limits {
        Limits { rpm: Some(n), ..Limits::default() }
    }

    fn declared(scope: Scope, subject: &str, limits: Limits) -> Declared {
        Declared { scope, subject: subject.to_owned(), limits }
    }

    #[test]
    fn each_is_limited_on_its_own_and_a_name_goes_before_that() {
        let rules = Rules::new([declared(Scope::Team, EACH, rpm(1)), declared(Scope::Team, "big", rpm(9))]);
        let limiters = Limiters::new(Clock::mock(0), rules);
        let (a, b) = (limiters.of(Scope::Team, "a").unwrap(), limiters.of(Scope::Team, "b").unwrap());
        a.admit_request(0).unwrap();
        assert!(a.admit_request(0).is_err());
        b.admit_request(0).unwrap();
        assert!(Arc::ptr_eq(&a, &limiters.of(Scope::Team, "a").unwrap()));
        assert_eq!(limiters.of(Scope::Team, "big").unwrap().limits(), rpm(9));
        assert!(limiters.of(Scope::User, "a").is_none());
        assert!(limiters.named(Scope::Team, "a").is_none() && limiters.named(Scope::Team, "big").is_some());
    }

    #[test]
    fn other_rules_keep_what_was_used() {
        let limiters = Limiters::new(Clock::mock(0), Rules::new([declared(Scope::Team, "a", rpm(2))]));
        let team = limiters.of(Scope::Team, "a").unwrap();
        team.admit_request(0).unwrap();
        limiters.set_rules(Rules::new([declared(Scope::Team, "a", rpm(5))]));
        let level = limiters.of(Scope::Team, "a").unwrap().remaining(0).requests.unwrap();
        assert_eq!((level.limit, level.remaining), (5, 4));
        limiters.set_rules(Rules::default());
        assert!(limiters.of(Scope::Team, "a").is_none() && team.limits().is_unlimited());
    }

    #[test]
    fn memory_is_bounded_but_what_is_in_use_stays() {
        let limiters = Limiters::new(Clock::mock(0), Rules::new([declared(Scope::User, EACH, rpm(2))]));
        limiters.of(Scope::User, "busy").unwrap().admit_request(0).unwrap();
        for n in 0..MAX_LIVE + 500 {
            assert!(limiters.of(Scope::User, &n.to_string()).is_some());
        }
        assert!(limiters.all().len() <= MAX_LIVE);
        assert_eq!(limiters.of(Scope::User, "busy").unwrap().in_flight(), 1);
    }
}
