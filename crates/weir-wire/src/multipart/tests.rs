use proptest::prelude::*;

use super::*;

/// Scans a body in these chunks: what was found, or why it was refused.
fn scan(chunks: &[&[u8]]) -> Result<Option<ModelField>, MultipartError> {
    let mut finder = ModelFinder::new("b0");
    for chunk in chunks {
        finder.push(chunk)?;
    }
    finder.finish()
}

/// A body of parts, each given as its disposition's parameters and its content.
fn body(parts: &[(&str, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(params, content)| format!("--b0\r\nContent-Disposition: form-data; {params}\r\n\r\n{content}\r\n"))
        .collect();
    format!("{parts}--b0--\r\n")
}

fn check_found(body: &str, expected: &str) {
    let field = scan(&[body.as_bytes()]).unwrap().unwrap_or_else(|| panic!("no model in {body}"));
    assert_eq!(field.value, expected);
    let span = usize::try_from(field.start).unwrap()..usize::try_from(field.end).unwrap();
    assert_eq!(&body[span], expected);
}

fn check_refused(body: &str, expected: MultipartError) {
    assert_eq!(scan(&[body.as_bytes()]), Err(expected), "{body}");
}

/// A body whose one part has these raw headers and the content `m`.
fn check_headers(headers: &str, expected: MultipartError) {
    check_refused(&format!("--b0\r\n{headers}\r\n\r\nm\r\n--b0--"), expected);
}

#[test]
fn finds_the_model_among_files() {
    let file = ("name=\"file\"; filename=\"a.mp3\"", "\r\n--b\r\n-- \r\r\n--bX\0\u{1}");
    check_found(&body(&[file, ("name=\"model\"", "whisper-1")]), "whisper-1");
    check_found(&body(&[("name=\"model\"", "whisper-1"), file]), "whisper-1");
}

#[test]
fn names_come_quoted_or_not() {
    check_found(&body(&[("name=model", "m")]), "m");
    check_found(&body(&[("NAME=\"model\" ;x=1", "m")]), "m");
    check_found("--b0\r\ncontent-DISPOSITION:form-data;name=model\r\nX: y\r\n\r\nm\r\n--b0--", "m");
    for other in ["name=\"Model\"", "name=\"model[]\"", "name=\" model\"", "name=\"models\"; x=\"model\""] {
        assert_eq!(scan(&[body(&[(other, "m")]).as_bytes()]), Ok(None), "{other}");
    }
}

#[test]
fn values_keep_what_only_looks_like_a_boundary() {
    check_found(&body(&[("name=\"model\"", "a\r\n--b")]), "a\r\n--b");
    check_found(&body(&[("name=\"model\"", "\r\n\r\n-")]), "\r\n\r\n-");
    check_found(&body(&[("name=\"model\"", "--b")]), "--b");
    check_found(&body(&[("name=\"model\"", "\r\r")]), "\r\r");
}

#[test]
fn preamble_epilogue_and_padding_are_passed() {
    let plain = body(&[("name=\"model\"", "m")]);
    check_found(&format!("preamble --b0\r\n{plain}epilogue\r\n--b0\r\n"), "m");
    check_found(&plain.replace("--b0\r\n", "--b0 \t\r\n"), "m");
    check_refused(
        &plain.replace("--b0\r\n", &format!("--b0{}\r\n", " ".repeat(100))),
        MultipartError::Malformed("text follows a boundary"),
    );
}

#[test]
fn f49_a_second_model_is_refused() {
    let twice = body(&[("name=\"model\"", "cheap"), ("name=\"x\"", "y"), ("name=model", "dear")]);
    check_refused(&twice, MultipartError::DuplicateModel);
    let chunks: Vec<_> = twice.as_bytes().chunks(7).collect();
    assert_eq!(scan(&chunks), Err(MultipartError::DuplicateModel));
}

#[test]
fn f56_bodies_that_can_be_read_in_two_ways_are_refused() {
    let malformed = MultipartError::Malformed;
    check_headers("X: y", malformed("a part has no content-disposition header"));
    let form = "Content-Disposition: form-data";
    check_headers(
        &format!("{form}; name=a\r\n{form}; name=model"),
        malformed("a part has two content-disposition headers"),
    );
    check_headers(&format!("{form}; name=a; name=model"), malformed("a part's name can be read in two ways"));
    check_headers(&format!("{form}; name=a; name*=utf-8''model"), malformed("a part's name can be read in two ways"));
    check_headers(&format!("{form}; x=\"a\\\"; name=\"model\""), malformed("write a quote in a name as %22"));
    check_headers(&format!("{form};\r\n name=model"), malformed("folded header line"));
    check_headers(&format!("{form}; name=a\n{form}; name=model"), malformed("a header line does not end in CRLF"));
    check_headers(&format!("{form}; name=\"a\rb\""), malformed("control character in a header"));
    check_headers("Content-Disposition : form-data; name=model", malformed("header line without a name"));
    check_headers(
        "Content-Disposition: attachment; name=model",
        malformed("a part's content-disposition is not form-data"),
    );
    check_headers(&format!("{form}; name=\"model"), malformed("a header parameter's quotes are not closed"));
    check_headers(&format!("{form}; name"), malformed("a header parameter has no value"));
    check_headers(&format!("{form}; name=\"a\"b"), malformed("text follows a header parameter"));
    check_headers(&format!("{form}; name=a\"b"), malformed("a header parameter's value needs quotes"));
    check_headers(form, malformed("a part has no name"));
    check_refused("--b0x\r\n", malformed("text follows a boundary"));
    check_refused("--b0\n", malformed("text follows a boundary"));
    check_refused("--b0\r\n\r\nm\r\n--b0--", malformed("a part has no content-disposition header"));
    check_refused(
        &format!("--b0\r\n{form}; name=a\r\n\r\n--b0\r\n{form}; name=model\r\n\r\nm\r\n--b0--"),
        malformed("a boundary directly behind a part's headers"),
    );
}

#[test]
fn f56_a_model_must_be_short_text() {
    let bad = MultipartError::BadModel;
    check_refused(&body(&[("name=model; filename=x", "m")]), bad);
    check_refused(&body(&[("name=model; filename*=x", "m")]), bad);
    check_refused(&body(&[("name=model", "")]), bad);
    check_refused(&body(&[("name=model", &"m".repeat(MAX_MODEL + 1))]), bad);
    check_refused(&body(&[("name=model", &"m".repeat(1 << 20))]), bad);
    check_found(&body(&[("name=model", &"m".repeat(MAX_MODEL))]), &"m".repeat(MAX_MODEL));
    check_headers("Content-Disposition: form-data; name=model\r\nContent-Transfer-Encoding: base64", bad);
    let bytes = [&b"--b0\r\nContent-Disposition: form-data; name=model\r\n\r\n"[..], b"\xff\r\n--b0--"].concat();
    assert_eq!(scan(&[&bytes]), Err(bad));
}

#[test]
fn f56_parts_and_headers_are_bounded() {
    let parts = vec![("name=\"x\"", ""); MAX_PARTS];
    assert_eq!(scan(&[body(&parts).as_bytes()]), Ok(None));
    check_refused(&body(&vec![("name=\"x\"", ""); 10_000]), MultipartError::TooManyParts);
    check_headers(&format!("X: {}", "y".repeat(MAX_HEADERS)), MultipartError::HeadersTooLarge);
}

#[test]
fn f56_a_cut_body_is_no_body() {
    let whole = body(&[("name=\"model\"", "m")]);
    let closed = whole.rfind("--").unwrap() + 2;
    for end in 0..closed {
        assert_eq!(scan(&[&whole.as_bytes()[..end]]), Err(MultipartError::Truncated), "{end}");
    }
}

#[test]
fn progress_is_told_once() {
    let mut finder = ModelFinder::new("b0");
    let whole = body(&[("name=\"model\"", "m"), ("name=\"x\"", "y")]);
    let (head, tail) = whole.split_at(whole.find("\r\n--b0\r\n").unwrap() + 8);
    assert!(matches!(finder.push(head.as_bytes()), Ok(Progress::Found(field)) if field.value == "m"));
    assert_eq!(finder.push(tail.as_bytes()), Ok(Progress::More));
    assert!(finder.ended());
    let mut finder = ModelFinder::new("b0");
    assert_eq!(finder.push(body(&[("name=\"x\"", "y")]).as_bytes()), Ok(Progress::NotThere));
    assert_eq!(finder.push(b"more"), Ok(Progress::More));
    assert_eq!(finder.finish(), Ok(None));
}

#[test]
fn boundaries_of_content_types() {
    let ok = |text: &str| boundary_of(text).unwrap();
    assert_eq!(ok("multipart/form-data; boundary=abc"), "abc");
    assert_eq!(ok("Multipart/Form-Data;charset=utf-8; Boundary=\"a b:c\""), "a b:c");
    assert_eq!(ok("multipart/form-data; boundary=----WebKitFormBoundary7MA4;"), "----WebKitFormBoundary7MA4");
    let long = "b".repeat(71);
    for bad in [
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=abc",
        "application/json; boundary=abc",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a ",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a\r\nb\"",
        "multipart/form-data; boundary=é",
        &format!("multipart/form-data; boundary={long}"),
    ] {
        assert_eq!(boundary_of(bad), Err(MultipartError::NoBoundary), "{bad}");
    }
}

#[test]
fn errors_name_the_fix() {
    let text = |error: MultipartError| error.to_string();
    assert_eq!(text(MultipartError::DuplicateModel), "'model' appears more than once in the form, send it once");
    assert_eq!(text(MultipartError::Malformed("x")), "invalid multipart body: x");
    assert_eq!(text(MultipartError::BadModel), "'model' must be a text field of 1 to 256 bytes, not a file");
}

fn parts() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("model"), Just("file\"; filename=\"x"), Just("n"), Just("m\\")];
    let piece = prop_oneof![Just("\r\n"), Just("--b0"), Just("--b"), Just("-"), Just("\r"), Just("x"), Just("é")];
    let content = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    prop::collection::vec((name, content), 0..4).prop_map(|parts| {
        let named: Vec<_> = parts.iter().map(|(name, content)| (format!("name=\"{name}\""), content)).collect();
        let parts: Vec<_> = named.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        body(&parts)
    })
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_verdict(
        body in parts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bytes = body.as_bytes();
        let whole = scan(&[bytes]);
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<_> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&whole, &scan(&chunks));
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &scan(&single));
        if let Ok(Some(field)) = whole {
            prop_assert_eq!(&body[field.start as usize..field.end as usize], field.value);
        }
    }

    #[test]
    fn takes_any_bytes(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5)) {
        let mut finder = ModelFinder::new("b0");
        for chunk in &chunks {
            if finder.push(chunk).is_err() {
                return Ok(());
            }
        }
    }

    #[test]
    fn takes_any_headers(headers in "(Content-Disposition:|form-data|;|name=|\"|model|\r\n|\\\\| |filename\\*=|:){0,20}") {
        let _ = scan(&[format!("--b0\r\n{headers}\r\n\r\nm\r\n--b0--").as_bytes()]);
    }

    #[test]
    fn takes_any_content_type(text in "(multipart/form-data)?[; =\"a-z\\\\éboundary]{0,30}") {
        let _ = boundary_of(&text);
    }
}
