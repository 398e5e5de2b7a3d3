//! Facts about providers and models, embedded in the binary as text (`catalog/`).
//!
//! Nothing is parsed at start. Providers are parsed once, when first asked for; of the models, a
//! look-up binary-searches the sorted lines and parses the one it finds, so an idle gateway holds
//! no table in memory beside the mapped text.

mod model;
mod provider;
mod table;

use std::sync::OnceLock;

pub use model::{Capabilities, Mode, Model, ModelStatus, OffPeak, PriceEntry, PriceStatus, ReasoningField, Window};
pub use provider::{
    AUTH_STYLES, Auth, AuthStyle, BaseUrlError, Dialect, EmbedApi, Env, FromEnv, ModelRule, OPERATIONS, Operation,
    Provider, ProviderFault, QUIRKS, Quirk, RerankApi, USAGE_RULES,
};
pub use table::Row;
use table::Table;

/// The catalogue's version: date of its sources and a short hash of the model table.
pub const VERSION: &str = include_str!("../catalog/VERSION").trim_ascii();

/// Providers and models. There is one, and it never changes while the process lives.
#[derive(Debug)]
pub struct Catalog {
    providers: OnceLock<Vec<Provider>>,
    providers_text: &'static str,
    models: Table,
}

static EMBEDDED: Catalog = Catalog {
    providers: OnceLock::new(),
    providers_text: include_str!("../catalog/providers.jsonl"),
    models: Table::new(include_str!("../catalog/models.tsv")),
};

impl Catalog {
    /// The catalogue this binary was built with.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// See [`VERSION`].
    #[must_use]
    pub fn version(&self) -> &'static str {
        VERSION
    }

    /// All providers, sorted by id.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        self.providers.get_or_init(|| {
            // A line that does not parse cannot be built: a test reads every one of them.
            self.providers_text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        })
    }

    /// The provider with exactly this id.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        let providers = self.providers();
        let at = providers.binary_search_by(|provider| provider.id.as_str().cmp(id)).ok()?;
        providers.get(at)
    }

    /// Finds a model's row, without parsing it. See [`Catalog::model`] for what is tolerated.
    #[must_use]
    pub fn find(&self, provider: &str, id: &str, region: Option<&str>) -> Option<Row> {
        let provider = self.models_provider(provider);
        let behind = (provider == BEDROCK).then(|| behind_profile(id)).flatten();
        let found = behind.and_then(|(own, id)| self.find_id(provider, id, own.or(region)));
        found.or_else(|| self.find_id(provider, id, region))
    }

    fn find_id(&self, provider: &str, id: &str, region: Option<&str>) -> Option<Row> {
        let spellings = spellings(id);
        let exact = spellings.iter().find_map(|id| self.models.find(provider, id, region));
        exact.or_else(|| self.models.find_in_any_case(provider, &spellings, region))
    }

    /// The model `id` as `provider` names it.
    ///
    /// Tried in this order: the exact id; the id without a date (`-2025-04-14`, `-20250414`),
    /// without `@version`, without `:tag`, without all of these; then the same in any letter case.
    /// So a dated or tagged variant the catalogue does not list is described by its family. At Bedrock
    /// an inference profile (`us.amazon.nova-lite-v1:0`) and an ARN stand for their model, with the
    /// prices of the profile's region.
    ///
    /// A hit costs microseconds; a miss reads the provider's rows (up to 0.1 ms): keep the answer
    /// where it is needed often.
    #[must_use]
    pub fn model(&self, provider: &str, id: &str) -> Option<Model> {
        self.find(provider, id, None)?.parse()
    }

    /// As [`Catalog::model`], with the prices of a region (`eu`, `us-east-1`, ...) where they differ.
    #[must_use]
    pub fn model_in(&self, provider: &str, id: &str, region: &str) -> Option<Model> {
        self.find(provider, id, Some(region))?.parse()
    }

    /// The rows of one provider, regional variants included, sorted by id.
    pub fn models_of(&self, provider: &str) -> impl Iterator<Item = Row> + use<> {
        self.models.of(self.models_provider(provider))
    }

    /// The providers that list a model under exactly this id, sorted.
    #[must_use]
    pub fn providers_with(&self, id: &str) -> Vec<&'static str> {
        self.models.providers().filter(|provider| self.models.find(provider, id, None).is_some()).collect()
    }

    /// The providers that have rows in the model table, sorted.
    pub fn providers_in_table(&self) -> impl Iterator<Item = &'static str> {
        self.models.providers()
    }

    /// Whose rows describe the models of `provider` (`Provider::models_of`).
    fn models_provider<'a>(&'a self, provider: &'a str) -> &'a str {
        self.provider(provider).and_then(|p| p.models_of.as_deref()).unwrap_or(provider)
    }
}

/// Provider of the table whose models have profiles.
const BEDROCK: &str = "bedrock";

/// Where Bedrock's inference profiles run: what stands before the model's id.
const PROFILES: &[&str] = &["us", "eu", "apac", "jp", "au", "ca", "in", "global", "us-gov"];

/// The region and the model of an inference profile, or the model at the end of an ARN; `None` for a
/// plain id.
fn behind_profile(id: &str) -> Option<(Option<&str>, &str)> {
    let arn = id.starts_with("arn:");
    let name = if arn { id.rsplit('/').next().unwrap_or(id) } else { id };
    match name.split_once('.') {
        Some((region, model)) if PROFILES.contains(&region) => Some((Some(region), model)),
        _ => arn.then_some((None, name)),
    }
}

/// The spellings under which an id is looked up, most exact first.
fn spellings(id: &str) -> [&str; 5] {
    let bare = id.split_once('@').map_or(id, |(name, _)| name);
    let untagged = bare.rsplit_once(':').map_or(bare, |(name, _)| name);
    [id, without_date(id), bare, untagged, without_date(untagged)]
}

/// Removes a trailing `-YYYY-MM-DD` or `-YYYYMMDD`.
fn without_date(id: &str) -> &str {
    let is_date = |tail: &str| {
        let digits = tail.bytes().filter(u8::is_ascii_digit).count();
        let shape = tail.len() == 8 || (tail.len() == 10 && tail.as_bytes()[4] == b'-' && tail.as_bytes()[7] == b'-');
        shape && digits == 8 && tail.starts_with("20")
    };
    let cut = |len: usize| {
        let at = id.len().checked_sub(len)?;
        let tail = id.get(at..)?.strip_prefix('-')?;
        (at > 0 && is_date(tail)).then(|| &id[..at])
    };
    cut(11).or_else(|| cut(9)).unwrap_or(id)
}

/// The `n` candidates most like `name`, best first, for "did you mean"; none that is not alike.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, n: usize) -> Vec<&'a str> {
    const ALIKE: f64 = 0.7;
    // Beyond this length nothing is a typing error of anything, and the comparison is quadratic.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        return Vec::new();
    }
    let name = name.to_ascii_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (likeness(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(n).map(|(_, candidate)| candidate).collect()
}

fn likeness(name: &str, candidate: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(name, candidate).max(strsim::jaro_winkler(name, candidate) - 0.1)
}

#[cfg(test)]
mod tests;
