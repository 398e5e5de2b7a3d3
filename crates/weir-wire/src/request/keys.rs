//! The members Weir reads, by shape.

use super::Shape;
use crate::json::Kind;

/// A member Weir reads. Its number is its bit in the set of those seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Model,
    Stream,
    StreamOptions,
    User,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    N,
    ServiceTier,
    EncodingFormat,
    Messages,
    Prompt,
    Input,
    Tools,
    Functions,
    Instructions,
    Models,
    Fallbacks,
    System,
    SystemInstruction,
    Contents,
    GenerationConfig,
    Query,
    Documents,
}

impl Known {
    /// The member `name` if bodies of this shape are read for it.
    pub(super) fn of(name: &str, shape: Shape) -> Option<Self> {
        let known = Self::named(name)?;
        known.read_in(shape).then_some(known)
    }

    /// Its key.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::User => "user",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::N => "n",
            Self::ServiceTier => "service_tier",
            Self::EncodingFormat => "encoding_format",
            Self::Messages => "messages",
            Self::Prompt => "prompt",
            Self::Input => "input",
            Self::Tools => "tools",
            Self::Functions => "functions",
            Self::Instructions => "instructions",
            Self::Models => "models",
            Self::Fallbacks => "fallbacks",
            Self::System => "system",
            Self::SystemInstruction => "systemInstruction",
            Self::Contents => "contents",
            Self::GenerationConfig => "generationConfig",
            Self::Query => "query",
            Self::Documents => "documents",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "model" => Self::Model,
            "stream" => Self::Stream,
            "stream_options" => Self::StreamOptions,
            "user" => Self::User,
            "max_tokens" => Self::MaxTokens,
            "max_completion_tokens" => Self::MaxCompletionTokens,
            "max_output_tokens" => Self::MaxOutputTokens,
            "n" => Self::N,
            "service_tier" => Self::ServiceTier,
            "encoding_format" => Self::EncodingFormat,
            "messages" => Self::Messages,
            "prompt" => Self::Prompt,
            "input" => Self::Input,
            "tools" => Self::Tools,
            "functions" => Self::Functions,
            "instructions" => Self::Instructions,
            "models" => Self::Models,
            "fallbacks" => Self::Fallbacks,
            "system" => Self::System,
            "systemInstruction" | "system_instruction" => Self::SystemInstruction,
            "contents" => Self::Contents,
            "generationConfig" | "generation_config" => Self::GenerationConfig,
            "query" => Self::Query,
            "documents" => Self::Documents,
            _ => return None,
        })
    }

    /// Members of an operation Weir does not meter by are left to the upstream to judge.
    fn read_in(self, shape: Shape) -> bool {
        let generates = matches!(shape, Shape::Chat | Shape::Completions | Shape::Responses);
        match self {
            Self::Models | Self::Fallbacks => true,
            // Its model and whether it streams are in the path.
            Self::Model | Self::Stream | Self::User => shape != Shape::Gemini,
            Self::MaxTokens => generates || shape == Shape::Messages,
            Self::Tools => generates || matches!(shape, Shape::Messages | Shape::Gemini),
            Self::StreamOptions | Self::MaxCompletionTokens => generates,
            Self::MaxOutputTokens | Self::Functions => generates,
            Self::System => shape == Shape::Messages,
            Self::SystemInstruction | Self::GenerationConfig => shape == Shape::Gemini,
            Self::N => generates || shape == Shape::Images,
            Self::ServiceTier => generates || matches!(shape, Shape::Embeddings | Shape::Messages),
            Self::EncodingFormat => shape == Shape::Embeddings,
            Self::Instructions => matches!(shape, Shape::Responses | Shape::Speech),
            Self::Query => shape == Shape::Rerank,
            Self::Messages | Self::Prompt | Self::Input | Self::Contents | Self::Documents => {
                prompt_rule(shape).is_some_and(|rule| rule.key == self)
            }
        }
    }
}

/// Which member holds the prompt of a shape.
pub(super) struct PromptRule {
    pub(super) key: Known,
    pub(super) kinds: &'static [Kind],
    pub(super) expected: &'static str,
    pub(super) required: bool,
}

/// The prompt's rule, `None` where Weir does not look for one.
pub(super) fn prompt_rule(shape: Shape) -> Option<PromptRule> {
    const TEXT: &[Kind] = &[Kind::String];
    const LIST: &[Kind] = &[Kind::Array];
    const TEXT_OR_LIST: &[Kind] = &[Kind::String, Kind::Array];
    let (key, kinds, required) = match shape {
        Shape::Chat | Shape::Messages => (Known::Messages, LIST, true),
        Shape::Gemini => (Known::Contents, LIST, true),
        Shape::Rerank => (Known::Documents, LIST, true),
        Shape::Completions => (Known::Prompt, TEXT_OR_LIST, false),
        // A stored prompt (`prompt: {id}`) or a continued conversation needs no input.
        Shape::Responses => (Known::Input, TEXT_OR_LIST, false),
        Shape::Embeddings | Shape::Moderations => (Known::Input, TEXT_OR_LIST, true),
        Shape::Images => (Known::Prompt, TEXT, false),
        Shape::Speech => (Known::Input, TEXT, true),
        Shape::Other => return None,
    };
    let expected = match kinds {
        [Kind::String] => "a string",
        [Kind::Array] => "an array",
        _ => "a string or an array",
    };
    Some(PromptRule { key, kinds, expected, required })
}
