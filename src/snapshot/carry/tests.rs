//! Reloads of small configurations.

use super::*;
use crate::config::{ConfigSource, Format, Known};

fn config(yaml: &str) -> Config {
    let source = ConfigSource::Text { name: "w.yaml".into(), text: yaml.to_owned(), format: Format::Yaml };
    let known = Known { providers: &["openai"], ..Known::default() };
    Config::load(&source, &|_| None, &known).unwrap()
}

/// The snapshot of the first text, and the one that follows it.
fn reloaded(old: &str, new: &str) -> (Snapshot, Snapshot) {
    let (old, new) = (config(old), config(new));
    let first = Snapshot::build(&old, &|_| None, 0).unwrap();
    let before = Before { config: &old, snapshot: &first, generation: 2 };
    let second = Snapshot::build_after(&new, &|_| None, 0, Some(before)).unwrap();
    (first, second)
}

fn provider(keys: &str, more: &str) -> String {
    format!("providers: {{p: {{kind: openai-compatible, base_url: 'http://h/v1', keys: {keys}{more}}}}}\n")
}

#[test]
fn limiters_follow_their_keys_whatever_their_place() {
    let limits = ", limits: {rpm: 5}";
    let (old, new) = reloaded(&provider("[a, b]", limits), &provider("[c, b]", ", limits: {rpm: 7}"));
    let (old, new) = (&old.providers["p"].credentials, &new.providers["p"].credentials);
    assert!(Arc::ptr_eq(&old[1].limiter, &new[1].limiter) && !Arc::ptr_eq(&old[0].limiter, &new[0].limiter));
    old[1].limiter.admit_request(0).unwrap();
    assert_eq!(new[1].limiter.remaining(0).requests.unwrap().limit, 5, "not in force before it is said");
}

#[test]
fn limits_change_and_what_was_used_stays_used() {
    let (old, new) = reloaded(&provider("[a]", ", limits: {rpm: 5}"), &provider("[a]", ", limits: {rpm: 7}"));
    old.providers["p"].credentials[0].limiter.admit_request(0).unwrap();
    new.take_limits(0);
    let level = new.providers["p"].credentials[0].limiter.remaining(0).requests.unwrap();
    assert_eq!((level.limit, level.remaining), (7, 6));
}

#[test]
fn figures_and_turns_go_on() {
    let models = "models: {m: {targets: [{provider: p, model: x}], strategy: round_robin}}\n";
    let (old, new) = {
        let (old, new) =
            (config(&format!("{}{models}", provider("[a]", ""))), config(&format!("{}{models}", provider("[z]", ""))));
        let first = Snapshot::build(&old, &|_| None, 0).unwrap();
        first.providers["p"].live.enter();
        first.providers["p"].turn.store(3, Ordering::Relaxed);
        first.routes["m"].turn.store(5, Ordering::Relaxed);
        let before = Before { config: &old, snapshot: &first, generation: 2 };
        let second = Snapshot::build_after(&new, &|_| None, 0, Some(before)).unwrap();
        (first, second)
    };
    assert_eq!(new.providers["p"].live.in_flight(), 1);
    old.providers["p"].live.leave();
    assert_eq!(new.providers["p"].live.in_flight(), 0, "who came before leaves the same place");
    assert!(!Arc::ptr_eq(&old.providers["p"].credentials[0].health, &new.providers["p"].credentials[0].health));
    assert_eq!(new.providers["p"].turn.load(Ordering::Relaxed), 3);
    assert_eq!(new.routes["m"].turn.load(Ordering::Relaxed), 5);
}

#[test]
fn connections_stay_where_the_entry_does() {
    let sender = |old: &str, new: &str| reloaded(old, new).1.providers["p"].sender.to_string();
    assert_eq!(sender(&provider("[a]", ""), &format!("{}models: {{m: p/x}}", provider("[a]", ""))), "p");
    assert_eq!(sender(&provider("[a]", ""), &provider("[b]", "")), "p#2", "a secret alone is a change");
    assert_eq!(sender(&provider("[a]", ""), &provider("[a]", ", timeouts: {connect: 1s}")), "p#2");
    assert_eq!(sender("", &provider("[a]", "")), "p#2", "one of that name may have gone not long ago");
}

#[test]
fn a_key_that_cools_goes_on_cooling_and_another_address_begins_anew() {
    let (old, new) = reloaded(&provider("[a]", ""), &provider("[a]", ", limits: {rpm: 9}"));
    let health = |snapshot: &Snapshot| Arc::clone(&snapshot.providers["p"].credentials[0].health);
    assert!(Arc::ptr_eq(&health(&old), &health(&new)));
    assert!(Arc::ptr_eq(&old.providers["p"].live, &new.providers["p"].live));
    let (old, new) = reloaded(&provider("[a]", ""), &provider("[a]", "").replace("http://h", "http://other"));
    assert!(!Arc::ptr_eq(&old.providers["p"].live, &new.providers["p"].live), "how the old one did says nothing");
}
