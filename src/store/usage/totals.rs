//! Sums over the rows that match, by whatever they are grouped by.
//!
//! Whole days come from the daily sums, whole hours from the hourly ones, and only the ragged ends of
//! the range from rows; so a month costs a few thousand sums and not ten million rows. Where tags
//! are involved there are no sums, and rows are read.

mod plan;

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use self::plan::{Part, parts};
use super::filter::{Filter, Source, TagFilter, key, within};
use super::rollup::{self, measures};
use super::{CLASSES, calendar, usage_of};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::db::Db;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::statement::Statement;

/// Most groups of one answer.
pub const MAX_GROUPS: usize = 100_000;

/// What to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// Virtual key.
    Key,
    /// Team.
    Team,
    /// The key's user.
    User,
    /// The model as asked for.
    Model,
    /// Provider that served it.
    Provider,
    /// Endpoint.
    Endpoint,
    /// Outcome.
    Status,
    /// Tag, as `name=value`. A row with several tags is in several groups.
    Tag,
    /// Hour of UTC, as `2026-11-21T10:00:00Z`.
    Hour,
    /// Day of UTC, as `2026-11-21`.
    Day,
    /// Month of UTC, as `2026-11`.
    Month,
}

impl GroupBy {
    /// Everything to group by, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Key,
        Self::Team,
        Self::User,
        Self::Model,
        Self::Provider,
        Self::Endpoint,
        Self::Status,
        Self::Tag,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// Its name in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::User => "user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Tag => "tag",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// What has that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == name)
    }

    /// The group's value as text, over a table called `u` whose times are in `time`.
    fn expression(self, source: Source, time: &str) -> String {
        let column = match self {
            Self::Key => "key_id",
            Self::Team => "team_id",
            Self::User => "user_id",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Tag => return "CASE WHEN t.name IS NULL THEN '' ELSE t.name || '=' || t.value END".to_owned(),
            Self::Hour => return truncated(time, calendar::HOUR),
            // A month has no fixed length: the days are added up afterwards.
            Self::Day | Self::Month => return truncated(time, calendar::DAY),
        };
        match source {
            Source::Rows => format!("COALESCE(u.{column}, '')"),
            Source::Sums => format!("u.{column}"),
        }
    }

    /// The text for people of what [`GroupBy::expression`] gave.
    fn label(self, value: &str) -> Option<String> {
        let time = || value.parse::<UnixMs>().unwrap_or(0);
        match self {
            Self::Hour => Some(calendar::hour_text(time())),
            Self::Day => Some(calendar::day_text(time())),
            Self::Month => Some(calendar::month_text(time())),
            _ => Some(value.to_owned()).filter(|v| !v.is_empty()),
        }
    }
}

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
    answer(db, statement(filter, group_by, &parts(filter, group_by)), group_by).await
}

/// The same from rows alone, for the test that compares.
#[doc(hidden)]
pub async fn totals_from_rows(db: &Db, filter: &Filter, group_by: &[GroupBy]) -> Result<Vec<Total>, StoreError> {
    answer(db, statement(filter, group_by, &[Part::rows(filter.from, filter.to)]), group_by).await
}

async fn answer(db: &Db, statement: Statement, group_by: &[GroupBy]) -> Result<Vec<Total>, StoreError> {
    let found: Vec<Found> = db.reader().await?.fetch_all(statement).await?;
    if found.len() > MAX_GROUPS {
        let message = format!("more than {MAX_GROUPS} groups: narrow the filter or group by less");
        return Err(StoreError::new(StoreErrorKind::Invalid, message));
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

fn truncated(time: &str, length: UnixMs) -> String {
    format!("CAST({time} - {time} % {length} AS TEXT)")
}

/// The question as one statement, so that all its parts see the same moment.
fn statement(filter: &Filter, group_by: &[GroupBy], parts: &[Part]) -> Statement {
    let mut statement = Statement::new("");
    let selects: Vec<String> = parts.iter().map(|part| select(part, filter, group_by, &mut statement)).collect();
    let groups: Vec<String> = (0..group_by.len()).map(|i| format!("g{i}")).collect();
    let sums = std::iter::once("errors").chain(measures()).map(|m| format!("CAST(SUM({m}) AS BIGINT) AS {m}"));
    let columns: Vec<String> = groups.iter().cloned().chain(sums).collect();
    let by = if groups.is_empty() { String::new() } else { format!("GROUP BY {} ", groups.join(", ")) };
    statement.text = format!(
        "SELECT {} FROM ({}) AS parts {by}HAVING SUM(requests) > 0 LIMIT {}",
        columns.join(", "),
        selects.join(" UNION ALL "),
        MAX_GROUPS + 1
    )
    .into();
    statement
}

/// One part's sums, by group.
fn select(part: &Part, filter: &Filter, group_by: &[GroupBy], statement: &mut Statement) -> String {
    let time = format!("u.{}", part.column);
    let mut columns: Vec<String> =
        group_by.iter().enumerate().map(|(i, by)| format!("{} AS g{i}", by.expression(part.source, &time))).collect();
    columns.extend(sums(part.source));
    let join = if group_by.contains(&GroupBy::Tag) { tag_join(filter.tag.as_ref(), statement) } else { String::new() };
    let mut conditions = within(part.column, part.from, part.to, statement);
    conditions.push_str(&filter.conditions(part.source, statement));
    conditions.push_str(&filter.tag_condition(statement));
    let by: Vec<String> = (1..=group_by.len()).map(|n| n.to_string()).collect();
    let by = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
    format!("SELECT {} FROM {} AS u{join} {conditions}{by}", columns.join(", "), part.table)
}

/// Every tag of a row, or those the filter asks for.
fn tag_join(tag: Option<&TagFilter>, statement: &mut Statement) -> String {
    let mut text = " LEFT JOIN usage_tags AS t ON t.at = u.at AND t.usage_id = u.id".to_owned();
    if let Some(tag) = tag {
        text.push_str(&format!(" AND t.name = ${}", statement.push(key(&tag.name))));
        if let Some(value) = &tag.value {
            text.push_str(&format!(" AND t.value = ${}", statement.push(key(value))));
        }
    }
    text
}

fn sums(source: Source) -> Vec<String> {
    let failed = "u.status NOT IN ('ok', 'cancelled')";
    let sum = |expression: String, name: &str| format!("CAST(SUM({expression}) AS BIGINT) AS {name}");
    let of = |name: &&str| match (source, *name) {
        (Source::Rows, "requests") => sum("1".to_owned(), name),
        (Source::Rows, "unpriced" | "estimated") => sum(format!("CASE WHEN u.{name} THEN 1 ELSE 0 END"), name),
        (Source::Rows, "cost_nano") => sum("COALESCE(u.cost_nano, 0)".to_owned(), name),
        _ => sum(format!("u.{name}"), name),
    };
    let requests = if source == Source::Rows { "1" } else { "u.requests" };
    let errors = sum(format!("CASE WHEN {failed} THEN {requests} ELSE 0 END"), "errors");
    std::iter::once(errors).chain(measures().iter().map(of)).collect()
}

pub(super) fn statements() -> Vec<String> {
    let ranged = Filter {
        from: Some(1),
        to: Some(400 * calendar::DAY + 1),
        key_id: Some("k".to_owned()),
        team_id: Some(String::new()),
        ..Filter::default()
    };
    let tagged = Filter {
        tag: Some(TagFilter { name: "n".to_owned(), value: Some("v".to_owned()) }),
        ..ranged.clone()
    };
    let mut texts = Vec::new();
    for filter in [Filter::default(), ranged, tagged] {
        for group_by in GroupBy::ALL.map(|by| vec![by]).into_iter().chain([vec![], GroupBy::ALL.to_vec()]) {
            texts.push(statement(&filter, &group_by, &parts(&filter, &group_by)).text.into_owned());
        }
    }
    texts
}
