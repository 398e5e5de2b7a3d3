//! Seals: which are this dialect's own, and how those of other makers pass through its callers.
//!
//! A client sends thoughts back as they came, signature included. Thoughts of another maker are
//! given a signature that says whose they are and holds what that maker must see again, so that
//! they are recognised: `weir:<maker>:<kind>:<id>:<seal>`. They are never sent to a provider of this
//! dialect, which would refuse them.

use crate::hub::{Dialect, Node, Part, PartKind, Place, Seal, Thinking, write};
use crate::json::Kind;

const PREFIX: &str = "weir:";

const MAKERS: [(&str, Dialect); 7] = [
    ("chat", Dialect::OpenAiChat),
    ("responses", Dialect::OpenAiResponses),
    ("anthropic", Dialect::Anthropic),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
    ("ollama", Dialect::Ollama),
];

/// Whether a provider of this dialect can read the seal. Bedrock's are those of the model behind it.
pub(super) fn is_own(seal: &Seal) -> bool {
    matches!(seal.origin, Some(Dialect::Anthropic | Dialect::Bedrock))
}

/// The signature that carries a foreign thought's seal: its encrypted form, or else its signature.
pub(super) fn carry(part: &Part, thinking: &Thinking) -> String {
    let (kind, seal) = match (&thinking.encrypted, &part.signature) {
        (Some(seal), _) => ("encrypted", Some(seal)),
        (None, Some(seal)) => ("signature", Some(seal)),
        (None, None) => ("none", None),
    };
    let origin = thinking.origin.or(seal.and_then(|seal| seal.origin));
    let maker = MAKERS.iter().find(|(_, dialect)| Some(*dialect) == origin).map_or("", |(name, _)| name);
    let id = thinking.id.as_deref().filter(|id| !id.contains(':')).unwrap_or_default();
    let summary = if thinking.summary { "summary" } else { "" };
    let text = seal.map_or("", |seal| seal.text.as_str());
    format!("{PREFIX}{maker}:{kind}:{summary}:{id}:{text}")
}

/// The thought that a signature of [`carry`] carries, its text left out.
pub(super) fn uncarry(signature: &str) -> Option<Part> {
    let mut words = signature.strip_prefix(PREFIX)?.splitn(5, ':');
    let (maker, kind, summary, id, text) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let origin = MAKERS.iter().find(|(name, _)| *name == maker).map(|(_, dialect)| *dialect);
    let seal = Seal { text: text.to_owned(), origin };
    let mut thinking = Thinking {
        id: (!id.is_empty()).then(|| id.to_owned()),
        summary: summary == "summary",
        origin,
        ..Thinking::default()
    };
    let mut signature = None;
    match kind {
        "encrypted" => thinking.encrypted = Some(seal),
        "signature" => signature = Some(seal),
        _ => {}
    }
    Some(Part { signature, ..Part::new(PartKind::Thinking(thinking)) })
}

/// The block before a part that carries its foreign seal; `None` for a part without one, and for a
/// text, whose seal comes at its end.
pub(super) fn carry_next(part: &Part) -> Option<String> {
    beside(part, "next").filter(|_| part.as_text().is_none())
}

/// The block behind a text that carries its foreign seal.
pub(super) fn carry_last(part: &Part) -> Option<String> {
    beside(part, "last").filter(|_| part.as_text().is_some())
}

fn beside(part: &Part, kind: &str) -> Option<String> {
    let seal = part.signature.as_ref().filter(|seal| !is_own(seal))?;
    if matches!(part.kind, PartKind::Thinking(_)) {
        return None;
    }
    let maker = MAKERS.iter().find(|(_, dialect)| Some(*dialect) == seal.origin).map(|(name, _)| name)?;
    Some(write::object(|o| {
        o.text("type", "thinking");
        o.text("thinking", "");
        o.text("signature", &format!("{PREFIX}{maker}:{kind}:::{}", seal.text));
    }))
}

/// A seal that stands beside its part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Of the part behind it.
    Next(Seal),
    /// Of the text before it.
    Last(Seal),
}

/// The seal that a block of [`carry_next`] or [`carry_last`] carries.
pub(super) fn uncarry_beside(node: Node<'_>) -> Option<Beside> {
    if node.kind != Kind::Object || !node.raw.contains(PREFIX) {
        return None;
    }
    let fields = node.fields(Place::root()).ok()?;
    let text = |name: &str| fields.peek(name).and_then(Node::text);
    let (kind, signature) = (text("type")?, text("signature")?);
    let (maker, rest) = signature.strip_prefix(PREFIX)?.split_once(':')?;
    let (_, origin) = MAKERS.iter().find(|(name, _)| *name == maker).filter(|_| kind == "thinking")?;
    let (place, text) = rest.split_once(":::")?;
    let seal = Seal { text: text.to_owned(), origin: Some(*origin) };
    match place {
        "next" => Some(Beside::Next(seal)),
        "last" => Some(Beside::Last(seal)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_comes_back() {
        let seal = |origin| Some(Seal { text: "a:b==".into(), origin: Some(origin) });
        let thoughts = [
            Thinking {
                id: Some("rs_1".into()),
                summary: true,
                encrypted: seal(Dialect::OpenAiResponses),
                origin: Some(Dialect::OpenAiResponses),
                ..Thinking::default()
            },
            Thinking::default(),
        ];
        for thinking in thoughts {
            let part = Part::new(PartKind::Thinking(thinking.clone()));
            assert_eq!(uncarry(&carry(&part, &thinking)), Some(part));
        }
        let thinking = Thinking { origin: Some(Dialect::Gemini), ..Thinking::default() };
        let part = Part { signature: seal(Dialect::Gemini), ..Part::new(PartKind::Thinking(thinking.clone())) };
        assert_eq!(uncarry(&carry(&part, &thinking)), Some(part));
        assert_eq!(uncarry("EqQBCkgIARABGAIiQL"), None);
    }

    #[test]
    fn the_seal_of_a_call_comes_back() {
        let seal = Seal { text: "a:b==".into(), origin: Some(Dialect::Gemini) };
        let read = |block: Option<String>| {
            uncarry_beside(Node::of_body(block?.as_bytes(), crate::hub::Mode::Request).unwrap())
        };
        let text = Part { signature: Some(seal.clone()), ..Part::text("x") };
        assert_eq!((read(carry_next(&text)), read(carry_last(&text))), (None, Some(Beside::Last(seal.clone()))));
        let call = Part { signature: Some(seal.clone()), ..Part::new(PartKind::Refusal(String::new())) };
        assert_eq!((read(carry_next(&call)), read(carry_last(&call))), (Some(Beside::Next(seal)), None));
        let own = Seal { text: "s".into(), origin: Some(Dialect::Anthropic) };
        assert_eq!(carry_last(&Part { signature: Some(own), ..Part::text("x") }), None);
    }
}
