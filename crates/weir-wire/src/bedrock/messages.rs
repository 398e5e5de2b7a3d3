//! The conversation, written: rounds of user and model by turns.

use super::encode_request::Writing;
use super::form::{BEDROCK, MESSAGE};
use super::parts;
use crate::hub::write::{self, Obj};
use crate::hub::{LossKind, Part, PartKind, Place, Request, Role, Turn};

/// Writes `messages`.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let texts = if writing.same() { as_written(request, writing) } else { alternating(request, writing) };
    if !texts.is_empty() {
        o.raw("messages", &format!("[{}]", texts.join(",")));
    }
}

/// Each turn is a message, as it was.
fn as_written(request: &Request, writing: &mut Writing<'_>) -> Vec<String> {
    let all = request.turns.iter().filter(|turn| !is_system(turn));
    let message = |turn: &Turn| {
        let blocks = parts::list(&turn.parts, turn.role, writing);
        let blocks = (!blocks.is_empty()).then(|| blocks.join(","));
        write::object(|o| {
            o.text("role", role_word(turn.role));
            if let Some(blocks) = blocks {
                o.raw("content", &format!("[{blocks}]"));
            }
            o.extra(&turn.extra, BEDROCK);
        })
    };
    all.map(message).collect()
}

/// Whether the turn stood in `system`.
pub(super) fn is_system(turn: &Turn) -> bool {
    turn.role.instructs() && !turn.form.has(BEDROCK, MESSAGE)
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::System | Role::Developer => "system",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    }
}

/// One side's turn in the making.
struct Round<'r> {
    role: Role,
    parts: Vec<&'r Part>,
    at: &'r Place,
}

fn alternating(request: &Request, writing: &mut Writing<'_>) -> Vec<String> {
    note(request, writing);
    let mut texts = Vec::new();
    let rounds = rounds(request, writing);
    if let Some(last) = rounds.last().filter(|last| last.role == Role::Assistant)
        && !writing.capabilities().prefill
    {
        writing.losses.refuse(last.at.as_str(), "the model does not go on with its own words: end with the user's");
    }
    for round in rounds {
        let blocks = parts::list(round.parts, round.role, writing);
        if blocks.is_empty() {
            writing.losses.add(round.at.as_str(), LossKind::Dropped, "nothing is left of it to say");
            continue;
        }
        texts.push(write::object(|o| {
            o.text("role", role_word(round.role));
            o.raw("content", &format!("[{}]", blocks.join(",")));
        }));
    }
    texts
}

/// What turns say that no message has a place for, and calls that Bedrock would refuse.
fn note(request: &Request, writing: &mut Writing<'_>) {
    for turn in &request.turns {
        writing.losses.extra(&turn.extra, &turn.at);
        if turn.name.is_some() {
            writing.losses.add(turn.at.member("name").as_str(), LossKind::Dropped, "speakers have no names here");
        }
    }
    for (at, id) in request.unanswered() {
        writing.losses.refuse(at.as_str(), format!("the call {id:?} has no result: send one before going on"));
    }
}

/// Rounds of user and model. Instructions behind the start are messages of their own where the
/// model takes them, and else the user's.
fn rounds<'r>(request: &'r Request, writing: &mut Writing<'_>) -> Vec<Round<'r>> {
    let mut rounds: Vec<Round<'r>> = Vec::new();
    for round in request.rounds() {
        let role = match round.role {
            Role::System | Role::Developer if writing.capabilities().late_instructions => Role::System,
            Role::System | Role::Developer => {
                let why = "the model takes instructions at the start alone: said as the user";
                writing.losses.add(round.at.as_str(), LossKind::Coerced, why);
                Role::User
            }
            role => role,
        };
        match rounds.last_mut() {
            Some(last) if last.role == role => last.parts.extend(round.parts),
            _ => rounds.push(Round { role, parts: round.parts, at: round.at }),
        }
    }
    for round in rounds.iter_mut().filter(|round| round.role == Role::User) {
        round.parts.sort_by_key(|part| !matches!(part.kind, PartKind::ToolResult(_)));
    }
    rounds
}
