//! The question about sums, as SQL.

use super::bucket::Bucket;
use super::plan::Part;
use super::{GroupBy, MAX_GROUPS};
use crate::store::statement::Statement;
use crate::store::usage::filter::{Filter, Source, TagFilter, key, within};
use crate::store::usage::rollup::measures;

/// A question about sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Question<'a> {
    pub(super) filter: Option<&'a Filter>,
    pub(super) group_by: &'a [GroupBy],
    /// By bucket of time as well.
    pub(super) series: Option<Series<'a>>,
    /// Only groups that read something from a cache.
    pub(super) cached: bool,
    /// Only so many groups, the dearest first.
    pub(super) top: Option<u32>,
}

/// Sums by bucket: those of some groups each for itself, all others together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) only: &'a [Vec<Option<String>>],
}

impl Question<'_> {
    /// How many texts stand before the numbers: the groups, and with a series the bucket and whether the
    /// groups are some of those asked for.
    pub(super) fn texts(&self) -> usize {
        self.group_by.len() + if self.series.is_some() { 2 } else { 0 }
    }

    /// The question as one statement, so that all its parts see the same moment.
    pub(super) fn statement(&self, parts: &[Part]) -> Statement {
        let mut statement = Statement::new("");
        let selects: Vec<String> = parts.iter().map(|part| self.select(part, &mut statement)).collect();
        let groups: Vec<String> = (0..self.texts()).map(|i| format!("g{i}")).collect();
        let sums = std::iter::once("errors").chain(measures()).map(|m| format!("CAST(SUM({m}) AS BIGINT) AS {m}"));
        let columns: Vec<String> = groups.iter().cloned().chain(sums).collect();
        let by = if groups.is_empty() { String::new() } else { format!("GROUP BY {} ", groups.join(", ")) };
        let having = if self.cached { "SUM(cached_tokens) > 0" } else { "SUM(requests) > 0" };
        let limit = match self.top {
            Some(top) => {
                let then: String = groups.iter().map(|group| format!(", {group}")).collect();
                format!("ORDER BY SUM(cost_nano) DESC{then} LIMIT {top}")
            }
            None => format!("LIMIT {}", MAX_GROUPS + 1),
        };
        statement.text = format!(
            "SELECT {} FROM ({}) AS parts {by}HAVING {having} {limit}",
            columns.join(", "),
            selects.join(" UNION ALL "),
        )
        .into();
        statement
    }

    /// One part's sums, by group.
    fn select(&self, part: &Part, statement: &mut Statement) -> String {
        let everything = Filter::default();
        let filter = self.filter.unwrap_or(&everything);
        let texts = self.group_expressions(part, statement);
        let mut columns: Vec<String> = texts.iter().enumerate().map(|(i, text)| format!("{text} AS g{i}")).collect();
        columns.extend(sums(part.source));
        let tags = self.group_by.contains(&GroupBy::Tag);
        let join = if tags { tag_join(filter.tag.as_ref(), statement) } else { String::new() };
        let mut conditions = within(part.column, part.from, part.to, statement);
        conditions.push_str(&filter.conditions(part.source, statement));
        conditions.push_str(&filter.tag_condition(statement));
        let by: Vec<String> = (1..=texts.len()).map(|n| n.to_string()).collect();
        let by = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
        format!("SELECT {} FROM {} AS u{join} {conditions}{by}", columns.join(", "), part.table)
    }

    fn group_expressions(&self, part: &Part, statement: &mut Statement) -> Vec<String> {
        let time = format!("u.{}", part.column);
        let plain: Vec<String> = self.group_by.iter().map(|by| by.expression(part.source, &time)).collect();
        let Some(series) = self.series else { return plain };
        // The engines compare the expression of a group with what they grouped by as text, placeholders
        // and all; so the condition is written once and the rest looks at its outcome.
        let listed = listed(&plain, series.only, statement);
        let flag = format!("CASE WHEN {listed} THEN '1' ELSE '0' END");
        let mut texts: Vec<String> =
            plain.iter().map(|text| format!("CASE WHEN {listed} THEN {text} ELSE '' END")).collect();
        texts.extend([series.bucket.expression(&time), flag]);
        texts
    }
}

/// The condition that the groups are some of those listed.
fn listed(expressions: &[String], only: &[Vec<Option<String>>], statement: &mut Statement) -> String {
    let mut any = Vec::with_capacity(only.len());
    for group in only {
        let mut all = Vec::with_capacity(group.len());
        for (expression, value) in expressions.iter().zip(group) {
            let place = statement.push(value.as_deref().unwrap_or_default());
            all.push(format!("{expression} = ${place}"));
        }
        if !all.is_empty() {
            any.push(format!("({})", all.join(" AND ")));
        }
    }
    if any.is_empty() { "1 = 0".to_owned() } else { format!("({})", any.join(" OR ")) }
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
