//! What a message says, read and written: thoughts, one text, pictures, calls.

use super::calls;
use super::encode_request::Writing;
use super::form::OLLAMA;
use crate::hub::write::Obj;
use crate::hub::{
    DecodeError, Document, Fields, LossKind, Media, Mode, Part, PartKind, ReasoningReplay, Source, Thinking,
};
use crate::json::Kind;

/// Takes what an assistant's message says, in the order in which a model says it.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::new();
    let at = fields.at().member("thinking");
    if let Some(text) = fields.word("thinking")? {
        let thinking = Thinking { text, origin: Some(OLLAMA), ..Thinking::default() };
        parts.push(Part { at, ..Part::new(PartKind::Thinking(thinking)) });
    }
    parts.append(&mut content(fields)?);
    parts.append(&mut calls::take(fields)?);
    Ok(parts)
}

/// Takes the text and the pictures of a message.
pub(super) fn content(fields: &mut Fields<'_>) -> Result<Vec<Part>, DecodeError> {
    let at = fields.at().member("content");
    let text = match fields.mode() {
        Mode::Request => fields.word("content")?,
        // Every answer has one, which is empty beside thoughts and calls.
        Mode::Answer => fields.text("content")?.filter(|text| !text.is_empty()),
    };
    let mut parts: Vec<Part> = text.map(|text| Part { at, ..Part::text(text) }).into_iter().collect();
    let listed = fields.peek("images").filter(|node| node.kind == Kind::Array);
    if fields.mode() == Mode::Answer {
        let strings = |items: Vec<(_, crate::hub::Node<'_>)>| items.iter().all(|(_, node)| node.kind == Kind::String);
        if !listed.is_some_and(|list| list.items(fields.at()).is_ok_and(strings)) {
            return Ok(parts);
        }
    }
    for (at, node) in fields.list("images")? {
        let Some(data) = node.text() else {
            let why = format!("expected a string of base64, found {}", node.kind.name());
            return Err(DecodeError::new(at.as_str(), why));
        };
        let media = Media::new(Source::Base64(data.into_owned()), None);
        parts.push(Part { at, ..Part::new(PartKind::Image(media)) });
    }
    Ok(parts)
}

/// Writes what a message says. `glue` stands between its texts.
pub(super) fn write(o: &mut Obj<'_>, parts: &[&Part], glue: &str, writing: &mut Writing<'_>) {
    let mut texts = Vec::new();
    let mut thoughts = String::new();
    let mut images = Vec::new();
    for part in parts {
        note(part, writing);
        match &part.kind {
            PartKind::Text(text) => texts.push(text.text.as_str()),
            PartKind::Thinking(thinking) => thoughts.push_str(&thinking.text),
            PartKind::Image(media) => images.extend(bytes(part, media, writing)),
            PartKind::ToolCall(_) | PartKind::Opaque(_) => {}
            _ => writing.losses.refuse_part(part, "stands where a message has none"),
        }
    }
    if !texts.is_empty() || writing.answer || !writing.same() {
        o.text("content", &texts.join(glue));
    }
    if !thoughts.is_empty() {
        o.text("thinking", &thoughts);
    }
    if !images.is_empty() {
        o.array("images", |a| images.iter().for_each(|data| a.text(data)));
    }
    calls::write(o, parts, writing);
}

/// What of a part this dialect does not say.
fn note(part: &Part, writing: &mut Writing<'_>) {
    // What another dialect has beside a thought (its maker, its number) is for finding its way back;
    // that of a call is told with it.
    if !matches!(part.kind, PartKind::Thinking(_) | PartKind::ToolCall(_)) {
        writing.losses.extra(&part.extra, &part.at);
    }
    writing.no_cache(part.cache.as_ref(), &part.at);
    match &part.kind {
        PartKind::Text(text) if !text.citations.is_empty() => {
            writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: this dialect has none");
        }
        PartKind::Image(media) => {
            writing.losses.extra(&media.extra, &part.at);
            if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
                let why = "image detail: models of this dialect look as they like";
                writing.losses.add(part.at.as_str(), LossKind::Dropped, why);
            }
        }
        _ => {}
    }
}

/// The bytes of a picture, which alone are taken.
fn bytes<'m>(part: &Part, media: &'m Media, writing: &mut Writing<'_>) -> Option<&'m str> {
    let why = match &media.source {
        _ if !writing.capabilities().images => "is not taken by the model: ask one that sees",
        Source::Base64(data) => return Some(data),
        Source::Url(_) => "is not fetched by the provider: send its bytes",
        Source::File(_) | Source::Plain(_) => "is a file at another provider: send its bytes",
    };
    writing.losses.refuse_part(part, why);
    None
}

/// A user's, a tool's or an instruction's part as this dialect can say it: a text document is said as
/// text; `None` for one that is refused.
pub(super) fn shown(part: &Part, writing: &mut Writing<'_>) -> Option<Part> {
    match &part.kind {
        _ if writing.same() => Some(part.clone()),
        PartKind::Text(_) | PartKind::Image(_) => Some(part.clone()),
        PartKind::Document(document) if writing.capabilities().documents => {
            let said = document_text(document);
            match &said {
                Some(_) => writing.losses.add(part.at.as_str(), LossKind::Approximated, "a file is said as text"),
                None => writing.losses.refuse_part(part, "is not read by any model of this dialect: send its text"),
            }
            said.map(|text| Part { at: part.at.clone(), cache: part.cache.clone(), ..Part::text(text) })
        }
        PartKind::Document(_) => {
            writing.losses.refuse_part(part, "is not taken by the model: send its text");
            None
        }
        PartKind::Audio(_) => {
            writing.losses.refuse_part(part, "is not heard by any model of this dialect: send its words");
            None
        }
        _ => {
            writing.losses.refuse_part(part, "cannot be said in this dialect");
            None
        }
    }
}

/// The text of a document of text, under its title and what the caller says about it.
fn document_text(document: &Document) -> Option<String> {
    let Source::Plain(text) = &document.media.source else { return None };
    let lines = [document.title.as_deref(), document.context.as_deref(), Some(text.as_str())];
    Some(lines.into_iter().flatten().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// An assistant's part as this dialect can say it; `None` if it is left out, which is noted. `signed` if
/// thoughts of this dialect are among the parts.
pub(super) fn kept(part: &Part, signed: bool, writing: &mut Writing<'_>) -> Option<Part> {
    if writing.same() {
        return Some(part.clone());
    }
    let spoken = |text: &str, writing: &mut Writing<'_>| {
        let why = format!("{} is said as text", part.kind.name());
        writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
        Some(Part { at: part.at.clone(), cache: part.cache.clone(), ..Part::text(text) })
    };
    match &part.kind {
        _ if part.is_blank() => None,
        PartKind::Thinking(thinking) => replayed(part, thinking, signed, writing).then(|| part.clone()),
        PartKind::Refusal(text) => spoken(text, writing),
        PartKind::Audio(Media { transcript: Some(words), .. }) => spoken(words, writing),
        PartKind::Text(_) | PartKind::Image(_) | PartKind::ToolCall(_) => Some(part.clone()),
        _ => {
            writing.losses.drop_part(part, "cannot be said in this dialect");
            None
        }
    }
}

/// Whether a thought is the dialect's own.
pub(super) fn is_own(part: &Part) -> bool {
    matches!(&part.kind, PartKind::Thinking(thinking) if thinking.origin == Some(OLLAMA))
}

/// Whether a thought is sent back: the dialect's own, or else those of which nobody says whose they
/// are. With both, the second are the first in words for people.
fn replayed(part: &Part, thinking: &Thinking, signed: bool, writing: &mut Writing<'_>) -> bool {
    let why = if writing.capabilities().reasoning_replay == ReasoningReplay::Never {
        "the model takes no thoughts back"
    } else if thinking.origin.is_some_and(|origin| origin != OLLAMA) || thinking.text.is_empty() {
        "the model takes no thoughts of others"
    } else if thinking.origin.is_none() && signed {
        "the thoughts that name their maker are sent back"
    } else {
        return true;
    };
    writing.losses.drop_part(part, why);
    false
}
