//! `brake`: what stops an agent that runs away.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::budgets::{Usd, usd};
use super::read::{Field, Section};
use super::text::{DurationText, serialize_duration};
use crate::money::NanoUsd;

/// What stops an agent that runs away: bounds of one session. What is not set is not bounded.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Brake {
    /// What a session may cost, in US dollars.
    #[schemars(with = "Option<Usd>")]
    pub session_usd: Option<NanoUsd>,
    /// Requests of a session.
    #[schemars(range(min = 1))]
    pub session_turns: Option<u64>,
    /// The same request of a session, one after the other.
    #[schemars(range(min = 1))]
    pub repeats: Option<u64>,
    /// After how long without a request a session is forgotten.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub idle: Duration,
}

impl Default for Brake {
    fn default() -> Self {
        Self { session_usd: None, session_turns: None, repeats: None, idle: Duration::from_secs(3600) }
    }
}

impl Brake {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let count = |field: Field<'_>| field.integer(1..=u64::MAX);
        Self {
            session_usd: section.take("session_usd", usd),
            session_turns: section.take("session_turns", count),
            repeats: section.take("repeats", count),
            idle: section.take("idle", Field::duration).unwrap_or(Self::default().idle),
        }
    }
}
