//! The parameters of a request, written: `generationConfig`, and those beside it.

use super::encode_request::Writing;
use super::form::{GEMINI, within};
use super::names::spelt;
use super::{format, reasoning};
use crate::hub::write::{self, Obj};
use crate::hub::{Field, LossKind, Params, Place, Request, Tier};

/// The most stop sequences of this dialect.
const MAX_STOPS: usize = 5;

/// Writes the parameters.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    let params = &request.params;
    let same = writing.same();
    let name = |name: &'static str| spelt(name, same && params.aliases.contains(&name));
    let own = within(&request.extra, "generationConfig");
    let config = write::object(|o| {
        sampling(o, params, &name, writing);
        stop(o, params, &name, writing);
        logprobs(o, params, &name, writing);
        if let Some(config) = reasoning::config(&params.reasoning, writing) {
            o.raw(name("thinkingConfig"), &config);
        }
        if let Some(format) = &params.format {
            format::write(o, format, params.form, &name, writing);
        }
        output(o, params, &name, writing);
        o.extra(&own, GEMINI);
    });
    if config != "{}" {
        o.raw(name("generationConfig"), &config);
    }
    tier(o, params, name("serviceTier"), writing);
    labels(o, params, writing);
    nowhere(params, writing);
}

/// The spelling of a member.
type Name<'n> = dyn Fn(&'static str) -> &'static str + 'n;

fn sampling(o: &mut Obj<'_>, params: &Params, name: &Name<'_>, writing: &mut Writing<'_>) {
    o.opt_num(name("maxOutputTokens"), params.max_output.as_ref());
    let all = [
        (Field::Temperature, "temperature", &params.temperature),
        (Field::TopP, "topP", &params.top_p),
        (Field::TopK, "topK", &params.top_k),
        (Field::FrequencyPenalty, "frequencyPenalty", &params.frequency_penalty),
        (Field::PresencePenalty, "presencePenalty", &params.presence_penalty),
    ];
    for (field, member, value) in all {
        if writing.capabilities().sampling {
            o.opt_num(name(member), value.as_ref());
        } else if value.is_some() {
            writing.losses.param(field, LossKind::Dropped, "the model samples as it likes");
        }
    }
    if writing.capabilities().seed {
        o.opt_num("seed", params.seed.as_ref());
    } else {
        writing.losses.drop_param(Field::Seed, params.seed.as_ref());
    }
    let one = params.n.as_ref().is_none_or(|n| n.as_u64() == Some(1));
    if writing.capabilities().many_choices || one {
        o.opt_num(name("candidateCount"), params.n.as_ref());
    } else {
        writing.losses.param(Field::N, LossKind::Coerced, "the model gives one choice");
    }
}

fn stop(o: &mut Obj<'_>, params: &Params, name: &Name<'_>, writing: &mut Writing<'_>) {
    let own = if writing.same() { usize::MAX } else { MAX_STOPS };
    let most = writing.capabilities().max_stops.unwrap_or(own);
    let kept = params.stop.get(..most).unwrap_or(&params.stop);
    if kept.len() < params.stop.len() {
        let why = format!("the model takes {most} stop sequences, the first were kept");
        writing.losses.param(Field::Stop, LossKind::Coerced, why);
    }
    if !kept.is_empty() {
        o.array(name("stopSequences"), |a| kept.iter().for_each(|word| a.text(word)));
    }
}

fn logprobs(o: &mut Obj<'_>, params: &Params, name: &Name<'_>, writing: &mut Writing<'_>) {
    if writing.capabilities().logprobs {
        o.opt_flag(name("responseLogprobs"), params.logprobs);
        o.opt_num("logprobs", params.top_logprobs.as_ref());
    } else if params.logprobs == Some(true) {
        writing.losses.drop_param(Field::Logprobs, params.logprobs.as_ref());
    }
}

fn output(o: &mut Obj<'_>, params: &Params, name: &Name<'_>, writing: &mut Writing<'_>) {
    if !params.modalities.is_empty() {
        let words = params.modalities.iter().map(|word| word.to_ascii_uppercase());
        o.array(name("responseModalities"), |a| words.for_each(|word| a.text(&word)));
    }
    match params.audio.as_ref().map(|audio| audio.of(GEMINI)) {
        None => {}
        Some(Some(json)) => o.raw(name("speechConfig"), json.as_str()),
        Some(None) => writing.losses.param(Field::Audio, LossKind::Dropped, "said in another dialect's own way"),
    }
}

fn tier(o: &mut Obj<'_>, params: &Params, name: &'static str, writing: &mut Writing<'_>) {
    let Some(tier) = &params.tier else { return };
    let word = match tier {
        Tier::Auto if !writing.same() => return,
        Tier::Auto => "unspecified",
        Tier::Standard => "standard",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Fast => {
            writing.losses.param(Field::Tier, LossKind::Coerced, "fast became priority");
            "priority"
        }
        Tier::Other(word) if writing.same() => word,
        Tier::Scale | Tier::Reserved | Tier::Other(_) => {
            return writing.losses.param(Field::Tier, LossKind::Dropped, "Gemini has no such tier");
        }
    };
    o.text(name, word);
}

fn labels(o: &mut Obj<'_>, params: &Params, writing: &mut Writing<'_>) {
    if writing.capabilities().labels {
        o.opt_json("labels", params.metadata.as_ref());
    } else {
        writing.losses.drop_param(Field::Metadata, params.metadata.as_ref());
    }
    o.opt_flag("store", params.store);
}

/// What this dialect has no word for.
fn nowhere(params: &Params, writing: &mut Writing<'_>) {
    let losses = &mut writing.losses;
    losses.drop_param(Field::LogitBias, params.logit_bias.as_ref());
    losses.drop_param(Field::Verbosity, params.verbosity.as_ref());
    losses.drop_param(Field::User, params.user.as_ref());
    losses.drop_param(Field::SafetyIdentifier, params.safety_identifier.as_ref());
    losses.drop_param(Field::CacheKey, params.cache_key.as_ref());
    losses.drop_param(Field::Prediction, params.prediction.as_ref());
    losses.drop_param(Field::WebSearch, params.web_search.as_ref());
    losses.drop_param(Field::StreamObfuscation, params.stream_obfuscation.filter(|wanted| *wanted).as_ref());
    losses.extra(&params.stream_extra, &Place::root().member("stream_options"));
}
