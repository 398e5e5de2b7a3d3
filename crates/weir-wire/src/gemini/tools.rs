//! Tool definitions: `tools`. Read and written.
//!
//! An element of `tools` holds function declarations, or a tool of Google's, or several of them: each is a
//! tool of its own in the hub, the first of an element says so.

use super::encode_request::Writing;
use super::form::{CAPITALS, DECLARATIONS_SNAKE, FIRST, GEMINI, JSON_SCHEMA, OPENAPI, SCHEMA_SNAKE, bit_if, form};
use super::names::{name_of, snake, spelt};
use super::schema;
use crate::hub::write::{self, Obj};
use crate::hub::{
    BuiltIn, DecodeError, Extra, Fields, Function, Json, LossKind, Native, Node, Place, Request, SchemaStyle, Tool,
    ToolKind,
};
use crate::json::Kind;

/// Takes the tools from a request.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Tool>, DecodeError> {
    let mut tools = Vec::new();
    for (at, node) in fields.list("tools")? {
        element(node, at, &mut tools)?;
    }
    Ok(tools)
}

fn bare(kind: ToolKind, bits: u16, at: Place, extra: Extra) -> Tool {
    Tool { kind, cache: None, form: form(bits), at, extra }
}

fn built_in(name: &str, json: Json) -> ToolKind {
    ToolKind::BuiltIn(BuiltIn { name: name.to_owned(), native: Native { dialect: GEMINI, json } })
}

/// One element of `tools`. Without a tool in it, it is kept whole, under no name.
fn element(node: Node<'_>, at: Place, tools: &mut Vec<Tool>) -> Result<(), DecodeError> {
    let before = tools.len();
    let mut fields = node.fields(at.clone())?;
    let (name, second) = name_of(&fields, "functionDeclarations");
    for (at, node) in fields.list(name)? {
        let (kind, bits) = function(node.fields(at.clone())?)?;
        tools.push(bare(kind, bits | bit_if(second, DECLARATIONS_SNAKE), at, Extra::default()));
    }
    let rest = fields.rest(GEMINI);
    let (nulls, others): (Vec<_>, Vec<_>) =
        rest.members().iter().cloned().partition(|(_, value)| value.kind() == Kind::Null);
    for (name, json) in others {
        let at = at.member(&name);
        tools.push(bare(built_in(&name, json), 0, at, Extra::default()));
    }
    if tools.len() == before {
        tools.push(bare(built_in("", node.json()), 0, at, Extra::default()));
    }
    if let Some(first) = tools.get_mut(before) {
        first.form = form(first.form.bits(GEMINI) | FIRST);
        if !matches!(&first.kind, ToolKind::BuiltIn(tool) if tool.name.is_empty()) {
            first.extra = Extra::new(GEMINI, nulls);
        }
    }
    Ok(())
}

/// A declaration. Its schema is read as a JSON schema, whichever of the two dialects it is in.
fn function(mut fields: Fields<'_>) -> Result<(ToolKind, u16), DecodeError> {
    let name = fields.require_text("name")?;
    let description = fields.text("description")?;
    let (member, second) = name_of(&fields, "parametersJsonSchema");
    let (parameters, bits) = match fields.take_kind(member, Kind::Object)? {
        Some(node) => (Some(node.json()), JSON_SCHEMA | bit_if(second, SCHEMA_SNAKE)),
        None => match fields.peek("parameters").filter(|node| node.kind == Kind::Object) {
            None => (None, 0),
            Some(node) => {
                let read = schema::from_openapi(&node.json());
                // What cannot be written again from the JSON schema stays as it was, too.
                if read.exact {
                    fields.take("parameters");
                }
                (Some(read.schema), OPENAPI | bit_if(read.capitals, CAPITALS))
            }
        },
    };
    let extra = fields.rest(GEMINI);
    Ok((ToolKind::Function(Function { name, description, parameters, strict: None, extra }), bits))
}

/// Writes the tools.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let mut elements: Vec<Element> = Vec::new();
    for tool in &request.tools {
        if elements.is_empty() || tool.form.has(GEMINI, FIRST) {
            elements.push(Element::default());
        }
        if let Some(last) = elements.last_mut() {
            last.add(tool, writing);
        }
    }
    let texts: Vec<String> = elements.into_iter().filter_map(Element::text).collect();
    if !texts.is_empty() {
        o.raw("tools", &format!("[{}]", texts.join(",")));
    }
}

/// An element of `tools`, being put together.
#[derive(Default)]
struct Element {
    whole: Option<String>,
    functions: Vec<String>,
    second: bool,
    members: Vec<(String, Json)>,
}

impl Element {
    fn add(&mut self, tool: &Tool, writing: &mut Writing<'_>) {
        if tool.cache.is_some() {
            writing.losses.add(tool.at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
        }
        writing.losses.extra(&tool.extra, &tool.at);
        self.members.extend(tool.extra.members_of(GEMINI).iter().cloned());
        match &tool.kind {
            ToolKind::Function(function) => {
                self.second |= tool.form.has(GEMINI, DECLARATIONS_SNAKE);
                self.functions.push(write::object(|o| write_function(o, tool, function, writing)));
            }
            // Said as functions before anything is written.
            ToolKind::Custom(_) => {}
            ToolKind::BuiltIn(tool_of) => match tool_of.native.of(GEMINI) {
                Some(json) if tool_of.name.is_empty() => self.whole = Some(json.as_str().to_owned()),
                Some(json) => self.members.push((tool_of.name.clone(), json.clone())),
                None => {
                    let why = format!("{} is a tool of another dialect's providers", tool_of.name);
                    writing.losses.add(tool.at.as_str(), LossKind::Dropped, why);
                }
            },
        }
    }

    fn text(self) -> Option<String> {
        if self.functions.is_empty() && self.members.is_empty() {
            return self.whole;
        }
        let members = Extra::new(GEMINI, self.members);
        Some(write::object(|o| {
            if !self.functions.is_empty() {
                o.raw(spelt("functionDeclarations", self.second), &format!("[{}]", self.functions.join(",")));
            }
            o.extra(&members, GEMINI);
        }))
    }
}

fn write_function(o: &mut Obj<'_>, tool: &Tool, function: &Function, writing: &mut Writing<'_>) {
    if function.strict == Some(true) {
        let at = tool.at.member("strict");
        writing.losses.add(at.as_str(), LossKind::Dropped, "Gemini holds arguments to the schema by VALIDATED alone");
    }
    writing.losses.extra(&function.extra, &tool.at);
    o.text("name", &function.name);
    o.opt_text("description", function.description.as_deref());
    if let Some(parameters) = &function.parameters {
        write_schema(o, tool, function, parameters, writing);
    }
    o.extra(&function.extra, GEMINI);
}

fn write_schema(o: &mut Obj<'_>, tool: &Tool, function: &Function, parameters: &Json, writing: &mut Writing<'_>) {
    let has = |bit| tool.form.has(GEMINI, bit);
    let open = writing.capabilities().schemas == SchemaStyle::OpenApi;
    if has(OPENAPI) && function.extra.get(GEMINI, "parameters").is_some() {
        return;
    }
    if has(OPENAPI) {
        let written = if has(CAPITALS) { schema::capitals(parameters) } else { parameters.clone() };
        return o.raw("parameters", written.as_str());
    }
    if !open {
        let name = if has(SCHEMA_SNAKE) { snake("parametersJsonSchema") } else { "parametersJsonSchema" };
        return o.raw(name, parameters.as_str());
    }
    let at = tool.at.member("parameters");
    let written = schema::to_openapi(parameters, at.as_str(), &mut writing.losses);
    // A tool without arguments has no schema here: an object without members is refused.
    if let Some(written) = written {
        o.raw("parameters", written.as_str());
    }
}
