//! An instance of a JSON schema: the smallest that fits, for structured output and tool arguments.

use serde_json::{Map, Value, json};

/// How deep a schema is followed.
const MAX_DEPTH: usize = 32;
/// How much is made of one schema, in values and in names and given values by their length: what refers to
/// itself twice would double with each step.
const MAX_SIZE: usize = 4096;
/// So many bytes of a given value or a name count as one.
const BYTES_OF_ONE: usize = 16;

/// A value that fits `schema`; `$ref` is followed within it.
pub(super) fn instance(schema: &Value) -> Value {
    Instance { root: schema, left: MAX_SIZE }.of(schema, 0)
}

/// An instance while it is made.
struct Instance<'s> {
    root: &'s Value,
    left: usize,
}

impl Instance<'_> {
    fn of(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(pointer) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
            return self.root.pointer(pointer).map_or(Value::Null, |target| self.of(target, depth + 1));
        }
        if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            self.take(value.to_string().len());
            return value.clone();
        }
        if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema[*key].get(0)) {
            return self.of(first, depth + 1);
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, depth),
            Some("string") => text(schema),
            Some("integer") => schema.get("minimum").filter(|m| m.is_i64()).cloned().unwrap_or(json!(1)),
            Some("number") => schema.get("minimum").filter(|m| m.is_number()).cloned().unwrap_or(json!(1.5)),
            Some("boolean") => json!(true),
            Some("null") => Value::Null,
            _ if schema.get("properties").is_some() => self.object(schema, depth),
            _ => json!("demo"),
        }
    }

    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes / BYTES_OF_ONE);
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut made = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if self.left == 0 {
                break;
            }
            self.take(name.len());
            made.insert(name.clone(), self.of(schema, depth + 1));
        }
        Value::Object(made)
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let count = schema["minItems"].as_u64().unwrap_or(1).min(16);
        let item = |made: &mut Self| schema.get("items").map_or(json!("demo"), |items| made.of(items, depth + 1));
        Value::Array((0..count).map(|_| item(self)).collect())
    }
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
        assert_eq!(instance(&schema), expected);
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
        assert!(instance(&schema).is_object());
    }

    #[test]
    fn a_schema_that_multiplies_itself_ends() {
        let twice = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        let mut many = json!({"type": "string"});
        for _ in 0..20 {
            many = json!({"type": "array", "minItems": 16, "items": many});
        }
        let long = "x".repeat(100_000);
        let given = json!({"type": "array", "minItems": 16, "items": {"const": long}});
        let named = json!({"properties": {long: {"properties": {}}}});
        for schema in [twice, many, given, named] {
            assert!(instance(&schema).to_string().len() < 200_000);
        }
    }
}
