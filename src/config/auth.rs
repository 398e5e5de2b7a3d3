//! `auth`: who may call the gateway.

use schemars::JsonSchema;
use serde::Serialize;

use super::expand::Env;
use super::read::{Field, Section};
use super::secret::Secret;

/// Who may call the gateway.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The key of the admin plane. The default is `WEIR_ADMIN_KEY`; without either, one is
    /// generated at the first start and printed once.
    pub admin_key: Option<Secret>,
    /// Whether a call needs a key. `false` is allowed only while `server.listen` is a loopback
    /// address.
    pub required: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self { admin_key: None, required: true }
    }
}

impl Auth {
    /// Without a file: what the environment says.
    pub(super) fn from_env(env: Env<'_>) -> Self {
        let admin_key = env("WEIR_ADMIN_KEY").filter(|key| !key.trim().is_empty()).map(Secret::new);
        Self { admin_key, ..Self::default() }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::from_env(section.cx.env);
        Self {
            admin_key: section.take("admin_key", Field::secret).or(default.admin_key),
            required: section.take("required", Field::boolean).unwrap_or(default.required),
        }
    }
}
