//! From the name a caller asked for to the model that a provider served under it.
//!
//! Sums keep the name that was asked for. What stood behind it is read off the present configuration: a
//! name that leads to two models of one provider, or to none any more, is not guessed at.

use std::sync::Arc;

use crate::snapshot::{Route, Snapshot, Target};

/// The one model of `provider` behind a name, directly or by a fallback; `None` when there is none, or
/// more than one.
#[must_use]
pub fn behind(snapshot: &Snapshot, provider: &str, asked: &str) -> Option<Arc<Target>> {
    let route = snapshot.resolve(asked).ok()?;
    let own = targets(&route, provider);
    if let Some(found) = only(own) {
        return found;
    }
    let fallbacks = route.fallbacks.iter().filter_map(|name| snapshot.resolve(name).ok());
    only(fallbacks.flat_map(|route| targets(&route, provider)).collect())?
}

fn targets(route: &Route, provider: &str) -> Vec<Arc<Target>> {
    route.targets.iter().filter(|target| *target.provider.id == *provider).map(Arc::clone).collect()
}

/// `None` when there is nothing to choose from; `Some(None)` when it is not clear which.
fn only(found: Vec<Arc<Target>>) -> Option<Option<Arc<Target>>> {
    let first = found.first()?;
    Some(found.iter().all(|other| other.model == first.model).then(|| Arc::clone(first)))
}
