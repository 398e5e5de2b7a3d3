//! The journal: what every request did, on the local disk, before its client has the end of its answer.
//!
//! A folder per process holds numbered segments of records, each with a CRC. A request that goes to an
//! upstream leaves a *begin* (the row it would be if the process died now), every request a *settle*
//! (its row). The writer reads the records back and moves them to the database, so the journal is also
//! the queue between the two: a database that is away costs disk, not memory, and a start goes on
//! where a `kill -9` left off.
//!
//! Records are appended in memory and committed in groups: whoever needs his on the disk
//! ([`Journal::committed`]) lets the others who are ready append theirs, then writes all of them with one
//! `write`, into space that was reserved beforehand, so that a full disk stops new requests and not
//! those that run: two segments are always allocated, the one in use and a spare. What is written
//! survives the process at once; where power losses must be survived too, settling waits for
//! `fdatasync`, which [`Journal::sync`] does for all who wait at once.

mod commit;
mod folder;
mod frame;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use commit::Chunk;
pub use commit::Commit;
pub use folder::{Folder, orphans};
pub use frame::{Kind, Record};
pub use reader::Reader;

/// What a process death or a power loss may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Survives the process: what was written is the operating system's.
    #[default]
    Process,
    /// Survives the machine: what was written is on the disk.
    Power,
}

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What it survives.
    pub durability: Durability,
    /// Bytes of a segment.
    pub segment: u64,
    /// Bytes of all segments; beyond it nothing new is accepted.
    pub max_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Process, segment: 8 * 1024 * 1024, max_size: 8 * 1024 * 1024 * 1024 }
    }
}

/// A place in the journal: everything before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// Segments that begins of long requests may hold back before they are copied forward.
const HELD_SEGMENTS: u64 = 8;

/// A record's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where it is.
    pub position: Position,
    /// How many bytes were appended up to it, in all segments.
    appended: u64,
}

/// The journal of this process.
///
/// Two locks, taken in this order: `writer` while something is written, `state` for moments only.
#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    options: Options,
    /// Held while something is written.
    writer: Mutex<()>,
    state: Mutex<State>,
    /// Of the bytes appended: how many are written.
    written: AtomicU64,
    tickets: AtomicU64,
    /// Whether new requests find room.
    room: AtomicBool,
    /// Settles that found none wait in memory.
    waiting: AtomicU64,
    synced: watch::Sender<Position>,
    to_sync: Notify,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    end: Position,
    /// Bytes appended so far, in all segments.
    appended: u64,
    /// What is not written yet, in order.
    pending: VecDeque<Chunk>,
    /// To fill, of what was written last.
    buffer: Vec<u8>,
    spare: Option<File>,
    /// Segments on the disk: the first, and those behind it up to the one in use.
    first: u64,
    /// Begins without a settle: where they are.
    open: HashMap<u64, (Position, u32)>,
    /// Files that may have something that is not on the disk yet.
    unsynced: Vec<Arc<File>>,
    /// Settles for which there was no room.
    overflow: VecDeque<Vec<u8>>,
}

impl Journal {
    /// A new journal in a folder of its own below `root`, for the process that calls itself `id`.
    ///
    /// # Errors
    /// When the folder cannot be made or has no room for the first segments.
    pub fn create(root: &Path, id: &str, options: Options) -> io::Result<Self> {
        let folder = Folder::create(root, id)?;
        let file = folder.create_segment(1, options.segment)?;
        let spare = folder.create_segment(2, options.segment)?;
        let state = State {
            file: Arc::new(file),
            end: Position { segment: 1, offset: 0 },
            appended: 0,
            pending: VecDeque::new(),
            buffer: Vec::new(),
            spare: Some(spare),
            first: 1,
            open: HashMap::new(),
            unsynced: Vec::new(),
            overflow: VecDeque::new(),
        };
        Ok(Self {
            folder,
            options,
            writer: Mutex::default(),
            state: Mutex::new(state),
            written: AtomicU64::new(0),
            tickets: AtomicU64::new(1),
            room: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            synced: watch::Sender::new(Position::default()),
            to_sync: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves it whole: `end` moves only with what is before it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A number for one request's records.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a new request will find room for its records.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room.load(Ordering::Acquire)
    }

    /// Appends what a request would be if the process died now. A later one replaces it. The request
    /// may go on once it is committed.
    ///
    /// # Errors
    /// When there is no room: the request must not go on.
    pub fn begin(&self, ticket: u64, row: &impl Serialize) -> io::Result<Mark> {
        let frame = frame::build(Kind::Begin, ticket, 512, |out| serde_json::to_writer(out, row))?;
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let mut state = self.state();
        if !state.overflow.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let at = self.append(&mut state, &frame).inspect_err(|_| self.close_door())?;
        state.open.insert(ticket, (at, length));
        Ok(state.mark())
    }

    /// Appends a request's row, and says up to where the journal must be committed for it to last. Where
    /// there is no room in spite of all reserves it waits in memory, and nothing new is accepted.
    /// `placed` gets the row back and is told of the place behind it (`None`: it waits) before anything else is appended.
    ///
    /// A row that cannot be written as JSON leaves none; there is no such row.
    pub fn settle<R: Serialize>(&self, ticket: u64, row: R, placed: impl FnOnce(Option<Position>, R)) -> Mark {
        let frame = frame::build(Kind::Settle, ticket, 1024, |out| serde_json::to_writer(out, &row));
        let frame = frame.unwrap_or_default();
        let mut state = self.state();
        state.open.remove(&ticket);
        let stuck = !state.overflow.is_empty() || self.rotate_for(&mut state, &frame).is_err();
        if stuck {
            self.close_door();
            state.overflow.push_back(frame);
            self.waiting.store(state.overflow.len() as u64, Ordering::Relaxed);
            placed(None, row);
        } else {
            state.push(&frame);
            placed(Some(state.end), row);
        }
        state.mark()
    }

    fn close_door(&self) {
        self.room.store(false, Ordering::Release);
    }

    /// Appends a record; answers where it begins.
    fn append(&self, state: &mut State, frame: &[u8]) -> io::Result<Position> {
        self.rotate_for(state, frame)?;
        Ok(state.push(frame))
    }

    /// Goes on in the next segment if this one has no space for a record.
    fn rotate_for(&self, state: &mut State, frame: &[u8]) -> io::Result<()> {
        let fits = state.end.offset == 0 || state.end.offset + frame.len() as u64 <= self.options.segment;
        if fits { Ok(()) } else { self.rotate(state) }
    }

    /// Goes on in the spare segment, and reserves another.
    fn rotate(&self, state: &mut State) -> io::Result<()> {
        let number = state.end.segment + 1;
        let next = match state.spare.take() {
            Some(spare) => spare,
            None => self.folder.create_segment(number, self.options.segment)?,
        };
        let full = std::mem::replace(&mut state.file, Arc::new(next));
        if self.options.durability == Durability::Power {
            state.unsynced.push(full);
        }
        state.end = Position { segment: number, offset: 0 };
        self.carry_over(state)?;
        self.reserve(state);
        Ok(())
    }

    /// Begins of requests that last keep their segment on the disk. The oldest are written again.
    fn carry_over(&self, state: &mut State) -> io::Result<()> {
        let Some(old) = state.end.segment.checked_sub(HELD_SEGMENTS) else { return Ok(()) };
        let mut held: Vec<(u64, Position, u32)> = state
            .open
            .iter()
            .filter(|(_, (at, _))| at.segment <= old)
            .map(|(ticket, (at, n))| (*ticket, *at, *n))
            .collect();
        held.sort_unstable_by_key(|(_, at, _)| *at);
        for (ticket, at, length) in held {
            let frame = self.folder.read(at, length)?;
            if !matches!(frame::read(&frame), frame::Found::Record(..)) {
                return Ok(()); // not written yet: the disk fails
            }
            if state.end.offset + frame.len() as u64 > self.options.segment {
                return Ok(()); // the rest when this segment is full, too
            }
            let moved = state.push(&frame);
            state.open.insert(ticket, (moved, length));
        }
        Ok(())
    }

    fn reserve(&self, state: &mut State) {
        let next = state.end.segment + 1;
        let size = (next - state.first + 1).saturating_mul(self.options.segment);
        if state.spare.is_none() && size <= self.options.max_size {
            state.spare = self.folder.create_segment(next, self.options.segment).ok();
        }
        let room = state.spare.is_some() && state.overflow.is_empty();
        self.room.store(room, Ordering::Release);
    }

    /// Looks for room again where there was none, and appends what waits for it. Answers whether there
    /// is room now.
    pub fn recover(&self) -> bool {
        if self.has_room() {
            return true;
        }
        if self.commit_all().is_err() {
            return false;
        }
        let mut state = self.state();
        self.reserve(&mut state);
        while let Some(frame) = state.overflow.pop_front() {
            if self.rotate_for(&mut state, &frame).is_err() {
                state.overflow.push_front(frame);
                break;
            }
            state.push(&frame);
        }
        self.waiting.store(state.overflow.len() as u64, Ordering::Relaxed);
        self.reserve(&mut state);
        drop(state);
        self.commit_all().is_ok() && self.has_room()
    }

    /// Runs `then` if everything up to the end was read, before anything else is appended.
    pub fn at_end(&self, read: Position, then: impl FnOnce()) {
        let state = self.state();
        if state.overflow.is_empty() && read >= state.end {
            then();
        }
    }

    /// Where the next record will be.
    #[must_use]
    pub fn end(&self) -> Position {
        self.state().end
    }

    /// Settles that wait in memory for room.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Bytes on the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        let state = self.state();
        (state.end.segment - state.first) * self.options.segment + state.end.offset
    }

    /// Removes the segments before `applied` that no begin is needed of.
    pub fn trim(&self, applied: Position) {
        let mut state = self.state();
        let needed = state.open.values().map(|(at, _)| at.segment).min().unwrap_or(u64::MAX);
        let keep = applied.segment.min(needed).min(state.end.segment);
        while state.first < keep {
            self.folder.remove_segment(state.first);
            state.first += 1;
        }
    }

    /// Where settling has to wait for the disk: a future that resolves when everything before
    /// `position` is there. `None` where nothing has to wait.
    pub fn durable(&self, position: Position) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.options.durability == Durability::Process {
            return None;
        }
        let mut synced = self.synced.subscribe();
        self.ask_sync();
        Some(async move {
            // The sender lives as long as the journal; a closed one means that the gateway has ended.
            let _ = synced.wait_for(|synced| *synced >= position).await;
        })
    }

    /// Asks for a [`Journal::sync`].
    pub fn ask_sync(&self) {
        self.to_sync.notify_one();
    }

    /// Resolves when somebody waits for the disk.
    pub async fn sync_wanted(&self) {
        self.to_sync.notified().await;
    }

    /// Brings everything that is written to the disk, for all who wait. Blocks.
    ///
    /// # Errors
    /// When the disk fails: nobody is told that it is there.
    pub fn sync(&self) -> io::Result<()> {
        self.commit_all()?;
        let (files, end) = {
            let _nothing_is_being_written = self.writing();
            let mut state = self.state();
            let mut files = std::mem::take(&mut state.unsynced);
            files.push(Arc::clone(&state.file));
            (files, state.committed())
        };
        for file in &files {
            if let Err(error) = file.sync_data() {
                self.state().unsynced.extend(files.iter().cloned());
                return Err(error);
            }
        }
        self.synced.send_if_modified(|synced| {
            let further = end > *synced;
            *synced = end.max(*synced);
            further
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
