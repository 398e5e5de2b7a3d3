//! Models in OpenAI's form, with context window, prices and capabilities beside it.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Model};
use crate::http::layers::{self, Endpoint};
use crate::snapshot::Route;
use crate::state::{Gateway, Shared};

/// Every model.
pub(in crate::http) fn list(gateway: &Gateway, routes: &[Arc<Route>]) -> Value {
    json!({"object": "list", "data": routes.iter().map(|route| describe(gateway, route)).collect::<Vec<_>>()})
}

/// Through the data plane's layers, as any request that is passed on. The default provider does not
/// know its own name in this gateway.
pub(in crate::http) async fn forward(gateway: Shared, mut request: Request) -> Response {
    let prefix = gateway.snapshot.load().default_provider.as_ref().map(|p| format!("/v1/models/{}/", p.id));
    let uri = request.uri();
    if let Some(rest) = prefix.and_then(|prefix| uri.path().strip_prefix(&prefix).filter(|rest| !rest.is_empty())) {
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        if let Ok(shorter) = format!("/v1/models/{rest}{query}").parse() {
            *request.uri_mut() = shorter;
        }
    }
    layers::data(gateway, request, Endpoint::Pass).await
}

/// OpenAI's model object, and what Weir knows beyond it.
pub(in crate::http) fn describe(gateway: &Gateway, route: &Route) -> Value {
    let target = &route.targets[0];
    let mut object = json!({
        "id": &*route.name,
        "object": "model",
        "created": gateway.started_at / 1000,
        "owned_by": &*target.provider.id,
        "targets": route.targets.iter().map(|t| &*t.name).collect::<Vec<_>>(),
    });
    if let (Some(info), Some(map)) = (&target.info, object.as_object_mut()) {
        map.extend(details(info));
    }
    if let (Some(price), Some(map)) = (&target.price, object.as_object_mut()) {
        map.insert("price_version".into(), price.version().into());
    }
    object
}

fn details(info: &Model) -> serde_json::Map<String, Value> {
    let prices: Vec<Value> = info
        .prices
        .iter()
        .map(|p| json!({"tier": p.tier, "above_input_tokens": p.above, "per_mtok_usd": p.mtok, "per_unit_usd": p.unit}))
        .collect();
    let details = json!({
        "mode": info.mode,
        "context_window": info.context_window,
        "max_input_tokens": info.max_input,
        "max_output_tokens": info.max_output,
        "embedding_dimensions": info.embedding_dims,
        "input_modalities": info.input,
        "output_modalities": info.output,
        "capabilities": info.capabilities(),
        "prices": prices,
        "deprecation_date": info.deprecation,
        "catalog_version": Catalog::embedded().version(),
    });
    match details {
        Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
        _ => serde_json::Map::new(),
    }
}
