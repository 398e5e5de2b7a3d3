//! Every fault, with its place and its suggestion.

use proptest::prelude::*;

use super::*;

fn check(yaml: &str, expected: &[&str]) {
    let faults = load_as(yaml, Format::Yaml).expect_err(yaml);
    let found = lines(&faults).replace("weir.yaml:", "");
    assert_eq!(found, expected.join("\n"), "{yaml}");
}

#[test]
fn all_faults_are_told_in_order() {
    check(
        "server:\n  listn: 1\n  body_limit: 3parsec\nmodles: {}\nlogging: {level: loud, format: jsn}\n",
        &[
            "2:3: server.listn: unknown key, did you mean `listen`?",
            "3:15: server.body_limit: expected a size such as `32MiB`, `10MB` or a number of bytes",
            "4:1: modles: unknown key, did you mean `models`?",
            "5:18: logging.level: expected one of off, error, warn, info, debug, trace",
            "5:32: logging.format: expected one of auto, json, pretty, did you mean `json`?",
        ],
    );
}
