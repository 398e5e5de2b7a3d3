//! `server.tls`: HTTPS without a proxy in front.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::read::{Field, Section};

/// HTTPS on `server.listen`. The files are PEM; new ones are taken up within seconds, while connections
/// that are open go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those between it and its authority, the gateway's own first.
    #[schemars(with = "String")]
    pub cert: PathBuf,
    /// The certificate's private key.
    #[schemars(with = "String")]
    pub key: PathBuf,
    /// Authorities of clients' certificates. When it is set, a client must have one.
    #[schemars(with = "Option<String>")]
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            cert: section.require("cert", Field::path).unwrap_or_default(),
            key: section.require("key", Field::path).unwrap_or_default(),
            client_ca: section.take("client_ca", Field::path),
        }
    }
}
