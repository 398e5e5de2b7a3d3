//! Tool calls: `tool_calls`, and `function_call` of old.

use super::form::{CHAT, LEGACY, NO_ARGUMENTS, NO_TYPE, RAW, bit_if, form};
use crate::hub::{CallKind, DecodeError, Dialect, Fields, Native, Node, Opaque, Part, PartKind, Place, Seal, ToolCall};
use crate::json::Kind;

/// Takes the calls from a message.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::new();
    for (at, node) in fields.list("tool_calls")? {
        parts.push(call(node, at)?);
    }
    if fields.peek("function_call").is_some_and(is_hollow) {
        // Left among the members that this dialect alone understands.
        return Ok(parts);
    }
    if let Some(inner) = fields.object("function_call")? {
        let at = inner.at().clone();
        let (call, bits) = function(inner, CallKind::Function)?;
        parts.push(Part { at, form: form(LEGACY | bits), ..Part::new(PartKind::ToolCall(call)) });
    }
    Ok(parts)
}

/// Whether a `function_call` names nothing and gives nothing: servers that write every member there is
/// (Snowflake) have one in every message.
pub(super) fn is_hollow(node: Node<'_>) -> bool {
    let Ok(fields) = node.fields(Place::root()) else { return false };
    let silent = |name: &str| fields.peek(name).is_none_or(|node| node.json().is_empty());
    silent("name") && silent("arguments")
}

fn call(node: Node<'_>, at: Place) -> Result<Part, DecodeError> {
    let mut fields = node.fields(at)?;
    let at = fields.at().clone();
    let kind = fields.text("type")?;
    let (name, call_kind) = match kind.as_deref() {
        Some("function") | None => ("function", CallKind::Function),
        Some("custom") => ("custom", CallKind::Custom),
        Some(other) => return Ok(opaque(other, node, at)),
    };
    if fields.mode() == crate::hub::Mode::Answer && fields.peek(name).is_none_or(|node| node.kind != Kind::Object) {
        return Ok(opaque(name, node, at));
    }
    let (mut call, bits) = function(fields.require_object(name)?, call_kind)?;
    call.id = fields.word("id")?;
    let signature = signature(&mut fields)?;
    let form = form(bits | bit_if(kind.is_none(), NO_TYPE));
    Ok(Part { at, signature, form, extra: fields.rest(CHAT), ..Part::new(PartKind::ToolCall(call)) })
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: CHAT, json: node.json() };
    Part { at, ..Part::new(PartKind::Opaque(Opaque { name: name.to_owned(), native })) }
}

/// `{"name": …, "arguments": …}`, or `{"name": …, "input": …}` of a custom call.
fn function(mut inner: Fields<'_>, kind: CallKind) -> Result<(ToolCall, u16), DecodeError> {
    let member = match kind {
        CallKind::Function => "arguments",
        CallKind::Custom => "input",
    };
    let name = inner.text("name")?.unwrap_or_default();
    let (arguments, bits) = match inner.take(member) {
        None => (String::new(), NO_ARGUMENTS),
        Some(node) => match node.text() {
            Some(text) => (text.into_owned(), 0),
            // Some servers send the object itself.
            None => (node.raw.trim().to_owned(), RAW),
        },
    };
    Ok((ToolCall { id: None, name, arguments, kind, extra: inner.rest(CHAT) }, bits))
}

/// Takes Google's `extra_content.google.thought_signature`, if there is nothing else in it.
pub(super) fn signature(fields: &mut Fields<'_>) -> Result<Option<Seal>, DecodeError> {
    let Some(node) = fields.peek("extra_content").filter(|node| node.kind == Kind::Object) else {
        return Ok(None);
    };
    let mut outer = node.fields(Place::root())?;
    let Some(google) = outer.peek("google").filter(|node| node.kind == Kind::Object) else {
        return Ok(None);
    };
    outer.take("google");
    let mut google = google.fields(Place::root())?;
    let text = google.peek("thought_signature").and_then(Node::text);
    google.take("thought_signature");
    let Some(text) = text.filter(|text| !text.is_empty() && outer.is_empty() && google.is_empty()) else {
        return Ok(None);
    };
    fields.take("extra_content");
    Ok(Some(Seal { text: text.into_owned(), origin: Some(Dialect::Gemini) }))
}
