//! Conditions in CEL (<https://cel.dev>), as routes have them.
//!
//! A condition is compiled when the configuration is read and evaluated against the facts of one request.
//! One that cannot be evaluated (a type that does not fit, a member that is not there) does not hold.

use std::fmt;

use cel::{Context, Program, Value};

/// What a condition may name.
pub const NAMES: [&str; 5] = ["request", "headers", "tags", "key", "time"];
/// Longest text of a condition.
const MAX_TEXT: usize = 4096;

/// A compiled condition.
pub struct Condition {
    text: String,
    program: Program,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("a condition must not be longer than {MAX_TEXT} bytes"));
        }
        let program = Program::compile(text).map_err(|error| {
            let told = error.to_string();
            format!("not a condition in CEL: {}", told.lines().next().unwrap_or_default().trim())
        })?;
        let references = program.references();
        let unknown = references.variables().into_iter().find(|name| !NAMES.contains(name)).map(ToOwned::to_owned);
        match unknown {
            Some(name) => Err(format!("`{name}` is unknown; a condition may name {}", NAMES.join(", "))),
            None => Ok(Self { text: text.to_owned(), program }),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, facts: &Facts) -> bool {
        matches!(self.program.execute(&facts.0), Ok(Value::Bool(true)))
    }
}

/// The facts of one request.
pub struct Facts(Context<'static, 'static>);

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Facts")
    }
}

impl Facts {
    /// Facts by their name. What cannot be written as a value is not there.
    #[must_use]
    pub fn new(facts: &serde_json::Map<String, serde_json::Value>) -> Self {
        let mut context = Context::default();
        for name in NAMES {
            let value = facts.get(name).and_then(|value| cel::to_value(value).ok()).unwrap_or(Value::Null);
            context.add_variable_from_value(name, value);
        }
        Self(context)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        let serde_json::Value::Object(facts) = json!({
            "request": {"model": "fast", "stream": true, "prompt_tokens": 1200, "user": null},
            "headers": {"x-plan": "gold"}, "tags": {"team": "search"},
            "key": {"name": "ci", "team": "t1"}, "time": {"hour": 14, "weekday": 5},
        }) else {
            panic!("an object")
        };
        Facts::new(&facts)
    }

    #[test]
    fn conditions_hold_or_do_not() {
        for (text, holds) in [
            ("request.stream", true),
            ("request.prompt_tokens > 1000 && tags.team == 'search'", true),
            ("headers['x-plan'] == 'gold' || false", true),
            ("has(tags.absent)", false),
            ("'absent' in tags", false),
            ("tags.absent == 'x'", false),
            ("time.hour >= 9 && time.hour < 17 && time.weekday <= 5", true),
            ("key.name.startsWith('c')", true),
            ("request.model", false),
            ("request.user == null", true),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(&facts()), holds, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        assert!(Condition::parse("request.model ==").unwrap_err().starts_with("not a condition in CEL"));
        let unknown = Condition::parse("requests.model == 'a'").unwrap_err();
        assert_eq!(unknown, "`requests` is unknown; a condition may name request, headers, tags, key, time");
        assert!(Condition::parse(&"a".repeat(5000)).is_err());
    }
}
