//! Other makers' seals, carried through this dialect.
//!
//! A caller sends `encrypted_content` back untouched, so another maker's seal goes there, marked:
//! `weir1.<maker>.<s or e>.<text>`, `s` a signature and `e` encrypted thoughts. Google's seals of text
//! and calls have the member that Google's own OpenAI dialect uses: `extra_content`.

use crate::hub::write::Obj;
use crate::hub::{DecodeError, Dialect, Fields, Node, Place, Seal};
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
}

/// Another maker's seal, marked.
pub(super) fn mark(seal: &Seal, sealed: Sealed) -> String {
    let maker = MAKERS.iter().find(|(_, maker)| *maker == seal.origin).map_or("unknown", |(word, _)| word);
    let letter = match sealed {
        Sealed::Signature => 's',
        Sealed::Encrypted => 'e',
    };
    format!("{MARK}{maker}.{letter}.{}", seal.text)
}

/// Another maker's seal, if this is one.
pub(super) fn unmark(text: &str) -> Option<(Seal, Sealed)> {
    let (maker, rest) = text.strip_prefix(MARK)?.split_once('.')?;
    let (_, origin) = MAKERS.iter().find(|(word, _)| *word == maker)?;
    let (letter, text) = rest.split_once('.')?;
    let sealed = match letter {
        "s" => Sealed::Signature,
        "e" => Sealed::Encrypted,
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
            for sealed in [Sealed::Signature, Sealed::Encrypted] {
                let seal = Seal { text: "a.b=.".into(), origin };
                assert_eq!(unmark(&mark(&seal, sealed)), Some((seal, sealed)));
            }
        }
        for text in ["", "gAAAA", "weir1.", "weir1.x.s.a", "weir1.gemini.s", "weir1.gemini.t.a"] {
            assert_eq!(unmark(text), None, "{text}");
        }
    }
}
