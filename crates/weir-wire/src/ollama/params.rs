//! The parameters of a request, read.

use super::form::OLLAMA;
use crate::hub::write;
use crate::hub::{DecodeError, Effort, Fields, Format, Json, Native, Node, Num, Params, Place, Reasoning, Schema};
use crate::json::Kind;

/// Takes the parameters. What is left of `options` is the second of the return.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<(Params, Option<Json>), DecodeError> {
    let mut params = Params {
        format: format(fields)?,
        reasoning: reasoning(fields)?,
        logprobs: fields.flag("logprobs")?,
        top_logprobs: fields.num("top_logprobs")?,
        // Who says nothing is streamed to.
        stream: Some(fields.flag("stream")?.unwrap_or(true)),
        ..Params::default()
    };
    let left = match fields.peek("options").filter(|node| !node.json().is_empty()) {
        Some(_) => options(fields, &mut params)?,
        None => None,
    };
    Ok((params, left))
}

fn options(fields: &mut Fields<'_>, params: &mut Params) -> Result<Option<Json>, DecodeError> {
    let Some(mut options) = fields.object("options")? else { return Ok(None) };
    params.temperature = options.num("temperature")?;
    params.top_p = options.num("top_p")?;
    params.top_k = options.num("top_k")?;
    params.seed = options.num("seed")?;
    params.presence_penalty = options.num("presence_penalty")?;
    params.frequency_penalty = options.num("frequency_penalty")?;
    params.stop = words(options.list("stop")?)?;
    // Below nothing it says what has no number elsewhere: without end, or to the end of the window.
    let capped = options.peek("num_predict").is_none_or(|node| Num::checked(node.raw).as_u64().is_some());
    params.max_output = if capped { options.num("num_predict")? } else { None };
    let rest = options.rest(OLLAMA);
    Ok((!rest.is_empty()).then(|| Json::checked(&write::object(|o| o.extra(&rest, OLLAMA)))))
}

fn words(items: Vec<(Place, Node<'_>)>) -> Result<Vec<String>, DecodeError> {
    let word = |(at, node): (Place, Node<'_>)| {
        node.text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    items.into_iter().map(word).collect()
}

/// `think`: a boolean or a word.
fn reasoning(fields: &mut Fields<'_>) -> Result<Reasoning, DecodeError> {
    let Some(node) = fields.peek("think").filter(|node| !node.json().is_empty()) else {
        return Ok(Reasoning::default());
    };
    let (enabled, effort) = match (node.kind, node.text()) {
        (Kind::Bool, _) => (Some(node.raw == "true"), None),
        (_, Some(word)) => (None, Some(Effort::from_word(&word))),
        (kind, None) => {
            let why = format!("expected true, false or a word, found {}", kind.name());
            return Err(fields.error("think", why));
        }
    };
    fields.take("think");
    let native = Some(Native { dialect: OLLAMA, json: node.json() });
    Ok(Reasoning { enabled, effort, native, ..Reasoning::default() })
}

/// `format`: `"json"` or a schema. An empty word says nothing.
fn format(fields: &mut Fields<'_>) -> Result<Option<Format>, DecodeError> {
    let Some(node) = fields.peek("format").filter(|node| node.raw != "\"\"") else { return Ok(None) };
    let format = match (node.kind, node.text().as_deref()) {
        (Kind::Object, _) => Format::JsonSchema(Schema {
            name: None,
            description: None,
            schema: Some(node.json()),
            strict: None,
            extra: crate::hub::Extra::default(),
        }),
        (_, Some("json")) => Format::JsonObject,
        (_, Some(_)) => Format::Opaque(Native { dialect: OLLAMA, json: node.json() }),
        (kind, None) => {
            return Err(fields.error("format", format!("expected json or a schema, found {}", kind.name())));
        }
    };
    fields.take("format");
    Ok(Some(format))
}
