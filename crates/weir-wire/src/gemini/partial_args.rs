//! Arguments that come in pieces: `partialArgs`, each a value and the path it belongs to.

use serde_json::{Map, Value};

use crate::hub::{DecodeError, Fields, Json, Mode, Node, Place};

/// The most bytes of one call's arguments.
const MAX_BYTES: usize = 4 << 20;
/// The most steps of a path.
const MAX_STEPS: usize = 64;
/// The most elements of a list.
const MAX_INDEX: usize = 4096;

/// The arguments of one call so far.
#[derive(Debug)]
pub(super) struct PartialArgs {
    tree: Value,
    size: usize,
    /// The path of a text that goes on.
    open: Option<String>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl PartialArgs {
    /// Starting from the arguments that came whole.
    pub(super) fn new(whole: &str) -> Self {
        let tree = serde_json::from_str(whole).ok().filter(Value::is_object);
        Self { tree: tree.unwrap_or_else(|| Value::Object(Map::new())), size: whole.len(), open: None }
    }

    /// Adds the pieces of a `partialArgs` list.
    pub(super) fn add(&mut self, pieces: &Json) -> Result<(), DecodeError> {
        let node = Node::of_body(pieces.as_str().as_bytes(), Mode::Answer)?;
        for (at, node) in node.items(&Place::root().member("partialArgs"))? {
            self.piece(node.fields(at)?)?;
        }
        Ok(())
    }

    fn piece(&mut self, mut fields: Fields<'_>) -> Result<(), DecodeError> {
        let path = fields.require_text("jsonPath")?;
        let more = fields.flag("willContinue")? == Some(true);
        let value = match fields.text("stringValue")? {
            Some(text) => Value::String(text),
            None => match (fields.json("numberValue"), fields.flag("boolValue")?) {
                (Some(number), _) => number.to_value(),
                (None, Some(flag)) => Value::Bool(flag),
                (None, None) => Value::Null,
            },
        };
        self.size += path.len() + value.as_str().map_or(8, str::len);
        let steps = steps(&path).unwrap_or_default();
        // A place far down a list is paid for with the places before it.
        let places = steps.iter().map(|step| if let Step::Index(index) = step { 32 * index } else { 32 });
        self.size += places.sum::<usize>();
        let steps = Some(steps).filter(|steps| !steps.is_empty() && self.size <= MAX_BYTES);
        let steps = steps.ok_or_else(|| fields.error("jsonPath", "no path that is followed, or too much behind it"))?;
        let goes_on = self.open.as_deref() == Some(path.as_str());
        self.open = more.then_some(path);
        match (place(&mut self.tree, &steps), value) {
            (Value::String(known), Value::String(text)) if goes_on => known.push_str(&text),
            // A text that goes on without a piece of it says nothing.
            (Value::String(_), Value::Null) if goes_on => {}
            (known, value) => *known = value,
        }
        Ok(())
    }

    /// The arguments as text.
    pub(super) fn text(&self) -> String {
        self.tree.to_string()
    }
}

/// The steps of `$.a[0]['b c']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < MAX_STEPS {
        if let Some(quoted) = rest.strip_prefix("['") {
            let (key, tail) = quoted.split_once("']")?;
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        } else if let Some(index) = rest.strip_prefix('[') {
            let (index, tail) = index.split_once(']')?;
            steps.push(Step::Index(index.parse().ok().filter(|index| *index < MAX_INDEX)?));
            rest = tail;
        } else {
            let key = rest.strip_prefix('.')?;
            let end = key.find(['.', '[']).unwrap_or(key.len());
            let (key, tail) = key.split_at(end);
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        }
    }
    (rest.is_empty() && !steps.is_empty()).then_some(steps)
}

/// The value at a path, made where there is none.
fn place<'t>(tree: &'t mut Value, steps: &[Step]) -> &'t mut Value {
    steps.iter().fold(tree, |value, step| match step {
        Step::Key(key) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            &mut value[key.as_str()]
        }
        Step::Index(index) => {
            if !value.is_array() {
                *value = Value::Array(Vec::new());
            }
            if let Value::Array(items) = value
                && items.len() <= *index
            {
                items.resize(index + 1, Value::Null);
            }
            &mut value[*index]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(pieces: &str) -> Result<Value, DecodeError> {
        let mut partial = PartialArgs::new("");
        partial.add(&Json::parse(pieces).unwrap())?;
        Ok(serde_json::from_str(&partial.text()).unwrap())
    }

    #[test]
    fn pieces_find_their_places() {
        let pieces = r#"[
            {"jsonPath": "$.a[1].b", "stringValue": "x", "willContinue": true},
            {"jsonPath": "$.a[1].b", "stringValue": "y", "willContinue": true},
            {"jsonPath": "$.a[1].b"},
            {"jsonPath": "$['c d']", "numberValue": 1.5},
            {"jsonPath": "$.e", "boolValue": true},
            {"jsonPath": "$.f", "nullValue": "NULL_VALUE"}]"#;
        let expected = serde_json::json!({"a": [null, {"b": "xy"}], "c d": 1.5, "e": true, "f": null});
        assert_eq!(gathered(pieces).unwrap(), expected);
    }

    #[test]
    fn odd_paths_are_errors() {
        for path in ["", "a", "$", "$x", "$[", "$[-1]", "$[99999]", "$['a", &format!("${}", ".a".repeat(65))] {
            assert!(gathered(&format!("[{{\"jsonPath\": {}}}]", Json::string(path).as_str())).is_err(), "{path}");
        }
    }

    #[test]
    fn lists_do_not_grow_without_end() {
        let piece = format!("{{\"jsonPath\": \"${}\"}}", "[4095]".repeat(60));
        assert!(gathered(&format!("[{piece}]")).is_err());
    }
}
