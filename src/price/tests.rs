use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;

/// Monday 2026-11-16 00:00 UTC.
const MONDAY: UnixMs = 1_794_787_200_000;

fn row(provider: &str, id: &str) -> Prices {
    let model = Catalog::embedded().model(provider, id).unwrap_or_else(|| panic!("{provider}/{id}"));
    Prices::from_model(&model).unwrap_or_else(|| panic!("{provider}/{id} has no price"))
}

/// The cost at the peak hour of a weekday, as a decimal.
fn cost(provider: &str, id: &str, tier: Option<&str>, usage: Usage) -> String {
    let cost = row(provider, id).cost(&usage, tier, MONDAY + 2 * 3_600_000);
    assert!(!cost.unpriced, "{provider}/{id}");
    cost.nano.to_string()
}

fn config(prices: &[(&str, &str)]) -> Result<Prices, Vec<PriceFault>> {
    Prices::from_config(&prices.iter().map(|(name, price)| ((*name).to_owned(), (*price).to_owned())).collect())
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

#[test]
fn real_rows_cost_what_their_price_lists_say() {
    let cached = Usage { cached: 1_000, ..tokens(1_500, 200) };
    // 500 * 0.15 + 1000 * 0.075 + 200 * 0.60, in millionths of a dollar.
    assert_eq!(cost("openai", "gpt-4o-mini", None, cached), "0.000270000");
    assert_eq!(cost("openai", "gpt-4o-mini", Some("default"), cached), "0.000270000");
    // Batch lists no cache price: half of everything, as for its input.
    assert_eq!(cost("openai", "gpt-4o-mini", Some("batch"), cached), "0.000135000");
    // 500 * 0.25 + 1000 * 0.125 + 200 * 1.00.
    assert_eq!(cost("openai", "gpt-4o-mini", Some("priority"), cached), "0.000450000");
    assert_eq!(cost("openai", "gpt-4o-mini", Some("fast"), cached), "0.000450000");
    // No flex price: standard.
    assert_eq!(cost("openai", "gpt-4o-mini", Some("flex"), cached), "0.000270000");
    assert_eq!(cost("openai", "gpt-5.4", Some("flex"), tokens(1_000_000, 0)), "2.500000000");
    assert_eq!(cost("openai", "text-embedding-3-small", None, tokens(1_000, 0)), "0.000020000");
    assert_eq!(cost("openai", "text-embedding-3-small", None, tokens(1, 0)), "0.000000020");
    // Reasoning is output; the tap has made the output include it (xAI leaves it out).
    let thinking = Usage { reasoning: 300, ..tokens(1_000, 400) };
    assert_eq!(cost("xai", "grok-4", None, thinking), "0.009000000");
    // Image tokens of a price of their own.
    let picture = Usage { image_input: 100, image_output: 1_000, ..tokens(150, 1_000) };
    assert_eq!(cost("openai", "gpt-image-1", None, picture), "0.041250000");
}

#[test]
fn units_are_billed_by_their_published_figure() {
    let seconds = |ms| Usage { audio_ms: ms, ..Usage::default() };
    assert_eq!(cost("openai", "whisper-1", None, seconds(61_500)), "0.006150000");
    // 0.22 an hour, not the rounded 0.0000611 a second (which would make 0.219960000).
    assert_eq!(cost("elevenlabs", "scribe_v1", None, seconds(3_600_000)), "0.220000000");
    assert_eq!(cost("elevenlabs", "scribe_v1", None, seconds(1)), "0.000000061");
    assert_eq!(cost("soniox", "stt-async-v5", None, seconds(1_000_000)), "0.027777800");
    let characters = Usage { characters: 1_234, ..Usage::default() };
    assert_eq!(cost("openai", "tts-1", None, characters), "0.018510000");
    let searches = Usage { search_units: 3, ..Usage::default() };
    assert_eq!(cost("cohere", "rerank-v3.5", None, searches), "0.006000000");
    // 1 request at 0.005 and 10 output tokens at 0.28 per million.
    assert_eq!(cost("perplexity", "sonar-small-online", None, tokens(0, 10)), "0.005002800");
    let web = Usage { web_searches: 2, ..tokens(1_000, 0) };
    assert_eq!(cost("perplexity", "sonar", None, web), "0.017000000");
}

#[test]
fn tokens_and_seconds_are_alternatives() {
    let both = Usage { audio_ms: 60_000, audio_input: 600, ..tokens(600, 100) };
    assert_eq!(cost("openai", "gpt-4o-transcribe", None, both), "0.002500000");
    let seconds = Usage { audio_ms: 60_000, ..Usage::default() };
    assert_eq!(cost("openai", "gpt-4o-transcribe", None, seconds), "0.006000000");
    // Text tokens beside billed seconds are not a lack of a price.
    let seconds_and_text = Usage { audio_ms: 60_000, ..tokens(0, 50) };
    assert_eq!(cost("openai", "whisper-1", None, seconds_and_text), "0.006000000");
}

#[test]
fn a_long_prompt_costs_more_as_a_whole_and_strictly_above() {
    let usage = |input| Usage { cached: 100_000, ..tokens(input, 1_000) };
    // 172000 * 4 + 100000 * 0.4 + 1000 * 20.
    assert_eq!(cost("openai", "gpt-5.6", None, usage(272_000)), "0.748000000");
    // 172001 * 8 + 100000 * 0.8 + 1000 * 30.
    assert_eq!(cost("openai", "gpt-5.6", None, usage(272_001)), "1.486008000");
    assert_eq!(cost("openai", "gpt-5.6", Some("flex"), usage(272_001)), "0.743004000");
    let above = row("openai", "gpt-5.6").cost(&usage(272_001), None, MONDAY);
    assert_eq!((above.above, above.tier), (272_000, Tier::Standard));
}

#[test]
fn openai_fast_tiers_are_never_combined_with_long_prompts() {
    let long = tokens(300_000, 1_000);
    for name in ["priority", "fast"] {
        let cost = row("openai", "gpt-5.6").cost(&long, Some(name), MONDAY);
        assert_eq!((cost.nano.to_string().as_str(), cost.tier), ("2.430000000", Tier::Standard));
        let cost = row("openai", "gpt-5.6").cost(&tokens(1_000, 0), Some(name), MONDAY);
        assert_eq!((cost.nano.to_string().as_str(), cost.tier), ("0.008000000", Tier::Priority));
    }
}

#[test]
fn anthropics_fast_mode_is_no_price_of_its_priority_tier() {
    let usage = tokens(1_000, 0);
    assert_eq!(cost("anthropic", "claude-opus-4-8", Some("fast"), usage), "0.010000000");
    assert_eq!(cost("anthropic", "claude-opus-4-8", Some("priority"), usage), "0.005000000");
}

#[test]
fn a_tier_without_a_price_for_short_prompts_is_billed_as_standard() {
    for (input, tier) in [(1_000, Tier::Standard), (300_000, Tier::Flex)] {
        let cost = row("azure", "gpt-6-astra").cost(&tokens(input, 1), Some("flex"), MONDAY);
        assert!(cost.nano.0 > 0 && !cost.unpriced && cost.tier == tier, "{cost:?}");
    }
}

#[test]
fn what_a_tier_lacks_follows_its_input_price() {
    // gpt-5.6 batch lists no 12h write; standard 10 at half the input price.
    let writes = Usage { cache_write: 1_000, cache_write_12h: 1_000, ..tokens(1_000, 0) };
    assert_eq!(cost("openai", "gpt-5.6", Some("batch"), writes), "0.005000000");
    // An unspecified lifetime is the shortest OpenAI sells.
    let writes = Usage { cache_write: 1_000, ..tokens(1_000, 0) };
    assert_eq!(cost("openai", "gpt-5.6", None, writes), "0.005000000");
    // grok-4.3 above 200k lists no image price: it doubles with the input price.
    let image = Usage { image_input: 1_000, ..tokens(300_000, 0) };
    assert_eq!(cost("xai", "grok-4.3", None, image), "0.750000000");
}

#[test]
fn deepseek_is_cheaper_off_peak() {
    let prices = row("deepseek", "deepseek-v4-pro");
    let usage = Usage { cached: 400, ..tokens(1_000, 100) };
    let cases = [
        (0, true),
        (60, false),
        (4 * 60 - 1, false),
        (4 * 60, true),
        (6 * 60, false),
        (10 * 60, true),
        (4 * 1440 + 12 * 60, true),
        (5 * 1440 + 120, true),
        (6 * 1440 + 1439, true),
        (7 * 1440 + 60, false),
    ];
    for (minute, off_peak) in cases {
        let cost = prices.cost(&usage, None, MONDAY + minute * 60_000);
        // 600 * 1.32 + 400 * 0.044 + 100 * 3.96, or half of it.
        let expected = if off_peak { "0.000602800" } else { "0.001205600" };
        assert_eq!((cost.nano.to_string().as_str(), cost.off_peak), (expected, off_peak), "{minute}");
    }
}

#[test]
fn anthropic_writes_are_billed_by_lifetime() {
    let usage =
        Usage { cached: 1_000, cache_write: 3_000, cache_write_5m: 2_000, cache_write_1h: 1_000, ..tokens(5_000, 0) };
    // 1000 * 3 + 1000 * 0.3 + 2000 * 3.75 + 1000 * 6.
    assert_eq!(cost("anthropic", "claude-sonnet-4-5", None, usage), "0.016800000");
    let us = row("anthropic", "claude-opus-4-6").multiplied("us").unwrap();
    let plain = row("anthropic", "claude-opus-4-6");
    let nano = |prices: &Prices| prices.cost(&tokens(10_000, 0), None, MONDAY).nano.0;
    assert_eq!(nano(&us) * 10, nano(&plain) * 11);
    assert!(us.version().ends_with("*us") && plain.multiplied("mars").is_none());
}

#[test]
fn without_a_price_of_their_own_all_prompt_tokens_cost_what_input_costs() {
    let prices = config(&[("input", "1"), ("output", "2")]).unwrap();
    let usage = Usage {
        cached: 10,
        cache_write: 20,
        cache_write_1h: 5,
        audio_input: 30,
        image_input: 15,
        reasoning: 7,
        audio_output: 3,
        ..tokens(100, 50)
    };
    assert_eq!(prices.cost(&usage, None, 0).nano, NanoUsd(200_000));
}

#[test]
fn a_token_is_billed_once_whatever_is_reported() {
    let prices =
        config(&[("input", "1"), ("cache_read", "1"), ("audio_input", "1"), ("output", "1"), ("reasoning", "1")]);
    let prices = prices.unwrap();
    // Cached audio is reported in both classes; parts may even exceed their total.
    let overlap = Usage { cached: 80, audio_input: 60, ..tokens(100, 0) };
    assert_eq!(prices.cost(&overlap, None, 0).nano, NanoUsd(100_000));
    let beyond = Usage { cached: 80, cache_write: 40, reasoning: 30, ..tokens(100, 10) };
    assert_eq!(prices.cost(&beyond, None, 0).nano, NanoUsd(150_000));
}

#[test]
fn what_has_no_price_says_so() {
    let input_only = config(&[("input", "1")]).unwrap();
    assert!(input_only.cost(&tokens(1, 1), None, 0).unpriced);
    assert!(!input_only.cost(&tokens(1, 0), None, 0).unpriced);
    assert!(!input_only.cost(&Usage::default(), None, 0).unpriced);
    let per_second = config(&[("per_second", "1")]).unwrap();
    assert!(per_second.cost(&tokens(1, 0), None, 0).unpriced);
    assert_eq!(per_second.cost(&Usage { audio_ms: 1_500, ..Usage::default() }, None, 0).nano, NanoUsd(1_500_000_000));
}

#[test]
fn amounts_beyond_all_bounds_do_not_wrap() {
    let prices = config(&[("input", "1000000"), ("output", "1000000"), ("per_request", "1000000")]).unwrap();
    let all = tokens(u64::MAX, u64::MAX);
    assert_eq!(prices.cost(&all, None, i64::MAX).nano, NanoUsd(i64::MAX));
    assert_eq!(
        prices.cost(&Usage { cached: u64::MAX, cache_write: u64::MAX, ..all }, None, i64::MIN).nano,
        NanoUsd(i64::MAX)
    );
}

#[test]
fn faults_of_a_config_are_all_named() {
    let faults = config(&[("inptu", "1"), ("output", "-1"), ("cache_read", "NaN"), ("reasoning", "1")]).unwrap_err();
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[0],
        "cache_read: expected a decimal number of US dollars in quotes, such as \"2.50\", not \"NaN\""
    );
    assert!(texts[1].starts_with("unknown price \"inptu\", did you mean \"input\"?; the prices are input, output,"));
    assert_eq!(texts[2], "output: a price cannot be negative, not \"-1\"");
    assert_eq!(config(&[]), Err(vec![PriceFault::Empty]));
    let of = |price| config(&[("input", price)]).unwrap().version().to_owned();
    assert_eq!(of("1"), of("1"));
    assert_ne!(of("1"), of("2"));
}

/// Every class that usage can report, each with a share of the tokens.
fn full_usage() -> Usage {
    Usage { cached: 100, cache_write: 100, reasoning: 100, ..tokens(1_000, 1_000) }
}

#[test]
fn every_price_of_the_catalogue_is_exact_and_no_priced_model_is_free() {
    let (mut priced, mut providers) = (0, 0);
    for provider in Catalog::embedded().providers_in_table() {
        providers += 1;
        for row in Catalog::embedded().models_of(provider) {
            let model = row.parse().unwrap();
            let billable = model
                .prices
                .iter()
                .any(|entry| !Rates::from_catalog(&entry.mtok, &entry.unit, Kind::Other).unwrap().is_empty());
            let Some(prices) = Prices::from_model(&model) else {
                assert!(!billable, "{provider} {}", row.id);
                continue;
            };
            priced += 1;
            for tier in Tier::ALL {
                never_free(&model, &prices, tier);
            }
        }
    }
    assert!(priced > 4_400 && providers > 50, "{priced} {providers}");
}

/// What the catalogue lists and no usage report tells apart, as docs/prices.md says.
const NOT_TOLD_APART: [&str; 24] = [
    "audio_cache_read",
    "audio_cache_write",
    "image_cache_read",
    "explicit_cache_read",
    "video_input",
    "video_output",
    "citation",
    "web_search_query_low",
    "web_search_query_high",
    "maps_grounding_query",
    "code_interpreter_session",
    "text_message",
    "page",
    "annotation_page",
    "pixel_input",
    "pixel_output",
    "image_input",
    "image_output",
    "second",
    "second_output",
    "video_second_input",
    "video_second_output",
    "regional_endpoint",
    "minimax_free_input_images",
];

#[test]
fn every_class_of_the_catalogue_is_billed_or_said_to_be_not() {
    let page = include_str!("../../docs/prices.md");
    assert_eq!(NOT_TOLD_APART.iter().filter(|name| !page.contains(&format!("`{name}`"))).count(), 0);
    let untold = |name: &String| {
        let name = name.split('@').next().unwrap_or_default();
        !NOT_TOLD_APART.contains(&name)
    };
    for provider in Catalog::embedded().providers_in_table() {
        for row in Catalog::embedded().models_of(provider) {
            let model = row.parse().unwrap();
            let cheap = model.off_peak.iter().flat_map(|cheap| cheap.mtok.keys());
            for name in model.prices.iter().flat_map(|entry| entry.mtok.keys()).chain(cheap) {
                let billed = PER_MILLION.iter().any(|(known, _)| known == name);
                assert!(billed || !untold(name), "{provider} {} {name}", row.id);
            }
            for name in model.prices.iter().flat_map(|entry| entry.unit.keys()) {
                let billed = rates::PER_UNIT.iter().any(|(known, ..)| known == name);
                assert!(billed || !untold(name), "{provider} {} {name}", row.id);
            }
            for name in model.multipliers.keys() {
                assert!(name == "fast" || page.contains(&format!("`{name}`")), "{provider} {} {name}", row.id);
            }
        }
    }
}

#[test]
fn what_has_no_price_at_all_is_no_amount() {
    let speech = config(&[("per_second", "1")]).unwrap();
    assert_eq!(speech.cost(&tokens(10, 10), None, 0).amount(), None);
    assert_eq!(config(&[("input", "1")]).unwrap().cost(&tokens(10, 10), None, 0).amount(), Some(NanoUsd(10_000)));
    assert_eq!(config(&[("input", "0")]).unwrap().cost(&tokens(10, 0), None, 0).amount(), Some(NanoUsd(0)));
}

fn never_free(model: &Model, prices: &Prices, tier: Tier) {
    for long in [0, 1_000_000] {
        let usage = Usage { input: full_usage().input + long, ..full_usage() };
        let cost = prices.cost(&usage, Some(tier.as_str()), MONDAY);
        let zero = |name: &str| {
            let listed: Vec<_> = model.prices.iter().filter_map(|entry| entry.mtok.get(name)).collect();
            listed.iter().any(|text| text.bytes().all(|b| b == b'0' || b == b'.'))
        };
        let free = zero("input") || zero("output");
        assert!(cost.nano.0 > 0 || cost.unpriced || free, "{} {} {tier:?}", model.provider, model.id);
    }
}

/// The same sums in plain integers: prices in millionths of a dollar per million tokens, so that
/// one token costs `price` units of 10^-12 USD.
fn reference(prices: &[u64], counts: &[u64]) -> i64 {
    let total: u128 = prices.iter().zip(counts).map(|(price, count)| u128::from(*price) * u128::from(*count)).sum();
    let (whole, rest) = (total / 1_000, total % 1_000);
    i64::try_from(whole + u128::from(rest >= 500)).unwrap()
}

fn decimal_of(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

proptest! {
    #[test]
    fn costs_equal_an_independent_computation(
        prices in prop::array::uniform6(0u64..200_000_000),
        counts in prop::array::uniform6(0u64..20_000_000),
    ) {
        let names = ["input", "cache_read", "cache_write_5m", "audio_input", "output", "reasoning"];
        let texts: Vec<_> = prices.iter().map(|price| decimal_of(*price)).collect();
        let listed: Vec<_> = names.iter().zip(&texts).map(|(name, text)| (*name, text.as_str())).collect();
        let [plain, cached, write, audio, output, reasoning] = counts;
        let usage = Usage {
            input: plain + cached + write + audio,
            cached,
            cache_write: write,
            cache_write_5m: write,
            audio_input: audio,
            output: output + reasoning,
            reasoning,
            ..Usage::default()
        };
        let cost = config(&listed).unwrap().cost(&usage, None, 0);
        prop_assert_eq!(cost.nano.0, reference(&prices, &counts));
        prop_assert!(!cost.unpriced);
    }

    #[test]
    fn seconds_equal_an_independent_computation(micro_per_hour in 0u64..100_000_000, ms in 0u64..1_000_000_000) {
        let price = decimal_of(micro_per_hour);
        let usage = Usage { audio_ms: ms, ..Usage::default() };
        let nano = config(&[("per_hour", &price)]).unwrap().cost(&usage, None, 0).nano.0;
        // micro-dollars an hour * ms / 3.6e6 ms, in nano-dollars.
        let exact = u128::from(micro_per_hour) * u128::from(ms) * 1_000;
        prop_assert_eq!(nano, i64::try_from((exact + 1_800_000) / 3_600_000).unwrap());
    }

    #[test]
    fn no_usage_and_no_tier_panics(counts in prop::array::uniform32(any::<u64>()), tier in ".{0,12}", at in any::<i64>()) {
        let usage = Usage {
            input: counts[0], cached: counts[1], cache_write: counts[2], cache_write_5m: counts[3],
            cache_write_1h: counts[4], cache_write_30m: counts[5], cache_write_12h: counts[6], output: counts[7],
            reasoning: counts[8], audio_input: counts[9], audio_output: counts[10], image_input: counts[11],
            image_output: counts[12], audio_ms: counts[13], characters: counts[14], web_searches: counts[15],
            images: counts[16], search_units: counts[17],
        };
        for (provider, id) in [("openai", "gpt-5.6"), ("deepseek", "deepseek-v4-pro"), ("openai", "whisper-1")] {
            prop_assert!(row(provider, id).cost(&usage, Some(&tier), at).nano.0 >= 0);
        }
    }

    #[test]
    fn any_text_is_a_price_or_a_fault(text in ".{0,40}") {
        let parsed = config(&[("input", &text)]);
        prop_assert_eq!(parsed.is_ok(), decimal::ticks(&text, 1_000_000).is_ok());
    }
}
