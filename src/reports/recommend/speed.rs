//! How fast and how reliable a model was, as rows tell.

use serde_json::{Value, json};

use super::workload::percent;
use crate::record::Status;
use crate::snapshot::kind::Kind;
use crate::store::usage::Walked;

/// Fewer say too little to compare by.
pub(super) const ENOUGH: usize = 20;

/// Outcomes of tries that are the provider's fault; others are the caller's, or the gateway's.
const FAILURES: [&str; 7] = [
    "insufficient_quota",
    "internal_error",
    "rate_limit_exceeded",
    "upstream_credentials_rejected",
    "upstream_error",
    "upstream_invalid_response",
    "upstream_timeout",
];

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Speed {
    good: u64,
    bad: u64,
    /// Of streams: the time to the first byte.
    streams: Times,
    /// Of other answers: the time to their end.
    whole: Times,
}

/// Times of good answers.
#[derive(Clone, Debug, Default)]
struct Times {
    /// In milliseconds, one each.
    each: Vec<u64>,
    /// Tokens that were generated, and in how many milliseconds.
    output: u64,
    generating: u64,
}

/// By what two are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Streams: the time to the first byte, and the pace from there on.
    Streams,
    /// Answers that came whole.
    Whole,
}

impl Basis {
    pub(super) const ALL: [Self; 2] = [Self::Streams, Self::Whole];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Whole => "whole",
        }
    }
}

impl Speed {
    /// Counts a try; of the last one, how the request ended counts as well.
    pub(super) fn tried(&mut self, outcome: &str, end: Option<Status>) {
        let broke = matches!(end, Some(Status::UpstreamError | Status::Timeout));
        if FAILURES.contains(&outcome) || broke {
            self.bad += 1;
        } else if outcome == "ok" {
            self.good += 1;
        }
    }

    /// Takes the times of a good answer.
    pub(super) fn timed(&mut self, row: &Walked) {
        if row.status != Some(Status::Ok) {
            return;
        }
        match (row.stream, row.ttft_ms) {
            (true, Some(first)) => self.streams.add(first, row.usage.output, row.latency_ms.saturating_sub(first)),
            (true, None) => {}
            (false, _) => self.whole.add(row.latency_ms, row.usage.output, row.latency_ms),
        }
    }

    /// How many answers were timed.
    pub(super) fn samples(&self) -> usize {
        self.streams.each.len() + self.whole.each.len()
    }

    /// How long an answer of so many tokens takes, in milliseconds; `None` where too little was measured.
    pub(super) fn typical(&self, basis: Basis, kind: Kind, output: u64) -> Option<u64> {
        let times = match basis {
            Basis::Streams => &self.streams,
            Basis::Whole => &self.whole,
        };
        if times.each.len() < ENOUGH {
            return None;
        }
        let first = if basis == Basis::Whole && kind == Kind::Conversation { 0 } else { times.part(50)? };
        if kind != Kind::Conversation || output == 0 {
            return times.part(50);
        }
        let generating = u128::from(output) * u128::from(times.generating) / u128::from(times.output.max(1));
        (times.output > 0).then(|| first.saturating_add(u64::try_from(generating).unwrap_or(u64::MAX)))
    }

    pub(super) fn json(&self) -> Value {
        if self.good + self.bad == 0 && self.samples() == 0 {
            return Value::Null;
        }
        json!({
            "tries": self.good + self.bad,
            "success_percent": percent(i128::from(self.good), i128::from(self.good + self.bad)),
            "streams": self.streams.json("time_to_first_token_ms"),
            "whole": self.whole.json("latency_ms"),
        })
    }
}

impl Times {
    fn add(&mut self, ms: u64, output: u64, generating: u64) {
        self.each.push(ms);
        if output > 0 && generating > 0 {
            self.output = self.output.saturating_add(output);
            self.generating = self.generating.saturating_add(generating);
        }
    }

    /// The time within which so many percent are: the nearest rank.
    fn part(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.each.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
    }

    fn json(&self, name: &str) -> Value {
        if self.each.is_empty() {
            return Value::Null;
        }
        let pace = u128::from(self.output) * 10_000 / u128::from(self.generating.max(1));
        let pace = f64::from(u32::try_from(pace).unwrap_or(u32::MAX)) / 10.0;
        json!({
            "samples": self.each.len(),
            name: {"p50": self.part(50), "p95": self.part(95)},
            "tokens_per_second": if self.output > 0 { json!(pace) } else { Value::Null },
        })
    }
}
