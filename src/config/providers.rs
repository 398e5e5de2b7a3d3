//! `providers`: the upstream accounts that requests go to.

mod health;
mod network;
mod overrides;
mod queue;

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Uri};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

pub use health::{Check, Health};
pub use network::{Http2, Pool, Timeouts};
pub use overrides::AuthOverride;
pub use queue::Queue;

use super::limits::ProviderLimits;
use super::read::{Choice, Field, Section};
use super::secret::Secret;

/// Providers by id, in the order of the file.
pub type Providers = IndexMap<String, Provider>;

/// The kinds that need no catalogue.
const BUILT_IN: [&str; 2] = [OPENAI_COMPATIBLE, DEMO];
const DEMO: &str = "demo";
const OPENAI_COMPATIBLE: &str = "openai-compatible";

/// An upstream account. For a provider of the catalogue everything but the key is known.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// What it is: a provider of the catalogue, `openai-compatible`, or `demo`. The default is
    /// the name under which it stands here.
    pub kind: Option<String>,
    /// Where its API starts, without credentials or query. Needed for `openai-compatible`.
    pub base_url: Option<String>,
    /// The upstream key. The default is the provider's usual environment variable.
    pub api_key: Option<Secret>,
    /// Further upstream keys; `limits` hold for each of them apart.
    pub keys: Vec<Secret>,
    /// Headers to send with every request.
    pub headers: BTreeMap<String, Secret>,
    /// What the catalogue's URL leaves open: `resource`, `region`, `account_id`, `api_version`, ...
    pub vars: BTreeMap<String, String>,
    /// Whether model names that lead nowhere go here. At most one provider.
    #[serde(rename = "default")]
    pub is_default: bool,
    /// `false` leaves it out of service.
    pub enabled: bool,
    /// What the upstream grants, for each of its keys.
    pub limits: ProviderLimits,
    /// Where requests wait while its limits are used up, in place of being refused at once or going on to the
    /// next target: in turn between teams (or keys without one), by the key's `priority`.
    pub queue: Option<Queue>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// The connections to it.
    pub pool: Pool,
    /// When its models are left alone, and for how long.
    pub health: Health,
    /// The operations it offers, in place of the catalogue's.
    pub operations: Option<Vec<String>>,
    /// Paths by operation, where they are not the usual ones.
    pub paths: BTreeMap<String, String>,
    /// What sets it apart, in place of the catalogue's.
    pub quirks: Option<Vec<String>>,
    /// Parameters it refuses, in place of the catalogue's.
    pub unsupported: Option<Vec<String>>,
    /// How it reports usage, over the catalogue's.
    pub usage: BTreeMap<String, serde_json::Value>,
    /// How it wants its key, over the catalogue's.
    pub auth: Option<AuthOverride>,
    /// Whether any caller may ask for faults with `x-weir-fault`. At `demo` they may unless this
    /// forbids it, elsewhere only where this allows it.
    pub faults: Option<Faults>,
}

/// Whether callers may ask for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Faults {
    /// A request with the header is refused, unless another of its targets allows it.
    Forbidden,
    /// The header is obeyed.
    Allowed,
}

impl Choice for Faults {
    const ALL: &'static [(&'static str, Self)] = &[("forbidden", Self::Forbidden), ("allowed", Self::Allowed)];
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            kind: None,
            base_url: None,
            api_key: None,
            keys: Vec::new(),
            headers: BTreeMap::new(),
            vars: BTreeMap::new(),
            is_default: false,
            enabled: true,
            limits: ProviderLimits::default(),
            queue: None,
            timeouts: Timeouts::default(),
            pool: Pool::default(),
            health: Health::default(),
            operations: None,
            paths: BTreeMap::new(),
            quirks: None,
            unsupported: None,
            usage: BTreeMap::new(),
            auth: None,
            faults: None,
        }
    }
}

impl Provider {
    /// What it is, given the name under which it stands.
    #[must_use]
    pub fn kind_of<'a>(&'a self, id: &'a str) -> &'a str {
        self.kind.as_deref().unwrap_or(id)
    }

    /// Every upstream key, `api_key` first.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.api_key.iter().chain(&self.keys)
    }

    fn read(section: &mut Section<'_>) -> Self {
        let mut provider = Self {
            kind: section.take("kind", Field::text),
            base_url: section.take("base_url", |field| field.parse(base_url)),
            api_key: section.take("api_key", Field::secret),
            keys: section.take("keys", |field| field.list(Field::secret)).unwrap_or_default(),
            headers: section.take("headers", |field| field.map(header)).unwrap_or_default().into_iter().collect(),
            vars: section.take("vars", Field::texts).unwrap_or_default(),
            is_default: section.take("default", Field::boolean).unwrap_or(false),
            enabled: section.take("enabled", Field::boolean).unwrap_or(true),
            limits: section.section("limits", ProviderLimits::read).unwrap_or_default(),
            queue: section.section("queue", Queue::read),
            timeouts: section.section("timeouts", Timeouts::read).unwrap_or_default(),
            pool: section.section("pool", Pool::read).unwrap_or_default(),
            health: section.section("health", Health::read).unwrap_or_default(),
            faults: section.take("faults", Field::choice),
            ..Self::default()
        };
        overrides::read(section, &mut provider);
        provider
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Providers {
    section.take("providers", |field| field.map(provider)).unwrap_or_default()
}

fn provider(id: &str, mut field: Field<'_>) -> Option<Provider> {
    field.cx.add_provider(id);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 64 || !id.chars().all(allowed) {
        // The id is the part of `provider/model` before the slash, and a metric label.
        field.fault("a provider's name must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`");
    }
    field.section(|section| {
        let provider = Provider::read(section);
        check_kind(section, id, &provider);
        provider
    })
}

fn check_kind(section: &mut Section<'_>, id: &str, provider: &Provider) {
    if provider.kind.is_none() && section.cx.is_set(&format!("{}.kind", section.path)) {
        return; // It could not be read, which has been told.
    }
    let kind = provider.kind_of(id);
    let known = section.cx.known.providers.iter().copied().chain(BUILT_IN);
    if !known.clone().any(|name| name == kind) {
        let suggestion = section.cx.nearest(kind, known);
        let problem = format!("no provider of the catalogue is called `{kind}`; `kind` says what it is");
        let path = if provider.kind.is_some() { format!("{}.kind", section.path) } else { section.path.clone() };
        section.cx.fault_of(&path, problem, suggestion);
    }
    if kind == OPENAI_COMPATIBLE && !section.cx.is_set(&format!("{}.base_url", section.path)) {
        let path = section.path.clone();
        section.cx.fault_of(&path, "an `openai-compatible` provider needs its `base_url`", None);
    }
}

/// A URL that paths can be put behind.
fn base_url(text: &str) -> Result<String, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "not a URL; expected such as `https://host/v1`")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("a base URL must start with `https://` or `http://`");
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("a base URL must not hold credentials; put them in `api_key`");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("a base URL needs a host, such as `https://host/v1`");
    }
    // `http::Uri` drops a fragment without a word, so look at the text.
    if uri.query().is_some() || text.contains('#') {
        return Err("a base URL must not hold a query or a fragment");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Headers that the gateway itself writes: a second one would break the framing or the routing.
const RESERVED: [&str; 6] = ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];

fn header(name: &str, mut field: Field<'_>) -> Option<Secret> {
    match name.parse::<HeaderName>() {
        Ok(name) if RESERVED.contains(&name.as_str()) => field.fault("the gateway writes this header itself"),
        Ok(_) => {}
        Err(_) => field.fault("not the name of a header"),
    }
    field.secret_where(|value| match HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err("a header's value must be printable and on one line"),
    })
}
