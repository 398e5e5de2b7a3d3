//! Rows from the newest back, as far as a comparison of models needs them.

use sqlx::FromRow;
use sqlx::types::Json;

use super::record::Classes;
use super::{CLASSES, usage_of};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::{Attempt, Status};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::statement::Statement;

/// Which rows to walk over.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    /// From this time on.
    pub from: UnixMs,
    /// Before this time.
    pub to: UnixMs,
    /// Of this virtual key alone.
    pub key: Option<&'a str>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Walked {
    /// When the request arrived.
    pub at: UnixMs,
    /// The request.
    pub id: String,
    /// The key's team.
    pub team_id: Option<String>,
    /// The model as asked for.
    pub model: Option<String>,
    /// `chat/completions`, `embeddings`, ...
    pub endpoint: String,
    /// How it ended.
    pub status: Option<Status>,
    /// Each upstream try.
    pub attempts: Vec<Attempt>,
    /// The tier that the answer named.
    pub tier: Option<String>,
    /// Token classes.
    pub usage: weir_wire::usage::Usage,
    /// What it cost, where all of it has a price.
    pub cost: Option<NanoUsd>,
    /// Arrival to the last byte.
    pub latency_ms: u64,
    /// Arrival to the first byte.
    pub ttft_ms: Option<u64>,
    /// Whether a stream was asked for.
    pub stream: bool,
}

#[derive(FromRow)]
struct Row {
    at: UnixMs,
    id: String,
    team_id: Option<String>,
    model: Option<String>,
    endpoint: String,
    status: String,
    attempts: Json<Vec<Attempt>>,
    #[sqlx(flatten)]
    classes: Classes,
    cost_nano: Option<i64>,
    tier: Option<String>,
    unpriced: bool,
    latency_ms: i64,
    ttft_ms: Option<i64>,
    stream: bool,
}

impl From<Row> for Walked {
    fn from(row: Row) -> Self {
        let ms = |ms: i64| u64::try_from(ms).unwrap_or(0);
        Self {
            at: row.at,
            id: row.id,
            team_id: row.team_id,
            model: row.model,
            endpoint: row.endpoint,
            status: Status::parse(&row.status),
            attempts: row.attempts.0,
            tier: row.tier,
            usage: usage_of(row.classes.0),
            cost: row.cost_nano.filter(|_| !row.unpriced).map(NanoUsd),
            latency_ms: ms(row.latency_ms),
            ttft_ms: row.ttft_ms.map(ms),
            stream: row.stream,
        }
    }
}

/// Each reads along an index from its end: the primary key's, or the one that begins with the key.
fn select(of_key: bool) -> String {
    format!(
        "SELECT at, id, team_id, model, endpoint, status, attempts, {}, cost_nano, tier, unpriced, latency_ms, ttft_ms, stream
        FROM usage WHERE at >= $1 AND at <= $2 AND (at, id) < ($3, $4){}
        ORDER BY at DESC, id DESC LIMIT $5",
        CLASSES.join(", "),
        if of_key { " AND key_id = $6" } else { "" }
    )
}

pub(super) fn statements() -> Vec<String> {
    [false, true].map(select).into()
}

/// The newest rows before the row `before`, the newest first; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn walk(
    db: &Db,
    walk: &Walk<'_>,
    before: Option<(UnixMs, &str)>,
    limit: u32,
) -> Result<Vec<Walked>, StoreError> {
    // Ids are never empty, so that this is before every row of its moment.
    let (at, id) = before.unwrap_or((walk.to, ""));
    let statement = Statement::new(select(walk.key.is_some()))
        .bind(walk.from)
        // The row comparison says it already, but not as plainly to every engine.
        .bind(at)
        .bind(at)
        .bind(id)
        .bind(i64::from(limit));
    let statement = walk.key.into_iter().fold(statement, Statement::bind);
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement).await?;
    Ok(rows.into_iter().map(Walked::from).collect())
}
