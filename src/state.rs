//! The gateway's ready parts, as the HTTP layer and the jobs use them.

mod configs;
mod prices;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Semaphore;

use crate::alerts::Receivers;
use crate::clock::{Clock, Entropy, UnixMs};
use crate::config::Config;
use crate::dispatch::Dispatcher;
use crate::dispatch::shadow::Shadows;
use crate::flight::ids::RecentIds;
use crate::flight::{Caller, Meter};
use crate::gate::brake::Brake;
use crate::gate::budget::Budgets;
use crate::gate::keys::{KeyData, KeyRing};
use crate::gate::memory::BodyMemory;
use crate::gate::rights::ModelRights;
use crate::gate::secret::KeyHash;
use crate::snapshot::Snapshot;
use crate::store::keys::KeyRow;
use crate::store::{Db, StoreError, budgets};
pub use configs::{Ask, ConfigDesk, InForce, NotReloaded, Origin, Refused, Reloaded, Wanted};
pub use prices::{PriceDesk, read_book};

/// Budgets that are read at once.
const BUDGETS: u32 = 1_000;

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The configuration in force. What a start alone can change in it stays as it was at the start.
    pub config: ArcSwap<Config>,
    /// Where it comes from, and how another is asked for.
    pub configs: ConfigDesk,
    /// What requests read.
    pub snapshot: ArcSwap<Snapshot>,
    /// Prices of the database.
    pub prices: PriceDesk,
    /// Sends requests upstream.
    pub dispatcher: Dispatcher,
    /// Where copies of requests are left.
    pub shadows: Shadows,
    /// Clock, ledger, metrics.
    pub meter: Meter,
    /// Virtual keys in memory.
    pub keys: KeyRing,
    /// Budgets, and what is leased of them.
    pub budgets: Arc<Budgets>,
    /// What stops agents that run away.
    pub brake: Arc<Brake>,
    /// Request ids that clients named lately.
    pub recent_ids: RecentIds,
    /// Bounds concurrent key look-ups in the database.
    pub key_lookups: Semaphore,
    /// The database.
    pub db: Db,
    /// Who is told of events.
    pub alerts: Arc<ArcSwap<Receivers>>,
    /// Hash of the admin key; not there until the database that holds it was reached.
    pub admin: ArcSwapOption<KeyHash>,
    /// Who calls without a key, where that is allowed.
    pub anonymous: ArcSwapOption<Caller>,
    /// Bytes of request bodies in memory.
    pub body_memory: BodyMemory,
    /// Chance, for ids and keys.
    pub chance: Entropy,
    /// Whether the gateway is ready for traffic.
    pub readiness: Readiness,
    /// When it started.
    pub started_at: UnixMs,
}

/// Ready, or why not.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    leaving: AtomicBool,
    database: AtomicBool,
}

impl Readiness {
    /// From now on new traffic should go elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether it is draining.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on each connection is told that it is the last answer.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether another gateway takes new connections.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// The database was set up at least once.
    pub fn database_is_up(&self) {
        self.database.store(true, Ordering::Release);
    }

    /// Whether the database was ever set up.
    #[must_use]
    pub fn database_was_up(&self) -> bool {
        self.database.load(Ordering::Acquire)
    }
}

impl Gateway {
    /// Whether this is the hash of the admin key.
    #[must_use]
    pub fn is_admin(&self, hash: &KeyHash) -> bool {
        self.admin.load().as_ref().is_some_and(|admin| admin.matches(hash))
    }

    /// Takes over what has changed of budgets. Whoever looks a key up does so, too: a key does not work
    /// before its budget does.
    ///
    /// # Errors
    /// As any call to the store.
    pub async fn follow_budgets(&self) -> Result<(), StoreError> {
        loop {
            let changed = budgets::changed_since(&self.db, self.budgets.rev(), BUDGETS).await?;
            if changed.len() < BUDGETS as usize {
                self.budgets.apply(changed);
                return Ok(());
            }
            self.budgets.learn(changed);
        }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.meter.clock
    }
}

/// A database row as the gate sees it.
///
/// # Errors
/// When its model patterns are no globs, which the admin API does not let in.
pub fn key_data(row: KeyRow) -> Result<KeyData, String> {
    Ok(KeyData {
        rights: ModelRights::new(&row.models)?,
        limits: row.limits,
        priority: row.priority,
        hash: KeyHash(row.hash.0),
        rev: row.rev,
        revoked: row.revoked_at.is_some(),
        id: row.id,
        name: row.name,
        team_id: row.team_id,
        user_id: row.user_id,
        organization_id: row.organization_id,
        expires_at: row.expires_at,
        metadata: row.metadata,
    })
}

/// Shared by everything that serves.
pub type Shared = Arc<Gateway>;
