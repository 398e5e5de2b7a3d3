//! A configuration as one document: its files merged, its variables not yet put in. It is what is kept of a
//! configuration, and so it is shown without the secrets that stand in it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::context::join;
use super::secret::MASK;
use super::tree::{Node, Value};

/// What a configuration was read from.
#[derive(Clone, Default)]
pub struct Document(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// With its secrets.
    whole: Json,
    shown: Json,
    literal: Vec<String>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.0.shown).finish()
    }
}

impl Document {
    /// Of a tree, and of the secrets that were found in it: by path, each with what may be shown of it. Those at
    /// the `filled` places are an older document's.
    pub(super) fn new(whole: Json, secrets: &HashMap<String, Option<String>>, filled: &BTreeSet<String>) -> Self {
        let mut shown = whole.clone();
        mask("", &mut shown, secrets);
        let literal = secrets.iter().filter(|(path, shown)| shown.is_none() && !filled.contains(*path));
        let mut literal: Vec<String> = literal.map(|(path, _)| path.clone()).collect();
        literal.sort();
        Self(Arc::new(Inner { whole, shown, literal }))
    }

    /// The document as it is kept and shown: a secret that stands in the text is `***`, one that the text
    /// refers to (`${VAR}`, `file:/path`) is its reference.
    #[must_use]
    pub fn shown(&self) -> &Json {
        &self.0.shown
    }

    /// Whether the text itself sets a key: one of a section, by its path.
    #[must_use]
    pub fn sets(&self, path: &str) -> bool {
        path.split('.').try_fold(&self.0.shown, |json, key| json.get(key)).is_some_and(|json| !json.is_null())
    }

    /// Where secrets stand in the text itself, by path; not those for which the text has `***`.
    #[must_use]
    pub fn literal_secrets(&self) -> &[String] {
        &self.0.literal
    }

    /// Tells whether two documents are kept as the same text.
    #[must_use]
    pub fn hash(&self) -> String {
        use std::fmt::Write as _;
        let digest = Sha256::digest(self.0.shown.to_string().as_bytes());
        digest.iter().fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    /// Replaces each `***` of a tree by what this document has at the same place; answers the places. One that
    /// this document does not have stays as it is, and is refused when it is read.
    pub(super) fn fill(&self, tree: &mut Node) -> BTreeSet<String> {
        let mut filled = BTreeSet::new();
        fill("", tree, Some(&self.0.whole), &mut filled);
        filled
    }
}

/// A tree as JSON, its variables as they are written.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        // What does not fit is no value of any key, and is told when it is read.
        Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => Json::Null,
        },
        Value::Float(value) => serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect())
        }
    }
}

fn mask(path: &str, json: &mut Json, secrets: &HashMap<String, Option<String>>) {
    match json {
        Json::Object(map) => map.iter_mut().for_each(|(key, value)| mask(&join(path, key), value, secrets)),
        Json::Array(items) => {
            items.iter_mut().enumerate().for_each(|(i, item)| mask(&format!("{path}[{i}]"), item, secrets));
        }
        leaf => {
            if let Some(shown) = secrets.get(path) {
                *leaf = Json::String(shown.clone().unwrap_or_else(|| MASK.to_owned()));
            }
        }
    }
}

fn fill(path: &str, node: &mut Node, from: Option<&Json>, filled: &mut BTreeSet<String>) {
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                fill(&join(path, &entry.key), &mut entry.node, from.and_then(|from| from.get(&entry.key)), filled);
            }
        }
        Value::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                let twin = from.and_then(Json::as_array).and_then(|from| match name(item) {
                    // What has a name is found by it, wherever it stands.
                    Some(name) => from.iter().find(|other| other.get("name").and_then(Json::as_str) == Some(name)),
                    None => from.get(i),
                });
                fill(&format!("{path}[{i}]"), item, twin, filled);
            }
        }
        Value::Text(text) if text == MASK => {
            if let Some(Json::String(secret)) = from {
                text.clone_from(secret);
                filled.insert(path.to_owned());
            }
        }
        _ => {}
    }
}

fn name(item: &Node) -> Option<&str> {
    let Value::Map(entries) = &item.value else { return None };
    match &entries.iter().find(|entry| entry.key == "name")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}
