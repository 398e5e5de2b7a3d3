//! `server`: where the gateway listens and what it lets in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Field, Section};
use super::text::{DurationText, SizeText, serialize_duration, serialize_size};

/// Where the gateway listens and what it lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port of the API. `0.0.0.0:8080` listens on every IPv4 interface.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Address and port of `GET /metrics` alone; unset serves it on `listen`.
    #[schemars(with = "Option<String>")]
    pub metrics_listen: Option<SocketAddr>,
    /// Path of a UNIX socket over which a gateway that starts takes the listening sockets of the one that runs,
    /// which then ends: a restart that refuses nobody.
    pub handover: Option<PathBuf>,
    /// Longest request body that is held in memory.
    #[serde(serialize_with = "serialize_size")]
    #[schemars(with = "SizeText")]
    pub body_limit: u64,
    /// Longest upload (files, audio), which is streamed through.
    #[serde(serialize_with = "serialize_size")]
    #[schemars(with = "SizeText")]
    pub upload_limit: u64,
    /// Longest that a request may take, streaming included.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub request_timeout: Duration,
    /// Longest that a client may take to send its request's headers, and that a connection may be
    /// idle between two requests. Longer than a load balancer keeps its own (60 s, most of them).
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub header_timeout: Duration,
    /// Longest pause within a request body.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub body_idle_timeout: Duration,
    /// How long a stopping gateway waits for the requests in flight; `0s` cuts them off.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub drain_timeout: Duration,
    /// Most client connections at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u64,
    /// Most requests at a time; beyond it the answer is 503 `overloaded`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_in_flight: u64,
    /// Most bytes of request bodies in memory, all together; beyond it the answer is 503 `overloaded`.
    #[serde(serialize_with = "serialize_size")]
    #[schemars(with = "SizeText")]
    pub max_body_memory: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            metrics_listen: None,
            handover: None,
            body_limit: 32 << 20,
            upload_limit: 512 << 20,
            request_timeout: Duration::from_secs(600),
            header_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            max_in_flight: 10_000,
            max_body_memory: 1 << 30,
        }
    }
}

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let count = |field: Field<'_>| field.integer(1..=1_000_000);
        Self {
            listen: section.take("listen", address).unwrap_or(default.listen),
            metrics_listen: section.take("metrics_listen", address),
            handover: section.take("handover", Field::text).map(PathBuf::from),
            body_limit: section.take("body_limit", Field::size).unwrap_or(default.body_limit),
            upload_limit: section.take("upload_limit", Field::size).unwrap_or(default.upload_limit),
            request_timeout: section.take("request_timeout", Field::duration).unwrap_or(default.request_timeout),
            header_timeout: section.take("header_timeout", Field::duration).unwrap_or(default.header_timeout),
            body_idle_timeout: section.take("body_idle_timeout", Field::duration).unwrap_or(default.body_idle_timeout),
            drain_timeout: section.take("drain_timeout", Field::duration_or_zero).unwrap_or(default.drain_timeout),
            max_connections: section.take("max_connections", count).unwrap_or(default.max_connections),
            max_in_flight: section.take("max_in_flight", count).unwrap_or(default.max_in_flight),
            max_body_memory: section.take("max_body_memory", Field::size).unwrap_or(default.max_body_memory),
        }
    }
}

fn address(field: Field<'_>) -> Option<SocketAddr> {
    field.parse(|text| {
        text.parse::<SocketAddr>().map_err(|_| "expected an IP address and port such as `127.0.0.1:8080`")
    })
}
