//! The parts, written: `content` and what stands beside it in a message.

use super::encode_answer::unsayable;
use super::encode_request::{Writing, is_control};
use super::form::{
    BARE, CHAT, DETAILS, DOCUMENT_URL, LEGACY, LIST, NO_ARGUMENTS, NO_TYPE, RAW, REASONING, REASONING_CONTENT,
};
use super::{messages, thinking};
use crate::hub::write::{self, Arr, Obj};
use crate::hub::{
    CallKind, Capabilities, Dialect, Document, LossKind, Losses, Media, Part, PartKind, Source, Target, Text, Thinking,
    ToolCall,
};

/// Writes `content`: a bare string where it was or can be one, else a list. Nothing without parts.
pub(super) fn content(o: &mut Obj<'_>, parts: &[&Part], writing: &mut Writing<'_>) {
    match parts {
        [] => {}
        [only] if is_bare(only) => {
            note(only, writing);
            bare(o, only);
        }
        all => o.array("content", |a| all.iter().for_each(|part| listed(a, part, writing))),
    }
}

/// Whether a part alone can be the string itself.
fn is_bare(part: &Part) -> bool {
    part.as_text().is_some() && part.cache.is_none() && !part.form.has(CHAT, LIST)
}

fn bare(o: &mut Obj<'_>, part: &Part) {
    match part.as_text() {
        Some(text) if part.form.has(CHAT, RAW) => o.raw("content", text),
        text => o.opt_text("content", text),
    }
}

/// Writes `content` of this part alone, as a list: a picture that came in this dialect's stream.
pub(super) fn alone(o: &mut Obj<'_>, part: &Part, capabilities: &Capabilities) {
    let target = Target { model: "", capabilities, caller: CHAT };
    let mut writing = Writing { losses: Losses::new(CHAT, CHAT), target: &target, answer: true };
    o.array("content", |a| listed(a, part, &mut writing));
}

/// What of a text part this dialect does not say.
fn note(part: &Part, writing: &mut Writing<'_>) {
    writing.losses.extra(&part.extra, &part.at);
    if let PartKind::Text(Text { citations, .. }) = &part.kind
        && !citations.is_empty()
        && !writing.same()
        && !writing.answer
    {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: a request's text has none here");
    }
}

/// One element of a list.
fn listed(a: &mut Arr<'_>, part: &Part, writing: &mut Writing<'_>) {
    if part.form.has(CHAT, BARE) && part.as_text().is_some() {
        return a.text(part.as_text().unwrap_or_default());
    }
    if let PartKind::Opaque(opaque) = &part.kind {
        match opaque.native.of(CHAT) {
            Some(json) => a.raw(json.as_str()),
            None => writing.losses.refuse_part(part, "cannot be said in this dialect"),
        }
        return;
    }
    note(part, writing);
    if let Some(why) = refused(part, writing) {
        writing.losses.refuse_part(part, why);
        return;
    }
    a.object(|o| {
        kind(o, part, writing);
        writing.cache(o, part.cache.as_ref(), is_control(part.form), &part.at);
        o.extra(&part.extra, CHAT);
    });
}

/// Why the model cannot be told this part.
fn refused(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    let fetched = |media: &Media| matches!(media.source, Source::Url(_)) && !can.media_urls;
    let elsewhere = |media: &Media| matches!(media.source, Source::File(_)) && !writing.same();
    match &part.kind {
        PartKind::Image(_) if !can.images => Some("is not taken by the model: ask one that sees"),
        PartKind::Video(_) if !can.video => Some("is not taken by the model"),
        PartKind::Audio(_) if !can.audio => Some("is not taken by the model: ask one that hears"),
        PartKind::Document(_) if !can.documents => Some("is not taken by the model: send its text"),
        PartKind::Image(media) | PartKind::Video(media) if fetched(media) => {
            Some("is not fetched by the provider: send its bytes")
        }
        PartKind::Image(media) | PartKind::Video(media) | PartKind::Document(Document { media, .. })
            if elsewhere(media) =>
        {
            Some("is a file at another provider: send its bytes")
        }
        PartKind::Document(Document { media: Media { source: Source::Url(_), .. }, .. })
            if !part.form.has(CHAT, DOCUMENT_URL) =>
        {
            Some("is not fetched by the provider: send its bytes")
        }
        _ => None,
    }
}

fn kind(o: &mut Obj<'_>, part: &Part, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Text(Text { text, .. }) => {
            o.text("type", "text");
            o.text("text", text);
        }
        PartKind::Refusal(text) => {
            o.text("type", "refusal");
            o.text("refusal", text);
        }
        PartKind::Image(media) => address(o, "image_url", part, media),
        PartKind::Video(media) => address(o, "video_url", part, media),
        PartKind::Audio(media) => audio(o, part, media, writing),
        PartKind::Document(document) => file(o, part, document, writing),
        PartKind::Thinking(Thinking { text, .. }) => {
            o.text("type", "thinking");
            thoughts(o, text);
        }
        PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Opaque(_) => {
            writing.losses.refuse_part(part, "stands where a message has none");
        }
    }
}

/// Mistral's list of thoughts.
pub(super) fn thoughts(o: &mut Obj<'_>, text: &str) {
    o.array("thinking", |a| {
        if !text.is_empty() {
            a.object(|o| {
                o.text("type", "text");
                o.text("text", text);
            });
        }
    });
}

fn address(o: &mut Obj<'_>, name: &'static str, part: &Part, media: &Media) {
    o.text("type", name);
    let url = media.to_url().unwrap_or_default();
    if part.form.has(CHAT, BARE) {
        return o.text(name, &url);
    }
    o.object(name, |o| {
        o.text("url", &url);
        o.opt_text("detail", media.detail.as_deref());
        o.extra(&media.extra, CHAT);
    });
}

fn audio(o: &mut Obj<'_>, part: &Part, media: &Media, writing: &mut Writing<'_>) {
    let Source::Base64(data) = &media.source else {
        writing.losses.refuse_part(part, "is not fetched by the provider: send its bytes");
        return;
    };
    let format = media.mime.as_deref().map(|mime| match mime {
        "audio/mpeg" => "mp3",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "wav",
        other => other.strip_prefix("audio/").unwrap_or(other),
    });
    o.text("type", "input_audio");
    o.object("input_audio", |o| {
        o.text("data", data);
        o.opt_text("format", format);
        o.extra(&media.extra, CHAT);
    });
}

fn file(o: &mut Obj<'_>, part: &Part, document: &Document, writing: &mut Writing<'_>) {
    let Document { media, title, context, citations } = document;
    if context.is_some() || *citations == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "the file's context and citations: unknown here");
    }
    if part.form.has(CHAT, DOCUMENT_URL) {
        return address(o, "document_url", part, media);
    }
    if let Source::Plain(text) = &media.source {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "a text file is said as text");
        o.text("type", "text");
        let head = title.as_ref().map(|title| format!("{title}\n\n")).unwrap_or_default();
        return o.text("text", &format!("{head}{text}"));
    }
    o.text("type", "file");
    o.object("file", |o| {
        match &media.source {
            Source::File(id) => o.text("file_id", id),
            Source::Base64(data) if part.form.has(CHAT, BARE) => o.text("file_data", data),
            _ => o.opt_text("file_data", media.to_url().as_deref()),
        }
        o.opt_text("filename", title.as_deref().or((!writing.same()).then_some("file.pdf")));
        o.extra(&media.extra, CHAT);
    });
}

/// Writes what an assistant's message says: thoughts, content, refusal, sound, calls.
pub(super) fn said(o: &mut Obj<'_>, parts: &[Part], writing: &mut Writing<'_>) {
    let thoughts: Vec<(&Part, u16)> = parts
        .iter()
        .filter(|part| part.form.has(CHAT, DETAILS) || matches!(part.kind, PartKind::Thinking(_)))
        .map(|part| (part, messages::replay_bits(part, writing)))
        .collect();
    write_thoughts(o, &thoughts);
    let content: Vec<&Part> =
        parts.iter().filter(|part| in_content(part) && !(writing.answer && unsayable(part))).collect();
    said_content(o, &content, writing);
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

/// An assistant's content: several texts that were no list are one, as an answer's are.
fn said_content(o: &mut Obj<'_>, parts: &[&Part], writing: &mut Writing<'_>) {
    if parts.len() > 1 && parts.iter().all(|part| is_bare(part)) {
        parts.iter().for_each(|part| note(part, writing));
        let joined: String = parts.iter().filter_map(|part| part.as_text()).collect();
        return o.text("content", &joined);
    }
    content(o, parts, writing);
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
    let details: Vec<String> = thoughts
        .iter()
        .filter(|(_, bits)| bits & DETAILS != 0)
        .enumerate()
        .flat_map(|(index, (part, _))| details(part, index as u64))
        .collect();
    if !details.is_empty() {
        o.raw("reasoning_details", &format!("[{}]", details.join(",")));
    }
}

/// The elements of `reasoning_details` for a part: one, or two where another dialect's part holds
/// both words and what only its maker can read.
fn details(part: &Part, index: u64) -> Vec<String> {
    let thinking = match &part.kind {
        PartKind::Thinking(thinking) => thinking,
        PartKind::Opaque(opaque) => {
            return opaque.native.of(CHAT).map(|json| json.as_str().to_owned()).into_iter().collect();
        }
        _ => return Vec::new(),
    };
    let element = |fill: &dyn Fn(&mut Obj<'_>)| {
        write::object(|o| {
            fill(o);
            detail_rest(o, part, thinking, index);
        })
    };
    let mut all = Vec::new();
    if !thinking.text.is_empty() || thinking.encrypted.is_none() {
        all.push(element(&|o| detail_text(o, part, thinking)));
    }
    if let Some(seal) = &thinking.encrypted {
        all.push(element(&|o| {
            o.text("type", "reasoning.encrypted");
            o.text("data", &seal.text);
        }));
    }
    all
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
