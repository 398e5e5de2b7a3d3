//! A request, written for a provider.

use super::request::{PURPOSES, TRUNCATIONS};
use super::{Api, Input, Purpose, Request, Truncate};
use crate::bedrock::{self, embed::Style};
use crate::hub::write::{self, Obj};
use crate::hub::{Dialect, EncodeError, Encoded, Extra, Json, Loss, LossKind};
use crate::json::quote;

/// Writes a request for a provider of this form. In OpenAI's form it is written as it was, member for
/// member.
pub fn encode_request(request: &Request, api: Api, model: &str) -> Result<Encoded, EncodeError> {
    let mut losses = Losses(Vec::new());
    if !matches!(api, Api::OpenAi | Api::Tei) {
        refuse_tokens(request)?;
    }
    if let Api::Bedrock(style) = api {
        bedrock::embed::check(request, style)?;
    }
    let body = write::object(|o| match api {
        Api::OpenAi => openai(o, request, model),
        Api::Cohere => cohere(o, request, model),
        Api::Gemini => gemini(o, request, model),
        Api::Vertex => vertex(o, request),
        Api::Voyage => voyage(o, request, model),
        Api::Jina => jina(o, request, model),
        Api::Tei => tei(o, request),
        Api::FeatureExtraction => feature_extraction(o, request),
        Api::Ollama => ollama(o, request, model),
        Api::Bedrock(style) => bedrock::embed::write(o, request, style),
    });
    // What callers of other forms said beside OpenAI's is written for their own alone.
    let foreign = request.extra.dialect().is_some_and(|dialect| dialect != Dialect::OpenAiChat);
    if api != Api::OpenAi || foreign {
        losses.unsaid(request, api);
    }
    Ok(Encoded { body, losses: losses.0 })
}

fn refuse_tokens(request: &Request) -> Result<(), EncodeError> {
    let tokens = |input: &Input| matches!(input, Input::Tokens(..));
    let Some(at) = request.inputs.iter().position(tokens) else { return Ok(()) };
    let field = if request.single { "input".to_owned() } else { format!("input[{at}]") };
    let why = "token numbers mean nothing to the model's own tokenizer: send text".to_owned();
    Err(EncodeError { field, why })
}

fn openai(o: &mut Obj<'_>, request: &Request, model: &str) {
    named(o, model);
    match &request.inputs[..] {
        [only] if request.single => o.raw("input", &value(only)),
        all => o.raw("input", &list(all)),
    }
    o.opt_num("dimensions", request.dimensions.as_ref());
    o.opt_text("encoding_format", request.encoding.map(super::Encoding::word));
    o.opt_text("user", request.user.as_deref());
    o.extra(&request.extra, Dialect::OpenAiChat);
}

/// Cohere demands to know what a text is for. Without a word it is a document.
pub(crate) fn cohere_purpose(o: &mut Obj<'_>, request: &Request) {
    let word = request.purpose.and_then(|purpose| purpose.word(Api::Cohere));
    o.text("input_type", word.unwrap_or("search_document"));
}

fn cohere(o: &mut Obj<'_>, request: &Request, model: &str) {
    named(o, model);
    o.raw("texts", &list(&request.inputs));
    cohere_purpose(o, request);
    o.array("embedding_types", |a| a.text("float"));
    o.opt_num("output_dimension", request.dimensions.as_ref());
    o.opt_text("truncate", request.truncate.map(cohere_word));
}

pub(crate) fn cohere_word(truncate: Truncate) -> &'static str {
    match truncate {
        Truncate::No => "NONE",
        Truncate::Start => "START",
        Truncate::End => "END",
    }
}

fn gemini(o: &mut Obj<'_>, request: &Request, model: &str) {
    let name = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
    o.array("requests", |a| {
        for (index, input) in request.inputs.iter().enumerate() {
            a.object(|o| {
                o.text("model", &name);
                o.object("content", |o| o.array("parts", |a| a.object(|o| o.raw("text", &value(input)))));
                o.opt_text("taskType", request.purpose.and_then(|purpose| purpose.word(Api::Gemini)));
                o.opt_num("outputDimensionality", request.dimensions.as_ref());
                o.extra(&own(request, index), Dialect::Gemini);
            });
        }
    });
}

/// The model is in the path.
fn vertex(o: &mut Obj<'_>, request: &Request) {
    o.array("instances", |a| {
        for input in &request.inputs {
            a.object(|o| {
                o.raw("content", &value(input));
                o.opt_text("task_type", request.purpose.and_then(|purpose| purpose.word(Api::Vertex)));
            });
        }
    });
    if request.dimensions.is_some() || request.truncate.is_some() {
        o.object("parameters", |o| {
            o.opt_num("outputDimensionality", request.dimensions.as_ref());
            o.opt_flag("autoTruncate", cut(request));
        });
    }
}

/// What a caller of Gemini's form said beside about one content, by its name alone.
fn own(request: &Request, index: usize) -> Extra {
    let place = format!("requests[{index}].");
    let of = |(name, value): &(String, Json)| match name.strip_prefix(&place) {
        Some(name) => Some((name.to_owned(), value.clone())),
        None => (!name.starts_with("requests[")).then(|| (name.clone(), value.clone())),
    };
    Extra::new(Dialect::Gemini, request.extra.members_of(Dialect::Gemini).iter().filter_map(of).collect())
}

fn voyage(o: &mut Obj<'_>, request: &Request, model: &str) {
    named(o, model);
    o.raw("input", &list(&request.inputs));
    o.opt_text("input_type", request.purpose.and_then(|purpose| purpose.word(Api::Voyage)));
    o.opt_num("output_dimension", request.dimensions.as_ref());
    // Decimals are what it gives when nothing is said, and has no word for.
    if request.encoding == Some(super::Encoding::Base64) {
        o.text("encoding_format", "base64");
    }
    o.opt_flag("truncation", cut(request));
}

fn jina(o: &mut Obj<'_>, request: &Request, model: &str) {
    named(o, model);
    o.raw("input", &list(&request.inputs));
    o.opt_text("task", request.purpose.and_then(|purpose| purpose.word(Api::Jina)));
    o.opt_num("dimensions", request.dimensions.as_ref());
    o.opt_text("embedding_type", request.encoding.map(super::Encoding::word));
    o.opt_flag("truncate", cut(request));
}

fn tei(o: &mut Obj<'_>, request: &Request) {
    o.raw("inputs", &list(&request.inputs));
    o.opt_flag("truncate", cut(request));
    if request.truncate == Some(Truncate::Start) {
        o.text("truncation_direction", "Left");
    }
    o.opt_num("dimensions", request.dimensions.as_ref());
}

fn feature_extraction(o: &mut Obj<'_>, request: &Request) {
    o.raw("inputs", &list(&request.inputs));
    o.opt_flag("truncate", cut(request));
    if request.truncate == Some(Truncate::Start) {
        o.text("truncation_direction", "left");
    }
}

fn ollama(o: &mut Obj<'_>, request: &Request, model: &str) {
    named(o, model);
    o.raw("input", &list(&request.inputs));
    o.opt_flag("truncate", cut(request));
    o.opt_num("dimensions", request.dimensions.as_ref());
}

fn named(o: &mut Obj<'_>, model: &str) {
    if !model.is_empty() {
        o.text("model", model);
    }
}

fn cut(request: &Request) -> Option<bool> {
    request.truncate.map(|truncate| truncate != Truncate::No)
}

pub(crate) fn list(inputs: &[Input]) -> String {
    let all: Vec<String> = inputs.iter().map(value).collect();
    format!("[{}]", all.join(","))
}

pub(crate) fn value(input: &Input) -> String {
    match input {
        Input::Text(text) => quote(text),
        Input::Tokens(json, _) => json.as_str().to_owned(),
    }
}

/// What the provider is not told.
struct Losses(Vec<Loss>);

impl Losses {
    fn add(&mut self, field: &str, what: LossKind, why: &str) {
        self.0.push(Loss { field: field.to_owned(), what, why: why.to_owned() });
    }

    fn unsaid(&mut self, request: &Request, api: Api) {
        let name = |names: &[&'static str]| names.iter().find(|name| said(request, name)).copied();
        if request.user.is_some() && api != Api::OpenAi {
            self.add("user", LossKind::Dropped, "the provider has no such parameter");
        }
        let one_length = matches!(api, Api::Bedrock(style) if !style.has_dimensions());
        if request.dimensions.is_some() && (api == Api::FeatureExtraction || one_length) {
            self.add("dimensions", LossKind::Dropped, "the provider has no such parameter");
        }
        if request.purpose.is_none() && speaks_cohere(api) {
            let why = "the provider demands to know what the texts are for: search_document was said";
            self.add("input_type", LossKind::Approximated, why);
        }
        if let Some(purpose) = request.purpose.filter(|purpose| purpose.word(api).is_none()) {
            self.purpose(name(&PURPOSES).unwrap_or("input_type"), purpose, api);
        }
        let field = name(&TRUNCATIONS).unwrap_or("truncate");
        match (request.truncate, api) {
            (Some(_), Api::Gemini | Api::Bedrock(Style::Titan | Style::TitanV2)) => {
                self.add(field, LossKind::Dropped, "the provider has no such parameter")
            }
            (Some(Truncate::Start), Api::Voyage | Api::Jina | Api::Ollama | Api::Vertex) => {
                self.add(field, LossKind::Coerced, "the provider cuts the end off");
            }
            _ => {}
        }
        self.extra(request, api);
    }

    fn purpose(&mut self, field: &str, purpose: Purpose, api: Api) {
        match api {
            _ if speaks_cohere(api) => {
                let why = format!("the provider has no word for {purpose:?}: search_document was said");
                self.add(field, LossKind::Coerced, &why);
            }
            _ => self.add(field, LossKind::Dropped, "the provider has no word for what the texts are for"),
        }
    }

    /// Members that were not understood.
    fn extra(&mut self, request: &Request, api: Api) {
        if api == Api::Gemini && request.extra.dialect() == Some(Dialect::Gemini) {
            return;
        }
        for (name, value) in request.extra.members().iter().filter(|(_, value)| !value.is_empty()) {
            let read = (request.purpose.is_some() && PURPOSES.contains(&name.as_str()))
                || (request.truncate.is_some() && TRUNCATIONS.contains(&name.as_str()));
            if !read && self.0.len() < crate::hub::loss::MAX_LOSSES {
                let why = format!("unknown to the provider's form ({})", value.kind().name());
                self.add(name, LossKind::Dropped, &why);
            }
        }
    }
}

fn speaks_cohere(api: Api) -> bool {
    matches!(api, Api::Cohere | Api::Bedrock(Style::CohereV3 | Style::CohereV4))
}

fn said(request: &Request, name: &str) -> bool {
    request.extra.members().iter().any(|(known, value)| known == name && !value.is_empty())
}
