//! The reference page of the configuration, made from its schema.

use std::fmt::Write;

use serde_json::{Map, Value as Json};

const HEAD: &str = "\
<!-- Made by `weir config reference` from the comments in src/config; a test checks it. -->
# Configuration

Weir reads the YAML or TOML file of `--config`, else of `WEIR_CONFIG`, else `./weir.yaml` if it exists; \
without any it runs on its defaults. A file whose name ends in `.toml` is TOML; the keys are the same.

- `${VAR}` in a value is replaced by that variable of the environment, `${VAR:-default}` by the default if \
the variable is unset or empty. `$$` is a plain dollar sign. A variable that is not set is an error.
- A secret may be `file:/path`: the file's content, white space around it dropped. A relative path starts at \
the folder of the configuration file.
- `include: [base.yaml]` reads other files first. Maps are merged at every depth, lists and values replaced; \
a later file wins over an earlier one, the including file over all. With `WEIR_ENV=staging`, `weir.staging.yaml` beside `weir.yaml` is laid over them as the last, with its own includes; it must be there.
- An unknown key is an error, and so is a key that this version does nothing with.
- Sizes are `32MiB` (1024-based), `10MB` (1000-based) or a number of bytes; durations are `200ms`, `30s`, `10m`, `1h30m`.

`weir check` tells every fault with its line and column and exits with 2; `weir config example` prints a commented \
file with every key; `weir config schema` prints a JSON Schema for editors; `weir config diff OLD NEW` tells what \
differs between two files.

";

/// The page, as Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = super::schema();
    let mut page = Page { definitions: schema.get("$defs").cloned().unwrap_or_default(), text: HEAD.into() };
    let properties = schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
    for (key, property) in &properties {
        page.section(key, property);
    }
    page.text.truncate(page.text.trim_end().len());
    page.text.push('\n');
    page.text
}

struct Page {
    definitions: Json,
    text: String,
}

/// A key's schema, seen through references, `null` and map or list wrappers.
struct Shape {
    /// What comes behind the key in a path: `.NAME` for a map, `[]` for a list.
    suffix: &'static str,
    schema: Json,
}

impl Page {
    fn section(&mut self, key: &str, property: &Json) {
        let described = self.description(property);
        self.write(format_args!("## `{key}`\n\n{described}\n\n"));
        let shape = self.shape(property);
        let path = format!("{key}{}", shape.suffix);
        match shape.schema.get("properties").and_then(Json::as_object) {
            Some(properties) if properties.values().any(|one| !self.description(one).is_empty()) => {
                self.write(format_args!("| key | type | default | what |\n|---|---|---|---|\n"));
                let default = property.get("default").cloned().unwrap_or_default();
                self.rows(&path, properties, &default, &shape.schema);
                self.write(format_args!("\n"));
            }
            Some(properties) => {
                let keys: Vec<_> = properties.keys().map(|key| format!("`{key}`")).collect();
                self.write(format_args!("Keys of `{path}`: {}.\n\n", keys.join(", ")));
            }
            None => {
                let kind = kind(property);
                self.write(format_args!("Type: {kind}.\n\n"));
            }
        }
    }

    fn rows(&mut self, path: &str, properties: &Map<String, Json>, defaults: &Json, parent: &Json) {
        let required = parent.get("required").and_then(Json::as_array).cloned().unwrap_or_default();
        for (key, property) in properties {
            let path = format!("{path}.{key}");
            let shape = self.shape(property);
            let default = property.get("default").or_else(|| defaults.get(key)).cloned().unwrap_or_default();
            if let Some(inner) = shape.schema.get("properties").and_then(Json::as_object) {
                self.rows(&format!("{path}{}", shape.suffix), inner, &default, &shape.schema);
                continue;
            }
            let mut what = self.description(property).replace('\n', " ");
            let words = words(&shape.schema);
            what.extend(words.iter().map(|(word, meaning)| format!(" `{word}`: {meaning}")));
            let kind = if words.is_empty() { kind(&shape.schema) } else { "word".into() };
            let default = match &default {
                _ if required.contains(&Json::from(key.as_str())) => "required".to_owned(),
                Json::Null => String::new(),
                default => format!("`{}`", default.to_string().trim_matches('"')),
            };
            self.write(format_args!("| `{path}` | {kind} | {default} | {what} |\n"));
        }
    }

    /// A property's own words, else those of what it refers to.
    fn description(&self, schema: &Json) -> String {
        let own = schema.get("description").and_then(Json::as_str);
        own.map_or_else(
            || {
                let target = self.resolve(schema);
                target.get("description").and_then(Json::as_str).unwrap_or_default().to_owned()
            },
            str::to_owned,
        )
    }

    fn resolve(&self, schema: &Json) -> Json {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema).clone()
    }

    fn shape(&self, schema: &Json) -> Shape {
        let schema = self.unwrapped(schema);
        // A list or map of plain values is a leaf; one of maps goes on below.
        let inner =
            |key: &str| schema.get(key).map(|items| self.unwrapped(items)).filter(|s| s.get("properties").is_some());
        match (inner("additionalProperties"), inner("items")) {
            (Some(schema), _) => Shape { suffix: ".NAME", schema },
            (_, Some(schema)) => Shape { suffix: "[]", schema },
            _ => Shape { suffix: "", schema },
        }
    }

    /// Through references and alternatives, to the one that has keys, if there is one.
    fn unwrapped(&self, schema: &Json) -> Json {
        let schema = self.resolve(schema);
        let alternatives = schema.get("anyOf").and_then(Json::as_array);
        let mut alternatives = alternatives.into_iter().flatten().map(|one| self.resolve(one));
        alternatives.find(|one| one.get("properties").is_some()).unwrap_or(schema)
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("writing to a String does not fail");
    }
}

/// The words of a closed list, each with its meaning.
fn words(schema: &Json) -> Vec<(&str, &str)> {
    let all = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
    all.filter_map(|one| Some((one.get("const")?.as_str()?, one.get("description")?.as_str()?))).collect()
}

fn kind(schema: &Json) -> String {
    if let Some(format @ ("size" | "duration")) = schema.get("format").and_then(Json::as_str) {
        return format.to_owned();
    }
    let kind = match schema.get("type") {
        Some(Json::Array(kinds)) => kinds.first().and_then(Json::as_str),
        other => other.and_then(Json::as_str),
    };
    match kind {
        Some("array") => format!("list of {}", schema.get("items").map_or_else(String::new, kind_of_many)),
        Some("object") => "map".into(),
        Some("string") => "text".into(),
        Some("boolean") => "true or false".into(),
        Some("integer") => "number".into(),
        _ => "any".into(),
    }
}

fn kind_of_many(schema: &Json) -> String {
    match kind(schema).as_str() {
        "text" => "texts".into(),
        other => other.into(),
    }
}
