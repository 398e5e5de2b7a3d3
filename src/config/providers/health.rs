//! `providers.*.health`: when a target is left alone, and for how long.

mod check;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use check::Check;

use crate::config::read::{Field, Section};
use crate::config::text::{DurationText, serialize_duration};

/// When a target (a model at this provider) is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Failures in a row after which it is left alone; 0: however many.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub failures: u64,
    /// The share of requests that must go well; below it, it is left alone. 0: however few.
    #[schemars(range(min = 0, max = 100))]
    pub success_percent: u64,
    /// Requests within `window` before their share says anything.
    #[schemars(range(min = 1, max = 65_535))]
    pub min_requests: u64,
    /// How far back requests count.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub window: Duration,
    /// How long it is left alone; then one request tries it, and if that fails, for twice as long.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub open_for: Duration,
    /// The longest that it is left alone.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub max_open_for: Duration,
    /// Asks the provider how it is, so that no caller's request has to find out; not unless this is there.
    pub check: Option<Check>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failures: 5,
            success_percent: 50,
            min_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            max_open_for: Duration::from_secs(120),
            check: None,
        }
    }
}

impl Health {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            failures: section.take("failures", |field| field.integer(0..=1_000_000)).unwrap_or(default.failures),
            success_percent: section
                .take("success_percent", |field| field.integer(0..=100))
                .unwrap_or(default.success_percent),
            min_requests: section
                .take("min_requests", |field| field.integer(1..=65_535))
                .unwrap_or(default.min_requests),
            window: section.take("window", Field::duration).unwrap_or(default.window),
            open_for: section.take("open_for", Field::duration).unwrap_or(default.open_for),
            max_open_for: section.take("max_open_for", Field::duration).unwrap_or(default.max_open_for),
            check: section.section("check", Check::read),
        }
    }
}
