//! The parameters of a request, written.

use super::form::{ENCRYPTED, LOGPROBS, RESPONSES};
use super::written::Writing;
use crate::hub::write::Obj;
use crate::hub::{
    Effort, Field, Format, LossKind, Num, Params, PartKind, Place, ReasoningStyle, Request, Schema, Tier, unmeasured,
};

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    o.opt_num("max_output_tokens", params.max_output.as_ref());
    sampling(o, params, writing);
    absent(params, writing);
    logprobs(o, params, writing);
    reasoning(o, params, writing);
    text(o, request, writing);
    include(o, request, writing);
    o.opt_text("service_tier", params.tier.as_ref().map(Tier::word));
    o.opt_json("metadata", params.metadata.as_ref());
    o.opt_text("user", params.user.as_deref());
    o.opt_text("safety_identifier", params.safety_identifier.as_deref());
    o.opt_text("prompt_cache_key", params.cache_key.as_deref());
    // Left out, the exchange is kept here and not elsewhere.
    o.opt_flag("store", params.store.or((!writing.same()).then_some(false)));
    stream(o, params, writing);
}

fn sampling(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let both = params.temperature.is_some() && params.top_p.is_some();
    let together = writing.capabilities().temperature_with_top_p || !both;
    for (field, name, value) in
        [(Field::Temperature, "temperature", &params.temperature), (Field::TopP, "top_p", &params.top_p)]
    {
        if value.is_some() && !writing.capabilities().sampling {
            writing.losses.param(field, LossKind::Dropped, "the model samples as it likes");
        } else if field == Field::TopP && !together {
            writing.losses.param(field, LossKind::Dropped, "the model takes temperature or top_p, not both");
        } else {
            o.opt_num(name, value.as_ref());
        }
    }
}

/// What this dialect has no parameter for.
fn absent(params: &Params, writing: &mut Writing<'_>) {
    let losses = &mut writing.losses;
    losses.drop_param(Field::TopK, params.top_k.as_ref());
    losses.drop_param(Field::FrequencyPenalty, params.frequency_penalty.as_ref());
    losses.drop_param(Field::PresencePenalty, params.presence_penalty.as_ref());
    losses.drop_param(Field::Seed, params.seed.as_ref());
    losses.drop_param(Field::N, params.n.as_ref().filter(|n| n.as_u64() != Some(1)));
    losses.drop_param(Field::Stop, params.stop.first());
    losses.drop_param(Field::LogitBias, params.logit_bias.as_ref());
    losses.drop_param(Field::Modalities, params.modalities.iter().find(|word| *word != "text"));
    losses.drop_param(Field::Audio, params.audio.as_ref());
    losses.drop_param(Field::Prediction, params.prediction.as_ref());
}

fn logprobs(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if writing.capabilities().logprobs {
        o.opt_num("top_logprobs", params.top_logprobs.as_ref());
    } else {
        writing.losses.drop_param(Field::TopLogprobs, params.top_logprobs.as_ref());
        writing.losses.drop_param(Field::Logprobs, params.logprobs.filter(|wanted| *wanted).as_ref());
    }
}

fn reasoning(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let reasoning = &params.reasoning;
    if reasoning.is_empty() {
        return;
    }
    if writing.capabilities().reasoning == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return;
    }
    if let Some(json) = reasoning.native.as_ref().and_then(|native| native.of(RESPONSES)) {
        return o.raw("reasoning", json.as_str());
    }
    let mut effort = reasoning.effort.clone().or_else(|| coerced_effort(params, writing));
    if effort == Some(Effort::None) && !writing.capabilities().reasoning_off {
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
        effort = Some(Effort::Low);
    }
    let summary = reasoning.summary.as_deref().map(|word| match word {
        "concise" | "detailed" => word,
        _ => "auto",
    });
    if effort.is_some() || summary.is_some() {
        o.object("reasoning", |o| {
            o.opt_text("effort", effort.as_ref().map(Effort::word));
            o.opt_text("summary", summary);
        });
    }
}

/// The word for a budget in tokens, for on and off, or for no measure at all.
fn coerced_effort(params: &Params, writing: &mut Writing<'_>) -> Option<Effort> {
    let reasoning = &params.reasoning;
    if reasoning.enabled == Some(false) {
        return Some(Effort::None);
    }
    if reasoning.enabled.is_none() && reasoning.budget.is_none() {
        // To be shown thoughts is asked for beside the word.
        return None;
    }
    let Some(budget) = reasoning.budget.as_ref().and_then(Num::as_u64) else {
        return unmeasured(reasoning, writing.target.capabilities, &mut writing.losses);
    };
    let effort = Effort::of_budget(budget);
    if effort != Effort::None {
        let why = format!("a budget of {budget} tokens became effort {}", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Some(effort)
}

/// `text`: as it was, if it said more than is understood.
fn text(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    if writing.same() && request.extra.get(RESPONSES, "text").is_some() {
        return;
    }
    let params = &request.params;
    let format = params.format.as_ref().and_then(|format| taken(format, writing));
    if format.is_none() && params.verbosity.is_none() {
        return;
    }
    o.object("text", |o| {
        if let Some(format) = format {
            write_format(o, &format, writing);
        }
        o.opt_text("verbosity", params.verbosity.as_deref());
    });
}

/// The format, or the nearest that the model takes.
fn taken(format: &Format, writing: &mut Writing<'_>) -> Option<Format> {
    let (any, exact) = (writing.capabilities().json_object, writing.capabilities().json_schema);
    match format {
        Format::JsonSchema(_) if !exact && any => {
            let why = "the model takes no schema: any JSON object was asked for";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
            Some(Format::JsonObject)
        }
        Format::JsonSchema(_) if exact => Some(format.clone()),
        Format::JsonObject if any => Some(Format::JsonObject),
        Format::JsonObject | Format::JsonSchema(_) => {
            writing.losses.param(Field::Format, LossKind::Dropped, "the model cannot be held to JSON");
            None
        }
        Format::Opaque(native) if native.of(RESPONSES).is_none() => {
            writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format");
            None
        }
        Format::Text | Format::Opaque(_) => Some(format.clone()),
    }
}

fn write_format(o: &mut Obj<'_>, format: &Format, writing: &mut Writing<'_>) {
    match format {
        Format::Text => o.object("format", |o| o.text("type", "text")),
        Format::JsonObject => o.object("format", |o| o.text("type", "json_object")),
        Format::JsonSchema(schema) => write_schema(o, schema, writing),
        Format::Opaque(native) => o.opt_json("format", native.of(RESPONSES)),
    }
}

fn write_schema(o: &mut Obj<'_>, schema: &Schema, writing: &mut Writing<'_>) {
    let at = Place::root().member(Field::Format.name(writing.target.caller));
    writing.losses.extra(&schema.extra, &at);
    // The dialect demands a name; a caller who speaks it and left it out is told so by the provider.
    let name = schema.name.as_deref().or((!writing.same()).then_some("response"));
    o.object("format", |o| {
        o.text("type", "json_schema");
        o.opt_text("name", name);
        o.opt_text("description", schema.description.as_deref());
        o.opt_json("schema", schema.schema.as_ref());
        o.opt_flag("strict", schema.strict);
        o.extra(&schema.extra, RESPONSES);
    });
}

/// `include`, for callers of other dialects: log probabilities if they asked for them, and thoughts
/// in a form that can be sent back if the model is told to think or has thought.
fn include(o: &mut Obj<'_>, request: &Request, writing: &Writing<'_>) {
    let params = &request.params;
    if writing.same() {
        return;
    }
    let thought = request.turns.iter().flat_map(|turn| &turn.parts);
    let thinks = thought.into_iter().any(|part| matches!(part.kind, PartKind::Thinking(_)))
        || (!params.reasoning.is_empty() && params.reasoning.effort != Some(Effort::None));
    let able = writing.capabilities().reasoning != ReasoningStyle::None;
    let logprobs = params.logprobs == Some(true) && writing.capabilities().logprobs;
    let words = [(logprobs, LOGPROBS), (thinks && able && params.reasoning.enabled != Some(false), ENCRYPTED)];
    if words.iter().any(|(wanted, _)| *wanted) {
        o.array("include", |a| words.iter().filter(|(wanted, _)| *wanted).for_each(|(_, word)| a.text(word)));
    }
}

fn stream(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    o.opt_flag("stream", params.stream);
    let (padded, extra) = (params.stream_obfuscation, &params.stream_extra);
    writing.losses.extra(extra, &Place::root().member("stream_options"));
    if padded.is_some() || !extra.members_of(RESPONSES).is_empty() {
        o.object("stream_options", |o| {
            o.opt_flag("include_obfuscation", padded);
            o.extra(extra, RESPONSES);
        });
    }
}
