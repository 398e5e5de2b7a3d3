//! Sees when a file of the configuration changes, and asks for a reload. What counts is what the files are, not what
//! happened to them: their folders are watched, so that a file that is replaced is seen as one that is written, and a
//! link whose target is exchanged (Kubernetes' mounted maps) as a file. A look every few seconds makes up for file
//! systems that tell nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::UnixMs;
use crate::state::{Ask, Shared, Wanted};

/// How long files must be left alone before they are read: whoever writes one writes it in pieces.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait for that.
const LONGEST: u32 = 20;
/// How often the files are looked at without being told.
const INTERVAL: Duration = Duration::from_secs(5);
/// How far the times of files may be behind the clock, in milliseconds.
const SLACK: UnixMs = 20;
/// How long a start may take from reading the files on.
const START: UnixMs = 2_000;
/// Most files that are watched, beyond the bounds of a configuration.
const MAX_FILES: usize = 1_000;

/// Somebody has written a file to its end.
const WRITTEN: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

/// The watcher.
#[derive(Debug)]
pub struct ConfigWatch {
    gateway: Shared,
    touched: Arc<Notify>,
    /// None where the system has none to give; then looks must do.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    seen: Vec<Print>,
}

/// What tells a file from what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Print {
    path: PathBuf,
    /// Where it is behind all links, its inode, length and time of change in nanoseconds; none for one that is
    /// not there.
    file: Option<(PathBuf, u64, u64, i128)>,
}

impl Print {
    fn changed_since(&self, at: UnixMs) -> bool {
        self.file.as_ref().is_some_and(|(.., changed)| *changed >= i128::from(at) * 1_000_000)
    }
}

impl ConfigWatch {
    /// A watcher that has seen nothing.
    #[must_use]
    pub fn new(gateway: Shared) -> Self {
        let touched = Arc::new(Notify::new());
        let waker = Arc::clone(&touched);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Those who read a file, this gateway among them, do not change it.
            if event.is_ok_and(|event| !event.kind.is_access() || event.kind == WRITTEN) {
                waker.notify_one();
            }
        });
        let watcher = watcher.map_err(|error| {
            tracing::warn!(%error, "files cannot be watched and are looked at every {INTERVAL:?}: {error}");
        });
        Self { gateway, touched, watcher: watcher.ok(), folders: BTreeSet::new(), seen: Vec::new() }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        self.begin().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.touched.notified() => self.wait_for_quiet().await,
                // Other files may count now.
                () = self.gateway.configs.changed.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            self.look().await;
        }
    }

    /// Takes the files as they are, but for one that changed since it was read.
    async fn begin(&mut self) {
        let files = self.files();
        self.watch(&files).await;
        self.seen = prints(files).await;
        let read_at = self.gateway.configs.in_force().read_at - START;
        if self.seen.iter().any(|print| print.changed_since(read_at)) {
            self.ask();
        }
    }

    async fn wait_for_quiet(&self) {
        for _ in 0..LONGEST {
            if tokio::time::timeout(QUIET, self.touched.notified()).await.is_err() {
                return;
            }
        }
    }

    async fn look(&mut self) {
        let files = self.files();
        self.watch(&files).await;
        let now = prints(files).await;
        let read_at = self.gateway.configs.in_force().read_at - SLACK;
        let changed = now.iter().any(|print| match self.seen.iter().find(|old| old.path == print.path) {
            Some(old) => old != print,
            // It is new among them, and was read when they were.
            None => print.changed_since(read_at),
        });
        self.seen = now;
        if changed {
            self.ask();
        }
    }

    fn ask(&self) {
        let ask = Ask { wanted: Wanted::Again, by: "file_change", note: None, dry_run: false, reply: None };
        if !self.gateway.configs.ask(ask) {
            tracing::warn!("too many reloads wait already; the changed file is read with the next");
        }
    }

    /// The files in force, and those of a configuration that was refused: to mend them is to change them.
    fn files(&self) -> Vec<PathBuf> {
        let config = self.gateway.config.load_full();
        let refused = self.gateway.configs.in_force();
        let faulty = refused.refused.iter().flat_map(|refused| &refused.faults).map(|fault| PathBuf::from(&fault.file));
        let own = self.gateway.configs.file.iter().cloned();
        let all: BTreeSet<PathBuf> = own.chain(config.files.iter().cloned()).chain(faulty).collect();
        all.into_iter().filter(|path| !path.as_os_str().is_empty()).take(MAX_FILES).collect()
    }

    /// Watches the folders of files, and of what they link to.
    async fn watch(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = BTreeSet::new();
        for file in files {
            wanted.extend(folder(file));
            if let Ok(real) = tokio::fs::canonicalize(file).await {
                wanted.extend(folder(&real));
            }
        }
        for gone in self.folders.difference(&wanted) {
            // It may not be there any more.
            let _ = watcher.unwatch(gone);
        }
        let watched = |folder: &PathBuf, watcher: &mut RecommendedWatcher| {
            self.folders.contains(folder) || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        };
        wanted.retain(|folder| watched(folder, watcher));
        self.folders = wanted;
    }
}

fn folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_path_buf() })
}

async fn prints(files: Vec<PathBuf>) -> Vec<Print> {
    let mut prints = Vec::with_capacity(files.len());
    for path in files {
        let file = print(&path).await;
        prints.push(Print { path, file });
    }
    prints
}

async fn print(path: &Path) -> Option<(PathBuf, u64, u64, i128)> {
    let real = tokio::fs::canonicalize(path).await.ok()?;
    let found = tokio::fs::metadata(&real).await.ok()?;
    let changed = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Some((real, found.ino(), found.len(), changed))
}
