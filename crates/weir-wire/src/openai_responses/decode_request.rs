//! A Responses request, read.

use super::form::{INSTRUCTIONS, RESPONSES, SEALED_BEFORE, WHOLE_INPUT, form};
use super::{choice, definitions, item, params};
use crate::hub::{DecodeError, Fields, Json, Mode, Node, Part, PartKind, Place, Request, Role, Seal, Turn};
use crate::json::Kind;

/// Members whose value says what is so anyway.
const USUAL: [(&str, &str); 3] = [("truncation", "\"disabled\""), ("background", "false"), ("include", "[]")];

/// Reads a request. What it does not know is kept for targets of the same dialect; what is of the
/// wrong kind is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    request.turns.extend(instructions(&mut fields)?);
    input(&mut fields, &mut request.turns)?;
    request.tools = definitions::take(&mut fields)?;
    request.tool_choice = choice::take(&mut fields)?;
    request.parallel_tools = fields.flag("parallel_tool_calls")?;
    let (params, quiet) = params::take(&mut fields)?;
    request.params = params;
    let usual = |name: &str, value: &Json| USUAL.contains(&(name, value.as_str()));
    let rest = fields.rest(RESPONSES);
    let names: Vec<String> =
        rest.members().iter().filter(|(name, value)| usual(name, value)).map(|(name, _)| name.clone()).collect();
    request.extra = rest.quieten(|name| names.iter().any(|usual| usual == name) || quiet.contains(&name));
    Ok(request)
}

fn instructions(fields: &mut Fields<'_>) -> Result<Option<Turn>, DecodeError> {
    let at = fields.at().member("instructions");
    let Some(text) = fields.word("instructions")? else { return Ok(None) };
    let part = Part { at: at.clone(), ..Part::text(text) };
    Ok(Some(Turn { form: form(INSTRUCTIONS), at, ..Turn::new(Role::System, vec![part]) }))
}

fn input(fields: &mut Fields<'_>, turns: &mut Vec<Turn>) -> Result<(), DecodeError> {
    let at = fields.at().member("input");
    match fields.peek("input") {
        None => Ok(()),
        Some(node) if node.kind == Kind::String => {
            let Some(text) = fields.word("input")? else { return Ok(()) };
            let part = Part { at: at.clone(), ..Part::text(text) };
            turns.push(Turn { form: form(WHOLE_INPUT), at, ..Turn::new(Role::User, vec![part]) });
            Ok(())
        }
        Some(node) if node.kind == Kind::Array => {
            let mut seal = None;
            for (at, node) in fields.list("input")? {
                let mut item = item::read(node, at)?;
                hand_on(&mut seal, &mut item);
                join(turns, item);
            }
            Ok(())
        }
        Some(node) => {
            Err(fields.error("input", format!("expected a string or a list of items, found {}", node.kind.name())))
        }
    }
}

/// Gives the seal that stood before a call to the call, unless it brings one itself.
fn hand_on(seal: &mut Option<Seal>, item: &mut item::Item) {
    if item.role != Role::Assistant {
        *seal = None;
    }
    *seal = item.seal.take().or(seal.take());
    let call = item.parts.iter_mut().find(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let Some(call) = call else { return };
    if let Some(seal) = seal.take().filter(|_| call.signature.is_none()) {
        call.signature = Some(seal);
        call.form = form(call.form.bits(RESPONSES) | SEALED_BEFORE);
    }
}

/// Adds an item to the turns: consecutive items of the model are one turn.
fn join(turns: &mut Vec<Turn>, item: item::Item) {
    if item.role == Role::Assistant && item.parts.is_empty() {
        return;
    }
    match turns.last_mut().filter(|_| item.role == Role::Assistant) {
        Some(last) if last.role == Role::Assistant => last.parts.extend(item.parts),
        _ => turns.push(item.into_turn()),
    }
}
