//! Small files with credentials in them.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt as _;

use super::{Env, var};

/// Largest file that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file at start.
///
/// # Errors
/// The system's, also when it is too large or not UTF-8.
pub(super) fn read_now(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    text(bytes)
}

/// Reads a file while calls are served.
///
/// # Errors
/// The system's, also when it is too large or not UTF-8.
pub(super) async fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(MAX_FILE + 1).read_to_end(&mut bytes).await?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_FILE} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

/// The user's home.
pub(super) fn home(env: Env<'_>) -> Option<PathBuf> {
    var(env, "HOME").or_else(|| var(env, "USERPROFILE")).map(PathBuf::from)
}

/// A path as a user writes it: a leading `~/` is the home.
pub(super) fn expand(path: &str, env: Env<'_>) -> PathBuf {
    match (path.strip_prefix("~/"), home(env)) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
