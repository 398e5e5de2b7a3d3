//! Instructions: `system`.

use super::encode_request::Writing;
use super::{messages, parts};
use crate::hub::write::{self, Obj};
use crate::hub::{Format, Part, PartKind, Request, Role, Turn};

/// Writes `system`: the instructions at the start, and what the form of the answer needs said.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let turns: Vec<&Turn> = match writing.same() {
        true => request.turns.iter().filter(|turn| messages::is_system(turn)).collect(),
        false => request.split_instructions().0.iter().collect(),
    };
    let all: Vec<&Part> = turns.iter().flat_map(|turn| &turn.parts).collect();
    for part in all.iter().filter(|part| !matches!(part.kind, PartKind::Text(_) | PartKind::Opaque(_))) {
        writing.losses.refuse_part(part, "cannot stand among Bedrock's instructions");
    }
    let mut blocks = parts::list(all, Role::System, writing);
    blocks.extend(asked_form(request, writing));
    if !blocks.is_empty() {
        o.raw("system", &format!("[{}]", blocks.join(",")));
    }
}

/// The form of the answer in words, where it cannot be demanded.
fn asked_form(request: &Request, writing: &Writing<'_>) -> Option<String> {
    let exact = writing.capabilities().json_schema;
    let schema = match request.params.format.as_ref()? {
        Format::JsonObject => None,
        Format::JsonSchema(schema) if !exact || schema.schema.is_none() => schema.schema.as_ref(),
        Format::JsonSchema(_) | Format::Text | Format::Opaque(_) => return None,
    };
    let words = match schema {
        Some(schema) => {
            format!("Answer with one JSON value that fits this JSON schema, and with nothing else: {}", schema.as_str())
        }
        None => "Answer with one JSON object and with nothing else.".to_owned(),
    };
    Some(write::object(|o| o.text("text", &words)))
}
