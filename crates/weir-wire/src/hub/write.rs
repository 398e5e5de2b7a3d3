//! Writing JSON, member by member, in the order given.
//!
//! ```
//! use weir_wire::hub::write;
//! let text = write::object(|o| {
//!     o.text("role", "user");
//!     o.array("content", |a| a.object(|o| o.text("text", "hi")));
//! });
//! assert_eq!(text, r#"{"role":"user","content":[{"text":"hi"}]}"#);
//! ```

use std::borrow::Cow;

use super::{Dialect, Extra, Json, Num};
use crate::json::quote;

/// The text of one object.
#[must_use]
pub fn object(fill: impl FnOnce(&mut Obj<'_>)) -> String {
    let mut out = String::new();
    write_object(&mut out, fill);
    out
}

/// The text of one list.
#[must_use]
pub fn array(fill: impl FnOnce(&mut Arr<'_>)) -> String {
    let mut out = String::new();
    write_array(&mut out, fill);
    out
}

/// An object being written.
#[derive(Debug)]
pub struct Obj<'o> {
    out: &'o mut String,
    names: Vec<&'static str>,
    first: bool,
}

impl Obj<'_> {
    /// A string.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.raw(name, &quote(value));
    }

    /// A string, if there is one.
    pub fn opt_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &str) {
        self.names.push(name);
        self.key(name);
        self.out.push_str(json);
    }

    /// A value that is JSON already, if there is one.
    pub fn opt_json(&mut self, name: &'static str, value: Option<&Json>) {
        if let Some(value) = value {
            self.raw(name, value.as_str());
        }
    }

    /// A number, if there is one.
    pub fn opt_num(&mut self, name: &'static str, value: Option<&Num>) {
        if let Some(value) = value {
            self.raw(name, value.as_str());
        }
    }

    /// A whole number.
    pub fn count(&mut self, name: &'static str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// A whole number, if there is one.
    pub fn opt_count(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.count(name, value);
        }
    }

    /// A boolean.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A boolean, if there is one.
    pub fn opt_flag(&mut self, name: &'static str, value: Option<bool>) {
        if let Some(value) = value {
            self.flag(name, value);
        }
    }

    /// `null`, unless the member was written.
    pub fn null(&mut self, name: &'static str) {
        if !self.wrote(name) {
            self.raw(name, "null");
        }
    }

    /// An object within.
    pub fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Obj<'_>)) {
        self.names.push(name);
        self.key(name);
        write_object(self.out, fill);
    }

    /// A list within.
    pub fn array(&mut self, name: &'static str, fill: impl FnOnce(&mut Arr<'_>)) {
        self.names.push(name);
        self.key(name);
        write_array(self.out, fill);
    }

    /// The members that came from this dialect and that are not written yet. Call it last.
    pub fn extra(&mut self, extra: &Extra, dialect: Dialect) {
        for (name, value) in extra.members_of(dialect) {
            if !self.names.contains(&name.as_str()) {
                self.key(name);
                self.out.push_str(value.as_str());
            }
        }
    }

    /// Whether a member of this name was written.
    #[must_use]
    pub fn wrote(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    fn key(&mut self, name: &str) {
        comma(self.out, &mut self.first);
        self.out.push_str(&quote(name));
        self.out.push(':');
    }
}

/// A list being written.
#[derive(Debug)]
pub struct Arr<'o> {
    out: &'o mut String,
    first: bool,
}

impl Arr<'_> {
    /// A string.
    pub fn text(&mut self, value: &str) {
        self.raw(&quote(value));
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        comma(self.out, &mut self.first);
        self.out.push_str(json);
    }

    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Obj<'_>)) {
        comma(self.out, &mut self.first);
        write_object(self.out, fill);
    }
}

fn write_object(out: &mut String, fill: impl FnOnce(&mut Obj<'_>)) {
    out.push('{');
    fill(&mut Obj { out, names: Vec::new(), first: true });
    out.push('}');
}

fn write_array(out: &mut String, fill: impl FnOnce(&mut Arr<'_>)) {
    out.push('[');
    fill(&mut Arr { out, first: true });
    out.push(']');
}

fn comma(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

/// A server-sent event of JSON. Line breaks between its tokens, which would end the line, become
/// spaces; within strings JSON has none.
#[must_use]
pub fn sse_data(event: Option<&str>, json: &str) -> String {
    let broken = memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some();
    let json = if broken { Cow::Owned(json.replace(['\n', '\r'], " ")) } else { Cow::Borrowed(json) };
    match event {
        Some(name) => format!("event: {name}\ndata: {json}\n\n"),
        None => format!("data: {json}\n\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_goes_last_and_never_twice() {
        let members = vec![("a".to_owned(), Json::string("old")), ("z\"".to_owned(), Json::string("x"))];
        let extra = Extra::new(Dialect::OpenAiChat, members);
        let write = |dialect| {
            object(|o| {
                o.text("a", "new");
                o.extra(&extra, dialect);
            })
        };
        assert_eq!(write(Dialect::OpenAiChat), r#"{"a":"new","z\"":"x"}"#);
        assert_eq!(write(Dialect::Gemini), r#"{"a":"new"}"#);
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(sse_data(None, "{\r\n\"a\": 1\n}"), "data: {  \"a\": 1 }\n\n");
        assert_eq!(sse_data(Some("x"), "{}"), "event: x\ndata: {}\n\n");
    }
}
