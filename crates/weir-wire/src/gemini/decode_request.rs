//! A `generateContent` request, read.

use super::form::{
    BODY_MODEL, GEMINI, IN_CONTENTS, NO_ROLE, ONE_CONTENT, ROLE_FUNCTION, ROLE_MODEL, ROLE_SYSTEM, ROLE_TOOL,
    ROLE_USER, SYSTEM_SNAKE, bit_if, form, joined,
};
use super::names::{Aliases, name_of};
use super::{params, parts, seals, tool_config, tools};
use crate::hub::{DecodeError, Fields, Mode, Node, Part, Place, Request, Role, Turn};
use crate::json::Kind;

/// Reads a request. What it does not know is kept for targets of the same dialect; what is of the
/// wrong kind is an error that names the place. The model is empty unless the body names it.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    read(Node::of_body(body, Mode::Request)?.fields(Place::root())?)
}

/// The request that is these members.
pub(super) fn read(mut fields: Fields<'_>) -> Result<Request, DecodeError> {
    let mut request = Request::default();
    request.turns.extend(system(&mut fields)?);
    let one = contents(&mut fields, &mut request.turns)?;
    seals::gather(&mut request.turns);
    request.tools = tools::take(&mut fields)?;
    let mut aliases = Aliases::default();
    let model = fields.text("model")?;
    let config = params::take(&mut fields, &mut aliases)?;
    let choice = tool_config::take(&mut fields, &mut aliases)?;
    request.params = config.params;
    request.tool_choice = choice.choice;
    request.params.store = fields.flag("store")?;
    let bits = config.bits | choice.bits | bit_if(one, ONE_CONTENT) | bit_if(model.is_some(), BODY_MODEL);
    request.params.form = form(bits);
    request.params.aliases = aliases.0;
    request.model = model.unwrap_or_default();
    let rest = fields.rest(GEMINI);
    if let Some((name, _)) = rest.members().iter().find(|(name, _)| name.contains('.')) {
        return Err(DecodeError::new(name.as_str(), "unknown member"));
    }
    request.extra = joined(joined(rest, "generationConfig", &config.extra), "toolConfig", &choice.extra);
    Ok(request)
}

/// The instructions: a content, or a text alone.
fn system(fields: &mut Fields<'_>) -> Result<Option<Turn>, DecodeError> {
    let (name, second) = name_of(fields, "systemInstruction");
    let bits = bit_if(second, SYSTEM_SNAKE);
    if fields.peek(name).is_none_or(|node| node.json().is_empty()) {
        return Ok(None);
    }
    let at = fields.at().member(name);
    let mut inner = fields.require_object(name)?;
    let (said, one) = parts::take(&mut inner)?;
    let role = inner.peek("role").and_then(Node::text);
    let role_bits = match role.as_deref() {
        Some("user") => ROLE_USER,
        Some("model") => ROLE_MODEL,
        Some("system") => ROLE_SYSTEM,
        _ => 0,
    };
    if role_bits != 0 {
        inner.take("role");
    }
    let extra = inner.rest(GEMINI);
    Ok(Some(Turn { form: form(bits | one | role_bits), at, extra, ..Turn::new(Role::System, said) }))
}

/// The conversation: a list of contents, or one alone. Says whether it was one.
fn contents(fields: &mut Fields<'_>, turns: &mut Vec<Turn>) -> Result<bool, DecodeError> {
    let Some(node) = fields.peek("contents") else {
        return Err(fields.error("contents", "missing, expected a list of contents"));
    };
    if node.kind == Kind::Object {
        turns.push(content(fields.require_object("contents")?)?);
        return Ok(true);
    }
    for (at, node) in fields.whole_list("contents")? {
        turns.push(content(node.fields(at)?)?);
    }
    Ok(false)
}

fn content(mut fields: Fields<'_>) -> Result<Turn, DecodeError> {
    let at = fields.at().clone();
    let (role, role_bits) = match fields.word("role")?.as_deref() {
        None => (Role::User, NO_ROLE),
        Some("user") => (Role::User, 0),
        Some("model") => (Role::Assistant, 0),
        Some("function") => (Role::Tool, ROLE_FUNCTION),
        Some("tool") => (Role::Tool, ROLE_TOOL),
        Some("system") => (Role::System, IN_CONTENTS | ROLE_SYSTEM),
        Some(other) => {
            return Err(fields.error("role", format!("unknown role {other:?}, expected user or model")));
        }
    };
    let (said, one): (Vec<Part>, u16) = parts::take(&mut fields)?;
    Ok(Turn { form: form(role_bits | one), at, extra: fields.rest(GEMINI), ..Turn::new(role, said) })
}
