//! JSON kept as its text, so that nothing of it is lost: no float is rounded, no member reordered.

use std::fmt;

use crate::json::{JsonError, Kind, Reader, quote};

/// One valid JSON value, as its text. Two are equal when their texts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// Checks that `text` is one JSON value.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader::new(text.as_bytes())?;
        let value = reader.skip()?;
        reader.end()?;
        Ok(Self(reader.raw(value.span).into()))
    }

    /// A string's JSON.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self(quote(text).into())
    }

    /// The JSON of a value.
    #[must_use]
    pub fn of(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }

    /// Text that a [`Reader`] has passed over.
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value as a tree, for what must look inside (schemas). Numbers may lose digits here.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// What the value is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Whether it says nothing: null, or an empty string, list or object. Leaving it out loses
    /// nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let hollow = |open: char, close: char| {
            let inner = self.0.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
            inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_whitespace()))
        };
        matches!(&*self.0, "" | "null" | "\"\"") || hollow('[', ']') || hollow('{', '}')
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.0)
    }
}

/// A number as it was written: `0.70` stays `0.70`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Num(Box<str>);

impl Num {
    /// A JSON number that a [`Reader`] has passed over.
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// A whole number.
    #[must_use]
    pub fn whole(value: u64) -> Self {
        Self(value.to_string().into())
    }

    /// A decimal number; what JSON cannot write (infinities, not a number) becomes 0.
    #[must_use]
    pub fn decimal(value: f64) -> Self {
        match serde_json::Number::from_f64(value) {
            Some(number) => Self(number.to_string().into()),
            None => Self::whole(0),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value, rounded to a double.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or_default()
    }

    /// Its value, if it is whole and not negative. `16.0` is 16.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| {
            let value = self.as_f64();
            let whole = value.fract() == 0.0 && (0.0..9.007_199_254_740_992e15).contains(&value);
            whole.then_some(value as u64)
        })
    }
}

impl fmt::Debug for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_and_checked() {
        assert_eq!(Json::parse(" {\"a\": 1.50} ").unwrap().as_str(), "{\"a\": 1.50}");
        assert!(Json::parse("{} x").is_err());
        assert!(Json::parse("").is_err());
        assert_eq!(Json::string("a\"\n").as_str(), r#""a\"\n""#);
    }

    #[test]
    fn what_says_nothing_is_empty() {
        for text in ["null", "\"\"", "[ ]", "{\n}"] {
            assert!(Json::parse(text).unwrap().is_empty(), "{text}");
        }
        for text in ["0", "false", "\" \"", "[0]", "{\"a\":1}", "7", "-1"] {
            assert!(!Json::parse(text).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(Num::checked("0.70").as_str(), "0.70");
        assert_eq!(Num::checked("16.0").as_u64(), Some(16));
        assert_eq!(Num::checked("1e3").as_u64(), Some(1000));
        assert_eq!(Num::checked("18446744073709551615").as_u64(), Some(u64::MAX));
        assert_eq!((Num::checked("-1").as_u64(), Num::checked("0.5").as_u64()), (None, None));
        assert_eq!(Num::decimal(f64::NAN).as_str(), "0");
    }
}
