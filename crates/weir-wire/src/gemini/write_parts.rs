//! `parts`, written.

use super::encode_request::Writing;
use super::form::{GEMINI, NO_TEXT, NOT_THOUGHT, SEAL_SNAKE, outside};
use super::names::spelt;
use super::{functions, media, seals};
use crate::hub::write::{self, Obj};
use crate::hub::{Document, LossKind, Part, PartKind, Source, Text, Thinking};

/// Writes a part; `None` for what is left out, which is told.
pub(super) fn write(part: &Part, writing: &mut Writing<'_>) -> Option<String> {
    write_in_turn(part, false, &mut Vec::new(), writing)
}

/// Writes a part of a turn. `first` if it is the first call of the model's turn; `shown` takes what a
/// result cannot hold.
pub(super) fn write_in_turn<'p>(
    part: &'p Part,
    first: bool,
    shown: &mut Vec<&'p Part>,
    writing: &mut Writing<'_>,
) -> Option<String> {
    if let PartKind::Opaque(opaque) = &part.kind {
        if let Some(json) = opaque.native.of(GEMINI) {
            return Some(json.as_str().to_owned());
        }
        writing.refuse_or_drop(part, "cannot be said in this dialect");
        return None;
    }
    if let Some(why) = media::refused(part, writing) {
        writing.refuse_or_drop(part, why);
        return None;
    }
    note(part, writing);
    if !sayable(part, writing) {
        return None;
    }
    Some(write::object(|o| {
        kind(o, part, shown, writing);
        seal(o, part, first, writing);
        o.extra(&outside(&part.extra, &["functionResponse"]), GEMINI);
    }))
}

/// What of a part this dialect does not say.
fn note(part: &Part, writing: &mut Writing<'_>) {
    // Beside a thought stands but how its maker counts and names it.
    if !matches!(part.kind, PartKind::Thinking(_)) {
        writing.losses.extra(&part.extra, &part.at);
    }
    if part.cache.is_some() {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
    }
    if let PartKind::Text(Text { citations, .. }) = &part.kind
        && !citations.is_empty()
        && !writing.answer
    {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: a request's text has none here");
    }
}

/// Whether anything of the part can be written. Thoughts of others mean nothing to the model.
fn sayable(part: &Part, writing: &mut Writing<'_>) -> bool {
    match &part.kind {
        PartKind::Thinking(thinking) if !writing.answer && thinking.origin != Some(GEMINI) => {}
        _ => return true,
    }
    if !part.is_blank() {
        writing.losses.drop_part(part, "the model takes no thoughts back but its own");
    }
    false
}

/// Whether a thought is written without its words: it had none here, or it has but a seal.
fn is_wordless(part: &Part, thinking: &Thinking, writing: &Writing<'_>) -> bool {
    let sealed = writing.answer && !writing.same() && !part.is_blank();
    thinking.text.is_empty() && (sealed || part.form.has(GEMINI, NO_TEXT))
}

fn kind<'p>(o: &mut Obj<'_>, part: &'p Part, shown: &mut Vec<&'p Part>, writing: &mut Writing<'_>) {
    match &part.kind {
        PartKind::Text(text) => {
            if !(text.text.is_empty() && part.form.has(GEMINI, NO_TEXT)) {
                o.text("text", &text.text);
            }
            if part.form.has(GEMINI, NOT_THOUGHT) {
                o.flag("thought", false);
            }
        }
        PartKind::Thinking(thinking) => {
            if !is_wordless(part, thinking, writing) {
                o.text("text", &thinking.text);
            }
            o.flag("thought", true);
        }
        PartKind::Refusal(text) => {
            writing.losses.add(part.at.as_str(), LossKind::Approximated, "a refusal is said as text");
            o.text("text", text);
        }
        PartKind::Document(Document { media, title, .. }) if matches!(media.source, Source::Plain(_)) => {
            writing.losses.add(part.at.as_str(), LossKind::Approximated, "a text file is said as text");
            let Source::Plain(text) = &media.source else { return };
            let head = title.as_ref().map(|title| format!("{title}\n\n")).unwrap_or_default();
            o.text("text", &format!("{head}{text}"));
        }
        PartKind::ToolCall(call) => functions::write_call(o, part, call, writing),
        PartKind::ToolResult(result) => functions::write_result(o, part, result, shown, writing),
        PartKind::Image(_) | PartKind::Audio(_) | PartKind::Video(_) | PartKind::Document(_) => {
            media::write(o, part, writing);
        }
        PartKind::Opaque(_) => {}
    }
}

/// Writes the seal: to clients any, and to the model its own, or what stands in for it where the model
/// insists on one.
fn seal(o: &mut Obj<'_>, part: &Part, first: bool, writing: &mut Writing<'_>) {
    let name = spelt("thoughtSignature", part.form.has(GEMINI, SEAL_SNAKE));
    if writing.answer && !writing.same() {
        return o.opt_text(name, seals::for_client(part).as_deref());
    }
    match &part.signature {
        Some(seal) if seal.origin == Some(GEMINI) => return o.text(name, &seals::respelt(part, seal)),
        Some(_) => writing.losses.add(part.at.as_str(), LossKind::Dropped, "the signature is another model's"),
        None => {}
    }
    if first && matches!(part.kind, PartKind::ToolCall(_)) && !writing.capabilities().unsealed_calls {
        let why = "the call was not made by the model: Google's stand-in for its signature was sent";
        writing.losses.add(part.at.as_str(), LossKind::Approximated, why);
        o.text(name, seals::STAND_IN);
    }
}
