//! `providers.*.queue`: requests that wait for an upstream.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::read::{Field, Section};
use crate::config::text::{DurationText, serialize_duration};

/// Where requests wait while an upstream's limits are used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// How long a request waits at most.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub max_wait: Duration,
    /// How many requests wait at most.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_size: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { max_wait: Duration::from_secs(1), max_size: 1_000 }
    }
}

impl Queue {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            max_wait: section.take("max_wait", Field::duration).unwrap_or(default.max_wait),
            max_size: section.take("max_size", |field| field.integer(1..=100_000)).unwrap_or(default.max_size),
        }
    }

    /// How many requests wait at most.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.max_size).unwrap_or(usize::MAX)
    }
}
