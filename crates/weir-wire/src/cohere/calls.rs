//! Tool calls. Read and written.

use super::form::{COHERE, NO_ARGUMENTS, NO_TYPE, bit_if, form};
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, DecodeError, Fields, Losses, Mode, Native, Node, Opaque, Part, PartKind, Place, ToolCall};
use crate::json::Kind;

/// Takes the calls from a message.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mode = fields.mode();
    fields.list("tool_calls")?.into_iter().map(|(at, node)| one(node, at, mode)).collect()
}

/// One call. What is none in an answer is kept as it is.
pub(super) fn one(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    if mode == Mode::Answer && node.kind != Kind::Object {
        return Ok(opaque("tool_calls", node, at));
    }
    let mut fields = node.fields(at.clone())?;
    let kind = fields.text("type")?;
    if let Some(other) = kind.as_deref().filter(|kind| *kind != "function") {
        return Ok(opaque(other, node, at));
    }
    let Some(mut inner) = fields.object("function")? else {
        return match mode {
            Mode::Request => Err(fields.error("function", "missing, expected an object")),
            Mode::Answer => Ok(opaque("function", node, at)),
        };
    };
    let arguments = inner.text("arguments")?;
    let bits = bit_if(kind.is_none(), NO_TYPE) | bit_if(arguments.is_none(), NO_ARGUMENTS);
    let call = ToolCall {
        id: fields.word("id")?,
        name: inner.text("name")?.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
        kind: CallKind::Function,
        extra: inner.rest(COHERE),
    };
    Ok(Part { at, form: form(bits), extra: fields.rest(COHERE), ..Part::new(PartKind::ToolCall(call)) })
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: COHERE, json: node.json() };
    Part { at, ..Part::new(PartKind::Opaque(Opaque { name: name.to_owned(), native })) }
}

/// Writes the calls among the parts.
pub(super) fn write(o: &mut Obj<'_>, parts: &[Part], losses: &mut Losses) {
    let mut texts = Vec::new();
    for part in parts {
        match &part.kind {
            PartKind::ToolCall(call) => texts.push(text_of(part, call, losses)),
            PartKind::Opaque(opaque) if !super::said::in_content(part) => {
                texts.extend(opaque.native.of(COHERE).map(|json| json.as_str().to_owned()));
            }
            _ => {}
        }
    }
    if !texts.is_empty() {
        o.raw("tool_calls", &format!("[{}]", texts.join(",")));
    }
}

fn text_of(part: &Part, call: &ToolCall, losses: &mut Losses) -> String {
    losses.extra(&part.extra, &part.at);
    losses.extra(&call.extra, &part.at);
    if call.kind == CallKind::Custom {
        let why = format!("{} was called with text, and this dialect has objects alone", call.name);
        losses.refuse(part.at.as_str(), why);
    }
    write::object(|o| {
        o.opt_text("id", call.id.as_deref());
        if !part.form.has(COHERE, NO_TYPE) {
            o.text("type", "function");
        }
        o.object("function", |o| function(o, part, call, losses));
        o.extra(&part.extra, COHERE);
    })
}

fn function(o: &mut Obj<'_>, part: &Part, call: &ToolCall, losses: &Losses) {
    o.text("name", &call.name);
    match call.arguments.as_str() {
        "" if part.form.has(COHERE, NO_ARGUMENTS) => {}
        // A tool without arguments, as other dialects write it, has an empty object here.
        "" if losses.caller() != COHERE => o.text("arguments", "{}"),
        text => o.text("arguments", text),
    }
    o.extra(&call.extra, COHERE);
}
