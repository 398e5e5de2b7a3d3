//! String escapes, both ways.

use std::borrow::Cow;

use super::reader::plain_run;

/// Undoes JSON escapes in `inner`, the text between the quotes of a string that has been
/// validated. A lone surrogate, which validation refuses, would become U+FFFD.
#[must_use]
pub fn unescape(inner: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
        return Cow::Borrowed(inner);
    };
    let mut out = String::with_capacity(inner.len());
    let (plain, mut rest) = inner.split_at(first);
    out.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (character, tail) = one_escape(escape);
        out.push(character);
        let next = memchr::memchr(b'\\', tail.as_bytes()).unwrap_or(tail.len());
        let (plain, after) = tail.split_at(next);
        out.push_str(plain);
        rest = after;
    }
    Cow::Owned(out)
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut rest = text;
    loop {
        // What is special is one byte, so that a text is never cut within a character.
        let (plain, after) = rest.split_at(plain_run(rest.as_bytes()));
        out.push_str(plain);
        let mut characters = after.chars();
        match characters.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => push_code(&mut out, control),
        }
        rest = characters.as_str();
    }
    out.push('"');
    out
}

fn push_code(out: &mut String, control: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let code = u32::from(control) as usize;
    out.push_str("\\u00");
    out.push(char::from(HEX[code >> 4 & 15]));
    out.push(char::from(HEX[code & 15]));
}

/// The character behind a backslash, and the text after it.
fn one_escape(escape: &str) -> (char, &str) {
    let mut characters = escape.chars();
    let character = match characters.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unicode(characters.as_str()),
        Some(itself) => itself,
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, characters.as_str())
}

/// The character of `XXXX` or `XXXX\uXXXX`, and the text after it.
fn unicode(text: &str) -> (char, &str) {
    let Some((unit, rest)) = hex4(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    if let Some(character) = char::from_u32(unit) {
        return (character, rest);
    }
    let low = rest.strip_prefix("\\u").and_then(hex4);
    match low {
        Some((low @ 0xDC00..=0xDFFF, after)) if unit < 0xDC00 => {
            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            (character, after)
        }
        _ => (char::REPLACEMENT_CHARACTER, rest),
    }
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}
