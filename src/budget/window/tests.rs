use proptest::prelude::*;

use super::*;

const ZONES: [&str; 22] = [
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "Europe/London",
    "Europe/Berlin",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
];

const PERIODS: [Period; 4] = [Period::Hour, Period::Day, Period::Week, Period::Month];

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn ms(text: &str) -> UnixMs {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn text(at: UnixMs) -> String {
    timestamp(at).to_string()
}

/// The window of a moment, as `(start, end)`.
fn window(period: Period, name: &str, moment: &str) -> (String, String) {
    let window = at(period, &zone(name), ms(moment));
    (text(window.start), text(window.end.unwrap()))
}

fn check(period: Period, name: &str, moment: &str, start: &str, end: &str) {
    assert_eq!(window(period, name, moment), (start.to_owned(), end.to_owned()), "{period} of {moment} in {name}");
}

#[test]
fn months_end_where_the_calendar_says() {
    use Period::Month;
    check(Month, "UTC", "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
    check(Month, "UTC", "2025-02-28T23:59:59.999Z", "2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z");
    check(Month, "UTC", "2025-12-31T23:59:59.999Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z");
    check(Month, "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    // 31 March's evening in Berlin, which is summer time since the 30th.
    check(Month, "Europe/Berlin", "2025-03-31T21:59:59Z", "2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z");
    check(Month, "Asia/Kolkata", "2025-04-30T18:30:00Z", "2025-04-30T18:30:00Z", "2025-05-31T18:30:00Z");
}

#[test]
fn a_leap_day_is_a_day() {
    check(Period::Day, "UTC", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z");
    check(Period::Day, "Asia/Tokyo", "2024-02-29T14:59:59Z", "2024-02-28T15:00:00Z", "2024-02-29T15:00:00Z");
    check(Period::Day, "UTC", "2023-02-28T23:00:00Z", "2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z");
}

#[test]
fn weeks_begin_on_monday() {
    // 2026-11-16 is a Monday.
    for moment in ["2026-11-16T00:00:00Z", "2026-11-18T11:06:40Z", "2026-11-22T23:59:59.999Z"] {
        check(Period::Week, "UTC", moment, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
    }
    // A week of 167 hours, and over a year's end.
    check(Period::Week, "Europe/Berlin", "2025-03-29T00:00:00Z", "2025-03-23T23:00:00Z", "2025-03-30T22:00:00Z");
    check(Period::Week, "UTC", "2026-01-01T00:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z");
}

/// `(zone, a moment of the day, hours of that day)`
const DAYS: &[(&str, &str, f64)] = &[
    ("America/New_York", "2025-03-09T12:00:00Z", 23.0),
    ("America/New_York", "2025-11-02T12:00:00Z", 25.0),
    ("America/Los_Angeles", "2025-03-09T20:00:00Z", 23.0),
    ("America/Los_Angeles", "2025-11-02T20:00:00Z", 25.0),
    ("Europe/London", "2025-03-30T12:00:00Z", 23.0),
    ("Europe/London", "2025-10-26T12:00:00Z", 25.0),
    ("Europe/Berlin", "2025-03-30T12:00:00Z", 23.0),
    ("Europe/Berlin", "2025-10-26T12:00:00Z", 25.0),
    // Half an hour.
    ("Australia/Lord_Howe", "2025-10-05T00:00:00Z", 23.5),
    ("Australia/Lord_Howe", "2025-04-06T00:00:00Z", 24.5),
    // Clocks go from 0:00 to 1:00, and from 24:00 to 23:00.
    ("Africa/Cairo", "2025-04-25T12:00:00Z", 23.0),
    ("Africa/Cairo", "2025-10-30T12:00:00Z", 25.0),
    ("Asia/Beirut", "2025-03-30T12:00:00Z", 23.0),
    ("Asia/Beirut", "2025-10-25T12:00:00Z", 25.0),
    ("America/Santiago", "2025-09-07T16:00:00Z", 23.0),
    ("America/Santiago", "2025-04-05T16:00:00Z", 25.0),
    ("America/Sao_Paulo", "2018-11-04T12:00:00Z", 23.0),
    // From 1:00 to 0:00: midnight comes twice.
    ("America/Havana", "2025-11-02T12:00:00Z", 25.0),
    ("America/Havana", "2025-03-09T12:00:00Z", 23.0),
    // 2:45.
    ("Pacific/Chatham", "2025-09-28T00:00:00Z", 23.0),
    ("Pacific/Chatham", "2025-04-06T00:00:00Z", 25.0),
    // Two hours at the Norwegian station.
    ("Antarctica/Troll", "2025-03-30T12:00:00Z", 22.0),
    ("Antarctica/Troll", "2025-10-26T12:00:00Z", 26.0),
    // Summer time without the month of fasting.
    ("Africa/Casablanca", "2025-02-23T12:00:00Z", 25.0),
    ("Africa/Casablanca", "2025-04-06T12:00:00Z", 23.0),
    // None.
    ("Asia/Tokyo", "2025-03-30T12:00:00Z", 24.0),
    ("Asia/Kolkata", "2025-10-26T12:00:00Z", 24.0),
    ("America/Sao_Paulo", "2025-11-02T12:00:00Z", 24.0),
    ("Asia/Kathmandu", "2025-10-26T12:00:00Z", 24.0),
];

#[test]
fn days_are_as_long_as_the_clocks_make_them() {
    let zones: std::collections::BTreeSet<_> = DAYS.iter().map(|(name, ..)| name).collect();
    assert!(zones.len() >= 12, "{zones:?}");
    for (name, moment, hours) in DAYS {
        let window = at(Period::Day, &zone(name), ms(moment));
        #[expect(clippy::cast_precision_loss, reason = "a day has few milliseconds")]
        let long = (window.end.unwrap() - window.start) as f64 / 3_600_000.0;
        assert!((long - hours).abs() < 1e-9, "{moment} in {name} has {long} hours, not {hours}");
        // The windows on both sides meet it.
        let before = before(Period::Day, &zone(name), &window).unwrap();
        assert_eq!(before.end, Some(window.start), "{name}");
        assert_eq!(at(Period::Day, &zone(name), window.end.unwrap()).start, window.end.unwrap(), "{name}");
    }
}

#[test]
fn a_day_begins_with_the_jump_where_there_is_no_midnight() {
    check(Period::Day, "Africa/Cairo", "2025-04-24T22:00:00Z", "2025-04-24T22:00:00Z", "2025-04-25T21:00:00Z");
    check(Period::Day, "Africa/Cairo", "2025-04-24T21:59:59.999Z", "2025-04-23T22:00:00Z", "2025-04-24T22:00:00Z");
    // Toronto's clocks went from 23:30 to 0:30 in 1919; of later ones none did that to a window.
    let toronto = zone("America/Toronto");
    let day = jiff::civil::date(1919, 3, 31);
    assert_eq!(text(begin(toronto.rules(), day)), "1919-03-31T04:30:00Z");
}

#[test]
fn clocks_set_back_over_midnight_do_not_bring_yesterday_back() {
    // St John's, 2010-11-07: at 0:01 the clocks were set to 23:01.
    let (start, end) = ("2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z");
    for moment in ["2010-11-07T02:30:30Z", "2010-11-07T02:31:00Z", "2010-11-07T03:00:00Z", "2010-11-07T03:30:00Z"] {
        check(Period::Day, "America/St_Johns", moment, start, end);
    }
    check(Period::Day, "America/St_Johns", "2010-11-07T02:29:59Z", "2010-11-06T02:30:00Z", start);
}

#[test]
fn a_day_that_was_left_out_has_no_window() {
    // Samoa went from 29 December 2011 to the 31st.
    let apia = zone("Pacific/Apia");
    let last = at(Period::Day, &apia, ms("2011-12-30T09:59:59Z"));
    let next = at(Period::Day, &apia, ms("2011-12-30T10:00:00Z"));
    assert_eq!((text(last.start), last.end), ("2011-12-29T10:00:00Z".into(), Some(next.start)));
    assert_eq!(
        (text(next.start), text(next.end.unwrap())),
        ("2011-12-30T10:00:00Z".into(), "2011-12-31T10:00:00Z".into())
    );
    assert_eq!(before(Period::Day, &apia, &next), Some(last));
    // The week, which began on Monday the 26th, has six days.
    check(Period::Week, "Pacific/Apia", "2011-12-31T00:00:00Z", "2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z");
}

#[test]
fn hours_are_of_real_time() {
    use Period::Hour;
    // 1:30 of New York twice: two windows.
    check(Hour, "America/New_York", "2025-11-02T05:30:00Z", "2025-11-02T05:00:00Z", "2025-11-02T06:00:00Z");
    check(Hour, "America/New_York", "2025-11-02T06:30:00Z", "2025-11-02T06:00:00Z", "2025-11-02T07:00:00Z");
    // 1:59 and 3:00, with nothing between.
    check(Hour, "America/New_York", "2025-03-09T06:59:59Z", "2025-03-09T06:00:00Z", "2025-03-09T07:00:00Z");
    check(Hour, "America/New_York", "2025-03-09T07:00:00Z", "2025-03-09T07:00:00Z", "2025-03-09T08:00:00Z");
    // The full hours of India and Nepal.
    check(Hour, "Asia/Kolkata", "2025-01-01T00:00:00Z", "2024-12-31T23:30:00Z", "2025-01-01T00:30:00Z");
    check(Hour, "Asia/Kathmandu", "2025-01-01T00:15:00Z", "2025-01-01T00:15:00Z", "2025-01-01T01:15:00Z");
    // St John's at 0:01: the full hours stay what they are.
    check(Hour, "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T02:30:00Z", "2010-11-07T03:30:00Z");
}

#[test]
fn an_hour_is_cut_where_full_hours_move() {
    use Period::Hour;
    let zone = "Australia/Lord_Howe";
    // 2:00 becomes 2:30 (15:30Z): from there half an hour is left.
    check(Hour, zone, "2025-10-04T15:29:59Z", "2025-10-04T14:30:00Z", "2025-10-04T15:30:00Z");
    check(Hour, zone, "2025-10-04T15:30:00Z", "2025-10-04T15:30:00Z", "2025-10-04T16:00:00Z");
    check(Hour, zone, "2025-10-04T16:00:00Z", "2025-10-04T16:00:00Z", "2025-10-04T17:00:00Z");
    // 2:00 becomes 1:30 (15:00Z).
    check(Hour, zone, "2025-04-05T14:59:59Z", "2025-04-05T14:00:00Z", "2025-04-05T15:00:00Z");
    check(Hour, zone, "2025-04-05T15:00:00Z", "2025-04-05T15:00:00Z", "2025-04-05T15:30:00Z");
    check(Hour, zone, "2025-04-05T15:30:00Z", "2025-04-05T15:30:00Z", "2025-04-05T16:30:00Z");
}

#[test]
fn the_total_has_one_window() {
    let utc = zone("UTC");
    for moment in [i64::MIN, 0, ms("2026-01-01T00:00:00Z"), i64::MAX] {
        let window = at(Period::Total, &utc, moment);
        assert_eq!(window, Window { start: 0, end: None });
        assert_eq!(before(Period::Total, &utc, &window), None);
    }
}

#[test]
fn a_clock_that_is_set_back_meets_the_same_windows() {
    let cairo = zone("Africa/Cairo");
    let end = at(Period::Day, &cairo, ms("2025-10-30T12:00:00Z")).end.unwrap();
    let now = [end - 1, end, end + 1, end - 3_600_000, end, end + 1].map(|at| super::at(Period::Day, &cairo, at).start);
    assert_eq!((now[1], now[4]), (end, end));
    assert_eq!(now[0], now[3]);
    assert!(now[0] < end);
}

#[test]
fn moments_out_of_range_have_windows() {
    for name in ZONES {
        for period in PERIODS {
            for moment in [i64::MIN, -1, 0, LAST, LAST + 1, i64::MAX] {
                let window = at(period, &zone(name), moment);
                assert!(window.contains(moment.clamp(FIRST, LAST)), "{period} of {moment} in {name}: {window:?}");
            }
            let first = at(period, &zone(name), 0);
            assert_eq!(before(period, &zone(name), &first), None, "before 1970 there is nothing");
        }
    }
}

/// Every window of five days around each change of each zone's clocks since 2000 meets its neighbours.
#[test]
fn windows_meet_around_every_change_of_the_clocks() {
    let (from, to) = (timestamp(ms("2000-01-01T00:00:00Z")), timestamp(ms("2030-01-01T00:00:00Z")));
    for name in ZONES {
        let zone = zone(name);
        let changes: Vec<_> = zone.rules().following(from).take_while(|change| change.timestamp() < to).collect();
        for change in changes {
            let change = change.timestamp().as_millisecond();
            for period in PERIODS {
                meet(period, &zone, change - 60 * HOUR, change + 60 * HOUR);
            }
        }
    }
}

/// Walks from window to window.
fn meet(period: Period, zone: &Zone, from: UnixMs, to: UnixMs) {
    let mut window = at(period, zone, from);
    while window.start < to {
        let end = window.end.unwrap();
        let next = at(period, zone, end);
        assert_eq!(next.start, end, "{period} in {zone} after {}", text(window.start));
        assert_eq!(before(period, zone, &next), Some(window), "{period} in {zone} before {}", text(end));
        assert_eq!(at(period, zone, end - 1), window, "{period} in {zone} at the end of {}", text(window.start));
        if period == Period::Hour {
            assert!(end - window.start <= HOUR && end > window.start, "{zone}: {window:?}");
        }
        window = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_partition_time(
        name in prop::sample::select(&ZONES[..]),
        period in prop::sample::select(&PERIODS[..]),
        moment in 0_i64..4_102_444_800_000,
        later in 0_i64..5_000_000_000,
    ) {
        let zone = zone(name);
        let window = at(period, &zone, moment);
        prop_assert!(window.contains(moment), "{window:?}");
        // Every moment of a window has that window.
        let end = window.end.unwrap();
        for inside in [window.start.max(0), i64::midpoint(window.start.max(0), end), end - 1] {
            prop_assert_eq!(at(period, &zone, inside), window);
        }
        if let Some(previous) = before(period, &zone, &window) {
            prop_assert_eq!(previous.end, Some(window.start));
            prop_assert!(previous.start < window.start);
        }
        // Later moments have the same window or a later one.
        let other = at(period, &zone, moment + later);
        prop_assert!(other == window || other.start >= end, "{window:?} {other:?}");
    }

    #[test]
    fn a_window_begins_at_a_begin_of_the_local_calendar(
        name in prop::sample::select(&ZONES[..]),
        moment in 0_i64..4_102_444_800_000,
    ) {
        let zone = zone(name);
        let shown = |period| local(zone.rules(), at(period, &zone, moment).start);
        let (day, week, month) = (shown(Period::Day), shown(Period::Week), shown(Period::Month));
        // Midnight, or what a jump over it shows.
        prop_assert!(day.hour() <= 1 && week.hour() <= 1 && month.hour() <= 1, "{day} {week} {month}");
        prop_assert_eq!(week.date().weekday(), jiff::civil::Weekday::Monday);
        prop_assert_eq!(month.date().day(), 1);
    }
}
