//! What is known of one model.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One model as one provider serves it. Whatever is unknown is `None` or empty.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Provider id of the table (a provider may borrow another's rows: `Provider::models_of`).
    #[serde(skip)]
    pub provider: String,
    /// Model id as the provider expects it.
    #[serde(skip)]
    pub id: String,
    /// Region whose prices these are; `None` for the base row.
    #[serde(skip)]
    pub region: Option<String>,
    /// What kind of call the model answers.
    pub mode: Mode,
    /// Prompt and answer together, in tokens.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Longest prompt, in tokens.
    #[serde(default)]
    pub max_input: Option<u64>,
    /// Longest answer, in tokens.
    #[serde(default)]
    pub max_output: Option<u64>,
    /// Length of an embedding vector.
    #[serde(default)]
    pub embedding_dims: Option<u64>,
    /// `text`, `image`, `audio`, `video`, `pdf`, ...
    #[serde(default)]
    pub input: Vec<String>,
    /// As `input`, of the answer.
    #[serde(default)]
    pub output: Vec<String>,
    #[serde(default)]
    can: Vec<String>,
    #[serde(default)]
    cannot: Vec<String>,
    /// The model has no chat endpoint, only the Responses API.
    #[serde(default)]
    pub responses_only: bool,
    /// The words it takes for how much to think, as its API writes them: `none`, `minimal`, `low`,
    /// `medium`, `high`, `xhigh`, `max`. Empty where nobody says.
    #[serde(default)]
    pub reasoning_efforts: Vec<String>,
    /// How much it thinks when it is not told, one of these words.
    #[serde(default)]
    pub default_reasoning_effort: Option<String>,
    /// It cannot be told not to think.
    #[serde(default)]
    pub thinking_always_on: bool,
    /// The member of OpenAI's form in which it gives its thoughts and wants them back.
    #[serde(default)]
    pub reasoning_field: Option<ReasoningField>,
    /// Name of the tokenizer (`o200k_base`, `anthropic`, `llama3`, ...).
    #[serde(default)]
    pub tokenizer: Option<String>,
    /// Day the provider switches the model off, `YYYY-MM-DD`.
    #[serde(default)]
    pub deprecation: Option<String>,
    /// Anything but generally available.
    #[serde(default)]
    pub status: Option<ModelStatus>,
    /// Price entries; empty means that no price is known.
    #[serde(default)]
    pub prices: Vec<PriceEntry>,
    /// Factors on all prices: `us` (inference geography), `regional_processing_eu`, `fast`, ...
    #[serde(default)]
    pub multipliers: BTreeMap<String, String>,
    /// Cheaper hours.
    #[serde(default)]
    pub off_peak: Option<OffPeak>,
    /// Changes exactly when a price of this row does.
    #[serde(default)]
    pub price_hash: Option<String>,
    /// How well the sources agree on the price.
    #[serde(default)]
    pub price_status: Option<PriceStatus>,
    /// Data set the row comes from.
    #[serde(default)]
    pub source: Option<String>,
}

impl Model {
    /// What the model is known to do or not to do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let known = |name: &str| match (self.can.iter().any(|c| c == name), self.cannot.iter().any(|c| c == name)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Capabilities {
            vision: known("vision"),
            pdf: known("pdf"),
            audio_input: known("audio_input"),
            audio_output: known("audio_output"),
            video_input: known("video_input"),
            tools: known("tools"),
            parallel_tools: known("parallel_tools"),
            tool_choice: known("tool_choice"),
            forced_tool_use: known("forced_tool_use"),
            json_schema: known("json_schema"),
            native_json_schema: known("native_json_schema"),
            reasoning: known("reasoning"),
            adaptive_thinking: known("adaptive_thinking"),
            prompt_caching: known("prompt_caching"),
            streaming: known("streaming"),
            batch: known("batch"),
            system_messages: known("system_messages"),
            mid_conversation_system: known("mid_conversation_system"),
            assistant_prefill: known("assistant_prefill"),
            sampling_params: known("sampling_params"),
            web_search: known("web_search"),
            computer_use: known("computer_use"),
        }
    }
}

/// What a model can do: `Some(true)`, `Some(false)`, or `None` where nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Images in the prompt.
    pub vision: Option<bool>,
    /// PDF documents in the prompt.
    pub pdf: Option<bool>,
    /// Audio in the prompt.
    pub audio_input: Option<bool>,
    /// Audio in the answer.
    pub audio_output: Option<bool>,
    /// Video in the prompt.
    pub video_input: Option<bool>,
    /// Tool calls.
    pub tools: Option<bool>,
    /// More than one tool call in a turn.
    pub parallel_tools: Option<bool>,
    /// The `tool_choice` parameter.
    pub tool_choice: Option<bool>,
    /// `tool_choice` that forces a call.
    pub forced_tool_use: Option<bool>,
    /// Answers held to a JSON schema, be it by way of a tool.
    pub json_schema: Option<bool>,
    /// Answers held to a JSON schema by a parameter of the provider's own API.
    pub native_json_schema: Option<bool>,
    /// Thinks before it answers.
    pub reasoning: Option<bool>,
    /// Chooses by itself how long to think (Anthropic).
    pub adaptive_thinking: Option<bool>,
    /// Prompt caching.
    pub prompt_caching: Option<bool>,
    /// Streamed answers.
    pub streaming: Option<bool>,
    /// The batch API.
    pub batch: Option<bool>,
    /// System messages.
    pub system_messages: Option<bool>,
    /// System messages behind the first turn.
    pub mid_conversation_system: Option<bool>,
    /// A last message of the assistant that the answer continues.
    pub assistant_prefill: Option<bool>,
    /// `temperature`, `top_p` and the like.
    pub sampling_params: Option<bool>,
    /// Searches the web itself.
    pub web_search: Option<bool>,
    /// Drives a computer.
    pub computer_use: Option<bool>,
}

/// What kind of call a model answers.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    Chat,
    Completion,
    Embedding,
    Image,
    AudioSpeech,
    AudioTranscription,
    Rerank,
    Realtime,
    Moderation,
    Ocr,
    Video,
}

/// Where a model's thoughts stand in OpenAI's form.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// `reasoning_content`, a text.
    ReasoningContent,
    /// `reasoning_details`, a list, signatures among it.
    ReasoningDetails,
}

/// A model that is not simply available.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ModelStatus {
    /// Announced, may change.
    Beta,
    /// To be switched off.
    Deprecated,
    /// No longer listed by the provider; kept to price old usage.
    Removed,
}

/// How well independent sources agree on a price.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PriceStatus {
    /// Two or more components are equal in two or more independent sources.
    Agreed,
    /// One component could be compared.
    Partial,
    /// Sources differ.
    Disputed,
    /// Only one source.
    SingleSource,
}

/// The prices of one service tier, for prompts longer than `above` tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PriceEntry {
    /// `standard`, `batch`, `flex`, `priority`, ...
    #[serde(default = "standard")]
    pub tier: String,
    /// Applies to the whole request when its prompt has strictly more tokens than this.
    #[serde(default)]
    pub above: u64,
    /// US dollars per million tokens (or characters), exact decimals by component.
    #[serde(default)]
    pub mtok: BTreeMap<String, String>,
    /// US dollars per unit (second, image, request, ...), exact decimals by unit.
    #[serde(default)]
    pub unit: BTreeMap<String, String>,
}

fn standard() -> String {
    "standard".to_owned()
}

/// Cheaper prices inside windows of UTC time.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct OffPeak {
    /// When.
    pub windows: Vec<Window>,
    /// As [`PriceEntry::mtok`].
    #[serde(rename = "per_mtok")]
    pub mtok: BTreeMap<String, String>,
}

/// Hours of some days of the week, UTC.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// `HH:MM-HH:MM`; the end is exclusive, and an end not after the start is on the next day.
    #[serde(deserialize_with = "one_or_many")]
    pub hours_utc: Vec<String>,
    /// ISO days on which the hours start: 1 is Monday, 7 Sunday.
    pub weekdays: Vec<u8>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Text::deserialize(deserializer)? {
        Text::One(text) => vec![text],
        Text::Many(texts) => texts,
    })
}
