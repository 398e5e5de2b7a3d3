//! The monthly partitions of PostgreSQL's usage tables.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::calendar;
use super::prepare::Prepared;
use crate::clock::UnixMs;
use crate::store::db::{Db, Engine};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::statement::Statement;

/// Months outside 2020 to 2099 come from broken clocks; their rows live in the default partition.
const FIRST: UnixMs = 1_577_836_800_000;
const END: UnixMs = 4_102_444_800_000;

/// Replicas make partitions one after the other: CREATE TABLE IF NOT EXISTS alone can collide.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7310868735423570)";

/// Making a partition locks the table for a moment. Rather than queue behind a long report, and
/// everybody else behind us, give up: the default partition takes the rows.
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";

/// Makes the partitions for the month of `at` and the one after it, so that a new month finds its
/// own ready. SQLite has none and needs none.
///
/// # Errors
/// `Invalid` when the default partition already holds rows of that month (they stay there, and are
/// found all the same); else as any call to the store.
pub async fn ensure_partitions(db: &Db, at: UnixMs) -> Result<(), StoreError> {
    if db.engine() == Engine::Sqlite {
        return Ok(());
    }
    for month in [calendar::month(at), calendar::next_month(at)] {
        if (FIRST..END).contains(&month) && !known(db, month) {
            ensure(db, month).await?;
        }
    }
    Ok(())
}

/// The same for a batch. It only warns: without its partition a row goes to the default one.
pub(super) async fn ensure_for(db: &Db, rows: &[Prepared<'_>]) {
    if db.engine() == Engine::Sqlite {
        return;
    }
    let months: BTreeSet<UnixMs> = rows.iter().map(|row| calendar::month(row.at)).collect();
    for month in months {
        if let Err(error) = ensure_partitions(db, month).await {
            tracing::warn!(month = calendar::month_text(month), %error, "cannot make a partition of table usage");
        }
    }
}

async fn ensure(db: &Db, month: UnixMs) -> Result<(), StoreError> {
    let made = make(db, month).await;
    // Refused for good (rows in the default partition) is as known as made.
    if made.as_ref().map_or_else(|e| e.kind() == StoreErrorKind::Invalid, |()| true) {
        db.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
    }
    made
}

fn known(db: &Db, month: UnixMs) -> bool {
    db.months.lock().unwrap_or_else(PoisonError::into_inner).contains(&month)
}

async fn make(db: &Db, month: UnixMs) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let name = calendar::month_text(month).replace('-', "_");
    let end = calendar::next_month(month);
    let create = |table: &str| {
        format!("CREATE TABLE IF NOT EXISTS {table}_{name} PARTITION OF {table} FOR VALUES FROM ({month}) TO ({end})")
    };
    for text in [PATIENCE.to_owned(), LOCK.to_owned(), create("usage"), create("usage_tags")] {
        if let Err(e) = tx.execute(Statement::new(text)).await {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            return Err(e);
        }
    }
    tx.commit().await
}
