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
    assert_eq!(found, expected, "{text:.60}");
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
        "z = 1\n[b]\nc = [\"x\", 2.5]\nd = 2026-01-02T03:04:05Z\n[a]\n\"é\" = 0x10\n",
        Format::Toml,
        &[
            "1:5 .z = Integer(1)",
            "3:6 .b.c[0] = Text(\"x\")",
            "3:11 .b.c[1] = Float(2.5)",
            "4:5 .b.d = Text(\"2026-01-02T03:04:05Z\")",
            "6:7 .a.é = Integer(16)",
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
    check(
        "a: 1\na: 2\nb: {c: 1, c: 2}\n",
        Format::Yaml,
        &[
            "3:11 c! set twice in the same map",
            "2:1 a! set twice in the same map",
            "1:4 .a = Integer(1)",
            "3:8 .b.c = Integer(1)",
        ],
    );
    check(
        "a = 1\na = 2\n[b]\n[b]\n",
        Format::Toml,
        &["2:1 ! not valid TOML: duplicate key", "4:2 ! not valid TOML: duplicate key"],
    );
}

#[test]
fn broken_text_is_told_with_its_place() {
    let yaml = |text, fault: &str| check(text, Format::Yaml, &[fault]);
    yaml("a: [1\nb: 2\n", "2:2 ! not valid YAML: illegal placement of ':' indicator");
    yaml("a: 'x\n", "2:1 ! not valid YAML: invalid indentation in multiline quoted scalar");
    yaml("a: !what x\n", "1:10 ! not valid YAML: unsupported tag `!what`");
    yaml("a: 1\n---\nb: 2\n", "3:1 ! not valid YAML: only single YAML document expected but multiple found");
    yaml("a: *none\n", "1:4 ! not valid YAML: reference to unknown value");
    assert_eq!(parse("a = \nb = 'x\n", Format::Toml, 0).1.len(), 2, "both are told");
}

#[test]
fn anchors_and_merge_keys_work() {
    check(
        "a: &x {n: 1}\nb: *x\nc: {<<: *x, m: 2}\nd: {n: 3, <<: *x}\n",
        Format::Yaml,
        &[
            "1:11 .a.n = Integer(1)",
            "2:4 .b.n = Integer(1)",
            "3:16 .c.m = Integer(2)",
            "3:9 .c.n = Integer(1)",
            "4:8 .d.n = Integer(3)",
        ],
    );
}

/// Not only refused: refused before the parser's stack is used up.
#[test]
fn nesting_is_bounded() {
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let blocks: String = (0..100).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let aliases: String = (1..300).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
    for text in [deep(17), deep(60), deep(100_000), blocks, format!("a0: &a0 [x]\n{aliases}")] {
        refused(&text, Format::Yaml);
    }
    for text in [deep(100), deep(100_000)] {
        refused(&format!("a = {text}"), Format::Toml);
    }
    refused(&format!("{}a = 1", "a.".repeat(10_000)), Format::Toml);
    refused(&format!("[{}a]", "a.".repeat(10_000)), Format::Toml);
    assert!(parse(&deep(16), Format::Yaml, 0).0.is_some());
}

fn refused(text: &str, format: Format) {
    let (node, faults) = parse(text, format, 0);
    assert!(node.is_none(), "{text:.60}");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 10].join(",")));
    }
    refused(&text, Format::Yaml);
}
