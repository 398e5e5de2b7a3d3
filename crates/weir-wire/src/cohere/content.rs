//! `content`: a string, or a list of parts.

use super::documents;
use super::form::{COHERE, LIST, form};
use crate::hub::{DecodeError, Fields, Media, Mode, Native, Node, Opaque, Part, PartKind, Place, Text, Thinking};
use crate::json::Kind;

/// Takes `content` from a message. What is empty is left, for [`Fields::rest`] to keep.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let (at, mode) = (fields.at().member("content"), fields.mode());
    let Some(node) = fields.peek("content").filter(|node| !node.json().is_empty()) else {
        return Ok(Vec::new());
    };
    match node.kind {
        Kind::String => {
            fields.take("content");
            Ok(vec![Part { at, ..Part::text(node.text().unwrap_or_default()) }])
        }
        Kind::Array => {
            fields.take("content");
            node.items(&at)?.into_iter().map(|(at, node)| part(node, at, mode)).collect()
        }
        _ if mode == Mode::Answer => Ok(Vec::new()),
        kind => Err(fields.error("content", format!("expected a string or a list of parts, found {}", kind.name()))),
    }
}

/// One element of a list of parts.
fn part(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    if node.kind != Kind::Object && mode == Mode::Answer {
        return Ok(opaque("", node, at));
    }
    let mut fields = node.fields(at.clone())?;
    let kind = fields.text("type")?.unwrap_or_default();
    if kind.is_empty() && fields.mode() == Mode::Request {
        return Err(fields.error("type", "missing, expected text, image_url, thinking or document"));
    }
    let kind = match kind.as_str() {
        "text" => text(&mut fields, "text")?.map(|text| PartKind::Text(Text { text, citations: Vec::new() })),
        "thinking" => text(&mut fields, "thinking")?.map(|text| PartKind::Thinking(thought(text, None))),
        "image_url" => image(&mut fields)?.map(PartKind::Image),
        "document" if fields.mode() == Mode::Request => return in_list(node, fields, at),
        _ => None,
    };
    let Some(kind) = kind else {
        let name = node.fields(at.clone())?.text("type")?.unwrap_or_default();
        return Ok(opaque(&name, node, at));
    };
    Ok(Part { at, form: form(LIST), extra: fields.rest(COHERE), ..Part::new(kind) })
}

/// What a model thought; a plan has an id.
pub(super) fn thought(text: String, id: Option<&str>) -> Thinking {
    Thinking { text, id: id.map(str::to_owned), origin: Some(COHERE), ..Thinking::default() }
}

/// The text of a part, which a request's must have.
fn text(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, DecodeError> {
    match fields.mode() {
        Mode::Request => fields.require_text(name).map(Some),
        Mode::Answer => fields.text(name),
    }
}

/// `{"url": …, "detail": …}`.
fn image(fields: &mut Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let Some(mut inner) = fields.object("image_url")? else {
        return match fields.mode() {
            Mode::Request => Err(fields.error("image_url", "missing, expected an object")),
            Mode::Answer => Ok(None),
        };
    };
    let Some(url) = text(&mut inner, "url")? else { return Ok(None) };
    let mut media = Media::from_url(&url);
    media.detail = inner.word("detail")?;
    media.extra = inner.rest(COHERE);
    Ok(Some(media))
}

/// `{"type": "document", "document": {…}}`; whole if it says more.
fn in_list(node: Node<'_>, mut fields: Fields<'_>, at: Place) -> Result<Part, DecodeError> {
    let Some(inner) = fields.take_kind("document", Kind::Object)? else {
        return Err(fields.error("document", "missing, expected an object"));
    };
    if !fields.is_empty() {
        return Ok(opaque("document", node, at));
    }
    let part = documents::one(inner, at.member("document"))?;
    Ok(Part { form: form(part.form.bits(COHERE) | LIST), ..part })
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: COHERE, json: node.json() };
    let opaque = Opaque { name: name.to_owned(), native };
    Part { at, form: form(LIST), ..Part::new(PartKind::Opaque(opaque)) }
}
