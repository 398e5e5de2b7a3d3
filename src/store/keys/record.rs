//! A key as a row holds it.

use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::types::Json;

use super::{KeyHash, KeyRow};
use crate::clock::UnixMs;
use crate::limits::{Limits, Priority};
use crate::store::error::{StoreError, StoreErrorKind};

#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    name: String,
    hash: String,
    prefix: String,
    last4: String,
    models: Json<Vec<String>>,
    team_id: Option<String>,
    user_id: Option<String>,
    organization_id: Option<String>,
    rpm: Option<i64>,
    tpm: Option<i64>,
    concurrency: Option<i64>,
    rps: Option<i64>,
    rph: Option<i64>,
    rpd: Option<i64>,
    tps: Option<i64>,
    tph: Option<i64>,
    tpd: Option<i64>,
    priority: String,
    expires_at: Option<UnixMs>,
    revoked_at: Option<UnixMs>,
    metadata: Option<Json<Box<RawValue>>>,
    created_at: UnixMs,
    updated_at: UnixMs,
    rev: i64,
}

impl TryFrom<Row> for KeyRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let count = |value: Option<i64>| value.map(|n| u64::try_from(n).unwrap_or(0));
        let Some(hash) = unhex(&row.hash) else {
            return Err(StoreError::new(StoreErrorKind::Corrupt, format!("key {} has an unreadable hash", row.id)));
        };
        Ok(Self {
            hash,
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            last4: row.last4,
            models: row.models.0,
            team_id: row.team_id,
            user_id: row.user_id,
            organization_id: row.organization_id,
            limits: Limits {
                rps: count(row.rps),
                rpm: count(row.rpm),
                rph: count(row.rph),
                rpd: count(row.rpd),
                tps: count(row.tps),
                tpm: count(row.tpm),
                tph: count(row.tph),
                tpd: count(row.tpd),
                concurrency: count(row.concurrency),
            },
            // A newer replica may know others.
            priority: Priority::parse(&row.priority).unwrap_or_default(),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            metadata: row.metadata.map(|json| json.0.get().to_owned()),
            created_at: row.created_at,
            updated_at: row.updated_at,
            rev: row.rev,
        })
    }
}

/// The hash as 64 lower-case hexadecimal digits.
pub(super) fn hex(hash: &KeyHash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    hash.0.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<KeyHash> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    bytes.try_into().ok().map(KeyHash)
}

pub(super) fn no_counter() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "the counter keys_rev is missing from table counters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text() {
        let hash = KeyHash(std::array::from_fn(|i| u8::try_from(i * 8).unwrap()));
        assert!(hex(&hash).starts_with("000810"));
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        for bad in ["", "00", "zz", &"0".repeat(66), &"é".repeat(64)] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
