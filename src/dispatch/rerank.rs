//! Rerank where the caller's words are not the provider's: asked in its form, answered in the caller's,
//! which is Cohere's.

use std::sync::Arc;

use http::StatusCode;
use weir_wire::hub::Dialect;
use weir_wire::rerank::{self, Answer, Api, Document, Request};

use super::attempt::{Lease, begin};
use super::exchange::{self, Question, Said, tell, unusable};
use super::outcome::Blame;
use super::prepare::{changed, unreadable};
use super::whole::{self, Noted, WholeBody};
use super::{Dispatcher, Failed, Job, Next, Reply, ReplyBody, afford};
use crate::catalog::{Operation as Served, RerankApi};
use crate::route::plan::Step;
use crate::snapshot::talk::Reranks;
use crate::snapshot::{Operation, Target};

/// A request as a target gets it.
#[derive(Debug)]
pub(super) struct Ranking {
    question: Question,
    request: Request,
}

impl Ranking {
    /// The request for this target, where it cannot be passed on as it came.
    ///
    /// # Errors
    /// When it cannot be read, or the target cannot be told all of it (strict).
    pub(super) fn of(job: &Job, target: &Target) -> Result<Option<Self>, Failed> {
        let Some(reranks) = target.reranks.as_ref().filter(|_| job.operation == Operation::Rerank) else {
            return Ok(None);
        };
        let cohere = reranks.api == RerankApi::Cohere;
        let mut request = match rerank::decode_request(&job.body) {
            Ok(request) if cohere && is_cohere_s(job, &request) => return Ok(None),
            Ok(request) => request,
            // The provider says better what it makes of its own form.
            Err(_) if cohere => return Ok(None),
            Err(error) => return Err(Failed { error: unreadable(error), next: Next::Stop, blame: Blame::Nobody }),
        };
        for name in ["models", "fallbacks"] {
            request.extra.remove(Dialect::Cohere, name);
        }
        let encoded = rerank::encode_request(&request, api(reranks), &target.model);
        tell(job, target, &encoded.losses, Vec::new())?;
        let body = changed(encoded.body.into(), &[], &target.body);
        let dialect = if cohere { Dialect::Cohere } else { Dialect::OpenAiChat };
        let question = Question { dialect, uri: reranks.path.uri.clone(), body, foreign: true };
        Ok(Some(Self { question, request }))
    }
}

fn api(reranks: &Reranks) -> Api {
    match reranks.api {
        RerankApi::Cohere => Api::Cohere,
        RerankApi::Jina => Api::Jina,
        RerankApi::Voyage => Api::Voyage,
        RerankApi::Tei => Api::Tei,
    }
}

/// Whether Cohere itself would understand all of it: texts, `top_n`, and nobody wants the texts back.
fn is_cohere_s(job: &Job, request: &Request) -> bool {
    let texts = request.documents.iter().all(|document| matches!(document, Document::Text(_)));
    let others = ["return_documents", "top_k"];
    texts && !others.iter().any(|name| job.peek.has_member(&job.body, name))
}

impl Dispatcher {
    /// Tries one target once.
    ///
    /// # Errors
    /// What went wrong, and what may be tried next.
    pub(super) async fn rerank(&self, job: &Job, step: &Step, ranking: Ranking) -> Result<Reply, Failed> {
        let target = &step.target;
        let started = job.flight.now();
        self.afford(&job.flight, target, || afford::bound(job, target)).await?;
        let lease = Lease::take(target, &job.flight, job.estimate, step.forced).await?;
        begin(&job.flight, target, started).await?;
        let Ranking { question, request } = ranking;
        let ranked = match self.ask(job, target, lease, question).await {
            Ok(said) => ranked(target, &request, &said).map(|answer| (said, answer)),
            Err(failed) => Err(failed),
        };
        let code = ranked.as_ref().map_or_else(|failed| failed.error.code(), |_| "ok");
        job.flight.attempt(&target.provider, &target.model, code, started);
        ranked.map(|(said, answer)| reply(job, target, &request, said, &answer))
    }
}

fn ranked(target: &Target, request: &Request, said: &Said) -> Result<Answer, Failed> {
    let rules = exchange::rules(&target.provider, Served::Rerank);
    let read = rerank::decode_answer(&said.body, request.documents.len(), rules);
    read.map_err(|error| unusable(&target.provider, &error))
}

fn reply(job: &Job, target: &Target, request: &Request, said: Said, answer: &Answer) -> Reply {
    let mut headers = exchange::written(&said.headers);
    let (usage, bent) = answer.usage.as_ref().map(|spent| (spent.tokens, spent.bent)).unzip();
    let read = Noted { model: answer.model.clone(), usage, bent: bent == Some(true), ..Noted::default() };
    whole::noted(&job.flight, target, read, || exchange::count_job(target, &texts(request)), &mut headers);
    let id = format!("rerank-{:016x}", job.seed);
    let body = rerank::encode_answer(answer, request, &id, &target.model);
    let body = ReplyBody::Whole(WholeBody::new(body.into(), Arc::clone(&job.flight)));
    Reply { status: StatusCode::OK, headers, body, native: false }
}

fn texts(request: &Request) -> Vec<&str> {
    std::iter::once(request.query.as_str()).chain(request.documents.iter().map(text)).collect()
}

fn text(document: &Document) -> &str {
    match document {
        Document::Text(text) => text,
        Document::Object(json, text) => text.as_deref().unwrap_or(json.as_str()),
    }
}
