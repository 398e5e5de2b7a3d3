//! How many bytes of request bodies are held in memory, and the most that may be: beyond it a request is
//! refused before its body is read, rather than the process killed for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// The bytes of all bodies in memory.
#[derive(Debug)]
pub struct BodyMemory(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicU64,
    held: AtomicU64,
}

/// A part of it; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    counts: Arc<Counts>,
    bytes: u64,
}

impl BodyMemory {
    /// With room for so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self(Arc::new(Counts { most: AtomicU64::new(most), held: AtomicU64::new(0) }))
    }

    /// Changes the bound; what is held stays.
    pub fn set_most(&self, most: u64) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Whether less than half of the room is left: what is nobody's request waits for better days.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.held() > self.0.most.load(Ordering::Relaxed) / 2
    }

    /// Nothing of it yet.
    #[must_use]
    pub fn none(&self) -> Held {
        Held { counts: Arc::clone(&self.0), bytes: 0 }
    }
}

impl Held {
    /// Holds `bytes` in all, if there is room for what is more; answers whether there was.
    #[must_use]
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let most = self.counts.most.load(Ordering::Relaxed);
        let fits = |held: u64| held.checked_add(more).filter(|held| *held <= most);
        let taken = self.counts.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if taken {
            self.bytes = bytes;
        }
        taken
    }

    /// `data`, whose room is given back with the last piece of it.
    #[must_use]
    pub fn around(mut self, data: Bytes) -> Bytes {
        let spare = self.bytes.saturating_sub(data.len() as u64);
        self.counts.held.fetch_sub(spare, Ordering::Relaxed);
        self.bytes -= spare;
        if data.is_empty() { data } else { Bytes::from_owner(Owner { data, _held: self }) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counts.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Owner {
    data: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_much_and_no_more() {
        let memory = BodyMemory::new(100);
        let (mut a, mut b) = (memory.none(), memory.none());
        assert!(a.grow_to(60) && a.grow_to(60) && a.grow_to(10), "it never shrinks by itself");
        assert!(!b.grow_to(41) && b.grow_to(40) && !b.grow_to(41));
        assert_eq!((memory.held(), memory.is_half_full()), (100, true));
        drop(a);
        assert!(!memory.is_half_full());
        assert!(b.grow_to(100) && !b.grow_to(u64::MAX));
        memory.set_most(10);
        assert!(!memory.none().grow_to(1) && memory.none().grow_to(0));
        drop(b);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn it_is_given_back_with_the_last_piece() {
        let memory = BodyMemory::new(100);
        let mut held = memory.none();
        assert!(held.grow_to(50));
        let data = held.around(Bytes::from_static(b"0123456789"));
        assert_eq!(memory.held(), 10);
        let piece = data.slice(2..4);
        drop(data);
        assert_eq!((memory.held(), &piece[..]), (10, &b"23"[..]));
        drop(piece);
        assert_eq!(memory.held(), 0);
        drop(memory.none().around(Bytes::new()));
    }
}
