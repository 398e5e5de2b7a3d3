//! Content blocks, written.

use super::encode_request::{Writing, tool_id};
use super::form::{BEDROCK, CITED, JSON, RAW};
use super::{citations, documents, media, results, thinking};
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, Citation, Document, Json, LossKind, Media, Part, PartKind, Role, Source, Text, ToolCall};
use crate::json::quote;

/// The blocks of one side's parts, as a list.
pub(super) fn list<'p>(all: impl IntoIterator<Item = &'p Part>, role: Role, writing: &mut Writing<'_>) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut shown = Vec::new();
    for part in all {
        match &part.kind {
            PartKind::ToolResult(result) => {
                writing.losses.extra(&part.extra, &part.at);
                blocks.push(results::block(part, result, &mut shown, writing));
                let within = result.parts.iter().find(|inner| inner.cache.is_some());
                cache(part.cache.as_ref().map(|_| part).or(within), &mut blocks, writing);
            }
            PartKind::Opaque(opaque) if opaque.native.dialect != BEDROCK && role == Role::Assistant => {
                writing.losses.drop_part(part, format!("{} is unknown to Bedrock", opaque.name));
            }
            _ => block(part, &mut blocks, writing),
        }
    }
    for image in shown {
        block(image, &mut blocks, writing);
    }
    blocks
}

/// One part's block, and its cache point.
pub(super) fn block(part: &Part, blocks: &mut Vec<String>, writing: &mut Writing<'_>) {
    let before = blocks.len();
    blocks.extend(one(part, writing));
    // A hint on what says nothing has nothing to stand behind.
    if blocks.len() > before {
        cache(Some(part), blocks, writing);
    }
}

fn cache(part: Option<&Part>, blocks: &mut Vec<String>, writing: &mut Writing<'_>) {
    if let Some(part) = part {
        blocks.extend(writing.cache_point(part.cache.as_ref(), &part.at));
    }
}

fn one(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    if let PartKind::Opaque(opaque) = &part.kind {
        let own = opaque.native.of(BEDROCK).map(|json| json.as_str().to_owned());
        if own.is_none() {
            writing.losses.refuse(part.at.as_str(), format!("{} cannot be said to Bedrock", opaque.name));
        }
        return own;
    }
    // Beside a thought and its seal stand notes for who carries them, which are no loss.
    if !matches!(part.kind, PartKind::Thinking(_)) {
        writing.losses.extra(&part.extra, &part.at);
    }
    if let Some(why) = unseen(part, writing) {
        writing.losses.refuse_part(part, why);
        return None;
    }
    match &part.kind {
        PartKind::Text(text) => said(part, text, writing),
        PartKind::Refusal(words) => {
            writing.losses.add(part.at.as_str(), LossKind::Approximated, "a refusal is said as text");
            (!words.trim().is_empty()).then(|| write::object(|o| o.text("text", words)))
        }
        PartKind::Thinking(thinking) => thinking::block(part, thinking, writing),
        PartKind::Audio(media) => spoken(part, media, writing),
        _ => Some(write::object(|o| {
            inner(o, part, writing);
            o.extra(&part.extra, BEDROCK);
        })),
    }
}

fn inner(o: &mut Obj<'_>, part: &Part, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Image(media) => media::write(o, "image", part, media, writing),
        PartKind::Video(media) => media::write(o, "video", part, media, writing),
        PartKind::Audio(media) => media::write(o, "audio", part, media, writing),
        PartKind::Document(document) => documents::write(o, part, document, writing),
        PartKind::ToolCall(call) => called(o, part, call, writing),
        _ => writing.losses.refuse_part(part, "stands where Bedrock has none"),
    }
}

/// Why the model cannot be told this part.
fn unseen(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    match &part.kind {
        PartKind::Image(_) if !can.images => Some("is not taken by the model: ask one that sees"),
        PartKind::Video(_) if !can.video => Some("is not taken by the model"),
        PartKind::Audio(Media { transcript: None, .. }) if !can.audio => {
            Some("is not taken by the model: ask one that hears")
        }
        PartKind::Document(Document { .. }) if !can.documents => Some("is not taken by the model: send its text"),
        PartKind::ToolCall(_) if !can.tools => Some("is not taken by the model: it knows no tools"),
        _ => None,
    }
}

/// Text. Bedrock refuses blank text, which says nothing.
fn said(part: &Part, text: &Text, writing: &mut Writing<'_>) -> Option<String> {
    if text.text.trim().is_empty() && !writing.same() {
        return None;
    }
    let ours = |citation: &Citation| citation.raw.as_ref().is_some_and(|raw| raw.dialect == BEDROCK);
    let cited = part.form.has(BEDROCK, CITED) || (!text.citations.is_empty() && text.citations.iter().all(ours));
    if !cited && !text.citations.is_empty() && !writing.answer {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations of another provider");
    }
    Some(write::object(|o| {
        match &text.text {
            json if part.form.has(BEDROCK, JSON) => match Json::parse(json) {
                Ok(json) => o.raw("json", json.as_str()),
                Err(_) => o.text("text", json),
            },
            words if cited || (writing.answer && !text.citations.is_empty()) => {
                o.object("citationsContent", |o| quoting(o, words, &text.citations));
            }
            words => o.text("text", words),
        }
        o.extra(&part.extra, BEDROCK);
    }))
}

fn quoting(o: &mut Obj<'_>, words: &str, all: &[Citation]) {
    o.array("content", |a| a.object(|o| o.text("text", words)));
    o.array("citations", |a| {
        for citation in all {
            match citation.raw.as_ref().and_then(|raw| raw.of(BEDROCK)) {
                Some(json) => a.raw(json.as_str()),
                None => a.object(|o| citations::write(o, citation)),
            }
        }
    });
}

/// Sound; the model's own of an earlier turn, which its maker keeps, in its words.
fn spoken(part: &Part, media: &Media, writing: &mut Writing<'_>) -> Option<String> {
    if let (Some(words), false) = (&media.transcript, writing.same()) {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "sound is said in its words");
        return (!words.trim().is_empty()).then(|| write::object(|o| o.text("text", words)));
    }
    if matches!(media.source, Source::File(_)) {
        writing.losses.drop_part(part, "it is kept by another provider");
        return None;
    }
    Some(write::object(|o| {
        inner(o, part, writing);
        o.extra(&part.extra, BEDROCK);
    }))
}

fn called(o: &mut Obj<'_>, part: &Part, call: &ToolCall, writing: &mut Writing<'_>) {
    writing.losses.extra(&call.extra, &part.at);
    if call.id.is_none() && !writing.same() {
        writing.losses.refuse(part.at.as_str(), "the tool call has no id: give it one");
    }
    let input = input(part, call, writing);
    o.object("toolUse", |o| {
        if let Some(id) = &call.id {
            o.text("toolUseId", &tool_id(id, writing));
        }
        o.text("name", &call.name);
        o.raw("input", &input);
        o.extra(&call.extra, BEDROCK);
    });
}

/// A call's input, an object. What is none (a custom tool's text, or broken JSON that the model
/// wrote) stands in a member `input`.
fn input(part: &Part, call: &ToolCall, writing: &mut Writing<'_>) -> String {
    if part.form.has(BEDROCK, RAW) && Json::parse(&call.arguments).is_ok() {
        return call.arguments.clone();
    }
    match call.object().filter(|_| call.kind == CallKind::Function) {
        Some(json) => json.as_str().to_owned(),
        None => {
            if call.kind == CallKind::Function {
                let why = "the arguments are no JSON object: they stand in a member input";
                writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
            }
            format!("{{\"input\":{}}}", quote(&call.arguments))
        }
    }
}
