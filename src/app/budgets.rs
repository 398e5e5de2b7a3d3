//! The budgets of the configuration as those of the database.

use crate::budget::{Budget, Origin, Scope, declared_id, declared_key_budget_id};
use crate::clock::UnixMs;
use crate::config::{Config, KeyBudget};

/// Every budget that the configuration declares: those of its keys, and its own.
pub(super) fn declared(config: &Config, now: UnixMs) -> Vec<Budget> {
    let of_keys = config.keys.iter().filter_map(|key| {
        let subject = super::declared_key_id(&key.name);
        let budget = key.budget.as_ref()?.clone();
        Some(row(declared_key_budget_id(&key.name), &key.name, (Scope::Key, subject), budget, now))
    });
    let own = config.budgets.iter().filter_map(|budget| {
        let (scope, subject) = budget.subject()?;
        Some(row(declared_id(&budget.name), &budget.name, (scope, subject.to_owned()), budget.terms(), now))
    });
    of_keys.chain(own).collect()
}

fn row(id: String, name: &str, (scope, subject): (Scope, String), terms: KeyBudget, now: UnixMs) -> Budget {
    Budget {
        id,
        name: name.to_owned(),
        scope,
        subject,
        period: terms.period,
        zone: terms.time_zone,
        limit: terms.usd,
        carry_over: terms.carry_over,
        thresholds: terms.thresholds,
        raise: None,
        origin: Origin::Config,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        rev: 0,
    }
}
