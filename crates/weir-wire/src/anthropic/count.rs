//! `count_tokens`: how many tokens a request's prompt has. Its request is a message's without what
//! is generated, and is read by [`super::decode_request`].

use super::decode_answer::in_band;
use super::encode_request;
use crate::hub::{AnswerError, EncodeError, Encoded, Mode, Node, Place, Request, Target, write};

/// Writes a request to count tokens. See [`super::encode_request`].
pub fn encode_count_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    encode_request::encode(request, target, false)
}

/// Reads the answer to a request to count tokens.
pub fn decode_count(body: &[u8]) -> Result<u64, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = fields.peek("error").and_then(in_band) {
        return Err(AnswerError::Upstream(error));
    }
    let count = fields.count("input_tokens")?;
    count.ok_or_else(|| fields.error("input_tokens", "missing, expected a whole number").into())
}

/// The answer to a request to count tokens.
#[must_use]
pub fn encode_count(tokens: u64) -> String {
    write::object(|o| o.count("input_tokens", tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back() {
        assert_eq!(encode_count(7), r#"{"input_tokens":7}"#);
        assert_eq!(decode_count(encode_count(7).as_bytes()), Ok(7));
        assert!(matches!(decode_count(br#"{"type":"error","error":{"message":"x"}}"#), Err(AnswerError::Upstream(_))));
        assert!(matches!(decode_count(b"{}"), Err(AnswerError::Decode(_))));
    }
}
