//! The parts, written: `content` of a message, `output` of a tool.

use super::form::{BARE, HOLLOW, INPUT, LIST, OUTPUT, PLAIN, RESPONSES};
use super::logprobs;
use super::written::Writing;
use crate::hub::write::{self, Arr, Obj};
use crate::hub::{Citation, Document, LossKind, Media, Part, PartKind, Source, Text, TokenLogprob};

/// Writes the user's, an instruction's or a tool's parts: a bare string where it was or can be one,
/// else a list. Nothing without parts.
pub(super) fn content(o: &mut Obj<'_>, name: &'static str, parts: &[&Part], writing: &mut Writing<'_>) {
    match parts {
        [] => {}
        [only] if is_bare(only) => {
            note(only, writing);
            o.text(name, only.as_text().unwrap_or_default());
        }
        all => o.array(name, |a| all.iter().for_each(|part| listed(a, part, false, &[], writing))),
    }
}

/// Whether a part alone can be the string itself.
pub(super) fn is_bare(part: &Part) -> bool {
    let bits = part.form.bits(RESPONSES);
    part.as_text().is_some() && part.cache.is_none() && bits & (LIST | HOLLOW) == 0
}

/// What of a part this dialect does not say.
pub(super) fn note(part: &Part, writing: &mut Writing<'_>) {
    writing.losses.extra(&part.extra, &part.at);
    match &part.kind {
        PartKind::Image(media) | PartKind::Audio(media) | PartKind::Document(Document { media, .. }) => {
            writing.losses.extra(&media.extra, &part.at);
        }
        PartKind::Text(Text { citations, .. }) if !citations.is_empty() && !writing.same() && !writing.answer => {
            writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: a request's text has none here");
        }
        _ => {}
    }
}

/// One element of a list; `model` if it says it.
pub(super) fn listed(a: &mut Arr<'_>, part: &Part, model: bool, logprobs: &[TokenLogprob], writing: &mut Writing<'_>) {
    if let PartKind::Opaque(opaque) = &part.kind {
        match opaque.native.of(RESPONSES) {
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
        kind(o, part, model, writing);
        if !writing.same() && writing.answer && part.as_text().is_some() {
            o.array("logprobs", |a| logprobs.iter().for_each(|token| a.object(|o| logprobs::write(o, token))));
        }
        writing.cache(o, part.cache.as_ref(), &part.at);
        let mut extra = part.extra.clone();
        extra.remove(RESPONSES, super::form::ITEM_ID);
        extra.remove(RESPONSES, super::form::ITEM);
        o.extra(&extra, RESPONSES);
    });
}

/// Why the model cannot be told this part.
fn refused(part: &Part, writing: &Writing<'_>) -> Option<&'static str> {
    let can = writing.capabilities();
    match &part.kind {
        PartKind::Image(_) if !can.images => Some("is not taken by the model: ask one that sees"),
        PartKind::Audio(_) if !can.audio => Some("is not taken by the model: ask one that hears"),
        PartKind::Document(_) if !can.documents => Some("is not taken by the model: send its text"),
        PartKind::Image(media) | PartKind::Document(Document { media, .. }) => match &media.source {
            Source::Url(_) if !can.media_urls => Some("is not fetched by the provider: send its bytes"),
            Source::Url(url) if !writing.same() && !url.starts_with("http") && !url.starts_with("data:") => {
                Some("stands where the provider cannot fetch it: send its bytes")
            }
            Source::File(_) if !writing.same() => Some("is a file at another provider: send its bytes"),
            _ => None,
        },
        PartKind::Audio(media) if !matches!(media.source, Source::Base64(_)) => {
            Some("is not fetched by the provider: send its bytes")
        }
        PartKind::Video(_) => Some("is not taken by this dialect's providers"),
        PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Thinking(_) => {
            Some("stands where a message has none")
        }
        _ => None,
    }
}

fn kind(o: &mut Obj<'_>, part: &Part, model: bool, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Text(text) => write_text(o, part, text, model, writing),
        PartKind::Refusal(text) => {
            o.text("type", "refusal");
            o.text("refusal", text);
        }
        PartKind::Image(media) => {
            o.text("type", "input_image");
            match &media.source {
                Source::File(id) => o.text("file_id", id),
                _ => o.opt_text("image_url", media.to_url().as_deref()),
            }
            o.opt_text("detail", media.detail.as_deref());
        }
        PartKind::Audio(media) => audio(o, media),
        PartKind::Document(document) => file(o, part, document, writing),
        PartKind::Video(_)
        | PartKind::Thinking(_)
        | PartKind::ToolCall(_)
        | PartKind::ToolResult(_)
        | PartKind::Opaque(_) => {}
    }
}

fn write_text(o: &mut Obj<'_>, part: &Part, text: &Text, model: bool, writing: &Writing<'_>) {
    let bits = part.form.bits(RESPONSES);
    let output = (model || bits & OUTPUT != 0) && bits & INPUT == 0;
    o.text(
        "type",
        if bits & PLAIN != 0 {
            "text"
        } else if output {
            "output_text"
        } else {
            "input_text"
        },
    );
    o.text("text", &text.text);
    let told = if writing.same() { !text.citations.is_empty() } else { output && writing.answer };
    if told {
        o.array("annotations", |a| text.citations.iter().for_each(|citation| a.raw(&write_citation(citation))));
    }
}

/// One annotation. A source without an address is a file.
pub(super) fn write_citation(citation: &Citation) -> String {
    if let Some(json) = citation.raw.as_ref().and_then(|raw| raw.of(RESPONSES)) {
        return json.as_str().to_owned();
    }
    let title = citation.title.as_deref().unwrap_or_default();
    write::object(|o| match &citation.url {
        None => {
            o.text("type", "file_citation");
            o.text("file_id", "");
            o.text("filename", title);
            o.count("index", citation.end.unwrap_or_default());
        }
        Some(url) => {
            o.text("type", "url_citation");
            o.count("start_index", citation.start.unwrap_or_default());
            o.count("end_index", citation.end.unwrap_or_default());
            o.text("title", title);
            o.text("url", url);
        }
    })
}

fn audio(o: &mut Obj<'_>, media: &Media) {
    let Source::Base64(data) = &media.source else { return };
    let format = media.mime.as_deref().map(|mime| match mime {
        "audio/mpeg" => "mp3",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "wav",
        other => other.strip_prefix("audio/").unwrap_or(other),
    });
    o.text("type", "input_audio");
    o.object("input_audio", |o| {
        o.text("data", data);
        o.opt_text("format", format);
        o.extra(&media.extra, RESPONSES);
    });
}

fn file(o: &mut Obj<'_>, part: &Part, document: &Document, writing: &mut Writing<'_>) {
    let Document { media, title, context, citations } = document;
    if context.is_some() || *citations == Some(true) {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "the file's context and citations: unknown here");
    }
    if let Source::Plain(text) = &media.source {
        writing.losses.add(part.at.as_str(), LossKind::Approximated, "a text file is said as text");
        o.text("type", "input_text");
        let head = title.as_ref().map(|title| format!("{title}\n\n")).unwrap_or_default();
        return o.text("text", &format!("{head}{text}"));
    }
    o.text("type", "input_file");
    match &media.source {
        Source::File(id) => o.text("file_id", id),
        Source::Url(url) => o.text("file_url", url),
        Source::Base64(data) if part.form.has(RESPONSES, BARE) => o.text("file_data", data),
        _ => o.opt_text("file_data", media.to_url().as_deref()),
    }
    // Bytes need a name here, an address does not.
    let unnamed = (!writing.same() && matches!(media.source, Source::Base64(_))).then_some("file.pdf");
    o.opt_text("filename", title.as_deref().or(unnamed));
}
