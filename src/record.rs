//! The usage row: what is kept of one request, whatever its outcome.

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
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRow {
    /// The request id (`x-request-id`), unique. UUIDv7 unless the client named its own.
    pub id: String,
    /// When the request arrived.
    pub at: UnixMs,
    /// Virtual key, when one was recognised.
    pub key_id: Option<String>,
    /// The key's team.
    pub team_id: Option<String>,
    /// The key's user.
    pub user_id: Option<String>,
    /// The body's `user`: the caller's own end user.
    pub end_user: Option<String>,
    /// `x-weir-tags`, in order.
    pub tags: Vec<(String, String)>,
    /// `chat/completions`, `embeddings`, ...
    pub endpoint: String,
    /// The model as asked for.
    pub model: Option<String>,
    /// Provider that served it (or the last that was tried).
    pub provider: Option<String>,
    /// The model as the upstream named it in its answer.
    pub served_model: Option<String>,
    /// Outcome.
    pub status: Status,
    /// HTTP status the client saw (499 when it left first).
    pub http_status: u16,
    /// Each upstream try, in order.
    pub attempts: Vec<Attempt>,
    /// Token classes.
    pub usage: Usage,
    /// Exact cost; `None` when the model has no price (`unpriced`).
    pub cost: Option<NanoUsd>,
    /// Version of the price entry the cost was computed with.
    pub price_version: Option<String>,
    /// The usage was counted by Weir, not reported by the provider.
    pub estimated: bool,
    /// Tokens were used and the model has no price.
    pub unpriced: bool,
    /// Arrival to the last byte, in milliseconds.
    pub latency_ms: u64,
    /// Arrival to the first byte of the answer's body, in milliseconds.
    pub ttft_ms: Option<u64>,
    /// Time spent in Weir itself, in microseconds.
    pub overhead_us: u64,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Error code, when it failed.
    pub error_code: Option<String>,
    /// Error text, when it failed. Never contains a secret.
    pub error_message: Option<String>,
    /// The key's metadata at the time, as JSON text (an object), if any.
    pub metadata: Option<String>,
    /// What was dropped or changed for the upstream, as `x-weir-warnings` says it: at most
    /// [`MAX_WARNINGS`] of [`MAX_WARNING`] bytes.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_zone() {
        assert_eq!(rfc3339(1_795_000_000_123), "2026-11-18T11:06:40.123Z");
    }

    #[test]
    fn names_of_outcomes_are_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("fine"), None);
    }
}
