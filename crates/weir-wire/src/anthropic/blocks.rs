//! The parts, written as blocks.

use super::encode_request::Writing;
use super::form::{DIRECT, LIST, OWN};
use super::{cache, citations, seals, source};
use crate::hub::write::{self, Obj};
use crate::hub::{
    CallKind, Document, LossKind, Losses, Media, Part, PartKind, Source, Text, Thinking, ToolCall, ToolResult,
};

/// Whether a provider of this dialect recognises the part as a thought of its model's.
pub(super) fn is_own_thought(part: &Part) -> bool {
    match &part.kind {
        PartKind::Thinking(thinking) => {
            [part.signature.as_ref(), thinking.encrypted.as_ref()].into_iter().flatten().any(seals::is_own)
        }
        _ => false,
    }
}

/// What of a part this dialect does not say.
pub(super) fn note(part: &Part, writing: &mut Writing<'_>) {
    note_in(part, &mut writing.losses);
}

/// The same, for a stream.
pub(super) fn note_in(part: &Part, losses: &mut Losses) {
    // Members beside another dialect's thoughts number them and name their maker.
    if !matches!(part.kind, PartKind::Thinking(_)) {
        losses.extra(&part.extra, &part.at);
    }
    match &part.kind {
        PartKind::Image(media) => {
            losses.extra(&media.extra, &part.at);
            if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
                let at = part.at.member("detail");
                losses.add(at.as_str(), LossKind::Dropped, "how closely to look cannot be said");
            }
        }
        PartKind::Document(document) => losses.extra(&document.media.extra, &part.at),
        PartKind::ToolCall(call) => losses.extra(&call.extra, &part.at),
        _ => {}
    }
}

/// The block of a part; `None` for one that is left out or refused.
pub(super) fn block(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    if let Some(why) = refused(part, writing) {
        writing.losses.refuse_part(part, why);
        return None;
    }
    if let PartKind::Opaque(opaque) = &part.kind {
        let own = opaque.native.of(OWN).map(|json| json.as_str().to_owned());
        if own.is_none() && (writing.answer || writing.by_model) {
            writing.losses.drop_part(part, "cannot be said in this dialect");
        } else if own.is_none() {
            writing.losses.refuse_part(part, "cannot be said in this dialect");
        }
        return own;
    }
    if !sayable(part, writing) {
        return None;
    }
    note(part, writing);
    Some(write::object(|o| {
        kind(o, part, writing);
        cache::write(o, part.cache.as_ref(), &part.at, writing);
        o.extra(&part.extra, OWN);
    }))
}

/// Whether a thought may be said: to callers any, to providers their own. A text that is another
/// maker's seal alone is not said.
fn sayable(part: &Part, writing: &mut Writing<'_>) -> bool {
    if part.as_text() == Some("") && part.signature.as_ref().is_some_and(|seal| !seals::is_own(seal)) {
        return false;
    }
    let PartKind::Thinking(thinking) = &part.kind else { return true };
    if writing.answer || is_own_thought(part) {
        return true;
    }
    let unsigned = part.signature.is_none() && thinking.encrypted.is_none() && part.form.has(OWN, LIST);
    if unsigned && thinking.origin == Some(OWN) && writing.same() {
        return true;
    }
    writing.losses.drop_part(part, "the model takes back no thoughts without its own signature");
    false
}

/// Why the model cannot be told this part.
fn refused(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    match &part.kind {
        _ if writing.answer => None,
        PartKind::Image(_) if !can.images => Some("is not taken by the model: ask one that sees"),
        PartKind::Document(Document { media: Media { source: Source::Plain(_), .. }, .. }) => None,
        PartKind::Document(_) if !can.documents => Some("is not taken by the model: send its text"),
        PartKind::Audio(_) => Some("is not taken in this dialect: send its words"),
        PartKind::Video(_) => Some("is not taken in this dialect: send pictures of it"),
        _ => None,
    }
}

fn kind(o: &mut Obj<'_>, part: &Part, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Text(said) => text(o, part, said, writing),
        PartKind::Refusal(words) => {
            if !writing.answer {
                writing.losses.add(part.at.as_str(), LossKind::Approximated, "a refusal is said as text");
            }
            o.text("type", "text");
            o.text("text", words);
        }
        PartKind::Image(media) => {
            o.text("type", "image");
            source::image(o, part, media, writing);
        }
        PartKind::Document(said) => document(o, part, said, writing),
        PartKind::Thinking(said) => thinking(o, part, said),
        PartKind::ToolCall(said) => call(o, part, said, writing),
        PartKind::ToolResult(said) => result(o, part, said, writing),
        PartKind::Audio(_) | PartKind::Video(_) | PartKind::Opaque(_) => {}
    }
}

fn text(o: &mut Obj<'_>, part: &Part, said: &Text, writing: &mut Writing<'_>) {
    o.text("type", "text");
    o.text("text", &said.text);
    if said.citations.is_empty() {
        return;
    }
    // A provider takes back its own alone: they hold what only it can read.
    let told = |citation: &&crate::hub::Citation| {
        writing.answer || citation.raw.as_ref().is_some_and(|raw| raw.of(OWN).is_some())
    };
    let texts: Vec<String> = said.citations.iter().filter(told).filter_map(citations::write).collect();
    if texts.len() < said.citations.len() {
        let why = "citations: those of another dialect are not taken here";
        writing.losses.add(part.at.as_str(), LossKind::Dropped, why);
    }
    if !texts.is_empty() {
        o.raw("citations", &format!("[{}]", texts.join(",")));
    }
}

fn document(o: &mut Obj<'_>, part: &Part, said: &Document, writing: &mut Writing<'_>) {
    o.text("type", "document");
    source::document(o, part, said, writing);
    o.opt_text("title", said.title.as_deref());
    o.opt_text("context", said.context.as_deref());
    if let Some(enabled) = said.citations {
        if enabled && !writing.capabilities().citations {
            writing.losses.add(part.at.as_str(), LossKind::Dropped, "the model cites no documents");
        } else {
            o.object("citations", |o| o.flag("enabled", enabled));
        }
    }
}

/// A thought. Another maker's has a signature that names it.
fn thinking(o: &mut Obj<'_>, part: &Part, said: &Thinking) {
    match &said.encrypted {
        Some(seal) if seals::is_own(seal) => {
            o.text("type", "redacted_thinking");
            return o.text("data", &seal.text);
        }
        _ => {}
    }
    o.text("type", "thinking");
    o.text("thinking", &said.text);
    match &part.signature {
        Some(seal) if seals::is_own(seal) => o.text("signature", &seal.text),
        None if part.form.has(OWN, LIST) && said.origin == Some(OWN) => {}
        _ => o.text("signature", &seals::carry(part, said)),
    }
}

fn call(o: &mut Obj<'_>, part: &Part, call: &ToolCall, writing: &mut Writing<'_>) {
    o.text("type", "tool_use");
    match &call.id {
        Some(id) if writing.same() || writing.answer => o.text("id", id),
        Some(id) => o.text("id", &plain_id(id)),
        None if writing.same() => {}
        None => writing.losses.refuse_part(part, "has no id: give it one"),
    }
    o.text("name", &call.name);
    if !(writing.same() && part.extra.get(OWN, "input").is_some()) {
        input(o, part, call, writing);
    }
    if part.form.has(OWN, DIRECT) {
        o.object("caller", |o| o.text("type", "direct"));
    }
}

/// The input, which is an object here. What is none is put into one.
fn input(o: &mut Obj<'_>, part: &Part, call: &ToolCall, writing: &mut Writing<'_>) {
    if call.arguments.is_empty() && writing.same() && !writing.answer {
        return;
    }
    let object = if call.kind == CallKind::Function { call.object() } else { None };
    if let Some(object) = object {
        return o.raw("input", object.as_str());
    }
    let (name, what, why) = match call.kind {
        CallKind::Function => ("arguments", LossKind::Coerced, "arguments that are no JSON object became one"),
        CallKind::Custom => ("input", LossKind::Approximated, "the input of a custom tool became an object"),
    };
    writing.losses.add(part.at.as_str(), what, why);
    o.object("input", |o| o.text(name, &call.arguments));
}

fn result(o: &mut Obj<'_>, part: &Part, result: &ToolResult, writing: &mut Writing<'_>) {
    o.text("type", "tool_result");
    match &result.call_id {
        Some(id) if writing.same() => o.text("tool_use_id", id),
        Some(id) => o.text("tool_use_id", &plain_id(id)),
        None => writing.losses.refuse(part.at.as_str(), "the tool result names no call: give it the call's id"),
    }
    let parts: Vec<&Part> = result.parts.iter().filter(|inner| writing.same() || !silent(inner, writing)).collect();
    match parts[..] {
        [] => {}
        [only] if only.as_text().is_some() && only.cache.is_none() && !only.form.has(OWN, LIST) => {
            note(only, writing);
            o.opt_text("content", only.as_text());
        }
        _ => {
            let texts: Vec<String> = parts.iter().filter_map(|inner| inner_block(inner, writing)).collect();
            o.raw("content", &format!("[{}]", texts.join(",")));
        }
    }
    o.opt_flag("is_error", result.failed);
}

/// Whether a text is white space, which this dialect refuses. Saying nothing is no loss.
pub(super) fn silent(part: &Part, writing: &mut Writing<'_>) -> bool {
    let silent = part.as_text().is_some_and(|text| text.trim().is_empty());
    if silent && !part.is_blank() {
        writing.losses.drop_part(part, "white space alone is not taken");
    }
    silent
}

/// A block of a tool's result.
fn inner_block(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    if matches!(part.kind, PartKind::Image(_)) && !writing.capabilities().tool_result_images {
        writing.losses.refuse_part(part, "is not taken in a tool result: send it behind it");
        return None;
    }
    block(part, writing)
}

/// An id of the letters this dialect takes: others are written as their number.
fn plain_id(id: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !id.is_empty() && id.chars().all(plain) {
        return id.to_owned();
    }
    let letters = id.chars().map(|letter| match letter {
        letter if plain(letter) => letter.to_string(),
        other => format!("_{:x}", u32::from(other)),
    });
    std::iter::once("id_".to_owned()).chain(letters).collect()
}
