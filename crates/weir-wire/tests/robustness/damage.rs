//! Damaging an input, by a chance that a seed fixes.

use serde_json::Value;

use super::golden::Seed;

/// Values that no one expects.
pub const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "-0.0",
    "1e999",
    "1.5e308",
    "18446744073709551616",
    "-99999999999999999999999999",
    "0.000000000000000000000000000000001",
    "\"\"",
    "\"None\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\u{2028}\u{feff}\"",
    "\"data: [DONE]\\n\\n\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "{\"\":{}}",
];

/// Stands where something is to be put.
const MARK: &str = "@weir@";

/// A sequence of numbers that look random (xorshift).
pub struct Chance(u64);

impl Chance {
    /// That of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below this one; 0 if it is 0.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % most.max(1)
    }
}

/// A damaged copy: of its bytes, or of its JSON.
pub fn damage(seed: &Seed, other: &Seed, chance: &mut Chance) -> Vec<u8> {
    match chance.below(3) {
        0 => bytes(seed.bytes.clone(), &other.bytes, chance),
        _ if seed.parts.is_empty() => bytes(seed.bytes.clone(), &other.bytes, chance),
        1 => events(seed, other, chance),
        _ => value(seed, chance),
    }
}

/// One to four times: a byte flipped, a piece left out, doubled, or put in from another input.
fn bytes(mut bytes: Vec<u8>, other: &[u8], chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(4) {
        let start = chance.below(bytes.len());
        let end = (start + chance.below(40)).min(bytes.len());
        match chance.below(4) {
            0 => bytes.iter_mut().skip(start).take(1).for_each(|byte| *byte ^= 1 << chance.below(8)),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = bytes[start..end].to_vec();
                bytes.splice(end..end, piece);
            }
            _ => {
                let from = chance.below(other.len());
                let to = (from + chance.below(200)).min(other.len());
                bytes.splice(start..end, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

/// Events of a stream left out, doubled, exchanged, or with others of another input between them.
fn events(seed: &Seed, other: &Seed, chance: &mut Chance) -> Vec<u8> {
    let mut parts: Vec<String> = seed.parts.iter().map(Value::to_string).collect();
    for _ in 0..=chance.below(3) {
        let (a, b) = (chance.below(parts.len()), chance.below(parts.len()));
        match chance.below(4) {
            0 if parts.len() > 1 => drop(parts.remove(a)),
            1 => parts.insert(a, parts[b].clone()),
            2 => parts.swap(a, b),
            _ => parts.extend(other.parts.get(chance.below(other.parts.len())).map(Value::to_string)),
        }
    }
    seed.render(&parts)
}

/// A value somewhere in the JSON replaced by an odd one, a deep one, a huge one, or followed by its
/// member again.
fn value(seed: &Seed, chance: &mut Chance) -> Vec<u8> {
    let mut parts = seed.parts.clone();
    let at = chance.below(parts.len());
    let (name, old) = mark(&mut parts[at], chance);
    let odd = ODD[chance.below(ODD.len())];
    let put = match chance.below(8) {
        0 => nested("[", "]", chance),
        1 => nested("{\"a\":", "}", chance),
        2 => format!("\"{}\"", "x".repeat(1 << chance.below(15))),
        3 => "9".repeat(1 + chance.below(400)),
        4 => name.map_or_else(|| odd.to_owned(), |name| format!("{old},{}:{odd}", Value::from(name))),
        _ => odd.to_owned(),
    };
    let mark = format!("\"{MARK}\"");
    let texts: Vec<String> = parts.iter().map(|part| part.to_string().replace(&mark, &put)).collect();
    seed.render(&texts)
}

/// So deep that the reader's limit lies within.
fn nested(open: &str, close: &str, chance: &mut Chance) -> String {
    let depth = [3, 60, 126, 127, 128, 129, 5000][chance.below(7)];
    format!("{}0{}", open.repeat(depth), close.repeat(depth))
}

/// Goes down to a value by chance and puts the mark in its place; gives back its name, if it has one,
/// and its JSON.
fn mark(value: &mut Value, chance: &mut Chance) -> (Option<String>, String) {
    let stop = chance.below(6) == 0;
    match value {
        Value::Object(members) if !members.is_empty() && !stop => {
            let chosen = chance.below(members.len());
            let (name, inner) = members.iter_mut().nth(chosen).expect("there are as many");
            let (deeper, old) = mark(inner, chance);
            (deeper.or_else(|| Some(name.clone())), old)
        }
        Value::Array(items) if !items.is_empty() && !stop => {
            let chosen = chance.below(items.len());
            mark(&mut items[chosen], chance)
        }
        _ => {
            let old = std::mem::replace(value, Value::from(MARK)).to_string();
            (None, old)
        }
    }
}
