//! What is to be embedded, in the caller's form; and cut and written for a provider.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use http::Uri;
use weir_wire::bedrock::embed::Style;
use weir_wire::embed::{self, Answer, Api, Input, Request};
use weir_wire::hub::loss::MAX_LOSSES;
use weir_wire::hub::{Dialect, EncodeError, Loss};
use weir_wire::{estimate, gemini};

use super::super::exchange::tell;
use super::super::prepare::{changed, refused_fields, unreadable, unsayable};
use super::super::{Failed, Job, Next};
use crate::catalog::EmbedApi;
use crate::dispatch::outcome::Blame;
use crate::error::ApiError;
use crate::snapshot::talk::Embeds;
use crate::snapshot::{Operation, Target};

/// The most calls that one request may take.
const MAX_PARTS: usize = 2048;

/// A request as a target gets it.
#[derive(Debug)]
pub(in super::super) struct Batch {
    /// In this form.
    pub api: Api,
    /// Here.
    pub uri: Uri,
    /// In so many calls; never none.
    pub parts: Vec<Part>,
    /// Whether that is another API than the caller's.
    pub foreign: bool,
    /// The caller's form is Gemini's.
    gemini: bool,
    request: Request,
}

/// One call of a batch.
#[derive(Debug)]
pub(in super::super) struct Part {
    /// Which of the inputs.
    pub range: Range<usize>,
    /// How many tokens they have, roughly.
    pub tokens: u64,
    /// The body.
    pub body: VecDeque<Bytes>,
}

impl Batch {
    /// The request for this target, where it cannot be passed on as it came: the target speaks another
    /// form than OpenAI's, or takes less at once.
    ///
    /// # Errors
    /// When it cannot be read, or the target cannot be told it.
    pub(in super::super) fn of(job: &Job, target: &Target) -> Result<Option<Self>, Failed> {
        let gemini = job.operation == Operation::EmbedContent;
        let Some(embeds) = target.embeds.as_ref().filter(|_| gemini || job.operation == Operation::Embeddings) else {
            return Ok(None);
        };
        let (api, limits) = (api(embeds, &target.model), embeds.limits);
        let own = api == Api::OpenAi && !gemini;
        if own && limits == embed::Limits::default() {
            return Ok(None);
        }
        let request = match read(job, gemini) {
            Ok(request) => request,
            // The provider says better what it makes of its own form.
            Err(_) if own => return Ok(None),
            Err(error) => return Err(Failed { error, next: Next::Stop, blame: Blame::Nobody }),
        };
        let tokens = request.tokens(|text| estimate::tokens(text.as_bytes()));
        let ranges = embed::plan(&tokens, limits);
        if own && ranges.len() <= 1 {
            return Ok(None);
        }
        if ranges.len() > MAX_PARTS {
            return Err(too_many(target, ranges.len()));
        }
        let parts = written(job, target, &request, api, &ranges, &tokens)?;
        let foreign = if gemini { !matches!(api, Api::Gemini | Api::Vertex) } else { api != Api::OpenAi };
        Ok(Some(Self { api, uri: embeds.path.uri.clone(), parts, foreign, gemini, request }))
    }

    /// Which inputs each part has.
    pub(super) fn ranges(&self) -> Vec<Range<usize>> {
        self.parts.iter().map(|part| part.range.clone()).collect()
    }

    /// The texts among the inputs.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.request.inputs.iter().filter_map(text).collect()
    }

    /// The answer in the caller's form.
    pub(super) fn answer(&self, whole: &Answer, model: &str) -> String {
        match self.gemini {
            true => gemini::embed::encode_answer(whole, self.request.single).body,
            false => embed::encode_answer(whole, self.request.encoding, model),
        }
    }
}

/// The body in the caller's form; Weir's own members are none of it.
fn read(job: &Job, gemini: bool) -> Result<Request, ApiError> {
    let (read, dialect) = match gemini {
        true => (gemini::embed::decode_request(&job.body), Dialect::Gemini),
        false => (embed::decode_request(&job.body), Dialect::OpenAiChat),
    };
    let mut request = read.map_err(unreadable)?;
    for name in ["models", "fallbacks"] {
        request.extra.remove(dialect, name);
    }
    Ok(request)
}

fn text(input: &Input) -> Option<&str> {
    match input {
        Input::Text(text) => Some(text),
        Input::Tokens(..) => None,
    }
}

/// The form that a model's provider speaks.
fn api(embeds: &Embeds, model: &str) -> Api {
    match embeds.api {
        EmbedApi::Openai => Api::OpenAi,
        EmbedApi::Cohere => Api::Cohere,
        EmbedApi::Gemini => Api::Gemini,
        EmbedApi::Vertex => Api::Vertex,
        EmbedApi::Voyage => Api::Voyage,
        EmbedApi::Jina => Api::Jina,
        EmbedApi::Tei => Api::Tei,
        EmbedApi::FeatureExtraction => Api::FeatureExtraction,
        EmbedApi::Ollama => Api::Ollama,
        EmbedApi::BedrockTitan => Api::Bedrock(Style::of_titan(model)),
        EmbedApi::BedrockCohere => Api::Bedrock(Style::of_cohere(model)),
    }
}

fn too_many(target: &Target, parts: usize) -> Failed {
    let message = format!(
        "{} would be asked {parts} times for this input, and one request may take {MAX_PARTS} calls: send fewer inputs",
        target.name
    );
    Failed {
        error: ApiError::invalid("invalid_value", message).param("input"),
        next: Next::OtherTarget,
        blame: Blame::Nobody,
    }
}

/// The place in the caller's body of what stands at this one in a part that begins at `start`.
fn placed(field: &str, start: usize) -> String {
    let index = |list: &'static str| {
        let (index, rest) = field.strip_prefix(list)?.split_once(']')?;
        Some(format!("{list}{}]{rest}", index.parse::<usize>().ok()?.saturating_add(start)))
    };
    index("input[").or_else(|| index("requests[")).unwrap_or_else(|| field.to_owned())
}

/// The parts' bodies. What the target is not told the caller is.
fn written(
    job: &Job,
    target: &Target,
    request: &Request,
    api: Api,
    ranges: &[Range<usize>],
    tokens: &[u64],
) -> Result<Vec<Part>, Failed> {
    let (mut lost, mut losses): (_, Vec<Loss>) = (Vec::new(), Vec::new());
    // Elsewhere they have other names, or none.
    let refused = if api == Api::OpenAi { refused_fields(job, &target.provider, &mut lost) } else { Vec::new() };
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let part = request.part(range.clone());
        let encoded = embed::encode_request(&part, api, &target.model).map_err(|error| {
            let field = placed(&error.field, range.start);
            unsayable(target, &EncodeError { field, ..error })
        })?;
        for loss in encoded.losses {
            let loss = Loss { field: placed(&loss.field, range.start), ..loss };
            // Of what stands beside the inputs all parts say the same.
            if losses.len() < MAX_LOSSES && !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        let tokens = tokens.get(range.clone()).unwrap_or_default().iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let body = changed(encoded.body.into(), &refused, &target.body);
        parts.push(Part { range: range.clone(), tokens, body });
    }
    tell(job, target, &losses, lost)?;
    Ok(parts)
}
