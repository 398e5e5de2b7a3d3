//! What rows and budgets tell the outside, in the transaction that writes them.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::alerts::Receivers;
use crate::budget::Budget;
use crate::clock::{Clock, UnixMs};
use crate::events::{self, Event, Reached, USAGE_SETTLED};
use crate::gate::budget::Budgets;
use crate::money::NanoUsd;
use crate::record::UsageRow;
use crate::store::leases::Spent;
use crate::store::usage::Told;

/// How a provider's refusal of the gateway's key stands in a row's tries.
const CREDENTIALS_REJECTED: &str = "upstream_credentials_rejected";

/// Makes the events of what is written.
#[derive(Clone, Debug)]
pub struct Teller {
    /// The budgets.
    pub budgets: Arc<Budgets>,
    /// Time.
    pub clock: Clock,
    /// Who is told of events: some want to hear of every row.
    pub alerts: Arc<ArcSwap<Receivers>>,
}

impl Told for Teller {
    fn row(&self, row: &UsageRow) -> Vec<Event> {
        let mut told = Vec::new();
        if self.alerts.load().want(USAGE_SETTLED) {
            told.push(events::usage_settled(row));
        }
        if row.unpriced
            && let (Some(provider), Some(model)) = (&row.provider, row.served_model.as_ref().or(row.model.as_ref()))
        {
            told.push(events::price_unknown(row.at, provider, model, &row.id));
        }
        let rejected = row.attempts.iter().filter(|attempt| attempt.outcome == CREDENTIALS_REJECTED);
        told.extend(rejected.map(|attempt| events::credentials_rejected(row.at, &attempt.provider)));
        told
    }

    fn spent(&self, spent: &Spent) -> Vec<Event> {
        let Some(account) = self.budgets.account(&spent.budget_id) else { return Vec::new() };
        let (budget, now) = (account.budget(), self.clock.unix_ms());
        let limit = budget.allowance(spent.carried, now);
        let crossed = budget.thresholds.iter().filter(|percent| {
            let at = part(limit, **percent);
            limit > NanoUsd(0) && spent.before < at && at <= spent.now
        });
        crossed.map(|percent| reached(&budget, spent, *percent, limit, now)).collect()
    }
}

fn part(limit: NanoUsd, percent: u8) -> NanoUsd {
    let part = i128::from(limit.0) * i128::from(percent) / 100;
    NanoUsd(i64::try_from(part).unwrap_or(i64::MAX))
}

fn reached(budget: &Budget, spent: &Spent, percent: u8, limit: NanoUsd, now: UnixMs) -> Event {
    // The row's window ends where the calendar says: the database may not know it.
    let window = budget.window(spent.start);
    let window =
        events::Window { starts_at: window.end.map_or(budget.created_at, |_| window.start), ends_at: window.end };
    events::budget_threshold(
        now,
        &Reached {
            budget: named(budget),
            percent: u32::from(percent),
            limit,
            spent: spent.now,
            runs_out_at: budget.runs_out(&budget.window(spent.start), spent.now, limit, now),
            window,
        },
    )
}

/// A budget as events name it.
#[must_use]
pub fn named(budget: &Budget) -> events::Budget<'_> {
    events::Budget { id: &budget.id, name: &budget.name, scope: budget.scope.as_str(), subject: &budget.subject }
}
