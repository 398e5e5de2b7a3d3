//! A chat completions request, read.

use super::form::{CHAT, LEGACY, form};
use super::{calls, choice, content, definitions, params, thinking};
use crate::hub::{
    DecodeError, Dialect, Fields, Mode, Node, Part, PartKind, Place, Request, Role, Seal, ToolResult, Turn,
};

/// Reads a request. What it does not know is kept for targets of the same dialect; what is of the
/// wrong kind is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "missing, expected a list of messages"));
    }
    for (at, node) in fields.whole_list("messages")? {
        request.turns.push(turn(node.fields(at)?)?);
    }
    request.tools = definitions::take(&mut fields)?;
    let (tool_choice, choice_bits) = choice::take(&mut fields)?;
    request.tool_choice = tool_choice;
    request.parallel_tools = fields.flag("parallel_tool_calls")?;
    request.params = params::take(&mut fields, choice_bits)?;
    request.extra = fields.rest(CHAT);
    Ok(request)
}

/// One message.
fn turn(mut fields: Fields<'_>) -> Result<Turn, DecodeError> {
    let word = fields.require_text("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let known = "expected system, developer, user, assistant, tool or function";
            return Err(fields.error("role", format!("unknown role {other:?}, {known}")));
        }
    };
    let mut turn = Turn::new(role, Vec::new());
    turn.at = fields.at().clone();
    match role {
        Role::Tool => {
            turn.form = form(if word == "function" { LEGACY } else { 0 });
            turn.parts.push(result(&mut fields)?);
        }
        Role::Assistant => {
            turn.name = fields.text("name")?;
            turn.parts = said(&mut fields)?;
        }
        Role::System | Role::Developer | Role::User => {
            turn.name = fields.text("name")?;
            turn.parts = content::take(&mut fields, "content", Mode::Request)?;
        }
    }
    turn.extra = fields.rest(CHAT);
    Ok(turn)
}

/// The message of a tool: its one part. The name is the result's.
fn result(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let at = fields.at().clone();
    let result = ToolResult {
        call_id: fields.text("tool_call_id")?,
        name: fields.text("name")?,
        parts: content::take(fields, "content", Mode::Request)?,
        failed: None,
    };
    Ok(Part { at, ..Part::new(PartKind::ToolResult(result)) })
}

/// What an assistant's message says, in the order in which a model says it: thoughts, content,
/// refusal, sound, calls.
pub(super) fn said(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mode = fields.mode();
    let mut parts = thinking::take(fields)?;
    let mut content = content::take(fields, "content", mode)?;
    if let Some(text) = content.iter_mut().find(|part| part.as_text().is_some()) {
        text.signature = message_signature(fields)?;
    }
    parts.append(&mut content);
    if let Some(refusal) = fields.word("refusal")? {
        let at = fields.at().member("refusal");
        parts.push(Part { at, ..Part::new(PartKind::Refusal(refusal)) });
    }
    parts.extend(super::audio::take(fields)?);
    parts.append(&mut calls::take(fields)?);
    Ok(parts)
}

/// Google's signature of a message without calls. It seals the text.
fn message_signature(fields: &mut Fields<'_>) -> Result<Option<Seal>, DecodeError> {
    Ok(calls::signature(fields)?.filter(|seal| seal.origin == Some(Dialect::Gemini)))
}
