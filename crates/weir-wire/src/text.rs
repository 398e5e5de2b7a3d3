//! Bounded text for records and error messages.

/// At most `max` bytes of `text`, cut between characters.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// A label to keep in a record: at most `max` bytes, control characters (which terminals obey and
/// some databases refuse) made U+FFFD.
#[must_use]
pub fn label(text: &str, max: usize) -> String {
    // Nearly every label is plain.
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return cut(text, max).to_owned();
    }
    let cleaned: String =
        text.chars().take(max).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    cut(&cleaned, max).to_owned()
}

/// A message for people: at most `max` bytes, control characters other than line breaks and tabs
/// made U+FFFD.
#[must_use]
pub fn message(text: &str, max: usize) -> String {
    let kept = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    let cleaned: String =
        cut(text, max).chars().map(|c| if kept(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    cut(&cleaned, max).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("añb", 99), "añb");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn labels_hold_no_controls_and_keep_their_bound() {
        assert_eq!(label("a\u{0}b\u{1b}", 99), "a\u{fffd}b\u{fffd}");
        assert_eq!(label("\u{0}\u{0}", 4), "\u{fffd}");
        assert!(label(&"é".repeat(500), 256).len() <= 256);
    }

    #[test]
    fn messages_keep_their_lines() {
        assert_eq!(message("a\n\tb\u{1b}[31m\r", 99), "a\n\tb\u{fffd}[31m\u{fffd}");
        assert!(message(&"\u{0}".repeat(50), 50).len() <= 50);
    }
}
