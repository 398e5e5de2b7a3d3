//! Prices and costs by the proof's own arithmetic: it shares nothing with the gateway's.
//!
//! A price is a decimal text of US dollars per million tokens, as the gateway's configuration takes it. A cost is the
//! exact sum, rounded once, half up, to nano-dollars.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::shell::Result;

/// Nano-dollars.
pub(super) type Nano = i128;

const NANO: Nano = 1_000_000_000;
const MILLION: Nano = 1_000_000;

/// What a call used, in OpenAI's counting: `input` includes `cached`, `output` includes `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// Of the prompt.
    pub(super) input: u64,
    /// Of those, read from a cache.
    pub(super) cached: u64,
    /// Generated.
    pub(super) output: u64,
    /// Of those, thoughts.
    pub(super) reasoning: u64,
}

/// A model of the proof's provider and what it costs, as texts.
#[derive(Debug)]
pub(super) struct Model {
    /// Its name at the provider.
    pub(super) name: &'static str,
    input: &'static str,
    cache_read: Option<&'static str>,
    output: &'static str,
    reasoning: Option<&'static str>,
    per_request: Option<&'static str>,
}

/// The models: prices that do not come out even, a price for each request, and, for budgets, whole ones.
pub(super) const MODELS: [Model; 5] = [
    Model {
        name: "alpha",
        input: "0.137",
        cache_read: Some("0.013700001"),
        output: "1.999999",
        reasoning: Some("2.500003"),
        per_request: None,
    },
    Model {
        name: "beta",
        input: "2.718281828",
        cache_read: None,
        output: "3.141592653",
        reasoning: None,
        per_request: None,
    },
    Model {
        name: "gamma",
        input: "0.000000007",
        cache_read: Some("0"),
        output: "0.05",
        reasoning: None,
        per_request: Some("0.000012345"),
    },
    Model { name: "flat", input: "0", cache_read: None, output: "7", reasoning: None, per_request: None },
    Model { name: "steep", input: "11", cache_read: None, output: "13", reasoning: None, per_request: None },
];

/// Places in [`MODELS`].
pub(super) const ALPHA: u8 = 0;
pub(super) const BETA: u8 = 1;
pub(super) const GAMMA: u8 = 2;
pub(super) const FLAT: u8 = 3;
pub(super) const STEEP: u8 = 4;

/// The name of the provider that all of them belong to.
pub(super) const PROVIDER: &str = "proof";

/// Where a model of that name stands in [`MODELS`]; with or without the provider's name in front.
pub(super) fn model_named(name: &str) -> Option<u8> {
    let name = name.strip_prefix("proof/").unwrap_or(name);
    MODELS.iter().position(|model| model.name == name).and_then(|at| u8::try_from(at).ok())
}

/// The `prices` section of the gateway's configuration.
pub(super) fn prices_section() -> String {
    let mut text = String::from("prices:\n");
    for model in &MODELS {
        let _ =
            write!(text, "  {PROVIDER}/{}: {{ input: \"{}\", output: \"{}\"", model.name, model.input, model.output);
        let others =
            [("cache_read", model.cache_read), ("reasoning", model.reasoning), ("per_request", model.per_request)];
        for (name, price) in others {
            if let Some(price) = price {
                let _ = write!(text, ", {name}: \"{price}\"");
            }
        }
        text.push_str(" }\n");
    }
    text
}

/// Prices in nano-dollars, per million tokens and per request.
#[derive(Clone, Copy, Debug)]
struct Tariff {
    input: Nano,
    cache_read: Nano,
    output: Nano,
    reasoning: Nano,
    per_request: Nano,
}

/// The prices of all models, read.
#[derive(Clone, Debug)]
pub(super) struct Tariffs(Vec<Tariff>);

impl Tariffs {
    /// Reads [`MODELS`].
    pub(super) fn read() -> Result<Self> {
        let read = |model: &Model| -> Result<Tariff> {
            Ok(Tariff {
                input: nano(model.input)?,
                cache_read: nano(model.cache_read.unwrap_or(model.input))?,
                output: nano(model.output)?,
                reasoning: nano(model.reasoning.unwrap_or(model.output))?,
                per_request: nano(model.per_request.unwrap_or("0"))?,
            })
        };
        Ok(Self(MODELS.iter().map(read).collect::<Result<_>>()?))
    }

    /// What such a use of the model costs. Nothing used is nothing owed, the price of a request included.
    pub(super) fn cost(&self, model: u8, used: Tokens) -> Nano {
        if used == Tokens::default() {
            return 0;
        }
        let tariff = self.0[usize::from(model)];
        let cached = used.cached.min(used.input);
        let reasoning = used.reasoning.min(used.output);
        let parts = [
            Nano::from(used.input - cached) * tariff.input,
            Nano::from(cached) * tariff.cache_read,
            Nano::from(used.output - reasoning) * tariff.output,
            Nano::from(reasoning) * tariff.reasoning,
            tariff.per_request * MILLION,
        ];
        let millionths: Nano = parts.iter().sum();
        (millionths + MILLION / 2).div_euclid(MILLION)
    }
}

/// Reads a decimal of US dollars with at most nine places.
pub(super) fn nano(text: &str) -> Result<Nano> {
    let bad = || format!("{text:?} is no amount of US dollars with at most nine places");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !plain(whole) || !plain(fraction) {
        return Err(bad().into());
    }
    let whole: Nano = whole.parse().map_err(|_| bad())?;
    let fraction: Nano = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    Ok(sign * (whole * NANO + fraction))
}

/// Writes an amount with nine places.
pub(super) fn usd(amount: Nano) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}", amount.abs() / NANO, amount.abs() % NANO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_both_ways() {
        for (text, amount) in [("0.000000001", 1), ("12.500000000", 12_500_000_000), ("-0.000000700", -700)] {
            assert_eq!(nano(text).unwrap(), amount);
            assert_eq!(usd(amount), text);
        }
        assert_eq!(nano("7").unwrap(), 7 * NANO);
        for bad in ["", ".5", "1e3", "0.0000000001", "one"] {
            assert!(nano(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cost_is_the_exact_sum_rounded_once_half_up() {
        let tariffs = Tariffs::read().unwrap();
        let used = |input, cached, output, reasoning| Tokens { input, cached, output, reasoning };
        // 90 * 0.137 + 10 * 0.013700001 + 5 * 1.999999 + 2 * 2.500003, a million times less: 27.467011.01 rounded.
        assert_eq!(tariffs.cost(ALPHA, used(100, 10, 7, 2)), 27_467);
        // 0.007 millionths of a nano-dollar for the token, and the request.
        assert_eq!(tariffs.cost(GAMMA, used(1, 0, 0, 0)), 12_345);
        assert_eq!(tariffs.cost(FLAT, used(500, 0, 1_000, 0)), 7_000_000);
        assert_eq!(tariffs.cost(GAMMA, Tokens::default()), 0);
        // 1 * 3.141592653 is 3141.592653 nano-dollars; 1 * 2.718281828 is 2718.281828: together 5859.874481.
        assert_eq!(tariffs.cost(BETA, used(1, 1, 1, 1)), 5_860);
    }

    #[test]
    fn models_are_found_by_both_names() {
        assert_eq!(model_named("proof/beta"), Some(BETA));
        assert_eq!(model_named("flat"), Some(FLAT));
        assert_eq!(model_named("steep"), Some(STEEP));
        assert_eq!(model_named("omega"), None);
        assert!(prices_section().contains(
            "proof/gamma: { input: \"0.000000007\", output: \"0.05\", cache_read: \"0\", per_request: \"0.000012345\" }"
        ));
    }
}
