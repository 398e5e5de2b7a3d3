//! From configuration, catalogue and environment to a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use weir_wire::rules::UsageRules;

use super::breaker;
use super::carry::Before;
use super::hedge::{Budget, Hedge};
use super::secrets::Secrets;
use super::{Credential, ProviderDef, Retries, Route, Snapshot, Target, Timeouts, stable_hash};
use crate::catalog::{self, Auth, AuthStyle, Catalog, Dialect, Quirk};
use crate::clock::{MonoNs, UnixMs};
use crate::condition::Condition;
use crate::config::{self, Config};
use crate::faults::Faults;
use crate::gate::limit::{Limiter, Limits, Scope, Whose};
use crate::gate::queue::Queue;
use crate::gate::secret::KeyHash;
use secrecy::ExposeSecret as _;

/// Reads an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The name of the built-in provider.
pub const DEMO: &str = "demo";
/// The kind of a provider about which the catalogue knows nothing.
const COMPATIBLE: &str = "openai-compatible";

impl Snapshot {
    /// Resolves a configuration. Providers of the catalogue whose key is in the environment are
    /// added, and the demo provider, unless the configuration has entries for them. The prices are the
    /// last that it lists: [`Snapshot::priced`] makes them those of a time.
    ///
    /// # Errors
    /// The first thing that does not fit, with the name of its configuration key.
    pub fn build(config: &Config, env: Env<'_>, now: MonoNs) -> Result<Self, String> {
        Self::build_after(config, env, now, None)
    }

    /// The same, with the state of the snapshot that it is to replace.
    ///
    /// # Errors
    /// As [`Snapshot::build`].
    pub fn build_after(config: &Config, env: Env<'_>, now: MonoNs, before: Option<Before<'_>>) -> Result<Self, String> {
        let mut providers = BTreeMap::new();
        for (id, entry) in config.providers.iter().filter(|(_, entry)| entry.enabled) {
            let def = configured(id, entry, env, now).map_err(|why| format!("providers.{id}: {why}"))?;
            providers.insert(Arc::clone(&def.id), def);
        }
        providers.extend(from_environment(config, env, now).into_iter().map(|def| (Arc::clone(&def.id), def)));
        let troubled = |(id, def): (Arc<str>, ProviderDef)| {
            let chaos = config.chaos.of_provider(&id).collect();
            let mut def = ProviderDef { chaos, ..def };
            if let Some(before) = before {
                before.provider(&mut def, config);
            }
            (id, Arc::new(def))
        };
        let providers: BTreeMap<Arc<str>, Arc<ProviderDef>> = providers.into_iter().map(troubled).collect();
        let default_provider = providers.values().find(|p| p.default).cloned();
        let book = super::prices::book(config, env)?;
        let mut snapshot = Self {
            providers,
            routes: BTreeMap::new(),
            default_provider,
            direct: papaya::HashMap::new(),
            chaos: Arc::new(config.chaos.clone()),
            priced: book.span(UnixMs::MAX),
            book: Arc::new(book),
        };
        let routes = config.models.iter().map(|(name, route)| {
            let chaos: Vec<Faults> = config.chaos.of_model(name).collect();
            Ok((name.clone(), Arc::new(snapshot.route(name, route, &chaos, before)?)))
        });
        snapshot.routes = routes.collect::<Result<_, String>>()?;
        Ok(snapshot)
    }

    fn route(
        &self,
        name: &str,
        route: &config::Route,
        chaos: &[Faults],
        before: Option<Before<'_>>,
    ) -> Result<Route, String> {
        let targets = route.targets.iter().map(|target| {
            let provider = self.providers.get(target.provider.as_str());
            let provider = provider.ok_or_else(|| missing_provider(name, &target.provider))?;
            let weight = u32::try_from(target.weight).unwrap_or(u32::MAX);
            let made = self.target(provider, &target.model, weight);
            let chaos = chaos.iter().chain(&*made.chaos).cloned().collect();
            Ok(Arc::new(Target {
                label: Arc::clone(&made.name),
                chaos,
                id: target.name().into(),
                region: target.region.as_deref().map(Into::into),
                hash: stable_hash(&target.name()),
                ..made
            }))
        });
        let rules = route.rules.iter().map(|rule| {
            let condition = Condition::parse(&rule.condition).map_err(|why| format!("models.{name}.rules: {why}"))?;
            let place = |id: &String| route.targets.iter().position(|target| target.name() == *id);
            Ok((condition, rule.targets.iter().filter_map(place).collect()))
        });
        Ok(Route {
            name: name.into(),
            targets: targets.collect::<Result<Vec<Arc<Target>>, String>>()?,
            strategy: route.strategy,
            fallbacks: route.fallbacks.clone(),
            retries: Retries {
                attempts: u32::try_from(route.retries.attempts).unwrap_or(u32::MAX),
                backoff: route.retries.backoff,
            },
            turn: before.and_then(|before| before.turn(name)).unwrap_or_default(),
            configured: true,
            strict: route.strict,
            on_context_length: route.fallbacks_on.context_length.clone(),
            on_content_filter: route.fallbacks_on.content_filter.clone(),
            hash_by: route.hash_by.clone(),
            rules: rules.collect::<Result<Vec<_>, String>>()?.into(),
            prefer: route.prefer,
            regions: route.regions.clone(),
            region_required: route.region_required,
            experiment: route.experiment.as_deref().map(Into::into),
            hedge: route.hedge.as_ref().map(|hedge| Hedge {
                after: hedge.after,
                percentile: f64::from(u32::try_from(hedge.percentile).unwrap_or(95)) / 100.0,
                max_percent: hedge.max_percent,
                budget: before
                    .and_then(|before| before.hedges(name))
                    .unwrap_or_else(|| Arc::new(Budget::new(hedge.max_percent))),
            }),
        })
    }
}

fn missing_provider(model: &str, provider: &str) -> String {
    let hint = Catalog::embedded()
        .provider(provider)
        .and_then(|p| p.env.api_key.first())
        .map_or_else(String::new, |var| format!(" (set {var}, or add it under providers)"));
    format!("models.{model}: the provider '{provider}' is not configured{hint}")
}

/// What the environment turns on, and the demo.
fn from_environment(config: &Config, env: Env<'_>, now: MonoNs) -> Vec<ProviderDef> {
    let mut found = Vec::new();
    for kind in Catalog::embedded().providers() {
        if config.providers.contains_key(&kind.id) {
            continue;
        }
        let on = kind.dialect == Dialect::Demo || kind.from_env(env).is_some();
        if !on {
            continue;
        }
        match configured(&kind.id, &config::Provider::default(), env, now) {
            Ok(def) => found.push(def),
            Err(why) => {
                tracing::warn!(provider = %kind.id, %why, "provider {} is in the environment but cannot be used: {why}", kind.id)
            }
        }
    }
    found
}

/// One provider from its entry and the catalogue's.
fn configured(id: &str, entry: &config::Provider, env: Env<'_>, now: MonoNs) -> Result<ProviderDef, String> {
    let kind_id = entry.kind_of(id);
    let kind = Catalog::embedded().provider(kind_id).ok_or_else(|| unknown_kind(kind_id))?;
    let demo = kind.dialect == Dialect::Demo;
    let base_url = if demo { "http://demo.invalid/v1".to_owned() } else { base_url(kind, entry, env)? };
    let auth = auth(kind, entry);
    let signs = signs(entry, auth.style)?;
    let make = Keys { provider: id, limits: entry.limits.limits(), now };
    let credentials = credentials(kind, entry, &auth, &make, if signs { &|_| None } else { env })?;
    let query = query(kind, entry, env)?;
    let headers = headers(kind, entry, env)?;
    let sent = credentials.iter().filter_map(|c| c.header.as_ref().map(|(_, value)| value)).chain(headers.values());
    let sent = sent.filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    // Google's JSON is never sent as a whole.
    let signing = entry.auth.iter().flat_map(config::AuthOverride::secrets).filter(|(key, _)| *key != "credentials");
    let secrets = Arc::new(Secrets::new(sent.chain(signing.map(|(_, secret)| secret.expose_secret()))));
    Ok(ProviderDef {
        id: id.into(),
        kind: kind.models_of.as_deref().unwrap_or(kind_id).into(),
        catalog_id: kind_id.into(),
        demo,
        operations: operations(kind, entry)?,
        paths: paths(entry)?,
        base_url,
        query,
        headers,
        credentials,
        auth: auth.style,
        secrets,
        turn: AtomicUsize::new(0),
        quirks: quirks(kind, entry)?,
        unsupported: entry.unsupported.clone().unwrap_or_else(|| kind.unsupported.clone()),
        usage: Arc::new(usage_rules(&kind.usage, entry)?),
        usage_of: kind
            .usage_of
            .iter()
            .map(|(operation, rules)| Ok((*operation, Arc::new(usage_rules(rules, entry)?))))
            .collect::<Result<_, String>>()?,
        timeouts: Timeouts {
            connect: entry.timeouts.connect,
            first_byte: entry.timeouts.first_byte,
            between_chunks: entry.timeouts.between_chunks,
            total: entry.timeouts.total,
        },
        pool: entry.pool.clone(),
        default: entry.is_default,
        queue: entry.queue.as_ref().map(|queue| Arc::new(Queue::new(queue.max_wait, queue.size()))),
        learns_limits: entry.limits.learn,
        breaker: breaker_policy(&entry.health),
        faults_allowed: match entry.faults {
            Some(faults) => faults == config::Faults::Allowed,
            None => demo,
        },
        chaos: Arc::new([]),
        sender: id.into(),
        live: Arc::default(),
    })
}

fn breaker_policy(health: &config::Health) -> breaker::Policy {
    breaker::Policy {
        failures: u32::try_from(health.failures).unwrap_or(u32::MAX),
        success_rate: f64::from(u32::try_from(health.success_percent).unwrap_or(100)) / 100.0,
        min_requests: u32::try_from(health.min_requests).unwrap_or(u32::MAX),
        window: health.window,
        open_for: health.open_for,
        max_open_for: health.max_open_for.max(health.open_for),
    }
}

fn unknown_kind(kind: &str) -> String {
    let near = catalog::nearest(kind, Catalog::embedded().providers().iter().map(|p| p.id.as_str()), 1);
    let hint = near.first().map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
    format!("there is no provider kind '{kind}'{hint} (for any other OpenAI-compatible server: kind: {COMPATIBLE})")
}

fn base_url(kind: &catalog::Provider, entry: &config::Provider, env: Env<'_>) -> Result<String, String> {
    let url = kind.base_url(entry.base_url.as_deref(), &entry.vars, env).map_err(|e| e.to_string())?;
    if url.is_empty() {
        return Err("base_url is missing".to_owned());
    }
    url.parse::<Uri>().map_err(|e| format!("base_url '{url}' is no URL: {e}"))?;
    Ok(url)
}

fn auth(kind: &catalog::Provider, entry: &config::Provider) -> Auth {
    let mut auth = kind.auth.clone();
    if let Some(over) = &entry.auth {
        if let Some(style) = over.style.as_deref().and_then(auth_style) {
            auth.style = style;
        }
        auth.header = over.header.clone().or(auth.header);
        auth.prefix = over.prefix.clone().or(auth.prefix);
    }
    auth
}

/// Whether the entry names the credentials of a signer. A key of the environment does not come before
/// those.
///
/// # Errors
/// When they are of no use.
fn signs(entry: &config::Provider, style: AuthStyle) -> Result<bool, String> {
    let mut signs = false;
    for (key, of) in entry.auth.iter().flat_map(config::AuthOverride::of_signers) {
        if auth_style(of) != Some(style) {
            return Err(format!("auth.{key} is of no use: only a provider whose auth.style is {of} signs with it"));
        }
        if entry.secrets().next().is_some() {
            return Err(format!("auth.{key} is of no use beside api_key: leave one of them out"));
        }
        signs = true;
    }
    Ok(signs)
}

fn auth_style(name: &str) -> Option<AuthStyle> {
    serde_json::from_value(serde_json::Value::from(name)).ok()
}

/// The configured keys, or the one in the provider's own variable. Without any, a provider that
/// needs none gets one empty credential, so that there is always one to take.
fn credentials(
    kind: &catalog::Provider,
    entry: &config::Provider,
    auth: &Auth,
    make: &Keys<'_>,
    env: Env<'_>,
) -> Result<Vec<Credential>, String> {
    let mut keys: Vec<String> = entry.secrets().map(|secret| secret.expose_secret().to_owned()).collect();
    if keys.is_empty() {
        keys.extend(kind.key_var(env).and_then(env));
    }
    let header = auth.header_and_prefix();
    let (Some((name, prefix)), false) = (header, keys.is_empty()) else {
        let open = !auth.needs_key() || entry.base_url.is_some() || kind.dialect == Dialect::Demo;
        let bare = make.credential("", None);
        return if open { Ok(vec![bare]) } else { Err(no_key(kind)) };
    };
    let name: HeaderName = name.parse().map_err(|_| format!("auth.header '{name}' is no header name"))?;
    keys.iter().map(|key| credential(&name, &format!("{prefix}{key}"), make)).collect()
}

fn no_key(kind: &catalog::Provider) -> String {
    let var = kind.env.api_key.first().map_or_else(String::new, |var| format!(" or set {var}"));
    format!("api_key is missing: give one{var}")
}

/// What is the same of all upstream keys of a provider.
struct Keys<'a> {
    provider: &'a str,
    limits: Limits,
    now: MonoNs,
}

impl Keys<'_> {
    /// The limiter of an upstream key: it is known by a part of the key's hash, for its place in the list
    /// is not the same in all replicas while a configuration changes.
    fn limiter(&self, key: &str) -> Arc<Limiter> {
        let print: String = KeyHash::of(key).0[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let whose = Whose::new(Scope::UpstreamKey, &format!("{}#{print}", self.provider));
        Arc::new(Limiter::new(whose, self.limits, self.now))
    }

    /// A key of which nothing was used and nothing is known.
    fn credential(&self, key: &str, header: Option<(HeaderName, HeaderValue)>) -> Credential {
        Credential { header, limits: self.limits, limiter: self.limiter(key), health: Arc::default() }
    }
}

fn credential(name: &HeaderName, text: &str, make: &Keys<'_>) -> Result<Credential, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "an upstream key has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(make.credential(text, Some((name.clone(), value))))
}

fn headers(kind: &catalog::Provider, entry: &config::Provider, env: Env<'_>) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::new();
    let from_env =
        kind.env.headers.iter().filter_map(|(name, var)| Some((name.clone(), env(var).filter(|v| !v.is_empty())?)));
    let own = entry.headers.iter().map(|(n, v)| (n.clone(), v.expose_secret().to_owned()));
    // The catalogue's own are public.
    let fixed = kind.headers.iter().map(|(n, v)| (n.clone(), v.clone(), false));
    for (name, value, secret) in fixed.chain(from_env.chain(own).map(|(name, value)| (name, value, true))) {
        let parsed: HeaderName = name.parse().map_err(|_| format!("headers: '{name}' is no header name"))?;
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| format!("headers.{name}: no header can carry this value"))?;
        value.set_sensitive(secret);
        out.insert(parsed, value);
    }
    Ok(out)
}

fn query(kind: &catalog::Provider, entry: &config::Provider, env: Env<'_>) -> Result<Option<String>, String> {
    let mut pairs = Vec::new();
    for (name, template) in &kind.query {
        let value = kind.fill(template, &entry.vars, env).map_err(|e| e.to_string())?;
        pairs.push(format!("{name}={value}"));
    }
    Ok((!pairs.is_empty()).then(|| pairs.join("&")))
}

/// What it serves: the entry's word, else the catalogue's.
fn operations(kind: &catalog::Provider, entry: &config::Provider) -> Result<Vec<catalog::Operation>, String> {
    match &entry.operations {
        Some(own) => own.iter().map(|name| operation(name)).collect(),
        None => Ok(kind.operations.clone()),
    }
}

fn paths(entry: &config::Provider) -> Result<BTreeMap<catalog::Operation, String>, String> {
    entry.paths.iter().map(|(name, path)| Ok((operation(name)?, path.clone()))).collect()
}

fn operation(name: &str) -> Result<catalog::Operation, String> {
    serde_json::from_value(name.into()).map_err(|_| format!("operations: there is no '{name}'"))
}

fn quirks(kind: &catalog::Provider, entry: &config::Provider) -> Result<Vec<Quirk>, String> {
    let Some(own) = &entry.quirks else { return Ok(kind.quirks.clone()) };
    let parse = |name: &String| {
        serde_json::from_value(name.as_str().into()).map_err(|_| format!("quirks: there is no '{name}'"))
    };
    own.iter().map(parse).collect()
}

/// The catalogue's rules with the entry's laid over them.
fn usage_rules(rules: &UsageRules, entry: &config::Provider) -> Result<UsageRules, String> {
    if entry.usage.is_empty() {
        return Ok(rules.clone());
    }
    let mut value = serde_json::to_value(rules).map_err(|e| format!("usage: {e}"))?;
    if let Some(map) = value.as_object_mut() {
        map.extend(entry.usage.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    serde_json::from_value(value).map_err(|e| format!("usage: {e}"))
}
