//! An upper bound of a cost, before the call is made.

use super::decimal;
use super::rates::{Component, Rates};
use super::{Entry, Prices, Tier};
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use weir_wire::usage::Usage;

/// The most a call, or several for one request, can consume.
///
/// `Default` is a call that consumes nothing; what is left out of a struct update is zero, and
/// `text_only` is the cautious `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worst<'a> {
    /// All prompt tokens, whatever their class.
    pub input: u64,
    /// All generated tokens, reasoning included.
    pub output: u64,
    /// The service tier that the *request* asks for; `fast` also where it asks for Anthropic's
    /// `speed`.
    pub tier: Option<&'a str>,
    /// The prompt may be written to the provider's cache, asked for or by itself.
    pub writes_cache: bool,
    /// Upstream calls; 0 counts as 1. Each may be rounded on its own.
    pub requests: u64,
    /// Images made.
    pub images: u64,
    /// Characters billed.
    pub characters: u64,
    /// Duration billed, in milliseconds.
    pub audio_ms: u64,
    /// Searches that the provider runs.
    pub web_searches: u64,
    /// Search units (rerank).
    pub search_units: u64,
    /// There is no audio and no image in the prompt, and none in the answer asked for.
    pub text_only: bool,
}

/// A usage at its dearest ([`Prices::dearest_usage`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dearest {
    /// The amounts, in the classes that cost most.
    pub usage: Usage,
    /// The tier that costs most; none for standard.
    pub tier: Option<&'static str>,
    /// What they cost.
    pub cost: NanoUsd,
}

impl Prices {
    /// The most that usage within these amounts can cost, whatever tier of those possible the
    /// response names and whenever it comes: no discount of the cheap hours is counted on.
    ///
    /// What has no price counts nothing, as in [`Prices::cost`].
    #[must_use]
    pub fn worst(&self, ask: &Worst<'_>) -> NanoUsd {
        let rates = self.dearest(ask.input, ask.tier);
        let calls = ask.requests.max(1);
        let ticks = sum(&rates, ask, calls);
        // Each call may be rounded up by half a nano-dollar.
        let NanoUsd(nano) = decimal::to_nano_up(ticks);
        NanoUsd(nano.saturating_add(i64::try_from(calls / 2).unwrap_or(i64::MAX)))
    }

    /// The dearest that usage within these amounts can turn out to be, once the moment of its request is
    /// known: `asked` is the tier that the request asks for, `text_only` as in [`Worst`]. Never above
    /// [`Prices::worst`] of the same amounts, and [`Prices::cost`] prices it so again.
    #[must_use]
    pub fn dearest_usage(&self, most: &Usage, asked: Option<&str>, text_only: bool, at: UnixMs) -> Dearest {
        let mut tiers: Vec<Tier> = self.possible(asked).into_iter().filter(|tier| *tier != Tier::Thinking).collect();
        tiers.dedup();
        // Of equal ones the plainest: the first.
        let of_tier = |tier: Tier| {
            let name = (tier != Tier::Standard).then_some(tier.as_str());
            let dearer = |best: (Usage, NanoUsd), usage: Usage| {
                let cost = self.cost(&usage, name, at).nano;
                if cost > best.1 { (usage, cost) } else { best }
            };
            let plain = (*most, self.cost(most, name, at).nano);
            let answered = answers(most, text_only).into_iter().fold(plain, dearer);
            let (usage, cost) = prompts(&answered.0, text_only).into_iter().fold(answered, dearer);
            Dearest { usage, tier: name, cost }
        };
        let first = of_tier(Tier::Standard);
        tiers.into_iter().map(of_tier).fold(first, |best, next| if next.cost > best.cost { next } else { best })
    }

    /// The highest of each price that a prompt of up to so many tokens can meet.
    fn dearest(&self, input: u64, asked: Option<&str>) -> Rates {
        let tiers = self.possible(asked);
        let mut out = Rates::default();
        let met = |entry: &&Entry| tiers.contains(&entry.tier) && (entry.above == 0 || entry.above < input);
        self.entries.iter().filter(met).for_each(|entry| out.raise(&entry.rates));
        // They should be cheaper, but nobody checks that.
        if let Some((_, rates)) = &self.off_peak {
            out.raise(rates);
        }
        out
    }

    /// The tiers whose prices the answer to a request may be billed at. Standard is always among
    /// them: a provider that lacks capacity serves the request so, and says so.
    pub(super) fn possible(&self, asked: Option<&str>) -> Vec<Tier> {
        const STANDARD: [&str; 4] = ["default", "standard", "standard_only", "on_demand"];
        let asked = asked.unwrap_or("auto");
        let mut out = vec![Tier::Standard, self.priced_tier(Tier::Thinking)];
        if STANDARD.iter().any(|name| asked.eq_ignore_ascii_case(name)) {
            return out;
        }
        match Tier::of_response(Some(asked)) {
            // `auto` is what the provider's project is set to (OpenAI: default, flex, priority);
            // of an unknown word nothing better is known.
            Tier::Standard => out.extend([Tier::Priority, Tier::Flex, Tier::Batch].map(|tier| self.priced_tier(tier))),
            Tier::Priority | Tier::Fast => out.extend([Tier::Priority, Tier::Fast].map(|tier| self.priced_tier(tier))),
            named => out.push(self.priced_tier(named)),
        }
        out
    }
}

/// The prompt in every class that it may turn out to be of.
fn prompts(usage: &Usage, text_only: bool) -> Vec<Usage> {
    let (all, usage) = (usage.input, *usage);
    let written = Usage { cache_write: all, ..usage };
    let mut classes = vec![
        written,
        Usage { cache_write_5m: all, ..written },
        Usage { cache_write_30m: all, ..written },
        Usage { cache_write_1h: all, ..written },
        Usage { cache_write_12h: all, ..written },
        Usage { cached: all, ..usage },
    ];
    if !text_only {
        classes.extend([Usage { audio_input: all, ..usage }, Usage { image_input: all, ..usage }]);
    }
    classes
}

/// As [`prompts`], of the answer.
fn answers(usage: &Usage, text_only: bool) -> Vec<Usage> {
    let (all, usage) = (usage.output, *usage);
    let mut classes = vec![Usage { reasoning: all, ..usage }];
    if !text_only {
        classes.extend([Usage { audio_output: all, ..usage }, Usage { image_output: all, ..usage }]);
    }
    classes
}

/// Ticks for all of the amounts; `None` when they do not fit.
fn sum(rates: &Rates, ask: &Worst<'_>, calls: u64) -> Option<u128> {
    use Component::{AudioMs, Character, Image, Request, SearchUnit, WebSearch};
    let units = |counts: &[(u64, Component)]| {
        counts.iter().try_fold(0u128, |sum, (count, of)| {
            rates.get(*of).unwrap_or(0).checked_mul(u128::from(*count)).and_then(|cost| sum.checked_add(cost))
        })
    };
    let tokens = |count: u64, classes: &[Component]| {
        let rate = classes.iter().filter_map(|class| rates.get(*class)).max().unwrap_or(0);
        rate.checked_mul(u128::from(count))
    };
    let input =
        (tokens(ask.input, &input_classes(ask)), units(&[(ask.audio_ms, AudioMs), (ask.characters, Character)]));
    let output = (tokens(ask.output, output_classes(ask)), units(&[(ask.images, Image)]));
    // One call bills the tokens of a side or else its units; of several calls each may do either.
    let side = |(tokens, units): (Option<u128>, Option<u128>)| match calls {
        1 => Some(tokens?.max(units?)),
        _ => tokens?.checked_add(units?),
    };
    let rest = units(&[(ask.web_searches, WebSearch), (ask.search_units, SearchUnit), (calls, Request)])?;
    side(input)?.checked_add(side(output)?)?.checked_add(rest)
}

fn input_classes(ask: &Worst<'_>) -> Vec<Component> {
    use Component::{AudioInput, CacheRead, ImageInput, Input};
    use Component::{CacheWrite, CacheWrite1h, CacheWrite5m, CacheWrite12h, CacheWrite30m};
    let mut classes = vec![Input, CacheRead];
    if ask.writes_cache {
        classes.extend([CacheWrite, CacheWrite5m, CacheWrite1h, CacheWrite30m, CacheWrite12h]);
    }
    if !ask.text_only {
        classes.extend([AudioInput, ImageInput]);
    }
    classes
}

const fn output_classes(ask: &Worst<'_>) -> &'static [Component] {
    use Component::{AudioOutput, ImageOutput, Output, Reasoning};
    if ask.text_only { &[Output, Reasoning] } else { &[Output, Reasoning, AudioOutput, ImageOutput] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Catalog;
    use crate::price::bill;

    const MODELS: [(&str, &str); 14] = [
        ("openai", "gpt-5.6"),
        ("openai", "gpt-6-astra"),
        ("openai", "gpt-6-luna"),
        ("openai", "gpt-4o-transcribe"),
        ("openai", "gpt-image-1"),
        ("openai", "whisper-1"),
        ("openai", "tts-1"),
        ("anthropic", "claude-opus-4-8"),
        ("deepseek", "deepseek-v4-pro"),
        ("dashscope", "qwen-plus-2025-12-01"),
        ("azure", "gpt-6-astra"),
        ("perplexity", "sonar-small-online"),
        ("cohere", "rerank-v3.5"),
        ("xai", "grok-4.3"),
    ];
    /// What a request asks for, and the words that its answer may be billed by.
    const TIERS: [(Option<&str>, &[Option<&str>]); 10] = [
        (None, &[None, Some("default"), Some("priority"), Some("flex"), Some("standard"), Some("batch")]),
        (Some("auto"), &[None, Some("default"), Some("priority"), Some("flex"), Some("auto")]),
        (Some("default"), &[None, Some("default"), Some("standard")]),
        (Some("standard_only"), &[None, Some("standard")]),
        (Some("priority"), &[None, Some("default"), Some("priority"), Some("fast")]),
        (Some("fast"), &[None, Some("default"), Some("priority"), Some("fast")]),
        (Some("flex"), &[None, Some("default"), Some("flex")]),
        (Some("batch"), &[None, Some("batch")]),
        (Some("ultrafast"), &[None, Some("default"), Some("ultrafast")]),
        (Some("decisions"), &[None, Some("decisions")]),
    ];

    fn row(provider: &str, id: &str) -> Prices {
        let model = Catalog::embedded().model(provider, id).unwrap_or_else(|| panic!("{provider}/{id}"));
        Prices::from_model(&model).unwrap_or_else(|| panic!("{provider}/{id} has no price"))
    }

    /// The amounts of a usage, exactly.
    fn amounts<'a>(usage: &Usage, tier: Option<&'a str>) -> Worst<'a> {
        let media = usage.audio_output.saturating_add(usage.image_output);
        Worst {
            input: bill::prompt_tokens(usage),
            output: usage.output.max(usage.reasoning).max(media),
            tier,
            writes_cache: bill::cache_writes(usage) > 0,
            images: usage.images,
            characters: usage.characters,
            audio_ms: usage.audio_ms,
            web_searches: usage.web_searches,
            search_units: usage.search_units,
            text_only: usage.audio_input == 0
                && usage.image_input == 0
                && usage.audio_output == 0
                && usage.image_output == 0,
            requests: 1,
        }
    }

    fn usage_of(c: &[u64]) -> Usage {
        Usage {
            input: c[0],
            cached: c[1],
            cache_write: c[2],
            cache_write_5m: c[3],
            cache_write_1h: c[4],
            cache_write_30m: c[5],
            cache_write_12h: c[6],
            output: c[7],
            reasoning: c[8],
            audio_input: c[9],
            audio_output: c[10],
            image_input: c[11],
            image_output: c[12],
            audio_ms: c[13],
            characters: c[14],
            web_searches: c[15],
            images: c[16],
            search_units: c[17],
        }
    }

    /// Mostly ordinary counts, many of them zero; some around a step, some absurd.
    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![4 => Just(0), 6 => 0u64..3_000, 4 => 150_000u64..400_000, 1 => any::<u64>()]
    }

    fn at() -> impl Strategy<Value = i64> {
        1_794_787_200_000i64..1_795_392_000_000
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_usage_within_the_amounts_costs_more(
            counts in prop::collection::vec(count(), 18), at in at(), tier in 0..TIERS.len(),
        ) {
            let usage = usage_of(&counts);
            let (asked, answered) = TIERS[tier];
            for (provider, id) in MODELS {
                let prices = row(provider, id);
                let worst = prices.worst(&amounts(&usage, asked));
                for billed in answered {
                    let cost = prices.cost(&usage, *billed, at);
                    prop_assert!(cost.nano <= worst, "{provider}/{id} {asked:?} {billed:?} {usage:?} {cost:?} {worst}");
                }
            }
        }

        #[test]
        fn nothing_that_may_be_answered_costs_more_than_the_dearest(
            (input, output, searches) in (count(), count(), 0u64..5), at in at(), tier in 0..TIERS.len(),
            (class, thinks, text_only) in (0..7usize, any::<bool>(), any::<bool>()),
        ) {
            let most = Usage { input, output, web_searches: searches, ..Usage::default() };
            let (asked, answered) = TIERS[tier];
            for (provider, id) in MODELS {
                let prices = row(provider, id);
                let dearest = prices.dearest_usage(&most, asked, text_only, at);
                let again = prices.cost(&dearest.usage, dearest.tier, at).nano;
                prop_assert_eq!(again, dearest.cost, "rating it anew changes nothing");
                let ask = Worst { writes_cache: true, text_only, ..amounts(&most, asked) };
                prop_assert!(dearest.cost <= prices.worst(&ask), "{provider}/{id} {asked:?} {most:?} {dearest:?}");
                let usage = prompts(&most, true).into_iter().nth(class).unwrap_or(most);
                let usage = Usage { reasoning: if thinks { output } else { 0 }, ..usage };
                for billed in answered {
                    let cost = prices.cost(&usage, *billed, at).nano;
                    prop_assert!(cost <= dearest.cost, "{provider}/{id} {asked:?} {billed:?} {usage:?} {dearest:?}");
                }
            }
        }

        #[test]
        fn several_calls_cost_no_more_than_all_of_their_amounts(
            calls in prop::collection::vec((prop::collection::vec(0u64..300_000, 18), 0..18usize), 1..6), at in at(),
        ) {
            for (provider, id) in MODELS {
                let prices = row(provider, id);
                let (mut total, mut spent) = (Usage::default(), 0i64);
                for (counts, kept) in &calls {
                    let mut counts = counts.clone();
                    counts[*kept..].fill(0);
                    let usage = usage_of(&counts);
                    // Parts may exceed their totals, and then count for more.
                    let usage = Usage { input: bill::prompt_tokens(&usage), output: amounts(&usage, None).output, ..usage };
                    spent = spent.saturating_add(prices.cost(&usage, None, at).nano.0);
                    total = total.plus(&usage);
                }
                let ask = Worst { requests: calls.len() as u64, ..amounts(&total, None) };
                prop_assert!(NanoUsd(spent) <= prices.worst(&ask), "{provider}/{id} {ask:?} {spent}");
            }
        }

        #[test]
        fn more_is_never_cheaper(counts in prop::collection::vec(count(), 18), more in prop::collection::vec(0u64..100_000, 18)) {
            let larger: Vec<u64> = counts.iter().zip(&more).map(|(a, b)| a.saturating_add(*b)).collect();
            for (provider, id) in MODELS {
                let prices = row(provider, id);
                let of = |counts: &[u64]| prices.worst(&Worst { writes_cache: true, text_only: false, ..amounts(&usage_of(counts), None) });
                prop_assert!(of(&counts) <= of(&larger), "{provider}/{id}");
            }
        }
    }

    fn worst(provider: &str, id: &str, ask: &Worst<'_>) -> String {
        row(provider, id).worst(ask).to_string()
    }

    #[test]
    fn the_bound_is_the_price_list_where_there_is_no_choice() {
        let ask = Worst { input: 1_000, output: 100, tier: Some("default"), text_only: true, ..Worst::default() };
        // 1000 * 0.15 + 100 * 0.60; the project may be set to priority (0.25, 1.00).
        assert_eq!(worst("openai", "gpt-4o-mini", &ask), "0.000210000");
        assert_eq!(worst("openai", "gpt-4o-mini", &Worst { tier: None, ..ask }), "0.000350000");
        // Flex may be answered as standard.
        assert_eq!(worst("openai", "gpt-5.4", &Worst { tier: Some("flex"), ..ask }), "0.004000000");
        // Anthropic's fast mode is asked for by name; 1000 * 5 + 100 * 25, and twice that.
        assert_eq!(worst("anthropic", "claude-opus-4-8", &Worst { tier: None, ..ask }), "0.007500000");
        assert_eq!(worst("anthropic", "claude-opus-4-8", &Worst { tier: Some("fast"), ..ask }), "0.015000000");
        // The dearest write is the one of an hour, at 10.
        let writes = Worst { writes_cache: true, tier: None, ..ask };
        assert_eq!(worst("anthropic", "claude-opus-4-8", &writes), "0.012500000");
        // The cheap hours are not counted on: 1000 * 1.32 + 100 * 3.96.
        assert_eq!(worst("deepseek", "deepseek-v4-pro", &ask), "0.001716000");
        // Above 272,000 tokens, as a whole: 272001 * 8 + 100 * 30.
        assert_eq!(worst("openai", "gpt-5.6", &Worst { input: 272_001, ..ask }), "2.179008000");
    }

    #[test]
    fn amounts_beyond_all_bounds_do_not_wrap() {
        let most = Worst { input: u64::MAX, output: u64::MAX, requests: u64::MAX, ..Worst::default() };
        assert_eq!(row("openai", "gpt-5.6").worst(&most), NanoUsd(i64::MAX));
        assert_eq!(row("openai", "gpt-5.6").worst(&Worst::default()), NanoUsd(0));
    }
}
