//! An upload on its way through: as much as is allowed, without long pauses, and, for a form, with
//! one model in it.

use axum::body::Body;
use futures_util::StreamExt as _;
use http::HeaderMap;
use weir_wire::multipart::ModelFinder;

use crate::error::ApiError;
use crate::http::body::{BodyLimits, declared_length, discard, fault_of};
use crate::state::Gateway;
use crate::upstream::body::{BodyError, BodyFault, ChunkStream};

/// The client's chunks, up to `server.upload_limit` and without long pauses.
///
/// # Errors
/// 413 when the declared length is above the limit already.
pub(super) async fn capped(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<ChunkStream, ApiError> {
    let (limit, idle) = {
        let config = gateway.config.load();
        (config.server.upload_limit, config.server.body_idle_timeout)
    };
    if declared_length(headers).is_some_and(|length| length > limit) {
        discard(body, BodyLimits { max: limit, idle }).await;
        return Err(ApiError::too_large(limit, "server.upload_limit"));
    }
    let chunks = Box::pin(body.into_data_stream());
    Ok(Box::pin(futures_util::stream::unfold((chunks, 0_u64, false), move |(mut chunks, seen, over)| async move {
        if over {
            return None;
        }
        let chunk = match tokio::time::timeout(idle, chunks.next()).await {
            Err(_) => Err(BodyFault::Stalled(idle)),
            Ok(None) => return None,
            Ok(Some(chunk)) => chunk.map_err(|error| fault_of(&error)),
        };
        let seen = seen + chunk.as_ref().map_or(0, |c| c.len() as u64);
        let chunk = if seen > limit { Err(BodyFault::TooLarge(limit)) } else { chunk };
        let over = chunk.is_err();
        Some((chunk.map_err(BodyError::from), (chunks, seen, over)))
    })))
}

/// The rest of a form whose model is known: a second model in it, or no end, breaks the body off
/// before the upstream has all of it.
pub(super) fn checked(rest: ChunkStream, finder: ModelFinder) -> ChunkStream {
    Box::pin(futures_util::stream::unfold(Some((rest, finder)), |state| async move {
        let (mut rest, mut finder) = state?;
        match rest.next().await {
            Some(Ok(chunk)) => match finder.push(&chunk) {
                Ok(_) => Some((Ok(chunk), Some((rest, finder)))),
                Err(error) => Some((Err(malformed(&error).into()), None)),
            },
            Some(Err(error)) => Some((Err(error), None)),
            None => finder.finish().err().map(|error| (Err(malformed(&error).into()), None)),
        }
    }))
}

fn malformed(error: &weir_wire::multipart::MultipartError) -> BodyFault {
    BodyFault::Malformed(error.to_string())
}
