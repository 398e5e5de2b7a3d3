//! Tool definitions: `tools`. Read and written.

use super::content;
use super::form::{RESPONSES, form};
use super::written::Writing;
use crate::hub::write::{self, Obj};
use crate::hub::{
    BuiltIn, Custom, CustomFormat, DecodeError, Extra, Fields, Function, LossKind, Native, Node, Place, Request, Tool,
    ToolKind,
};
use crate::json::Kind;

/// Takes the tools from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    fields.list("tools")?.into_iter().map(|(at, node)| tool(node, at)).collect()
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let kind = match fields.require_text("type")?.as_str() {
        "function" => ToolKind::Function(function(&mut fields)?),
        "custom" => ToolKind::Custom(custom(&mut fields)?),
        other => {
            let native = Native { dialect: RESPONSES, json: node.json() };
            let kind = ToolKind::BuiltIn(BuiltIn { name: other.to_owned(), native });
            return Ok(Tool { kind, cache: None, form: form(0), at, extra: Extra::default() });
        }
    };
    let cache = content::cache(&mut fields)?;
    Ok(Tool { kind, cache, form: form(0), at, extra: fields.rest(RESPONSES) })
}

fn function(fields: &mut Fields<'_>) -> Result<Function, DecodeError> {
    Ok(Function {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        parameters: fields.take_kind("parameters", Kind::Object)?.map(Node::json),
        strict: fields.flag("strict")?,
        extra: Extra::default(),
    })
}

fn custom(fields: &mut Fields<'_>) -> Result<Custom, DecodeError> {
    Ok(Custom {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        format: format(fields)?,
        extra: Extra::default(),
    })
}

/// `{"type": "grammar", "syntax": …, "definition": …}`; opaque if it says more.
fn format(fields: &mut Fields<'_>) -> Result<Option<CustomFormat>, DecodeError> {
    let at = fields.at().member("format");
    let Some(node) = fields.take_kind("format", Kind::Object)? else { return Ok(None) };
    let mut inner = node.fields(at)?;
    let known = match inner.text("type")?.as_deref() {
        Some("text") => Some(CustomFormat::Text),
        Some("grammar") => {
            let (syntax, definition) = (inner.require_text("syntax")?, inner.require_text("definition")?);
            Some(CustomFormat::Grammar { syntax, definition })
        }
        _ => None,
    };
    let opaque = || CustomFormat::Opaque(Native { dialect: RESPONSES, json: node.json() });
    Ok(Some(known.filter(|_| inner.is_empty()).unwrap_or_else(opaque)))
}

/// Writes the tools.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let mut texts: Vec<String> = request.tools.iter().filter_map(|tool| tool_text(tool, writing)).collect();
    if let Some(search) = &request.params.web_search
        && search.of(RESPONSES).is_none()
    {
        let why = "said as the tool web_search, without its options";
        writing.losses.param(crate::hub::Field::WebSearch, LossKind::Approximated, why);
        texts.push(write::object(|o| o.text("type", "web_search")));
    }
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
    }
}

fn tool_text(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    match &tool.kind {
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(RESPONSES);
            if own.is_none() {
                let why = format!("{} is a tool of another dialect's providers", built_in.name);
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
            own.map(|json| json.as_str().to_owned())
        }
        _ => Some(write::object(|o| write_tool(o, tool, writing))),
    }
}

fn write_tool(o: &mut Obj<'_>, tool: &Tool, writing: &mut Writing<'_>) {
    match &tool.kind {
        ToolKind::Function(function) => {
            writing.losses.extra(&function.extra, &tool.at);
            write_function(o, function, writing.same());
        }
        ToolKind::Custom(custom) => {
            writing.losses.extra(&custom.extra, &tool.at);
            write_custom(o, custom, tool, writing);
        }
        ToolKind::BuiltIn(_) => {}
    }
    writing.cache(o, tool.cache.as_ref(), &tool.at);
    writing.losses.extra(&tool.extra, &tool.at);
    o.extra(&tool.extra, RESPONSES);
}

/// Left out, `strict` and `parameters` have other defaults here than elsewhere: not strict, and no
/// arguments.
fn write_function(o: &mut Obj<'_>, function: &Function, same: bool) {
    o.text("type", "function");
    o.text("name", &function.name);
    o.opt_text("description", function.description.as_deref());
    match &function.parameters {
        Some(parameters) => o.raw("parameters", parameters.as_str()),
        None if same => {}
        None => o.raw("parameters", r#"{"type":"object","properties":{}}"#),
    }
    o.opt_flag("strict", function.strict.or((!same).then_some(false)));
}

fn write_custom(o: &mut Obj<'_>, custom: &Custom, tool: &Tool, writing: &mut Writing<'_>) {
    o.text("type", "custom");
    o.text("name", &custom.name);
    o.opt_text("description", custom.description.as_deref());
    match &custom.format {
        None => {}
        Some(CustomFormat::Text) => o.object("format", |o| o.text("type", "text")),
        Some(CustomFormat::Grammar { syntax, definition }) => o.object("format", |o| {
            o.text("type", "grammar");
            o.text("syntax", syntax);
            o.text("definition", definition);
        }),
        Some(CustomFormat::Opaque(native)) => match native.of(RESPONSES) {
            Some(json) => o.raw("format", json.as_str()),
            None => writing.losses.add(tool.at.as_str(), LossKind::Dropped, "another dialect's form of input"),
        },
    }
}
