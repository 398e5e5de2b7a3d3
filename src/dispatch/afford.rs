//! What a try could cost is held of the caller's budgets before an upstream hears of it.

mod bound;

use std::sync::Arc;

use http::StatusCode;

use super::outcome::Blame;
use super::{Dispatcher, Failed, Next};
use crate::error::ApiError;
use crate::flight::Flight;
use crate::gate::budget::{Account, Budgets, Exceeded, LineOf, Refused, Reservation};
use crate::money::NanoUsd;
use crate::price::Prices;
use crate::record::rfc3339;
use crate::snapshot::Target;
pub use bound::{Bound, MEDIA, bound};

/// What is done where it cannot be told what a request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A request under a budget whose price is not known goes on, and is not held.
    pub allow_unpriced: bool,
    /// Requests go on while the budgets could not be read from the database yet.
    pub allow_unknown: bool,
    /// A try that was waited for in vain costs its prompt.
    pub unanswered_costs: bool,
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
        draft.worst = bound.most();
        draft.reservation = Some(reservation);
        Ok(())
    }

    /// By its size first, which costs nothing; what does not fit so is counted.
    async fn hold(
        &self,
        flight: &Flight,
        line: &[Arc<Account>],
        bound: Bound,
        price: &Prices,
        sunk: NanoUsd,
    ) -> Result<(Reservation, Bound), Failed> {
        if let Some(reservation) = self.budgets.try_hold(line, flight.at, bound.cost(price, sunk)) {
            return Ok((reservation, bound));
        }
        let bound = bound.counted().await;
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
        bound.all_input(),
        bound.output,
        if bound.output > 0 { "; a smaller max_tokens costs less" } else { "" },
    );
    ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "budget_exceeded", message).no_retry()
}
