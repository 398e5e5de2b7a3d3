//! The parameters of a request, read.

use super::form::{COHERE, SCHEMA, bit_if, form};
use crate::hub::{DecodeError, Fields, Format, Native, Node, Num, Params, Place, Reasoning, Schema};
use crate::json::Kind;

/// Takes the parameters.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Params, DecodeError> {
    let (format, bits) = format(fields)?;
    Ok(Params {
        max_output: fields.num("max_tokens")?,
        temperature: fields.num("temperature")?,
        top_p: fields.num("p")?,
        top_k: fields.num("k")?,
        frequency_penalty: fields.num("frequency_penalty")?,
        presence_penalty: fields.num("presence_penalty")?,
        seed: fields.num("seed")?,
        stop: words(fields.list("stop_sequences")?)?,
        logprobs: fields.flag("logprobs")?,
        reasoning: reasoning(fields)?,
        stream: fields.flag("stream")?,
        format,
        form: form(bits),
        ..Params::default()
    })
}

fn words(items: Vec<(Place, Node<'_>)>) -> Result<Vec<String>, DecodeError> {
    let word = |(at, node): (Place, Node<'_>)| {
        node.text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    items.into_iter().map(word).collect()
}

/// `{"type": "enabled", "token_budget": …}`.
fn reasoning(fields: &mut Fields<'_>) -> Result<Reasoning, DecodeError> {
    let at = fields.at().member("thinking");
    let Some(node) = fields.take_kind("thinking", Kind::Object)? else { return Ok(Reasoning::default()) };
    let mut inner = node.fields(at)?;
    let enabled = inner.text("type")?.and_then(|word| match word.as_str() {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    });
    let budget: Option<Num> = inner.num("token_budget")?;
    let native = Some(Native { dialect: COHERE, json: node.json() });
    Ok(Reasoning { budget, enabled, native, ..Reasoning::default() })
}

/// `{"type": "json_object", "json_schema": …}`, with the bit for `schema`, its older word.
fn format(fields: &mut Fields<'_>) -> Result<(Option<Format>, u16), DecodeError> {
    let at = fields.at().member("response_format");
    let Some(node) = fields.take_kind("response_format", Kind::Object)? else { return Ok((None, 0)) };
    let mut outer = node.fields(at)?;
    let known = match outer.text("type")?.as_deref() {
        Some("text") => Some((Format::Text, 0)),
        Some("json_object") => Some(json(&mut outer)?),
        _ => None,
    };
    let opaque = || (Format::Opaque(Native { dialect: COHERE, json: node.json() }), 0);
    let (format, bits) = known.filter(|_| outer.is_empty()).unwrap_or_else(opaque);
    Ok((Some(format), bits))
}

fn json(outer: &mut Fields<'_>) -> Result<(Format, u16), DecodeError> {
    let newer = outer.take_kind("json_schema", Kind::Object)?;
    let older = if newer.is_none() { outer.take_kind("schema", Kind::Object)? } else { None };
    let bits = bit_if(older.is_some(), SCHEMA);
    Ok((newer.or(older).map_or(Format::JsonObject, |node| Format::JsonSchema(schema(node))), bits))
}

fn schema(node: Node<'_>) -> Schema {
    Schema {
        name: None,
        description: None,
        schema: Some(node.json()),
        strict: None,
        extra: crate::hub::Extra::default(),
    }
}
