//! Usage rows and totals as JSON, CSV and NDJSON. Money is a decimal string, time is RFC 3339.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use weir_wire::usage::Usage;

use crate::record::UsageRow;
pub use crate::record::json::row;
use crate::record::json::{main_classes, other_classes};
use crate::store::usage::{GroupBy, Page, Total};

/// A page of rows.
#[must_use]
pub fn page(page: &Page) -> String {
    let data: Vec<Value> = page.rows.iter().map(row).collect();
    let next = page.next_cursor.as_ref().map(ToString::to_string);
    json!({"object": "list", "data": data, "has_more": next.is_some(), "next_cursor": next}).to_string()
}

/// A line of NDJSON.
pub fn ndjson_row(usage: &UsageRow, out: &mut String) {
    let _ = writeln!(out, "{}", row(usage));
}

/// Columns of a CSV of rows: those of a JSON row, every class included.
fn columns() -> Vec<&'static str> {
    let head = [
        "id",
        "at",
        "key_id",
        "team_id",
        "user_id",
        "end_user",
        "tags",
        "endpoint",
        "model",
        "provider",
        "served_model",
        "status",
        "http_status",
        "attempts",
    ];
    let tail = [
        "cost_usd",
        "price_version",
        "estimated",
        "unpriced",
        "latency_ms",
        "ttft_ms",
        "overhead_us",
        "stream",
        "error_code",
        "error_message",
        "metadata",
        "warnings",
    ];
    let usage = Usage::default();
    let classes = main_classes(&usage).into_iter().chain(other_classes(&usage)).map(|(name, _)| name);
    head.into_iter().chain(classes).chain(tail).collect()
}

/// The first line of a CSV of rows.
#[must_use]
pub fn csv_header() -> String {
    columns().join(",") + "\r\n"
}

/// A line of CSV (RFC 4180). A text that a spreadsheet would run as a formula gets a quote in front.
pub fn csv_row(usage: &UsageRow, out: &mut String) {
    let value = row(usage);
    let cells: Vec<String> = columns().iter().map(|name| cell(value.get(*name).unwrap_or(&Value::from(0)))).collect();
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let formula = matches!(value, Value::String(t) if t.starts_with(['=', '+', '-', '@', '\t', '\r']));
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn total(group_by: &[GroupBy], total: &Total) -> Value {
    let mut map = Map::new();
    for (by, value) in group_by.iter().zip(&total.group) {
        map.insert(by.as_str().to_owned(), value.clone().into());
    }
    let sums = &total.sums;
    map.insert("requests".into(), sums.requests.into());
    map.insert("errors".into(), sums.errors.into());
    for (name, value) in main_classes(&sums.usage) {
        map.insert(name.into(), value.into());
    }
    for (name, value) in other_classes(&sums.usage).into_iter().filter(|(_, v)| *v > 0) {
        map.insert(name.into(), value.into());
    }
    map.insert("cost_usd".into(), sums.cost.to_string().into());
    map.insert("unpriced".into(), sums.unpriced.into());
    map.insert("estimated".into(), sums.estimated.into());
    map.insert("latency_ms".into(), sums.latency_ms.into());
    Value::Object(map)
}

/// Totals, the dearest group first.
#[must_use]
pub fn totals(group_by: &[GroupBy], totals: &[Total]) -> String {
    let data: Vec<Value> = totals.iter().map(|t| total(group_by, t)).collect();
    json!({"object": "list", "data": data, "has_more": false, "next_cursor": null}).to_string()
}

/// Totals, one a line.
#[must_use]
pub fn totals_ndjson(group_by: &[GroupBy], totals: &[Total]) -> String {
    totals.iter().map(|t| format!("{}\n", total(group_by, t))).collect()
}

/// Totals as CSV.
#[must_use]
pub fn totals_csv(group_by: &[GroupBy], totals: &[Total]) -> String {
    let sums = [
        "requests",
        "errors",
        "input_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_usd",
        "unpriced",
        "estimated",
        "latency_ms",
    ];
    let names: Vec<&str> = group_by.iter().map(|by| by.as_str()).chain(sums).collect();
    let mut out = names.join(",") + "\r\n";
    for item in totals {
        let value = total(group_by, item);
        let cells: Vec<String> = names.iter().map(|name| cell(&value[*name])).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_disarmed() {
        for (value, expected) in [
            (json!("plain"), "plain"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"hi\""), "\"say \"\"hi\"\"\""),
            (json!("=cmd()"), "'=cmd()"),
            (json!(null), ""),
            (json!(-5), "-5"),
        ] {
            assert_eq!(cell(&value), expected);
        }
    }
}
