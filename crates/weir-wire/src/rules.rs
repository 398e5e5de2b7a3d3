//! How a provider reports usage, where it departs from OpenAI. Read from provider files.

use serde::{Deserialize, Serialize};

/// A provider's usage conventions. The default is right for OpenAI, Azure, OpenRouter, Together,
/// vLLM and most others: it knows every spelling of a field that means the same wherever it
/// appears ([`crate::counts`]), so only conventions that contradict each other are rules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageRules {
    /// Where to look for the usage object, in order of preference.
    pub usage_in: Vec<UsagePlace>,
    /// Reasoning tokens are not part of the output count (xAI chat, Perplexity). Without this
    /// rule they are still added where `total_tokens` counts them beside the output.
    pub reasoning_outside_output: bool,
    /// Citation tokens are billed on top of the output count (Perplexity).
    pub citations_outside_output: bool,
    /// Cache reads and writes are not part of the input count (MiniMax, Anthropic's convention).
    pub cache_outside_input: bool,
    /// Streams end without `[DONE]`: a finish reason is their end (Hugging Face's router for
    /// some of its providers).
    pub no_done: bool,
}

/// Where an answer or a chunk carries its usage object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum UsagePlace {
    /// `usage`
    #[serde(rename = "usage")]
    Usage,
    /// `x_groq.usage` (Groq's older streams)
    #[serde(rename = "x_groq.usage")]
    XGroq,
    /// `result.usage` (Cloudflare's native answers)
    #[serde(rename = "result.usage")]
    Result,
    /// `usage_info` (Mistral's document reading)
    #[serde(rename = "usage_info")]
    UsageInfo,
    /// `meta.billed_units` (Cohere's embeddings and rerank)
    #[serde(rename = "meta.billed_units")]
    BilledUnits,
}

impl Default for UsageRules {
    fn default() -> Self {
        Self {
            usage_in: vec![UsagePlace::Usage, UsagePlace::XGroq, UsagePlace::BilledUnits],
            reasoning_outside_output: false,
            citations_outside_output: false,
            cache_outside_input: false,
            no_done: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_words_of_a_provider_file() {
        let rules: UsageRules = serde_json::from_str(
            r#"{"usage_in":["x_groq.usage","usage","result.usage","usage_info","meta.billed_units"],
                "reasoning_outside_output":true,"no_done":true}"#,
        )
        .unwrap();
        assert_eq!(rules.usage_in.first(), Some(&UsagePlace::XGroq));
        assert_eq!(rules.usage_in.len(), 5);
        assert!(rules.reasoning_outside_output && rules.no_done && !rules.cache_outside_input);
    }

    #[test]
    fn an_empty_table_is_the_default() {
        let rules: UsageRules = serde_json::from_str("{}").unwrap();
        assert_eq!(rules, UsageRules::default());
    }

    #[test]
    fn unknown_words_are_errors() {
        assert!(serde_json::from_str::<UsageRules>(r#"{"reasoning":true}"#).is_err());
        assert!(serde_json::from_str::<UsageRules>(r#"{"usage_in":["x"]}"#).is_err());
    }
}
