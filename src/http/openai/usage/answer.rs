//! Usage rows and totals as JSON, CSV and NDJSON. Money is a decimal string, time is RFC 3339.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use weir_wire::usage::Usage;

use crate::record::{UsageRow, rfc3339};
use crate::store::usage::{GroupBy, Page, Total};

/// The classes every row names.
fn main_classes(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("input_tokens", usage.input),
        ("cached_tokens", usage.cached),
        ("cache_write_tokens", usage.cache_write),
        ("output_tokens", usage.output),
        ("reasoning_tokens", usage.reasoning),
    ]
}

/// The classes a row names when there are any.
fn other_classes(usage: &Usage) -> [(&'static str, u64); 13] {
    [
        ("cache_write_5m_tokens", usage.cache_write_5m),
        ("cache_write_1h_tokens", usage.cache_write_1h),
        ("cache_write_30m_tokens", usage.cache_write_30m),
        ("cache_write_12h_tokens", usage.cache_write_12h),
        ("audio_input_tokens", usage.audio_input),
        ("audio_output_tokens", usage.audio_output),
        ("image_input_tokens", usage.image_input),
        ("image_output_tokens", usage.image_output),
        ("audio_ms", usage.audio_ms),
        ("characters", usage.characters),
        ("web_searches", usage.web_searches),
        ("images", usage.images),
        ("search_units", usage.search_units),
    ]
}

/// A row as the interface describes it.
#[must_use]
pub fn row(row: &UsageRow) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("id", row.id.clone().into());
    put("at", rfc3339(row.at).into());
    put("key_id", row.key_id.clone().into());
    put("team_id", row.team_id.clone().into());
    put("user_id", row.user_id.clone().into());
    put("end_user", row.end_user.clone().into());
    put("tags", row.tags.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect::<Map<_, _>>().into());
    put("endpoint", row.endpoint.clone().into());
    put("model", row.model.clone().into());
    put("provider", row.provider.clone().into());
    put("served_model", row.served_model.clone().into());
    put("status", row.status.as_str().into());
    put("http_status", row.http_status.into());
    put("attempts", json!(row.attempts));
    for (name, value) in main_classes(&row.usage) {
        put(name, value.into());
    }
    for (name, value) in other_classes(&row.usage).into_iter().filter(|(_, v)| *v > 0) {
        put(name, value.into());
    }
    put("cost_usd", row.cost.map(|c| c.to_string()).into());
    put("price_version", row.price_version.clone().into());
    put("estimated", row.estimated.into());
    put("unpriced", row.unpriced.into());
    put("latency_ms", row.latency_ms.into());
    put("ttft_ms", row.ttft_ms.into());
    put("overhead_us", row.overhead_us.into());
    put("stream", row.stream.into());
    put("error_code", row.error_code.clone().into());
    put("error_message", row.error_message.clone().into());
    put("metadata", row.metadata.as_deref().and_then(|m| serde_json::from_str(m).ok()).unwrap_or(Value::Null));
    put("warnings", json!(row.warnings));
    Value::Object(map)
}

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
