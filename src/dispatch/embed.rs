//! Embeddings where the caller's words are not the provider's, or are too many for it: the batch is cut
//! to what it takes at once, each part is asked for in its form, and the vectors come back in the
//! caller's order and encoding.
//!
//! A try at a target is all of its parts. What the parts of a try that failed have cost is metered all
//! the same ([`crate::record::Sunk`]).

mod batch;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, StatusCode};
use weir_wire::embed::{self, Answer, Api};
use weir_wire::hub::{Dialect, Spent};
use weir_wire::usage::Usage;

use super::attempt::{Lease, begin, invalid_answer};
use super::exchange::{self, Question, Said};
use super::whole::{self, Noted, WholeBody};
use super::{Dispatcher, Failed, Job, Reply, ReplyBody, afford};
use crate::catalog::Operation;
use crate::route::plan::Step;
use crate::snapshot::Target;
pub(super) use batch::Batch;

/// The parts of a batch that are under way at once.
const AT_ONCE: usize = 4;
/// Where Bedrock says how many tokens Cohere's models were given.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// A part's answer.
#[derive(Debug)]
struct Embedded {
    part: usize,
    answer: Answer,
    headers: HeaderMap,
}

impl Dispatcher {
    /// Tries one target once.
    ///
    /// # Errors
    /// What went wrong, and what may be tried next.
    pub(super) async fn embed(&self, job: &Job, step: &Step, batch: Batch) -> Result<Reply, Failed> {
        let target = &step.target;
        let started = job.flight.now();
        self.afford(&job.flight, target, || afford::bound(job, target)).await?;
        begin(&job.flight, target, started).await?;
        job.flight.draft().in_parts = true;
        let sunk = job.flight.draft().sunk.clone();
        let outcome = match self.embedded(job, step, &batch).await {
            Ok((whole, headers)) => {
                // These parts are the answer, and no longer in vain.
                job.flight.draft().sunk = sunk;
                Ok((whole, headers))
            }
            Err(failed) => Err(failed),
        };
        let code = outcome.as_ref().map_or_else(|failed| failed.error.code(), |_| "ok");
        job.flight.attempt(&target.provider, &target.model, code, started);
        outcome.map(|(whole, headers)| reply(job, target, &batch, &whole, &headers))
    }

    /// The whole answer, and the headers of its first part.
    async fn embedded(&self, job: &Job, step: &Step, batch: &Batch) -> Result<(Answer, HeaderMap), Failed> {
        let target = &step.target;
        let mut done = self.parts(job, step, batch).await?;
        done.sort_by_key(|embedded| embedded.part);
        let headers = done.first_mut().map(|first| std::mem::take(&mut first.headers)).unwrap_or_default();
        let answers = done.into_iter().map(|embedded| embedded.answer).collect();
        let whole = embed::join(&batch.ranges(), answers);
        whole.map(|whole| (whole, headers)).map_err(|error| invalid_answer(&target.provider, &error.to_string()))
    }

    /// Asks for every part, a few at a time. One that finds no place at the provider waits for another
    /// of this batch to be done; the first failure is that of the batch.
    async fn parts(&self, job: &Job, step: &Step, batch: &Batch) -> Result<Vec<Embedded>, Failed> {
        let target = &step.target;
        let mut done = Vec::with_capacity(batch.parts.len());
        let mut running = FuturesUnordered::new();
        let mut next = 0;
        loop {
            while next < batch.parts.len() && running.len() < AT_ONCE {
                // Only the first may wait in a queue: this batch's own calls would be stuck meanwhile.
                let waits = running.is_empty();
                match Lease::take_in_turn(target, &job.flight, batch.parts[next].tokens, step.forced, waits).await {
                    Ok(lease) => running.push(Box::pin(self.part(job, target, batch, next, lease))),
                    Err(failed) if running.is_empty() => return Err(failed),
                    Err(_) => break,
                }
                next += 1;
            }
            match running.next().await {
                Some(embedded) => done.push(embedded?),
                None => return Ok(done),
            }
        }
    }

    async fn part(
        &self,
        job: &Job,
        target: &Arc<Target>,
        batch: &Batch,
        part: usize,
        lease: Lease,
    ) -> Result<Embedded, Failed> {
        let asked = &batch.parts[part];
        let question = Question {
            dialect: dialect(batch.api),
            uri: batch.uri.clone(),
            body: asked.body.iter().cloned().collect(),
            foreign: batch.foreign,
        };
        let said = self.ask(job, target, lease, question).await;
        let said = said.inspect_err(|failed| self.unanswered(job, target, failed, asked.tokens));
        let Said { mut trip, headers, body } = said?;
        let rules = exchange::rules(&target.provider, Operation::Embeddings);
        let read = embed::decode_answer(&body, batch.api, rules);
        let mut answer = read.map_err(|error| exchange::unusable(&target.provider, &error))?;
        answer.usage = usage(batch.api, answer.usage, &headers);
        let spent = answer.usage.as_ref().map(|spent| spent.tokens);
        let estimated = Usage { input: asked.tokens, ..Usage::default() };
        job.flight.sink(target.price.as_deref(), &spent.unwrap_or(estimated), spent.is_none());
        trip.lease.spent(spent.unwrap_or(estimated).input);
        if answer.items.len() != asked.range.len() {
            let (sent, came) = (asked.range.len(), answer.items.len());
            return Err(invalid_answer(&target.provider, &format!("{came} vectors came to {sent} inputs")));
        }
        Ok(Embedded { part, answer, headers })
    }
}

/// What a part cost. As it was written it is OpenAI's only where OpenAI's form is spoken.
fn usage(api: Api, told: Option<Spent>, headers: &HeaderMap) -> Option<Spent> {
    let counted = || headers.get(INPUT_TOKENS)?.to_str().ok()?.trim().parse::<u64>().ok();
    let of_header = || Some(Usage { input: counted()?, ..Usage::default() });
    match (api, told) {
        (Api::OpenAi, told) => told,
        (_, Some(told)) => Some(Spent { native: None, ..told }),
        (Api::Bedrock(_), None) => of_header().map(|tokens| Spent { tokens, ..Spent::default() }),
        (_, None) => None,
    }
}

/// The dialect of a provider's errors.
fn dialect(api: Api) -> Dialect {
    match api {
        Api::Gemini | Api::Vertex => Dialect::Gemini,
        Api::Cohere => Dialect::Cohere,
        Api::Bedrock(_) => Dialect::Bedrock,
        Api::Ollama => Dialect::Ollama,
        Api::OpenAi | Api::Voyage | Api::Jina | Api::Tei | Api::FeatureExtraction => Dialect::OpenAiChat,
    }
}

fn reply(job: &Job, target: &Target, batch: &Batch, whole: &Answer, upstream: &HeaderMap) -> Reply {
    let mut headers = exchange::written(upstream);
    let (usage, bent) = whole.usage.as_ref().map(|spent| (spent.tokens, spent.bent)).unzip();
    let read = Noted { model: whole.model.clone(), usage, bent: bent == Some(true), ..Noted::default() };
    whole::noted(&job.flight, target, read, || exchange::count_job(target, &batch.texts()), &mut headers);
    let body = batch.answer(whole, &target.model);
    let body = ReplyBody::Whole(WholeBody::new(body.into(), Arc::clone(&job.flight)));
    Reply { status: StatusCode::OK, headers, body, native: false }
}
