//! How a route's targets are ordered: one small policy for each strategy, over the same facts.

use std::cmp::Ordering as Order;
use std::sync::atomic::Ordering;

use weir_wire::usage::Usage;

use super::plan::{Skip, Step};
use crate::clock::{Entropy, MonoNs, UnixMs};
use crate::condition::Condition;
use crate::snapshot::{HashBy, Prefer, Route, Strategy, Target};

/// What policies know of a request and of the moment.
pub struct Facts<'a> {
    /// Now.
    pub now: MonoNs,
    /// When the request arrived: its prices.
    pub at: UnixMs,
    /// Chance.
    pub chance: &'a Entropy,
    /// What it may use: its prompt, and about as much output as it may have.
    pub usage: Usage,
    /// A number of who calls, by the first of these that the request has.
    pub affinity: &'a dyn Fn(&[HashBy]) -> Option<u64>,
    /// Whether a condition holds.
    pub holds: &'a dyn Fn(&Condition) -> bool,
    /// Regions that the caller wants, before the route's.
    pub regions: &'a [String],
}

/// What a target's place was decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The figure; what is smaller comes first.
    pub value: f64,
    /// What it is a figure of.
    pub of: &'static str,
}

/// Orders the targets of a route by its strategy.
pub fn rank(route: &Route, facts: &Facts<'_>, steps: &mut [Step]) {
    match route.strategy {
        Strategy::Priority => number(steps),
        Strategy::RoundRobin => {
            number(steps);
            let turn = route.turn.fetch_add(1, Ordering::Relaxed) % steps.len();
            steps.rotate_left(turn);
        }
        Strategy::Weighted => draw(facts.chance.u64(), steps),
        Strategy::LeastBusy => {
            // Of equals another one each time.
            let turn = route.turn.fetch_add(1, Ordering::Relaxed) % steps.len();
            steps.rotate_left(turn);
            by(steps, "requests_in_flight", |target| f64::from(target.health.in_flight()));
        }
        Strategy::Latency => latency(facts, steps),
        Strategy::Cost => by(steps, "cost_nano_usd", |target| cost(target, facts)),
        Strategy::Hash | Strategy::Split => {
            let caller = (facts.affinity)(&route.hash_by);
            draw(caller.unwrap_or_else(|| facts.chance.u64()), steps);
        }
        Strategy::Conditional => conditional(route, facts, steps),
        Strategy::Capable => match route.prefer {
            Prefer::Cost => by(steps, "cost_nano_usd", |target| cost(target, facts)),
            Prefer::Latency => by(steps, "latency_us", |target| float(target.health.load(facts.now))),
        },
        Strategy::Auto => auto(facts, steps),
    }
}

/// The order of the list.
fn number(steps: &mut [Step]) {
    for (step, n) in steps.iter_mut().zip(0u32..) {
        step.score = Score { value: f64::from(n), of: "place" };
    }
}

/// By a figure, the smallest first; equals stay as they are.
fn by(steps: &mut [Step], of: &'static str, figure: impl Fn(&Target) -> f64) {
    for step in steps.iter_mut() {
        step.score = Score { value: figure(&step.target), of };
    }
    steps.sort_by(|a, b| compare(a.score.value, b.score.value));
}

fn compare(a: f64, b: f64) -> Order {
    a.partial_cmp(&b).unwrap_or(Order::Equal)
}

/// Weighted rendezvous: each target draws a number from the caller's and its own name, and the smallest
/// comes first. Shares are as the weights, the same caller has the same order, and where a target is gone
/// or new only those who had it or are to have it move.
fn draw(caller: u64, steps: &mut [Step]) {
    by(steps, "draw", |target| {
        // 53 bits, never 0 nor 1.
        let unit = (float(mix(caller ^ target.hash) >> 11) + 0.5) / 9_007_199_254_740_992.0;
        -unit.ln() / f64::from(target.weight.max(1))
    });
}

/// The finaliser of splitmix64: neighbouring numbers have nothing in common afterwards.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Power of two choices: the better one of two that are drawn comes first, so that not everybody runs to
/// the one that was the fastest a moment ago. The others follow by their load.
fn latency(facts: &Facts<'_>, steps: &mut [Step]) {
    by(steps, "latency_us", |target| float(target.health.load(facts.now)));
    let well = steps.iter().filter(|step| step.skip.is_none()).count();
    if well < 3 {
        return;
    }
    let draw = facts.chance.u64();
    let (first, second) = (draw % well as u64, (draw >> 32) % (well as u64 - 1));
    let second = if second >= first { second + 1 } else { second };
    let chosen = usize::try_from(first.min(second)).unwrap_or(0);
    let place = steps.iter().enumerate().filter(|(_, step)| step.skip.is_none()).nth(chosen).map(|(n, _)| n);
    steps[..=place.unwrap_or(0)].rotate_right(1);
}

/// What this request would cost there; the last place goes to what has no price.
fn cost(target: &Target, facts: &Facts<'_>) -> f64 {
    target.price.as_ref().map_or(f64::MAX, |price| signed(price.cost(&facts.usage, None, facts.at).nano.0))
}

fn conditional(route: &Route, facts: &Facts<'_>, steps: &mut [Step]) {
    number(steps);
    let Some((_, allowed)) = route.rules.iter().find(|(condition, _)| (facts.holds)(condition)) else { return };
    let place = |step: &Step| allowed.iter().position(|n| float(*n as u64) == step.score.value);
    for step in steps.iter_mut() {
        if place(step).is_none() {
            step.skip = Some(Skip::Unruled);
        }
    }
    steps.sort_by_key(|step| place(step).unwrap_or(usize::MAX));
}

/// Time times the root of the cost, both as multiples of the best, and worse by failures and by what is in
/// flight: twice as slow weighs as much as four times as dear.
fn auto(facts: &Facts<'_>, steps: &mut [Step]) {
    let times: Vec<f64> = steps.iter().map(|step| float(step.target.health.latency.get(facts.now))).collect();
    let costs: Vec<f64> = steps.iter().map(|step| cost(&step.target, facts)).collect();
    let (quickest, cheapest) = (least(&times), least(&costs));
    for ((step, time), cost) in steps.iter_mut().zip(times).zip(costs) {
        let health = &step.target.health;
        // What was not measured yet is taken for the best, so that it is tried.
        let slower = if time > 0.0 { (time / quickest).max(1.0) } else { 1.0 };
        let dearer = if cost > 0.0 && cost < f64::MAX { (cost / cheapest).sqrt() } else { 1.0 };
        let trouble = 1.0 + 20.0 * health.failure_rate();
        let busy = 1.0 + f64::from(health.in_flight()) / 8.0;
        step.score = Score { value: slower * dearer * trouble * busy, of: "auto" };
    }
    steps.sort_by(|a, b| compare(a.score.value, b.score.value));
}

fn least(values: &[f64]) -> f64 {
    let least = values.iter().copied().filter(|value| *value > 0.0 && *value < f64::MAX).fold(f64::MAX, f64::min);
    if least == f64::MAX { 1.0 } else { least }
}

/// Moves targets of wanted regions to the front, in the order in which they are wanted.
pub fn by_region(route: &Route, facts: &Facts<'_>, steps: &mut [Step]) {
    if facts.regions.is_empty() && route.regions.is_empty() {
        return;
    }
    let place = |step: &Step| {
        let region = step.target.region.as_deref()?;
        facts.regions.iter().chain(&route.regions).position(|wanted| wanted.eq_ignore_ascii_case(region))
    };
    if route.region_required {
        // What the caller requires is narrower than what the route does.
        let required: &[String] = if facts.regions.is_empty() { &route.regions } else { facts.regions };
        for step in steps.iter_mut() {
            let here = step.target.region.as_deref();
            if !here.is_some_and(|here| required.iter().any(|wanted| wanted.eq_ignore_ascii_case(here))) {
                step.skip = Some(Skip::Elsewhere);
            }
        }
    }
    steps.sort_by_key(|step| place(step).unwrap_or(usize::MAX));
}

#[expect(clippy::cast_precision_loss, reason = "figures to compare, exact up to 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures to compare, exact up to 2^53")]
fn signed(value: i64) -> f64 {
    value as f64
}
