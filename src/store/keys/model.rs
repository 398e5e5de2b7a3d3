//! What a virtual key is, and how it can change.

use crate::clock::UnixMs;
use crate::limits::{Limits, LimitsPatch, Priority};
use crate::store::budgets::BudgetPatch;

/// SHA-256 of a whole secret. Not a secret itself, but not for logs either.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A virtual key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRow {
    /// Its id, which is no secret.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: KeyHash,
    /// How the secret begins, for display.
    pub prefix: String,
    /// How the secret ends, for display.
    pub last4: String,
    /// Globs of the models it may use; empty allows all.
    pub models: Vec<String>,
    /// The team it belongs to.
    pub team_id: Option<String>,
    /// The user it belongs to.
    pub user_id: Option<String>,
    /// The organisation it belongs to.
    pub organization_id: Option<String>,
    /// How much it may use at a time.
    pub limits: Limits,
    /// Who goes first where requests wait for an upstream.
    pub priority: Priority,
    /// When it stops working.
    pub expires_at: Option<UnixMs>,
    /// Since when it does not work any more.
    pub revoked_at: Option<UnixMs>,
    /// The owner's own notes, as JSON text.
    pub metadata: Option<String>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// The number of its last change; set by the store.
    pub rev: i64,
}

/// What to change of a key: `None` leaves as is, `Some(None)` clears.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyPatch {
    /// New name.
    pub name: Option<String>,
    /// New globs.
    pub models: Option<Vec<String>>,
    /// New team.
    pub team_id: Option<Option<String>>,
    /// New user.
    pub user_id: Option<Option<String>>,
    /// New organisation.
    pub organization_id: Option<Option<String>>,
    /// What changes of its limits.
    pub limits: LimitsPatch,
    /// New priority.
    pub priority: Option<Priority>,
    /// New expiry.
    pub expires_at: Option<Option<UnixMs>>,
    /// New metadata (JSON text).
    pub metadata: Option<Option<String>>,
    /// What becomes of the key's own budget: changed, made if there is none, or ended.
    pub budget: Option<Option<BudgetPatch>>,
}

/// The parts of a key that its secret determines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSecret {
    /// SHA-256 of the new secret.
    pub hash: KeyHash,
    /// How it begins.
    pub prefix: String,
    /// How it ends.
    pub last4: String,
}

impl KeyPatch {
    /// All but the budget, which has a row of its own.
    pub(super) fn apply(self, key: &mut KeyRow) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut key.name, self.name);
        set(&mut key.models, self.models);
        set(&mut key.team_id, self.team_id);
        set(&mut key.user_id, self.user_id);
        set(&mut key.organization_id, self.organization_id);
        self.limits.apply(&mut key.limits);
        set(&mut key.priority, self.priority);
        set(&mut key.expires_at, self.expires_at);
        set(&mut key.metadata, self.metadata);
    }
}
