//! The parameters of a request, written.

use super::encode_request::Writing;
use super::form::{OLLAMA, nested};
use crate::hub::write::Obj;
use crate::hub::{
    Effort, Field, Format, LossKind, Params, Place, Reasoning, ReasoningStyle, Request, Schema, Tier, unmeasured,
};

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    format(o, params, writing);
    nested(o, "options", &request.extra, |o| options(o, params, writing));
    reasoning(o, &params.reasoning, writing);
    logprobs(o, params, writing);
    unsaid(params, writing);
    o.flag("stream", params.stream.unwrap_or(false));
}

/// How tokens are drawn, and how many.
fn options(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    o.opt_num("num_predict", params.max_output.as_ref());
    let all = [
        (Field::Temperature, "temperature", &params.temperature),
        (Field::TopP, "top_p", &params.top_p),
        (Field::TopK, "top_k", &params.top_k),
        (Field::FrequencyPenalty, "frequency_penalty", &params.frequency_penalty),
        (Field::PresencePenalty, "presence_penalty", &params.presence_penalty),
    ];
    for (field, name, value) in all {
        if writing.capabilities().sampling {
            o.opt_num(name, value.as_ref());
        } else if value.is_some() {
            writing.losses.param(field, LossKind::Dropped, "the model samples as it likes");
        }
    }
    if writing.capabilities().seed {
        o.opt_num("seed", params.seed.as_ref());
    } else if params.seed.is_some() {
        writing.losses.param(Field::Seed, LossKind::Dropped, "the model takes no seed");
    }
    stop(o, params, writing);
}

fn stop(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let most = writing.capabilities().max_stops.unwrap_or(usize::MAX);
    let kept = params.stop.get(..most).unwrap_or(&params.stop);
    if kept.len() < params.stop.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    if !kept.is_empty() {
        o.array("stop", |a| kept.iter().for_each(|word| a.text(word)));
    }
}

fn logprobs(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if writing.capabilities().logprobs {
        o.opt_flag("logprobs", params.logprobs);
        o.opt_num("top_logprobs", params.top_logprobs.as_ref());
    } else if params.logprobs == Some(true) {
        writing.losses.param(Field::Logprobs, LossKind::Dropped, "the model gives none");
    }
}

/// How much to think: `think`, on or off or a word. Of a budget the nearest word is said; a model
/// that takes a budget elsewhere ([`ReasoningStyle::Budget`]) is switched on or off alone.
fn reasoning(o: &mut Obj<'_>, reasoning: &Reasoning, writing: &mut Writing<'_>) {
    if reasoning.is_empty() {
        return;
    }
    if writing.capabilities().reasoning == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return;
    }
    if let Some(json) = reasoning.native.as_ref().and_then(|native| native.of(OLLAMA)) {
        return o.raw("think", json.as_str());
    }
    if reasoning.summary.as_deref().is_some_and(|word| word != "auto") {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "thoughts are always shown whole");
    }
    match (measure(reasoning, writing), reasoning.enabled) {
        (Some(Effort::None), _) | (None, Some(false)) => off(o, writing),
        (Some(effort), _) => level(o, &effort, writing),
        (None, Some(true)) => o.flag("think", true),
        (None, None) => {
            // Without a word to say here: the caller switched nothing on.
            unmeasured(reasoning, writing.target.capabilities, &mut writing.losses);
        }
    }
}

/// The effort: as given, or that of the budget.
fn measure(reasoning: &Reasoning, writing: &mut Writing<'_>) -> Option<Effort> {
    if let Some(Effort::Other(word)) = &reasoning.effort {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, format!("{word:?} is a provider's own word"));
        return None;
    }
    if reasoning.effort.is_some() {
        return reasoning.effort.clone();
    }
    let tokens = reasoning.budget.as_ref()?.as_u64()?;
    let effort = Effort::of_budget(tokens);
    if tokens > 0 {
        let why = format!("a budget of {tokens} tokens became effort {}", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Some(effort)
}

fn off(o: &mut Obj<'_>, writing: &mut Writing<'_>) {
    if writing.capabilities().reasoning_off {
        return o.flag("think", false);
    }
    let why = "the model always thinks: the least was asked for";
    writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    level(o, &Effort::Low, writing);
}

/// One of the three words this dialect has.
fn level(o: &mut Obj<'_>, effort: &Effort, writing: &mut Writing<'_>) {
    if writing.capabilities().reasoning == ReasoningStyle::Budget {
        let why = format!("effort {} became on: the model thinks or does not", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
        return o.flag("think", true);
    }
    let word = match effort {
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        _ => "high",
    };
    if word != effort.word() {
        let why = format!("effort {} became {word}", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    o.text("think", word);
}

fn format(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let Some(format) = &params.format else { return };
    let (any, exact) = (writing.capabilities().json_object, writing.capabilities().json_schema);
    match format {
        Format::Text => {}
        Format::JsonSchema(Schema { schema: Some(schema), .. }) if exact => {
            o.raw("format", schema.as_str());
            unnamed(format, writing);
        }
        Format::JsonSchema(_) if any => {
            let why = "no schema can be said: any JSON was asked for";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
            o.text("format", "json");
        }
        Format::JsonObject if any => o.text("format", "json"),
        Format::JsonObject | Format::JsonSchema(_) => {
            writing.losses.param(Field::Format, LossKind::Dropped, "the model cannot be held to JSON");
        }
        Format::Opaque(native) => match native.of(OLLAMA) {
            Some(json) => o.raw("format", json.as_str()),
            None => writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format"),
        },
    }
}

/// What stands beside a schema elsewhere. Its name is a label and needs no word; a schema here always
/// binds.
fn unnamed(format: &Format, writing: &mut Writing<'_>) {
    let Format::JsonSchema(schema) = format else { return };
    let at = Place::root().member(Field::Format.name(writing.target.caller));
    writing.losses.extra(&schema.extra, &at);
    if schema.description.is_some() {
        let why = "a schema has no description beside it in this dialect: put it within";
        writing.losses.add(at.member("description").as_str(), LossKind::Dropped, why);
    }
}

/// What this dialect has no word for.
fn unsaid(params: &Params, writing: &mut Writing<'_>) {
    let tier = params.tier.as_ref().filter(|tier| !matches!(tier, Tier::Auto | Tier::Standard));
    let modalities = params.modalities.iter().find(|kind| *kind != "text");
    let losses = &mut writing.losses;
    if params.n.as_ref().is_some_and(|n| n.as_u64() != Some(1)) {
        losses.param(Field::N, LossKind::Coerced, "this dialect gives one choice");
    }
    losses.drop_param(Field::LogitBias, params.logit_bias.as_ref());
    losses.drop_param(Field::Verbosity, params.verbosity.as_ref());
    losses.drop_param(Field::Tier, tier);
    losses.drop_param(Field::Metadata, params.metadata.as_ref());
    losses.drop_param(Field::User, params.user.as_ref());
    losses.drop_param(Field::SafetyIdentifier, params.safety_identifier.as_ref());
    losses.drop_param(Field::CacheKey, params.cache_key.as_ref());
    losses.drop_param(Field::Modalities, modalities);
    losses.drop_param(Field::Audio, params.audio.as_ref());
    losses.drop_param(Field::Prediction, params.prediction.as_ref());
    losses.drop_param(Field::WebSearch, params.web_search.as_ref());
    losses.drop_param(Field::Store, params.store.as_ref());
    losses.drop_param(Field::StreamObfuscation, params.stream_obfuscation.filter(|wanted| *wanted).as_ref());
    losses.extra(&params.stream_extra, &Place::root().member("stream_options"));
}
