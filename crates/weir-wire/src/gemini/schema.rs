//! Schemas: JSON schema, and the subset of OpenAPI 3.0 that Gemini's `parameters` and `responseSchema` are in.
//!
//! There a type is one word in capitals, null is said by `nullable`, there are no references, and of JSON
//! schema's keywords about half are known; the rest is refused. [`to_openapi`] says the same in that subset, as
//! far as it can be said; [`from_openapi`] is the way back.

mod to_openapi;

use serde_json::{Map, Value, json};

use crate::hub::Json;

pub use to_openapi::to_openapi;

/// How deep schemas are followed.
const MAX_DEPTH: usize = 48;

/// A schema in OpenAPI's subset, read as a JSON schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The JSON schema.
    pub schema: Json,
    /// The types were in capitals: [`capitals`] writes them so again.
    pub capitals: bool,
    /// [`capitals`], or the schema itself if there were none, gives back what was read.
    pub exact: bool,
}

/// Reads a schema of OpenAPI's subset.
#[must_use]
pub fn from_openapi(open: &Json) -> Read {
    let tree = open.to_value();
    let lowered = lower(&tree, 0);
    if lowered == tree {
        return Read { schema: open.clone(), capitals: false, exact: true };
    }
    let exact = raise(&lowered, 0) == tree;
    Read { schema: Json::of(&lowered), capitals: exact, exact }
}

/// Writes the types of a schema in capitals, and null as `nullable`, and changes nothing else.
#[must_use]
pub fn capitals(schema: &Json) -> Json {
    Json::of(&raise(&schema.to_value(), 0))
}

/// A schema with `each` done to the schemas directly within it.
fn map_inner(members: &mut Map<String, Value>, mut each: impl FnMut(&Value) -> Value) {
    for (name, value) in members.iter_mut() {
        match (name.as_str(), &mut *value) {
            ("properties" | "$defs" | "defs" | "definitions", Value::Object(inner)) => {
                inner.values_mut().for_each(|schema| *schema = each(schema));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(inner)) => {
                inner.iter_mut().for_each(|schema| *schema = each(schema));
            }
            ("items" | "additionalProperties", Value::Object(_)) => *value = each(value),
            _ => {}
        }
    }
}

fn lower(schema: &Value, depth: usize) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if depth > MAX_DEPTH {
        return schema.clone();
    }
    let mut members = members.clone();
    map_inner(&mut members, |schema| lower(schema, depth + 1));
    if let Some(Value::String(word)) = members.get("type") {
        let word = word.to_ascii_lowercase();
        let null = members.get("nullable") == Some(&Value::Bool(true));
        if null {
            members.remove("nullable");
            members.insert("type".to_owned(), json!([word, "null"]));
        } else {
            members.insert("type".to_owned(), word.into());
        }
    }
    Value::Object(members)
}

fn raise(schema: &Value, depth: usize) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if depth > MAX_DEPTH {
        return schema.clone();
    }
    let mut members = members.clone();
    map_inner(&mut members, |schema| raise(schema, depth + 1));
    let (word, null) = match members.get("type") {
        Some(Value::String(word)) => (Some(word.to_ascii_uppercase()), false),
        Some(Value::Array(words)) => match words.as_slice() {
            [Value::String(word), Value::String(null)] if null == "null" => (Some(word.to_ascii_uppercase()), true),
            _ => (None, false),
        },
        _ => (None, false),
    };
    if let Some(word) = word {
        members.insert("type".to_owned(), word.into());
    }
    if null {
        members.insert("nullable".to_owned(), true.into());
    }
    Value::Object(members)
}
