//! One usage, one set of rates: the sum in ticks.

use weir_wire::usage::Usage;

use super::rates::{Component, Rates};

/// What a usage comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bill {
    /// `None` when the sum does not fit.
    pub(super) ticks: Option<u128>,
    /// Tokens were used that have no price, and nothing else was billed in their place.
    pub(super) unpriced: bool,
}

/// The prompt, never smaller than its parts, whatever was reported.
pub(super) fn prompt_tokens(usage: &Usage) -> u64 {
    let cache = usage.cached.saturating_add(cache_writes(usage));
    usage.input.max(cache).max(usage.audio_input.saturating_add(usage.image_input))
}

/// Tokens written to the cache, of all lifetimes.
pub(super) fn cache_writes(usage: &Usage) -> u64 {
    let parts = [usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_30m, usage.cache_write_12h];
    usage.cache_write.max(parts.into_iter().fold(0, u64::saturating_add))
}

/// Bills every class once. A token that belongs to two classes (a cached audio token) is billed as
/// the first of: cache read, cache write, audio, image.
pub(super) fn bill(rates: &Rates, usage: &Usage) -> Bill {
    let input = input_tokens(rates, usage);
    let output = output_tokens(rates, usage);
    let mut units = Side::default();
    // Seconds, characters and images are alternatives to the tokens of their side, not additions.
    if !input.priced {
        units.add(usage.audio_ms, rates.get(Component::AudioMs));
        units.add(usage.characters, rates.get(Component::Character));
    }
    if !output.priced {
        units.add(usage.images, rates.get(Component::Image));
    }
    units.add(usage.web_searches, rates.get(Component::WebSearch));
    units.add(usage.search_units, rates.get(Component::SearchUnit));
    units.add(u64::from(!usage.is_zero()), rates.get(Component::Request));
    let ticks = [&input, &output, &units].into_iter().try_fold(0u128, |sum, side| sum.checked_add(side.ticks?));
    Bill { ticks, unpriced: (input.missing || output.missing) && !units.priced }
}

fn input_tokens(rates: &Rates, usage: &Usage) -> Side {
    use Component::{AudioInput, CacheRead, CacheWrite, ImageInput, Input};
    use Component::{CacheWrite1h, CacheWrite5m, CacheWrite12h, CacheWrite30m};
    let mut side = Side::of(prompt_tokens(usage));
    side.take(usage.cached, rates.first(&[CacheRead, Input]));
    // Without a price for its lifetime a write costs what writes cost, and else what input costs.
    let write = |own: Component| {
        rates.first(&[own, CacheWrite, CacheWrite5m, CacheWrite30m, CacheWrite1h, CacheWrite12h, Input])
    };
    let lifetimes = [
        (usage.cache_write_5m, CacheWrite5m),
        (usage.cache_write_1h, CacheWrite1h),
        (usage.cache_write_30m, CacheWrite30m),
        (usage.cache_write_12h, CacheWrite12h),
    ];
    let mut unspecified = cache_writes(usage);
    for (tokens, lifetime) in lifetimes {
        side.take(tokens, write(lifetime));
        unspecified = unspecified.saturating_sub(tokens);
    }
    side.take(unspecified, write(CacheWrite));
    side.take(usage.audio_input, rates.first(&[AudioInput, Input]));
    side.take(usage.image_input, rates.first(&[ImageInput, Input]));
    side.rest(rates.get(Input))
}

fn output_tokens(rates: &Rates, usage: &Usage) -> Side {
    use Component::{AudioOutput, ImageOutput, Output, Reasoning};
    let media = usage.audio_output.saturating_add(usage.image_output);
    let mut side = Side::of(usage.output.max(usage.reasoning).max(media));
    side.take(usage.reasoning, rates.first(&[Reasoning, Output]));
    side.take(usage.audio_output, rates.first(&[AudioOutput, Output]));
    side.take(usage.image_output, rates.first(&[ImageOutput, Output]));
    side.rest(rates.get(Output))
}

/// A running sum over classes that share one total.
struct Side {
    left: u64,
    ticks: Option<u128>,
    priced: bool,
    missing: bool,
}

impl Default for Side {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Side {
    fn of(total: u64) -> Self {
        Self { left: total, ticks: Some(0), priced: false, missing: false }
    }

    /// Bills up to `tokens` of what is left.
    fn take(&mut self, tokens: u64, rate: Option<u128>) {
        let tokens = tokens.min(self.left);
        self.left -= tokens;
        self.missing |= tokens > 0 && rate.is_none();
        self.add(tokens, rate);
    }

    fn rest(mut self, rate: Option<u128>) -> Self {
        self.take(self.left, rate);
        self
    }

    fn add(&mut self, count: u64, rate: Option<u128>) {
        let Some(rate) = rate.filter(|_| count > 0) else { return };
        self.priced = true;
        let cost = rate.checked_mul(u128::from(count));
        self.ticks = self.ticks.zip(cost).and_then(|(sum, cost)| sum.checked_add(cost));
    }
}
