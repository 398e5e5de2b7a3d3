//! The question about sums, as SQL.

use super::plan::Part;
use super::{GroupBy, MAX_GROUPS};
use crate::store::statement::Statement;
use crate::store::usage::filter::{Filter, Source, TagFilter, key, within};
use crate::store::usage::rollup::measures;

/// The question as one statement, so that all its parts see the same moment.
pub(super) fn statement(filter: &Filter, group_by: &[GroupBy], parts: &[Part]) -> Statement {
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
