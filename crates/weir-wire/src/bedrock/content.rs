//! Content blocks, read: each an object of one member that names what it is.

use super::form::{BEDROCK, CITED, JSON, RAW, bit_if, form};
use super::{citations, media, results, thinking};
use crate::hub::{
    CacheHint, CacheTtl, DecodeError, Fields, Mode, Native, Node, Opaque, Part, PartKind, Place, Seal, Text, ToolCall,
};
use crate::json::Kind;

/// The blocks that are understood.
const KNOWN: [&str; 10] = [
    "text",
    "json",
    "image",
    "video",
    "audio",
    "document",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "citationsContent",
];

/// Takes a list of blocks; an empty one is left.
pub(super) fn take(fields: &mut Fields<'_>, name: &str) -> Result<Vec<Part>, DecodeError> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, node) in fields.list(name)? {
        match cache_point(node, &at)? {
            Some(hint) if parts.last().is_some_and(|part| part.cache.is_none()) => {
                parts.iter_mut().next_back().into_iter().for_each(|part| part.cache = Some(hint.clone()));
            }
            _ => parts.push(part(node, at)?),
        }
    }
    Ok(parts)
}

/// The hint, if the element is a `cachePoint` and nothing else.
pub(super) fn cache_point(node: Node<'_>, at: &Place) -> Result<Option<CacheHint>, DecodeError> {
    if node.kind != Kind::Object {
        return Ok(None);
    }
    let mut fields = node.fields(at.clone())?;
    let Some(point) = fields.take("cachePoint").filter(|point| point.kind == Kind::Object && fields.is_empty()) else {
        return Ok(None);
    };
    let ttl = point.fields(at.member("cachePoint"))?.text("ttl")?;
    let raw = Some(Native { dialect: BEDROCK, json: point.json() });
    Ok(Some(CacheHint { ttl: ttl.as_deref().and_then(CacheTtl::from_word), raw }))
}

/// One block. What is not understood, or only partly, is kept whole.
pub(super) fn part(node: Node<'_>, at: Place) -> Result<Part, DecodeError> {
    if node.kind != Kind::Object && node.mode() == Mode::Answer {
        return Ok(opaque("", node, at));
    }
    let mut fields = node.fields(at)?;
    let at = fields.at().clone();
    let Some(name) = KNOWN.into_iter().find(|name| fields.peek(name).is_some()) else {
        let name = fields.rest(BEDROCK).members().first().map(|(name, _)| name.clone()).unwrap_or_default();
        return Ok(opaque(&name, node, at));
    };
    match read(name, &mut fields)? {
        Some(read) => Ok(Part { at, extra: fields.rest(BEDROCK), ..read }),
        None => Ok(opaque(name, node, at)),
    }
}

pub(super) fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: BEDROCK, json: node.json() };
    Part { at, ..Part::new(PartKind::Opaque(Opaque { name: name.to_owned(), native })) }
}

fn read(name: &str, fields: &mut Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let simple = |kind: Option<PartKind>| kind.map(Part::new);
    Ok(match name {
        "text" => fields.text("text")?.map(Part::text),
        "json" => fields.json("json").map(|json| Part { form: form(JSON), ..Part::text(json.as_str()) }),
        "image" => simple(media::take(fields, "image")?.map(PartKind::Image)),
        "video" => simple(media::take(fields, "video")?.map(PartKind::Video)),
        "audio" => simple(media::take(fields, "audio")?.map(PartKind::Audio)),
        "document" => simple(super::documents::take(fields)?.map(PartKind::Document)),
        "toolUse" => call(fields)?,
        "toolResult" => simple(results::take(fields)?.map(PartKind::ToolResult)),
        "reasoningContent" => thoughts(fields)?,
        _ => cited(fields)?,
    })
}

/// `{"toolUseId", "name", "input"}`. One that the provider ran itself is not the caller's to run.
fn call(fields: &mut Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let Some(mut inner) = fields.object("toolUse")? else { return Ok(None) };
    if inner.peek("type").and_then(Node::text).as_deref() == Some("server_tool_use") {
        return Ok(None);
    }
    let id = inner.word("toolUseId")?;
    let Some(name) = inner.text("name")? else { return Ok(None) };
    let input = inner.take("input");
    let raw = input.is_some_and(|input| input.kind != Kind::Object);
    let arguments = input.map(|input| input.raw.trim().to_owned()).unwrap_or_default();
    let call = ToolCall { id, name, arguments, extra: inner.rest(BEDROCK), ..ToolCall::default() };
    Ok(Some(Part { form: form(bit_if(raw, RAW)), ..Part::new(PartKind::ToolCall(call)) }))
}

fn thoughts(fields: &mut Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let Some(mut inner) = fields.object("reasoningContent")? else { return Ok(None) };
    let part = if let Some(mut said) = inner.object("reasoningText")? {
        let Some(text) = said.text("text")? else { return Ok(None) };
        let signature = said.word("signature")?.map(|text| Seal { text, origin: Some(BEDROCK) });
        if !said.is_empty() {
            return Ok(None);
        }
        Part { signature, ..thinking::said(text) }
    } else if let Some(data) = inner.word("redactedContent")? {
        thinking::redacted(&data)
    } else {
        return Ok(None);
    };
    Ok(inner.is_empty().then_some(part))
}

/// `{"content": [{"text"}], "citations": [..]}`. Several texts become one: a stream has but one.
fn cited(fields: &mut Fields<'_>) -> Result<Option<Part>, DecodeError> {
    let Some(mut inner) = fields.object("citationsContent")? else { return Ok(None) };
    let mut text = String::new();
    for (at, node) in inner.whole_list("content")? {
        match node.fields(at)?.text("text")? {
            Some(more) => text.push_str(&more),
            None => return Ok(None),
        }
    }
    let mut found = Vec::new();
    for (_, node) in inner.whole_list("citations")? {
        found.push(citations::read(node)?);
    }
    let bits = bit_if(found.is_empty(), CITED);
    let part = Part { form: form(bits), ..Part::new(PartKind::Text(Text { text, citations: found })) };
    Ok(inner.is_empty().then_some(part))
}
