//! Windows of the week, UTC, in which other prices hold.

use crate::catalog::Window;
use crate::clock::UnixMs;

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

/// Minutes of the week (0 is Monday 00:00 UTC), each range from its start up to before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Windows(Vec<(u32, u32)>);

impl Windows {
    /// `None` if a window cannot be read.
    pub(super) fn of(windows: &[Window]) -> Option<Self> {
        let mut ranges = Vec::new();
        for window in windows {
            for hours in &window.hours_utc {
                let (start, end) = hours.split_once('-')?;
                let (start, end) = (minute(start)?, minute(end)?);
                let length = if end > start { end - start } else { end + DAY - start };
                for day in &window.weekdays {
                    let monday = u32::from(*day).checked_sub(1).filter(|day| *day < 7)? * DAY;
                    ranges.push((monday + start, monday + start + length));
                }
            }
        }
        Some(Self(ranges))
    }

    pub(super) fn contains(&self, at: UnixMs) -> bool {
        // The epoch was a Thursday, three days into its week.
        let minute = (at.div_euclid(60_000) + 3 * i64::from(DAY)).rem_euclid(i64::from(WEEK));
        let minute = u32::try_from(minute).unwrap_or(0);
        // A range that runs over Sunday midnight also covers the begin of the week.
        self.0.iter().any(|(start, end)| (*start..*end).contains(&minute) || (*start..*end).contains(&(minute + WEEK)))
    }
}

fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(hours: &str, weekdays: &[u8]) -> Option<Windows> {
        Windows::of(&[Window { hours_utc: vec![hours.to_owned()], weekdays: weekdays.to_vec() }])
    }

    /// Milliseconds at `minute` of the week that began on Monday 2026-11-16 00:00 UTC.
    fn at(minute: i64) -> UnixMs {
        1_794_787_200_000 + minute * 60_000
    }

    #[test]
    fn ends_are_exclusive_and_midnight_is_the_end_of_the_day() {
        let evening = windows("10:00-00:00", &[1]).unwrap();
        let expected = [(599, false), (600, true), (1439, true), (1440, false), (1440 + 600, false)];
        for (minute, inside) in expected {
            assert_eq!(evening.contains(at(minute)), inside, "{minute}");
        }
        assert!(!evening.contains(at(600) - 1) && evening.contains(at(1440) - 1));
    }

    #[test]
    fn a_window_over_midnight_ends_on_the_next_day_even_after_sunday() {
        let night = windows("22:00-02:00", &[7]).unwrap();
        let sunday = 6 * 1440;
        let expected =
            [(sunday + 1319, false), (sunday + 1320, true), (0, true), (119, true), (120, false), (1320, false)];
        for (minute, inside) in expected {
            assert_eq!(night.contains(at(minute)), inside, "{minute}");
        }
        assert!(windows("00:00-00:00", &[3]).unwrap().contains(at(2 * 1440)));
        assert!(!windows("00:00-00:00", &[3]).unwrap().contains(at(3 * 1440)));
        assert!(
            windows("00:00-00:00", &[4]).unwrap().contains(0) && windows("00:00-00:00", &[3]).unwrap().contains(-1)
        );
    }

    #[test]
    fn what_is_not_a_window_is_refused() {
        for hours in ["", "1-2", "24:00-01:00", "01:60-02:00", "01:00", "a:b-c:d"] {
            assert_eq!(windows(hours, &[1]), None, "{hours:?}");
        }
        assert_eq!(windows("01:00-02:00", &[0]), None);
        assert_eq!(windows("01:00-02:00", &[8]), None);
    }
}
