//! ARCHITECTURE.md's map and promises, read off the sources.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config_keys::sources;

/// Imported by all: `budget`, `error`, `events`, `faults`, `limits`, `log`, `record`, `money`, `clock` and the wire crate.
const BY_ALL: [&str; 9] = ["budget", "clock", "error", "events", "faults", "limits", "log", "money", "record"];

/// The map of ARCHITECTURE.md: what a module may import of the others.
const MAP: &[(&str, &[&str])] = &[
    ("admin", &["alerts", "flight", "gate", "price", "store"]),
    ("alerts", &["config", "snapshot", "upstream"]),
    ("budget", &[]),
    ("catalog", &[]),
    ("clock", &[]),
    ("condition", &[]),
    ("config", &["condition"]),
    ("demo", &["upstream"]),
    ("dispatch", &["catalog", "flight", "gate", "meter", "price", "route", "snapshot", "upstream"]),
    ("error", &[]),
    ("events", &[]),
    ("faults", &[]),
    ("flight", &["gate", "meter", "price", "snapshot"]),
    ("gate", &[]),
    (
        "http",
        &[
            "admin",
            "catalog",
            "condition",
            "config",
            "dispatch",
            "flight",
            "gate",
            "lifecycle",
            "price",
            "reports",
            "route",
            "snapshot",
            "state",
            "store",
            "upstream",
        ],
    ),
    ("jobs", &["alerts", "config", "dispatch", "flight", "gate", "meter", "reports", "snapshot", "state", "store"]),
    ("lifecycle", &[]),
    ("limits", &[]),
    ("log", &[]),
    ("meter", &["price"]),
    ("money", &[]),
    ("price", &["catalog"]),
    ("record", &[]),
    ("redis", &["gate"]),
    ("reports", &["config", "price", "snapshot", "store"]),
    ("route", &["condition", "snapshot"]),
    ("snapshot", &["catalog", "condition", "config", "gate", "price"]),
    ("state", &["alerts", "config", "dispatch", "flight", "gate", "price", "snapshot", "store"]),
    ("store", &[]),
    ("upstream", &[]),
];

/// These import everything: they are the top.
const TOP: [&str; 4] = ["app", "cli", "lib", "main"];

/// A source as it is built: without comments, and without the tests at its end.
fn built(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = |line: &str| !line.trim_start().starts_with("//");
    text.lines().filter(|line| code(line)).map(|line| format!("{line}\n")).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Every source that is built into the binary, with its module.
fn modules() -> Vec<(String, String, String)> {
    let of = |path: &Path| {
        let part = path.components().nth(1).expect("src and more").as_os_str().to_string_lossy().into_owned();
        part.trim_end_matches(".rs").to_owned()
    };
    let files = sources("src").into_iter().filter(|(path, _)| !is_test(path));
    files.map(|(path, text)| (of(&path), path.display().to_string(), built(&text))).collect()
}

/// The modules of ours that a source names, in `use crate::x` as in `crate::x::f()`.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split("};").next().unwrap_or_default();
                names.extend(list.split(',').map(|part| word(part.trim())));
            }
            None => drop(names.insert(word(rest))),
        }
    }
    names.retain(|name| MAP.iter().any(|(module, _)| module == name) || TOP.contains(&name.as_str()));
    names
}

#[test]
fn every_module_is_on_the_map_and_in_architecture_md() {
    let architecture = include_str!("../../ARCHITECTURE.md");
    for (module, path, _) in modules() {
        assert!(MAP.iter().any(|(known, _)| *known == module) || TOP.contains(&module.as_str()), "{path} is on no map");
        let written = [format!("`src/{module}"), format!("`{module}.rs`"), format!("`{module}`")];
        assert!(
            module == "lib" || written.iter().any(|name| architecture.contains(name)),
            "ARCHITECTURE.md lacks {module}"
        );
    }
}

#[test]
fn modules_import_what_the_map_allows() {
    let mut wrong = Vec::new();
    for (module, path, code) in modules().into_iter().filter(|(module, ..)| !TOP.contains(&module.as_str())) {
        let (_, allowed) = MAP.iter().find(|(known, _)| *known == module).expect("checked by another test");
        let fits =
            |name: &String| *name == module || BY_ALL.contains(&name.as_str()) || allowed.contains(&name.as_str());
        wrong.extend(named(&code).into_iter().filter(|name| !fits(name)).map(|name| format!("{path} imports {name}")));
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md does not allow: {wrong:#?}");
}

#[test]
fn the_map_allows_nothing_that_nobody_imports() {
    let all = modules();
    let mut idle = Vec::new();
    for (module, allowed) in MAP {
        let used: BTreeSet<String> =
            all.iter().filter(|(of, ..)| of == module).flat_map(|(.., code)| named(code)).collect();
        idle.extend(allowed.iter().filter(|name| !used.contains(**name)).map(|name| format!("{module}: {name}")));
    }
    assert!(idle.is_empty(), "{idle:?}");
}

/// Where these words may stand, by the beginning of the path; nowhere else.
fn only_in(words: &[&str], places: &[&str]) {
    let mut wrong = Vec::new();
    for (_, path, code) in modules() {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        wrong.extend(words.iter().filter(|word| code.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    assert!(wrong.is_empty(), "these belong to {places:?}: {wrong:#?}");
}

#[test]
fn what_one_module_knows_no_other_does() {
    only_in(&["axum::"], &["src/http"]);
    only_in(&["sqlx::"], &["src/store"]);
    only_in(&["hyper::", "hyper_util::", "hyper_rustls::"], &["src/http/server", "src/upstream"]);
    // The doctor knocks at providers' doors without a word.
    only_in(&["TcpStream::connect"], &["src/upstream", "src/cli/doctor.rs"]);
    only_in(&["TcpListener::bind"], &["src/app/listen.rs"]);
}

#[test]
fn time_and_chance_come_from_the_clock() {
    let words = [
        "SystemTime::now",
        "Instant::now",
        "getrandom::",
        "rand::",
        "thread_rng",
        "Uuid::now_v7",
        "Uuid::new_v4",
        "Timestamp::now",
    ];
    // `dispatch/forward.rs` sets a timer of tokio's, which takes moments and not spans.
    only_in(&words, &["src/clock.rs", "src/dispatch"]);
    only_in(&["SystemTime", "getrandom::", "rand::", "Uuid::new_v4"], &["src/clock.rs"]);
}

#[test]
fn tasks_start_where_a_stop_waits_for_them() {
    // The log is flushed when all else has ended.
    only_in(&["tokio::spawn(", "std::thread::spawn", "thread::Builder"], &["src/lifecycle.rs", "src/log.rs"]);
}

#[test]
fn nothing_prints_but_the_command_line_and_nothing_is_left_undone() {
    only_in(&["println!(", "print!(", "dbg!("], &["none"]);
    only_in(&["stdout()", "stderr()"], &["src/cli"]);
    only_in(&["todo!(", "unimplemented!(", "#[allow(", ".unwrap()", "panic!(", "unsafe "], &["none"]);
    only_in(&["std::env::var", "env::args"], &["src/cli"]);
    only_in(&["process::exit", "process::abort"], &["none"]);
}

#[test]
fn the_wire_crate_does_nothing_but_think() {
    let manifest = include_str!("../../crates/weir-wire/Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: BTreeSet<&str> = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    let pure = BTreeSet::from(["base64", "bytes", "crc32fast", "memchr", "serde", "serde_json"]);
    assert!(names.is_subset(&pure), "{names:?}: no I/O, no clock, no runtime");
    for (path, text) in sources("crates/weir-wire/src").into_iter().filter(|(path, _)| !is_test(path)) {
        let code = built(&text);
        for word in [
            "std::net",
            "std::fs",
            "std::io",
            "std::time",
            "std::env",
            "std::thread",
            "tokio",
            "tracing::",
            ".unwrap()",
        ] {
            assert!(!code.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn no_model_is_named_outside_the_catalogue() {
    const FAMILIES: [&str; 12] = [
        "gpt-",
        "claude",
        // The dialect has the family's name.
        "gemini-",
        "llama",
        "mistral-",
        "deepseek",
        "grok-",
        "qwen",
        "command-r",
        "o1-",
        "o3-",
        "text-embedding-",
    ];
    let mut wrong = Vec::new();
    for (_, path, code) in modules() {
        for text in code.split('"').skip(1).step_by(2) {
            // A server whose name holds a family's is no family.
            let text = text.to_lowercase().replace("ollama", "");
            wrong.extend(
                FAMILIES.iter().filter(|name| text.contains(*name)).map(|name| format!("{path}: {name} in {text:?}")),
            );
        }
    }
    assert!(wrong.is_empty(), "behaviour belongs to catalog/: {wrong:#?}");
}

#[test]
fn files_are_modules_of_their_own_and_no_mod_rs() {
    let all: Vec<_> = ["src", "tests", "crates", "xtask/src"].iter().flat_map(|folder| sources(folder)).collect();
    let wrong: Vec<_> = all.iter().filter(|(path, _)| path.ends_with("mod.rs")).collect();
    assert!(wrong.is_empty(), "foo.rs beside foo/: {wrong:?}");
    let main = include_str!("../../src/lib.rs");
    assert!(all.len() > 100 && main.contains("pub mod"), "the sources are read");
}
