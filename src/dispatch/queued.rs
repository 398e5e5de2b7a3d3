//! A call that waits for its turn at an upstream.

use std::future::Future;
use std::sync::Arc;

use crate::flight::Flight;
use crate::gate::limit::{Priority, Refused};
use crate::gate::queue::{Queue, Waiter};
use crate::snapshot::ProviderDef;

/// Tries at once if nobody waits, and otherwise in turn; what was waited is no work of the gateway's.
///
/// # Errors
/// The last refusal.
pub(super) async fn in_turn<T, F: Future<Output = Result<T, Refused>> + Send>(
    provider: &ProviderDef,
    queue: &Queue,
    flight: &Flight,
    attempt: impl Fn() -> F + Send,
) -> Result<T, Refused> {
    let refused = match queue.try_first(&attempt).await {
        Ok(taken) => return Ok(taken),
        Err(refused) => refused,
    };
    let waiting = Waiting::begin(provider, flight);
    let outcome = queue.wait(waiter(flight), refused, &attempt).await;
    waiting.end(if outcome.is_ok() { "admitted" } else { "refused" });
    outcome
}

/// The caller's team is its tenant, else its key. What is nobody's (a copy that no caller pays for) goes last.
fn waiter(flight: &Flight) -> Waiter {
    let draft = flight.draft();
    let key = draft.caller.as_ref().map(|caller| &caller.key);
    let tenant = key.map_or("", |key| key.team_id.as_deref().unwrap_or(&key.id));
    Waiter { tenant: Arc::from(tenant), priority: key.map_or(Priority::Low, |key| key.priority) }
}

/// Somebody waits; dropped before its end, it left.
struct Waiting<'a> {
    provider: &'a ProviderDef,
    flight: &'a Flight,
    since: u64,
    outcome: &'static str,
}

impl<'a> Waiting<'a> {
    fn begin(provider: &'a ProviderDef, flight: &'a Flight) -> Self {
        flight.metrics().queue_length.with_label_values(&[&provider.id]).inc();
        Self { provider, flight, since: flight.now(), outcome: "left" }
    }

    fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.flight.now().saturating_sub(self.since);
        self.flight.draft().paused_ns += waited;
        self.flight.metrics().queue_length.with_label_values(&[&self.provider.id]).dec();
        self.flight.metrics().queued(&self.provider.id, self.outcome, waited);
    }
}
