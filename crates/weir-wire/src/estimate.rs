//! A cheap guess at token counts, for rate limits before anything is known.
//!
//! The rule, measured against common byte-pair vocabularies and leaning high: four ASCII bytes a
//! token; two characters a token in the two-byte scripts (accented Latin, Cyrillic, Greek, Arabic,
//! Hebrew); three tokens for two characters of the three-byte scripts (Chinese, Japanese, Korean,
//! Indic); two tokens for the rest (emoji). Whole numbers only. What is billed is never this.

/// What an inline picture, sound or file is taken to cost.
pub const MEDIA_TOKENS: u64 = 1_000;

/// The estimate for UTF-8 `text`, rounded up. Other bytes are taken as they come.
///
/// ```
/// assert_eq!(weir_wire::estimate::tokens(b"twelve bytes"), 3);
/// assert_eq!(weir_wire::estimate::tokens("你好".as_bytes()), 3);
/// ```
#[must_use]
pub fn tokens(text: &[u8]) -> u64 {
    // Blocks short enough for a small accumulator keep the inner loop in vector registers.
    let twelfths: u64 = text.chunks(1024).map(|block| u64::from(twelfths(block))).sum();
    twelfths.div_ceil(12)
}

/// The estimate for `bytes` of text nobody has kept.
#[must_use]
pub fn tokens_of_len(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

fn twelfths(block: &[u8]) -> u32 {
    block.iter().map(|&byte| weight(byte)).sum()
}

/// A character's weight in twelfths of a token, put on its first byte.
fn weight(byte: u8) -> u32 {
    let ascii = u32::from(byte < 0x80) * 3;
    let two = u32::from(byte >= 0xC0) * 6;
    let three = u32::from(byte >= 0xE0) * 12;
    let four = u32::from(byte >= 0xF0) * 6;
    ascii + two + three + four
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: u64) {
        assert_eq!(tokens(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn weighs_scripts() {
        check("", 0);
        check("a", 1);
        check("abcd", 1);
        check("abcde", 2);
        check("да", 1);
        check("日本語", 5);
        check("😀", 2);
        check("hello 世界", 5);
    }

    #[test]
    fn unknown_text_counts_as_ascii() {
        assert_eq!(tokens_of_len(0), 0);
        assert_eq!(tokens_of_len(5), 2);
        assert_eq!(tokens_of_len(u64::MAX), u64::MAX / 4 + 1);
    }

    proptest! {
        #[test]
        fn grows_with_text(a in ".{0,2000}", b in ".{0,50}") {
            let whole = tokens(format!("{a}{b}").as_bytes());
            prop_assert!(whole >= tokens(a.as_bytes()));
            prop_assert!(whole <= tokens(a.as_bytes()) + tokens(b.as_bytes()));
        }

        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert!(tokens(&bytes) <= 2 * bytes.len() as u64);
        }
    }
}
