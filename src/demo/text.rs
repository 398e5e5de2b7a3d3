//! The demo's words: what it says, and how it counts.

use serde_json::Value;

use super::media;

/// Tokens of a text, as the demo counts them: its words.
pub(super) fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// All that a message's content says; what is no text is described.
pub(super) fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(media::describe).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

/// What the user said last; nothing where the user has not spoken.
pub(super) fn asked(messages: &[Value]) -> String {
    messages.iter().rev().find(|message| message["role"] == "user").map(content).unwrap_or_default()
}

/// The place of the assistant's last message.
pub(super) fn last_said(messages: &[Value]) -> Option<usize> {
    messages.iter().rposition(|message| message["role"] == "assistant")
}

/// What tools gave back since the assistant last spoke. A client may add words of the user's to it.
pub(super) fn results(messages: &[Value]) -> Vec<&Value> {
    let since = last_said(messages).map_or(0, |at| at + 1);
    messages.iter().skip(since).filter(|message| message["role"] == "tool").collect()
}

/// What the demo says to a conversation.
pub(super) fn reply(messages: &[Value]) -> String {
    match results(messages).as_slice() {
        [] => repeated(&asked(messages)),
        [only] => format!("The tool answered: {}", content(only)),
        all => format!("The tools answered: {}", all.iter().map(|one| content(one)).collect::<Vec<_>>().join("; ")),
    }
}

fn repeated(asked: &str) -> String {
    if asked.trim().is_empty() {
        return "Hello! This is the demo model of your gateway. Send me a message and I will repeat it.".to_owned();
    }
    format!("This is the demo model of your gateway. You said: {asked}")
}

/// A text up to the first of the stop sequences: a string or a list of them.
pub(super) fn until_stop<'t>(text: &'t str, stop: &Value) -> &'t str {
    let one = stop.as_str().into_iter();
    let all = one.chain(stop.as_array().into_iter().flatten().filter_map(Value::as_str));
    let end = all.filter(|word| !word.is_empty()).filter_map(|word| text.find(word)).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The beginning of a text that has at most so many bytes, and whether anything was left out.
pub(super) fn within(text: &str, bytes: Option<u64>) -> (&str, bool) {
    let most = bytes.map_or(text.len(), |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let end = text.floor_char_boundary(most);
    (text.get(..end).unwrap_or(text), end < text.len())
}

/// A text cut to so many words, and whether anything was cut.
pub(super) fn cut(text: &str, max_tokens: Option<u64>) -> (String, bool) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let most = max_tokens.map_or(words.len(), |max| usize::try_from(max).unwrap_or(usize::MAX).min(words.len()));
    (words[..most].join(" "), most < words.len())
}

/// The tokens of a text as they are streamed: its words, each but the first with the space before it.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().enumerate().map(|(i, word)| if i == 0 { word.to_owned() } else { format!(" {word}") })
}

/// A number that is the same for the same text.
pub(super) fn fingerprint(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_stop_sequence_ends_a_text() {
        for (stop, expected) in [
            (json!("c"), "a b "),
            (json!(["d", "b"]), "a "),
            (json!(["x", ""]), "a b c d"),
            (json!(null), "a b c d"),
            (json!("a"), ""),
            (json!(["ü"]), "a b c d"),
        ] {
            assert_eq!(until_stop("a b c d", &stop), expected, "{stop}");
        }
        assert_eq!(until_stop("süß", &json!("ß")), "sü");
    }

    #[test]
    fn a_text_is_held_within_its_bytes() {
        assert_eq!(within("süß", Some(4)), ("sü", true));
        assert_eq!(within("süß", Some(5)), ("süß", false));
        assert_eq!(within("süß", None), ("süß", false));
    }

    #[test]
    fn results_are_those_since_the_assistant_spoke() {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let mut messages =
            vec![message("user", "u"), message("assistant", ""), message("tool", "1"), message("tool", "2")];
        assert_eq!(reply(&messages), "The tools answered: 1; 2");
        messages.push(message("user", "and be brief"));
        assert_eq!(reply(&messages), "The tools answered: 1; 2");
        messages.push(message("assistant", "done"));
        messages.push(message("user", "again"));
        assert_eq!(reply(&messages), "This is the demo model of your gateway. You said: again");
        assert!(reply(&[]).starts_with("Hello!"));
    }
}
