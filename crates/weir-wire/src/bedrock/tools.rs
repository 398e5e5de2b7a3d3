//! `toolConfig.tools`, read and written.

use std::collections::HashSet;

use super::choice::{self, Written};
use super::content;
use super::encode_request::Writing;
use super::form::{BEDROCK, nested};
use crate::hub::write::{self, Obj};
use crate::hub::{
    BuiltIn, DecodeError, Extra, Field, Fields, Form, Function, LossKind, Native, Node, PartKind, Place, Request, Tool,
    ToolKind,
};

/// The schema of a tool that says none.
const NO_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// Takes the tools; a cache point belongs to the tool before it.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    let mut tools: Vec<Tool> = Vec::new();
    for (at, node) in fields.list("tools")? {
        match content::cache_point(node, &at)? {
            Some(hint) if tools.last().is_some_and(|tool| tool.cache.is_none()) => {
                tools.iter_mut().next_back().into_iter().for_each(|tool| tool.cache = Some(hint.clone()));
            }
            _ => tools.push(tool(node, at)?),
        }
    }
    Ok(tools)
}

fn tool(node: Node<'_>, at: Place) -> Result<Tool, DecodeError> {
    let mut fields = node.fields(at.clone())?;
    let kind = match fields.object("toolSpec")? {
        Some(spec) => ToolKind::Function(function(spec)?),
        None => {
            let name = fields.rest(BEDROCK).members().first().map(|(name, _)| name.clone()).unwrap_or_default();
            let built_in = BuiltIn { name, native: Native { dialect: BEDROCK, json: node.json() } };
            let kind = ToolKind::BuiltIn(built_in);
            return Ok(Tool { kind, cache: None, form: Form::default(), at, extra: Extra::default() });
        }
    };
    Ok(Tool { kind, cache: None, form: Form::default(), at, extra: fields.rest(BEDROCK) })
}

fn function(mut spec: Fields<'_>) -> Result<Function, DecodeError> {
    let name = spec.require_text("name")?;
    let description = spec.text("description")?;
    let strict = spec.flag("strict")?;
    let mut parameters = None;
    if let Some(node) = spec.peek("inputSchema").filter(|node| node.kind == crate::json::Kind::Object) {
        let mut schema = node.fields(spec.at().member("inputSchema"))?;
        parameters = schema.json("json").filter(|json| json.kind() == crate::json::Kind::Object);
        if parameters.is_some() && schema.is_empty() {
            spec.take("inputSchema");
        }
    }
    Ok(Function { name, description, parameters, strict, extra: spec.rest(BEDROCK) })
}

/// Writes `toolConfig`.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    if !writing.capabilities().tools && !request.tools.is_empty() {
        writing.losses.refuse(Field::Tools.name(writing.target.caller), "the model takes no tools");
        return;
    }
    let called = called(request);
    let plan = choice::plan(request, !called.is_empty(), writing);
    let mut specs = Vec::new();
    let only: Option<HashSet<&str>> = plan.only.map(|names| names.iter().map(String::as_str).collect());
    let allowed = |tool: &&Tool| only.as_ref().is_none_or(|only| tool.name().is_some_and(|name| only.contains(name)));
    for tool in request.tools.iter().filter(|_| plan.given).filter(allowed) {
        specs.extend(one(tool, writing));
        specs.extend(writing.cache_point(tool.cache.as_ref(), &tool.at));
    }
    if specs.is_empty() && !called.is_empty() && !writing.same() {
        let why = "Bedrock demands definitions of the tools called before: they were made of their names";
        writing.losses.param(Field::Tools, LossKind::Approximated, why);
        specs.extend(called.iter().map(|name| spec(name, None, NO_SCHEMA)));
    }
    let choice = if specs.is_empty() && !writing.same() { Written::Nothing } else { plan.choice };
    nested(o, "toolConfig", &request.extra, |o| {
        if !specs.is_empty() {
            o.raw("tools", &format!("[{}]", specs.join(",")));
        }
        choice::write(o, choice);
    });
}

/// The names of the tools that the conversation has calls of, each once, in order.
fn called(request: &Request) -> Vec<&str> {
    let names = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some(call.name.as_str()),
        PartKind::ToolResult(result) => result.name.as_deref(),
        _ => None,
    });
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

fn spec(name: &str, description: Option<&str>, schema: &str) -> String {
    write::object(|o| {
        o.object("toolSpec", |o| {
            o.text("name", name);
            o.opt_text("description", description.filter(|text| !text.is_empty()));
            o.object("inputSchema", |o| o.raw("json", schema));
        });
    })
}

fn one(tool: &Tool, writing: &mut Writing<'_>) -> Option<String> {
    writing.losses.extra(&tool.extra, &tool.at);
    match &tool.kind {
        ToolKind::Function(function) => Some(write::object(|o| {
            o.object("toolSpec", |o| own(o, tool, function, writing));
            o.extra(&tool.extra, BEDROCK);
        })),
        // Said as functions before anything is written.
        ToolKind::Custom(_) => None,
        ToolKind::BuiltIn(built_in) => {
            let own = built_in.native.of(BEDROCK).map(|json| json.as_str().to_owned());
            if own.is_none() {
                let why = format!("{} is a tool of another dialect's providers", built_in.name);
                writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
            }
            own
        }
    }
}

fn own(o: &mut Obj<'_>, tool: &Tool, function: &Function, writing: &mut Writing<'_>) {
    writing.losses.extra(&function.extra, &tool.at);
    o.text("name", &function.name);
    o.opt_text("description", function.description.as_deref().filter(|text| writing.same() || !text.is_empty()));
    let held = function.extra.get(BEDROCK, "inputSchema").is_some();
    match &function.parameters {
        _ if held => {}
        Some(schema) => o.object("inputSchema", |o| o.raw("json", schema.as_str())),
        None if writing.same() => {}
        None => o.object("inputSchema", |o| o.raw("json", NO_SCHEMA)),
    }
    match function.strict {
        Some(true) if !writing.capabilities().json_schema => {
            let why = "strict: the model cannot be held to a schema";
            writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
        }
        // Not strict is what a model that knows nothing of it is.
        Some(false) if !writing.same() => {}
        strict => o.opt_flag("strict", strict),
    }
    o.extra(&function.extra, BEDROCK);
}
