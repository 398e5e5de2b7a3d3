//! Several connections to one host over HTTP/2.
//!
//! hyper-util's pool keeps one, and what is beyond the streams that the host allows on it waits inside,
//! unseen and for as long as the others take: thousands of open streams would queue behind a hundred. Here
//! each lane is a client with one connection of its own and a bound on what is under way on it; the first
//! lane with room is taken, so that there are as many connections as the streams need, and beyond the last
//! lane a call fails at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How many lanes, and how much goes on each.
#[derive(Clone, Copy, Debug)]
pub struct LaneOptions {
    /// Connections.
    pub connections: usize,
    /// Streams on each.
    pub streams: usize,
}

/// Clients, each with its own connection.
#[derive(Debug)]
pub(super) struct Lanes<C> {
    lanes: Box<[Lane<C>]>,
    options: LaneOptions,
}

#[derive(Debug)]
struct Lane<C> {
    client: OnceLock<C>,
    busy: Arc<AtomicUsize>,
}

/// A stream's place on a lane, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<C> Lanes<C> {
    /// At least one lane with one place.
    pub(super) fn new(options: LaneOptions) -> Self {
        let options = LaneOptions { connections: options.connections.max(1), streams: options.streams.max(1) };
        let lane = |_| Lane { client: OnceLock::new(), busy: Arc::default() };
        Self { lanes: (0..options.connections).map(lane).collect(), options }
    }

    /// The first lane with room; its client is made at its first use. `None` when all are full.
    pub(super) fn take(&self, make: impl FnOnce() -> C) -> Option<(&C, Place)> {
        let streams = self.options.streams;
        let room = |busy: usize| (busy < streams).then_some(busy + 1);
        let lane =
            self.lanes.iter().find(|lane| lane.busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok())?;
        Some((lane.client.get_or_init(make), Place(Arc::clone(&lane.busy))))
    }

    /// As many streams as all lanes have.
    pub(super) fn options(&self) -> LaneOptions {
        self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_fill_one_after_the_other() {
        let lanes = Lanes::new(LaneOptions { connections: 2, streams: 2 });
        let made = AtomicUsize::new(0);
        let take = || lanes.take(|| made.fetch_add(1, Ordering::SeqCst)).map(|(lane, place)| (*lane, place));
        let mut held: Vec<_> = (0..4).map(|_| take().unwrap()).collect();
        assert_eq!(held.iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert!(take().is_none());
        drop(held.remove(0));
        assert_eq!(take().map(|(lane, _)| lane), Some(0), "the first one that has room");
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn there_is_always_a_lane() {
        assert!(Lanes::new(LaneOptions { connections: 0, streams: 0 }).take(|| ()).is_some());
    }
}
