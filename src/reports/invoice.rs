//! Providers' own accounts of what was used: reading their files, keeping them, and setting them beside
//! the ledger.

mod columns;
mod difference;
mod number;
mod read;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use columns::Format;
pub use difference::difference;
pub use read::{Fault, MAX_GROUPS, Parsed, parse};

use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::rfc3339;
use crate::store::invoices::{self as store, Invoice};
use crate::store::{Db, StoreError};

/// Largest file.
pub const MAX_FILE: u64 = 32 * 1024 * 1024;

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not what it must be.
    #[error(transparent)]
    File(#[from] Fault),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a provider's file and keeps it. The same file again changes nothing; `imported` in the answer
/// says which it was.
///
/// # Errors
/// What is wrong with the file, line by line, or with the database. A file with a wrong line is refused
/// whole.
pub async fn import(
    db: &Db,
    now: UnixMs,
    provider: &str,
    format: Option<Format>,
    file: &[u8],
) -> Result<Value, ImportError> {
    let parsed = parse(file, format)?;
    let content_hash = hex(&Sha256::digest(file));
    let id = hex(&Sha256::digest(format!("{provider}\0{content_hash}")));
    let invoice = Invoice {
        id: format!("inv_{}", &id[..32]),
        provider: provider.to_owned(),
        format: parsed.format.as_str().to_owned(),
        content_hash,
        imported_at: now,
        first_day: parsed.first_day,
        last_day: parsed.last_day,
        line_count: i64::try_from(parsed.line_count).unwrap_or(i64::MAX),
        has_tokens: parsed.has_tokens,
        has_cost: parsed.has_cost,
        cost_nano: parsed.lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.sums.cost_nano)),
        unknown_columns: parsed.unknown_columns.into(),
    };
    let is_first = store::put(db, &invoice, &parsed.lines).await?;
    let kept = store::find(db, &invoice.id).await?.unwrap_or(invoice);
    let mut answer = describe(&kept);
    answer["imported"] = is_first.into();
    Ok(answer)
}

/// An invoice without its lines.
#[must_use]
pub fn describe(invoice: &Invoice) -> Value {
    json!({
        "id": invoice.id,
        "object": "invoice",
        "provider": invoice.provider,
        "format": invoice.format,
        "imported_at": rfc3339(invoice.imported_at),
        "first_day": day_text(invoice.first_day),
        "last_day": day_text(invoice.last_day),
        "lines": invoice.line_count,
        "has_tokens": invoice.has_tokens,
        "has_cost": invoice.has_cost,
        "cost_usd": invoice.has_cost.then(|| NanoUsd(invoice.cost_nano).to_string()),
        "unknown_columns": invoice.unknown_columns.0,
        "sha256": invoice.content_hash,
    })
}

/// A page of invoices, ordered by their ids.
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, after: &str, limit: u32) -> Result<Value, StoreError> {
    let mut found = store::list(db, after, limit.saturating_add(1)).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| last.id.clone());
    let data: Vec<Value> = found.iter().map(describe).collect();
    Ok(json!({"object": "list", "data": data, "has_more": more, "next_cursor": next}))
}

/// `2026-11-21`.
fn day_text(at: UnixMs) -> String {
    rfc3339(at).chars().take(10).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
