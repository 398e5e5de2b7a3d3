//! A messages request, read.

use super::form::{MESSAGE, OWN, form};
use super::{choice, content, definitions, params};
use crate::hub::{DecodeError, Fields, Mode, Node, Place, Request, Role, Turn};

/// Reads a request, or one to count tokens. What it does not know is kept for targets of the same
/// dialect; what is of the wrong kind is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "missing, expected a list of messages"));
    }
    let instructions = content::take(&mut fields, "system")?;
    if !instructions.is_empty() {
        let at = fields.at().member("system");
        request.turns.push(Turn { at, ..Turn::new(Role::System, instructions) });
    }
    for (at, node) in fields.whole_list("messages")? {
        request.turns.push(turn(node.fields(at)?)?);
    }
    request.tools = definitions::take(&mut fields)?;
    let (tool_choice, parallel_tools, bits) = choice::take(&mut fields)?;
    request.tool_choice = tool_choice;
    request.parallel_tools = parallel_tools;
    let (params, rest) = params::take(&mut fields, bits)?;
    request.params = params;
    request.extra = params::with_rest(fields.rest(OWN), rest);
    Ok(request)
}

/// One message.
fn turn(mut fields: Fields<'_>) -> Result<Turn, DecodeError> {
    let word = fields.require_text("role")?;
    let (role, bits) = match word.as_str() {
        "user" => (Role::User, 0),
        "assistant" => (Role::Assistant, 0),
        "system" => (Role::System, MESSAGE),
        other => {
            return Err(fields.error("role", format!("unknown role {other:?}, expected user, assistant or system")));
        }
    };
    let at = fields.at().clone();
    let parts = content::take(&mut fields, "content")?;
    Ok(Turn { at, form: form(bits), extra: fields.rest(OWN), ..Turn::new(role, parts) })
}
