//! The folder of one process's journal: numbered segments, and a lock that dies with the process.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::Position;

const LOCK: &str = "lock";
const SUFFIX: &str = "wal";
/// How the names of folders begin that are being made.
const HIDDEN: char = '.';

/// A locked folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    id: String,
    /// Held for as long as the process lives.
    _lock: File,
}

impl Folder {
    /// Makes the folder of a process.
    ///
    /// # Errors
    /// When it exists, or cannot be made.
    pub(super) fn create(root: &Path, id: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        // Under a name that nobody looks at until it is locked: else another process that starts at the same
        // moment would take it for one whose process is no more.
        let hidden = root.join(format!("{HIDDEN}{id}"));
        DirBuilder::new().mode(0o700).create(&hidden)?;
        let mut folder = Self::lock(hidden.clone(), id)?.ok_or(io::ErrorKind::AlreadyExists)?;
        folder.path = root.join(id);
        std::fs::rename(&hidden, &folder.path)?;
        Ok(folder)
    }

    /// Takes over the folder at `path`; `None` while its process lives.
    fn lock(path: PathBuf, id: &str) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, id: id.to_owned(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The process's name for itself.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016}.{SUFFIX}"))
    }

    /// A new segment with its space reserved. File systems that cannot reserve get none; there a full
    /// disk is met when it is full.
    pub(super) fn create_segment(&self, number: u64, size: u64) -> io::Result<File> {
        let path = self.segment(number);
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, size) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(file),
            Err(error) => {
                // An empty file takes the place of nothing; the next try makes it anew.
                let _ = std::fs::remove_file(&path);
                Err(error.into())
            }
        }
    }

    pub(super) fn open_segment(&self, number: u64) -> io::Result<Option<File>> {
        match File::open(self.segment(number)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read(&self, at: Position, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        File::open(self.segment(at.segment))?.read_exact_at(&mut bytes, at.offset)?;
        Ok(bytes)
    }

    pub(super) fn remove_segment(&self, number: u64) {
        if let Err(error) = std::fs::remove_file(self.segment(number)) {
            tracing::warn!(%error, number, "a segment of the journal cannot be removed");
        }
    }

    /// The numbers of its segments, in order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX)
                && let Some(number) = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes it with all that is in it: everything was moved to the database.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.path)
    }
}

/// The journals below `root` whose processes are no more, locked for the caller.
///
/// # Errors
/// When `root` cannot be read.
pub fn orphans(root: &Path) -> io::Result<Vec<Folder>> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
        if id.starts_with(HIDDEN) {
            continue;
        }
        if entry.file_type()?.is_dir()
            && let Some(folder) = Folder::lock(entry.path(), &id)?
        {
            found.push(folder);
        }
    }
    Ok(found)
}
