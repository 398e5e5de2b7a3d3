//! A chat request, read.

use super::form::OLLAMA;
use super::{definitions, params, said};
use crate::hub::{DecodeError, Extra, Fields, Mode, Node, Part, PartKind, Place, Request, Role, ToolResult, Turn};

/// Reads a request. What it does not know (`keep_alive`, options such as `num_ctx`) is kept for targets
/// of the same dialect; what is of the wrong kind is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    for (at, node) in fields.whole_list("messages")? {
        request.turns.push(turn(node.fields(at)?)?);
    }
    request.tools = definitions::take(&mut fields)?;
    let (params, options) = params::take(&mut fields)?;
    request.params = params;
    let mut members = fields.rest(OLLAMA).members().to_vec();
    members.extend(options.map(|left| ("options".to_owned(), left)));
    request.extra = Extra::new(OLLAMA, members);
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
        Role::System | Role::Developer | Role::User => said::content(&mut fields)?,
    };
    turn.extra = fields.rest(OLLAMA);
    Ok(turn)
}

/// The message of a tool: its one part.
fn result(fields: &mut Fields<'_>) -> Result<Part, DecodeError> {
    let at = fields.at().clone();
    let result = ToolResult {
        call_id: fields.text("tool_call_id")?,
        name: fields.text("tool_name")?,
        parts: said::content(fields)?,
        failed: None,
    };
    Ok(Part { at, ..Part::new(PartKind::ToolResult(result)) })
}
