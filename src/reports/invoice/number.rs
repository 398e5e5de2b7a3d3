//! Counts, amounts and days as spreadsheets write them. Nothing here goes through a binary fraction.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::clock::UnixMs;

const DAY: UnixMs = 86_400_000;
/// Decimal places of an amount while it is added up: 10^-15 dollars.
const PLACES: usize = 15;
/// Amounts are below a trillion dollars.
const MAX_WHOLE: usize = 12;
/// Counts are below 10^15.
const MAX_DIGITS: usize = 15;
/// Units of an amount in a nano-dollar.
const PER_NANO: u128 = 1_000_000;

/// A count: `1200`, `1,200`, `1200.0`; nothing is zero.
pub(super) fn count(text: &str) -> Result<i64, &'static str> {
    const EXPECTED: &str = "expected a whole number";
    let text = without_groups(text.trim()).ok_or(EXPECTED)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if text.is_empty() {
        return Ok(0);
    }
    if whole.is_empty() || whole.len() > MAX_DIGITS || !digits(whole) || fraction.bytes().any(|b| b != b'0') {
        return Err(EXPECTED);
    }
    whole.parse().map_err(|_| EXPECTED)
}

/// An amount of dollars (or, with `cents`, of cents) in 10^-15 dollars: `0.06`, `$1,200.50`, `1.2e-06`,
/// `-3`; nothing is zero. Further places are rounded half away from zero.
pub(super) fn amount(text: &str, cents: bool) -> Result<i128, &'static str> {
    const EXPECTED: &str = "expected an amount such as 12.34";
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let text = text.strip_prefix('$').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 30).ok_or(EXPECTED)?;
    let mantissa = without_groups(mantissa).ok_or(EXPECTED)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) || mantissa.len() > 60 {
        return Err(EXPECTED);
    }
    let point = i32::try_from(whole.len()).unwrap_or(i32::MAX) + exponent - if cents { 2 } else { 0 };
    let units = shifted(&format!("{whole}{fraction}"), point).ok_or(EXPECTED)?;
    Ok(if negative { -units } else { units })
}

/// The number `0.DIGITS * 10^point` in units of 10^-[`PLACES`]. `None` when it is too large.
fn shifted(all: &str, point: i32) -> Option<i128> {
    let kept = point + i32::try_from(PLACES).ok()?;
    let significant = all.trim_start_matches('0').len();
    let leading = i32::try_from(all.len() - significant).ok()?;
    if significant > 0 && point - leading > i32::try_from(MAX_WHOLE).ok()? {
        return None;
    }
    let Ok(kept) = usize::try_from(kept) else { return Some(0) };
    let mut text: String = all.chars().take(kept).collect();
    let next = all.as_bytes().get(kept).copied();
    if all.len() < kept && significant > 0 {
        text.push_str(&"0".repeat(kept - all.len()));
    }
    let units: i128 = if text.is_empty() { 0 } else { text.parse().ok()? };
    Some(units + i128::from(next.is_some_and(|digit| digit >= b'5')))
}

/// An amount as nano-dollars, rounded half away from zero.
pub(super) fn nano(units: i128) -> i64 {
    let rounded = (units.unsigned_abs() + PER_NANO / 2) / PER_NANO;
    let limited = i64::try_from(rounded).unwrap_or(i64::MAX);
    if units < 0 { -limited } else { limited }
}

/// The day (UTC) of a date, a time, or seconds or milliseconds since 1970.
pub(super) fn day(text: &str) -> Result<UnixMs, &'static str> {
    const EXPECTED: &str = "expected a day or a time such as 2026-11-21, 2026-11-21T00:00:00Z or 1795219200";
    let text = text.trim();
    let at = unix(text).or_else(|| moment(text)).ok_or(EXPECTED)?;
    if at < 0 { Err(EXPECTED) } else { Ok(at - at % DAY) }
}

fn unix(text: &str) -> Option<UnixMs> {
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let number: i64 = whole.parse().ok().filter(|_| digits(whole))?;
    match whole.len() {
        9..=10 => Some(number * 1000),
        12..=13 => Some(number),
        _ => None,
    }
}

fn moment(text: &str) -> Option<UnixMs> {
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Some(exact.as_millisecond());
    }
    let text = text.replace('/', "-");
    let civil = text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(DateTime::from));
    civil.or_else(|| unpadded(&text))?.to_zoned(TimeZone::UTC).ok().map(|there| there.timestamp().as_millisecond())
}

/// `2026-9-1`.
fn unpadded(text: &str) -> Option<DateTime> {
    let mut parts = text.split('-').map(|part| part.parse::<i16>().ok().filter(|_| digits(part)));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
    date.filter(|_| parts.next().is_none()).map(DateTime::from)
}

/// A number without the commas between its thousands. `None` where they stand elsewhere.
fn without_groups(text: &str) -> Option<String> {
    if !text.contains(',') {
        return Some(text.to_owned());
    }
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut groups = whole.split(',');
    let first = groups.next().is_some_and(|first| (1..=3).contains(&first.len()));
    if !first || !groups.all(|group| group.len() == 3) {
        return None;
    }
    let whole = whole.replace(',', "");
    Some(fraction.map_or_else(|| whole.clone(), |fraction| format!("{whole}.{fraction}")))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_whole() {
        for (text, expected) in [("", 0), (" 12 ", 12), ("1,200,000", 1_200_000), ("3.0", 3), ("0", 0)] {
            assert_eq!(count(text), Ok(expected), "{text:?}");
        }
        for text in ["x", "-1", "1.5", "1,20", "1e3", ".0", "9999999999999999", "12,3456"] {
            assert!(count(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        const USD: i128 = 1_000_000_000_000_000;
        for (text, expected) in [
            ("", 0),
            ("1", USD),
            ("0.06", 6 * USD / 100),
            ("$1,200.50", 120_050 * USD / 100),
            ("-3", -3 * USD),
            ("1.2e-06", 1_200_000_000),
            ("5E2", 500 * USD),
            (".5", USD / 2),
            ("0.0600000000000000012", 6 * USD / 100),
            ("0.0000000000000005", 1),
            ("0.0000000000000004", 0),
            ("1e-20", 0),
            ("0e20", 0),
            ("999999999999.999999999999999", USD * 1_000_000_000_000 - 1),
        ] {
            assert_eq!(amount(text, false), Ok(expected), "{text:?}");
        }
        assert_eq!(amount("123.78", true), Ok(12378 * USD / 10_000));
        for text in ["x", "1.2.3", "1e99", "--1", "1e", "$", "NaN", "inf", "1000000000000", "1,5", "0x1"] {
            assert!(amount(text, false).is_err(), "{text:?}");
        }
        assert_eq!((nano(1_500_000), nano(-1_500_000), nano(1_499_999), nano(i128::MAX)), (2, -2, 1, i64::MAX));
    }

    #[test]
    fn days_are_those_of_utc() {
        let expected = 1_795_219_200_000;
        for text in [
            "2026-11-21",
            "2026/11/21",
            "2026-11-21T10:30:00Z",
            "2026-11-21T00:00:00+00:00",
            "2026-11-22T01:00:00+02:00",
            "2026-11-21 07:00:00",
            "2026-11-21T07:00:00",
            "1795219200",
            "1795219200.0",
            "1795219200123",
        ] {
            assert_eq!(day(text), Ok(expected), "{text}");
        }
        assert_eq!(day("2026/9/1"), day("2026-09-01"));
        for text in ["", "yesterday", "21.11.2026", "2026-13-01", "12345", "2026-9-1-2", "-1795219200"] {
            assert!(day(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}|[0-9.,eE+$-]{0,40}") {
            let _ = (count(&text), amount(&text, true), day(&text));
        }
    }
}
