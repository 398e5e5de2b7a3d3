//! Prices of one's own: what the configuration, the admin API and the table `prices` say alike.
//!
//! ```json
//! {"input": "2.50", "output": "10",
//!  "above": {"200000": {"input": "5"}},
//!  "tiers": {"batch": {"input": "1.25", "above": {"200000": {"input": "2"}}}},
//!  "off_peak": {"hours_utc": ["16:30-00:30"], "weekdays": [1, 2, 3, 4, 5], "prices": {"input": "1"}}}
//! ```
//!
//! US dollars as decimal text, per million tokens or characters; `per_...` for one of what it names.
//! What a step, a tier or the cheap hours leave out follows the standard price, in the ratio of the
//! input prices.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::rates::Rates;
use super::window::Windows;
use super::{Entry, PriceFault, Prices, Tier};
use crate::catalog::Window;

/// Most long-prompt steps of a tier, and most windows of cheap hours.
const MAX_PARTS: usize = 16;
/// Three ways to say one price.
const PER_TIME: [&str; 3] = ["per_second", "per_minute", "per_hour"];
/// The tiers that can be given a price of their own.
const TIERS: [Tier; 5] = [Tier::Batch, Tier::Flex, Tier::Priority, Tier::Fast, Tier::Ultrafast];

impl Prices {
    /// Reads prices of one's own, to be known by `version`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn from_own(own: &Value, version: &str) -> Result<Self, Vec<PriceFault>> {
        let mut reader = Reader::default();
        let prices = reader.whole(own, version);
        prices.filter(|_| reader.faults.is_empty()).ok_or(reader.faults)
    }

    /// What these prices say, tier by tier, as the catalogue's are shown: `own` is what
    /// [`Prices::from_own`] accepted.
    #[must_use]
    pub fn described(own: &Value) -> Vec<Value> {
        let mut out = Vec::new();
        describe("standard", own, &mut out);
        for (tier, list) in own["tiers"].as_object().into_iter().flatten() {
            describe(tier, list, &mut out);
        }
        if own["off_peak"].is_object() {
            out.push(entry("off_peak", 0, own["off_peak"]["prices"].as_object().cloned().unwrap_or_default()));
        }
        out
    }
}

fn describe(tier: &str, list: &Value, out: &mut Vec<Value>) {
    let plain = |(name, price): (&String, &Value)| price.is_string().then(|| (name.clone(), price.clone()));
    out.push(entry(tier, 0, list.as_object().into_iter().flatten().filter_map(plain).collect()));
    for (above, prices) in list["above"].as_object().into_iter().flatten() {
        out.push(entry(tier, above.parse().unwrap_or(0), prices.as_object().cloned().unwrap_or_default()));
    }
}

/// Per million, or per one of what it names.
fn entry(tier: &str, above: u64, prices: Map<String, Value>) -> Value {
    let (unit, mtok): (Map<_, _>, Map<_, _>) = prices.into_iter().partition(|(name, _)| name.starts_with("per_"));
    json!({"tier": tier, "above_input_tokens": above, "per_mtok_usd": mtok, "per_unit_usd": unit})
}

/// Reads, and gathers what is wrong.
#[derive(Default)]
struct Reader {
    faults: Vec<PriceFault>,
}

impl Reader {
    fn whole(&mut self, own: &Value, version: &str) -> Option<Prices> {
        let map = self.map("", own)?;
        let mut entries = self.list("", Tier::Standard, map, &["above", "tiers", "off_peak"]);
        if entries.first().is_none_or(|entry| entry.rates.is_empty()) {
            self.faults.push(PriceFault::Empty);
        }
        for (name, list) in
            map.get("tiers").map(|tiers| self.map("tiers", tiers)).unwrap_or_default().into_iter().flatten()
        {
            let path = format!("tiers.{name}");
            let Some(tier) = TIERS.into_iter().find(|tier| tier.as_str() == name) else {
                let known = TIERS.map(Tier::as_str).join(", ");
                self.fault(&path, format!("unknown tier; the tiers with prices of their own are {known}"));
                continue;
            };
            if let Some(list) = self.map(&path, list) {
                entries.extend(self.list(&path, tier, list, &["above"]));
            }
        }
        let mut prices = Prices {
            version: version.to_owned(),
            entries,
            off_peak: None,
            multipliers: BTreeMap::new(),
            fast_is_speed: false,
        };
        prices.complete(false);
        prices.off_peak = map.get("off_peak").and_then(|cheap| self.off_peak(cheap, &prices));
        Some(prices)
    }

    /// The prices of a tier, its base first, and its steps.
    fn list(&mut self, path: &str, tier: Tier, map: &Map<String, Value>, others: &[&str]) -> Vec<Entry> {
        let entry = |above, rates| Entry { tier, above, rates, billed: tier };
        let mut entries = vec![entry(0, self.rates(path, map, others))];
        let at = join(path, "above");
        let steps = map.get("above").and_then(|steps| self.map(&at, steps));
        if steps.is_some_and(|steps| steps.len() > MAX_PARTS) {
            self.fault(&at, format!("more than {MAX_PARTS} steps"));
            return entries;
        }
        for (above, prices) in steps.into_iter().flatten() {
            let path = join(&at, above);
            let tokens = above.parse::<u64>().ok().filter(|n| *n > 0 && above.bytes().all(|b| b.is_ascii_digit()));
            if tokens.is_none() {
                self.fault(&path, "expected a number of prompt tokens above zero, such as \"200000\"".to_owned());
            }
            if let (Some(tokens), Some(prices)) = (tokens, self.map(&path, prices)) {
                entries.push(entry(tokens, self.rates(&path, prices, &[])));
            }
        }
        entries
    }

    fn rates(&mut self, path: &str, map: &Map<String, Value>, others: &[&str]) -> Rates {
        let mut rates = Rates::default();
        let mut time: Option<&str> = None;
        for (name, price) in map.iter().filter(|(name, _)| !others.contains(&name.as_str())) {
            let path = join(path, name);
            if PER_TIME.contains(&name.as_str()) {
                match time {
                    Some(other) => self.fault(&path, format!("prices the same as {other:?}; keep one of them")),
                    None => time = Some(name),
                }
            }
            let text = price.as_str().unwrap_or_default();
            match rates.set_config(name, text) {
                None => self.faults.push(PriceFault::UnknownName { name: path }),
                Some(_) if !price.is_string() => {
                    self.fault(&path, "expected a decimal number of US dollars in quotes, such as \"2.50\"".to_owned());
                }
                Some(Err(problem)) => {
                    let text = text.chars().take(64).collect();
                    self.faults.push(PriceFault::BadNumber { name: path, text, problem });
                }
                Some(Ok(())) => {}
            }
        }
        rates
    }

    fn off_peak(&mut self, cheap: &Value, prices: &Prices) -> Option<(Windows, Rates)> {
        let map = self.map("off_peak", cheap)?;
        for name in map.keys().filter(|name| !["hours_utc", "weekdays", "prices"].contains(&name.as_str())) {
            self.fault(&join("off_peak", name), "unknown key; there are hours_utc, weekdays and prices".to_owned());
        }
        let windows = self.windows(map);
        let list = map.get("prices").and_then(|list| self.map("off_peak.prices", list));
        let mut rates = self.rates("off_peak.prices", list.unwrap_or(&Map::new()), &[]);
        if rates.is_empty() {
            self.fault("off_peak.prices", "no price at all: give at least \"input\"".to_owned());
        }
        rates.complete(&prices.entry(Tier::Standard, 0)?.rates, None);
        Some((windows?, rates))
    }

    fn windows(&mut self, map: &Map<String, Value>) -> Option<Windows> {
        let hours: Option<Vec<String>> = map
            .get("hours_utc")
            .and_then(Value::as_array)
            .and_then(|hours| hours.iter().map(|text| text.as_str().map(ToOwned::to_owned)).collect());
        let weekdays: Option<Vec<u8>> = match map.get("weekdays") {
            None => Some((1..=7).collect()),
            Some(days) => days
                .as_array()
                .and_then(|days| days.iter().map(|day| day.as_u64().and_then(|day| u8::try_from(day).ok())).collect()),
        };
        let bounded = |n: usize| (1..=MAX_PARTS).contains(&n);
        let read = hours.zip(weekdays).filter(|(hours, days)| bounded(hours.len()) && bounded(days.len()));
        let windows = read.and_then(|(hours_utc, weekdays)| Windows::of(&[Window { hours_utc, weekdays }]));
        if windows.is_none() {
            let problem = "expected hours_utc such as [\"16:30-00:30\"], and weekdays from 1 (Monday) to 7";
            self.fault("off_peak", problem.to_owned());
        }
        windows
    }

    fn map<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.fault(if path.is_empty() { "prices" } else { path }, "expected an object".to_owned());
        }
        map
    }

    fn fault(&mut self, path: &str, problem: String) {
        self.faults.push(PriceFault::Misplaced { path: path.to_owned(), problem });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use weir_wire::usage::Usage;

    use super::*;
    use crate::clock::UnixMs;

    /// Monday 2026-11-16 00:00 UTC.
    const MONDAY: UnixMs = 1_794_787_200_000;

    fn own(value: Value) -> Prices {
        Prices::from_own(&value, "v").unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn cost(prices: &Prices, input: u64, tier: Option<&str>, minute: i64) -> i64 {
        prices.cost(&Usage { input, ..Usage::default() }, tier, MONDAY + minute * 60_000).nano.0
    }

    #[test]
    fn steps_tiers_and_cheap_hours_are_billed() {
        let prices = own(json!({
            "input": "2", "output": "8", "cache_read": "1",
            "above": {"200000": {"input": "4"}},
            "tiers": {"batch": {"input": "1"}, "priority": {"input": "6", "above": {"200000": {"input": "20"}}}},
            "off_peak": {"hours_utc": ["16:00-18:00"], "weekdays": [1], "prices": {"input": "0.5"}},
        }));
        assert_eq!(cost(&prices, 1_000, None, 0), 2_000_000);
        assert_eq!(cost(&prices, 200_001, None, 0), 800_004_000);
        assert_eq!(cost(&prices, 1_000, Some("batch"), 0), 1_000_000);
        assert_eq!(cost(&prices, 200_001, Some("batch"), 0), 400_002_000, "a tier steps up in proportion");
        assert_eq!(cost(&prices, 1_000, Some("fast"), 0), 6_000_000, "fast and priority stand for each other");
        assert_eq!(cost(&prices, 200_001, Some("priority"), 0), 4_000_020_000);
        assert_eq!(cost(&prices, 1_000, Some("flex"), 0), 2_000_000);
        assert_eq!(cost(&prices, 1_000, None, 17 * 60), 500_000);
        assert_eq!(cost(&prices, 1_000, None, (24 + 17) * 60), 2_000_000, "not on Tuesday");
        // What is left out follows the input price.
        let cached = Usage { input: 200_001, cached: 200_001, ..Usage::default() };
        assert_eq!(prices.cost(&cached, None, MONDAY).nano.0, 400_002_000);
    }

    #[test]
    fn every_fault_has_its_place() {
        let check = |value: Value, expected: &[&str]| {
            let faults: Vec<_> = Prices::from_own(&value, "v").unwrap_err().iter().map(ToString::to_string).collect();
            assert_eq!(faults.len(), expected.len(), "{faults:?}");
            for (fault, expected) in faults.iter().zip(expected) {
                assert!(fault.starts_with(expected), "{fault} is not {expected}");
            }
        };
        check(json!([]), &["prices: expected an object"]);
        check(json!({}), &["no price at all"]);
        check(json!({"input": 2}), &["input: expected a decimal", "no price at all"]);
        check(json!({"input": "1", "above": {"x": {}}}), &["above.x: expected a number of prompt tokens"]);
        check(json!({"input": "1", "above": {"+5": {}}}), &["above.+5: expected a number"]);
        check(json!({"input": "1", "above": {"5": {"inptu": "1"}}}), &["unknown price \"above.5.inptu\""]);
        check(json!({"input": "1", "tiers": {"cheap": {}}}), &["tiers.cheap: unknown tier"]);
        check(json!({"input": "1", "tiers": {"flex": {"output": "-1"}}}), &["tiers.flex.output: a price cannot"]);
        check(json!({"per_hour": "1", "per_second": "1"}), &["per_second: prices the same as \"per_hour\""]);
        check(
            json!({"input": "1", "off_peak": {"hours_utc": ["25:00-01:00"], "day": 1}}),
            &["off_peak.day: unknown key", "off_peak: expected hours_utc", "off_peak.prices: no price"],
        );
        let many: Map<String, Value> = (1..20).map(|n| (n.to_string(), json!({"input": "1"}))).collect();
        check(json!({"input": "1", "above": many}), &["above: more than 16 steps"]);
    }
}
