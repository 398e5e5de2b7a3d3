//! `toolConfig.toolChoice`, read and written.

use super::encode_request::Writing;
use super::form::BEDROCK;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Field, Fields, LossKind, Native, Node, Request, ToolChoice};

/// Takes the choice.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<ToolChoice>, DecodeError> {
    let at = fields.at().member("toolChoice");
    let Some(node) = fields.take_kind("toolChoice", crate::json::Kind::Object)? else { return Ok(None) };
    let mut inner = node.fields(at)?;
    let opaque = || ToolChoice::Opaque(Native { dialect: BEDROCK, json: node.json() });
    let empty = |node: Option<Node<'_>>| node.is_some_and(|node| node.json().is_empty());
    let known = if empty(inner.peek("auto")) {
        inner.take("auto");
        Some(ToolChoice::Auto)
    } else if empty(inner.peek("any")) {
        inner.take("any");
        Some(ToolChoice::Required)
    } else if let Some(mut tool) = inner.object("tool")? {
        let name = tool.require_text("name")?;
        tool.is_empty().then_some(ToolChoice::Named { name, custom: false })
    } else {
        None
    };
    Ok(Some(known.filter(|_| inner.is_empty()).unwrap_or_else(opaque)))
}

/// What becomes of the tools and the choice among them.
pub(super) struct Plan<'c> {
    /// Whether tools are given at all.
    pub(super) given: bool,
    /// Only these, if the caller allows no others.
    pub(super) only: Option<&'c [String]>,
    pub(super) choice: Written<'c>,
}

/// The choice as it is written.
#[derive(Clone, Copy)]
pub(super) enum Written<'c> {
    Nothing,
    Auto,
    Any,
    Tool(&'c str),
    Raw(&'c str),
}

/// Decides. Bedrock has no word for calling nothing: the tools are left out, unless the
/// conversation holds calls, for which AWS demands definitions.
pub(super) fn plan<'c>(request: &'c Request, called_before: bool, writing: &mut Writing<'_>) -> Plan<'c> {
    let all = |choice| Plan { given: true, only: None, choice };
    let Some(choice) = &request.tool_choice else { return all(Written::Nothing) };
    match choice {
        ToolChoice::Auto => all(Written::Auto),
        ToolChoice::None if called_before => {
            let why = "tools cannot be forbidden while the conversation holds calls: the model may call";
            writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
            all(Written::Nothing)
        }
        ToolChoice::None => {
            if !request.tools.is_empty() {
                let why = "tools cannot be forbidden: they were left out";
                writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
            }
            Plan { given: false, only: None, choice: Written::Nothing }
        }
        ToolChoice::Required => all(forced(Written::Any, writing)),
        ToolChoice::Named { name, .. } => all(forced(Written::Tool(name), writing)),
        ToolChoice::Allowed { names, required, .. } => {
            let why = "the tools that are not allowed were left out";
            writing.losses.param(Field::ToolChoice, LossKind::Approximated, why);
            let choice = if *required { forced(Written::Any, writing) } else { Written::Auto };
            Plan { given: true, only: Some(names), choice }
        }
        ToolChoice::Opaque(native) => match native.of(BEDROCK) {
            Some(json) => all(Written::Raw(json.as_str())),
            None => {
                writing.losses.param(Field::ToolChoice, LossKind::Dropped, "another dialect's own choice");
                all(Written::Nothing)
            }
        },
    }
}

fn forced<'c>(choice: Written<'c>, writing: &mut Writing<'_>) -> Written<'c> {
    if writing.capabilities().forced_tools {
        return choice;
    }
    let why = "the model cannot be forced to call a tool: it may";
    writing.losses.param(Field::ToolChoice, LossKind::Coerced, why);
    Written::Auto
}

/// Writes the choice.
pub(super) fn write(o: &mut Obj<'_>, choice: Written<'_>) {
    match choice {
        Written::Nothing => {}
        Written::Auto => o.raw("toolChoice", "{\"auto\":{}}"),
        Written::Any => o.raw("toolChoice", "{\"any\":{}}"),
        Written::Tool(name) => o.object("toolChoice", |o| o.object("tool", |o| o.text("name", name))),
        Written::Raw(json) => o.raw("toolChoice", json),
    }
}
