//! What Weir tells the world outside: the names and shapes of events, in one place. `docs/alerts.md` shows
//! each. An event is put into the outbox (`store::outbox`) and sent from there.

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::{self, UsageRow, rfc3339};

/// A budget has reached a part of what it allows.
pub const BUDGET_THRESHOLD: &str = "budget.threshold";
/// A budget has refused a request.
pub const BUDGET_EXCEEDED: &str = "budget.exceeded";
/// A model without a price was used.
pub const PRICE_UNKNOWN: &str = "price.unknown";
/// Two accounts of the same money differ.
pub const LEDGER_MISMATCH: &str = "ledger.mismatch";
/// A request's row is in the ledger.
pub const USAGE_SETTLED: &str = "usage.settled";
/// A scheduled report is made.
pub const REPORT_READY: &str = "report.ready";
/// A provider refused the gateway's credentials.
pub const PROVIDER_CREDENTIALS_REJECTED: &str = "provider.credentials_rejected";
/// Somebody asked for a test of a receiver. Never in the outbox.
pub const ALERT_TEST: &str = "alert.test";

/// Every kind that a receiver can ask for.
pub const KINDS: [&str; 7] = [
    BUDGET_THRESHOLD,
    BUDGET_EXCEEDED,
    PRICE_UNKNOWN,
    LEDGER_MISMATCH,
    USAGE_SETTLED,
    REPORT_READY,
    PROVIDER_CREDENTIALS_REJECTED,
];

const DAY: UnixMs = 86_400_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What, such as [`BUDGET_THRESHOLD`].
    pub kind: &'static str,
    /// What exactly: of two events with one key the first is told and the second is not.
    pub key: String,
    /// When.
    pub at: UnixMs,
    /// The particulars: a JSON object.
    pub body: String,
}

impl Event {
    /// An event with these particulars, told once for `key` among those of its kind.
    #[must_use]
    pub fn new(kind: &'static str, key: impl std::fmt::Display, at: UnixMs, body: &Value) -> Self {
        Self { kind, key: format!("{kind}:{key}"), at, body: body.to_string() }
    }
}

/// A budget, as events name it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Budget<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What kind of thing it limits: `key`, `team`, `tag`, ...
    pub scope: &'a str,
    /// Which one.
    pub subject: &'a str,
}

/// The period a budget counts: to its end, which one for all time has not.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its first moment.
    pub starts_at: UnixMs,
    /// The first moment after it.
    pub ends_at: Option<UnixMs>,
}

impl Window {
    fn json(self) -> Value {
        json!({"starts_at": rfc3339(self.starts_at), "ends_at": self.ends_at.map(rfc3339)})
    }
}

/// How a budget stands when it has reached a threshold.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    /// The budget.
    pub budget: Budget<'a>,
    /// The threshold, in percent of the limit.
    pub percent: u32,
    /// What it allows in this window, with what was carried over and raised.
    pub limit: NanoUsd,
    /// What is spent of it.
    pub spent: NanoUsd,
    /// The window.
    pub window: Window,
    /// When it will be used up, if it goes on like this.
    pub runs_out_at: Option<UnixMs>,
}

/// `budget.threshold`: once for a budget, window, threshold and limit.
#[must_use]
pub fn budget_threshold(at: UnixMs, reached: &Reached<'_>) -> Event {
    let Reached { budget, percent, limit, spent, window, runs_out_at } = *reached;
    let key = format!("{}:{}:{percent}:{}", budget.id, window.starts_at, limit.0);
    let body = json!({
        "budget": budget,
        "percent": percent,
        "limit_usd": limit,
        "spent_usd": spent,
        "window": window.json(),
        "runs_out_at": runs_out_at.map(rfc3339),
    });
    Event::new(BUDGET_THRESHOLD, key, at, &body)
}

/// A request that a budget refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The budget.
    pub budget: Budget<'a>,
    /// What it allows in this window.
    pub limit: NanoUsd,
    /// What is spent of it.
    pub spent: NanoUsd,
    /// The window.
    pub window: Window,
    /// The request.
    pub request_id: &'a str,
    /// What it may have cost.
    pub needed: NanoUsd,
    /// What was left.
    pub remaining: NanoUsd,
    /// How many requests the budget has refused in this window, where that is counted.
    pub refused: Option<u64>,
}

/// `budget.exceeded`: the first refusal of a budget in a window, and again when its limit was changed.
#[must_use]
pub fn budget_exceeded(at: UnixMs, refused: &Refused<'_>) -> Event {
    let Refused { budget, limit, spent, window, request_id, needed, remaining, refused } = *refused;
    let key = format!("{}:{}:{}", budget.id, window.starts_at, limit.0);
    let mut body = json!({
        "budget": budget,
        "limit_usd": limit,
        "spent_usd": spent,
        "window": window.json(),
        "request_id": request_id,
        "needed_usd": needed,
        "remaining_usd": remaining,
    });
    if let Some(count) = refused {
        body["refused"] = count.into();
    }
    Event::new(BUDGET_EXCEEDED, key, at, &body)
}

/// `price.unknown`: once a day (UTC) for each model of a provider.
#[must_use]
pub fn price_unknown(at: UnixMs, provider: &str, model: &str, request_id: &str) -> Event {
    let key = format!("{}:{provider}/{model}", at.div_euclid(DAY));
    let body = json!({"provider": provider, "model": model, "request_id": request_id});
    Event::new(PRICE_UNKNOWN, key, at, &body)
}

/// `ledger.mismatch`: once for each pair of sums. `what` names the accounts, such as
/// `rows against hourly sums of 2026-11-21`.
#[must_use]
pub fn ledger_mismatch(at: UnixMs, what: &str, expected: NanoUsd, found: NanoUsd) -> Event {
    let key = format!("{what}:{}:{}", expected.0, found.0);
    let difference = NanoUsd(found.0.saturating_sub(expected.0));
    let body = json!({
        "what": what,
        "expected_usd": expected,
        "found_usd": found,
        "difference_usd": difference,
    });
    Event::new(LEDGER_MISMATCH, key, at, &body)
}

/// `usage.settled`: one for each row, as `/v1/usage` shows it.
#[must_use]
pub fn usage_settled(row: &UsageRow) -> Event {
    Event::new(USAGE_SETTLED, format_args!("{}:{}", row.at, row.id), row.at, &record::json::row(row))
}
