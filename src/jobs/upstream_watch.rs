//! Tells of upstream keys that are refused and serve again, and of targets that go down and come back. Requests leave
//! marks in memory; this job looks at them and writes events. What was told is in the database, so that of several
//! replicas one tells it, once, and a restart repeats nothing.
//!
//! A key is told of at once: its episodes are minutes apart by themselves, for a refused key is left alone. A target is
//! told to be down at once, but not within [`QUIET`] of being told to be up; and to be up when nobody has seen it down for
//! [`STEADY`]: one that flaps makes two events in five minutes and a half.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::clock::{MonoNs, UnixMs};
use crate::events::{self, Event, UpstreamKey};
use crate::snapshot::breaker::State;
use crate::snapshot::{ProviderDef, Snapshot};
use crate::state::Shared;
use crate::store::StoreError;
use crate::store::upstreams::{self, Standing, Subject};

/// How often marks are looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// A target that was told to be up is not told to be down for so long, in milliseconds.
pub const QUIET: UnixMs = 300_000;
/// A target is told to be up when nobody has seen it down for so long, in milliseconds.
pub const STEADY: UnixMs = 30_000;
/// How often it is noted that a target is still down.
const NOTED: UnixMs = 5_000;
/// Targets of one provider that are told to be down at a time; of more than that the log alone tells.
const MAX_TARGETS: usize = 100;
/// How often what is old is forgotten.
const PRUNE_EVERY: UnixMs = 3_600_000;

/// The job.
#[derive(Debug)]
pub struct UpstreamWatch {
    gateway: Shared,
    /// What is down as far as was told, and since when: from the moment it is here on, what serves counts.
    watched: HashMap<Subject, Standing>,
    pruned_at: Option<UnixMs>,
    trouble: Trouble,
}

/// What a mark says.
struct Mark {
    whose: Subject,
    event: Event,
    /// Since when nothing else must have been told.
    quiet_since: UnixMs,
    back: Back,
}

/// Where a mark that could not be told goes back to.
enum Back {
    Key(Arc<ProviderDef>, usize),
    Denied(Arc<ProviderDef>, String, usize),
    /// It will be there again by itself.
    Nowhere,
}

impl UpstreamWatch {
    /// Its name in logs.
    pub const NAME: &'static str = "upstream_watch";

    /// A job that has seen nothing.
    #[must_use]
    pub fn new(gateway: Shared) -> Self {
        Self { gateway, watched: HashMap::new(), pruned_at: None, trouble: Trouble::default() }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.round().await,
            }
        }
    }

    async fn round(&mut self) {
        // Its table is not there before.
        if !self.gateway.readiness.database_was_up() {
            return;
        }
        let outcome = self.look().await;
        self.trouble.note(
            Self::NAME,
            &outcome,
            "events of upstream keys and targets are written again",
            "events of upstream keys and targets wait",
        );
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let gateway = Arc::clone(&self.gateway);
        let snapshot = gateway.snapshot.load_full();
        let (now, mono) = (gateway.clock().unix_ms(), gateway.clock().mono_ns());
        let mut marks = keys(&snapshot, now);
        marks.extend(self.targets(&snapshot, now, mono));
        let mut left = marks.into_iter();
        while let Some(mark) = left.next() {
            if let Err(error) = self.down(&mark, now).await {
                put_back(std::iter::once(mark).chain(left));
                return Err(error);
            }
        }
        self.follow(&snapshot, now, mono).await?;
        if self.pruned_at.is_none_or(|at| now - at >= PRUNE_EVERY) {
            self.pruned_at = Some(now);
            upstreams::prune(&gateway.db, now).await?;
        }
        Ok(())
    }

    /// Watches what was told to be down, by whomever, and tells when it serves again.
    async fn follow(&mut self, snapshot: &Snapshot, now: UnixMs, mono: MonoNs) -> Result<(), StoreError> {
        let db = &self.gateway.db;
        let standing = upstreams::standing(db).await?;
        let before = std::mem::take(&mut self.watched);
        for one in standing {
            let whose = one.whose();
            if before.get(&whose).is_none_or(|known| known.since != one.since) {
                watch(snapshot, &whose);
            } else if let Some(event) = restored(snapshot, &one, now, mono) {
                let steady = if whose.kind == TARGET { STEADY } else { 0 };
                upstreams::up(db, &whose, now, now - steady, event).await?;
            }
            self.watched.insert(whose, one);
        }
        Ok(())
    }

    async fn down(&self, mark: &Mark, now: UnixMs) -> Result<(), StoreError> {
        let db = &self.gateway.db;
        if !upstreams::down(db, &mark.whose, now, mark.quiet_since, mark.event.clone()).await? {
            upstreams::still(db, &mark.whose, now).await?;
        }
        Ok(())
    }

    /// Targets whose breakers are open, but for those of which that is known and was noted a moment ago.
    fn targets(&self, snapshot: &Snapshot, now: UnixMs, mono: MonoNs) -> Vec<Mark> {
        let mut marks = Vec::new();
        for provider in snapshot.providers.values() {
            let mut left = MAX_TARGETS;
            provider.live.each(|model, health| {
                if left == 0 || !matches!(health.state(mono), State::Open(_)) {
                    return;
                }
                left -= 1;
                let whose = subject(TARGET, provider, model.to_owned());
                if self.watched.get(&whose).is_none_or(|known| now - known.seen_at >= NOTED) {
                    let event = events::target_down(now, &provider.id, model);
                    marks.push(Mark { whose, event, quiet_since: now - QUIET, back: Back::Nowhere });
                }
            });
        }
        marks
    }
}

const KEY: &str = "key";
const DENIED: &str = "denied";
const TARGET: &str = "target";

fn subject(kind: &str, provider: &ProviderDef, subject: String) -> Subject {
    Subject { kind: kind.to_owned(), provider: provider.id.to_string(), subject }
}

/// Keys that were refused since this was asked last.
fn keys(snapshot: &Snapshot, now: UnixMs) -> Vec<Mark> {
    let mut marks = Vec::new();
    for provider in snapshot.providers.values() {
        for (n, key) in provider.credentials.iter().enumerate().filter(|(_, key)| key.health.take_news()) {
            let event = events::key_rejected(now, &named(provider, n, None));
            let whose = subject(KEY, provider, key.print.to_string());
            marks.push(Mark { whose, event, quiet_since: now, back: Back::Key(Arc::clone(provider), n) });
        }
        provider.live.each(|model, health| {
            let denied = health.take_denied_news();
            for n in (0..provider.credentials.len().min(64)).filter(|n| denied & (1 << n) != 0) {
                let event = events::key_rejected(now, &named(provider, n, Some(model)));
                let whose = subject(DENIED, provider, format!("{}/{model}", provider.credentials[n].print));
                let back = Back::Denied(Arc::clone(provider), model.to_owned(), n);
                marks.push(Mark { whose, event, quiet_since: now, back });
            }
        });
    }
    marks
}

fn named<'a>(provider: &'a ProviderDef, key: usize, model: Option<&'a str>) -> UpstreamKey<'a> {
    UpstreamKey { provider: &provider.id, place: key + 1, fingerprint: &provider.credentials[key].print, model }
}

fn put_back(marks: impl Iterator<Item = Mark>) {
    for mark in marks {
        match mark.back {
            Back::Key(provider, n) => provider.credentials[n].health.put_news_back(),
            Back::Denied(provider, model, n) => provider.live.target(&model).put_denied_news_back(1 << n),
            Back::Nowhere => {}
        }
    }
}

/// A provider of this snapshot, the key by its place and the model that are meant; none where this replica has not what
/// another one told of.
fn find<'s>(snapshot: &'s Snapshot, whose: &'s Subject) -> Option<(&'s Arc<ProviderDef>, usize, Option<&'s str>)> {
    let provider = snapshot.providers.get(whose.provider.as_str())?;
    let place = |print: &str| provider.credentials.iter().position(|key| &*key.print == print);
    match whose.kind.as_str() {
        KEY => Some((provider, place(&whose.subject)?, None)),
        DENIED => {
            let (print, model) = whose.subject.split_once('/')?;
            Some((provider, place(print)?, Some(model)))
        }
        TARGET => Some((provider, 0, Some(&whose.subject))),
        _ => None,
    }
}

/// From now on it counts whether it serves.
fn watch(snapshot: &Snapshot, whose: &Subject) {
    let Some((provider, key, model)) = find(snapshot, whose) else { return };
    match model {
        None => provider.credentials[key].health.watch(),
        Some(model) => provider.live.target(model).watch((whose.kind == DENIED).then_some(key)),
    }
}

/// What is to be told of one that serves again.
fn restored(snapshot: &Snapshot, one: &Standing, now: UnixMs, mono: MonoNs) -> Option<Event> {
    let whose = one.whose();
    let (provider, key, model) = find(snapshot, &whose)?;
    match (whose.kind.as_str(), model) {
        (KEY, _) => {
            let serves = provider.credentials[key].health.serves();
            serves.then(|| events::key_restored(now, &named(provider, key, None), one.since))
        }
        (DENIED, Some(model)) => {
            let serves = provider.live.target(model).serves(Some(key));
            serves.then(|| events::key_restored(now, &named(provider, key, Some(model)), one.since))
        }
        (_, Some(model)) => {
            let health = provider.live.target(model);
            let serves = health.state(mono) == State::Closed && health.serves(None);
            let is_steady = now - one.seen_at >= STEADY;
            (serves && is_steady).then(|| events::target_up(now, &provider.id, model, one.since))
        }
        _ => None,
    }
}
