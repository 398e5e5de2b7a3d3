//! `tool_choice`: `REQUIRED`, `NONE`, or nothing. Read and written.

use super::encode_request::Writing;
use super::form::COHERE;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Field, Fields, LossKind, Native, Request, Tool, ToolChoice};

/// Takes the choice from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let Some(node) = fields.take("tool_choice") else { return Ok(None) };
    Ok(Some(match node.text().as_deref() {
        Some("REQUIRED") => ToolChoice::Required,
        Some("NONE") => ToolChoice::None,
        Some(_) => ToolChoice::Opaque(Native { dialect: COHERE, json: node.json() }),
        None => return Err(fields.error("tool_choice", "expected REQUIRED or NONE")),
    }))
}

/// The tools that are offered: all, or those the choice names.
pub(super) fn offered<'r>(request: &'r Request, writing: &mut Writing<'_>) -> Vec<&'r Tool> {
    let names: &[String] = match &request.tool_choice {
        Some(ToolChoice::Named { name, .. }) if writing.capabilities().forced_tools => std::slice::from_ref(name),
        Some(ToolChoice::Allowed { names, .. }) => names,
        _ => return request.tools.iter().collect(),
    };
    let wanted = |tool: &&Tool| tool.name().is_some_and(|name| names.iter().any(|wanted| wanted == name));
    let offered: Vec<&Tool> = request.tools.iter().filter(wanted).collect();
    if offered.is_empty() {
        let why = "names none of the tools: name one of them";
        writing.losses.refuse(Field::ToolChoice.name(writing.target.caller), why);
    } else if offered.len() < request.tools.len() {
        let why = "this dialect cannot name tools: the others were left out";
        writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
    }
    offered
}

/// Writes the choice.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let Some(choice) = &request.tool_choice else { return };
    match choice {
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => {}
        ToolChoice::None => o.text("tool_choice", "NONE"),
        ToolChoice::Required | ToolChoice::Named { .. } | ToolChoice::Allowed { required: true, .. } => {
            if writing.capabilities().forced_tools {
                o.text("tool_choice", "REQUIRED");
            } else {
                let why = "the model cannot be forced to call a tool: it may";
                writing.losses.param(Field::ToolChoice, LossKind::Coerced, why);
            }
        }
        ToolChoice::Opaque(native) => match native.of(COHERE) {
            Some(json) => o.raw("tool_choice", json.as_str()),
            None => writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice"),
        },
    }
}
