//! Every place where bytes from outside enter this crate, each as a function that takes any bytes.
//!
//! Used by `tests/robustness.rs`, which feeds them in every test run, and by `fuzz/`, which has one
//! target for each. An entry checks for itself what holds for all input: it returns, what it makes
//! is bounded by what it got, what it writes is JSON, and a stream ends once.

mod streams;
mod whole;

/// A way in.
pub struct Entry {
    /// Its name: that of the fuzz target, too. Codecs' begin with their dialect's.
    pub name: &'static str,
    /// Feeds it. Panics if something that must hold does not.
    pub run: fn(&[u8]),
}

const fn entry(name: &'static str, run: fn(&[u8])) -> Entry {
    Entry { name, run }
}

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry("openai_chat_request", whole::openai_chat_request),
    entry("openai_responses_request", whole::openai_responses_request),
    entry("anthropic_request", whole::anthropic_request),
    entry("gemini_request", whole::gemini_request),
    entry("bedrock_request", whole::bedrock_request),
    entry("cohere_request", whole::cohere_request),
    entry("openai_chat_answer", whole::openai_chat_answer),
    entry("openai_responses_answer", whole::openai_responses_answer),
    entry("anthropic_answer", whole::anthropic_answer),
    entry("anthropic_count", whole::anthropic_count),
    entry("gemini_answer", whole::gemini_answer),
    entry("bedrock_answer", whole::bedrock_answer),
    entry("cohere_answer", whole::cohere_answer),
    entry("openai_chat_stream", streams::openai_chat),
    entry("openai_responses_stream", streams::openai_responses),
    entry("anthropic_stream", streams::anthropic),
    entry("gemini_stream", streams::gemini),
    entry("gemini_array_stream", streams::gemini_array),
    entry("cohere_stream", streams::cohere),
    entry("bedrock_stream", streams::bedrock),
    entry("bedrock_binary_stream", streams::bedrock_binary),
    entry("tap", streams::tap),
    entry("sse", streams::sse),
    entry("ndjson", streams::ndjson),
    entry("eventstream", streams::eventstream),
    entry("gemini_array", streams::array),
    entry("json", whole::json),
    entry("peek", whole::peek),
    entry("answer", whole::answer),
    entry("error", whole::error),
    entry("gemini_usage", whole::gemini_usage),
    entry("gemini_schema", whole::gemini_schema),
    entry("multipart", whole::multipart),
    entry("embed_request", whole::embed_request),
    entry("embed_answer", whole::embed_answer),
    entry("bedrock_embed", whole::bedrock_embed),
    entry("rerank_request", whole::rerank_request),
    entry("rerank_answer", whole::rerank_answer),
    entry("http1", streams::http1),
];

/// Feeds one entry by its name.
///
/// # Panics
///
/// If there is none of this name, or what must hold does not.
pub fn run(name: &str, data: &[u8]) {
    let entry = ENTRIES.iter().find(|entry| entry.name == name).expect("a name of the list");
    (entry.run)(data);
}

/// What was made must not exceed what came in by more than this factor, and some fixed parts.
fn bounded(what: &str, input: &[u8], made: usize, factor: usize) {
    let most = (64 << 10) + input.len() * factor;
    assert!(made <= most, "{what}: {made} bytes out of {}", input.len());
}

/// What was written must be JSON.
fn is_json(what: &str, text: &str) {
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    // serde_json reads numbers, and none beyond a double's range; those pass through as they were.
    let fault = read.err().filter(|error| !error.to_string().starts_with("number out of range"));
    assert!(fault.is_none(), "{what}: {} in {text}", fault.expect("it is there"));
}
