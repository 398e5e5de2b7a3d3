//! What is to go wrong on purpose: faults that a caller asks for (`x-weir-fault`), or that the
//! configuration lets happen (`chaos`). Both are written alike: `status=503`, `delay=300ms`,
//! `chunk_delay=50ms`, `cut_after=3`, `malformed_after=2`, `rate=0.2`, `provider=openai`, combined with commas.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::clock::Entropy;

/// Longest delay.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// Longest name of a provider.
const MAX_NAME: usize = 64;

/// What is to go wrong with a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// It is answered with this status, 400 to 599, and the provider never hears of it.
    pub status: Option<StatusCode>,
    /// It is sent so much later.
    pub delay: Option<Duration>,
    /// Each chunk of the answer comes so much later. A chunk is an event of a stream; an answer that is
    /// no stream is one.
    pub chunk_delay: Option<Duration>,
    /// The answer breaks off after so many chunks.
    pub cut_after: Option<usize>,
    /// The chunk behind so many is broken, and nothing follows it.
    pub malformed_after: Option<usize>,
    /// How probable all of that is, 0 to 1.
    pub rate: f64,
    /// The one provider that it is for.
    pub provider: Option<String>,
}

impl Default for Faults {
    /// Nothing.
    fn default() -> Self {
        Self {
            status: None,
            delay: None,
            chunk_delay: None,
            cut_after: None,
            malformed_after: None,
            rate: 1.0,
            provider: None,
        }
    }
}

impl Faults {
    /// Whether nothing goes wrong.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.kinds().next().is_none()
    }

    /// Whether they are for calls to this provider.
    #[must_use]
    pub fn are_for(&self, provider: &str) -> bool {
        self.provider.as_deref().is_none_or(|only| only == provider)
    }

    /// Whether they happen this time.
    #[must_use]
    pub fn happen(&self, chance: &Entropy) -> bool {
        !self.is_nothing() && (self.rate >= 1.0 || chance.unit() < self.rate)
    }

    /// These, and of `others` what these leave out.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        Self {
            status: self.status.or(others.status),
            delay: self.delay.or(others.delay),
            chunk_delay: self.chunk_delay.or(others.chunk_delay),
            cut_after: self.cut_after.or(others.cut_after),
            malformed_after: self.malformed_after.or(others.malformed_after),
            ..self
        }
    }

    /// What goes wrong, by the names of its kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        [
            ("status", self.status.is_some()),
            ("delay", self.delay.is_some()),
            ("chunk_delay", self.chunk_delay.is_some()),
            ("cut_after", self.cut_after.is_some()),
            ("malformed_after", self.malformed_after.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, is_there)| is_there.then_some(kind))
    }

    fn part(&mut self, part: &str) -> Option<()> {
        let (name, value) = part.split_once('=')?;
        match name {
            "status" => self.status = Some(status(value)?),
            "delay" => self.delay = Some(duration(value)?),
            "chunk_delay" => self.chunk_delay = Some(duration(value)?),
            "cut_after" => self.cut_after = Some(value.parse().ok()?),
            "malformed_after" => self.malformed_after = Some(value.parse().ok()?),
            "rate" => self.rate = value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))?,
            "provider" => {
                self.provider = Some(value.to_owned()).filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
                self.provider.as_ref()?;
            }
            _ => return None,
        }
        Some(())
    }
}

impl FromStr for Faults {
    type Err = String;

    /// Reads faults as they are written.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            faults.part(part).ok_or_else(|| {
                let end = part.floor_char_boundary(MAX_NAME);
                format!(
                    "'{}' is no fault; use status=503, delay=300ms, chunk_delay=50ms, cut_after=3, malformed_after=2, with rate=0.2 and provider=NAME",
                    &part[..end]
                )
            })?;
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |name: &str, time: Option<Duration>| time.map(|time| format!("{name}={}ms", time.as_millis()));
        let parts = [
            self.status.map(|status| format!("status={}", status.as_u16())),
            ms("delay", self.delay),
            ms("chunk_delay", self.chunk_delay),
            self.cut_after.map(|after| format!("cut_after={after}")),
            self.malformed_after.map(|after| format!("malformed_after={after}")),
            (self.rate < 1.0).then(|| format!("rate={}", self.rate)),
            self.provider.as_ref().map(|provider| format!("provider={provider}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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

    fn read(text: &str) -> Result<Faults, String> {
        text.parse()
    }

    #[test]
    fn faults_combine() {
        let faults = read("status=503, delay=300ms,chunk_delay=1s,cut_after=3,malformed_after=2,provider=up").unwrap();
        assert_eq!(faults.status, Some(StatusCode::SERVICE_UNAVAILABLE));
        let delays = (faults.delay, faults.chunk_delay);
        assert_eq!(delays, (Some(Duration::from_millis(300)), Some(Duration::from_secs(1))));
        assert_eq!((faults.cut_after, faults.malformed_after), (Some(3), Some(2)));
        assert!(faults.are_for("up") && !faults.are_for("down") && Faults::default().are_for("down"));
        let all = "status=503,delay=300ms,chunk_delay=1000ms,cut_after=3,malformed_after=2,rate=0.5,provider=up";
        assert_eq!(read(all).unwrap().to_string(), all);
        assert_eq!(read("status=500").unwrap().or(&faults).status, Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(read("status=500").unwrap().or(&faults).cut_after, Some(3));
    }

    #[test]
    fn a_rate_is_a_probability() {
        let (never, sometimes) = (read("status=500,rate=0").unwrap(), read("status=500,rate=0.2").unwrap());
        let chance = Entropy::fixed(3);
        let happened = (0..10_000).filter(|_| sometimes.happen(&chance)).count();
        assert!((1800..2200).contains(&happened), "{happened}");
        assert!((0..1000).all(|_| !never.happen(&chance)));
        assert!(!read("rate=1").unwrap().happen(&chance) && !read("").unwrap().happen(&chance));
    }

    #[test]
    fn nonsense_is_named() {
        let long = "é".repeat(100);
        for text in [
            "status=200",
            "status=x",
            "delay=5",
            "delay=1h",
            "oops=1",
            "oops",
            "rate=2",
            "rate=NaN",
            "cut_after=-1",
            "provider=",
        ] {
            assert!(read(text).unwrap_err().contains(text), "{text}");
        }
        assert!(read(&long).unwrap_err().len() < 300);
    }
}
