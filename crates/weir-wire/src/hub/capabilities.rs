//! What a target takes: data about a model at a provider. Encoders ask this and never a name.

use serde::{Deserialize, Serialize};

/// What a model at a provider takes. The default takes all; a catalogue says what is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// What the cap on generated tokens is called (OpenAI chat).
    pub max_tokens_name: MaxTokensName,
    /// The most tokens it generates: what dialects that demand a cap are told when the caller
    /// gives none.
    pub max_output: Option<u64>,
    /// `temperature`, `top_p`, `top_k` and penalties may be set.
    pub sampling: bool,
    /// `temperature` and `top_p` may be set together.
    pub temperature_with_top_p: bool,
    /// Tools may be given.
    pub tools: bool,
    /// A tool may be forced (`required`, or by name).
    pub forced_tools: bool,
    /// Tools called with text (OpenAI's custom tools).
    pub custom_tools: bool,
    /// Whether several calls at once can be forbidden.
    pub parallel_tools: bool,
    /// The role `developer` is known; else it is said as `system`.
    pub developer_role: bool,
    /// Instructions may stand behind the first turn.
    pub late_instructions: bool,
    /// The conversation may end with the model's own words, which it continues.
    pub prefill: bool,
    /// How it is told how much to think.
    pub reasoning: ReasoningStyle,
    /// Thinking can be turned off.
    pub reasoning_off: bool,
    /// The least thinking budget in tokens, for [`ReasoningStyle::Budget`].
    pub min_budget: u64,
    /// In which member it takes its own thoughts back (OpenAI chat).
    pub reasoning_replay: ReasoningReplay,
    /// Any JSON object can be demanded.
    pub json_object: bool,
    /// JSON of a schema can be demanded.
    pub json_schema: bool,
    /// Images may be sent.
    pub images: bool,
    /// Addresses of media may be sent, which the provider fetches.
    pub media_urls: bool,
    /// PDFs and other files may be sent.
    pub documents: bool,
    /// Sound may be sent.
    pub audio: bool,
    /// Films may be sent.
    pub video: bool,
    /// Tool results may hold images.
    pub tool_result_images: bool,
    /// Answers can cite documents.
    pub citations: bool,
    /// More than one choice can be asked for.
    pub many_choices: bool,
    /// `seed` is taken.
    pub seed: bool,
    /// `logprobs` are given.
    pub logprobs: bool,
    /// The most stop sequences.
    pub max_stops: Option<usize>,
    /// How it is told what to cache (OpenAI chat).
    pub cache_style: CacheStyle,
    /// `stream_options` is known (OpenAI chat).
    pub stream_options: bool,
    /// In which dialect schemas are written (Gemini).
    pub schemas: SchemaStyle,
    /// Calls in the history may come without the seal of the model (Gemini).
    pub unsealed_calls: bool,
    /// The effort `minimal` is known; else it is said as `low` (Gemini).
    pub minimal_effort: bool,
    /// The caller's labels are taken (Gemini: Vertex AI takes them, the Gemini API does not).
    pub labels: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            max_tokens_name: MaxTokensName::AsWritten,
            max_output: None,
            sampling: true,
            temperature_with_top_p: true,
            tools: true,
            forced_tools: true,
            custom_tools: true,
            parallel_tools: true,
            developer_role: true,
            late_instructions: true,
            prefill: true,
            reasoning: ReasoningStyle::Effort,
            reasoning_off: true,
            min_budget: 1024,
            reasoning_replay: ReasoningReplay::AsWritten,
            json_object: true,
            json_schema: true,
            images: true,
            media_urls: true,
            documents: true,
            audio: true,
            video: true,
            tool_result_images: true,
            citations: true,
            many_choices: true,
            seed: true,
            logprobs: true,
            max_stops: None,
            cache_style: CacheStyle::AsWritten,
            stream_options: true,
            schemas: SchemaStyle::JsonSchema,
            unsealed_calls: true,
            minimal_effort: true,
            labels: true,
        }
    }
}

/// What the cap on generated tokens is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensName {
    /// As an OpenAI caller wrote it; else `max_completion_tokens`.
    AsWritten,
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
}

/// How a model is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningStyle {
    /// Not at all: it does not think, or always as it likes.
    None,
    /// By a word.
    Effort,
    /// By a budget in tokens; on or off alone in a dialect that has no budgets (Ollama).
    Budget,
    /// By a word, with thinking switched on as adaptive (Anthropic's newer models).
    Adaptive,
}

/// In which member a model takes its own thoughts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningReplay {
    /// As an OpenAI caller wrote it; thoughts from other dialects are left out.
    AsWritten,
    /// Never.
    Never,
    /// `reasoning_content`
    ReasoningContent,
    /// `reasoning`
    Reasoning,
    /// `reasoning_details`
    Details,
}

/// How the end of a cacheable prompt is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheStyle {
    /// As an OpenAI caller wrote it; hints from other dialects are left out.
    AsWritten,
    /// Not at all.
    Never,
    /// `prompt_cache_breakpoint`
    Breakpoint,
    /// `cache_control`
    CacheControl,
}

/// In which dialect schemas are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaStyle {
    /// As JSON schemas; of a caller who has two dialects, as it wrote them.
    JsonSchema,
    /// In the subset of OpenAPI 3.0 that Gemini's older models take.
    OpenApi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_words_of_a_catalogue() {
        let text =
            r#"{"sampling":false,"reasoning":"adaptive","max_tokens_name":"max_tokens","cache_style":"cache_control"}"#;
        let read: Capabilities = serde_json::from_str(text).unwrap();
        assert!(!read.sampling && read.tools && read.reasoning == ReasoningStyle::Adaptive);
        assert!(serde_json::from_str::<Capabilities>(r#"{"x":1}"#).is_err());
        assert_eq!(serde_json::from_str::<Capabilities>("{}").unwrap(), Capabilities::default());
    }
}
