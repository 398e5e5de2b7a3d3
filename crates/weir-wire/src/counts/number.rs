//! Counts as providers write them.

use super::MAX_COUNT;
use crate::json::Kind;

/// A count read from JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number {
    /// The count, 0 to [`MAX_COUNT`]; `None` if there is none to be read.
    pub(crate) value: Option<u64>,
    /// Whether it was bent into shape.
    pub(crate) clamped: bool,
}

impl Number {
    /// Reads the JSON value `text` of this kind, times `scale`. Fractions are rounded up, in the
    /// provider's favour; a string of digits counts as its number.
    pub(crate) fn read(text: &str, kind: Kind, scale: u64) -> Self {
        match kind {
            Kind::Null => Self { value: None, clamped: false },
            Kind::Number => Self::digits(text, scale),
            Kind::String => Self { clamped: true, ..Self::digits(text.trim_matches('"'), scale) },
            _ => Self { value: None, clamped: true },
        }
    }

    fn digits(text: &str, scale: u64) -> Self {
        if let Ok(whole) = text.parse::<u64>() {
            let scaled = whole.saturating_mul(scale);
            return Self { value: Some(scaled.min(MAX_COUNT)), clamped: scaled > MAX_COUNT };
        }
        // The words f64 also takes (inf, nan) are not counts, and JSON numbers never are words.
        let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        match text.parse::<f64>().ok().filter(|_| numeric) {
            Some(number) => Self::fraction(number * scale as f64, scale > 1),
            None => Self { value: None, clamped: true },
        }
    }

    /// A fraction is odd in a count of tokens, and normal in one that is scaled (seconds).
    fn fraction(number: f64, normal: bool) -> Self {
        let whole = number.ceil().clamp(0.0, MAX_COUNT as f64);
        let bent = number < 0.0 || number > MAX_COUNT as f64 || (whole != number && !normal);
        Self { value: Some(whole as u64), clamped: bent }
    }
}
