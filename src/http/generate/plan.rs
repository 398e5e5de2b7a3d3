//! The targets of a request, in order.

use std::sync::Arc;
use std::time::Duration;

use weir_wire::request::Peek;

use super::peek_error;
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::http::openai::passthrough::choose;
use crate::route::plan;
use crate::snapshot::{Operation, Retries, Route, Snapshot, Target};
use crate::state::Gateway;

/// Targets of one request, all fallbacks included.
const MAX_PLAN: usize = 16;

/// Where a request may go.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order, with their route's retries.
    pub targets: Vec<(Arc<Target>, Retries)>,
    /// The asked route wants to be told everything or nothing.
    pub strict: bool,
}

impl Plan {
    /// The provider that holds what the request refers to comes first: no other knows it. A request
    /// without a model goes there alone.
    pub(super) fn prefer(&mut self, snapshot: &Snapshot, provider: Option<&str>) {
        let nameless = self.targets.iter().all(|(target, _)| target.model.is_empty());
        if let (true, Some(holder)) = (nameless, provider.and_then(|id| snapshot.providers.get(id))) {
            for (target, _) in &mut self.targets {
                *target = Arc::new(snapshot.target(holder, "", 1));
            }
        }
        if let Some(provider) = provider {
            self.targets.sort_by_key(|(target, _)| &*target.provider.id != provider);
        }
    }
}

/// Every target of the request in order: the model's own, the body's alternatives, and what the
/// routes fall back to.
pub(super) fn of(
    gateway: &Gateway,
    snapshot: &Snapshot,
    flight: &Flight,
    peek: &Peek,
    operation: Operation,
) -> Result<Plan, ApiError> {
    let caller = flight.draft().caller.clone();
    if operation == Operation::Responses && peek.model.is_none() {
        return without_model(snapshot, caller.as_ref());
    }
    let asked = peek.require_model().map_err(peek_error)?;
    let mut names: Vec<String> = Vec::new();
    for name in [asked].into_iter().chain(peek.models.iter().chain(&peek.fallbacks).map(String::as_str)) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    let mut plan = Vec::with_capacity(names.len());
    let (mut done, mut strict) = (0, false);
    let asked_for = names.len();
    while done < names.len() && plan.len() < MAX_PLAN {
        let route = snapshot.resolve(&names[done]).map_err(|unknown| unknown_model(&names[done], &unknown.nearest))?;
        // What the caller names must be allowed; what a route falls back to is the operator's choice.
        if done < asked_for {
            check_right(caller.as_ref(), &route)?;
        }
        strict |= done == 0 && route.strict;
        plan.extend(plan::order(&route, &gateway.chance).into_iter().map(|target| (target, route.retries)));
        for fallback in &route.fallbacks {
            if !names.contains(fallback) {
                names.push(fallback.clone());
            }
        }
        done += 1;
    }
    Ok(Plan { targets: plan, strict })
}

/// A response's model may stand in a prompt that the provider keeps: the default provider's.
fn without_model(snapshot: &Snapshot, caller: Option<&Caller>) -> Result<Plan, ApiError> {
    if caller.is_some_and(|caller| !caller.key.rights.is_unrestricted()) {
        return Err(choose::no_model_named(Operation::Responses.endpoint()));
    }
    let provider = choose::default_provider(snapshot).ok_or_else(choose::no_default)?;
    let target = Arc::new(snapshot.target(&provider, "", 1));
    Ok(Plan { targets: vec![(target, Retries { attempts: 1, backoff: Duration::ZERO })], strict: false })
}

/// 404 with the nearest names.
#[must_use]
pub fn unknown_model(name: &str, nearest: &[String]) -> ApiError {
    let shown = crate::flight::bounded(name, 128);
    let hint = match nearest {
        [] => "see GET /v1/models for what there is".to_owned(),
        names => format!("did you mean {}?", names.join(", ")),
    };
    ApiError::not_found("model_not_found", format!("the model '{shown}' does not exist here; {hint}")).param("model")
}

/// Whether the caller may use a model, by the name it asked for or the model's own.
///
/// # Errors
/// 403 with what the key may use.
pub fn check_right(caller: Option<&Caller>, route: &Route) -> Result<(), ApiError> {
    let Some(caller) = caller else { return Ok(()) };
    let rights = &caller.key.rights;
    let own_name = || !route.configured && route.targets.iter().all(|t| rights.allows(&t.name));
    if rights.is_unrestricted() || rights.allows(&route.name) || own_name() {
        return Ok(());
    }
    let message =
        format!("this key may not use the model '{}'; it may use: {}", route.name, rights.patterns().join(", "));
    Err(ApiError::forbidden("model_not_allowed", message).param("model"))
}
