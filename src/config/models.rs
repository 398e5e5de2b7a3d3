//! `models`: public model names and where they lead.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use super::text::{DurationText, serialize_duration, serialize_optional_duration};
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
    /// Where to go when a target failed for a reason that others do not have, in place of `fallbacks`.
    #[serde(default)]
    pub fallbacks_on: FallbacksOn,
    /// Whether a request is refused when its target cannot be told all of it, in place of an answer
    /// with `x-weir-warnings`.
    #[serde(default)]
    pub strict: bool,
    /// Under `hash` and `split`: what a caller is known by, the first of these that the request has.
    #[serde(default = "hash_by")]
    #[schemars(length(min = 1))]
    pub hash_by: Vec<HashBy>,
    /// Under `conditional`: the first whose condition holds says which targets are asked, in its order.
    /// Where none does, all are, in the order of the list.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Under `capable`: which of those that can is the best.
    #[serde(default)]
    pub prefer: Prefer,
    /// Regions in the order in which they are wanted; targets elsewhere come last. A request names its own
    /// with `x-weir-region`, which comes first.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether targets in no region of `regions` (or of `x-weir-region`) are not asked at all.
    #[serde(default)]
    pub region_required: bool,
    /// The name of an experiment: each request's row gets a tag of this name that says which target it was
    /// given.
    #[serde(default)]
    pub experiment: Option<String>,
    /// A second target is asked beside the first when that takes too long to begin its answer; the first answer is
    /// the caller's. Not for embeddings, rankings, and answers that the provider stores.
    #[serde(default)]
    pub hedge: Option<Hedge>,
}

/// When a second target is asked beside the first, and how often at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// After the time within which this share of the target's answers begins (of those that are no streams: ends),
    /// in percent. Twenty answers must have been measured.
    #[schemars(range(min = 50, max = 99))]
    pub percentile: u64,
    /// After this time instead, whatever was measured.
    #[serde(serialize_with = "serialize_optional_duration")]
    #[schemars(with = "Option<DurationText>")]
    pub after: Option<Duration>,
    /// Second targets in percent of the route's requests, and what they are expected to cost in percent of what the
    /// requests are.
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: u64,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { percentile: 95, after: None, max_percent: 5 }
    }
}

impl Hedge {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            percentile: section.take("percentile", |field| field.integer(50..=99)).unwrap_or(default.percentile),
            after: section.take("after", Field::duration),
            max_percent: section.take("max_percent", |field| field.integer(1..=100)).unwrap_or(default.max_percent),
        }
    }
}

/// Where to go when a target failed for a reason that others do not have: names of `models`, or
/// `provider/model`, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FallbacksOn {
    /// The prompt was too long for it.
    pub context_length: Vec<String>,
    /// Its filter refused the prompt.
    pub content_filter: Vec<String>,
}

/// What a caller is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashBy {
    /// The body's `prompt_cache_key`.
    PromptCacheKey,
    /// `x-weir-session`, or the tag `session`.
    Session,
    /// The body's `user` (or `metadata.user_id`).
    User,
    /// The virtual key.
    Key,
}

impl Choice for HashBy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("prompt_cache_key", Self::PromptCacheKey),
        ("session", Self::Session),
        ("user", Self::User),
        ("key", Self::Key),
    ];
}

fn hash_by() -> Vec<HashBy> {
    vec![HashBy::PromptCacheKey, HashBy::Session, HashBy::User, HashBy::Key]
}

/// Which targets are asked when a condition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A condition in CEL over `request`, `headers`, `tags`, `key` and `time`.
    #[serde(rename = "if")]
    pub condition: String,
    /// The `id`s of targets, in the order in which they are asked.
    #[serde(rename = "use")]
    #[schemars(length(min = 1))]
    pub targets: Vec<String>,
}

/// Which of several is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The cheapest for this request.
    #[default]
    Cost,
    /// The one that has answered soonest of late.
    Latency,
}

impl Choice for Prefer {
    const ALL: &'static [(&'static str, Self)] = &[("cost", Self::Cost), ("latency", Self::Latency)];
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
    /// The same one for the same caller (`hash_by`), so that the provider's prompt cache goes on hitting.
    Hash,
    /// By weight, and the same one for the same caller: an A/B test, or a canary.
    Split,
    /// As `rules` say.
    Conditional,
    /// One that can do what the request needs (tools, images, a long prompt): the best by `prefer`.
    Capable,
    /// By all that is known: time to the answer, failures, requests in flight, cost.
    Auto,
}

impl Choice for Strategy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("weighted", Self::Weighted),
        ("round_robin", Self::RoundRobin),
        ("least_busy", Self::LeastBusy),
        ("latency", Self::Latency),
        ("cost", Self::Cost),
        ("priority", Self::Priority),
        ("hash", Self::Hash),
        ("split", Self::Split),
        ("conditional", Self::Conditional),
        ("capable", Self::Capable),
        ("auto", Self::Auto),
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
    /// Its name in `rules` and in experiments. The default is `provider/model`.
    #[serde(default)]
    pub id: Option<String>,
    /// Its share under `weighted`, `hash` and `split`, relative to the other targets.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u64,
    /// Where it is, for `regions`.
    #[serde(default)]
    pub region: Option<String>,
}

impl Target {
    /// Its name in `rules` and in experiments.
    #[must_use]
    pub fn name(&self) -> String {
        self.id.clone().unwrap_or_else(|| format!("{}/{}", self.provider, self.model))
    }
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
        let target = Target { provider: provider.into(), model: model.into(), id: None, weight: 1, region: None };
        Self {
            strategy: Strategy::default(),
            targets: vec![target],
            fallbacks: Vec::new(),
            fallbacks_on: FallbacksOn::default(),
            retries: Retries::default(),
            strict: false,
            hash_by: hash_by(),
            rules: Vec::new(),
            prefer: Prefer::default(),
            regions: Vec::new(),
            region_required: false,
            experiment: None,
            hedge: None,
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
    let route = Route {
        strategy,
        targets: Vec::new(),
        fallbacks,
        retries,
        fallbacks_on: section.section("fallbacks_on", FallbacksOn::read).unwrap_or_default(),
        strict: section.take("strict", Field::boolean).unwrap_or(false),
        hash_by: section.take("hash_by", |field| field.list(Field::choice)).unwrap_or_else(hash_by),
        rules: section.take("rules", |field| field.list(|field| field.section(rule)?)).unwrap_or_default(),
        prefer: section.take("prefer", Field::choice).unwrap_or_default(),
        regions: section.take("regions", texts).unwrap_or_default(),
        region_required: section.take("region_required", Field::boolean).unwrap_or(false),
        experiment: section.take("experiment", |field| field.parse(experiment)),
        hedge: section.section("hedge", Hedge::read),
    };
    let route = Route { targets: targets?, ..route };
    check(section, &route);
    Some(route)
}

/// What only the whole of a route shows.
fn check(section: &mut Section<'_>, route: &Route) {
    let path = |key: &str| format!("{}.{key}", section.path);
    let mut faults = Vec::new();
    let conditional = route.strategy == Strategy::Conditional;
    if conditional && route.rules.is_empty() {
        faults.push((path("strategy"), "`conditional` needs `rules`".to_owned(), None));
    }
    if !conditional && !route.rules.is_empty() {
        faults.push((path("rules"), "`rules` are of no use but with `strategy: conditional`".to_owned(), None));
    }
    if route.hash_by.is_empty() {
        faults.push((path("hash_by"), "it must name something".to_owned(), None));
    }
    if route.region_required && route.regions.is_empty() {
        faults.push((path("region_required"), "it needs `regions`".to_owned(), None));
    }
    let names: Vec<String> = route.targets.iter().map(Target::name).collect();
    for (n, name) in names.iter().enumerate() {
        if route.targets[n].id.is_some() && names[..n].contains(name) {
            faults.push((path(&format!("targets[{n}].id")), format!("another target is called `{name}`"), None));
        }
    }
    for (n, rule) in route.rules.iter().enumerate() {
        if let Err(problem) = crate::condition::Condition::parse(&rule.condition) {
            faults.push((path(&format!("rules[{n}].if")), problem, None));
        }
        for (m, name) in rule.targets.iter().enumerate().filter(|(_, name)| !names.contains(name)) {
            let near = section.cx.nearest(name, names.iter().map(String::as_str));
            faults.push((path(&format!("rules[{n}].use[{m}]")), format!("no target is called `{name}`"), near));
        }
    }
    for (path, problem, suggestion) in faults {
        section.cx.fault_of(&path, problem, suggestion);
    }
}

fn rule(section: &mut Section<'_>) -> Option<Rule> {
    let condition = section.require("if", Field::text);
    let targets = section.require("use", texts);
    Some(Rule { condition: condition?, targets: targets? })
}

/// It becomes a tag's name.
fn experiment(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err("an experiment's name must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`");
    }
    Ok(text.to_owned())
}

impl FallbacksOn {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            context_length: section.take("context_length", texts).unwrap_or_default(),
            content_filter: section.take("content_filter", texts).unwrap_or_default(),
        }
    }
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
    let id = section.take("id", |field| field.parse(|text| check_name(text).map(|()| text.to_owned())));
    let region = section.take("region", Field::text);
    Some(Target { provider: provider?, model: model?, id, weight, region })
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
