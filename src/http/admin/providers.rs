//! `GET /admin/v1/providers`: what is configured and how it does.

use std::time::Duration;

use axum::{Json, extract};
use serde_json::{Value, json};

use crate::clock::MonoNs;
use crate::snapshot::ProviderDef;
use crate::snapshot::breaker::State;
use crate::snapshot::health::Health;
use crate::snapshot::live::{KeyHealth, Unusable};
use crate::state::Shared;

/// Models of a provider that are shown.
const MAX_MODELS: usize = 1000;

/// All providers.
pub async fn list(extract::State(gateway): extract::State<Shared>) -> Json<Value> {
    let snapshot = gateway.snapshot.load();
    let now = gateway.clock().mono_ns();
    let data: Vec<Value> = snapshot.providers.values().map(|p| describe(p, now)).collect();
    Json(json!({"object": "list", "data": data, "has_more": false, "next_cursor": null}))
}

/// One provider, without its secrets.
#[must_use]
pub fn describe(provider: &ProviderDef, now: MonoNs) -> Value {
    json!({
        "id": &*provider.id,
        "kind": &*provider.kind,
        "base_url": provider.base_url,
        "default": provider.default,
        "upstream_keys": provider.credentials.len(),
        "in_flight": provider.live.in_flight(),
        "latency_us": provider.live.latency_us(),
        "keys": provider.credentials.iter().map(|key| key_health(&key.health, now)).collect::<Vec<_>>(),
        "models": provider.live.targets().iter().take(MAX_MODELS).map(|(model, health)| target(model, health, now)).collect::<Vec<_>>(),
    })
}

/// How an upstream key does; keys are told apart by their place.
fn key_health(key: &KeyHealth, now: MonoNs) -> Value {
    match key.peek(now) {
        None => json!({"state": "ok"}),
        Some(Unusable::Cooling(left)) => json!({"state": "cooling", "for_ms": ms(left)}),
        Some(Unusable::Rejected) => json!({"state": "rejected"}),
    }
}

/// How a model does there.
fn target(model: &str, health: &Health, now: MonoNs) -> Value {
    let state = health.state(now);
    let left = if let State::Open(until) = state { ms(Duration::from_nanos(until.saturating_sub(now))) } else { 0 };
    json!({
        "model": model,
        "breaker": state.as_str(),
        "open_for_ms": left,
        "in_flight": health.in_flight(),
        "latency_us": health.latency.get(now),
        "first_token_us": health.first_token.get(now),
        "p95_us": {"stream": health.times(true).percentile(0.95), "whole": health.times(false).percentile(0.95)},
        "failure_rate": health.failure_rate(),
    })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
