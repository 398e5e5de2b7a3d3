//! Committing in groups: what was appended in memory goes to the file with one `write` for all.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::{Journal, Mark, Position, State};

/// A buffer that has held more is not kept for the next group.
const MAX_KEPT: usize = 1024 * 1024;

/// Bytes on their way to one file.
#[derive(Debug)]
pub(super) struct Chunk {
    file: Arc<File>,
    at: Position,
    bytes: Vec<u8>,
}

impl State {
    /// Appends a record for which there is space in this segment; answers where it begins.
    pub(super) fn push(&mut self, frame: &[u8]) -> Position {
        let at = self.end;
        self.end.offset += frame.len() as u64;
        self.appended += frame.len() as u64;
        match self.pending.back_mut() {
            Some(last) if Arc::ptr_eq(&last.file, &self.file) => last.bytes.extend_from_slice(frame),
            _ => {
                let mut bytes = std::mem::take(&mut self.buffer);
                bytes.extend_from_slice(frame);
                self.pending.push_back(Chunk { file: Arc::clone(&self.file), at, bytes });
            }
        }
        at
    }

    /// The end, as a record that ends there has it.
    pub(super) fn mark(&self) -> Mark {
        Mark { position: self.end, appended: self.appended }
    }

    /// Everything before it was handed to the system.
    pub(super) fn committed(&self) -> Position {
        self.pending.front().map_or(self.end, |chunk| chunk.at)
    }
}

impl Journal {
    /// Writes everything appended up to `mark` (and what came after it), unless somebody has.
    ///
    /// # Errors
    /// When the disk fails. What could not be written stays in memory, nothing new is accepted until
    /// [`Journal::recover`] has written it.
    pub fn commit(&self, mark: Mark) -> io::Result<()> {
        if self.written.load(Ordering::Acquire) >= mark.appended { Ok(()) } else { self.write(mark.appended) }
    }

    /// Writes everything appended so far.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn commit_all(&self) -> io::Result<()> {
        let mark = self.state().mark();
        self.commit(mark)
    }

    /// Waits for whoever is writing, and keeps others from it.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, upto: u64) -> io::Result<()> {
        let _in_order = self.writing();
        if self.written.load(Ordering::Acquire) >= upto {
            return Ok(());
        }
        let (mut chunks, appended) = {
            let mut state = self.state();
            (std::mem::take(&mut state.pending), state.appended)
        };
        while let Some(chunk) = chunks.front() {
            if let Err(error) = chunk.file.write_all_at(&chunk.bytes, chunk.at.offset) {
                self.put_back(chunks);
                return Err(error);
            }
            if let Some(Chunk { mut bytes, .. }) = chunks.pop_front()
                && bytes.capacity() <= MAX_KEPT
            {
                bytes.clear();
                self.state().buffer = bytes;
            }
        }
        self.written.store(appended, Ordering::Release);
        Ok(())
    }

    fn put_back(&self, mut chunks: VecDeque<Chunk>) {
        let mut state = self.state();
        self.close_door();
        chunks.append(&mut state.pending);
        state.pending = chunks;
    }

    /// Resolves once everything up to `mark` is written. Others who are ready to append get their turn
    /// before, so that one `write` serves all of them.
    pub fn committed(self: &Arc<Self>, mark: Mark) -> Commit {
        Commit { journal: Arc::clone(self), mark, yielded: false }
    }
}

/// A record on its way to the disk ([`Journal::committed`]).
#[derive(Debug)]
#[must_use = "it is written when this is awaited or dropped"]
pub struct Commit {
    journal: Arc<Journal>,
    mark: Mark,
    yielded: bool,
}

impl Future for Commit {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.journal.written.load(Ordering::Acquire) >= self.mark.appended {
            return Poll::Ready(Ok(()));
        }
        if !self.yielded {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.journal.commit(self.mark))
    }
}

impl Drop for Commit {
    /// Whoever waited has left: what was appended is written all the same.
    fn drop(&mut self) {
        // What fails stays in memory, and the door is closed.
        let _ = self.journal.commit(self.mark);
    }
}
