//! `prices`: what the user's own price list says, over the catalogue's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::read::{Field, Section};
use super::tree::Value;
use crate::money::NanoUsd;
use crate::record::moment;

/// Prices by `provider/model`.
pub type Prices = IndexMap<String, PriceHistory>;

/// The price lists of one model, one after the other in time; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceHistory(pub Vec<PriceSheet>);

/// Prices by component, in US dollars per million tokens or characters; those whose names start with
/// `per_` are for one of what they name.
pub type Components = BTreeMap<String, NanoUsd>;

/// The price list of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PriceSheet {
    /// The standard prices.
    #[serde(flatten)]
    pub standard: TierPrices,
    /// The prices of other service tiers, by the tier's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, TierPrices>,
    /// Cheaper hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_peak: Option<OffPeak>,
    /// From when on it holds; always, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Timestamp>,
}

/// The prices of one service tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TierPrices {
    /// By component.
    #[serde(flatten)]
    pub components: Components,
    /// What holds in their place, for the whole request, above so many prompt tokens.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub above: BTreeMap<u64, Components>,
}

/// Hours in which other prices hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OffPeak {
    /// From when to when, UTC: `16:30-00:30`.
    pub hours_utc: Vec<String>,
    /// On which days they begin: 1 is Monday, 7 Sunday.
    pub weekdays: Vec<u8>,
    /// By component.
    pub prices: Components,
}

/// The tiers that can be given a price of their own.
pub const PRICE_TIERS: &[&str] = &["batch", "flex", "priority", "fast", "ultrafast"];

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

/// Most long-prompt steps of a tier, and most windows of cheap hours.
const MAX_PARTS: usize = 16;

/// One list is written as itself, as it is read.
impl Serialize for PriceHistory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl JsonSchema for PriceHistory {
    fn schema_name() -> Cow<'static, str> {
        "PriceHistory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let sheet = sheet_schema();
        // A list's items are not described again.
        json_schema!({ "anyOf": [sheet, { "type": "array", "minItems": 1, "items": { "type": "object" } }] })
    }
}

/// What an editor is told of a price list.
fn sheet_schema() -> Schema {
    let mut properties: serde_json::Map<String, serde_json::Value> =
        PRICE_COMPONENTS.iter().map(|name| ((*name).to_owned(), component(name))).collect();
    let tier = json_schema!({
        "type": "object",
        "additionalProperties": { "anyOf": [price_schema(), { "type": "object", "additionalProperties": list_schema("") }] },
    });
    let further = json_schema!({
        "above": {
            "description": "What holds in place of these for the whole request when its prompt has more than so many tokens. What is left out follows `input`.",
            "type": "object",
            "additionalProperties": list_schema(""),
        },
        "tiers": {
            "description": "The prices of service tiers, by the tier that the answer names: `batch`, `flex`, `priority`, `fast`, `ultrafast`; each may have an `above`. What is left out follows `input`.",
            "type": "object",
            "propertyNames": { "enum": PRICE_TIERS },
            "additionalProperties": tier,
        },
        "off_peak": off_peak_schema(),
        "effective_from": { "description": "From when on the list holds: a day or a time. Several lists, each with another day, are a list.", "type": "string" },
    });
    properties.extend(further.to_value().as_object().cloned().unwrap_or_default());
    json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn off_peak_schema() -> Schema {
    let hours = "Hours in which other prices hold, UTC: `16:30-00:30`.";
    let days = "On which days they begin: 1 is Monday, 7 Sunday.";
    let day = json_schema!({ "type": "integer", "minimum": 1, "maximum": 7 });
    json_schema!({
        "type": "object",
        "required": ["hours_utc", "prices"],
        "additionalProperties": false,
        "properties": {
            "hours_utc": { "description": hours, "type": "array", "items": { "type": "string" } },
            "weekdays": { "description": days, "type": "array", "items": day, "default": [1, 2, 3, 4, 5, 6, 7] },
            "prices": list_schema("The prices of these hours."),
        },
    })
}

fn list_schema(what: &str) -> Schema {
    let mut schema = json_schema!({ "type": "object", "propertyNames": { "enum": PRICE_COMPONENTS }, "additionalProperties": price_schema() });
    if !what.is_empty() {
        schema.insert("description".to_owned(), what.into());
    }
    schema
}

fn price_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": r"^\d+(\.\d{1,9})?$|\$\{" })
}

fn component(name: &str) -> serde_json::Value {
    let what = match name {
        "input" => "Prompt tokens that none of the others prices.",
        "output" => "Generated tokens that none of the others prices.",
        "cache_read" => "Prompt tokens read from the provider's cache.",
        "cache_write_default" => "Prompt tokens written to the cache, where nothing is said of how long they are kept.",
        "cache_write_5m" => "The same, kept five minutes.",
        "cache_write_30m" => "The same, kept thirty minutes.",
        "cache_write_1h" => "The same, kept an hour.",
        "cache_write_12h" => "The same, kept twelve hours.",
        "reasoning" => "Reasoning tokens, where they differ from output.",
        "audio_input" => "Audio tokens of the prompt.",
        "audio_output" => "Audio tokens that are generated.",
        "image_input" => "Image tokens of the prompt.",
        "image_output" => "Image tokens that are generated.",
        "char_input" => "A million characters (speech), where tokens have no price.",
        "per_request" => "One request.",
        "per_image" => "One image that is made, where tokens have no price.",
        "per_second" => "A second of sound, where tokens have no price.",
        "per_minute" => "A minute of it.",
        "per_hour" => "An hour of it.",
        "per_search" => "One search unit (rerank).",
        "per_web_search" => "One search of the web that the provider runs.",
        _ => "A price.",
    };
    let mut schema = price_schema();
    schema.insert("description".to_owned(), what.into());
    schema.to_value()
}

pub(super) fn read(section: &mut Section<'_>) -> Prices {
    section.take("prices", |field| field.map(model)).unwrap_or_default()
}

fn model(name: &str, mut field: Field<'_>) -> Option<PriceHistory> {
    match name.split_once('/') {
        Some((provider, model)) if !model.is_empty() => field.cx.check_provider(field.node.at, &field.path, provider),
        _ => field.fault("a price is for `provider/model`"),
    }
    if !matches!(field.node.value, Value::List(_)) {
        return sheet(field).map(|sheet| PriceHistory(vec![sheet]));
    }
    history(field)
}

/// Lists that follow one another: no two from one moment on.
fn history(mut field: Field<'_>) -> Option<PriceHistory> {
    if field.node.value == Value::List(Vec::new()) {
        field.fault("a model needs at least one price list");
        return None;
    }
    let (cx, at, path) = (field.cx, field.node.at, field.path.clone());
    let sheets = field.list(sheet)?;
    let mut starts: Vec<_> = sheets.iter().map(|sheet| sheet.effective_from).collect();
    starts.sort_unstable();
    if starts.windows(2).any(|pair| pair[0] == pair[1]) {
        cx.fault(at, &path, "two price lists hold from the same moment on; give each another `effective_from`", None);
    }
    Some(PriceHistory(sheets))
}

fn sheet(mut field: Field<'_>) -> Option<PriceSheet> {
    if !matches!(field.node.value, Value::Map(_)) {
        let problem = format!("expected a map or a list of maps, found {}", field.node.value.kind());
        field.fault(problem);
        return None;
    }
    let mut sheet = PriceSheet::default();
    let mut list = List::default();
    field.map(|name, field| {
        match name {
            "above" => sheet.standard.above = steps(field)?,
            "tiers" => sheet.tiers = field.map(tier)?.into_iter().collect(),
            "off_peak" => sheet.off_peak = field.section(off_peak)?,
            "effective_from" => sheet.effective_from = Some(start(field)?),
            _ => list.component(name, field)?,
        }
        Some(())
    })?;
    sheet.standard.components = list.prices;
    Some(sheet)
}

fn tier(name: &str, mut field: Field<'_>) -> Option<TierPrices> {
    if !PRICE_TIERS.contains(&name) {
        let suggestion = field.cx.nearest(name, PRICE_TIERS.iter().copied());
        field.cx.fault(field.node.at, &field.path, "unknown tier", suggestion);
        return None;
    }
    if !matches!(field.node.value, Value::Map(_)) {
        field.fault("expected a map of prices");
        return None;
    }
    let mut list = List::default();
    let mut above = BTreeMap::new();
    field.map(|name, field| {
        match name {
            "above" => above = steps(field)?,
            _ => list.component(name, field)?,
        }
        Some(())
    })?;
    Some(TierPrices { components: list.prices, above })
}

fn steps(field: Field<'_>) -> Option<BTreeMap<u64, Components>> {
    let (cx, at, path) = (field.cx, field.node.at, field.path.clone());
    let steps = field.map(|name, mut field| match name.parse::<u64>() {
        Ok(tokens) if tokens > 0 && name.bytes().all(|b| b.is_ascii_digit()) => Some((tokens, components(field)?)),
        _ => {
            field.fault("expected a number of prompt tokens above zero, such as 200000");
            None
        }
    })?;
    if steps.len() > MAX_PARTS {
        cx.fault(at, &path, format!("more than {MAX_PARTS} steps"), None);
    }
    Some(steps.into_values().collect())
}

fn components(field: Field<'_>) -> Option<Components> {
    let mut list = List::default();
    field.map(|name, field| list.component(name, field))?;
    Some(list.prices)
}

fn off_peak(section: &mut Section<'_>) -> Option<OffPeak> {
    let hours_utc = section.require("hours_utc", |field| field.list(|field| field.parse(hours)));
    let weekdays = section.take("weekdays", |field| field.list(|field| field.integer(1..=7)));
    let prices = section.require("prices", |mut field| {
        if field.node.value == Value::Map(Vec::new()) {
            field.fault("no price at all: give at least `input`");
        }
        components(field)
    });
    let weekdays = weekdays
        .map_or_else(|| (1..=7).collect(), |days| days.into_iter().filter_map(|day| u8::try_from(day).ok()).collect());
    Some(OffPeak { hours_utc: hours_utc?, weekdays, prices: prices? })
}

fn hours(text: &str) -> Result<String, &'static str> {
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let in_range = |text: &str, end: u32| text.len() == 2 && text.parse::<u32>().is_ok_and(|n| n < end);
        (in_range(hours, 24) && in_range(minutes, 60)).then_some(())
    };
    let fine = text.split_once('-').is_some_and(|(start, end)| minute(start).is_some() && minute(end).is_some());
    if fine { Ok(text.to_owned()) } else { Err("expected hours such as `16:30-00:30`") }
}

fn start(field: Field<'_>) -> Option<Timestamp> {
    let read = |text: &str| moment(text).and_then(|at| Timestamp::from_millisecond(at).ok());
    field.parse(|text| read(text).ok_or("expected a day or a time such as `2026-11-01` or `2026-11-01T00:00:00Z`"))
}

/// A list of components, being read.
#[derive(Default)]
struct List {
    prices: Components,
    time: Option<String>,
}

impl List {
    fn component(&mut self, name: &str, mut field: Field<'_>) -> Option<()> {
        let known = field.cx.known.price_components;
        if !known.contains(&name) {
            let suggestion = field.cx.nearest(name, known.iter().copied());
            field.cx.fault(field.node.at, &field.path, "unknown price component", suggestion);
            return None;
        }
        if PER_TIME.contains(&name) {
            match &self.time {
                Some(other) => field.fault(format!("prices the same as `{other}`; keep one of them")),
                None => self.time = Some(name.to_owned()),
            }
        }
        self.prices.insert(name.to_owned(), price(field)?);
        Some(())
    }
}

/// Only text is exact: a number in YAML or TOML is a binary fraction by the time it is read.
fn price(field: Field<'_>) -> Option<NanoUsd> {
    field.parse(|text| match text.parse::<NanoUsd>() {
        Ok(price) if price >= NanoUsd(0) => Ok(price),
        Ok(_) => Err("a price must not be negative".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}
