//! The immutable view that a request reads: providers, routes, prices, all resolved from the
//! configuration that the gateway was started with.

pub mod breaker;
pub mod build;
pub mod capable;
pub mod carry;
pub mod health;
pub mod hedge;
pub mod live;
pub mod prices;
pub mod resolve;
pub mod secrets;
pub mod talk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_wire::hub::Capabilities;
use weir_wire::rules::UsageRules;
use weir_wire::translate::Inbound;

use crate::catalog::{self, AuthStyle, Model, Quirk};
use crate::clock::UnixMs;
use crate::condition::Condition;
use crate::config::{Chaos, Pool};
pub use crate::config::{HashBy, Prefer, Strategy};
use crate::faults::Faults;
use crate::gate::limit::{Limiter, Limits};
use crate::gate::queue::Queue;
use crate::price::{Book, Prices};
use health::Health;
use live::{KeyHealth, Live};
use secrets::Secrets;
use talk::{Embeds, Path, Reranks, Talk};

/// What an inbound request asks of a provider, where Weir reads the body. Everything else is passed
/// through by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// OpenAI `chat/completions`
    Chat,
    /// OpenAI `completions`
    Completions,
    /// OpenAI `responses`
    Responses,
    /// OpenAI `embeddings`
    Embeddings,
    /// Anthropic `messages`
    Messages,
    /// Gemini `generateContent` and `streamGenerateContent`
    GenerateContent,
    /// Gemini `embedContent` and `batchEmbedContents`
    EmbedContent,
    /// Cohere `rerank`
    Rerank,
}

impl Operation {
    /// Its name in rows and metrics: the path in its API.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::GenerateContent => "generateContent",
            Self::EmbedContent => "embedContent",
            Self::Rerank => "rerank",
        }
    }

    /// The form of the conversation it is; none for embeddings and rerank.
    #[must_use]
    pub fn inbound(self) -> Option<Inbound> {
        Some(match self {
            Self::Chat => Inbound::Chat,
            Self::Completions => Inbound::Completions,
            Self::Responses => Inbound::Responses,
            Self::Messages => Inbound::Anthropic,
            Self::GenerateContent => Inbound::Gemini,
            Self::Embeddings | Self::EmbedContent | Self::Rerank => return None,
        })
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
    pub limits: Limits,
    /// How much of it is used; it outlives the snapshot.
    pub limiter: Arc<Limiter>,
    /// How it does; the same.
    pub health: Arc<KeyHealth>,
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
    /// Its catalogue id.
    pub catalog_id: Arc<str>,
    /// The catalogue id under which its models and prices are looked up.
    pub kind: Arc<str>,
    /// Whether it answers in this process.
    pub demo: bool,
    /// Absolute, without a trailing slash, `/v1` included where the provider has it.
    pub base_url: String,
    /// Query that every call carries (`api-version=..`).
    pub query: Option<String>,
    /// The operations it serves, best first.
    pub operations: Vec<catalog::Operation>,
    /// Paths by operation that its entry in the configuration sets.
    pub paths: BTreeMap<catalog::Operation, String>,
    /// Static headers.
    pub headers: HeaderMap,
    /// Upstream keys, used in turn; never empty.
    pub credentials: Vec<Credential>,
    /// How its keys are sent, or what stands in for one.
    pub auth: AuthStyle,
    /// What its error texts must not repeat.
    pub secrets: Arc<Secrets>,
    /// Whose turn it is.
    pub turn: AtomicUsize,
    /// Deviations from OpenAI's dialect.
    pub quirks: Vec<Quirk>,
    /// Top-level request fields it refuses; removed with a warning.
    pub unsupported: Vec<String>,
    /// How it reports usage.
    pub usage: Arc<UsageRules>,
    /// The same of single operations, in place of that.
    pub usage_of: BTreeMap<catalog::Operation, Arc<UsageRules>>,
    /// Its time limits.
    pub timeouts: Timeouts,
    /// How its connections are kept.
    pub pool: Pool,
    /// Whether requests that name no provider go here.
    pub default: bool,
    /// Where requests wait while its limits are used up.
    pub queue: Option<Arc<Queue>>,
    /// Whether what it tells of its own limits is believed.
    pub learns_limits: bool,
    /// Whether callers may inject faults (`x-weir-fault`).
    pub faults_allowed: bool,
    /// Which sender serves it: its name, with a number once a reload changed it.
    pub sender: Arc<str>,
    /// What goes wrong with calls to it by the configuration's `chaos`.
    pub chaos: Arc<[Faults]>,
    /// When its targets' breakers open.
    pub breaker: breaker::Policy,
    /// In flight, latency, and how each model does; it outlives the snapshot.
    pub live: Arc<Live>,
}

impl ProviderDef {
    /// What the catalogue says of its kind.
    #[must_use]
    pub fn kind_def(&self) -> Option<&'static catalog::Provider> {
        catalog::Catalog::embedded().provider(&self.catalog_id)
    }

    /// Whether it deviates in this way.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// A model at a provider.
#[derive(Clone, Debug)]
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
    /// Its share under the strategies that go by weight.
    pub weight: u32,
    /// Its name in its route, `provider/model` where it has no other.
    pub id: Arc<str>,
    /// Where it is, if that is known.
    pub region: Option<Arc<str>>,
    /// A number of its name, the same in every process.
    pub hash: u64,
    /// Its price, when known.
    pub price: Option<Arc<Prices>>,
    /// The catalogue's entry, when there is one.
    pub info: Option<Arc<Model>>,
    /// How it can be talked to, best first.
    pub talks: Vec<Talk>,
    /// How it embeds, if it does.
    pub embeds: Option<Embeds>,
    /// How it reranks, if it does.
    pub reranks: Option<Reranks>,
    /// Where it counts tokens, if it does.
    pub counts: Option<Talk>,
    /// Where the legacy completions are, if it has them.
    pub completions: Option<Path>,
    /// What it takes.
    pub capabilities: Capabilities,
    /// Members that its bodies get.
    pub body: Vec<(String, String)>,
    /// What goes wrong with calls to it by the configuration's `chaos`.
    pub chaos: Arc<[Faults]>,
    /// How it does: one for all targets of this model at this provider.
    pub health: Arc<Health>,
}

/// How failures are retried.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries at one target, the first included; 0 is as good as 1.
    pub attempts: u32,
    /// Wait before the second; doubles each time, with jitter.
    pub backoff: Duration,
}

/// FNV-1a, the same in every process and version: who is given which target depends on it.
#[must_use]
pub fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A public model name and what stands behind it.
#[derive(Clone, Debug)]
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
    pub turn: Arc<AtomicUsize>,
    /// Whether it was written in the config, as opposed to `provider/model`.
    pub configured: bool,
    /// Whether requests are refused that a target cannot be told all of.
    pub strict: bool,
    /// Where to go when the prompt was too long for a target.
    pub on_context_length: Vec<String>,
    /// Where to go when a target's filter refused the prompt.
    pub on_content_filter: Vec<String>,
    /// What callers are known by, where the same one is to have the same target.
    pub hash_by: Vec<HashBy>,
    /// Conditions, and the targets that each allows, by their place in `targets`.
    pub rules: Arc<[(Condition, Vec<usize>)]>,
    /// What is best among those that can.
    pub prefer: Prefer,
    /// Regions in the order in which they are wanted.
    pub regions: Vec<String>,
    /// Whether targets elsewhere are not asked.
    pub region_required: bool,
    /// The tag that says which target a request was given.
    pub experiment: Option<Arc<str>>,
    /// When a second target is asked beside the first.
    pub hedge: Option<hedge::Hedge>,
}

impl Route {
    /// A route to one target that is not in the configuration.
    #[must_use]
    pub fn direct(name: &str, target: Arc<Target>) -> Self {
        Self {
            name: name.into(),
            targets: vec![target],
            strategy: Strategy::Priority,
            fallbacks: Vec::new(),
            retries: Retries { attempts: 1, backoff: Duration::from_millis(200) },
            turn: Arc::default(),
            configured: false,
            strict: false,
            on_context_length: Vec::new(),
            on_content_filter: Vec::new(),
            hash_by: Vec::new(),
            rules: Arc::new([]),
            prefer: Prefer::default(),
            regions: Vec::new(),
            region_required: false,
            experiment: None,
            hedge: None,
        }
    }
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
    /// What goes wrong on purpose, as it was configured.
    pub chaos: Arc<Chaos>,
    /// All prices.
    pub(crate) book: Arc<Book>,
    /// From when on, and before when, the prices of the targets hold.
    pub(crate) priced: (UnixMs, UnixMs),
}
