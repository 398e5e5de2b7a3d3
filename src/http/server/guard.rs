//! The bytes of a connection under watch: what hyper must not see is refused before it sees it, and a
//! client that neither sends nor reads is not waited for.
//!
//! hyper's parser forgives what must not be forgiven ([`weir_wire::http1`] says what), and what it forgives
//! it hides: of `Content-Length` beside `Transfer-Encoding`, of a second `Content-Length`, of bare line feeds
//! nothing is left in the request that a handler gets, and no setting changes that. So the bytes are inspected
//! on their way in. In place of a request that is refused hyper is given [`MARKER`], a request that no client
//! can send: so the refusal is told in words, after the answers that go before it, and closes the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use weir_wire::http1::{Inspector, Refusal, Step};

use super::conn::Conn;

/// The method of the request that stands for a refused one. Methods with small letters are refused.
pub const MARKER: &str = "weir-refused";
const MARKED: &[u8] = b"weir-refused / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

const SLOW_HEAD: Refusal = Refusal {
    status: 408,
    code: "request_timeout",
    message: "the request's headers did not come in time (server.header_timeout)",
};

/// What is read at once of a head that came in parts.
const READ: usize = 4 * 1024;
/// What a client that was refused may go on sending, and for how long, so that it reads the refusal.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// A connection under watch.
#[derive(Debug)]
pub struct Guarded<S> {
    io: S,
    conn: Arc<Conn>,
    /// Follows HTTP/1; HTTP/2 has frames, and `h2` does not forgive.
    inspector: Option<Inspector>,
    /// Read and not yet handed on.
    held: BytesMut,
    /// As much of `held` may be handed on.
    ready: usize,
    end: Option<End>,
    reading: Timer,
    writing: Timer,
    /// Bytes read since the refusal was sent.
    lingered: usize,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client, or the gateway for lack of requests, ended it.
    Closed,
    /// A request was refused.
    Refused,
    /// A body breaks its form.
    Broken(&'static str),
}

/// A wait that has a limit. It is armed at the first look and disarmed by progress.
#[derive(Debug, Default)]
struct Timer {
    /// Kept for the next wait: a connection waits often.
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Idle,
    Head,
    Write,
    Linger,
}

impl Timer {
    /// Whether the wait of this kind is over; else the task is woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>, kind: Waiting, limit: Duration) -> Poll<()> {
        if self.armed != Some(kind) {
            self.armed = Some(kind);
            match &mut self.sleep {
                Some(sleep) => sleep.set(tokio::time::sleep(limit)),
                None => self.sleep = Some(Box::pin(tokio::time::sleep(limit))),
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<S> Guarded<S> {
    /// Watches a connection of HTTP/1, of which these bytes were read already.
    #[must_use]
    pub fn http1(io: S, first: BytesMut, conn: Arc<Conn>) -> Self {
        let mut new = Self::new(io, BytesMut::new(), conn);
        new.inspector = Some(Inspector::default());
        new.held = first;
        new.judge_held();
        new
    }

    /// Watches a connection of HTTP/2.
    #[must_use]
    pub fn http2(io: S, first: BytesMut, conn: Arc<Conn>) -> Self {
        Self::new(io, first, conn)
    }

    fn new(io: S, first: BytesMut, conn: Arc<Conn>) -> Self {
        Self {
            io,
            conn,
            inspector: None,
            ready: first.len(),
            held: first,
            end: None,
            reading: Timer::default(),
            writing: Timer::default(),
            lingered: 0,
        }
    }

    /// How many of new bytes may be handed on at once.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let Some(inspector) = &mut self.inspector else { return bytes.len() };
        let mut passed = 0;
        while passed < bytes.len() {
            match inspector.step(&bytes[passed..]) {
                Step::Pass(taken) => {
                    passed += taken;
                    // The next head has its own time.
                    self.reading.armed = None;
                }
                Step::Wait => break,
                Step::Refuse(refusal) => {
                    self.refuse(refusal);
                    break;
                }
                Step::Broken(why) => {
                    self.end = Some(End::Broken(why));
                    break;
                }
            }
        }
        passed
    }

    /// Looks at what is held beyond what is ready.
    fn judge_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        let passed = self.judge(&held[self.ready..]);
        self.ready += passed;
        self.settle(&mut held);
        self.held = held;
    }

    /// After the end nothing is kept but what goes before it.
    fn settle(&mut self, held: &mut BytesMut) {
        match self.end {
            None => {}
            Some(End::Refused) => {
                held.truncate(self.ready);
                held.extend_from_slice(MARKED);
                self.ready = held.len();
            }
            Some(End::Closed | End::Broken(_)) => held.truncate(self.ready),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        // The first one is the only one: nothing is read after it.
        let _ = self.conn.refusal.set(refusal);
        self.end = Some(End::Refused);
    }

    /// Hands on what is ready.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let taken = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..taken]);
        self.held.advance(taken);
        self.ready -= taken;
        if self.held.is_empty() {
            // The memory of a long head is not kept through a long answer.
            self.held = BytesMut::new();
        }
    }

    /// Nothing can be read: is it time to give up? `true` when there is something to hand on, or the end.
    fn waited(&mut self, cx: &mut Context<'_>) -> bool {
        // While an answer is under way the next request may take its time.
        let between = self.inspector.as_ref().is_none_or(Inspector::expects_head);
        if !between || self.conn.poll_active(cx) {
            self.reading.armed = None;
            return false;
        }
        let waits = self.conn.waits;
        if self.held.is_empty() {
            if self.reading.poll(cx, Waiting::Idle, waits.idle).is_pending() {
                return false;
            }
            self.conn.expired.notify_one();
            // HTTP/2 is told to end, HTTP/1 ends.
            if self.inspector.is_some() {
                self.end = Some(End::Closed);
            }
            return self.inspector.is_some();
        }
        if self.reading.poll(cx, Waiting::Head, waits.header).is_pending() {
            return false;
        }
        self.refuse(SLOW_HEAD);
        let mut held = std::mem::take(&mut self.held);
        self.settle(&mut held);
        self.held = held;
        true
    }

    /// A write that does not end in time is an error.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing.armed = None;
            return outcome;
        }
        ready!(self.writing.poll(cx, Waiting::Write, self.conn.waits.write));
        let why = "the client reads nothing of what is sent to it (server.write_timeout)";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads straight into the caller's buffer, where nothing is held; what must wait is taken back out of it.
    fn read_through(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        if new.is_empty() {
            self.end = Some(End::Closed);
            return Poll::Ready(Ok(()));
        }
        let passed = self.judge(new);
        if passed < new.len() {
            let mut held = BytesMut::from(&new[passed..]);
            buf.set_filled(before + passed);
            self.settle(&mut held);
            self.held = held;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on where a head came in parts.
    fn read_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut chunk = [std::mem::MaybeUninit::uninit(); READ];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
        if chunk.filled().is_empty() {
            self.end = Some(End::Closed);
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(chunk.filled());
        self.judge_held();
        Poll::Ready(Ok(()))
    }

    /// Reads and drops what a refused client goes on sending: closing on unread bytes would reset the
    /// connection, and with it what the client has not read yet.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut chunk = [std::mem::MaybeUninit::uninit(); READ];
        while self.lingered < LINGER_BYTES {
            let mut chunk = ReadBuf::uninit(&mut chunk);
            match Pin::new(&mut self.io).poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(())) if !chunk.filled().is_empty() => self.lingered += chunk.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => return self.reading.poll(cx, Waiting::Linger, LINGER).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if self.ready > 0 {
                self.hand_on(buf);
            }
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.end {
                None => {}
                Some(End::Closed) => return Poll::Ready(Ok(())),
                // An end of input would end the answer as well.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Broken(why)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why))),
            }
            let this = &mut *self;
            let read = if this.held.is_empty() { this.read_through(cx, buf) } else { this.read_held(cx) };
            match read {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending if self.waited(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.in_time(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.in_time(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.in_time(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        ready!(self.in_time(cx, outcome))?;
        let mid_body = self.inspector.as_ref().is_some_and(|inspector| !inspector.expects_head());
        match self.end {
            Some(End::Refused | End::Broken(_)) => self.linger(cx),
            // Answered before all of it came: it is still being sent.
            None if mid_body => self.linger(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// The first bytes of a connection, then the rest of it.
#[derive(Debug)]
pub struct Prefixed<S> {
    first: Bytes,
    io: S,
}

impl<S> Prefixed<S> {
    /// These bytes before all others.
    pub fn new(first: Bytes, io: S) -> Self {
        Self { first, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let taken = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
