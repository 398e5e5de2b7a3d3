//! Other makers' seals, carried through this dialect.
//!
//! A caller sends `encrypted_content` back untouched, so another maker's seal goes there, marked:
//! `weir1.<maker>.<s, e or c>.<text>`, `s` a signature, `e` encrypted thoughts, `c` the seal of the
//! call that follows. It is written whether or not `include` asks for `reasoning.encrypted_content`:
//! without it the second turn cannot be answered, and nobody else stores it. Google's seals of text and
//! calls stand also in the member that Google's own OpenAI dialect uses, `extra_content`; but typed
//! clients send back what they know alone, so that a call's stands in a reasoning item before it: that
//! of the thought directly before if it has no seal of its own, or else one without a summary.

use crate::hub::write::Obj;
use crate::hub::{DecodeError, Dialect, Fields, Node, Part, PartKind, Place, Seal, Thinking};
use crate::json::Kind;

const MARK: &str = "weir1.";

/// The makers by their words in the mark.
const MAKERS: [(&str, Option<Dialect>); 7] = [
    ("chat", Some(Dialect::OpenAiChat)),
    ("anthropic", Some(Dialect::Anthropic)),
    ("gemini", Some(Dialect::Gemini)),
    ("bedrock", Some(Dialect::Bedrock)),
    ("cohere", Some(Dialect::Cohere)),
    ("ollama", Some(Dialect::Ollama)),
    ("unknown", None),
];

/// What another maker's seal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// A signature of what stands in words.
    Signature,
    /// The thoughts themselves.
    Encrypted,
    /// A signature of the call that follows.
    Call,
}

/// Another maker's seal, marked.
pub(super) fn mark(seal: &Seal, sealed: Sealed) -> String {
    let maker = MAKERS.iter().find(|(_, maker)| *maker == seal.origin).map_or("unknown", |(word, _)| word);
    let letter = match sealed {
        Sealed::Signature => 's',
        Sealed::Encrypted => 'e',
        Sealed::Call => 'c',
    };
    format!("{MARK}{maker}.{letter}.{}", seal.text)
}

/// What is written as a reasoning item's `encrypted_content` for Google's seal of the call behind it.
pub(super) fn before(call: &Part) -> Option<Seal> {
    let seal = call.signature.as_ref().filter(|seal| seal.origin == Some(Dialect::Gemini))?;
    let text = mark(seal, Sealed::Call);
    matches!(call.kind, PartKind::ToolCall(_)).then_some(Seal { text, origin: Some(Dialect::OpenAiResponses) })
}

/// A thought that nobody can read and that says nothing but this.
pub(super) fn wordless(seal: Seal) -> Part {
    let origin = seal.origin;
    Part::new(PartKind::Thinking(Thinking { encrypted: Some(seal), origin, ..Thinking::default() }))
}

/// Whether it is a thought in words without a seal, whose item may carry that of the call behind it.
pub(super) fn is_unsealed(part: &Part) -> bool {
    let PartKind::Thinking(thinking) = &part.kind else { return false };
    part.signature.is_none() && thinking.encrypted.is_none() && !thinking.text.is_empty()
}

/// Another dialect's parts with the seals of their calls before them.
pub(super) fn with_seals_before(parts: Vec<Part>) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if let Some(seal) = before(&part) {
            match all.last_mut().filter(|last| is_unsealed(last)).map(|last| &mut last.kind) {
                Some(PartKind::Thinking(thinking)) => thinking.encrypted = Some(seal),
                _ => all.push(wordless(seal)),
            }
        }
        all.push(part);
    }
    all
}

/// Another maker's seal, if this is one.
pub(super) fn unmark(text: &str) -> Option<(Seal, Sealed)> {
    let (maker, rest) = text.strip_prefix(MARK)?.split_once('.')?;
    let (_, origin) = MAKERS.iter().find(|(word, _)| *word == maker)?;
    let (letter, text) = rest.split_once('.')?;
    let sealed = match letter {
        "s" => Sealed::Signature,
        "e" => Sealed::Encrypted,
        "c" => Sealed::Call,
        _ => return None,
    };
    Some((Seal { text: text.to_owned(), origin: *origin }, sealed))
}

/// Takes Google's `extra_content.google.thought_signature`, if there is nothing else in it.
pub(super) fn take_google(fields: &mut Fields<'_>) -> Result<Option<Seal>, DecodeError> {
    let Some(node) = fields.peek("extra_content").filter(|node| node.kind == Kind::Object) else {
        return Ok(None);
    };
    let mut outer = node.fields(Place::root())?;
    let Some(mut google) = outer.object("google").ok().flatten() else { return Ok(None) };
    let text = google.peek("thought_signature").and_then(Node::text);
    google.take("thought_signature");
    let Some(text) = text.filter(|text| !text.is_empty() && outer.is_empty() && google.is_empty()) else {
        return Ok(None);
    };
    fields.take("extra_content");
    Ok(Some(Seal { text: text.into_owned(), origin: Some(Dialect::Gemini) }))
}

/// Writes Google's seal.
pub(super) fn write_google(o: &mut Obj<'_>, seal: &Seal) {
    o.object("extra_content", |o| o.object("google", |o| o.text("thought_signature", &seal.text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_come_back_to_their_makers() {
        for (_, origin) in MAKERS {
            for sealed in [Sealed::Signature, Sealed::Encrypted, Sealed::Call] {
                let seal = Seal { text: "a.b=.".into(), origin };
                assert_eq!(unmark(&mark(&seal, sealed)), Some((seal, sealed)));
            }
        }
        for text in ["", "gAAAA", "weir1.", "weir1.x.s.a", "weir1.gemini.s", "weir1.gemini.t.a"] {
            assert_eq!(unmark(text), None, "{text}");
        }
    }
}
