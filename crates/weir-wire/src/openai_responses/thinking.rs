//! `reasoning` items: summaries, thoughts, and what only their maker can read. Read.

use super::form::{CONTINUES, HOLLOW, LIST, RESPONSES, bit_if, form};
use super::item::attach;
use super::seals::{self, Sealed};
use crate::hub::{DecodeError, Dialect, Fields, Mode, Node, Part, PartKind, Place, Seal, Thinking};
use crate::json::Kind;

/// The parts of an item, and the seal of the call that follows.
pub(super) type Said = (Vec<Part>, Option<Seal>);

/// The parts of an item: its summaries, then its thoughts; and the seal of the call that follows, if it
/// carries that. Without words there are no parts then. `None` if not all of it is understood.
pub(super) fn read(mut fields: Fields<'_>) -> Result<Option<Said>, DecodeError> {
    fields.take("type");
    let id = fields.word("id")?;
    let at = fields.at().clone();
    let mut parts = Vec::new();
    for (name, word, summary) in [("summary", "summary_text", true), ("content", "reasoning_text", false)] {
        for (at, node) in fields.list(name)? {
            let Some(mut part) = element(node, at, word, summary)? else { return Ok(None) };
            part.form = form(LIST | bit_if(!parts.is_empty(), CONTINUES));
            parts.push(part);
        }
    }
    if parts.is_empty() {
        parts.push(Part { at, form: form(HOLLOW), ..Part::new(PartKind::Thinking(Thinking::default())) });
    }
    let mode = fields.mode();
    let encrypted = fields.word("encrypted_content")?;
    let seal = origin(&mut parts, id, encrypted, mode);
    if seal.is_some() && parts.iter().all(Part::is_blank) {
        return Ok(Some((Vec::new(), seal)));
    }
    attach(&mut parts, None, fields.rest(RESPONSES));
    Ok(Some((parts, seal)))
}

/// One summary or thought, if it is one.
pub(super) fn element(node: Node<'_>, at: Place, word: &str, summary: bool) -> Result<Option<Part>, DecodeError> {
    if node.kind != Kind::Object {
        return Ok(None);
    }
    let mut fields = node.fields(at.clone())?;
    if fields.peek("type").and_then(Node::text).as_deref() != Some(word) {
        return Ok(None);
    }
    fields.take("type");
    let Some(text) = fields.text("text")? else { return Ok(None) };
    let thinking = Thinking { text, summary, ..Thinking::default() };
    Ok(Some(Part { at, extra: fields.rest(RESPONSES), ..Part::new(PartKind::Thinking(thinking)) }))
}

/// Says of all parts whose they are, and seals the last, unless the seal is the next call's.
fn origin(parts: &mut [Part], id: Option<String>, encrypted: Option<String>, mode: Mode) -> Option<Seal> {
    // A provider's seals are its own, whatever they look like; a caller's may be another maker's.
    let foreign = encrypted.as_deref().filter(|_| mode == Mode::Request).and_then(seals::unmark);
    let origin = match (&foreign, &id, &encrypted) {
        (Some((seal, _)), ..) => seal.origin,
        (None, None, None) => None,
        (None, ..) => Some(RESPONSES),
    };
    for part in parts.iter_mut() {
        if let PartKind::Thinking(thinking) = &mut part.kind {
            thinking.id.clone_from(&id);
            thinking.origin = origin;
            thinking.summary &= foreign.is_none();
        }
    }
    let Some(Part { kind: PartKind::Thinking(last), signature, .. }) = parts.last_mut() else { return None };
    match foreign {
        Some((seal, Sealed::Call)) => return Some(seal),
        Some((seal, Sealed::Signature)) => *signature = Some(seal),
        Some((seal, Sealed::Encrypted)) => {
            last.redacted = seal.origin == Some(Dialect::Anthropic);
            last.encrypted = Some(seal);
        }
        None => last.encrypted = encrypted.map(|text| Seal { text, origin: Some(RESPONSES) }),
    }
    None
}
