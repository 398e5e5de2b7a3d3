//! Hours, days and months of UTC, in milliseconds.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use crate::clock::UnixMs;

pub(super) const HOUR: UnixMs = 3_600_000;
pub(super) const DAY: UnixMs = 24 * HOUR;

/// The last millisecond of the year 9999.
pub(super) const LAST: UnixMs = 253_402_300_799_999;

/// A time within the years a date can be written for.
pub(super) fn clamp(at: UnixMs) -> UnixMs {
    at.clamp(0, LAST)
}

/// The first millisecond of the month.
pub(super) fn month(at: UnixMs) -> UnixMs {
    start(first_of_month(at))
}

/// The first millisecond of the month after.
pub(super) fn next_month(at: UnixMs) -> UnixMs {
    let first = first_of_month(at);
    let (year, month) = if first.month() == 12 { (first.year() + 1, 1) } else { (first.year(), first.month() + 1) };
    // Only December 9999 has no next month.
    Date::new(year, month, 1).map_or(LAST + 1, start)
}

/// `2026-11-21T10:00:00Z`.
pub(super) fn hour_text(at: UnixMs) -> String {
    moment(at).to_string()
}

/// `2026-11-21`.
pub(super) fn day_text(at: UnixMs) -> String {
    day(at).to_string()
}

/// `2026-11`.
pub(super) fn month_text(at: UnixMs) -> String {
    let first = first_of_month(at);
    format!("{:04}-{:02}", first.year(), first.month())
}

fn moment(at: UnixMs) -> Timestamp {
    Timestamp::from_millisecond(clamp(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn day(at: UnixMs) -> Date {
    moment(at).to_zoned(TimeZone::UTC).date()
}

fn first_of_month(at: UnixMs) -> Date {
    day(at).first_of_month()
}

fn start(day: Date) -> UnixMs {
    let days = date(1970, 1, 1).until(day).map_or(0, |span| span.get_days());
    i64::from(days) * DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        // 2024-02-29T12:34:56.789Z
        let leap = 1_709_210_096_789;
        assert_eq!(month_text(leap), "2024-02");
        assert_eq!(day_text(leap), "2024-02-29");
        assert_eq!(hour_text(leap - leap % HOUR), "2024-02-29T12:00:00Z");
        assert_eq!(day_text(month(leap)), "2024-02-01");
        assert_eq!(day_text(next_month(leap)), "2024-03-01");
        assert_eq!(day_text(next_month(month(leap) + 330 * DAY)), "2025-01-01");
        assert_eq!(month(0), 0);
    }

    #[test]
    fn no_time_is_out_of_range() {
        for at in [i64::MIN, -1, LAST, i64::MAX] {
            assert!(next_month(at) > month(at));
            assert!(!hour_text(at).is_empty());
        }
    }
}
