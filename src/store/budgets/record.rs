//! A budget as a row holds it.

use sqlx::FromRow;
use sqlx::types::Json;

use crate::budget::{Budget, Origin, Period, Raise, Scope, Zone};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::error::{StoreError, StoreErrorKind};

#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    name: String,
    scope: String,
    subject: String,
    period: String,
    time_zone: String,
    limit_nano: i64,
    carry_over: bool,
    thresholds: Json<Vec<u8>>,
    raise_nano: Option<i64>,
    raise_until: Option<UnixMs>,
    origin: String,
    created_at: UnixMs,
    updated_at: UnixMs,
    deleted_at: Option<UnixMs>,
    rev: i64,
}

impl TryFrom<Row> for Budget {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable = |what: &str| {
            StoreError::new(StoreErrorKind::Corrupt, format!("budget {} has an unreadable {what}", row.id))
        };
        let raise = row.raise_nano.zip(row.raise_until);
        Ok(Self {
            scope: Scope::parse(&row.scope).ok_or_else(|| unreadable("scope"))?,
            period: Period::parse(&row.period).ok_or_else(|| unreadable("period"))?,
            zone: Zone::parse(&row.time_zone).map_err(|_| unreadable("time zone"))?,
            origin: Origin::parse(&row.origin).ok_or_else(|| unreadable("origin"))?,
            id: row.id,
            name: row.name,
            subject: row.subject,
            limit: NanoUsd(row.limit_nano),
            carry_over: row.carry_over,
            thresholds: row.thresholds.0,
            raise: raise.map(|(amount, until)| Raise { amount: NanoUsd(amount), until }),
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            rev: row.rev,
        })
    }
}
