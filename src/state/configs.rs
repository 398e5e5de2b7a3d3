//! The configuration in force, and how others ask for another: by a queue to the one job that reloads
//! (`app/reload.rs`), so that reloads come one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::UnixMs;
use crate::config::{Change, Fault, Format};
use crate::store::StoreError;

/// Reloads that wait; more are refused.
const MAX_WAITING: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What is in force, read again: the file, or the database's version.
    Again,
    /// The file, also where the database's version is in force.
    File,
    /// This text, which the database keeps and all replicas follow.
    Text {
        /// The configuration.
        text: String,
        /// How it is written.
        format: Format,
    },
    /// A version that the database kept; all replicas follow it.
    Version(i64),
}

/// A wish for another configuration.
#[derive(Debug)]
pub struct Ask {
    /// Which.
    pub wanted: Wanted,
    /// Who asks: `signal`, `file_change` or `admin_api`.
    pub by: &'static str,
    /// Why.
    pub note: Option<String>,
    /// Only tell what would change.
    pub dry_run: bool,
    /// Who waits for the outcome.
    pub reply: Option<oneshot::Sender<Result<Reloaded, NotReloaded>>>,
}

/// Where the configuration in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file and the environment of this replica.
    File,
    /// The database: all replicas have the same.
    Database,
}

impl Origin {
    /// `file` or `database`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Database => "database",
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// `applied`, `unchanged` or `checked`.
    pub outcome: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// Its number in the database; none where it could not be kept yet.
    pub version: Option<i64>,
    /// What changed, secrets hidden.
    pub changes: Vec<Change>,
    /// What changes with the next start only.
    pub needs_restart: Vec<Change>,
    /// What was said of keys that each replica reads from its own file at its start, and has no effect.
    pub left_to_file: Vec<Change>,
}

/// Why the old configuration goes on serving.
#[derive(Debug)]
pub enum NotReloaded {
    /// The new one is wrong.
    Faults(Vec<Fault>),
    /// There is no such version.
    NoSuchVersion(i64),
    /// The database, which was to keep it, did not.
    Store(StoreError),
}

/// The configuration in force, but for its values.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Where it comes from.
    pub origin: Origin,
    /// Its number in the database, once it is kept there.
    pub version: Option<i64>,
    /// Since when.
    pub since: UnixMs,
    /// When its files were read last, or those of one that was refused.
    pub read_at: UnixMs,
    /// What the next start will change.
    pub needs_restart: Vec<Change>,
    /// What the database's document says of keys that each replica reads from its own file.
    pub left_to_file: Vec<Change>,
    /// The last reload, if it was refused.
    pub refused: Option<Refused>,
}

/// A reload that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When.
    pub at: UnixMs,
    /// Who asked.
    pub by: &'static str,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// How the configuration is asked about and asked for.
#[derive(Debug)]
pub struct ConfigDesk {
    asks: mpsc::Sender<Ask>,
    in_force: ArcSwap<InForce>,
    /// Told whenever that changes.
    pub changed: Notify,
    /// The file it was started with, if there is one.
    pub file: Option<PathBuf>,
}

impl ConfigDesk {
    /// A desk, and where what is asked for comes out.
    #[must_use]
    pub fn new(since: UnixMs, file: Option<PathBuf>) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(MAX_WAITING);
        let in_force = InForce {
            origin: Origin::File,
            version: None,
            since,
            read_at: since,
            needs_restart: Vec::new(),
            left_to_file: Vec::new(),
            refused: None,
        };
        (Self { asks, in_force: ArcSwap::from_pointee(in_force), changed: Notify::new(), file }, asked)
    }

    /// What is in force.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Notes what is in force; for the job that reloads.
    pub fn set_in_force(&self, in_force: InForce) {
        self.in_force.store(Arc::new(in_force));
        self.changed.notify_one();
    }

    /// Asks for a configuration and does not wait. Answers whether there was room for the wish.
    pub fn ask(&self, ask: Ask) -> bool {
        self.asks.try_send(ask).is_ok()
    }

    /// Asks for a configuration and waits for the outcome; `None` when too many wait already, or the gateway
    /// stops.
    pub async fn ask_and_wait(
        &self,
        wanted: Wanted,
        note: Option<String>,
        dry_run: bool,
    ) -> Option<Result<Reloaded, NotReloaded>> {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Ask { wanted, by: "admin_api", note, dry_run, reply: Some(reply) });
        if asked { answer.await.ok() } else { None }
    }
}
