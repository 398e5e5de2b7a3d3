//! How far a budget is spent, to be shown.

use std::collections::HashMap;

use sqlx::FromRow;

use super::CHUNK;
use crate::budget::{Budget, Window};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// A budget's current window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// From when to when.
    pub window: Window,
    /// What was carried into it.
    pub carried: NanoUsd,
    /// What is settled.
    pub spent: NanoUsd,
    /// What requests in flight hold, what is settled and not written yet, and what replicas that died had.
    pub reserved: NanoUsd,
}

impl State {
    /// What may still be reserved.
    #[must_use]
    pub fn remaining(&self, budget: &Budget, now: UnixMs) -> NanoUsd {
        let allowed = budget.allowance(self.carried, now).0;
        NanoUsd(allowed.saturating_sub(self.spent.0).saturating_sub(self.reserved.0).max(0))
    }
}

#[derive(FromRow)]
struct Row {
    budget_id: String,
    starts_at: UnixMs,
    carried_nano: i64,
    spent_nano: i64,
    leased_nano: i64,
    idle_nano: i64,
}

/// The current window of each budget, in their order. One that nothing was charged to in its window has no row
/// and is all zeros.
///
/// # Errors
/// As any call to the store.
pub async fn state(db: &Db, budgets: &[Budget], now: UnixMs) -> Result<Vec<State>, StoreError> {
    let windows: Vec<(&str, Window)> = budgets.iter().map(|b| (b.id.as_str(), b.window(now))).collect();
    let mut rows = HashMap::new();
    for chunk in windows.chunks(CHUNK) {
        let ask = chunk
            .iter()
            .fold(Statement::new(windows_text(chunk.len())).bind(now), |s, (id, window)| s.bind(*id).bind(window.start));
        let found = db.reader().await?.fetch_all::<Row>(ask).await?;
        rows.extend(found.into_iter().map(|row| ((row.budget_id.clone(), row.starts_at), row)));
    }
    let of = |(id, window): (&str, Window)| {
        let row = rows.get(&(id.to_owned(), window.start));
        let amount = |read: fn(&Row) -> i64| NanoUsd(row.map_or(0, read));
        State {
            window,
            carried: amount(|row| row.carried_nano),
            spent: amount(|row| row.spent_nano),
            reserved: amount(|row| row.leased_nano.saturating_sub(row.idle_nano).max(0)),
        }
    };
    Ok(windows.into_iter().map(of).collect())
}

/// The text that asks for `count` windows by id and start.
pub(super) fn windows_text(count: usize) -> String {
    let one = |n: usize| format!("(w.budget_id = ${} AND w.starts_at = ${})", 2 * n + 2, 2 * n + 3);
    let pairs: Vec<String> = (0..count).map(one).collect();
    format!(
        "SELECT w.budget_id, w.starts_at, w.carried_nano, w.spent_nano, w.leased_nano, CAST(COALESCE(( \
         SELECT SUM(l.idle_nano) FROM budget_leases l WHERE l.budget_id = w.budget_id AND l.starts_at = w.starts_at \
         AND l.expires_at > $1 AND l.idle_nano <= l.granted_nano), 0) AS BIGINT) AS idle_nano \
         FROM budget_windows w WHERE {}",
        pairs.join(" OR ")
    )
}
