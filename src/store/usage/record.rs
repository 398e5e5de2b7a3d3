//! A usage row as its table holds it.

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{ColumnIndex, Decode, FromRow, Type};

use super::{CLASSES, usage_of};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::{Attempt, Status, UsageRow};
use crate::store::error::{StoreError, StoreErrorKind};

#[derive(FromRow)]
pub(super) struct Row {
    at: UnixMs,
    id: String,
    key_id: Option<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    end_user: Option<String>,
    tags: Json<Vec<(String, String)>>,
    endpoint: String,
    model: Option<String>,
    provider: Option<String>,
    served_model: Option<String>,
    status: String,
    http_status: i64,
    attempts: Json<Vec<Attempt>>,
    #[sqlx(flatten)]
    classes: Classes,
    cost_nano: Option<i64>,
    price_version: Option<String>,
    estimated: bool,
    unpriced: bool,
    latency_ms: i64,
    ttft_ms: Option<i64>,
    overhead_us: i64,
    stream: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    metadata: Option<Json<Box<RawValue>>>,
    warnings: Option<Json<Vec<String>>>,
    charges: Option<Json<Vec<(String, UnixMs)>>>,
}

/// The token classes, in the order of [`CLASSES`].
struct Classes([i64; CLASSES.len()]);

impl<'r, R: sqlx::Row> FromRow<'r, R> for Classes
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let mut classes = [0; CLASSES.len()];
        for (slot, name) in classes.iter_mut().zip(CLASSES) {
            *slot = row.try_get(name)?;
        }
        Ok(Self(classes))
    }
}

impl TryFrom<Row> for UsageRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what: &str| {
            StoreError::new(StoreErrorKind::Corrupt, format!("usage row {} has an unknown {what}", row.id))
        };
        let status = Status::parse(&row.status).ok_or_else(|| corrupt("status"))?;
        let http_status = u16::try_from(row.http_status).map_err(|_| corrupt("http_status"))?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Self {
            id: row.id,
            at: row.at,
            key_id: row.key_id,
            team_id: row.team_id,
            user_id: row.user_id,
            end_user: row.end_user,
            tags: row.tags.0,
            endpoint: row.endpoint,
            model: row.model,
            provider: row.provider,
            served_model: row.served_model,
            status,
            http_status,
            attempts: row.attempts.0,
            usage: usage_of(row.classes.0),
            cost: row.cost_nano.map(NanoUsd),
            price_version: row.price_version,
            estimated: row.estimated,
            unpriced: row.unpriced,
            latency_ms: count(row.latency_ms),
            ttft_ms: row.ttft_ms.map(count),
            overhead_us: count(row.overhead_us),
            stream: row.stream,
            error_code: row.error_code,
            error_message: row.error_message,
            metadata: row.metadata.map(|json| json.0.get().to_owned()),
            warnings: row.warnings.map_or_else(Vec::new, |json| json.0),
            charges: row.charges.map_or_else(Vec::new, |json| json.0),
        })
    }
}
