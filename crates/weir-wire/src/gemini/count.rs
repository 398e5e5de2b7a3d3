//! `:countTokens`: how many tokens a request's prompt has.

use super::decode_answer::in_band;
use super::form::GEMINI;
use super::names::name_of;
use super::{decode_request, encode_request};
use crate::hub::{
    AnswerError, DecodeError, EncodeError, Encoded, Loss, LossKind, Mode, Node, Place, Request, Target, write,
};

/// The member that holds a whole `generateContent` request.
const WRAPPER: &str = "generateContentRequest";
/// What Vertex AI takes beside the contents (its reference, `countTokens`).
const FLAT: [&str; 4] = ["contents", "systemInstruction", "tools", "generationConfig"];

/// How a provider of this dialect is asked to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountForm {
    /// The Gemini API: in `generateContentRequest`.
    Wrapped,
    /// Vertex AI: the members that count stand in the body.
    Flat,
}

/// Reads a request to count tokens: `contents` and what else Vertex AI takes, or a whole
/// `generateContentRequest`.
pub fn decode_count(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let (name, _) = name_of(&fields, WRAPPER);
    let Some(inner) = fields.object(name)? else { return decode_request::read(fields) };
    if fields.peek("contents").is_some() {
        return Err(fields.error("contents", format!("stands beside {name}: send one of them")));
    }
    let outer = fields.text("model")?;
    if let Some((beside, _)) = fields.rest(GEMINI).loud().iter().find(|(_, value)| !value.is_empty()) {
        return Err(DecodeError::new(beside.as_str(), format!("unknown member beside {name}: put it within")));
    }
    let mut request = decode_request::read(inner)?;
    if request.model.is_empty() {
        request.model = outer.unwrap_or_default();
    }
    Ok(request)
}

/// Writes a request to count tokens. See [`super::encode_request`].
pub fn encode_count_request(request: &Request, target: &Target<'_>, form: CountForm) -> Result<Encoded, EncodeError> {
    let Encoded { body, losses } = encode_request(request, target)?;
    match form {
        CountForm::Wrapped => Ok(Encoded { body: wrapped(&body, target.model), losses }),
        CountForm::Flat => Ok(flat(&body, losses)),
    }
}

/// The request within, which must name its model.
fn wrapped(body: &str, model: &str) -> String {
    let members = Node::of_body(body.as_bytes(), Mode::Answer).and_then(|node| node.fields(Place::root()));
    write::object(|o| {
        o.object(WRAPPER, |o| {
            let named = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
            o.text("model", &named);
            if let Ok(fields) = members {
                o.extra(&fields.rest(GEMINI), GEMINI);
            }
        });
    })
}

/// What of the request counts. How the answer is made does not, and is left out; a cache does.
fn flat(body: &str, mut losses: Vec<Loss>) -> Encoded {
    let members = Node::of_body(body.as_bytes(), Mode::Answer).and_then(|node| node.fields(Place::root()));
    let body = write::object(|o| {
        let Ok(mut fields) = members else { return };
        for name in FLAT {
            if let Some(node) = fields.take(name_of(&fields, name).0) {
                o.raw(name, node.raw);
            }
        }
        if fields.peek(name_of(&fields, "cachedContent").0).is_some() {
            let why = "the provider counts no cached contents: add those of the cache".to_owned();
            losses.push(Loss { field: "cachedContent".to_owned(), what: LossKind::Dropped, why });
        }
    });
    Encoded { body, losses }
}

/// Reads the answer to a request to count tokens.
pub fn decode_count_answer(body: &[u8]) -> Result<u64, AnswerError> {
    let node = Node::of_body(body, Mode::Answer)?;
    if let Some(error) = in_band(node) {
        return Err(AnswerError::Upstream(error));
    }
    let mut fields = node.fields(Place::root())?;
    let count = fields.count("totalTokens")?;
    count.ok_or_else(|| fields.error("totalTokens", "missing, expected a whole number").into())
}

/// The answer to a request to count tokens.
#[must_use]
pub fn encode_count(tokens: u64) -> String {
    write::object(|o| o.count("totalTokens", tokens))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::hub::{Capabilities, Dialect};

    fn read(tree: &Value) -> Result<Request, String> {
        decode_count(tree.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn written(request: &Request, form: CountForm) -> (Value, usize) {
        let capabilities = Capabilities::default();
        let target = Target { model: "g", capabilities: &capabilities, caller: Dialect::Gemini };
        let encoded = encode_count_request(request, &target, form).unwrap();
        (serde_json::from_str(&encoded.body).unwrap(), encoded.losses.len())
    }

    fn within() -> Value {
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "systemInstruction": {"parts": [{"text": "s"}]},
            "tools": [{"googleSearch": {}}], "generationConfig": {"topK": 3}})
    }

    #[test]
    fn a_request_is_read_in_both_forms_and_written_in_both() {
        let mut named = within();
        named["model"] = "models/g".into();
        for name in [WRAPPER, "generate_content_request"] {
            assert_eq!(read(&json!({name: named})).unwrap().model, "models/g");
        }
        let flat = read(&within()).unwrap();
        let whole = read(&json!({WRAPPER: within(), "model": "models/g"})).unwrap();
        assert_eq!(whole.turns, flat.turns);
        assert_eq!((whole.model.as_str(), flat.model.as_str()), ("models/g", ""));
        assert_eq!(written(&flat, CountForm::Flat), (within(), 0));
        assert_eq!(written(&flat, CountForm::Wrapped), (json!({WRAPPER: named}), 0));
    }

    #[test]
    fn what_does_not_count_is_left_out_where_it_is_not_taken() {
        let mut tree = within();
        tree["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY"}});
        tree["cachedContent"] = "c".into();
        let request = read(&tree).unwrap();
        assert_eq!(written(&request, CountForm::Flat), (within(), 1));
        tree["model"] = "models/g".into();
        assert_eq!(written(&request, CountForm::Wrapped), (json!({WRAPPER: tree}), 0));
    }

    #[test]
    fn what_is_no_request_is_told_with_its_place() {
        for (tree, told) in [
            (json!({}), "contents: missing, expected a list of contents"),
            (json!({WRAPPER: {}}), "generateContentRequest.contents: missing, expected a list of contents"),
            (
                json!({WRAPPER: {"contents": []}, "contents": []}),
                "contents: stands beside generateContentRequest: send one of them",
            ),
            (
                json!({WRAPPER: {"contents": []}, "tools": [1]}),
                "tools: unknown member beside generateContentRequest: put it within",
            ),
        ] {
            assert_eq!(read(&tree).unwrap_err(), told);
        }
    }

    #[test]
    fn counts_come_back() {
        assert_eq!(encode_count(7), r#"{"totalTokens":7}"#);
        assert_eq!(decode_count_answer(encode_count(7).as_bytes()), Ok(7));
        let details = br#"{"totalTokens":9,"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]}"#;
        assert_eq!(decode_count_answer(details), Ok(9));
        let error = br#"{"error":{"code":404,"message":"x"}}"#;
        assert!(matches!(decode_count_answer(error), Err(AnswerError::Upstream(_))));
        assert!(matches!(decode_count_answer(b"{}"), Err(AnswerError::Decode(_))));
    }
}
