//! A model's answer, whole.

use std::fmt;

use super::{DecodeError, Dialect, Extra, Ids, Native, Num, Part, Tier};
use crate::fault::UpstreamError;
use crate::usage::Usage;

/// An answer: what one or several choices say, and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it says about itself.
    pub head: Head,
    /// The alternatives, as they stood.
    pub choices: Vec<Choice>,
    /// What was consumed.
    pub usage: Option<Spent>,
}

/// What an answer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its id.
    pub id: Option<String>,
    /// The model that served.
    pub model: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: Option<u64>,
    /// The tier that is billed.
    pub tier: Option<Tier>,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

impl Head {
    /// Takes over what a later word about the same answer says.
    pub fn update(&mut self, later: Self) {
        self.id = later.id.or_else(|| self.id.take());
        self.model = later.model.or_else(|| self.model.take());
        self.created = later.created.or(self.created);
        self.tier = later.tier.or_else(|| self.tier.take());
        self.extra.update(later.extra);
    }
}

/// One of the alternatives. Dialects that have but one have choice 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its number.
    pub index: u32,
    /// What it says, in order.
    pub parts: Vec<Part>,
    /// Why it ended. `None` if the provider does not say.
    pub stop: Option<Stop>,
    /// Log probabilities of its tokens.
    pub logprobs: Option<Logprobs>,
    /// Members of the choice only its own dialect understands.
    pub extra: Extra,
    /// Members of the message within only its own dialect understands.
    pub message_extra: Extra,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// The dialect's own word; the same dialect writes it again.
    pub word: Option<Word>,
    /// The text that ended it, for [`StopReason::Sequence`].
    pub sequence: Option<String>,
    /// The provider's explanation (Anthropic's `stop_details`, Gemini's `finishMessage`).
    pub detail: Option<String>,
}

impl Stop {
    /// For this reason and nothing more.
    #[must_use]
    pub fn new(reason: StopReason) -> Self {
        Self { reason, word: None, sequence: None, detail: None }
    }

    /// The dialect's own word, if it came from this dialect.
    #[must_use]
    pub fn word_of(&self, dialect: Dialect) -> Option<&str> {
        self.word.as_ref().filter(|word| word.dialect == dialect).map(|word| word.text.as_str())
    }
}

/// A word of one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whose word it is.
    pub dialect: Dialect,
    /// The word.
    pub text: String,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model had said all (`stop`, `end_turn`, `STOP`, `COMPLETE`).
    End,
    /// It said a text that the caller named.
    Sequence,
    /// It reached the caller's or the model's limit (`length`, `max_tokens`, `MAX_TOKENS`).
    Length,
    /// It wants tools run (`tool_calls`, `tool_use`, `TOOL_CALL`).
    ToolUse,
    /// A filter stopped it (`content_filter`, `SAFETY`, `guardrail_intervened`).
    Filter,
    /// It refused (Anthropic `refusal`).
    Refusal,
    /// The provider paused a long turn; sent back as it is, it goes on (Anthropic `pause_turn`).
    Pause,
    /// Prompt and answer filled the model's window.
    Window,
    /// Its tool call could not be read (Gemini, Bedrock).
    Malformed,
    /// A word that no dialect knows.
    Unknown,
}

/// What was consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In classes of tokens, totals including their subsets.
    pub tokens: Usage,
    /// As it was written; the same dialect writes it again.
    pub native: Option<Native>,
    /// Whether a count was bent into shape: none can be negative, a text, or beyond all measure.
    pub bent: bool,
}

/// Log probabilities of an answer's tokens, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logprobs {
    /// Of its text.
    pub content: Vec<TokenLogprob>,
    /// Of its refusal.
    pub refusal: Vec<TokenLogprob>,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

impl Logprobs {
    /// Adds those of the tokens that follow.
    pub fn append(&mut self, later: Self) {
        self.content.extend(later.content);
        self.refusal.extend(later.refusal);
        self.extra.update(later.extra);
    }
}

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLogprob {
    /// The token.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: Num,
    /// Its bytes, for tokens that are no whole characters.
    pub bytes: Option<super::Json>,
    /// The likeliest tokens in its place.
    pub top: Vec<TokenLogprob>,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

/// What the caller's side of an answer needs that a provider's answer may lack.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The dialect the answer came in.
    pub source: Dialect,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The model's name if the answer has none.
    pub model: String,
    /// Where ids come from that nobody gave.
    pub ids: Ids,
}

/// Why a provider's whole answer is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// It reports an error under a status of success.
    Upstream(UpstreamError),
    /// It is not in its dialect.
    Decode(DecodeError),
}

impl From<DecodeError> for AnswerError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the provider failed: {}", error.message),
            Self::Decode(error) => write!(f, "the provider's answer is not understood: {error}"),
        }
    }
}

impl std::error::Error for AnswerError {}
