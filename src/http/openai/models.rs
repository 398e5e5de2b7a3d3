//! `GET /v1/models`, `GET /v1/models/{id}`: what the caller may use, with context window, prices and
//! capabilities.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Model};
use crate::error::ApiError;
use crate::http::auth::{Identity, identify};
use crate::http::generate::{json, unknown_model};
use crate::http::layers::{self, Endpoint};
use crate::http::path::Id;
use crate::snapshot::resolve::MAX_NAME;
use crate::snapshot::{Route, Snapshot};
use crate::state::{Gateway, Shared};

/// `GET /v1/models`
///
/// # Errors
/// 401 without a key.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let who = identify(&gateway, request.headers()).await?;
    let snapshot = gateway.snapshot.load();
    let mut data = Vec::new();
    for name in snapshot.known_names().into_iter().filter(|name| may_use(&who, name)) {
        if let Ok(route) = snapshot.resolve(&name) {
            data.push(describe(&gateway, &route));
        }
    }
    Ok(json(json!({"object": "list", "data": data}).to_string()))
}

/// `GET /v1/models/{id}`: the id may contain slashes. A name that only the default provider can
/// know is asked of it.
///
/// # Errors
/// 401 without a key, 404 for a model that does not exist or that the key may not use.
pub async fn show(State(gateway): State<Shared>, Id(id): Id, request: Request) -> Result<Response, ApiError> {
    let who = identify(&gateway, request.headers()).await?;
    let snapshot = gateway.snapshot.load_full();
    let known = snapshot.resolve(&id).ok().filter(|route| may_use(&who, &id) && is_listed(&snapshot, route));
    match (known, &who) {
        (Some(route), _) => Ok(json(describe(&gateway, &route).to_string())),
        (None, Identity::Key(_)) if may_be_the_providers(&snapshot, &id) && may_use(&who, &id) => {
            Ok(forward(gateway, request).await)
        }
        (None, _) => Err(unknown_model(&id, &snapshot.resolve(&id).err().map(|u| u.nearest).unwrap_or_default())),
    }
}

/// `DELETE /v1/models/{id}` and the like belong to the provider.
pub async fn other(State(gateway): State<Shared>, request: Request) -> Response {
    forward(gateway, request).await
}

/// Through the data plane's layers, as any request that is passed on. The default provider does not
/// know its own name in this gateway.
async fn forward(gateway: Shared, mut request: Request) -> Response {
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

fn may_use(who: &Identity, name: &str) -> bool {
    match who {
        Identity::Admin => true,
        Identity::Key(caller) => caller.key.rights.allows(name),
    }
}

/// Whether the default provider may know the model; nobody does when it is longer than names are.
fn may_be_the_providers(snapshot: &Snapshot, id: &str) -> bool {
    snapshot.default_provider.is_some() && id.len() <= MAX_NAME
}

/// Whether Weir itself knows the model, as opposed to passing its name on.
fn is_listed(snapshot: &Snapshot, route: &Route) -> bool {
    let target = &route.targets[0];
    route.configured || target.info.is_some() || target.provider.demo || snapshot.default_provider.is_none()
}

/// OpenAI's model object, and what Weir knows beyond it.
fn describe(gateway: &Gateway, route: &Route) -> Value {
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
