//! Changing a body without copying it.

use bytes::Bytes;

use super::{Member, Peek, StreamOptions};
use crate::json::{Span, quote, string_at};

/// What to change in a body. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The model to ask for instead.
    pub model: Option<&'a str>,
    /// Ask for usage in the stream, whatever the client said. For chat and completions, which
    /// alone know the option; the client's other stream options stay.
    pub include_usage: bool,
    /// Remove `models` and `fallbacks`, which are Weir's own.
    pub strip_extensions: bool,
    /// Rename top-level keys, from and to. If the body has both, the one to rename is removed:
    /// the client meant the newer name.
    pub rename: &'a [(&'a str, &'a str)],
    /// Top-level keys to remove. A key to remove is not changed in any other way.
    pub remove: &'a [&'a str],
    /// Put the value of this top-level key into an array, if it is a string.
    pub wrap: Option<&'a str>,
    /// Top-level members to add, in place of those of the same name, with their JSON.
    pub set: &'a [(String, String)],
    /// Spans to leave out, as [`Peek::message_names`] finds them.
    pub cut: &'a [Span],
}

/// A body in pieces: slices of the original and what was put between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    parts: Vec<Bytes>,
    len: usize,
}

impl Segments {
    /// The length of the whole, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the whole is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order, none of them empty.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The whole in one piece: copied only if there is more than one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            _ => self.parts.concat().into(),
        }
    }

    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push(part);
        }
    }
}

impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        let mut segments = Self { parts: Vec::with_capacity(1), len: 0 };
        segments.push(body);
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

/// See [`Peek::rewrite`].
pub(super) fn rewrite(peek: &Peek, body: &Bytes, change: &Change<'_>) -> Segments {
    let mut plan = Plan { peek, body, change, edits: Vec::new() };
    plan.members();
    plan.insertions();
    for span in change.cut {
        plan.edit(*span, Bytes::new());
    }
    plan.apply()
}

/// A replacement of one span; an empty span inserts.
struct Edit {
    at: Span,
    with: Bytes,
}

struct Plan<'a> {
    peek: &'a Peek,
    body: &'a Bytes,
    change: &'a Change<'a>,
    edits: Vec<Edit>,
}

impl Plan<'_> {
    /// Removals, renames and changed values of members that are there.
    fn members(&mut self) {
        let strips = self.change.strip_extensions && self.peek.has_extensions;
        let renames = !self.change.rename.is_empty() || self.change.wrap.is_some();
        if !strips && !renames && self.change.remove.is_empty() && self.change.set.is_empty() {
            return;
        }
        let members = &self.peek.members;
        let gone: Vec<bool> = members.iter().map(|member| self.removed(member)).collect();
        for span in deletions(members, &gone) {
            self.edit(span, Bytes::new());
        }
        for (member, _) in members.iter().zip(gone).filter(|(_, gone)| !gone) {
            self.rename(member);
            self.wrap(member);
        }
    }

    fn key(&self, member: &Member) -> Option<std::borrow::Cow<'_, str>> {
        string_at(self.body, member.key)
    }

    fn removed(&self, member: &Member) -> bool {
        self.key(member).is_some_and(|key| self.removes(&key) || self.yields(&key))
    }

    fn removes(&self, key: &str) -> bool {
        let extension = self.change.strip_extensions && (key == "models" || key == "fallbacks");
        extension || self.change.remove.contains(&key) || self.change.set.iter().any(|(name, _)| name == key)
    }

    /// Whether `key` is to be renamed to a key that is there already.
    fn yields(&self, key: &str) -> bool {
        self.change.rename.iter().any(|(from, to)| {
            let taken = |member: &Member| self.key(member).is_some_and(|key| key == *to);
            key == *from && self.peek.members.iter().any(taken)
        })
    }

    fn rename(&mut self, member: &Member) {
        let key = self.key(member);
        let new = self.change.rename.iter().find(|(from, _)| key.as_deref() == Some(from)).map(|(_, to)| quote(to));
        if let Some(new) = new {
            self.edit(member.key, new.into());
        }
    }

    fn wrap(&mut self, member: &Member) {
        let wrapped = self.change.wrap.is_some_and(|name| self.key(member).is_some_and(|key| key == name));
        if wrapped && member.value.of(self.body).starts_with(b"\"") {
            for (at, with) in [(member.value.start, &b"["[..]), (member.value.end, b"]")] {
                self.edit(Span { start: at, end: at }, Bytes::from_static(with));
            }
        }
    }

    /// The model and `include_usage`, in place or as new first members.
    fn insertions(&mut self) {
        let set = self.change.set.iter().map(|(name, json)| format!("{}:{json}", quote(name)));
        let mut new: Vec<String> = set.collect();
        if let Some(model) = self.change.model.filter(|_| !self.removes("model")) {
            self.model(model, &mut new);
        }
        if self.change.include_usage && !self.removes("stream_options") {
            self.include_usage(&mut new);
        }
        if let Some(object) = self.peek.object.filter(|_| !new.is_empty()) {
            let mut text = new.join(",");
            if self.peek.members.iter().any(|member| !self.removed(member)) {
                text.push(',');
            }
            let start = object.start + 1;
            self.edit(Span { start, end: start }, text.into());
        }
    }

    fn model(&mut self, model: &str, new: &mut Vec<String>) {
        match self.peek.model_span {
            Some(_) if self.peek.model.as_deref() == Some(model) => {}
            Some(span) => self.edit(span, quote(model).into()),
            None => new.push(format!("\"model\":{}", quote(model))),
        }
    }

    fn include_usage(&mut self, new: &mut Vec<String>) {
        const OPTIONS: &str = "{\"include_usage\":true}";
        match self.peek.stream_options {
            StreamOptions::Absent => new.push(format!("\"stream_options\":{OPTIONS}")),
            StreamOptions::Null(span) => self.edit(span, Bytes::from_static(OPTIONS.as_bytes())),
            StreamOptions::With { on: true, .. } => {}
            StreamOptions::With { value, on: false } => {
                self.edit(value, Bytes::from_static(b"true"));
            }
            StreamOptions::Without { object, empty } => {
                let text: &[u8] = match empty {
                    true => b"\"include_usage\":true",
                    false => b"\"include_usage\":true,",
                };
                let start = object.start + 1;
                self.edit(Span { start, end: start }, Bytes::from_static(text));
            }
        }
    }

    fn edit(&mut self, at: Span, with: Bytes) {
        self.edits.push(Edit { at, with });
    }

    fn apply(mut self) -> Segments {
        if self.edits.is_empty() {
            return self.body.clone().into();
        }
        // Stable, and an insertion (an empty span) sorts before a deletion at the same place.
        self.edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
        let mut segments = Segments { parts: Vec::with_capacity(self.edits.len() * 2 + 1), len: 0 };
        let mut done = 0;
        for edit in self.edits {
            if edit.at.start < done {
                // Inside of what is left out already.
                continue;
            }
            segments.push(self.body.slice(done..edit.at.start));
            segments.push(edit.with);
            done = edit.at.end;
        }
        segments.push(self.body.slice(done..));
        segments
    }
}

/// What to cut out of an object so that the members that are `gone` are no longer in it, with one
/// comma each: the one behind it, or before it when nothing is kept behind it.
pub(super) fn deletions(members: &[Member], gone: &[bool]) -> Vec<Span> {
    let last_kept = gone.iter().rposition(|gone| !gone);
    let member = |index: usize| members.get(index);
    let indices = gone.iter().enumerate().filter(|(_, gone)| **gone).map(|(index, _)| index);
    indices
        .filter_map(|index| {
            let this = member(index)?;
            let kept_behind = last_kept.is_some_and(|kept| kept > index);
            let before = index.checked_sub(1).and_then(member);
            Some(match (member(index + 1), before) {
                (Some(next), _) if kept_behind => Span { start: this.key.start, end: next.key.start },
                (_, Some(before)) => Span { start: before.value.end, end: this.value.end },
                (_, None) => Span { start: this.key.start, end: this.value.end },
            })
        })
        .collect()
}
