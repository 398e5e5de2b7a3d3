//! The usage row: what is kept of one request, whatever its outcome.

pub mod json;

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_wire::usage::Usage;

use crate::clock::UnixMs;
use crate::money::NanoUsd;

/// Most warnings of a row.
pub const MAX_WARNINGS: usize = 64;
/// Longest warning of a row, in bytes.
pub const MAX_WARNING: usize = 512;

/// RFC 3339 with milliseconds, UTC.
#[must_use]
pub fn rfc3339(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| format!("{t:.3}"))
}

/// The moment of an RFC 3339 time, or of a day's begin, UTC. `None` for any other text.
#[must_use]
pub fn moment(text: &str) -> Option<UnixMs> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| day().map(|day| day.timestamp()));
    at.map(jiff::Timestamp::as_millisecond)
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Answered whole.
    Ok,
    /// The upstream refused the request.
    ClientError,
    /// Weir refused it: authentication, rights, limits, invalid input.
    Rejected,
    /// The upstream failed, or broke off its answer.
    UpstreamError,
    /// A deadline passed.
    Timeout,
    /// The client left before the end.
    Cancelled,
    /// The gateway died before the end.
    Interrupted,
}

impl Status {
    /// Every status, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::ClientError,
        Self::Rejected,
        Self::UpstreamError,
        Self::Timeout,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// Its name in rows, metrics and filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Rejected => "rejected",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One try at an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Provider id.
    pub provider: String,
    /// The model as that provider knows it.
    pub model: String,
    /// `ok`, or the error code of the failure.
    pub outcome: String,
    /// How long it took, in milliseconds: to the first frame for a stream, to the end otherwise.
    pub ms: u64,
}

/// One request, as the ledger keeps it. Text fields are bounded before they get here.
///
/// Its JSON is the journal's: what is empty is left out, and a later version reads what an earlier one
/// wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The request id (`x-request-id`), unique. UUIDv7 unless the client named its own.
    pub id: String,
    /// When the request arrived.
    pub at: UnixMs,
    /// Virtual key, when one was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The key's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The key's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The body's `user`: the caller's own end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// `x-weir-tags`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// `chat/completions`, `embeddings`, ...
    pub endpoint: String,
    /// The model as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Provider that served it (or the last that was tried).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model as the upstream named it in its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// Outcome.
    pub status: Status,
    /// HTTP status the client saw (499 when it left first).
    #[serde(default)]
    pub http_status: u16,
    /// Each upstream try, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Token classes.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// Exact cost; `None` when the model has no price (`unpriced`).
    #[serde(default, with = "nano")]
    pub cost: Option<NanoUsd>,
    /// Version of the price entry the cost was computed with; of several (calls that came to nothing
    /// were paid for too) joined by `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_version: Option<String>,
    /// The service tier that the answer named, by which it was priced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The usage was counted by Weir, not reported by the provider.
    #[serde(default, skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// Tokens were used and the model has no price.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unpriced: bool,
    /// Arrival to the last byte, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
    /// Arrival to the first byte of the answer's body, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// Time spent in Weir itself, in microseconds.
    #[serde(default)]
    pub overhead_us: u64,
    /// Whether a stream was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// Error code, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Error text, when it failed. Never contains a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The key's metadata at the time, as JSON text (an object), if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// What was dropped or changed for the upstream, as `x-weir-warnings` says it: at most
    /// [`MAX_WARNINGS`] of [`MAX_WARNING`] bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The budget windows it was charged to: a budget's id and the window's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<(String, UnixMs)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An amount as its integer.
mod nano {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::money::NanoUsd;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(cost: &Option<NanoUsd>, serializer: S) -> Result<S::Ok, S::Error> {
        cost.map(|cost| cost.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NanoUsd>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(NanoUsd))
    }
}

/// What calls cost that came to nothing: a request that takes several is tried elsewhere when one of
/// them fails, and the others have been paid for all the same, each at its own target's price.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sunk {
    /// Token classes.
    pub usage: Usage,
    /// Their cost, of those that have a price.
    pub cost: NanoUsd,
    /// Version of the price entry of the last of them.
    pub price_version: Option<String>,
    /// Not all of it has a price.
    pub unpriced: bool,
    /// Not all of it was reported.
    pub estimated: bool,
}

impl Sunk {
    /// Its cost and another together.
    #[must_use]
    pub fn cost_with(&self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.cost.0.saturating_add(other.0))
    }

    /// Adds it to a row that has its cost.
    pub fn add_to(self, row: &mut UsageRow) {
        if self.usage.is_zero() {
            return;
        }
        row.usage = row.usage.plus(&self.usage);
        row.cost = row.cost.map(|cost| self.cost_with(cost));
        // One version cannot tell what both cost: the row is never rated anew as a whole.
        let name = |version: Option<String>| version.unwrap_or_else(|| "none".to_owned());
        row.price_version = Some(format!("{}+{}", name(row.price_version.take()), name(self.price_version)));
        row.unpriced |= self.unpriced;
        row.estimated |= self.estimated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_zone() {
        assert_eq!(rfc3339(1_795_000_000_123), "2026-11-18T11:06:40.123Z");
        assert_eq!(moment("2026-11-18T11:06:40.123Z"), Some(1_795_000_000_123));
        assert_eq!(moment("2026-11-18"), Some(1_795_000_000_123 / 86_400_000 * 86_400_000));
        assert_eq!([moment(""), moment("tomorrow"), moment("2026-13-01")], [None; 3]);
    }

    fn row(cost: Option<i64>) -> UsageRow {
        UsageRow {
            id: String::new(),
            at: 0,
            key_id: None,
            team_id: None,
            user_id: None,
            end_user: None,
            tags: Vec::new(),
            endpoint: String::new(),
            model: None,
            provider: None,
            served_model: None,
            status: Status::Ok,
            http_status: 200,
            attempts: Vec::new(),
            usage: Usage { input: 5, ..Usage::default() },
            cost: cost.map(NanoUsd),
            price_version: None,
            tier: None,
            estimated: false,
            unpriced: cost.is_none(),
            latency_ms: 0,
            ttft_ms: None,
            overhead_us: 0,
            stream: false,
            error_code: None,
            error_message: None,
            warnings: Vec::new(),
            metadata: None,
            charges: Vec::new(),
        }
    }

    #[test]
    fn what_came_to_nothing_is_in_the_row() {
        let sunk = Sunk {
            usage: Usage { input: 3, ..Usage::default() },
            cost: NanoUsd(30),
            price_version: Some("v".to_owned()),
            unpriced: false,
            estimated: true,
        };
        let mut priced = row(Some(50));
        sunk.clone().add_to(&mut priced);
        assert_eq!((priced.usage.input, priced.cost, priced.estimated), (8, Some(NanoUsd(80)), true));
        assert_eq!((priced.price_version.as_deref(), priced.unpriced), (Some("none+v"), false));
        let mut unpriced = row(None);
        sunk.add_to(&mut unpriced);
        assert_eq!((unpriced.usage.input, unpriced.cost, unpriced.unpriced), (8, None, true));
        let mut same = row(Some(50));
        Sunk::default().add_to(&mut same);
        assert_eq!(same, row(Some(50)));
    }

    #[test]
    fn names_of_outcomes_are_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("fine"), None);
    }
}
