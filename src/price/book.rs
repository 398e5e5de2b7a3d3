//! Which price holds for a model at a time: the database's, else the configuration's, else the
//! catalogue's.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{Place, Prices};
use crate::catalog::Catalog;
use crate::clock::UnixMs;

/// A price of one's own, from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// From when on it holds, until the next.
    pub from: UnixMs,
    /// Of several from one moment on, the highest holds: a correction.
    pub rank: i64,
    /// What it says; `None` hands back to the next source.
    pub prices: Option<Arc<Prices>>,
}

/// Prices of one's own by `provider/model`.
pub type Listing = BTreeMap<String, Vec<Listed>>;

/// All prices, of all times.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Under which name the catalogue lists the models of a provider, and where they run.
    places: BTreeMap<String, Place>,
    config: Listing,
    database: Listing,
}

impl Book {
    /// A book of the configuration's prices. `places` tells under which name the catalogue lists the
    /// models of a provider, and where they run.
    #[must_use]
    pub fn new(places: BTreeMap<String, Place>, config: Listing) -> Self {
        Self { places, config, database: Listing::new() }
    }

    /// The same with these prices of the database.
    #[must_use]
    pub fn with_database(&self, database: Listing) -> Self {
        Self { database, ..self.clone() }
    }

    /// Whether a provider of that name is configured or in the catalogue.
    #[must_use]
    pub fn knows(&self, provider: &str) -> bool {
        self.places.contains_key(provider) || Catalog::embedded().provider(provider).is_some()
    }

    /// The price of a model at a time. `None` means that none is known.
    #[must_use]
    pub fn at(&self, provider: &str, model: &str, at: UnixMs) -> Option<Arc<Prices>> {
        let name = format!("{provider}/{model}");
        let own =
            [&self.database, &self.config].into_iter().find_map(|listing| holding(listing, &name, at)?.prices.clone());
        own.or_else(|| match self.places.get(provider) {
            Some(place) => catalogued(place, model),
            None => catalogued(&Place::anywhere(provider), model),
        })
    }

    /// The moments around `at` between which no price of one's own changes: from the first on, before
    /// the second.
    #[must_use]
    pub fn span(&self, at: UnixMs) -> (UnixMs, UnixMs) {
        let changes = [&self.config, &self.database].into_iter().flat_map(|listing| listing.values().flatten());
        changes.map(|listed| listed.from).fold((UnixMs::MIN, UnixMs::MAX), |(from, until), change| match change {
            change if change <= at => (from.max(change), until),
            change => (from, until.min(change)),
        })
    }
}

fn holding<'l>(listing: &'l Listing, name: &str, at: UnixMs) -> Option<&'l Listed> {
    let begun = listing.get(name)?.iter().filter(|listed| listed.from <= at);
    begun.max_by_key(|listed| (listed.from, listed.rank))
}

/// Provider, id and region of a row of the catalogue, and the factor on its prices.
type RowKey = ((&'static str, &'static str, &'static str), Option<&'static str>);

/// The catalogue's price of a model at a place, compiled on its first use. Bounded by the rows of the catalogue.
#[must_use]
pub fn catalogued(place: &Place, model: &str) -> Option<Arc<Prices>> {
    static COMPILED: LazyLock<papaya::HashMap<RowKey, Option<Arc<Prices>>>> = LazyLock::new(papaya::HashMap::new);
    let row = Catalog::embedded().find(&place.kind, model, place.region.as_deref())?;
    let compile = || {
        let prices = row.parse().and_then(|model| Prices::from_model(&model))?;
        let there = place.factor.and_then(|factor| prices.multiplied(factor));
        Some(Arc::new(there.unwrap_or(prices)))
    };
    COMPILED.pin().get_or_insert_with((row.key(), place.factor), compile).clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(from: UnixMs, rank: i64, version: Option<&str>) -> Listed {
        let prices = version.map(|version| Arc::new(Prices::from_own(&json!({"input": "1"}), version).unwrap()));
        Listed { from, rank, prices }
    }

    fn version(book: &Book, model: &str, at: UnixMs) -> Option<String> {
        book.at("mine", model, at).map(|prices| prices.version().split('-').next().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_database_goes_before_the_configuration_and_that_before_the_catalogue() {
        let kinds = BTreeMap::from([("mine".to_owned(), Place::anywhere("openai"))]);
        let config = Listing::from([("mine/gpt-4o-mini".to_owned(), vec![listed(50, 0, Some("config"))])]);
        let database = Listing::from([(
            "mine/gpt-4o-mini".to_owned(),
            vec![
                listed(100, 1, Some("first")),
                listed(200, 2, None),
                listed(100, 3, Some("corrected")),
                listed(300, 4, Some("later")),
            ],
        )]);
        let book = Book::new(kinds, config).with_database(database);
        let expected =
            [(49, "catalog"), (50, "config"), (99, "config"), (100, "corrected"), (199, "corrected"), (200, "config")];
        for (at, source) in expected {
            assert_eq!(version(&book, "gpt-4o-mini", at).as_deref(), Some(source), "{at}");
        }
        assert_eq!(version(&book, "gpt-4o-mini", 300).as_deref(), Some("later"));
        assert_eq!(version(&book, "gpt-4o", 300).as_deref(), Some("catalog"));
        assert_eq!(version(&book, "no-such-model", 300), None);
        assert!(book.knows("mine") && book.knows("anthropic") && !book.knows("anthropci"));
        assert_eq!(
            [49, 50, 99, 250, 300].map(|at| book.span(at)),
            [(UnixMs::MIN, 50), (50, 100), (50, 100), (200, 300), (300, UnixMs::MAX),]
        );
    }

    #[test]
    fn a_row_of_the_catalogue_is_compiled_once() {
        let openai = |model: &str| catalogued(&Place::anywhere("openai"), model);
        let twice = [0, 1].map(|_| openai("gpt-4o-mini").unwrap());
        assert!(Arc::ptr_eq(&twice[0], &twice[1]) && twice[0].version().starts_with("catalog-"));
        assert!(openai("gpt-4o-mini-2031-01-01").is_some() && openai("none").is_none());
    }

    #[test]
    fn the_place_changes_the_price_where_the_catalogue_says_so() {
        let usage = weir_wire::usage::Usage { input: 1_000_000, ..Default::default() };
        let cost =
            |place: &Place, model: &str| catalogued(place, model).unwrap().cost(&usage, None, 0).nano.to_string();
        let openai = |url: &str| Place::of("openai", url, None);
        let (plain, eu) = (openai("https://api.openai.com/v1"), openai("https://eu.api.openai.com/v1"));
        assert_eq!(
            (cost(&plain, "gpt-5.4"), cost(&eu, "gpt-5.4")),
            ("5.000000000".to_owned(), "5.500000000".to_owned())
        );
        assert!(catalogued(&eu, "gpt-5.4").unwrap().version().ends_with("*regional_processing_eu"));
        // A model without that factor costs what it costs.
        assert_eq!(cost(&plain, "gpt-4o-mini"), cost(&eu, "gpt-4o-mini"));
        let vertex = |region| Place::of("vertex", "", Some(region));
        assert_eq!(cost(&vertex("global"), "claude-haiku-4-5"), "1.000000000");
        assert_eq!(cost(&vertex("europe-west1"), "claude-haiku-4-5"), "1.100000000");
        let bedrock = |region| Place::of("bedrock", "", Some(region));
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        // Above 200,000 tokens, at 6 a million; the government's regions have rows of their own.
        assert_eq!(cost(&bedrock("eu-central-1"), sonnet), "6.000000000");
        assert_eq!(cost(&bedrock("us-gov-west-1"), sonnet), "3.600000000");
        // A profile says itself where it runs.
        assert_eq!(cost(&bedrock("us-gov-west-1"), &format!("eu.{sonnet}")), "6.600000000");
    }
}
