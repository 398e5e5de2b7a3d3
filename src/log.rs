//! The log's way out. Whoever logs hands a line over and goes on; a thread of its own writes. Where nobody takes what it
//! writes (a pipe that is full, a terminal that was stopped), lines are left out and counted: no request ever waits for
//! its log, and what waits to be written is bounded.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait.
const MAX_LINES: usize = 16_384;
/// Most that they hold together, in bytes.
const MAX_BYTES: usize = 8 << 20;
/// How long the last lines may take at the end of the process.
const LAST_LINES: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);

/// Lines that were left out, of all logs of this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that were left out since the process began.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Work {
    Line(Vec<u8>),
    /// All before it is written.
    Told(SyncSender<()>),
}

/// Where lines are handed over.
#[derive(Clone, Debug)]
pub struct Log {
    to: SyncSender<Work>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
}

impl Log {
    /// A log that is written to `out`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (to, from) = sync_channel(MAX_LINES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let held = Arc::clone(&waiting);
        std::thread::Builder::new().name("weir-log".to_owned()).spawn(move || write(&from, out, &held))?;
        Ok(Self { to, waiting })
    }

    /// Waits until all lines so far are written, for a moment at most.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut left = LAST_LINES;
        while self.to.try_send(Work::Told(done.clone())).is_err() {
            // It is full: either it is being written, or it never will be.
            let Some(less) = left.checked_sub(POLL) else { return };
            left = less;
            std::thread::sleep(POLL);
        }
        // In vain if nobody takes what is written.
        let _ = written.recv_timeout(left);
    }

    fn line(&self, text: &[u8]) {
        let length = text.len();
        let fits = self.waiting.fetch_add(length, Ordering::Relaxed).saturating_add(length) <= MAX_BYTES;
        if !fits || self.to.try_send(Work::Line(text.to_vec())).is_err() {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread: it ends when nobody can log any more.
fn write(from: &Receiver<Work>, mut out: impl Write, waiting: &AtomicUsize) {
    let mut told = 0;
    while let Ok(work) = from.recv() {
        match work {
            // There is nowhere to say that a log cannot be written.
            Work::Line(text) => {
                let _ = out.write_all(&text);
                waiting.fetch_sub(text.len(), Ordering::Relaxed);
            }
            Work::Told(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped();
        if lost != told && waiting.load(Ordering::Relaxed) == 0 {
            tracing::warn!(
                lines = lost - told,
                "nobody read the log for a while: {} lines of it are lost",
                lost - told
            );
            told = lost;
        }
    }
}

/// The text of one event: the subscriber writes it in one piece.
impl Write for &Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.line(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Log;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    /// Writes what it may, and waits to be let before each line.
    struct Gated {
        gate: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            self.text.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_the_last_ones_too() {
        let (open, gate) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let log = Log::to(Gated { gate, text: Arc::clone(&text) }).unwrap();
        for line in ["one\n", "two\n", "three\n"] {
            (&log).write_all(line.as_bytes()).unwrap();
        }
        drop(open);
        log.flush();
        assert_eq!(*text.lock().unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(log.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_nobody_takes_is_left_out_counted_and_holds_nobody_up() {
        let (open, gate) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let log = Log::to(Gated { gate, text: Arc::clone(&text) }).unwrap();
        let before = dropped();
        let line = vec![b'x'; 1 << 20];
        (0..20).for_each(|_| log.line(&line));
        assert_eq!(dropped() - before, 12, "8 MiB wait");
        log.flush();
        assert!(text.lock().unwrap().is_empty(), "it is not waited for without end");
        drop(open);
        log.flush();
        assert_eq!(text.lock().unwrap().len(), 8 << 20);
        (0..2 * MAX_LINES).for_each(|_| log.line(b""));
        log.flush();
        assert_eq!(log.waiting.load(Ordering::Relaxed), 0);
    }
}
