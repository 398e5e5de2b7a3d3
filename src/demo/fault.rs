//! Faults on request: `x-weir-fault: status=503`, `delay=300ms`, `chunk_delay=50ms`, `cut_after=3`,
//! `malformed_after=2`, `rate=0.2`, combined with commas.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::clock::Entropy;

/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// What is to go wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Answer with this status.
    pub status: Option<StatusCode>,
    /// Wait before answering.
    pub delay: Option<Duration>,
    /// Wait before each chunk of a stream.
    pub chunk_delay: Option<Duration>,
    /// Break the stream off after so many chunks.
    pub cut_after: Option<usize>,
    /// Send a broken chunk after so many.
    pub malformed_after: Option<usize>,
}

impl Faults {
    /// Reads the header; with `rate`, the faults happen with that probability.
    pub(super) fn read(header: Option<&HeaderValue>, chance: &Entropy) -> Result<Self, String> {
        let Some(header) = header else { return Ok(Self::default()) };
        let text = header.to_str().map_err(|_| "x-weir-fault must be ASCII".to_owned())?;
        let mut faults = Self::default();
        let mut rate = 1.0;
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| bad(part))?;
            match name {
                "status" => faults.status = Some(status(value).ok_or_else(|| bad(part))?),
                "delay" => faults.delay = Some(duration(value).ok_or_else(|| bad(part))?),
                "chunk_delay" => faults.chunk_delay = Some(duration(value).ok_or_else(|| bad(part))?),
                "cut_after" => faults.cut_after = Some(value.parse().map_err(|_| bad(part))?),
                "malformed_after" => faults.malformed_after = Some(value.parse().map_err(|_| bad(part))?),
                "rate" => rate = value.parse().ok().filter(|r| (0.0..=1.0).contains(r)).ok_or_else(|| bad(part))?,
                _ => return Err(bad(part)),
            }
        }
        Ok(if rate < 1.0 && chance.unit() >= rate { Self::default() } else { faults })
    }
}

fn bad(part: &str) -> String {
    format!(
        "x-weir-fault: '{part}' is not understood; use status=503, delay=300ms, chunk_delay=50ms, cut_after=3, malformed_after=2, rate=0.2"
    )
}

fn status(text: &str) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(text.as_bytes()).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

fn duration(text: &str) -> Option<Duration> {
    let duration = match text.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(ms.parse().ok()?),
        None => Duration::from_secs(text.strip_suffix('s')?.parse().ok()?),
    };
    (duration <= MAX_DELAY).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Faults, String> {
        Faults::read(Some(&HeaderValue::from_static(text)), &Entropy::fixed(1))
    }

    #[test]
    fn faults_combine() {
        let faults = read("status=503, delay=300ms,chunk_delay=1s,cut_after=3,malformed_after=2").unwrap();
        assert_eq!(faults.status, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(
            (faults.delay, faults.chunk_delay),
            (Some(Duration::from_millis(300)), Some(Duration::from_secs(1)))
        );
        assert_eq!((faults.cut_after, faults.malformed_after), (Some(3), Some(2)));
    }

    #[test]
    fn a_rate_is_a_probability() {
        assert_eq!(read("status=500,rate=0").unwrap(), Faults::default());
        let chance = Entropy::fixed(3);
        let header = HeaderValue::from_static("status=500,rate=0.2");
        let failed = (0..10_000).filter(|_| Faults::read(Some(&header), &chance).unwrap().status.is_some()).count();
        assert!((1800..2200).contains(&failed), "{failed}");
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["status=200", "status=x", "delay=5", "delay=1h", "oops=1", "oops", "rate=2", "cut_after=-1"] {
            assert!(read(text).unwrap_err().contains(text), "{text}");
        }
    }
}
