//! Sums over the rows that match, by whatever they are grouped by.
//!
//! Whole days come from the daily sums, whole hours from the hourly ones, and only the ragged ends of
//! the range from rows; so a month costs a few thousand sums and not ten million rows. Where tags
//! are involved there are no sums, and rows are read.

mod bucket;
mod group;
mod plan;
mod sql;

use sqlx::{ColumnIndex, Decode, FromRow, Type};

pub use self::bucket::{Bucket, Unit};
pub use self::group::GroupBy;
use self::plan::{Part, hourly_parts, parts};
use self::sql::{Question, Series};
use super::filter::{Filter, TagFilter};
use super::rollup;
use super::{CLASSES, calendar, usage_of};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::db::Db;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::statement::Statement;

/// Most groups of one answer.
pub const MAX_GROUPS: usize = 100_000;

/// The sums of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The group's values, in the order asked for; `None` where rows have none.
    pub group: Vec<Option<String>>,
    /// What they add up to.
    pub sums: Sums,
}

/// What rows add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many rows.
    pub requests: u64,
    /// How many of them failed: every status but `ok` and `cancelled`.
    pub errors: u64,
    /// Token classes.
    pub usage: weir_wire::usage::Usage,
    /// Cost of those that have a price.
    pub cost: NanoUsd,
    /// How many used tokens and have no price.
    pub unpriced: u64,
    /// How many have usage counted by Weir.
    pub estimated: u64,
    /// Their latencies added up, in milliseconds.
    pub latency_ms: u64,
}

/// The sums of the rows that match, by group: the dearest group first, then by group. Without
/// `group_by` there is one group, unless nothing matches.
///
/// # Errors
/// `Invalid` when there are more than [`MAX_GROUPS`]; else as any call to the store.
pub async fn totals(db: &Db, filter: &Filter, group_by: &[GroupBy]) -> Result<Vec<Total>, StoreError> {
    let question = Question { filter: Some(filter), group_by, ..Question::default() };
    answer(db, question.statement(&parts(filter, group_by)), group_by).await
}

/// The `n` dearest groups, the dearest first, however many there are. `group_by` names no time.
///
/// # Errors
/// As any call to the store.
pub async fn top(db: &Db, filter: &Filter, group_by: &[GroupBy], n: u32) -> Result<Vec<Total>, StoreError> {
    let question = Question { filter: Some(filter), group_by, top: Some(n), ..Question::default() };
    answer(db, question.statement(&parts(filter, group_by)), group_by).await
}

/// The sums by provider and model of those that read something from a cache.
///
/// # Errors
/// As [`totals`].
pub async fn cached(db: &Db, filter: &Filter) -> Result<Vec<Total>, StoreError> {
    let group_by = &[GroupBy::Provider, GroupBy::Model];
    let question = Question { filter: Some(filter), group_by, cached: true, ..Question::default() };
    answer(db, question.statement(&parts(filter, group_by)), group_by).await
}

/// The sums of a group in a bucket of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The bucket, as [`Bucket`] says it.
    pub bucket: UnixMs,
    /// The group's values; `None` for all groups together that were not asked for.
    pub group: Option<Vec<Option<String>>>,
    /// What they add up to.
    pub sums: Sums,
}

/// The sums by bucket of time, of the groups in `only` each for itself and of all others together, in no
/// order. Buckets without rows are left out. `group_by` names no time.
///
/// # Errors
/// `Invalid` when that is more than [`MAX_GROUPS`]; else as any call to the store.
pub async fn series(
    db: &Db,
    filter: &Filter,
    group_by: &[GroupBy],
    only: &[Vec<Option<String>>],
    bucket: &Bucket,
) -> Result<Vec<Point>, StoreError> {
    let series = Some(Series { bucket, only });
    let question = Question { filter: Some(filter), group_by, series, ..Question::default() };
    let parts = if bucket.needs_hours() { hourly_parts(filter, group_by) } else { parts(filter, group_by) };
    let found: Vec<Found> = db.reader().await?.fetch_all(question.statement(&parts)).await?;
    if found.len() > MAX_GROUPS {
        return Err(too_many());
    }
    Ok(found.into_iter().map(|found| found.point(group_by)).collect())
}

fn too_many() -> StoreError {
    let message = format!("more than {MAX_GROUPS} groups: narrow the filter or group by less");
    StoreError::new(StoreErrorKind::Invalid, message)
}

/// The same from rows alone, for the test that compares.
#[doc(hidden)]
pub async fn totals_from_rows(db: &Db, filter: &Filter, group_by: &[GroupBy]) -> Result<Vec<Total>, StoreError> {
    let question = Question { filter: Some(filter), group_by, ..Question::default() };
    answer(db, question.statement(&[Part::rows(filter.from, filter.to)]), group_by).await
}

async fn answer(db: &Db, statement: Statement, group_by: &[GroupBy]) -> Result<Vec<Total>, StoreError> {
    let found: Vec<Found> = db.reader().await?.fetch_all(statement).await?;
    if found.len() > MAX_GROUPS {
        return Err(too_many());
    }
    let mut totals: Vec<Found> = found.into_iter().map(|found| found.labelled(group_by)).collect();
    totals.sort_by(|a, b| a.group.cmp(&b.group));
    totals.dedup_by(|later, earlier| later.group == earlier.group && earlier.absorb(later));
    totals.sort_by_key(|total| std::cmp::Reverse(total.cost()));
    Ok(totals.into_iter().map(Total::from).collect())
}

/// A group as the engine answers it: its texts, then its numbers, `errors` first.
struct Found {
    group: Vec<Option<String>>,
    numbers: [i64; NUMBERS],
}

const NUMBERS: usize = 1 + rollup::WIDTH;

impl<'r, R: sqlx::Row> FromRow<'r, R> for Found
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let texts = row.len().saturating_sub(NUMBERS);
        let group = (0..texts).map(|i| row.try_get::<String, _>(i).map(Some)).collect::<Result<_, _>>()?;
        let mut numbers = [0; NUMBERS];
        for (i, slot) in numbers.iter_mut().enumerate() {
            *slot = row.try_get(texts + i)?;
        }
        Ok(Self { group, numbers })
    }
}

impl Found {
    fn labelled(mut self, group_by: &[GroupBy]) -> Self {
        for (value, by) in self.group.iter_mut().zip(group_by) {
            *value = value.take().and_then(|v| by.label(&v));
        }
        self
    }

    /// Its last two texts are the bucket and whether the group was asked for.
    fn point(mut self, group_by: &[GroupBy]) -> Point {
        let listed = self.group.pop().flatten().is_some_and(|flag| flag == "1");
        let bucket = self.group.pop().flatten().and_then(|text| text.parse().ok()).unwrap_or(0);
        let total = Total::from(self.labelled(group_by));
        Point { bucket, group: Some(total.group).filter(|_| listed), sums: total.sums }
    }

    /// Adds another group's numbers to its own.
    fn absorb(&mut self, other: &Self) -> bool {
        self.numbers.iter_mut().zip(other.numbers).for_each(|(a, b)| *a = a.saturating_add(b));
        true
    }

    fn cost(&self) -> i64 {
        self.numbers[NUMBERS - 4]
    }
}

impl From<Found> for Total {
    fn from(found: Found) -> Self {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let [errors, requests, rest @ ..] = found.numbers;
        let (classes, tail) = rest.split_first_chunk::<{ CLASSES.len() }>().expect("18 token classes and 4 more");
        let sums = Sums {
            requests: count(requests),
            errors: count(errors),
            usage: usage_of(*classes),
            cost: NanoUsd(tail[0]),
            unpriced: count(tail[1]),
            estimated: count(tail[2]),
            latency_ms: count(tail[3]),
        };
        Self { group: found.group, sums }
    }
}

pub(super) fn statements() -> Vec<String> {
    let ranged = Filter {
        from: Some(1),
        to: Some(400 * calendar::DAY + 1),
        key_id: Some("k".to_owned()),
        team_id: Some(String::new()),
        ..Filter::default()
    };
    let tagged =
        Filter { tag: Some(TagFilter { name: "n".to_owned(), value: Some("v".to_owned()) }), ..ranged.clone() };
    let mut texts = Vec::new();
    for filter in [Filter::default(), ranged, tagged] {
        for group_by in GroupBy::ALL.map(|by| vec![by]).into_iter().chain([vec![], GroupBy::ALL.to_vec()]) {
            let question = Question { filter: Some(&filter), group_by: &group_by, ..Question::default() };
            let top = Question { top: Some(5), cached: true, ..question };
            let parts = parts(&filter, &group_by);
            texts.extend([question, top].map(|question| question.statement(&parts).text.into_owned()));
        }
        texts.extend(series_statements(&filter));
    }
    texts
}

fn series_statements(filter: &Filter) -> Vec<String> {
    let only = [vec![Some("a".to_owned()), None], vec![None, Some("b".to_owned())]];
    let mut texts = Vec::new();
    for bucket in Bucket::samples() {
        for group_by in [&[][..], &[GroupBy::Key, GroupBy::Model], &[GroupBy::Tag, GroupBy::Status]] {
            let series = Some(Series { bucket: &bucket, only: &only });
            let question = Question { filter: Some(filter), group_by, series, ..Question::default() };
            texts.push(question.statement(&hourly_parts(filter, group_by)).text.into_owned());
        }
    }
    texts
}
