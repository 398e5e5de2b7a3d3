//! The JSON Schema (draft 2020-12) of a configuration file, made from the types and their comments.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value as Json, json};

use super::{Config, Route};

/// What a text holds that a variable will replace.
const VARIABLE: &str = r"\$\{";

/// The schema of a configuration file.
#[must_use]
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with_transform(AllowVariables);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        let include = json!({
            "description": "Files to read first, relative to this one. Maps are merged at every depth; a later file wins, this one over all.",
            "type": "array",
            "items": { "type": "string" },
            "default": [],
        });
        properties.insert("include".into(), include);
    }
    // The same text whatever order serde_json was built to keep.
    schema.sort_all_objects();
    schema
}

/// Lets `${VAR}` stand for numbers, booleans and words of a closed list.
#[derive(Clone, Debug)]
struct AllowVariables;

impl Transform for AllowVariables {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        widen_type(schema);
        let words = schema.get("oneOf").and_then(Json::as_array).is_some_and(|all| all.iter().all(is_word));
        if words && let Some(Json::Array(mut words)) = schema.remove("oneOf") {
            words.push(json!({ "type": "string", "pattern": VARIABLE }));
            schema.insert("anyOf".into(), words.into());
        }
    }
}

fn is_word(schema: &Json) -> bool {
    schema.get("const").is_some_and(Json::is_string)
}

fn widen_type(schema: &mut Schema) {
    let Some(kind) = schema.get("type") else { return };
    let mut kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
    let narrow = |kind: &Json| kind == "integer" || kind == "boolean";
    if kinds.iter().any(narrow) && !kinds.iter().any(|kind| kind == "string") {
        kinds.push("string".into());
        schema.insert("type".into(), kinds.into());
        // A pattern speaks of text alone, as `minimum` speaks of numbers alone.
        schema.insert("pattern".into(), VARIABLE.into());
    }
}

/// A model: `provider/model` or a route.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the file; the reader makes a route of both")]
pub(super) enum RouteOrShorthand {
    /// `provider/model`.
    Shorthand(String),
    /// A route with targets.
    Route(Box<Route>),
}
