//! The parameters of a request, written.

use super::encode_request::Writing;
use super::form::{BEDROCK, EFFORT, nested};
use super::params::has_additional;
use super::reasoning::{self, Thinking};
use crate::hub::write::{self, Obj};
use crate::hub::{Effort, Field, Format, Json, LossKind, Num, Params, Place, ReasoningStyle, Request, Schema, Tier};
use crate::json::Kind;

/// The most of the caller's labels that AWS takes, and their longest name and value.
const MAX_LABELS: usize = 16;
const MAX_LABEL: usize = 256;

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    let thinking = if writing.same() { Thinking::default() } else { reasoning::decide(request, writing) };
    nested(o, "inferenceConfig", &request.extra, |o| inference(o, params, &thinking, writing));
    nested(o, "outputConfig", &request.extra, |o| output(o, params, &thinking, writing));
    additional(o, request, &thinking, writing);
    tier(o, params, writing);
    labels(o, params, writing);
    unsayable(request, writing);
}

fn inference(o: &mut Obj<'_>, params: &Params, thinking: &Thinking, writing: &mut Writing<'_>) {
    o.opt_num("maxTokens", params.max_output.as_ref());
    if writing.same() {
        o.opt_num("temperature", params.temperature.as_ref());
        o.opt_num("topP", params.top_p.as_ref());
    } else {
        o.opt_num("temperature", temperature(params, thinking, writing).as_ref());
        o.opt_num("topP", top_p(params, thinking, writing));
    }
    let most = writing.capabilities().max_stops.unwrap_or(usize::MAX);
    let kept = params.stop.get(..most).unwrap_or(&params.stop);
    if kept.len() < params.stop.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    if !kept.is_empty() {
        o.array("stopSequences", |a| kept.iter().for_each(|word| a.text(word)));
    }
}

/// The temperature, in Bedrock's range of 0 to 1.
fn temperature(params: &Params, thinking: &Thinking, writing: &mut Writing<'_>) -> Option<Num> {
    let given = params.temperature.as_ref()?;
    let bound = thinking.budget.is_some() && given.as_f64() != 1.0;
    if !writing.capabilities().sampling || bound {
        let why = if thinking.budget.is_some() { "a model that thinks" } else { "the model" };
        writing.losses.param(Field::Temperature, LossKind::Dropped, format!("{why} samples as it likes"));
        return None;
    }
    if given.as_f64() > 1.0 {
        writing.losses.param(Field::Temperature, LossKind::Coerced, "the most is 1");
        return Some(Num::whole(1));
    }
    Some(given.clone())
}

fn top_p<'p>(params: &'p Params, thinking: &Thinking, writing: &mut Writing<'_>) -> Option<&'p Num> {
    let given = params.top_p.as_ref()?;
    let can = writing.capabilities();
    let why = match params.temperature {
        _ if !can.sampling => "the model samples as it likes",
        _ if thinking.budget.is_some() && given.as_f64() < 0.95 => "a model that thinks takes 0.95 or more",
        Some(_) if !can.temperature_with_top_p => "the model takes this or temperature, not both",
        _ => return Some(given),
    };
    writing.losses.param(Field::TopP, LossKind::Dropped, why);
    None
}

fn output(o: &mut Obj<'_>, params: &Params, thinking: &Thinking, writing: &mut Writing<'_>) {
    if let Some(format) = &params.format {
        text_format(o, format, writing);
    }
    let own = params.reasoning.effort.as_ref().filter(|_| writing.same() && params.form.has(BEDROCK, EFFORT));
    let told = thinking.effort.as_ref().filter(|_| !thinking.adaptive);
    o.opt_text("effort", own.or(told).map(Effort::word));
}

fn text_format(o: &mut Obj<'_>, format: &Format, writing: &mut Writing<'_>) {
    match format {
        Format::Text => {}
        Format::JsonSchema(Schema { schema: Some(schema), name, description, extra, .. })
            if writing.capabilities().json_schema =>
        {
            writing.losses.extra(extra, &Place::root().member(Field::Format.name(writing.target.caller)));
            o.object("textFormat", |o| {
                o.text("type", "json_schema");
                o.object("structure", |o| {
                    o.object("jsonSchema", |o| {
                        o.text("schema", schema.as_str());
                        o.opt_text("name", name.as_deref());
                        o.opt_text("description", description.as_deref());
                        o.extra(extra, BEDROCK);
                    });
                });
            });
        }
        Format::JsonObject | Format::JsonSchema(_) => {
            let why = "the model cannot be held to it: asked for among the instructions";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
        }
        Format::Opaque(native) => match native.of(BEDROCK) {
            Some(json) => o.raw("textFormat", json.as_str()),
            None => writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format"),
        },
    }
}

/// Fields for the model alone, in the names that Anthropic's models know.
fn additional(o: &mut Obj<'_>, request: &Request, thinking: &Thinking, writing: &mut Writing<'_>) {
    if has_additional(&request.extra) {
        return;
    }
    let top_k = request.params.top_k.as_ref().filter(|_| {
        let lost = !writing.capabilities().sampling || thinking.budget.is_some();
        if lost && request.params.top_k.is_some() {
            writing.losses.param(Field::TopK, LossKind::Dropped, "the model samples as it likes");
        }
        !lost
    });
    let hidden = request.params.reasoning.summary.as_deref() == Some("omitted");
    let text = write::object(|o| {
        o.opt_num("top_k", top_k);
        match thinking {
            Thinking { budget: Some(tokens), .. } => o.object("thinking", |o| {
                o.text("type", "enabled");
                o.count("budget_tokens", *tokens);
            }),
            Thinking { adaptive: true, .. } => o.object("thinking", |o| {
                o.text("type", "adaptive");
                // Without it newer models think in silence, and callers of other dialects see nothing.
                o.text("display", if hidden { "omitted" } else { "summarized" });
            }),
            Thinking { off: true, .. } if writing.capabilities().reasoning == ReasoningStyle::Adaptive => {
                o.object("thinking", |o| o.text("type", "disabled"));
            }
            _ => {}
        }
        if let Some(effort) = thinking.effort.as_ref().filter(|_| thinking.adaptive) {
            o.object("output_config", |o| o.text("effort", effort.word()));
        }
    });
    if text != "{}" {
        o.raw("additionalModelRequestFields", &text);
    }
}

fn tier(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let word = match &params.tier {
        None => return,
        Some(tier) if writing.same() => tier.word(),
        Some(Tier::Auto) => return,
        Some(tier @ (Tier::Standard | Tier::Flex | Tier::Priority | Tier::Reserved)) => tier.word(),
        Some(Tier::Fast) => {
            writing.losses.param(Field::Tier, LossKind::Coerced, "fast became priority");
            "priority"
        }
        Some(Tier::Scale | Tier::Other(_)) => {
            let why = "Bedrock has priority, default, flex and reserved";
            return writing.losses.param(Field::Tier, LossKind::Dropped, why);
        }
    };
    o.object("serviceTier", |o| o.text("type", word));
}

/// The caller's labels, as far as AWS takes them.
fn labels(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    let Some(metadata) = &params.metadata else { return };
    if writing.same() {
        return o.raw("requestMetadata", metadata.as_str());
    }
    let tree = metadata.to_value();
    let members: Vec<(&String, Option<&str>)> =
        tree.as_object().into_iter().flatten().map(|(name, value)| (name, value.as_str())).collect();
    let kept: Vec<(&str, &str)> = members
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), (*value)?)))
        .filter(|(name, value)| !name.is_empty() && is_label(name) && is_label(value))
        .take(MAX_LABELS)
        .collect();
    if kept.len() < members.len() {
        let why = "AWS takes 16 labels of plain text, of at most 256 characters";
        writing.losses.param(Field::Metadata, LossKind::Dropped, why);
    }
    if kept.is_empty() {
        return;
    }
    let pairs: Vec<String> = kept
        .iter()
        .map(|(name, value)| format!("{}:{}", Json::string(name).as_str(), Json::string(value).as_str()))
        .collect();
    o.raw("requestMetadata", &format!("{{{}}}", pairs.join(",")));
}

fn is_label(text: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || " \t:_@$#=/+,-.".contains(letter);
    text.len() <= MAX_LABEL && text.chars().all(fits)
}

/// What Converse has no form for.
fn unsayable(request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    let losses = &mut writing.losses;
    for (field, value) in [
        (Field::FrequencyPenalty, &params.frequency_penalty),
        (Field::PresencePenalty, &params.presence_penalty),
        (Field::Seed, &params.seed),
    ] {
        losses.drop_param(field, value.as_ref());
    }
    if params.n.as_ref().is_some_and(|n| n.as_u64() != Some(1)) {
        losses.param(Field::N, LossKind::Coerced, "the model gives one choice");
    }
    losses.drop_param(Field::Logprobs, params.logprobs.filter(|wanted| *wanted).as_ref());
    losses.drop_param(
        Field::LogitBias,
        params.logit_bias.as_ref().filter(|bias| bias.kind() == Kind::Object && !bias.is_empty()),
    );
    losses.drop_param(Field::Verbosity, params.verbosity.as_ref());
    losses.drop_param(Field::User, params.user.as_ref());
    losses.drop_param(Field::SafetyIdentifier, params.safety_identifier.as_ref());
    losses.drop_param(Field::CacheKey, params.cache_key.as_ref());
    losses.drop_param(Field::Modalities, params.modalities.iter().find(|word| *word != "text"));
    losses.drop_param(Field::Audio, params.audio.as_ref());
    losses.drop_param(Field::Prediction, params.prediction.as_ref());
    losses.drop_param(Field::WebSearch, params.web_search.as_ref());
    losses.drop_param(Field::Store, params.store.filter(|wanted| *wanted).as_ref());
    if request.parallel_tools == Some(false) {
        let why = "the model cannot be kept from calling several tools at once";
        losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
}
