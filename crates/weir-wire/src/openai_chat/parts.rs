//! The parts, written: `content` and what stands beside it in a message.

use super::encode_request::{Writing, is_control};
use super::form::{BARE, CHAT, DOCUMENT_URL, LIST, RAW};
use super::said;
use crate::hub::write::{Arr, Obj};
use crate::hub::{Capabilities, Document, LossKind, Losses, Media, Part, PartKind, Source, Target, Text, Thinking};

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
pub(super) fn is_bare(part: &Part) -> bool {
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
pub(super) fn note(part: &Part, writing: &mut Writing<'_>) {
    writing.losses.extra(&part.extra, &part.at);
    if let PartKind::Image(media) | PartKind::Video(media) | PartKind::Audio(media) = &part.kind {
        writing.losses.extra(&media.extra, &part.at);
    }
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
            said::thought_list(o, text);
        }
        PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Opaque(_) => {
            writing.losses.refuse_part(part, "stands where a message has none");
        }
    }
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
