//! `models`: public model names and where they lead.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use super::text::{DurationText, serialize_duration};
use super::tree::Value;

/// Routes by public model name, in the order of the file.
pub type Models = IndexMap<String, Route>;

/// Where a public model name leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// How the next target is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The upstream models that can answer. At least one.
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// Where to go when every target failed: names of `models`, or `provider/model`, in order.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// How often to try.
    #[serde(default)]
    pub retries: Retries,
    /// Whether a request is refused when its target cannot be told all of it, in place of an answer
    /// with `x-weir-warnings`.
    #[serde(default)]
    pub strict: bool,
}

/// How the next target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// At random, by weight.
    Weighted,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastBusy,
    /// The one that has answered soonest of late.
    Latency,
    /// The cheapest for this request.
    Cost,
    /// In the order of the list: the next only when the one before failed.
    #[default]
    Priority,
}

impl Choice for Strategy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("weighted", Self::Weighted),
        ("round_robin", Self::RoundRobin),
        ("least_busy", Self::LeastBusy),
        ("latency", Self::Latency),
        ("cost", Self::Cost),
        ("priority", Self::Priority),
    ];
}

/// One upstream model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider: a name of `providers` or of the catalogue.
    pub provider: String,
    /// The model as the provider names it.
    pub model: String,
    /// Its share under `weighted`, relative to the other targets.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u64,
}

fn one() -> u64 {
    1
}

/// How often a target is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Tries of one target before the next, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u64,
    /// The pause before a second try; it doubles with each further one.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "DurationText")]
    pub backoff: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 2, backoff: Duration::from_millis(200) }
    }
}

impl Route {
    /// The route of the shorthand `provider/model`.
    #[must_use]
    pub fn to(provider: &str, model: &str) -> Self {
        let target = Target { provider: provider.into(), model: model.into(), weight: 1 };
        Self {
            strategy: Strategy::default(),
            targets: vec![target],
            fallbacks: Vec::new(),
            retries: Retries::default(),
            strict: false,
        }
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Models {
    section.take("models", |field| field.map(route)).unwrap_or_default()
}

fn route(name: &str, mut field: Field<'_>) -> Option<Route> {
    if let Err(problem) = check_name(name) {
        field.fault(problem);
    }
    match field.node.value {
        Value::Text(_) => shorthand(field),
        Value::Map(_) => field.section(full)?,
        ref other => {
            let problem = format!("expected `provider/model` or a map with `targets`, found {}", other.kind());
            field.fault(problem);
            None
        }
    }
}

fn shorthand(field: Field<'_>) -> Option<Route> {
    let mut route = None;
    field.text_and(|cx, at, path, text| match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && check_name(model).is_ok() => {
            cx.check_provider(at, path, provider);
            route = Some(Route::to(provider, model));
        }
        _ => cx.fault(at, path, "expected `provider/model`", None),
    })?;
    route
}

fn full(section: &mut Section<'_>) -> Option<Route> {
    let strategy = section.take("strategy", Field::choice).unwrap_or_default();
    let targets = section.require("targets", targets);
    let fallbacks = section.take("fallbacks", texts).unwrap_or_default();
    let retries = section.section("retries", Retries::read).unwrap_or_default();
    let strict = section.take("strict", Field::boolean).unwrap_or(false);
    Some(Route { strategy, targets: targets?, fallbacks, retries, strict })
}

/// All or nothing, so that an item's number is its place in the file.
fn texts(field: Field<'_>) -> Option<Vec<String>> {
    field.list(|field| Some(field.text()))?.into_iter().collect()
}

fn targets(mut field: Field<'_>) -> Option<Vec<Target>> {
    if field.node.value == Value::List(Vec::new()) {
        field.fault("a route needs at least one target");
        return None;
    }
    field.list(|field| field.section(target)?)
}

fn target(section: &mut Section<'_>) -> Option<Target> {
    let provider = section.require("provider", provider);
    let model = section.require("model", |field| field.parse(|text| check_name(text).map(|()| text.to_owned())));
    let weight = section.take("weight", |field| field.integer(1..=1_000_000)).unwrap_or_else(one);
    Some(Target { provider: provider?, model: model?, weight })
}

fn provider(field: Field<'_>) -> Option<String> {
    field.text_and(|cx, at, path, provider| cx.check_provider(at, path, provider))
}

impl Retries {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            attempts: section.take("attempts", |field| field.integer(1..=10)).unwrap_or(default.attempts),
            backoff: section.take("backoff", Field::duration_or_zero).unwrap_or(default.backoff),
        }
    }
}

/// Whether a text can name a model or a key: it will stand in headers, logs and metrics.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check_name(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err("a name must not be empty")
    } else if text.chars().any(char::is_control) {
        Err("a name must not hold control characters")
    } else if text.len() > 256 {
        Err("a name must not be longer than 256 bytes")
    } else {
        Ok(())
    }
}
