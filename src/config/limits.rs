//! `limits`: how much at a time, for a key or a provider.

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Field, Section};

/// How much at a time. What is not set is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    #[schemars(range(min = 1))]
    pub rpm: Option<u64>,
    /// Tokens a minute, input and output together.
    #[schemars(range(min = 1))]
    pub tpm: Option<u64>,
    /// Requests at a time.
    #[schemars(range(min = 1))]
    pub concurrency: Option<u64>,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let limit = |field: Field<'_>| field.integer(1..=u64::MAX);
        Self {
            rpm: section.take("rpm", limit),
            tpm: section.take("tpm", limit),
            concurrency: section.take("concurrency", limit),
        }
    }
}
