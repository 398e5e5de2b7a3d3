//! A time zone's calendar: where its hours, days, weeks and months begin.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::UnixMs;

const HOUR: UnixMs = 3_600_000;
/// A day of 24 hours.
pub const DAY: UnixMs = 24 * HOUR;
/// The last millisecond of the year 9998, so that there is always a day after.
const LAST: UnixMs = 253_370_764_799_999;

/// A length of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// An hour of UTC.
    Hour,
    /// A day of the zone.
    Day,
    /// A week of the zone, from Monday.
    Week,
    /// A month of the zone.
    Month,
}

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

/// The offsets of a zone from UTC in milliseconds, over a range: each holds before its moment, the last
/// from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// Until when which offset holds.
    pub before: Vec<(UnixMs, i64)>,
    /// The offset after all of them.
    pub last: i64,
}

impl Zone {
    /// The zone of an IANA name, such as `Europe/Berlin` or `UTC`.
    ///
    /// # Errors
    /// What the name must be.
    pub fn parse(name: &str) -> Result<Self, String> {
        let known = TimeZone::get(name).map_err(|_| "must be a time zone's name, such as UTC or Europe/Berlin");
        Ok(Self { name: name.to_owned(), zone: known? })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first moment of the hour, day, week or month that holds `at`.
    #[must_use]
    pub fn start(&self, length: Length, at: UnixMs) -> UnixMs {
        match length {
            Length::Hour => clamp(at) - clamp(at) % HOUR,
            Length::Day => self.midnight(self.date(at)),
            Length::Week => self.midnight(monday(self.date(at))),
            Length::Month => self.midnight(self.date(at).first_of_month()),
        }
    }

    /// The first moment of the next one.
    #[must_use]
    pub fn next(&self, length: Length, at: UnixMs) -> UnixMs {
        let date = self.date(at);
        match length {
            Length::Hour => clamp(at) - clamp(at) % HOUR + HOUR,
            Length::Day => self.midnight(after(date, 1)),
            Length::Week => self.midnight(after(monday(date), 7)),
            Length::Month => self.midnight(after(date.last_of_month(), 1)),
        }
    }

    /// The first moment of the one before.
    #[must_use]
    pub fn previous(&self, length: Length, at: UnixMs) -> UnixMs {
        self.start(length, self.start(length, at) - 1)
    }

    /// The first moment of the day that many days before the day of `at`.
    #[must_use]
    pub fn days_before(&self, at: UnixMs, days: i32) -> UnixMs {
        self.midnight(after(self.date(at), -days))
    }

    /// A time of day (milliseconds after midnight on the clock) on the day of `at`.
    #[must_use]
    pub fn time_of_day(&self, at: UnixMs, minutes: u16) -> UnixMs {
        let (hour, minute) = (i8::try_from(minutes / 60).unwrap_or(0), i8::try_from(minutes % 60).unwrap_or(0));
        let clock = self.date(at).at(hour.min(23), minute, 0, 0);
        clock.to_zoned(self.zone.clone()).map_or_else(|_| clamp(at), |there| there.timestamp().as_millisecond())
    }

    /// What the zone's clock shows, as the milliseconds at which a clock of UTC shows the same.
    #[must_use]
    pub fn local(&self, at: UnixMs) -> UnixMs {
        clamp(at) + self.offset(at)
    }

    /// RFC 3339 with the zone's offset, to the second.
    #[must_use]
    pub fn text(&self, at: UnixMs) -> String {
        let there = moment(at).to_zoned(self.zone.clone());
        let offset = there.offset();
        if offset.is_zero() {
            return there.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        there.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The offsets between two times.
    ///
    /// # Errors
    /// When one of them is no whole number of hours, which sums by the hour cannot be cut at.
    pub fn offsets(&self, from: UnixMs, to: UnixMs) -> Result<Offsets, String> {
        let mut offsets = Offsets { before: Vec::new(), last: self.offset(from) };
        for change in self.zone.following(moment(from)).take_while(|change| change.timestamp() < moment(to)) {
            offsets.before.push((change.timestamp().as_millisecond(), offsets.last));
            offsets.last = i64::from(change.offset().seconds()) * 1000;
        }
        let all = offsets.before.iter().map(|(_, offset)| *offset).chain([offsets.last]);
        if all.into_iter().any(|offset| offset % HOUR != 0) {
            return Err("must be a zone at whole hours from UTC: usage is summed by the hour".to_owned());
        }
        Ok(offsets)
    }

    fn offset(&self, at: UnixMs) -> i64 {
        i64::from(self.zone.to_offset(moment(at)).seconds()) * 1000
    }

    fn date(&self, at: UnixMs) -> Date {
        moment(at).to_zoned(self.zone.clone()).date()
    }

    /// The first moment of a date. Where a clock skips midnight, the day begins later.
    fn midnight(&self, date: Date) -> UnixMs {
        date.to_zoned(self.zone.clone()).map_or(LAST, |there| there.timestamp().as_millisecond())
    }
}

fn clamp(at: UnixMs) -> UnixMs {
    at.clamp(0, LAST)
}

fn moment(at: UnixMs) -> Timestamp {
    Timestamp::from_millisecond(clamp(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn monday(date: Date) -> Date {
    after(date, -i32::from(date.weekday().to_monday_zero_offset()))
}

fn after(date: Date, days: i32) -> Date {
    date.saturating_add(jiff::Span::new().days(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> UnixMs {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn days_weeks_and_months_begin_where_the_zone_says() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        // Thursday 26 March 2026, three days before the clocks go forward.
        let at = ms("2026-03-26T22:30:00Z");
        for (length, start, next) in [
            (Length::Hour, "2026-03-26T22:00:00Z", "2026-03-26T23:00:00Z"),
            (Length::Day, "2026-03-25T23:00:00Z", "2026-03-26T23:00:00Z"),
            (Length::Week, "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Length::Month, "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ] {
            assert_eq!((berlin.start(length, at), berlin.next(length, at)), (ms(start), ms(next)), "{length:?}");
            assert_eq!(berlin.next(length, berlin.previous(length, at)), ms(start), "{length:?}");
        }
        assert_eq!(berlin.text(ms("2026-03-31T22:00:00Z")), "2026-04-01T00:00:00+02:00");
        assert_eq!(Zone::default().text(at), "2026-03-26T22:30:00Z");
        assert_eq!(berlin.time_of_day(at, 6 * 60 + 30), ms("2026-03-26T05:30:00Z"));
        assert_eq!(berlin.days_before(at, 28), ms("2026-02-25T23:00:00Z"));
        assert_eq!(berlin.local(at), ms("2026-03-26T23:30:00Z"));
    }

    #[test]
    fn offsets_change_with_the_clocks() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let (from, to) = (ms("2026-03-01T00:00:00Z"), ms("2026-11-01T00:00:00Z"));
        let (spring, autumn) = (ms("2026-03-29T01:00:00Z"), ms("2026-10-25T01:00:00Z"));
        let expected = Offsets { before: vec![(spring, HOUR), (autumn, 2 * HOUR)], last: HOUR };
        assert_eq!(berlin.offsets(from, to), Ok(expected));
        assert_eq!(Zone::default().offsets(from, to), Ok(Offsets { before: Vec::new(), last: 0 }));
        assert!(Zone::parse("Asia/Kolkata").unwrap().offsets(from, to).unwrap_err().contains("whole hours"));
    }

    #[test]
    fn no_time_is_too_odd() {
        let zone = Zone::parse("Pacific/Auckland").unwrap();
        for at in [i64::MIN, -1, 0, LAST, i64::MAX] {
            for length in [Length::Hour, Length::Day, Length::Week, Length::Month] {
                assert!(zone.next(length, at) > zone.start(length, at), "{at} {length:?}");
            }
            assert!(!zone.text(at).is_empty());
            assert!(zone.time_of_day(at, u16::MAX) >= zone.days_before(at, 28), "{at}");
        }
        assert!(Zone::parse("Mars/Olympus").is_err());
    }
}
