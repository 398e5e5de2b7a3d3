//! The budgets that the configuration declares, as rows like all others.

use std::collections::HashMap;

use super::{INSERT, UPDATE, columns, next_rev, put};
use crate::budget::Budget;
use crate::clock::UnixMs;
use crate::store::Db;
use crate::store::error::StoreError;
use crate::store::session::{Session, Tx};
use crate::store::statement::Statement;

pub(super) const OF_CONFIG: &str = concat!("SELECT ", columns!(), " FROM budgets WHERE origin = 'config' ORDER BY id");

/// Makes the budgets of the configuration those that it declares: adds, changes and ends them. A raise stays,
/// and one that is declared again knows what was charged to it before. Replicas that start together with one
/// configuration make one change of it; where they differ, the last one's holds.
///
/// # Errors
/// As any call to the store; nothing is changed then.
pub async fn declare(db: &Db, declared: &[Budget], now: UnixMs) -> Result<(), StoreError> {
    let seen = stored(&mut db.reader().await?).await?;
    if changes(&seen, declared, now).is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    match write_all(&mut tx, declared, now).await {
        Ok(()) => tx.commit().await,
        Err(e) => Err(tx.undone(e).await),
    }
}

async fn write_all(tx: &mut Tx, declared: &[Budget], now: UnixMs) -> Result<(), StoreError> {
    // Takes the counter's lock: what another replica does is done, or waits.
    next_rev(tx).await?;
    let seen = stored(tx).await?;
    for change in changes(&seen, declared, now) {
        match change {
            Change::Add(budget) => put(tx, INSERT, budget).await?,
            Change::Write(budget) => put(tx, UPDATE, budget).await?,
        };
    }
    Ok(())
}

async fn stored(session: &mut Session) -> Result<Vec<Budget>, StoreError> {
    super::read(session, Statement::new(OF_CONFIG)).await
}

enum Change {
    Add(Budget),
    Write(Budget),
}

/// What must be done to make `stored` what is `declared`.
fn changes(stored: &[Budget], declared: &[Budget], now: UnixMs) -> Vec<Change> {
    let mut gone: HashMap<&str, &Budget> = stored.iter().map(|budget| (budget.id.as_str(), budget)).collect();
    let mut changes = Vec::new();
    for wanted in declared {
        let Some(old) = gone.remove(wanted.id.as_str()) else {
            changes.push(Change::Add(wanted.clone()));
            continue;
        };
        let raise = old.raise.filter(|_| old.deleted_at.is_none());
        let same =
            Budget { raise, created_at: old.created_at, updated_at: old.updated_at, rev: old.rev, ..wanted.clone() };
        if same != *old {
            changes.push(Change::Write(Budget { updated_at: now, ..same }));
        }
    }
    let mut gone: Vec<&Budget> = gone.into_values().filter(|budget| budget.deleted_at.is_none()).collect();
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    changes.extend(
        gone.into_iter().map(|old| Change::Write(Budget { deleted_at: Some(now), updated_at: now, ..old.clone() })),
    );
    changes
}
