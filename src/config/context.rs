//! What all readers share while a configuration is read: the faults so far, the files, the places.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use super::Known;
use super::expand::Env;
use super::fault::{Fault, nearest};
use super::tree::At;

/// More faults than anybody reads; the rest are counted.
const MAX_FAULTS: usize = 1_000;
/// Suggestions compare a word with every candidate, so they end before the faults do.
const MAX_SUGGESTIONS: usize = 100;

/// What all readers share.
pub(super) struct Context<'a> {
    pub(super) env: Env<'a>,
    pub(super) known: &'a Known<'a>,
    /// Every file read, configuration and secrets. [`At`] points here.
    files: RefCell<Vec<PathBuf>>,
    /// Those of them without a byte.
    empty: RefCell<Vec<PathBuf>>,
    /// What a target may name as its provider: the catalogue's, and those of the file once read.
    providers: RefCell<IndexSet<String>>,
    found: RefCell<Vec<(At, Fault)>>,
    /// Where each key stands, for the checks that need several keys.
    places: RefCell<HashMap<String, At>>,
    /// Every secret that was read, by its path: how it may be written down, if it may.
    secrets: RefCell<HashMap<String, Option<String>>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(env: Env<'a>, known: &'a Known<'a>) -> Self {
        let providers = known.providers.iter().chain(&["demo"]).map(|&id| id.to_owned()).collect();
        Self {
            env,
            known,
            files: RefCell::default(),
            empty: RefCell::default(),
            providers: RefCell::new(providers),
            found: RefCell::default(),
            places: RefCell::default(),
            secrets: RefCell::default(),
        }
    }

    /// Tells a fault at a place.
    pub(super) fn fault(&self, at: At, key: &str, problem: impl Into<String>, suggestion: Option<String>) {
        let file = self.files.borrow().get(at.file).map_or_else(String::new, |path| path.display().to_string());
        let fault =
            Fault { file, line: at.line, column: at.column, key: key.to_owned(), problem: problem.into(), suggestion };
        self.found.borrow_mut().push((at, fault));
    }

    /// The candidate that was probably meant, unless there are so many faults that nobody asks.
    pub(super) fn nearest<'c>(&self, word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
        if self.found.borrow().len() < MAX_SUGGESTIONS { nearest(word, candidates) } else { None }
    }

    /// Tells a fault of a key that has been read, by its path.
    pub(super) fn fault_of(&self, path: &str, problem: impl Into<String>, suggestion: Option<String>) {
        let at = self.places.borrow().get(path).copied().unwrap_or_default();
        self.fault(at, path, problem, suggestion);
    }

    /// Tells a fault at a place that names a provider, if there is none of that name.
    pub(super) fn check_provider(&self, at: At, path: &str, provider: &str) {
        let providers = self.providers.borrow();
        if !providers.contains(provider) {
            let suggestion = self.nearest(provider, providers.iter().map(String::as_str));
            self.fault(at, path, format!("no provider is called `{provider}`"), suggestion);
        }
    }

    /// Notes where a key stands.
    pub(super) fn add_place(&self, path: &str, at: At) {
        self.places.borrow_mut().insert(path.to_owned(), at);
    }

    /// Notes that the value at that path is a secret; `shown` is what may be written down of it: where it
    /// is found, and `None` for one that stands in the text itself.
    pub(super) fn add_secret(&self, path: &str, shown: Option<String>) {
        self.secrets.borrow_mut().insert(path.to_owned(), shown);
    }

    /// Whether the value at that path is a secret of which it is known where it is found.
    pub(super) fn has_secret(&self, path: &str) -> bool {
        matches!(self.secrets.borrow().get(path), Some(Some(_)))
    }

    /// Every secret read so far.
    pub(super) fn secrets(&self) -> HashMap<String, Option<String>> {
        self.secrets.borrow().clone()
    }

    /// Whether the file has a value for the key of that path.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.places.borrow().contains_key(path)
    }

    /// Every fault, in the order of the files; of very many, the first, and how many more there are.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        let more = found.len().saturating_sub(MAX_FAULTS);
        let mut faults: Vec<Fault> = found.into_iter().take(MAX_FAULTS).map(|(_, fault)| fault).collect();
        if let Some(last) = faults.last().filter(|_| more > 0) {
            let problem = format!("and {more} more faults");
            faults.push(Fault { problem, key: String::new(), suggestion: None, ..last.clone() });
        }
        faults
    }

    /// Whether anything is wrong so far.
    pub(super) fn has_faults(&self) -> bool {
        !self.found.borrow().is_empty()
    }

    /// Notes that a file is read, and gives its number.
    pub(super) fn add_file(&self, path: &Path) -> usize {
        let mut files = self.files.borrow_mut();
        files.push(path.to_path_buf());
        files.len() - 1
    }

    /// Notes that a file holds nothing.
    pub(super) fn add_empty(&self, path: &Path) {
        self.empty.borrow_mut().push(path.to_path_buf());
    }

    /// Every file so far that holds nothing.
    pub(super) fn empty_files(&self) -> Vec<PathBuf> {
        self.empty.borrow().clone()
    }

    /// Every file read so far, configuration and secrets, in the order of reading.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }

    /// A path as the file at that place means it: relative to the file's folder.
    pub(super) fn resolve(&self, at: At, path: &Path) -> PathBuf {
        match self.files.borrow().get(at.file).and_then(|file| file.parent()) {
            Some(folder) => folder.join(path),
            None => path.to_path_buf(),
        }
    }

    /// Notes that the file has a provider of that name.
    pub(super) fn add_provider(&self, id: &str) {
        self.providers.borrow_mut().insert(id.to_owned());
    }

    /// Whether a target may name that provider.
    pub(super) fn has_provider(&self, id: &str) -> bool {
        self.providers.borrow().contains(id)
    }
}

/// `path` with `key` behind it. A key that could be mistaken for a path is quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '*');
    let key = if !key.is_empty() && key.chars().all(plain) { key.into() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
