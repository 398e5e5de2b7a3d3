use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use super::*;

fn chat(body: &str) -> Result<Peek, PeekError> {
    Peek::read(body.as_bytes(), Shape::Chat)
}

/// A chat body with one more member.
fn with(member: &str) -> Result<Peek, PeekError> {
    chat(&format!("{{\"model\":\"m\",\"messages\":[],{member}}}"))
}

fn check_refused(member: &str, code: &str, param: &str, message: &str) {
    let error = with(member).expect_err(member);
    assert_eq!(error.code.as_str(), code, "{member}");
    assert_eq!(error.param, Some(param), "{member}");
    assert_eq!(error.message, message, "{member}");
}

fn check_rewrite(body: &str, change: &Change<'_>, expected: &str) {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let peek = Peek::read(&bytes, Shape::Chat).unwrap();
    let segments = peek.rewrite(&bytes, change);
    let whole = segments.to_bytes();
    assert_eq!(std::str::from_utf8(&whole).unwrap(), expected);
    assert_eq!(segments.len(), expected.len());
    serde_json::from_str::<Tree>(expected).unwrap();
}

#[test]
fn reads_what_a_chat_body_says() {
    let body = r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},
        "user":"u-1","max_tokens":10,"max_completion_tokens":7,"n":2,"service_tier":"flex",
        "models":["a","b"],"fallbacks":["c"],"messages":[{"role":"user","content":"hi"}]}"#;
    let peek = chat(body).unwrap();
    assert_eq!(peek.require_model(), Ok("gpt-4o"));
    assert!(peek.stream && peek.include_usage);
    assert_eq!(peek.user.as_deref(), Some("u-1"));
    assert_eq!(peek.max_output(), Some(7));
    assert_eq!((peek.n, peek.service_tier.as_deref()), (Some(2), Some("flex")));
    assert_eq!((peek.models.len(), peek.fallbacks.len()), (2, 1));
    let prompt = peek.prompt.unwrap();
    assert_eq!(prompt.span.of(body.as_bytes()), br#"[{"role":"user","content":"hi"}]"#);
    assert_eq!(prompt.kind, Kind::Array);
}

#[test]
fn the_text_of_any_member_can_be_asked_for() {
    let body = r#"{"model":"m","messages":[],"sp\u0065ed":"f\u0061st","n":1}"#;
    let text = |name: &str| chat(body).unwrap().text_member(body.as_bytes(), name).map(Cow::into_owned);
    assert_eq!((text("speed").as_deref(), text("n"), text("fast")), (Some("fast"), None, None));
}

#[test]
fn nulls_mean_absent() {
    let peek = with(
        r#""stream":null,"stream_options":null,"user":null,"max_tokens":null,"n":null,
        "service_tier":null,"models":null,"fallbacks":null"#,
    )
    .unwrap();
    let plain = chat(r#"{"model":"m","messages":[]}"#).unwrap();
    assert_eq!(peek.max_output(), plain.max_output());
    assert!(!peek.stream && !peek.include_usage && peek.user.is_none() && peek.n.is_none());
}

#[test]
fn each_shape_has_its_prompt() {
    let ok = |shape, body: &str| Peek::read(body.as_bytes(), shape).unwrap();
    assert!(ok(Shape::Completions, r#"{"prompt":["a"]}"#).prompt.is_some());
    assert!(ok(Shape::Embeddings, r#"{"input":[[1,2]]}"#).prompt.is_some());
    assert!(ok(Shape::Responses, r#"{"input":"a"}"#).prompt.is_some());
    assert!(ok(Shape::Responses, r#"{"prompt":{"id":"p"},"input":null}"#).prompt.is_none());
    assert!(ok(Shape::Images, r#"{"prompt":"a cat"}"#).prompt.is_some());
    assert!(ok(Shape::Speech, r#"{"input":"a"}"#).prompt.is_some());
    assert!(ok(Shape::Moderations, r#"{"input":["a"]}"#).prompt.is_some());
    let rerank = ok(Shape::Rerank, r#"{"model":"m","query":"what","documents":["a"]}"#);
    assert!(rerank.prompt.is_some());
    assert_eq!(rerank.prompt_size(br#"{"model":"m","query":"what","documents":["a"]}"#).text_bytes, 11);
    let other = ok(Shape::Other, r#"{"messages":7,"input":{},"max_tokens":"x","n":0,"model":"m"}"#);
    assert_eq!((other.prompt, other.model.as_deref()), (None, Some("m")));
}

#[test]
fn each_shape_refuses_a_wrong_prompt() {
    let message = |shape, body: &str| Peek::read(body.as_bytes(), shape).unwrap_err().message;
    let missing = "missing required parameter 'messages': add it as an array";
    assert_eq!(message(Shape::Chat, r#"{"model":"m"}"#), missing);
    let missing = "missing required parameter 'input': add it as a string or an array";
    assert_eq!(message(Shape::Embeddings, "{}"), missing);
    assert_eq!(message(Shape::Rerank, r#"{"documents":"a"}"#), "'documents' must be an array, not a string");
    assert_eq!(message(Shape::Chat, r#"{"messages":"hi"}"#), "'messages' must be an array, not a string");
    assert_eq!(message(Shape::Chat, r#"{"messages":null}"#), "'messages' must be an array, not null");
    assert_eq!(message(Shape::Speech, r#"{"input":["a"]}"#), "'input' must be a string, not an array");
    assert_eq!(message(Shape::Responses, r#"{"input":{}}"#), "'input' must be a string or an array, not an object");
}

#[test]
fn a_missing_model_is_an_error_only_when_asked_for() {
    let error = chat(r#"{"messages":[]}"#).unwrap().require_model().unwrap_err();
    assert_eq!((error.code, error.param), (PeekCode::Missing, Some("model")));
}

#[test]
fn f42_a_repeated_key_is_refused() {
    let say = |name: &str| format!("'{name}' appears more than once in the body, send it once");
    check_refused(r#""model":"m""#, "duplicate_key", "model", &say("model"));
    check_refused(r#""mod\u0065l":"x""#, "duplicate_key", "model", &say("model"));
    check_refused(r#""stream":true,"stream":true"#, "duplicate_key", "stream", &say("stream"));
    let name = "stream_options.include_usage";
    check_refused(
        r#""stream_options":{"include_usage":true,"include_usag\u0065":true}"#,
        "duplicate_key",
        name,
        &say(name),
    );
    with(r#""metadata":{},"metadata":{}"#).expect("weir does not read it");
}

#[test]
fn f44_numbers_out_of_range_are_refused() {
    let range = "'max_tokens' must be an integer from 0 to 2147483647";
    let digits = "'max_tokens' must be an integer, written in digits only";
    let check = |number: &str, code: &str, message: &str| {
        check_refused(&format!("\"max_tokens\":{number}"), code, "max_tokens", message);
    };
    check("-5", "invalid_value", range);
    check("-0.5", "invalid_value", range);
    check("9223372036854775808", "invalid_value", range);
    check("123456789012345678901234567890", "invalid_value", range);
    check("1e20", "invalid_type", digits);
    check("1e400", "invalid_type", digits);
    check("1.0", "invalid_type", digits);
    check("\"10\"", "invalid_type", "'max_tokens' must be an integer, not a string");
    check_refused("\"n\":0", "invalid_value", "n", "'n' must be an integer from 1 to 128");
    check_refused("\"n\":1000000000", "invalid_value", "n", "'n' must be an integer from 1 to 128");
    assert_eq!(with("\"max_tokens\":0").unwrap().max_tokens, Some(0));
    assert_eq!(with("\"n\":128").unwrap().n, Some(128));
    with("\"temperature\":1e400").expect("weir does not read it");
}

#[test]
fn f44_nan_is_not_json() {
    assert_eq!(with("\"max_tokens\":NaN").unwrap_err().code, PeekCode::InvalidJson);
}

#[test]
fn wrong_types_name_the_member() {
    check_refused("\"stream\":\"true\"", "invalid_type", "stream", "'stream' must be a boolean, not a string");
    check_refused("\"user\":7", "invalid_type", "user", "'user' must be a string, not a number");
    check_refused(
        "\"stream_options\":[]",
        "invalid_type",
        "stream_options",
        "'stream_options' must be an object, not an array",
    );
    check_refused(
        "\"stream_options\":{\"include_usage\":1}",
        "invalid_type",
        "stream_options.include_usage",
        "'stream_options.include_usage' must be a boolean, not a number",
    );
    check_refused("\"models\":\"a\"", "invalid_type", "models", "'models' must be an array of strings, not a string");
    check_refused("\"models\":[1]", "invalid_type", "models", "'models' must be an array of strings only");
    check_refused("\"fallbacks\":[\"\"]", "invalid_value", "fallbacks", "'fallbacks' must be 1 to 256 bytes long");
    let many = format!("\"models\":[{}\"a\"]", "\"a\",".repeat(MAX_ALTERNATIVES));
    check_refused(&many, "invalid_value", "models", "'models' must be at most 32 names");
}

#[test]
fn f48_model_names_are_bounded_and_otherwise_opaque() {
    for odd in ["../../admin", "gpt-4/../../x?y#z", "gpt-4%2f..", "a\r\nb"] {
        let body = json!({"model": odd, "messages": []}).to_string();
        assert_eq!(chat(&body).unwrap().model.as_deref(), Some(odd));
    }
    for bad in [String::new(), "m".repeat(MAX_NAME + 1), "m".repeat(1 << 20)] {
        let body = json!({"model": bad, "messages": []}).to_string();
        let error = chat(&body).unwrap_err();
        assert_eq!(error.message, "'model' must be 1 to 256 bytes long");
    }
    let error = chat(r#"{"model":7,"messages":[]}"#).unwrap_err();
    assert_eq!(error.message, "'model' must be a string, not a number");
}

#[test]
fn f43_labels_for_the_record_are_cleaned() {
    let peek = with(r#""user":"a\u0000b""#).unwrap();
    assert_eq!(peek.user.as_deref(), Some("a\u{fffd}b"));
    let long = format!("\"user\":\"{}\"", "é".repeat(500));
    assert_eq!(with(&long).unwrap().user.unwrap().len(), MAX_NAME);
}

#[test]
fn broken_json_is_told_before_any_other_fault() {
    let error = chat(r#"{"model":7,"stream":1,"#).unwrap_err();
    assert_eq!(error.code, PeekCode::InvalidJson);
    assert_eq!(
        error.to_string(),
        "could not read the request body: invalid JSON at byte 22: expected a key in double quotes"
    );
    assert_eq!(chat("[]").unwrap_err().message, "the request body must be one JSON object");
    assert_eq!(chat("").unwrap_err().code, PeekCode::InvalidJson);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(chat(&deep).unwrap_err().code, PeekCode::TooDeep);
}

#[test]
fn members_are_bounded() {
    let members: Vec<_> = (0..=MAX_MEMBERS).map(|n| format!("\"k{n}\":1")).collect();
    let error = chat(&format!("{{{}}}", members.join(","))).unwrap_err();
    assert_eq!(error.message, "the body has more than 1024 members, remove some");
}

#[test]
fn nothing_to_change_gives_the_body_itself() {
    let body = Bytes::from_static(br#"{ "model":"m" ,"messages":[]}"#);
    let peek = Peek::read(&body, Shape::Chat).unwrap();
    let changes = [
        Change::default(),
        Change {
            model: Some("m"),
            strip_extensions: true,
            remove: &["absent"],
            rename: &[("max_tokens", "max_completion_tokens")],
            ..Change::default()
        },
    ];
    for change in changes {
        let segments = peek.rewrite(&body, &change);
        assert_eq!(segments.parts().len(), 1);
        assert_eq!(segments.to_bytes().as_ptr(), body.as_ptr());
    }
}

#[test]
fn untouched_pieces_are_slices_of_the_body() {
    let body = Bytes::from_static(br#"{"messages":["x"],"model":"m","user":"u"}"#);
    let peek = Peek::read(&body, Shape::Chat).unwrap();
    let change = Change { model: Some("other"), ..Change::default() };
    let segments = peek.rewrite(&body, &change);
    let parts = segments.parts();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].as_ptr(), body.as_ptr());
    assert_eq!(parts[2].as_ptr(), body[29..].as_ptr());
    assert!(!segments.is_empty());
    assert_eq!(segments.clone().into_iter().map(|part| part.len()).sum::<usize>(), segments.len());
}

#[test]
fn replaces_the_model() {
    let change = Change { model: Some("a\"b"), ..Change::default() };
    check_rewrite(r#"{"messages":[] , "model" : "m\u0041" }"#, &change, r#"{"messages":[] , "model" : "a\"b" }"#);
    check_rewrite(r#"{"messages":[]}"#, &change, r#"{"model":"a\"b","messages":[]}"#);
}

#[test]
fn f87_asks_for_usage() {
    let change = Change { include_usage: true, ..Change::default() };
    let check = |options: &str, expected: &str| {
        check_rewrite(&format!("{{\"messages\":[],{options}}}"), &change, &format!("{{\"messages\":[],{expected}}}"));
    };
    check(r#""stream_options": null"#, r#""stream_options": {"include_usage":true}"#);
    check(r#""stream_options":{}"#, r#""stream_options":{"include_usage":true}"#);
    check(r#""stream_options":{ }"#, r#""stream_options":{"include_usage":true }"#);
    check(r#""stream_options":{"include_usage": false}"#, r#""stream_options":{"include_usage": true}"#);
    check(r#""stream_options":{"include_usage":null}"#, r#""stream_options":{"include_usage":true}"#);
    check(r#""stream_options":{"include_usage":true}"#, r#""stream_options":{"include_usage":true}"#);
    check(
        r#""stream_options":{"include_obfuscation":false}"#,
        r#""stream_options":{"include_usage":true,"include_obfuscation":false}"#,
    );
    check_rewrite(r#"{"messages":[]}"#, &change, r#"{"stream_options":{"include_usage":true},"messages":[]}"#);
}

#[test]
fn removes_members_with_their_commas() {
    let change = Change { strip_extensions: true, remove: &["user", "seed"], ..Change::default() };
    let check = |body: &str, expected: &str| check_rewrite(body, &change, expected);
    check(r#"{"models":[], "messages":[]}"#, r#"{"messages":[]}"#);
    check(r#"{"messages":[], "fallbacks":["a"] }"#, r#"{"messages":[] }"#);
    check(r#"{"seed":1,"messages":[],"user":"a","models":null}"#, r#"{"messages":[]}"#);
    check(r#"{"seed":1,"s\u0065ed":2,"messages":[],"n":1}"#, r#"{"messages":[],"n":1}"#);
    check(r#"{"n":1,"seed":1,"user":"a","messages":[]}"#, r#"{"n":1,"messages":[]}"#);
}

#[test]
fn removing_everything_leaves_an_object() {
    let body = Bytes::from_static(br#"{ "user":"a", "seed":1 }"#);
    let peek = Peek::read(&body, Shape::Other).unwrap();
    let mut change = Change { remove: &["user", "seed"], ..Change::default() };
    assert_eq!(peek.rewrite(&body, &change).to_bytes(), "{  }");
    change.model = Some("m");
    assert_eq!(peek.rewrite(&body, &change).to_bytes(), "{\"model\":\"m\"  }");
}

#[test]
fn removal_beats_every_other_change() {
    let change = Change {
        model: Some("x"),
        include_usage: true,
        rename: &[("max_tokens", "max_completion_tokens")],
        remove: &["stream_options", "model", "max_tokens"],
        ..Change::default()
    };
    check_rewrite(
        r#"{"model":"m","stream_options":{"include_usage":false},"messages":[],"max_tokens":1}"#,
        &change,
        r#"{"messages":[]}"#,
    );
}

#[test]
fn renames_a_key() {
    let change = Change { rename: &[("max_tokens", "max_completion_tokens")], ..Change::default() };
    check_rewrite(
        r#"{"max_tok\u0065ns" : 5,"messages":[]}"#,
        &change,
        r#"{"max_completion_tokens" : 5,"messages":[]}"#,
    );
    check_rewrite(
        r#"{"max_tokens":5,"messages":[],"max_completion_tokens":6}"#,
        &change,
        r#"{"messages":[],"max_completion_tokens":6}"#,
    );
}

#[test]
fn prompt_size_counts_text_and_sets_media_apart() {
    let media = "QUJD".repeat(1000);
    let body = json!({
        "model": "m",
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "see ;base64,short"},
            {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{media}")}},
            {"type": "input_audio", "input_audio": {"data": media, "format": "wav"}},
        ]}],
        "tools": [{"type": "function"}],
        "metadata": {"not": "counted"},
    })
    .to_string();
    let peek = chat(&body).unwrap();
    let size = peek.prompt_size(body.as_bytes());
    assert_eq!((size.media, size.media_bytes), (2, 8000));
    let prompt = peek.prompt.unwrap().span.len() as u64;
    assert_eq!(size.text_bytes, prompt - 8000 + r#"[{"type":"function"}]"#.len() as u64);
    assert!(size.estimated_tokens >= 2000 + size.text_bytes / 4);
    assert!(size.estimated_tokens <= 2010 + size.text_bytes / 4);
}

/// Bodies whose members may collide with everything Weir touches.
fn body() -> impl Strategy<Value = (String, Tree)> {
    let member = prop_oneof![
        Just(("model".to_owned(), json!("m"))),
        Just(("models".to_owned(), json!(["a"]))),
        Just(("fallbacks".to_owned(), json!(null))),
        Just(("max_tokens".to_owned(), json!(5))),
        Just(("max_completion_tokens".to_owned(), json!(6))),
        Just(("stream_options".to_owned(), json!(null))),
        Just(("stream_options".to_owned(), json!({}))),
        Just(("stream_options".to_owned(), json!({"include_obfuscation": true}))),
        Just(("stream_options".to_owned(), json!({"include_usage": false, "x": 1}))),
        Just(("stream_options".to_owned(), json!({"include_usage": true}))),
        ("[a-cé\"\\\\\n]{0,3}", ".{0,20}").prop_map(|(key, value)| (key, json!({"v": value}))),
        ("[a-c]", ".{0,5}").prop_map(|(key, value)| (key, json!(value))),
        ("[a-c]{1,2}", any::<f64>()).prop_map(|(key, value)| (key, json!([value]))),
    ];
    (prop::collection::vec(member, 0..12), any::<bool>()).prop_map(|(members, pretty)| {
        let mut object: serde_json::Map<_, _> = members.into_iter().collect();
        object.insert(
            "messages".to_owned(),
            json!([{"name": 1, "content": "ünï"}, "x", {"content": {"name": 2}, "name": {}}, {"name": []}]),
        );
        let tree = Tree::Object(object);
        let text = match pretty {
            true => serde_json::to_string_pretty(&tree).unwrap(),
            false => tree.to_string(),
        };
        // Parsed back: serde_json rounds the last digit of some floats.
        let tree = serde_json::from_str(&text).unwrap();
        (text, tree)
    })
}

/// What a change means, on the tree.
fn changed(tree: &Tree, change: &Change<'_>) -> Tree {
    let mut object = tree.as_object().unwrap().clone();
    for (from, to) in change.rename {
        if let Some(value) = object.remove(*from)
            && !change.remove.contains(from)
        {
            object.entry(*to).or_insert(value);
        }
    }
    if let Some(value) = change.wrap.and_then(|key| object.get_mut(key)).filter(|value| value.is_string()) {
        *value = json!([value.take()]);
    }
    if !change.cut.is_empty() {
        let messages = object["messages"].as_array_mut().unwrap();
        messages.iter_mut().filter_map(Tree::as_object_mut).for_each(|message| _ = message.remove("name"));
    }
    if let Some(model) = change.model {
        object.insert("model".to_owned(), json!(model));
    }
    if change.include_usage {
        let options = object.entry("stream_options").or_insert(Tree::Null);
        if options.is_null() {
            *options = json!({});
        }
        options["include_usage"] = json!(true);
    }
    if change.strip_extensions {
        object.remove("models");
        object.remove("fallbacks");
    }
    for key in change.remove {
        object.remove(*key);
    }
    Tree::Object(object)
}

proptest! {
    #[test]
    fn a_rewrite_changes_the_tree_as_asked_and_no_other_byte(
        (text, tree) in body(),
        model in prop::option::of(".{1,10}"),
        include_usage in any::<bool>(),
        strip_extensions in any::<bool>(),
        rename in any::<bool>(),
        cut in any::<bool>(),
        remove in prop::sample::subsequence(vec!["a", "b", "model", "max_tokens", "messages", "stream_options"], 0..4),
    ) {
        let bytes = Bytes::from(text);
        let peek = Peek::read(&bytes, Shape::Chat).unwrap();
        let names = if cut { peek.message_names(&bytes) } else { Vec::new() };
        let change = Change {
            model: model.as_deref(),
            include_usage,
            strip_extensions,
            rename: if rename { &[("max_tokens", "max_completion_tokens"), ("a", "c")] } else { &[] },
            remove: &remove,
            wrap: Some("b"),
            set: &[],
            cut: &names,
        };
        let segments = peek.rewrite(&bytes, &change);
        let whole = segments.to_bytes();
        prop_assert_eq!(segments.len(), whole.len());
        let parsed: Tree = serde_json::from_slice(&whole).map_err(|e| {
            TestCaseError::fail(format!("{e}: {}", String::from_utf8_lossy(&whole)))
        })?;
        prop_assert_eq!(parsed, changed(&tree, &change));
        let slices = segments.parts().iter().filter(|part| bytes.as_ptr_range().contains(&part.as_ptr()));
        let inserted: usize = segments.parts().iter().map(Bytes::len).sum::<usize>()
            - slices.clone().map(Bytes::len).sum::<usize>();
        prop_assert!(inserted <= 120, "only small pieces are new");
        let starts: Vec<_> = slices.map(|part| part.as_ptr()).collect();
        prop_assert!(starts.is_sorted(), "slices keep their order");
    }

    #[test]
    fn any_bytes_give_a_peek_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Peek::read(&bytes, Shape::Responses);
    }

    #[test]
    fn damaged_bodies_never_panic((text, _) in body(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        if let Ok(peek) = Peek::read(&bytes, Shape::Chat) {
            let change = Change { model: Some("x"), include_usage: true, strip_extensions: true, rename: &[("a", "b")], remove: &["c"], ..Change::default() };
            let whole = peek.rewrite(&bytes, &change).to_bytes();
            prop_assert!(crate::json::scan_object(&whole, |_| ()).is_ok());
            let _ = peek.prompt_size(&bytes);
        }
    }
}

#[test]
fn other_dialects_are_read_for_what_metering_needs() {
    let body = br#"{"model":"m","system":"be brief","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"stream":true,"n":"x"}"#;
    let peek = Peek::read(body, Shape::Messages).unwrap();
    assert_eq!((peek.model.as_deref(), peek.stream, peek.max_output()), (Some("m"), true, Some(5)));
    assert!(peek.prompt_size(body).text_bytes > 10 + 30);
    let error = Peek::read(br#"{"model":"m","messages":"hi"}"#, Shape::Messages).unwrap_err();
    assert_eq!(error.param, Some("messages"));

    let body = br#"{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{"max_output_tokens":7,"candidateCount":2},"model":{},"stream":"no"}"#;
    let peek = Peek::read(body, Shape::Gemini).unwrap();
    assert_eq!((peek.model.as_deref(), peek.stream, peek.max_output(), peek.n), (None, false, Some(7), Some(2)));
    let error =
        Peek::read(br#"{"contents":[],"generationConfig":{"maxOutputTokens":"7"}}"#, Shape::Gemini).unwrap_err();
    assert_eq!(error.param, Some("generationConfig.maxOutputTokens"));
    assert_eq!(Peek::read(b"{}", Shape::Gemini).unwrap_err().param, Some("contents"));
}

#[test]
fn members_are_set_in_place_of_what_was_there() {
    let body = Bytes::from_static(br#"{"model":"m","v":1,"messages":[]}"#);
    let peek = Peek::read(&body, Shape::Messages).unwrap();
    let set = [("v".to_owned(), "\"x\"".to_owned()), ("w".to_owned(), "[1]".to_owned())];
    let change = Change { remove: &["model"], set: &set, ..Change::default() };
    assert_eq!(peek.rewrite(&body, &change).to_bytes(), r#"{"v":"x","w":[1],"messages":[]}"#);
}
