//! A Responses request, written.

use std::borrow::Cow;
use std::collections::HashMap;

use super::form::{CUSTOM, INSTRUCTIONS, LIST, NO_TYPE, RESPONSES, WHOLE_INPUT, form};
use super::said::{goes_on, item, known_id};
use super::written::Writing;
use super::{choice, definitions, encode_params, parts};
use crate::hub::custom_tools;
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, Dialect, EncodeError, Encoded, Field, LossKind, Part, PartKind, Place, Request, Role, Target, ToolResult,
    Turn,
};

/// Writes a request for a provider that speaks this dialect. A request that came in it, for a
/// target that takes all, is written as it was, member for member.
///
/// Of another dialect's requests, [`Request::link_results`] must have been called: a result without
/// the id of its call is refused.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    let mut writing = Writing::new(target, false);
    // Its clients send the pieces of a stream back one by one.
    let pieces = target.caller == Dialect::Gemini;
    let request = &*if pieces { request.with_whole_steps() } else { Cow::Borrowed(request) };
    let request = &*custom_tools::unless_taken(request, target.capabilities, &mut writing.losses);
    let body = write::object(|o| {
        if !target.model.is_empty() {
            o.text("model", target.model);
        }
        turns(o, request, &mut writing);
        if writing.capabilities().tools {
            definitions::write(o, request, &mut writing);
            choice::write(o, request, &mut writing);
            parallel(o, request, &mut writing);
        } else if !request.tools.is_empty() {
            writing.losses.refuse(Field::Tools.name(target.caller), "the model takes no tools");
        }
        encode_params::write(o, request, &mut writing);
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&request.extra, RESPONSES);
    });
    writing.losses.seal(body)
}

fn parallel(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    if writing.capabilities().parallel_tools {
        o.opt_flag("parallel_tool_calls", request.parallel_tools);
    } else if request.parallel_tools == Some(false) {
        let why = "the model cannot be kept from calling several tools at once";
        writing.losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
}

/// Writes `instructions` and `input`.
fn turns(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let turns = match request.turns.split_first() {
        Some((first, rest)) if is_instructions(first, writing) => {
            writing.losses.extra(&first.extra, &first.at);
            first.parts.iter().for_each(|part| parts::note(part, writing));
            o.opt_text("instructions", first.parts.first().and_then(Part::as_text));
            rest
        }
        _ => request.turns.as_slice(),
    };
    if let [Turn { form, parts, .. }] = turns
        && let [only] = parts.as_slice()
        && form.has(RESPONSES, WHOLE_INPUT)
    {
        return o.opt_text("input", only.as_text());
    }
    let start = request.split_instructions().0.len() - (request.turns.len() - turns.len());
    let kinds = call_kinds(request);
    let mut items = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        writing.losses.extra(&turn.extra, &turn.at);
        match turn.role {
            Role::System | Role::Developer => items.push(instruction(turn, index >= start, writing)),
            Role::User | Role::Tool => user(turn, &kinds, &mut items, writing),
            Role::Assistant => assistant(turn, &mut items, writing),
        }
    }
    if !items.is_empty() || !writing.same() {
        o.raw("input", &format!("[{}]", items.join(",")));
    }
}

/// Whether the first turn is said as `instructions`: as it was, or if it is one plain text.
fn is_instructions(turn: &Turn, writing: &Writing<'_>) -> bool {
    if writing.same() {
        return turn.form.has(RESPONSES, INSTRUCTIONS);
    }
    turn.role == Role::System
        && turn.name.is_none()
        && matches!(turn.parts.as_slice(), [only] if only.as_text().is_some_and(|text| !text.is_empty()) && only.cache.is_none())
}

/// How each call was made, by its id.
fn call_kinds(request: &Request) -> HashMap<&str, CallKind> {
    let calls = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some((call.id.as_deref()?, call.kind)),
        _ => None,
    });
    calls.collect()
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
    message(role, turn, &said, writing)
}

fn message(role: &str, turn: &Turn, said: &[&Part], writing: &mut Writing<'_>) -> String {
    if turn.name.is_some() {
        let at = turn.at.member("name");
        writing.losses.add(at.as_str(), LossKind::Dropped, "a message has no speaker's name here");
    }
    write::object(|o| {
        if !turn.form.has(RESPONSES, NO_TYPE) {
            o.text("type", "message");
        }
        o.text("role", role);
        parts::content(o, "content", said, writing);
        if said.is_empty() && !writing.same() {
            o.text("content", "");
        }
        o.extra(&turn.extra, RESPONSES);
    })
}

/// A user's or a tool's turn: each result is an item of its own, then what the user said.
fn user(turn: &Turn, kinds: &HashMap<&str, CallKind>, items: &mut Vec<String>, writing: &mut Writing<'_>) {
    let mut said = Vec::new();
    let mut shown = Vec::new();
    for part in &turn.parts {
        match &part.kind {
            PartKind::ToolResult(result) => items.push(output(part, result, kinds, &mut shown, writing)),
            PartKind::Opaque(opaque) if part.form.bits(RESPONSES) == 0 && opaque.native.of(RESPONSES).is_some() => {
                items.extend(opaque.native.of(RESPONSES).map(|json| json.as_str().to_owned()));
            }
            _ => said.push(part),
        }
    }
    shown.append(&mut said);
    if !shown.is_empty() || (turn.role == Role::User && turn.parts.is_empty()) {
        items.push(message("user", turn, &shown, writing));
    }
}

/// What a tool gave back. Images the model does not take there are put into `shown`, for the
/// user's message behind it.
fn output<'t>(
    part: &Part,
    result: &'t ToolResult,
    kinds: &HashMap<&str, CallKind>,
    shown: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> String {
    let same = writing.same();
    if result.call_id.is_none() && !same {
        writing.losses.refuse(part.at.as_str(), "the tool result names no call: give it the call's id");
    }
    writing.losses.extra(&part.extra, &part.at);
    let called = result.call_id.as_deref().and_then(|id| kinds.get(id));
    let custom = if same { part.form.has(RESPONSES, CUSTOM) } else { called == Some(&CallKind::Custom) };
    let own: Vec<Part>;
    let held: Vec<&Part> = if same {
        result.parts.iter().collect()
    } else {
        own = translated(part, result, shown, writing);
        own.iter().collect()
    };
    write::object(|o| {
        o.text("type", if custom { "custom_tool_call_output" } else { "function_call_output" });
        o.opt_text("call_id", result.call_id.as_deref());
        if same {
            o.opt_text("name", result.name.as_deref());
        }
        parts::content(o, "output", &held, writing);
        if held.is_empty() && !same {
            o.text("output", "");
        }
        o.extra(&part.extra, RESPONSES);
    })
}

/// A result of another dialect, with a note where the tool failed and where an image was.
fn translated<'t>(
    part: &Part,
    result: &'t ToolResult,
    shown: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> Vec<Part> {
    let listed = |text: &str| Part { form: form(LIST), ..Part::text(text) };
    let mut held = Vec::new();
    if result.failed == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "the tool's failure is said in its text");
        held.push(listed("[the tool failed]"));
    }
    for inner in &result.parts {
        let picture = matches!(inner.kind, PartKind::Image(_) | PartKind::Document(_));
        if inner.as_text().is_some() || (picture && writing.capabilities().tool_result_images) {
            held.push(inner.clone());
            continue;
        }
        let why = format!("{}: the tool result holds none, so it follows as the user's", inner.kind.name());
        writing.losses.add(inner.at.as_str(), LossKind::Approximated, why);
        held.push(listed("[shown in the next message]"));
        shown.push(inner);
    }
    held
}

/// The model's turn: an item for each thought, message and call, in order.
fn assistant(turn: &Turn, items: &mut Vec<String>, writing: &mut Writing<'_>) {
    let same = writing.same();
    for parts in turn.parts.chunk_by(|before, part| goes_on(before, part, same)) {
        let id = known_id(parts);
        items.extend(item(parts, id.as_deref(), &[], writing));
    }
}
