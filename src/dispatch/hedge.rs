//! Hedged requests: when a target has not begun to answer in the time that nearly all its answers take, another
//! one is asked as well. The first answer is the caller's; the other try is ended, and what it may have cost is in
//! the request's row.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::{Dispatcher, Failed, Job, Next, Reply};
use crate::flight::lane::Lane;
use crate::money::NanoUsd;
use crate::route::plan::Step;
use crate::snapshot::hedge::Hedge;
use crate::snapshot::{Operation, Target};

/// A second target that is asked if the first takes too long.
#[derive(Debug)]
pub struct Hedging<'a> {
    /// As the route says.
    pub hedge: &'a Hedge,
    /// Who.
    pub at: &'a Step,
    /// After so long.
    pub after: Duration,
    /// It was asked, and failed.
    pub failed: bool,
}

/// Who is asked beside the first target of a plan, and when: the next one of the same route, or where there is none
/// the same target a second time. `None` where the route does not say so, too little is known of the target, the
/// request may take several calls, or the provider stores the answer: nobody would own the other one.
#[must_use]
pub fn hedging<'a>(job: &Job, steps: &'a [Step]) -> Option<Hedging<'a>> {
    let mut asked = steps.iter().filter(|step| step.skip.is_none() && !step.forced);
    let first = asked.next()?;
    let hedge = first.route.hedge.as_ref()?;
    let batches = matches!(job.operation, Operation::Embeddings | Operation::EmbedContent | Operation::Rerank);
    if batches || job.stores {
        return None;
    }
    let after = hedge.wait(&first.target, job.peek.stream)?;
    let at = asked.find(|step| Arc::ptr_eq(&step.route, &first.route)).unwrap_or(first);
    Some(Hedging { hedge, at, after, failed: false })
}

/// A request earns its route's share of hedges, whether it may have one or not.
pub(super) fn earn(job: &Job, steps: &[Step]) {
    let first = steps.iter().find(|step| step.skip.is_none());
    if let Some((step, hedge)) = first.and_then(|step| Some((step, step.route.hedge.as_ref()?))) {
        hedge.budget.earn(expected(job, &step.target));
    }
}

/// What the request is expected to cost there.
fn expected(job: &Job, target: &Target) -> NanoUsd {
    target.price.as_ref().map_or(NanoUsd(0), |price| price.cost(&job.expected, None, job.flight.at).nano)
}

impl Dispatcher {
    /// Tries a target once, and another one beside it if that takes too long.
    ///
    /// # Errors
    /// Those of the first, when neither answered.
    pub(super) async fn hedged(&self, job: &Job, step: &Step, hedging: &mut Hedging<'_>) -> Result<Reply, Failed> {
        let metrics = job.flight.metrics();
        let counted = |outcome: &str| metrics.hedged(&step.route.name, outcome);
        let budget = &hedging.hedge.budget;
        let mut first = Box::pin(self.attempt(job, step));
        if let Ok(outcome) = tokio::time::timeout(hedging.after, &mut first).await {
            return outcome;
        }
        if !budget.spend(expected(job, &hedging.at.target)) {
            counted("capped");
            return first.await;
        }
        let first = Lane::under_way(&job.flight, first);
        let second = Box::pin(self.attempt_in_turn(job, hedging.at, false));
        let second = Lane::beside(&first, Some(job.prompt()), second);
        match select(first, second).await {
            Either::Left((Ok(reply), second)) => {
                second.outpaced();
                counted("lost");
                Ok(reply)
            }
            Either::Right((Ok(reply), first)) => {
                first.outpaced();
                counted("won");
                Ok(reply)
            }
            // What is wrong with the request is wrong with it everywhere.
            Either::Left((Err(failed), _)) if failed.next == Next::Stop => Err(failed),
            Either::Left((Err(failed), second)) => match pin!(second).await {
                Ok(reply) => {
                    counted("won");
                    Ok(reply)
                }
                Err(_) => {
                    hedging.failed = true;
                    counted("failed");
                    Err(failed)
                }
            },
            Either::Right((Err(_), first)) => {
                hedging.failed = true;
                counted("failed");
                first.await
            }
        }
    }
}
