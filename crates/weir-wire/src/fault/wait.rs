//! How long an error asks to wait.

/// The longest wait that is believed: a week. More is nonsense or a date.
const MAX_WAIT_MS: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// The wait that a message names in words: `try again in 1.2s` (OpenAI, Groq), `retry in 39.07s`
/// (Gemini), `retry after 26 seconds` (Azure). `None` unless exactly one is named.
pub(super) fn in_words(message: &str) -> Option<u64> {
    let message = message.to_ascii_lowercase();
    let mut found = ["try again in ", "retry in ", "retry after ", "try again after "]
        .into_iter()
        .flat_map(|lead| message.match_indices(lead).map(move |(at, lead)| at + lead.len()))
        .filter_map(|at| duration(message.get(at..)?));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The milliseconds that a text such as `39s`, `1.2s`, `6m0s`, `20ms`, `26 seconds` begins with.
pub(super) fn duration(text: &str) -> Option<u64> {
    let (mut rest, mut total, mut any) = (text, 0.0, false);
    while let Some((ms, after)) = term(rest) {
        (total, rest, any) = (total + ms, after, true);
    }
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
    (any && ends).then(|| whole(total)).flatten()
}

/// Milliseconds out of seconds, as a number or its text.
pub(super) fn seconds(text: &str) -> Option<u64> {
    whole(text.trim().parse::<f64>().ok()? * 1000.0)
}

/// A number and its unit, and what stands behind them.
fn term(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|len| (1..=20).contains(len))?;
    let (number, rest) = text.split_at_checked(digits)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(letters)?;
    let ms = match unit {
        "ms" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "second" | "seconds" => 1e3,
        "m" | "min" | "minute" | "minutes" => 60e3,
        "h" | "hour" | "hours" => 3600e3,
        "d" | "day" | "days" => 86_400e3,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * ms, rest))
}

/// Whole milliseconds, rounded up, so that nobody comes back too early.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and a week")]
fn whole(ms: f64) -> Option<u64> {
    (0.0..=MAX_WAIT_MS).contains(&ms).then(|| ms.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_every_spelling() {
        for (text, ms) in [
            ("39s", Some(39_000)),
            ("39.074374832s", Some(39_075)),
            ("0.5s", Some(500)),
            ("20ms", Some(20)),
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("26 seconds.", Some(26_000)),
            ("1 second", Some(1_000)),
            ("1.2s. Visit", Some(1_200)),
            ("0s", Some(0)),
            ("39", None),
            ("s", None),
            ("-3s", None),
            ("1..2s", None),
            ("5sx", None),
            ("999999999999s", None),
            ("99999999999999999999999999999999999s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), ms, "{text}");
        }
    }

    #[test]
    fn a_message_that_names_two_waits_names_none() {
        assert_eq!(in_words("Please try again in 1.2s. Visit x"), Some(1_200));
        assert_eq!(in_words("Please retry after 26 seconds."), Some(26_000));
        assert_eq!(in_words("Try again in 20ms, or try again in 20ms"), Some(20));
        assert_eq!(in_words("try again in 1s or retry after 2s"), None);
        assert_eq!(in_words("try again in a moment"), None);
        assert_eq!(in_words("try again in 5 moments"), None);
    }

    #[test]
    fn plain_seconds() {
        assert_eq!((seconds("20.0"), seconds(" 3 ")), (Some(20_000), Some(3_000)));
        assert_eq!((seconds("-1"), seconds("NaN"), seconds("1e99"), seconds("soon")), (None, None, None, None));
    }
}
