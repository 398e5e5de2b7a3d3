//! A Converse request, read.

use super::form::{BEDROCK, MESSAGE, bit_if, extra, form, open, shut};
use super::{choice, content, params, tools};
use crate::hub::{DecodeError, Fields, Mode, Node, Place, Request, Role, Turn};

/// Reads a request. What it does not know is kept for targets of the same dialect; what is of the
/// wrong kind is an error that names the place. The model is in the path, not here.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request::default();
    let at = fields.at().member("system");
    let system = content::take(&mut fields, "system")?;
    if !system.is_empty() {
        request.turns.push(Turn { at, ..Turn::new(Role::System, system) });
    }
    for (at, node) in fields.list("messages")? {
        request.turns.push(turn(node.fields(at)?)?);
    }
    let mut left = Vec::new();
    if let Some(mut config) = open(&mut fields, "toolConfig")? {
        request.tools = tools::take(&mut config)?;
        request.tool_choice = choice::take(&mut config)?;
        shut("toolConfig", config, &mut left);
    }
    request.params = params::take(&mut fields, &mut left)?;
    request.extra = extra(fields, left);
    Ok(request)
}

fn turn(mut fields: Fields<'_>) -> Result<Turn, DecodeError> {
    let word = fields.require_text("role")?;
    let role = match word.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            return Err(fields.error("role", format!("unknown role {other:?}, expected user, assistant or system")));
        }
    };
    let mut turn = Turn::new(role, content::take(&mut fields, "content")?);
    turn.at = fields.at().clone();
    turn.form = form(bit_if(role == Role::System, MESSAGE));
    turn.extra = fields.rest(BEDROCK);
    Ok(turn)
}
