//! What an upstream tells of its own limits, in the headers of its answers.
//!
//! OpenAI tells of requests and tokens: `x-ratelimit-limit-requests`, `x-ratelimit-remaining-requests` and
//! `x-ratelimit-reset-requests`, the last as a duration such as `1s` or `6m0s` until all is there again
//! (OpenAI API reference, rate limits in headers). Anthropic tells of `anthropic-ratelimit-requests-limit`,
//! `-remaining` and `-reset`, the last as an RFC 3339 time, and the same of `tokens`, `input-tokens` and
//! `output-tokens` (Anthropic API reference, rate limits, response headers).

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use super::bucket::Bucket;
use super::{Limiter, Unit};
use crate::clock::{MonoNs, UnixMs};

/// What is told of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of what.
    pub unit: Unit,
    /// The limit.
    pub limit: u64,
    /// What is left of it.
    pub left: u64,
    /// Until all of it is there again.
    pub full_in: Duration,
}

/// Names of a limit, what is left of it, and its reset.
type Names = (Unit, [&'static str; 3]);

const OPENAI: [Names; 2] = [
    (Unit::Requests, ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]),
    (Unit::Tokens, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
];

const ANTHROPIC: [Names; 4] = [
    (
        Unit::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    // The tightest of the token limits in force.
    (
        Unit::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Unit::Tokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Unit::Tokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

/// Reads what an answer tells: at most one limit of each unit, the first that is told whole.
#[must_use]
pub fn read(headers: &HeaderMap, now: UnixMs) -> Vec<Told> {
    let mut found: Vec<Told> = Vec::new();
    for (unit, names) in OPENAI.into_iter().chain(ANTHROPIC) {
        if found.iter().all(|told| told.unit != unit) {
            found.extend(told(headers, unit, names, now));
        }
    }
    found
}

fn told(headers: &HeaderMap, unit: Unit, [limit, left, reset]: [&str; 3], now: UnixMs) -> Option<Told> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit > 0 && *limit <= crate::limits::MOST)?;
    let full_in = text(reset).and_then(|text| until(text, now))?;
    Some(Told { unit, limit, left: number(left)?, full_in })
}

/// A duration in Go's form, a time, or a number of seconds; never longer than a day.
fn until(text: &str, now: UnixMs) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(86_400);
    if let Ok(at) = text.parse::<Timestamp>() {
        let ms = u64::try_from(at.as_millisecond().saturating_sub(now)).unwrap_or(0);
        return Some(Duration::from_millis(ms).min(DAY));
    }
    let seconds = text.parse::<f64>().ok().or_else(|| go_duration(text))?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(DAY).min(DAY))
}

/// `6m0s`, `1.5s`, `120ms`, in seconds.
fn go_duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}

impl Limiter {
    /// Takes over what an upstream told. What is in flight and was not counted there yet is taken off; the
    /// answer that tells was counted, and held so many tokens.
    pub fn learn(&self, told: &[Told], own: u64, now: MonoNs) {
        let mut state = self.state();
        for told in told {
            let unseen = match told.unit {
                Unit::Requests => state.in_flight.saturating_sub(1),
                Unit::Tokens => state.reserved.saturating_sub(own),
            };
            let left = told.left.saturating_sub(unseen);
            let bucket = Bucket::told(told.unit, told.limit, left, told.full_in, now);
            state.learned.retain(|known| known.unit != told.unit);
            state.learned.push(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::limit::{Ask, Kind, Limits, Scope, Settled, Whose};

    const SECOND: MonoNs = 1_000_000_000;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn openais_headers_are_read() {
        let told = read(
            &headers(&[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ]),
            0,
        );
        let full_in = |seconds| Duration::from_secs(seconds);
        assert_eq!(told[0], Told { unit: Unit::Requests, limit: 60, left: 59, full_in: full_in(1) });
        assert_eq!(told[1], Told { unit: Unit::Tokens, limit: 150_000, left: 149_984, full_in: full_in(360) });
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn anthropics_headers_are_read() {
        let told = read(
            &headers(&[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "1970-01-01T00:00:30Z"),
                ("anthropic-ratelimit-input-tokens-limit", "1000"),
                ("anthropic-ratelimit-input-tokens-remaining", "10"),
                ("anthropic-ratelimit-input-tokens-reset", "1970-01-01T00:00:01Z"),
            ]),
            20_000,
        );
        assert_eq!(told[0], Told { unit: Unit::Requests, limit: 50, left: 0, full_in: Duration::from_secs(10) });
        assert_eq!((told[1].unit, told[1].full_in), (Unit::Tokens, Duration::ZERO), "what is past is now");
    }

    #[test]
    fn what_is_no_limit_teaches_nothing() {
        for (limit, left, reset) in [
            ("", "1", "1s"),
            ("0", "0", "1s"),
            ("-1", "1", "1s"),
            ("99999999999999999999", "1", "1s"),
            ("10", "x", "1s"),
            ("10", "1", ""),
            ("10", "1", "soon"),
            ("10", "1", "1y"),
            ("10", "1", "-1"),
            ("10", "1", "NaN"),
            ("10", "1", "1.2.3s"),
        ] {
            let list = [
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", left),
                ("x-ratelimit-reset-requests", reset),
            ];
            assert_eq!(read(&headers(&list), 0), [], "{limit} {left} {reset}");
        }
        assert_eq!(until("1e300", 0), Some(Duration::from_secs(86_400)));
        assert_eq!(until("500ms", 0), Some(Duration::from_millis(500)));
        assert_eq!(until("2.5", 0), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn what_was_learned_limits_until_it_is_there_again() {
        let limiter = Limiter::new(Whose::new(Scope::UpstreamKey, "up#1"), Limits::default(), 0);
        limiter.take(Ask::request(100), 0).unwrap();
        let told = Told { unit: Unit::Requests, limit: 60, left: 1, full_in: Duration::from_secs(59) };
        limiter.learn(&[told], 100, 0);
        limiter.admit_request(0).unwrap();
        let refused = limiter.admit_request(0).unwrap_err();
        assert_eq!((refused.kind, refused.limit), (Kind::Learned(Unit::Requests), 60));
        // A sixtieth of what fills 59 in 59 seconds.
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        limiter.admit_request(SECOND).unwrap();
        // Another two are in flight: of the five left, the upstream has counted one of three.
        limiter.learn(&[Told { left: 5, ..told }], 0, SECOND);
        for _ in 0..3 {
            limiter.admit_request(SECOND).unwrap();
        }
        assert!(limiter.admit_request(SECOND).is_err());
    }

    #[test]
    fn any_header_teaches_without_a_panic() {
        let limiter = Limiter::new(Whose::new(Scope::UpstreamKey, "up#1"), Limits::default(), 0);
        for (limit, left, full_in) in [(1, 0, 0), (1, 5, 1), (u64::MAX >> 20, 0, 86_400), (10, 10, 0)] {
            let told = Told { unit: Unit::Tokens, limit, left, full_in: Duration::from_secs(full_in) };
            limiter.learn(&[told], 0, u64::MAX);
            let _ = limiter.take(Ask::request(u64::MAX), u64::MAX);
            limiter.settle(Settled { used: u64::MAX, ..Settled::default() }, u64::MAX);
            assert!(limiter.show(u64::MAX).rates.len() == 1);
        }
    }
}
