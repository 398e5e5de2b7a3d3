//! What is left of limits that replicas share, and what they have leased of places in flight.
//!
//! Every change of a holder's rate locks its row first; holders, and rates within one, are taken in the
//! order of their names, so that replicas never wait for each other in a circle.

use super::db::Db;
use super::error::StoreError;
use super::session::Tx;
use super::statement::Statement;
use crate::clock::UnixMs;
use crate::limits::{Limits, RATES};

pub(super) const STATEMENTS: &[&str] =
    &[OPEN, LOCK, SAVE, OTHERS, SET_PLACES, RENEW, FORGET, TIDY_PLACES, TIDY_LEVELS, REPLICAS];

const OPEN: &str = "\
INSERT INTO limit_levels (holder, rate, limit_value, level_micro, as_of) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (holder, rate) DO NOTHING";

/// Locks the row, on either engine.
const LOCK: &str = "\
UPDATE limit_levels SET as_of = as_of WHERE holder = $1 AND rate = $2 RETURNING limit_value, level_micro, as_of";

const SAVE: &str =
    "UPDATE limit_levels SET limit_value = $3, level_micro = $4, as_of = $5 WHERE holder = $1 AND rate = $2";

const OTHERS: &str = "\
SELECT CAST(COALESCE(SUM(places), 0) AS BIGINT) FROM limit_places
WHERE holder = $1 AND replica <> $2 AND expires_at > $3";

const SET_PLACES: &str = "\
INSERT INTO limit_places (holder, replica, places, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (holder, replica) DO UPDATE SET places = excluded.places, expires_at = excluded.expires_at";

const RENEW: &str = "UPDATE limit_places SET expires_at = $2 WHERE replica = $1 AND places > 0";

const FORGET: &str = "DELETE FROM limit_places WHERE replica = $1";

const TIDY_PLACES: &str = "DELETE FROM limit_places WHERE expires_at < $1 OR (replica = $2 AND places = 0)";

const TIDY_LEVELS: &str = "DELETE FROM limit_levels WHERE as_of < $1";

const REPLICAS: &str = "\
SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN id < $2 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM replicas
WHERE seen_at > $1";

/// The row by which changes of places follow one another.
const PLACES: &str = "concurrency";
/// A level's unit.
const MICRO: i64 = 1_000_000;
/// Less than this is not counted in yet, so that roundings are a thousandth at most.
const GRAIN: i64 = 1_000;

/// What a replica asks of one holder's limits.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The holder.
    pub holder: String,
    /// Its limits.
    pub limits: Limits,
    /// Of each rate, in the order of [`RATES`].
    pub rates: [Rates; RATES.len()],
    /// Places that it has leased.
    pub places: i64,
    /// Places that it wants then.
    pub wanted: i64,
}

/// What is asked of one rate.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// What requests wait for, the first to come first.
    pub demands: Vec<i64>,
    /// How much more is wanted, where there is plenty.
    pub more: i64,
    /// What comes back; negative was used without being leased.
    pub back: i64,
}

impl Rates {
    fn is_nothing(&self) -> bool {
        self.demands.is_empty() && self.more == 0 && self.back == 0
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Of each rate that was asked for, how much more is leased, and what is left of it.
    pub rates: [Option<(i64, i64)>; RATES.len()],
    /// Places leased now; `None` when nothing was asked of them.
    pub places: Option<i64>,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Lessee<'a> {
    /// The replica.
    pub replica: &'a str,
    /// Now.
    pub now: UnixMs,
    /// Until when its places are its own without a sign of life.
    pub expires_at: UnixMs,
    /// How many replicas there are.
    pub replicas: i64,
}

/// Leases of several holders at once; `asks` are sorted by holder.
///
/// # Errors
/// As any call to the store; whether anything was leased is then unknown.
pub async fn lease(db: &Db, by: Lessee<'_>, asks: &[Ask]) -> Result<Vec<Leased>, StoreError> {
    let mut tx = db.begin().await?;
    match all(&mut tx, by, asks).await {
        Ok(leased) => tx.commit().await.map(|()| leased),
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn all(tx: &mut Tx, by: Lessee<'_>, asks: &[Ask]) -> Result<Vec<Leased>, StoreError> {
    let mut out = Vec::with_capacity(asks.len());
    for ask in asks {
        let mut leased = Leased { rates: [None; RATES.len()], places: None };
        if ask.places != ask.wanted {
            leased.places = Some(places(tx, by, ask).await?);
        }
        for (rate, limit) in ask.limits.rates() {
            let at = RATES.iter().position(|known| *known == rate).unwrap_or(0);
            if !ask.rates[at].is_nothing() {
                let span = i64::try_from(rate.span.as_millis()).unwrap_or(i64::MAX);
                let row = Row { holder: &ask.holder, rate: rate.name, limit, span };
                leased.rates[at] = Some(of_rate(tx, by, &row, &ask.rates[at]).await?);
            }
        }
        out.push(leased);
    }
    Ok(out)
}

struct Row<'a> {
    holder: &'a str,
    rate: &'a str,
    limit: u64,
    /// In milliseconds.
    span: i64,
}

impl Row<'_> {
    fn statement(&self, text: &'static str) -> Statement {
        Statement::new(text).bind(self.holder).bind(self.rate)
    }

    /// The limit, as far as a level can hold it.
    fn limit(&self) -> i64 {
        i64::try_from(self.limit.min(crate::limits::MOST)).unwrap_or(i64::MAX)
    }

    fn full(&self) -> i64 {
        self.limit().saturating_mul(MICRO)
    }

    /// The locked row, made full if it is not there: the limit then, the level, as of when.
    async fn lock(&self, tx: &mut Tx, now: UnixMs) -> Result<(i64, i64, UnixMs), StoreError> {
        if let Some(found) = tx.fetch_optional(self.statement(LOCK)).await? {
            return Ok(found);
        }
        let full = (self.limit(), self.full(), now);
        tx.execute(self.statement(OPEN).bind(full.0).bind(full.1).bind(full.2)).await?;
        let found: Option<(i64, i64, i64)> = tx.fetch_optional(self.statement(LOCK)).await?;
        Ok(found.unwrap_or(full))
    }

    /// The level now, and as of when that is.
    fn level(&self, (limit, level, as_of): (i64, i64, UnixMs), now: UnixMs) -> (i64, UnixMs) {
        // What was used under another limit stays used.
        let level = level.saturating_add(self.full()).saturating_sub(limit.saturating_mul(MICRO)).min(self.full());
        let elapsed = i128::from(now.saturating_sub(as_of).max(0));
        let gained = elapsed * i128::from(self.full()) / i128::from(self.span);
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        if gained < GRAIN && level < self.full() {
            return (level, as_of);
        }
        (level.saturating_add(gained).min(self.full()), as_of.max(now))
    }
}

async fn of_rate(tx: &mut Tx, by: Lessee<'_>, row: &Row<'_>, ask: &Rates) -> Result<(i64, i64), StoreError> {
    let found = row.lock(tx, by.now).await?;
    let (level, as_of) = row.level(found, by.now);
    let level = level.saturating_add(ask.back.saturating_mul(MICRO)).min(row.full());
    let mut left = level.div_euclid(MICRO);
    let mut leased = 0_i64;
    let mut all_met = true;
    for demand in &ask.demands {
        let fits = *demand <= left;
        if fits {
            left -= demand;
            leased = leased.saturating_add(*demand);
        }
        all_met &= fits;
    }
    // No replica takes more than its part of half of what is left: the others need some, too.
    let part = left / 2 / by.replicas.max(1);
    let more = if all_met { ask.more.min(part).max(0) } else { 0 };
    leased = leased.saturating_add(more);
    let level = level.saturating_sub(leased.saturating_mul(MICRO));
    tx.execute(row.statement(SAVE).bind(row.limit()).bind(level).bind(as_of)).await?;
    Ok((leased, level.div_euclid(MICRO)))
}

async fn places(tx: &mut Tx, by: Lessee<'_>, ask: &Ask) -> Result<i64, StoreError> {
    let most = ask.limits.concurrency.and_then(|most| i64::try_from(most).ok()).unwrap_or(i64::MAX);
    Row { holder: &ask.holder, rate: PLACES, limit: 0, span: 1 }.lock(tx, by.now).await?;
    let statement = Statement::new(OTHERS).bind(ask.holder.as_str()).bind(by.replica).bind(by.now);
    let others: Option<(i64,)> = tx.fetch_optional(statement).await?;
    let left = most.saturating_sub(others.map_or(0, |(others,)| others)).max(0);
    // What it has it keeps, though the limit was lowered meanwhile.
    let places = ask.wanted.min(left.max(ask.places));
    let set = Statement::new(SET_PLACES).bind(ask.holder.as_str()).bind(by.replica);
    tx.execute(set.bind(places).bind(by.expires_at)).await?;
    Ok(places)
}

/// A sign of life, and the end of what nobody needs any more: places that were not renewed, and levels
/// that are full by now.
///
/// # Errors
/// As any call to the store.
pub async fn renew(db: &Db, by: Lessee<'_>) -> Result<(), StoreError> {
    const TWO_DAYS: i64 = 2 * 86_400_000;
    let mut session = db.writer().await?;
    session.execute(Statement::new(RENEW).bind(by.replica).bind(by.expires_at)).await?;
    session.execute(Statement::new(TIDY_PLACES).bind(by.now).bind(by.replica)).await?;
    session.execute(Statement::new(TIDY_LEVELS).bind(by.now.saturating_sub(TWO_DAYS))).await.map(drop)
}

/// Gives back all places of a replica.
///
/// # Errors
/// As any call to the store.
pub async fn forget(db: &Db, replica: &str) -> Result<(), StoreError> {
    db.writer().await?.execute(Statement::new(FORGET).bind(replica)).await.map(drop)
}

/// How many replicas have been seen since `since`, and how many of them come before this one.
///
/// # Errors
/// As any call to the store.
pub async fn replicas(db: &Db, replica: &str, since: UnixMs) -> Result<(i64, i64), StoreError> {
    let statement = Statement::new(REPLICAS).bind(since).bind(replica);
    let found: Option<(i64, i64)> = db.reader().await?.fetch_optional(statement).await?;
    Ok(found.unwrap_or((1, 0)))
}
