//! What some providers refuse inside the messages.

use super::rewrite::deletions;
use super::{Member, Peek};
use crate::json::{JsonError, Kind, Reader, Span};

/// See [`Peek::message_names`].
pub(super) fn names(peek: &Peek, body: &[u8]) -> Vec<Span> {
    let Some(prompt) = peek.prompt.filter(|prompt| prompt.kind == Kind::Array) else { return Vec::new() };
    let mut spans = Vec::new();
    if let Ok(mut reader) = Reader::new(prompt.span.of(body)) {
        // The body was found to be JSON before.
        let _: Result<Span, JsonError> = reader.array(|reader| message(reader, &mut spans));
    }
    spans.into_iter().map(|span| span.shift(prompt.span.start)).collect()
}

fn message(reader: &mut Reader<'_>, spans: &mut Vec<Span>) -> Result<(), JsonError> {
    if reader.kind()? != Kind::Object {
        return reader.skip().map(|_| ());
    }
    let (mut members, mut gone) = (Vec::new(), Vec::new());
    reader.object(|reader, key| {
        gone.push(key.name == "name");
        members.push(Member { key: key.span, value: reader.skip()?.span });
        Ok(())
    })?;
    if gone.contains(&true) {
        spans.extend(deletions(&members, &gone));
    }
    Ok(())
}
