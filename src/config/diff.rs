//! What differs between two configurations.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value as Json;

use super::context::join;
use super::secret::MASK;
use super::{AuthOverride, Config, Key, Provider};

/// One value that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The key, such as `providers.openai.limits.rpm`. A declared key, a budget or a receiver of alerts
    /// stands under its name.
    pub path: String,
    /// The old value as JSON, `***` for a secret; `None` where there was none.
    pub old: Option<String>,
    /// The new value, likewise.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = self.old.as_deref().unwrap_or("(unset)");
        let new = self.new.as_deref().unwrap_or("(unset)");
        let changed = if self.old == self.new { " (changed)" } else { "" };
        write!(f, "{}: {old} -> {new}{changed}", self.path)
    }
}

/// Every value that differs, defaults included, sorted by path. A secret that differs is told as
/// changed and never shown.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    changes(flatten(old), flatten(new))
}

fn changes(mut old: BTreeMap<String, Leaf>, mut new: BTreeMap<String, Leaf>) -> Vec<Change> {
    let mut paths: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    let changes = paths.into_iter().filter_map(|path| {
        let (old, new) = (old.remove(&path), new.remove(&path));
        (old != new).then(|| Change { path, old: old.map(|leaf| leaf.shown), new: new.map(|leaf| leaf.shown) })
    });
    changes.collect()
}

/// Every value that differs between two documents as they are kept, sorted by path. Of a secret that stands
/// in the text nothing is kept, so that a change of one is not among them.
#[must_use]
pub fn diff_documents(old: &Json, new: &Json) -> Vec<Change> {
    let leaves = |json: &Json| {
        let mut leaves = BTreeMap::new();
        flatten_json("", json, &mut leaves);
        leaves
    };
    changes(leaves(old), leaves(new))
}

/// Whether two entries say the same of a provider, secrets included; none says what the catalogue does.
#[must_use]
pub fn same_provider(old: Option<&Provider>, new: Option<&Provider>) -> bool {
    let leaves = |provider: Option<&Provider>| {
        let default = Provider::default();
        let provider = provider.unwrap_or(&default);
        let mut leaves = BTreeMap::new();
        if let Ok(json) = serde_json::to_value(provider) {
            flatten_json("", &json, &mut leaves);
        }
        let mut secrets = Vec::new();
        provider_secrets("", provider, &mut secrets);
        (leaves, secrets.into_iter().map(|(path, secret)| (path, secret.to_owned())).collect::<Vec<_>>())
    };
    leaves(old) == leaves(new)
}

/// A value as it is shown, and what tells it from another that looks the same.
#[derive(PartialEq)]
struct Leaf {
    shown: String,
    secret: Option<String>,
}

fn flatten(config: &Config) -> BTreeMap<String, Leaf> {
    let mut leaves = BTreeMap::new();
    // Serialising these types cannot fail: no map has keys other than text.
    if let Ok(json) = serde_json::to_value(config) {
        flatten_json("", &json, &mut leaves);
    }
    for (path, secret) in secrets(config) {
        if let Some(leaf) = leaves.get_mut(&path) {
            leaf.secret = Some(secret.to_owned());
        }
    }
    leaves
}

fn flatten_json(path: &str, json: &Json, leaves: &mut BTreeMap<String, Leaf>) {
    match json {
        Json::Null => {}
        Json::Object(map) => map.iter().for_each(|(key, value)| flatten_json(&join(path, key), value, leaves)),
        Json::Array(items) if ["keys", "budgets", "alerts"].contains(&path) => items.iter().for_each(|item| {
            let name = item.get("name").and_then(Json::as_str).unwrap_or_default();
            flatten_json(&join(path, name), item, leaves);
        }),
        Json::Array(items) if items.iter().any(Json::is_object) || items.contains(&Json::from(MASK)) => {
            items.iter().enumerate().for_each(|(i, item)| flatten_json(&format!("{path}[{i}]"), item, leaves));
        }
        Json::Array(items) if items.is_empty() => {}
        leaf => {
            leaves.insert(path.to_owned(), Leaf { shown: leaf.to_string(), secret: None });
        }
    }
}

/// Every secret of a configuration by its path.
fn secrets(config: &Config) -> Vec<(String, &str)> {
    let mut found = vec![("database.url".to_owned(), config.database.url.expose_secret())];
    found.extend(config.auth.admin_key.iter().map(|key| ("auth.admin_key".to_owned(), key.expose_secret())));
    for (id, provider) in &config.providers {
        provider_secrets(&join("providers", id), provider, &mut found);
    }
    for Key { name, key, .. } in &config.keys {
        found.push((format!("{}.key", join("keys", name)), key.expose_secret()));
    }
    let signing = config.receipts.signing_key.iter();
    found.extend(signing.map(|key| ("receipts.signing_key".to_owned(), key.expose_secret())));
    for alert in &config.alerts {
        let path = join("alerts", &alert.name);
        found.extend(alert.secrets().into_iter().map(|(key, secret)| (format!("{path}.{key}"), secret)));
    }
    found
}

fn provider_secrets<'a>(path: &str, provider: &'a Provider, found: &mut Vec<(String, &'a str)>) {
    found.extend(provider.api_key.iter().map(|key| (format!("{path}.api_key"), key.expose_secret())));
    for (i, key) in provider.keys.iter().enumerate() {
        found.push((format!("{path}.keys[{i}]"), key.expose_secret()));
    }
    for (name, value) in &provider.headers {
        found.push((join(&format!("{path}.headers"), name), value.expose_secret()));
    }
    let auth = provider.auth.iter().flat_map(AuthOverride::secrets);
    found.extend(auth.map(|(key, secret)| (format!("{path}.auth.{key}"), secret.expose_secret())));
}
