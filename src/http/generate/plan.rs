//! The targets of a request, in order.

use std::sync::Arc;

use http::HeaderMap;
use weir_wire::request::Peek;
use weir_wire::usage::Usage;

use super::affinity;
use super::peek_error;
use crate::condition::Facts as Conditions;
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::http::openai::passthrough::choose;
use crate::route::plan::{self, Step};
use crate::route::policy::Facts;
use crate::snapshot::{Operation, Route, Shadow, Snapshot, Target};
use crate::state::Gateway;

/// Targets of one request after which no further route is fallen back to.
const MAX_PLAN: usize = 16;
/// Regions that a caller may name.
const MAX_REGIONS: usize = 8;
/// Where a caller names the regions it wants.
const REGION: &str = "x-weir-region";
/// Tokens that an answer has, where the request allows more and nobody knows.
const USUAL_OUTPUT: u64 = 500;

/// Where a request may go.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// The asked route wants to be told everything or nothing.
    pub strict: bool,
    /// Where to go when the prompt was too long for a target.
    pub on_context_length: Vec<Step>,
    /// Where to go when a target's filter refused the prompt.
    pub on_content_filter: Vec<Step>,
    /// Where a copy goes, by the asked route.
    pub shadow: Option<Arc<Shadow>>,
}

/// What a plan is made of.
pub(super) struct Asked<'a> {
    pub gateway: &'a Gateway,
    pub snapshot: &'a Snapshot,
    pub flight: &'a Flight,
    pub headers: &'a HeaderMap,
    pub peek: &'a Peek,
    pub body: &'a [u8],
    pub operation: Operation,
    pub prompt_tokens: u64,
}

impl Plan {
    /// The provider that holds what the request refers to comes first: no other knows it. A request
    /// without a model goes there alone.
    pub(super) fn prefer(&mut self, snapshot: &Snapshot, provider: Option<&str>) {
        let nameless = self.steps.iter().all(|step| step.target.model.is_empty());
        if let (true, Some(holder)) = (nameless, provider.and_then(|id| snapshot.providers.get(id))) {
            for step in &mut self.steps {
                step.target = Arc::new(snapshot.target(holder, "", 1));
            }
        }
        if let Some(provider) = provider {
            self.steps.sort_by_key(|step| &*step.target.provider.id != provider);
        }
    }
}

/// Every target of the request in order: the model's own, the body's alternatives, and what the
/// routes fall back to.
pub(super) fn of(asked: &Asked<'_>) -> Result<Plan, ApiError> {
    let Asked { gateway, snapshot, flight, peek, operation, .. } = *asked;
    let caller = flight.draft().caller.clone();
    if operation == Operation::Responses && peek.model.is_none() {
        return without_model(snapshot, caller.as_ref());
    }
    let named = peek.require_model().map_err(peek_error)?;
    let mut names: Vec<String> = Vec::new();
    for name in [named].into_iter().chain(peek.models.iter().chain(&peek.fallbacks).map(String::as_str)) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    let asked_for = names.len();
    let most = u32::try_from(gateway.config.load().routing.max_ejected_percent).unwrap_or(100);
    asked.with_facts(|facts| {
        let (first, mut steps) = walk(snapshot, names, asked_for, caller.as_ref(), facts)?;
        plan::complete(&mut steps, most);
        let on = |names: &[String]| -> Result<Vec<Step>, ApiError> {
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let (_, mut steps) = walk(snapshot, names.to_vec(), 0, None, facts)?;
            plan::complete(&mut steps, most);
            Ok(steps)
        };
        Ok(Plan {
            steps,
            strict: first.strict,
            on_context_length: on(&first.on_context_length)?,
            on_content_filter: on(&first.on_content_filter)?,
            shadow: first.shadow.clone(),
        })
    })
}

/// The steps of routes by their names, and of what they fall back to; and the first route.
fn walk(
    snapshot: &Snapshot,
    mut names: Vec<String>,
    asked_for: usize,
    caller: Option<&Caller>,
    facts: &Facts<'_>,
) -> Result<(Arc<Route>, Vec<Step>), ApiError> {
    let mut steps: Vec<Step> = Vec::with_capacity(names.len());
    let (mut done, mut first) = (0, None);
    while done < names.len() && steps.len() < MAX_PLAN {
        let route = snapshot.resolve(&names[done]).map_err(|unknown| unknown_model(&names[done], &unknown.nearest))?;
        // What the caller names must be allowed; what a route falls back to is the operator's choice.
        if done < asked_for {
            check_right(caller, &route)?;
        }
        steps.extend(plan::order(&route, facts));
        for fallback in &route.fallbacks {
            if !names.contains(fallback) {
                names.push(fallback.clone());
            }
        }
        first.get_or_insert(route);
        done += 1;
    }
    let first = first.ok_or_else(|| ApiError::overloaded("no target"))?;
    Ok((first, steps))
}

impl Asked<'_> {
    /// What it may use: its prompt, and about as much output as it may have.
    pub(super) fn expected(&self) -> Usage {
        let most = self.peek.max_output().unwrap_or(USUAL_OUTPUT);
        let output = most.min(USUAL_OUTPUT.max(self.prompt_tokens / 4)).saturating_mul(self.peek.n.unwrap_or(1));
        Usage { input: self.prompt_tokens, output, ..Usage::default() }
    }

    /// Runs `then` with the facts that policies go by. What only some of them want to know is found out
    /// when they ask.
    fn with_facts<T>(&self, then: impl FnOnce(&Facts<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let regions = regions(self.headers)?;
        let conditions = std::cell::OnceCell::new();
        let facts = Facts {
            now: self.flight.now(),
            at: self.flight.at,
            chance: &self.gateway.chance,
            usage: self.expected(),
            affinity: &|by| affinity::number(self, by),
            holds: &|condition| condition.holds(conditions.get_or_init(|| Conditions::new(&affinity::facts(self)))),
            regions: &regions,
        };
        then(&facts)
    }
}

/// The regions that the caller wants, in order.
fn regions(headers: &HeaderMap) -> Result<Vec<String>, ApiError> {
    let Some(value) = headers.get(REGION) else { return Ok(Vec::new()) };
    let wrong = || {
        ApiError::invalid(
            "invalid_header",
            format!("{REGION} must name up to {MAX_REGIONS} regions, separated by commas"),
        )
    };
    let text = value.to_str().map_err(|_| wrong())?;
    let named: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let fits = |name: &String| !name.is_empty() && name.len() <= 64;
    if named.len() > MAX_REGIONS || !named.iter().all(fits) {
        return Err(wrong().param(REGION));
    }
    Ok(named)
}

/// A response's model may stand in a prompt that the provider keeps: the default provider's.
fn without_model(snapshot: &Snapshot, caller: Option<&Caller>) -> Result<Plan, ApiError> {
    if caller.is_some_and(|caller| !caller.key.rights.is_unrestricted()) {
        return Err(choose::no_model_named(Operation::Responses.endpoint()));
    }
    let provider = choose::default_provider(snapshot).ok_or_else(choose::no_default)?;
    let target: Arc<Target> = Arc::new(snapshot.target(&provider, "", 1));
    Ok(Plan {
        steps: vec![Step::alone(target)],
        strict: false,
        on_context_length: Vec::new(),
        on_content_filter: Vec::new(),
        shadow: None,
    })
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
