//! Typed readers over the tree. A reader that fails leaves a fault with its place and goes on, so
//! that one run tells everything.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::context::{Context, join};
use super::expand::{expand, is_reference};
use super::secret::{MASK, Secret};
use super::text::{parse_duration, parse_size};
use super::tree::{At, Entry, Node, Value};

/// The longest secret file, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// One value on its way to its type.
pub(super) struct Field<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) path: String,
    pub(super) node: Node,
}

impl<'a> Field<'a> {
    pub(super) fn new(cx: &'a Context<'a>, path: String, node: Node) -> Self {
        cx.add_place(&path, node.at);
        Self { cx, path, node }
    }

    /// Tells a fault of this value.
    pub(super) fn fault(&mut self, problem: impl Into<String>) {
        self.cx.fault(self.node.at, &self.path, problem, None);
    }

    fn unexpected<T>(mut self, expected: &str) -> Option<T> {
        let found = self.node.value.kind();
        self.fault(format!("expected {expected}, found {found}"));
        None
    }

    /// Text, its variables expanded.
    pub(super) fn text(mut self) -> Option<String> {
        self.expanded("text")
    }

    fn expanded(&mut self, expected: &str) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => match expand(text, self.cx.env) {
                Ok(text) => return Some(text),
                Err(problem) => self.fault(problem),
            },
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) if expected == "text" => {
                let found = self.node.value.kind();
                self.fault(format!("expected text, found {found}; put it in quotes"));
            }
            other => {
                let found = other.kind();
                self.fault(format!("expected {expected}, found {found}"));
            }
        }
        None
    }

    /// Text, and what is needed to tell a fault of it afterwards.
    pub(super) fn text_and(mut self, check: impl FnOnce(&Context<'a>, At, &str, &str)) -> Option<String> {
        let text = self.expanded("text")?;
        check(self.cx, self.node.at, &self.path, &text);
        Some(text)
    }

    /// Text that `parse` understands. The parser's message must not repeat the text, which may
    /// hold a secret.
    pub(super) fn parse<T, E: Display>(mut self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.expanded("text")?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault(problem.to_string());
                None
            }
        }
    }

    /// One of a closed list of words.
    pub(super) fn choice<T: Choice>(mut self) -> Option<T> {
        let text = self.expanded("text")?;
        if let Some((_, value)) = T::ALL.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = T::ALL.iter().map(|(name, _)| *name).collect();
        let problem = format!("expected one of {}", names.join(", "));
        self.cx.fault(self.node.at, &self.path, problem, self.cx.nearest(&text, names));
        None
    }

    /// A whole number within bounds. Text is read as one, because a variable may have put it there.
    pub(super) fn integer(mut self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let found = match &self.node.value {
            Value::Integer(found) => *found,
            Value::Text(_) => match self.expanded("a whole number")?.parse() {
                Ok(found) => found,
                Err(_) => return self.unexpected("a whole number"),
            },
            _ => return self.unexpected("a whole number"),
        };
        match u64::try_from(found) {
            Ok(found) if bounds.contains(&found) => Some(found),
            _ => {
                let (least, most) = bounds.into_inner();
                let most = if most == u64::MAX { String::new() } else { format!(" and at most {most}") };
                self.fault(format!("must be at least {least}{most}"));
                None
            }
        }
    }

    /// `true` or `false`, or text that a variable has made so.
    pub(super) fn boolean(mut self) -> Option<bool> {
        if let Value::Bool(value) = self.node.value {
            return Some(value);
        }
        let text = match &self.node.value {
            Value::Text(_) => self.expanded("true or false")?,
            _ => return self.unexpected("true or false"),
        };
        match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.unexpected("true or false"),
        }
    }

    /// A size in bytes, above zero.
    pub(super) fn size(mut self) -> Option<u64> {
        let size = match self.node.value {
            Value::Integer(_) => return self.integer(1..=u64::MAX),
            _ => parse_size(&self.expanded("a size such as `32MiB`")?),
        };
        match size {
            Ok(size) if size > 0 => return Some(size),
            Ok(_) => self.fault("must be above zero"),
            Err(problem) => self.fault(problem),
        }
        None
    }

    /// A duration above zero.
    pub(super) fn duration(self) -> Option<Duration> {
        self.duration_from(Duration::from_millis(1))
    }

    /// A duration, zero allowed.
    pub(super) fn duration_or_zero(self) -> Option<Duration> {
        self.duration_from(Duration::ZERO)
    }

    fn duration_from(mut self, least: Duration) -> Option<Duration> {
        match self.node.value {
            Value::Integer(_) | Value::Float(_) => {
                self.fault("a duration needs a unit, such as `30s` or `200ms`");
                return None;
            }
            _ => {}
        }
        match parse_duration(&self.expanded("a duration such as `30s`")?) {
            Ok(duration) if duration >= least => return Some(duration),
            Ok(_) => self.fault("must be above zero"),
            Err(problem) => self.fault(problem),
        }
        None
    }

    /// A secret: text, or `file:` and the path of a file that holds it (white space around it is
    /// dropped).
    pub(super) fn secret(self) -> Option<Secret> {
        self.secret_where(|_| Ok(()))
    }

    /// A secret that `check` accepts. Its message must not repeat the secret.
    pub(super) fn secret_where(mut self, check: impl FnOnce(&str) -> Result<(), &'static str>) -> Option<Secret> {
        let text = self.expanded("text")?;
        self.note_secret(&text);
        if text == MASK {
            self.fault(
                "`***` stands for the secret in force at this place, and there is none; write `${VAR}` or `file:/path`",
            );
            return None;
        }
        let secret = match text.strip_prefix("file:") {
            Some(path) => self.secret_file(Path::new(path))?,
            None => text,
        };
        if secret.trim().is_empty() {
            self.fault("the secret is empty");
            return None;
        }
        if let Err(problem) = check(&secret) {
            self.fault(problem);
            return None;
        }
        Some(Secret::new(secret))
    }

    /// A reference to a secret may be written down, the file's path as seen from everywhere; a secret not.
    fn note_secret(&self, expanded: &str) {
        let shown = match (&self.node.value, expanded.strip_prefix("file:")) {
            (_, Some(path)) => Some(format!("file:{}", self.cx.resolve(self.node.at, Path::new(path)).display())),
            (Value::Text(text), None) if is_reference(text) => Some(text.clone()),
            _ => None,
        };
        self.cx.add_secret(&self.path, shown);
    }

    /// The path of a file; a relative one starts at the folder of the file that names it.
    pub(super) fn path(mut self) -> Option<PathBuf> {
        let text = self.expanded("text")?;
        if text.is_empty() {
            self.fault("expected the path of a file, found empty text");
            return None;
        }
        Some(self.cx.resolve(self.node.at, Path::new(&text)))
    }

    fn secret_file(&mut self, path: &Path) -> Option<String> {
        let path = self.cx.resolve(self.node.at, path);
        self.cx.add_file(&path);
        match super::include::read_bounded(&path, MAX_SECRET) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(problem) => {
                self.fault(format!("cannot read the secret file {}: {problem}", path.display()));
                None
            }
        }
    }

    /// A map with known keys; nothing counts as an empty one.
    pub(super) fn section<T>(mut self, read: impl FnOnce(&mut Section<'a>) -> T) -> Option<T> {
        let entries = match std::mem::replace(&mut self.node.value, Value::Null) {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            other => {
                self.node.value = other;
                return self.unexpected("a map");
            }
        };
        let mut section = Section {
            at: self.node.at,
            path: self.path,
            entries: entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect(),
            cx: self.cx,
            asked: Vec::new(),
        };
        let value = read(&mut section);
        section.finish();
        Some(value)
    }

    /// A map with keys of the user's choice, in the order of the file. Entries that fail are told
    /// and left out.
    pub(super) fn map<T>(mut self, mut read: impl FnMut(&str, Field<'a>) -> Option<T>) -> Option<IndexMap<String, T>> {
        let entries = match std::mem::replace(&mut self.node.value, Value::Null) {
            Value::Map(entries) => entries,
            other => {
                self.node.value = other;
                return self.unexpected("a map");
            }
        };
        let mut map = IndexMap::with_capacity(entries.len());
        for Entry { key, node, .. } in entries {
            let field = Field::new(self.cx, join(&self.path, &key), node);
            if let Some(value) = read(&key, field) {
                map.insert(key, value);
            }
        }
        Some(map)
    }

    /// A list. Items that fail are told and left out.
    pub(super) fn list<T>(mut self, mut read: impl FnMut(Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items = match std::mem::replace(&mut self.node.value, Value::Null) {
            Value::List(items) => items,
            other => {
                self.node.value = other;
                return self.unexpected("a list");
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for (i, node) in items.into_iter().enumerate() {
            list.extend(read(Field::new(self.cx, format!("{}[{i}]", self.path), node)));
        }
        Some(list)
    }

    /// Any value as JSON, text expanded.
    pub(super) fn json(self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        match self.node.value {
            Value::Null => Some(Json::Null),
            Value::Bool(value) => Some(Json::Bool(value)),
            Value::Integer(value) => match i64::try_from(value) {
                Ok(value) => Some(value.into()),
                Err(_) => {
                    Field { node: Node { value: Value::Null, ..self.node }, ..self }.unexpected("a smaller number")
                }
            },
            Value::Float(value) => Some(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)),
            Value::Text(_) => self.text().map(Json::String),
            Value::List(_) => self.list(Field::json).map(Json::Array),
            Value::Map(_) => self.map(|_, field| field.json()).map(|map| Json::Object(map.into_iter().collect())),
        }
    }

    /// A map of text to text; numbers and booleans are taken as written only in quotes.
    pub(super) fn texts(self) -> Option<BTreeMap<String, String>> {
        self.map(|_, field| field.text()).map(|map| map.into_iter().collect())
    }
}

/// An enum that is written as one of a closed list of words.
pub(super) trait Choice: Copy + 'static {
    /// Every value with its word.
    const ALL: &'static [(&'static str, Self)];
}

/// A map with known keys, being read.
pub(super) struct Section<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) path: String,
    at: At,
    entries: IndexMap<String, Entry>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads one key, if it is set to anything.
    pub(super) fn take<T>(&mut self, key: &'static str, read: impl FnOnce(Field<'a>) -> Option<T>) -> Option<T> {
        self.asked.push(key);
        let entry = self.entries.shift_remove(key)?;
        if entry.node.value == Value::Null {
            return None;
        }
        read(Field::new(self.cx, join(&self.path, key), entry.node))
    }

    /// Reads a key that is a map with known keys.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> Option<T> {
        self.take(key, |field| field.section(read))
    }

    /// Reads a key that must be there.
    pub(super) fn require<T>(&mut self, key: &'static str, read: impl FnOnce(Field<'a>) -> Option<T>) -> Option<T> {
        let there = self.entries.get(key).is_some_and(|entry| entry.node.value != Value::Null);
        if !there {
            let problem = format!("the key `{key}` is missing");
            self.cx.fault(self.at, &self.path, problem, None);
        }
        self.take(key, read)
    }

    fn finish(self) {
        for entry in self.entries.into_values() {
            let path = join(&self.path, &entry.key);
            self.cx.fault(entry.at, &path, "unknown key", self.cx.nearest(&entry.key, self.asked.iter().copied()));
        }
    }
}
