//! Buckets of time for a series: hours of UTC, or days and months of a time zone.

use crate::clock::UnixMs;
use crate::store::usage::calendar::{DAY, HOUR};

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An hour of UTC.
    Hour,
    /// A day of the zone. Months are added up from days.
    Day,
}

/// What the times of rows are cut into.
///
/// A bucket is named by its first moment on the zone's clock, as milliseconds of a clock that shows the
/// same in UTC: 1 November, midnight in Berlin, is 1 November, midnight in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    unit: Unit,
    /// The zone's offsets: each holds before its moment, the last one for ever.
    before: Vec<(UnixMs, i64)>,
    last: i64,
}

impl Bucket {
    /// Hours of UTC.
    #[must_use]
    pub fn hours() -> Self {
        Self { unit: Unit::Hour, before: Vec::new(), last: 0 }
    }

    /// Days of a zone whose offset from UTC (milliseconds, whole hours) is that of the first pair before
    /// the pair's moment, and so on; `last` after all of them.
    #[must_use]
    pub fn days(before: Vec<(UnixMs, i64)>, last: i64) -> Self {
        Self { unit: Unit::Day, before, last }
    }

    /// Whether sums by day are too coarse.
    pub(super) fn needs_hours(&self) -> bool {
        self.unit == Unit::Hour || self.last != 0 || self.before.iter().any(|(_, offset)| *offset != 0)
    }

    /// The bucket of a time, as text.
    pub(super) fn expression(&self, time: &str) -> String {
        let length = match self.unit {
            Unit::Hour => HOUR,
            Unit::Day => DAY,
        };
        let local = self.local(time);
        format!("CAST({local} - {local} % {length} AS TEXT)")
    }

    fn local(&self, time: &str) -> String {
        if self.before.is_empty() {
            return if self.last == 0 { time.to_owned() } else { format!("({time} + {})", self.last) };
        }
        let cases: String =
            self.before.iter().map(|(until, offset)| format!("WHEN {time} < {until} THEN {offset} ")).collect();
        format!("({time} + CASE {cases}ELSE {} END)", self.last)
    }

    /// For the test that prepares every text.
    pub(super) fn samples() -> [Self; 4] {
        [
            Self::hours(),
            Self::days(Vec::new(), 0),
            Self::days(Vec::new(), -5 * HOUR),
            Self::days(vec![(1, HOUR), (2, 2 * HOUR)], HOUR),
        ]
    }
}
