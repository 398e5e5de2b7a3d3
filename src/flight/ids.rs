//! Request ids that clients name may come twice, at the same moment even. Rows are told apart by id and
//! time, so that the second is recorded a millisecond later than the first.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::clock::UnixMs;

/// How long an id is remembered.
const REMEMBERED_MS: UnixMs = 1_000;
/// Most ids that are remembered; beyond it the oldest are forgotten together.
const MAX: usize = 100_000;

/// The ids that clients named within the last moment.
#[derive(Debug, Default)]
pub struct RecentIds {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: UnixMs,
    latest: UnixMs,
    /// By the id's hash: when it was recorded last.
    last: HashMap<u64, UnixMs>,
}

impl RecentIds {
    /// The time to record a request of that id at, `now` or as little later as makes it the only one.
    pub fn time(&self, id: &str, now: UnixMs) -> UnixMs {
        let hash = self.hasher.hash_one(id);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let old = now.saturating_sub(state.since) > REMEMBERED_MS && state.latest < now;
        if old || now < state.since || state.last.len() >= MAX {
            state.last.clear();
            state.since = now;
        }
        let at = state.last.get(&hash).map_or(now, |last| now.max(last.saturating_add(1)));
        state.last.insert(hash, at);
        state.latest = state.latest.max(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_has_a_time_of_its_own_each_time() {
        let recent = RecentIds::default();
        assert_eq!([recent.time("a", 5), recent.time("a", 5), recent.time("b", 5), recent.time("a", 6)], [5, 6, 5, 7]);
        assert_eq!(recent.time("a", 8), 8);
        assert_eq!(recent.time("a", 5_000), 5_000);
        let times: std::collections::BTreeSet<_> = (0..3_000).map(|n| recent.time("a", 6_000 + n / 10)).collect();
        assert_eq!(times.len(), 3_000);
    }
}
