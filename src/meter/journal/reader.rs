//! Reading a journal back, in order.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::frame::{self, Found, Kind, Record};
use super::{Folder, Journal, Position};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// Where the records come from.
#[derive(Debug)]
enum Source {
    /// This process's journal, which grows.
    Own(Arc<Journal>),
    /// That of a process that is no more.
    Orphan(Folder),
}

/// Reads records in the order in which they were written.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    at: Position,
    file: Option<File>,
    buffer: Vec<u8>,
    used: usize,
    /// Of an orphan: begins without a settle so far.
    open: HashMap<u64, Vec<u8>>,
    /// Records that could not be read.
    damaged: u64,
}

impl Reader {
    /// At the begin of this process's journal.
    #[must_use]
    pub fn own(journal: Arc<Journal>) -> Self {
        Self::new(Source::Own(journal), 1)
    }

    /// Goes to a place: behind a record.
    pub fn seek(&mut self, at: Position) {
        if at != self.at {
            self.at = at;
            self.file = None;
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// At the begin of the journal of a process that is no more.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn orphan(folder: Folder) -> io::Result<Self> {
        let first = folder.segments()?.first().copied().unwrap_or(1);
        Ok(Self::new(Source::Orphan(folder), first))
    }

    fn new(source: Source, first: u64) -> Self {
        let at = Position { segment: first, offset: 0 };
        Self { source, at, file: None, buffer: Vec::new(), used: 0, open: HashMap::new(), damaged: 0 }
    }

    fn folder(&self) -> &Folder {
        match &self.source {
            Source::Own(journal) => journal.folder(),
            Source::Orphan(folder) => folder,
        }
    }

    /// The process whose journal it is.
    #[must_use]
    pub fn id(&self) -> &str {
        self.folder().id()
    }

    /// Everything before it was read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// Records that could not be read: their bytes are not what was written.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next settles, at most `most`; none when there are none yet (or any more).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settles(&mut self, most: usize) -> io::Result<Vec<Record>> {
        let limit = match &self.source {
            Source::Own(journal) => {
                journal.commit_all()?;
                Some(journal.end())
            }
            Source::Orphan(_) => None,
        };
        let mut out = Vec::new();
        while out.len() < most {
            let Some(record) = self.next(limit)? else { break };
            match (record.kind, &self.source) {
                (Kind::Settle, _) => {
                    self.open.remove(&record.ticket);
                    out.push(record);
                }
                (Kind::Begin, Source::Orphan(_)) => {
                    self.open.insert(record.ticket, record.json);
                }
                (Kind::Begin, Source::Own(_)) => {}
            }
        }
        Ok(out)
    }

    /// Of an orphan read to its end: the requests that were under way.
    pub fn take_open(&mut self) -> Vec<Record> {
        let open = self.open.drain();
        let mut open: Vec<Record> = open.map(|(ticket, json)| Record { kind: Kind::Begin, ticket, json }).collect();
        open.sort_unstable_by_key(|record| record.ticket);
        open
    }

    /// Removes an orphan's folder: all of it is in the database.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        self.folder().remove()
    }

    fn next(&mut self, limit: Option<Position>) -> io::Result<Option<Record>> {
        loop {
            if limit.is_some_and(|limit| self.at >= limit) {
                return Ok(None);
            }
            match frame::read(&self.buffer[self.used..]) {
                Found::Record(record, length) => {
                    self.used += length;
                    self.at.offset += length as u64;
                    return Ok(Some(record));
                }
                Found::Partial if self.fill(limit)? => {}
                found => {
                    // A tail that was being written when the process died, or bytes that rotted: what
                    // comes after them in this segment cannot be told apart any more.
                    if found == Found::Broken || self.used < self.buffer.len() && self.rest_is_not_zero() {
                        self.damaged += 1;
                        tracing::error!(journal = self.id(), at = ?self.at, "a record of the journal is damaged; the rest of its segment cannot be read");
                    }
                    if !self.next_segment()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn rest_is_not_zero(&self) -> bool {
        self.buffer[self.used..].iter().any(|byte| *byte != 0)
    }

    /// Reads on; `false` at the end of the segment as it is now. Not beyond `limit`: what is there may
    /// be half written.
    fn fill(&mut self, limit: Option<Position>) -> io::Result<bool> {
        if self.file.is_none() {
            self.file = self.folder().open_segment(self.at.segment)?;
        }
        let Some(file) = &self.file else { return Ok(false) };
        self.buffer.drain(..self.used);
        self.used = 0;
        let had = self.buffer.len();
        let here = limit.filter(|limit| limit.segment == self.at.segment);
        let most = here.map_or(u64::MAX, |limit| limit.offset.saturating_sub(self.at.offset + had as u64));
        self.buffer.resize(had + CHUNK.min(usize::try_from(most).unwrap_or(CHUNK)), 0);
        let read = file.read_at(&mut self.buffer[had..], self.at.offset + had as u64)?;
        self.buffer.truncate(had + read);
        Ok(read > 0)
    }

    fn next_segment(&mut self) -> io::Result<bool> {
        let next = match &self.source {
            Source::Own(journal) => Some(self.at.segment + 1).filter(|next| *next <= journal.end().segment),
            Source::Orphan(folder) => folder.segments()?.into_iter().find(|number| *number > self.at.segment),
        };
        let Some(next) = next else { return Ok(false) };
        self.at = Position { segment: next, offset: 0 };
        self.file = None;
        self.buffer.clear();
        self.used = 0;
        Ok(true)
    }
}
