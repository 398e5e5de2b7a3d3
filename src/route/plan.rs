//! The plan of one request: which targets to try, in which order. Pure: facts in, targets out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Entropy;
use crate::snapshot::{Route, Strategy, Target};

/// Orders the targets of a route for one request: the first by the route's strategy, the others
/// behind it as fallbacks.
#[must_use]
pub fn order(route: &Route, chance: &Entropy) -> Vec<Arc<Target>> {
    let mut targets: Vec<Arc<Target>> = route.targets.clone();
    if targets.len() < 2 {
        return targets;
    }
    match route.strategy {
        Strategy::Priority => {}
        Strategy::RoundRobin => {
            let turn = route.turn.fetch_add(1, Ordering::Relaxed) % targets.len();
            targets.rotate_left(turn);
        }
        Strategy::Weighted => shuffle_weighted(&mut targets, chance),
        Strategy::LeastBusy => targets.sort_by_key(|t| t.provider.live.in_flight()),
        Strategy::Latency => targets.sort_by_key(|t| t.provider.live.latency_us()),
        Strategy::Cost => targets.sort_by_key(|t| t.price.as_ref().map_or(u128::MAX, |p| p.typical())),
    }
    targets
}

/// A weighted order without replacement: each place is drawn from what is left, by weight.
fn shuffle_weighted(targets: &mut [Arc<Target>], chance: &Entropy) {
    for i in 0..targets.len() {
        let total: u64 = targets[i..].iter().map(|t| u64::from(t.weight)).sum();
        if total == 0 {
            return;
        }
        let mut point = chance.u64() % total;
        let drawn = targets[i..].iter().position(|t| {
            let weight = u64::from(t.weight);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        });
        targets.swap(i, i + drawn.unwrap_or(0));
    }
}
