//! The limiters of one request, and what it holds of them.

use std::sync::Arc;
use std::time::Duration;

use super::pool::{Change, NotTaken, OnAway, Pool, Replicas, Want};
use super::{Ask, Kind, Limiter, Limiters, Refused, Remaining, Settled};
use crate::clock::MonoNs;

/// What a request, or a call of it, holds of limits. Dropped, it gives all of it back but what was
/// settled.
#[derive(Debug)]
pub struct Line {
    limiters: Arc<Limiters>,
    held: Vec<(Arc<Limiter>, Ask)>,
}

/// What a request used of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// So many.
    Used(u64),
    /// Nobody said: the estimate stands, and so many besides.
    AsHeldAnd(u64),
}

impl Line {
    /// Nothing held.
    #[must_use]
    pub fn new(limiters: &Arc<Limiters>) -> Self {
        Self { limiters: Arc::clone(limiters), held: Vec::new() }
    }

    /// Takes all of this, or nothing. What is asked of a limiter more than once adds up. Where limits are
    /// shared, it asks the pool, whose answer is bounded in time.
    ///
    /// # Errors
    /// The limit that takes longest to have it, with the exact wait.
    pub async fn take(&mut self, asks: &[(Arc<Limiter>, Ask)], now: MonoNs) -> Result<(), Refused> {
        // Those that refuse are in the line too: what is left of them is told.
        for (limiter, _) in asks {
            if !self.held.iter().any(|(held, _)| Arc::ptr_eq(held, limiter)) {
                self.held.push((Arc::clone(limiter), Ask::default()));
            }
        }
        if self.limiters.pool().is_some() {
            // Far larger than what memory alone has to do.
            Box::pin(self.take_shared(asks, now)).await?;
        } else {
            take_all(asks, |limiter, ask| limiter.check(ask, now), |limiter, ask| limiter.take(ask, now), now)?;
        }
        for (limiter, ask) in asks {
            if let Some((_, held)) = self.held.iter_mut().find(|(held, _)| Arc::ptr_eq(held, limiter)) {
                held.requests += ask.requests;
                held.tokens = held.tokens.saturating_add(ask.tokens);
                held.places += ask.places;
            }
        }
        Ok(())
    }

    /// Tokens for a request that was admitted before, of every limiter in the line, and what else is asked.
    ///
    /// # Errors
    /// As [`Line::take`].
    pub async fn take_tokens(&mut self, tokens: u64, also: Option<Arc<Limiter>>, now: MonoNs) -> Result<(), Refused> {
        let own = self.held.iter().map(|(limiter, _)| (Arc::clone(limiter), Ask::tokens(tokens)));
        let asks: Vec<_> = own.chain(also.map(|limiter| (limiter, Ask::request(tokens)))).collect();
        self.take(&asks, now).await
    }

    async fn take_shared(&self, asks: &[(Arc<Limiter>, Ask)], now: MonoNs) -> Result<(), Refused> {
        let Some(pool) = self.limiters.pool() else { return Ok(()) };
        if let Some(refused) = longest(asks.iter().filter_map(|(limiter, ask)| limiter.check_learned(*ask, now))) {
            return Err(refused);
        }
        let (shared, own): (Vec<_>, Vec<_>) =
            asks.iter().cloned().partition(|(limiter, _)| !limiter.limits().is_unlimited());
        let wants: Vec<Want> = shared.iter().map(|(limiter, ask)| want(limiter, *ask)).collect();
        let taken = if wants.is_empty() { Ok(Vec::new()) } else { pool.take(&wants).await };
        match taken {
            Ok(left) => {
                let replicas = pool.replicas().unwrap_or(Replicas::ALONE);
                for ((limiter, ask), left) in shared.iter().zip(&left) {
                    limiter.granted(*ask, left, replicas, now);
                }
            }
            Err(NotTaken::Refused { which, kind, limit, wait, left }) => {
                for ((limiter, _), left) in shared.iter().zip(&left) {
                    limiter.told(left, now);
                }
                let (limiter, _) = shared.get(which).unwrap_or(&asks[0]);
                return Err(Refused { whose: limiter.whose().clone(), kind, limit, retry_after: wait });
            }
            Err(NotTaken::Away) => self.take_apart(pool, &shared, now)?,
        }
        for (limiter, ask) in own {
            // It has no limit that could refuse.
            let _ = limiter.take(ask, now);
        }
        Ok(())
    }

    /// Takes of this replica's parts, while the pool is away; the pool is told of that when it is back.
    fn take_apart(&self, pool: &Arc<dyn Pool>, asks: &[(Arc<Limiter>, Ask)], now: MonoNs) -> Result<(), Refused> {
        let known = pool.replicas().filter(|_| self.limiters.on_away() == OnAway::LocalShares);
        // Nobody knows either what this replica's part is before it has seen the others.
        let Some(replicas) = known else {
            let whose = asks[0].0.whose().clone();
            return Err(Refused { whose, kind: Kind::Unknown, limit: 0, retry_after: Duration::from_secs(1) });
        };
        take_all(asks, |_, _| None, |limiter, ask| limiter.take_part(ask, replicas, now), now)?;
        for (limiter, ask) in asks {
            let limits = limiter.limits();
            pool.settle(limiter.whose(), &limits, Change::taken(&limits, *ask));
        }
        Ok(())
    }

    /// Gives the requests back: the call never reached a model.
    pub fn refund_requests(&mut self, now: MonoNs) {
        for (limiter, held) in &mut self.held {
            let back = Ask { requests: std::mem::take(&mut held.requests), ..Ask::default() };
            self.limiters.settle(limiter, Settled { back, ..Settled::default() }, now);
        }
    }

    /// Puts the tokens that were used in the place of those that were held, and frees the places. The
    /// request stays taken.
    pub fn settle(&mut self, tokens: Tokens, now: MonoNs) {
        for (limiter, held) in self.held.drain(..) {
            let (back, used) = match tokens {
                Tokens::Used(used) => (held.tokens, used),
                Tokens::AsHeldAnd(more) => (0, more),
            };
            let back = Ask { requests: 0, tokens: back, places: held.places };
            // Who was refused has used nothing.
            let used = if held.places > 0 { used } else { 0 };
            self.limiters.settle(&limiter, Settled { back, held: held.tokens, used }, now);
        }
    }

    /// Whether any of them limits tokens.
    #[must_use]
    pub fn limits_tokens(&self) -> bool {
        self.held.iter().any(|(limiter, _)| limiter.limits().limits_tokens())
    }

    /// The tightest of what is left.
    #[must_use]
    pub fn remaining(&self, now: MonoNs) -> Remaining {
        self.held.iter().fold(Remaining::default(), |all, (limiter, _)| all.tighter(limiter.remaining(now)))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            let now = self.limiters.now();
            self.settle(Tokens::Used(0), now);
        }
    }
}

fn want(limiter: &Limiter, ask: Ask) -> Want {
    Want { whose: limiter.whose().clone(), limits: limiter.limits(), ask }
}

fn longest(refused: impl Iterator<Item = Refused>) -> Option<Refused> {
    refused.max_by_key(|refused| refused.retry_after)
}

/// Takes all or nothing. Looks first, so that of several refusals the longest is told; whoever was
/// quicker meanwhile is found when it is taken, and what was taken before goes back.
fn take_all(
    asks: &[(Arc<Limiter>, Ask)],
    check: impl Fn(&Limiter, Ask) -> Option<Refused>,
    take: impl Fn(&Limiter, Ask) -> Result<(), Refused>,
    now: MonoNs,
) -> Result<(), Refused> {
    if asks.len() > 1
        && let Some(refused) = longest(asks.iter().filter_map(|(limiter, ask)| check(limiter, *ask)))
    {
        return Err(refused);
    }
    for (taken, (limiter, ask)) in asks.iter().enumerate() {
        if let Err(refused) = take(limiter, *ask) {
            for (limiter, ask) in &asks[..taken] {
                limiter.give_back(*ask, now);
            }
            return Err(refused);
        }
    }
    Ok(())
}

impl Limiters {
    /// Settles with a limiter, here and in the pool.
    fn settle(&self, limiter: &Limiter, settled: Settled, now: MonoNs) {
        limiter.settle(settled, now);
        if let Some(pool) = self.pool() {
            let limits = limiter.limits();
            let change = Change::of(&limits, settled.back, settled.used);
            if !change.is_nothing() {
                pool.settle(limiter.whose(), &limits, change);
            }
        }
    }
}
