//! `GET /admin/v1/providers`: what is configured and how it does.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::snapshot::ProviderDef;
use crate::state::Shared;

/// All providers.
pub async fn list(State(gateway): State<Shared>) -> Json<Value> {
    let snapshot = gateway.snapshot.load();
    let data: Vec<Value> = snapshot.providers.values().map(|p| describe(p)).collect();
    Json(json!({"object": "list", "data": data, "has_more": false, "next_cursor": null}))
}

/// One provider, without its secrets.
#[must_use]
pub fn describe(provider: &ProviderDef) -> Value {
    json!({
        "id": &*provider.id,
        "kind": &*provider.kind,
        "base_url": provider.base_url,
        "default": provider.default,
        "upstream_keys": provider.credentials.len(),
        "in_flight": provider.live.in_flight(),
        "latency_us": provider.live.latency_us(),
    })
}
