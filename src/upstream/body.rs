//! The bodies of a call and of its answer.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

use super::lanes::Place;

/// What breaks a body off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with a client's body that is passed on while it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It ended early.
    Incomplete,
    /// Nothing came for so long.
    Stalled(Duration),
    /// It came with fewer bytes a second than this.
    Slow(u64),
    /// It has more than so many bytes.
    TooLarge(u64),
    /// Its chunks break their form; how.
    BadFraming(String),
    /// It breaks its format; how.
    Malformed(String),
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("it ended before it was complete"),
            Self::Stalled(after) => write!(f, "it stalled for {after:?}"),
            Self::Slow(rate) => write!(f, "it came with less than {rate} bytes a second (server.body_min_rate)"),
            Self::BadFraming(how) => write!(f, "it is not in chunks as it should be: {how}"),
            Self::TooLarge(limit) => write!(f, "it is larger than {limit} bytes"),
            Self::Malformed(how) => f.write_str(how),
        }
    }
}

impl std::error::Error for BodyFault {}

/// A stream of chunks.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// What is sent: pieces held in memory, or the client's own body as it comes.
pub enum CallBody {
    /// Pieces, sent in order. They share memory with the client's request.
    Pieces(VecDeque<Bytes>),
    /// A body passed on while it comes in, with its length when it is known.
    Stream {
        /// The chunks.
        chunks: ChunkStream,
        /// Total length, when the client declared it.
        length: Option<u64>,
    },
}

impl CallBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Pieces(VecDeque::new())
    }
}

impl From<Bytes> for CallBody {
    fn from(bytes: Bytes) -> Self {
        Self::Pieces(VecDeque::from([bytes]))
    }
}

impl fmt::Debug for CallBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pieces(pieces) => write!(f, "CallBody({} bytes)", pieces.iter().map(Bytes::len).sum::<usize>()),
            Self::Stream { length, .. } => write!(f, "CallBody(stream of {length:?} bytes)"),
        }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Self::Stream { chunks, .. } => {
                let chunk = ready!(chunks.as_mut().poll_next(cx));
                Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Pieces(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|p| p.len() as u64).sum()),
            Self::Stream { length: Some(length), .. } => SizeHint::with_exact(*length),
            Self::Stream { length: None, .. } => SizeHint::default(),
        }
    }
}

/// What comes back.
pub enum AnswerBody {
    /// From the network.
    Network {
        /// What comes.
        incoming: hyper::body::Incoming,
        /// Where its stream has a place of its connection, that place.
        place: Option<Place>,
    },
    /// Made or transformed in this process.
    Local(ChunkStream),
}

impl AnswerBody {
    /// A body that is whole already.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self::Local(Box::pin(futures_util::stream::iter([Ok(bytes)])))
    }

    /// The next chunk of data; trailers are skipped.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Local(chunks) => chunks.as_mut().poll_next(cx),
            Self::Network { incoming, .. } => loop {
                match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Some(Err(e)) => return Poll::Ready(Some(Err(e.into()))),
                    None => return Poll::Ready(None),
                }
            },
        }
    }

    /// The next chunk of data.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The declared length, when there is one.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        match self {
            Self::Network { incoming, .. } => incoming.size_hint().exact(),
            Self::Local(_) => None,
        }
    }

    /// As a stream of chunks.
    #[must_use]
    pub fn into_stream(self) -> ChunkStream {
        match self {
            Self::Local(chunks) => chunks,
            Self::Network { .. } => {
                let mut body = self;
                Box::pin(futures_util::stream::poll_fn(move |cx| body.poll_chunk(cx)))
            }
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network { .. } => "AnswerBody(network)",
            Self::Local(_) => "AnswerBody(local)",
        })
    }
}

/// Why a body could not be collected.
#[derive(Debug)]
pub enum CollectError {
    /// Longer than the cap.
    TooLarge,
    /// Nothing came for so long.
    Stalled(Duration),
    /// It broke off.
    Broken(BodyError),
}

/// Collects a body of at most `cap` bytes, however long it takes. One chunk is passed on as it is, without a copy.
///
/// # Errors
/// When it is longer than `cap`, or breaks off.
pub async fn collect(body: &mut AnswerBody, cap: usize) -> Result<Bytes, CollectError> {
    collect_within(body, cap, Duration::MAX, Duration::MAX).await
}

/// The same, where its first chunk may take so long, and each pause after it.
///
/// # Errors
/// When it is longer than `cap`, stalls, or breaks off.
pub async fn collect_within(
    body: &mut AnswerBody,
    cap: usize,
    first: Duration,
    pause: Duration,
) -> Result<Bytes, CollectError> {
    let Some(first) = chunk_within(body, first).await? else { return Ok(Bytes::new()) };
    if first.len() > cap {
        return Err(CollectError::TooLarge);
    }
    let Some(second) = chunk_within(body, pause).await? else { return Ok(first) };
    let mut all = bytes::BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if all.len() + chunk.len() > cap {
            return Err(CollectError::TooLarge);
        }
        all.extend_from_slice(&chunk);
        next = chunk_within(body, pause).await?;
    }
    Ok(all.freeze())
}

async fn chunk_within(body: &mut AnswerBody, most: Duration) -> Result<Option<Bytes>, CollectError> {
    let chunk = tokio::time::timeout(most, body.chunk()).await.map_err(|_| CollectError::Stalled(most))?;
    chunk.transpose().map_err(CollectError::Broken)
}
