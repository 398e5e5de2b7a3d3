//! Whether the books agree: the rows, their sums by hour and by day, what budgets have spent, what is
//! leased of them.

use std::collections::BTreeMap;

use super::db::Db;
use super::error::StoreError;
use super::session::Session;
use super::statement::Statement;
use crate::clock::UnixMs;
use crate::record::rfc3339;
use sqlx::types::Json;

pub(super) const STATEMENTS: &[&str] =
    &[ROWS_BY_HOUR, HOURLY, ROWS_BY_DAY, DAILY, CHARGED, CHARGED_AFTER, ASIDE, ASIDE_AFTER, WINDOWS, LEASES, FIRST_ROW];

macro_rules! sums {
    ($requests:literal, $from:literal) => {
        concat!(
            "CAST(",
            $requests,
            " AS BIGINT), CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT), CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT), \
             CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) FROM ",
            $from
        )
    };
}

const ROWS_BY_HOUR: &str = concat!(
    "SELECT at - at % 3600000, ",
    sums!("COUNT(*)", "usage"),
    " WHERE at >= $1 AND at < $2 GROUP BY at - at % 3600000 ORDER BY 1"
);

const HOURLY: &str = concat!(
    "SELECT hour, ",
    sums!("SUM(requests)", "usage_hourly"),
    " WHERE hour >= $1 AND hour < $2 GROUP BY hour ORDER BY 1"
);

const ROWS_BY_DAY: &str = concat!(
    "SELECT at - at % 86400000, ",
    sums!("COUNT(*)", "usage"),
    " WHERE at >= $1 AND at < $2 GROUP BY at - at % 86400000 ORDER BY 1"
);

const DAILY: &str = concat!(
    "SELECT day, ",
    sums!("SUM(requests)", "usage_daily"),
    " WHERE day >= $1 AND day < $2 GROUP BY day ORDER BY 1"
);

const CHARGED: &str = "\
SELECT at, id, cost_nano, charges FROM usage
WHERE at >= $1 AND at < $2 AND charges IS NOT NULL ORDER BY at, id LIMIT 2000";

const CHARGED_AFTER: &str = "\
SELECT at, id, cost_nano, charges FROM usage
WHERE at >= $1 AND at < $2 AND charges IS NOT NULL AND (at > $1 OR id > $3) ORDER BY at, id LIMIT 2000";

/// The same of rows that the database refused.
const ASIDE: &str = "\
SELECT at, id, charged_nano, charges FROM usage_quarantine
WHERE at >= $1 AND at < $2 AND charges IS NOT NULL ORDER BY at, id LIMIT 2000";

const ASIDE_AFTER: &str = "\
SELECT at, id, charged_nano, charges FROM usage_quarantine
WHERE at >= $1 AND at < $2 AND charges IS NOT NULL AND (at > $1 OR id > $3) ORDER BY at, id LIMIT 2000";

const WINDOWS: &str = "\
SELECT budget_id, starts_at, spent_nano FROM budget_windows
WHERE starts_at >= $1 AND COALESCE(ends_at, $2) <= $2";

const LEASES: &str = "\
SELECT w.budget_id, w.starts_at, w.leased_nano, CAST(COALESCE(SUM(l.granted_nano), 0) AS BIGINT) FROM budget_windows w
LEFT JOIN budget_leases l ON l.budget_id = w.budget_id AND l.starts_at = w.starts_at
GROUP BY w.budget_id, w.starts_at, w.leased_nano
HAVING w.leased_nano <> CAST(COALESCE(SUM(l.granted_nano), 0) AS BIGINT)";

const FIRST_ROW: &str = "\
SELECT MIN(at) FROM (SELECT MIN(at) AS at FROM usage UNION ALL SELECT MIN(at) AS at FROM usage_quarantine) AS first";

const DAY: UnixMs = 86_400_000;
/// Most disagreements that are told.
const MAX_TOLD: usize = 1_000;

/// Something that should be equal and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What: `requests of hour 2026-11-18T11:00:00.000Z`, `spent of budget bud_1 since ...`.
    pub what: String,
    /// What the rows say.
    pub expected: i64,
    /// What the books say.
    pub found: i64,
    /// Whether it is money, in nano-dollars.
    pub money: bool,
}

/// What was compared, and what does not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Rows in the time that was looked at.
    pub rows: i64,
    /// What they cost together, in nano-dollars.
    pub cost: i64,
    /// Hours that have rows or sums.
    pub hours: u64,
    /// Windows of budgets that lie in that time.
    pub windows: u64,
    /// What does not agree; at most a thousand.
    pub mismatches: Vec<Mismatch>,
}

impl Reconciled {
    fn compare(&mut self, what: impl FnOnce() -> String, expected: i64, found: i64, money: bool) {
        if expected != found && self.mismatches.len() < MAX_TOLD {
            self.mismatches.push(Mismatch { what: what(), expected, found, money });
        }
    }

    /// What both looks found, word for word: what only one did was under way.
    #[must_use]
    pub fn persisting(mut self, earlier: &Self) -> Self {
        self.mismatches.retain(|mismatch| earlier.mismatches.contains(mismatch));
        self
    }
}

/// [`reconcile`], twice where the first look finds something: rows that are being written are no
/// disagreement.
///
/// # Errors
/// As any call to the store.
pub async fn settled(db: &Db, from: UnixMs, to: UnixMs) -> Result<Reconciled, StoreError> {
    let first = reconcile(db, from, to).await?;
    if first.mismatches.is_empty() {
        return Ok(first);
    }
    Ok(reconcile(db, from, to).await?.persisting(&first))
}

type Sums = (i64, i64, i64, i64, i64);

/// Compares everything between two moments, which are moved to the day's begin: the sums of rows with
/// the sums by hour and by day; the windows that lie between them with the rows charged to them, those in
/// quarantine too; what is
/// leased with the leases. While rows are being written a look may find what another does not:
/// compare two ([`Reconciled::persisting`]).
///
/// # Errors
/// As any call to the store.
pub async fn reconcile(db: &Db, from: UnixMs, to: UnixMs) -> Result<Reconciled, StoreError> {
    let mut session = db.reader().await?;
    let (from, to) = (from - from.rem_euclid(DAY), to - to.rem_euclid(DAY) + DAY);
    let mut out = Reconciled::default();
    let first: Option<(Option<i64>,)> = session.fetch_optional(Statement::new(FIRST_ROW)).await?;
    let first = first.and_then(|(at,)| at).unwrap_or(to);
    // A day at a time, so that no statement takes long.
    let mut day = from.max(first - first.rem_euclid(DAY));
    let mut charged: BTreeMap<(String, UnixMs), i64> = BTreeMap::new();
    while day < to {
        let end = day + DAY;
        sums(&mut session, &mut out, "hour", (ROWS_BY_HOUR, HOURLY), (day, end)).await?;
        sums(&mut session, &mut out, "day", (ROWS_BY_DAY, DAILY), (day, end)).await?;
        charges(&mut session, &mut charged, (CHARGED, CHARGED_AFTER), (day, end)).await?;
        charges(&mut session, &mut charged, (ASIDE, ASIDE_AFTER), (day, end)).await?;
        day = end;
    }
    windows(&mut session, &mut out, &charged, from, to).await?;
    let wrong: Vec<(String, i64, i64, i64)> = session.fetch_all(Statement::new(LEASES)).await?;
    for (id, start, found, expected) in wrong {
        out.compare(|| format!("leased of budget {id} since {}", rfc3339(start)), expected, found, true);
    }
    Ok(out)
}

async fn sums(
    session: &mut Session,
    out: &mut Reconciled,
    grain: &str,
    (rows, kept): (&'static str, &'static str),
    (from, to): (UnixMs, UnixMs),
) -> Result<(), StoreError> {
    let by_start =
        |list: Vec<Sums>| list.into_iter().map(|(at, a, b, c, d)| (at, [a, b, c, d])).collect::<BTreeMap<_, _>>();
    let expected = by_start(session.fetch_all(Statement::new(rows).bind(from).bind(to)).await?);
    let found = by_start(session.fetch_all(Statement::new(kept).bind(from).bind(to)).await?);
    let starts: std::collections::BTreeSet<i64> = expected.keys().chain(found.keys()).copied().collect();
    for start in starts {
        let (expected, found) =
            (expected.get(&start).copied().unwrap_or_default(), found.get(&start).copied().unwrap_or_default());
        if grain == "hour" {
            out.hours += 1;
            out.rows += expected[0];
            out.cost = out.cost.saturating_add(expected[3]);
        }
        for (i, name) in ["requests", "input_tokens", "output_tokens", "cost"].into_iter().enumerate() {
            out.compare(|| format!("{name} of {grain} {}", rfc3339(start)), expected[i], found[i], name == "cost");
        }
    }
    Ok(())
}

type Charged = (i64, String, Option<i64>, Json<Vec<(String, UnixMs)>>);

/// Adds up what rows are charged to.
async fn charges(
    session: &mut Session,
    sums: &mut BTreeMap<(String, UnixMs), i64>,
    (first, next): (&'static str, &'static str),
    (from, to): (UnixMs, UnixMs),
) -> Result<(), StoreError> {
    let mut after: Option<(i64, String)> = None;
    loop {
        let statement = match &after {
            None => Statement::new(first).bind(from).bind(to),
            Some((at, id)) => Statement::new(next).bind(*at).bind(to).bind(id.as_str()),
        };
        let rows: Vec<Charged> = session.fetch_all(statement).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.0, last.1.clone()));
        for (_, _, cost, charges) in rows {
            for charge in charges.0 {
                let sum = sums.entry(charge).or_default();
                *sum = sum.saturating_add(cost.unwrap_or(0));
            }
        }
    }
}

/// Windows that lie in the time that was looked at. One without an end does when everything was.
async fn windows(
    session: &mut Session,
    out: &mut Reconciled,
    charged: &BTreeMap<(String, UnixMs), i64>,
    from: UnixMs,
    to: UnixMs,
) -> Result<(), StoreError> {
    let found: Vec<(String, i64, i64)> = session.fetch_all(Statement::new(WINDOWS).bind(from).bind(to)).await?;
    for (id, start, spent) in found {
        out.windows += 1;
        let expected = charged.get(&(id.clone(), start)).copied().unwrap_or(0);
        out.compare(|| format!("spent of budget {id} since {}", rfc3339(start)), expected, spent, true);
    }
    Ok(())
}
