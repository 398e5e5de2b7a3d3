//! Budgets: what may be spent by whom in which period.
//!
//! Every write takes the next number of the counter `budgets_rev` in its own transaction and stamps it on the
//! row, each row one of its own, as with keys: a reader that asks for everything after the last revision it
//! saw never misses one. A deleted budget stays as a row.

mod declared;
pub(super) mod of_key;
mod record;
mod state;

pub use self::declared::declare;
pub use self::state::{State, state};

use self::record::Row;
use super::db::Db;
use super::error::{StoreError, StoreErrorKind};
use super::session::{Session, Tx};
use super::statement::{Arg, Statement};
use crate::budget::{Budget, Period, Raise, Scope, Zone};
use crate::clock::UnixMs;
use crate::money::NanoUsd;

/// Most ids asked for in one statement.
const CHUNK: usize = 100;

pub(super) const STATEMENTS: &[&str] =
    &[NEXT_REV, CURRENT_REV, INSERT, UPDATE, GET, LIST, CHANGED_SINCE, declared::OF_CONFIG];

/// The texts that are built at run time.
pub(super) fn shapes() -> [String; 2] {
    [many_text(2), state::windows_text(2)]
}

const NEXT_REV: &str = "UPDATE counters SET value = value + 1 WHERE name = 'budgets_rev' RETURNING value";

const CURRENT_REV: &str = "SELECT value FROM counters WHERE name = 'budgets_rev'";

macro_rules! columns {
    () => {
        "id, name, scope, subject, period, time_zone, limit_nano, carry_over, thresholds, raise_nano, raise_until, \
         origin, created_at, updated_at, deleted_at, rev"
    };
}
use columns;

const INSERT: &str = concat!(
    "INSERT INTO budgets (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
);

const UPDATE: &str = "\
UPDATE budgets SET name = $2, scope = $3, subject = $4, period = $5, time_zone = $6, limit_nano = $7, carry_over = $8,
    thresholds = $9, raise_nano = $10, raise_until = $11, origin = $12, created_at = $13, updated_at = $14,
    deleted_at = $15, rev = $16
WHERE id = $1";

const GET: &str = concat!("SELECT ", columns!(), " FROM budgets WHERE id = $1");

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM budgets WHERE id > $1 AND deleted_at IS NULL AND ($2 = '' OR scope = $2) AND ($3 = '' OR subject = $3) \
     ORDER BY id LIMIT $4"
);

const CHANGED_SINCE: &str = concat!("SELECT ", columns!(), " FROM budgets WHERE rev > $1 ORDER BY rev LIMIT $2");

/// Which budgets to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this scope.
    pub scope: Option<Scope>,
    /// Those of this subject.
    pub subject: Option<String>,
}

/// What to change of a budget: `None` leaves as is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetPatch {
    /// New name.
    pub name: Option<String>,
    /// New limit.
    pub limit: Option<NanoUsd>,
    /// New period.
    pub period: Option<Period>,
    /// New zone.
    pub zone: Option<Zone>,
    /// Whether what is left is carried over.
    pub carry_over: Option<bool>,
    /// New thresholds.
    pub thresholds: Option<Vec<u8>>,
    /// A new raise in place of the old one; `Some(None)` ends it.
    pub raise: Option<Option<Raise>>,
}

impl BudgetPatch {
    fn apply(self, budget: &mut Budget) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut budget.name, self.name);
        set(&mut budget.limit, self.limit);
        set(&mut budget.period, self.period);
        set(&mut budget.zone, self.zone);
        set(&mut budget.carry_over, self.carry_over);
        set(&mut budget.thresholds, self.thresholds);
        set(&mut budget.raise, self.raise);
    }
}

/// Adds a budget; its `rev` is given by the store. Answers the revision.
///
/// # Errors
/// `Conflict` when the id exists, be it of a deleted one; else as any call to the store.
pub async fn insert(db: &Db, budget: &Budget) -> Result<i64, StoreError> {
    let mut tx = db.begin().await?;
    match put(&mut tx, INSERT, budget.clone()).await {
        Ok(budget) => tx.commit().await.map(|()| budget.rev),
        Err(e) => Err(tx.undone(e).await),
    }
}

/// The budget of that id, unless it is deleted.
///
/// # Errors
/// As any call to the store.
pub async fn get(db: &Db, id: &str) -> Result<Option<Budget>, StoreError> {
    Ok(find(&mut db.reader().await?, id).await?.filter(|budget| budget.deleted_at.is_none()))
}

/// The budgets of those ids that there are, deleted ones left out, in whatever order.
///
/// # Errors
/// As any call to the store.
pub async fn get_many(db: &Db, ids: &[String]) -> Result<Vec<Budget>, StoreError> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let statement = chunk.iter().fold(Statement::new(many_text(chunk.len())), |s, id| s.bind(id.as_str()));
        found.extend(read(&mut db.reader().await?, statement).await?);
    }
    found.retain(|budget: &Budget| budget.deleted_at.is_none());
    Ok(found)
}

/// Budgets in order of their id, beginning after the id `after`; at most `limit` (1 to 1001: a page, and one to
/// see whether there is another).
///
/// # Errors
/// As any call to the store.
pub async fn list(db: &Db, after: Option<&str>, limit: u32, filter: &Filter) -> Result<Vec<Budget>, StoreError> {
    let statement = Statement::new(LIST)
        .bind(after.unwrap_or_default())
        .bind(filter.scope.map_or("", Scope::as_str))
        .bind(filter.subject.as_deref().unwrap_or_default())
        .bind(bounded(limit));
    read(&mut db.reader().await?, statement).await
}

/// Changes a budget; answers it as it is now, or `None` when there is no such budget.
///
/// # Errors
/// As any call to the store.
pub async fn update(db: &Db, id: &str, patch: BudgetPatch, now: UnixMs) -> Result<Option<Budget>, StoreError> {
    change(db, id, now, |budget| patch.apply(budget)).await
}

/// Ends a budget. What was charged to it stays.
///
/// # Errors
/// As any call to the store.
pub async fn delete(db: &Db, id: &str, now: UnixMs) -> Result<Option<Budget>, StoreError> {
    change(db, id, now, |budget| budget.deleted_at = Some(now)).await
}

/// Budgets changed after revision `rev`, deleted ones among them, oldest change first; at most `limit` (1 to
/// 1001). Ask again with the last one's `rev` until there are none.
///
/// # Errors
/// As any call to the store.
pub async fn changed_since(db: &Db, rev: i64, limit: u32) -> Result<Vec<Budget>, StoreError> {
    read(&mut db.reader().await?, Statement::new(CHANGED_SINCE).bind(rev).bind(bounded(limit))).await
}

/// The revision of the last change.
///
/// # Errors
/// As any call to the store.
pub async fn current_rev(db: &Db) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = db.reader().await?.fetch_optional(Statement::new(CURRENT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(no_counter)
}

/// Reads, changes and writes one budget under the counter's lock, so that no change is lost.
async fn change(db: &Db, id: &str, now: UnixMs, apply: impl FnOnce(&mut Budget)) -> Result<Option<Budget>, StoreError> {
    let mut tx = db.begin().await?;
    let rev = next_rev(&mut tx).await?;
    let Some(mut budget) = find(&mut tx, id).await?.filter(|budget| budget.deleted_at.is_none()) else {
        tx.rollback().await?;
        return Ok(None);
    };
    apply(&mut budget);
    budget.updated_at = now;
    budget.rev = rev;
    match tx.execute(write(UPDATE, &budget)?).await {
        Ok(_) => tx.commit().await.map(|()| Some(budget)),
        Err(e) => Err(tx.undone(e).await),
    }
}

/// Writes a budget by [`INSERT`] or [`UPDATE`] with the next revision; answers it with that.
async fn put(tx: &mut Tx, text: &'static str, budget: Budget) -> Result<Budget, StoreError> {
    let budget = Budget { rev: next_rev(tx).await?, ..budget };
    tx.execute(write(text, &budget)?).await?;
    Ok(budget)
}

async fn next_rev(tx: &mut Tx) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = tx.fetch_optional(Statement::new(NEXT_REV)).await?;
    found.map(|(rev,)| rev).ok_or_else(no_counter)
}

fn no_counter() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "the counter budgets_rev is missing from table counters")
}

/// The budget of that id, deleted or not.
async fn find(session: &mut Session, id: &str) -> Result<Option<Budget>, StoreError> {
    let found: Option<Row> = session.fetch_optional(Statement::new(GET).bind(id)).await?;
    found.map(Budget::try_from).transpose()
}

async fn read(session: &mut Session, statement: Statement) -> Result<Vec<Budget>, StoreError> {
    session.fetch_all::<Row>(statement).await?.into_iter().map(Budget::try_from).collect()
}

fn bounded(limit: u32) -> i64 {
    i64::from(limit.clamp(1, 1001))
}

fn many_text(count: usize) -> String {
    let marks: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    format!(concat!("SELECT ", columns!(), " FROM budgets WHERE id IN ({})"), marks.join(", "))
}

/// The values of a budget for [`INSERT`] and [`UPDATE`], which number them alike.
fn write(text: &'static str, budget: &Budget) -> Result<Statement, StoreError> {
    Ok(Statement::new(text)
        .bind(budget.id.as_str())
        .bind(budget.name.as_str())
        .bind(budget.scope.as_str())
        .bind(budget.subject.as_str())
        .bind(budget.period.as_str())
        .bind(budget.zone.name())
        .bind(budget.limit.0)
        .bind(budget.carry_over)
        .bind(Arg::json(&budget.thresholds)?)
        .bind(budget.raise.map(|raise| raise.amount.0))
        .bind(budget.raise.map(|raise| raise.until))
        .bind(budget.origin.as_str())
        .bind(budget.created_at)
        .bind(budget.updated_at)
        .bind(budget.deleted_at)
        .bind(budget.rev))
}
