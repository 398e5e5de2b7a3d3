//! From a model name to a route.

use std::sync::Arc;

use super::talk::Ways;
use super::{ProviderDef, Route, Snapshot, Target, stable_hash};
use crate::catalog::{self, Catalog, nearest};

/// Routes made on demand that are kept.
const MAX_DIRECT: usize = 10_000;
/// Longest model name that is looked at.
pub const MAX_NAME: usize = 256;
/// Models of the demo provider.
pub const DEMO_MODELS: [&str; 3] = ["chat", "embed", "rerank"];

/// A name that leads nowhere, with names like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Up to three known names.
    pub nearest: Vec<String>,
}

impl Snapshot {
    /// The route of a model name: a configured name, `provider/model`, a bare name that the catalogue
    /// knows at a configured provider, or anything when a provider is marked as the default.
    ///
    /// # Errors
    /// When nothing serves it; with the nearest names.
    pub fn resolve(&self, name: &str) -> Result<Arc<Route>, Unknown> {
        if let Some(route) = self.routes.get(name) {
            return Ok(Arc::clone(route));
        }
        if let Some(route) = self.direct.pin().get(name) {
            return Ok(Arc::clone(route));
        }
        if name.len() > MAX_NAME {
            return Err(Unknown { nearest: Vec::new() });
        }
        let (provider, model) = self.find(name).ok_or_else(|| Unknown { nearest: self.nearest(name) })?;
        let route = Arc::new(Route::direct(name, Arc::new(self.target(&provider, model, 1))));
        let direct = self.direct.pin();
        if direct.len() < MAX_DIRECT {
            direct.insert(name.to_owned(), Arc::clone(&route));
        }
        Ok(route)
    }

    /// Whether the default provider may know the model; nobody does when it is longer than names are.
    #[must_use]
    pub fn may_be_the_defaults(&self, name: &str) -> bool {
        self.default_provider.is_some() && name.len() <= MAX_NAME
    }

    fn find<'n>(&self, name: &'n str) -> Option<(Arc<ProviderDef>, &'n str)> {
        self.find_prefixed(name).or_else(|| self.find_bare(name)).or_else(|| {
            let default = self.default_provider.as_ref()?;
            Some((Arc::clone(default), name))
        })
    }

    /// `provider/model` of a configured provider. The demo provider has just its own models.
    fn find_prefixed<'n>(&self, name: &'n str) -> Option<(Arc<ProviderDef>, &'n str)> {
        let (provider, model) = name.split_once('/')?;
        let provider = self.providers.get(provider)?;
        let served = !model.is_empty() && (!provider.demo || DEMO_MODELS.contains(&model));
        served.then(|| (Arc::clone(provider), model))
    }

    /// A bare name that the catalogue knows at a configured provider; the default provider first,
    /// then the others in the order of their names.
    fn find_bare<'n>(&self, name: &'n str) -> Option<(Arc<ProviderDef>, &'n str)> {
        let catalog = Catalog::embedded();
        let serves = |p: &&Arc<ProviderDef>| !p.demo && catalog.model(&p.kind, name).is_some();
        let default = self.default_provider.iter();
        let found = default.chain(self.providers.values()).find(serves)?;
        Some((Arc::clone(found), name))
    }

    /// A model at a provider, with its price in force.
    #[must_use]
    pub fn target(&self, provider: &Arc<ProviderDef>, model: &str, weight: u32) -> Target {
        let name: Arc<str> = format!("{}/{model}", provider.id).into();
        let info = Catalog::embedded().model(&provider.kind, model).map(Arc::new);
        let price = self.price(&provider.id, model);
        let known = info.is_some() || price.is_some();
        let label = if known { Arc::clone(&name) } else { "other".into() };
        let ways = Ways::of(provider, model, info.as_deref());
        Target {
            provider: Arc::clone(provider),
            model: model.into(),
            label,
            weight,
            id: Arc::clone(&name),
            region: None,
            hash: stable_hash(&name),
            name,
            price,
            talks: ways.talks(),
            embeds: ways.embeds(),
            reranks: ways.reranks(),
            counts: ways.counts(),
            completions: ways.path(catalog::Operation::Completions),
            capabilities: ways.capabilities(),
            body: ways.body(),
            health: provider.live.target(model),
            chaos: Arc::clone(&provider.chaos),
            info,
        }
    }

    /// Known names like `name`, nearest first.
    fn nearest(&self, name: &str) -> Vec<String> {
        let known = self.known_names();
        nearest(name, known.iter().map(String::as_str), 3).into_iter().map(ToOwned::to_owned).collect()
    }

    /// Every name that works without a default provider: configured names, then `provider/model` of
    /// the demo provider and the catalogue.
    #[must_use]
    pub fn known_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.routes.keys().cloned().collect();
        for provider in self.providers.values() {
            names.extend(self.models_of(provider).into_iter().map(|m| format!("{}/{m}", provider.id)));
        }
        names
    }

    /// The models a provider is known to have.
    #[must_use]
    pub fn models_of(&self, provider: &ProviderDef) -> Vec<String> {
        if provider.demo {
            return DEMO_MODELS.iter().map(ToString::to_string).collect();
        }
        Catalog::embedded()
            .models_of(&provider.kind)
            .filter(|row| row.region.is_empty())
            .map(|row| row.id.to_owned())
            .collect()
    }
}
