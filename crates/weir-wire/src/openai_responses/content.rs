//! `content` of a message and `output` of a tool: a string, or a list of parts. Read.

use super::form::{BARE, CONTINUES, INPUT, LIST, OUTPUT, PLAIN, RESPONSES, bit_if, form};
use crate::hub::{
    CacheHint, CacheTtl, Citation, DecodeError, Document, Fields, Media, Mode, Native, Node, Opaque, Part, PartKind,
    Place, Source, Text,
};
use crate::json::Kind;

/// Takes the parts. What is empty is left, for [`Fields::rest`] to keep.
pub(super) fn take(fields: &mut Fields<'_>, name: &str, model: bool) -> Result<Vec<Part>, DecodeError> {
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
            let items = node.items(&at)?.into_iter().enumerate();
            items.map(|(index, (at, node))| one(node, at, model, bit_if(index > 0, CONTINUES))).collect()
        }
        Some(_) if fields.mode() == Mode::Answer => Ok(Vec::new()),
        Some(node) => {
            Err(fields.error(name, format!("expected a string or a list of parts, found {}", node.kind.name())))
        }
    }
}

/// One element of a list of parts; `bits` of its form are known already.
pub(super) fn one(node: Node<'_>, at: Place, model: bool, bits: u16) -> Result<Part, DecodeError> {
    if node.kind != Kind::Object && matches!(node.kind, Kind::String | Kind::Number | Kind::Null | Kind::Bool) {
        return odd(node, at, bits);
    }
    let mut fields = node.fields(at)?;
    let Some(word) = fields.text("type")? else {
        return odd(node, fields.at().clone(), bits);
    };
    let (kind, more) = match read(&word, &mut fields, model)? {
        Some(read) => read,
        None => return Ok(opaque(&word, node, fields.at().clone(), LIST | bits)),
    };
    let cache = cache(&mut fields)?;
    let at = fields.at().clone();
    let extra = fields.rest(RESPONSES).quieten(|name| name == "logprobs");
    Ok(Part { kind, cache, signature: None, form: form(LIST | bits | more), at, extra })
}

/// An element that is no part: an error in a request, kept in an answer.
fn odd(node: Node<'_>, at: Place, bits: u16) -> Result<Part, DecodeError> {
    match node.mode() {
        Mode::Answer => Ok(opaque("", node, at, LIST | bits)),
        Mode::Request => {
            let why = "expected a part with a type: input_text, input_image, input_file, output_text or refusal";
            Err(DecodeError::new(at.as_str(), why))
        }
    }
}

/// What is kept as it is.
pub(super) fn opaque(name: &str, node: Node<'_>, at: Place, bits: u16) -> Part {
    let native = Native { dialect: RESPONSES, json: node.json() };
    let opaque = Opaque { name: name.to_owned(), native };
    Part { at, form: form(bits), ..Part::new(PartKind::Opaque(opaque)) }
}

/// What a part of this type says, with bits of its form; `None` if it is not understood.
fn read(word: &str, fields: &mut Fields<'_>, model: bool) -> Result<Option<(PartKind, u16)>, DecodeError> {
    Ok(match word {
        "input_text" => text(fields, bit_if(model, INPUT))?,
        "output_text" => text(fields, bit_if(!model, OUTPUT))?,
        "text" => text(fields, PLAIN)?,
        "refusal" => required(fields, "refusal")?.map(|text| (PartKind::Refusal(text), 0)),
        "input_image" => image(fields)?.map(|media| (PartKind::Image(media), 0)),
        "input_file" => file(fields)?,
        "input_audio" => audio(fields)?.map(|media| (PartKind::Audio(media), 0)),
        _ => None,
    })
}

/// A string that a request must have.
fn required(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, DecodeError> {
    match fields.mode() {
        Mode::Request => fields.require_text(name).map(Some),
        Mode::Answer => fields.text(name),
    }
}

fn text(fields: &mut Fields<'_>, bits: u16) -> Result<Option<(PartKind, u16)>, DecodeError> {
    let Some(text) = required(fields, "text")? else { return Ok(None) };
    let mut citations = Vec::new();
    for (at, node) in fields.list("annotations")? {
        citations.push(citation(node, at)?);
    }
    Ok(Some((PartKind::Text(Text { text, citations }), bits)))
}

/// One annotation. What is no web citation has the file's name as its title.
pub(super) fn citation(node: Node<'_>, at: Place) -> Result<Citation, DecodeError> {
    let raw = Some(Native { dialect: RESPONSES, json: node.json() });
    let plain = Citation { raw, ..Citation::default() };
    if node.kind != Kind::Object {
        return Ok(plain);
    }
    let mut fields = node.fields(at)?;
    let title = fields.text("title")?;
    Ok(Citation {
        start: fields.count("start_index")?,
        end: fields.count("end_index")?,
        title: title.or(fields.text("filename")?),
        url: fields.text("url")?,
        ..plain
    })
}

fn image(fields: &mut Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let mut media = match (fields.word("image_url")?, fields.peek("file_id")) {
        (Some(url), _) => Media::from_url(&url),
        (None, Some(_)) => match fields.word("file_id")? {
            Some(id) => Media::new(Source::File(id), None),
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    media.detail = fields.word("detail")?;
    Ok(Some(media))
}

/// `file_data`, `file_id` or `file_url`, the first that there is; others are left.
fn file(fields: &mut Fields<'_>) -> Result<Option<(PartKind, u16)>, DecodeError> {
    let (media, bits) = if let Some(data) = fields.word("file_data")? {
        match data.starts_with("data:") {
            true => (Media::from_url(&data), 0),
            false => (Media::new(Source::Base64(data), None), BARE),
        }
    } else if let Some(id) = fields.word("file_id")? {
        (Media::new(Source::File(id), None), 0)
    } else if let Some(url) = fields.word("file_url")? {
        (Media::new(Source::Url(url), None), 0)
    } else {
        return Ok(None);
    };
    let title = fields.word("filename")?;
    Ok(Some((PartKind::Document(Document { media, title, context: None, citations: None }), bits)))
}

/// `{"data": …, "format": …}`
fn audio(fields: &mut Fields<'_>) -> Result<Option<Media>, DecodeError> {
    let Some(mut inner) = fields.object("input_audio")? else { return Ok(None) };
    let source = Source::Base64(inner.require_text("data")?);
    let mime = inner.word("format")?.map(|format| match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    });
    Ok(Some(Media { extra: inner.rest(RESPONSES), ..Media::new(source, mime) }))
}

/// Takes `prompt_cache_breakpoint`.
pub(super) fn cache(fields: &mut Fields<'_>) -> Result<Option<CacheHint>, DecodeError> {
    let name = "prompt_cache_breakpoint";
    let Some(node) = fields.peek(name).filter(|node| node.kind == Kind::Object) else { return Ok(None) };
    fields.take(name);
    let ttl = node.fields(fields.at().member(name))?.text("ttl")?;
    let raw = Some(Native { dialect: RESPONSES, json: node.json() });
    Ok(Some(CacheHint { ttl: ttl.as_deref().and_then(CacheTtl::from_word), raw }))
}
