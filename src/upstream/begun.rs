//! A call's body that tells whether anybody has begun to take it: before that no upstream has heard of the call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::CallBody;
use super::body::BodyError;

/// A body, and whether it was asked for. One without a byte is never asked for, and counts as if it were.
#[derive(Debug)]
pub(super) struct Begun {
    body: CallBody,
    begun: Arc<AtomicBool>,
}

impl Begun {
    /// The body, and what will say that it was asked for.
    pub(super) fn watch(body: CallBody) -> (Self, Arc<AtomicBool>) {
        let begun = Arc::new(AtomicBool::new(body.is_end_stream()));
        (Self { body, begun: Arc::clone(&begun) }, begun)
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.begun.store(true, Ordering::Relaxed);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
