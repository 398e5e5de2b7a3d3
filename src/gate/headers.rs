//! `x-ratelimit-*`: what is left of the caller's limits, in OpenAI's form.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::limit::{Level, Remaining};

/// Writes the headers of the limits that exist. Reset times are durations such as `120ms`, `1.5s`
/// or `6m0s` (OpenAI API reference, rate limits in headers).
pub fn write(remaining: &Remaining, headers: &mut HeaderMap) {
    const fn names(names: [&'static str; 3]) -> [HeaderName; 3] {
        let [limit, remaining, reset] = names;
        [HeaderName::from_static(limit), HeaderName::from_static(remaining), HeaderName::from_static(reset)]
    }
    const REQUESTS: [HeaderName; 3] =
        names(["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]);
    const TOKENS: [HeaderName; 3] =
        names(["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]);
    for (level, names) in [(remaining.requests, REQUESTS), (remaining.tokens, TOKENS)] {
        if let Some(level) = level {
            write_level(&level, names, headers);
        }
    }
}

fn write_level(level: &Level, [limit, remaining, reset]: [HeaderName; 3], headers: &mut HeaderMap) {
    headers.insert(limit, HeaderValue::from(level.limit));
    headers.insert(remaining, HeaderValue::from(level.remaining));
    let reset_value = HeaderValue::from_str(&go_duration(level.reset)).unwrap_or(HeaderValue::from_static("0s"));
    headers.insert(reset, reset_value);
}

/// A duration as Go prints it, rounded up to the millisecond.
fn go_duration(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    let (minutes, seconds, millis) = (ms / 60_000, ms / 1000 % 60, ms % 1000);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}").trim_end_matches('0').to_owned() };
    match (minutes, ms) {
        (_, 0) => "0s".to_owned(),
        (0, 1..1000) => format!("{ms}ms"),
        (0, _) => format!("{seconds}{fraction}s"),
        _ => format!("{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_like_openais() {
        for (ms, expected) in
            [(0, "0s"), (120, "120ms"), (1000, "1s"), (1500, "1.5s"), (360_000, "6m0s"), (61_020, "1m1.02s")]
        {
            assert_eq!(go_duration(Duration::from_millis(ms)), expected);
        }
        assert_eq!(go_duration(Duration::from_nanos(1)), "1ms");
    }
}
