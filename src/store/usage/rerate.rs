//! Rating rows anew: reading what a price needs of them, and replacing what they cost, with the old
//! rating kept and every sum that they are in moved by the difference.

use std::collections::BTreeMap;

use sqlx::FromRow;
use sqlx::types::Json;

use super::record::Classes;
use super::rollup::{DAILY, DIMENSIONS, Grain, HOURLY};
use super::{CLASSES, usage_of};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::record::Attempt;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::session::Tx;
use crate::store::statement::Statement;

/// Which rows to rate.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// From this time on.
    pub from: UnixMs,
    /// Before this time.
    pub to: UnixMs,
    /// Of this provider.
    pub provider: Option<String>,
}

/// A row as far as a price needs it.
#[derive(Clone, Debug)]
pub struct RatedRow {
    /// When the request arrived.
    pub at: UnixMs,
    /// The request.
    pub id: String,
    /// The model as asked for.
    pub model: Option<String>,
    /// The provider that served it.
    pub provider: Option<String>,
    /// Each upstream try.
    pub attempts: Vec<Attempt>,
    /// The tier that the answer named.
    pub tier: Option<String>,
    /// Token classes.
    pub usage: weir_wire::usage::Usage,
    /// What it costs now.
    pub rating: Rating,
    dimensions: [String; DIMENSIONS.len()],
    charges: Vec<(String, UnixMs)>,
}

/// What a row costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// The amount, where there is a price.
    pub cost: Option<NanoUsd>,
    /// The price's version.
    pub price_version: Option<String>,
    /// Something was used that has no price.
    pub unpriced: bool,
}

/// Who rates, and when.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Now.
    pub at: UnixMs,
}

#[derive(FromRow)]
struct Row {
    at: UnixMs,
    id: String,
    key_id: Option<String>,
    team_id: Option<String>,
    user_id: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    endpoint: String,
    status: String,
    attempts: Json<Vec<Attempt>>,
    #[sqlx(flatten)]
    classes: Classes,
    cost_nano: Option<i64>,
    price_version: Option<String>,
    tier: Option<String>,
    unpriced: bool,
    charges: Option<Json<Vec<(String, UnixMs)>>>,
}

impl From<Row> for RatedRow {
    fn from(row: Row) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            dimensions: [
                text(&row.key_id),
                text(&row.team_id),
                text(&row.user_id),
                text(&row.provider),
                text(&row.model),
                row.endpoint,
                row.status,
            ],
            at: row.at,
            id: row.id,
            model: row.model,
            provider: row.provider,
            attempts: row.attempts.0,
            tier: row.tier,
            usage: usage_of(row.classes.0),
            rating: Rating {
                cost: row.cost_nano.map(NanoUsd),
                price_version: row.price_version,
                unpriced: row.unpriced,
            },
            charges: row.charges.map_or_else(Vec::new, |json| json.0),
        }
    }
}

fn select() -> String {
    format!(
        "SELECT at, id, {}, attempts, {}, cost_nano, price_version, tier, unpriced, charges FROM usage
        WHERE at >= $1 AND at < $2 AND (at, id) > ($3, $4) AND ($5 = '' OR provider = $5) ORDER BY at, id LIMIT $6",
        DIMENSIONS.join(", "),
        CLASSES.join(", ")
    )
}

const RATE: &str = "\
UPDATE usage SET cost_nano = $3, price_version = $4, unpriced = $5
WHERE at = $1 AND id = $2 AND cost_nano IS NOT DISTINCT FROM $6 AND price_version IS NOT DISTINCT FROM $7";

const KEEP: &str = "\
INSERT INTO usage_ratings (at, id, version, cost_nano, price_version, unpriced, rated_at, run_id)
SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), COALESCE(MAX(r.version), 0) + 1, CAST($3 AS BIGINT), CAST($4 AS TEXT),
    CAST($5 AS BOOLEAN), CAST($6 AS BIGINT), CAST($7 AS TEXT)
FROM usage_ratings r WHERE r.at = $1 AND r.id = $2";

const CHARGE: &str = "UPDATE budget_windows SET spent_nano = spent_nano + $3 WHERE budget_id = $1 AND starts_at = $2";

fn add(grain: &Grain) -> String {
    let same: Vec<String> = DIMENSIONS.iter().zip(4..).map(|(name, n)| format!("{name} = ${n}")).collect();
    format!(
        "UPDATE {} SET cost_nano = cost_nano + $1, unpriced = unpriced + $2 WHERE {} = $3 AND {}",
        grain.table,
        grain.column,
        same.join(" AND ")
    )
}

pub(super) fn statements() -> Vec<String> {
    let fixed = [RATE, KEEP, CHARGE].map(ToOwned::to_owned);
    fixed.into_iter().chain([select(), add(&HOURLY), add(&DAILY)]).collect()
}

/// Rows of the range in the order of their time, after the row `after`; at most `limit`.
///
/// # Errors
/// As any call to the store.
pub async fn rated_rows(
    db: &Db,
    range: &Range,
    after: Option<(UnixMs, &str)>,
    limit: u32,
) -> Result<Vec<RatedRow>, StoreError> {
    let (at, id) = after.unwrap_or((UnixMs::MIN, ""));
    let statement = Statement::new(select())
        // The second condition says it already, but not as plainly to every engine.
        .bind(range.from.max(at))
        .bind(range.to)
        .bind(at)
        .bind(id)
        .bind(range.provider.as_deref().unwrap_or_default())
        .bind(i64::from(limit));
    let rows: Vec<Row> = db.reader().await?.fetch_all(statement).await?;
    Ok(rows.into_iter().map(RatedRow::from).collect())
}

/// Gives rows their new ratings: the old ones are kept in `usage_ratings`, the hourly and daily sums and
/// the budget windows that the rows were charged to move by the difference, all in one transaction.
/// Answers which rows were changed: not those that another run has rated in between.
///
/// # Errors
/// As any call to the store; then nothing of it has happened, or, if the answer to the commit was
/// lost, all of it.
pub async fn rate(db: &Db, rows: &[(RatedRow, Rating)], run: &Run) -> Result<Vec<bool>, StoreError> {
    let mut tx = db.begin().await?;
    match rate_in(&mut tx, rows, run).await {
        Ok(done) => tx.commit().await.map(|()| done),
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn rate_in(tx: &mut Tx, rows: &[(RatedRow, Rating)], run: &Run) -> Result<Vec<bool>, StoreError> {
    let mut done = Vec::with_capacity(rows.len());
    let mut moved = Moved::default();
    for (row, new) in rows {
        let old = &row.rating;
        let rate = Statement::new(RATE)
            .bind(row.at)
            .bind(row.id.as_str())
            .bind(new.cost.map(|cost| cost.0))
            .bind(new.price_version.as_deref())
            .bind(new.unpriced)
            .bind(old.cost.map(|cost| cost.0))
            .bind(old.price_version.as_deref());
        done.push(tx.execute(rate).await? == 1);
        if done.last() != Some(&true) {
            continue;
        }
        let keep = Statement::new(KEEP)
            .bind(row.at)
            .bind(row.id.as_str())
            .bind(old.cost.map(|cost| cost.0))
            .bind(old.price_version.as_deref())
            .bind(old.unpriced)
            .bind(run.at)
            .bind(run.id.as_str());
        tx.execute(keep).await?;
        moved.add(row, new);
    }
    moved.write(tx).await?;
    Ok(done)
}

/// By how much sums move: cost, and rows without a price.
#[derive(Default)]
struct Moved<'r> {
    hours: BTreeMap<(UnixMs, &'r [String]), (i64, i64)>,
    days: BTreeMap<(UnixMs, &'r [String]), (i64, i64)>,
    windows: BTreeMap<&'r (String, UnixMs), i64>,
}

impl<'r> Moved<'r> {
    fn add(&mut self, row: &'r RatedRow, new: &Rating) {
        let cost = |rating: &Rating| rating.cost.map_or(0, |cost| cost.0);
        let difference = cost(new).saturating_sub(cost(&row.rating));
        let unpriced = i64::from(new.unpriced) - i64::from(row.rating.unpriced);
        for (sums, grain) in [(&mut self.hours, &HOURLY), (&mut self.days, &DAILY)] {
            let sum = sums.entry((row.at - row.at % grain.length, &row.dimensions)).or_default();
            *sum = (sum.0.saturating_add(difference), sum.1.saturating_add(unpriced));
        }
        for window in &row.charges {
            let sum = self.windows.entry(window).or_default();
            *sum = sum.saturating_add(difference);
        }
    }

    /// In the order in which the writer locks them, so that neither blocks the other in a circle.
    async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        for (sums, grain) in [(self.hours, &HOURLY), (self.days, &DAILY)] {
            for ((start, dimensions), (cost, unpriced)) in sums {
                let update = Statement::new(add(grain)).bind(cost).bind(unpriced).bind(start);
                tx.execute(dimensions.iter().fold(update, |update, text| update.bind(text.as_str()))).await?;
            }
        }
        for ((budget, start), difference) in self.windows {
            tx.execute(Statement::new(CHARGE).bind(budget.as_str()).bind(*start).bind(difference)).await?;
        }
        Ok(())
    }
}
