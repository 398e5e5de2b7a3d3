//! `providers.*.health.check`: asking a provider how it is, without a caller's request.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::read::{Field, Section};
use crate::config::text::{DurationText, serialize_duration};

/// Providers are not asked more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// How a provider is asked how it is. Nothing is asked unless this is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// How often, give or take a tenth; 1s at least.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub interval: Duration,
    /// How long the answer may take.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// What is asked for with GET and the provider's own key: below `base_url`, or on its host where it begins with
    /// `/`. The default is the list of models.
    pub path: Option<String>,
    /// Failures in a row after which its models are left alone.
    #[schemars(range(min = 1, max = 1_000))]
    pub failures: u64,
    /// Successes in a row, after a failure, by which they are asked again.
    #[schemars(range(min = 1, max = 1_000))]
    pub successes: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            path: None,
            failures: 3,
            successes: 1,
        }
    }
}

impl Check {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let check = Self {
            interval: section.take("interval", Field::duration).unwrap_or(default.interval),
            timeout: section.take("timeout", Field::duration).unwrap_or(default.timeout),
            path: section.take("path", |field| field.parse(path)),
            failures: section.take("failures", |field| field.integer(1..=1_000)).unwrap_or(default.failures),
            successes: section.take("successes", |field| field.integer(1..=1_000)).unwrap_or(default.successes),
        };
        if check.interval < LEAST_INTERVAL {
            let path = format!("{}.interval", section.path);
            section.cx.fault_of(&path, "a provider is checked once a second at most: expected `1s` or more", None);
        }
        check
    }
}

/// A path as a link would have it, on the provider's own host.
fn path(text: &str) -> Result<String, &'static str> {
    let fits = !text.is_empty() && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let elsewhere = text.contains("://") || text.starts_with("//");
    if fits && !elsewhere { Ok(text.to_owned()) } else { Err("expected a path such as `models` or `/health`") }
}
