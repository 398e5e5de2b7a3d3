//! Tool definitions. Read and written.

use super::encode_request::Writing;
use super::form::OLLAMA;
use crate::hub::write::{self, Obj};
use crate::hub::{BuiltIn, DecodeError, Extra, Fields, Form, Function, LossKind, Native, Node, Place, Tool, ToolKind};
use crate::json::Kind;

/// Takes the tools from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    fields.list("tools")?.into_iter().map(|(at, node)| tool(node, at)).collect()
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let kind = match fields.text("type")?.as_deref() {
        Some("function") => ToolKind::Function(function(fields.require_object("function")?)?),
        other => {
            let name = other.unwrap_or_default().to_owned();
            let native = Native { dialect: OLLAMA, json: node.json() };
            let kind = ToolKind::BuiltIn(BuiltIn { name, native });
            return Ok(Tool { kind, cache: None, form: Form::default(), at, extra: Extra::default() });
        }
    };
    Ok(Tool { kind, cache: None, form: Form::default(), at, extra: fields.rest(OLLAMA) })
}

fn function(mut fields: Fields<'_>) -> Result<Function, DecodeError> {
    Ok(Function {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        parameters: fields.take_kind("parameters", Kind::Object)?.map(Node::json),
        strict: None,
        extra: fields.rest(OLLAMA),
    })
}

/// Writes these tools.
pub(super) fn write(o: &mut Obj<'_>, tools: &[&Tool], writing: &mut Writing<'_>) {
    let texts: Vec<String> = tools.iter().filter_map(|tool| text_of(tool, writing)).collect();
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
    }
}

fn text_of(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    match &tool.kind {
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(OLLAMA);
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
            if function.strict == Some(true) {
                let why = "strict: no model of this dialect is held to a tool's schema";
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
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
            None if writing.same() => {}
            None => o.raw("parameters", r#"{"type":"object","properties":{}}"#),
        }
        o.extra(&function.extra, OLLAMA);
    });
    o.extra(&tool.extra, OLLAMA);
}
