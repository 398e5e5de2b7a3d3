//! A provider's secrets, as an upstream might repeat them in an error.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter values (a region, a version) are no secrets, and would be found in innocent text.
const MIN: usize = 8;
/// Most tokens that are remembered: those of calls in flight while a new one is issued.
const MAX_ISSUED: usize = 8;
/// Stands where a secret was.
const MASK: &str = "[redacted]";

/// What must not be in an error text. Never printed.
#[derive(Default)]
pub struct Secrets {
    /// Each secret as it is and in the forms in which it could be read all the same.
    forms: Vec<String>,
    /// What signers were issued and sent, the newest last.
    issued: ArcSwap<Vec<Arc<Issued>>>,
}

/// A token that came while calls were served.
struct Issued {
    secret: String,
    forms: Vec<String>,
}

impl Secrets {
    /// Of header values: a scheme before the secret (`Bearer `) is not part of it.
    #[must_use]
    pub fn new<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let forms = values.filter_map(secret).flat_map(forms).collect();
        Self { forms, issued: ArcSwap::default() }
    }

    /// A header value with a token that was issued, about to be sent.
    pub fn remember(&self, value: &str) {
        let Some(secret) = secret(value) else { return };
        if self.issued.load().iter().any(|issued| issued.secret == secret) {
            return;
        }
        let new = Arc::new(Issued { secret: secret.to_owned(), forms: forms(secret) });
        self.issued.rcu(|all| {
            let oldest = (all.len() + 1).saturating_sub(MAX_ISSUED);
            all.iter().skip(oldest).chain([&new]).cloned().collect::<Vec<_>>()
        });
    }

    /// Whether one of them is in a text.
    #[must_use]
    pub fn are_in(&self, text: &[u8]) -> bool {
        let held = |form: &String| memchr::memmem::find(text, form.as_bytes()).is_some();
        self.forms.iter().any(held) || self.issued.load().iter().any(|issued| issued.forms.iter().any(held))
    }

    /// The text without them; `None` when there was nothing to take out.
    #[must_use]
    pub fn mask(&self, text: &str) -> Option<String> {
        let issued = self.issued.load();
        let forms = self.forms.iter().chain(issued.iter().flat_map(|issued| &issued.forms));
        let held = forms.filter(|form| text.contains(form.as_str()));
        held.fold(None, |masked: Option<String>, form| {
            Some(masked.as_deref().unwrap_or(text).replace(form.as_str(), MASK))
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.forms.len())
    }
}

/// The secret of a header's value, if it is long enough to be one.
fn secret(value: &str) -> Option<&str> {
    value.rsplit(' ').next().filter(|secret| secret.len() >= MIN)
}

fn forms(secret: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(secret).to_string();
    let escaped = quoted.trim_matches('"').to_owned();
    let encoded = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut forms = vec![secret.to_owned(), escaped, secret.replace('/', "\\/"), encoded.to_lowercase(), encoded];
    for engine in [&STANDARD, &URL_SAFE] {
        // What stands before a secret shifts its letters: only the groups that are all its own are looked for.
        for before in 0..3 {
            let text = engine.encode(format!("{}{secret}", "x".repeat(before)));
            let own = text.get(if before == 0 { 0 } else { 4 }..text.len().saturating_sub(4)).unwrap_or_default();
            forms.push(own.to_owned());
        }
    }
    forms.retain(|form| form.len() >= MIN);
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_nothing_else() {
        let secrets = Secrets::new(["Bearer key/Zq9+Lw7=\"x", "eu-west"].into_iter());
        let base64 = STANDARD.encode("Bearer key/Zq9+Lw7=\"x");
        for text in ["key/Zq9+Lw7=\"x", "key\\/Zq9+Lw7=\"x", "key%2FZq9%2BLw7%3D%22x", &base64, "key/Zq9+Lw7=\\\"x"] {
            let masked = secrets.mask(&format!("wrong key {text}!")).unwrap_or_else(|| panic!("{text}"));
            assert!(masked.contains(MASK) && !secrets.are_in(masked.as_bytes()), "{masked}");
        }
        assert_eq!(secrets.mask("no key in eu-west"), None);
        assert_eq!(format!("{secrets:?}").find("Zq9"), None);
    }

    #[test]
    fn the_tokens_issued_last_are_found_too() {
        let secrets = Secrets::new(["Bearer key/Zq9+Lw7="].into_iter());
        let token = |n: usize| format!("token/{n:04}");
        for n in 0..100 {
            secrets.remember(&format!("Bearer {}", token(n)));
            secrets.remember(&format!("Bearer {}", token(n)));
            secrets.remember("short");
        }
        assert_eq!(secrets.issued.load().len(), MAX_ISSUED);
        let masked = secrets.mask(&format!("{} {} key/Zq9+Lw7= short", token(92), token(99))).unwrap();
        assert_eq!(masked, format!("{MASK} {MASK} {MASK} short"));
        assert!(secrets.are_in(STANDARD.encode(format!("Bearer {}", token(99))).as_bytes()));
        assert!(!secrets.are_in(token(91).as_bytes()), "its calls have long ended");
        assert_eq!(format!("{secrets:?}").find("token"), None);
    }
}
