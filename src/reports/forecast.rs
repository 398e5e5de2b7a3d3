//! What a month will have cost at its end.
//!
//! Method `weekday_average`: what was spent so far, and for each day that is left the average of the same
//! weekdays among the 28 days before today (of today, the part that is left). With less than a week of
//! history, method `linear`: what was spent so far, and the same per hour for the rest of the month.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::zone::{DAY, Length, Zone};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::usage::{Bucket, Filter, Point, series};
use crate::store::{Db, StoreError, StoreErrorKind};

/// Days that are looked back at.
const HISTORY: i32 = 28;
/// Fewest of them for averages by weekday.
const ENOUGH: usize = 7;

/// The forecast of what a filter finds, whatever time it names, for the month of `now`.
///
/// # Errors
/// As any call to the store.
pub async fn forecast(db: &Db, filter: &Filter, zone: &Zone, now: UnixMs) -> Result<Value, StoreError> {
    let month = zone.start(Length::Month, now);
    let from = month.min(zone.days_before(now, HISTORY));
    let filter = Filter { from: Some(from), to: Some(now), ..filter.clone() };
    let offsets = zone.offsets(from, now).map_err(|why| StoreError::new(StoreErrorKind::Invalid, why))?;
    let points = series(db, &filter, &[], &[], &Bucket::days(offsets.before, offsets.last)).await?;
    Ok(of_days(&points, zone, now))
}

fn of_days(points: &[Point], zone: &Zone, now: UnixMs) -> Value {
    let days: BTreeMap<UnixMs, i128> = points.iter().map(|p| (p.bucket, i128::from(p.sums.cost.0))).collect();
    let (month, end) = (zone.start(Length::Month, now), zone.next(Length::Month, now));
    let spent: i128 = days.range(zone.local(month)..).map(|(_, cost)| cost).sum();
    let today = zone.local(zone.start(Length::Day, now));
    let oldest = zone.local(zone.days_before(now, HISTORY));
    let first = days.range(oldest..today).next().map(|(day, _)| *day);
    let history = first.map_or(0, |first| usize::try_from((today - first) / DAY).unwrap_or(0));
    let (method, rest) = if history >= ENOUGH {
        let first = first.unwrap_or(today);
        ("weekday_average", by_weekday(&days, first, today, zone, now))
    } else {
        let gone = i128::from((now - month).max(1));
        ("linear", spent * i128::from((end - now).max(0)) / gone)
    };
    json!({
        "method": method,
        "month_start": zone.text(month),
        "month_end": zone.text(end),
        "month_to_date_usd": money(spent).to_string(),
        "expected_rest_usd": money(rest).to_string(),
        "month_end_usd": money(spent + rest).to_string(),
        "history_days": history,
    })
}

fn by_weekday(days: &BTreeMap<UnixMs, i128>, first: UnixMs, today: UnixMs, zone: &Zone, now: UnixMs) -> i128 {
    let weekday = |local: UnixMs| usize::try_from((local / DAY).rem_euclid(7)).unwrap_or(0);
    let (mut sums, mut counts) = ([0_i128; 7], [0_i128; 7]);
    let mut day = first;
    while day < today {
        sums[weekday(day)] += days.get(&day).copied().unwrap_or(0);
        counts[weekday(day)] += 1;
        day += DAY;
    }
    // A week of history holds every weekday.
    let average = |local: UnixMs| sums[weekday(local)] / counts[weekday(local)].max(1);
    let (start, tomorrow) = (zone.start(Length::Day, now), zone.next(Length::Day, now));
    let left = i128::from(tomorrow - now);
    let mut rest = average(today) * left / i128::from((tomorrow - start).max(1));
    let end = zone.local(zone.next(Length::Month, now));
    let mut day = today + DAY;
    while day < end {
        rest += average(day);
        day += DAY;
    }
    rest
}

fn money(nano: i128) -> NanoUsd {
    NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::usage::Sums;

    /// Monday 2026-11-16, noon, UTC.
    const NOW: UnixMs = 1_794_787_200_000 + DAY / 2;
    const TODAY: UnixMs = 1_794_787_200_000;

    fn day(before: i64, cost: i64) -> Point {
        let sums = Sums { requests: 1, cost: NanoUsd(cost), ..Sums::default() };
        Point { bucket: TODAY - before * DAY, group: None, sums }
    }

    #[test]
    fn days_to_come_cost_what_their_weekdays_cost() {
        // Mondays cost 700, every other day 100, for four weeks; today so far 300.
        let mut points: Vec<Point> = (1..=28).map(|n| day(n, if n % 7 == 0 { 700 } else { 100 })).collect();
        points.push(day(0, 300));
        let told = of_days(&points, &Zone::default(), NOW);
        // 1 to 15 November: the 2nd and the 9th are Mondays.
        assert_eq!(told["month_to_date_usd"], "0.000003000", "{told}");
        // Half a Monday, then 17 to 30 November with the Mondays 23 and 30.
        assert_eq!(told["expected_rest_usd"], "0.000002950");
        assert_eq!(told["month_end_usd"], "0.000005950");
        assert_eq!((&told["method"], &told["history_days"]), (&json!("weekday_average"), &json!(28)));
        assert_eq!(told["month_end"], "2026-12-01T00:00:00Z");
    }

    #[test]
    fn a_day_without_rows_cost_nothing() {
        let told = of_days(&[day(10, 1_000), day(3, 700)], &Zone::default(), NOW);
        assert_eq!((&told["method"], &told["history_days"]), (&json!("weekday_average"), &json!(10)));
        // Friday the 6th and the 13th: one of 1,000 and one of 700 among two; 20 and 27 November are left.
        assert_eq!(told["expected_rest_usd"], "0.000001700");
    }

    #[test]
    fn little_history_is_drawn_out() {
        let told = of_days(&[day(1, 310), day(0, 0)], &Zone::default(), NOW);
        assert_eq!(told["method"], "linear");
        // 310 in 15.5 days, 14.5 days are left.
        assert_eq!((&told["expected_rest_usd"], &told["history_days"]), (&json!("0.000000290"), &json!(1)));
        let nothing = of_days(&[], &Zone::default(), NOW);
        assert_eq!(nothing["month_end_usd"], "0.000000000");
    }
}
