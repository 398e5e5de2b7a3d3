//! What an assistant's message says, written: thoughts, content, refusal, sound, calls.

use super::encode_answer::unsayable;
use super::encode_request::Writing;
use super::form::{CHAT, DETAILS, LEGACY, LIST, NO_ARGUMENTS, NO_TYPE, RAW, REASONING, REASONING_CONTENT};
use super::{messages, parts, thinking};
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, Dialect, Media, Part, PartKind, Source, Thinking, ToolCall};

/// Writes what an assistant's message says: thoughts, content, refusal, sound, calls.
pub(super) fn write(o: &mut Obj<'_>, parts: &[Part], writing: &mut Writing<'_>) {
    let thoughts: Vec<(&Part, u16)> = parts
        .iter()
        .filter(|part| part.form.has(CHAT, DETAILS) || matches!(part.kind, PartKind::Thinking(_)))
        .map(|part| (part, messages::replay_bits(part, writing)))
        .collect();
    write_thoughts(o, &thoughts);
    said_content(o, &content(parts, writing.answer), writing);
    for part in parts {
        match &part.kind {
            PartKind::Refusal(text) if !part.form.has(CHAT, LIST) => o.text("refusal", text),
            PartKind::Audio(media) => spoken(o, part, media),
            _ => {}
        }
    }
    seal(o, parts);
    write_calls(o, parts, writing);
}

/// Whether a part of an assistant's message stands in `content`.
pub(super) fn in_content(part: &Part) -> bool {
    match &part.kind {
        PartKind::Text(_) | PartKind::Image(_) | PartKind::Video(_) | PartKind::Document(_) => true,
        PartKind::Thinking(_) | PartKind::Refusal(_) | PartKind::Opaque(_) => part.form.has(CHAT, LIST),
        PartKind::Audio(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_) => false,
    }
}

/// The parts that stand in `content`.
pub(super) fn content(parts: &[Part], answer: bool) -> Vec<&Part> {
    parts.iter().filter(|part| in_content(part) && !(answer && unsayable(part))).collect()
}

/// Whether several texts are one.
pub(super) fn is_joined(content: &[&Part]) -> bool {
    content.len() > 1 && content.iter().all(|part| parts::is_bare(part))
}

/// An assistant's content: several texts that were no list are one, as an answer's are.
fn said_content(o: &mut Obj<'_>, said: &[&Part], writing: &mut Writing<'_>) {
    if is_joined(said) {
        said.iter().for_each(|part| parts::note(part, writing));
        let joined: String = said.iter().filter_map(|part| part.as_text()).collect();
        return o.text("content", &joined);
    }
    parts::content(o, said, writing);
}

/// Writes the thoughts in the members their bits say.
pub(super) fn write_thoughts(o: &mut Obj<'_>, thoughts: &[(&Part, u16)]) {
    for (name, bit) in [("reasoning_content", REASONING_CONTENT), ("reasoning", REASONING)] {
        let texts = thoughts.iter().filter(|(_, bits)| bits & bit != 0);
        let text: String = texts.filter_map(|(part, _)| thinking::text_of(part)).collect();
        if !text.is_empty() {
            o.text(name, &text);
        }
    }
    let mut all = Vec::new();
    for (part, _) in thoughts.iter().filter(|(_, bits)| bits & DETAILS != 0) {
        details(part, &mut all);
    }
    if !all.is_empty() {
        o.raw("reasoning_details", &format!("[{}]", all.join(",")));
    }
}

/// Adds the elements of `reasoning_details` for a part: one, or two where another dialect's part holds
/// both words and what only its maker can read. Each has a number of its own, as in a stream, where
/// clients put together what has the same.
fn details(part: &Part, all: &mut Vec<String>) {
    let thinking = match &part.kind {
        PartKind::Thinking(thinking) => thinking,
        PartKind::Opaque(opaque) => {
            all.extend(opaque.native.of(CHAT).map(|json| json.as_str().to_owned()));
            return;
        }
        _ => return,
    };
    let mut element = |fill: &dyn Fn(&mut Obj<'_>)| {
        let text = write::object(|o| {
            fill(o);
            detail_rest(o, part, thinking, all.len() as u64);
        });
        all.push(text);
    };
    if !thinking.text.is_empty() || thinking.encrypted.is_none() {
        element(&|o| detail_text(o, part, thinking));
    }
    if let Some(seal) = &thinking.encrypted {
        element(&|o| {
            o.text("type", "reasoning.encrypted");
            o.text("data", &seal.text);
        });
    }
}

fn detail_text(o: &mut Obj<'_>, part: &Part, thinking: &Thinking) {
    if thinking.summary {
        o.text("type", "reasoning.summary");
        return o.text("summary", &thinking.text);
    }
    o.text("type", "reasoning.text");
    if !thinking.text.is_empty() {
        o.text("text", &thinking.text);
    }
    o.opt_text("signature", part.signature.as_ref().map(|seal| seal.text.as_str()));
}

fn detail_rest(o: &mut Obj<'_>, part: &Part, thinking: &Thinking, index: u64) {
    o.opt_text("id", thinking.id.as_deref());
    if part.extra.get(CHAT, "format").is_none() {
        let seals = [part.signature.as_ref(), thinking.encrypted.as_ref()];
        let origin = thinking.origin.or(seals.into_iter().flatten().find_map(|seal| seal.origin));
        o.opt_text("format", thinking::format_of(origin));
    }
    if part.form.bits(CHAT) == 0 {
        o.count("index", index);
    }
    o.extra(&part.extra, CHAT);
}

/// `audio` of an assistant's message.
pub(super) fn spoken(o: &mut Obj<'_>, part: &Part, media: &Media) {
    o.object("audio", |o| {
        match &media.source {
            Source::File(id) => o.text("id", id),
            Source::Base64(data) => o.text("data", data),
            Source::Url(_) | Source::Plain(_) => {}
        }
        o.opt_text("transcript", media.transcript.as_deref());
        o.extra(&part.extra, CHAT);
    });
}

/// Google's seal of a text.
fn seal(o: &mut Obj<'_>, parts: &[Part]) {
    let seals = parts.iter().filter(|part| matches!(part.kind, PartKind::Text(_)));
    if let Some(seal) =
        seals.filter_map(|part| part.signature.as_ref()).find(|seal| seal.origin == Some(Dialect::Gemini))
    {
        google(o, &seal.text);
    }
}

fn google(o: &mut Obj<'_>, signature: &str) {
    o.object("extra_content", |o| o.object("google", |o| o.text("thought_signature", signature)));
}

/// Writes the calls.
pub(super) fn write_calls(o: &mut Obj<'_>, parts: &[Part], writing: &mut Writing<'_>) {
    let mut calls = Vec::new();
    for part in parts {
        match &part.kind {
            PartKind::ToolCall(call) if part.form.has(CHAT, LEGACY) => {
                o.object("function_call", |o| function(o, part, call, writing.same()));
            }
            PartKind::ToolCall(call) => {
                writing.losses.extra(&part.extra, &part.at);
                writing.losses.extra(&call.extra, &part.at);
                calls.push(write::object(|o| write_call(o, part, call, writing.same())));
            }
            PartKind::Opaque(opaque) if !part.form.has(CHAT, LIST) && !part.form.has(CHAT, DETAILS) => {
                match opaque.native.of(CHAT) {
                    Some(json) => calls.push(json.as_str().to_owned()),
                    None => writing.losses.drop_part(part, "cannot be said in this dialect"),
                }
            }
            _ => {}
        }
    }
    if !calls.is_empty() {
        o.raw("tool_calls", &format!("[{}]", calls.join(",")));
    }
}

fn write_call(o: &mut Obj<'_>, part: &Part, call: &ToolCall, same: bool) {
    let kind = match call.kind {
        CallKind::Function => "function",
        CallKind::Custom => "custom",
    };
    o.opt_text("id", call.id.as_deref());
    if !part.form.has(CHAT, NO_TYPE) {
        o.text("type", kind);
    }
    o.object(kind, |o| function(o, part, call, same));
    if let Some(seal) = part.signature.as_ref().filter(|seal| seal.origin == Some(Dialect::Gemini)) {
        google(o, &seal.text);
    }
    o.extra(&part.extra, CHAT);
}

fn function(o: &mut Obj<'_>, part: &Part, call: &ToolCall, same: bool) {
    o.text("name", &call.name);
    let name = match call.kind {
        CallKind::Function => "arguments",
        CallKind::Custom => "input",
    };
    match &call.arguments {
        raw if part.form.has(CHAT, RAW) => o.raw(name, raw),
        none if none.is_empty() && part.form.has(CHAT, NO_ARGUMENTS) => {}
        // A tool without arguments, as other dialects write it, has an empty object here.
        none if none.is_empty() && call.kind == CallKind::Function && !same => o.text(name, "{}"),
        text => o.text(name, text),
    }
    o.extra(&call.extra, CHAT);
}

/// Mistral's list of thoughts.
pub(super) fn thought_list(o: &mut Obj<'_>, text: &str) {
    o.array("thinking", |a| {
        if !text.is_empty() {
            a.object(|o| {
                o.text("type", "text");
                o.text("text", text);
            });
        }
    });
}
