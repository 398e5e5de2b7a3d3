//! Seals: which are this dialect's own, and how those of other makers pass through its callers.
//!
//! A client sends thoughts back as they came, signature included. Thoughts of another maker are
//! given a signature that says whose they are and holds what that maker must see again, so that
//! they are recognised ([`carry`]). They are never sent to a provider of this dialect, which would
//! refuse them. The seal of a call stands in the thought directly before it where that has none of
//! its own, and else in a thinking block without words.

use crate::hub::{Carried, Dialect, Node, Part, PartKind, Place, Seal, Thinking, carry, write};
use crate::json::Kind;

/// What is carried belongs to the part behind it.
const NEXT: &str = "next";
/// What is carried belongs to the text before it.
const LAST: &str = "last";

/// Whether a provider of this dialect can read the seal. Bedrock's are those of the model behind it.
pub(super) fn is_own(seal: &Seal) -> bool {
    matches!(seal.origin, Some(Dialect::Anthropic | Dialect::Bedrock))
}

/// The signature that carries a foreign thought's seal.
pub(super) fn carry(part: &Part, thinking: &Thinking) -> String {
    Carried::thought(part, thinking).write()
}

/// The thought that a signature of [`carry`] carries, its text left out.
pub(super) fn uncarry(signature: &str) -> Option<Part> {
    Some(Carried::read(signature)?.into_thought(String::new()))
}

/// The signature of an unsealed foreign thought that carries the seal of the call behind it.
pub(super) fn carry_with(thinking: &Thinking, call: &Part) -> Option<String> {
    let seal = foreign(call).filter(|_| matches!(call.kind, PartKind::ToolCall(_)))?;
    let thought = Carried::thought(&Part::text(""), thinking);
    (thought.kind == "none")
        .then(|| Carried { id: thought.id, summary: thought.summary, ..Carried::seal(NEXT, seal) }.write())
}

/// The block before a part that carries its foreign seal; `None` for a part without one, and for a
/// text, whose seal comes at its end.
pub(super) fn carry_next(part: &Part) -> Option<String> {
    next_signature(part).map(|signature| block(&signature))
}

/// The signature of that block.
pub(super) fn next_signature(part: &Part) -> Option<String> {
    beside(part, NEXT).filter(|_| part.as_text().is_none())
}

/// The block behind a text that carries its foreign seal.
pub(super) fn carry_last(part: &Part) -> Option<String> {
    last_signature(part).map(|signature| block(&signature))
}

/// The signature of that block.
pub(super) fn last_signature(part: &Part) -> Option<String> {
    beside(part, LAST).filter(|_| part.as_text().is_some())
}

/// The seal of another known maker.
fn foreign(part: &Part) -> Option<&Seal> {
    part.signature.as_ref().filter(|seal| !is_own(seal) && seal.origin.is_some())
}

fn beside(part: &Part, kind: &str) -> Option<String> {
    let seal = foreign(part).filter(|_| !matches!(part.kind, PartKind::Thinking(_)))?;
    Some(Carried::seal(kind, seal).write())
}

/// A thinking block of this signature and no words.
pub(super) fn block(signature: &str) -> String {
    write::object(|o| {
        o.text("type", "thinking");
        o.text("thinking", "");
        o.text("signature", signature);
    })
}

/// A seal that stands beside its part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Of the part behind it, with the thought it stood in if that had words.
    Next(Seal, Option<Box<Part>>),
    /// Of the text before it.
    Last(Seal),
}

/// The seal that a block of [`carry_next`], [`carry_with`] or [`carry_last`] carries.
pub(super) fn uncarry_beside(node: Node<'_>) -> Option<Beside> {
    if node.kind != Kind::Object || !node.raw.contains(carry::PREFIX) {
        return None;
    }
    let fields = node.fields(Place::root()).ok()?;
    let text = |name: &str| fields.peek(name).and_then(Node::text);
    text("type").filter(|kind| kind == "thinking")?;
    let carried = Carried::read(&text("signature")?).filter(|carried| carried.maker.is_some())?;
    match carried.kind.as_str() {
        NEXT => {
            let words = text("thinking").filter(|words| !words.is_empty());
            let seal = carried.clone().into_seal();
            Some(Beside::Next(seal, words.map(|words| Box::new(carried.into_thought(words.into_owned())))))
        }
        LAST => Some(Beside::Last(carried.into_seal())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_of_a_call_comes_back() {
        let seal = Seal { text: "a:b==".into(), origin: Some(Dialect::Gemini) };
        let read = |block: Option<String>| {
            uncarry_beside(Node::of_body(block?.as_bytes(), crate::hub::Mode::Request).unwrap())
        };
        let text = Part { signature: Some(seal.clone()), ..Part::text("x") };
        assert_eq!((read(carry_next(&text)), read(carry_last(&text))), (None, Some(Beside::Last(seal.clone()))));
        let call = Part { signature: Some(seal.clone()), ..Part::new(PartKind::Refusal(String::new())) };
        assert_eq!((read(carry_next(&call)), read(carry_last(&call))), (Some(Beside::Next(seal.clone(), None)), None));
        // A thought with words keeps them beside it, unless it has a seal of its own.
        let call = Part { signature: Some(seal.clone()), ..Part::new(PartKind::ToolCall(Default::default())) };
        let thinking = Thinking { text: "hm".into(), origin: Some(Dialect::Gemini), ..Thinking::default() };
        let block = carry_with(&thinking, &call).map(|signature| {
            write::object(|o| {
                o.text("type", "thinking");
                o.text("thinking", "hm");
                o.text("signature", &signature);
            })
        });
        let thought = Part::new(PartKind::Thinking(thinking.clone()));
        assert_eq!(read(block), Some(Beside::Next(seal.clone(), Some(Box::new(thought)))));
        let sealed = Thinking { encrypted: Some(seal), ..thinking.clone() };
        assert_eq!((carry_with(&sealed, &call), carry_with(&thinking, &text)), (None, None));
        let own = Seal { text: "s".into(), origin: Some(Dialect::Anthropic) };
        assert_eq!(carry_last(&Part { signature: Some(own), ..Part::text("x") }), None);
    }
}
