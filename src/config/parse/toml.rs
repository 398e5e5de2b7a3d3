//! TOML, by way of the toml crate's spanned tables.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SyntaxFault;
use crate::config::tree::{At, Entry, Node, Value};

pub(super) fn parse(text: &str, file: usize) -> (Option<Node>, Vec<SyntaxFault>) {
    let lines = Lines::new(text, file);
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors.iter().map(|error| SyntaxFault {
        at: lines.place(error.span().unwrap_or_default()),
        key: String::new(),
        problem: format!("not valid TOML: {}", error.message().lines().next().unwrap_or_default()),
    });
    let faults: Vec<_> = faults.collect();
    if !faults.is_empty() {
        // A recovered table lacks what could not be read; faults found in it would mislead.
        return (None, faults);
    }
    let at = At { file, line: 1, column: 1 };
    (Some(Node { at, value: map(table.get_ref(), &lines) }), faults)
}

fn map(table: &DeTable<'_>, lines: &Lines<'_>) -> Value {
    let mut entries: Vec<_> = table.iter().collect();
    // The table is sorted by name; the order of the file matters for providers and models.
    entries.sort_by_key(|(key, _)| key.span().start);
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                at: lines.place(key.span()),
                node: node(value, lines),
            })
            .collect(),
    )
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Integer(i128::MAX),
        },
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, lines)).collect()),
        DeValue::Table(table) => map(table, lines),
    };
    Node { at: lines.place(value.span()), value: converted }
}

/// Finds the line and column of a byte offset.
struct Lines<'a> {
    text: &'a str,
    /// Where each line starts, in bytes.
    starts: Vec<usize>,
    file: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, file: usize) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, starts, file }
    }

    fn place(&self, span: Range<usize>) -> At {
        let offset = span.start.min(self.text.len());
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        At { file: self.file, line: clamp(line), column: clamp(column) }
    }
}
