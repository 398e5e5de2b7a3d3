//! The prices of a snapshot: those in force at one moment, from the book of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::build::{DEMO, Env};
use super::resolve::DEMO_MODELS;
use super::{Route, Shadow, Snapshot, Target};
use crate::catalog::Catalog;
use crate::clock::UnixMs;
use crate::config::{self, Config, PriceSheet};
use crate::money::NanoUsd;
use crate::price::{Book, Listed, Listing, Place, Prices};

/// The book of a configuration: its own prices, and the demo's, which are zero: a price, so that its
/// rows are not `unpriced`.
///
/// # Errors
/// The first list that is none, with the name of its key.
pub fn book(config: &Config, env: Env<'_>) -> Result<Book, String> {
    let mut listing = Listing::new();
    for model in DEMO_MODELS {
        let components = ["input", "output"].map(|name| (name.to_owned(), NanoUsd(0)));
        let mut free = PriceSheet::default();
        free.standard.components = BTreeMap::from(components);
        let name = format!("{DEMO}/{model}");
        listing.insert(name.clone(), vec![listed(&name, &free)?]);
    }
    for (name, history) in &config.prices {
        let listed = history.0.iter().map(|sheet| listed(name, sheet)).collect::<Result<_, _>>()?;
        listing.insert(name.clone(), listed);
    }
    Ok(Book::new(places(config, env), listing))
}

/// A list of the configuration as [`Prices::from_own`] reads it.
#[must_use]
pub fn own(sheet: &PriceSheet) -> Value {
    // Texts, numbers and maps of them: they cannot fail to be written.
    let mut own = serde_json::to_value(sheet).unwrap_or_default();
    if let Some(map) = own.as_object_mut() {
        map.remove("effective_from");
    }
    own
}

fn listed(name: &str, sheet: &PriceSheet) -> Result<Listed, String> {
    let own = own(sheet);
    let prices = Prices::from_own(&own, &version(sheet, &own)).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        format!("prices.{name}: {first}")
    })?;
    let from = sheet.effective_from.map_or(UnixMs::MIN, jiff::Timestamp::as_millisecond);
    Ok(Listed { from, rank: 0, prices: Some(Arc::new(prices)) })
}

/// Changes exactly when a price does; not with the day from which on it holds.
#[must_use]
pub fn version(sheet: &PriceSheet, own: &Value) -> String {
    let flat = sheet.standard.above.is_empty() && sheet.tiers.is_empty() && sheet.off_peak.is_none();
    let text = match flat {
        true => sheet.standard.components.iter().map(|(name, price)| format!("{name}={price}\n")).collect(),
        false => own.to_string(),
    };
    format!("config-{:08x}", crc32fast::hash(text.as_bytes()))
}

/// Where the providers are: those of the configuration, and those that the environment alone may turn on and
/// whose price depends on it.
fn places(config: &Config, env: Env<'_>) -> BTreeMap<String, Place> {
    let configured = config.providers.iter().map(|(id, entry)| (id.clone(), place(id, entry, env)));
    let others = Place::matters().filter(|kind| !config.providers.contains_key(&kind.id));
    let others = others.map(|kind| (kind.id.clone(), place(&kind.id, &config::Provider::default(), env)));
    configured.chain(others).collect()
}

/// Where a provider is.
#[must_use]
pub fn place(id: &str, entry: &config::Provider, env: Env<'_>) -> Place {
    let kind_id = entry.kind_of(id);
    let Some(kind) = Catalog::embedded().provider(kind_id) else { return Place::anywhere(kind_id) };
    // Where there is no URL, a key is missing of which the start will tell.
    let url = kind.base_url(entry.base_url.as_deref(), &entry.vars, env).unwrap_or_default();
    let rows = kind.models_of.as_deref().unwrap_or(kind_id);
    Place::of(rows, &url, entry.vars.get("region").map(String::as_str))
}

impl Snapshot {
    /// The book its prices are from.
    #[must_use]
    pub fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// Whether its prices are those in force at a time.
    #[must_use]
    pub fn is_priced_for(&self, at: UnixMs) -> bool {
        (self.priced.0..self.priced.1).contains(&at)
    }

    /// The same with the prices that `book` has for a time. Providers, with all that is measured and
    /// limited there, are shared.
    #[must_use]
    pub fn priced(&self, book: &Arc<Book>, at: UnixMs) -> Self {
        let mut out = Self {
            providers: self.providers.clone(),
            routes: BTreeMap::new(),
            default_provider: self.default_provider.clone(),
            direct: papaya::HashMap::new(),
            chaos: Arc::clone(&self.chaos),
            book: Arc::clone(book),
            priced: book.span(at),
        };
        let routes = self.routes.iter().map(|(name, route)| (name.clone(), Arc::new(out.route_priced(route))));
        out.routes = routes.collect();
        out
    }

    fn route_priced(&self, route: &Route) -> Route {
        let targets = route.targets.iter().map(|target| self.target_priced(target)).collect();
        let shadow = route.shadow.as_ref().map(|shadow| {
            let target = self.target_priced(&shadow.target);
            Arc::new(Shadow { target, ..Shadow::clone(shadow) })
        });
        Route { targets, shadow, ..route.clone() }
    }

    fn target_priced(&self, target: &Arc<Target>) -> Arc<Target> {
        let price = self.price(&target.provider.id, &target.model);
        if price == target.price {
            return Arc::clone(target);
        }
        Arc::new(Target { price, ..Target::clone(target) })
    }

    /// The price of a model at a provider.
    pub(super) fn price(&self, provider: &str, model: &str) -> Option<Arc<Prices>> {
        // Any moment of the span has the same prices.
        self.book.at(provider, model, self.priced.1.saturating_sub(1))
    }
}
