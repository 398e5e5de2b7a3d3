//! Tool definitions. Read and written.

use super::cache;
use super::encode_request::Writing;
use super::form::{OWN, TYPED, bit_if, form};
use super::schema;
use crate::hub::write::{self, Obj};
use crate::hub::{
    BuiltIn, DecodeError, Extra, Fields, Form, Function, Json, LossKind, Native, Node, Place, Tool, ToolKind,
};
use crate::json::Kind;

/// Takes the tools from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    fields.list("tools")?.into_iter().map(|(at, node)| tool(node, at)).collect()
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let word = fields.text("type")?;
    if let Some(other) = word.as_deref().filter(|word| *word != "custom") {
        let native = Native { dialect: OWN, json: node.json() };
        let kind = ToolKind::BuiltIn(BuiltIn { name: other.to_owned(), native });
        return Ok(Tool { kind, cache: None, form: Form::default(), at, extra: Extra::default() });
    }
    let function = Function {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        parameters: fields.take_kind("input_schema", Kind::Object)?.map(Node::json),
        strict: fields.flag("strict")?,
        extra: Extra::default(),
    };
    let cache = cache::take(&mut fields)?;
    let form = form(bit_if(word.is_some(), TYPED));
    Ok(Tool { kind: ToolKind::Function(function), cache, form, at, extra: fields.rest(OWN) })
}

/// Writes the tools, or those of these names.
pub(super) fn write(o: &mut Obj<'_>, tools: &[Tool], only: Option<&[String]>, writing: &mut Writing<'_>) {
    let wanted =
        |tool: &&Tool| only.is_none_or(|names| tool.name().is_some_and(|name| names.iter().any(|n| n == name)));
    let texts: Vec<String> = tools.iter().filter(wanted).filter_map(|tool| tool_text(tool, writing)).collect();
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
    }
}

fn tool_text(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    match &tool.kind {
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(OWN);
            if own.is_none() {
                let why = format!("{} is a tool of another dialect's providers", built_in.name);
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
            own.map(|json| json.as_str().to_owned())
        }
        // Said as functions before anything is written.
        ToolKind::Custom(_) => None,
        ToolKind::Function(function) => Some(write::object(|o| write_tool(o, tool, function, writing))),
    }
}

fn write_tool(o: &mut Obj<'_>, tool: &Tool, function: &Function, writing: &mut Writing<'_>) {
    writing.losses.extra(&function.extra, &tool.at);
    writing.losses.extra(&tool.extra, &tool.at);
    if tool.form.has(OWN, TYPED) {
        o.text("type", "custom");
    }
    o.text("name", &function.name);
    o.opt_text("description", function.description.as_deref());
    if writing.same() {
        o.opt_json("input_schema", function.parameters.as_ref());
    } else {
        o.raw("input_schema", &input_schema(function.parameters.as_ref()));
    }
    o.opt_flag("strict", function.strict);
    cache::write(o, tool.cache.as_ref(), &tool.at, writing);
    o.extra(&tool.extra, OWN);
}

/// The schema of a call's input, which must be there and must be an object's.
fn input_schema(parameters: Option<&Json>) -> String {
    match parameters {
        None => r#"{"type":"object","properties":{}}"#.to_owned(),
        Some(json) => schema::of_object(json),
    }
}
