//! Which reports are due, and making them.

use serde_json::{Value, json};

use super::costs::{Ask, Plan};
use super::zone::{Length, Zone};
use crate::clock::UnixMs;
use crate::config::{Every, Report};
use crate::record::rfc3339;
use crate::snapshot::Snapshot;
use crate::store::reports::Made;
use crate::store::usage::{Filter, GroupBy, totals};
use crate::store::{Db, StoreError, StoreErrorKind};

/// Most periods that are made up for after a pause; older ones are let go.
pub const MOST_LATE: usize = 31;
/// Groups that a report names.
const TOP: u32 = 10;

/// A period to report on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub start: UnixMs,
    /// The first moment after it.
    pub end: UnixMs,
}

/// The periods that are due and not reported on, the oldest first; `last` is the start of the last that
/// was. A report that was never made begins with the period that ended last.
#[must_use]
pub fn due(report: &Report, last: Option<UnixMs>, now: UnixMs) -> Vec<Period> {
    let (zone, length) = (zone(report), length(report.every));
    let end = zone.start(length, now);
    // Not before its time of day on the day after.
    let end = if zone.time_of_day(end, report.at.0) <= now { end } else { zone.previous(length, end) };
    let newest = Period { start: zone.previous(length, end), end };
    let mut periods = Vec::new();
    let mut period = newest;
    while periods.len() < MOST_LATE && last.is_none_or(|last| period.start > last) && period.start < period.end {
        periods.push(period);
        if last.is_none() {
            break;
        }
        period = Period { start: zone.previous(length, period.start), end: period.start };
    }
    periods.reverse();
    periods
}

/// Makes the report of a period.
///
/// # Errors
/// As any call to the store.
pub async fn make(
    db: &Db,
    snapshot: &Snapshot,
    report: &Report,
    period: Period,
    now: UnixMs,
) -> Result<Made, StoreError> {
    let (zone, length) = (zone(report), length(report.every));
    let group_by = report.group_by.iter().filter_map(|by| GroupBy::parse(by.as_str())).collect();
    let plan = Plan::new(Ask {
        filter: Filter::default(),
        from: period.start,
        to: period.end,
        group_by,
        bucket: Length::Day,
        zone: zone.clone(),
        top: TOP,
    });
    let unfit = |why: String| StoreError::new(StoreErrorKind::Invalid, why);
    let plan = plan.map_err(|fault| unfit(format!("report {}: {} {}", report.name, fault.param, fault.why)))?;
    let costs = plan.summary(db, snapshot).await?;
    let before =
        Filter { from: Some(zone.previous(length, period.start)), to: Some(period.start), ..Filter::default() };
    let before = totals(db, &before, &[]).await?.first().map(|total| total.sums).unwrap_or_default();
    let body: Value = json!({
        "object": "report",
        "name": report.name,
        "every": report.every,
        "time_zone": zone.name(),
        "period": {"start": zone.text(period.start), "end": zone.text(period.end)},
        "made_at": rfc3339(now),
        "previous_period": {"cost_usd": before.cost.to_string(), "requests": before.requests},
        "costs": costs,
    });
    Ok(Made {
        name: report.name.clone(),
        period_start: period.start,
        period_end: period.end,
        made_at: now,
        body: body.to_string(),
    })
}

/// The configuration was checked: its zones are known.
fn zone(report: &Report) -> Zone {
    Zone::parse(&report.time_zone).unwrap_or_default()
}

fn length(every: Every) -> Length {
    match every {
        Every::Day => Length::Day,
        Every::Week => Length::Week,
        Every::Month => Length::Month,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::config::TimeOfDay;

    fn ms(text: &str) -> UnixMs {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn report(every: Every) -> Report {
        let (name, time_zone) = ("r".to_owned(), "Europe/Berlin".to_owned());
        Report { name, every, at: TimeOfDay(6 * 60), time_zone, group_by: Vec::new() }
    }

    fn check(every: Every, last: Option<&str>, now: &str, expected: &[(&str, &str)]) {
        let found = due(&report(every), last.map(ms), ms(now));
        let expected: Vec<Period> =
            expected.iter().map(|(start, end)| Period { start: ms(start), end: ms(end) }).collect();
        assert_eq!(found, expected, "{every:?} after {last:?} at {now}");
    }

    #[test]
    fn a_report_waits_for_its_time_of_day() {
        let (a, b, c) = ("2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z");
        check(Every::Day, None, "2026-11-21T04:59:59Z", &[(a, b)]);
        check(Every::Day, None, "2026-11-21T05:00:00Z", &[(b, c)]);
        check(Every::Day, Some(a), "2026-11-21T04:59:59Z", &[]);
        check(Every::Day, Some(a), "2026-11-21T05:00:00Z", &[(b, c)]);
        check(Every::Day, Some(b), "2026-11-21T23:00:00Z", &[]);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_have_their_lengths() {
        check(Every::Week, None, "2026-11-21T10:00:00Z", &[("2026-11-08T23:00:00Z", "2026-11-15T23:00:00Z")]);
        check(Every::Month, None, "2026-11-01T05:00:00Z", &[("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")]);
        check(Every::Month, None, "2026-11-01T04:00:00Z", &[("2026-08-31T22:00:00Z", "2026-09-30T22:00:00Z")]);
    }

    #[test]
    fn what_was_missed_is_made_up_for_within_bounds() {
        let (a, b, c) = ("2026-10-31T23:00:00Z", "2026-11-01T23:00:00Z", "2026-11-02T23:00:00Z");
        check(Every::Day, Some("2026-10-30T23:00:00Z"), "2026-11-03T12:00:00Z", &[(a, b), (b, c)]);
        let many = due(&report(Every::Day), Some(0), ms("2026-11-21T10:00:00Z"));
        assert_eq!(many.len(), MOST_LATE);
        assert!(many.windows(2).all(|pair| pair[0].end == pair[1].start), "{many:?}");
        assert_eq!(many[MOST_LATE - 1].end, ms("2026-11-20T23:00:00Z"));
        // A clock that was set back reports on nothing twice.
        assert_eq!(due(&report(Every::Day), Some(ms("2027-01-01T00:00:00Z")), ms("2026-11-21T10:00:00Z")), []);
    }

    #[test]
    fn the_beginning_of_time_is_no_trap() {
        for now in [0, 1, 86_400_000, i64::MAX] {
            assert!(due(&report(Every::Month), Some(-1), now).len() <= MOST_LATE);
        }
    }
}
