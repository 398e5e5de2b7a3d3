//! The files that ship: the example, the production file, the schema, the reference page.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;

const PRODUCTION: &str = include_str!("../../../config/production.yaml");

/// Every variable is set to something that fits.
fn everything_set(name: &str) -> Option<String> {
    match name {
        "WEIR_LOG" | "WEIR_DATA_DIR" => None,
        "DATABASE_URL" => Some("postgres://weir:x@db/weir".into()),
        "ALERT_WEBHOOK_SECRET" => Some("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".into()),
        "WEIR_RECEIPT_KEY" => Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()),
        _ => Some(format!("value of {name}")),
    }
}

fn load_shipped(name: &str, text: &str) -> Config {
    let source = ConfigSource::Text { name: name.into(), text: text.into(), format: Format::Yaml };
    Config::load(&source, &everything_set, &known()).unwrap_or_else(|faults| panic!("{}", lines(&faults)))
}

#[test]
fn the_example_loads() {
    let config = load_shipped("config/example.yaml", EXAMPLE);
    assert_eq!(config.providers.len(), 9);
    assert_eq!(config.models["slow"], Route::to("anthropic", "claude-sonnet-4-5"));
}

#[test]
fn the_example_names_every_variable_that_it_lacks() {
    let source = ConfigSource::Text { name: "example.yaml".into(), text: EXAMPLE.into(), format: Format::Yaml };
    let faults = Config::load(&source, &|_| None, &known()).unwrap_err();
    assert!(faults.iter().all(|fault| fault.problem.contains("is not set") && fault.line > 0), "{}", lines(&faults));
}

#[test]
fn the_production_file_loads() {
    let config = load_shipped("config/production.yaml", PRODUCTION);
    assert!(config.auth.required);
}

/// The paths of a schema's keys; `*` stands for names of the user's choice and list items.
fn schema_paths(root: &Json, schema: &Json, path: &str, out: &mut BTreeSet<String>) {
    let definition = schema.get("$ref").and_then(Json::as_str).and_then(|name| root.pointer(&name[1..]));
    if let Some(definition) = definition {
        schema_paths(root, definition, path, out);
    }
    for one in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
        schema_paths(root, one, path, out);
    }
    for (key, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let path = format!("{path}/{key}");
        out.insert(path.clone());
        schema_paths(root, property, &path, out);
    }
    for inner in ["additionalProperties", "items"] {
        if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
            schema_paths(root, inner, &format!("{path}/*"), out);
        }
    }
}

/// The paths of a file's keys, as [`schema_paths`] writes them.
fn file_paths(node: &Json, path: &str, all: &BTreeSet<String>, out: &mut BTreeSet<String>) {
    let children: Vec<(String, &Json)> = match node {
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Json::Array(items) => items.iter().map(|item| ("*".to_owned(), item)).collect(),
        _ => return,
    };
    for (key, value) in children {
        let free = all.iter().any(|known| known.starts_with(&format!("{path}/*/")));
        let leaf = !all.iter().any(|known| known.starts_with(&format!("{path}/")));
        if leaf {
            // Below here stands what is the user's own: metadata, variables, texts.
            return;
        }
        let path = format!("{path}/{}", if free { "*" } else { &key });
        if !free {
            out.insert(path.clone());
        }
        file_paths(value, &path, all, out);
    }
}

#[test]
fn the_example_has_every_key_of_the_schema_and_no_other() {
    let schema = schema();
    let mut expected = BTreeSet::new();
    schema_paths(&schema, &schema, "", &mut expected);
    let example: Json = serde_saphyr::from_str(EXAMPLE).unwrap();
    let mut found = BTreeSet::new();
    file_paths(&example, "", &expected, &mut found);
    assert_eq!(found, expected);
    assert!(expected.len() > 60, "{expected:?}");
}

/// Compares a file that ships with what the code makes; `WEIR_BLESS=1` writes it anew.
fn check_drift(path: &str, made: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&full, made).unwrap();
    }
    let kept = std::fs::read_to_string(&full).unwrap_or_default();
    assert!(kept == made, "{path} is out of date: WEIR_BLESS=1 cargo test writes it anew");
}

#[test]
fn the_schema_file_is_up_to_date() {
    check_drift("config/schema.json", &format!("{:#}\n", schema()));
}

#[test]
fn the_reference_page_is_up_to_date() {
    check_drift("docs/configuration.md", &reference());
}

#[test]
fn every_key_is_described() {
    fn walk(schema: &Json, path: &str, bare: &mut Vec<String>) {
        for (key, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            if property.get("description").is_none() {
                bare.push(format!("{path}.{key}"));
            }
        }
        for (name, definition) in schema.get("$defs").and_then(Json::as_object).into_iter().flatten() {
            walk(definition, name, bare);
        }
    }
    let mut bare = Vec::new();
    walk(&schema(), "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}
