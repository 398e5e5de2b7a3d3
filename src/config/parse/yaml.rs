//! YAML, by way of serde-saphyr's spanned values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned, UserMessageFormatter};

use super::{SyntaxFault, without_repeats};
use crate::config::tree::{At, Entry, Node, Value};

/// Deeper than any key of the configuration. Each level costs the parser tens of kilobytes of stack,
/// so that 64 levels overflow that of a thread.
const MAX_DEPTH: usize = 16;

pub(super) fn parse(text: &str, file: usize) -> (Option<Node>, Vec<SyntaxFault>) {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        // Kept, so that every repeated key is told, not only the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `no` and `off` are words here: a model or a level may be called so.
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
        Ok(Some(raw)) => {
            let mut faults = Vec::new();
            let node = raw.value.into_node(place(raw.referenced, file), file, &mut faults);
            (Some(node), faults)
        }
        Ok(None) => (None, Vec::new()),
        Err(error) => (None, vec![syntax_fault(&error, file)]),
    }
}

fn syntax_fault(error: &serde_saphyr::Error, file: usize) -> SyntaxFault {
    let error = error.without_snippet();
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let text = error.render_with_formatter(&UserMessageFormatter);
    // The rendering opens with its own account of the place, which the fault has already.
    let first = text.lines().next().unwrap_or_default();
    let problem = match first.find(" at line ") {
        Some(i) => &first[..i],
        None => first,
    };
    SyntaxFault { at: place(location, file), key: String::new(), problem: format!("not valid YAML: {problem}") }
}

fn place(location: Location, file: usize) -> At {
    let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    At { file, line: clamp(location.line()), column: clamp(location.column()) }
}

/// A value before its places are numbered: what serde hands over.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn into_node(self, at: At, file: usize, faults: &mut Vec<SyntaxFault>) -> Node {
        let value = match self {
            Self::Scalar(value) => value,
            Self::List(items) => Value::List(
                items.into_iter().map(|raw| raw.value.into_node(place(raw.referenced, file), file, faults)).collect(),
            ),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, raw)| Entry {
                    key: key.value,
                    at: place(key.referenced, file),
                    node: raw.value.into_node(place(raw.referenced, file), file, faults),
                });
                let entries = entries.collect();
                Value::Map(without_repeats(entries, faults))
            }
        };
        Node { at, value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        // Beyond i128 no key can use it; the largest value lets the reader say "too large".
        Ok(Raw::Scalar(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
