//! Ids that a dialect demands and nobody gave.

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes ids from a seed that the caller draws by chance. The same seed gives the same ids, so a
/// retry says the same as the try before it.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next id: `prefix` and 24 letters or digits, as OpenAI and Anthropic make them.
    pub fn next(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for _ in 0..3 {
            let mut bits = self.draw();
            for _ in 0..8 {
                let letter = LETTERS.get((bits % 62) as usize).copied().unwrap_or(b'0');
                id.push(char::from(letter));
                bits /= 62;
            }
        }
        id
    }

    /// SplitMix64: every seed gives a long sequence without repeats.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_repeat_with_their_seed() {
        let mut ids = Ids::new(1);
        let made: std::collections::HashSet<String> = (0..1000).map(|_| ids.next("call_")).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.len() == 29 && id.starts_with("call_")));
        assert_eq!(Ids::new(1).next("x"), Ids::new(1).next("x"));
        assert_ne!(Ids::new(1).next("x"), Ids::new(2).next("x"));
    }
}
