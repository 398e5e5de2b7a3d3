//! From any dialect to any: the one table of who reads and writes which.
//!
//! A codec knows its own dialect and the hub. Here they are put behind one name each, so that whoever
//! carries a request need not know the dialects apart: [`decode_request`] and [`encode_request`] on
//! the way out, [`Caller`] (the answer's writer for one request), [`decode_answer`] and [`Decoder`] (a
//! stream's bytes to events) on the way back, [`Facts`] for the record.

mod caller;
mod decoder;
mod facts;

#[cfg(test)]
mod tests;

pub use caller::{Caller, Encoder, Inbound};
pub use decoder::Decoder;
pub use facts::Facts;

use crate::hub::{Answer, AnswerError, DecodeError, Dialect, EncodeError, Encoded, Request, Target};
use crate::rules::UsageRules;
use crate::{anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses};

/// Reads a request of this dialect.
pub fn decode_request(dialect: Dialect, body: &[u8]) -> Result<Request, DecodeError> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::decode_request(body),
        Dialect::OpenAiResponses => openai_responses::decode_request(body),
        Dialect::Anthropic => anthropic::decode_request(body),
        Dialect::Gemini => gemini::decode_request(body),
        Dialect::Bedrock => bedrock::decode_request(body),
        Dialect::Cohere => cohere::decode_request(body),
        Dialect::Ollama => ollama::decode_request(body),
    }
}

/// Writes a request in this dialect.
pub fn encode_request(dialect: Dialect, request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::encode_request(request, target),
        Dialect::OpenAiResponses => openai_responses::encode_request(request, target),
        Dialect::Anthropic => anthropic::encode_request(request, target),
        Dialect::Gemini => gemini::encode_request(request, target),
        Dialect::Bedrock => bedrock::encode_request(request, target),
        Dialect::Cohere => cohere::encode_request(request, target),
        Dialect::Ollama => ollama::encode_request(request, target),
    }
}

/// Reads a whole answer of this dialect.
pub fn decode_answer(dialect: Dialect, body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::decode_answer(body, rules),
        Dialect::OpenAiResponses => openai_responses::decode_answer(body, rules),
        Dialect::Anthropic => anthropic::decode_answer(body, rules),
        Dialect::Gemini => gemini::decode_answer(body, rules),
        Dialect::Bedrock => bedrock::decode_answer(body, rules),
        Dialect::Cohere => cohere::decode_answer(body, rules),
        Dialect::Ollama => ollama::decode_answer(body, rules),
    }
}
