//! Seals: which are this dialect's own, and how those of other makers pass through its callers.
//!
//! A client sends thoughts back as they came, signature included. Thoughts of another maker are
//! given a signature that says whose they are and holds what that maker must see again, so that
//! they are recognised: `weir:<maker>:<kind>:<id>:<seal>`. They are never sent to a provider of this
//! dialect, which would refuse them.

use crate::hub::{Dialect, Part, PartKind, Seal, Thinking};

const PREFIX: &str = "weir:";

const MAKERS: [(&str, Dialect); 6] = [
    ("chat", Dialect::OpenAiChat),
    ("responses", Dialect::OpenAiResponses),
    ("anthropic", Dialect::Anthropic),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
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
}
