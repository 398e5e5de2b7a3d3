//! The parameters of a request, written.

use super::encode_request::Writing;
use super::form::{CHAT, EFFORT, MAX_TOKENS, ONE_STOP, THINKING};
use super::parts;
use crate::hub::write::Obj;
use crate::hub::{
    Effort, Field, Format, LossKind, MaxTokensName, Native, Params, Place, ReasoningStyle, Request, Schema, Tier,
    unmeasured,
};

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    let name = match writing.capabilities().max_tokens_name {
        MaxTokensName::AsWritten if params.form.has(CHAT, MAX_TOKENS) => "max_tokens",
        MaxTokensName::MaxTokens => "max_tokens",
        MaxTokensName::AsWritten | MaxTokensName::MaxCompletionTokens => "max_completion_tokens",
    };
    o.opt_num(name, params.max_output.as_ref());
    sampling(o, params, writing);
    stop(o, params, writing);
    logprobs(o, params, writing);
    reasoning(o, params, writing);
    format(o, params, writing);
    labels(o, params);
    output(o, params, writing);
    stream(o, params, writing);
}

fn sampling(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
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
    let (seed, many) = (writing.capabilities().seed, writing.capabilities().many_choices);
    if seed {
        o.opt_num("seed", params.seed.as_ref());
    } else {
        writing.losses.drop_param(Field::Seed, params.seed.as_ref());
    }
    let one = params.n.as_ref().is_none_or(|n| n.as_u64() == Some(1));
    match many || one {
        true => o.opt_num("n", params.n.as_ref()),
        false => writing.losses.param(Field::N, LossKind::Coerced, "the model gives one choice"),
    }
}

fn stop(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let most = writing.capabilities().max_stops.unwrap_or(usize::MAX);
    let kept = params.stop.get(..most).unwrap_or(&params.stop);
    if kept.len() < params.stop.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    match kept {
        [] => {}
        [only] if params.form.has(CHAT, ONE_STOP) => o.text("stop", only),
        all => o.array("stop", |a| all.iter().for_each(|word| a.text(word))),
    }
}

fn logprobs(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if writing.capabilities().logprobs {
        o.opt_flag("logprobs", params.logprobs);
        o.opt_num("top_logprobs", params.top_logprobs.as_ref());
    } else if params.logprobs == Some(true) {
        writing.losses.drop_param(Field::Logprobs, params.logprobs.as_ref());
    }
    o.opt_json("logit_bias", params.logit_bias.as_ref());
}

/// How much to think. This dialect has one word for it, whatever style the capabilities name: a
/// vendor's own members are written for callers who wrote them.
fn reasoning(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let reasoning = &params.reasoning;
    if reasoning.is_empty() {
        return;
    }
    if writing.capabilities().reasoning == ReasoningStyle::None {
        writing.losses.param(Field::Reasoning, LossKind::Dropped, "the model cannot be told how much to think");
        return;
    }
    if let Some(json) = reasoning.native.as_ref().and_then(|native| native.of(CHAT)) {
        o.raw(if params.form.has(CHAT, THINKING) { "thinking" } else { "reasoning" }, json.as_str());
        if !params.form.has(CHAT, EFFORT) {
            return;
        }
    }
    if reasoning.summary.as_deref().is_some_and(|word| !matches!(word, "auto" | "none")) {
        let why = "thoughts are shown as the model shows them";
        writing.losses.param(Field::Reasoning, LossKind::Dropped, why);
    }
    let effort = reasoning.effort.clone().or_else(|| coerced_effort(params, writing));
    if effort == Some(Effort::None) && !writing.capabilities().reasoning_off {
        writing.losses.param(Field::Reasoning, LossKind::Coerced, "the model always thinks: the least was asked for");
        o.text("reasoning_effort", Effort::Low.word());
        return;
    }
    o.opt_text("reasoning_effort", effort.as_ref().map(Effort::word));
}

/// The word for a budget in tokens, for on and off, or for no measure at all.
fn coerced_effort(params: &Params, writing: &mut Writing<'_>) -> Option<Effort> {
    let reasoning = &params.reasoning;
    if reasoning.enabled == Some(false) {
        return Some(Effort::None);
    }
    let Some(budget) = reasoning.budget.as_ref().and_then(crate::hub::Num::as_u64) else {
        return unmeasured(reasoning, writing.target.capabilities, &mut writing.losses);
    };
    let effort = Effort::of_budget(budget);
    if effort != Effort::None {
        let why = format!("a budget of {budget} tokens became effort {}", effort.word());
        writing.losses.param(Field::Reasoning, LossKind::Coerced, why);
    }
    Some(effort)
}

fn format(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let Some(format) = &params.format else { return };
    let (any, exact) = (writing.capabilities().json_object, writing.capabilities().json_schema);
    match format {
        Format::Text => o.object("response_format", |o| o.text("type", "text")),
        Format::JsonObject if any => o.object("response_format", |o| o.text("type", "json_object")),
        Format::JsonSchema(schema) if exact => write_schema(o, schema, writing),
        Format::JsonSchema(_) if any => {
            let why = "the model takes no schema: any JSON object was asked for";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
            o.object("response_format", |o| o.text("type", "json_object"));
        }
        Format::JsonObject | Format::JsonSchema(_) => {
            writing.losses.param(Field::Format, LossKind::Dropped, "the model cannot be held to JSON");
        }
        Format::Opaque(native) => match native.of(CHAT) {
            Some(json) => o.raw("response_format", json.as_str()),
            None => writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format"),
        },
    }
}

fn write_schema(o: &mut Obj<'_>, schema: &Schema, writing: &mut Writing<'_>) {
    let at = Place::root().member(Field::Format.name(writing.target.caller));
    writing.losses.extra(&schema.extra, &at);
    // The dialect demands a name; a caller who speaks it and left it out is told so by the provider.
    let name = schema.name.as_deref().or((!writing.same()).then_some("response"));
    o.object("response_format", |o| {
        o.text("type", "json_schema");
        o.object("json_schema", |o| {
            o.opt_text("name", name);
            o.opt_text("description", schema.description.as_deref());
            o.opt_json("schema", schema.schema.as_ref());
            o.opt_flag("strict", schema.strict);
            o.extra(&schema.extra, CHAT);
        });
    });
}

fn labels(o: &mut Obj<'_>, params: &Params) {
    o.opt_text("verbosity", params.verbosity.as_deref());
    o.opt_text("service_tier", params.tier.as_ref().map(Tier::word));
    o.opt_json("metadata", params.metadata.as_ref());
    o.opt_text("user", params.user.as_deref());
    o.opt_text("safety_identifier", params.safety_identifier.as_deref());
    o.opt_text("prompt_cache_key", params.cache_key.as_deref());
    o.opt_flag("store", params.store);
}

fn output(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if !params.modalities.is_empty() {
        o.array("modalities", |a| params.modalities.iter().for_each(|word| a.text(word)));
    }
    own(o, "audio", params.audio.as_ref(), Field::Audio, writing);
    own(o, "web_search_options", params.web_search.as_ref(), Field::WebSearch, writing);
    if let Some(prediction) = &params.prediction {
        writing.losses.extra(&prediction.extra, &prediction.at);
        o.object("prediction", |o| {
            o.text("type", "content");
            let parts: Vec<_> = prediction.parts.iter().collect();
            parts::content(o, &parts, writing);
            o.extra(&prediction.extra, CHAT);
        });
    }
}

/// What only this dialect can say.
fn own(o: &mut Obj<'_>, name: &'static str, value: Option<&Native>, field: Field, writing: &mut Writing<'_>) {
    let Some(value) = value else { return };
    match value.of(CHAT) {
        Some(json) => o.raw(name, json.as_str()),
        None => writing.losses.param(field, LossKind::Dropped, "said in another dialect's own way"),
    }
}

fn stream(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    o.opt_flag("stream", params.stream);
    let (usage, padded, extra) = (params.stream_usage, params.stream_obfuscation, &params.stream_extra);
    if usage.is_none() && padded.is_none() && extra.members_of(CHAT).is_empty() {
        return;
    }
    writing.losses.extra(extra, &Place::root().member("stream_options"));
    if !writing.capabilities().stream_options {
        // The usage is asked for on the gateway's behalf too, and counted where it does not come.
        writing.losses.drop_param(Field::StreamObfuscation, padded.filter(|wanted| *wanted).as_ref());
        return;
    }
    o.object("stream_options", |o| {
        o.opt_flag("include_usage", usage);
        o.opt_flag("include_obfuscation", padded);
        o.extra(extra, CHAT);
    });
}
