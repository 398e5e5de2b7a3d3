//! A stream of the demo.

use bytes::Bytes;
use http::StatusCode;

use super::headers;
use crate::upstream::body::BodyError;
use crate::upstream::{Answer, AnswerBody};

/// Sends chunks.
pub(super) fn answer(chunks: Vec<String>) -> Answer {
    let items: Vec<Result<Bytes, BodyError>> = chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))).collect();
    let body = AnswerBody::Local(Box::pin(futures_util::stream::iter(items)));
    Answer { status: StatusCode::OK, headers: headers("text/event-stream"), body }
}
