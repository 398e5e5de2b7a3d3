//! What was told last of upstream keys and targets: of all replicas, and over restarts, one tells it, once.

use sqlx::FromRow;

use super::db::Db;
use super::error::StoreError;
use super::outbox;
use super::statement::Statement;
use crate::clock::UnixMs;
use crate::events::Event;

pub(super) const STATEMENTS: &[&str] = &[DOWN, STILL, UP, STANDING, PRUNE];

const DOWN: &str = "\
INSERT INTO upstream_states (kind, provider, subject, state, since, seen_at) VALUES ($1, $2, $3, 'down', $4, $4)
ON CONFLICT (kind, provider, subject) DO UPDATE
SET state = 'down', since = excluded.since, seen_at = excluded.seen_at
WHERE upstream_states.state = 'up' AND upstream_states.since <= $5";

const STILL: &str = "\
UPDATE upstream_states SET seen_at = $4
WHERE kind = $1 AND provider = $2 AND subject = $3 AND state = 'down' AND seen_at < $4";

const UP: &str = "\
UPDATE upstream_states SET state = 'up', since = $4, seen_at = $4
WHERE kind = $1 AND provider = $2 AND subject = $3 AND state = 'down' AND seen_at <= $5";

const STANDING: &str = "\
SELECT kind, provider, subject, since, seen_at FROM upstream_states
WHERE state = 'down' ORDER BY kind, provider, subject LIMIT 10000";

const PRUNE: &str = "DELETE FROM upstream_states WHERE (state = 'up' AND since < $1) OR seen_at < $2";

/// How long what is well again is remembered, in milliseconds.
const REMEMBERED: UnixMs = 86_400_000;
/// How long what nobody sees any more is.
const UNSEEN: UnixMs = 90 * REMEMBERED;

/// Of whom something is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// `key`, `denied` or `target`.
    pub kind: String,
    /// The provider's name in the gateway.
    pub provider: String,
    /// The key's fingerprint, with the model behind a slash if it is about one; or the model.
    pub subject: String,
}

/// Something that is down, as far as was told.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Standing {
    /// `key`, `denied` or `target`.
    pub kind: String,
    /// The provider's name in the gateway.
    pub provider: String,
    /// Which one.
    pub subject: String,
    /// When that was told.
    pub since: UnixMs,
    /// When a replica last saw it.
    pub seen_at: UnixMs,
}

impl Standing {
    /// Of whom.
    #[must_use]
    pub fn whose(&self) -> Subject {
        Subject { kind: self.kind.clone(), provider: self.provider.clone(), subject: self.subject.clone() }
    }
}

fn about(text: &'static str, whose: &Subject) -> Statement {
    Statement::new(text).bind(whose.kind.as_str()).bind(whose.provider.as_str()).bind(whose.subject.as_str())
}

/// Tells that it is down, unless that was told, or that it is up was told after `quiet_since`. Answers whether this
/// call told it.
///
/// # Errors
/// As any call to the store.
pub async fn down(
    db: &Db,
    whose: &Subject,
    now: UnixMs,
    quiet_since: UnixMs,
    event: Event,
) -> Result<bool, StoreError> {
    tell(db, about(DOWN, whose).bind(now).bind(quiet_since), event).await
}

/// Takes note that it is still down.
///
/// # Errors
/// As any call to the store.
pub async fn still(db: &Db, whose: &Subject, now: UnixMs) -> Result<(), StoreError> {
    db.writer().await?.execute(about(STILL, whose).bind(now)).await.map(drop)
}

/// Tells that it is up again, if it was told to be down and nobody saw it so after `steady_since`. Answers whether this
/// call told it.
///
/// # Errors
/// As any call to the store.
pub async fn up(db: &Db, whose: &Subject, now: UnixMs, steady_since: UnixMs, event: Event) -> Result<bool, StoreError> {
    tell(db, about(UP, whose).bind(now).bind(steady_since), event).await
}

async fn tell(db: &Db, change: Statement, event: Event) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let told = async {
        let is_news = tx.execute(change).await? == 1;
        if is_news {
            outbox::put(&mut tx, &[event]).await?;
        }
        Ok(is_news)
    };
    match told.await {
        Ok(is_news) => tx.commit().await.map(|()| is_news),
        Err(error) => Err(tx.undone(error).await),
    }
}

/// Everything that is down, as far as was told.
///
/// # Errors
/// As any call to the store.
pub async fn standing(db: &Db) -> Result<Vec<Standing>, StoreError> {
    db.reader().await?.fetch_all(Statement::new(STANDING)).await
}

/// Forgets what has long been well, and what nobody sees any more.
///
/// # Errors
/// As any call to the store.
pub async fn prune(db: &Db, now: UnixMs) -> Result<(), StoreError> {
    let statement = Statement::new(PRUNE).bind(now - REMEMBERED).bind(now - UNSEEN);
    db.writer().await?.execute(statement).await.map(drop)
}
