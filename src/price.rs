//! What a call costs: exact integer arithmetic, one rounding.
//!
//! Prices are US dollars per million tokens (or per unit) by component and service tier. The rules:
//! - Above a number of prompt tokens a higher price may hold, then for the whole request.
//! - `input` prices only tokens that are not cache reads, cache writes or of another modality with
//!   a price of its own. Without a price of their own, all of these cost what input costs.
//! - A price per token that a tier lacks is the standard one times the ratio of the input prices; a
//!   price per unit is the standard one.
//! - The tier is the one the *response* names. OpenAI serves no long prompts in its fast tiers:
//!   there the standard long-prompt price holds.

mod bill;
mod book;
mod decimal;
mod own;
mod place;
mod rates;
mod window;
mod worst;

use std::collections::BTreeMap;

use weir_wire::usage::Usage;

use crate::catalog::{Mode, Model, nearest};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
pub use book::{Book, Listed, Listing, catalogued};
pub use decimal::PriceSyntax;
pub use place::Place;
use rates::{CONFIG_UNITS, Component, Kind, PER_MILLION, Rates};
use window::Windows;
pub use worst::{Dearest, Worst};

/// A service tier that has prices of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the providers'")]
pub enum Tier {
    Standard,
    Batch,
    Flex,
    Priority,
    Fast,
    Ultrafast,
    Balanced,
    Thinking,
    Decisions,
}

impl Tier {
    const ALL: [Self; 9] = [
        Self::Standard,
        Self::Batch,
        Self::Flex,
        Self::Priority,
        Self::Fast,
        Self::Ultrafast,
        Self::Balanced,
        Self::Thinking,
        Self::Decisions,
    ];

    /// The name in the catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Ultrafast => "ultrafast",
            Self::Balanced => "balanced",
            Self::Thinking => "thinking",
            Self::Decisions => "decisions",
        }
    }

    /// The tier a response names; everything unknown (`default`, `auto`, `on_demand`, ...) is
    /// standard.
    #[must_use]
    pub fn of_response(name: Option<&str>) -> Self {
        let name = name.unwrap_or_default();
        Self::ALL.into_iter().find(|tier| name.eq_ignore_ascii_case(tier.as_str())).unwrap_or(Self::Standard)
    }
}

/// What a call cost, and by which price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The amount, rounded half up once.
    pub nano: NanoUsd,
    /// The tier whose price was taken: standard where the named one has none.
    pub tier: Tier,
    /// The prompt was longer than this many tokens; 0 for the base price.
    pub above: u64,
    /// The price of the cheap hours was taken.
    pub off_peak: bool,
    /// Tokens were used for which no price is known: the amount is too small.
    pub unpriced: bool,
}

impl Cost {
    /// The amount; none where nothing that was used has a price, for that is not free.
    #[must_use]
    pub fn amount(&self) -> Option<NanoUsd> {
        (!self.unpriced || self.nano.0 > 0).then_some(self.nano)
    }
}

/// The prices of one model, ready for arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    version: String,
    entries: Vec<Entry>,
    off_peak: Option<(Windows, Rates)>,
    multipliers: BTreeMap<String, u128>,
    /// Its fast tier is Anthropic's `speed`, which is asked for and reported by that name and has
    /// nothing to do with the priority tier.
    fast_is_speed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    tier: Tier,
    above: u64,
    rates: Rates,
    /// The tier to report: differs where another tier's price stands in.
    billed: Tier,
}

/// A fault of a price in the config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    /// There is no such component.
    #[error("unknown price {name:?}{}; the prices are {}", did_you_mean(name.rsplit('.').next().unwrap_or(name)), config_names().collect::<Vec<_>>().join(", "))]
    UnknownName {
        /// What was written.
        name: String,
    },
    /// The number is not a price.
    #[error("{name}: {problem}, not {text:?}")]
    BadNumber {
        /// The component.
        name: String,
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: PriceSyntax,
    },
    /// Something else is wrong at a place.
    #[error("{path}: {problem}")]
    Misplaced {
        /// Where, such as `tiers.batch.above`.
        path: String,
        /// What.
        problem: String,
    },
    /// Nothing is priced.
    #[error("no price at all: give at least \"input\"")]
    Empty,
}

fn config_names() -> impl Iterator<Item = &'static str> {
    PER_MILLION.iter().map(|(name, _)| *name).chain(CONFIG_UNITS.iter().map(|(name, ..)| *name))
}

fn did_you_mean(name: &str) -> String {
    nearest(name, config_names(), 1).first().map(|best| format!(", did you mean {best:?}?")).unwrap_or_default()
}

impl Prices {
    /// The prices of a model of the catalogue; `None` if it has none that usage can be billed by.
    #[must_use]
    pub fn from_model(model: &Model) -> Option<Self> {
        let kind = match model.mode {
            Mode::AudioTranscription => Kind::Transcription,
            Mode::Image => Kind::Image,
            _ => Kind::Other,
        };
        let mut entries = Vec::with_capacity(model.prices.len());
        for price in &model.prices {
            let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == price.tier)?;
            let rates = Rates::from_catalog(&price.mtok, &price.unit, kind).ok()?;
            entries.push(Entry { tier, above: price.above, rates, billed: tier });
        }
        entries.retain(|entry| !entry.rates.is_empty());
        let factor = |text: &String| decimal::ticks(text, 1).ok();
        let multipliers =
            model.multipliers.iter().filter_map(|(name, text)| Some((name.clone(), factor(text)?))).collect();
        let version = format!("catalog-{}", model.price_hash.as_deref().unwrap_or("0"));
        let mut prices = Self { version, entries, off_peak: None, multipliers, fast_is_speed: false };
        prices.complete(matches!(model.provider.as_str(), "openai" | "azure" | "azure_ai"));
        if let Some(cheap) = &model.off_peak {
            let mut rates = Rates::from_catalog(&cheap.mtok, &BTreeMap::new(), kind).ok()?;
            rates.complete(&prices.entry(Tier::Standard, 0)?.rates, None);
            prices.off_peak = Some((Windows::of(&cheap.windows)?, rates));
        }
        (!prices.entries.is_empty()).then_some(prices)
    }

    /// Prices of a config: name to US dollars per million tokens or characters (`input`,
    /// `cache_read`, `reasoning`, ...), or per unit (`per_request`, `per_image`, `per_second`, ...).
    ///
    /// # Errors
    /// Every unknown name and every bad number, not only the first.
    pub fn from_config(prices: &BTreeMap<String, String>) -> Result<Self, Vec<PriceFault>> {
        let mut rates = Rates::default();
        let mut faults = Vec::new();
        for (name, text) in prices {
            match rates.set_config(name, text) {
                None => faults.push(PriceFault::UnknownName { name: name.clone() }),
                Some(Err(problem)) => {
                    faults.push(PriceFault::BadNumber { name: name.clone(), text: text.clone(), problem });
                }
                Some(Ok(())) => {}
            }
        }
        if prices.is_empty() {
            faults.push(PriceFault::Empty);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let text: String = prices.iter().map(|(name, price)| format!("{name}={price}\n")).collect();
        let version = format!("config-{:08x}", crc32fast::hash(text.as_bytes()));
        let entry = Entry { tier: Tier::Standard, above: 0, rates, billed: Tier::Standard };
        Ok(Self { version, entries: vec![entry], off_peak: None, multipliers: BTreeMap::new(), fast_is_speed: false })
    }

    /// Names these prices for good: it changes exactly when one of them does.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same prices times one of the model's factors (`us`, `regional_processing_eu`, ...);
    /// `None` if the model has no such factor.
    #[must_use]
    pub fn multiplied(&self, name: &str) -> Option<Self> {
        let factor = *self.multipliers.get(name)?;
        let mut out = self.clone();
        let all = out.entries.iter_mut().map(|entry| &mut entry.rates).chain(out.off_peak.as_mut().map(|(_, r)| r));
        for rates in all {
            *rates = rates.times(factor, decimal::TICKS_PER_USD);
        }
        out.version = format!("{}*{name}", self.version);
        Some(out)
    }

    /// What `usage` costs in the service tier the response names, for a call made at `at`.
    ///
    /// Never too small without saying so (`unpriced`), and never wraps: an amount beyond all bounds
    /// is the largest there is.
    #[must_use]
    pub fn cost(&self, usage: &Usage, tier: Option<&str>, at: UnixMs) -> Cost {
        let mut tier = self.priced_tier(Tier::of_response(tier));
        if tier == Tier::Standard && usage.reasoning > 0 {
            tier = self.priced_tier(Tier::Thinking);
        }
        let prompt = bill::prompt_tokens(usage);
        // A tier may list no price for short prompts.
        let Some(entry) = self.entry(tier, prompt).or_else(|| self.entry(Tier::Standard, prompt)) else {
            let unpriced = !usage.is_zero();
            return Cost { nano: NanoUsd(0), tier, above: 0, off_peak: false, unpriced };
        };
        let cheap = self
            .off_peak
            .as_ref()
            .filter(|(windows, _)| entry.billed == Tier::Standard && entry.above == 0 && windows.contains(at));
        let rates = cheap.map_or(&entry.rates, |(_, rates)| rates);
        let bill = bill::bill(rates, usage);
        Cost {
            nano: decimal::to_nano(bill.ticks),
            tier: entry.billed,
            above: entry.above,
            off_peak: cheap.is_some(),
            unpriced: bill.unpriced,
        }
    }

    /// The tier itself, or the one that stands for it: OpenAI reports a requested `fast` as
    /// `priority`.
    fn priced_tier(&self, tier: Tier) -> Tier {
        let has = |tier: &Tier| self.entries.iter().any(|entry| entry.tier == *tier);
        let stand_in = match tier {
            Tier::Fast if !self.fast_is_speed => Tier::Priority,
            Tier::Priority if !self.fast_is_speed => Tier::Fast,
            _ => Tier::Standard,
        };
        [tier, stand_in].into_iter().find(has).unwrap_or(Tier::Standard)
    }

    /// The entry of a tier for a prompt of so many tokens: thresholds are strictly exceeded.
    fn entry(&self, tier: Tier, prompt: u64) -> Option<&Entry> {
        let of_tier = self.entries.iter().filter(|entry| entry.tier == tier);
        of_tier.filter(|entry| entry.above == 0 || prompt > entry.above).max_by_key(|entry| entry.above)
    }

    /// Fills what tiers leave out, so that a look-up needs no second thought.
    fn complete(&mut self, openai: bool) {
        self.ensure_standard();
        let Some(base) = self.entry(Tier::Standard, 0).map(|entry| entry.rates.clone()) else { return };
        for entry in self.entries.iter_mut().filter(|entry| entry.tier == Tier::Standard && entry.above > 0) {
            entry.rates.complete(&base, None);
        }
        let standard: Vec<Entry> = self.entries.iter().filter(|e| e.tier == Tier::Standard).cloned().collect();
        if let Some(factor) = self.multipliers.get("fast").copied()
            && !self.entries.iter().any(|entry| entry.tier == Tier::Fast)
        {
            self.fast_is_speed = true;
            self.entries.extend(standard.iter().map(|entry| Entry {
                tier: Tier::Fast,
                billed: Tier::Fast,
                rates: entry.rates.times(factor, decimal::TICKS_PER_USD),
                ..entry.clone()
            }));
        }
        for tier in Tier::ALL.into_iter().filter(|tier| *tier != Tier::Standard) {
            self.complete_tier(tier, &standard, openai && matches!(tier, Tier::Priority | Tier::Fast));
        }
    }

    /// A row that lists no standard price is priced by what it does list.
    fn ensure_standard(&mut self) {
        let standard = |entry: &&Entry| entry.tier == Tier::Standard && entry.above == 0;
        if self.entries.iter().any(|entry| standard(&entry)) {
            return;
        }
        if let Some(entry) = self.entries.iter().min_by_key(|entry| entry.above).cloned() {
            self.entries.push(Entry { tier: Tier::Standard, above: 0, ..entry });
        }
    }

    fn complete_tier(&mut self, tier: Tier, standard: &[Entry], short_only: bool) {
        let base = |above: u64| standard.iter().filter(|e| e.above <= above).max_by_key(|e| e.above);
        let Some(first) = self.entry(tier, 0).cloned() else { return };
        if short_only {
            self.entries.retain(|entry| entry.tier != tier || entry.above == 0);
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.tier == tier) {
            if let Some(base) = base(entry.above) {
                entry.rates.complete(&base.rates, None);
            }
        }
        // Where standard steps up and the tier says nothing, the tier steps up in proportion; a
        // tier that is not served for long prompts falls back to the standard price.
        let ratio = first.rates.get(Component::Input).zip(base(0).and_then(|b| b.rates.get(Component::Input)));
        for step in standard.iter().filter(|step| step.above > 0) {
            if self.entries.iter().any(|entry| entry.tier == tier && entry.above == step.above) {
                continue;
            }
            let (rates, billed) = match ratio.filter(|(_, of)| *of > 0) {
                Some((own, of)) if !short_only => (step.rates.times(own, of), tier),
                _ => (step.rates.clone(), Tier::Standard),
            };
            self.entries.push(Entry { tier, above: step.above, rates, billed });
        }
    }
}

#[cfg(test)]
mod tests;
