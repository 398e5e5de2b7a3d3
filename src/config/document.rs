//! A configuration as one document: its files merged, its variables not yet put in. It is what is kept of a
//! configuration, and so it is shown without the secrets that stand in it.

use std::collections::HashMap;
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
    /// Of a tree, and of the secrets that were found in it: by path, each with what may be shown of it.
    pub(super) fn new(whole: Json, secrets: &HashMap<String, Option<String>>) -> Self {
        let mut shown = whole.clone();
        mask("", &mut shown, secrets);
        let literal = secrets.iter().filter(|(_, shown)| shown.is_none()).map(|(path, _)| path.clone());
        let mut literal: Vec<String> = literal.collect();
        literal.sort();
        Self(Arc::new(Inner { whole, shown, literal }))
    }

    /// The document as it is kept and shown: a secret that stands in the text is `***`, one that the text
    /// refers to (`${VAR}`, `file:/path`) is its reference.
    #[must_use]
    pub fn shown(&self) -> &Json {
        &self.0.shown
    }

    /// Where secrets stand in the text itself, by path.
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

    /// A text to load `kept` from, its `***` replaced by what this document has at the same places. A place
    /// that this one does not have stays as it is, and is refused when the text is read. The text holds
    /// secrets.
    #[must_use]
    pub fn fill(&self, kept: &Json) -> String {
        let mut filled = kept.clone();
        fill(&mut filled, Some(&self.0.whole));
        format!("{filled:#}")
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

fn fill(json: &mut Json, from: Option<&Json>) {
    match json {
        Json::Object(map) => map.iter_mut().for_each(|(key, value)| fill(value, from.and_then(|from| from.get(key)))),
        Json::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                let twin = from.and_then(Json::as_array).and_then(|from| match item.get("name") {
                    // What has a name is found by it, wherever it stands.
                    Some(name) => from.iter().find(|other| other.get("name") == Some(name)),
                    None => from.get(i),
                });
                fill(item, twin);
            }
        }
        Json::String(text) if text == MASK => {
            if let Some(Json::String(secret)) = from {
                text.clone_from(secret);
            }
        }
        _ => {}
    }
}
