//! How alike two texts are.

use std::collections::HashMap;

use crate::snapshot::stable_hash;

/// Three words in a row.
type Trigram = [u64; 3];

/// The share of their word trigrams that two texts have in common, in thousandths: twice what both have, of what they
/// have together (Dice's coefficient over multisets). A thousand: the same words in the same order; 0: not one run of
/// three words in common.
///
/// Words are runs of letters and digits, whatever their case; a sign of a script without spaces between words is a
/// word. A text of one or two words is one run. Texts without any word are as alike as they are equal.
#[must_use]
pub(super) fn alike(one: &str, other: &str) -> u16 {
    let (one_words, other_words) = (words(one), words(other));
    if one_words.is_empty() || other_words.is_empty() {
        return if one == other { 1000 } else { 0 };
    }
    let (mut left, total) = (HashMap::new(), runs(&one_words) + runs(&other_words));
    for run in trigrams(&one_words) {
        *left.entry(run).or_insert(0_u64) += 1;
    }
    let mut common = 0_u64;
    for run in trigrams(&other_words) {
        if let Some(n) = left.get_mut(&run).filter(|n| **n > 0) {
            *n -= 1;
            common += 1;
        }
    }
    u16::try_from(common.saturating_mul(2000) / total.max(1)).unwrap_or(1000)
}

fn runs(words: &[u64]) -> u64 {
    words.len().saturating_sub(2).max(1) as u64
}

fn trigrams(words: &[u64]) -> impl Iterator<Item = Trigram> {
    // Of fewer than three words all are the one run.
    let short = words.len() < 3;
    let at = |n: usize| words.get(n).copied().unwrap_or(0);
    let whole = short.then(|| [at(0), at(1), at(2)]);
    let runs = words.windows(3).map(|run| [run[0], run[1], run[2]]);
    whole.into_iter().chain(runs)
}

/// Numbers of its words.
fn words(text: &str) -> Vec<u64> {
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in text.chars() {
        if c.is_alphanumeric() && !stands_alone(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(stable_hash(&word));
            word.clear();
        }
        if stands_alone(c) {
            words.push(u64::from(c));
        }
    }
    if !word.is_empty() {
        words.push(stable_hash(&word));
    }
    words
}

/// Signs of scripts that put no spaces between words: Thai, Lao, Khmer, Myanmar, kana, Han.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_three_words_are_compared() {
        for (one, other, expected) in [
            ("the cat sat on the mat", "The cat sat, on the mat!", 1000),
            ("the cat sat on the mat", "the cat sat on the rug", 750),
            ("the cat sat on the mat", "a dog ran over some grass", 0),
            ("the cat sat on the mat", "mat the on sat cat the", 0),
            // What one says twice and the other once is common once.
            ("a b c a b c", "a b c", 400),
            ("yes", "Yes.", 1000),
            ("yes", "no", 0),
            ("yes sir", "yes", 0),
            ("", "", 1000),
            ("", "yes", 0),
            ("...", "!", 0),
            ("42 °C", "42 °C", 1000),
            ("今日は天気", "今日は雨天", 333),
        ] {
            assert_eq!((alike(one, other), alike(other, one)), (expected, expected), "{one:?} {other:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn it_is_symmetric_and_bounded(one in ".{0,60}", other in ".{0,60}") {
            let found = alike(&one, &other);
            proptest::prop_assert!(found <= 1000);
            proptest::prop_assert_eq!(found, alike(&other, &one));
            proptest::prop_assert_eq!(alike(&one, &one), 1000);
        }
    }
}
