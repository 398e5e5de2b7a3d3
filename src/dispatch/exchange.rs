//! Calls whose answers are read here whole and never passed on as they are: a count, a part of a
//! batch, a ranking.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};
use weir_wire::hub::{AnswerError, Dialect, Loss};
use weir_wire::rules::UsageRules;
use weir_wire::tap::Flavor;

use super::attempt::{Lease, Trip, internal, invalid_answer, try_deadline};
use super::prepare::{call, too_strict};
use super::{Dispatcher, Failed, Job, classify, whole};
use crate::catalog::Operation;
use crate::meter::count::CountJob;
use crate::snapshot::{ProviderDef, Target};
use crate::upstream::{Answer, SendError, headers};

/// What a provider is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// In this dialect its errors are told.
    pub dialect: Dialect,
    /// Here.
    pub uri: Uri,
    /// This.
    pub body: VecDeque<Bytes>,
    /// Whether that is another dialect than the caller's.
    pub foreign: bool,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Said {
    /// The call, whose place at the provider is given back with it.
    pub trip: Trip,
    /// The upstream's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Dispatcher {
    /// Asks once, at a place that is taken already. Who is asked, and how it ended, is for the caller
    /// to record.
    ///
    /// # Errors
    /// What went wrong, and what may be tried next.
    pub(super) async fn ask(
        &self,
        job: &Job,
        target: &Arc<Target>,
        lease: Lease,
        question: Question,
    ) -> Result<Said, Failed> {
        let provider = &target.provider;
        let started = job.flight.now();
        let sender = self.senders.load().get(&provider.sender).cloned();
        let sender = sender.ok_or_else(|| internal(format!("provider {} has no sender", provider.id)))?;
        let call = call(job, provider, &lease, question.uri, question.body, question.foreign);
        let trip = Trip {
            flight: Arc::clone(&job.flight),
            target: Arc::clone(target),
            lease,
            started,
            deadline: try_deadline(provider, started, job.deadline),
            flavor: Flavor::Other,
            usage_added: false,
            dialect: question.dialect,
            model_as: None,
            usage: Arc::clone(&provider.usage),
            translation: None,
            prompt: job.prompt(),
            withheld_goes_on: false,
            patience: job.patience,
        };
        let stake = trip.lease.stake(target);
        let sent = self.send(&*sender, call, &trip, job.fault.as_ref()).await;
        let said = self.said(trip, sent).await;
        said.inspect_err(|failed| stake.failed(failed, job.flight.metrics(), job.flight.now()))
    }

    async fn said(&self, mut trip: Trip, sent: Result<Answer, SendError>) -> Result<Said, Failed> {
        let answer = sent.map_err(|error| classify::send_error(&trip.target.provider, &error))?;
        let mut answer = self.head(&trip, answer).await?;
        let body = whole::body(self, &trip, &mut answer).await?;
        trip.arrived();
        trip.succeeded();
        Ok(Said { trip, headers: answer.headers, body })
    }
}

/// Tells the caller what the target is not told.
///
/// # Errors
/// When nothing may be left out.
pub(super) fn tell(job: &Job, target: &Target, losses: &[Loss], mut lost: Vec<String>) -> Result<(), Failed> {
    lost.extend(losses.iter().map(|loss| format!("{}: {loss}", target.name)));
    if job.strict && !lost.is_empty() {
        return Err(too_strict(target, &lost));
    }
    lost.into_iter().for_each(|lost| job.flight.warn(lost));
    Ok(())
}

/// An answer that is an error or none at all.
pub(super) fn unusable(provider: &ProviderDef, error: &AnswerError) -> Failed {
    match error {
        AnswerError::Upstream(told) => classify::in_band(provider, told),
        AnswerError::Decode(_) => invalid_answer(provider, &error.to_string()),
    }
}

/// How this operation's answers tell their usage.
pub(super) fn rules(provider: &ProviderDef, operation: Operation) -> &UsageRules {
    provider.usage_of.get(&operation).unwrap_or(&provider.usage)
}

/// The headers of an answer that was written here.
pub(super) fn written(upstream: &HeaderMap) -> HeaderMap {
    let mut out = headers::for_client(upstream);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out
}

/// What must be counted of these texts.
pub(super) fn count_job(target: &Target, texts: &[&str]) -> CountJob {
    CountJob {
        prompt: serde_json::to_vec(texts).unwrap_or_default().into(),
        tokenizer: target.info.as_ref().and_then(|info| info.tokenizer.clone()),
        bare: true,
        ..CountJob::default()
    }
}
