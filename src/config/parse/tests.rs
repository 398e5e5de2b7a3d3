use super::*;
use crate::config::tree::Value;

/// Every leaf as `line:column path = value`.
fn leaves(node: &Node, path: &str, out: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => entries.iter().for_each(|e| leaves(&e.node, &format!("{path}.{}", e.key), out)),
        Value::List(items) => items.iter().enumerate().for_each(|(i, n)| leaves(n, &format!("{path}[{i}]"), out)),
        value => out.push(format!("{}:{} {path} = {value:?}", node.at.line, node.at.column)),
    }
}

fn check(text: &str, format: Format, expected: &[&str]) {
    let (node, faults) = parse(text, format, 0);
    let mut found: Vec<String> =
        faults.iter().map(|f| format!("{}:{} {}! {}", f.at.line, f.at.column, f.key, f.problem)).collect();
    if let Some(node) = node {
        leaves(&node, "", &mut found);
    }
    assert_eq!(found, expected, "{text}");
}

#[test]
fn yaml_values_keep_their_places() {
    check(
        "a: 1\nb:\n  c: [x, 2.5, true]\n  d: ~\ne: \"7\"\nf: {g: off}\n",
        Format::Yaml,
        &[
            "1:4 .a = Integer(1)",
            "3:7 .b.c[0] = Text(\"x\")",
            "3:10 .b.c[1] = Float(2.5)",
            "3:15 .b.c[2] = Bool(true)",
            "4:6 .b.d = Null",
            "5:4 .e = Text(\"7\")",
            "6:8 .f.g = Text(\"off\")",
        ],
    );
}

#[test]
fn toml_values_keep_their_places_and_order() {
    check(
        "z = 1\n[b]\nc = [\"x\", 2.5]\nd = 2026-01-02T03:04:05Z\n[a]\né = 0x10\n",
        Format::Toml,
        &[
            "1:5 .z = Integer(1)",
            "3:6 .b.c[0] = Text(\"x\")",
            "3:11 .b.c[1] = Float(2.5)",
            "4:5 .b.d = Text(\"2026-01-02T03:04:05Z\")",
        ],
    );
}

#[test]
fn an_empty_file_is_no_tree() {
    for text in ["", "# only a comment\n", "\u{feff}"] {
        check(text, Format::Yaml, &[]);
        check(text, Format::Toml, &[]);
    }
}

#[test]
fn every_repeated_key_is_told() {
    check("a: 1\na: 2\nb: {c: 1, c: 2}\n", Format::Yaml, &[]);
    check("a = 1\na = 2\nb = 1\nb = 2\n", Format::Toml, &[]);
}

#[test]
fn broken_text_is_told_with_its_place() {
    check("a: [1\nb: 2\n", Format::Yaml, &[]);
    check("a: 'x\n", Format::Yaml, &[]);
    check("a: !what x\n", Format::Yaml, &[]);
    check("a: 1\n---\nb: 2\n", Format::Yaml, &[]);
    check("a = \nb = 'x\n", Format::Toml, &[]);
}

#[test]
fn anchors_and_merge_keys_work() {
    check("a: &x {n: 1}\nb: *x\nc: {<<: *x, m: 2}\n", Format::Yaml, &[]);
}

#[test]
fn bombs_are_refused() {
    let deep = "[".repeat(10_000);
    check(&deep, Format::Yaml, &[]);
    check(&format!("a = {deep}"), Format::Toml, &[]);
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 10].join(",")));
    }
    let (node, faults) = parse(&text, Format::Yaml, 0);
    assert!(node.is_none());
    assert_eq!(faults.len(), 1, "{faults:?}");
}
