//! Active health checks: how a provider is asked, and what the answers come to.
//!
//! What requests see and what checks see are different things: a list of models may be there while the models
//! fail, and may need no key at all. So a check vouches only for what it has itself seen fail: its success closes
//! breakers, or brings a key back, after a failure of its own, and says nothing otherwise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;

use crate::catalog::{self, Operation};
use crate::clock::{MonoNs, UnixMs};
use crate::config;

/// How a provider is asked how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How often, give or take a tenth.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// What is asked for.
    pub uri: Uri,
    /// Failures in a row after which its targets are left alone.
    pub failures: u32,
    /// Successes in a row, after a failure, by which they are asked again.
    pub successes: u32,
}

impl Check {
    /// Until when targets stay left alone after a failure at `now`: beyond the next check's end, whenever it is.
    #[must_use]
    pub fn hold_until(&self, now: MonoNs) -> MonoNs {
        let hold = self.interval.saturating_mul(2).saturating_add(self.timeout);
        now.saturating_add(u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer below 500 that is no refusal of the key.
    Ok,
    /// No connection, a broken answer, or a status of 500 and above.
    Failed,
    /// No answer in time.
    Timeout,
    /// The provider does not know the key (401).
    Rejected,
    /// The provider knows the key, and does not let it ask this (403).
    Denied,
    /// The key has had enough (429).
    Throttled,
    /// The gateway could not sign the call.
    Unsigned,
}

impl Outcome {
    /// Its name in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unsigned => "unsigned",
        }
    }

    /// Whether it says that the provider is up, or that it is not; `None` where it says neither.
    fn is_up(self) -> Option<bool> {
        match self {
            Self::Ok | Self::Throttled => Some(true),
            Self::Failed | Self::Timeout => Some(false),
            Self::Rejected | Self::Denied | Self::Unsigned => None,
        }
    }
}

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// When it ended.
    pub at: UnixMs,
    /// How long it took.
    pub took: Duration,
    /// The answer's status.
    pub status: Option<u16>,
    /// With which of the provider's keys, by its place.
    pub key: usize,
    /// Why there was no good answer.
    pub error: Option<String>,
}

/// What is to be done with a provider's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Nothing,
    /// They are to be left alone, until the next check at least.
    Hold,
    /// They are to be asked again.
    Heal,
}

/// What checks came to so far; it outlives the snapshot.
#[derive(Debug, Default)]
pub struct Checked {
    seen: Mutex<Seen>,
    /// Until when targets are left alone.
    held_until: AtomicU64,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The last check of all.
    pub last: Option<Report>,
    /// Failures since the last success.
    pub failures: u32,
    /// Successes since the last failure.
    pub successes: u32,
    /// A check failed and it has not been well since.
    pub failed: bool,
    /// So many failed in a row that targets are left alone.
    pub unwell: bool,
}

impl Checked {
    /// Takes note of a check that ended at `now`, and answers what follows.
    pub fn note(&self, check: &Check, report: Report, now: MonoNs) -> Verdict {
        let mut seen = self.lock();
        let up = report.outcome.is_up();
        seen.last = Some(report);
        let verdict = match up {
            None => Verdict::Nothing,
            Some(true) => seen.up(check),
            Some(false) => seen.down(check),
        };
        match verdict {
            Verdict::Hold => self.held_until.store(check.hold_until(now), Ordering::Release),
            Verdict::Heal => self.held_until.store(0, Ordering::Release),
            Verdict::Nothing => {}
        }
        verdict
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Until when targets are left alone; 0: they are not.
    #[must_use]
    pub fn held_until(&self) -> MonoNs {
        self.held_until.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn up(&mut self, check: &Check) -> Verdict {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if !self.failed || self.successes < check.successes {
            return if self.unwell { Verdict::Hold } else { Verdict::Nothing };
        }
        (self.failed, self.unwell) = (false, false);
        Verdict::Heal
    }

    fn down(&mut self, check: &Check) -> Verdict {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.failed = true;
        self.unwell |= self.failures >= check.failures;
        if self.unwell { Verdict::Hold } else { Verdict::Nothing }
    }
}

/// The check of a provider's entry, if it has one.
///
/// # Errors
/// When nobody says what to ask for.
pub(super) fn of(
    kind: &catalog::Provider,
    entry: &config::Provider,
    base_url: &str,
    query: Option<&str>,
) -> Result<Option<Check>, String> {
    let Some(check) = &entry.health.check else { return Ok(None) };
    let served = || entry.operations.iter().flatten().any(|operation| operation == "models");
    let usual = || kind.path(Operation::Models).or_else(|| served().then_some(Operation::Models.path()));
    let own = || entry.paths.get("models").map(String::as_str).or_else(usual);
    let below = |path: &str| format!("{base_url}/{}", path.trim_start_matches('/'));
    let mut url = match &check.path {
        Some(path) if path.starts_with('/') => format!("{}{path}", host(base_url)),
        Some(path) => below(path),
        None => below(own().ok_or("health.check.path: this kind has no list of models; name a path to ask for")?),
    };
    if let Some(query) = query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(query);
    }
    Ok(Some(Check {
        interval: check.interval,
        timeout: check.timeout,
        uri: url.parse().map_err(|e| format!("health.check.path: '{url}' is no URL: {e}"))?,
        failures: u32::try_from(check.failures).unwrap_or(u32::MAX),
        successes: u32::try_from(check.successes).unwrap_or(u32::MAX),
    }))
}

/// A URL up to its path.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |slash| &url[..start + slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: MonoNs = 1_000_000_000;

    fn check(failures: u32, successes: u32) -> Check {
        let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
        Check { interval, timeout, uri: Uri::from_static("http://h/models"), failures, successes }
    }

    fn note(checked: &Checked, check: &Check, outcome: Outcome) -> Verdict {
        let report = Report { outcome, at: 0, took: Duration::ZERO, status: None, key: 0, error: None };
        checked.note(check, report, S)
    }

    #[test]
    fn so_many_failures_hold_and_so_many_successes_heal() {
        let (checked, check) = (Checked::default(), check(2, 2));
        assert_eq!(note(&checked, &check, Outcome::Ok), Verdict::Nothing, "there is nothing to mend");
        assert_eq!(note(&checked, &check, Outcome::Failed), Verdict::Nothing);
        assert_eq!(note(&checked, &check, Outcome::Timeout), Verdict::Hold);
        assert_eq!(checked.held_until(), 26 * S);
        assert_eq!(note(&checked, &check, Outcome::Rejected), Verdict::Nothing, "that says nothing of the provider");
        assert_eq!(note(&checked, &check, Outcome::Ok), Verdict::Hold, "one success is not enough");
        assert_eq!(note(&checked, &check, Outcome::Failed), Verdict::Hold, "it has not been well since");
        assert_eq!(note(&checked, &check, Outcome::Throttled), Verdict::Hold);
        assert_eq!(note(&checked, &check, Outcome::Ok), Verdict::Heal);
        assert_eq!((checked.held_until(), checked.seen().unwell), (0, false));
        assert_eq!(note(&checked, &check, Outcome::Ok), Verdict::Nothing);
    }

    #[test]
    fn one_failure_is_enough_to_vouch_for_what_follows() {
        let (checked, check) = (Checked::default(), check(3, 1));
        assert_eq!(note(&checked, &check, Outcome::Failed), Verdict::Nothing);
        assert_eq!(note(&checked, &check, Outcome::Ok), Verdict::Heal);
    }

    #[test]
    fn a_host_is_what_stands_before_the_path() {
        assert_eq!(host("https://h:8443/v1/x"), "https://h:8443");
        assert_eq!(host("http://h"), "http://h");
    }
}
