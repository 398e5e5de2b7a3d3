//! Seals on their way through callers of other dialects than their makers'.
//!
//! A client sends a model's words back as they came, seals included. A seal of another maker than the
//! caller's dialect expects is written into the member that the client returns, as a text that says
//! whose it is and holds what its maker must see again: `weir:<maker>:<kind>:<summary>:<id>:<seal>`.
//! The last word is the seal as it is, whatever its characters; the id has no colon, or is left out.

use super::{Dialect, Part, PartKind, Seal, Thinking};

/// What every carried seal begins with.
pub const PREFIX: &str = "weir:";

const MAKERS: [(&str, Dialect); 7] = [
    ("chat", Dialect::OpenAiChat),
    ("responses", Dialect::OpenAiResponses),
    ("anthropic", Dialect::Anthropic),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
    ("ollama", Dialect::Ollama),
];

/// What a carried text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Whose it is, where known.
    pub maker: Option<Dialect>,
    /// What the seal is: `signature`, `encrypted`, `none`, or where it belongs (a codec's own words).
    pub kind: String,
    /// The thought is a summary.
    pub summary: bool,
    /// The thought's id.
    pub id: Option<String>,
    /// The seal.
    pub text: String,
}

impl Carried {
    /// The seal of a part that is no thought.
    #[must_use]
    pub fn seal(kind: &str, seal: &Seal) -> Self {
        Self { maker: seal.origin, kind: kind.to_owned(), text: seal.text.clone(), ..Self::default() }
    }

    /// What a thought's maker must see again beside its words: its encrypted form, or else its signature.
    #[must_use]
    pub fn thought(part: &Part, thinking: &Thinking) -> Self {
        let (kind, seal) = match (&thinking.encrypted, &part.signature) {
            (Some(seal), _) => ("encrypted", Some(seal)),
            (None, Some(seal)) => ("signature", Some(seal)),
            (None, None) => ("none", None),
        };
        Self {
            maker: thinking.origin.or(seal.and_then(|seal| seal.origin)),
            kind: kind.to_owned(),
            summary: thinking.summary,
            id: thinking.id.clone().filter(|id| !id.contains(':')),
            text: seal.map(|seal| seal.text.clone()).unwrap_or_default(),
        }
    }

    /// The text for the client.
    #[must_use]
    pub fn write(&self) -> String {
        let maker = MAKERS.iter().find(|(_, dialect)| Some(*dialect) == self.maker).map_or("", |(name, _)| name);
        let summary = if self.summary { "summary" } else { "" };
        let id = self.id.as_deref().unwrap_or_default();
        format!("{PREFIX}{maker}:{}:{summary}:{id}:{}", self.kind, self.text)
    }

    /// Reads such a text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(PREFIX)?.splitn(5, ':');
        let (maker, kind, summary) = (words.next()?, words.next()?, words.next()?);
        let (id, text) = (words.next()?, words.next()?);
        Some(Self {
            maker: MAKERS.iter().find(|(name, _)| *name == maker).map(|(_, dialect)| *dialect),
            kind: kind.to_owned(),
            summary: summary == "summary",
            id: (!id.is_empty()).then(|| id.to_owned()),
            text: text.to_owned(),
        })
    }

    /// The seal.
    #[must_use]
    pub fn into_seal(self) -> Seal {
        Seal { text: self.text, origin: self.maker }
    }

    /// The thought, with these words.
    #[must_use]
    pub fn into_thought(self, words: String) -> Part {
        let maker = self.maker;
        let mut thinking =
            Thinking { id: self.id, text: words, summary: self.summary, origin: maker, ..Thinking::default() };
        let seal = Seal { text: self.text, origin: maker };
        let mut signature = None;
        match self.kind.as_str() {
            "encrypted" => {
                thinking.redacted = matches!(maker, Some(Dialect::Anthropic | Dialect::Bedrock));
                thinking.encrypted = Some(seal);
            }
            "signature" => signature = Some(seal),
            _ => {}
        }
        Part { signature, ..Part::new(PartKind::Thinking(thinking)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_comes_back() {
        let seal = |origin| Some(Seal { text: "a:b==é\n".into(), origin: Some(origin) });
        for (_, maker) in MAKERS {
            let origin = Some(maker);
            let redacted = matches!(maker, Dialect::Anthropic | Dialect::Bedrock);
            let hidden = Thinking {
                id: Some("rs_1".into()),
                summary: true,
                encrypted: seal(maker),
                redacted,
                origin,
                ..Thinking::default()
            };
            let said = Part::new(PartKind::Thinking(Thinking { origin, ..Thinking::default() }));
            for part in [Part::new(PartKind::Thinking(hidden)), Part { signature: seal(maker), ..said.clone() }, said] {
                let PartKind::Thinking(thinking) = &part.kind else { panic!("{part:?}") };
                let text = Carried::thought(&part, thinking).write();
                assert_eq!(Carried::read(&text).unwrap().into_thought(String::new()), part, "{text}");
            }
            let carried = Carried::seal("next", &seal(maker).unwrap());
            assert_eq!(Carried::read(&carried.write()).unwrap().into_seal(), seal(maker).unwrap());
        }
    }

    #[test]
    fn other_texts_carry_nothing() {
        for text in ["", "EqQBCkgIARABGAIiQL", "weir:", "weir:gemini:next", "weir:gemini:next::", "Weir:a:b:c:d:e"] {
            assert_eq!(Carried::read(text), None, "{text}");
        }
        let id = Thinking { id: Some("a:b".into()), ..Thinking::default() };
        assert_eq!(Carried::thought(&Part::text(""), &id).write(), "weir::none:::");
    }
}
