//! Tool calls. Read and written.

use super::encode_request::Writing;
use super::form::{NO_ARGUMENTS, OLLAMA, form};
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, DecodeError, Extra, Fields, LossKind, Mode, Native, Node, Opaque, Part, PartKind, Place, ToolCall,
};
use crate::json::Kind;

/// Takes the calls from a message.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mode = fields.mode();
    fields.list("tool_calls")?.into_iter().map(|(at, node)| one(node, at, mode)).collect()
}

/// One call. What is none in an answer is kept as it is.
fn one(node: Node<'_>, at: Place, mode: Mode) -> Result<Part, DecodeError> {
    if mode == Mode::Answer && node.kind != Kind::Object {
        return Ok(opaque("tool_calls", node, at));
    }
    let mut fields = node.fields(at.clone())?;
    let Some(mut inner) = fields.object("function")? else {
        return match mode {
            Mode::Request => Err(fields.error("function", "missing, expected an object")),
            Mode::Answer => Ok(opaque("function", node, at)),
        };
    };
    let arguments = match inner.take_kind("arguments", Kind::Object)? {
        Some(object) => Some(object.raw.to_owned()),
        None if inner.peek("arguments").is_some() => return Ok(opaque("arguments", node, at)),
        None => None,
    };
    let bits = if arguments.is_none() { NO_ARGUMENTS } else { 0 };
    let call = ToolCall {
        id: fields.word("id")?,
        name: inner.text("name")?.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
        kind: CallKind::Function,
        extra: inner.rest(OLLAMA).quieten(|name| name == "index"),
    };
    Ok(Part { at, form: form(bits), extra: rest(fields), ..Part::new(PartKind::ToolCall(call)) })
}

/// What is left of a call. Its `type`, which some clients write, says nothing.
fn rest(fields: Fields<'_>) -> Extra {
    fields.rest(OLLAMA).quieten(|name| name == "type")
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Part {
    let native = Native { dialect: OLLAMA, json: node.json() };
    Part { at, ..Part::new(PartKind::Opaque(Opaque { name: name.to_owned(), native })) }
}

/// Writes the calls among the parts.
pub(super) fn write(o: &mut Obj<'_>, parts: &[&Part], writing: &mut Writing<'_>) {
    let mut texts = Vec::new();
    for part in parts {
        match &part.kind {
            PartKind::ToolCall(call) => texts.push(text_of(part, call, writing)),
            PartKind::Opaque(opaque) => {
                texts.extend(opaque.native.of(OLLAMA).map(|json| json.as_str().to_owned()));
            }
            _ => {}
        }
    }
    if !texts.is_empty() {
        o.raw("tool_calls", &format!("[{}]", texts.join(",")));
    }
}

fn text_of(part: &Part, call: &ToolCall, writing: &mut Writing<'_>) -> String {
    writing.losses.extra(&part.extra, &part.at);
    writing.losses.extra(&call.extra, &part.at);
    write::object(|o| {
        o.opt_text("id", call.id.as_deref());
        o.object("function", |o| {
            o.text("name", &call.name);
            arguments(o, part, call, writing);
            o.extra(&call.extra, OLLAMA);
        });
        o.extra(&part.extra, OLLAMA);
    })
}

/// The arguments, which are an object here. What is none is put into one.
fn arguments(o: &mut Obj<'_>, part: &Part, call: &ToolCall, writing: &mut Writing<'_>) {
    if call.arguments.is_empty() && part.form.has(OLLAMA, NO_ARGUMENTS) {
        return;
    }
    if let Some(object) = call.object().filter(|_| call.kind == CallKind::Function) {
        return o.raw("arguments", object.as_str());
    }
    let (name, what, why) = match call.kind {
        CallKind::Function => ("arguments", LossKind::Coerced, "arguments that are no JSON object became one"),
        CallKind::Custom => ("input", LossKind::Approximated, "the input of a custom tool became an object"),
    };
    writing.losses.add(part.at.as_str(), what, why);
    o.object("arguments", |o| o.text(name, &call.arguments));
}
