//! Moves rows from the journal to the database in batches, off the requests' path.
//!
//! First those of processes that are no more: their settled requests, and the requests that they died
//! over. Then this process's own, as they come. A batch is tried until it is written: a database that
//! is away holds rows back, on the disk, and loses none. The store knows a row that it has already.

mod batch;
pub mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::MonoNs;
use crate::flight::Meter;
use crate::gate::budget::Budgets;
use crate::meter::journal::{self, Folder, Position, Reader, Record};
use crate::meter::ledger::Rows;
use crate::record::UsageRow;
use crate::store::usage::{self, Batch};
use crate::store::{Db, leases};
use told::Teller;

/// Rows of one transaction.
const BATCH: usize = 500;
/// How long a first row waits for others.
const LINGER: Duration = Duration::from_millis(100);
/// Between tries while the database is away.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks for journals of processes that are no more, and for room where there was none.
const LOOK: u64 = 10_000_000_000;
const LOOK_FOR_ROOM: Duration = Duration::from_millis(250);
/// For the last tries after the gateway was told to stop; less than the stop waits for its jobs.
const LAST_TRIES: Duration = Duration::from_secs(15);

/// The begin of a journal.
const START: Position = Position { segment: 1, offset: 0 };

/// What the writer works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Clock, ledger, metrics.
    pub meter: Meter,
    /// What charges are of.
    pub budgets: Arc<Budgets>,
    /// Where journals are.
    pub root: PathBuf,
    /// What is told of what is written.
    pub teller: Teller,
}

/// The writer.
#[derive(Debug)]
pub struct UsageWriter {
    parts: Parts,
    /// `None` while it reads, on another thread.
    own: Option<Reader>,
    /// Everything before it is in the database.
    applied: Position,
    /// When it looked for other journals last.
    looked: Option<MonoNs>,
    /// When the first try failed after the gateway was told to stop.
    stopping_since: Option<MonoNs>,
}

/// The rows of a batch could not be written before the gateway had to end. They stay in the journal.
struct OutOfTime;

impl UsageWriter {
    /// Its name in logs.
    pub const NAME: &'static str = "usage_writer";

    /// A writer of this process's journal.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let own = Some(Reader::own(Arc::clone(parts.meter.ledger.journal())));
        Self { parts, own, applied: START, looked: None, stopping_since: None }
    }

    /// Runs until it is stopped and everything is written.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if self.adopt(&stop).await.is_err() || self.own(&stop).await.is_err() {
                break;
            }
            self.rest(&stop).await;
        }
        if self.own(&stop).await.is_ok() {
            self.leave().await;
        }
    }

    /// Waits until there is work.
    async fn rest(&self, stop: &CancellationToken) {
        let ledger = &self.parts.meter.ledger;
        if !ledger.journal().recover() {
            tracing::error!(job = Self::NAME, "the journal has no room: nothing that costs is accepted until there is");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_FOR_ROOM) => {}
            }
            return;
        }
        if ledger.pending() == 0 {
            tokio::select! {
                () = stop.cancelled() => return,
                () = ledger.settled() => {}
                () = ledger.flush_asked() => return,
                () = tokio::time::sleep(Duration::from_nanos(LOOK)) => return,
            }
        }
        // It sleeps while more rows come: to be woken by each would cost more than to write it.
        tokio::select! {
            () = stop.cancelled() => {}
            () = ledger.flush_asked() => {}
            () = tokio::time::sleep(LINGER) => {}
        }
    }

    /// Writes what this process has settled: what is in memory, and where that is not all, what is in its
    /// journal.
    async fn own(&mut self, stop: &CancellationToken) -> Result<(), OutOfTime> {
        loop {
            let (rows, position) = match self.parts.meter.ledger.take_recent(BATCH) {
                Some(Rows { rows, .. }) if rows.is_empty() => return Ok(()),
                Some(Rows { rows, end }) => (rows, end),
                None => match self.read_back().await {
                    Some(read) => read,
                    None => return Ok(()),
                },
            };
            let read = rows.len() as u64;
            let rows = batch::complete(rows, &self.parts.meter, &self.parts.budgets).await;
            if let Err(out_of_time) = self.write(&rows, None, stop).await {
                // What is not written stays where it is: the next start reads this folder.
                self.own = None;
                return Err(out_of_time);
            }
            self.applied = position;
            self.parts.meter.ledger.applied(position, read);
        }
    }

    /// The next rows of this process's journal; `None` when there are no more.
    async fn read_back(&mut self) -> Option<(Vec<(u64, UsageRow)>, Position)> {
        let mut reader = self.own.take()?;
        reader.seek(self.applied);
        let (reader, records) = read(reader).await;
        let (position, damaged) = (reader.position(), reader.damaged());
        self.own = Some(reader);
        let metrics = &self.parts.meter.metrics;
        metrics.journal_damaged.set(i64::try_from(damaged).unwrap_or(i64::MAX));
        let records = records?;
        if records.is_empty() {
            self.parts.meter.ledger.caught_up(position);
            return None;
        }
        let count = records.len();
        let rows = batch::parse(records);
        metrics.usage_dropped.inc_by((count - rows.len()) as u64);
        // What could not be parsed was told, and is dealt with.
        self.parts.meter.ledger.applied(self.applied, (count - rows.len()) as u64);
        Some((rows, position))
    }

    /// Writes the journals of processes that are no more.
    async fn adopt(&mut self, stop: &CancellationToken) -> Result<(), OutOfTime> {
        let now = self.parts.meter.clock.mono_ns();
        if self.looked.is_some_and(|at| now.saturating_sub(at) < LOOK) {
            return Ok(());
        }
        self.looked = Some(now);
        let root = self.parts.root.clone();
        let found = tokio::task::spawn_blocking(move || journal::orphans(&root)).await;
        let orphans = match found.map_err(std::io::Error::other).and_then(|found| found) {
            Ok(orphans) => orphans,
            Err(error) => {
                tracing::error!(job = Self::NAME, %error, "the folder of journals cannot be read: {error}");
                self.parts.meter.ledger.replayed();
                return Ok(());
            }
        };
        for folder in orphans {
            self.replay(folder, stop).await?;
        }
        self.parts.meter.ledger.replayed();
        Ok(())
    }

    /// Writes what a process left behind, gives back its leases and removes its journal.
    async fn replay(&mut self, folder: Folder, stop: &CancellationToken) -> Result<(), OutOfTime> {
        let id = folder.id().to_owned();
        let mut reader = match Reader::orphan(folder) {
            Ok(reader) => reader,
            Err(error) => {
                tracing::error!(job = Self::NAME, journal = id, %error, "a journal cannot be read: {error}");
                return Ok(());
            }
        };
        let mut settled = 0;
        loop {
            let (back, records) = read(reader).await;
            reader = back;
            let Some(records) = records else { return Ok(()) };
            if records.is_empty() {
                break;
            }
            let rows: Vec<UsageRow> = batch::parse(records).into_iter().map(|(_, row)| row).collect();
            settled += rows.len();
            self.write(&rows, Some(&id), stop).await?;
        }
        let open: Vec<UsageRow> = batch::parse(reader.take_open()).into_iter().map(|(_, row)| row).collect();
        for rows in open.chunks(BATCH) {
            self.write(rows, Some(&id), stop).await?;
        }
        self.release(&id, stop).await?;
        let damaged = reader.damaged();
        tracing::warn!(
            job = Self::NAME,
            journal = id,
            settled,
            interrupted = open.len(),
            damaged,
            "the journal of a process that ended is in the database: {settled} settled requests, {} interrupted",
            open.len()
        );
        if let Err(error) = reader.remove() {
            tracing::error!(job = Self::NAME, journal = id, %error, "a journal cannot be removed and will be read again: {error}");
        }
        Ok(())
    }

    async fn release(&mut self, replica: &str, stop: &CancellationToken) -> Result<(), OutOfTime> {
        while let Err(error) = leases::release(&self.parts.db, replica).await {
            tracing::error!(job = Self::NAME, replica, %error, "leases of a replica cannot be given back: {error}");
            if self.out_of_time(stop) {
                return Err(OutOfTime);
            }
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    /// Everything is written: nothing is left behind.
    async fn leave(&mut self) {
        let Some(own) = self.own.take() else { return };
        if self.parts.meter.ledger.pending() > 0 {
            return;
        }
        if let Err(error) = leases::release(&self.parts.db, own.id()).await {
            // The journal stays, and with it the memory of who leased.
            return tracing::warn!(job = Self::NAME, %error, "leases could not be given back; the next start will: {error}");
        }
        if let Err(error) = own.remove() {
            tracing::warn!(job = Self::NAME, %error, "the journal could not be removed: {error}");
        }
    }

    /// Tries until the rows are written, or the gateway has to end. `replica`: whose rows they are, if
    /// not this process's.
    async fn write(
        &mut self,
        rows: &[UsageRow],
        replica: Option<&str>,
        stop: &CancellationToken,
    ) -> Result<(), OutOfTime> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut failures = 0_u32;
        if replica.is_none() {
            self.parts.budgets.write_begins();
        }
        loop {
            let error = match self.try_write(rows, replica, stop).await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.parts.meter.metrics.writer_errors.inc();
            if failures == 0 {
                tracing::error!(job = Self::NAME, %error, rows = rows.len(), "usage rows cannot be written and are held back: {error}");
            }
            failures += 1;
            if self.out_of_time(stop) {
                return Err(OutOfTime);
            }
            tokio::time::sleep(RETRY).await;
        }
        if failures > 0 {
            tracing::info!(job = Self::NAME, failures, "usage rows are written again");
        }
        if replica.is_none() {
            let charged = rows.iter().filter(|row| !row.charges.is_empty());
            self.parts.budgets.written(charged.map(|row| (&row.charges[..], row.cost.unwrap_or_default())));
        }
        Ok(())
    }

    /// One try. Once the gateway is stopping, a try may not outlast what is left of its time.
    async fn try_write(
        &self,
        rows: &[UsageRow],
        replica: Option<&str>,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let own = self.parts.meter.ledger.journal().folder().id();
        let batch = Batch { rows, replica: replica.unwrap_or(own), told: &self.parts.teller };
        let insert = usage::insert(&self.parts.db, &batch);
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_TRIES).await;
        };
        tokio::select! {
            outcome = insert => outcome.map(drop).map_err(|e| e.to_string()),
            () = too_late => Err("no time is left".to_owned()),
        }
    }

    fn out_of_time(&mut self, stop: &CancellationToken) -> bool {
        let now = self.parts.meter.clock.mono_ns();
        let since = *self.stopping_since.get_or_insert(now);
        if !stop.is_cancelled() {
            self.stopping_since = None;
            return false;
        }
        now.saturating_sub(since) >= u64::try_from(LAST_TRIES.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Reads on, off the runtime's threads: the disk may take its time.
async fn read(reader: Reader) -> (Reader, Option<Vec<Record>>) {
    let job = move || {
        let mut reader = reader;
        let read = reader.settles(BATCH);
        (reader, read)
    };
    match tokio::task::spawn_blocking(job).await {
        Ok((reader, Ok(records))) => (reader, Some(records)),
        Ok((reader, Err(error))) => {
            tracing::error!(job = UsageWriter::NAME, %error, "the journal cannot be read: {error}");
            (reader, None)
        }
        // Reading does not panic; a runtime that ends cancels nothing that has begun.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
