//! A stream of the demo, with what is to go wrong on its way.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;

use super::fault::Faults;
use super::headers;
use crate::upstream::body::BodyError;
use crate::upstream::{Answer, AnswerBody};

/// Sends chunks with the faults that were asked for.
pub(super) fn answer(chunks: Vec<String>, faults: &Faults) -> Answer {
    let delay = faults.chunk_delay.unwrap_or(Duration::ZERO);
    let mut items: Vec<Result<Bytes, BodyError>> = chunks.into_iter().map(|c| Ok(Bytes::from(c))).collect();
    if let Some(after) = faults.malformed_after {
        items.truncate(after);
        items.push(Ok(Bytes::from_static(b"data: {\"broken\":\n\n")));
    }
    if let Some(after) = faults.cut_after {
        items.truncate(after);
        items.push(Err("the demo provider cuts the stream as x-weir-fault asked".into()));
    }
    let paced = futures_util::stream::iter(items).then(move |item| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        item
    });
    Answer { status: StatusCode::OK, headers: headers("text/event-stream"), body: AnswerBody::Local(Box::pin(paced)) }
}
