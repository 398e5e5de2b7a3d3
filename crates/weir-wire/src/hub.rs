//! The hub: one neutral conversation between all dialects.
//!
//! Seven dialects would need forty-two translations; each is instead read into the hub and written out
//! of it. Nothing in the hub or a codec knows a provider or a model by name: what a target takes is
//! data ([`Capabilities`]), and who speaks which dialect is the catalogue's business.
//!
//! # The types, and what of each dialect they are
//!
//! | hub | OpenAI chat | Responses | Anthropic | Gemini | Bedrock | Cohere | Ollama |
//! |---|---|---|---|---|---|---|---|
//! | [`Turn`] of [`Role::System`] | `system` message | `instructions`, `system` item | `system`, `system` message | `systemInstruction` | `system` | `system` message | `system` message |
//! | [`Role::Developer`] | `developer` message | `developer` item | as system | as system | as system | as system | as system |
//! | [`Role::Tool`] | `tool`, `function` message | `*_call_output` item | (in the user's turn) | (in the user's turn) | (in the user's turn) | `tool` message | `tool` message |
//! | [`Text`] | `text` | `input_text`, `output_text` | `text` | `text` | `text` | `text` | `content` |
//! | [`Text::citations`] | `annotations` | `annotations` | `citations` | `groundingMetadata`, `citationMetadata` | `citationsContent` | `citations` | - |
//! | [`PartKind::Image`] | `image_url` | `input_image` | `image` | `inlineData`, `fileData` | `image` | `image_url` | `images` |
//! | [`PartKind::Document`] | `file` | `input_file` | `document` | `inlineData`, `fileData` | `document` | `documents` | - |
//! | [`PartKind::Audio`] | `input_audio`, `audio` | `input_audio` | - | `inlineData` | `audio` | - | - |
//! | [`Thinking`] | `reasoning*` | `reasoning` item | `thinking`, `redacted_thinking` | `thought` | `reasoningContent` | `thinking`, `tool_plan` | `thinking` |
//! | [`Part::signature`] | `extra_content`, detail `signature` | `extra_content`, marked `encrypted_content` | `signature` | `thoughtSignature` | `signature` | - | - |
//! | [`Thinking::encrypted`] | detail `data` | `encrypted_content` | `redacted_thinking.data` | - | `redactedContent` | - | - |
//! | [`ToolCall`] | `tool_calls` | `function_call`, `custom_tool_call` | `tool_use` | `functionCall` | `toolUse` | `tool_calls` | `tool_calls` |
//! | [`ToolResult`] | message's content | `output` | `tool_result` | `functionResponse` | `toolResult` | message's content | message's content |
//! | [`PartKind::Refusal`] | `refusal` | `refusal` | (stop reason and detail) | - | - | - | - |
//! | [`PartKind::Opaque`] | unknown part types | other items | `server_tool_use`, `*_tool_result`, `search_result` | `executableCode`, `codeExecutionResult` | `guardContent`, ... | - | other calls |
//! | [`CacheHint`] | `prompt_cache_breakpoint`, `cache_control` | `prompt_cache_breakpoint` | `cache_control` | - | `cachePoint` | - | - |
//! | [`ToolKind::BuiltIn`] | other tool types | `web_search`, `mcp`, ... | versioned tools | `googleSearch`, ... | `systemTool` | - | other tool types |
//!
//! Rules that hold for all of them:
//!
//! - **Order is kept.** Parts stand as they were said: thoughts, text, calls, text again. A dialect
//!   that has one place for each sort writes them there, and reports text behind a call as a loss.
//! - **Instructions stand where they stood**, as turns; [`Request::split_instructions`] tells those
//!   at the start from later ones. Never move a later one to the start: the order is meaning, and
//!   the prompt cache depends on it.
//! - **Tool results stand where the dialect has them**: in [`Role::Tool`] turns or among the user's
//!   parts. Encoders take both; [`Request::rounds`] puts turns together for dialects that alternate.
//! - **Arguments are text.** Models write broken JSON, and a caller must see it as it was. A dialect
//!   with objects writes the object's text into [`ToolCall::arguments`], and out of it with
//!   [`ToolCall::object`]. A custom call's input is any text.
//! - **Custom tools are functions** where a dialect or a model has no others: an encoder of requests
//!   begins with [`custom_tools::as_functions`] or [`custom_tools::unless_taken`], and whoever stands
//!   between decoder and encoder of the answer passes it through [`CustomCalls`].
//! - **Ids may be missing.** [`Request::link_results`] fills in what can be known, before a request is
//!   encoded in another dialect than its own; [`Ids`] makes up the rest from a seed.
//! - **Numbers are text** ([`Num`]), and what is not looked into is [`Json`]: nothing is rounded or
//!   reordered on the way through.
//! - **Empty says nothing.** An empty text, list or null is left in the extra by the decoders' helpers
//!   ([`Fields::word`], [`Fields::list`]), so that it comes back in its own dialect and is no part
//!   elsewhere. A part that is blank all the same ([`Part::is_blank`]) is left out by others.
//! - **A seal is for its maker.** Signatures and encrypted thoughts carry their origin, and are
//!   written for that dialect alone; Bedrock's are those of the model behind it. A chat client
//!   carries them in `reasoning_details`, an Anthropic client in signatures that name their maker
//!   ([`carry`]), a Gemini client in a `thoughtSignature` that is the base64 of such a text, a
//!   Responses client in `encrypted_content`, marked, whether or not its `include` asks for that: the
//!   second turn cannot be answered without.
//! - **Usage** is in [`crate::usage::Usage`]'s classes, where totals include their subsets, whatever
//!   the dialect's convention; [`Spent::native`] is what was written.
//!
//! # The same dialect: identity
//!
//! Decoding and encoding again in the same dialect gives the same JSON. Three things make it so, and
//! encoders of other dialects see none of them:
//!
//! - [`Extra`]: members nobody took, in order. They go back with [`write::Obj::extra`], last. Those that
//!   say nothing to others (ids and states of items, echoes of the request) are quiet
//!   ([`Extra::quieten`]): no loss.
//! - [`Form`]: which of several spellings was used, in bits that one codec defines
//!   (`openai_chat/form.rs`). Bits 0 must be the spelling that is written for other dialects' parts.
//! - [`Native`] and [`Word`]: the JSON or word of what is also read into neutral members (citations,
//!   cache hints, usage, stop words). A guard that changes the neutral member must clear it.
//!
//! # Lossless or loud
//!
//! An encoder gives its bytes and a list of [`Loss`]es, each with the place in the *caller's* body:
//! [`Part::at`], [`Turn::at`], [`Tool::at`] for what stands in lists, [`Field::name`] for parameters. How the
//! answer is to be made (parameters, hints, thoughts sent back) may be dropped with a loss. What the
//! user said and what a tool gave back may not: [`Losses::refuse`] makes the encoding an
//! [`EncodeError`], which is the caller's 400. Answers are never refused, they are paid for:
//! [`Losses::seal_answer`]. Members of another dialect are losses unless they are empty
//! ([`Losses::extra`]); call it for the extra of every object the encoder goes through.
//!
//! # Streams
//!
//! A stream is [`Event`]s. A decoder is a state machine fed frames: it numbers parts in the order in
//! which they begin, lets several be open at once (OpenAI interleaves calls), bounds all it holds, and
//! ends in exactly one of [`Event::End`] and [`Event::Error`]: the first if the dialect's terminal event
//! came, the second else. It never makes up a finish. The seal of a call comes before its arguments,
//! because encoders write it with the call's beginning. An encoder is a state machine fed events; for a
//! dialect with one open block at a time [`OneAtATime`] holds the others back until the first has ended. A shell
//! may hold text already, and a part may begin without [`Event::Choice`] before it. [`Fold`] makes an
//! answer of events, [`unfold`] events of an answer, so that a codec with only a whole decoder can be
//! streamed, and the law "a stream folded is the whole answer" can be tested.
//!
//! # Writing a codec
//!
//! `dialect.rs` (what it covers, and nothing else) and `dialect/`: `form.rs` (the bits), one file for
//! each thing that requests and answers share (`content.rs`, `thinking.rs`, `calls.rs`), then
//! `decode_request.rs`, `encode_request.rs`, `decode_answer.rs`, `encode_answer.rs`,
//! `decode_stream.rs`, `encode_stream.rs`, and `tests/`. The entry points have the shapes of
//! [`crate::openai_chat`]'s:
//!
//! - `decode_request(&[u8]) -> Result<Request, DecodeError>`
//! - `encode_request(&Request, &Target) -> Result<Encoded, EncodeError>`
//! - `decode_answer(&[u8], &UsageRules) -> Result<Answer, AnswerError>`
//! - `encode_answer(&Answer, &mut Reply) -> Encoded`
//! - `StreamDecoder::{new(Arc<UsageRules>), push(&Frame, &mut Vec<Event>), end(&mut Vec<Event>)}`; a
//!   dialect that streams lines has `push_line(&[u8], ..)`
//! - `StreamEncoder::{new(Reply, ..), push(&Event, &mut String), into_losses()}`
//!
//! Reading: [`Node::of_body`] validates the bytes once; [`Node::fields`] gives the members with their
//! place; take what is known ([`Fields::text`], [`Fields::word`], [`Fields::num`], [`Fields::object`],
//! [`Fields::list`], ...) and keep [`Fields::rest`]. In [`Mode::Request`] a wrong kind is an error that
//! names the place, in [`Mode::Answer`] it is left to the extra. A part that is understood only partly
//! becomes [`Opaque`] whole. Writing: [`write::object`]; its closures cannot fail, [`Losses`] remembers.
//!
//! Tests: golden pairs (`tests/hub_golden.rs`), the laws over a generator of bodies
//! (`openai_chat/tests/`), and recorded exchanges (`tests/hub_recorded.rs`).

pub mod answer;
pub mod capabilities;
pub mod carry;
pub mod custom_tools;
pub mod event;
pub mod fold;
pub mod ids;
pub mod loss;
pub mod one_at_a_time;
pub mod params;
pub mod part;
pub mod read;
pub mod request;
pub mod tools;
mod unmeasured;
pub mod value;
pub mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use answer::{Answer, AnswerError, Choice, Head, Logprobs, Reply, Spent, Stop, StopReason, TokenLogprob, Word};
pub use capabilities::{CacheStyle, Capabilities, MaxTokensName, ReasoningReplay, ReasoningStyle, SchemaStyle};
pub use carry::Carried;
pub use custom_tools::CustomCalls;
pub use event::{Delta, Event};
pub use fold::{Fold, FoldError, unfold};
pub use ids::Ids;
pub use loss::{EncodeError, Encoded, Field, Loss, LossKind, Losses};
pub use one_at_a_time::OneAtATime;
pub use params::{Effort, Format, Params, Prediction, Reasoning, Schema, Tier};
pub use part::{
    CacheHint, CacheTtl, Citation, Document, Media, Native, Opaque, Part, PartKind, Seal, Source, Text, Thinking,
};
pub use read::{DecodeError, Fields, Mode, Node};
pub use request::{Request, Role, Round, Turn};
pub use tools::{BuiltIn, CallKind, Custom, CustomFormat, Function, Tool, ToolCall, ToolChoice, ToolKind, ToolResult};
pub(crate) use unmeasured::unmeasured;
pub use value::{Json, Num};

/// A way to talk to models. Providers are many, dialects are seven.
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
    /// Ollama's own chat. Outbound only.
    Ollama,
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
            Self::Ollama => "Ollama chat",
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
/// other reports them as losses ([`Losses::extra`]), unless they are quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    dialect: Option<Dialect>,
    /// The quiet ones first.
    members: Vec<(String, Json)>,
    /// How many are quiet.
    quiet: usize,
}

impl Extra {
    /// These members of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect, members: Vec<(String, Json)>) -> Self {
        Self { dialect: (!members.is_empty()).then_some(dialect), members, quiet: 0 }
    }

    /// Makes these members quiet: they say nothing that another dialect would have to know (ids of
    /// items, echoes of the request), so that leaving them out is no loss.
    #[must_use]
    pub fn quieten(mut self, is_quiet: impl Fn(&str) -> bool) -> Self {
        let loud = self.members.split_off(self.quiet);
        let (quiet, loud): (Vec<_>, Vec<_>) = loud.into_iter().partition(|(name, _)| is_quiet(name));
        self.members.extend(quiet);
        self.quiet = self.members.len();
        self.members.extend(loud);
        self
    }

    /// The members that are not quiet.
    #[must_use]
    pub fn loud(&self) -> &[(String, Json)] {
        self.members.get(self.quiet..).unwrap_or_default()
    }

    /// Takes a member out, if it is this dialect's.
    pub fn remove(&mut self, dialect: Dialect, name: &str) -> Option<Json> {
        let at = self.members_of(dialect).iter().position(|(key, _)| key == name)?;
        self.quiet -= usize::from(at < self.quiet);
        let (_, value) = self.members.remove(at);
        self.dialect = self.dialect.filter(|_| !self.members.is_empty());
        Some(value)
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
        for (at, (name, value)) in later.members.into_iter().enumerate() {
            match self.members.iter_mut().find(|(key, _)| *key == name) {
                Some((_, place)) => *place = value,
                None if at < later.quiet => {
                    self.members.insert(self.quiet, (name, value));
                    self.quiet += 1;
                }
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
