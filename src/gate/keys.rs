//! The key ring: virtual keys in memory, over the database.
//!
//! A hit reads memory only. A miss asks the database once and remembers the answer, a "no" too
//! (for a while). Changes reach the ring through [`KeyRing::apply`], which the key watcher feeds
//! from the database's revision counter, so that a revocation acts on every replica within a second.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use papaya::HashMap;

use super::limit::{Limiter, Limits, Priority, Scope, Whose};
use super::rights::ModelRights;
use super::secret::KeyHash;
use crate::clock::{Clock, MonoNs, UnixMs};

/// What the gate knows of a virtual key.
#[derive(Clone, Debug)]
pub struct KeyData {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of its secret.
    pub hash: KeyHash,
    /// The models it may use.
    pub rights: ModelRights,
    /// Its limits.
    pub limits: Limits,
    /// Who goes first where requests wait for an upstream.
    pub priority: Priority,
    /// Team it is billed to.
    pub team_id: Option<String>,
    /// User it belongs to.
    pub user_id: Option<String>,
    /// Organisation it belongs to.
    pub organization_id: Option<String>,
    /// From when it no longer works.
    pub expires_at: Option<UnixMs>,
    /// The number of its last change in the database; 0 for one that is not there.
    pub rev: i64,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Free metadata, JSON text, copied to each usage row.
    pub metadata: Option<String>,
}

/// A point in the ring's history, taken before the database is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// A key in the ring: its data, which changes, and its live limits, which stay.
#[derive(Debug)]
pub struct KeySlot {
    data: ArcSwap<KeyData>,
    /// Requests, tokens and places in flight.
    pub limiter: Arc<Limiter>,
    /// Declared in the config: never evicted, never changed by the database.
    pinned: bool,
}

impl KeySlot {
    /// A slot with full buckets.
    #[must_use]
    pub fn new(data: KeyData, pinned: bool, now: MonoNs) -> Self {
        let limiter = Limiter::new(Whose::new(Scope::Key, &data.id), data.limits, now);
        Self { limiter: Arc::new(limiter), data: ArcSwap::from_pointee(data), pinned }
    }

    /// The key's data as of now.
    #[must_use]
    pub fn data(&self) -> Arc<KeyData> {
        self.data.load_full()
    }
}

/// What the ring knows of a presented key.
#[derive(Debug)]
pub enum Found {
    /// A live key.
    Key(Arc<KeySlot>, Arc<KeyData>),
    /// A key that is no more, and why.
    Dead(Dead),
    /// Known not to exist.
    Unknown,
    /// Not in memory: ask the database.
    Miss,
}

/// Why a known key does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Revoked, or rotated to another secret.
    Revoked,
    /// Past its expiry.
    Expired,
}

/// How many keys and refusals the ring holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Keys in memory.
    pub keys: usize,
    /// Remembered "no such key" answers.
    pub negatives: usize,
    /// How long a "no" is believed.
    pub negative_ttl_ns: MonoNs,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { keys: 100_000, negatives: 10_000, negative_ttl_ns: 10_000_000_000 }
    }
}

/// Keys in memory. Reads take no lock; writes (misses and changes, both rare) take one.
#[derive(Debug)]
pub struct KeyRing {
    clock: Clock,
    bounds: Bounds,
    by_hash: HashMap<KeyHash, Arc<KeySlot>>,
    by_id: HashMap<String, Arc<KeySlot>>,
    negatives: HashMap<KeyHash, MonoNs>,
    order: Mutex<Order>,
    /// Changes applied so far. An answer read from the database before the last of them may be
    /// stale, so it is used once and not kept.
    generation: AtomicU64,
}

/// Where a key in the ring comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The config.
    Pinned,
    /// The database; when not `fresh`, it may have changed since it was read.
    Stored {
        /// Whether nothing changed while it was read.
        fresh: bool,
    },
}

/// Insertion order, for eviction.
#[derive(Debug, Default)]
struct Order {
    keys: VecDeque<(KeyHash, String)>,
    negatives: VecDeque<KeyHash>,
}

impl KeyRing {
    /// An empty ring.
    #[must_use]
    pub fn new(clock: Clock, bounds: Bounds) -> Self {
        Self {
            clock,
            bounds,
            by_hash: HashMap::new(),
            by_id: HashMap::new(),
            negatives: HashMap::new(),
            order: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// To be taken before the database is asked about a miss.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Looks a presented key up, in memory only.
    #[must_use]
    pub fn find(&self, hash: &KeyHash) -> Found {
        if let Some(slot) = self.by_hash.pin().get(hash) {
            return self.judge(slot, hash);
        }
        match self.negatives.pin().get(hash) {
            Some(until) if *until > self.clock.mono_ns() => Found::Unknown,
            _ => Found::Miss,
        }
    }

    fn judge(&self, slot: &Arc<KeySlot>, hash: &KeyHash) -> Found {
        let data = slot.data();
        if data.revoked || !data.hash.matches(hash) {
            Found::Dead(Dead::Revoked)
        } else if data.expires_at.is_some_and(|at| at <= self.clock.unix_ms()) {
            Found::Dead(Dead::Expired)
        } else {
            Found::Key(Arc::clone(slot), data)
        }
    }

    /// Judges what the database said of `hash`, and remembers it. After a change that came in
    /// between, the row may be a stale one: its limits are kept, since what this request takes from
    /// them must count, but the row itself is believed once and read again for the next request.
    pub fn learn(&self, hash: KeyHash, data: Option<KeyData>, asked: Generation) -> Found {
        let mut order = self.lock();
        let fresh = self.generation() == asked;
        match data {
            Some(data) => self.judge(&self.insert(&mut order, data, Kind::Stored { fresh }), &hash),
            None => {
                if fresh {
                    self.refuse(&mut order, hash);
                }
                Found::Unknown
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key declared in the config.
    pub fn pin(&self, data: KeyData) {
        self.insert(&mut self.lock(), data, Kind::Pinned);
    }

    /// Takes out the keys that the configuration declared and that are not among these ids any more. Requests
    /// that run keep theirs.
    pub fn unpin_others(&self, declared: &BTreeSet<&str>) {
        let _order = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        let by_id = self.by_id.pin();
        let gone: Vec<Arc<KeySlot>> = by_id
            .iter()
            .filter(|(id, slot)| slot.pinned && !declared.contains(id.as_str()))
            .map(|(_, slot)| Arc::clone(slot))
            .collect();
        for slot in gone {
            let data = slot.data();
            by_id.remove(&data.id);
            self.forget_hash(&data.hash, &slot);
        }
    }

    /// Another key may have the hash by now.
    fn forget_hash(&self, hash: &KeyHash, slot: &Arc<KeySlot>) {
        let by_hash = self.by_hash.pin();
        if by_hash.get(hash).is_some_and(|found| Arc::ptr_eq(found, slot)) {
            by_hash.remove(hash);
        }
    }

    fn insert(&self, order: &mut Order, data: KeyData, kind: Kind) -> Arc<KeySlot> {
        let fresh = kind != Kind::Stored { fresh: false };
        if let Some(slot) = self.by_id.pin().get(&data.id) {
            self.replace(slot, data, fresh);
            return Arc::clone(slot);
        }
        let now = self.clock.mono_ns();
        let (hash, id) = (data.hash, data.id.clone());
        let slot = Arc::new(KeySlot::new(data, kind == Kind::Pinned, now));
        self.by_id.pin().insert(id.clone(), Arc::clone(&slot));
        if fresh {
            self.by_hash.pin().insert(hash, Arc::clone(&slot));
            self.negatives.pin().remove(&hash);
        }
        if kind != Kind::Pinned {
            order.keys.push_back((hash, id));
            self.evict(order, now);
        }
        slot
    }

    /// Takes over a changed row. Rows that are not in memory need nothing: a later miss reads them.
    pub fn apply(&self, data: KeyData) {
        let _order = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.negatives.pin().remove(&data.hash);
        if let Some(slot) = self.by_id.pin().get(&data.id)
            && !slot.pinned
        {
            self.replace(slot, data, true);
        }
    }

    /// The caller holds the order lock. What is not `fresh` is not to be found by its hash.
    fn replace(&self, slot: &Arc<KeySlot>, data: KeyData, fresh: bool) {
        // Two who read the database tell what they read in any order: what is older is no news.
        if data.rev < slot.data().rev {
            return;
        }
        let old = slot.data().hash;
        if old != data.hash {
            self.forget_hash(&old, slot);
        }
        if fresh {
            self.by_hash.pin().insert(data.hash, Arc::clone(slot));
        }
        slot.limiter.set_limits(data.limits, self.clock.mono_ns());
        slot.data.store(Arc::new(data));
    }

    fn refuse(&self, order: &mut Order, hash: KeyHash) {
        let negatives = self.negatives.pin();
        if negatives.insert(hash, self.clock.mono_ns() + self.bounds.negative_ttl_ns).is_none() {
            order.negatives.push_back(hash);
        }
        while order.negatives.len() > self.bounds.negatives {
            if let Some(oldest) = order.negatives.pop_front() {
                negatives.remove(&oldest);
            }
        }
    }

    /// Forgets the oldest keys above the bound, but none whose limits are in use: coming back from
    /// the database with full buckets would be a way around the limits.
    fn evict(&self, order: &mut Order, now: MonoNs) {
        let mut looked = 0;
        while order.keys.len() > self.bounds.keys && looked < 64 {
            looked += 1;
            let Some((hash, id)) = order.keys.pop_front() else { return };
            let busy = self.by_id.pin().get(&id).is_some_and(|slot| !slot.limiter.at_rest(now));
            if busy {
                order.keys.push_back((hash, id));
                continue;
            }
            if let Some(slot) = self.by_id.pin().remove(&id) {
                self.by_hash.pin().remove(&slot.data().hash);
            }
            self.by_hash.pin().remove(&hash);
        }
    }

    /// Keys in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.pin().len()
    }

    /// Whether no key is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every key in memory.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<KeySlot>> {
        self.by_id.pin().values().cloned().collect()
    }

    /// The slot of a key id, when it is in memory.
    #[must_use]
    pub fn slot(&self, id: &str) -> Option<Arc<KeySlot>> {
        self.by_id.pin().get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(id: &str, secret: &str) -> KeyData {
        KeyData {
            id: id.into(),
            name: id.into(),
            hash: KeyHash::of(secret),
            rights: ModelRights::default(),
            limits: Limits::default(),
            priority: Priority::default(),
            team_id: None,
            user_id: None,
            organization_id: None,
            expires_at: None,
            rev: 0,
            revoked: false,
            metadata: None,
        }
    }

    fn learn(ring: &KeyRing, secret: &str, data: Option<KeyData>) -> Found {
        ring.learn(KeyHash::of(secret), data, ring.generation())
    }

    fn ring(bounds: Bounds) -> (KeyRing, Clock) {
        let clock = Clock::mock(1_000_000);
        (KeyRing::new(clock.clone(), bounds), clock)
    }

    #[test]
    fn what_was_learned_is_found() {
        let (ring, _) = ring(Bounds::default());
        let hash = KeyHash::of("s1");
        assert!(matches!(ring.find(&hash), Found::Miss));
        assert!(matches!(learn(&ring, "s1", Some(key("k1", "s1"))), Found::Key(..)));
        assert!(matches!(ring.find(&hash), Found::Key(..)));
    }

    #[test]
    fn revocation_rotation_and_expiry_act_at_once() {
        let (ring, clock) = ring(Bounds::default());
        learn(&ring, "s1", Some(key("k1", "s1")));
        ring.apply(key("k1", "s2"));
        assert!(matches!(ring.find(&KeyHash::of("s1")), Found::Miss));
        assert!(matches!(ring.find(&KeyHash::of("s2")), Found::Key(..)));
        ring.apply(KeyData { expires_at: Some(1_005_000), ..key("k1", "s2") });
        clock.advance(Duration::from_secs(5));
        assert!(matches!(ring.find(&KeyHash::of("s2")), Found::Dead(Dead::Expired)));
        ring.apply(KeyData { revoked: true, ..key("k1", "s2") });
        assert!(matches!(ring.find(&KeyHash::of("s2")), Found::Dead(Dead::Revoked)));
    }

    #[test]
    fn a_no_is_believed_for_a_while_and_not_beyond_a_change() {
        let (ring, clock) = ring(Bounds::default());
        let hash = KeyHash::of("new");
        learn(&ring, "new", None);
        assert!(matches!(ring.find(&hash), Found::Unknown));
        clock.advance(Duration::from_secs(11));
        assert!(matches!(ring.find(&hash), Found::Miss));
        learn(&ring, "new", None);
        ring.apply(key("k9", "new"));
        assert!(matches!(ring.find(&hash), Found::Miss));
    }

    #[test]
    fn an_answer_read_before_a_change_is_not_kept() {
        let (ring, _) = ring(Bounds::default());
        let asked = ring.generation();
        ring.apply(KeyData { revoked: true, ..key("k1", "s1") });
        assert!(matches!(ring.learn(KeyHash::of("s1"), Some(key("k1", "s1")), asked), Found::Key(..)));
        assert!(matches!(ring.find(&KeyHash::of("s1")), Found::Miss));
    }

    #[test]
    fn what_a_doubtful_key_used_stays_used() {
        let (ring, _) = ring(Bounds::default());
        let limits = Limits { rpm: Some(1), ..Limits::default() };
        let row = |rev| KeyData { limits, rev, ..key("k1", "s1") };
        let asked = ring.generation();
        ring.apply(row(1));
        let Found::Key(slot, _) = ring.learn(KeyHash::of("s1"), Some(row(1)), asked) else { panic!("a live key") };
        slot.limiter.admit_request(0).unwrap();
        let Found::Key(slot, _) = learn(&ring, "s1", Some(row(1))) else { panic!("a live key") };
        assert!(slot.limiter.admit_request(0).is_err());
        assert!(matches!(ring.find(&KeyHash::of("s1")), Found::Key(..)));
    }

    #[test]
    fn a_rotated_key_read_in_doubt_is_alive() {
        let (ring, _) = ring(Bounds::default());
        let asked = ring.generation();
        ring.apply(key("another", "s9"));
        ring.learn(KeyHash::of("s1"), Some(key("k1", "s1")), asked);
        let rotated = KeyData { rev: 2, ..key("k1", "s2") };
        assert!(matches!(ring.learn(KeyHash::of("s2"), Some(rotated), asked), Found::Key(..)));
        assert!(matches!(ring.find(&KeyHash::of("s2")), Found::Miss));
    }

    #[test]
    fn memory_is_bounded_but_a_key_in_use_stays() {
        let (ring, _) = ring(Bounds { keys: 3, negatives: 2, ..Bounds::default() });
        let limits = Limits { rpm: Some(5), ..Limits::default() };
        let Found::Key(slot, _) = learn(&ring, "s0", Some(KeyData { limits, ..key("k0", "s0") })) else {
            panic!("a live key")
        };
        slot.limiter.admit_request(0).unwrap();
        for i in 1..10 {
            learn(&ring, &format!("s{i}"), Some(key(&format!("k{i}"), &format!("s{i}"))));
            learn(&ring, &format!("no{i}"), None);
        }
        assert_eq!(ring.len(), 3);
        assert!(matches!(ring.find(&KeyHash::of("s0")), Found::Key(..)));
        assert!(matches!(ring.find(&KeyHash::of("s1")), Found::Miss));
        assert!(matches!(ring.find(&KeyHash::of("no1")), Found::Miss));
        assert!(matches!(ring.find(&KeyHash::of("no9")), Found::Unknown));
    }

    #[test]
    fn a_declared_key_is_the_configs() {
        let (ring, _) = ring(Bounds { keys: 1, ..Bounds::default() });
        ring.pin(key("config:ci", "ci"));
        ring.apply(KeyData { revoked: true, ..key("config:ci", "ci") });
        assert!(matches!(ring.find(&KeyHash::of("ci")), Found::Key(..)));
    }

    #[test]
    fn declared_keys_come_go_and_change_their_secrets() {
        let (ring, _) = ring(Bounds::default());
        let limits = Limits { rpm: Some(1), ..Limits::default() };
        let declared = |id: &str, secret: &str| KeyData { limits, ..key(id, secret) };
        ring.pin(declared("config:a", "a"));
        ring.pin(declared("config:b", "b"));
        learn(&ring, "s1", Some(key("k1", "s1")));
        let Found::Key(slot, _) = ring.find(&KeyHash::of("a")) else { panic!("a live key") };
        slot.limiter.admit_request(0).unwrap();
        // They swap their secrets.
        ring.pin(declared("config:a", "b"));
        ring.pin(declared("config:b", "a"));
        let id_of = |secret: &str| match ring.find(&KeyHash::of(secret)) {
            Found::Key(_, data) => data.id.clone(),
            _ => String::new(),
        };
        assert_eq!((id_of("a").as_str(), id_of("b").as_str()), ("config:b", "config:a"));
        assert!(ring.slot("config:a").unwrap().limiter.admit_request(0).is_err(), "what was used stays used");
        ring.unpin_others(&BTreeSet::from(["config:a"]));
        assert!(matches!(ring.find(&KeyHash::of("a")), Found::Miss));
        assert_eq!((id_of("b").as_str(), id_of("s1").as_str(), ring.len()), ("config:a", "k1", 2));
    }

    #[test]
    fn what_is_older_is_no_news() {
        let (ring, _) = ring(Bounds::default());
        let newer = KeyData { rev: 2, revoked: true, ..key("k1", "s1") };
        ring.learn(KeyHash::of("s1"), Some(KeyData { rev: 1, ..key("k1", "s1") }), ring.generation());
        ring.apply(newer);
        ring.apply(KeyData { rev: 1, ..key("k1", "s1") });
        assert!(ring.slot("k1").unwrap().data().revoked);
    }
}
