//! `providers.*.timeouts` and `providers.*.pool`: how to wait and how to connect.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::read::{Choice, Field, Section};
use crate::config::text::{DurationText, serialize_duration};

/// How long to wait for an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To connect, TLS included.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub between_chunks: Duration,
    /// For one try, from start to end.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_chunks: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

impl Timeouts {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            connect: section.take("connect", Field::duration).unwrap_or(default.connect),
            first_byte: section.take("first_byte", Field::duration).unwrap_or(default.first_byte),
            between_chunks: section.take("between_chunks", Field::duration).unwrap_or(default.between_chunks),
            total: section.take("total", Field::duration).unwrap_or(default.total),
        }
    }
}

/// The connections to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Most idle connections that are kept for each host.
    #[schemars(range(min = 0, max = 100_000))]
    pub max_idle_per_host: u64,
    /// Whether to speak HTTP/2.
    pub http2: Http2,
    /// Most connections for HTTP/2. Another one is opened when those before have `http2_streams` calls each;
    /// when there is none left to open, a call fails at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub http2_connections: u64,
    /// Most calls at a time on one connection for HTTP/2. No more than the upstream allows, or calls wait:
    /// nearly all allow 100.
    #[schemars(range(min = 1, max = 10_000))]
    pub http2_streams: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { max_idle_per_host: 256, http2: Http2::default(), http2_connections: 100, http2_streams: 100 }
    }
}

impl Pool {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let count = |field: Field<'_>| field.integer(1..=10_000);
        Self {
            max_idle_per_host: section
                .take("max_idle_per_host", |field| field.integer(0..=100_000))
                .unwrap_or(default.max_idle_per_host),
            http2: section.take("http2", Field::choice).unwrap_or_default(),
            http2_connections: section.take("http2_connections", count).unwrap_or(default.http2_connections),
            http2_streams: section.take("http2_streams", count).unwrap_or(default.http2_streams),
        }
    }
}

/// Whether to speak HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Http2 {
    /// When the upstream offers it in the TLS handshake.
    #[default]
    Auto,
    /// Without asking, in clear text as well.
    Always,
    /// HTTP/1.1 only.
    Never,
}

impl Choice for Http2 {
    const ALL: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}
