//! Reading a file and the files that it includes, into one tree.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::expand::expand;
use super::parse::{Format, parse};
use super::tree::{At, Entry, Node, Value, merge};

/// The longest configuration file, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Includes within includes.
const MAX_DEPTH: usize = 8;
/// Files in all: includes that fan out at every level would else multiply.
const MAX_FILES: usize = 64;

/// Names the environment whose overlay is laid over the file.
const ENVIRONMENT: &str = "WEIR_ENV";

/// The tree of a file with its includes beneath it: a later include wins over an earlier one, the
/// including file over both; and over all of them the overlay of the environment that `WEIR_ENV` names,
/// `weir.staging.yaml` beside `weir.yaml`.
pub(super) fn load_file(cx: &Context<'_>, path: &Path) -> Option<Node> {
    let base = load_one(cx, path);
    let Some(environment) = (cx.env)(ENVIRONMENT).filter(|name| !name.is_empty()) else { return base };
    let over = overlay(cx, path, &environment);
    match (base, over) {
        (Some(base), Some(over)) if over.value != Value::Null => Some(merge(base, over)),
        (base, over) => base.or(over),
    }
}

fn overlay(cx: &Context<'_>, path: &Path, environment: &str) -> Option<Node> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !environment.bytes().all(fits) {
        let at = At { file: cx.add_file(path), ..At::default() };
        let problem = format!("the environment variable {ENVIRONMENT} may hold letters, digits, `-` and `_` alone");
        cx.fault(at, "", problem, None);
        return None;
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{environment}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    load_one(cx, &path.with_file_name(name))
}

fn load_one(cx: &Context<'_>, path: &Path) -> Option<Node> {
    let file = cx.add_file(path);
    match read_bounded(path, MAX_FILE) {
        Ok(text) if text.is_empty() => {
            cx.add_empty(path);
            None
        }
        Ok(text) => load(cx, &text, Format::of(path), file, &mut vec![identity(path)]),
        Err(problem) => {
            let at = At { file, ..At::default() };
            cx.fault(at, "", format!("cannot read the file: {problem}"), None);
            None
        }
    }
}

/// The tree of a text that stands for a file of that name.
pub(super) fn load_text(cx: &Context<'_>, name: &Path, text: &str, format: Format) -> Option<Node> {
    let file = cx.add_file(name);
    load(cx, text, format, file, &mut vec![identity(name)])
}

/// The text of a file, if it is UTF-8 of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("longer than {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

/// What tells files apart that have several names.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// `above` holds the files that led here, this one last.
fn load(cx: &Context<'_>, text: &str, format: Format, file: usize, above: &mut Vec<PathBuf>) -> Option<Node> {
    let (node, faults) = parse(text, format, file);
    for fault in faults {
        cx.fault(fault.at, &fault.key, fault.problem, None);
    }
    let mut node = node?;
    let Value::Map(entries) = &mut node.value else { return Some(node) };
    let Some(i) = entries.iter().position(|entry| entry.key == "include") else { return Some(node) };
    let include = entries.remove(i);
    let below = included(cx, include, above);
    match below.into_iter().reduce(merge) {
        Some(base) => Some(merge(base, node)),
        None => Some(node),
    }
}

fn included(cx: &Context<'_>, include: Entry, above: &mut Vec<PathBuf>) -> Vec<Node> {
    let items = match include.node.value {
        Value::Null => Vec::new(),
        Value::List(items) => items,
        value => {
            let problem = format!("expected a list of files, found {}", value.kind());
            cx.fault(include.node.at, "include", problem, None);
            Vec::new()
        }
    };
    items.into_iter().filter_map(|item| include_one(cx, &item, above)).collect()
}

fn include_one(cx: &Context<'_>, item: &Node, above: &mut Vec<PathBuf>) -> Option<Node> {
    let loaded = match &item.value {
        Value::Text(text) => expand(text, cx.env).and_then(|name| open(cx, item.at, &name, above)),
        value => Err(format!("expected the name of a file, found {}", value.kind())),
    };
    let (path, text) = match loaded {
        Ok(loaded) => loaded,
        Err(problem) => {
            cx.fault(item.at, "include", problem, None);
            return None;
        }
    };
    let file = cx.add_file(&path);
    if text.is_empty() {
        cx.add_empty(&path);
        return None;
    }
    above.push(identity(&path));
    let node = load(cx, &text, Format::of(&path), file, above);
    above.pop();
    match node?.value {
        // A file of comments alone adds nothing.
        Value::Null => None,
        Value::Map(entries) => Some(Node { at: item.at, value: Value::Map(entries) }),
        other => {
            let at = At { file, line: 1, column: 1 };
            cx.fault(at, "", format!("expected a map, found {}", other.kind()), None);
            None
        }
    }
}

fn open(cx: &Context<'_>, at: At, name: &str, above: &[PathBuf]) -> Result<(PathBuf, String), String> {
    let path = cx.resolve(at, Path::new(name));
    if above.contains(&identity(&path)) {
        return Err(format!("{} includes itself", path.display()));
    }
    if above.len() > MAX_DEPTH || cx.files().len() >= MAX_FILES {
        return Err(format!("includes more than {MAX_DEPTH} deep, or more than {MAX_FILES} files"));
    }
    let text = read_bounded(&path, MAX_FILE).map_err(|problem| format!("cannot read {}: {problem}", path.display()))?;
    Ok((path, text))
}
