//! `prices`: what the user's own price list says, over the catalogue's.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::read::{Field, Section};
use crate::money::NanoUsd;

/// Prices by `provider/model`, then by component, in US dollars per million tokens or characters;
/// those whose names start with `per_` are for one of what they name.
pub type Prices = IndexMap<String, BTreeMap<String, NanoUsd>>;

/// The components that a price may have, as the catalogue names them, then those per unit. All of
/// them are billed (`price/rates.rs`); the catalogue knows more, which no usage tells apart.
pub const PRICE_COMPONENTS: &[&str] = &[
    "input",
    "output",
    "cache_read",
    "cache_write_default",
    "cache_write_5m",
    "cache_write_30m",
    "cache_write_1h",
    "cache_write_12h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "char_input",
    "per_request",
    "per_image",
    "per_second",
    "per_minute",
    "per_hour",
    "per_search",
    "per_web_search",
];

/// Three ways to say one price.
const PER_TIME: [&str; 3] = ["per_second", "per_minute", "per_hour"];

pub(super) fn read(section: &mut Section<'_>) -> Prices {
    section.take("prices", |field| field.map(model)).unwrap_or_default()
}

fn model(name: &str, mut field: Field<'_>) -> Option<BTreeMap<String, NanoUsd>> {
    match name.split_once('/') {
        Some((provider, model)) if !model.is_empty() => field.cx.check_provider(field.node.at, &field.path, provider),
        _ => field.fault("a price is for `provider/model`"),
    }
    components(field)
}

fn components(field: Field<'_>) -> Option<BTreeMap<String, NanoUsd>> {
    let mut time: Option<String> = None;
    let prices = field.map(|name, mut field| {
        let known = field.cx.known.price_components;
        if !known.contains(&name) {
            let suggestion = field.cx.nearest(name, known.iter().copied());
            field.cx.fault(field.node.at, &field.path, "unknown price component", suggestion);
            return None;
        }
        if PER_TIME.contains(&name) {
            match &time {
                Some(other) => field.fault(format!("prices the same as `{other}`; keep one of them")),
                None => time = Some(name.to_owned()),
            }
        }
        price(field)
    })?;
    Some(prices.into_iter().collect())
}

/// Only text is exact: a number in YAML or TOML is a binary fraction by the time it is read.
fn price(field: Field<'_>) -> Option<NanoUsd> {
    field.parse(|text| match text.parse::<NanoUsd>() {
        Ok(price) if price >= NanoUsd(0) => Ok(price),
        Ok(_) => Err("a price must not be negative".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}
