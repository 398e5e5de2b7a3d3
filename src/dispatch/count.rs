//! How many tokens a request has, without making it: the provider's own count where it has one, else
//! the tokenizer's, else an estimate.

use std::sync::Arc;

use weir_wire::gemini::{self, CountForm};
use weir_wire::hub::Part;
use weir_wire::hub::{self, Dialect, PartKind, Tool, ToolKind};
use weir_wire::{anthropic, translate::Inbound};

use super::attempt::{internal, invalid_answer};
use super::prepare::{finished, unsayable};
use super::{Dispatcher, Failed, Job, Next, no_target};
use crate::error::ApiError;
use crate::meter::count::CountJob;
use crate::record::Status;
use crate::snapshot::Target;
use crate::snapshot::talk::Talk;

impl Dispatcher {
    /// Counts for the first target that can; the count of the model's own provider is exact.
    ///
    /// # Errors
    /// What is wrong with the request, or the last provider's failure.
    pub async fn count(&self, job: &Job) -> Result<u64, ApiError> {
        let mut last = None;
        for (target, _) in &job.plan {
            match self.count_for(job, target).await {
                Ok(tokens) => {
                    job.flight.conclude(Status::Ok);
                    return Ok(tokens);
                }
                Err(Failed { error, next: Next::Stop }) => return Err(error),
                Err(Failed { error, .. }) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_target))
    }

    async fn count_for(&self, job: &Job, target: &Arc<Target>) -> Result<u64, Failed> {
        let request = job.hub().map_err(|error| Failed { error, next: Next::Stop })?;
        match &target.counts {
            Some(talk) => self.count_at(job, target, talk, request).await,
            None => counted_here(request, target).await,
        }
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
        let body = finished(encoded.body.into(), target, talk.dialect, &talk.paths.whole);
        let (_, answer) = self.exchange(job, target, talk.dialect, talk.paths.whole.uri.clone(), body).await?;
        let counted = match talk.dialect {
            Dialect::Gemini => gemini::decode_count_answer(&answer),
            _ => anthropic::decode_count(&answer),
        };
        counted.map_err(|error| invalid_answer(&target.provider, &error.to_string()))
    }
}

/// Vertex AI takes the request itself, the Gemini API one around it.
fn count_form(target: &Target) -> CountForm {
    if target.capabilities.labels { CountForm::Flat } else { CountForm::Wrapped }
}

async fn counted_here(request: &hub::Request, target: &Target) -> Result<u64, Failed> {
    let texts = texts(request);
    let tokenizer = target.info.as_ref().and_then(|info| info.tokenizer.clone());
    let prompt = serde_json::to_vec(&texts).unwrap_or_default().into();
    let job = CountJob { prompt, tokenizer, ..CountJob::default() };
    let counted = tokio::task::spawn_blocking(move || job.count()).await;
    counted.map(|counted| counted.input).map_err(|_| internal("the tokenizer failed".to_owned()))
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
