//! The parameters of a request, read.

use super::content;
use super::form::{CHAT, EFFORT, MAX_TOKENS, ONE_STOP, THINKING, bit_if, form};
use crate::hub::{
    DecodeError, Effort, Fields, Format, Mode, Native, Node, Params, Place, Prediction, Reasoning, Schema, Tier,
};
use crate::json::Kind;

/// Takes the parameters. `bits` are those of the form that are known already.
pub(super) fn take(fields: &mut Fields<'_>, bits: u16) -> Result<Params, DecodeError> {
    let (max_output, cap_bits) = cap(fields)?;
    let (stop, stop_bits) = stop(fields)?;
    let (reasoning, reasoning_bits) = reasoning(fields)?;
    let mut params = Params {
        max_output,
        stop,
        reasoning,
        temperature: fields.num("temperature")?,
        top_p: fields.num("top_p")?,
        top_k: fields.num("top_k")?,
        frequency_penalty: fields.num("frequency_penalty")?,
        presence_penalty: fields.num("presence_penalty")?,
        seed: fields.num("seed")?,
        n: fields.num("n")?,
        logprobs: fields.flag("logprobs")?,
        top_logprobs: fields.num("top_logprobs")?,
        logit_bias: fields.take_kind("logit_bias", Kind::Object)?.map(Node::json),
        format: format(fields)?,
        verbosity: fields.text("verbosity")?,
        tier: fields.text("service_tier")?.map(|word| Tier::from_word(&word)),
        metadata: fields.take_kind("metadata", Kind::Object)?.map(Node::json),
        user: fields.text("user")?,
        safety_identifier: fields.text("safety_identifier")?,
        cache_key: fields.text("prompt_cache_key")?,
        modalities: words(fields, "modalities")?,
        audio: native(fields, "audio")?,
        prediction: prediction(fields)?,
        web_search: native(fields, "web_search_options")?,
        store: fields.flag("store")?,
        stream: fields.flag("stream")?,
        form: form(bits | cap_bits | stop_bits | reasoning_bits),
        ..Params::default()
    };
    if let Some(mut options) = fields.object("stream_options")? {
        params.stream_usage = options.flag("include_usage")?;
        params.stream_obfuscation = options.flag("include_obfuscation")?;
        params.stream_extra = options.rest(CHAT);
    }
    Ok(params)
}

/// Takes the parameters of a request that has no tools.
pub(crate) fn take_plain(fields: &mut Fields<'_>) -> Result<Params, DecodeError> {
    take(fields, 0)
}

/// The cap: the newer member, or else the older. With both, the older is left.
fn cap(fields: &mut Fields<'_>) -> Result<(Option<crate::hub::Num>, u16), DecodeError> {
    match fields.num("max_completion_tokens")? {
        Some(cap) => Ok((Some(cap), 0)),
        None => {
            let cap = fields.num("max_tokens")?;
            let bits = bit_if(cap.is_some(), MAX_TOKENS);
            Ok((cap, bits))
        }
    }
}

fn stop(fields: &mut Fields<'_>) -> Result<(Vec<String>, u16), DecodeError> {
    if fields.peek("stop").is_some_and(|node| node.kind == Kind::String) {
        return Ok((vec![fields.require_text("stop")?], ONE_STOP));
    }
    Ok((words(fields, "stop")?, 0))
}

/// A list of strings.
fn words(fields: &mut Fields<'_>, name: &str) -> Result<Vec<String>, DecodeError> {
    let items = fields.list(name)?;
    let word = |(at, node): (Place, Node<'_>)| {
        node.text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    items.into_iter().map(word).collect()
}

fn native(fields: &mut Fields<'_>, name: &str) -> Result<Option<Native>, DecodeError> {
    let node = fields.take_kind(name, Kind::Object)?;
    Ok(node.map(|node| Native { dialect: CHAT, json: node.json() }))
}

/// `reasoning_effort` (OpenAI), `reasoning` (OpenRouter), `thinking` (several, after Anthropic).
/// With both of the last two, `thinking` is left.
fn reasoning(fields: &mut Fields<'_>) -> Result<(Reasoning, u16), DecodeError> {
    let effort = fields.text("reasoning_effort")?.map(|word| Effort::from_word(&word));
    let effort_bits = bit_if(effort.is_some(), EFFORT);
    let mut reasoning = Reasoning { effort, ..Reasoning::default() };
    let of = |name: &str| fields.peek(name).filter(|node| node.kind == Kind::Object);
    let (name, node, bits) = match (of("reasoning"), of("thinking")) {
        (Some(node), _) => ("reasoning", node, 0),
        (None, Some(node)) => ("thinking", node, THINKING),
        (None, None) => return Ok((reasoning, effort_bits)),
    };
    fields.take(name);
    let mut inner = node.fields(fields.at().member(name))?;
    if let Some(word) = inner.text("effort")? {
        reasoning.effort.get_or_insert_with(|| Effort::from_word(&word));
    }
    let budget = inner.num("max_tokens")?;
    reasoning.budget = budget.or(inner.num("budget_tokens")?);
    let switched = inner.peek("type").and_then(Node::text).and_then(|word| match &*word {
        "enabled" | "adaptive" => Some(true),
        "disabled" => Some(false),
        _ => None,
    });
    reasoning.enabled = if bits == THINKING { switched } else { inner.flag("enabled")? };
    reasoning.native = Some(Native { dialect: CHAT, json: node.json() });
    Ok((reasoning, bits | effort_bits))
}

fn format(fields: &mut Fields<'_>) -> Result<Option<Format>, DecodeError> {
    let at = fields.at().member("response_format");
    let Some(node) = fields.take_kind("response_format", Kind::Object)? else { return Ok(None) };
    let mut outer = node.fields(at)?;
    let kind = outer.text("type")?;
    let known = match kind.as_deref() {
        Some("text") => Some(Format::Text),
        Some("json_object") => Some(Format::JsonObject),
        Some("json_schema") => Some(Format::JsonSchema(schema(outer.require_object("json_schema")?)?)),
        _ => None,
    };
    let opaque = || Format::Opaque(Native { dialect: CHAT, json: node.json() });
    Ok(Some(known.filter(|_| outer.is_empty()).unwrap_or_else(opaque)))
}

fn schema(mut inner: Fields<'_>) -> Result<Schema, DecodeError> {
    Ok(Schema {
        name: inner.text("name")?,
        description: inner.text("description")?,
        schema: inner.take_kind("schema", Kind::Object)?.map(Node::json),
        strict: inner.flag("strict")?,
        extra: inner.rest(CHAT),
    })
}

/// `{"type": "content", "content": …}`. Other types are left.
fn prediction(fields: &mut Fields<'_>) -> Result<Option<Prediction>, DecodeError> {
    let at = fields.at().member("prediction");
    let Some(node) = fields.peek("prediction").filter(|node| node.kind == Kind::Object) else { return Ok(None) };
    let mut inner = node.fields(at.clone())?;
    if inner.text("type")?.as_deref() != Some("content") {
        return Ok(None);
    }
    fields.take("prediction");
    let parts = content::take(&mut inner, "content", Mode::Request)?;
    Ok(Some(Prediction { parts, form: form(0), at, extra: inner.rest(CHAT) }))
}
