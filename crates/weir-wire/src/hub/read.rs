//! Reading an object's members, with the place of each for messages.
//!
//! A codec turns an object into [`Fields`], takes from it what it knows and leaves the rest to
//! [`Fields::rest`], which becomes an [`Extra`]. Null counts as absent and is left too, so that a
//! re-encoding in the same dialect writes it again.

use std::borrow::Cow;
use std::fmt;

use super::{Dialect, Extra, Json, Num, Place};
use crate::json::{Kind, Reader};

/// The most elements of a list that is decoded.
pub const MAX_ITEMS: usize = 100_000;
/// The most members of an object that is decoded.
pub const MAX_MEMBERS: usize = 1024;

/// Why bytes are not what they should be: the place, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The place, as `messages[2].content[0].type`; empty for the body itself.
    pub field: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl DecodeError {
    /// An error at `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.why),
            field => write!(f, "{field}: {}", self.why),
        }
    }
}

impl std::error::Error for DecodeError {}

/// How strictly to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A caller's request: a member of the wrong kind or written twice is an error.
    Request,
    /// A provider's answer: a member of the wrong kind is left to the [`Extra`], and of two of the
    /// same name the later counts, as it does for the SDKs.
    Answer,
}

/// One value, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its text.
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind,
    mode: Mode,
}

impl<'a> Node<'a> {
    /// The value that is the whole of `body`, validated to its end.
    pub fn of_body(body: &'a [u8], mode: Mode) -> Result<Self, DecodeError> {
        let read = || {
            let mut reader = Reader::new(body)?;
            let value = reader.skip()?;
            reader.end()?;
            Ok(Self { raw: reader.raw(value.span), kind: value.kind, mode })
        };
        read().map_err(|error: crate::json::JsonError| DecodeError::new("", error.to_string()))
    }

    /// How strictly it is read.
    #[must_use]
    pub fn mode(self) -> Mode {
        self.mode
    }

    /// The value as text to keep.
    #[must_use]
    pub fn json(self) -> Json {
        Json::checked(self.raw)
    }

    /// The text of a string.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let mut reader = Reader::again(self.raw);
        (self.kind == Kind::String).then(|| reader.string().ok()).flatten()
    }

    /// The elements of a list, each with its place.
    pub fn items(self, at: &Place) -> Result<Vec<(Place, Self)>, DecodeError> {
        let broken = |why: &str| DecodeError::new(at.as_str(), why);
        let mut items = Vec::new();
        let mut reader = Reader::again(self.raw);
        let read = reader.array(|reader| {
            let value = reader.skip()?;
            if items.len() <= MAX_ITEMS {
                items.push(Self { raw: reader.raw(value.span), kind: value.kind, mode: self.mode });
            }
            Ok(())
        });
        read.map_err(|_| broken(&format!("expected a list, found {}", self.kind.name())))?;
        if items.len() > MAX_ITEMS {
            return Err(broken(&format!("more than {MAX_ITEMS} elements")));
        }
        Ok(items.into_iter().enumerate().map(|(index, node)| (at.index(index), node)).collect())
    }

    /// The members of an object.
    pub fn fields(self, at: Place) -> Result<Fields<'a>, DecodeError> {
        let broken = |why: String| DecodeError::new(at.as_str(), why);
        let mut items: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        let mut count = 0;
        let mut reader = Reader::again(self.raw);
        let read = reader.object(|reader, key| {
            let value = reader.skip()?;
            count += 1;
            if count <= MAX_MEMBERS {
                items.push((key.name, Self { raw: reader.raw(value.span), kind: value.kind, mode: self.mode }));
            }
            Ok(())
        });
        read.map_err(|_| broken(format!("expected an object, found {}", self.kind.name())))?;
        if count > MAX_MEMBERS {
            return Err(broken(format!("more than {MAX_MEMBERS} members")));
        }
        let mut fields = Fields { at, items, mode: self.mode };
        fields.settle_duplicates()?;
        Ok(fields)
    }
}

/// The members of one object that nobody has taken yet, in order.
#[derive(Debug)]
pub struct Fields<'a> {
    at: Place,
    items: Vec<(Cow<'a, str>, Node<'a>)>,
    mode: Mode,
}

impl<'a> Fields<'a> {
    /// Where the object stands.
    #[must_use]
    pub fn at(&self) -> &Place {
        &self.at
    }

    /// How strictly they are read.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// An error at one of the members.
    #[must_use]
    pub fn error(&self, name: &str, why: impl Into<String>) -> DecodeError {
        DecodeError::new(self.at.member(name).as_str(), why)
    }

    /// Looks at a member and leaves it. Null is none.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<Node<'a>> {
        self.items.iter().find(|(key, node)| key == name && node.kind != Kind::Null).map(|(_, node)| *node)
    }

    /// Takes a member, whatever it is. Null is left.
    pub fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let found = self.items.iter().position(|(key, node)| key == name && node.kind != Kind::Null)?;
        Some(self.items.remove(found).1)
    }

    /// Takes a member if it is of this kind. Another kind is an error in a request and is left in
    /// an answer.
    pub fn take_kind(&mut self, name: &str, kind: Kind) -> Result<Option<Node<'a>>, DecodeError> {
        match self.peek(name) {
            None => Ok(None),
            Some(node) if node.kind == kind => Ok(self.take(name)),
            Some(_) if self.mode == Mode::Answer => Ok(None),
            Some(node) => Err(self.error(name, format!("expected {}, found {}", kind.name(), node.kind.name()))),
        }
    }

    /// Takes a string.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        Ok(self.take_kind(name, Kind::String)?.and_then(Node::text).map(Cow::into_owned))
    }

    /// Takes a string that must be there.
    pub fn require_text(&mut self, name: &str) -> Result<String, DecodeError> {
        self.text(name)?.ok_or_else(|| self.error(name, "missing, expected a string"))
    }

    /// Takes a string that is not empty; an empty one is left.
    pub fn word(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        match self.peek(name) {
            Some(node) if node.raw == "\"\"" => Ok(None),
            _ => self.text(name),
        }
    }

    /// Takes a number.
    pub fn num(&mut self, name: &str) -> Result<Option<Num>, DecodeError> {
        Ok(self.take_kind(name, Kind::Number)?.map(|node| Num::checked(node.raw)))
    }

    /// Takes a whole number that is not negative. Others are errors in a request, left in an answer.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, DecodeError> {
        let Some(node) = self.peek(name) else { return Ok(None) };
        // Only digits: `1.0` would come back as `1`, which is another text.
        if let Ok(value) = node.raw.parse::<u64>() {
            self.take(name);
            return Ok(Some(value));
        }
        match self.mode {
            Mode::Answer => Ok(None),
            Mode::Request => Err(self.error(name, "expected a whole number of at least 0")),
        }
    }

    /// Takes a boolean.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, DecodeError> {
        Ok(self.take_kind(name, Kind::Bool)?.map(|node| node.raw == "true"))
    }

    /// Takes any value as text to keep.
    pub fn json(&mut self, name: &str) -> Option<Json> {
        self.take(name).map(Node::json)
    }

    /// Takes an object to look into.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields<'a>>, DecodeError> {
        let Some(node) = self.take_kind(name, Kind::Object)? else { return Ok(None) };
        node.fields(self.at.member(name)).map(Some)
    }

    /// Takes an object that must be there.
    pub fn require_object(&mut self, name: &str) -> Result<Fields<'a>, DecodeError> {
        self.object(name)?.ok_or_else(|| self.error(name, "missing, expected an object"))
    }

    /// Takes a list's elements; an empty list is left.
    pub fn list(&mut self, name: &str) -> Result<Vec<(Place, Node<'a>)>, DecodeError> {
        match self.peek(name) {
            None => Ok(Vec::new()),
            Some(node) if node.kind == Kind::Array && node.json().is_empty() => Ok(Vec::new()),
            Some(_) => {
                let node = self.take_kind(name, Kind::Array)?;
                node.map_or(Ok(Vec::new()), |node| node.items(&self.at.member(name)))
            }
        }
    }

    /// Takes a list's elements, an empty list too: for lists that every body has.
    pub fn whole_list(&mut self, name: &str) -> Result<Vec<(Place, Node<'a>)>, DecodeError> {
        let items = self.list(name)?;
        if self.peek(name).is_some_and(|node| node.kind == Kind::Array) {
            self.take(name);
        }
        Ok(items)
    }

    /// What nobody took, in order, as members that only `dialect` understands.
    #[must_use]
    pub fn rest(self, dialect: Dialect) -> Extra {
        let members = self.items.into_iter().map(|(name, node)| (name.into_owned(), node.json())).collect();
        Extra::new(dialect, members)
    }

    /// How many members nobody took, nulls among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether every member has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn settle_duplicates(&mut self) -> Result<(), DecodeError> {
        let mut names: Vec<&str> = self.items.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        let Some(twice) = names.windows(2).find_map(|pair| (pair[0] == pair[1]).then(|| pair[0].to_owned())) else {
            return Ok(());
        };
        if self.mode == Mode::Request {
            return Err(self.error(&twice, "written twice, send it once"));
        }
        let mut seen = std::collections::HashSet::new();
        let mut kept: Vec<_> = self.items.drain(..).rev().filter(|(name, _)| seen.insert(name.clone())).collect();
        kept.reverse();
        self.items = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, mode: Mode) -> Result<Fields<'_>, DecodeError> {
        Node::of_body(text.as_bytes(), mode)?.fields(Place::root())
    }

    #[test]
    fn takes_what_is_known_and_keeps_the_rest() {
        let mut all = fields(r#"{"b":null,"a":"x","n":0.50,"z":[1],"c":7}"#, Mode::Request).unwrap();
        assert_eq!(all.text("a").unwrap().as_deref(), Some("x"));
        assert_eq!(all.num("n").unwrap().unwrap().as_str(), "0.50");
        assert_eq!(all.count("c").unwrap(), Some(7));
        assert_eq!(all.text("b").unwrap(), None);
        let rest = all.rest(Dialect::OpenAiChat);
        assert_eq!(rest.members().len(), 2);
        assert_eq!(rest.members()[0].0, "b");
    }

    #[test]
    fn errors_name_the_place() {
        let mut all = fields(r#"{"a":{"b":[{"c":1}]}}"#, Mode::Request).unwrap();
        let mut a = all.object("a").unwrap().unwrap();
        let (at, node) = a.list("b").unwrap().remove(0);
        let mut element = node.fields(at).unwrap();
        assert_eq!(element.text("c").unwrap_err().to_string(), "a.b[0].c: expected a string, found a number");
        assert_eq!(element.require_text("d").unwrap_err().field, "a.b[0].d");
        assert_eq!(fields("[]", Mode::Request).unwrap_err().to_string(), "expected an object, found an array");
    }

    #[test]
    fn a_member_written_twice_is_refused_of_callers_and_settled_of_providers() {
        let text = r#"{"a":1,"b":2,"a":3}"#;
        assert_eq!(fields(text, Mode::Request).unwrap_err().field, "a");
        let mut all = fields(text, Mode::Answer).unwrap();
        assert_eq!(all.count("a").unwrap(), Some(3));
        assert_eq!(all.rest(Dialect::Gemini).members().len(), 1);
    }

    #[test]
    fn a_provider_s_wrong_kinds_are_left() {
        let mut all = fields(r#"{"a":1,"b":"x","c":1.5}"#, Mode::Answer).unwrap();
        assert_eq!((all.text("a").unwrap(), all.flag("b").unwrap(), all.count("c").unwrap()), (None, None, None));
        assert_eq!(all.rest(Dialect::OpenAiChat).members().len(), 3);
    }

    #[test]
    fn too_many_is_an_error() {
        let many = format!("{{{}}}", (0..=MAX_MEMBERS).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","));
        assert!(fields(&many, Mode::Answer).unwrap_err().why.contains("members"));
        let list = format!("{{\"a\":[0{}]}}", ",0".repeat(MAX_ITEMS));
        assert!(fields(&list, Mode::Request).unwrap().list("a").unwrap_err().why.contains("elements"));
    }
}
