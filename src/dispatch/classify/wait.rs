//! How long an upstream asks to wait, in all the forms in which they say it.

use std::time::Duration;

use http::HeaderMap;

use crate::clock::UnixMs;

/// Longest wait that is believed and passed on.
pub(super) const MAX: Duration = Duration::from_secs(3600);

/// What says when a limit that is used up will be there again: OpenAI's and those of providers that
/// follow it (a duration such as `1s`, `6m0s`, `480ms`, or seconds), and Anthropic's (a time). Each with the
/// header that says how much is left.
const LIMITS: [(&str, &str); 7] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// What an error's headers ask for: `retry-after-ms`, `retry-after` (seconds, or a date), else the latest reset
/// of the limits that are used up. Clamped, for upstreams send nonsense too.
pub(in crate::dispatch) fn asked(headers: &HeaderMap, now: UnixMs) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let ms = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()).and_then(|ms| seconds(ms / 1e3));
    let after = || text("retry-after").and_then(|text| time(text, now));
    let used_up = || {
        let empty = |name: &str| text(name).and_then(|left| left.parse::<f64>().ok()).is_some_and(|left| left < 1.0);
        let resets = LIMITS.iter().filter(|(left, _)| empty(left)).filter_map(|(_, reset)| time(text(reset)?, now));
        resets.max()
    };
    ms.or_else(after).or_else(used_up).map(|wait| wait.min(MAX))
}

fn seconds(seconds: f64) -> Option<Duration> {
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(MAX.as_secs_f64())))
}

/// A duration, or the time until a moment.
fn time(text: &str, now: UnixMs) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        // A number of about today's date is one: in seconds, or in milliseconds.
        let (now, day) = (float(now) / 1e3, 86_400.0);
        return match number {
            n if (n - now).abs() < day => seconds((n - now).max(0.0)),
            n if (n / 1e3 - now).abs() < day => seconds((n / 1e3 - now).max(0.0)),
            n => seconds(n),
        };
    }
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text);
        parsed.ok()
    });
    if let Some(moment) = moment {
        return Some(Duration::from_millis(u64::try_from(moment.as_millisecond() - now).unwrap_or(0)));
    }
    units(text)
}

#[expect(clippy::cast_precision_loss, reason = "a time in milliseconds, exact up to 2^53")]
fn float(ms: UnixMs) -> f64 {
    ms as f64
}

/// `6m0s`, `1h2m`, `480ms`, `1.5s`, as Go writes durations.
fn units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let each = match &rest[..unit] {
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum += number * each;
        rest = &rest[unit..];
    }
    if text.is_empty() { None } else { seconds(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20T00:00:00Z
    const NOW: UnixMs = 1_795_132_800_000;

    fn asked_by(headers: &[(&'static str, &str)]) -> Option<u128> {
        let headers = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        asked(&headers.collect(), NOW).map(|wait| wait.as_millis())
    }

    #[test]
    fn every_form_is_read() {
        for (value, ms) in [
            ("3", Some(3000)),
            ("0.25", Some(250)),
            ("Fri, 20 Nov 2026 00:00:07 GMT", Some(7000)),
            ("Thu, 19 Nov 2026 23:59:00 GMT", Some(0)),
            ("2026-11-20T00:01:00Z", Some(60_000)),
            ("1795132805", Some(5000)),
            ("1795132805000", Some(5000)),
            ("6m0s", Some(360_000)),
            ("1h0m0.5s", Some(3_600_000)),
            ("480ms", Some(480)),
            ("1e9999", Some(0).filter(|_| false)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("12x", None),
            ("999999", Some(3_600_000)),
        ] {
            assert_eq!(asked_by(&[("retry-after", value)]), ms, "{value}");
        }
    }

    #[test]
    fn milliseconds_come_first_and_resets_of_what_is_left_do_not_count() {
        assert_eq!(asked_by(&[("retry-after", "3"), ("retry-after-ms", "1200")]), Some(1200));
        let openai = [
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-reset-requests", "9s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m2s"),
        ];
        assert_eq!(asked_by(&openai), Some(62_000));
        let anthropic = [
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-20T00:00:30Z"),
        ];
        assert_eq!(asked_by(&anthropic), Some(30_000));
        assert_eq!(asked_by(&[("x-ratelimit-reset-requests", "9s")]), None);
    }
}
