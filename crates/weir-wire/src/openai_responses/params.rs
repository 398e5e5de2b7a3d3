//! The parameters of a request, read.

use super::form::{ENCRYPTED, LOGPROBS, RESPONSES};
use crate::hub::{DecodeError, Effort, Fields, Format, Native, Node, Params, Reasoning, Schema, Tier};
use crate::json::Kind;

/// Takes the parameters. The second are the names of members that are left for a re-encoding in
/// this dialect and say nothing more to others.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<(Params, Vec<&'static str>), DecodeError> {
    let mut quiet = Vec::new();
    let included = included(fields)?;
    if !included.beyond {
        quiet.push("include");
    }
    let (format, verbosity, hollow) = text(fields)?;
    if hollow {
        quiet.push("text");
    }
    let mut params = Params {
        format,
        verbosity,
        max_output: fields.num("max_output_tokens")?,
        temperature: fields.num("temperature")?,
        top_p: fields.num("top_p")?,
        logprobs: included.logprobs.then_some(true),
        top_logprobs: fields.num("top_logprobs")?,
        reasoning: reasoning(fields)?,
        tier: fields.text("service_tier")?.map(|word| Tier::from_word(&word)),
        metadata: fields.take_kind("metadata", Kind::Object)?.map(Node::json),
        user: fields.text("user")?,
        safety_identifier: fields.text("safety_identifier")?,
        cache_key: fields.text("prompt_cache_key")?,
        store: fields.flag("store")?,
        stream: fields.flag("stream")?,
        ..Params::default()
    };
    if let Some(mut options) = fields.object("stream_options")? {
        params.stream_obfuscation = options.flag("include_obfuscation")?;
        params.stream_extra = options.rest(RESPONSES);
    }
    Ok((params, quiet))
}

struct Included {
    logprobs: bool,
    /// There are words that other dialects would have to know.
    beyond: bool,
}

/// Looks at `include` and leaves it. Encrypted thoughts are given to callers in any case.
fn included(fields: &Fields<'_>) -> Result<Included, DecodeError> {
    let mut included = Included { logprobs: false, beyond: false };
    let Some(node) = fields.peek("include") else { return Ok(included) };
    for (_, node) in node.items(&fields.at().member("include"))? {
        match node.text().as_deref() {
            Some(LOGPROBS) => included.logprobs = true,
            Some(ENCRYPTED) => {}
            _ => included.beyond = true,
        }
    }
    Ok(included)
}

/// Takes `text`; if it says more than is understood it is left as well, and goes back as it was.
/// The last says whether what it says more is nothing.
fn text(fields: &mut Fields<'_>) -> Result<(Option<Format>, Option<String>, bool), DecodeError> {
    let Some(node) = fields.peek("text") else { return Ok((None, None, false)) };
    let at = fields.at().member("text");
    if node.kind != Kind::Object {
        return Err(fields.error("text", format!("expected an object, found {}", node.kind.name())));
    }
    let mut inner = node.fields(at)?;
    let (format, verbosity) = (format(&mut inner)?, inner.text("verbosity")?);
    let said = format.is_some() || verbosity.is_some();
    if said && inner.is_empty() {
        fields.take("text");
        return Ok((format, verbosity, false));
    }
    let hollow = inner.rest(RESPONSES).members().iter().all(|(_, value)| value.is_empty());
    Ok((format, verbosity, hollow))
}

fn format(text: &mut Fields<'_>) -> Result<Option<Format>, DecodeError> {
    let at = text.at().member("format");
    let Some(node) = text.take_kind("format", Kind::Object)? else { return Ok(None) };
    let mut inner = node.fields(at)?;
    Ok(Some(match inner.text("type")?.as_deref() {
        Some("text") if inner.is_empty() => Format::Text,
        Some("json_object") if inner.is_empty() => Format::JsonObject,
        Some("json_schema") => Format::JsonSchema(Schema {
            name: inner.text("name")?,
            description: inner.text("description")?,
            schema: inner.take_kind("schema", Kind::Object)?.map(Node::json),
            strict: inner.flag("strict")?,
            extra: inner.rest(RESPONSES),
        }),
        _ => Format::Opaque(Native { dialect: RESPONSES, json: node.json() }),
    }))
}

/// `reasoning`. An empty one is left.
fn reasoning(fields: &mut Fields<'_>) -> Result<Reasoning, DecodeError> {
    let mut reasoning = Reasoning::default();
    let Some(node) = fields.peek("reasoning") else { return Ok(reasoning) };
    if node.kind == Kind::Object && node.json().is_empty() {
        return Ok(reasoning);
    }
    let Some(mut inner) = fields.object("reasoning")? else { return Ok(reasoning) };
    reasoning.effort = inner.text("effort")?.map(|word| Effort::from_word(&word));
    reasoning.summary = match inner.text("summary")? {
        None => inner.text("generate_summary")?,
        summary => summary,
    };
    reasoning.native = Some(Native { dialect: RESPONSES, json: node.json() });
    Ok(reasoning)
}
