//! Writes settled requests to the database in batches, off the requests' path.
//!
//! A batch is tried until it is written: a database that is away holds rows back, in memory and
//! within the ledger's bound, and loses none. The store knows a row that it has already.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::MonoNs;
use crate::flight::{Meter, price_row};
use crate::meter::ledger::{Count, Entry, Message};
use crate::record::UsageRow;
use crate::store::Db;
use crate::store::usage::insert_batch;

/// Rows of one transaction.
const BATCH: usize = 500;
/// How long a first row waits for others.
const LINGER: Duration = Duration::from_millis(100);
/// Between tries while the database is away.
const RETRY: Duration = Duration::from_millis(500);
/// For the last tries after the gateway was told to stop; less than the stop waits for its jobs.
const LAST_TRIES: Duration = Duration::from_secs(15);

/// The writer.
#[derive(Debug)]
pub struct UsageWriter {
    db: Db,
    meter: Meter,
    queue: Receiver<Message>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Whether more was queued than the last batch could hold.
    behind: bool,
    /// When the first try failed after the gateway was told to stop.
    stopping_since: Option<MonoNs>,
}

impl UsageWriter {
    /// Its name in logs.
    pub const NAME: &'static str = "usage_writer";

    /// A writer at the end of the ledger's queue.
    #[must_use]
    pub fn new(db: Db, meter: Meter, queue: Receiver<Message>) -> Self {
        Self { db, meter, queue, waiting: Vec::new(), behind: false, stopping_since: None }
    }

    /// Runs until it is stopped and everything is written.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                message = self.queue.recv() => match message {
                    Some(message) => self.batch(message, &stop).await,
                    None => return,
                },
            }
        }
        self.queue.close();
        while let Some(message) = self.queue.recv().await {
            self.batch(message, &stop).await;
        }
    }

    /// Collects what comes within the linger time, and writes it. It sleeps meanwhile: to be woken by
    /// each row would cost more than to write it.
    async fn batch(&mut self, first: Message, stop: &CancellationToken) {
        let mut entries = Vec::with_capacity(BATCH);
        self.take(first, &mut entries);
        if self.waiting.is_empty() && !self.behind {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                () = self.meter.ledger.flush_asked() => {}
                () = stop.cancelled() => {}
            }
        }
        while entries.len() < BATCH && self.waiting.is_empty() {
            match self.queue.try_recv() {
                Ok(message) => self.take(message, &mut entries),
                Err(_) => break,
            }
        }
        self.behind = entries.len() >= BATCH;
        let rows = self.complete(entries).await;
        self.write(rows, stop).await;
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = waiting.send(());
        }
    }

    fn take(&mut self, message: Message, entries: &mut Vec<Entry>) {
        match message {
            Message::Entry(entry) => entries.push(*entry),
            Message::Flush(done) => self.waiting.push(done),
        }
    }

    /// Counts what no provider reported, on a thread where it may take its time, and prices it.
    async fn complete(&self, entries: Vec<Entry>) -> Vec<UsageRow> {
        let mut rows = Vec::with_capacity(entries.len());
        for Entry { mut row, count } in entries {
            if let Some(Count { job, reported, sunk, price, tier, label }) = count {
                row.usage = reported;
                if let Ok(counted) = tokio::task::spawn_blocking(move || job.count()).await {
                    row.usage.input = row.usage.input.max(counted.input);
                    row.usage.output = row.usage.output.max(counted.output);
                }
                price_row(&mut row, price.as_deref(), tier.as_deref());
                if let Some(sunk) = sunk {
                    sunk.add_to(&mut row);
                }
                self.meter.metrics.settled(&row, &label);
            }
            rows.push(row);
        }
        rows
    }

    /// Tries until the rows are written, or the gateway has to end.
    async fn write(&mut self, rows: Vec<UsageRow>, stop: &CancellationToken) {
        if rows.is_empty() {
            return;
        }
        let mut failures = 0_u32;
        loop {
            let error = match self.try_write(&rows, stop).await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.meter.metrics.writer_errors.inc();
            if failures == 0 {
                tracing::error!(job = Self::NAME, %error, rows = rows.len(), "usage rows cannot be written and are held back: {error}");
            }
            failures += 1;
            if self.out_of_time(stop) {
                return self.lose(&rows);
            }
            tokio::time::sleep(RETRY).await;
        }
        if failures > 0 {
            tracing::info!(job = Self::NAME, failures, "usage rows are written again");
        }
        self.meter.ledger.written(rows.len() as u64);
    }

    /// One try. Once the gateway is stopping, a try may not outlast what is left of its time.
    async fn try_write(&self, rows: &[UsageRow], stop: &CancellationToken) -> Result<(), String> {
        let insert = insert_batch(&self.db, rows);
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
        let now = self.meter.clock.mono_ns();
        let since = *self.stopping_since.get_or_insert(now);
        if !stop.is_cancelled() {
            self.stopping_since = None;
            return false;
        }
        now.saturating_sub(since) >= u64::try_from(LAST_TRIES.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The gateway must end and the database never came back: the rows go to the log, which is the
    /// last place that can keep them.
    fn lose(&self, rows: &[UsageRow]) {
        for row in rows {
            tracing::error!(job = Self::NAME, id = %row.id, key = ?row.key_id, model = ?row.model, usage = ?row.usage, cost = ?row.cost,
                "usage row {} could not be written before the gateway ended", row.id);
        }
        self.meter.metrics.usage_dropped.inc_by(rows.len() as u64);
        self.meter.ledger.written(rows.len() as u64);
    }
}
