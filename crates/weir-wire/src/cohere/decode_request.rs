//! A chat request, read.

use super::form::COHERE;
use super::{choice, content, definitions, documents, params, said};
use crate::hub::{DecodeError, Fields, Mode, Node, Part, PartKind, Place, Request, Role, ToolResult, Turn};

/// Reads a request. What it does not know (`safety_mode`, `citation_options`, `priority`) is kept for
/// targets of the same dialect; what is of the wrong kind is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "missing, expected a list of messages"));
    }
    for (at, node) in fields.whole_list("messages")? {
        request.turns.push(turn(node.fields(at)?)?);
    }
    documents::take(&mut fields, &mut request.turns)?;
    request.tools = definitions::take(&mut fields)?;
    request.tool_choice = choice::take(&mut fields)?;
    request.params = params::take(&mut fields)?;
    request.extra = fields.rest(COHERE);
    Ok(request)
}

/// One message.
fn turn(mut fields: Fields<'_>) -> Result<Turn, DecodeError> {
    let word = fields.require_text("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let known = "expected system, user, assistant or tool";
            return Err(fields.error("role", format!("unknown role {other:?}, {known}")));
        }
    };
    let mut turn = Turn::new(role, Vec::new());
    turn.at = fields.at().clone();
    turn.parts = match role {
        Role::Tool => vec![result(&mut fields)?],
        Role::Assistant => said::take(&mut fields)?,
        Role::System | Role::Developer | Role::User => content::take(&mut fields)?,
    };
    turn.extra = fields.rest(COHERE);
    Ok(turn)
}

/// The message of a tool: its one part.
fn result(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let at = fields.at().clone();
    let result =
        ToolResult { call_id: fields.text("tool_call_id")?, name: None, parts: content::take(fields)?, failed: None };
    Ok(Part { at, ..Part::new(PartKind::ToolResult(result)) })
}
