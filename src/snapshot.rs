//! The immutable view that a request reads: providers, routes, prices, all resolved from the
//! configuration that the gateway was started with.

pub mod build;
pub mod capable;
pub mod live;
pub mod resolve;
pub mod secrets;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use weir_wire::rules::UsageRules;

use crate::catalog::{Model, Quirk};
use crate::config::Pool;
use crate::gate::limit::Limiter;
use crate::price::Prices;
use live::Live;
use secrets::Secrets;

/// What an inbound request asks of a provider, where Weir reads the body. Everything else is passed
/// through by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `chat/completions`
    Chat,
    /// `completions`
    Completions,
    /// `embeddings`
    Embeddings,
}

impl Operation {
    /// Its path in OpenAI's API, and its name in rows and metrics.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }
}

/// Time limits of upstream calls.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to stand.
    pub connect: Duration,
    /// For the answer's headers.
    pub first_byte: Duration,
    /// Between two chunks of the answer.
    pub between_chunks: Duration,
    /// For the whole call.
    pub total: Duration,
}

/// One upstream key, with limits of its own.
pub struct Credential {
    /// The header that carries it, marked sensitive so that nothing prints it; none where the
    /// provider wants no key.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// What the upstream grants this key.
    pub limiter: Limiter,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.header.as_ref().map(|(name, _)| name)).finish_non_exhaustive()
    }
}

/// A configured provider, resolved from catalogue and config.
#[derive(Debug)]
pub struct ProviderDef {
    /// Its name in this gateway.
    pub id: Arc<str>,
    /// Its catalogue id, under which models and prices are looked up.
    pub kind: Arc<str>,
    /// Whether it answers in this process.
    pub demo: bool,
    /// Absolute, without a trailing slash, `/v1` included where the provider has it.
    pub base_url: String,
    /// Query that every call carries (`api-version=..`).
    pub query: Option<String>,
    /// The URLs of the operations it serves.
    pub urls: HashMap<Operation, OperationUrl>,
    /// Static headers.
    pub headers: HeaderMap,
    /// Upstream keys, used in turn; never empty.
    pub credentials: Vec<Credential>,
    /// What its error texts must not repeat.
    pub secrets: Secrets,
    /// Whose turn it is.
    pub turn: AtomicUsize,
    /// Deviations from OpenAI's dialect.
    pub quirks: Vec<Quirk>,
    /// Top-level request fields it refuses; removed with a warning.
    pub unsupported: Vec<String>,
    /// How it reports usage.
    pub usage: Arc<UsageRules>,
    /// Its time limits.
    pub timeouts: Timeouts,
    /// How its connections are kept.
    pub pool: Pool,
    /// Whether requests that name no provider go here.
    pub default: bool,
    /// Whether callers may inject faults (`x-weir-fault`).
    pub faults_allowed: bool,
    /// In flight, latency.
    pub live: Live,
}

/// Where an operation is served.
#[derive(Clone, Debug)]
pub enum OperationUrl {
    /// One URL for every model.
    Fixed(Uri),
    /// The model is in the path: prefix, then the percent-encoded model, then suffix.
    PerModel(String, String),
}

impl ProviderDef {
    /// Whether it deviates in this way.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// A model at a provider.
#[derive(Debug)]
pub struct Target {
    /// Where.
    pub provider: Arc<ProviderDef>,
    /// The provider's own name of the model.
    pub model: Arc<str>,
    /// `provider/model`, for rights, metrics and messages.
    pub name: Arc<str>,
    /// Its name in metrics: `name` where the configuration or the catalogue knows it, else `other`,
    /// for what callers make up must not become a label.
    pub label: Arc<str>,
    /// Its share under the weighted strategy.
    pub weight: u32,
    /// Its price, when known.
    pub price: Option<Arc<Prices>>,
    /// The catalogue's entry, when there is one.
    pub info: Option<Arc<Model>>,
}

/// How a route chooses among its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// In the order of the config.
    #[default]
    Priority,
    /// By weight, at random.
    Weighted,
    /// In turn.
    RoundRobin,
    /// Fewest requests in flight first.
    LeastBusy,
    /// Lowest measured latency first.
    Latency,
    /// Lowest price first.
    Cost,
}

/// How failures are retried.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries at one target, the first included; 0 is as good as 1.
    pub attempts: u32,
    /// Wait before the second; doubles each time, with jitter.
    pub backoff: Duration,
}

/// A public model name and what stands behind it.
#[derive(Debug)]
pub struct Route {
    /// The public name.
    pub name: Arc<str>,
    /// Targets in the config's order; never empty.
    pub targets: Vec<Arc<Target>>,
    /// How to choose.
    pub strategy: Strategy,
    /// Names to fall back to.
    pub fallbacks: Vec<String>,
    /// Retries at one target.
    pub retries: Retries,
    /// Whose turn it is.
    pub turn: AtomicUsize,
    /// Whether it was written in the config, as opposed to `provider/model`.
    pub configured: bool,
}

/// Everything a request reads.
#[derive(Debug)]
pub struct Snapshot {
    /// Providers by their name in this gateway.
    pub providers: BTreeMap<Arc<str>, Arc<ProviderDef>>,
    /// Configured model names.
    pub routes: BTreeMap<String, Arc<Route>>,
    /// Where requests go that name no provider.
    pub default_provider: Option<Arc<ProviderDef>>,
    /// Routes made on demand from `provider/model` names; bounded.
    pub(crate) direct: papaya::HashMap<String, Arc<Route>>,
    /// Prices from the config, over the catalogue's.
    pub(crate) price_overrides: HashMap<String, Arc<Prices>>,
}
