//! `routing`: bounds on what is done for a request's sake.

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};

/// Bounds on what is done so that requests get there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// How many of a request's targets may be left alone at most for their health, in percent. Of the others
    /// those that are unwell are asked last. One is always asked.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejected_percent: u64,
    /// Second tries of targets, in percent of all requests (and ten beyond it). Going on to the next target is
    /// not bounded.
    #[schemars(range(min = 0, max = 100))]
    pub retry_percent: u64,
    /// Copies of requests (`models.NAME.shadow`) that are on their way at once. Others wait for a place, 256 at most;
    /// what is beyond that is not copied.
    #[schemars(range(min = 0, max = 1000))]
    pub max_shadows: u64,
    /// What a try costs whose upstream had the request and was waited for in vain: it may bill it or not, and does
    /// not say.
    pub unanswered: Unanswered,
}

/// What a try costs of which nobody knows what became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unanswered {
    /// Its prompt at the target's price: the row is `estimated`.
    #[default]
    Prompt,
    /// Nothing.
    Free,
}

impl Choice for Unanswered {
    const ALL: &'static [(&'static str, Self)] = &[("prompt", Self::Prompt), ("free", Self::Free)];
}

impl Default for Routing {
    fn default() -> Self {
        Self { max_ejected_percent: 75, retry_percent: 20, max_shadows: 64, unanswered: Unanswered::Prompt }
    }
}

impl Routing {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let percent = |field: Field<'_>| field.integer(0..=100);
        Self {
            max_ejected_percent: section.take("max_ejected_percent", percent).unwrap_or(default.max_ejected_percent),
            retry_percent: section.take("retry_percent", percent).unwrap_or(default.retry_percent),
            max_shadows: section.take("max_shadows", |field| field.integer(0..=1000)).unwrap_or(default.max_shadows),
            unanswered: section.take("unanswered", Field::choice).unwrap_or_default(),
        }
    }
}
