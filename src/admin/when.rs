//! A moment to come, as people write it.

use jiff::Timestamp;

use crate::clock::UnixMs;

/// What [`when`] understands.
pub const EXPECTED: &str = "a span such as 30d, 12h or 90m, or a time such as 2027-01-01T00:00:00Z";

/// A span from `now`, or a time; `None` for what is neither.
#[must_use]
pub fn when(text: &str, now: UnixMs) -> Option<UnixMs> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let minutes = match text.chars().last()? {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    let at = now.checked_add(i64::from(count) * minutes * 60_000)?;
    Timestamp::from_millisecond(at).is_ok().then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_or_times() {
        const HOUR: i64 = 3_600_000;
        assert_eq!(when("1h", 5), Some(HOUR + 5));
        assert_eq!(when("30d", 0), Some(30 * 24 * HOUR));
        assert_eq!(when("2w", 0), Some(14 * 24 * HOUR));
        assert_eq!(when("90m", 0), Some(90 * 60_000));
        assert_eq!(when("1970-01-02T00:00:00Z", 7), Some(24 * HOUR));
        assert_eq!(when("1970-01-01T02:00:00+01:00", 7), Some(HOUR));
        for text in ["", "d", "3y", "soon", "-1d", "1.5h", "999999999999999d", "4000000000w", "2027-01-01", "1é"] {
            assert_eq!(when(text, 0), None, "{text}");
        }
    }
}
