//! What a try could cost is held of the caller's budgets before an upstream hears of it.

use std::sync::{Arc, LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use http::StatusCode;
use weir_wire::usage::Usage;

use super::outcome::Blame;
use super::{Dispatcher, Failed, Job, Next};
use crate::error::ApiError;
use crate::flight::Flight;
use crate::gate::budget::{Account, Budgets, Exceeded, LineOf, Refused, Reservation};
use crate::meter::count::{self, CountJob};
use crate::money::NanoUsd;
use crate::price::{Prices, Worst};
use crate::record::rfc3339;
use crate::snapshot::{Operation, Target};

/// Output tokens that are assumed where neither the caller nor the catalogue names a bound.
const ASSUMED_OUTPUT: u64 = 32_768;
/// Tokens that a picture, a file or a sound is assumed to cost at most, wherever it is.
const MEDIUM: u64 = 16_384;
/// What a message costs beside its text, in any template: less than its JSON has bytes, more than
/// tokenizers are known to add.
const PER_TEXT: u64 = 16;

/// Words of a body that may hold media, in any dialect. Within a text their quotes would be escaped.
pub static MEDIA: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = [
        "\"image_url\"",
        "\"input_image\"",
        "\"image\"",
        "\"input_file\"",
        "\"file\"",
        "\"document\"",
        "\"input_audio\"",
        "\"audio\"",
        "\"video\"",
        "\"video_url\"",
        "\"inlineData\"",
        "\"inline_data\"",
        "\"fileData\"",
        "\"file_data\"",
    ];
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .expect("a handful of short words can be compiled")
});

/// What is done where it cannot be told what a request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A request under a budget whose price is not known goes on, and is not held.
    pub allow_unpriced: bool,
    /// Requests go on while the budgets could not be read from the database yet.
    pub allow_unknown: bool,
}

/// The most that a call can use.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Prompt tokens, by size.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// The service tier that is asked for.
    pub tier: Option<String>,
    /// Nothing but text.
    pub text_only: bool,
    /// Calls.
    pub calls: u64,
    /// Images made.
    pub images: u64,
    /// Characters spoken.
    pub characters: u64,
    /// Milliseconds heard.
    pub audio_ms: u64,
    /// Search units.
    pub search_units: u64,
    /// The prompt, where counting it may show that it is less.
    pub prompt: Option<CountJob>,
}

impl Bound {
    fn worst(&self) -> Worst<'_> {
        Worst {
            input: self.input,
            output: self.output,
            tier: self.tier.as_deref(),
            writes_cache: true,
            requests: self.calls,
            images: self.images,
            characters: self.characters,
            audio_ms: self.audio_ms,
            web_searches: 0,
            search_units: self.search_units,
            text_only: self.text_only,
        }
    }

    /// As a row would have it.
    fn usage(&self) -> Usage {
        Usage {
            input: self.input,
            output: self.output,
            images: self.images,
            characters: self.characters,
            audio_ms: self.audio_ms,
            search_units: self.search_units,
            ..Usage::default()
        }
    }

    fn cost(&self, price: &Prices, sunk: NanoUsd) -> NanoUsd {
        NanoUsd(price.worst(&self.worst()).0.saturating_add(sunk.0))
    }
}

/// The most that a request can use at a target.
pub(super) fn bound(job: &Job, target: &Target) -> Bound {
    let generates = job.operation.inbound().is_some();
    let size = job.peek.prompt_size(&job.body);
    let media = MEDIA.find_iter(&job.body[..]).count() as u64;
    let earlier = job.earlier.as_ref().map_or(0, super::keep::Earlier::size);
    // A token has at least one byte, so that text has at most as many tokens as bytes.
    let input = size.text_bytes.saturating_add(media.max(size.media).saturating_mul(MEDIUM)).saturating_add(earlier);
    let most = target.info.as_ref().and_then(|info| info.max_output.or(info.context_window));
    let output = job.peek.max_output().unwrap_or_else(|| most.unwrap_or(ASSUMED_OUTPUT));
    Bound {
        input,
        output: if generates { output.saturating_mul(job.peek.n.unwrap_or(1).max(1)) } else { 0 },
        tier: job.peek.service_tier.clone(),
        text_only: media == 0 && size.media == 0,
        calls: 1,
        search_units: u64::from(job.operation == Operation::Rerank) * search_units(job.body.len()),
        prompt: (media == 0 && size.media == 0 && earlier == 0).then(|| CountJob {
            prompt: job.body.clone(),
            tokenizer: target.info.as_ref().and_then(|info| info.tokenizer.clone()),
            ..CountJob::default()
        }),
        ..Bound::default()
    }
}

/// A unit is a query with up to a hundred documents, long ones split (Cohere, "How does pricing work");
/// no document has less than two bytes.
fn search_units(bytes: usize) -> u64 {
    1 + bytes as u64 / 200
}

impl Dispatcher {
    /// Holds what a try at `target` could cost, in the place of what an earlier one held. Nothing is
    /// held where no budget is concerned.
    ///
    /// # Errors
    /// 402 naming the budget; 503 when the database that would know is away. Another target may be
    /// cheaper, or of another provider.
    pub(super) async fn afford(
        &self,
        flight: &Flight,
        target: &Target,
        bound: impl FnOnce() -> Bound,
    ) -> Result<(), Failed> {
        // What the last try held, it needs no more; what it cost is in `sunk`.
        let before = flight.draft().reservation.take();
        drop(before);
        if !self.budgets.are_known() {
            return if self.policy.load().allow_unknown { Ok(()) } else { Err(away()) };
        }
        let line = line(&self.budgets, flight, target);
        if line.is_empty() {
            return Ok(());
        }
        let Some(price) = target.price.clone() else {
            return if self.policy.load().allow_unpriced { Ok(()) } else { Err(unpriced(target)) };
        };
        let bound = bound();
        let sunk = flight.draft().sunk.as_ref().map_or(NanoUsd(0), |sunk| sunk.cost);
        let (reservation, bound) = self.hold(flight, &line, bound, &price, sunk).await?;
        let mut draft = flight.draft();
        draft.worst = bound.usage();
        draft.reservation = Some(reservation);
        Ok(())
    }

    /// By its size first, which costs nothing; what does not fit so is counted.
    async fn hold(
        &self,
        flight: &Flight,
        line: &[Arc<Account>],
        mut bound: Bound,
        price: &Prices,
        sunk: NanoUsd,
    ) -> Result<(Reservation, Bound), Failed> {
        if let Some(reservation) = self.budgets.try_hold(line, flight.at, bound.cost(price, sunk)) {
            return Ok((reservation, bound));
        }
        if let Some(prompt) =
            bound.prompt.take().filter(|prompt| prompt.tokenizer.as_deref().is_some_and(count::is_exact))
            && let Ok(counted) = tokio::task::spawn_blocking(move || prompt.most()).await
        {
            bound.input = bound.input.min(counted.saturating_add(PER_TEXT));
        }
        match self.budgets.hold(line, (&flight.id, flight.at), bound.cost(price, sunk)).await {
            Ok(reservation) => Ok((reservation, bound)),
            Err(Refused::Unavailable) => Err(away()),
            Err(Refused::Exceeded(exceeded)) => {
                flight.metrics().budget_rejected(exceeded.budget.scope.as_str());
                Err(Failed { error: refusal(&exceeded, &bound), next: Next::OtherTarget, blame: Blame::Nobody })
            }
        }
    }
}

fn line(budgets: &Budgets, flight: &Flight, target: &Target) -> Vec<Arc<Account>> {
    let draft = flight.draft();
    let key = draft.caller.as_ref().map(|caller| &caller.key);
    budgets.line(&LineOf {
        key: key.map(|key| key.id.as_str()),
        user: key.and_then(|key| key.user_id.as_deref()),
        team: key.and_then(|key| key.team_id.as_deref()),
        organization: key.and_then(|key| key.organization_id.as_deref()),
        provider: Some(&target.provider.id),
        model: draft.model.as_deref(),
        target: Some(&target.name),
        tags: &draft.tags,
    })
}

fn away() -> Failed {
    let message = "the gateway cannot tell what is left of a budget: its database is not reachable; try again shortly";
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "budget_unavailable", message);
    Failed { error: error.after(std::time::Duration::from_secs(2)), next: Next::Stop, blame: Blame::Nobody }
}

/// A budget limits money, and what this costs nobody knows.
fn unpriced(target: &Target) -> Failed {
    let message = format!(
        "no price is known for {}, and requests under a budget need one (budget_policy.unpriced); set it under prices in the configuration",
        target.name
    );
    let error = ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "price_unknown", message);
    Failed { error: error.param("model").no_retry(), next: Next::OtherTarget, blame: Blame::Nobody }
}

/// 402: which budget, how much is left, when it begins anew.
fn refusal(exceeded: &Exceeded, bound: &Bound) -> ApiError {
    let Exceeded { budget, window, needed, left, allowance } = exceeded;
    let resets = match window.end {
        Some(end) => format!("it begins anew at {}", rfc3339(end)),
        None => "it does not begin anew".to_owned(),
    };
    let left = NanoUsd(left.0.max(0));
    let message = format!(
        "the budget '{}' ({} {}, {} USD a {}) has {left} USD left and this request could cost {needed} USD ({} tokens in, {} out at most); {resets}{}",
        budget.name,
        budget.scope,
        budget.subject,
        allowance,
        budget.period,
        bound.input,
        bound.output,
        if bound.output > 0 { "; a smaller max_tokens costs less" } else { "" },
    );
    ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "budget_exceeded", message).no_retry()
}
