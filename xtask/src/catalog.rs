//! `cargo xtask catalog [--check]`: makes the files under `catalog/` that are generated.
//!
//! | file | made from |
//! |---|---|
//! | `catalog/models.tsv`, `catalog/VERSION` | the source tables (`../shared/catalog/models.json`) |
//! | `catalog/providers/<id>.toml` of the long tail | `../shared/catalog/providers.json`, only where no file exists: from then on they are edited by hand |
//! | `catalog/providers.jsonl` | `catalog/providers/*.toml` |
//!
//! With `--check` nothing is written: a file that differs from what would be generated is an error.
//! The source tables are not part of the project; where they are absent, what depends on them alone
//! is left as it is, and said so.

mod long_tail;
mod models;
mod providers;

use std::fs;
use std::path::{Path, PathBuf};

/// What to do with a generated text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Write,
    Check,
}

/// Runs the task.
///
/// # Errors
/// An unknown option, a file that cannot be read or written, a source that does not parse, or, with
/// `--check`, a file that is out of date.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mode = match args {
        [] => Mode::Write,
        [flag] if flag == "--check" => Mode::Check,
        _ => return Err("usage: cargo xtask catalog [--check]".to_owned()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("catalog");
    let sources = root.join("../shared/catalog");
    if sources.is_dir() {
        from_sources(mode, &sources, &target)?;
    } else {
        say("the source tables are absent: models.tsv and the long tail are left as they are");
    }
    put(mode, &target.join("providers.jsonl"), &providers::jsonl(&target.join("providers"))?)
}

fn from_sources(mode: Mode, sources: &Path, target: &Path) -> Result<(), String> {
    let models = models::generate(&read(&sources.join("models.json"))?)?;
    put(mode, &target.join("models.tsv"), &models.table)?;
    put(mode, &target.join("VERSION"), &models.version)?;
    if mode == Mode::Write {
        long_tail::seed(&read(&sources.join("providers.json"))?, &target.join("providers"))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn put(mode: Mode, path: &PathBuf, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if mode == Mode::Check {
        return Err(format!("{} is out of date: run `cargo xtask catalog`", path.display()));
    }
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]
fn say(text: &str) {
    println!("{text}");
}
