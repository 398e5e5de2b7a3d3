//! Which table answers which part of a range of time.

use super::GroupBy;
use crate::clock::UnixMs;
use crate::store::usage::filter::{Filter, Source};
use crate::store::usage::rollup::{DAILY, Grain, HOURLY};

/// A part of the range and the table that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) source: Source,
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) from: Option<UnixMs>,
    pub(super) to: Option<UnixMs>,
}

impl Part {
    pub(super) fn rows(from: Option<UnixMs>, to: Option<UnixMs>) -> Self {
        Self { source: Source::Rows, table: "usage", column: "at", from, to }
    }

    fn sums(grain: &Grain, from: Option<UnixMs>, to: Option<UnixMs>) -> Self {
        Self { source: Source::Sums, table: grain.table, column: grain.column, from, to }
    }
}

/// The fewest rows that answer: the coarsest sums in the middle, finer ones at the ends.
pub(super) fn parts(filter: &Filter, group_by: &[GroupBy]) -> Vec<Part> {
    cut(filter, group_by, false)
}

/// The same where days are too coarse: for hours, and for days that do not begin with UTC's.
pub(super) fn hourly_parts(filter: &Filter, group_by: &[GroupBy]) -> Vec<Part> {
    cut(filter, group_by, true)
}

fn cut(filter: &Filter, group_by: &[GroupBy], hourly: bool) -> Vec<Part> {
    let grains: &[Grain] = if filter.tag.is_some() || group_by.contains(&GroupBy::Tag) {
        &[]
    } else if hourly || group_by.contains(&GroupBy::Hour) {
        &[HOURLY]
    } else {
        &[DAILY, HOURLY]
    };
    let mut parts = Vec::new();
    split(grains, filter.from, filter.to, &mut parts);
    if parts.is_empty() {
        // An empty range: ask the rows, which have none.
        parts.push(Part::rows(filter.from, filter.to));
    }
    parts
}

/// Cuts a range at the whole units of the first grain and hands the ends to the finer ones.
fn split(grains: &[Grain], from: Option<UnixMs>, to: Option<UnixMs>, out: &mut Vec<Part>) {
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return;
    }
    let Some((grain, finer)) = grains.split_first() else {
        out.push(Part::rows(from, to));
        return;
    };
    let first = from.map(|t| t.saturating_add(grain.length - 1).div_euclid(grain.length) * grain.length);
    let end = to.map(|t| t.div_euclid(grain.length) * grain.length);
    if first.zip(end).is_some_and(|(first, end)| first >= end) {
        split(finer, from, to, out);
        return;
    }
    if first != from {
        split(finer, from, first, out);
    }
    out.push(Part::sums(grain, first, end));
    if end != to {
        split(finer, end, to, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::usage::calendar::{DAY, HOUR};

    fn check(
        from: Option<UnixMs>,
        to: Option<UnixMs>,
        group_by: &[GroupBy],
        expected: &[(&str, Option<UnixMs>, Option<UnixMs>)],
    ) {
        let filter = Filter { from, to, ..Filter::default() };
        let found: Vec<_> = parts(&filter, group_by).into_iter().map(|p| (p.table, p.from, p.to)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn whole_units_come_from_sums_and_ends_from_rows() {
        check(None, None, &[], &[("usage_daily", None, None)]);
        check(Some(DAY), Some(3 * DAY), &[], &[("usage_daily", Some(DAY), Some(3 * DAY))]);
        let (from, to) = (DAY - HOUR - 5, 2 * DAY + HOUR + 7);
        let expected = [
            ("usage", Some(from), Some(DAY - HOUR)),
            ("usage_hourly", Some(DAY - HOUR), Some(DAY)),
            ("usage_daily", Some(DAY), Some(2 * DAY)),
            ("usage_hourly", Some(2 * DAY), Some(2 * DAY + HOUR)),
            ("usage", Some(2 * DAY + HOUR), Some(to)),
        ];
        check(Some(from), Some(to), &[], &expected);
        check(Some(1), Some(HOUR), &[], &[("usage", Some(1), Some(HOUR))]);
    }

    #[test]
    fn hours_do_not_come_from_days() {
        check(Some(0), Some(DAY), &[GroupBy::Hour], &[("usage_hourly", Some(0), Some(DAY))]);
    }

    #[test]
    fn tags_come_from_rows() {
        check(Some(0), Some(DAY), &[GroupBy::Tag], &[("usage", Some(0), Some(DAY))]);
    }

    #[test]
    fn no_range_is_too_odd() {
        check(Some(5), Some(5), &[], &[("usage", Some(5), Some(5))]);
        check(Some(9), Some(5), &[], &[("usage", Some(9), Some(5))]);
        assert!(!parts(&Filter { from: Some(i64::MIN), to: Some(i64::MAX), ..Filter::default() }, &[]).is_empty());
    }
}
