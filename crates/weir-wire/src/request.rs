//! A request body, peeked at: what Weir needs to know, and the few edits it makes.
//!
//! [`Peek::read`] validates the whole body once and keeps scalars and spans; [`Peek::rewrite`]
//! cuts the body around its changes, so that every byte Weir has no business with reaches the
//! upstream as the client sent it: order, white space, number spelling and all.

mod keys;
mod messages;
mod read;
mod rewrite;
mod searches;
mod size;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use rewrite::{Change, Segments};
pub use searches::Searches;
pub use size::PromptSize;

use crate::json::{Kind, Span, string_at};

/// The most members a body may have at its top level; no API has a tenth of it.
pub const MAX_MEMBERS: usize = 1024;
/// The longest model name in bytes.
pub const MAX_NAME: usize = 256;
/// The most names in `models` or `fallbacks`.
pub const MAX_ALTERNATIVES: usize = 32;
/// The largest token cap taken seriously: no model is within three orders of magnitude of it.
pub const MAX_TOKEN_CAP: u64 = i32::MAX as u64;
/// The most choices one request may ask for.
pub const MAX_CHOICES: u64 = 128;

/// Which body it is, and so which members are Weir's to read and what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `chat/completions`: `messages` is required and an array.
    Chat,
    /// `completions`: `prompt`, a string or an array of strings or tokens.
    Completions,
    /// `embeddings`: `input` is required, a string or an array of strings or tokens.
    Embeddings,
    /// `responses`: `input`, a string or an array of items.
    Responses,
    /// Anthropic `messages`: `messages` is required and an array.
    Messages,
    /// Gemini `generateContent`: `contents` is required and an array; the model is in the path.
    Gemini,
    /// `images/*` as JSON: `prompt` is a string.
    Images,
    /// `audio/speech`: `input` is required and a string.
    Speech,
    /// `moderations`: `input` is required, a string or an array.
    Moderations,
    /// Rerank (Cohere's form): `documents` is required and an array.
    Rerank,
    /// Everything else: only `model`, `stream`, `user` and Weir's own extensions are read.
    Other,
}

/// What a body says, as far as Weir needs it. Made by [`Peek::read`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model asked for. Never empty, at most [`MAX_NAME`] bytes.
    pub model: Option<String>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the client itself asked for usage in the stream.
    pub include_usage: bool,
    /// The end user, for the record: cut to [`MAX_NAME`] bytes, control characters replaced.
    pub user: Option<String>,
    /// `max_tokens`
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`
    pub max_completion_tokens: Option<u64>,
    /// `max_output_tokens`
    pub max_output_tokens: Option<u64>,
    /// Choices asked for, 1 to [`MAX_CHOICES`].
    pub n: Option<u64>,
    /// `service_tier`, treated like `user`.
    pub service_tier: Option<String>,
    /// `encoding_format` of embeddings, treated like `user`.
    pub encoding_format: Option<String>,
    /// `messages`, `prompt`, `input`, `contents` or `documents`: where it lies and what it is.
    pub prompt: Option<Prompt>,
    /// `models`, Weir's extension: alternatives in order.
    pub models: Vec<String>,
    /// `fallbacks`, Weir's extension: models to try when the asked one fails.
    pub fallbacks: Vec<String>,
    /// Other members that cost prompt tokens: tools, functions, instructions.
    context: Vec<Span>,
    members: Vec<Member>,
    object: Option<Span>,
    model_span: Option<Span>,
    stream_options: StreamOptions,
    /// Whether `models` or `fallbacks` is there, be it empty or null.
    has_extensions: bool,
}

/// Where the prompt lies in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its bytes.
    pub span: Span,
    /// A string or an array.
    pub kind: Kind,
}

/// One top-level member: its quoted key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    key: Span,
    value: Span,
}

/// Where `include_usage` would have to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StreamOptions {
    #[default]
    Absent,
    /// `"stream_options": null`
    Null(Span),
    /// An object without `include_usage`.
    Without { object: Span, empty: bool },
    /// The span of `include_usage`'s value and whether it is `true`.
    With { value: Span, on: bool },
}

impl Peek {
    /// Reads `body`, which must be one JSON object (`../json.rs` says how strictly).
    ///
    /// Fails on a member that is read and is not what it must be, or that appears twice: two
    /// readers of one body may disagree on which counts, and rights must be checked on what is
    /// sent. Of several faults the first is told; broken JSON before any other.
    pub fn read(body: &[u8], shape: Shape) -> Result<Self, PeekError> {
        read::read(body, shape)
    }

    /// The model, or the error that it is missing.
    pub fn require_model(&self) -> Result<&str, PeekError> {
        self.model.as_deref().ok_or_else(|| {
            PeekError::new(
                PeekCode::Missing,
                Some("model"),
                "you must provide a model: add \"model\" to the request body".to_owned(),
            )
        })
    }

    /// The tightest output cap the client set, in tokens.
    #[must_use]
    pub fn max_output(&self) -> Option<u64> {
        let caps = [self.max_tokens, self.max_completion_tokens, self.max_output_tokens];
        caps.into_iter().flatten().min()
    }

    /// Whether the body has this top-level member. `body` is what was read.
    #[must_use]
    pub fn has_member(&self, body: &[u8], name: &str) -> bool {
        self.members.iter().any(|member| string_at(body, member.key).is_some_and(|key| key == name))
    }

    /// Whether this top-level member is `false`. `body` is what was read.
    #[must_use]
    pub fn is_false(&self, body: &[u8], name: &str) -> bool {
        let named = |member: &&Member| string_at(body, member.key).is_some_and(|key| key == name);
        self.members.iter().find(named).is_some_and(|member| member.value.of(body) == b"false")
    }

    /// The text of this top-level member, if it is one. `body` is what was read.
    #[must_use]
    pub fn text_member<'b>(&self, body: &'b [u8], name: &str) -> Option<Cow<'b, str>> {
        self.values(body, name).next().and_then(|value| string_at(body, value))
    }

    /// The searches that the body lets the provider run, in any dialect; none where it does not. What a
    /// model does without being told is not in it. `body` is what was read.
    #[must_use]
    pub fn searches(&self, body: &[u8]) -> Option<Searches> {
        searches::searches(self, body)
    }

    /// Where the values of this top-level member lie.
    fn values(&self, body: &[u8], name: &str) -> impl Iterator<Item = Span> {
        let named = move |member: &&Member| string_at(body, member.key).is_some_and(|key| key == name);
        self.members.iter().filter(named).map(|member| member.value)
    }

    /// How large the prompt is: see [`PromptSize`]. `body` is what was read.
    #[must_use]
    pub fn prompt_size(&self, body: &[u8]) -> PromptSize {
        let prompt = self.prompt.iter().map(|prompt| prompt.span);
        size::measure(body, prompt.chain(self.context.iter().copied()))
    }

    /// Where `name` stands in the messages, to be cut out (see [`Change::cut`]) for a provider that
    /// refuses it. `body` is what was read.
    #[must_use]
    pub fn message_names(&self, body: &[u8]) -> Vec<Span> {
        messages::names(self, body)
    }

    /// The body with `change` made to it. `body` is what was read.
    #[must_use]
    pub fn rewrite(&self, body: &bytes::Bytes, change: &Change<'_>) -> Segments {
        rewrite::rewrite(self, body, change)
    }
}

/// The machine's word for a refused body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekCode {
    /// Not JSON, not UTF-8 or not an object.
    InvalidJson,
    /// Nested too deeply.
    TooDeep,
    /// A member Weir reads is there twice.
    DuplicateKey,
    /// A member has the wrong JSON type.
    InvalidType,
    /// A member has the right type and a value that cannot be.
    InvalidValue,
    /// A member that must be there is not.
    Missing,
}

impl PeekCode {
    /// The word as it appears in an error's `code`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::DuplicateKey => "duplicate_key",
            Self::InvalidType => "invalid_type",
            Self::InvalidValue => "invalid_value",
            Self::Missing => "missing_required_parameter",
        }
    }
}

/// Why a body is refused, in the caller's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekError {
    /// The sort of fault.
    pub code: PeekCode,
    /// The member at fault, as the OpenAI error object names it.
    pub param: Option<&'static str>,
    /// What is wrong and how to mend it.
    pub message: String,
    /// The model the body asks for, if that was read before the fault: for the record.
    pub model: Option<String>,
}

impl PeekError {
    fn new(code: PeekCode, param: Option<&'static str>, message: String) -> Self {
        Self { code, param, message, model: None }
    }
}

impl fmt::Display for PeekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PeekError {}
