//! Sizes and durations as people write them: `32MiB`, `1h30m`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serializer;

/// Sizes by suffix, in bytes. Powers of 1024 carry the `i`, as IEC 80000-13 has it.
const SIZES: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

/// Durations by suffix, in milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_SYNTAX: &str = "expected a size such as `32MiB`, `10MB` or a number of bytes";
const DURATION_SYNTAX: &str = "expected a duration such as `200ms`, `30s`, `10m` or `1h30m`";

/// A size in bytes.
///
/// # Errors
/// Says what a size looks like.
pub(super) fn parse_size(text: &str) -> Result<u64, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or(SIZE_SYNTAX)?;
    if number.is_empty() {
        return Err(SIZE_SYNTAX);
    }
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(*bytes)).ok_or("too large")
}

/// A duration: one or more numbers with their units, longest unit first, each unit once.
///
/// # Errors
/// Says what a duration looks like.
pub(super) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let (_, ms) = units.find(|(name, _)| *name == unit).ok_or(DURATION_SYNTAX)?;
        if number.is_empty() {
            return Err(DURATION_SYNTAX);
        }
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*ms));
        total = part.and_then(|part| total.checked_add(part)).ok_or("too long")?;
        rest = after;
    }
    if text.is_empty() { Err(DURATION_SYNTAX) } else { Ok(Duration::from_millis(total)) }
}

/// Writes a duration so that [`parse_duration`] reads it back.
pub(super) fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (name, ms) in UNITS {
        if left >= ms {
            out.push_str(&format!("{}{name}", left / ms));
            left %= ms;
        }
    }
    if out.is_empty() { "0s".into() } else { out }
}

/// Writes a size so that [`parse_size`] reads it back.
pub(super) fn show_size(size: u64) -> String {
    let exact = SIZES.iter().find(|(name, bytes)| name.contains('i') && size >= *bytes && size.is_multiple_of(*bytes));
    exact.map_or_else(|| size.to_string(), |(name, bytes)| format!("{}{name}", size / bytes))
}

pub(super) fn serialize_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_duration(*duration))
}

/// The same of one that may be left out.
pub(super) fn serialize_optional_duration<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serialize_duration(duration, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn serialize_size<S: Serializer>(size: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_size(*size))
}

/// The schema of a duration.
pub(super) struct DurationText;

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(\d+(d|h|m|s|ms))+$|\$\{", "format": "duration" })
    }
}

/// The schema of a size.
pub(super) struct SizeText;

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "pattern": r"^\d+ *([KMG]i?B|kB|B)?$|\$\{", "format": "size" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Result<u64, &str>| assert_eq!(parse_size(text), expected, "{text}");
        check("32MiB", Ok(33_554_432));
        check("10MB", Ok(10_000_000));
        check("10 kB", Ok(10_000));
        check("7", Ok(7));
        check("7B", Ok(7));
        check("2GiB", Ok(2_147_483_648));
        for text in ["", "MiB", "1.5MiB", "-1", "3mb", "1TiB", "1MiBs", "٣MiB"] {
            check(text, Err(SIZE_SYNTAX));
        }
        check("99999999999999999999", Err("too large"));
        check("99999999999GiB", Err("too large"));
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Result<u64, &str>| {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        };
        check("200ms", Ok(200));
        check("30s", Ok(30_000));
        check("10m", Ok(600_000));
        check("1h30m", Ok(5_400_000));
        check("1d2h3m4s5ms", Ok(93_784_005));
        check("0s", Ok(0));
        for text in ["", "10", "s", "10 s", "1.5s", "30m1h", "1s1s", "-1s", "1w", "1é"] {
            check(text, Err(DURATION_SYNTAX));
        }
        check("99999999999999999999s", Err("too long"));
        check("999999999999999999d", Err("too long"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in any::<u64>()) {
            prop_assert_eq!(parse_size(&show_size(n)), Ok(n));
            prop_assert_eq!(parse_duration(&show_duration(Duration::from_millis(n))), Ok(Duration::from_millis(n)));
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
