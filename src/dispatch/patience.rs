//! How long each try of a request may take: the provider's times (`providers.NAME.timeouts`), or the caller's own where
//! these are shorter.

use std::time::Duration;

use http::HeaderMap;

use crate::error::ApiError;
use crate::snapshot::ProviderDef;

/// To the connection.
const CONNECT: &str = "x-weir-timeout-connect-ms";
/// To the answer's head, the connection included, and to the first event of a stream.
const FIRST_BYTE: &str = "x-weir-timeout-first-byte-ms";
/// Between two pieces of an answer.
const BETWEEN_CHUNKS: &str = "x-weir-timeout-between-chunks-ms";

/// The caller's own times, of each try.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// To the connection, where a new one is needed.
    pub connect: Option<Duration>,
    first_byte: Option<Duration>,
    between_chunks: Option<Duration>,
}

impl Patience {
    /// As the request's headers say.
    ///
    /// # Errors
    /// 400 for what is no positive number of milliseconds.
    pub fn asked(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            connect: millis(headers, CONNECT)?,
            first_byte: millis(headers, FIRST_BYTE)?,
            between_chunks: millis(headers, BETWEEN_CHUNKS)?,
        })
    }

    /// To the answer's head, and to the first event of a stream.
    #[must_use]
    pub fn first_byte(&self, provider: &ProviderDef) -> Duration {
        shorter(provider.timeouts.first_byte, self.first_byte)
    }

    /// Between two pieces of an answer.
    #[must_use]
    pub fn between_chunks(&self, provider: &ProviderDef) -> Duration {
        shorter(provider.timeouts.between_chunks, self.between_chunks)
    }
}

fn shorter(theirs: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(theirs, |asked| asked.min(theirs))
}

/// The milliseconds that a header names, if it is there.
///
/// # Errors
/// 400 for what is no positive number.
pub fn millis(headers: &HeaderMap, name: &'static str) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let asked = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
    let wrong =
        || ApiError::invalid("invalid_header", format!("{name} must be a positive number of milliseconds")).param(name);
    asked.map(|ms| Some(Duration::from_millis(ms))).ok_or_else(wrong)
}
