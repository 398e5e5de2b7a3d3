//! An instance of a JSON schema: the smallest that fits, for structured output and tool arguments.

use serde_json::{Map, Value, json};

/// How deep a schema is followed.
const MAX_DEPTH: usize = 32;

/// A value that fits `schema`; `$ref` is followed within `root`.
pub(super) fn instance(schema: &Value, root: &Value) -> Value {
    build(schema, root, 0)
}

fn build(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(pointer) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return root.pointer(pointer).map_or(Value::Null, |target| build(target, root, depth + 1));
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema[*key].get(0)) {
        return build(first, root, depth + 1);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => object(schema, root, depth),
        Some("array") => array(schema, root, depth),
        Some("string") => text(schema),
        Some("integer") => schema.get("minimum").filter(|m| m.is_i64()).cloned().unwrap_or(json!(1)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(1.5)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ if schema.get("properties").is_some() => object(schema, root, depth),
        _ => json!("demo"),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let properties = schema["properties"].as_object();
    let entries = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), build(schema, root, depth + 1)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let count = schema["minItems"].as_u64().unwrap_or(1).min(16);
    let item = schema.get("items").map_or(json!("demo"), |items| build(items, root, depth + 1));
    Value::Array((0..count).map(|_| item.clone()).collect())
}

fn text(schema: &Value) -> Value {
    match schema["format"].as_str() {
        Some("date") => json!("2026-01-01"),
        Some("date-time") => json!("2026-01-01T00:00:00Z"),
        Some("email") => json!("demo@example.com"),
        Some("uri") => json!("https://example.com"),
        Some("uuid") => json!("00000000-0000-4000-8000-000000000000"),
        _ => {
            let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0).min(1000)).unwrap_or(0);
            json!("demo".repeat(least.div_ceil(4).max(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, expected: Value) {
        assert_eq!(instance(&schema, &schema), expected);
    }

    #[test]
    fn instances_fit_their_schemas() {
        check(
            json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"enum": ["x", "y"]}}}),
            json!({"a": 3, "b": "x"}),
        );
        check(json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), json!([true, true]));
        check(
            json!({"$defs": {"n": {"type": "null"}}, "properties": {"p": {"$ref": "#/$defs/n"}}}),
            json!({"p": null}),
        );
        check(json!({"type": ["string", "null"]}), json!("demo"));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
        assert!(instance(&schema, &schema).is_object());
    }
}
