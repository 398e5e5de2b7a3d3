//! The turns, written as messages.

use super::encode_request::Writing;
use super::form::OLLAMA;
use super::said;
use crate::hub::write::{self, Obj};
use crate::hub::{LossKind, Part, PartKind, Request, Role, ToolResult, Turn};

/// What stands between the texts of a user, a tool or an instruction.
const BLANK_LINE: &str = "\n\n";

/// Writes `messages`.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let mut texts = Vec::new();
    let first = request.split_instructions().0.len();
    for (index, turn) in request.turns.iter().enumerate() {
        writing.losses.extra(&turn.extra, &turn.at);
        if turn.name.is_some() {
            let why = "speakers have no names in this dialect";
            writing.losses.add(turn.at.member("name").as_str(), LossKind::Dropped, why);
        }
        match turn.role {
            Role::System | Role::Developer => texts.push(instruction(turn, index >= first, writing)),
            Role::Assistant => texts.push(assistant(turn, writing)),
            Role::User | Role::Tool => user(turn, &mut texts, writing),
        }
    }
    o.raw("messages", &format!("[{}]", texts.join(",")));
}

fn message(role: &str, turn: &Turn, fill: impl FnOnce(&mut Obj<'_>)) -> String {
    write::object(|o| {
        o.text("role", role);
        fill(o);
        o.extra(&turn.extra, OLLAMA);
    })
}

fn instruction(turn: &Turn, late: bool, writing: &mut Writing<'_>) -> String {
    let mut role = "system";
    if late && !writing.capabilities().late_instructions {
        let why = "the model takes instructions at the start alone: said as the user";
        writing.losses.add(turn.at.as_str(), LossKind::Coerced, why);
        role = "user";
    }
    let parts: Vec<&Part> = turn.parts.iter().collect();
    said_by(role, turn, &parts, writing)
}

/// A message of what people say: texts with blank lines between, and pictures.
fn said_by(role: &str, turn: &Turn, parts: &[&Part], writing: &mut Writing<'_>) -> String {
    let same = writing.same();
    let heard = parts.iter().filter(|part| same || !part.is_blank());
    let shown: Vec<Part> = heard.filter_map(|part| said::shown(part, writing)).collect();
    let shown: Vec<&Part> = shown.iter().collect();
    joined(turn, &shown, writing);
    message(role, turn, |o| said::write(o, &shown, BLANK_LINE, writing))
}

/// Notes what becomes of several texts, and of pictures among them.
fn joined(turn: &Turn, parts: &[&Part], writing: &mut Writing<'_>) {
    let is_text = |part: &&&Part| part.as_text().is_some();
    if parts.iter().filter(is_text).count() < 2 {
        return;
    }
    let why = "several texts are one in this dialect, with blank lines between";
    writing.losses.add(turn.at.as_str(), LossKind::Approximated, why);
    let (first, last) = (parts.iter().position(|part| is_text(&part)), parts.iter().rposition(|part| is_text(&part)));
    let between = parts.get(first.unwrap_or_default()..last.unwrap_or_default()).unwrap_or_default();
    if let Some(image) = between.iter().find(|part| matches!(part.kind, PartKind::Image(_))) {
        let why = "an image has no place among texts in this dialect: it stands beside them";
        writing.losses.add(image.at.as_str(), LossKind::Approximated, why);
    }
}

/// An assistant's message. What it said after a call is said before it here.
fn assistant(turn: &Turn, writing: &mut Writing<'_>) -> String {
    let called = turn.parts.iter().position(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let late = turn.parts.iter().skip(called.unwrap_or(usize::MAX)).find(|part| matches!(part.kind, PartKind::Text(_)));
    if let Some(late) = late {
        writing.losses.add(late.at.as_str(), LossKind::Approximated, "text behind a tool call is said before it");
    }
    message("assistant", turn, |o| answer(o, &turn.parts, writing))
}

/// What a model said.
pub(super) fn answer(o: &mut Obj<'_>, parts: &[Part], writing: &mut Writing<'_>) {
    let signed = parts.iter().any(said::is_own);
    let kept: Vec<Part> = parts.iter().filter_map(|part| said::kept(part, signed, writing)).collect();
    said::write(o, &kept.iter().collect::<Vec<_>>(), "", writing);
}

/// A user's or a tool's turn: each result is a message of its own, then what the user said.
fn user(turn: &Turn, texts: &mut Vec<String>, writing: &mut Writing<'_>) {
    let mut shown = Vec::new();
    let mut said = Vec::new();
    for part in &turn.parts {
        match &part.kind {
            PartKind::ToolResult(result) => texts.push(tool(turn, part, result, &mut shown, writing)),
            _ => said.push(part),
        }
    }
    shown.append(&mut said);
    if !shown.is_empty() || (turn.role == Role::User && turn.parts.is_empty()) {
        texts.push(said_by("user", turn, &shown, writing));
    }
}

/// One tool's message. Images, where it may not hold them, are put into `behind`, for the user's message
/// behind it.
fn tool<'t>(
    turn: &Turn,
    part: &Part,
    result: &'t ToolResult,
    behind: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> String {
    writing.losses.extra(&part.extra, &part.at);
    writing.no_cache(part.cache.as_ref(), &part.at);
    let held = if writing.same() { result.parts.clone() } else { translated(part, result, behind, writing) };
    write::object(|o| {
        o.text("role", "tool");
        said::write(o, &held.iter().collect::<Vec<_>>(), BLANK_LINE, writing);
        o.opt_text("tool_name", result.name.as_deref());
        o.opt_text("tool_call_id", result.call_id.as_deref());
        if turn.role == Role::Tool {
            o.extra(&turn.extra, OLLAMA);
        }
    })
}

/// A result of another dialect in one text and images, with a note where the tool failed and where
/// an image was.
fn translated<'t>(
    part: &Part,
    result: &'t ToolResult,
    behind: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> Vec<Part> {
    let mut held = Vec::new();
    if result.failed == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "the tool's failure is said in its text");
        held.push(Part::text("[the tool failed]"));
    }
    for inner in result.parts.iter().filter(|part| !part.is_blank()) {
        if matches!(inner.kind, PartKind::Image(_)) && !writing.capabilities().tool_result_images {
            let why = "an image: the model takes none in a tool result, so it follows as the user's";
            writing.losses.add(inner.at.as_str(), LossKind::Approximated, why);
            held.push(Part::text("[shown in the next message]"));
            behind.push(inner);
        } else {
            held.extend(said::shown(inner, writing));
        }
    }
    let texts = result.parts.iter().filter(|part| part.as_text().is_some_and(|text| !text.is_empty())).count();
    if texts > 1 {
        let why = "several texts are one in this dialect, with blank lines between";
        writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
    }
    held
}
