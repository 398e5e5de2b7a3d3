//! The parameters of a request, read: `generationConfig`, `serviceTier` and `labels`.

use super::form::GEMINI;
use super::names::Aliases;
use super::{format, reasoning};
use crate::hub::{DecodeError, Extra, Fields, Native, Node, Params, Place, Tier};
use crate::json::Kind;

/// What the parameters say.
#[derive(Default)]
pub(super) struct Config {
    pub(super) params: Params,
    /// Bits of the parameters' form.
    pub(super) bits: u16,
    /// The members of `generationConfig` that are not understood.
    pub(super) extra: Extra,
}

/// Takes the parameters. An empty `generationConfig` is left.
pub(super) fn take(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<Config, DecodeError> {
    let name = aliases.of(fields, "generationConfig");
    let mut config = match fields.peek(name).filter(|node| !node.json().is_empty()) {
        Some(_) => generation(fields.require_object(name)?, aliases)?,
        None => {
            aliases.0.retain(|alias| *alias != "generationConfig");
            Config::default()
        }
    };
    let name = aliases.of(fields, "serviceTier");
    config.params.tier = fields.word(name)?.map(|word| tier(&word));
    if config.params.tier.is_none() {
        aliases.0.retain(|alias| *alias != "serviceTier");
    }
    if fields.peek("labels").is_some_and(|node| node.kind != Kind::Object || !node.json().is_empty()) {
        config.params.metadata = fields.take_kind("labels", Kind::Object)?.map(Node::json);
    }
    Ok(config)
}

/// The tier of a word.
pub(super) fn tier(word: &str) -> Tier {
    match word {
        "standard" => Tier::Standard,
        "flex" => Tier::Flex,
        "priority" => Tier::Priority,
        "unspecified" => Tier::Auto,
        other => Tier::Other(other.to_owned()),
    }
}

fn generation(mut fields: Fields<'_>, aliases: &mut Aliases) -> Result<Config, DecodeError> {
    let mut number = |fields: &mut Fields<'_>, name: &'static str| {
        let name = aliases.of(fields, name);
        fields.num(name)
    };
    let mut params = Params {
        max_output: number(&mut fields, "maxOutputTokens")?,
        temperature: number(&mut fields, "temperature")?,
        top_p: number(&mut fields, "topP")?,
        top_k: number(&mut fields, "topK")?,
        frequency_penalty: number(&mut fields, "frequencyPenalty")?,
        presence_penalty: number(&mut fields, "presencePenalty")?,
        seed: number(&mut fields, "seed")?,
        n: number(&mut fields, "candidateCount")?,
        top_logprobs: number(&mut fields, "logprobs")?,
        ..Params::default()
    };
    let name = aliases.of(&fields, "stopSequences");
    params.stop = words(&mut fields, name)?;
    let name = aliases.of(&fields, "responseLogprobs");
    params.logprobs = fields.flag(name)?;
    params.modalities = modalities(&mut fields, aliases)?;
    let name = aliases.of(&fields, "speechConfig");
    params.audio = fields.take_kind(name, Kind::Object)?.map(|node| Native { dialect: GEMINI, json: node.json() });
    params.reasoning = reasoning::take(&mut fields, aliases)?;
    let (format, bits) = format::take(&mut fields, aliases)?;
    params.format = format;
    Ok(Config { params, bits, extra: fields.rest(GEMINI) })
}

/// A list of strings.
fn words(fields: &mut Fields<'_>, name: &str) -> Result<Vec<String>, DecodeError> {
    let word = |(at, node): (Place, Node<'_>)| {
        node.text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    fields.list(name)?.into_iter().map(word).collect()
}

/// The kinds of output, which are capitals here. Others are left.
fn modalities(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<Vec<String>, DecodeError> {
    let name = aliases.of(fields, "responseModalities");
    let usual = |node: Node<'_>| {
        let items = node.items(&Place::root()).unwrap_or_default();
        items
            .iter()
            .all(|(_, node)| node.text().is_some_and(|word| !word.bytes().any(|byte| byte.is_ascii_lowercase())))
    };
    if !fields.peek(name).is_some_and(usual) {
        aliases.0.retain(|alias| *alias != "responseModalities");
        return Ok(Vec::new());
    }
    Ok(words(fields, name)?.into_iter().map(|word| word.to_ascii_lowercase()).collect())
}
