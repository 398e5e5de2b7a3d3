//! The parameters of a request, written.

use super::encode_request::Writing;
use super::form::{OUTPUT_FORMAT, OWN};
use super::reasoning::Plan;
use super::schema;
use crate::hub::write::Obj;
use crate::hub::{Field, Fields, Format, Json, LossKind, Mode, Node, Num, Params, Place, Request, Schema, Tier};

/// The cap where neither the caller nor the catalogue says one.
const FALLBACK_CAP: u64 = 4096;

/// The cap on generated tokens, which the dialect demands: the caller's, or the model's.
pub(super) fn cap(params: &Params, writing: &mut Writing<'_>) -> Option<Num> {
    let most = writing.capabilities().max_output;
    match &params.max_output {
        Some(wanted) => {
            if let Some(most) = most.filter(|most| wanted.as_u64().is_some_and(|wanted| wanted > *most)) {
                let why = format!("the model generates {most} tokens at most");
                writing.losses.param(Field::MaxOutput, LossKind::Coerced, why);
                return Some(Num::whole(most));
            }
            Some(wanted.clone())
        }
        // A caller of this dialect who says none is told so by the provider.
        None if writing.same() => None,
        None => {
            if most.is_none() {
                let why = format!("a cap is demanded and the model's is not known: {FALLBACK_CAP} was said");
                writing.losses.param(Field::MaxOutput, LossKind::Coerced, why);
            }
            Some(Num::whole(most.unwrap_or(FALLBACK_CAP)))
        }
    }
}

/// Writes how tokens are chosen and what ends the answer.
pub(super) fn sampling(o: &mut Obj<'_>, params: &Params, plan: &Plan, writing: &mut Writing<'_>) {
    let both = params.temperature.is_some() && params.top_p.is_some();
    let one_only = both && !writing.capabilities().temperature_with_top_p;
    let all = [
        (Field::Temperature, "temperature", &params.temperature),
        (Field::TopP, "top_p", &params.top_p),
        (Field::TopK, "top_k", &params.top_k),
    ];
    for (field, name, value) in all {
        let Some(value) = value else { continue };
        let why = if !writing.capabilities().sampling {
            "the model samples as it likes"
        } else if name == "top_p" && one_only {
            "the model takes it or temperature, not both"
        } else if plan.is_budget() && !goes_with_thinking(name, value) {
            "the model samples as it likes while it thinks"
        } else {
            o.opt_num(name, Some(&clamped(name, value, writing)));
            continue;
        };
        writing.losses.param(field, LossKind::Dropped, why);
    }
    stops(o, params, writing);
}

fn goes_with_thinking(name: &str, value: &Num) -> bool {
    match name {
        "temperature" => value.as_f64() == 1.0,
        "top_p" => (0.95..=1.0).contains(&value.as_f64()),
        _ => false,
    }
}

/// Temperatures end at 1 here, at 2 elsewhere.
fn clamped(name: &str, value: &Num, writing: &mut Writing<'_>) -> Num {
    if name != "temperature" || writing.same() || value.as_f64() <= 1.0 {
        return value.clone();
    }
    writing.losses.param(
        Field::Temperature,
        LossKind::Coerced,
        format!("{} became 1, the most there is", value.as_str()),
    );
    Num::whole(1)
}

fn stops(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let same = writing.same();
    let said: Vec<&String> = params.stop.iter().filter(|stop| same || !stop.trim().is_empty()).collect();
    if said.len() < params.stop.len() {
        writing.losses.param(Field::Stop, LossKind::Dropped, "white space alone cannot end an answer");
    }
    let most = writing.capabilities().max_stops.unwrap_or(usize::MAX);
    let kept = said.get(..most).unwrap_or(&said);
    if kept.len() < said.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    if !kept.is_empty() {
        o.array("stop_sequences", |a| kept.iter().for_each(|word| a.text(word)));
    }
}

/// Writes `output_config`: the effort, the format, and what else a caller of this dialect wrote.
pub(super) fn output_config(o: &mut Obj<'_>, request: &Request, plan: &Plan, writing: &mut Writing<'_>) {
    let params = &request.params;
    let format = params.format.as_ref().and_then(|format| format_text(format, writing));
    let older = params.form.has(OWN, OUTPUT_FORMAT);
    if let Some(format) = format.as_deref().filter(|_| older) {
        o.raw("output_format", format);
    }
    let format = format.filter(|_| !older);
    let rest = request.extra.get(OWN, "output_config");
    if plan.effort.is_none() && format.is_none() && rest.is_none() {
        return;
    }
    let rest = rest.and_then(members).map(|fields| fields.rest(OWN));
    o.object("output_config", |o| {
        o.opt_text("effort", plan.effort.as_ref().map(crate::hub::Effort::word));
        if let Some(format) = &format {
            o.raw("format", format);
        }
        if let Some(rest) = &rest {
            o.extra(rest, OWN);
        }
    });
}

fn members(json: &Json) -> Option<Fields<'_>> {
    Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?.fields(Place::root()).ok()
}

/// The format as this dialect has it. What must be asked for in words is [`instruction`]'s.
fn format_text(format: &Format, writing: &mut Writing<'_>) -> Option<String> {
    match format {
        Format::JsonSchema(Schema { schema: Some(schema), description, extra, .. })
            if writing.capabilities().json_schema =>
        {
            let at = Place::root().member(Field::Format.name(writing.target.caller));
            writing.losses.extra(extra, &at);
            if writing.same() {
                return Some(of_schema(schema.as_str()));
            }
            if description.is_some() {
                writing.losses.param(Field::Format, LossKind::Dropped, "the schema's description: unknown here");
            }
            let (text, lost) = schema::of_answer(schema);
            if !lost.is_empty() {
                let why = format!("the answer is not held to {}", lost.join(", "));
                writing.losses.param(Field::Format, LossKind::Coerced, why);
            }
            Some(of_schema(&text))
        }
        Format::Opaque(native) => {
            let own = native.of(OWN).map(|json| json.as_str().to_owned());
            if own.is_none() {
                writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format");
            }
            own
        }
        Format::Text | Format::JsonObject | Format::JsonSchema(_) => None,
    }
}

fn of_schema(schema: &str) -> String {
    format!("{{\"type\":\"json_schema\",\"schema\":{schema}}}")
}

/// The instruction that stands for a format the model cannot be held to.
pub(super) fn instruction(params: &Params, writing: &mut Writing<'_>) -> Option<String> {
    let words = match params.format.as_ref()? {
        Format::JsonSchema(Schema { schema: Some(schema), .. }) if !writing.capabilities().json_schema => {
            format!(
                "Answer with one JSON object that fits this JSON schema, and with nothing else:\n{}",
                schema.as_str()
            )
        }
        Format::JsonObject | Format::JsonSchema(Schema { schema: None, .. }) => {
            "Answer with one JSON object, and with nothing else.".to_owned()
        }
        _ => return None,
    };
    writing.losses.param(Field::Format, LossKind::Approximated, "JSON is asked for by instruction");
    Some(words)
}

/// Writes for whom and how fast, and reports what this dialect cannot say.
pub(super) fn labels(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    let user = params.user.as_ref().or(params.safety_identifier.as_ref());
    if request.extra.get(OWN, "metadata").is_none()
        && let Some(user) = user
    {
        o.object("metadata", |o| o.text("user_id", user));
    }
    if params.user.is_some() {
        writing.losses.drop_param(Field::SafetyIdentifier, params.safety_identifier.as_ref());
    }
    tier(o, params, writing);
    o.opt_flag("stream", params.stream);
    unsaid(params, writing);
}

fn tier(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    match &params.tier {
        None => {}
        Some(Tier::Auto) => o.text("service_tier", "auto"),
        Some(Tier::Standard) => o.text("service_tier", "standard_only"),
        Some(Tier::Fast) => o.text("speed", "fast"),
        Some(Tier::Other(word)) if writing.same() => o.text("service_tier", word),
        Some(Tier::Priority) => {
            writing.losses.param(
                Field::Tier,
                LossKind::Coerced,
                "priority became auto, which takes it if it is bought",
            );
            o.text("service_tier", "auto");
        }
        Some(other) => {
            let why = format!("there is no tier {}", other.word());
            writing.losses.param(Field::Tier, LossKind::Dropped, why);
        }
    }
}

/// Reports the parameters that this dialect has not, unless they ask for what is so anyway.
fn unsaid(params: &Params, writing: &mut Writing<'_>) {
    let losses = &mut writing.losses;
    let some = |value: &Option<Num>, idle: f64| value.clone().filter(|value| value.as_f64() != idle);
    losses.drop_param(Field::FrequencyPenalty, some(&params.frequency_penalty, 0.0).as_ref());
    losses.drop_param(Field::PresencePenalty, some(&params.presence_penalty, 0.0).as_ref());
    losses.drop_param(Field::Seed, params.seed.as_ref());
    losses.drop_param(Field::Logprobs, params.logprobs.filter(|wanted| *wanted).as_ref());
    losses.drop_param(Field::TopLogprobs, some(&params.top_logprobs, 0.0).as_ref());
    losses.drop_param(Field::LogitBias, params.logit_bias.as_ref().filter(|bias| !bias.is_empty()));
    losses.drop_param(Field::Verbosity, params.verbosity.as_ref());
    losses.drop_param(Field::Metadata, params.metadata.as_ref().filter(|labels| !labels.is_empty()));
    losses.drop_param(Field::CacheKey, params.cache_key.as_ref());
    losses.drop_param(Field::Modalities, params.modalities.iter().find(|word| *word != "text"));
    losses.drop_param(Field::Audio, params.audio.as_ref());
    losses.drop_param(Field::Prediction, params.prediction.as_ref());
    losses.drop_param(Field::WebSearch, params.web_search.as_ref());
    losses.drop_param(Field::Store, params.store.filter(|wanted| *wanted).as_ref());
    losses.drop_param(Field::StreamObfuscation, params.stream_obfuscation.filter(|wanted| *wanted).as_ref());
    losses.extra(&params.stream_extra, &Place::root().member("stream_options"));
    if some(&params.n, 1.0).is_some() {
        losses.param(Field::N, LossKind::Coerced, "the model gives one choice");
    }
}
