//! Token classes: what one model call consumed, whatever the provider calls it.

/// What one call consumed. Totals include their subsets: `input` includes `cached`, `cache_write`
/// and the other modalities' input; `output` includes `reasoning` and the other modalities' output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All prompt tokens: uncached, cached, cache writes, audio, images.
    pub input: u64,
    /// Prompt tokens read from the provider's cache (subset of `input`).
    pub cached: u64,
    /// Prompt tokens written to the provider's cache (subset of `input`), all lifetimes together.
    pub cache_write: u64,
    /// Part of `cache_write` kept five minutes (Anthropic).
    pub cache_write_5m: u64,
    /// Part of `cache_write` kept one hour (Anthropic).
    pub cache_write_1h: u64,
    /// Part of `cache_write` kept thirty minutes (OpenAI).
    pub cache_write_30m: u64,
    /// Part of `cache_write` kept twelve hours (OpenAI).
    pub cache_write_12h: u64,
    /// All generated tokens, reasoning included.
    pub output: u64,
    /// Reasoning tokens (subset of `output`).
    pub reasoning: u64,
    /// Audio tokens in the prompt (subset of `input`).
    pub audio_input: u64,
    /// Audio tokens generated (subset of `output`).
    pub audio_output: u64,
    /// Image tokens in the prompt (subset of `input`).
    pub image_input: u64,
    /// Image tokens generated (subset of `output`).
    pub image_output: u64,
    /// Audio duration billed, in milliseconds (transcription by duration).
    pub audio_ms: u64,
    /// Characters billed (speech synthesis).
    pub characters: u64,
    /// Web searches the provider ran.
    pub web_searches: u64,
    /// Images generated.
    pub images: u64,
    /// Search units billed (rerank).
    pub search_units: u64,
}

impl Usage {
    /// Whether nothing at all was reported.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
