//! `tool_choice`, and `function_call` of old. Read and written.

use super::encode_request::Writing;
use super::form::{CHAT, CHOICE_ANY, CHOICE_NO_TYPE, LEGACY_CHOICE, bit_if};
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Field, Fields, Form, LossKind, Native, Node, Request, ToolChoice};
use crate::json::Kind;

/// Takes the choice from a request, with bits of the parameters' form.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<(Option<ToolChoice>, u16), DecodeError> {
    let legacy = fields.peek("tool_choice").is_none();
    let name = if legacy { "function_call" } else { "tool_choice" };
    let Some(node) = fields.take(name) else { return Ok((None, 0)) };
    let bits = if legacy { LEGACY_CHOICE } else { 0 };
    let at = fields.at().member(name);
    let choice = match (node.kind, node.text().as_deref()) {
        (_, Some("auto")) => ToolChoice::Auto,
        (_, Some("none")) => ToolChoice::None,
        (_, Some("required")) => ToolChoice::Required,
        (_, Some("any")) => return Ok((Some(ToolChoice::Required), bits | CHOICE_ANY)),
        (Kind::Object, _) if legacy => named(node.fields(at)?, false)?.unwrap_or_else(|| opaque(node)),
        (Kind::Object, _) => {
            let fields = node.fields(at)?;
            let bits = bit_if(fields.peek("type").is_none(), CHOICE_NO_TYPE);
            return Ok((Some(object(node, fields)?.unwrap_or_else(|| opaque(node))), bits));
        }
        (Kind::String, _) => return Err(fields.error(name, "unknown word, expected auto, none or required")),
        _ => return Err(fields.error(name, "expected a word or an object")),
    };
    Ok((Some(choice), bits))
}

fn opaque(node: Node<'_>) -> ToolChoice {
    ToolChoice::Opaque(Native { dialect: CHAT, json: node.json() })
}

/// `None` for what says more than is understood.
fn object(node: Node<'_>, mut fields: Fields<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let kind = fields.text("type")?.unwrap_or_else(|| "function".to_owned());
    let known = match kind.as_str() {
        "function" => named(fields.require_object("function")?, false)?,
        "custom" => named(fields.require_object("custom")?, true)?,
        "allowed_tools" => Some(allowed(node, fields.require_object("allowed_tools")?)?),
        _ => None,
    };
    Ok(known.filter(|_| fields.is_empty()))
}

fn named(mut fields: Fields<'_>, custom: bool) -> Result<Option<ToolChoice>, DecodeError> {
    let name = fields.require_text("name")?;
    Ok(fields.is_empty().then_some(ToolChoice::Named { name, custom }))
}

fn allowed(node: Node<'_>, mut fields: Fields<'_>) -> Result<ToolChoice, DecodeError> {
    let required = fields.text("mode")?.as_deref() == Some("required");
    let mut names = Vec::new();
    for (at, tool) in fields.list("tools")? {
        let mut tool = tool.fields(at)?;
        let inner = match tool.object("function")? {
            Some(inner) => Some(inner),
            None => tool.object("custom")?,
        };
        names.extend(inner.map(|mut inner| inner.require_text("name")).transpose()?);
    }
    let native = Some(Native { dialect: CHAT, json: node.json() });
    Ok(ToolChoice::Allowed { names, required, native })
}

/// Writes the choice.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let Some(choice) = &request.tool_choice else { return };
    let form = request.params.form;
    let name = if form.has(CHAT, LEGACY_CHOICE) { "function_call" } else { "tool_choice" };
    match writing.allowed_choice(choice) {
        ToolChoice::Auto => o.text(name, "auto"),
        ToolChoice::None => o.text(name, "none"),
        ToolChoice::Required => o.text(name, required_word(form)),
        ToolChoice::Named { name: tool, .. } if form.has(CHAT, LEGACY_CHOICE) => {
            o.object(name, |o| o.text("name", tool));
        }
        ToolChoice::Named { name: tool, custom } => {
            let kind = if *custom { "custom" } else { "function" };
            o.object(name, |o| {
                if !form.has(CHAT, CHOICE_NO_TYPE) {
                    o.text("type", kind);
                }
                o.object(kind, |o| o.text("name", tool));
            });
        }
        ToolChoice::Allowed { names, required, native } => match native.as_ref().and_then(|native| native.of(CHAT)) {
            Some(json) => o.raw(name, json.as_str()),
            None => write_allowed(o, names, *required),
        },
        ToolChoice::Opaque(native) => match native.of(CHAT) {
            Some(json) => o.raw(name, json.as_str()),
            None => {
                writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice");
            }
        },
    }
}

fn required_word(form: Form) -> &'static str {
    if form.has(CHAT, CHOICE_ANY) { "any" } else { "required" }
}

fn write_allowed(o: &mut Obj<'_>, names: &[String], required: bool) {
    o.object("tool_choice", |o| {
        o.text("type", "allowed_tools");
        o.object("allowed_tools", |o| {
            o.text("mode", if required { "required" } else { "auto" });
            o.array("tools", |a| {
                for name in names {
                    a.object(|o| {
                        o.text("type", "function");
                        o.object("function", |o| o.text("name", name));
                    });
                }
            });
        });
    });
}
