//! A JSON schema, said in OpenAPI's subset as far as it can be.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::MAX_DEPTH;
use crate::hub::{Json, LossKind, Losses};

/// The most schemas written, references followed.
const MAX_SCHEMAS: usize = 4096;

/// The most bytes of schemas that references bring in.
const MAX_FOLLOWED: usize = 4 << 20;

/// The keywords that mean the same in both and are taken as they are.
const KEPT: [&str; 17] = [
    "title",
    "description",
    "nullable",
    "maxItems",
    "minItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "propertyOrdering",
    "default",
    "minimum",
    "maximum",
    "required",
    "format",
];

/// The keywords that say nothing about what is valid.
const SILENT: [&str; 6] = ["$schema", "$id", "$comment", "$defs", "definitions", "$anchor"];

/// Says a JSON schema in OpenAPI's subset. What cannot be said is one loss at `at` that names the
/// keywords. `None` for an object without members, which Gemini refuses: it says nothing.
#[must_use]
pub fn to_openapi(schema: &Json, at: &str, losses: &mut Losses) -> Option<Json> {
    let root = schema.to_value();
    let mut writer = Writer { root: &root, dropped: BTreeSet::new(), written: 0, followed: 0, cut: false };
    let open = writer.schema(&root, &mut Vec::new());
    if !writer.dropped.is_empty() {
        let names: Vec<&str> = writer.dropped.iter().map(String::as_str).collect();
        let why = format!("the schema's {}: not in Gemini's subset of schemas", names.join(", "));
        losses.add(at, LossKind::Dropped, why);
    }
    if writer.cut {
        losses.add(at, LossKind::Coerced, "the schema contains itself or is too large: any object was asked for there");
    }
    let hollow = open.get("type") == Some(&json!("OBJECT")) && open.get("properties").is_none();
    (!hollow).then(|| Json::of(&Value::Object(open)))
}

/// What a translation knows.
struct Writer<'s> {
    root: &'s Value,
    dropped: BTreeSet<String>,
    written: usize,
    /// Bytes that references brought in.
    followed: usize,
    cut: bool,
}

impl<'s> Writer<'s> {
    /// One schema. `path` holds the references that are being followed.
    fn schema(&mut self, schema: &'s Value, path: &mut Vec<&'s str>) -> Map<String, Value> {
        self.written += 1;
        let mut open = Map::new();
        let Value::Object(members) = schema else { return open };
        if self.written > MAX_SCHEMAS || path.len() > MAX_DEPTH {
            self.cut = true;
            return any_object();
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            open = self.reference(reference, path);
        }
        path.push("");
        for (name, value) in members {
            self.keyword(name, value, &mut open, path);
        }
        path.pop();
        settle(&mut open);
        open
    }

    /// What a reference points to, unless it is within that itself.
    fn reference(&mut self, reference: &'s str, path: &mut Vec<&'s str>) -> Map<String, Value> {
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let target = target.filter(|_| !path.contains(&reference) && self.followed <= MAX_FOLLOWED);
        let Some(target) = target else {
            self.cut = true;
            return any_object();
        };
        self.followed = self.followed.saturating_add(target.to_string().len());
        path.push(reference);
        let open = self.schema(target, path);
        path.pop();
        open
    }

    fn keyword(&mut self, name: &str, value: &'s Value, open: &mut Map<String, Value>, path: &mut Vec<&'s str>) {
        match (name, value) {
            ("$ref", _) => {}
            ("type", _) => self.kind(value, open),
            ("format", Value::String(word)) if !known_format(word) => self.drop(&format!("format {word}")),
            ("enum", Value::Array(values)) => self.choices(values, open),
            ("const", value) => self.choices(std::slice::from_ref(value), open),
            ("properties", Value::Object(properties)) => {
                let inner: Map<String, Value> = properties
                    .iter()
                    .map(|(name, schema)| (name.clone(), Value::Object(self.schema(schema, path))))
                    .collect();
                if !inner.is_empty() {
                    open.insert("properties".to_owned(), Value::Object(inner));
                }
            }
            ("items", Value::Object(_)) => {
                let inner = self.schema(value, path);
                open.insert("items".to_owned(), Value::Object(inner));
            }
            ("anyOf" | "oneOf", Value::Array(schemas)) => self.any_of(schemas, open, path),
            ("allOf", Value::Array(schemas)) => {
                for schema in schemas {
                    let inner = self.schema(schema, path);
                    merge(open, inner);
                }
            }
            (name, value) if KEPT.contains(&name) => {
                open.insert(name.to_owned(), value.clone());
            }
            (name, _) if SILENT.contains(&name) => {}
            (name, _) => self.drop(name),
        }
    }

    fn drop(&mut self, name: &str) {
        if self.dropped.len() < 16 {
            self.dropped.insert(name.chars().take(48).collect());
        }
    }

    /// A type, or a list of them: null among them is `nullable`, several are `anyOf`.
    fn kind(&mut self, value: &Value, open: &mut Map<String, Value>) {
        let words: Vec<&str> = match value {
            Value::String(word) => vec![word],
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        if words.len() > 1 && words.contains(&"null") {
            open.insert("nullable".to_owned(), true.into());
        }
        let rest: Vec<&&str> = words.iter().filter(|word| words.len() == 1 || **word != "null").collect();
        match rest.as_slice() {
            [] => {}
            [only] => {
                open.insert("type".to_owned(), only.to_ascii_uppercase().into());
            }
            several => {
                let any = several.iter().map(|word| json!({"type": word.to_ascii_uppercase()})).collect();
                open.insert("anyOf".to_owned(), Value::Array(any));
            }
        }
    }

    /// An enumeration, which is of texts here.
    fn choices(&mut self, values: &[Value], open: &mut Map<String, Value>) {
        if values.iter().any(Value::is_null) {
            open.insert("nullable".to_owned(), true.into());
        }
        let texts: Vec<Value> = values.iter().filter(|value| value.is_string()).cloned().collect();
        if texts.len() + values.iter().filter(|value| value.is_null()).count() < values.len() {
            return self.drop("enum of other values than texts");
        }
        open.entry("type").or_insert_with(|| "STRING".into());
        open.insert("enum".to_owned(), Value::Array(texts));
    }

    /// Alternatives: null among them is `nullable`, one alone is the schema itself.
    fn any_of(&mut self, schemas: &'s [Value], open: &mut Map<String, Value>, path: &mut Vec<&'s str>) {
        let null = |schema: &&Value| schema.get("type") == Some(&json!("null"));
        if schemas.iter().any(|schema| null(&schema)) {
            open.insert("nullable".to_owned(), true.into());
        }
        let rest: Vec<&'s Value> = schemas.iter().filter(|schema| !null(schema)).collect();
        let mut inner: Vec<Map<String, Value>> = rest.into_iter().map(|schema| self.schema(schema, path)).collect();
        match inner.len() {
            0 => {}
            1 => merge(open, inner.pop().unwrap_or_default()),
            _ => {
                open.insert("anyOf".to_owned(), inner.into_iter().map(Value::Object).collect());
            }
        }
    }
}

fn any_object() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "OBJECT".into())])
}

/// The formats Gemini knows; others are refused.
fn known_format(word: &str) -> bool {
    matches!(word, "enum" | "date-time" | "int32" | "int64" | "float" | "double")
}

/// Takes over the members of another schema that must hold too.
fn merge(open: &mut Map<String, Value>, other: Map<String, Value>) {
    for (name, value) in other {
        match (open.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) if name == "properties" => known.extend(more),
            (Some(Value::Array(known)), Value::Array(more)) if name == "required" => known.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                open.insert(name, value);
            }
        }
    }
}

/// Makes a schema one that Gemini takes: with a type where one is meant, a list with what it is of,
/// and nothing required that is not there.
fn settle(open: &mut Map<String, Value>) {
    if !open.contains_key("type") && !open.contains_key("anyOf") {
        let meant = if open.contains_key("properties") {
            Some("OBJECT")
        } else if open.contains_key("items") {
            Some("ARRAY")
        } else {
            None
        };
        if let Some(word) = meant {
            open.insert("type".to_owned(), word.into());
        }
    }
    if open.get("type") == Some(&json!("ARRAY")) {
        open.entry("items").or_insert_with(|| json!({"type": "STRING"}));
    }
    let names: Vec<String> = match open.get("properties") {
        Some(Value::Object(properties)) => properties.keys().cloned().collect(),
        _ => Vec::new(),
    };
    if let Some(Value::Array(required)) = open.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(|name| names.iter().any(|known| known == name)));
        if required.is_empty() {
            open.remove("required");
        }
    }
}
