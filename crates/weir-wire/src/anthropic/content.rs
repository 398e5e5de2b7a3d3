//! `content`: a string, or a list of blocks. Read.

use super::form::{DIRECT, LIST, OWN, bit_if, form};
use super::seals::Beside;
use super::source::opaque;
use super::{cache, citations, seals, source};
use crate::hub::{
    DecodeError, Document, Fields, Mode, Node, Part, PartKind, Place, Seal, Text, Thinking, ToolCall, ToolResult,
};
use crate::json::Kind;

/// Takes `content` (or `system`). What is empty is left, for [`Fields::rest`] to keep.
pub(super) fn take(fields: &mut Fields<'_>, name: &str) -> Result<Vec<Part>, DecodeError> {
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
            blocks(node, &at, fields.mode())
        }
        Some(_) if fields.mode() == Mode::Answer => Ok(Vec::new()),
        Some(node) => {
            Err(fields.error(name, format!("expected a string or a list of blocks, found {}", node.kind.name())))
        }
    }
}

/// A list of blocks. A seal that stands before its part becomes the part's.
fn blocks(node: Node<'_>, at: &Place, mode: Mode) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::new();
    let mut carried = None;
    for (at, node) in node.items(at)? {
        let beside = if mode == Mode::Request { seals::uncarry_beside(node) } else { None };
        match beside {
            Some(Beside::Next(seal, thought)) => {
                carried = Some(seal);
                parts.extend(thought.map(|part| Part { form: form(LIST), at, ..*part }));
                continue;
            }
            Some(Beside::Last(seal)) => {
                seal_last(&mut parts, seal, at);
                continue;
            }
            None => {}
        }
        let mut part = block(node, at, mode)?;
        part.signature = part.signature.or_else(|| carried.take());
        parts.push(part);
    }
    Ok(parts)
}

/// Gives the seal to the text it stands behind, which is left out where it was empty.
fn seal_last(parts: &mut Vec<Part>, seal: Seal, at: Place) {
    match parts.last_mut().filter(|last| last.as_text().is_some() && last.signature.is_none()) {
        Some(last) => last.signature = Some(seal),
        None => parts.push(Part { signature: Some(seal), form: form(LIST), at, ..Part::text("") }),
    }
}

/// One block. In an answer, one that is not as it should be is kept whole.
pub(super) fn block(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    let whole = |name: &str| Part { at: at.clone(), form: form(LIST), ..Part::new(opaque(name, node)) };
    if mode == Mode::Answer && node.kind != Kind::Object {
        return Ok(whole("block"));
    }
    let mut fields = node.fields(at.clone())?;
    let Some(kind) = fields.text("type")? else {
        return match mode {
            Mode::Request => Err(fields.error("type", "missing, expected text, image, document, tool_result, ...")),
            Mode::Answer => Ok(whole("block")),
        };
    };
    match read(&kind, fields) {
        Ok(Some(part)) => Ok(Part { at, ..part }),
        Ok(None) => Ok(whole(&kind)),
        Err(_) if mode == Mode::Answer => Ok(whole(&kind)),
        Err(error) => Err(error),
    }
}

/// What a block of this type says; `None` if the type is of this dialect alone.
fn read(kind: &str, mut fields: Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let mut bits = LIST;
    let mut part = match kind {
        "text" => text(&mut fields)?,
        "image" => match source::read(fields.require_object("source")?)? {
            Some(media) => Part::new(PartKind::Image(media)),
            None => return Ok(None),
        },
        "document" => match document(&mut fields)? {
            Some(document) => Part::new(PartKind::Document(document)),
            None => return Ok(None),
        },
        "thinking" => thinking(&mut fields)?,
        "redacted_thinking" => redacted(&mut fields)?,
        "tool_use" => {
            bits |= bit_if(direct(&mut fields)?, DIRECT);
            call(&mut fields)?
        }
        "tool_result" if fields.mode() == Mode::Request => result(&mut fields)?,
        _ => return Ok(None),
    };
    part.cache = cache::take(&mut fields)?;
    part.form = form(bits);
    part.extra = fields.rest(OWN);
    Ok(Some(part))
}

fn text(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let text = fields.require_text("text")?;
    let sources = fields.list("citations")?;
    let citations = sources.into_iter().map(|(_, node)| citations::read(node)).collect::<Result<_, _>>()?;
    Ok(Part::new(PartKind::Text(Text { text, citations })))
}

fn document(fields: &mut Fields<'_>) -> Result<Option<Document>, DecodeError> {
    let Some(media) = source::read(fields.require_object("source")?)? else { return Ok(None) };
    let (title, context) = (fields.word("title")?, fields.word("context")?);
    let citations = match fields.peek("citations") {
        Some(node) if node.kind == Kind::Object => enabled(node, fields)?,
        _ => None,
    };
    Ok(Some(Document { media, title, context, citations }))
}

/// Takes `{"enabled": …}`; leaves what says more.
fn enabled(node: Node<'_>, fields: &mut Fields<'_>) -> Result<Option<bool>, DecodeError> {
    let mut inner = node.fields(fields.at().member("citations"))?;
    let enabled = inner.flag("enabled")?.filter(|_| inner.is_empty());
    if enabled.is_some() {
        fields.take("citations");
    }
    Ok(enabled)
}

/// Thoughts: this dialect's own, or, sent back by a caller, another maker's ([`seals`]).
fn thinking(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let words = fields.require_text("thinking")?;
    let signature = fields.word("signature")?;
    let carried = signature.as_deref().filter(|_| fields.mode() == Mode::Request).and_then(seals::uncarry);
    let mut part = match carried {
        Some(carried) => carried,
        None => {
            let signature = signature.map(|text| Seal { text, origin: Some(OWN) });
            let thinking = Thinking { origin: Some(OWN), ..Thinking::default() };
            Part { signature, ..Part::new(PartKind::Thinking(thinking)) }
        }
    };
    if let PartKind::Thinking(thinking) = &mut part.kind {
        thinking.text = words;
    }
    Ok(part)
}

fn redacted(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let seal = Seal { text: fields.require_text("data")?, origin: Some(OWN) };
    let thinking = Thinking { encrypted: Some(seal), redacted: true, origin: Some(OWN), ..Thinking::default() };
    Ok(Part::new(PartKind::Thinking(thinking)))
}

/// Takes a `caller` that is the model itself.
fn direct(fields: &mut Fields<'_>) -> Result<bool, DecodeError> {
    let Some(node) = fields.peek("caller").filter(|node| node.kind == Kind::Object) else { return Ok(false) };
    let mut inner = node.fields(fields.at().member("caller"))?;
    let direct = inner.text("type")?.as_deref() == Some("direct") && inner.is_empty();
    if direct {
        fields.take("caller");
    }
    Ok(direct)
}

fn call(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let (id, name) = (fields.word("id")?, fields.require_text("name")?);
    let input = fields.take_kind("input", Kind::Object)?;
    let arguments = input.map(|node| node.raw.trim().to_owned()).unwrap_or_default();
    Ok(Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, ..ToolCall::default() })))
}

fn result(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let result = ToolResult {
        call_id: Some(fields.require_text("tool_use_id")?),
        name: None,
        parts: take(fields, "content")?,
        failed: fields.flag("is_error")?,
    };
    Ok(Part::new(PartKind::ToolResult(result)))
}
