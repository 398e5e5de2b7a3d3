//! An answer whose body is late, breaks off or is broken, chunk by chunk.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use memchr::memmem;

use crate::faults::Faults;
use crate::upstream::body::{BodyError, ChunkStream};
use crate::upstream::{Answer, AnswerBody};

/// A chunk that is longer is passed on in pieces.
const MAX_CHUNK: usize = 8 * 1024 * 1024;

/// How chunks are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Server-sent events: an empty line ends one.
    Sse,
    /// AWS's event stream: each begins with its length.
    EventStream,
    /// A line is one.
    Lines,
    /// All of it is one.
    Whole,
}

impl Framing {
    fn of(answer: &Answer) -> Self {
        let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/event-stream" => Self::Sse,
            "application/vnd.amazon.eventstream" => Self::EventStream,
            "application/x-ndjson" => Self::Lines,
            _ => Self::Whole,
        }
    }

    /// Where the first chunk ends, if all of it is there.
    fn end(self, bytes: &[u8]) -> Option<usize> {
        let behind = |end: &[u8]| memmem::find(bytes, end).map(|at| at + end.len());
        match self {
            Self::Sse => behind(b"\n\n").into_iter().chain(behind(b"\r\n\r\n")).min(),
            Self::Lines => behind(b"\n"),
            Self::EventStream => {
                let length = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
                Some(length.max(4)).filter(|length| *length <= bytes.len())
            }
            Self::Whole => None,
        }
    }

    /// A chunk that nobody can read.
    fn broken(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Sse => b"data: {\"broken\":\n\n",
            Self::Lines => b"{\"broken\":\n",
            // A message of 16 bytes, the shortest there is, with sums that are wrong.
            Self::EventStream => b"\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0",
            Self::Whole => b"{\"broken\":",
        })
    }
}

/// The answer with these faults; its head is as it came.
pub(super) fn spoiled(mut answer: Answer, faults: &Faults) -> Answer {
    let body_is_fine = faults.chunk_delay.is_none() && faults.cut_after.is_none() && faults.malformed_after.is_none();
    if body_is_fine || !answer.status.is_success() {
        return answer;
    }
    let framing = Framing::of(&answer);
    // What it says of its length would no longer be true.
    answer.headers.remove(header::CONTENT_LENGTH);
    let spoiled = Spoiled {
        inner: answer.body.into_stream(),
        framing,
        buffer: BytesMut::new(),
        passed: 0,
        ended: false,
        delay: faults.chunk_delay.unwrap_or_default(),
        cut_after: faults.cut_after,
        malformed_after: faults.malformed_after,
    };
    let chunks = futures_util::stream::unfold(spoiled, |mut spoiled| async move {
        let next = spoiled.next().await?;
        Some((next, spoiled))
    });
    answer.body = AnswerBody::Local(Box::pin(chunks));
    answer
}

struct Spoiled {
    inner: ChunkStream,
    framing: Framing,
    buffer: BytesMut,
    /// Chunks that were passed on.
    passed: usize,
    ended: bool,
    delay: Duration,
    cut_after: Option<usize>,
    malformed_after: Option<usize>,
}

impl Spoiled {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if self.ended {
            return None;
        }
        if !self.delay.is_zero() && (self.framing != Framing::Whole || self.passed == 0) {
            tokio::time::sleep(self.delay).await;
        }
        if self.cut_after.is_some_and(|after| self.passed >= after) {
            self.ended = true;
            return Some(Err("the answer breaks off as x-weir-fault or chaos asked".into()));
        }
        if self.malformed_after.is_some_and(|after| self.passed >= after) {
            if self.cut_after.is_none() {
                self.ended = true;
            }
            self.malformed_after = None;
            self.passed = self.passed.saturating_add(1);
            // Nothing that comes is passed on any more.
            self.inner = Box::pin(futures_util::stream::empty());
            self.buffer.clear();
            return Some(Ok(self.framing.broken()));
        }
        self.chunk().await
    }

    /// The next chunk as it comes. Of a body that is one chunk all pieces pass, and count as none until
    /// the last.
    async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let end = self.framing.end(&self.buffer);
            let full = (self.buffer.len() > MAX_CHUNK).then_some(self.buffer.len());
            if let Some(end) = end.or(full) {
                self.passed = self.passed.saturating_add(1);
                return Some(Ok(self.buffer.split_to(end).freeze()));
            }
            match futures_util::StreamExt::next(&mut self.inner).await {
                Some(Ok(bytes)) if self.framing == Framing::Whole => {
                    self.keep_whole();
                    return Some(Ok(bytes));
                }
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    let rest = std::mem::take(&mut self.buffer).freeze();
                    return (!rest.is_empty()).then_some(Ok(rest));
                }
            }
        }
    }

    /// The one chunk has begun: what would come behind it does not happen.
    fn keep_whole(&mut self) {
        self.passed = 1;
        (self.cut_after, self.malformed_after) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    /// The chunks that come of an answer in these pieces; `None` where it breaks off.
    async fn chunks(kind: &'static str, pieces: &[&'static [u8]], faults: &str) -> Vec<Option<Bytes>> {
        let headers: HeaderMap = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
        let pieces: Vec<Result<Bytes, BodyError>> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let body = AnswerBody::Local(Box::pin(futures_util::stream::iter(pieces)));
        let answer = Answer { status: StatusCode::OK, headers, body };
        let spoiled = spoiled(answer, &faults.parse().unwrap());
        spoiled.body.into_stream().map(Result::ok).collect().await
    }

    fn texts(chunks: &[Option<Bytes>]) -> Vec<&str> {
        chunks.iter().map(|chunk| chunk.as_ref().map_or("cut", |bytes| std::str::from_utf8(bytes).unwrap())).collect()
    }

    #[tokio::test]
    async fn events_are_counted_however_they_are_cut_into_pieces() {
        let pieces: [&[u8]; 4] = [b"data: 1\n", b"\ndata: 2\r\n\r\nda", b"ta: 3\n\ndata: 4", b"\n\n"];
        let kind = "text/event-stream; charset=utf-8";
        let cut = chunks(kind, &pieces, "cut_after=2").await;
        assert_eq!(texts(&cut), ["data: 1\n\n", "data: 2\r\n\r\n", "cut"]);
        let broken = chunks(kind, &pieces, "malformed_after=1").await;
        assert_eq!(texts(&broken), ["data: 1\n\n", "data: {\"broken\":\n\n"]);
        let both = chunks(kind, &pieces, "malformed_after=1,cut_after=2").await;
        assert_eq!(texts(&both), ["data: 1\n\n", "data: {\"broken\":\n\n", "cut"]);
        let late = chunks(kind, &pieces, "cut_after=9").await;
        assert_eq!(texts(&late), ["data: 1\n\n", "data: 2\r\n\r\n", "data: 3\n\n", "data: 4\n\n"]);
    }

    #[tokio::test]
    async fn other_framings_have_chunks_too() {
        let lines = chunks("application/x-ndjson", &[b"{}\n{", b"}\n{}"], "malformed_after=1").await;
        assert_eq!(texts(&lines), ["{}\n", "{\"broken\":\n"]);
        let message = b"\0\0\0\x06ab\0\0\0\x05c\0";
        let framed = chunks("application/vnd.amazon.eventstream", &[message], "cut_after=1").await;
        assert_eq!(framed, [Some(Bytes::from_static(b"\0\0\0\x06ab")), None]);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_stream_is_one_chunk() {
        let pieces: [&[u8]; 2] = [b"{\"a\":", b"1}"];
        assert_eq!(texts(&chunks("application/json", &pieces, "cut_after=0").await), ["cut"]);
        assert_eq!(texts(&chunks("application/json", &pieces, "malformed_after=0").await), ["{\"broken\":"]);
        assert_eq!(
            texts(&chunks("application/json", &pieces, "cut_after=1,malformed_after=1").await),
            ["{\"a\":", "1}"]
        );
    }
}
