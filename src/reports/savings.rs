//! What reading from providers' caches saved.
//!
//! What cached tokens would have cost as ordinary input, less what they cost as cache reads, both at the
//! prices now in force: of the standard tier, for short prompts, outside cheap hours. Sums know neither
//! the tier nor the length of single prompts, so what a caller paid in other tiers is not what is
//! compared here. The difference per token is whole, and the product is rounded once, half up.

use serde_json::{Value, json};
use weir_wire::usage::Usage;

use super::models::behind;
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::price::Prices;
use crate::snapshot::Snapshot;
use crate::store::usage::Total;

const HOUR: UnixMs = 3_600_000;
/// Prices are read off the cost of so many tokens: the most that are no long prompt for the model.
const PROBES: [u64; 4] = [100_000, 10_000, 1_000, 100];
/// Most models that are named as not priced.
const MAX_NAMED: usize = 100;

/// The savings of totals by provider and model.
#[must_use]
pub fn savings(snapshot: &Snapshot, totals: &[Total]) -> Value {
    let (mut full, mut cached, mut tokens, mut unpriced) = (0_i128, 0_i128, 0_u64, 0_u64);
    let mut not_priced = Vec::new();
    for total in totals {
        let [provider, model] = [0, 1].map(|i| total.group.get(i).and_then(Option::as_deref));
        let read = total.sums.usage.cached;
        match price(snapshot, provider, model) {
            Some(price) => {
                full += price.of(price.input, read);
                cached += price.of(price.cached, read);
                tokens = tokens.saturating_add(read);
            }
            None => {
                unpriced = unpriced.saturating_add(read);
                not_priced.push(json!({"provider": provider, "model": model, "cached_tokens": read}));
            }
        }
    }
    not_priced.truncate(MAX_NAMED);
    json!({
        "saved_usd": money(full - cached).to_string(),
        "at_input_price_usd": money(full).to_string(),
        "at_cached_price_usd": money(cached).to_string(),
        "cached_tokens": tokens,
        "not_priced_cached_tokens": unpriced,
        "not_priced": not_priced,
        "prices": "in force now, standard tier",
    })
}

/// What a number of tokens costs as input and as cache reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    tokens: u64,
    input: NanoUsd,
    cached: NanoUsd,
}

impl Probe {
    /// The cost of `count` tokens, rounded half up.
    fn of(&self, price: NanoUsd, count: u64) -> i128 {
        let tokens = i128::from(self.tokens);
        (i128::from(price.0) * i128::from(count) + tokens / 2).div_euclid(tokens)
    }
}

fn price(snapshot: &Snapshot, provider: Option<&str>, model: Option<&str>) -> Option<Probe> {
    let target = behind(snapshot, provider?, model?)?;
    probe(target.price.as_deref()?)
}

fn probe(prices: &Prices) -> Option<Probe> {
    PROBES.into_iter().find_map(|tokens| {
        let usage = |cached| Usage { input: tokens, cached, ..Usage::default() };
        (0..24).map(|hour| hour * HOUR).find_map(|at| {
            let [input, cached] = [0, tokens].map(|cached| prices.cost(&usage(cached), None, at));
            let plain = |cost: &crate::price::Cost| !cost.off_peak && !cost.unpriced && cost.above == 0;
            (plain(&input) && plain(&cached)).then_some(Probe { tokens, input: input.nano, cached: cached.nano })
        })
    })
}

fn money(nano: i128) -> NanoUsd {
    NanoUsd(i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn prices(texts: &[(&str, &str)]) -> Prices {
        let texts: BTreeMap<String, String> = texts.iter().map(|(n, p)| ((*n).to_owned(), (*p).to_owned())).collect();
        Prices::from_config(&texts).unwrap()
    }

    #[test]
    fn a_probe_is_exact_for_any_count() {
        let found = probe(&prices(&[("input", "1.00"), ("cache_read", "0.10"), ("per_request", "5")])).unwrap();
        // A price per request is in both and falls out of the difference.
        assert_eq!(found.of(found.input, 7) - found.of(found.cached, 7), 7 * 900);
        let fine = probe(&prices(&[("input", "0.0375"), ("cache_read", "0.00375")])).unwrap();
        assert_eq!(fine.of(fine.input, 3_000_000_000), 112_500_000_000);
        assert_eq!(fine.of(fine.cached, 1), 4, "3.75 nano-dollars, rounded");
    }

    #[test]
    fn where_cache_reads_have_no_price_nothing_is_saved() {
        let found = probe(&prices(&[("input", "2")])).unwrap();
        assert_eq!(found.input, found.cached);
        assert_eq!(probe(&prices(&[("output", "2")])), None);
    }
}
