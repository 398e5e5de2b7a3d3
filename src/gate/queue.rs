//! The queue of requests that wait for an upstream whose limits are used up.
//!
//! Bounded in length and time. Higher priorities go first; within one, tenants take turns, so that who
//! sends much waits behind himself. Only the first in line asks the limits; whoever leaves, for whatever
//! reason, makes room and wakes the next. There is no task that serves it: those who wait do.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::limit::{Kind, Priority, Refused};

/// How often the first in line looks for a place that nobody told it of: another replica may have
/// freed it.
const LOOK: Duration = Duration::from_millis(50);

/// A queue.
#[derive(Debug)]
pub struct Queue {
    max_wait: Duration,
    max_size: usize,
    state: Mutex<State>,
}

/// Who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Whose turn it takes.
    pub tenant: Arc<str>,
    /// Before whom it goes.
    pub priority: Priority,
}

#[derive(Debug, Default)]
struct State {
    /// By priority: tenants in turn, each with those that wait.
    classes: [VecDeque<Tenant>; Priority::ALL.len()],
    waiting: usize,
    next_id: u64,
    /// The last refusal of the first in line.
    last: Option<Refused>,
}

#[derive(Debug)]
struct Tenant {
    name: Arc<str>,
    waiting: VecDeque<(u64, Arc<Notify>)>,
}

impl State {
    fn first(&self) -> Option<&(u64, Arc<Notify>)> {
        self.classes.iter().find_map(|class| class.front()?.waiting.front())
    }

    fn wake_first(&self) {
        if let Some((_, turn)) = self.first() {
            turn.notify_one();
        }
    }
}

/// A place in the queue; dropped, it is free.
#[derive(Debug)]
struct Place<'q> {
    queue: &'q Queue,
    who: Waiter,
    id: u64,
    turn: Arc<Notify>,
    served: bool,
}

impl Place<'_> {
    fn is_first(&self) -> bool {
        self.queue.state().first().is_some_and(|(id, _)| *id == self.id)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.waiting -= 1;
        let class = &mut state.classes[self.who.priority as usize];
        if let Some(at) = class.iter().position(|tenant| tenant.name == self.who.tenant) {
            let tenant = &mut class[at];
            tenant.waiting.retain(|(id, _)| *id != self.id);
            let empty = tenant.waiting.is_empty();
            // Who was served goes behind the other tenants.
            if (self.served || empty)
                && let Some(tenant) = class.remove(at)
                && !empty
            {
                class.push_back(tenant);
            }
        }
        state.wake_first();
    }
}

/// Two queues are alike when their settings are.
impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        (self.max_wait, self.max_size) == (other.max_wait, other.max_size)
    }
}

impl Queue {
    /// An empty queue: at most `max_size` wait, each at most `max_wait`.
    #[must_use]
    pub fn new(max_wait: Duration, max_size: usize) -> Self {
        Self { max_wait, max_size, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left a list whose places are still given back one by one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().waiting
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Something was given back: the first in line may try again.
    pub fn wake(&self) {
        self.state().wake_first();
    }

    /// Tries at once where nobody waits.
    ///
    /// # Errors
    /// The refusal, or that others wait (`None`).
    pub async fn try_first<T, F: Future<Output = Result<T, Refused>>>(
        &self,
        attempt: impl FnOnce() -> F,
    ) -> Result<T, Option<Refused>> {
        if self.is_empty() { attempt().await.map_err(Some) } else { Err(None) }
    }

    /// Waits for a turn and tries then, until it is admitted or has waited as long as may be. `refused` is
    /// what came of a try at once.
    ///
    /// # Errors
    /// The last refusal: too many wait, or it waited in vain, or what is missing will not be there in time.
    pub async fn wait<T, F: Future<Output = Result<T, Refused>>>(
        &self,
        who: Waiter,
        refused: Option<Refused>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Refused> {
        if let Some(refused) = refused.as_ref().filter(|refused| self.is_in_vain(refused)) {
            return Err(refused.clone());
        }
        let Some(mut place) = self.join(who) else {
            let last = refused.or_else(|| self.state().last.clone());
            return match last {
                Some(refused) => Err(refused),
                None => attempt().await,
            };
        };
        let mut last = refused;
        let turn = async {
            loop {
                let pause = if place.is_first() {
                    match attempt().await {
                        Ok(taken) => return Ok(taken),
                        Err(refused) if self.is_in_vain(&refused) => return Err(refused),
                        Err(refused) => {
                            let pause = pause(&refused);
                            self.state().last = Some(refused.clone());
                            last = Some(refused);
                            pause
                        }
                    }
                } else {
                    self.max_wait
                };
                let _ = timeout(pause, place.turn.notified()).await;
            }
        };
        let outcome = timeout(self.max_wait, turn).await;
        match outcome {
            Ok(outcome) => {
                place.served = outcome.is_ok();
                outcome
            }
            Err(_) => match last.or_else(|| self.state().last.clone()) {
                Some(refused) => Err(refused),
                None => attempt().await,
            },
        }
    }

    /// Whether waiting cannot help: a rate says exactly how long it takes, and who cannot be asked may
    /// be away for long.
    fn is_in_vain(&self, refused: &Refused) -> bool {
        match refused.kind {
            Kind::Concurrency => false,
            Kind::Unknown => true,
            Kind::Rate(_) | Kind::Learned(_) => refused.retry_after > self.max_wait,
        }
    }

    fn join(&self, who: Waiter) -> Option<Place<'_>> {
        let mut state = self.state();
        if state.waiting >= self.max_size {
            return None;
        }
        state.waiting += 1;
        let id = state.next_id;
        state.next_id += 1;
        let turn = Arc::new(Notify::new());
        let class = &mut state.classes[who.priority as usize];
        match class.iter_mut().find(|tenant| tenant.name == who.tenant) {
            Some(tenant) => tenant.waiting.push_back((id, Arc::clone(&turn))),
            None => class.push_back(Tenant {
                name: Arc::clone(&who.tenant),
                waiting: VecDeque::from([(id, Arc::clone(&turn))]),
            }),
        }
        Some(Place { queue: self, who, id, turn, served: false })
    }
}

/// When the first in line looks again, if nobody wakes it.
fn pause(refused: &Refused) -> Duration {
    match refused.kind {
        Kind::Concurrency => LOOK,
        _ => refused.retry_after.max(Duration::from_millis(1)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;
    use crate::gate::limit::{Ask, Limiter, Limits, Scope, Whose};

    const WAIT: Duration = Duration::from_secs(60);

    fn who(tenant: &str, priority: Priority) -> Waiter {
        Waiter { tenant: tenant.into(), priority }
    }

    /// One place, taken by whoever is admitted and given back by hand.
    fn one_place() -> Limiter {
        let limits = Limits { concurrency: Some(1), ..Limits::default() };
        Limiter::new(Whose::new(Scope::Provider, "up"), limits, 0)
    }

    async fn served(queue: &Queue, limiter: &Limiter, waiters: &[(&str, Priority)]) -> Vec<usize> {
        limiter.admit_request(0).unwrap();
        let order = Mutex::new(Vec::new());
        let waits = waiters.iter().enumerate().map(|(n, (tenant, priority))| {
            let order = &order;
            async move {
                queue.wait(who(tenant, *priority), None, async || limiter.admit_request(0)).await.unwrap();
                order.lock().unwrap().push(n);
                limiter.give_back(Ask { places: 1, ..Ask::default() }, 0);
                queue.wake();
            }
        });
        let mut all = Box::pin(join_all(waits));
        assert!((&mut all).now_or_never().is_none());
        limiter.give_back(Ask { places: 1, ..Ask::default() }, 0);
        queue.wake();
        all.await;
        assert!(queue.is_empty());
        order.into_inner().unwrap()
    }

    #[tokio::test]
    async fn tenants_take_turns_and_priorities_go_first() {
        use Priority::{High, Low, Normal};
        let (queue, limiter) = (Queue::new(WAIT, 100), one_place());
        let order = served(&queue, &limiter, &[("a", Normal), ("a", Normal), ("a", Normal), ("b", Normal)]).await;
        assert_eq!(order, [0, 3, 1, 2], "b waits behind one of a's, not behind three");
        let order = served(&queue, &limiter, &[("a", Low), ("a", Normal), ("b", High), ("c", Normal)]).await;
        assert_eq!(order, [2, 1, 3, 0]);
    }

    #[tokio::test]
    async fn who_leaves_makes_room() {
        let (queue, limiter) = (Queue::new(WAIT, 2), one_place());
        limiter.admit_request(0).unwrap();
        let attempt = async || limiter.admit_request(0);
        let mut first = Box::pin(queue.wait(who("a", Priority::Normal), None, attempt));
        let mut second = Box::pin(queue.wait(who("b", Priority::Normal), None, attempt));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        let refused = queue.wait(who("c", Priority::Normal), None, attempt).await.unwrap_err();
        assert_eq!((refused.kind, queue.len()), (Kind::Concurrency, 2), "no room for a third");
        drop(first);
        assert_eq!(queue.len(), 1);
        limiter.give_back(Ask { places: 1, ..Ask::default() }, 0);
        queue.wake();
        second.await.unwrap();
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_may_be_or_in_vain() {
        let limits = Limits { rpm: Some(1), ..Limits::default() };
        let limiter = Limiter::new(Whose::new(Scope::Provider, "up"), limits, 0);
        limiter.admit_request(0).unwrap();
        let tries = AtomicU64::new(0);
        let attempt = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            limiter.admit_request(0)
        };
        let queue = Queue::new(Duration::from_secs(59), 2);
        let refused = queue.wait(who("a", Priority::Normal), None, attempt).await.unwrap_err();
        assert_eq!((refused.retry_after, tries.load(Ordering::Relaxed)), (Duration::from_secs(60), 1));
        let (queue, limiter) = (Queue::new(Duration::from_millis(20), 2), one_place());
        limiter.admit_request(0).unwrap();
        let refused = queue.wait(who("a", Priority::Normal), None, async || limiter.admit_request(0)).await;
        assert_eq!(refused.unwrap_err().kind, Kind::Concurrency);
        assert!(queue.is_empty());
    }
}
