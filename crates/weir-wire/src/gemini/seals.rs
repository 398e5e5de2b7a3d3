//! `thoughtSignature`, read and written.
//!
//! A seal is bytes here. Another maker's becomes the base64 of a text that says whose it is
//! ([`crate::hub::carry`]), and is recognised again however the client spells it. A thought's stands
//! at its last piece, which is all that clients of streams send back of it; one without words has
//! but its seal. No provider of this dialect is told another maker's seals.

use std::collections::HashSet;

use super::form::{GEMINI, SEAL_BARE, SEAL_SNAKE, SEAL_URL, bit_if, form};
use super::names::name_of;
use super::octets::{self, Spelling};
use crate::base64;
use crate::hub::{Carried, DecodeError, Fields, Mode, Part, PartKind, Role, Seal, Thinking, Turn};

/// What stands in for the seal of a call that another model made: the value that Google documents for
/// histories that its model did not write.
pub(super) const STAND_IN: &str = "skip_thought_signature_validator";
/// Words that Google takes for seals, which are no bytes.
const WORDS: [&str; 2] = [STAND_IN, "context_engineering_is_the_way_to_go"];

/// What a part's seal says.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// The seal of this dialect.
    pub(super) own: Option<Seal>,
    /// Another maker's.
    pub(super) carried: Option<Carried>,
    /// The bits of its form.
    pub(super) bits: u16,
}

/// Takes the seal. A provider's are its own, whatever they look like.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Sealed, DecodeError> {
    let (name, second) = name_of(fields, "thoughtSignature");
    let Some(text) = fields.word(name)? else { return Ok(Sealed::default()) };
    let snake = bit_if(second, SEAL_SNAKE);
    let own = |text: String| Some(Seal { text, origin: Some(GEMINI) });
    if fields.mode() == Mode::Answer || WORDS.contains(&text.as_str()) {
        return Ok(Sealed { own: own(text), bits: snake, carried: None });
    }
    let (spelt, spelling) = octets::standard(&text);
    if let Some(carried) = read(&spelt) {
        return Ok(Sealed { carried: Some(carried), ..Sealed::default() });
    }
    let bits = snake | bit_if(spelling.url, SEAL_URL) | bit_if(spelling.bare, SEAL_BARE);
    Ok(Sealed { own: own(spelt.into_owned()), bits, carried: None })
}

fn read(seal: &str) -> Option<Carried> {
    Carried::read(std::str::from_utf8(&base64::decode(seal)?).ok()?)
}

/// The part with what was carried for it.
pub(super) fn uncarried(part: Part, carried: Carried) -> Part {
    match part.kind {
        PartKind::Thinking(Thinking { text, .. }) => {
            let thought = carried.into_thought(text);
            Part { at: part.at, extra: part.extra, form: form(part.form.bits(GEMINI)), ..thought }
        }
        _ => Part { signature: Some(carried.into_seal()), ..part },
    }
}

/// The seal for a client: this dialect's as it is, and others marked. `None` if there is nothing to
/// send back.
pub(super) fn for_client(part: &Part) -> Option<String> {
    let carried = match &part.kind {
        PartKind::Thinking(thinking) => {
            let own = thinking.origin == Some(GEMINI) && thinking.encrypted.is_none();
            if let Some(text) = part.signature.as_ref().filter(|_| own).and_then(bytes) {
                return Some(text);
            }
            let sealed = part.signature.is_some() || thinking.encrypted.is_some() || thinking.id.is_some();
            Carried::thought(part, Some(thinking).filter(|_| sealed)?)
        }
        _ => {
            let seal = part.signature.as_ref()?;
            if let Some(text) = bytes(seal) {
                return Some(text);
            }
            Carried::seal("signature", seal)
        }
    };
    Some(base64::encode(carried.write().as_bytes()))
}

/// A seal of this dialect's that is one: bytes, or one of Google's words.
fn bytes(seal: &Seal) -> Option<String> {
    let text = Some(&seal.text).filter(|_| seal.origin == Some(GEMINI))?;
    if WORDS.contains(&text.as_str()) {
        return Some(text.clone());
    }
    let (spelt, _) = octets::standard(text);
    base64::decode(&spelt).map(|_| spelt.into_owned())
}

/// This dialect's seal as its caller spelt it.
pub(super) fn respelt(part: &Part, seal: &Seal) -> String {
    let has = |bit| part.form.has(GEMINI, bit);
    octets::respelt(&seal.text, Spelling { url: has(SEAL_URL), bare: has(SEAL_BARE) }).into_owned()
}

/// What a part of the model's is, for [`gather`].
enum Piece {
    /// Words of a thought, whose seal may follow.
    Loose,
    /// Another maker's thought with its seal.
    Sealed,
    /// Nothing.
    Blank,
    Other,
}

impl Piece {
    fn of(part: &Part) -> Self {
        let PartKind::Thinking(thinking) = &part.kind else {
            return if part.is_blank() { Self::Blank } else { Self::Other };
        };
        match thinking.origin {
            Some(GEMINI) if part.signature.is_none() && part.extra.is_empty() => Self::Loose,
            Some(GEMINI) => Self::Other,
            _ if thinking.redacted => Self::Other,
            _ => Self::Sealed,
        }
    }
}

/// Puts the pieces of other makers' thoughts together: a client of a stream sends each piece as a part,
/// or as a content of its own, and the seal with the last.
pub(super) fn gather(turns: &mut Vec<Turn>) {
    let mut loose: Vec<(usize, usize)> = Vec::new();
    let (mut words, mut taken) = (String::new(), HashSet::new());
    for (turn_at, turn) in turns.iter_mut().enumerate() {
        if turn.role != Role::Assistant {
            loose.clear();
            words.clear();
            continue;
        }
        for (part_at, part) in turn.parts.iter_mut().enumerate() {
            match (Piece::of(part), &mut part.kind) {
                (Piece::Loose, PartKind::Thinking(thinking)) => {
                    words.push_str(&thinking.text);
                    loose.push((turn_at, part_at));
                }
                (Piece::Sealed, PartKind::Thinking(thinking)) => {
                    thinking.text.insert_str(0, &words);
                    taken.extend(loose.drain(..));
                    words.clear();
                }
                (Piece::Blank, _) => {}
                _ => {
                    loose.clear();
                    words.clear();
                }
            }
        }
    }
    remove(turns, &taken);
}

/// Takes out the pieces that were put elsewhere, and the turns that consisted of them.
fn remove(turns: &mut Vec<Turn>, taken: &HashSet<(usize, usize)>) {
    if taken.is_empty() {
        return;
    }
    let mut turn_at = 0;
    turns.retain_mut(|turn| {
        let (before, mut part_at) = (turn.parts.len(), 0);
        turn.parts.retain(|_| {
            part_at += 1;
            !taken.contains(&(turn_at, part_at - 1))
        });
        turn_at += 1;
        !turn.parts.is_empty() || before == 0
    });
}
