//! `server`: where the gateway listens and what it lets in.

mod network;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use network::Network;
pub use tls::Tls;

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
    /// HTTPS on `listen`; unset is plain HTTP.
    pub tls: Option<Tls>,
    /// Addresses of load balancers and proxies in front, whose PROXY protocol headers and
    /// `x-forwarded-for` or `forwarded` are believed. Nobody else's are.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<Network>,
    /// Longest that a client may take to send its request's headers, from their first byte on, and for
    /// the TLS handshake.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub header_timeout: Duration,
    /// Longest that a connection may be open without a request. Longer than a load balancer keeps its
    /// own (60 s, most of them).
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub idle_timeout: Duration,
    /// Longest pause within a request body.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub body_idle_timeout: Duration,
    /// Bytes a second that a request body must come with, over all, once the gateway has waited
    /// `body_idle_timeout` for it.
    #[serde(serialize_with = "serialize_size")]
    #[schemars(with = "SizeText")]
    pub body_min_rate: u64,
    /// Longest that a client may read nothing of what is sent to it.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub write_timeout: Duration,
    /// How long a stopping gateway waits for the requests in flight; `0s` cuts them off.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub drain_timeout: Duration,
    /// Most client connections at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u64,
    /// Most connections of one client's address (of IPv6, of its /64 network) at a time; unset is as many
    /// as there are. Trusted proxies are told apart by what they tell in the PROXY protocol, else not
    /// counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: Option<u64>,
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
            tls: None,
            trusted_proxies: Vec::new(),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            body_min_rate: 500,
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            max_connections_per_address: None,
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
            tls: section.section("tls", Tls::read),
            trusted_proxies: section
                .take("trusted_proxies", |field| field.list(|field| field.parse(str::parse)))
                .unwrap_or_default(),
            header_timeout: section.take("header_timeout", Field::duration).unwrap_or(default.header_timeout),
            idle_timeout: section.take("idle_timeout", Field::duration).unwrap_or(default.idle_timeout),
            body_idle_timeout: section.take("body_idle_timeout", Field::duration).unwrap_or(default.body_idle_timeout),
            body_min_rate: section.take("body_min_rate", Field::size).unwrap_or(default.body_min_rate),
            write_timeout: section.take("write_timeout", Field::duration).unwrap_or(default.write_timeout),
            drain_timeout: section.take("drain_timeout", Field::duration_or_zero).unwrap_or(default.drain_timeout),
            max_connections: section.take("max_connections", count).unwrap_or(default.max_connections),
            max_connections_per_address: section.take("max_connections_per_address", count),
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
