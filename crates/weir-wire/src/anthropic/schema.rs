//! JSON schemas as this dialect takes them.

use crate::hub::{Fields, Json, Mode, Node, Place, write};
use crate::json::Kind;

/// Keywords that a structured answer's schema may not hold.
const UNKNOWN: [&str; 16] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "$schema",
];

/// The schema of an object: with `type: object`, if no type is said.
pub(super) fn of_object(schema: &Json) -> String {
    let Some(fields) = members(schema.as_str()) else { return schema.as_str().to_owned() };
    if fields.peek("type").is_some() {
        return schema.as_str().to_owned();
    }
    let inner = schema.as_str().trim_start_matches('{').trim_start();
    let comma = if inner.starts_with('}') { "" } else { "," };
    format!("{{\"type\":\"object\"{comma}{inner}")
}

/// The schema of a structured answer: objects are closed and keywords that are not taken are left
/// out; with the names of those.
pub(super) fn of_answer(schema: &Json) -> (String, Vec<&'static str>) {
    let mut lost = Vec::new();
    let text = one(schema.as_str(), &mut lost);
    (text, lost)
}

fn members(raw: &str) -> Option<Fields<'_>> {
    let node = Node::of_body(raw.as_bytes(), Mode::Answer).ok()?;
    (node.kind == Kind::Object).then(|| node.fields(Place::root()).ok()).flatten()
}

/// One schema. Nesting is bounded by the reader.
fn one(raw: &str, lost: &mut Vec<&'static str>) -> String {
    let Some(mut fields) = members(raw) else { return raw.to_owned() };
    let object =
        fields.peek("properties").is_some() || fields.peek("type").is_some_and(|node| node.raw.trim() == "\"object\"");
    for name in UNKNOWN {
        if fields.take(name).is_some() {
            note(name, lost);
        }
    }
    if fields.peek("minItems").is_some_and(|node| !matches!(node.raw.trim(), "0" | "1")) {
        fields.take("minItems");
        note("minItems", lost);
    }
    if object && fields.take("additionalProperties").is_some_and(|node| node.raw.trim() != "false") {
        note("additionalProperties", lost);
    }
    let rest = fields.rest(crate::hub::Dialect::Anthropic);
    let texts: Vec<String> = rest
        .members()
        .iter()
        .map(|(name, value)| format!("{}:{}", crate::json::quote(name), member(name, value.as_str(), lost)))
        .chain(object.then(|| "\"additionalProperties\":false".to_owned()))
        .collect();
    format!("{{{}}}", texts.join(","))
}

fn note(name: &'static str, lost: &mut Vec<&'static str>) {
    if !lost.contains(&name) && name != "$schema" {
        lost.push(name);
    }
}

/// The value of a keyword: schemas are looked into, all else is copied.
fn member(name: &str, raw: &str, lost: &mut Vec<&'static str>) -> String {
    match name {
        "properties" | "$defs" | "definitions" => match members(raw) {
            Some(fields) => {
                let all = fields.rest(crate::hub::Dialect::Anthropic);
                let texts = all
                    .members()
                    .iter()
                    .map(|(name, value)| format!("{}:{}", crate::json::quote(name), one(value.as_str(), lost)));
                format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
            }
            None => raw.to_owned(),
        },
        "items" | "not" => one(raw, lost),
        "anyOf" | "allOf" | "oneOf" | "prefixItems" => list(raw, lost),
        _ => raw.to_owned(),
    }
}

fn list(raw: &str, lost: &mut Vec<&'static str>) -> String {
    let node = Node::of_body(raw.as_bytes(), Mode::Answer).ok();
    match node.and_then(|node| node.items(&Place::root()).ok()) {
        Some(items) => write::array(|a| items.iter().for_each(|(_, node)| a.raw(&one(node.raw, lost)))),
        None => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_unknown_keywords_named() {
        let schema = r#"{"type":"object","properties":{"minimum":{"type":"number","minimum":1},
            "b":{"type":"array","minItems":2,"items":{"type":"object"}}},"anyOf":[{"maxLength":3}],"$schema":"x"}"#;
        let (text, lost) = of_answer(&Json::parse(schema).unwrap());
        assert_eq!(
            text,
            concat!(
                r#"{"type":"object","properties":{"minimum":{"type":"number"},"#,
                r#""b":{"type":"array","items":{"type":"object","additionalProperties":false}}},"#,
                r#""anyOf":[{}],"additionalProperties":false}"#
            )
        );
        assert_eq!(lost, ["minimum", "minItems", "maxLength"]);
    }

    #[test]
    fn the_input_of_a_tool_is_an_object() {
        let with = |text: &str| of_object(&Json::parse(text).unwrap());
        assert_eq!(with("{}"), r#"{"type":"object"}"#);
        assert_eq!(with(r#"{ "properties":{}}"#), r#"{"type":"object","properties":{}}"#);
        assert_eq!(with(r#"{"type":"object"}"#), r#"{"type":"object"}"#);
    }
}
