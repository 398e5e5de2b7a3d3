//! A configuration file as a tree whose every node knows its place, whatever the format was.

use std::collections::HashMap;

/// A place in a file: an index into the list of files read, and line and column from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) file: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// What YAML and TOML have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a map, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) at: At,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for a message: never its content, which may be secret.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Lays `over` on `base`: maps merge key by key at every depth, everything else is replaced.
/// Recursion is bounded by the nesting that the parsers allow.
pub(super) fn merge(base: Node, over: Node) -> Node {
    match (base.value, over.value) {
        (Value::Map(base), Value::Map(entries)) => {
            Node { at: over.at, value: Value::Map(merge_entries(base, entries)) }
        }
        (_, value) => Node { at: over.at, value },
    }
}

fn merge_entries(base: Vec<Entry>, over: Vec<Entry>) -> Vec<Entry> {
    let index: HashMap<String, usize> = base.iter().enumerate().map(|(i, entry)| (entry.key.clone(), i)).collect();
    let mut merged: Vec<Option<Entry>> = base.into_iter().map(Some).collect();
    for entry in over {
        match index.get(&entry.key) {
            Some(&i) => {
                let below = merged[i].take().map(|below| below.node);
                let node = match below {
                    Some(below) => merge(below, entry.node),
                    None => entry.node,
                };
                merged[i] = Some(Entry { node, ..entry });
            }
            None => merged.push(Some(entry)),
        }
    }
    merged.into_iter().flatten().collect()
}
