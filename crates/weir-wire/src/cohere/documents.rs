//! Documents: text with a title, beside the conversation or in a tool's result. Read and written.

use super::encode_request::Writing;
use super::form::{BARE, BESIDE, COHERE, RAW, form};
use crate::base64;
use crate::hub::write::{self, Obj};
use crate::hub::{
    DecodeError, Document, Fields, LossKind, Media, Node, Part, PartKind, Place, Request, Role, Source, Turn,
};
use crate::json::Kind;

/// Takes `documents` of a request into its last user turn, as what that turn is about. Without a
/// user they are left.
pub(super) fn take(fields: &mut Fields<'_>, turns: &mut [Turn]) -> Result<(), DecodeError> {
    let Some(turn) = turns.iter_mut().rfind(|turn| turn.role == Role::User) else { return Ok(()) };
    for (at, node) in fields.list("documents")? {
        let mut part = one(node, at)?;
        part.form = form(part.form.bits(COHERE) | BESIDE);
        turn.parts.push(part);
    }
    Ok(())
}

/// One document: a string, or `{"id": …, "data": …}`. The id stays in the part's extra.
pub(super) fn one(node: Node<'_>, at: Place) -> Result<Part, DecodeError> {
    if let Some(text) = node.text() {
        let document = plain(text.into_owned(), "text/plain");
        return Ok(Part { at, form: form(BARE), ..Part::new(PartKind::Document(document)) });
    }
    let mut outer = node.fields(at)?;
    let at = outer.at().clone();
    let Some(data) = outer.take("data") else {
        return Err(outer.error("data", "missing, expected an object"));
    };
    let (document, bits) = match spoken(data, &at.member("data"))? {
        Some(document) => (document, 0),
        None => (plain(data.raw.trim().to_owned(), "application/json"), RAW),
    };
    Ok(Part { at, form: form(bits), extra: outer.rest(COHERE), ..Part::new(PartKind::Document(document)) })
}

/// Data with a text, and perhaps a title and a word about it.
fn spoken(data: Node<'_>, at: &Place) -> Result<Option<Document>, DecodeError> {
    if data.kind != Kind::Object {
        return Ok(None);
    }
    let mut inner = data.fields(at.clone())?;
    let string = |inner: &Fields<'_>, name: &str| inner.peek(name).is_some_and(|node| node.kind == Kind::String);
    if !string(&inner, "text") {
        return Ok(None);
    }
    let mut document = plain(inner.require_text("text")?, "text/plain");
    if string(&inner, "title") {
        document.title = inner.word("title")?;
    }
    if string(&inner, "context") {
        document.context = inner.word("context")?;
    }
    document.media.extra = inner.rest(COHERE);
    Ok(Some(document))
}

fn plain(text: String, mime: &str) -> Document {
    let media = Media::new(Source::Plain(text), Some(mime.to_owned()));
    Document { media, title: None, context: None, citations: None }
}

/// Writes `documents`: all that users' turns hold, in order.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let users = || request.turns.iter().filter(|turn| turn.role == Role::User);
    let last = users().next_back();
    let mut texts = Vec::new();
    for turn in users() {
        for part in &turn.parts {
            let PartKind::Document(document) = &part.kind else { continue };
            if !is_beside(part, turn, writing) {
                continue;
            }
            if !writing.same() && !last.is_some_and(|last| std::ptr::eq(last, turn)) {
                let why = "a file stands beside the conversation, not in its turn";
                writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
            }
            texts.extend(text_of(part, document, writing));
        }
    }
    if !texts.is_empty() {
        o.raw("documents", &format!("[{}]", texts.join(",")));
    }
}

/// Whether a part is a document that stands beside the conversation: a user's, unless this dialect's
/// caller put it among the parts.
pub(super) fn is_beside(part: &Part, turn: &Turn, writing: &Writing<'_>) -> bool {
    let document = turn.role == Role::User && matches!(part.kind, PartKind::Document(_));
    document && (!writing.same() || part.form.has(COHERE, BESIDE))
}

/// The JSON of a document; `None` if it cannot be said, which is noted.
pub(super) fn text_of(part: &Part, document: &Document, writing: &mut Writing<'_>) -> Option<String> {
    if !writing.capabilities().documents {
        writing.losses.refuse_part(part, "is not taken by the model: send its text");
        return None;
    }
    let Some(text) = words(&document.media) else {
        writing.losses.refuse_part(part, "cannot be read by the provider: send its text");
        return None;
    };
    writing.losses.extra(&part.extra, &part.at);
    writing.losses.extra(&document.media.extra, &part.at);
    writing.no_cache(part.cache.as_ref(), &part.at);
    Some(match part.form.bits(COHERE) & (BARE | RAW) {
        BARE => crate::json::quote(&text),
        RAW => object(part, |o| o.raw("data", &text)),
        _ => object(part, |o| o.object("data", |o| data(o, document, &text))),
    })
}

fn object(part: &Part, fill: impl FnOnce(&mut Obj<'_>)) -> String {
    write::object(|o| {
        fill(o);
        o.extra(&part.extra, COHERE);
    })
}

fn data(o: &mut Obj<'_>, document: &Document, text: &str) {
    o.opt_text("title", document.title.as_deref());
    o.opt_text("context", document.context.as_deref());
    o.text("text", text);
    o.extra(&document.media.extra, COHERE);
}

/// The words of a file: its text, or its bytes if they are said to be text and are.
fn words(media: &Media) -> Option<String> {
    match &media.source {
        Source::Plain(text) => Some(text.clone()),
        Source::Base64(data) => {
            let mime = media.mime.as_deref()?.split(';').next()?.trim();
            let textual = mime.starts_with("text/") || matches!(mime, "application/json" | "application/xml");
            textual.then(|| String::from_utf8(base64::decode(data)?).ok()).flatten()
        }
        Source::Url(_) | Source::File(_) => None,
    }
}
