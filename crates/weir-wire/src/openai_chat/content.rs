//! `content`: a string, or a list of parts.

use super::form::{BARE, CACHE_CONTROL, CHAT, DOCUMENT_URL, LIST, RAW, bit_if, form};
use crate::hub::{
    CacheHint, CacheTtl, DecodeError, Document, Fields, Media, Mode, Native, Node, Opaque, Part, PartKind, Place,
    Source, Text, Thinking,
};
use crate::json::Kind;

/// Takes `content` from a message. What is empty is left, for [`Fields::rest`] to keep.
pub(super) fn take(fields: &mut Fields<'_>, name: &str, mode: Mode) -> Result<Vec<Part>, DecodeError> {
    let at = fields.at().member(name);
    match fields.peek(name) {
        None => Ok(Vec::new()),
        Some(node) if node.json().is_empty() => Ok(Vec::new()),
        Some(node) if node.kind == Kind::String => {
            fields.take(name);
            Ok(vec![Part { at, ..Part::text(node.text().unwrap_or_default()) }])
        }
        Some(node) if node.kind == Kind::Array => {
            fields.take(name);
            node.items(&at)?.into_iter().map(|(at, node)| part(node, at, mode)).collect()
        }
        Some(node) if mode == Mode::Answer => {
            fields.take(name);
            Ok(vec![Part { at, form: form(RAW), ..Part::text(node.raw.trim()) }])
        }
        Some(node) => {
            Err(fields.error(name, format!("expected a string or a list of parts, found {}", node.kind.name())))
        }
    }
}

/// One element of a list of parts.
fn part(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    if node.kind == Kind::String && mode == Mode::Answer {
        let text = node.text().unwrap_or_default();
        return Ok(Part { at, form: form(LIST | BARE), ..Part::text(text) });
    }
    let mut fields = node.fields(at)?;
    let Some(kind) = fields.text("type")? else {
        return if mode == Mode::Request {
            Err(fields.error("type", "missing, expected text, image_url, input_audio, file or refusal"))
        } else {
            Ok(opaque("", node, fields.at().clone()))
        };
    };
    let (kind, bits) = match read(&kind, &mut fields)? {
        Some(read) => read,
        None => return Ok(opaque(&kind, node, fields.at().clone())),
    };
    let (cache, cache_bits) = cache(&mut fields)?;
    let at = fields.at().clone();
    let form = form(LIST | bits | cache_bits);
    Ok(Part { kind, cache, signature: None, form, at, extra: fields.rest(CHAT) })
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: CHAT, json: node.json() };
    let opaque = Opaque { name: name.to_owned(), native };
    Part { at, form: form(LIST), ..Part::new(PartKind::Opaque(opaque)) }
}

/// What a part of this type says, with bits of its form; `None` if the type is unknown or its
/// member is missing in an answer.
fn read(kind: &str, fields: &mut Fields<'_>) -> Result<Option<(PartKind, u16)>, DecodeError> {
    Ok(match kind {
        "text" => {
            let text = match fields.mode() {
                Mode::Request => Some(fields.require_text("text")?),
                Mode::Answer => fields.text("text")?,
            };
            text.map(|text| (PartKind::Text(Text { text, citations: Vec::new() }), 0))
        }
        "refusal" => Some((PartKind::Refusal(fields.require_text("refusal")?), 0)),
        "image_url" => {
            let (media, bits) = address(fields, "image_url")?;
            Some((PartKind::Image(media), bits))
        }
        "video_url" => {
            let (media, bits) = address(fields, "video_url")?;
            Some((PartKind::Video(media), bits))
        }
        "document_url" => {
            let (media, bits) = address(fields, "document_url")?;
            Some((document(media, None), bits | DOCUMENT_URL))
        }
        "input_audio" => Some((PartKind::Audio(audio(fields.require_object("input_audio")?)?), 0)),
        "file" => {
            let (kind, bits) = file(fields.require_object("file")?)?;
            Some((kind, bits))
        }
        "thinking" => thinking(fields)?.map(|thinking| (PartKind::Thinking(thinking), 0)),
        _ => None,
    })
}

/// `{"url": …, "detail": …}`, or the address itself (Mistral).
fn address(fields: &mut Fields<'_>, name: &str) -> Result<(Media, u16), DecodeError> {
    if fields.peek(name).is_some_and(|node| node.kind == Kind::String) {
        return Ok((Media::from_url(&fields.require_text(name)?), BARE));
    }
    let mut inner = fields.require_object(name)?;
    let mut media = Media::from_url(&inner.require_text("url")?);
    media.detail = inner.word("detail")?;
    media.extra = inner.rest(CHAT);
    Ok((media, 0))
}

fn audio(mut inner: Fields<'_>) -> Result<Media, DecodeError> {
    let source = Source::Base64(inner.require_text("data")?);
    let mime = inner.word("format")?.map(|format| match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    });
    Ok(Media { extra: inner.rest(CHAT), ..Media::new(source, mime) })
}

fn file(mut inner: Fields<'_>) -> Result<(PartKind, u16), DecodeError> {
    let (media, bits) = match (inner.text("file_data")?, inner.peek("file_id").is_some()) {
        (Some(data), _) if data.starts_with("data:") => (Media::from_url(&data), 0),
        (Some(data), _) => (Media::new(Source::Base64(data), None), BARE),
        (None, true) => (Media::new(Source::File(inner.require_text("file_id")?), None), 0),
        (None, false) => return Err(inner.error("file_data", "missing, send file_data or file_id")),
    };
    let title = inner.word("filename")?;
    Ok((document(Media { extra: inner.rest(CHAT), ..media }, title), bits))
}

fn document(media: Media, title: Option<String>) -> PartKind {
    PartKind::Document(Document { media, title, context: None, citations: None })
}

/// Mistral's `{"type": "thinking", "thinking": [{"type": "text", "text": …}]}`. `None` unless it
/// is at most one text, which can be written again.
fn thinking(fields: &mut Fields<'_>) -> Result<Option<Thinking>, DecodeError> {
    let Some(node) = fields.peek("thinking").filter(|node| node.kind == Kind::Array) else {
        return Ok(None);
    };
    let items = node.items(fields.at())?;
    let (at, only) = match &items[..] {
        [] => {
            fields.take("thinking");
            return Ok(Some(Thinking::default()));
        }
        [(at, only)] if only.kind == Kind::Object => (at.clone(), *only),
        _ => return Ok(None),
    };
    let mut inner = only.fields(at)?;
    let is_text = inner.text("type")?.as_deref() == Some("text");
    let Some(text) = inner.text("text")?.filter(|_| is_text && inner.is_empty()) else {
        return Ok(None);
    };
    fields.take("thinking");
    Ok(Some(Thinking { text, ..Thinking::default() }))
}

/// Takes `prompt_cache_breakpoint` or `cache_control`, with the bit that says which.
pub(super) fn cache(fields: &mut Fields<'_>) -> Result<(Option<CacheHint>, u16), DecodeError> {
    for (name, bit) in [("prompt_cache_breakpoint", 0), ("cache_control", CACHE_CONTROL)] {
        let Some(node) = fields.peek(name).filter(|node| node.kind == Kind::Object) else {
            continue;
        };
        fields.take(name);
        let ttl = node.fields(fields.at().member(name))?.text("ttl")?;
        let raw = Some(Native { dialect: CHAT, json: node.json() });
        let hint = CacheHint { ttl: ttl.as_deref().and_then(CacheTtl::from_word), raw };
        return Ok((Some(hint), bit_if(bit != 0, bit)));
    }
    Ok((None, 0))
}
