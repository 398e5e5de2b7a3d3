//! Inserting rows: many at once, each once.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use super::bulk::Bulk;
use super::prepare::{Prepared, columns, common_columns};
use super::{partitions, quarantine, rollup};
use crate::clock::UnixMs;
use crate::record::UsageRow;
use crate::store::db::{Db, Engine};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::leases::{self, Spent};
use crate::store::outbox::{self, NewEvent};
use crate::store::session::Tx;
use crate::store::statement::Arg;

/// What became of a batch. Rows that were there before are in neither count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Rows that are new.
    pub rows: u64,
    /// Rows the database refused, now in table `usage_quarantine` with what they cost; charged to their
    /// budgets like any other.
    pub quarantined: u64,
}

/// Rows to insert, of requests that one replica has served.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// The rows.
    pub rows: &'a [UsageRow],
    /// The replica, out of whose leases they are paid.
    pub replica: &'a str,
    /// What is told of them.
    pub told: &'a dyn Told,
}

/// What is told of rows and of budgets, in the transaction that writes them.
pub trait Told: Sync {
    /// Of a new row.
    fn row(&self, row: &UsageRow) -> Vec<NewEvent>;
    /// Of a budget that new rows were charged to.
    fn spent(&self, spent: &Spent) -> Vec<NewEvent>;
}

/// Nothing is told.
struct Nothing;

impl Told for Nothing {
    fn row(&self, _: &UsageRow) -> Vec<NewEvent> {
        Vec::new()
    }

    fn spent(&self, _: &Spent) -> Vec<NewEvent> {
        Vec::new()
    }
}

static ROWS: LazyLock<Bulk> = LazyLock::new(|| Bulk::new("usage", &columns(), "ON CONFLICT (at, id) DO NOTHING"));

static COMMON_ROWS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("usage", &common_columns(), "ON CONFLICT (at, id) DO NOTHING"));

/// The same for a batch that was sent before, in part or in whole: it tells which rows are new.
static ROWS_AGAIN: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("usage", &columns(), "ON CONFLICT (at, id) DO NOTHING RETURNING at, id"));

static TAGS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new("usage_tags", &["at", "usage_id", "name", "value"], "ON CONFLICT (at, usage_id, name, value) DO NOTHING")
});

pub(super) fn statements(engine: Engine) -> Vec<String> {
    [
        ROWS.texts(engine),
        COMMON_ROWS.texts(engine),
        ROWS_AGAIN.texts(engine),
        TAGS.texts(engine),
        &rollup::statements(engine),
    ]
    .concat()
}

/// Inserts rows with their tags, and adds them to the sums: all in one transaction, each row once.
///
/// A row is known by its id and its time, so the same batch may be sent again after any error. What
/// the database refuses for its content is put aside in quarantine and does not hold up the rest.
/// A batch of about 500 rows is a good size.
///
/// # Errors
/// `Unavailable` or `Full` when the database cannot take rows now: send the batch again. A part of
/// it may have been inserted.
pub async fn insert_batch(db: &Db, rows: &[UsageRow]) -> Result<Inserted, StoreError> {
    insert(db, &Batch { rows, replica: "", told: &Nothing }).await
}

/// The same of rows that may be charged to budgets: in the same transaction that is taken out of the
/// replica's leases.
///
/// # Errors
/// As [`insert_batch`].
pub async fn insert(db: &Db, batch: &Batch<'_>) -> Result<Inserted, StoreError> {
    let rows = batch.rows;
    let mut inserted = Inserted::default();
    let mut good: Vec<Prepared<'_>> = Vec::with_capacity(rows.len());
    for prepared in rows.iter().map(Prepared::new) {
        match prepared.check() {
            Ok(()) => good.push(prepared),
            Err(reason) => inserted.quarantined += quarantine::put(db, &prepared, batch, &reason).await?,
        }
    }
    // One order among all writers, so that they cannot block each other in a circle; and one row
    // per identity, so that a repetition within the batch is not counted twice.
    good.sort_by(|a, b| a.key().cmp(&b.key()));
    good.dedup_by(|b, a| a.key() == b.key());
    partitions::ensure_for(db, &good).await;
    insert_good(db, &good, batch, &mut inserted).await?;
    Ok(inserted)
}

/// Inserts what it can, halving what is refused until single rows are left, for quarantine.
async fn insert_good(
    db: &Db,
    rows: &[Prepared<'_>],
    batch: &Batch<'_>,
    inserted: &mut Inserted,
) -> Result<(), StoreError> {
    let mut parts = vec![rows];
    while let Some(part) = parts.pop() {
        match (insert_once(db, part, batch).await, part) {
            (Ok(new), _) => inserted.rows += new,
            (Err(e), [row]) if e.kind() == StoreErrorKind::Invalid => {
                inserted.quarantined += quarantine::put(db, row, batch, &e).await?;
            }
            (Err(e), _) if e.kind() == StoreErrorKind::Invalid => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            (Err(e), _) => return Err(e),
        }
    }
    Ok(())
}

/// Rows are nearly always new, and then their number is all the database need answer, which saves a
/// quarter of the time. When it is smaller, the transaction is taken back and done again with care.
async fn insert_once(db: &Db, rows: &[Prepared<'_>], batch: &Batch<'_>) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let all_new = fill_new(&mut tx, rows, batch).await;
    if let Ok(true) = all_new {
        return tx.commit().await.map(|()| rows.len() as u64);
    }
    // When even that fails, dropping the transaction closes its connection.
    let _ = tx.rollback().await;
    all_new?;
    let mut tx = db.begin().await?;
    match fill_again(&mut tx, rows, batch).await {
        Ok(new) => tx.commit().await.map(|()| new),
        Err(e) => {
            let _ = tx.rollback().await;
            Err(e)
        }
    }
}

fn row_values(rows: &[&Prepared<'_>], common: bool) -> Result<Vec<Arg>, StoreError> {
    let mut values = Vec::with_capacity(rows.len() * columns().len());
    rows.iter().try_for_each(|row| row.values(common, &mut values))?;
    Ok(values)
}

/// Inserts rows that should all be new; answers whether they were. If not, the sums are untouched.
async fn fill_new(tx: &mut Tx, rows: &[Prepared<'_>], batch: &Batch<'_>) -> Result<bool, StoreError> {
    let (common, wide): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_common());
    for (bulk, part, is_common) in [(&COMMON_ROWS, common, true), (&ROWS, wide, false)] {
        for statement in bulk.statements(tx.engine(), row_values(&part, is_common)?) {
            let sent = statement.args.len() / bulk.width();
            if tx.execute(statement).await? != sent as u64 {
                return Ok(false);
            }
        }
    }
    add_new(tx, &rows.iter().collect::<Vec<_>>(), batch).await.map(|()| true)
}

/// Inserts rows of which some are there already; answers how many are new.
async fn fill_again(tx: &mut Tx, rows: &[Prepared<'_>], batch: &Batch<'_>) -> Result<u64, StoreError> {
    let mut new: HashSet<(i64, String)> = HashSet::with_capacity(rows.len());
    for statement in ROWS_AGAIN.statements(tx.engine(), row_values(&rows.iter().collect::<Vec<_>>(), false)?) {
        new.extend(tx.fetch_all::<(i64, String)>(statement).await?);
    }
    let new: Vec<&Prepared<'_>> = rows.iter().filter(|row| new.contains(&(row.at, row.id.clone()))).collect();
    add_new(tx, &new, batch).await?;
    Ok(new.len() as u64)
}

/// What follows from new rows. The sums and the budgets come last, because replicas wait for each
/// other's locks on them until the commit.
async fn add_new(tx: &mut Tx, new: &[&Prepared<'_>], batch: &Batch<'_>) -> Result<(), StoreError> {
    for statement in TAGS.statements(tx.engine(), tag_values(new)) {
        tx.execute(statement).await?;
    }
    rollup::add(tx, new).await?;
    let mut events: Vec<NewEvent> = new.iter().flat_map(|prepared| batch.told.row(prepared.row)).collect();
    let charges = charges(new);
    if !charges.is_empty() {
        let spent = leases::spend(tx, batch.replica, &charges).await?;
        events.extend(spent.iter().flat_map(|spent| batch.told.spent(spent)));
    }
    if events.is_empty() { Ok(()) } else { outbox::put(tx, &events).await }
}

/// What the rows cost each budget window that they are charged to.
fn charges(rows: &[&Prepared<'_>]) -> BTreeMap<(String, UnixMs), i64> {
    let mut sums: BTreeMap<(String, UnixMs), i64> = BTreeMap::new();
    for row in rows.iter().map(|prepared| prepared.row) {
        for charge in &row.charges {
            let sum = sums.entry(charge.clone()).or_default();
            *sum = sum.saturating_add(row.cost.map_or(0, |cost| cost.0));
        }
    }
    sums
}

fn tag_values(rows: &[&Prepared<'_>]) -> Vec<Arg> {
    rows.iter()
        .flat_map(|row| row.tags().map(|tag| (*row, tag)))
        .flat_map(|(row, (name, value))| {
            [Arg::from(row.at), Arg::from(row.id.as_str()), Arg::from(name), Arg::from(value)]
        })
        .collect()
}
