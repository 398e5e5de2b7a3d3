//! Tool definitions: `tools` and `strict_tools`. Read and written.

use super::encode_request::Writing;
use super::form::COHERE;
use crate::hub::write::{self, Obj};
use crate::hub::{BuiltIn, DecodeError, Extra, Fields, Form, Function, LossKind, Native, Node, Place, Tool, ToolKind};
use crate::json::Kind;

/// Takes the tools from a request. `strict_tools` is said of each; without tools it is left.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    let mut tools = Vec::new();
    for (at, node) in fields.list("tools")? {
        tools.push(tool(node, at)?);
    }
    let functions = || tools.iter().any(|tool| matches!(tool.kind, ToolKind::Function(_)));
    let strict = if functions() { fields.flag("strict_tools")? } else { None };
    for tool in &mut tools {
        if let ToolKind::Function(function) = &mut tool.kind {
            function.strict = strict;
        }
    }
    Ok(tools)
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let kind = match fields.text("type")?.as_deref() {
        Some("function") => ToolKind::Function(function(fields.require_object("function")?)?),
        other => {
            let name = other.unwrap_or_default().to_owned();
            let native = Native { dialect: COHERE, json: node.json() };
            let kind = ToolKind::BuiltIn(BuiltIn { name, native });
            return Ok(Tool { kind, cache: None, form: Form::default(), at, extra: Extra::default() });
        }
    };
    Ok(Tool { kind, cache: None, form: Form::default(), at, extra: fields.rest(COHERE) })
}

fn function(mut fields: Fields<'_>) -> Result<Function, DecodeError> {
    Ok(Function {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        parameters: fields.take_kind("parameters", Kind::Object)?.map(Node::json),
        strict: None,
        extra: fields.rest(COHERE),
    })
}

/// Writes these tools, and `strict_tools` where they agree on it.
pub(super) fn write(o: &mut Obj<'_>, tools: &[&Tool], writing: &mut Writing<'_>) {
    let texts: Vec<String> = tools.iter().filter_map(|tool| text_of(tool, writing)).collect();
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
        strict(o, tools, writing);
    }
}

fn text_of(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    match &tool.kind {
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(COHERE);
            if own.is_none() {
                let why = format!("{} is a tool of another dialect's providers", built_in.name);
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
            own.map(|json| json.as_str().to_owned())
        }
        // Said as functions before anything is written.
        ToolKind::Custom(_) => None,
        ToolKind::Function(function) => {
            writing.no_cache(tool.cache.as_ref(), &tool.at);
            writing.losses.extra(&tool.extra, &tool.at);
            writing.losses.extra(&function.extra, &tool.at);
            Some(write::object(|o| write_tool(o, tool, function, writing)))
        }
    }
}

fn write_tool(o: &mut Obj<'_>, tool: &Tool, function: &Function, writing: &Writing<'_>) {
    o.text("type", "function");
    o.object("function", |o| {
        o.text("name", &function.name);
        o.opt_text("description", function.description.as_deref());
        match &function.parameters {
            Some(schema) => o.raw("parameters", schema.as_str()),
            // The dialect demands a schema; a caller who speaks it and left it out is told so.
            None if writing.same() => {}
            None => o.raw("parameters", r#"{"type":"object","properties":{}}"#),
        }
        o.extra(&function.extra, COHERE);
    });
    o.extra(&tool.extra, COHERE);
}

/// One word for all tools. Where they differ none is strict: a schema that was not written for it
/// may be refused.
fn strict(o: &mut Obj<'_>, tools: &[&Tool], writing: &mut Writing<'_>) {
    let functions = || {
        tools.iter().filter_map(|tool| match &tool.kind {
            ToolKind::Function(function) => Some((tool, function.strict)),
            _ => None,
        })
    };
    let Some((_, first)) = functions().next() else { return };
    if functions().all(|(_, strict)| strict == first) {
        return o.opt_flag("strict_tools", first);
    }
    for (tool, _) in functions().filter(|(_, strict)| *strict == Some(true)) {
        let why = "strict: this dialect has it for all tools or for none, so make all strict";
        writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
    }
}
