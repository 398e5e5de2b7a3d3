//! What a model at a provider takes, of all that is known of it.
//!
//! Four sources are laid over each other, the later over the earlier: all that the codecs can write,
//! the provider's own words ([`catalog::Provider::capabilities`]), the model's row of the table, and
//! the provider's words about models of that name ([`catalog::ModelRule`]), in their order. What
//! nobody denies is allowed: a provider refuses what it does not take, and says so.

use serde_json::{Map, Value};
use weir_wire::hub::{CacheStyle, Capabilities, Dialect, ReasoningReplay, ReasoningStyle};

use crate::catalog::{self, Model, ModelRule, Operation, ReasoningField};

/// What the model called `model` takes at a provider of this kind. `info` is its row of the model
/// table, if it has one.
#[must_use]
pub fn capabilities(kind: &catalog::Provider, model: &str, info: Option<&Model>) -> Capabilities {
    let rules: Vec<&ModelRule> = kind.models.iter().filter(|rule| rule.fits(model)).collect();
    let mut can = laid(Capabilities::default(), &kind.capabilities);
    if let Some(info) = info {
        narrow(&mut can, info, dialect(kind, &rules, info));
    }
    rules.iter().fold(can, |can, rule| laid(can, &rule.capabilities))
}

/// The same with these keys as they are told. What does not read was refused with the provider's
/// description ([`catalog::Provider::faults`]); it tells nothing here.
fn laid(can: Capabilities, told: &Map<String, Value>) -> Capabilities {
    if told.is_empty() {
        return can;
    }
    let over = |can: &Capabilities| {
        let mut value = serde_json::to_value(can).ok()?;
        value.as_object_mut()?.extend(told.iter().map(|(key, value)| (key.clone(), value.clone())));
        serde_json::from_value(value).ok()
    };
    over(&can).unwrap_or(can)
}

/// The dialect in which the model is spoken to when the caller's is no better; `None` where no codec
/// knows it.
fn dialect(kind: &catalog::Provider, rules: &[&ModelRule], info: &Model) -> Option<Dialect> {
    if info.responses_only && kind.operations.contains(&Operation::Responses) {
        return Some(Dialect::OpenAiResponses);
    }
    let own = rules.iter().rev().map(|rule| &rule.conversation).find(|own| !own.is_empty());
    own.unwrap_or(&kind.operations).iter().find_map(|operation| operation.conversation())
}

/// Takes away what the row denies. That a model can do a thing does not mean that its provider has a
/// form for it, so the row gives nothing back, but for what only a model can tell: how it is told to
/// think, and where instructions may stand.
fn narrow(can: &mut Capabilities, info: &Model, dialect: Option<Dialect>) {
    let known = info.capabilities();
    let not = |fact: Option<bool>| fact == Some(false);
    let keep = |able: &mut bool, fact: Option<bool>| *able &= !not(fact);
    keep(&mut can.images, known.vision);
    keep(&mut can.tool_result_images, known.vision);
    keep(&mut can.audio, known.audio_input);
    keep(&mut can.video, known.video_input);
    // These two take documents as text, which the model's own modalities say nothing of.
    if !matches!(dialect, Some(Dialect::Bedrock | Dialect::Cohere)) {
        keep(&mut can.documents, known.pdf);
    }
    keep(&mut can.tools, known.tools);
    keep(&mut can.forced_tools, known.tool_choice);
    keep(&mut can.forced_tools, known.forced_tool_use);
    keep(&mut can.parallel_tools, known.parallel_tools);
    keep(&mut can.json_schema, known.json_schema);
    keep(&mut can.json_schema, known.native_json_schema);
    keep(&mut can.sampling, known.sampling_params);
    keep(&mut can.prefill, known.assistant_prefill);
    if not(known.prompt_caching) {
        can.cache_style = CacheStyle::Never;
    }
    can.late_instructions = known.mid_conversation_system.unwrap_or(can.late_instructions);
    can.max_output = info.max_output.filter(|most| *most > 0).or(can.max_output);
    reasoning(can, info, dialect);
}

/// How the model is told how much to think, and whether it takes its thoughts back.
fn reasoning(can: &mut Capabilities, info: &Model, dialect: Option<Dialect>) {
    let known = info.capabilities();
    match (known.reasoning, known.adaptive_thinking, dialect) {
        (Some(false), _, _) => can.reasoning = ReasoningStyle::None,
        (_, Some(true), Some(Dialect::Anthropic | Dialect::Bedrock)) => can.reasoning = ReasoningStyle::Adaptive,
        (Some(true), _, Some(Dialect::Anthropic)) => can.reasoning = ReasoningStyle::Budget,
        _ => {}
    }
    let openai = matches!(dialect, Some(Dialect::OpenAiChat | Dialect::OpenAiResponses));
    let efforts = |word: &str| info.reasoning_efforts.is_empty() || info.reasoning_efforts.iter().any(|w| w == word);
    // Elsewhere thinking is turned off in other ways than by a word.
    if info.thinking_always_on || (openai && !efforts("none")) {
        can.reasoning_off = false;
    }
    can.minimal_effort &= efforts("minimal");
    can.reasoning_replay = match info.reasoning_field {
        Some(ReasoningField::ReasoningContent) if openai => ReasoningReplay::ReasoningContent,
        Some(ReasoningField::ReasoningDetails) if openai => ReasoningReplay::Details,
        _ => can.reasoning_replay,
    };
}

#[cfg(test)]
mod tests;
