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
/// A provider refused one of the gateway's upstream keys.
pub const KEY_REJECTED: &str = "upstream.key_rejected";
/// An upstream key that was refused serves again.
pub const KEY_RESTORED: &str = "upstream.key_restored";
/// A target fails and is left alone.
pub const TARGET_DOWN: &str = "upstream.target_down";
/// A target that was left alone serves again.
pub const TARGET_UP: &str = "upstream.target_up";
/// Somebody asked for a test of a receiver. Never in the outbox.
pub const ALERT_TEST: &str = "alert.test";

/// Every kind that a receiver can ask for.
pub const KINDS: [&str; 11] = [
    BUDGET_THRESHOLD,
    BUDGET_EXCEEDED,
    PRICE_UNKNOWN,
    LEDGER_MISMATCH,
    USAGE_SETTLED,
    REPORT_READY,
    PROVIDER_CREDENTIALS_REJECTED,
    KEY_REJECTED,
    KEY_RESTORED,
    TARGET_DOWN,
    TARGET_UP,
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

/// `provider.credentials_rejected`: once a day (UTC) for each provider.
#[must_use]
pub fn credentials_rejected(at: UnixMs, provider: &str) -> Event {
    let key = format!("{}:{provider}", at.div_euclid(DAY));
    Event::new(PROVIDER_CREDENTIALS_REJECTED, key, at, &json!({"provider": provider}))
}

/// An upstream key, as events name it: never by its text.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamKey<'a> {
    /// The provider's name in the gateway.
    pub provider: &'a str,
    /// Its place in the configuration, from 1.
    pub place: usize,
    /// A part of its hash.
    pub fingerprint: &'a str,
    /// The model it may not use; `None`: the provider does not know the key.
    pub model: Option<&'a str>,
}

impl UpstreamKey<'_> {
    fn event(&self, kind: &'static str, at: UnixMs, more: (&str, Value)) -> Event {
        let Self { provider, place, fingerprint, model } = *self;
        let key = format!("{provider}:{fingerprint}:{}:{at}", model.unwrap_or_default());
        let mut body = json!({"provider": provider, "key": place, "fingerprint": fingerprint, "model": model});
        body[more.0] = more.1;
        Event::new(kind, key, at, &body)
    }
}

/// `upstream.key_rejected`: when a provider begins to refuse a key.
#[must_use]
pub fn key_rejected(at: UnixMs, key: &UpstreamKey<'_>) -> Event {
    let status = if key.model.is_some() { 403 } else { 401 };
    key.event(KEY_REJECTED, at, ("status", status.into()))
}

/// `upstream.key_restored`: when a key serves again that was told to be refused `since` then.
#[must_use]
pub fn key_restored(at: UnixMs, key: &UpstreamKey<'_>, since: UnixMs) -> Event {
    key.event(KEY_RESTORED, at, ("rejected_at", rfc3339(since).into()))
}

/// `upstream.target_down`: when a target's breaker opens.
#[must_use]
pub fn target_down(at: UnixMs, provider: &str, model: &str) -> Event {
    let body = json!({"provider": provider, "model": model});
    Event::new(TARGET_DOWN, format_args!("{provider}/{model}:{at}"), at, &body)
}

/// `upstream.target_up`: when a target serves again that was told to be down `since` then.
#[must_use]
pub fn target_up(at: UnixMs, provider: &str, model: &str, since: UnixMs) -> Event {
    let body = json!({"provider": provider, "model": model, "down_at": rfc3339(since)});
    Event::new(TARGET_UP, format_args!("{provider}/{model}:{at}"), at, &body)
}

/// `report.ready`: once for each report and period. `body` is the report.
#[must_use]
pub fn report_ready(at: UnixMs, name: &str, period_start: UnixMs, body: String) -> Event {
    Event { kind: REPORT_READY, key: format!("{REPORT_READY}:{name}:{period_start}"), at, body }
}

/// `usage.settled`: one for each row, as `/v1/usage` shows it.
#[must_use]
pub fn usage_settled(row: &UsageRow) -> Event {
    Event::new(USAGE_SETTLED, format_args!("{}:{}", row.at, row.id), row.at, &record::json::row(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../docs/alerts.md");
    /// 2026-11-01, 2026-12-01 and 2026-11-27T09:15 in UTC.
    const WINDOW: Window = Window { starts_at: 1_793_491_200_000, ends_at: Some(1_796_083_200_000) };
    const RUNS_OUT: UnixMs = 1_795_770_900_000;
    const REQUEST: &str = "0192f3a1-7c3e-7b11-8a54-3f0c2b9d11aa";

    fn budget() -> Budget<'static> {
        Budget { id: "bud_1", name: "monthly", scope: "team", subject: "research" }
    }

    fn reached() -> Reached<'static> {
        Reached {
            budget: budget(),
            percent: 80,
            limit: NanoUsd(100_000_000_000),
            spent: NanoUsd(80_500_000_001),
            window: WINDOW,
            runs_out_at: Some(RUNS_OUT),
        }
    }

    fn upstream_key(model: Option<&'static str>) -> UpstreamKey<'static> {
        UpstreamKey { provider: "openai-eu", place: 2, fingerprint: "9f86d081884c", model }
    }

    fn refused() -> Refused<'static> {
        Refused {
            budget: budget(),
            limit: NanoUsd(100_000_000_000),
            spent: NanoUsd(99_990_000_000),
            window: WINDOW,
            request_id: REQUEST,
            needed: NanoUsd(20_000_000),
            remaining: NanoUsd(10_000_000),
            refused: None,
        }
    }

    /// The example of a kind in `docs/alerts.md`.
    fn example(kind: &str) -> Value {
        let section = DOCS.split(&format!("### `{kind}`\n")).nth(1).expect("a section").to_owned();
        let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        serde_json::from_str(block).expect("the example is JSON")
    }

    #[test]
    fn events_are_as_the_documentation_shows_them() {
        let events = [
            budget_threshold(0, &reached()),
            budget_exceeded(0, &refused()),
            price_unknown(0, "openai-eu", "new-model", REQUEST),
            ledger_mismatch(0, "rows against hourly sums", NanoUsd(12_000_000_005), NanoUsd(12_000_000_003)),
            credentials_rejected(0, "openai-eu"),
            key_rejected(0, &upstream_key(None)),
            key_restored(0, &upstream_key(None), RUNS_OUT),
            target_down(0, "openai-eu", "gpt-4o"),
            target_up(0, "openai-eu", "gpt-4o", RUNS_OUT),
        ];
        for event in events {
            let body: Value = serde_json::from_str(&event.body).unwrap();
            assert_eq!(body, example(event.kind), "{}", event.kind);
        }
        for kind in KINDS.into_iter().chain([ALERT_TEST]) {
            assert!(DOCS.contains(&format!("### `{kind}`\n")), "docs/alerts.md lacks {kind}");
        }
    }

    #[test]
    fn what_is_the_same_has_the_same_key() {
        let threshold = |change: fn(&mut Reached<'_>)| {
            let mut reached = reached();
            change(&mut reached);
            budget_threshold(7, &reached).key
        };
        let first = threshold(|_| ());
        assert_eq!(first, "budget.threshold:bud_1:1793491200000:80:100000000000");
        assert_eq!(threshold(|r| r.spent = NanoUsd(90_000_000_000)), first);
        assert_ne!(threshold(|r| r.percent = 100), first);
        assert_ne!(threshold(|r| r.limit = NanoUsd(200_000_000_000)), first, "a raised budget may be reached again");
        let exceeded = budget_exceeded(7, &refused());
        assert_eq!(exceeded.key, budget_exceeded(8, &Refused { request_id: "other", ..refused() }).key);
        let counted: Value =
            serde_json::from_str(&budget_exceeded(7, &Refused { refused: Some(3), ..refused() }).body).unwrap();
        assert_eq!(counted["refused"], 3);
        let unknown = |at: UnixMs, model: &str| price_unknown(at, "p", model, "r").key;
        assert_eq!(unknown(0, "m"), unknown(86_399_999, "m"));
        assert_ne!(unknown(0, "m"), unknown(86_400_000, "m"));
        assert_ne!(unknown(0, "m"), unknown(0, "n"));
        let denied: Value = serde_json::from_str(&key_rejected(7, &upstream_key(Some("gpt-4o"))).body).unwrap();
        assert_eq!((&denied["status"], &denied["model"]), (&json!(403), &json!("gpt-4o")));
        assert_ne!(key_rejected(7, &upstream_key(None)).key, key_rejected(8, &upstream_key(None)).key);
        let extreme = ledger_mismatch(0, "w", NanoUsd(i64::MAX), NanoUsd(i64::MIN));
        assert!(extreme.body.contains("-9223372036.854775808"), "{}", extreme.body);
    }
}
