//! `limit_sharing` and `redis`: with whom limits are shared, and where.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use super::secret::Secret;
use super::text::{DurationText, serialize_duration};

/// With whom limits are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitSharing {
    /// Nobody: each replica has all of every limit for itself.
    None,
    /// All replicas on the same database: each leases shares of what is left.
    Database,
    /// All replicas on the same Redis, which keeps the only account.
    Redis,
}

impl Choice for LimitSharing {
    const ALL: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("database", Self::Database), ("redis", Self::Redis)];
}

/// Where shared limits are kept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://` or `rediss://` (TLS), then `USER:PASSWORD@HOST:PORT/NUMBER`.
    pub url: Secret,
    /// The certificates of the authorities that may have signed the server's (PEM), in place of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a request waits for it at most.
    #[serde(default = "default_timeout", serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// What becomes of requests while it does not answer.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What becomes of requests while the limits cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Each replica has its part of every limit: as much as there are replicas.
    #[default]
    LocalShares,
    /// They are refused.
    Refuse,
}

impl Choice for OnFailure {
    const ALL: &'static [(&'static str, Self)] = &[("local_shares", Self::LocalShares), ("refuse", Self::Refuse)];
}

fn default_timeout() -> Duration {
    Duration::from_millis(20)
}

impl Redis {
    /// `None` when it lacks its URL, which has been told.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let url = section.require("url", |field| {
            field.secret_where(|url| {
                let fits = ["redis://", "rediss://"].iter().any(|scheme| {
                    url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                });
                if fits { Ok(()) } else { Err("expected `redis://HOST:PORT` or `rediss://USER:PASSWORD@HOST:PORT`") }
            })
        });
        let ca_file = section.take("ca_file", Field::path);
        let timeout = section.take("timeout", Field::duration).unwrap_or_else(default_timeout);
        let on_failure = section.take("on_failure", Field::choice).unwrap_or_default();
        Some(Self { url: url?, ca_file, timeout, on_failure })
    }
}
