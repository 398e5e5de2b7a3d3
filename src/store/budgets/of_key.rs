//! A key's own budget, which is made, changed and ended with the key.

use super::{BudgetPatch, INSERT, UPDATE, find, next_rev, put, write};
use crate::budget::{Budget, DEFAULT_THRESHOLDS, Origin, Scope, key_budget_id};
use crate::clock::UnixMs;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::session::Tx;

/// Does to a key's budget what a change of the key says: nothing but to follow its name, ends it, or changes it
/// and makes it where there is none. One that is made again knows what was charged to it before.
pub(in crate::store) async fn set(
    tx: &mut Tx,
    key_id: &str,
    key_name: &str,
    change: Option<Option<BudgetPatch>>,
    now: UnixMs,
) -> Result<(), StoreError> {
    let id = key_budget_id(key_id);
    let seen = find(tx, &id).await?;
    if !concerns(seen.as_ref(), key_name, change.as_ref()) {
        return Ok(());
    }
    if seen.is_none() {
        let budget = made(id, key_id, key_name, change.flatten().unwrap_or_default(), now)?;
        return put(tx, INSERT, budget).await.map(drop);
    }
    // Again, now that the counter is locked: it may have been raised meanwhile.
    let rev = next_rev(tx).await?;
    let Some(budget) = find(tx, &id).await? else { return Ok(()) };
    let budget = Budget { name: key_name.to_owned(), updated_at: now, rev, ..changed(budget, change, now)? };
    tx.execute(write(UPDATE, &budget)?).await.map(drop)
}

/// Whether there is anything to do.
fn concerns(budget: Option<&Budget>, key_name: &str, change: Option<&Option<BudgetPatch>>) -> bool {
    let alive = budget.filter(|budget| budget.deleted_at.is_none());
    match change {
        None => alive.is_some_and(|budget| budget.name != key_name),
        Some(None) => alive.is_some(),
        Some(Some(_)) => true,
    }
}

fn changed(mut budget: Budget, change: Option<Option<BudgetPatch>>, now: UnixMs) -> Result<Budget, StoreError> {
    match change {
        None => {}
        Some(None) => budget.deleted_at = Some(now),
        Some(Some(patch)) if budget.deleted_at.is_some() => {
            let again = made(budget.id, &budget.subject, &budget.name, patch, now)?;
            return Ok(Budget { created_at: budget.created_at, ..again });
        }
        Some(Some(patch)) => patch.apply(&mut budget),
    }
    Ok(budget)
}

fn made(id: String, key_id: &str, key_name: &str, patch: BudgetPatch, now: UnixMs) -> Result<Budget, StoreError> {
    let (Some(limit), Some(period)) = (patch.limit, patch.period) else {
        return Err(StoreError::new(StoreErrorKind::Invalid, "budget: a new budget needs 'usd' and 'period'"));
    };
    Ok(Budget {
        id,
        name: key_name.to_owned(),
        scope: Scope::Key,
        subject: key_id.to_owned(),
        period,
        zone: patch.zone.unwrap_or_default(),
        limit,
        carry_over: patch.carry_over.unwrap_or(false),
        thresholds: patch.thresholds.unwrap_or_else(|| DEFAULT_THRESHOLDS.to_vec()),
        raise: None,
        origin: Origin::Key,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        rev: 0,
    })
}
