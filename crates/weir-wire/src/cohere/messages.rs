//! The turns, written as messages.

use super::encode_request::Writing;
use super::form::{BESIDE, COHERE, LIST};
use super::{citations, documents, said};
use crate::hub::write::{self, Arr, Obj};
use crate::hub::{
    Document, Form, LossKind, Media, Part, PartKind, Place, Request, Role, Source, Text, ToolResult, Turn,
};

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
        o.extra(&turn.extra, COHERE);
    })
}

fn instruction(turn: &Turn, late: bool, writing: &mut Writing<'_>) -> String {
    let mut role = "system";
    if late && !writing.capabilities().late_instructions {
        let why = "the model takes instructions at the start alone: said as the user";
        writing.losses.add(turn.at.as_str(), LossKind::Coerced, why);
        role = "user";
    }
    let said: Vec<&Part> = turn.parts.iter().collect();
    message(role, turn, |o| whole_content(o, &said, turn, writing))
}

/// An assistant's message. What it said after a call is said before it here.
fn assistant(turn: &Turn, writing: &mut Writing<'_>) -> String {
    let called = turn.parts.iter().position(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let late = turn.parts.iter().skip(called.unwrap_or(usize::MAX)).find(|part| matches!(part.kind, PartKind::Text(_)));
    if let Some(late) = late {
        writing.losses.add(late.at.as_str(), LossKind::Approximated, "text behind a tool call is said before it");
    }
    message("assistant", turn, |o| said::write(o, &turn.parts, &turn.extra, writing))
}

/// A user's or a tool's turn: each result is a message of its own, then what the user said.
/// Documents stand beside the messages.
fn user(turn: &Turn, texts: &mut Vec<String>, writing: &mut Writing<'_>) {
    let mut shown = Vec::new();
    let mut said = Vec::new();
    for part in &turn.parts {
        match &part.kind {
            PartKind::ToolResult(result) => texts.push(tool(turn, part, result, &mut shown, writing)),
            PartKind::Document(_) if documents::is_beside(part, turn, writing) => {}
            _ => said.push(part),
        }
    }
    shown.append(&mut said);
    let documents = turn.parts.iter().any(|part| documents::is_beside(part, turn, writing));
    if !shown.is_empty() || (turn.role == Role::User && (turn.parts.is_empty() || documents)) {
        texts.push(message("user", turn, |o| whole_content(o, &shown, turn, writing)));
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
    if result.call_id.is_none() && !writing.same() {
        writing.losses.refuse(part.at.as_str(), "the tool result names no call: give it the call's id");
    }
    writing.losses.extra(&part.extra, &part.at);
    writing.no_cache(part.cache.as_ref(), &part.at);
    let own: Vec<Part>;
    let held: Vec<&Part> = if writing.same() {
        result.parts.iter().collect()
    } else {
        own = translated(part, result, shown, writing);
        own.iter().collect()
    };
    write::object(|o| {
        o.text("role", "tool");
        o.opt_text("tool_call_id", result.call_id.as_deref());
        content(o, &held, writing);
        if turn.role == Role::Tool {
            o.extra(&turn.extra, COHERE);
        }
        if !writing.same() && !o.wrote("content") {
            o.text("content", "");
        }
    })
}

/// A result of another dialect in texts and documents, with a note where the tool failed and where
/// an image was.
fn translated<'t>(
    part: &Part,
    result: &'t ToolResult,
    shown: &mut Vec<&'t Part>,
    writing: &mut Writing<'_>,
) -> Vec<Part> {
    let mut held = Vec::new();
    let listed = Form::new(COHERE, LIST);
    if result.failed == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "the tool's failure is said in its text");
        held.push(Part { form: listed, ..Part::text("[the tool failed]") });
    }
    for inner in result.parts.iter().filter(|part| !part.is_blank()) {
        match &inner.kind {
            PartKind::Text(_) | PartKind::Document(_) => held.push(inner.clone()),
            PartKind::Image(_) => {
                let why = "an image: a tool result holds text and documents, so it follows as the user's";
                writing.losses.add(inner.at.as_str(), LossKind::Approximated, why);
                held.push(Part { form: listed, ..Part::text("[shown in the next message]") });
                shown.push(inner);
            }
            _ => writing.losses.refuse_part(inner, "has no place in a tool result of this dialect"),
        }
    }
    held
}

/// Writes `content`, which users and instructions must have: empty if nothing was said.
fn whole_content(o: &mut Obj<'_>, parts: &[&Part], turn: &Turn, writing: &mut Writing<'_>) {
    content(o, parts, writing);
    if !o.wrote("content") && !writing.same() && turn.extra.get(COHERE, "content").is_none() {
        o.text("content", "");
    }
}

/// Writes `content`: a bare string where it was or can be one, else a list. Nothing without parts.
pub(super) fn content(o: &mut Obj<'_>, parts: &[&Part], writing: &mut Writing<'_>) {
    let said: Vec<&Part> = parts.iter().copied().filter(|part| writing.same() || !part.is_blank()).collect();
    match said[..] {
        [] => {}
        [only] if is_bare(only) => {
            note(only, writing);
            o.opt_text("content", only.as_text());
        }
        _ => o.array("content", |a| said.iter().for_each(|part| listed(a, part, writing))),
    }
}

/// Whether a part alone can be the string itself.
fn is_bare(part: &Part) -> bool {
    part.as_text().is_some() && !part.form.has(COHERE, LIST)
}

/// What of a part this dialect does not say.
fn note(part: &Part, writing: &mut Writing<'_>) {
    // What another dialect has beside a thought (its maker, its number) is for finding its way back.
    if !matches!(part.kind, PartKind::Thinking(_)) {
        writing.losses.extra(&part.extra, &part.at);
    }
    writing.no_cache(part.cache.as_ref(), &part.at);
    if let PartKind::Image(media) = &part.kind {
        writing.losses.extra(&media.extra, &part.at);
    }
    if let PartKind::Text(Text { .. }) = &part.kind
        && citations::of(part).iter().any(|citation| citations::own(citation).is_none())
    {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: those of another dialect");
    }
}

/// One element of a list.
fn listed(a: &mut Arr<'_>, part: &Part, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Opaque(opaque) => match opaque.native.of(COHERE) {
            Some(json) => a.raw(json.as_str()),
            None => writing.losses.refuse_part(part, "cannot be said in this dialect"),
        },
        PartKind::Document(document) if !part.form.has(COHERE, BESIDE) => document_part(a, part, document, writing),
        _ => element(a, part, writing),
    }
}

fn document_part(a: &mut Arr<'_>, part: &Part, document: &Document, writing: &mut Writing<'_>) {
    let Some(text) = documents::text_of(part, document, writing) else { return };
    a.object(|o| {
        o.text("type", "document");
        o.raw("document", &text);
    });
}

fn element(a: &mut Arr<'_>, part: &Part, writing: &mut Writing<'_>) {
    note(part, writing);
    if let Some(why) = refused(part, writing) {
        writing.losses.refuse_part(part, why);
        return;
    }
    a.object(|o| {
        match &part.kind {
            PartKind::Text(Text { text, .. }) => {
                o.text("type", "text");
                o.text("text", text);
            }
            PartKind::Thinking(thinking) => {
                o.text("type", "thinking");
                o.text("thinking", &thinking.text);
            }
            PartKind::Image(media) => image(o, media, &part.at, writing),
            _ => {}
        }
        o.extra(&part.extra, COHERE);
    });
}

/// Why the model cannot be told this part.
fn refused(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    match &part.kind {
        PartKind::Text(_) | PartKind::Thinking(_) => None,
        PartKind::Image(_) if !can.images => Some("is not taken by the model: ask one that sees"),
        PartKind::Image(media) => match media.source {
            Source::Url(_) if !can.media_urls => Some("is not fetched by the provider: send its bytes"),
            Source::Url(_) | Source::Base64(_) => None,
            Source::File(_) | Source::Plain(_) => Some("is a file at another provider: send its bytes"),
        },
        PartKind::Audio(_) => Some("is not heard by any model of this dialect"),
        PartKind::Video(_) => Some("is not seen by any model of this dialect"),
        _ => Some("stands where a message has none"),
    }
}

fn image(o: &mut Obj<'_>, media: &Media, at: &Place, writing: &mut Writing<'_>) {
    let mut detail = media.detail.as_deref();
    if detail == Some("original") {
        writing.losses.add(at.as_str(), LossKind::Coerced, "image detail original became high");
        detail = Some("high");
    }
    o.text("type", "image_url");
    o.object("image_url", |o| {
        o.text("url", &media.to_url().unwrap_or_default());
        o.opt_text("detail", detail);
        o.extra(&media.extra, COHERE);
    });
}
