//! The turns, written as messages.

use super::encode_request::Writing;
use super::form::{CHAT, DETAILS, LEGACY, LIST, REASONING, REASONING_CONTENT};
use super::{parts, said, thinking};
use crate::hub::write::{self, Obj};
use crate::hub::{Form, LossKind, Part, PartKind, ReasoningReplay, Request, Role, Text, ToolResult, Turn};

/// Writes `messages`.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let mut texts = Vec::new();
    let first = request.split_instructions().0.len();
    for (index, turn) in request.turns.iter().enumerate() {
        writing.losses.extra(&turn.extra, &turn.at);
        match turn.role {
            Role::System | Role::Developer => texts.push(instruction(turn, index >= first, writing)),
            Role::Assistant => texts.push(assistant(turn, writing)),
            Role::User | Role::Tool => user(turn, &mut texts, writing),
        }
    }
    o.raw("messages", &format!("[{}]", texts.join(",")));
}

fn instruction(turn: &Turn, late: bool, writing: &mut Writing<'_>) -> String {
    let role = match turn.role {
        _ if late && !writing.capabilities().late_instructions => {
            let why = "the model takes instructions at the start alone: said as the user";
            writing.losses.add(turn.at.as_str(), LossKind::Coerced, why);
            "user"
        }
        Role::Developer if writing.capabilities().developer_role => "developer",
        _ => "system",
    };
    let said: Vec<&Part> = turn.parts.iter().collect();
    message(role, turn, |o| parts::content(o, &said, writing))
}

fn message(role: &str, turn: &Turn, fill: impl FnOnce(&mut Obj<'_>)) -> String {
    write::object(|o| {
        o.text("role", role);
        fill(o);
        o.opt_text("name", turn.name.as_deref());
        o.extra(&turn.extra, CHAT);
    })
}

/// A user's or a tool's turn: each result is a message of its own, then what the user said.
fn user(turn: &Turn, texts: &mut Vec<String>, writing: &mut Writing<'_>) {
    let mut said = Vec::new();
    let mut shown = Vec::new();
    for part in &turn.parts {
        match &part.kind {
            PartKind::ToolResult(result) => texts.push(tool(turn, part, result, &mut shown, writing)),
            _ => said.push(part),
        }
    }
    shown.append(&mut said);
    if !shown.is_empty() || (turn.role == Role::User && turn.parts.is_empty()) {
        texts.push(message("user", turn, |o| parts::content(o, &shown, writing)));
    }
}

/// One tool's message. Images, which it may not hold, are put into `shown`, for the user's message
/// behind it.
fn tool<'t>(
    turn: &Turn,
    part: &Part,
    result: &'t ToolResult,
    shown: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> String {
    let legacy = turn.form.has(CHAT, LEGACY);
    if result.call_id.is_none() && !writing.same() {
        writing.losses.refuse(part.at.as_str(), "the tool result names no call: give it the call's id");
    }
    writing.losses.extra(&part.extra, &part.at);
    let own: Vec<Part>;
    let held: Vec<&Part> = if writing.same() {
        result.parts.iter().collect()
    } else {
        own = translated(part, result, shown, writing);
        own.iter().collect()
    };
    write::object(|o| {
        o.text("role", if legacy { "function" } else { "tool" });
        // The name is the function's in the old form, and else only what the caller wrote.
        if legacy || writing.same() {
            o.opt_text("name", result.name.as_deref());
        }
        o.opt_text("tool_call_id", result.call_id.as_deref());
        if held.is_empty() && !writing.same() {
            o.text("content", "");
        }
        parts::content(o, &held, writing);
        if turn.role == Role::Tool {
            o.extra(&turn.extra, CHAT);
        }
    })
}

/// A result of another dialect in texts, with a note where the tool failed and where an image was.
fn translated<'t>(
    part: &Part,
    result: &'t ToolResult,
    shown: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> Vec<Part> {
    let mut held = Vec::new();
    if result.failed == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "the tool's failure is said in its text");
        held.push(Part { form: Form::new(CHAT, LIST), ..Part::text("[the tool failed]") });
    }
    for inner in &result.parts {
        if inner.as_text().is_some() {
            held.push(Part { form: inner.form, at: inner.at.clone(), ..text_only(inner) });
            continue;
        }
        let why = format!("{}: a tool result holds text alone, so it follows as the user's", inner.kind.name());
        writing.losses.add(inner.at.as_str(), LossKind::Approximated, why);
        held.push(Part { form: Form::new(CHAT, LIST), ..Part::text("[shown in the next message]") });
        shown.push(inner);
    }
    held
}

fn text_only(part: &Part) -> Part {
    Part { cache: part.cache.clone(), ..Part::text(part.as_text().unwrap_or_default()) }
}

/// An assistant's message. What it said after a call is said before it here.
fn assistant(turn: &Turn, writing: &mut Writing<'_>) -> String {
    let called = turn.parts.iter().position(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let late = turn.parts.iter().skip(called.unwrap_or(usize::MAX)).find(|part| matches!(part.kind, PartKind::Text(_)));
    if let Some(late) = late {
        writing.losses.add(late.at.as_str(), LossKind::Approximated, "text behind a tool call is said before it");
    }
    message("assistant", turn, |o| {
        said::write(o, &turn.parts, writing);
    })
}

/// In which members a part's thoughts are sent back: as they came, or as the target takes them.
pub(super) fn replay_bits(part: &Part, writing: &mut Writing<'_>) -> u16 {
    let written = part.form.bits(CHAT) & (REASONING_CONTENT | REASONING | DETAILS | LIST);
    if writing.answer {
        return if written == 0 { thinking::default_bits(part) } else { written };
    }
    let bits = match writing.capabilities().reasoning_replay {
        ReasoningReplay::AsWritten => written,
        ReasoningReplay::Never => 0,
        ReasoningReplay::ReasoningContent => REASONING_CONTENT,
        ReasoningReplay::Reasoning => REASONING,
        ReasoningReplay::Details => DETAILS,
    };
    if bits == 0 {
        writing.losses.drop_part(part, "the model takes no thoughts back");
    } else if bits & DETAILS == 0 && sealed(part) && thinking::text_of(part) == Some("") {
        writing.losses.drop_part(part, "the model takes no sealed thoughts back");
    }
    bits
}

fn sealed(part: &Part) -> bool {
    match &part.kind {
        PartKind::Thinking(thinking) => part.signature.is_some() || thinking.encrypted.is_some(),
        PartKind::Text(Text { .. }) => part.signature.is_some(),
        _ => false,
    }
}
