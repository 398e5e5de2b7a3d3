//! `GET /metrics`: Prometheus text. On `server.metrics_listen` when that is set, and then only there.

use std::collections::HashSet;

use axum::extract;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::snapshot::breaker::State;
use crate::state::{Gateway, Shared};

/// Targets of no route whose breakers are shown.
const MAX_OTHERS: usize = 100;

/// The metrics of this process.
pub async fn metrics(extract::State(gateway): extract::State<Shared>) -> Response {
    let metrics = &gateway.meter.metrics;
    let pending = i64::try_from(gateway.meter.ledger.pending()).unwrap_or(i64::MAX);
    metrics.journal_pending.set(pending);
    metrics.keys_cached.set(i64::try_from(gateway.keys.len()).unwrap_or(i64::MAX));
    metrics.body_memory.set(i64::try_from(gateway.body_memory.held()).unwrap_or(i64::MAX));
    breakers(&gateway);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

/// Breakers of the targets of configured routes, and of others as long as they are not closed.
fn breakers(gateway: &Gateway) {
    let gauge = &gateway.meter.metrics.breaker_state;
    let snapshot = gateway.snapshot.load();
    let now = gateway.clock().mono_ns();
    let configured: HashSet<&str> =
        snapshot.routes.values().flat_map(|route| route.asked()).map(|target| &*target.name).collect();
    gauge.reset();
    let mut others = 0;
    for provider in snapshot.providers.values() {
        for (model, health) in provider.live.targets() {
            let state = health.state(now);
            let own = configured.contains(format!("{}/{model}", provider.id).as_str());
            if !own && (state == State::Closed || others >= MAX_OTHERS) {
                continue;
            }
            others += usize::from(!own);
            gauge.with_label_values(&[&*provider.id, &model]).set(match state {
                State::Closed => 0,
                State::Open(_) => 1,
                State::HalfOpen(_) => 2,
            });
        }
    }
}
