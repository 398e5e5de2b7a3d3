//! A request in OpenAI's form, read.

use super::{Encoding, Input, Purpose, Request, Truncate};
use crate::hub::{DecodeError, Dialect, Fields, Mode, Node, Num, Place};
use crate::json::{Kind, Reader};

/// Where callers say what a text is for: as Cohere and Voyage, Gemini (in its clients' words and in
/// its own), Jina have it.
pub(super) const PURPOSES: [&str; 4] = ["input_type", "task_type", "taskType", "task"];
/// Where they say what becomes of long texts.
pub(super) const TRUNCATIONS: [&str; 2] = ["truncate", "truncation"];

/// Reads a request. Members beside OpenAI's are kept for providers of its form.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let (inputs, single) = inputs(&mut fields)?;
    let dimensions = fields.num("dimensions")?;
    if dimensions.as_ref().is_some_and(|count| count.as_u64().is_none_or(|count| count == 0)) {
        return Err(fields.error("dimensions", "expected a whole number of at least 1"));
    }
    Ok(Request {
        model: fields.text("model")?.unwrap_or_default(),
        inputs,
        single,
        dimensions,
        encoding: encoding(&mut fields)?,
        user: fields.text("user")?,
        purpose: purpose(&fields),
        truncate: truncate(&fields),
        extra: fields.rest(Dialect::OpenAiChat),
    })
}

fn encoding(fields: &mut Fields<'_>) -> Result<Option<Encoding>, DecodeError> {
    Ok(match fields.text("encoding_format")?.as_deref() {
        None => None,
        Some("float") => Some(Encoding::Float),
        Some("base64") => Some(Encoding::Base64),
        Some(other) => {
            return Err(fields.error("encoding_format", format!("unknown word {other:?}, expected float or base64")));
        }
    })
}

fn purpose(fields: &Fields<'_>) -> Option<Purpose> {
    PURPOSES.iter().find_map(|name| Purpose::from_word(&fields.peek(name)?.text()?))
}

fn truncate(fields: &Fields<'_>) -> Option<Truncate> {
    TRUNCATIONS.iter().find_map(|name| {
        let node = fields.peek(name)?;
        Some(match (node.raw, node.text().as_deref()) {
            ("true", _) | (_, Some("END")) => Truncate::End,
            ("false", _) | (_, Some("NONE")) => Truncate::No,
            (_, Some("START")) => Truncate::Start,
            _ => return None,
        })
    })
}

/// `input`: a text, texts, tokens, or lists of tokens; and whether it is one.
fn inputs(fields: &mut Fields<'_>) -> Result<(Vec<Input>, bool), DecodeError> {
    const EXPECTED: &str = "expected a string, strings, tokens or lists of tokens";
    let Some(node) = fields.take("input") else { return Err(fields.error("input", format!("missing, {EXPECTED}"))) };
    let at = fields.at().member("input");
    if node.kind == Kind::String {
        return Ok((vec![one(node, &at)?], true));
    }
    if let Some(tokens) = tokens(node) {
        return Ok((vec![tokens], true));
    }
    if node.kind != Kind::Array {
        return Err(fields.error("input", EXPECTED));
    }
    let items = node.items(&at)?;
    if items.is_empty() {
        return Err(fields.error("input", "empty, send at least one text"));
    }
    let inputs = items.iter().map(|(at, node)| one(*node, at)).collect::<Result<_, _>>()?;
    Ok((inputs, false))
}

fn one(node: Node<'_>, at: &Place) -> Result<Input, DecodeError> {
    let text = node.text().map(|text| Input::Text(text.into_owned()));
    let wrong = || DecodeError::new(at.as_str(), "expected a string or a list of token numbers");
    text.or_else(|| tokens(node)).ok_or_else(wrong)
}

/// A list of token numbers that is not empty.
fn tokens(node: Node<'_>) -> Option<Input> {
    let mut reader = Reader::new(node.raw.as_bytes()).ok().filter(|_| node.kind == Kind::Array)?;
    let (mut count, mut whole) = (0, true);
    let read = reader.array(|reader| {
        let value = reader.skip()?;
        count += 1;
        whole &= value.kind == Kind::Number && Num::checked(reader.raw(value.span)).as_u64().is_some();
        Ok(())
    });
    (read.is_ok() && whole && count > 0).then(|| Input::Tokens(node.json(), count))
}
