//! No input makes a decoder panic, run away or end twice.
//!
//! Every way in ([`entries`]) gets soups of JSON made of the dialects' own words, and what the golden
//! files hold: whole, prefixes of it, and damaged by a seeded chance. `fuzz/` feeds the same
//! entries for as long as one likes; what it finds belongs into [`FOUND`].

#![expect(unreachable_pub, reason = "fuzz/ includes the entries, and needs them public")]

#[path = "robustness/damage.rs"]
mod damage;
#[path = "robustness/entries.rs"]
mod entries;
#[path = "robustness/golden.rs"]
mod golden;

use std::sync::LazyLock;

use damage::Chance;
use entries::{ENTRIES, run};
use golden::Seed;
use proptest::prelude::*;

/// How often a seed is damaged for the entries that read it.
const DAMAGES: usize = 12;

/// Inputs that once broke an entry.
const FOUND: &[(&str, &[u8])] = &[];

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(golden::seeds);

/// Feeds an entry, and says what with if it panics.
fn feed(name: &str, data: &[u8]) {
    let fed = std::panic::catch_unwind(|| run(name, data));
    assert!(fed.is_ok(), "{name} does not take {:?}", String::from_utf8_lossy(data));
}

#[test]
fn what_once_broke_an_entry_does_not() {
    FOUND.iter().for_each(|(name, data)| feed(name, data));
}

#[test]
fn every_entry_takes_nothing_and_every_golden_input() {
    for entry in ENTRIES {
        feed(entry.name, b"");
        SEEDS.iter().for_each(|seed| feed(entry.name, &seed.bytes));
    }
}

#[test]
fn every_prefix_of_every_body() {
    for seed in SEEDS.iter().filter(|seed| !seed.is_stream()) {
        (0..seed.bytes.len()).for_each(|end| feed(seed.entry, &seed.bytes[..end]));
    }
}

/// A stream's prefix costs as much as the stream, so that of the later ones, which differ less, only
/// those around a frame's end and some between are fed.
#[test]
fn prefixes_of_every_stream() {
    for seed in SEEDS.iter().filter(|seed| seed.is_stream()) {
        let breaks = |end: usize| seed.bytes[end.saturating_sub(2)..].iter().take(4).any(|byte| *byte == b'\n');
        let fed = |end: &usize| *end < 600 || end.is_multiple_of(17) || breaks(*end);
        (0..seed.bytes.len()).filter(fed).for_each(|end| feed(seed.entry, &seed.bytes[..end]));
    }
}

#[test]
fn damaged_golden_inputs() {
    for (number, seed) in SEEDS.iter().enumerate() {
        let mut chance = Chance::new(number as u64);
        for _ in 0..DAMAGES {
            let other = &SEEDS[chance.below(SEEDS.len())];
            let damaged = damage::damage(seed, other, &mut chance);
            feed(seed.entry, &damaged);
            feed(ENTRIES[chance.below(ENTRIES.len())].name, &damaged);
        }
    }
}

/// JSON made of the words of the golden files, and some that no file should have.
fn soup() -> impl Strategy<Value = String> {
    let words = &*golden::WORDS;
    let word = || proptest::sample::select(words.as_slice());
    let leaf = prop_oneof![
        4 => word().prop_map(|word| weir_wire::json::quote(&word)),
        2 => proptest::sample::select(damage::ODD).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let member =
            (word(), inner.clone()).prop_map(|(key, value)| format!("{}:{value}", weir_wire::json::quote(&key)));
        prop_oneof![
            3 => proptest::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// A soup as a body, as frames and as lines.
fn dish() -> impl Strategy<Value = Vec<u8>> {
    let soups = || proptest::collection::vec(soup(), 1..5);
    prop_oneof![
        soup().prop_map(String::into_bytes),
        soups().prop_map(|soups| soups.iter().map(|soup| format!("data: {soup}\n\n")).collect::<String>().into()),
        soups().prop_map(|soups| soups.join("\n").into()),
        proptest::collection::vec(any::<u8>(), 0..300),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_entry_takes_any_soup(dish in dish()) {
        ENTRIES.iter().for_each(|entry| feed(entry.name, &dish));
    }
}

#[test]
fn every_entry_is_a_fuzz_target() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("fuzz/ has a manifest");
    for entry in ENTRIES {
        let target = std::fs::read_to_string(root.join(format!("fuzz_targets/{}.rs", entry.name))).unwrap_or_default();
        assert!(
            target.contains(&format!("\"{}\"", entry.name)),
            "fuzz/fuzz_targets/{}.rs does not feed it",
            entry.name
        );
        assert!(manifest.contains(&format!("name = \"{}\"", entry.name)), "fuzz/Cargo.toml has no {}", entry.name);
    }
    let targets = std::fs::read_dir(root.join("fuzz_targets")).expect("fuzz/ has targets").count();
    assert_eq!(targets, ENTRIES.len());
}
