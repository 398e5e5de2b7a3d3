//! The periods of a budget as spans of time.
//!
//! A day, week, month is one of the calendar in the budget's zone: it begins at the first moment at which
//! the zone's clocks show its first midnight or later. Where they jump over midnight that is the jump;
//! where they show midnight twice it is the first time, and being set back over it begins nothing anew. A
//! day that a zone left out has no window.
//!
//! An hour is an hour of real time that begins with a full hour of the zone's clocks: an hour that clocks
//! show twice is two windows, one that they jump over none. Where a zone moves its clocks by less than an
//! hour, the window is cut there, and the next one goes up to the next full hour.
//!
//! So windows of one budget have neither overlap nor gap, and depend on nothing but the moment: a
//! machine's clock that is set back meets the same windows again.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::{Period, Window, Zone};
use crate::clock::UnixMs;

const HOUR: UnixMs = 3_600_000;

/// Moments are taken to be within 1970 and 9998, where every calendar period has an end.
const FIRST: UnixMs = 0;
const LAST: UnixMs = 253_370_764_799_999;

/// The window that a moment is in.
pub(super) fn at(period: Period, zone: &Zone, at: UnixMs) -> Window {
    let (at, rules) = (at.clamp(FIRST, LAST), zone.rules());
    match period {
        Period::Total => Window { start: FIRST, end: None },
        Period::Hour => hour(rules, at),
        Period::Day | Period::Week | Period::Month => days(period, rules, at),
    }
}

/// The window before one of [`at`]'s.
pub(super) fn before(period: Period, zone: &Zone, window: &Window) -> Option<Window> {
    let earlier = window.start > FIRST && period != Period::Total;
    earlier.then(|| at(period, zone, window.start - 1))
}

fn days(period: Period, rules: &TimeZone, at: UnixMs) -> Window {
    let mut first = first_day(period, local(rules, at).date());
    let mut start = begin(rules, first);
    loop {
        let next = next_first_day(period, first);
        let end = begin(rules, next);
        // The clocks had shown the next period already when they were set back.
        if end > at {
            return Window { start, end: Some(end) };
        }
        (first, start) = (next, end);
    }
}

/// The day that the period of `day` begins with.
fn first_day(period: Period, day: Date) -> Date {
    match period {
        Period::Week => {
            let since_monday = day.weekday().to_monday_zero_offset();
            day.saturating_sub(i64::from(since_monday).days())
        }
        Period::Month => day.first_of_month(),
        _ => day,
    }
}

fn next_first_day(period: Period, first: Date) -> Date {
    first.saturating_add(match period {
        Period::Week => 1.week(),
        Period::Month => 1.month(),
        _ => 1.day(),
    })
}

/// The first moment at which the clocks show that day's midnight or later.
fn begin(rules: &TimeZone, day: Date) -> UnixMs {
    let midnight = day.at(0, 0, 0, 0);
    match rules.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } => moment(offset, midnight),
        AmbiguousOffset::Fold { before, .. } => moment(before, midnight),
        AmbiguousOffset::Gap { before, .. } => {
            let latest = moment(before, midnight);
            jump_over(rules, midnight, latest).unwrap_or(latest)
        }
    }
}

/// When the clocks jumped over `midnight`, which was by `latest`.
fn jump_over(rules: &TimeZone, midnight: DateTime, latest: UnixMs) -> Option<UnixMs> {
    let after = Timestamp::from_millisecond(latest.saturating_add(1)).ok()?;
    // A jump is the last change or, with names of zones changing meanwhile, one of the last.
    let jump = rules.preceding(after).take(4).find(|change| {
        let shown_before = local(rules, change.timestamp().as_millisecond() - 1);
        shown_before < midnight && change.offset().to_datetime(change.timestamp()) > midnight
    })?;
    Some(jump.timestamp().as_millisecond())
}

fn hour(rules: &TimeZone, at: UnixMs) -> Window {
    let phase = phase(rules, at);
    let full = (at + phase).div_euclid(HOUR) * HOUR - phase;
    let other = |moment: UnixMs| self::phase(rules, moment) != phase;
    // The clocks' full hours were others at the hour's begin or are at its end: it is cut at the change.
    let start = if other(full) { last_change(rules, at).filter(|cut| *cut > full) } else { None };
    let end = if other(full + HOUR - 1) { next_change(rules, at).filter(|cut| *cut < full + HOUR) } else { None };
    Window { start: start.unwrap_or(full), end: Some(end.unwrap_or(full + HOUR)) }
}

/// How far the zone's full hours lie before those of UTC.
fn phase(rules: &TimeZone, at: UnixMs) -> UnixMs {
    UnixMs::from(rules.to_offset(timestamp(at)).seconds().rem_euclid(3600)) * 1000
}

fn last_change(rules: &TimeZone, at: UnixMs) -> Option<UnixMs> {
    rules.preceding(timestamp(at + 1)).next().map(|change| change.timestamp().as_millisecond())
}

fn next_change(rules: &TimeZone, at: UnixMs) -> Option<UnixMs> {
    rules.following(timestamp(at)).next().map(|change| change.timestamp().as_millisecond())
}

fn local(rules: &TimeZone, at: UnixMs) -> DateTime {
    let at = timestamp(at);
    rules.to_offset(at).to_datetime(at)
}

fn moment(offset: Offset, shown: DateTime) -> UnixMs {
    // Between 1969 and 9999 every offset's every time is a timestamp.
    offset.to_timestamp(shown).map_or(LAST + 1, Timestamp::as_millisecond)
}

fn timestamp(at: UnixMs) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
