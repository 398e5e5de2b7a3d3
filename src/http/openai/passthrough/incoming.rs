//! A request body on its way through: what Weir must know of it, and the bytes.

use std::collections::VecDeque;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, header};
use http_body::Body as _;
use weir_wire::multipart::{ModelFinder, MultipartError, Progress, boundary_of};
use weir_wire::request::{Change, Peek, Shape};

use super::{Ask, upload};
use crate::dispatch::classify;
use crate::error::ApiError;
use crate::flight::Flight;
use crate::http::body::{self, BodyLimits, declared_length};
use crate::http::generate::{estimate, unreadable};
use crate::state::Gateway;
use crate::upstream::CallBody;
use crate::upstream::body::{BodyError, BodyFault, ChunkStream};

/// What was read of a body.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The model it names.
    pub model: Option<String>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Its `user`.
    pub user: Option<String>,
    /// Characters to be spoken, for speech.
    pub characters: Option<u64>,
    /// The prompt's bytes.
    pub prompt: Bytes,
    /// The whole body, when it is JSON: object references are looked for in it.
    pub json: Bytes,
    /// Whether there is a body that was not looked into: it may name another model than the query.
    pub unseen: bool,
    /// Whether a content encoding was undone.
    pub decoded: bool,
    content: Content,
}

#[derive(Default)]
enum Content {
    #[default]
    None,
    Json(Bytes, Box<Peek>),
    Multipart(Multipart),
    Stream(ChunkStream, Option<u64>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Json(..) => "Json",
            Self::Multipart(_) => "Multipart",
            Self::Stream(..) => "Stream",
        })
    }
}

/// A multipart body: what was read of it to find the model, and the rest.
struct Multipart {
    head: VecDeque<Bytes>,
    rest: ChunkStream,
    length: Option<u64>,
    /// Where the model's value stands, counted from the body's start.
    model_at: Option<(usize, usize)>,
}

/// Reads as much of a body as Weir must know.
pub(super) async fn read(
    gateway: &Gateway,
    flight: &Flight,
    ask: &Ask,
    headers: &HeaderMap,
    body: Body,
) -> Result<Incoming, ApiError> {
    if headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(two_types());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let query_model = query_model(ask.query.as_deref())?;
    let mut incoming = match essence.as_str() {
        "application/json" => json(gateway, flight, ask, headers, body).await?,
        "multipart/form-data" => multipart(gateway, headers, content_type, body).await?,
        other => stream(gateway, headers, other, body).await?,
    };
    match (&incoming.model, query_model) {
        (Some(body), Some(query)) if *body != query => return Err(conflicting_model("the query and the body name")),
        (None, query) => incoming.model = query,
        _ => {}
    }
    Ok(incoming)
}

/// The provider might read the body by the other one.
fn two_types() -> ApiError {
    ApiError::invalid("invalid_header", "the content-type header appears twice; send it once").param("content-type")
}

fn conflicting_model(who: &str) -> ApiError {
    ApiError::invalid("conflicting_model", format!("{who} different models; name one")).param("model")
}

/// The model that a query names, once or several times.
fn query_model(query: Option<&str>) -> Result<Option<String>, ApiError> {
    let mut pairs = query.unwrap_or("").split('&').filter(|pair| is_model(pair));
    let value = |pair: &str| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        let value = percent_encoding::percent_decode_str(value).decode_utf8();
        value.map(std::borrow::Cow::into_owned).map_err(|_| bad_query())
    };
    let Some(first) = pairs.next().map(value).transpose()? else { return Ok(None) };
    for other in pairs {
        if value(other)? != first {
            return Err(conflicting_model("the query names"));
        }
    }
    Ok(Some(first).filter(|model| !model.is_empty()))
}

fn bad_query() -> ApiError {
    ApiError::invalid("invalid_value", "the query's 'model' is not UTF-8").param("model")
}

/// Whether a pair of a query is the model, however its key is spelled.
pub(super) fn is_model(pair: &str) -> bool {
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    percent_encoding::percent_decode_str(key).eq(*b"model")
}

fn shape(endpoint: &str) -> Shape {
    match endpoint {
        "responses" => Shape::Responses,
        "audio/speech" => Shape::Speech,
        "images/generations" => Shape::Images,
        "moderations" => Shape::Moderations,
        _ => Shape::Other,
    }
}

async fn json(
    gateway: &Gateway,
    flight: &Flight,
    ask: &Ask,
    headers: &HeaderMap,
    body: Body,
) -> Result<Incoming, ApiError> {
    let bytes = body::read(gateway, headers, body, BodyLimits::of(gateway)).await?;
    let decoded = headers.contains_key(header::CONTENT_ENCODING);
    // Sub-resources of an endpoint (cancel, compact, ...) have bodies of their own shapes.
    let shape = if ask.path.trim_matches('/') == ask.endpoint() { shape(ask.endpoint()) } else { Shape::Other };
    if bytes.is_empty() && (shape == Shape::Other || ask.method != Method::POST) {
        return Ok(Incoming { decoded, ..Incoming::default() });
    }
    let peek = Peek::read(&bytes, shape).map_err(|error| unreadable(flight, error))?;
    let prompt = peek.prompt.map_or_else(Bytes::new, |p| bytes.slice(p.span.start..p.span.end));
    let characters = (shape == Shape::Speech).then(|| characters(&prompt));
    Ok(Incoming {
        model: peek.model.clone(),
        stream: peek.stream,
        user: peek.user.clone(),
        characters,
        prompt,
        unseen: false,
        json: bytes.clone(),
        decoded,
        content: Content::Json(bytes, Box::new(peek)),
    })
}

/// Characters of a JSON string.
fn characters(quoted: &[u8]) -> u64 {
    serde_json::from_slice::<String>(quoted).map_or(0, |text| text.chars().count() as u64)
}

async fn stream(gateway: &Gateway, headers: &HeaderMap, essence: &str, body: Body) -> Result<Incoming, ApiError> {
    let length = declared_length(headers);
    if body.is_end_stream() {
        return Ok(Incoming::default());
    }
    let chunks = upload::capped(gateway, headers, body).await?;
    // A session description (realtime) has no place for a model.
    let unseen = essence != "application/sdp";
    Ok(Incoming { unseen, content: Content::Stream(chunks, length), ..Incoming::default() })
}

async fn multipart(
    gateway: &Gateway,
    headers: &HeaderMap,
    content_type: &str,
    body: Body,
) -> Result<Incoming, ApiError> {
    let boundary = boundary_of(content_type).map_err(|e| bad_multipart(&e.to_string()))?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(compressed_form());
    }
    let mut rest = upload::capped(gateway, headers, body).await?;
    let mut finder = ModelFinder::new(&boundary);
    let (mut head, mut held, mut found) = (VecDeque::new(), 0_u64, None);
    while found.is_none() && !finder.ended() {
        let Some(chunk) = rest.next().await else { break };
        let chunk = chunk.map_err(|error| broken(&error))?;
        held += chunk.len() as u64;
        if held > gateway.config.load().server.body_limit {
            return Err(bad_multipart("the field 'model' must stand before large files"));
        }
        head.push_back(chunk.clone());
        if let Progress::Found(field) = finder.push(&chunk).map_err(|e| bad_multipart(&e.to_string()))? {
            found = Some(field);
        }
    }
    if found.is_none() && !finder.ended() {
        return Err(bad_multipart(&MultipartError::Truncated.to_string()));
    }
    let rest = upload::checked(rest, finder);
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let model_at = found.as_ref().map(|field| (at(field.start), at(field.end)));
    let content = Content::Multipart(Multipart { head, rest, length: declared_length(headers), model_at });
    Ok(Incoming { model: found.map(|field| field.value), content, ..Incoming::default() })
}

fn broken(error: &BodyError) -> ApiError {
    classify::client_body(error.downcast_ref::<BodyFault>().unwrap_or(&BodyFault::Incomplete))
}

/// The model in it could not be seen, and so neither checked nor replaced.
fn compressed_form() -> ApiError {
    let error =
        ApiError::invalid("unsupported_content_encoding", "a multipart body must come without content-encoding");
    ApiError { status: http::StatusCode::UNSUPPORTED_MEDIA_TYPE, ..error }
}

fn bad_multipart(why: &str) -> ApiError {
    ApiError::invalid("invalid_multipart", format!("the multipart body cannot be read: {why}"))
}

impl Incoming {
    /// Tokens the request may use; 0 where the body does not say.
    pub(super) fn estimate(&self) -> u64 {
        match &self.content {
            Content::Json(bytes, peek) => estimate(peek, bytes),
            _ => 0,
        }
    }

    /// The body for an upstream that calls the model `model`; everything else as it came.
    pub(super) fn into_body(self, model: &str) -> Result<CallBody, ApiError> {
        let renamed = self.model.as_deref().filter(|_| !model.is_empty()).is_some_and(|asked| asked != model);
        Ok(match self.content {
            Content::None => CallBody::empty(),
            Content::Stream(chunks, length) => CallBody::Stream { chunks, length },
            Content::Json(bytes, peek) => {
                let change =
                    Change { model: peek.model.as_ref().filter(|_| renamed).map(|_| model), ..Change::default() };
                CallBody::Pieces(peek.rewrite(&bytes, &change).parts().iter().cloned().collect())
            }
            Content::Multipart(parts) => parts.into_body(renamed.then_some(model)),
        })
    }
}

impl Multipart {
    fn into_body(mut self, model: Option<&str>) -> CallBody {
        if let (Some((start, end)), Some(model)) = (self.model_at, model) {
            self.head = spliced(self.head, start, end, model);
            self.length = self.length.map(|length| length - (end - start) as u64 + model.len() as u64);
        }
        let head = futures_util::stream::iter(self.head.into_iter().map(Ok));
        CallBody::Stream { chunks: Box::pin(head.chain(self.rest)), length: self.length }
    }
}

/// The chunks with the bytes `start..end` replaced; everything else is shared, not copied.
fn spliced(chunks: VecDeque<Bytes>, start: usize, end: usize, with: &str) -> VecDeque<Bytes> {
    let mut out = VecDeque::with_capacity(chunks.len() + 2);
    let mut at = 0;
    let mut put = false;
    for chunk in chunks {
        let (from, to) = (at, at + chunk.len());
        at = to;
        if from < start {
            out.push_back(chunk.slice(..start.min(to) - from));
        }
        if to >= start && !put {
            put = true;
            out.push_back(Bytes::copy_from_slice(with.as_bytes()));
        }
        if to > end {
            out.push_back(chunk.slice(end.max(from) - from..));
        }
    }
    out.retain(|chunk| !chunk.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_replaced_however_the_body_is_cut() {
        let text = b"--b\r\nname=model\r\n\r\nopenai/whisper-1\r\n--b--";
        let start = 19;
        let end = start + "openai/whisper-1".len();
        for cut in 1..text.len() {
            let chunks = text.chunks(cut).map(Bytes::copy_from_slice).collect();
            let joined: Vec<u8> = spliced(chunks, start, end, "whisper-1").into_iter().flatten().collect();
            assert_eq!(joined, b"--b\r\nname=model\r\n\r\nwhisper-1\r\n--b--", "cut {cut}");
        }
    }

    #[test]
    fn query_values_are_decoded() {
        let model = |query| query_model(query).map_err(|e| e.code().to_owned());
        assert_eq!(model(Some("a=1&model=gpt%2F4")), Ok(Some("gpt/4".into())));
        assert_eq!(model(Some("model=a&%6dodel=%61")), Ok(Some("a".into())));
        assert_eq!(model(Some("model=a&%6dodel=b")), Err("conflicting_model".into()));
        assert_eq!(model(Some("model=%ff")), Err("invalid_value".into()));
        assert_eq!(model(Some("model=&a=1")), Ok(None));
        assert_eq!(model(None), Ok(None));
    }
}
