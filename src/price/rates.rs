//! The prices of one tier: ticks per token, millisecond, character or piece, by component.

use std::collections::BTreeMap;

use super::decimal::{self, PriceSyntax};

/// What has a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    CacheWrite30m,
    CacheWrite12h,
    Reasoning,
    AudioInput,
    AudioOutput,
    ImageInput,
    ImageOutput,
    Character,
    AudioMs,
    Image,
    WebSearch,
    SearchUnit,
    Request,
}

const COUNT: usize = Component::Request as usize + 1;
/// Components up to here are priced per token and follow a tier's input ratio.
const LAST_TOKEN: usize = Component::ImageOutput as usize;

const MILLION: u128 = 1_000_000;
const SECOND: u128 = 1_000;

/// Catalogue names priced per million. The first that is there wins for its component.
pub(super) const PER_MILLION: [(&str, Component); 16] = [
    ("input", Component::Input),
    ("output", Component::Output),
    ("cache_read", Component::CacheRead),
    ("cache_write_default", Component::CacheWrite),
    ("cache_write", Component::CacheWrite),
    ("cache_write_5m", Component::CacheWrite5m),
    ("cache_write_1h", Component::CacheWrite1h),
    ("cache_write_30m", Component::CacheWrite30m),
    ("cache_write_12h", Component::CacheWrite12h),
    ("reasoning", Component::Reasoning),
    ("audio_input", Component::AudioInput),
    ("audio_output", Component::AudioOutput),
    ("image_input", Component::ImageInput),
    ("image_output", Component::ImageOutput),
    ("char_input", Component::Character),
    ("char_output", Component::Character),
];

/// Catalogue names priced per unit, with the billed units in one of theirs. An hour or a minute is
/// the published figure; the second was rounded from it upstream, so it comes last.
pub(super) const PER_UNIT: [(&str, Component, u128); 8] = [
    ("hour_input", Component::AudioMs, 3_600 * SECOND),
    ("minute_input", Component::AudioMs, 60 * SECOND),
    ("second_input", Component::AudioMs, SECOND),
    ("audio_second_input", Component::AudioMs, SECOND),
    ("image_output", Component::Image, 1),
    ("web_search_query_medium", Component::WebSearch, 1),
    ("query", Component::SearchUnit, 1),
    ("request", Component::Request, 1),
];

/// Names of a config's prices per unit, beside those of [`PER_MILLION`].
pub(super) const CONFIG_UNITS: [(&str, Component, u128); 7] = [
    ("per_request", Component::Request, 1),
    ("per_image", Component::Image, 1),
    ("per_second", Component::AudioMs, SECOND),
    ("per_minute", Component::AudioMs, 60 * SECOND),
    ("per_hour", Component::AudioMs, 3_600 * SECOND),
    ("per_search", Component::SearchUnit, 1),
    ("per_web_search", Component::WebSearch, 1),
];

/// Ticks per billed unit, where known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates([Option<u128>; COUNT]);

impl Rates {
    pub(super) fn get(&self, component: Component) -> Option<u128> {
        self.0[component as usize]
    }

    /// The price of the first component that has one.
    pub(super) fn first(&self, components: &[Component]) -> Option<u128> {
        components.iter().find_map(|component| self.get(*component))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// From an entry of the catalogue. Components that no usage report carries are left out.
    pub(super) fn from_catalog(
        mtok: &BTreeMap<String, String>,
        unit: &BTreeMap<String, String>,
        kind: Kind,
    ) -> Result<Self, PriceSyntax> {
        let mut rates = Self::default();
        for (name, component) in PER_MILLION {
            rates.set_first(component, mtok.get(name), MILLION)?;
        }
        for (name, component, per) in PER_UNIT {
            rates.set_first(component, unit.get(name), per)?;
        }
        match kind {
            // Some sources put the price of a second of speech on the side of the text it becomes.
            Kind::Transcription => rates.add(Component::AudioMs, unit.get("second_output"), SECOND)?,
            // Some sources call an image that is made an input.
            Kind::Image => rates.set_first(Component::Image, unit.get("image_input"), 1)?,
            Kind::Other => {}
        }
        Ok(rates)
    }

    fn set_first(&mut self, component: Component, text: Option<&String>, per: u128) -> Result<(), PriceSyntax> {
        if let (None, Some(text)) = (self.get(component), text) {
            self.0[component as usize] = Some(decimal::ticks(text, per)?);
        }
        Ok(())
    }

    fn add(&mut self, component: Component, text: Option<&String>, per: u128) -> Result<(), PriceSyntax> {
        if let Some(text) = text {
            let more = decimal::ticks(text, per)?;
            self.0[component as usize] = Some(self.get(component).unwrap_or(0).saturating_add(more));
        }
        Ok(())
    }

    /// Sets one price of a config. `None` if there is no such name, `Some(Err)` on a bad number.
    pub(super) fn set_config(&mut self, name: &str, text: &str) -> Option<Result<(), PriceSyntax>> {
        let token = PER_MILLION.iter().find(|(known, _)| *known == name).map(|(_, c)| (*c, MILLION));
        let unit = CONFIG_UNITS.iter().find(|(known, ..)| *known == name).map(|(_, c, per)| (*c, *per));
        let (component, per) = token.or(unit)?;
        Some(decimal::ticks(text, per).map(|ticks| self.0[component as usize] = Some(ticks)))
    }

    /// Takes what is missing from `base`: prices per token in the ratio of the two input prices
    /// (or `ratio`), others as they are.
    pub(super) fn complete(&mut self, base: &Self, ratio: Option<(u128, u128)>) {
        let own = self.get(Component::Input).zip(base.get(Component::Input)).filter(|(_, of)| *of > 0);
        let (numerator, denominator) = ratio.or(own).unwrap_or((1, 1));
        for (at, slot) in self.0.iter_mut().enumerate() {
            let theirs = base.0[at].map(|ticks| match at <= LAST_TOKEN {
                true => decimal::scale(ticks, numerator, denominator),
                false => ticks,
            });
            *slot = slot.or(theirs);
        }
    }

    /// Raises each price to the other's where that is higher.
    pub(super) fn raise(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own = (*own).max(other));
    }

    /// All prices per token times a factor.
    pub(super) fn times(&self, numerator: u128, denominator: u128) -> Self {
        let mut out = Self::default();
        out.complete(self, Some((numerator, denominator)));
        out
    }
}

/// Which of a row's ambiguous units mean what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transcription,
    Image,
    Other,
}
