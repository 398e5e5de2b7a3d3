//! The ledger's entrance: requests leave their rows in the journal, from which the writer moves them to
//! the database.
//!
//! A request takes its place *before* it is admitted ([`Ledger::reserve`]), so that settling it can
//! neither fail nor wait: the journal keeps space for it. Where there is none (the disk is full, or the
//! database has been away for so long that the journal has reached its bound), new requests are refused
//! with a 503 and nothing that ran is lost.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use weir_wire::usage::Usage;

use super::count::CountJob;
use super::journal::{Commit, Journal, Mark, Position};
use crate::price::Prices;
use crate::record::{Sunk, UsageRow};

/// Most requests whose tokens wait to be counted, and most bytes of their texts. What finds no room is
/// estimated by size.
const MAX_COUNTS: usize = 4096;
const MAX_COUNT_BYTES: usize = 64 * 1024 * 1024;

/// Most rows that the writer finds in memory; beyond it, it reads them back from the journal.
const MAX_RECENT: usize = 16_384;

/// A settled request.
#[derive(Debug)]
pub struct Entry {
    /// The row. Where `count` is there, its tokens are estimates by size.
    pub row: UsageRow,
    /// What the writer is to count, off the request's path.
    pub count: Option<Count>,
}

/// Tokens to count before a row is written.
#[derive(Debug)]
pub struct Count {
    /// The texts.
    pub job: CountJob,
    /// What the provider did report.
    pub reported: Usage,
    /// What tries that failed had cost before.
    pub sunk: Option<Box<Sunk>>,
    /// The price to apply afterwards.
    pub price: Option<Arc<Prices>>,
    /// The answer's service tier.
    pub tier: Option<String>,
    /// The model's name in metrics.
    pub label: Arc<str>,
}

/// The sending end.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<Journal>,
    counts: Mutex<Counts>,
    recent: Mutex<Recent>,
    settled: AtomicU64,
    /// Rows in the database, of those settled.
    written: watch::Sender<u64>,
    /// Whether the journals that other processes left before this one are in the database.
    replayed: watch::Sender<bool>,
    hurry: Notify,
    /// Something was settled while nothing was pending.
    woken: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: HashMap<u64, Count>,
    bytes: usize,
}

/// The last rows, in the journal's order, so that the writer need not read them back.
#[derive(Debug, Default)]
struct Recent {
    rows: VecDeque<(Position, u64, UsageRow)>,
    /// Something is in the journal that is not here.
    gap: bool,
}

impl Recent {
    fn push(&mut self, end: Option<Position>, ticket: u64, row: UsageRow) {
        match end {
            Some(end) if !self.gap && self.rows.len() < MAX_RECENT => self.rows.push_back((end, ticket, row)),
            _ => self.gap = true,
        }
    }
}

/// Rows on their way to the database.
#[derive(Debug, Default)]
pub struct Rows {
    /// With the tickets under which they may be counted.
    pub rows: Vec<(u64, UsageRow)>,
    /// Everything before it is among them, or was before.
    pub end: Position,
}

/// A request's place in the journal.
#[derive(Debug)]
pub struct Place {
    ledger: Arc<Inner>,
    ticket: u64,
}

/// The ledger has no room: the disk is full, or the database has been away for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A request is settled; its row lasts from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled(Mark);

impl Ledger {
    /// A ledger over a journal.
    #[must_use]
    pub fn new(journal: Arc<Journal>) -> Self {
        Self(Arc::new(Inner {
            journal,
            counts: Mutex::default(),
            recent: Mutex::default(),
            settled: AtomicU64::new(0),
            written: watch::Sender::new(0),
            replayed: watch::Sender::new(false),
            hurry: Notify::new(),
            woken: Notify::new(),
        }))
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.0.journal
    }

    /// Takes a place for one request.
    ///
    /// # Errors
    /// When there is no room for its row.
    pub fn reserve(&self) -> Result<Place, Full> {
        let journal = &self.0.journal;
        if !journal.has_room() {
            return Err(Full);
        }
        Ok(Place { ledger: Arc::clone(&self.0), ticket: journal.ticket() })
    }

    /// Writes a settled row. Resolves when it is as safe as the configuration wants; `None` when it is
    /// already.
    pub fn durable(&self, settled: Settled) -> Option<impl Future<Output = ()> + Send + use<>> {
        // What the disk does not take stays in memory until it does; nothing new is accepted meanwhile.
        if let Err(error) = self.0.journal.commit(settled.0) {
            tracing::error!(%error, "the journal cannot be written: {error}");
        }
        self.0.journal.durable(settled.0.position)
    }

    /// Waits until a settled row is as safe as the configuration wants. Written together with those of
    /// others.
    pub async fn lasting(&self, settled: Settled) {
        if let Err(error) = self.0.journal.committed(settled.0).await {
            tracing::error!(%error, "the journal cannot be written: {error}");
        }
        if let Some(durable) = self.0.journal.durable(settled.0.position) {
            durable.await;
        }
    }

    /// Waits until everything settled so far is written, and what dead processes left before the start,
    /// but no longer than `most`: while the
    /// database is away rows are held back.
    pub async fn flush(&self, most: Duration) {
        let settled = self.0.settled.load(Ordering::Acquire);
        let mut written = self.0.written.subscribe();
        let mut replayed = self.0.replayed.subscribe();
        if *written.borrow_and_update() >= settled && *replayed.borrow_and_update() {
            return;
        }
        self.0.hurry.notify_one();
        let all = async {
            // The senders live as long as the ledger.
            let _ = replayed.wait_for(|replayed| *replayed).await;
            let _ = written.wait_for(|written| *written >= settled).await;
        };
        // Whoever asks gets what is written so far, or the database's own failure.
        let _ = tokio::time::timeout(most, all).await;
    }

    /// The writer says that what other processes left is in the database.
    pub fn replayed(&self) {
        self.0.replayed.send_replace(true);
    }

    /// For the writer: somebody waits for a flush.
    pub async fn flush_asked(&self) {
        self.0.hurry.notified().await;
    }

    /// For the writer: there is something to write after a while without.
    pub async fn settled(&self) {
        self.0.woken.notified().await;
    }

    /// Rows settled and not yet written.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let written = *self.0.written.borrow();
        self.0.settled.load(Ordering::Acquire).saturating_sub(written)
    }

    /// The writer says how far it has come, and how many rows of this process that were.
    pub fn applied(&self, position: Position, rows: u64) {
        self.0.journal.trim(position);
        self.0.written.send_modify(|written| *written += rows);
    }

    /// The next rows, at most `most`, as long as they are in memory; `None` when the next is only in the
    /// journal.
    #[must_use]
    pub fn take_recent(&self, most: usize) -> Option<Rows> {
        let mut recent = self.0.recent();
        if recent.rows.is_empty() {
            return if recent.gap { None } else { Some(Rows::default()) };
        }
        let count = recent.rows.len().min(most);
        let mut out = Rows { rows: Vec::with_capacity(count), end: Position::default() };
        for (end, ticket, row) in recent.rows.drain(..count) {
            out.end = end;
            out.rows.push((ticket, row));
        }
        Some(out)
    }

    /// The writer has read the journal to its end: from here on rows are in memory again.
    pub fn caught_up(&self, read: Position) {
        self.0.journal.at_end(read, || self.0.recent().gap = false);
    }

    /// What is to be counted for a request, if that is still known.
    #[must_use]
    pub fn take_count(&self, ticket: u64) -> Option<Count> {
        let mut counts = self.0.counts();
        let count = counts.waiting.remove(&ticket)?;
        counts.bytes = counts.bytes.saturating_sub(count.job.size());
        Some(count)
    }
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A panic while holding it leaves a map that is still whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A panic while holding it leaves a queue that is still whole.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is to be counted, if there is room.
    fn keep(&self, ticket: u64, count: Count) -> Option<Count> {
        let mut counts = self.counts();
        let bytes = counts.bytes.saturating_add(count.job.size());
        if counts.waiting.len() >= MAX_COUNTS || bytes > MAX_COUNT_BYTES {
            return Some(count);
        }
        counts.bytes = bytes;
        counts.waiting.insert(ticket, count);
        None
    }
}

/// A request's begin on its way to the disk.
#[derive(Debug)]
pub struct Begun(Commit);

impl Begun {
    /// Waits until it is written, together with those of others.
    ///
    /// # Errors
    /// When the disk fails: the request must not go on.
    pub async fn written(self) -> Result<(), Full> {
        self.0.await.map_err(no_room)
    }
}

fn no_room(error: io::Error) -> Full {
    tracing::error!(%error, "the journal has no room for a request: {error}");
    Full
}

impl Place {
    /// Notes what the request would be if the process died from here on. The request may go on once that
    /// is written ([`Begun::written`]).
    ///
    /// # Errors
    /// When there is no room for it: the request must not go on.
    pub fn begin(&self, row: &impl Serialize) -> Result<Begun, Full> {
        let journal = &self.ledger.journal;
        journal.begin(self.ticket, row).map(|mark| Begun(journal.committed(mark))).map_err(no_room)
    }

    /// Hands the settled request over, to be written ([`Ledger::durable`], [`Ledger::lasting`]). Never
    /// waits, never fails. Answers what is left to count where there is no room to keep it: then the row's
    /// estimates stand.
    pub fn settle(self, entry: Entry) -> (Settled, Option<Count>) {
        let left = entry.count.and_then(|count| self.ledger.keep(self.ticket, count));
        let placed = |end, row| self.ledger.recent().push(end, self.ticket, row);
        let settled = Settled(self.ledger.journal.settle(self.ticket, entry.row, placed));
        let before = self.ledger.settled.fetch_add(1, Ordering::AcqRel);
        if before <= *self.ledger.written.borrow() {
            self.ledger.woken.notify_one();
        }
        (settled, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::journal::{Options, Reader};

    fn entry(n: usize) -> Entry {
        let row =
            serde_json::json!({"id": format!("request-{n}"), "at": n, "endpoint": "chat/completions", "status": "ok"});
        Entry { row: serde_json::from_value(row).unwrap(), count: None }
    }

    /// What the writer would do: from memory as long as all is there, else from the journal.
    fn drain(ledger: &Ledger, reader: &mut Reader, applied: &mut Position) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match ledger.take_recent(500) {
                Some(Rows { rows, .. }) if rows.is_empty() => return ids,
                Some(Rows { rows, end }) => {
                    ids.extend(rows.into_iter().map(|(_, row)| row.id));
                    *applied = end;
                }
                None => {
                    reader.seek(*applied);
                    let records = reader.settles(500).unwrap();
                    *applied = reader.position();
                    if records.is_empty() {
                        ledger.caught_up(*applied);
                    }
                    let rows = records.iter().map(|record| serde_json::from_slice::<UsageRow>(&record.json).unwrap());
                    ids.extend(rows.map(|row| row.id));
                }
            }
        }
    }

    #[test]
    fn what_memory_does_not_hold_is_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::create(folder.path(), "test", Options::default()).unwrap());
        let ledger = Ledger::new(Arc::clone(&journal));
        let mut reader = Reader::own(journal);
        let mut applied = Position { segment: 1, offset: 0 };
        let mut next = 0;
        for burst in [3, MAX_RECENT + 700, 2, MAX_RECENT + 1, 0, 5] {
            let expected: Vec<String> = (next..next + burst).map(|n| format!("request-{n}")).collect();
            for n in next..next + burst {
                let place = ledger.reserve().unwrap();
                drop(place.begin(&serde_json::json!({"id": n})).unwrap());
                let _ = place.settle(entry(n));
            }
            next += burst;
            assert_eq!(drain(&ledger, &mut reader, &mut applied), expected);
            ledger.applied(applied, burst as u64);
            assert_eq!(ledger.pending(), 0);
        }
    }
}
