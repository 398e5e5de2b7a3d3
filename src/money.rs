//! Money: integer nano-dollars, written as exact decimals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANO: i64 = 1_000_000_000;

/// An amount in nano-dollars (1 USD = 1,000,000,000). Written and read as a decimal of US dollars
/// with nine places, so that no binary fraction ever touches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let abs = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", abs / NANO as u64, abs % NANO as u64)
    }
}

/// Why a decimal is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not `digits[.digits]`.
    #[error("expected a decimal number of US dollars, such as \"2.50\"")]
    Syntax,
    /// More than nine decimal places.
    #[error("more than nine decimal places: the smallest amount is 0.000000001")]
    TooPrecise,
    /// Does not fit 63 bits of nano-dollars (about 9.2 billion dollars).
    #[error("too large")]
    TooLarge,
}

impl FromStr for NanoUsd {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(ParseMoneyError::Syntax);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(ParseMoneyError::TooPrecise);
        }
        let whole: i64 = whole.parse().map_err(|_| ParseMoneyError::TooLarge)?;
        let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| ParseMoneyError::Syntax)?;
        let nano = whole.checked_mul(NANO).and_then(|n| n.checked_add(fraction)).ok_or(ParseMoneyError::TooLarge)?;
        Ok(Self(if negative { -nano } else { nano }))
    }
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_both_ways() {
        for (text, nano) in [("0.000150000", 150_000), ("2.500000000", 2_500_000_000), ("-0.000000001", -1)] {
            assert_eq!(text.parse(), Ok(NanoUsd(nano)));
            assert_eq!(NanoUsd(nano).to_string(), text);
        }
        assert_eq!("3".parse(), Ok(NanoUsd(3_000_000_000)));
        assert_eq!("0.10".parse(), Ok(NanoUsd(100_000_000)));
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "1e3", "NaN", "1,5", " 1"] {
            assert_eq!(text.parse::<NanoUsd>(), Err(ParseMoneyError::Syntax), "{text:?}");
        }
        assert_eq!("0.0000000001".parse::<NanoUsd>(), Err(ParseMoneyError::TooPrecise));
        assert_eq!("99999999999".parse::<NanoUsd>(), Err(ParseMoneyError::TooLarge));
    }
}
