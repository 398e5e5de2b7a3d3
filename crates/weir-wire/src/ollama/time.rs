//! `created_at`: a time of RFC 3339, to seconds since 1970 and back.

/// Days of four centuries.
const ERA: i64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;

/// The seconds since 1970 of a time such as `2026-08-07T06:08:14.73237Z` or `…+02:00`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone)?;
    let mut clock = clock.split('.').next()?.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let within = hour * 3600 + minute * 60 + second - offset(zone)?;
    u64::try_from(days(year, month, day) * 86_400 + within).ok()
}

/// Digits alone, at most four.
fn number(text: &str) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The seconds by which a zone is before UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let seconds = number(hours)? * 3600 + number(minutes)? * 60;
    Some(if zone.starts_with('-') { -seconds } else { seconds })
}

/// The days from 1970 to a date. Years begin in March here, so that a leap day ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// The time of these seconds since 1970.
pub(super) fn text(seconds: u64) -> String {
    // Beyond the year 9999 the form has no room.
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).min(253_402_300_799);
    let (days, within) = (seconds / 86_400 + EPOCH, seconds % 86_400);
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        for (written, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:01.5Z", 951_825_601),
            ("2024-05-24T20:26:46.294874Z", 1_716_582_406),
            ("2024-05-24T22:26:46+02:00", 1_716_582_406),
            ("2024-05-24T13:26:46-07:00", 1_716_582_406),
        ] {
            assert_eq!(seconds(written), Some(expected), "{written}");
        }
        assert_eq!(text(1_716_582_406), "2024-05-24T20:26:46Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "2024-05-24",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "1969-12-31T23:59:59Z",
            "-024-01-01T00:00:00Z",
            "2024-01-01T00:00:00+é",
            "2024-01-01T25:00:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_come_back(at in 0..253_402_300_799u64, odd in "\\PC{0,30}") {
            prop_assert_eq!(seconds(&text(at)), Some(at));
            let _ = seconds(&odd);
        }
    }
}
