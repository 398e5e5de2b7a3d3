//! One SQL text with its values, for either engine.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::types::Json;

use super::error::{StoreError, StoreErrorKind};

/// A SQL text whose placeholders are `$1`, `$2`, ..., and the values for them.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) text: Cow<'static, str>,
    pub(crate) args: Vec<Arg>,
}

/// A value for a placeholder.
#[derive(Debug)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Bool(bool),
    Text(Option<String>),
    Json(Option<Box<RawValue>>),
}

impl Statement {
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), args: Vec::new() }
    }

    pub(crate) fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Appends a value and gives its placeholder's number.
    pub(crate) fn push(&mut self, arg: impl Into<Arg>) -> usize {
        self.args.push(arg.into());
        self.args.len()
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

/// Counts beyond 63 bits do not occur; they are held at the limit rather than wrapped.
impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<Option<u64>> for Arg {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Self::Int(None), Self::from)
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(without_nul(value)))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        value.map_or(Self::Text(None), Self::from)
    }
}

impl Arg {
    /// A value as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, StoreError> {
        let text = serde_json::to_string(value).map_err(|e| not_json(&e))?;
        Self::json_text(&text)
    }

    /// A text that is JSON already. Escaped NULs become U+FFFD, as in text.
    pub(crate) fn json_text(text: &str) -> Result<Self, StoreError> {
        RawValue::from_string(without_escaped_nul(text)).map(|raw| Self::Json(Some(raw))).map_err(|e| not_json(&e))
    }
}

fn not_json(error: &serde_json::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("not JSON: {error}"))
}

/// PostgreSQL's text cannot hold NUL, so both engines hold U+FFFD in its place.
pub(crate) fn without_nul(text: &str) -> String {
    if memchr::memchr(0, text.as_bytes()).is_some() { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// The same for NUL written as an escape within JSON: an odd number of backslashes before `u0000`.
fn without_escaped_nul(json: &str) -> String {
    const ESCAPE: &str = "\\u0000";
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(ESCAPE) {
        let before = &rest[..at];
        let slashes = before.len() - before.trim_end_matches('\\').len();
        out.push_str(before);
        out.push_str(if slashes.is_multiple_of(2) { "\\ufffd" } else { ESCAPE });
        rest = &rest[at + ESCAPE.len()..];
    }
    out.push_str(rest);
    out
}

macro_rules! arguments {
    ($name:ident, $target:ty) => {
        /// The values in the engine's own form.
        pub(crate) fn $name(args: Vec<Arg>) -> Result<$target, StoreError> {
            let mut out = <$target>::default();
            out.reserve(args.len(), 0);
            for arg in args {
                match arg {
                    Arg::Int(value) => out.add(value),
                    Arg::Bool(value) => out.add(value),
                    Arg::Text(value) => out.add(value),
                    Arg::Json(value) => out.add(value.map(Json)),
                }
                .map_err(sqlx::Error::Encode)?;
            }
            Ok(out)
        }
    };
}

arguments!(sqlite_arguments, SqliteArguments);
arguments!(postgres_arguments, PgArguments);

#[cfg(test)]
mod tests {
    use super::*;

    fn check_json(given: &str, kept: &str) {
        let Arg::Json(Some(raw)) = Arg::json_text(given).expect("valid") else { panic!("not json") };
        assert_eq!(raw.get(), kept);
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
        assert_eq!(without_nul("ab"), "ab");
        check_json(r#"{"a":"x\u0000y"}"#, r#"{"a":"x\ufffdy"}"#);
        check_json(r#"{"a":"x\\u0000y"}"#, r#"{"a":"x\\u0000y"}"#);
        check_json(r#"{"a":"x\\\u0000\u0000"}"#, r#"{"a":"x\\\ufffd\ufffd"}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        assert_eq!(Arg::json_text("{").expect_err("refused").kind(), StoreErrorKind::Invalid);
    }

    #[test]
    fn counts_never_wrap() {
        let Arg::Int(Some(value)) = Arg::from(u64::MAX) else { panic!("not an integer") };
        assert_eq!(value, i64::MAX);
    }
}
