//! One try at one target: encode, send, read the head, hand over to the body.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use weir_wire::hub::Dialect;
use weir_wire::rules::UsageRules;
use weir_wire::tap::Flavor;
use weir_wire::usage::Usage;

use super::embed::Batch;
use super::exchange::Question;
use super::outcome::{self, Blame, Stake};
use super::patience::Patience;
use super::prepare::{Prepared, prepare};
use super::rerank::Ranking;
use super::translation::Translation;
use super::{Dispatcher, Failed, Job, Next, Reply, afford, classify, queued, stream, whole, withheld};
use crate::clock::MonoNs;
use crate::error::ApiError;
use crate::flight::Flight;
use crate::gate::limit::{Ask, Kind, Limiter, Line, Refused, Scope, Tokens, Whose, learn};
use crate::meter::count::CountJob;
use crate::route::plan::Step;
use crate::snapshot::health::Ticket;
use crate::snapshot::live::Unusable;
use crate::snapshot::{Operation, ProviderDef, Target};
use crate::upstream::{Answer, body, decode};

/// Largest error body that is read.
const MAX_ERROR_BODY: usize = 256 * 1024;

/// A place at a provider and at one of its keys, for as long as the call lives.
#[derive(Debug)]
pub struct Lease {
    provider: Arc<ProviderDef>,
    credential: usize,
    /// Its place at the target, which its outcome says something of.
    ticket: Option<Ticket>,
    /// What it holds of the provider's limits.
    line: Line,
    estimate: u64,
    /// What this call itself used, where the request makes several.
    spent: Option<u64>,
    flight: Arc<Flight>,
}

impl Lease {
    /// Takes a place at the target, with its provider's next key that has room, and the estimated tokens. Where
    /// the provider has a queue, it waits there for its turn. A target whose breaker is open is asked only if
    /// that is `forced`.
    ///
    /// # Errors
    /// When the target is left alone, or the limits of the provider, of the model there, or of every key are
    /// exhausted.
    pub async fn take(target: &Arc<Target>, flight: &Arc<Flight>, estimate: u64, forced: bool) -> Result<Self, Failed> {
        Self::take_in_turn(target, flight, estimate, forced, true).await
    }

    /// The same, and only if it `waits` in the queue.
    pub(super) async fn take_in_turn(
        target: &Arc<Target>,
        flight: &Arc<Flight>,
        estimate: u64,
        forced: bool,
        waits: bool,
    ) -> Result<Self, Failed> {
        let (provider, now) = (&target.provider, flight.now());
        keys_are_there(target, now)?;
        let ticket = if forced { Some(target.health.force()) } else { target.health.enter(now) };
        let ticket = ticket.ok_or_else(|| left_alone(target))?;
        let attempt = || Self::try_take(target, flight, estimate);
        let taken = match provider.queue.as_ref().filter(|_| waits) {
            Some(queue) => Box::pin(queued::in_turn(provider, queue, flight, attempt)).await,
            None => attempt().await,
        };
        let mut lease = taken.map_err(|refused| {
            flight.metrics().upstream_limited(refused.whose.scope.as_str(), refused.kind.name());
            at_limit(provider, &refused)
        })?;
        lease.ticket = Some(ticket);
        Ok(lease)
    }

    /// The same without waiting for anybody.
    ///
    /// # Errors
    /// The limit that is exhausted; of several keys' the one that ends first.
    async fn try_take(target: &Target, flight: &Arc<Flight>, estimate: u64) -> Result<Self, Refused> {
        let (provider, now) = (&target.provider, flight.now());
        let mut asks = shared_line(target, flight, estimate);
        let count = provider.credentials.len();
        let turn = if count == 1 { 0 } else { provider.turn.fetch_add(1, Ordering::Relaxed) };
        let mut soonest: Option<Refused> = None;
        for credential in (0..count).map(|i| (turn.wrapping_add(i)) % count) {
            let unusable = || provider.credentials[credential].health.unusable(now).is_some();
            if target.health.denies(credential, now) || unusable() {
                continue;
            }
            asks.push((Arc::clone(&provider.credentials[credential].limiter), Ask::request(estimate)));
            let mut line = Line::new(flight.limits());
            match line.take(&asks, now).await {
                Ok(()) => {
                    provider.live.enter();
                    let (provider, flight) = (Arc::clone(provider), Arc::clone(flight));
                    return Ok(Self { provider, credential, ticket: None, line, estimate, spent: None, flight });
                }
                Err(refused) if soonest.as_ref().is_none_or(|s| refused.retry_after < s.retry_after) => {
                    soonest = Some(refused);
                }
                Err(_) => {}
            }
            asks.pop();
        }
        Err(soonest.unwrap_or_else(|| no_keys(provider)))
    }

    /// Takes over what the provider tells of its own limits, where it is to be believed.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        if self.provider.learns_limits {
            let told = learn::read(headers, self.flight.clock().unix_ms());
            self.provider.credentials[self.credential].limiter.learn(&told, self.estimate, self.flight.now());
        }
    }

    /// Who takes part.
    #[must_use]
    pub fn stake(&self, target: &Arc<Target>) -> Stake {
        Stake { target: Arc::clone(target), key: self.credential, since: self.flight.now() }
    }

    /// The answer was good to its end.
    pub(super) fn succeeded(&mut self) {
        self.provider.credentials[self.credential].health.served();
        if let Some(ticket) = &mut self.ticket {
            ticket.succeeded(&self.provider.breaker, self.flight.now());
            ticket.health().served(self.credential);
        }
    }

    /// The answer broke off. Answers whether the target is left alone from here on.
    fn broke(&mut self) -> bool {
        let (policy, now) = (&self.provider.breaker, self.flight.now());
        self.ticket.as_mut().is_some_and(|ticket| ticket.failed(policy, now))
    }

    /// Names the tokens that this call used; without it they are the request's.
    pub(super) fn spent(&mut self, tokens: u64) {
        self.spent = Some(tokens);
    }

    /// Adds the provider's static headers and the key.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.provider.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some((name, value)) = &self.provider.credentials[self.credential].header {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// What limits a call whatever key it goes by: the provider as a whole, and the model there, unless that
/// was what the caller asked for by this name.
fn shared_line(target: &Target, flight: &Flight, estimate: u64) -> Vec<(Arc<Limiter>, Ask)> {
    let limits = flight.limits();
    let asked = flight.draft().model.as_deref() == Some(&*target.name);
    let model = if asked { None } else { limits.named(Scope::Model, &target.name) };
    let shared = limits.of(Scope::Provider, &target.provider.id).into_iter().chain(model);
    shared.map(|limiter| (limiter, Ask::request(estimate))).collect()
}

/// Whether any key of the target's provider may be used.
///
/// # Errors
/// What the provider said to its keys.
fn keys_are_there(target: &Target, now: MonoNs) -> Result<(), Failed> {
    let provider = &target.provider;
    let mut cooling: Option<Duration> = None;
    for (n, key) in provider.credentials.iter().enumerate() {
        match key.health.blocked(now) {
            None if !target.health.denies(n, now) => return Ok(()),
            Some(Unusable::Cooling(left)) => cooling = Some(cooling.map_or(left, |least| least.min(left))),
            None | Some(Unusable::Rejected) => {}
        }
    }
    let error = match cooling {
        Some(left) => {
            let message = format!("provider {} told the gateway to wait, with every key it has", provider.id);
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message).after(left)
        }
        None => {
            let message = format!(
                "provider {} refused every key that the gateway has; the operator of the gateway must correct them",
                provider.id
            );
            ApiError::upstream("upstream_credentials_rejected", message).no_retry()
        }
    };
    Err(Failed { error, next: Next::OtherTarget, blame: Blame::Nobody })
}

/// Its breaker opened after the plan was made, or another request tries it.
fn left_alone(target: &Target) -> Failed {
    let error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "server_error",
        "no_healthy_target",
        format!("{} fails and is left alone for a while", target.name),
    );
    Failed { error: error.after(Duration::from_secs(1)), next: Next::OtherTarget, blame: Blame::Nobody }
}

fn no_keys(provider: &ProviderDef) -> Refused {
    let whose = Whose::new(Scope::Provider, &provider.id);
    Refused { whose, kind: Kind::Unknown, limit: 0, retry_after: Duration::from_secs(1) }
}

fn at_limit(provider: &ProviderDef, refused: &Refused) -> Failed {
    let error = if refused.kind == Kind::Unknown {
        ApiError::limits_unavailable()
    } else {
        let whose = match refused.whose.scope {
            Scope::Model => format!("model {}", refused.whose.subject),
            _ => format!("provider {}", provider.id),
        };
        let message = format!("{whose} is at its configured limit of {}", refused.described());
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message)
    };
    Failed { error: error.after(refused.retry_after), next: Next::OtherTarget, blame: Blame::Nobody }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let used = self.spent.map_or_else(
            || {
                let draft = self.flight.draft();
                match draft.usage {
                    Some(usage) => Tokens::Used(usage.input.saturating_add(usage.output)),
                    // Something ran and was not reported: the estimate stands.
                    None if draft.count.is_some() => Tokens::AsHeldAnd(0),
                    None => Tokens::Used(0),
                }
            },
            Tokens::Used,
        );
        self.line.settle(used, self.flight.now());
        self.provider.live.leave();
        if let Some(queue) = &self.provider.queue {
            queue.wake();
        }
    }
}

/// A call under way: what the answer's reader needs to know of it.
#[derive(Debug)]
pub struct Trip {
    /// The request.
    pub flight: Arc<Flight>,
    /// The target.
    pub target: Arc<Target>,
    /// Its place at the provider.
    pub lease: Lease,
    /// When it was sent.
    pub started: MonoNs,
    /// When it must be over.
    pub deadline: MonoNs,
    /// What kind of stream its answer would be.
    pub flavor: Flavor,
    /// Whether `include_usage` was added on the client's behalf.
    pub usage_added: bool,
    /// The dialect of its answer.
    pub dialect: Dialect,
    /// The model's name for the caller, where the answer is to have it in place of the provider's.
    pub model_as: Option<String>,
    /// How its answer tells its usage.
    pub usage: Arc<UsageRules>,
    /// How its answer becomes the caller's, where that is not the same.
    pub translation: Option<Box<Translation>>,
    /// The prompt, in case it must be counted; shares the request body's memory.
    pub prompt: Bytes,
    /// Whether somebody else is asked if a filter withholds the answer.
    pub withheld_goes_on: bool,
    /// The caller's own times.
    pub patience: Patience,
}

impl Trip {
    /// `wait`, but not beyond the request's deadline.
    #[must_use]
    pub fn time_left(&self, wait: Duration) -> Duration {
        time_left(&self.flight, self.deadline, wait)
    }

    /// It ended well: the target and its key did what was asked.
    pub fn succeeded(&mut self) {
        self.lease.succeeded();
    }

    /// It broke off after it had begun.
    pub fn broke(&mut self) {
        if self.lease.broke() {
            outcome::opened(&self.target);
        }
    }

    /// It was given up after so long a silence. That says something of the target only where it had its provider's own
    /// times: callers who wait less leave no target alone for others.
    pub fn given_up(&mut self, silent: Duration) {
        let timeouts = &self.target.provider.timeouts;
        let took = Duration::from_nanos(self.flight.now().saturating_sub(self.started));
        if silent >= timeouts.between_chunks || took >= timeouts.total {
            self.broke();
        }
    }

    /// The first event, or the whole, is there.
    pub fn arrived(&self) {
        let now = self.flight.now();
        let stream = self.flight.draft().stream;
        self.target.health.first_event(now.saturating_sub(self.started) / 1000, stream, now);
    }

    /// Records how it ended.
    pub fn record(&self, outcome: &str) {
        self.flight.attempt(&self.target.provider, &self.target.model, outcome, self.started);
    }

    /// What must be counted when the provider reports no usage.
    #[must_use]
    pub fn count_job(&self) -> CountJob {
        CountJob {
            prompt: self.prompt.clone(),
            tokenizer: self.target.info.as_ref().and_then(|info| info.tokenizer.clone()),
            ..CountJob::default()
        }
    }
}

/// When a try must be over: the provider's `timeouts.total` from its start, within the request's time.
pub(super) fn try_deadline(provider: &ProviderDef, started: MonoNs, deadline: MonoNs) -> MonoNs {
    let total = u64::try_from(provider.timeouts.total.as_nanos()).unwrap_or(u64::MAX);
    deadline.min(started.saturating_add(total))
}

/// `wait`, but not beyond `deadline`.
pub(super) fn time_left(flight: &Flight, deadline: MonoNs, wait: Duration) -> Duration {
    wait.min(Duration::from_nanos(deadline.saturating_sub(flight.now())))
}

impl Dispatcher {
    /// Tries one target once.
    ///
    /// # Errors
    /// What went wrong, and what may be tried next.
    pub(super) async fn attempt(&self, job: &Job, step: &Step) -> Result<Reply, Failed> {
        self.attempt_in_turn(job, step, true).await
    }

    /// The same, and only if it `waits` in its provider's queue.
    pub(super) async fn attempt_in_turn(&self, job: &Job, step: &Step, waits: bool) -> Result<Reply, Failed> {
        let target = &step.target;
        if let Some(batch) = Batch::of(job, target)? {
            return Box::pin(self.embed(job, step, batch)).await;
        }
        if let Some(ranking) = Ranking::of(job, target)? {
            return Box::pin(self.rerank(job, step, ranking)).await;
        }
        let provider = &target.provider;
        let started = job.flight.now();
        self.afford(&job.flight, target, || afford::bound(job, target)).await?;
        let lease = Lease::take_in_turn(target, &job.flight, job.estimate, step.forced, waits).await?;
        let stake = lease.stake(target);
        let sender = self.senders.load().get(&provider.sender).cloned();
        let sender = sender.ok_or_else(|| internal(format!("provider {} has no sender", provider.id)))?;
        begin(&job.flight, target, started).await?;
        let Prepared { call, usage_added, dialect, usage, translation } = prepare(job, target, &lease)?;
        let trip = Trip {
            flight: Arc::clone(&job.flight),
            target: Arc::clone(target),
            lease,
            started,
            deadline: try_deadline(provider, started, job.deadline),
            flavor: flavor(job.operation),
            usage_added,
            dialect,
            model_as: job.model_as(target),
            usage,
            translation,
            prompt: job.prompt(),
            withheld_goes_on: withheld::goes_on(job, step),
            patience: job.patience,
        };
        let outcome = match self.send(&*sender, call, &trip, job.fault.as_ref()).await {
            Err(error) => Err(classify::send_error(provider, &error)),
            Ok(answer) => self.receive(trip, answer).await,
        };
        if let Err(failed) = &outcome {
            stake.failed(failed, job.flight.metrics(), job.flight.now());
            job.flight.attempt(provider, &target.model, failed.error.code(), started);
            self.unanswered(job, target, failed, job.prompt_tokens);
        }
        outcome
    }

    /// Counts a prompt that a target had and was waited for in vain: it may bill it.
    pub(super) fn unanswered(&self, job: &Job, target: &Target, failed: &Failed, prompt_tokens: u64) {
        if failed.next == Next::Unanswered && self.policy.load().unanswered_costs {
            let usage = Usage { input: prompt_tokens, ..Usage::default() };
            job.flight.sink(target.price.as_deref(), &usage, true);
            let name = &target.name;
            job.flight.warn(format!("{name} had the request and was waited for in vain: its prompt is counted"));
        }
    }

    /// One call beside the conversation itself (a count): the body of a good answer, whole.
    ///
    /// # Errors
    /// What went wrong, and what may be tried next.
    pub(super) async fn exchange(
        &self,
        job: &Job,
        target: &Arc<Target>,
        dialect: Dialect,
        uri: Uri,
        body: VecDeque<Bytes>,
    ) -> Result<(Trip, Bytes), Failed> {
        let provider = &target.provider;
        let started = job.flight.now();
        let lease = Lease::take(target, &job.flight, job.estimate, true).await?;
        trying(&job.flight, target, started);
        let question = Question { dialect, uri, body, foreign: true };
        let outcome = self.ask(job, target, lease, question).await;
        let code = outcome.as_ref().map_or_else(|failed| failed.error.code(), |_| "ok");
        job.flight.attempt(provider, &target.model, code, started);
        outcome.map(|said| (said.trip, said.body))
    }

    async fn receive(&self, trip: Trip, answer: Answer) -> Result<Reply, Failed> {
        let answer = self.head(&trip, answer).await?;
        // A caller who wants no stream gets none, whatever the provider sends.
        let gathered = trip.translation.as_ref().is_some_and(|translation| !translation.stream);
        if is_event_stream(&answer.headers) && !gathered {
            stream::begin(self, trip, answer).await
        } else {
            whole::read(self, trip, answer).await
        }
    }

    /// Measures and decodes an answer; an error status becomes a failure.
    pub(super) async fn head(&self, trip: &Trip, answer: Answer) -> Result<Answer, Failed> {
        let provider = &trip.target.provider;
        trip.lease.learn(&answer.headers);
        let now = trip.flight.now();
        let took = now.saturating_sub(trip.started) / 1000;
        provider.live.observe(took);
        let mut answer = decoded(answer, self.max_answer).map_err(|e| invalid_answer(provider, &e))?;
        if answer.status.is_success() {
            trip.target.health.answered(took, now);
            return Ok(answer);
        }
        let left = trip.time_left(trip.patience.between_chunks(provider));
        let read = tokio::time::timeout(left, body::collect(&mut answer.body, MAX_ERROR_BODY)).await;
        let told = read.ok().and_then(Result::ok).unwrap_or_default();
        Err(classify::error_answer(provider, trip.dialect, answer.status, &answer.headers, &told, trip.flight.at))
    }
}

fn flavor(operation: Operation) -> Flavor {
    match operation {
        Operation::Chat => Flavor::Chat,
        Operation::Completions => Flavor::Completions,
        Operation::Responses => Flavor::Responses,
        Operation::Embeddings | Operation::EmbedContent | Operation::Rerank => Flavor::Other,
        Operation::Messages => Flavor::Messages,
        Operation::GenerateContent => Flavor::Gemini,
    }
}

/// Notes who is being asked, and leaves in the journal that it is: from here on it may cost.
///
/// # Errors
/// When the journal has no room.
pub(super) async fn begin(flight: &Flight, target: &Arc<Target>, started: MonoNs) -> Result<(), Failed> {
    trying(flight, target, started);
    flight.depart().await.map_err(|error| Failed { error, next: Next::Stop, blame: Blame::Nobody })
}

/// Notes who is being asked, so that the row names the last target tried.
pub(super) fn trying(flight: &Flight, target: &Arc<Target>, started: MonoNs) {
    let mut draft = flight.draft();
    draft.trying = Some((Arc::clone(target), started));
    draft.provider = Some(Arc::clone(&target.provider));
    if !target.model.is_empty() {
        draft.model_label = Some(Arc::clone(&target.label));
    }
    draft.price.clone_from(&target.price);
    draft.in_parts = false;
}

pub(super) fn internal(message: String) -> Failed {
    let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message);
    Failed { error, next: Next::Stop, blame: Blame::Nobody }
}

/// An answer that is not what was asked for.
pub(super) fn invalid_answer(provider: &ProviderDef, why: &str) -> Failed {
    let message = format!("provider {} sent an answer that cannot be used: {why}", provider.id);
    Failed { error: ApiError::upstream("upstream_invalid_response", message), next: Next::Again, blame: Blame::Target }
}

/// Undoes a content encoding that was sent although `identity` was asked for.
fn decoded(mut answer: Answer, cap: usize) -> Result<Answer, String> {
    let encoding = decode::Encoding::parse(answer.headers.get(header::CONTENT_ENCODING));
    let encoding = encoding.map_err(|other| format!("its content-encoding '{other}' is unknown"))?;
    if let Some(encoding) = encoding {
        answer.headers.remove(header::CONTENT_ENCODING);
        answer.headers.remove(header::CONTENT_LENGTH);
        let plain = decode::decode_stream(answer.body.into_stream(), encoding, cap as u64);
        answer.body = body::AnswerBody::Local(plain);
    }
    Ok(answer)
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let begins = |kind: &str| content_type.trim_start().get(..kind.len()).is_some_and(|t| t.eq_ignore_ascii_case(kind));
    begins("text/event-stream") || begins("application/vnd.amazon.eventstream") || begins("application/x-ndjson")
}
