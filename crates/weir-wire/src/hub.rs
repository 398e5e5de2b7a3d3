//! The hub: one neutral conversation between all dialects.
//!
//! See the foot of `hub/guide.md` for how a codec is written.

pub mod answer;
pub mod capabilities;
pub mod event;
pub mod fold;
pub mod ids;
pub mod loss;
pub mod params;
pub mod part;
pub mod read;
pub mod request;
pub mod tools;
pub mod value;
pub mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use answer::{Answer, AnswerError, Choice, Head, Logprobs, Spent, Stop, StopReason, TokenLogprob, Word};
pub use capabilities::{CacheStyle, Capabilities, MaxTokensName, ReasoningReplay, ReasoningStyle};
pub use event::{Delta, Event};
pub use fold::{Fold, FoldError, unfold};
pub use ids::Ids;
pub use loss::{EncodeError, Encoded, Field, Loss, LossKind, Losses};
pub use params::{Effort, Format, Params, Prediction, Reasoning, Schema, Tier};
pub use part::{
    CacheHint, CacheTtl, Citation, Document, Media, Native, Opaque, Part, PartKind, Seal, Source, Text, Thinking,
};
pub use read::{DecodeError, Fields, Mode, Node};
pub use request::{Request, Role, Round, Turn};
pub use tools::{BuiltIn, CallKind, Custom, Function, Tool, ToolCall, ToolChoice, ToolKind, ToolResult};
pub use value::{Json, Num};

/// A way to talk to models. Providers are many, dialects are six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// OpenAI chat completions, which four in five providers speak.
    OpenAiChat,
    /// OpenAI responses.
    OpenAiResponses,
    /// Anthropic messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
    /// Bedrock Converse. Outbound only.
    Bedrock,
    /// Cohere chat, version 2. Outbound only.
    Cohere,
}

impl Dialect {
    /// The name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "OpenAI chat",
            Self::OpenAiResponses => "OpenAI Responses",
            Self::Anthropic => "Anthropic Messages",
            Self::Gemini => "Gemini",
            Self::Bedrock => "Bedrock Converse",
            Self::Cohere => "Cohere chat",
        }
    }
}

/// Whom a request is encoded for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// The model's name at the provider.
    pub model: &'t str,
    /// What it takes.
    pub capabilities: &'t Capabilities,
    /// The dialect the request came in, in whose words losses are named.
    pub caller: Dialect,
}

/// Where something stood in the caller's body, for messages alone: two places are always equal,
/// so that what is compared is what was said.
#[derive(Clone)]
pub struct Place(Arc<str>);

impl Place {
    /// The body itself.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::default())
    }

    /// A member of the object here.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        match &*self.0 {
            "" => Self(name.into()),
            at => Self(format!("{at}.{name}").into()),
        }
    }

    /// An element of the list here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The place in words: `messages[2].content[0]`, empty for the body itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::root()
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// How a dialect spelt something it has several spellings for, as bits whose meaning its codec
/// alone knows. Other dialects see none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    dialect: Option<Dialect>,
    bits: u16,
}

impl Form {
    /// These bits of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect, bits: u16) -> Self {
        Self { dialect: (bits != 0).then_some(dialect), bits }
    }

    /// The bits, for the codec of this dialect; else none.
    #[must_use]
    pub fn bits(self, dialect: Dialect) -> u16 {
        if self.dialect == Some(dialect) { self.bits } else { 0 }
    }

    /// Whether this bit of this dialect is set.
    #[must_use]
    pub fn has(self, dialect: Dialect, bit: u16) -> bool {
        self.bits(dialect) & bit != 0
    }
}

/// Members that only one dialect understands, in order. The same dialect writes them again, any
/// other reports them as losses ([`Losses::extra`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    dialect: Option<Dialect>,
    members: Vec<(String, Json)>,
}

impl Extra {
    /// These members of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect, members: Vec<(String, Json)>) -> Self {
        Self { dialect: (!members.is_empty()).then_some(dialect), members }
    }

    /// Whose they are, if there are any.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[(String, Json)] {
        &self.members
    }

    /// The members, if they are this dialect's.
    #[must_use]
    pub fn members_of(&self, dialect: Dialect) -> &[(String, Json)] {
        if self.dialect == Some(dialect) { &self.members } else { &[] }
    }

    /// A member by its name, if it is this dialect's.
    #[must_use]
    pub fn get(&self, dialect: Dialect, name: &str) -> Option<&Json> {
        self.members_of(dialect).iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes over later members: of two of the same name the later counts, in the earlier's place.
    /// Members of another dialect replace all.
    pub fn update(&mut self, later: Self) {
        if later.is_empty() {
            return;
        }
        if self.dialect != later.dialect {
            *self = later;
            return;
        }
        for (name, value) in later.members {
            match self.members.iter_mut().find(|(key, _)| *key == name) {
                Some((_, place)) => *place = value,
                None => self.members.push((name, value)),
            }
        }
    }

    /// Bytes of text held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.iter().map(|(name, value)| name.len() + value.as_str().len()).sum()
    }
}
