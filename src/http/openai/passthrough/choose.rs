//! Where a passed-through request goes, and whether its caller may.

use std::sync::Arc;

use http::Method;

use super::Ask;
use super::incoming::{Incoming, is_model};
use weir_wire::usage::Usage;

use crate::error::ApiError;
use crate::flight::Caller;
use crate::http::generate::{check_right, unknown_model};
use crate::route::plan;
use crate::route::policy::Facts;
use crate::snapshot::{ProviderDef, Snapshot, Target, stable_hash};
use crate::state::Gateway;

/// The target: what the model names, else the provider that holds the object, else the default.
pub(super) fn target(
    gateway: &Gateway,
    caller: &Caller,
    ask: &Ask,
    incoming: &Incoming,
    held: Option<&str>,
) -> Result<Arc<Target>, ApiError> {
    let snapshot = gateway.snapshot_at(gateway.clock().unix_ms());
    let target = match &incoming.model {
        Some(model) => {
            if incoming.unseen {
                check_without_model(caller, ask)?;
            }
            by_model(gateway, &snapshot, caller, model)?
        }
        None => {
            check_without_model(caller, ask)?;
            let provider = held.and_then(|id| snapshot.providers.get(id)).cloned();
            let provider = provider.or_else(|| default_provider(&snapshot)).ok_or_else(no_default)?;
            Arc::new(snapshot.target(&provider, "", 1))
        }
    };
    if target.provider.demo {
        let message = format!(
            "the demo provider does not serve {}; it serves chat/completions, completions, embeddings and rerank",
            ask.endpoint()
        );
        return Err(ApiError::invalid("unsupported_operation", message));
    }
    Ok(target)
}

fn by_model(gateway: &Gateway, snapshot: &Snapshot, caller: &Caller, model: &str) -> Result<Arc<Target>, ApiError> {
    let route = snapshot.resolve(model).map_err(|unknown| unknown_model(model, &unknown.nearest))?;
    check_right(Some(caller), &route)?;
    let facts = Facts {
        now: gateway.clock().mono_ns(),
        at: gateway.clock().unix_ms(),
        chance: &gateway.chance,
        usage: Usage { input: 1000, output: 500, ..Usage::default() },
        affinity: &|_| Some(stable_hash(&caller.key.id)),
        holds: &|_| false,
        regions: &[],
    };
    let mut steps = plan::order(&route, &facts);
    plan::complete(&mut steps, u32::try_from(gateway.config.load().routing.max_ejected_percent).unwrap_or(100));
    let chosen = steps.into_iter().find(|step| step.skip.is_none());
    chosen.map(|step| step.target).ok_or_else(|| ApiError::overloaded("no target can take this request now"))
}

/// The provider marked as the default, or the only one there is besides the demo.
pub fn default_provider(snapshot: &Snapshot) -> Option<Arc<ProviderDef>> {
    if let Some(provider) = &snapshot.default_provider {
        return Some(Arc::clone(provider));
    }
    let mut real = snapshot.providers.values().filter(|p| !p.demo);
    let only = real.next()?;
    real.next().is_none().then(|| Arc::clone(only))
}

/// 404: nobody can tell where the request should go.
#[must_use]
pub fn no_default() -> ApiError {
    let message =
        "this request names no model, and no provider is marked 'default: true' in the gateway's configuration";
    ApiError::not_found("no_default_provider", message)
}

/// A key that is held to some models may read, upload and delete, but not start work whose model
/// Weir cannot see (a batch file may name any).
fn check_without_model(caller: &Caller, ask: &Ask) -> Result<(), ApiError> {
    const HARMLESS: [&str; 6] = ["files", "uploads", "vector_stores", "conversations", "containers", "models"];
    let reads = matches!(ask.method, Method::GET | Method::HEAD | Method::DELETE);
    let ends_work = ask.path.ends_with("/cancel") || ask.path.ends_with("/pause");
    if caller.key.rights.is_unrestricted() || reads || ends_work || HARMLESS.contains(&ask.endpoint()) {
        return Ok(());
    }
    Err(no_model_named(ask.endpoint()))
}

/// 403 for a key that is held to some models.
#[must_use]
pub fn no_model_named(endpoint: &str) -> ApiError {
    let message =
        format!("this key is held to certain models, and a request to {endpoint} does not say which model it uses");
    ApiError::forbidden("model_not_allowed", message)
}

/// The query for the upstream: a `model` in it becomes the provider's own name.
pub(super) fn query_for(query: Option<&str>, target: &Target) -> Option<String> {
    let query = query?;
    if target.model.is_empty() {
        return Some(query.to_owned());
    }
    let model = percent_encoding::utf8_percent_encode(&target.model, percent_encoding::NON_ALPHANUMERIC);
    let pairs = query.split('&').map(|pair| if is_model(pair) { format!("model={model}") } else { pair.to_owned() });
    Some(pairs.collect::<Vec<_>>().join("&"))
}
