//! How prices of the database reach requests: held in memory, followed by revision, in force by the
//! clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::Gateway;
use crate::clock::UnixMs;
use crate::price::{Book, Listed, Listing, Prices};
use crate::snapshot::Snapshot;
use crate::store::prices::{PriceRow, changed_since, current_rev};
use crate::store::{Db, StoreError};

/// Rows taken over at once.
const BATCH: u32 = 500;

/// The prices of the database as far as they were read.
#[derive(Debug, Default)]
pub struct PriceDesk(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    rev: i64,
    /// By id; those that were withdrawn are not among them.
    rows: BTreeMap<String, (String, Listed)>,
}

impl Gateway {
    /// What a request that arrived at `at` reads: its prices are those of that moment.
    #[must_use]
    pub fn snapshot_at(&self, at: UnixMs) -> Arc<Snapshot> {
        let current = self.snapshot.load_full();
        if current.is_priced_for(at) {
            return current;
        }
        let fresh = Arc::new(current.priced(current.book(), at));
        // A request that came before a price did, and is late, does not turn the others back.
        if fresh.is_priced_for(self.clock().unix_ms()) {
            self.snapshot.compare_and_swap(&current, Arc::clone(&fresh));
        }
        fresh
    }

    /// Makes a snapshot of another configuration the one that requests read from now on, with the prices of
    /// the database and of now.
    pub async fn swap_snapshot(&self, snapshot: Snapshot) {
        // Held, so that nobody puts prices of the old configuration's book over it.
        let seen = self.prices.0.lock().await;
        let book = Arc::new(snapshot.book().with_database(seen.listing()));
        self.snapshot.store(Arc::new(snapshot.priced(&book, self.clock().unix_ms())));
    }

    /// Takes over what changed in the database since the last time, here or on another replica, and
    /// what has come into force.
    ///
    /// # Errors
    /// When the database cannot be asked; what was seen so far stays, and so does what is in force by
    /// the clock.
    pub async fn follow_prices(&self) -> Result<(), StoreError> {
        let now = self.clock().unix_ms();
        drop(self.snapshot_at(now));
        let mut seen = self.prices.0.lock().await;
        if !seen.follow(&self.db).await? {
            return Ok(());
        }
        let book = Arc::new(self.snapshot.load().book().with_database(seen.listing()));
        self.snapshot.rcu(|current| current.priced(&book, now));
        Ok(())
    }
}

impl Seen {
    /// Answers whether anything changed.
    async fn follow(&mut self, db: &Db) -> Result<bool, StoreError> {
        let current = current_rev(db).await?;
        let before = self.rev;
        while self.rev < current {
            let rows = changed_since(db, self.rev, BATCH).await?;
            let Some(last) = rows.last() else { break };
            self.rev = last.rev;
            rows.into_iter().for_each(|row| self.take(row));
        }
        Ok(self.rev != before)
    }

    fn take(&mut self, row: PriceRow) {
        if row.withdrawn_at.is_some() {
            self.rows.remove(&row.price.id);
            return;
        }
        match listed(&row) {
            Ok(listed) => {
                let name = format!("{}/{}", row.price.provider, row.price.model);
                self.rows.insert(row.price.id, (name, listed));
            }
            Err(why) => tracing::error!(price = %row.price.id, %why, "the stored price is unusable: {why}"),
        }
    }

    fn listing(&self) -> Listing {
        let mut listing = Listing::new();
        for (name, listed) in self.rows.values() {
            listing.entry(name.clone()).or_default().push(listed.clone());
        }
        listing
    }
}

/// All prices of the database with those of `book`, read at once: for who has no gateway.
///
/// # Errors
/// As any call to the store.
pub async fn read_book(db: &Db, book: &Book) -> Result<Book, StoreError> {
    let mut seen = Seen::default();
    seen.follow(db).await?;
    Ok(book.with_database(seen.listing()))
}

/// A row as the book has it.
fn listed(row: &PriceRow) -> Result<Listed, String> {
    let read = |entries: &String| {
        let own: Value = serde_json::from_str(entries).map_err(|e| e.to_string())?;
        let prices = Prices::from_own(&own, &format!("db-{}", row.version));
        prices.map(Arc::new).map_err(|faults| faults.first().map(ToString::to_string).unwrap_or_default())
    };
    let prices = row.price.entries.as_ref().map(read).transpose()?;
    Ok(Listed { from: row.price.effective_from, rank: row.version, prices })
}
