//! What budgets have spent, and what replicas have leased of them.
//!
//! Every change of a window or of its leases locks the window's row first, so that changes follow one
//! another; several windows are locked in the order of their keys. What is spent changes only in the
//! transaction that inserts the rows it is spent on.

use std::collections::BTreeMap;

use super::db::Db;
use super::error::StoreError;
use super::session::Tx;
use super::statement::Statement;
use crate::clock::UnixMs;
use crate::money::NanoUsd;

pub(super) const STATEMENTS: &[&str] = &[
    OPEN,
    LOCK,
    TOTALS_BEFORE,
    LEASE,
    LEASED,
    OTHERS,
    WANT,
    SPEND,
    SPEND_LEASE,
    MINE,
    WANTED,
    RENEW,
    SEEN,
    RELEASE_WINDOWS,
    RELEASE,
    LIVE,
    FIRST_SEEN,
    TELL_IDLE,
    FORGET_REPLICA,
    WINDOWS_OF,
];

const OPEN: &str = "\
INSERT INTO budget_windows (budget_id, starts_at, ends_at, carried_nano, spent_nano, leased_nano, wanted_at)
VALUES ($1, $2, $3, $4, 0, 0, 0)
ON CONFLICT (budget_id, starts_at) DO NOTHING";

/// Locks the row, on either engine.
const LOCK: &str = "\
UPDATE budget_windows SET leased_nano = leased_nano WHERE budget_id = $1 AND starts_at = $2
RETURNING carried_nano, spent_nano, leased_nano";

const TOTALS_BEFORE: &str =
    "SELECT carried_nano, spent_nano, leased_nano FROM budget_windows WHERE budget_id = $1 AND starts_at = $2";

const LEASE: &str = "\
INSERT INTO budget_leases (budget_id, starts_at, replica, granted_nano, idle_nano, synced_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (budget_id, starts_at, replica) DO UPDATE SET
    granted_nano = CASE WHEN budget_leases.granted_nano + excluded.granted_nano > 0
        THEN budget_leases.granted_nano + excluded.granted_nano ELSE 0 END,
    idle_nano = excluded.idle_nano, synced_at = excluded.synced_at, expires_at = excluded.expires_at";

const LEASED: &str = "\
UPDATE budget_windows SET leased_nano = (
    SELECT CAST(COALESCE(SUM(granted_nano), 0) AS BIGINT) FROM budget_leases
    WHERE budget_leases.budget_id = $1 AND budget_leases.starts_at = $2)
WHERE budget_id = $1 AND starts_at = $2";

const OTHERS: &str = "\
SELECT CAST(COALESCE(SUM(idle_nano), 0) AS BIGINT) FROM budget_leases
WHERE budget_id = $1 AND starts_at = $2 AND replica <> $3 AND expires_at > $4 AND granted_nano > 0";

const WANT: &str = "UPDATE budget_windows SET wanted_at = $3 WHERE budget_id = $1 AND starts_at = $2";

const SPEND: &str = "\
INSERT INTO budget_windows (budget_id, starts_at, ends_at, carried_nano, spent_nano, leased_nano, wanted_at)
VALUES ($1, $2, NULL, 0, $3, 0, 0)
ON CONFLICT (budget_id, starts_at) DO UPDATE SET spent_nano = budget_windows.spent_nano + excluded.spent_nano
RETURNING carried_nano, spent_nano, ends_at";

const SPEND_LEASE: &str = "\
UPDATE budget_leases SET granted_nano = CASE WHEN granted_nano > $4 THEN granted_nano - $4 ELSE 0 END
WHERE budget_id = $1 AND starts_at = $2 AND replica = $3";

const MINE: &str = "SELECT granted_nano FROM budget_leases WHERE budget_id = $1 AND starts_at = $2 AND replica = $3";

const WANTED: &str = "\
SELECT l.budget_id, l.starts_at FROM budget_leases l
JOIN budget_windows w ON w.budget_id = l.budget_id AND w.starts_at = l.starts_at
WHERE l.replica = $1 AND l.granted_nano > 0 AND w.wanted_at >= $2 AND l.synced_at <= w.wanted_at";

const RENEW: &str = "UPDATE budget_leases SET expires_at = $2 WHERE replica = $1 AND granted_nano > 0";

const SEEN: &str = "\
INSERT INTO replicas (id, started_at, seen_at) VALUES ($1, $2, $2)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

const RELEASE_WINDOWS: &str =
    "SELECT budget_id, starts_at FROM budget_leases WHERE replica = $1 ORDER BY budget_id, starts_at";

const RELEASE: &str = "DELETE FROM budget_leases WHERE budget_id = $1 AND starts_at = $2 AND replica = $3";

const LIVE: &str = "SELECT COUNT(*) FROM replicas WHERE seen_at > $1";

const FIRST_SEEN: &str = "SELECT MIN(id) FROM replicas WHERE seen_at > $1";

const TELL_IDLE: &str = "\
UPDATE budget_leases SET idle_nano = $4, synced_at = $5 WHERE budget_id = $1 AND starts_at = $2 AND replica = $3";

const FORGET_REPLICA: &str = "DELETE FROM replicas WHERE id = $1";

const WINDOWS_OF: &str = "\
SELECT budget_id, starts_at, ends_at, carried_nano, spent_nano, leased_nano FROM budget_windows
WHERE budget_id = $1 ORDER BY starts_at DESC LIMIT $2";

/// What a replica asks of one window.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The budget.
    pub budget_id: String,
    /// The window's start.
    pub start: UnixMs,
    /// Its end.
    pub end: Option<UnixMs>,
    /// The start of the window before it, where what is left of that is carried over.
    pub previous: Option<UnixMs>,
    /// What requests wait for, the first to come first.
    pub demands: Vec<NanoUsd>,
    /// What of its lease this replica gives back.
    pub give_back: NanoUsd,
    /// What it holds idle after that.
    pub idle: NanoUsd,
    /// Whether it wants more than is demanded.
    pub grow: bool,
}

/// The terms of a budget, which the store does not know.
pub trait Terms {
    /// What may be spent in the window, given what was carried into it.
    fn allowance(&self, carried: NanoUsd) -> NanoUsd;
    /// What is carried out of the window before, given what was carried into that and spent in it.
    /// `None` spent: nothing was ever charged to it.
    fn carry(&self, before: Option<(NanoUsd, NanoUsd)>) -> NanoUsd;
    /// How much more than is demanded to lease, when so much is left.
    fn headroom(&self, left: NanoUsd) -> NanoUsd;
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// How much more is leased now, demands and headroom together; negative when something was given back.
    pub more: NanoUsd,
    /// Which of the demands are met.
    pub met: Vec<bool>,
    /// What nobody has spent or leased, after this.
    pub left: NanoUsd,
    /// What may be spent in the window.
    pub allowance: NanoUsd,
    /// What is spent in it.
    pub spent: NanoUsd,
    /// What other replicas have leased and do not need, as far as they have said.
    pub idle_elsewhere: NanoUsd,
}

/// Who leases, and when.
#[derive(Clone, Copy, Debug)]
pub struct Lessee<'a> {
    /// The replica.
    pub replica: &'a str,
    /// Now.
    pub now: UnixMs,
    /// Until when its leases are its own without a sign of life.
    pub expires_at: UnixMs,
}

/// Leases more of a window, or gives some back, in a transaction of its own.
///
/// # Errors
/// As any call to the store; whether anything was leased is then unknown (see [`mine`]).
pub async fn lease(db: &Db, by: Lessee<'_>, ask: &Ask, terms: &(dyn Terms + Sync)) -> Result<Leased, StoreError> {
    let mut tx = db.begin().await?;
    match lease_in(&mut tx, by, ask, terms).await {
        Ok(leased) => tx.commit().await.map(|()| leased),
        Err(error) => {
            // When even that fails, dropping the transaction closes its connection.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

fn of(text: &'static str, ask: &Ask) -> Statement {
    Statement::new(text).bind(ask.budget_id.as_str()).bind(ask.start)
}

async fn lease_in(tx: &mut Tx, by: Lessee<'_>, ask: &Ask, terms: &(dyn Terms + Sync)) -> Result<Leased, StoreError> {
    let (carried, spent, leased) = open(tx, ask, terms).await?;
    let allowance = terms.allowance(NanoUsd(carried));
    let mut left = allowance.0.saturating_sub(spent).saturating_sub(leased).saturating_add(ask.give_back.0);
    let mut more = 0_i64;
    let met: Vec<bool> = ask
        .demands
        .iter()
        .map(|demand| {
            let fits = demand.0 <= left;
            if fits {
                left -= demand.0;
                more = more.saturating_add(demand.0);
            }
            fits
        })
        .collect();
    let refused = met.contains(&false);
    let grows = ask.grow && !refused;
    let headroom = if grows { terms.headroom(NanoUsd(left)).0.clamp(0, left.max(0)) } else { 0 };
    left -= headroom;
    more = more.saturating_add(headroom).saturating_sub(ask.give_back.0);
    let idle = ask.idle.0.saturating_add(headroom);
    let bound = of(LEASE, ask).bind(by.replica).bind(more).bind(idle).bind(by.now).bind(by.expires_at);
    tx.execute(bound).await?;
    tx.execute(of(LEASED, ask)).await?;
    let mut idle_elsewhere = 0;
    if refused {
        let others: Option<(i64,)> = tx.fetch_optional(of(OTHERS, ask).bind(by.replica).bind(by.now)).await?;
        idle_elsewhere = others.map_or(0, |(idle,)| idle);
        if idle_elsewhere > 0 {
            tx.execute(of(WANT, ask).bind(by.now)).await?;
        }
    }
    Ok(Leased {
        more: NanoUsd(more),
        met,
        left: NanoUsd(left),
        allowance,
        spent: NanoUsd(spent),
        idle_elsewhere: NanoUsd(idle_elsewhere),
    })
}

/// Locks the window's row, which is made if it is not there.
async fn open(tx: &mut Tx, ask: &Ask, terms: &(dyn Terms + Sync)) -> Result<(i64, i64, i64), StoreError> {
    if let Some(found) = tx.fetch_optional(of(LOCK, ask)).await? {
        return Ok(found);
    }
    let carried = match ask.previous {
        None => NanoUsd(0),
        Some(previous) => {
            let statement = Statement::new(TOTALS_BEFORE).bind(ask.budget_id.as_str()).bind(previous);
            let before: Option<(i64, i64, i64)> = tx.fetch_optional(statement).await?;
            // What is still leased of it may be spent.
            terms
                .carry(before.map(|(carried, spent, leased)| (NanoUsd(carried), NanoUsd(spent.saturating_add(leased)))))
        }
    };
    tx.execute(of(OPEN, ask).bind(ask.end).bind(carried.0)).await?;
    let found: Option<(i64, i64, i64)> = tx.fetch_optional(of(LOCK, ask)).await?;
    Ok(found.unwrap_or((carried.0, 0, 0)))
}

/// What the database says is leased by a replica, after an answer of it was lost.
///
/// # Errors
/// As any call to the store.
pub async fn mine(db: &Db, replica: &str, budget_id: &str, start: UnixMs) -> Result<NanoUsd, StoreError> {
    let statement = Statement::new(MINE).bind(budget_id).bind(start).bind(replica);
    let found: Option<(i64,)> = db.reader().await?.fetch_optional(statement).await?;
    Ok(NanoUsd(found.map_or(0, |(granted,)| granted)))
}

/// A window after something was spent in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The budget.
    pub budget_id: String,
    /// The window's start.
    pub start: UnixMs,
    /// Its end, where it is known.
    pub end: Option<UnixMs>,
    /// What was carried into it.
    pub carried: NanoUsd,
    /// What was spent in it before.
    pub before: NanoUsd,
    /// What is spent in it now.
    pub now: NanoUsd,
}

/// Adds what new rows cost to the windows they are charged to, out of the leases of the replica that
/// admitted them. In the transaction that inserts the rows; the last thing it does, because replicas
/// wait for each other's locks on windows until the commit.
pub(super) async fn spend(
    tx: &mut Tx,
    replica: &str,
    charges: &BTreeMap<(String, UnixMs), i64>,
) -> Result<Vec<Spent>, StoreError> {
    let mut out = Vec::with_capacity(charges.len());
    for ((budget_id, start), cost) in charges {
        let of = |text| Statement::new(text).bind(budget_id.as_str()).bind(*start);
        let found: Option<(i64, i64, Option<i64>)> = tx.fetch_optional(of(SPEND).bind(*cost)).await?;
        tx.execute(of(SPEND_LEASE).bind(replica).bind(*cost)).await?;
        tx.execute(of(LEASED)).await?;
        let (carried, now, end) = found.unwrap_or_default();
        out.push(Spent {
            budget_id: budget_id.clone(),
            start: *start,
            end,
            carried: NanoUsd(carried),
            before: NanoUsd(now.saturating_sub(*cost)),
            now: NanoUsd(now),
        });
    }
    Ok(out)
}

/// Windows of which this replica has something that another wants, since `since`.
///
/// # Errors
/// As any call to the store.
pub async fn wanted(db: &Db, replica: &str, since: UnixMs) -> Result<Vec<(String, UnixMs)>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(WANTED).bind(replica).bind(since)).await
}

/// A sign of life: this replica is there, and its leases are its own until `expires_at`. Answers how
/// many replicas have been seen since `since`.
///
/// # Errors
/// As any call to the store.
pub async fn renew(db: &Db, by: Lessee<'_>, since: UnixMs) -> Result<i64, StoreError> {
    let mut session = db.writer().await?;
    session.execute(Statement::new(SEEN).bind(by.replica).bind(by.now)).await?;
    session.execute(Statement::new(RENEW).bind(by.replica).bind(by.expires_at)).await?;
    let live: Option<(i64,)> = session.fetch_optional(Statement::new(LIVE).bind(since)).await?;
    Ok(live.map_or(1, |(live,)| live.max(1)))
}

/// The first, by name, of the replicas seen since `since`: what one does for all it does.
///
/// # Errors
/// As any call to the store.
pub async fn first_seen(db: &Db, since: UnixMs) -> Result<Option<String>, StoreError> {
    let found: Option<(Option<String>,)> =
        db.reader().await?.fetch_optional(Statement::new(FIRST_SEEN).bind(since)).await?;
    Ok(found.and_then(|(id,)| id))
}

/// Says what this replica does not need of its leases.
///
/// # Errors
/// As any call to the store.
pub async fn tell_idle(db: &Db, by: Lessee<'_>, idle: &[(String, UnixMs, i64)]) -> Result<(), StoreError> {
    let mut session = db.writer().await?;
    for (budget_id, start, idle) in idle {
        let statement = Statement::new(TELL_IDLE).bind(budget_id.as_str()).bind(*start);
        session.execute(statement.bind(by.replica).bind(*idle).bind(by.now)).await?;
    }
    Ok(())
}

/// Gives back all leases of a replica whose journal is in the database, and forgets it.
///
/// # Errors
/// As any call to the store; what was given back already stays so.
pub async fn release(db: &Db, replica: &str) -> Result<(), StoreError> {
    let windows: Vec<(String, i64)> =
        db.reader().await?.fetch_all(Statement::new(RELEASE_WINDOWS).bind(replica)).await?;
    for (budget_id, start) in windows {
        let of = |text| Statement::new(text).bind(budget_id.as_str()).bind(start);
        let mut tx = db.begin().await?;
        tx.execute(of(LOCK)).await?;
        tx.execute(of(RELEASE).bind(replica)).await?;
        tx.execute(of(LEASED)).await?;
        tx.commit().await?;
    }
    db.writer().await?.execute(Statement::new(FORGET_REPLICA).bind(replica)).await.map(drop)
}

/// The latest windows of a budget, newest first: start, end, carried, spent, leased.
///
/// # Errors
/// As any call to the store.
pub async fn windows(
    db: &Db,
    budget_id: &str,
    most: u32,
) -> Result<Vec<(String, UnixMs, Option<UnixMs>, i64, i64, i64)>, StoreError> {
    let statement = Statement::new(WINDOWS_OF).bind(budget_id).bind(i64::from(most));
    db.reader().await?.fetch_all(statement).await
}
