//! `tool_choice`. Read and written.

use std::collections::HashSet;

use super::form::RESPONSES;
use super::written::Writing;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Field, Fields, LossKind, Native, Node, Request, ToolChoice, ToolKind};
use crate::json::Kind;

/// Takes the choice from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let Some(node) = fields.take("tool_choice") else { return Ok(None) };
    Ok(Some(match (node.kind, node.text().as_deref()) {
        (_, Some("auto")) => ToolChoice::Auto,
        (_, Some("none")) => ToolChoice::None,
        (_, Some("required")) => ToolChoice::Required,
        (Kind::Object, _) => {
            let inner = node.fields(fields.at().member("tool_choice"))?;
            let opaque = || ToolChoice::Opaque(Native { dialect: RESPONSES, json: node.json() });
            object(node, inner)?.unwrap_or_else(opaque)
        }
        (Kind::String, _) => return Err(fields.error("tool_choice", "unknown word, expected auto, none or required")),
        _ => return Err(fields.error("tool_choice", "expected a word or an object")),
    }))
}

/// `None` for what says more than is understood.
fn object(node: Node<'_>, mut fields: Fields<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let known = match fields.require_text("type")?.as_str() {
        "function" => Some(ToolChoice::Named { name: fields.require_text("name")?, custom: false }),
        "custom" => Some(ToolChoice::Named { name: fields.require_text("name")?, custom: true }),
        "allowed_tools" => Some(allowed(node, &mut fields)?),
        _ => None,
    };
    Ok(known.filter(|_| fields.is_empty()))
}

fn allowed(node: Node<'_>, fields: &mut Fields<'_>) -> Result<ToolChoice, DecodeError> {
    let required = fields.text("mode")?.as_deref() == Some("required");
    let mut names = Vec::new();
    for (at, tool) in fields.whole_list("tools")? {
        let mut tool = tool.fields(at)?;
        if matches!(tool.text("type")?.as_deref(), Some("function" | "custom")) {
            names.push(tool.require_text("name")?);
        }
    }
    let native = Some(Native { dialect: RESPONSES, json: node.json() });
    Ok(ToolChoice::Allowed { names, required, native })
}

/// Writes the choice.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let Some(choice) = &request.tool_choice else { return };
    match writing.allowed_choice(choice) {
        ToolChoice::Auto => o.text("tool_choice", "auto"),
        ToolChoice::None => o.text("tool_choice", "none"),
        ToolChoice::Required => o.text("tool_choice", "required"),
        ToolChoice::Named { name, custom } => o.object("tool_choice", |o| named(o, name, *custom)),
        ToolChoice::Allowed { names, required, native } => {
            match native.as_ref().and_then(|native| native.of(RESPONSES)) {
                Some(json) => o.raw("tool_choice", json.as_str()),
                None => write_allowed(o, names, *required, request),
            }
        }
        ToolChoice::Opaque(native) => match native.of(RESPONSES) {
            Some(json) => o.raw("tool_choice", json.as_str()),
            None => writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice"),
        },
    }
}

fn named(o: &mut Obj<'_>, name: &str, custom: bool) {
    o.text("type", if custom { "custom" } else { "function" });
    o.text("name", name);
}

fn write_allowed(o: &mut Obj<'_>, names: &[String], required: bool, request: &Request) {
    let custom = request.tools.iter().filter(|tool| matches!(tool.kind, ToolKind::Custom(_)));
    let custom: HashSet<&str> = custom.filter_map(|tool| tool.name()).collect();
    o.object("tool_choice", |o| {
        o.text("type", "allowed_tools");
        o.text("mode", if required { "required" } else { "auto" });
        o.array("tools", |a| {
            for name in names {
                a.object(|o| named(o, name, custom.contains(name.as_str())));
            }
        });
    });
}
