//! The turns, written: `systemInstruction` and `contents`.

use super::encode_request::Writing;
use super::form::{
    GEMINI, IN_CONTENTS, NO_ROLE, ONE_CONTENT, ONE_PART, ROLE_FUNCTION, ROLE_MODEL, ROLE_SYSTEM, ROLE_TOOL, ROLE_USER,
    SYSTEM_SNAKE,
};
use super::names::spelt;
use super::write_parts;
use crate::hub::write::{self, Obj};
use crate::hub::{LossKind, Part, PartKind, Request, Role, Round, Turn};

/// Writes the instructions and the conversation.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    for turn in &request.turns {
        writing.losses.extra(&turn.extra, &turn.at);
        if turn.name.is_some() {
            writing.losses.add(turn.at.member("name").as_str(), LossKind::Dropped, "unknown to Gemini");
        }
    }
    let leading = request.split_instructions().0.iter();
    let leading: Vec<&Turn> = leading.filter(|turn| !turn.form.has(GEMINI, IN_CONTENTS)).collect();
    let same = writing.same();
    let system: Vec<String> = leading
        .iter()
        .flat_map(|turn| &turn.parts)
        .filter(|part| same || !part.is_blank())
        .filter_map(|part| instruction(part, writing))
        .collect();
    let texts = if writing.same() { own(request, writing) } else { translated(request, writing) };
    if texts.is_empty() && !writing.same() && !system.is_empty() {
        return alone(o, &system, leading.first(), writing);
    }
    if let Some(first) = leading.first() {
        write_system(o, first, &system);
    }
    match texts.as_slice() {
        [only] if request.params.form.has(GEMINI, ONE_CONTENT) => o.raw("contents", only),
        _ => o.raw("contents", &format!("[{}]", texts.join(","))),
    }
}

/// A part of the instructions, which are text.
fn instruction(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    if part.as_text().is_none() && !writing.same() {
        writing.losses.refuse_part(part, "stands among instructions, which are text in this dialect");
        return None;
    }
    write_parts::write(part, writing)
}

/// Instructions with nothing behind them: this dialect wants something said by the user.
fn alone(o: &mut Obj<'_>, system: &[String], turn: Option<&&Turn>, writing: &mut Writing<'_>) {
    let at = turn.map(|turn| turn.at.as_str()).unwrap_or_default();
    writing.losses.add(at, LossKind::Approximated, "instructions alone are said as the user");
    o.raw("contents", &format!("[{}]", content(Some("user"), system)));
}

fn write_system(o: &mut Obj<'_>, turn: &Turn, parts: &[String]) {
    let has = |bit| turn.form.has(GEMINI, bit);
    if parts.is_empty() && turn.form.bits(GEMINI) == 0 && turn.extra.members_of(GEMINI).is_empty() {
        return;
    }
    let role = match () {
        () if has(ROLE_USER) => Some("user"),
        () if has(ROLE_MODEL) => Some("model"),
        () if has(ROLE_SYSTEM) => Some("system"),
        () => None,
    };
    o.object(spelt("systemInstruction", has(SYSTEM_SNAKE)), |o| {
        o.opt_text("role", role);
        write_list(o, parts, has(ONE_PART));
        o.extra(&turn.extra, GEMINI);
    });
}

/// Writes `parts`, if there are any.
fn write_list(o: &mut Obj<'_>, parts: &[String], one: bool) {
    match parts {
        [] => {}
        [only] if one => o.raw("parts", only),
        all => o.raw("parts", &format!("[{}]", all.join(","))),
    }
}

fn content(role: Option<&str>, parts: &[String]) -> String {
    write::object(|o| {
        o.opt_text("role", role);
        write_list(o, parts, false);
    })
}

/// The turns of a caller of this dialect, one by one.
fn own(request: &Request, writing: &mut Writing<'_>) -> Vec<String> {
    let first = request.split_instructions().0.len();
    let turns = request.turns.iter().enumerate();
    turns
        .filter(|(index, turn)| *index >= first || turn.form.has(GEMINI, IN_CONTENTS))
        .map(|(_, turn)| own_content(turn, writing))
        .collect()
}

fn own_content(turn: &Turn, writing: &mut Writing<'_>) -> String {
    let has = |bit| turn.form.has(GEMINI, bit);
    let role = match turn.role {
        Role::Assistant => Some("model"),
        _ if has(ROLE_FUNCTION) => Some("function"),
        _ if has(ROLE_TOOL) => Some("tool"),
        _ if has(ROLE_SYSTEM) => Some("system"),
        _ if has(NO_ROLE) => None,
        Role::System | Role::Developer => {
            writing.losses.add(turn.at.as_str(), LossKind::Coerced, LATE);
            Some("user")
        }
        Role::User | Role::Tool => Some("user"),
    };
    let mut shown = Vec::new();
    let parts: Vec<&Part> = turn.parts.iter().collect();
    let mut written = said(turn.role, &parts, &mut shown, writing);
    written.extend(shown.into_iter().filter_map(|part| write_parts::write(part, writing)));
    write::object(|o| {
        o.opt_text("role", role);
        write_list(o, &written, has(ONE_PART));
        o.extra(&turn.extra, GEMINI);
    })
}

const LATE: &str = "the model takes instructions at the start alone: said as the user";

/// The parts of one side, with what its results cannot hold in `shown`.
fn said<'p>(role: Role, parts: &[&'p Part], shown: &mut Vec<&'p Part>, writing: &mut Writing<'_>) -> Vec<String> {
    writing.model_s = role == Role::Assistant;
    let first = parts.iter().position(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let each = parts.iter().enumerate();
    let written = each
        .filter_map(|(index, part)| write_parts::write_in_turn(part, Some(index) == first, shown, writing))
        .collect();
    writing.model_s = false;
    written
}

/// What one side says at once, being put together.
struct Content {
    model: bool,
    results: bool,
    parts: Vec<String>,
}

/// The rounds of another dialect's caller. The results of a turn's calls are a content of their own
/// directly behind it, as this dialect wants them.
fn translated(request: &Request, writing: &mut Writing<'_>) -> Vec<String> {
    let mut contents: Vec<Content> = Vec::new();
    for round in request.rounds() {
        if round.role.instructs() {
            writing.losses.add(round.at.as_str(), LossKind::Coerced, LATE);
        }
        one_round(&round, &mut contents, writing);
    }
    let written = contents.iter().filter(|content| !content.parts.is_empty());
    written.map(|one| content(Some(if one.model { "model" } else { "user" }), &one.parts)).collect()
}

fn one_round(round: &Round<'_>, contents: &mut Vec<Content>, writing: &mut Writing<'_>) {
    let (results, rest): (Vec<&Part>, Vec<&Part>) =
        round.parts.iter().partition(|part| matches!(part.kind, PartKind::ToolResult(_)));
    let mut shown = Vec::new();
    if !results.is_empty() {
        let parts = said(Role::User, &results, &mut shown, writing);
        answer_calls(contents, parts);
    }
    shown.extend(rest);
    let model = round.role == Role::Assistant;
    let parts = said(round.role, &shown, &mut Vec::new(), writing);
    contents.push(Content { model, results: false, parts });
}

/// Puts results behind the model's last words, before what came in between.
fn answer_calls(contents: &mut Vec<Content>, parts: Vec<String>) {
    let behind = contents.iter().rposition(|content| content.model).map_or(contents.len(), |model| model + 1);
    match contents.get_mut(behind).filter(|content| content.results) {
        Some(content) => content.parts.extend(parts),
        None => contents.insert(behind, Content { model: false, results: true, parts }),
    }
}
