//! The plan of one request: which targets to try, in which order, and why not the others. Pure: facts in,
//! steps out. What dispatch walks and what `explain` shows are these same steps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::MonoNs;
use crate::snapshot::breaker::State;
use crate::snapshot::live::Unusable;
use crate::snapshot::{Retries, Route, Target};

use super::policy::{self, Facts, Score};

/// One target of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where.
    pub target: Arc<Target>,
    /// How often.
    pub retries: Retries,
    /// The route it comes from.
    pub route: Arc<Route>,
    /// What its place among the route's targets was decided by.
    pub score: Score,
    /// Why it is not asked; `None`: it is.
    pub skip: Option<Skip>,
    /// It is unwell, and asked all the same: nearly all are.
    pub forced: bool,
}

/// Why a target is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its breaker is open for so much longer.
    Open(Duration),
    /// Its breaker is half open, and another request tries it.
    Probed,
    /// Its provider told every key to wait, the first for so much longer.
    Cooling(Duration),
    /// Its provider refused every key.
    Rejected,
    /// It lacks what the request needs.
    Lacks(Vec<String>),
    /// It is in none of the regions that are required.
    Elsewhere,
    /// The rule that holds does not name it.
    Unruled,
    /// It is in the plan already.
    Repeated,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(left) => write!(f, "its breaker is open for another {} ms", left.as_millis()),
            Self::Probed => f.write_str("its breaker is half open and another request tries it"),
            Self::Cooling(left) => {
                write!(f, "its provider told every key to wait, the first for another {} ms", left.as_millis())
            }
            Self::Rejected => f.write_str("its provider refused every key"),
            Self::Lacks(what) => write!(f, "it cannot take {}", what.join(", ")),
            Self::Elsewhere => f.write_str("it is in none of the regions that are required"),
            Self::Unruled => f.write_str("the rule that holds does not name it"),
            Self::Repeated => f.write_str("it is in the plan already"),
        }
    }
}

impl Step {
    /// A target on its own.
    #[must_use]
    pub fn alone(target: Arc<Target>) -> Self {
        let route = Arc::new(Route::direct(&target.name, Arc::clone(&target)));
        Self { retries: route.retries, route, target, score: Score::default(), skip: None, forced: false }
    }
}

/// The targets of a route for one request, the best first.
#[must_use]
pub fn order(route: &Arc<Route>, facts: &Facts<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = route
        .targets
        .iter()
        .map(|target| Step {
            target: Arc::clone(target),
            retries: route.retries,
            route: Arc::clone(route),
            score: Score::default(),
            skip: unwell(target, facts.now),
            forced: false,
        })
        .collect();
    if steps.len() > 1 {
        policy::rank(route, facts, &mut steps);
    }
    policy::by_region(route, facts, &mut steps);
    steps
}

/// Why a target is not asked for its health.
#[must_use]
pub fn unwell(target: &Target, now: MonoNs) -> Option<Skip> {
    match target.health.state(now) {
        State::Open(until) => return Some(Skip::Open(Duration::from_nanos(until.saturating_sub(now)))),
        State::HalfOpen(true) => return Some(Skip::Probed),
        State::Closed | State::HalfOpen(false) => {}
    }
    let mut soonest: Option<Duration> = None;
    for (n, key) in target.provider.credentials.iter().enumerate() {
        match key.health.blocked(now) {
            None if !target.health.denies(n, now) => return None,
            Some(Unusable::Cooling(left)) => soonest = Some(soonest.map_or(left, |soonest| soonest.min(left))),
            None | Some(Unusable::Rejected) => {}
        }
    }
    Some(soonest.map_or(Skip::Rejected, Skip::Cooling))
}

/// Leaves out repetitions, and lets unwell targets be asked after all where more than `most` percent of the
/// plan are left out for their health: the ones that will be well soonest, behind the others.
pub fn complete(steps: &mut Vec<Step>, most: u32) {
    for n in 1..steps.len() {
        let (before, rest) = steps.split_at_mut(n);
        let step = &mut rest[0];
        let same = |other: &Step| other.skip != Some(Skip::Repeated) && other.target.name == step.target.name;
        if !matches!(step.skip, Some(Skip::Unruled | Skip::Elsewhere)) && before.iter().any(same) {
            step.skip = Some(Skip::Repeated);
        }
    }
    let candidates = steps.iter().filter(|step| step.skip.is_none() || is_ejected(step)).count();
    let allowed = candidates * usize::try_from(most.min(100)).unwrap_or(100) / 100;
    let mut ejected: Vec<usize> = (0..steps.len()).filter(|n| is_ejected(&steps[*n])).collect();
    if ejected.len() <= allowed && ejected.len() < candidates {
        return;
    }
    ejected.sort_by_key(|n| match steps[*n].skip {
        Some(Skip::Open(left)) => left,
        _ => Duration::ZERO,
    });
    let back = ejected.len() - allowed.min(candidates.saturating_sub(1));
    let mut forced = Vec::with_capacity(back);
    for n in ejected.into_iter().take(back) {
        forced.push(Step { skip: None, forced: true, ..steps[n].clone() });
        steps[n].skip = Some(Skip::Repeated);
    }
    // What is forced has a step of its own, behind those that are well.
    steps.retain(|step| {
        !forced.iter().any(|f| Arc::ptr_eq(&f.target, &step.target) && step.skip == Some(Skip::Repeated))
    });
    let behind = steps.iter().rposition(|step| step.skip.is_none()).map_or(0, |last| last + 1);
    steps.splice(behind..behind, forced);
}

fn is_ejected(step: &Step) -> bool {
    matches!(step.skip, Some(Skip::Open(_) | Skip::Probed))
}
