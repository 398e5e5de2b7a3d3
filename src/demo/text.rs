//! The demo's words: what it says, and how it counts.

use serde_json::Value;

/// Tokens of a text, as the demo counts them: its words.
pub(super) fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// All text of a message's content; images are described as such.
pub(super) fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

fn part(part: &Value) -> String {
    match part["type"].as_str() {
        Some("text") => part["text"].as_str().unwrap_or_default().to_owned(),
        Some("image_url") => "[an image]".to_owned(),
        Some("input_audio") => "[a sound]".to_owned(),
        Some("file") => "[a file]".to_owned(),
        _ => String::new(),
    }
}

/// The text of the last message of a role.
pub(super) fn last<'m>(messages: &'m [Value], role: &str) -> Option<&'m Value> {
    messages.iter().rev().find(|m| m["role"] == role)
}

/// What the demo says to a conversation.
pub(super) fn reply(messages: &[Value]) -> String {
    if let Some(result) = messages.last().filter(|m| m["role"] == "tool") {
        return format!("The tool answered: {}", content(result));
    }
    let asked = last(messages, "user").map(content).unwrap_or_default();
    if asked.trim().is_empty() {
        return "Hello! This is the demo model of your gateway. Send me a message and I will repeat it.".to_owned();
    }
    format!("This is the demo model of your gateway. You said: {asked}")
}

/// A text cut to so many words, and whether anything was cut.
pub(super) fn cut(text: &str, max_tokens: Option<u64>) -> (String, bool) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let most = max_tokens.map_or(words.len(), |max| usize::try_from(max).unwrap_or(usize::MAX).min(words.len()));
    (words[..most].join(" "), most < words.len())
}
