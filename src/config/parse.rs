//! YAML and TOML text to [`Node`]s. Both parsers bound nesting, so recursion over a tree is safe.

mod toml;
mod yaml;

use std::collections::HashSet;
use std::path::Path;

use super::tree::{At, Entry, Node};

/// How a configuration file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2.
    Yaml,
    /// TOML 1.1.
    Toml,
}

impl Format {
    /// By the file's extension: `.toml` is TOML, everything else YAML.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("toml") => Self::Toml,
            _ => Self::Yaml,
        }
    }
}

/// Something wrong with the text itself.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) at: At,
    pub(super) key: String,
    pub(super) problem: String,
}

/// The tree of `text`, which is file number `file`. What could not be read is left out and told.
pub(super) fn parse(text: &str, format: Format, file: usize) -> (Option<Node>, Vec<SyntaxFault>) {
    // A byte order mark is what some editors put before the text; it is no part of it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => yaml::parse(text, file),
        Format::Toml => toml::parse(text, file),
    }
}

/// Removes the entries whose key came before in the same map, and tells of each.
fn without_repeats(entries: Vec<Entry>, faults: &mut Vec<SyntaxFault>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        if seen.insert(entry.key.clone()) {
            kept.push(entry);
        } else {
            faults.push(SyntaxFault { at: entry.at, key: entry.key, problem: "set twice in the same map".into() });
        }
    }
    kept
}

#[cfg(test)]
mod tests;
