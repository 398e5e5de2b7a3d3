//! How the answer is to be made: the parameters that more than one dialect has.

use super::{Form, Json, Native, Num, Part, Place};

/// The parameters of a request. `None` and empty say nothing: the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The most tokens to generate, reasoning included.
    pub max_output: Option<Num>,
    /// Randomness, in the caller's range (OpenAI and Gemini 0 to 2, Anthropic 0 to 1).
    pub temperature: Option<Num>,
    /// Nucleus sampling.
    pub top_p: Option<Num>,
    /// Sampling among so many.
    pub top_k: Option<Num>,
    /// Against repetition, by count.
    pub frequency_penalty: Option<Num>,
    /// Against repetition, at all.
    pub presence_penalty: Option<Num>,
    /// For the same answer again.
    pub seed: Option<Num>,
    /// How many answers.
    pub n: Option<Num>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Whether to give log probabilities of the answer's tokens.
    pub logprobs: Option<bool>,
    /// How many alternatives to give with each.
    pub top_logprobs: Option<Num>,
    /// Token ids made likelier or less.
    pub logit_bias: Option<Json>,
    /// How much to think.
    pub reasoning: Reasoning,
    /// The form of the answer.
    pub format: Option<Format>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// How fast and how dear.
    pub tier: Option<Tier>,
    /// The caller's labels, an object of strings.
    pub metadata: Option<Json>,
    /// The end user (OpenAI `user`, Anthropic `metadata.user_id`).
    pub user: Option<String>,
    /// The end user for abuse reports (OpenAI).
    pub safety_identifier: Option<String>,
    /// Which requests share a prompt cache (OpenAI).
    pub cache_key: Option<String>,
    /// Kinds of output asked for: `text`, `audio`, `image`.
    pub modalities: Vec<String>,
    /// The voice and format of spoken output, as its dialect wrote it.
    pub audio: Option<Native>,
    /// The expected answer (OpenAI `prediction`).
    pub prediction: Option<Prediction>,
    /// That the provider shall search the web, as its dialect wrote it (OpenAI chat
    /// `web_search_options`; elsewhere web search is a tool).
    pub web_search: Option<Native>,
    /// Whether the provider keeps the exchange.
    pub store: Option<bool>,
    /// Whether the answer is to be streamed.
    pub stream: Option<bool>,
    /// Whether a stream ends with its usage (OpenAI chat; elsewhere it always does).
    pub stream_usage: Option<bool>,
    /// Whether a stream's events are padded (OpenAI).
    pub stream_obfuscation: Option<bool>,
    /// Members beside these of the options of a stream that only its own dialect understands.
    pub stream_extra: super::Extra,
    /// How the dialect spelt them.
    pub form: Form,
    /// The members that were written by their second name, where the dialect has two for each
    /// (Gemini's `top_p` for `topP`), by their first; the same dialect writes them so again.
    pub aliases: Vec<&'static str>,
}

/// How much to think.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// In a word (OpenAI, Anthropic's adaptive models, Gemini 3).
    pub effort: Option<Effort>,
    /// In tokens (Anthropic's older models, Gemini 2.5). 0 is off.
    pub budget: Option<Num>,
    /// On or off without a measure (Anthropic `thinking.type`, vendors' `thinking`).
    pub enabled: Option<bool>,
    /// Whether and how thoughts are shown: `auto`, `concise`, `detailed`, `summarized`.
    pub summary: Option<String>,
    /// As the dialect wrote it, where it says more than this (Anthropic's `thinking`); the same
    /// dialect writes it again.
    pub native: Option<Native>,
}

impl Reasoning {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How hard to think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as can be.
    Minimal,
    /// Little.
    Low,
    /// So so.
    Medium,
    /// Much.
    High,
    /// Very much.
    XHigh,
    /// As much as can be.
    Max,
    /// A word of a provider's own.
    Other(String),
}

impl Effort {
    /// Reads OpenAI's words, in any case (Gemini writes them in capitals).
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "none" | "NONE" => Self::None,
            "minimal" | "MINIMAL" => Self::Minimal,
            "low" | "LOW" => Self::Low,
            "medium" | "MEDIUM" => Self::Medium,
            "high" | "HIGH" => Self::High,
            "xhigh" | "XHIGH" => Self::XHigh,
            "max" | "MAX" => Self::Max,
            other => Self::Other(other.to_owned()),
        }
    }

    /// OpenAI's word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
            Self::Other(word) => word,
        }
    }

    /// A budget in tokens for models that take one: each step twice the last, from 1,024 for low
    /// (the least Anthropic takes). `None` for a provider's own word.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        Some(match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 2048,
            Self::High => 4096,
            Self::XHigh => 8192,
            Self::Max => 16_384,
            Self::Other(_) => return None,
        })
    }

    /// The effort a budget stands for: the least whose [`Effort::budget`] holds it.
    #[must_use]
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=1024 => Self::Low,
            1025..=2048 => Self::Medium,
            2049..=4096 => Self::High,
            4097..=8192 => Self::XHigh,
            _ => Self::Max,
        }
    }
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema(Schema),
    /// What only one dialect has.
    Opaque(Native),
}

/// A schema for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name; dialects that need one and were given none say `response`.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The schema.
    pub schema: Option<Json>,
    /// Whether the answer must fit.
    pub strict: Option<bool>,
    /// Members beside these that only its own dialect understands.
    pub extra: super::Extra,
}

/// How fast and how dear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The provider's or project's choice (`auto`).
    Auto,
    /// The normal one (OpenAI `default`, Anthropic `standard_only`, Gemini `standard`).
    Standard,
    /// Slow and cheap.
    Flex,
    /// Bought ahead (OpenAI `scale`).
    Scale,
    /// Fast and dear.
    Priority,
    /// OpenAI `fast`, Anthropic `speed: fast`.
    Fast,
    /// Bought ahead (Bedrock).
    Reserved,
    /// A word of a provider's own.
    Other(String),
}

impl Tier {
    /// Reads OpenAI's words.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "auto" => Self::Auto,
            "default" => Self::Standard,
            "flex" => Self::Flex,
            "scale" => Self::Scale,
            "priority" => Self::Priority,
            "fast" => Self::Fast,
            "reserved" => Self::Reserved,
            other => Self::Other(other.to_owned()),
        }
    }

    /// OpenAI's word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Standard => "default",
            Self::Flex => "flex",
            Self::Scale => "scale",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Reserved => "reserved",
            Self::Other(word) => word,
        }
    }
}

/// The answer as the caller expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Text parts.
    pub parts: Vec<Part>,
    /// How the dialect spelt it.
    pub form: Form,
    /// Where it stood.
    pub at: Place,
    /// Members only its own dialect understands.
    pub extra: super::Extra,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_and_budgets_agree() {
        for word in ["none", "low", "medium", "high", "xhigh", "max"] {
            let effort = Effort::from_word(word);
            assert_eq!(effort.word(), word);
            assert_eq!(Effort::of_budget(effort.budget().unwrap()), effort);
        }
        assert_eq!(Effort::from_word("MINIMAL").budget(), Some(1024));
        assert_eq!(Effort::from_word("turbo").word(), "turbo");
        assert_eq!(Effort::from_word("turbo").budget(), None);
    }

    #[test]
    fn tiers_keep_their_words() {
        for word in ["auto", "default", "flex", "scale", "priority", "fast", "reserved", "on_demand"] {
            assert_eq!(Tier::from_word(word).word(), word);
        }
    }
}
