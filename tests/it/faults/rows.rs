//! docs/faults.md names the test of each fault: they are there.

use std::collections::BTreeSet;

use crate::config_keys::sources;

#[test]
fn each_fault_names_tests_that_are_there() {
    let page = include_str!("../../../docs/faults.md");
    let texts: Vec<String> =
        ["src", "tests", "crates", "xtask"].iter().flat_map(|folder| sources(folder)).map(|(_, text)| text).collect();
    let (mut faults, mut absent) = (BTreeSet::new(), Vec::new());
    for line in page.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(faults.insert(cells[1]), "{} stands twice", cells[1]);
        let mut tests = cells[3].split('`').skip(1).step_by(2).peekable();
        assert!(tests.peek().is_some() || cells[3].starts_with('\u{2014}'), "{line}");
        // A test, or a scenario of the proofs.
        absent.extend(tests.filter(|name| match name.strip_prefix("prove ") {
            Some(scenario) => !texts.iter().any(|text| text.contains(&format!("(\"{scenario}\", |lab|"))),
            None => !texts.iter().any(|text| text.contains(&format!("fn {name}("))),
        }));
    }
    assert!(absent.is_empty(), "there are no such tests: {absent:?}");
    let all: Vec<u32> = (1..=59).chain(71..=82).collect();
    let missing: Vec<_> = all.into_iter().filter(|n| !faults.contains(format!("F{n:02}").as_str())).collect();
    assert!(missing.is_empty(), "no rows for {missing:?}");
}
