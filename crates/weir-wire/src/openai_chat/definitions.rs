//! Tool definitions: `tools`, and `functions` of old. Read and written.

use super::content;
use super::encode_request::Writing;
use super::form::{CACHE_CONTROL, CHAT, LEGACY, NO_TYPE, bit_if, form};
use crate::hub::write::Obj;
use crate::hub::{
    BuiltIn, Custom, CustomFormat, DecodeError, Fields, Function, LossKind, Native, Node, Place, Tool, ToolKind,
};
use crate::json::Kind;

/// Takes the tools from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    let mut tools = Vec::new();
    for (at, node) in fields.list("tools")? {
        tools.push(tool(node, at)?);
    }
    for (at, node) in fields.list("functions")? {
        let kind = ToolKind::Function(function(node.fields(at.clone())?)?);
        tools.push(Tool { at, form: form(LEGACY), ..bare(kind) });
    }
    Ok(tools)
}

fn bare(kind: ToolKind) -> Tool {
    Tool { kind, cache: None, form: form(0), at: Place::root(), extra: crate::hub::Extra::default() }
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let word = fields.text("type")?;
    let kind = match word.as_deref() {
        Some("function") | None => ToolKind::Function(function(fields.require_object("function")?)?),
        Some("custom") => ToolKind::Custom(custom(fields.require_object("custom")?)?),
        Some(other) => {
            let native = Native { dialect: CHAT, json: node.json() };
            return Ok(Tool { at, ..bare(ToolKind::BuiltIn(BuiltIn { name: other.to_owned(), native })) });
        }
    };
    let (cache, bits) = content::cache(&mut fields)?;
    let form = form(bits | bit_if(word.is_none(), NO_TYPE));
    Ok(Tool { kind, cache, form, at, extra: fields.rest(CHAT) })
}

fn function(mut fields: Fields<'_>) -> Result<Function, DecodeError> {
    Ok(Function {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        parameters: fields.take_kind("parameters", Kind::Object)?.map(Node::json),
        strict: fields.flag("strict")?,
        extra: fields.rest(CHAT),
    })
}

fn custom(mut fields: Fields<'_>) -> Result<Custom, DecodeError> {
    Ok(Custom {
        name: fields.require_text("name")?,
        description: fields.text("description")?,
        format: format(&mut fields)?,
        extra: fields.rest(CHAT),
    })
}

/// `{"type": "grammar", "grammar": {"syntax": …, "definition": …}}`; opaque if it says more.
fn format(fields: &mut Fields<'_>) -> Result<Option<CustomFormat>, DecodeError> {
    let at = fields.at().member("format");
    let Some(node) = fields.take_kind("format", Kind::Object)? else { return Ok(None) };
    let mut outer = node.fields(at)?;
    let opaque = || CustomFormat::Opaque(Native { dialect: CHAT, json: node.json() });
    let known = match outer.text("type")?.as_deref() {
        Some("text") => Some(CustomFormat::Text),
        Some("grammar") => {
            let mut inner = outer.require_object("grammar")?;
            let (syntax, definition) = (inner.require_text("syntax")?, inner.require_text("definition")?);
            inner.is_empty().then_some(CustomFormat::Grammar { syntax, definition })
        }
        _ => None,
    };
    Ok(Some(known.filter(|_| outer.is_empty()).unwrap_or_else(opaque)))
}

/// Writes the tools.
pub(super) fn write(o: &mut Obj<'_>, tools: &[Tool], writing: &mut Writing<'_>) {
    let (legacy, modern): (Vec<_>, Vec<_>) = tools.iter().partition(|tool| tool.form.has(CHAT, LEGACY));
    let texts: Vec<String> = modern.into_iter().filter_map(|tool| tool_text(tool, writing)).collect();
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
    }
    if !legacy.is_empty() {
        o.array("functions", |a| {
            for tool in legacy {
                if let ToolKind::Function(function) = &tool.kind {
                    a.object(|o| write_function(o, function));
                }
            }
        });
    }
}

fn tool_text(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    match &tool.kind {
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(CHAT);
            if own.is_none() {
                let why = format!("{} is a tool of another dialect's providers", built_in.name);
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
            own.map(|json| json.as_str().to_owned())
        }
        _ => Some(crate::hub::write::object(|o| write_tool(o, tool, writing))),
    }
}

fn write_tool(o: &mut Obj<'_>, tool: &Tool, writing: &mut Writing<'_>) {
    let typed = !tool.form.has(CHAT, NO_TYPE);
    match &tool.kind {
        ToolKind::Function(function) => {
            if typed {
                o.text("type", "function");
            }
            writing.losses.extra(&function.extra, &tool.at);
            o.object("function", |o| write_function(o, function));
        }
        ToolKind::Custom(custom) => {
            o.text("type", "custom");
            writing.losses.extra(&custom.extra, &tool.at);
            o.object("custom", |o| write_custom(o, custom, tool, writing));
        }
        ToolKind::BuiltIn(_) => {}
    }
    writing.cache(o, tool.cache.as_ref(), tool.form.has(CHAT, CACHE_CONTROL), &tool.at);
    writing.losses.extra(&tool.extra, &tool.at);
    o.extra(&tool.extra, CHAT);
}

fn write_function(o: &mut Obj<'_>, function: &Function) {
    o.text("name", &function.name);
    o.opt_text("description", function.description.as_deref());
    o.opt_json("parameters", function.parameters.as_ref());
    o.opt_flag("strict", function.strict);
    o.extra(&function.extra, CHAT);
}

fn write_custom(o: &mut Obj<'_>, custom: &Custom, tool: &Tool, writing: &mut Writing<'_>) {
    o.text("name", &custom.name);
    o.opt_text("description", custom.description.as_deref());
    match &custom.format {
        None => {}
        Some(CustomFormat::Text) => o.object("format", |o| o.text("type", "text")),
        Some(CustomFormat::Grammar { syntax, definition }) => o.object("format", |o| {
            o.text("type", "grammar");
            o.object("grammar", |o| {
                o.text("syntax", syntax);
                o.text("definition", definition);
            });
        }),
        Some(CustomFormat::Opaque(native)) => match native.of(CHAT) {
            Some(json) => o.raw("format", json.as_str()),
            None => writing.losses.add(tool.at.as_str(), LossKind::Dropped, "another dialect's form of input"),
        },
    }
    o.extra(&custom.extra, CHAT);
}
