//! Virtual keys' text: `sk-weir-<id>-<secret>-<check>`.
//!
//! Twelve characters identify the key, forty-three carry 256 bits of chance, six are a CRC-32 of
//! what stands before them: garbage is refused without a look-up, and secret scanners are precise.
//! Only the SHA-256 of the whole is stored. A password hash would add nothing: 256 random bits
//! cannot be guessed, and a slow hash would be a lever for denial of service.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Entropy;

/// What every virtual key starts with.
pub const PREFIX: &str = "sk-weir-";
/// What every generated admin key starts with.
pub const ADMIN_PREFIX: &str = "sk-weir-admin-";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LEN: usize = 12;
const SECRET_LEN: usize = 43;
const CHECK_LEN: usize = 6;

/// SHA-256 of a key's whole text: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of a presented key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Equality in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A key that was just made. Its text is shown once and never stored.
pub struct NewSecret {
    /// The whole key.
    pub text: String,
    /// What is stored.
    pub hash: KeyHash,
    /// What lists show: the start, without the secret.
    pub prefix: String,
    /// The last four characters, for recognising it.
    pub last4: String,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Makes a virtual key.
#[must_use]
pub fn generate(chance: &Entropy) -> NewSecret {
    make(PREFIX, chance)
}

/// Makes an admin key.
#[must_use]
pub fn generate_admin(chance: &Entropy) -> NewSecret {
    make(ADMIN_PREFIX, chance)
}

fn make(prefix: &str, chance: &Entropy) -> NewSecret {
    let mut text = prefix.to_owned();
    push_random(&mut text, ID_LEN, chance);
    let shown = text.len();
    text.push('-');
    push_random(&mut text, SECRET_LEN, chance);
    let check = checksum(&text);
    text.push('-');
    text.push_str(&check);
    NewSecret {
        hash: KeyHash::of(&text),
        prefix: text[..shown].to_owned(),
        last4: text[text.len() - 4..].to_owned(),
        text,
    }
}

/// Whether a text that claims to be one of our generated keys has a wrong checksum. Texts of any
/// other form (declarative keys may have any) are not judged.
#[must_use]
pub fn is_garbled(key: &str) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX) else { return false };
    let rest = rest.strip_prefix("admin-").unwrap_or(rest);
    let well_formed = rest.len() == ID_LEN + 1 + SECRET_LEN + 1 + CHECK_LEN && rest.is_ascii();
    if !well_formed {
        return false;
    }
    let (body, check) = key.split_at(key.len() - CHECK_LEN - 1);
    check.strip_prefix('-') != Some(&checksum(body))
}

fn push_random(out: &mut String, len: usize, chance: &Entropy) {
    let end = out.len() + len;
    let mut bytes = [0; 64];
    while out.len() < end {
        chance.fill(&mut bytes);
        // Bytes of 248 and above are skipped, for 62 does not divide 256: no character is likelier.
        let letters = bytes.iter().filter(|b| **b < 248).map(|b| char::from(ALPHABET[usize::from(b % 62)]));
        out.extend(letters.take(end - out.len()));
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut out = [0; CHECK_LEN];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    out.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_check() {
        let key = generate(&Entropy::fixed(1));
        assert!(key.text.starts_with(&key.prefix) && key.text.starts_with(PREFIX));
        assert_eq!(key.text.len(), PREFIX.len() + 12 + 1 + 43 + 1 + 6);
        assert!(key.text.ends_with(&key.last4));
        assert!(!is_garbled(&key.text));
        assert_eq!(KeyHash::of(&key.text), key.hash);
        assert!(!is_garbled(&generate_admin(&Entropy::system()).text));
    }

    #[test]
    fn one_wrong_character_is_seen() {
        let key = generate(&Entropy::system()).text;
        for i in PREFIX.len()..key.len() {
            let mut wrong = key.clone().into_bytes();
            wrong[i] = if wrong[i] == b'x' { b'y' } else { b'x' };
            assert!(is_garbled(&String::from_utf8(wrong).unwrap()), "position {i}");
        }
    }

    #[test]
    fn other_texts_are_not_judged() {
        for text in ["", "sk-weir-", "sk-weir-short", "my-own-key", "sk-weir-ééééééééééééé"] {
            assert!(!is_garbled(text), "{text}");
        }
    }

    #[test]
    fn two_keys_differ_and_nothing_prints_them() {
        let (a, b) = (generate(&Entropy::system()), generate(&Entropy::system()));
        assert_ne!(a.text, b.text);
        assert!(!format!("{a:?} {:?}", a.hash).contains(&a.text));
    }
}
