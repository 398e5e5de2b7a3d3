//! The parameters of a request, written.

use super::encode_request::Writing;
use super::form::{COHERE, SCHEMA};
use crate::hub::write::Obj;
use crate::hub::{
    Effort, Field, Format, LossKind, Num, Params, Place, Reasoning, ReasoningStyle, Request, Schema, Tier, unmeasured,
};

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    o.opt_num("max_tokens", params.max_output.as_ref());
    sampling(o, params, writing);
    stop(o, params, writing);
    logprobs(o, params, writing);
    reasoning(o, &params.reasoning, writing);
    format(o, params, writing);
    unsaid(params, writing);
    o.opt_flag("stream", params.stream);
}

/// Sampling, each within what the API takes of it (its reference, chat v2).
fn sampling(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let all = [
        (Field::Temperature, "temperature", &params.temperature, 0.0, f64::MAX),
        (Field::TopP, "p", &params.top_p, 0.01, 0.99),
        (Field::TopK, "k", &params.top_k, 0.0, 500.0),
        (Field::FrequencyPenalty, "frequency_penalty", &params.frequency_penalty, 0.0, 1.0),
        (Field::PresencePenalty, "presence_penalty", &params.presence_penalty, 0.0, 1.0),
    ];
    for (field, name, value, least, most) in all {
        let Some(value) = value else { continue };
        if !writing.capabilities().sampling {
            writing.losses.param(field, LossKind::Dropped, "the model samples as it likes");
            continue;
        }
        let bent = value.as_f64().clamp(least, most);
        if writing.same() || bent == value.as_f64() {
            o.opt_num(name, Some(value));
        } else {
            let why = format!("{} became {bent}: this dialect takes {least} to {most}", value.as_str());
            writing.losses.param(field, LossKind::Coerced, why);
            // Whole where it can be: `k` is a whole number.
            let given = if bent.fract() == 0.0 { Num::whole(bent as u64) } else { Num::decimal(bent) };
            o.opt_num(name, Some(&given));
        }
    }
    if writing.capabilities().seed {
        o.opt_num("seed", params.seed.as_ref());
    } else if params.seed.is_some() {
        writing.losses.param(Field::Seed, LossKind::Dropped, "the model takes no seed");
    }
    if params.n.as_ref().is_some_and(|n| n.as_u64() != Some(1)) {
        writing.losses.param(Field::N, LossKind::Coerced, "this dialect gives one choice");
    }
}

fn stop(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let most = writing.capabilities().max_stops.unwrap_or(usize::MAX);
    let kept = params.stop.get(..most).unwrap_or(&params.stop);
    if kept.len() < params.stop.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    if !kept.is_empty() {
        o.array("stop_sequences", |a| kept.iter().for_each(|word| a.text(word)));
    }
}

fn logprobs(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if writing.capabilities().logprobs {
        o.opt_flag("logprobs", params.logprobs);
    } else if params.logprobs == Some(true) {
        writing.losses.param(Field::Logprobs, LossKind::Dropped, "the model gives none");
    }
    let wanted = params.top_logprobs.as_ref().filter(|top| top.as_u64() != Some(0));
    writing.losses.drop_param(Field::TopLogprobs, wanted);
}

/// How much to think: on or off, and a budget in tokens.
fn reasoning(o: &mut Obj<'_>, reasoning: &Reasoning, writing: &mut Writing<'_>) {
    if reasoning.is_empty() {
        return;
    }
    if writing.capabilities().reasoning == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return;
    }
    if let Some(json) = reasoning.native.as_ref().and_then(|native| native.of(COHERE)) {
        return o.raw("thinking", json.as_str());
    }
    if reasoning.summary.as_deref().is_some_and(|word| word != "auto") {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "thoughts are always shown whole");
    }
    let budget = budget(reasoning, writing);
    let off = budget == Some(0) || (budget.is_none() && reasoning.enabled == Some(false));
    match (off, budget) {
        (true, _) if writing.capabilities().reasoning_off => o.object("thinking", |o| o.text("type", "disabled")),
        (true, _) => {
            let least = writing.capabilities().min_budget;
            let why = "the model always thinks: the least was asked for";
            writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
            enabled(o, Some(least));
        }
        (false, Some(tokens)) => enabled(o, Some(tokens)),
        (false, None) if reasoning.enabled == Some(true) => enabled(o, None),
        (false, None) => {
            // This dialect has budgets and no words.
            unmeasured(reasoning, writing.target.capabilities, &mut writing.losses);
        }
    }
}

fn enabled(o: &mut Obj<'_>, budget: Option<u64>) {
    o.object("thinking", |o| {
        o.text("type", "enabled");
        o.opt_count("token_budget", budget);
    });
}

/// The budget: as given, or that of the word.
fn budget(reasoning: &Reasoning, writing: &mut Writing<'_>) -> Option<u64> {
    if let Some(tokens) = reasoning.budget.as_ref() {
        return tokens.as_u64();
    }
    let effort = reasoning.effort.as_ref()?;
    let Some(tokens) = effort.budget() else {
        let why = format!("{:?} is a provider's own word", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
        return None;
    };
    if *effort != Effort::None {
        let why = format!("effort {} became a budget of {tokens} tokens", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Some(tokens)
}

fn format(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let Some(format) = &params.format else { return };
    let (any, exact) = (writing.capabilities().json_object, writing.capabilities().json_schema);
    match format {
        Format::Text => o.object("response_format", |o| o.text("type", "text")),
        Format::JsonSchema(schema) if exact => write_schema(o, params, schema, writing),
        Format::JsonSchema(_) if any => {
            let why = "the model takes no schema: any JSON object was asked for";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
            o.object("response_format", |o| o.text("type", "json_object"));
        }
        Format::JsonObject if any => o.object("response_format", |o| o.text("type", "json_object")),
        Format::JsonObject | Format::JsonSchema(_) => {
            writing.losses.param(Field::Format, LossKind::Dropped, "the model cannot be held to JSON");
        }
        Format::Opaque(native) => match native.of(COHERE) {
            Some(json) => o.raw("response_format", json.as_str()),
            None => writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format"),
        },
    }
}

/// A schema. Its name is a label and needs no word; a schema here always binds.
fn write_schema(o: &mut Obj<'_>, params: &Params, schema: &Schema, writing: &mut Writing<'_>) {
    let at = Place::root().member(Field::Format.name(writing.target.caller));
    writing.losses.extra(&schema.extra, &at);
    if schema.description.is_some() {
        let why = "a schema has no description beside it in this dialect: put it within";
        writing.losses.add(at.member("description").as_str(), LossKind::Dropped, why);
    }
    let name = if params.form.has(COHERE, SCHEMA) { "schema" } else { "json_schema" };
    o.object("response_format", |o| {
        o.text("type", "json_object");
        o.opt_json(name, schema.schema.as_ref());
    });
}

/// What this dialect has no word for.
fn unsaid(params: &Params, writing: &mut Writing<'_>) {
    let tier = params.tier.as_ref().filter(|tier| !matches!(tier, Tier::Auto | Tier::Standard));
    let modalities = params.modalities.iter().find(|kind| *kind != "text");
    let losses = &mut writing.losses;
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
