//! What is wrong with a configuration, and where.

use std::fmt;

use serde::Serialize;

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; 0 when the fault has no place in the text (a file that cannot be read).
    pub line: u32,
    /// Column in characters, from 1; 0 when the fault has no place in the text.
    pub column: u32,
    /// The path of the key, such as `providers.openai.limits.rpm`; empty for the file itself.
    pub key: String,
    /// What is wrong. Never repeats a value other than a name.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ", did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// The candidate nearest to `word`, if any is near enough to be a slip of the pen.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // The distance is quadratic in the lengths, and nobody mistypes a word of that length.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: u32, key: &str, suggestion: Option<&str>) -> String {
        Fault {
            file: "weir.yaml".into(),
            line,
            column: line * 3,
            key: key.into(),
            problem: "unknown key".into(),
            suggestion: suggestion.map(Into::into),
        }
        .to_string()
    }

    #[test]
    fn a_fault_is_one_line() {
        assert_eq!(
            fault(2, "server.listn", Some("listen")),
            "weir.yaml:2:6: server.listn: unknown key, did you mean `listen`?"
        );
        assert_eq!(fault(0, "", None), "weir.yaml: unknown key");
    }

    #[test]
    fn only_the_near_is_suggested() {
        let known = ["openai", "azure-openai", "anthropic"];
        for (word, expected) in [("opnai", Some("openai")), ("Anthropic", Some("anthropic")), ("zzz", None)] {
            assert_eq!(nearest(word, known).as_deref(), expected, "{word}");
        }
        assert_eq!(nearest(&"o".repeat(100_000), known), None);
    }
}
