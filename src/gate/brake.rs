//! A brake for agents that run away: what one session may spend, how many turns it may take, how often
//! it may ask the very same thing again.
//!
//! A session is what a caller says it is; its figures are this replica's and are forgotten when nothing
//! was heard of it for a while.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::MonoNs;
use crate::money::NanoUsd;

/// Most sessions that are remembered; beyond it the one unheard for longest is forgotten.
const MAX_SESSIONS: usize = 100_000;

/// What a session may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What it may spend.
    pub spend: Option<NanoUsd>,
    /// How many requests it may make.
    pub turns: Option<u64>,
    /// How often one request may follow itself.
    pub repeats: Option<u64>,
    /// After how long without a request it is forgotten.
    pub idle: Duration,
}

/// Which of its limits a session has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It has spent as much as it may.
    Spend(NanoUsd),
    /// It has made as many requests as it may.
    Turns(u64),
    /// It has asked the same thing as often as it may.
    Repeats(u64),
}

/// A session, by its owner and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

#[derive(Clone, Copy, Debug)]
struct Session {
    spent: NanoUsd,
    turns: u64,
    last: u64,
    repeats: u64,
    heard: MonoNs,
}

/// The brake.
#[derive(Debug)]
pub struct Brake {
    limits: ArcSwap<Limits>,
    hasher: RandomState,
    sessions: Mutex<HashMap<SessionId, Session>>,
}

impl Brake {
    /// A brake with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits: ArcSwap::from_pointee(limits), hasher: RandomState::new(), sessions: Mutex::default() }
    }

    /// Changes the limits; sessions keep what they have used.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Whether there is anything to brake.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let limits = self.limits.load();
        limits.spend.is_some() || limits.turns.is_some() || limits.repeats.is_some()
    }

    /// The session that `owner` calls `name`.
    #[must_use]
    pub fn session(&self, owner: &str, name: &str) -> SessionId {
        SessionId(self.hasher.hash_one((owner, name)))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, unless its session has reached a limit.
    ///
    /// # Errors
    /// The limit.
    pub fn turn(&self, id: SessionId, body: &[u8], now: MonoNs) -> Result<(), Reached> {
        let Limits { spend, turns, repeats: most, idle } = **self.limits.load();
        let hash = if most.is_some() { self.hasher.hash_one(body) } else { 0 };
        let idle = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        let mut sessions = self.sessions();
        if sessions.len() >= MAX_SESSIONS && !sessions.contains_key(&id) {
            forget(&mut sessions, now, idle);
        }
        let new = Session { spent: NanoUsd(0), turns: 0, last: 0, repeats: 0, heard: now };
        let session = sessions.entry(id).or_insert(new);
        if now.saturating_sub(session.heard) > idle {
            *session = new;
        }
        session.heard = now;
        let repeats = if session.turns > 0 && session.last == hash { session.repeats + 1 } else { 0 };
        if let Some(spend) = spend.filter(|spend| session.spent >= *spend) {
            return Err(Reached::Spend(spend));
        }
        if let Some(turns) = turns.filter(|turns| session.turns >= *turns) {
            return Err(Reached::Turns(turns));
        }
        if let Some(most) = most.filter(|most| repeats > *most) {
            return Err(Reached::Repeats(most));
        }
        (session.turns, session.last, session.repeats) = (session.turns + 1, hash, repeats);
        Ok(())
    }

    /// Adds what a request of the session has cost.
    pub fn spent(&self, id: SessionId, cost: NanoUsd) {
        if let Some(session) = self.sessions().get_mut(&id) {
            session.spent = NanoUsd(session.spent.0.saturating_add(cost.0));
        }
    }

    /// Sessions that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes room: what is forgotten anyway, else the oldest.
fn forget(sessions: &mut HashMap<SessionId, Session>, now: MonoNs, idle: u64) {
    sessions.retain(|_, session| now.saturating_sub(session.heard) <= idle);
    if sessions.len() >= MAX_SESSIONS
        && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.heard).map(|(id, _)| *id)
    {
        sessions.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: MonoNs = 3_600_000_000_000;

    fn brake(limits: Limits) -> Brake {
        Brake::new(Limits { idle: Duration::from_secs(3600), ..limits })
    }

    #[test]
    fn a_session_spends_so_much_and_no_more() {
        let brake = brake(Limits { spend: Some(NanoUsd(100)), ..Limits::default() });
        let (a, b) = (brake.session("k", "a"), brake.session("k", "b"));
        brake.turn(a, b"1", 0).unwrap();
        brake.spent(a, NanoUsd(99));
        brake.turn(a, b"2", 0).unwrap();
        brake.spent(a, NanoUsd(5));
        assert_eq!(brake.turn(a, b"3", HOUR), Err(Reached::Spend(NanoUsd(100))));
        brake.turn(b, b"3", 0).unwrap();
        assert_ne!(brake.session("other", "a"), a, "each key has its own");
        brake.turn(a, b"4", 2 * HOUR + 1).unwrap();
    }

    #[test]
    fn turns_are_counted() {
        let brake = brake(Limits { turns: Some(2), ..Limits::default() });
        let id = brake.session("k", "a");
        for _ in 0..2 {
            brake.turn(id, b"", 0).unwrap();
        }
        assert_eq!(brake.turn(id, b"", 0), Err(Reached::Turns(2)));
    }

    #[test]
    fn the_same_again_is_allowed_so_often() {
        let brake = brake(Limits { repeats: Some(1), ..Limits::default() });
        let id = brake.session("k", "a");
        for body in ["x", "x", "y", "x", "x"] {
            brake.turn(id, body.as_bytes(), 0).unwrap();
        }
        assert_eq!(brake.turn(id, b"x", 0), Err(Reached::Repeats(1)));
        brake.turn(id, b"y", 0).unwrap();
    }

    #[test]
    fn new_limits_meet_what_was_used() {
        let brake = brake(Limits { turns: Some(1), ..Limits::default() });
        let id = brake.session("k", "a");
        brake.turn(id, b"", 0).unwrap();
        brake.set_limits(Limits { turns: Some(2), idle: Duration::from_secs(3600), ..Limits::default() });
        brake.turn(id, b"", 0).unwrap();
        assert_eq!(brake.turn(id, b"", 0), Err(Reached::Turns(2)));
    }

    #[test]
    fn sessions_are_bounded() {
        let brake = brake(Limits { turns: Some(2), ..Limits::default() });
        for n in 0..MAX_SESSIONS as u64 + 50 {
            brake.turn(SessionId(n), b"", n).unwrap();
        }
        assert_eq!(brake.len(), MAX_SESSIONS);
    }
}
