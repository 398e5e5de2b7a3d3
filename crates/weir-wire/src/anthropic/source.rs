//! Where images and documents are: `source`. Read and written.

use super::encode_request::Writing;
use super::form::OWN;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Document, Extra, Fields, Media, Native, Node, Opaque, Part, PartKind, Source};
use crate::json::Kind;

/// The first characters of a PDF in base64.
const PDF: &str = "JVBERi0";

/// Reads `source`; `None` for a sort that is not known.
pub(super) fn read(mut inner: Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let kind = inner.text("type")?;
    let (source, mime) = match kind.as_deref() {
        Some("base64") => {
            let data = inner.require_text("data")?;
            (Source::Base64(data), inner.text("media_type")?)
        }
        Some("url") => (Source::Url(inner.require_text("url")?), None),
        Some("file") => (Source::File(inner.require_text("file_id")?), None),
        Some("text") => {
            let data = inner.require_text("data")?;
            (Source::Plain(data), inner.text("media_type")?)
        }
        Some("content") => match passages(&inner)? {
            Some(text) => (Source::Plain(text), None),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Media { extra: inner.rest(OWN), ..Media::new(source, mime) }))
}

/// The text of a source of passages, which stays a member of the media's extra as it was written:
/// the passages are what citations name. `None` if there is more than text.
fn passages(inner: &Fields<'_>) -> Result<Option<String>, DecodeError> {
    let at = inner.at().member("content");
    let node = match inner.peek("content") {
        Some(node) if node.kind == Kind::Array => node,
        Some(node) => return Ok(node.text().map(|text| text.into_owned())),
        None => return Ok(None),
    };
    let mut texts = Vec::new();
    for (at, node) in node.items(&at)? {
        let block = node.fields(at)?;
        let text = block.peek("text").and_then(Node::text);
        let Some(text) = text.filter(|_| block.peek("type").and_then(Node::text).as_deref() == Some("text")) else {
            return Ok(None);
        };
        texts.push(text.into_owned());
    }
    Ok(Some(texts.join("\n\n")))
}

/// Writes an image's `source`, or refuses the image.
pub(super) fn image(o: &mut Obj<'_>, part: &Part, media: &Media, writing: &mut Writing<'_>) {
    let same = writing.same();
    match &media.source {
        Source::Base64(data) => {
            let mime = media.mime.as_deref().map(|mime| if mime == "image/jpg" && !same { "image/jpeg" } else { mime });
            let taken = matches!(mime, Some("image/jpeg" | "image/png" | "image/gif" | "image/webp"));
            if !taken && !same {
                return writing.losses.refuse_part(part, "must be JPEG, PNG, GIF or WebP, with its type said");
            }
            base64(o, mime, data, &media.extra);
        }
        Source::Plain(_) => writing.losses.refuse_part(part, "cannot be text"),
        _ => elsewhere(o, part, media, writing),
    }
}

/// Writes a document's `source`, or refuses the document.
pub(super) fn document(o: &mut Obj<'_>, part: &Part, document: &Document, writing: &mut Writing<'_>) {
    let media = &document.media;
    match &media.source {
        Source::Base64(data) => {
            let mime = match media.mime.as_deref() {
                Some(mime) if writing.same() || mime == "application/pdf" => Some(mime),
                None if writing.same() => None,
                _ if data.starts_with(PDF) => Some("application/pdf"),
                _ => return writing.losses.refuse_part(part, "must be a PDF: send other files as text"),
            };
            base64(o, mime, data, &media.extra);
        }
        Source::Plain(_) if media.extra.get(OWN, "content").is_some() => o.object("source", |o| {
            o.text("type", "content");
            o.extra(&media.extra, OWN);
        }),
        Source::Plain(text) => o.object("source", |o| {
            o.text("type", "text");
            let mime = media.mime.as_deref();
            o.opt_text("media_type", if writing.same() { mime } else { Some("text/plain") });
            o.text("data", text);
            o.extra(&media.extra, OWN);
        }),
        _ => elsewhere(o, part, media, writing),
    }
}

fn base64(o: &mut Obj<'_>, mime: Option<&str>, data: &str, extra: &Extra) {
    o.object("source", |o| {
        o.text("type", "base64");
        o.opt_text("media_type", mime);
        o.text("data", data);
        o.extra(extra, OWN);
    });
}

fn elsewhere(o: &mut Obj<'_>, part: &Part, media: &Media, writing: &mut Writing<'_>) {
    match &media.source {
        Source::Url(_) if !writing.capabilities().media_urls => {
            writing.losses.refuse_part(part, "is not fetched by the provider: send its bytes");
        }
        Source::Url(url) => o.object("source", |o| {
            o.text("type", "url");
            o.text("url", url);
            o.extra(&media.extra, OWN);
        }),
        Source::File(id) if writing.same() => o.object("source", |o| {
            o.text("type", "file");
            o.text("file_id", id);
            o.extra(&media.extra, OWN);
        }),
        _ => writing.losses.refuse_part(part, "is a file at another provider: send its bytes"),
    }
}

/// A block that is kept whole.
pub(super) fn opaque(name: &str, node: Node<'_>) -> PartKind {
    let native = Native { dialect: OWN, json: node.json() };
    PartKind::Opaque(Opaque { name: name.to_owned(), native })
}
