//! How many tokens a request has, without making it: the provider's own count where it has one, else
//! the tokenizer's, else an estimate.

use std::sync::Arc;

use http::Uri;
use weir_wire::gemini::{self, CountForm};
use weir_wire::hub::Part;
use weir_wire::hub::{self, Dialect, PartKind, Tool, ToolKind};
use weir_wire::request::Change;
use weir_wire::{anthropic, translate::Inbound};

use super::attempt::{internal, invalid_answer};
use super::outcome::Blame;
use super::prepare::{finished, unsayable};
use super::{Dispatcher, Failed, Job, Next, no_target};
use crate::error::ApiError;
use crate::meter::count::CountJob;
use crate::record::Status;
use crate::snapshot::talk::Talk;
use crate::snapshot::{Operation, Target};

impl Dispatcher {
    /// Counts for the first target that can; the count of the model's own provider is exact.
    ///
    /// # Errors
    /// What is wrong with the request, or the last provider's failure.
    pub async fn count(&self, job: &Job) -> Result<u64, ApiError> {
        let mut last = None;
        for step in &job.plan {
            let target = &step.target;
            if step.skip.is_some() {
                continue;
            }
            match self.count_for(job, target).await {
                Ok(tokens) => {
                    job.flight.conclude(Status::Ok);
                    return Ok(tokens);
                }
                Err(Failed { error, next: Next::Stop, .. }) => return Err(error),
                Err(Failed { error, .. }) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_target(&job.plan).error))
    }

    async fn count_for(&self, job: &Job, target: &Arc<Target>) -> Result<u64, Failed> {
        if job.operation == Operation::Responses && job.earlier.is_none() && asks(target).is_some() {
            return self.count_input(job, target).await;
        }
        let request = job.hub().map_err(|error| Failed { error, next: Next::Stop, blame: Blame::Nobody })?;
        match &target.counts {
            Some(talk) => self.count_at(job, target, talk, request).await,
            None => counted_here(request, target).await,
        }
    }

    /// The count of a provider that speaks Responses: beside its responses.
    async fn count_input(&self, job: &Job, target: &Arc<Target>) -> Result<u64, Failed> {
        #[derive(serde::Deserialize)]
        struct Counted {
            input_tokens: u64,
        }
        let uri = asks(target).ok_or_else(|| internal("no place to count at".to_owned()))?;
        let model = Some(&*target.model).filter(|model| !model.is_empty());
        let change = Change { model, strip_extensions: true, ..Change::default() };
        let body = job.peek.rewrite(&job.body, &change).parts().iter().cloned().collect();
        let (_, answer) = self.exchange(job, target, Dialect::OpenAiResponses, uri, body).await?;
        let counted = serde_json::from_slice::<Counted>(&answer).map(|counted| counted.input_tokens);
        counted.map_err(|error| invalid_answer(&target.provider, &error.to_string()))
    }

    async fn count_at(
        &self,
        job: &Job,
        target: &Arc<Target>,
        talk: &Talk,
        request: &hub::Request,
    ) -> Result<u64, Failed> {
        let caller = job.operation.inbound().map_or(Dialect::OpenAiChat, Inbound::dialect);
        let to = hub::Target { model: &target.model, capabilities: &target.capabilities, caller };
        let encoded = match talk.dialect {
            Dialect::Gemini => gemini::encode_count_request(request, &to, count_form(target)),
            _ => anthropic::encode_count_request(request, &to),
        };
        let encoded = encoded.map_err(|error| unsayable(target, &error))?;
        let body = finished(encoded.body.into(), &target.body, talk.dialect, &talk.paths.whole);
        let (_, answer) = self.exchange(job, target, talk.dialect, talk.paths.whole.uri.clone(), body).await?;
        let counted = match talk.dialect {
            Dialect::Gemini => gemini::decode_count_answer(&answer),
            _ => anthropic::decode_count(&answer),
        };
        counted.map_err(|error| invalid_answer(&target.provider, &error.to_string()))
    }
}

/// Where a provider of responses counts what they would take in.
fn asks(target: &Target) -> Option<Uri> {
    let talk = target.talks.iter().find(|talk| talk.dialect == Dialect::OpenAiResponses)?;
    let uri = talk.paths.whole.uri.to_string();
    let (path, query) = uri.split_once('?').map_or((uri.as_str(), String::new()), |(path, q)| (path, format!("?{q}")));
    format!("{path}/input_tokens{query}").parse().ok()
}

/// Vertex AI takes the request itself, the Gemini API one around it.
fn count_form(target: &Target) -> CountForm {
    if target.capabilities.labels { CountForm::Flat } else { CountForm::Wrapped }
}

/// Counts with the tokenizer of the target's model, or by size.
///
/// # Errors
/// When the tokenizer fails.
pub async fn counted_here(request: &hub::Request, target: &Target) -> Result<u64, Failed> {
    let texts = texts(request);
    let tokenizer = target.info.as_ref().and_then(|info| info.tokenizer.clone());
    let prompt = serde_json::to_vec(&texts).unwrap_or_default().into();
    let job = CountJob { prompt, tokenizer, ..CountJob::default() };
    let counted = tokio::task::spawn_blocking(move || job.count()).await;
    counted.map(|counted| counted.input).map_err(|_| internal("the tokenizer failed".to_owned()))
}

/// Whether the tokenizer of the target's model is known, so that a count is one and no estimate.
#[must_use]
pub fn is_exact(target: &Target) -> bool {
    let tokenizer = target.info.as_ref().and_then(|info| info.tokenizer.as_deref());
    tokenizer.is_some_and(crate::meter::count::is_exact)
}

/// What of a request is counted: what is said in it, and the tools.
#[must_use]
pub fn texts(request: &hub::Request) -> Vec<String> {
    let mut texts = Vec::new();
    request.turns.iter().flat_map(|turn| &turn.parts).for_each(|part| said(part, &mut texts));
    request.tools.iter().for_each(|tool| texts.push(described(tool)));
    texts
}

fn said(part: &Part, texts: &mut Vec<String>) {
    match &part.kind {
        PartKind::Text(text) => texts.push(text.text.clone()),
        PartKind::Thinking(thinking) => texts.push(thinking.text.clone()),
        PartKind::Refusal(text) => texts.push(text.clone()),
        PartKind::ToolCall(call) => texts.push(format!("{} {}", call.name, call.arguments)),
        PartKind::ToolResult(result) => result.parts.iter().for_each(|part| said(part, texts)),
        PartKind::Opaque(opaque) => texts.push(opaque.native.json.as_str().to_owned()),
        PartKind::Image(_) | PartKind::Audio(_) | PartKind::Video(_) | PartKind::Document(_) => {}
    }
}

fn described(tool: &Tool) -> String {
    match &tool.kind {
        ToolKind::Function(function) => {
            let parameters = function.parameters.as_ref().map_or("", |schema| schema.as_str());
            format!("{} {} {parameters}", function.name, function.description.as_deref().unwrap_or(""))
        }
        ToolKind::Custom(custom) => format!("{} {}", custom.name, custom.description.as_deref().unwrap_or("")),
        ToolKind::BuiltIn(_) => String::new(),
    }
}
