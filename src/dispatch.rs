//! Dispatch: walks a request's plan until a target answers.
//!
//! Each target is tried (and, where its route says so, retried); the answer's first frame is read
//! before anything is promised to the client, so an upstream that fails on its first event can still
//! be replaced by the next. After the first byte to the client nothing is retried.

pub mod afford;
pub mod attempt;
mod check;
pub mod classify;
pub mod count;
mod embed;
mod exchange;
pub mod fault;
mod flow;
pub mod forward;
pub mod hedge;
pub mod keep;
pub mod outcome;
pub mod patience;
pub mod prepare;
mod queued;
mod rerank;
pub mod retries;
pub mod shadow;
pub mod stream;
pub mod translation;
pub mod whole;
mod withheld;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;
use weir_wire::fault::ErrorClass;
use weir_wire::gemini::Framing;
use weir_wire::hub;
use weir_wire::request::Peek;
use weir_wire::usage::Usage;

use crate::clock::{Entropy, MonoNs};
use crate::error::ApiError;
use crate::faults::Faults;
use crate::flight::Flight;
use crate::gate::budget::Budgets;
use crate::route::plan::{Skip, Step};
use crate::snapshot::{Operation, Shadow, Target};
use crate::upstream::Provider;
use hedge::Hedging;
use outcome::Blame;
use patience::Patience;
use stream::StreamBody;
use whole::WholeBody;

/// With less time than this no further target is tried: timers have a resolution of a millisecond.
const WORTH_A_TRY: Duration = Duration::from_millis(2);

/// The senders of all providers, by [`crate::snapshot::ProviderDef::sender`]. Those of a snapshot that was replaced stay
/// while requests run that it planned.
pub type Senders = HashMap<Arc<str>, Arc<dyn Provider>>;

/// What dispatch needs besides the request.
#[derive(Debug)]
pub struct Dispatcher {
    /// The providers' senders.
    pub senders: ArcSwap<Senders>,
    /// Chance, for weights and jitter.
    pub chance: Entropy,
    /// Cancelled when open streams must end now.
    pub hard_stop: CancellationToken,
    /// Largest answer that is held in memory.
    pub max_answer: usize,
    /// What callers may spend.
    pub budgets: Arc<Budgets>,
    /// What is done where that cannot be told.
    pub policy: ArcSwap<afford::Policy>,
    /// Second tries that may still be made.
    pub retries: retries::Budget,
}

/// One admitted request.
#[derive(Debug)]
pub struct Job {
    /// What is asked.
    pub operation: Operation,
    /// The body as it came.
    pub body: Bytes,
    /// What was read of it.
    pub peek: Peek,
    /// The client's headers that an upstream gets.
    pub headers: HeaderMap,
    /// `x-weir-fault`, for providers that allow it.
    pub fault: Option<Faults>,
    /// Targets in order, and why the others are not asked.
    pub plan: Vec<Step>,
    /// Where to go when the prompt was too long for a target.
    pub on_context_length: Vec<Step>,
    /// Where to go when a target's filter refused the prompt.
    pub on_content_filter: Vec<Step>,
    /// The request.
    pub flight: Arc<Flight>,
    /// When it must be over.
    pub deadline: MonoNs,
    /// The caller's own times of each try.
    pub patience: Patience,
    /// About how many tokens its prompt has, by its size.
    pub prompt_tokens: u64,
    /// What it may use: its prompt, and about as much output as it may have.
    pub expected: Usage,
    /// Tokens it may use: the prompt's and the most that may be generated.
    pub estimate: u64,
    /// Whether it is refused when a target cannot be told all of it (`x-weir-strict`).
    pub strict: bool,
    /// How the exchange is kept where its provider keeps none.
    pub keep: Option<keep::Writer>,
    /// Whether its provider stores the answer.
    pub stores: bool,
    /// Whether its tokens are counted, and nothing more.
    pub counts: bool,
    /// The conversation before this request, where Weir keeps it.
    pub earlier: Option<keep::Earlier>,
    /// How the chunks of a Gemini stream are told apart.
    pub framing: Framing,
    /// Where made-up ids come from: the same for every target.
    pub seed: u64,
    /// Where a copy of it goes, once its plan is walked.
    pub shadow: Option<Arc<Shadow>>,
    /// Whether it is such a copy, of which nobody keeps anything.
    pub is_copy: bool,
    /// The body read, once a target needs it in another dialect.
    pub hub: OnceLock<Box<Result<hub::Request, ApiError>>>,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The headers of the upstream that the client gets.
    pub headers: HeaderMap,
    /// The body, which settles the flight.
    pub body: ReplyBody,
    /// The id in it is the provider's own.
    pub native: bool,
}

/// The body of a reply.
#[derive(Debug)]
pub enum ReplyBody {
    /// Whole in memory.
    Whole(WholeBody),
    /// Still coming, event by event.
    Stream(Box<StreamBody>),
    /// Still coming, untouched.
    Raw(Box<forward::RawBody>),
}

/// A failed attempt: what the client would be told, and what may be tried next.
#[derive(Debug)]
pub struct Failed {
    /// For the client, if nothing else works.
    pub error: ApiError,
    /// What may be tried next.
    pub next: Next,
    /// Whose fault it is.
    pub blame: Blame,
}

/// What a failure allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the request itself is at fault.
    Stop,
    /// Another target, but this one would fail again.
    OtherTarget,
    /// Another target: this one had the request and was waited for in vain. Nobody knows what it did with it.
    Unanswered,
    /// This target again, or another.
    Again,
    /// The same without a pause: nothing was sent.
    AtOnce,
}

impl Job {
    fn time_left(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(self.flight.now()))
    }

    /// The targets that are asked, in order.
    pub fn candidates(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.plan.iter().filter(|step| step.skip.is_none()).map(|step| &step.target)
    }

    /// The prompt's bytes.
    #[must_use]
    pub fn prompt(&self) -> Bytes {
        self.peek.prompt.map_or_else(Bytes::new, |prompt| self.body.slice(prompt.span.start..prompt.span.end))
    }
}

impl Dispatcher {
    /// Walks the plan.
    ///
    /// # Errors
    /// The last failure, when no target answered.
    pub async fn run(&self, job: &Job) -> Result<Reply, ApiError> {
        self.retries.earn();
        hedge::earn(job, &job.plan);
        let mut failed = match self.walk(job, &job.plan).await {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        let elsewhere = match failed.error.class {
            ErrorClass::ContextLength => &job.on_context_length,
            ErrorClass::ContentFilter => &job.on_content_filter,
            _ => &[][..],
        };
        if !elsewhere.is_empty() && job.time_left() >= WORTH_A_TRY {
            match self.walk(job, elsewhere).await {
                Ok(reply) => return Ok(reply),
                Err(other) => failed = other,
            }
        }
        Err(failed.error.after_attempts(job.flight.draft().attempts.len()))
    }

    /// Tries one after the other of the targets that are not left out.
    async fn walk(&self, job: &Job, steps: &[Step]) -> Result<Reply, Failed> {
        let mut last: Option<Failed> = None;
        let mut hedging = hedge::hedging(job, steps);
        for (n, step) in steps.iter().enumerate() {
            let failed = |hedging: &Hedging<'_>| hedging.failed && std::ptr::eq(hedging.at, step);
            if step.skip.is_some() || (last.is_some() && hedging.as_ref().is_some_and(failed)) {
                continue;
            }
            if last.is_some() && job.time_left() < WORTH_A_TRY {
                break;
            }
            let others = steps[n + 1..].iter().any(|step| step.skip.is_none());
            let hedging = hedging.as_mut().filter(|_| last.is_none() && !step.forced);
            match self.try_target(job, step, others, hedging).await {
                Ok(reply) => return Ok(reply),
                Err(failed) if failed.next == Next::Stop => return Err(failed),
                Err(failed) => last = Some(failed),
            }
        }
        Err(last.unwrap_or_else(|| no_target(steps)))
    }

    /// Tries a target as often as its route says. What was never sent goes to another target at once, if
    /// there is one, and else is sent again at once.
    async fn try_target(
        &self,
        job: &Job,
        step: &Step,
        others: bool,
        mut hedging: Option<&mut Hedging<'_>>,
    ) -> Result<Reply, Failed> {
        let mut tried = 0;
        loop {
            let outcome = match hedging.take() {
                Some(hedging) => Box::pin(self.hedged(job, step, hedging)).await,
                None => self.attempt(job, step).await,
            };
            let failed = match outcome {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let unsent = failed.next == Next::AtOnce && tried == 0;
            let again = match failed.next {
                Next::Again => tried + 1 < step.retries.attempts,
                Next::AtOnce => !others && (unsent || tried + 1 < step.retries.attempts),
                Next::Stop | Next::OtherTarget | Next::Unanswered => false,
            };
            if !again || !self.retries.spend() {
                return Err(failed);
            }
            if !unsent && !self.wait_before_retry(job, step.retries.backoff, tried, failed.error.retry_after).await {
                return Err(failed);
            }
            tried += 1;
        }
    }

    /// Full-jitter exponential backoff, at least what the upstream asked for. `false` when the
    /// deadline would pass meanwhile.
    async fn wait_before_retry(&self, job: &Job, backoff: Duration, tried: u32, asked: Option<Duration>) -> bool {
        let ceiling = backoff.saturating_mul(1 << tried.min(10)).min(Duration::from_secs(30));
        let wait = ceiling.mul_f64(self.chance.unit()).max(asked.unwrap_or_default());
        if wait >= job.time_left() {
            return false;
        }
        tokio::time::sleep(wait).await;
        job.flight.draft().paused_ns += u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        true
    }
}

/// Every target is left out, or there is none.
fn no_target(steps: &[Step]) -> Failed {
    let why: Vec<String> = steps
        .iter()
        .filter_map(|step| step.skip.as_ref().filter(|skip| **skip != Skip::Repeated).map(|skip| (step, skip)))
        .map(|(step, skip)| format!("{}: {skip}", step.target.name))
        .collect();
    let soonest = steps.iter().filter_map(|step| match step.skip {
        Some(Skip::Open(left) | Skip::Cooling(left)) => Some(left),
        _ => None,
    });
    let wait = soonest.min().unwrap_or(Duration::from_secs(1));
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
    let message = format!("no target can take this request now{why}");
    let all = |kind: fn(&Skip) -> bool| {
        let mut skips = steps.iter().filter_map(|step| step.skip.as_ref()).peekable();
        skips.peek().is_some() && skips.all(kind)
    };
    let error = if all(|skip| matches!(skip, Skip::Rejected)) {
        ApiError::upstream("upstream_credentials_rejected", message).no_retry()
    } else if all(|skip| matches!(skip, Skip::Cooling(_) | Skip::Rejected)) {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message).after(wait)
    } else {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "no_healthy_target", message).after(wait)
    };
    Failed { error, next: Next::Stop, blame: Blame::Nobody }
}

impl ApiError {
    /// SDKs need not repeat what Weir has tried several times already.
    #[must_use]
    fn after_attempts(self, attempts: usize) -> Self {
        if attempts > 1 { self.no_retry() } else { self }
    }
}
