//! Which models a key may use: globs over public names.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A key's model rights.
#[derive(Clone, Debug, Default)]
pub struct ModelRights {
    /// `None`: every model.
    globs: Option<GlobSet>,
    patterns: Vec<String>,
}

impl ModelRights {
    /// Rights to every model when `patterns` is empty, else to those that match one of them. `*`
    /// crosses slashes, so `openai/*` is every model of that provider.
    ///
    /// # Errors
    /// The first pattern that is no glob, and why.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob =
                GlobBuilder::new(pattern).build().map_err(|e| format!("'{pattern}' is no glob: {}", e.kind()))?;
            set.add(glob);
        }
        let globs = set.build().map_err(|e| format!("the patterns are too large: {}", e.kind()))?;
        Ok(Self { globs: Some(globs), patterns: patterns.to_vec() })
    }

    /// Whether every model is allowed.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.globs.is_none()
    }

    /// Whether one of a model's names is allowed.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.globs.as_ref().is_none_or(|globs| globs.is_match(name))
    }

    /// The patterns, for messages.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], name: &str, expected: bool) {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(ModelRights::new(&patterns).unwrap().allows(name), expected, "{patterns:?} {name}");
    }

    #[test]
    fn globs_cover_names() {
        check(&[], "anything", true);
        check(&["fast"], "fast", true);
        check(&["fast"], "faster", false);
        check(&["openai/*"], "openai/gpt-4o", true);
        check(&["openai/*"], "openrouter/openai/gpt-4o", false);
        check(&["*/gpt-4o-{mini,nano}"], "azure/gpt-4o-nano", true);
        check(&["gpt-4o", "demo/*"], "demo/chat", true);
    }

    #[test]
    fn a_broken_glob_is_named() {
        assert!(ModelRights::new(&["a[".to_owned()]).unwrap_err().contains("a["));
    }
}
