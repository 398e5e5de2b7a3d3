use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;

fn fields(body: &[u8]) -> Result<Vec<Field<'_>>, JsonError> {
    let mut all = Vec::new();
    scan_object(body, |field| all.push(field)).map(|_| all)
}

fn check_error(body: impl AsRef<[u8]>, expected: &str) {
    let error = fields(body.as_ref()).expect_err("must be refused");
    assert_eq!(error.to_string(), expected);
}

fn check_ok(body: &str) {
    if let Err(error) = fields(body.as_bytes()) {
        panic!("{body}: {error}");
    }
}

fn nested(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

#[test]
fn spans_cover_the_values_as_written() {
    let body = br#" { "model" : "gpt \u0041" , "n":1.50e+2,"x":[ {"y":null} ] ,"k\u0065y":true}"#;
    let seen: Vec<_> = fields(body)
        .unwrap()
        .into_iter()
        .map(|f| {
            let value = std::str::from_utf8(f.value.of(body)).unwrap().to_owned();
            (f.key.into_owned(), value, f.kind)
        })
        .collect();
    let expected = [
        ("model", r#""gpt \u0041""#, Kind::String),
        ("n", "1.50e+2", Kind::Number),
        ("x", r#"[ {"y":null} ]"#, Kind::Array),
        ("key", "true", Kind::Bool),
    ];
    let expected: Vec<_> = expected.iter().map(|(k, v, kind)| ((*k).to_owned(), (*v).to_owned(), *kind)).collect();
    assert_eq!(seen, expected);
    assert_eq!(scan_object(body, |_| ()).unwrap().start, 1);
}

#[test]
fn plain_keys_are_borrowed() {
    let all = fields(br#"{"plain":1,"e\nscaped":2}"#).unwrap();
    assert!(matches!(all[0].key, Cow::Borrowed("plain")));
    assert!(matches!(&all[1].key, Cow::Owned(key) if key == "e\nscaped"));
}

#[test]
fn faults_are_named_and_placed() {
    check_error("", "invalid JSON at byte 0: expected a value, found the end of the text");
    check_error("  ", "invalid JSON at byte 2: expected a value, found the end of the text");
    check_error("[]", "invalid JSON at byte 0: expected an object");
    check_error("{", "invalid JSON at byte 1: expected a key in double quotes");
    check_error("{\"a\"}", "invalid JSON at byte 4: expected ':' after the key");
    check_error("{\"a\":}", "invalid JSON at byte 5: expected a value");
    check_error("{\"a\":", "invalid JSON at byte 5: unexpected end of the text");
    check_error("{\"a\":1 \"b\":2}", "invalid JSON at byte 7: expected ',' or '}'");
    check_error("{\"a\":[1 2]}", "invalid JSON at byte 8: expected ',' or ']'");
    check_error("{\"a\":[1,]}", "invalid JSON at byte 8: expected a value");
    check_error("{\"a\":1,}", "invalid JSON at byte 7: expected a key in double quotes");
    check_error("{} {}", "invalid JSON at byte 3: unexpected text after the value");
    check_error("{\"a\":\"x", "invalid JSON at byte 7: string without an end");
    check_error("{\"a\":\"\n\"}", "invalid JSON at byte 6: control character in a string, escape it");
    check_error("{\"a\":\"\\x\"}", "invalid JSON at byte 6: unknown escape in a string");
    check_error("{\"a\":\"\\u12g4\"}", "invalid JSON at byte 6: expected four hexadecimal digits after \\u");
    check_error("{\"a\":nul}", "invalid JSON at byte 5: expected true, false or null");
    check_error("{'a':1}", "invalid JSON at byte 1: expected a key in double quotes");
}

#[test]
fn numbers_follow_the_grammar() {
    for good in ["0", "-0", "10", "1.5", "1e5", "1E-5", "-1.25e+400", "123456789012345678901234567890"] {
        check_ok(&format!("{{\"a\":{good}}}"));
    }
    for bad in ["01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "1_0"] {
        assert!(fields(format!("{{\"a\":{bad}}}").as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn f41_depth_is_bounded_on_every_path() {
    check_ok(&nested(MAX_DEPTH));
    for depth in [MAX_DEPTH + 1, 100_000] {
        let error = fields(nested(depth).as_bytes()).unwrap_err();
        assert_eq!(error.kind, JsonErrorKind::TooDeep);
    }
    let deep = "{\"a\":".repeat(200);
    assert_eq!(fields(deep.as_bytes()).unwrap_err().kind, JsonErrorKind::TooDeep);
}

#[test]
fn depth_counts_from_the_outermost_container_when_descending() {
    fn descend(reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Array => reader.array(descend).map(|_| ()),
            _ => reader.skip().map(|_| ()),
        }
    }
    let body = format!("{}{}", "[".repeat(129), "]".repeat(129));
    let error = descend(&mut Reader::new(body.as_bytes()).unwrap()).unwrap_err();
    assert_eq!((error.kind, error.offset), (JsonErrorKind::TooDeep, 128));
}

#[test]
fn f43_bad_text_is_refused() {
    let kind = |body: &[u8]| fields(body).unwrap_err().kind;
    assert_eq!(kind(b"{\"a\":\"\xff\"}"), JsonErrorKind::Utf8);
    assert_eq!(kind(b"\xEF\xBB\xBF{}"), JsonErrorKind::Utf8);
    assert_eq!(kind(br#"{"a":"\ud800"}"#), JsonErrorKind::Syntax);
    assert_eq!(kind(br#"{"a":"\udc00"}"#), JsonErrorKind::Syntax);
    assert_eq!(kind(br#"{"a":"\ud800\u0041"}"#), JsonErrorKind::Syntax);
    assert_eq!(kind(br#"{"a":"\ud800\ud800"}"#), JsonErrorKind::Syntax);
    check_ok(r#"{"a":"\ud83d\ude00 \u0000"}"#);
}

#[test]
fn string_at_unescapes() {
    let body = br#"{"a":"\ud83d\ude00\t\"\\\/\b\f\n\r\u00e9x"}"#;
    let field = fields(body).unwrap().remove(0);
    assert_eq!(string_at(body, field.value).unwrap(), "😀\t\"\\/\u{8}\u{c}\n\réx");
    assert_eq!(string_at(body, Span { start: 0, end: 900 }), None);
    assert_eq!(string_at(body, Span { start: 0, end: 3 }), None);
}

#[test]
fn plain_text_that_merely_looks_special_at_lane_edges_is_found() {
    for len in 0..100 {
        let body = format!("{{\"a\":\"{}\\n\",\"b\":1}}", "é".repeat(len));
        assert_eq!(fields(body.as_bytes()).unwrap().len(), 2, "{len}");
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(|f| serde_json::Number::from_f64(f).map_or(Tree::Null, Tree::Number)),
        ".*".prop_map(Tree::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::from),
            prop::collection::vec((".*", inner), 0..8).prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = serde_json::Map<String, Tree>> {
    prop::collection::vec((".*", tree()), 0..8).prop_map(|members| members.into_iter().collect())
}

/// serde_json's verdict, as strict as a parse into text and maps makes it.
fn serde_accepts(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, Tree>>(body).is_ok()
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_members(object in object(), pretty in any::<bool>()) {
        let body = match pretty {
            true => serde_json::to_vec_pretty(&object).unwrap(),
            false => serde_json::to_vec(&object).unwrap(),
        };
        let mut seen = serde_json::Map::new();
        for field in fields(&body).unwrap() {
            let value = serde_json::from_slice(field.value.of(&body)).unwrap();
            let key: String = serde_json::from_slice(field.key_span.of(&body)).unwrap();
            prop_assert_eq!(&key, &field.key);
            seen.insert(key, value);
        }
        let parsed: serde_json::Map<String, Tree> = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(seen, parsed);
    }

    // Numbers beyond f64 are the documented difference: grammar allows what serde_json cannot hold.
    #[test]
    fn agrees_with_serde_json_on_damaged_text(
        object in object(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:\\\\ntu0-9.\\-a \n]"), 0..4),
    ) {
        let mut body = serde_json::to_vec(&object).unwrap();
        for (at, with) in edits {
            let at = at.index(body.len());
            body[at] = with.as_bytes()[0];
        }
        let text_is_finite = !String::from_utf8_lossy(&body).contains(['e', 'E']);
        if text_is_finite {
            prop_assert_eq!(fields(&body).is_ok(), serde_accepts(&body), "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if fields(&body).is_ok() {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok());
        }
    }

    #[test]
    fn never_panics_on_json_like_text(body in "[\\[\\]{}\",:\\\\ntrufalsed0-9.eE+\\- ]{0,60}") {
        if serde_accepts(body.as_bytes()) {
            prop_assert!(fields(body.as_bytes()).is_ok(), "{}", body);
        }
    }

    #[test]
    fn quote_and_unescape_are_inverse(text in ".*|[\u{0}-\u{7f}]{0,40}") {
        let quoted = quote(&text);
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
        let inner = &quoted[1..quoted.len() - 1];
        prop_assert_eq!(unescape(inner), text);
    }

    #[test]
    fn unescape_takes_anything(text in "[\\\\ud8-cx0-9\"]{0,30}") {
        let _ = unescape(&text);
    }
}

proptest! {
    #[test]
    fn runs_of_plain_bytes_end_at_the_first_special_one(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0_usize..80, special in 0_usize..5) {
        let mut bytes: Vec<u8> = bytes.into_iter().map(|b| if b < 0x20 || b == b'"' || b == b'\\' { b'a' } else { b }).collect();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = [b'"', b'\\', 0, 0x1f, b'\n'][special];
        }
        let naive = bytes.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')).unwrap_or(bytes.len());
        prop_assert_eq!(reader::plain_run(&bytes), naive);
    }
}
