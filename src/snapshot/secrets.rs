//! A provider's secrets, as an upstream might repeat them in an error.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter values (a region, a version) are no secrets, and would be found in innocent text.
const MIN: usize = 8;
/// Stands where a secret was.
const MASK: &str = "[redacted]";

/// What must not be in an error text. Never printed.
#[derive(Default)]
pub struct Secrets {
    /// Each secret as it is and in the forms in which it could be read all the same.
    forms: Vec<String>,
}

impl Secrets {
    /// Of header values: a scheme before the secret (`Bearer `) is not part of it.
    #[must_use]
    pub fn new<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let secrets = values.map(|value| value.rsplit(' ').next().unwrap_or(value)).filter(|s| s.len() >= MIN);
        Self { forms: secrets.flat_map(forms).collect() }
    }

    /// Whether one of them is in a text.
    #[must_use]
    pub fn are_in(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|form| memchr::memmem::find(text, form.as_bytes()).is_some())
    }

    /// The text without them; `None` when there was nothing to take out.
    #[must_use]
    pub fn mask(&self, text: &str) -> Option<String> {
        let held = self.forms.iter().filter(|form| text.contains(form.as_str()));
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
}
