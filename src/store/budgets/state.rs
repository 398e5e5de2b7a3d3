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
    /// What gateways have leased and not settled yet.
    pub leased: NanoUsd,
}

impl State {
    /// What may still be reserved.
    #[must_use]
    pub fn remaining(&self, budget: &Budget, now: UnixMs) -> NanoUsd {
        let allowed = budget.allowance(self.carried, now).0;
        NanoUsd(allowed.saturating_sub(self.spent.0).saturating_sub(self.leased.0).max(0))
    }
}

#[derive(FromRow)]
struct Row {
    budget_id: String,
    starts_at: UnixMs,
    carried_nano: i64,
    spent_nano: i64,
    leased_nano: i64,
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
            .fold(Statement::new(windows_text(chunk.len())), |s, (id, window)| s.bind(*id).bind(window.start));
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
            leased: amount(|row| row.leased_nano),
        }
    };
    Ok(windows.into_iter().map(of).collect())
}

/// The text that asks for `count` windows by id and start.
pub(super) fn windows_text(count: usize) -> String {
    let one = |n: usize| format!("(budget_id = ${} AND starts_at = ${})", 2 * n + 1, 2 * n + 2);
    let pairs: Vec<String> = (0..count).map(one).collect();
    format!(
        "SELECT budget_id, starts_at, carried_nano, spent_nano, leased_nano FROM budget_windows WHERE {}",
        pairs.join(" OR ")
    )
}
