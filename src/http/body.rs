//! Reading a request's body: bounded, timed, decoded.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;

use crate::error::ApiError;
use crate::gate::memory::Held;
use crate::state::Gateway;
use crate::upstream::BodyFault;
use crate::upstream::decode::{Encoding, decode_whole};

/// Bodies up to this are copied out of the connection's buffer.
const SMALL: usize = 2 * 1024;
/// What [`ApiError::overloaded`] is called.
const OVERLOADED: &str = "overloaded";
/// Most bodies are smaller than this when decoded, as a multiple of what came.
const USUAL_RATIO: u64 = 20;

/// How a body is read.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes, decoded.
    pub max: u64,
    /// Longest pause between two chunks.
    pub idle: Duration,
}

impl BodyLimits {
    /// As the configuration says.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Self {
        let config = gateway.config.load();
        Self { max: config.server.body_limit, idle: config.server.body_idle_timeout }
    }
}

/// The declared length, when there is one.
#[must_use]
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body and undoes its content encoding. A body that comes in one chunk is not copied. It counts
/// against `server.max_body_memory` until its last piece is dropped.
///
/// # Errors
/// 413 above the limit, 503 where there is no room for it, 408 when it stalls, 400 when it breaks off or cannot
/// be decoded.
pub async fn read(gateway: &Gateway, headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let mut held = gateway.body_memory.none();
    let read = read_into(&mut held, headers, body, limits).await;
    read.map(|data| held.around(data)).inspect_err(|error| {
        if error.code() == OVERLOADED {
            gateway.meter.metrics.shed.with_label_values(&["body_memory"]).inc();
        }
    })
}

async fn read_into(held: &mut Held, headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    if declared_length(headers).is_some_and(|length| length > limits.max) {
        discard(body, limits).await;
        return Err(too_large(limits.max));
    }
    let encoding = Encoding::parse(headers.get(header::CONTENT_ENCODING)).map_err(|other| {
        let message = format!("content-encoding '{other}' is not supported; use gzip, deflate, br, zstd or none");
        ApiError {
            status: http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..ApiError::invalid("unsupported_content_encoding", message)
        }
    })?;
    // Before the first byte of it is read.
    room(held, declared_length(headers).unwrap_or(0))?;
    let raw = collect(held, body, limits).await?;
    match encoding {
        Some(encoding) => decoded(held, raw, encoding, limits).await,
        None => Ok(raw),
    }
}

/// Decoded within what such bodies mostly come to, then within all that is allowed.
async fn decoded(held: &mut Held, raw: Bytes, encoding: Encoding, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let size = raw.len() as u64;
    let usual = size.saturating_mul(USUAL_RATIO).saturating_add(64 * 1024).min(limits.max);
    let all = (usual < limits.max).then_some(limits.max);
    for most in [usual].into_iter().chain(all) {
        room(held, size.saturating_add(most))?;
        match decode_whole(raw.clone(), encoding, usize::try_from(most).unwrap_or(usize::MAX)).await {
            Ok(data) => return Ok(data),
            Err(error) => {
                let text = error.to_string();
                if !text.contains("larger than") {
                    return Err(ApiError::invalid("invalid_body", text));
                }
            }
        }
    }
    Err(too_large(limits.max))
}

fn room(held: &mut Held, bytes: u64) -> Result<(), ApiError> {
    let why = "the gateway holds as many bytes of requests as it may (server.max_body_memory)";
    if held.grow_to(bytes) { Ok(()) } else { Err(ApiError::overloaded(why)) }
}

async fn collect(held: &mut Held, mut body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let Some(first) = chunk(&mut body, limits.idle).await? else { return Ok(Bytes::new()) };
    room(held, first.len() as u64)?;
    let Some(second) = chunk(&mut body, limits.idle).await? else { return within(compact(first), limits.max) };
    let mut all = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(data) = next {
        let size = (all.len() + data.len()) as u64;
        if size > limits.max {
            drop(all);
            discard(body, limits).await;
            return Err(too_large(limits.max));
        }
        room(held, size)?;
        all.extend_from_slice(&data);
        next = chunk(&mut body, limits.idle).await?;
    }
    Ok(all.freeze())
}

/// A small body in memory of its own: as a part of what the connection read it would keep all of that for
/// as long as the answer takes.
fn compact(data: Bytes) -> Bytes {
    if data.len() <= SMALL { Bytes::copy_from_slice(&data) } else { data }
}

fn too_large(max: u64) -> ApiError {
    ApiError::too_large(max, "server.body_limit")
}

fn within(data: Bytes, max: u64) -> Result<Bytes, ApiError> {
    if data.len() as u64 > max { Err(too_large(max)) } else { Ok(data) }
}

async fn chunk(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, ApiError> {
    loop {
        // Most bodies are there already: a timer is set only for one that is not.
        let frame = match body.frame().now_or_never() {
            Some(frame) => Ok(frame),
            None => tokio::time::timeout(idle, body.frame()).await,
        };
        match frame {
            Err(_) => return Err(stalled(idle)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// What broke a body off, as the door tells it.
fn broken(error: &axum::Error) -> ApiError {
    let fault = fault_of(error);
    let message = format!("the request body: {fault}");
    match fault {
        BodyFault::Slow(_) | BodyFault::Stalled(_) => timed_out(message),
        _ => ApiError::invalid("incomplete_body", message),
    }
}

/// What the door says of a body that broke off.
#[must_use]
pub fn fault_of(error: &axum::Error) -> BodyFault {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<BodyFault>());
    cause.cloned().unwrap_or(BodyFault::Incomplete)
}

fn stalled(idle: Duration) -> ApiError {
    timed_out(format!("the request body stalled for {idle:?} (server.body_idle_timeout)"))
}

fn timed_out(message: String) -> ApiError {
    ApiError { status: http::StatusCode::REQUEST_TIMEOUT, ..ApiError::invalid("request_timeout", message) }
}

/// Reads and drops what a client goes on sending, within bounds, so that it reads the refusal
/// instead of a reset connection.
pub async fn discard(mut body: Body, limits: BodyLimits) {
    let most = limits.max.saturating_mul(2);
    let mut seen = 0;
    let drain = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |d| d.len() as u64);
            if seen > most {
                return;
            }
        }
    };
    // Either everything came, or the client is too slow or too big to be told.
    let _ = tokio::time::timeout(Duration::from_secs(5), drain).await;
}
