//! The parameters of a request, read.

use super::form::{OUTPUT_FORMAT, OWN, bit_if, form};
use crate::hub::{
    DecodeError, Effort, Extra, Fields, Format, Json, Native, Node, Params, Place, Reasoning, Schema, Tier, write,
};
use crate::json::Kind;

/// Takes the parameters, and what is left of `output_config`. `bits` are those of the form that are
/// known already.
pub(super) fn take(fields: &mut Fields<'_>, bits: u16) -> Result<(Params, Option<Json>), DecodeError> {
    let mut reasoning = thinking(fields)?;
    let (effort, mut format, rest) = output_config(fields)?;
    reasoning.effort = effort;
    let older = if format.is_none() { self::format(fields, "output_format")? } else { None };
    let bits = bits | bit_if(older.is_some(), OUTPUT_FORMAT);
    format = format.or(older);
    let params = Params {
        max_output: fields.num("max_tokens")?,
        temperature: fields.num("temperature")?,
        top_p: fields.num("top_p")?,
        top_k: fields.num("top_k")?,
        stop: stops(fields)?,
        reasoning,
        format,
        tier: tier(fields)?,
        user: user(fields)?,
        stream: fields.flag("stream")?,
        form: form(bits),
        ..Params::default()
    };
    Ok((params, rest))
}

/// The members nobody took, with what is left of `output_config` among them.
pub(super) fn with_rest(extra: Extra, rest: Option<Json>) -> Extra {
    let Some(rest) = rest else { return extra };
    let mut members = extra.members().to_vec();
    members.push(("output_config".to_owned(), rest));
    Extra::new(OWN, members)
}

fn stops(fields: &mut Fields<'_>) -> Result<Vec<String>, DecodeError> {
    let word = |(at, node): (Place, Node<'_>)| {
        node.text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    fields.list("stop_sequences")?.into_iter().map(word).collect()
}

fn thinking(fields: &mut Fields<'_>) -> Result<Reasoning, DecodeError> {
    let at = fields.at().member("thinking");
    let Some(node) = fields.take_kind("thinking", Kind::Object)? else { return Ok(Reasoning::default()) };
    let mut inner = node.fields(at)?;
    let enabled = match inner.text("type")?.as_deref() {
        Some("enabled" | "adaptive" | "between_tools") => Some(true),
        Some("disabled") => Some(false),
        _ => None,
    };
    Ok(Reasoning {
        effort: None,
        budget: inner.num("budget_tokens")?,
        enabled,
        summary: inner.text("display")?.filter(|display| display != "omitted"),
        native: Some(Native { dialect: OWN, json: node.json() }),
    })
}

type OutputConfig = (Option<Effort>, Option<Format>, Option<Json>);

fn output_config(fields: &mut Fields<'_>) -> Result<OutputConfig, DecodeError> {
    let Some(mut inner) = fields.object("output_config")? else { return Ok((None, None, None)) };
    let effort = inner.text("effort")?.map(|word| Effort::from_word(&word));
    let format = format(&mut inner, "format")?;
    let hollow = effort.is_none() && format.is_none();
    let left = !inner.is_empty() || hollow;
    let rest = inner.rest(OWN);
    let rest = left.then(|| Json::checked(&write::object(|o| o.extra(&rest, OWN))));
    Ok((effort, format, rest))
}

fn format(fields: &mut Fields<'_>, name: &str) -> Result<Option<Format>, DecodeError> {
    let at = fields.at().member(name);
    let Some(node) = fields.take_kind(name, Kind::Object)? else { return Ok(None) };
    let mut inner = node.fields(at)?;
    let known = inner.text("type")?.as_deref() == Some("json_schema");
    let schema = inner.take_kind("schema", Kind::Object)?.map(Node::json);
    if !known || schema.is_none() || !inner.is_empty() {
        return Ok(Some(Format::Opaque(Native { dialect: OWN, json: node.json() })));
    }
    let schema = Schema { name: None, description: None, schema, strict: None, extra: Extra::default() };
    Ok(Some(Format::JsonSchema(schema)))
}

/// `service_tier`, or else `speed`.
fn tier(fields: &mut Fields<'_>) -> Result<Option<Tier>, DecodeError> {
    if let Some(word) = fields.text("service_tier")? {
        return Ok(Some(match word.as_str() {
            "auto" => Tier::Auto,
            "standard_only" => Tier::Standard,
            _ => Tier::Other(word),
        }));
    }
    if fields.peek("speed").and_then(Node::text).as_deref() != Some("fast") {
        return Ok(None);
    }
    fields.take("speed");
    Ok(Some(Tier::Fast))
}

/// `metadata.user_id`. Metadata that say more are left, and written again as they were.
fn user(fields: &mut Fields<'_>) -> Result<Option<String>, DecodeError> {
    let at = fields.at().member("metadata");
    let Some(node) = fields.peek("metadata").filter(|node| node.kind == Kind::Object) else { return Ok(None) };
    let mut inner = node.fields(at)?;
    let user = inner.text("user_id")?;
    if user.is_some() && inner.is_empty() {
        fields.take("metadata");
    }
    Ok(user)
}
