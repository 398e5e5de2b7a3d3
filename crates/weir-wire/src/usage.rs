//! Token classes: what one model call consumed, whatever the provider calls it.

/// What one call consumed. Totals include their subsets: `input` includes `cached`, `cache_write`
/// and the other modalities' input; `output` includes `reasoning` and the other modalities' output.
/// Its JSON leaves out what is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All prompt tokens: uncached, cached, cache writes, audio, images.
    #[serde(skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Prompt tokens read from the provider's cache (subset of `input`).
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Prompt tokens written to the provider's cache (subset of `input`), all lifetimes together.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Part of `cache_write` kept five minutes (Anthropic).
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_5m: u64,
    /// Part of `cache_write` kept one hour (Anthropic).
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Part of `cache_write` kept thirty minutes (OpenAI).
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_30m: u64,
    /// Part of `cache_write` kept twelve hours (OpenAI).
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_12h: u64,
    /// All generated tokens, reasoning included.
    #[serde(skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Reasoning tokens (subset of `output`).
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Audio tokens in the prompt (subset of `input`).
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input: u64,
    /// Audio tokens generated (subset of `output`).
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output: u64,
    /// Image tokens in the prompt (subset of `input`).
    #[serde(skip_serializing_if = "is_zero")]
    pub image_input: u64,
    /// Image tokens generated (subset of `output`).
    #[serde(skip_serializing_if = "is_zero")]
    pub image_output: u64,
    /// Audio duration billed, in milliseconds (transcription by duration).
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_ms: u64,
    /// Characters billed (speech synthesis).
    #[serde(skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Web searches the provider ran.
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Images generated.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Search units billed (rerank).
    #[serde(skip_serializing_if = "is_zero")]
    pub search_units: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// The sum with another call's, for a request that took several.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_write_30m: self.cache_write_30m.saturating_add(other.cache_write_30m),
            cache_write_12h: self.cache_write_12h.saturating_add(other.cache_write_12h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            audio_input: self.audio_input.saturating_add(other.audio_input),
            audio_output: self.audio_output.saturating_add(other.audio_output),
            image_input: self.image_input.saturating_add(other.image_input),
            image_output: self.image_output.saturating_add(other.image_output),
            audio_ms: self.audio_ms.saturating_add(other.audio_ms),
            characters: self.characters.saturating_add(other.characters),
            web_searches: self.web_searches.saturating_add(other.web_searches),
            images: self.images.saturating_add(other.images),
            search_units: self.search_units.saturating_add(other.search_units),
        }
    }

    /// Whether nothing at all was reported.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
