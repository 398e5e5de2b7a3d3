//! `providers.jsonl`: every provider file as one line of JSON, sorted by id, so that the binary
//! embeds one text and parses it quickly.

use std::fs;
use std::path::Path;

/// Reads `*.toml` of `dir` and makes the lines.
pub(super) fn jsonl(dir: &Path) -> Result<String, String> {
    let entries = fs::read_dir(dir).map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    let mut lines = files.iter().map(|path| line(path)).collect::<Result<Vec<_>, _>>()?;
    lines.sort_unstable();
    Ok(lines.into_iter().map(|(_, json)| json + "\n").collect())
}

fn line(path: &Path) -> Result<(String, String), String> {
    let text = super::read(path)?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let id = table.get("id").and_then(toml::Value::as_str).ok_or(format!("{}: no id", path.display()))?.to_owned();
    let json = serde_json::to_string(&table).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok((id, json))
}
