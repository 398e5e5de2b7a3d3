//! What a model at a provider takes.

use weir_wire::hub::Capabilities;

use crate::catalog::{Model, Provider};

/// The capabilities.
#[must_use]
pub fn capabilities(_kind: &Provider, _model: &str, _info: Option<&Model>) -> Capabilities {
    Capabilities::default()
}
