//! Tells one receiver of alerts what happened, in the order of the outbox's numbers, at least once; again, with
//! growing pauses, what it did not take; and puts aside what it never takes. Each receiver has a job of its own,
//! so that none waits for another, and no request for any. Of several replicas one at a time tells a receiver.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::alerts::{Failure, Note, Receiver, wait};
use crate::clock::UnixMs;
use crate::state::Shared;
use crate::store::outbox::Stored;
use crate::store::outbox::deliveries::{self, Done, Failed, Work};
use crate::store::{Db, StoreError};

/// How often due deliveries are looked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a claim holds. Longer than the slowest batch: mails of thirty seconds, so many at once.
const CLAIM_MS: UnixMs = 120_000;
/// Events of one batch, all sent at once: what a gateway that dies may have sent without writing so.
const BATCH: u32 = 16;
/// Most deliveries of a receiver that wait for another try; while there are so many, new events wait in the
/// outbox, where they cost nothing.
const MAX_WAITING: i64 = 256;
/// How long a stop waits for what is being sent. What is not taken by then is sent again.
const GRACE: Duration = Duration::from_secs(5);
/// After how many batches in a row pending events are counted anew.
const COUNT_EVERY: u32 = 32;
/// How far pending events are counted.
const COUNTED: u32 = 10_000;

/// The job of one receiver.
#[derive(Debug)]
pub struct Deliverer {
    gateway: Shared,
    receiver: Arc<Receiver>,
    /// This gateway, among those that may tell the receiver.
    owner: String,
    head: watch::Receiver<i64>,
    failing: bool,
}

impl Deliverer {
    /// Its name in logs.
    pub const NAME: &'static str = "alerts";

    /// A job that looks whenever the outbox's numbers go on.
    #[must_use]
    pub fn new(gateway: Shared, receiver: Arc<Receiver>, head: watch::Receiver<i64>) -> Self {
        let owner = gateway.chance.uuid(gateway.clock().unix_ms()).simple().to_string();
        Self { gateway, receiver, owner, head, failing: false }
    }

    /// Runs until it is stopped. What is being sent then has [`GRACE`] to be taken; the rest waits for the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
                Ok(()) = self.head.changed() => {}
            }
            self.round(&stop).await;
        }
    }

    async fn round(&mut self, stop: &CancellationToken) {
        if !self.gateway.readiness.database_was_up() {
            return;
        }
        match self.tell_what_there_is(stop).await {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                let sink = &self.receiver.name;
                tracing::error!(job = Self::NAME, %sink, %error, "{sink} cannot be told: {error}");
            }
            Err(_) => {}
        }
    }

    async fn tell_what_there_is(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let db: &Db = &self.gateway.db;
        let sink = &self.receiver.name;
        let Some(work) = deliveries::work(db, sink, self.now()).await? else { return Ok(()) };
        if !worth_it(&work) {
            return self.show_pending(&work).await;
        }
        let now = self.now();
        if deliveries::claim(db, sink, &self.owner, now, now + CLAIM_MS).await?.is_none() {
            return self.show_pending(&work).await;
        }
        let told = self.tell_all(stop).await;
        // Another gateway may go on at once. If this fails, it has to wait for the claim's end.
        deliveries::release(db, sink, &self.owner).await.and(told)
    }

    /// Batch after batch, as long as there is something to tell and the claim holds.
    async fn tell_all(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let db: &Db = &self.gateway.db;
        let sink = &self.receiver.name;
        for batch in 0_u32.. {
            let Some(work) = deliveries::work(db, sink, self.now()).await? else { break };
            let goes_on = worth_it(&work) && !stop.is_cancelled();
            if !goes_on || batch.is_multiple_of(COUNT_EVERY) {
                self.show_pending(&work).await?;
            }
            if !goes_on {
                break;
            }
            let told = async { if work.due { self.tell_again(&work).await } else { self.tell_next(&work).await } };
            let too_late = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            let done = tokio::select! {
                done = told => done?,
                () = too_late => break,
            };
            if !deliveries::settle(db, sink, &self.owner, &done).await? {
                break;
            }
        }
        Ok(())
    }

    /// New events. The place goes to the last of them, or to the end when there are no more.
    async fn tell_next(&self, work: &Work) -> Result<Done, StoreError> {
        let kinds = &self.receiver.kinds;
        let events = deliveries::next(&self.gateway.db, work.seq, work.head, kinds, BATCH).await?;
        let last = events.last().and_then(|event| event.seq).filter(|_| events.len() >= BATCH as usize);
        let to = last.unwrap_or(work.head);
        Ok(self.tell(work.seq, to, events.into_iter().map(|event| (0, event)).collect()).await)
    }

    /// Events that failed before and are due.
    async fn tell_again(&self, work: &Work) -> Result<Done, StoreError> {
        let due = deliveries::due(&self.gateway.db, &self.receiver.name, self.now(), BATCH).await?;
        let events = due.into_iter().map(|pending| (pending.attempts, pending.event)).collect();
        Ok(self.tell(work.seq, work.seq, events).await)
    }

    /// Tells all of these at once; each comes with the number of its failures.
    async fn tell(&self, from: i64, to: i64, events: Vec<(i64, Stored)>) -> Done {
        let now = self.now();
        let outcomes = join_all(events.iter().map(|(_, event)| self.tell_one(event, now))).await;
        let at = self.now();
        let mut done = Done { from, to, at, until: at + CLAIM_MS, ..Done::default() };
        for ((failures, event), outcome) in events.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    done.delivered += 1;
                    if failures > 0 {
                        done.recovered.push((event.id, event.at));
                    }
                }
                Err(failure) => done.failed.push(self.failed(&event, failures + 1, failure, at)),
            }
        }
        self.count(&done);
        done
    }

    async fn tell_one(&self, event: &Stored, now: UnixMs) -> Result<(), Failure> {
        let note = Note { id: &event.id, kind: &event.kind, at: event.at, body: &event.body };
        self.receiver.tell(&note, now).await
    }

    fn failed(&self, event: &Stored, attempts: i64, failure: Failure, now: UnixMs) -> Failed {
        let retry = &self.receiver.retry;
        let (sink, why) = (&self.receiver.name, failure.why);
        let tries = u32::try_from(attempts).unwrap_or(u32::MAX);
        let next_at = (!failure.for_good && u64::from(tries) < retry.attempts).then(|| {
            let pause = wait(retry, tries, self.gateway.chance.unit(), failure.after);
            now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
        });
        match next_at {
            Some(_) => {
                tracing::warn!(job = Self::NAME, %sink, event = %event.id, attempts, "{sink} did not take {}: {why}", event.kind)
            }
            None => {
                tracing::error!(job = Self::NAME, %sink, event = %event.id, attempts, "{sink} never took {}, now a dead letter: {why}", event.kind);
            }
        }
        Failed { event_id: event.id.clone(), event_at: event.at, attempts, next_at, error: why }
    }

    fn count(&self, done: &Done) {
        let metrics = &self.gateway.meter.metrics;
        let dead = done.failed.iter().filter(|failed| failed.next_at.is_none()).count() as u64;
        for (outcome, tries) in
            [("delivered", done.delivered), ("failed", done.failed.len() as u64 - dead), ("dead", dead)]
        {
            if tries > 0 {
                metrics.alert(&self.receiver.name, outcome, tries);
            }
        }
    }

    async fn show_pending(&self, work: &Work) -> Result<(), StoreError> {
        let receiver = &self.receiver;
        let ahead = if work.seq < work.head {
            deliveries::ahead(&self.gateway.db, work.seq, &receiver.kinds, COUNTED).await?
        } else {
            0
        };
        let pending = i64::try_from(ahead).unwrap_or(i64::MAX).saturating_add(work.waiting);
        self.gateway.meter.metrics.alerts_pending.with_label_values(&[receiver.name.as_str()]).set(pending);
        Ok(())
    }

    fn now(&self) -> UnixMs {
        self.gateway.clock().unix_ms()
    }
}

/// Whether there is something to tell now.
fn worth_it(work: &Work) -> bool {
    work.due || (work.seq < work.head && work.waiting < MAX_WAITING)
}
