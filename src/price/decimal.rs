//! Exact prices: decimals of US dollars per some number of units, as whole ticks per unit.
//!
//! A tick is 1/(36 * 10^24) USD. Every billed price of the catalogue is a whole number of ticks per
//! token, character, millisecond or piece: 10^24 covers the longest decimals per million tokens
//! and per second, and the 36 divides an hour into milliseconds (3.6 * 10^6) without remainder.
//! `u128` holds 9.4 * 10^12 USD of them.

use crate::money::NanoUsd;

/// Ticks in a US dollar.
pub(super) const TICKS_PER_USD: u128 = 36 * 10u128.pow(DIGITS);
const TICKS_PER_NANO: u128 = TICKS_PER_USD / 1_000_000_000;
const DIGITS: u32 = 24;
/// Above this, it is not a price but a slip.
const LARGEST_USD: u128 = 1_000_000;

/// Why a text is not a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceSyntax {
    /// Not `digits[.digits]`: a word, an exponent, a space, NaN.
    #[error("expected a decimal number of US dollars in quotes, such as \"2.50\"")]
    Syntax,
    /// Below zero.
    #[error("a price cannot be negative")]
    Negative,
    /// More than a million dollars.
    #[error("more than 1000000 dollars")]
    TooLarge,
    /// Too many decimal places to be billed exactly.
    #[error("too many decimal places to be billed exactly")]
    TooPrecise,
}

/// Ticks per unit of a price in US dollars per `per` units.
pub(super) fn ticks(text: &str, per: u128) -> Result<u128, PriceSyntax> {
    if text.starts_with('-') {
        return Err(PriceSyntax::Negative);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(PriceSyntax::Syntax);
    }
    let whole: u128 = whole.parse().map_err(|_| PriceSyntax::TooLarge)?;
    if whole > LARGEST_USD {
        return Err(PriceSyntax::TooLarge);
    }
    let fraction = fraction.trim_end_matches('0');
    let places = u32::try_from(fraction.len()).map_err(|_| PriceSyntax::TooPrecise)?;
    let scale = DIGITS.checked_sub(places).ok_or(PriceSyntax::TooPrecise)?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| PriceSyntax::TooPrecise)? };
    // At most 36 * 10^6 * 10^24 < 10^32: far from the end of u128.
    let total = whole * TICKS_PER_USD + fraction * 10u128.pow(scale) * 36;
    if total.is_multiple_of(per) { Ok(total / per) } else { Err(PriceSyntax::TooPrecise) }
}

/// `ticks * numerator / denominator`, rounded half up to a tick.
pub(super) fn scale(ticks: u128, mut numerator: u128, mut denominator: u128) -> u128 {
    let common = gcd(numerator, denominator).max(1);
    numerator /= common;
    denominator /= common;
    loop {
        if let Some(product) = ticks.checked_mul(numerator).and_then(|p| p.checked_add(denominator / 2)) {
            return product / denominator.max(1);
        }
        // Only absurdly precise ratios come here; dropping their last bits changes no amount.
        numerator /= 2;
        denominator = (denominator / 2).max(1);
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The amount, rounded half up to a nano-dollar; the largest amount there is if it does not fit.
pub(super) fn to_nano(ticks: Option<u128>) -> NanoUsd {
    let rounded = ticks.and_then(|ticks| ticks.checked_add(TICKS_PER_NANO / 2)).map(|ticks| ticks / TICKS_PER_NANO);
    NanoUsd(rounded.and_then(|nano| i64::try_from(nano).ok()).unwrap_or(i64::MAX))
}

/// The amount, rounded up: for what must not be too small.
pub(super) fn to_nano_up(ticks: Option<u128>) -> NanoUsd {
    let rounded = ticks.map(|ticks| ticks.div_ceil(TICKS_PER_NANO));
    NanoUsd(rounded.and_then(|nano| i64::try_from(nano).ok()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        assert_eq!(ticks("1", 1), Ok(TICKS_PER_USD));
        assert_eq!(ticks("0.15", 1_000_000), Ok(15 * TICKS_PER_USD / 100_000_000));
        assert_eq!(ticks("0.22", 3_600_000), Ok(22 * 10u128.pow(17)));
        assert_eq!(ticks("0.000", 7), Ok(0));
        assert_eq!(ticks("0.041666666666666664", 1_000_000).map(|t| t * 1_000_000), ticks("0.041666666666666664", 1));
    }

    #[test]
    fn what_is_not_a_price_is_refused() {
        for text in ["", ".", "1.", ".5", "1e3", "NaN", "inf", " 1", "1,5", "+1", "0x1", "1.-2"] {
            assert_eq!(ticks(text, 1), Err(PriceSyntax::Syntax), "{text:?}");
        }
        assert_eq!(ticks("-1", 1), Err(PriceSyntax::Negative));
        assert_eq!(ticks("-NaN", 1), Err(PriceSyntax::Negative));
        assert_eq!(ticks("1000001", 1), Err(PriceSyntax::TooLarge));
        assert_eq!(ticks(&"9".repeat(60), 1), Err(PriceSyntax::TooLarge));
        assert_eq!(ticks("0.0000000000000000000000001", 1), Err(PriceSyntax::TooPrecise));
        assert_eq!(ticks("0.0000000000000000000000001", 1_000_000), Err(PriceSyntax::TooPrecise));
        assert_eq!(ticks("1", 7), Err(PriceSyntax::TooPrecise));
    }

    #[test]
    fn rounding_is_half_up_and_never_wraps() {
        assert_eq!(to_nano(Some(TICKS_PER_NANO / 2)), NanoUsd(1));
        assert_eq!(to_nano(Some(TICKS_PER_NANO / 2 - 1)), NanoUsd(0));
        assert_eq!(to_nano(Some(u128::MAX)), NanoUsd(i64::MAX));
        assert_eq!(to_nano(None), NanoUsd(i64::MAX));
        assert_eq!([0, 1, TICKS_PER_NANO, TICKS_PER_NANO + 1].map(|t| to_nano_up(Some(t)).0), [0, 1, 1, 2]);
        assert_eq!([None, Some(u128::MAX)].map(to_nano_up), [NanoUsd(i64::MAX); 2]);
    }

    #[test]
    fn ratios_are_exact_where_they_can_be() {
        assert_eq!(scale(100, 1, 2), 50);
        assert_eq!(scale(5, 1, 2), 3);
        assert_eq!(scale(9, 4, 3), 12);
        assert_eq!(scale(u128::MAX / 2, u128::MAX / 2, u128::MAX / 2 - 1), u128::MAX / 2);
    }
}
