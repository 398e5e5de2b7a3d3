use proptest::prelude::*;

use super::authority::{are_same, is_plain};
use super::*;

/// Shows bytes in pieces of so many, as a connection does; what was passed on, and how it ended.
fn show(bytes: &[u8], pieces: usize) -> (Vec<u8>, Step) {
    let (mut inspector, mut passed, mut held) = (Inspector::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(pieces.max(1)) {
        held.extend_from_slice(piece);
        loop {
            match inspector.step(&held) {
                Step::Pass(taken) => passed.extend(held.drain(..taken)),
                Step::Wait => break,
                end => return (passed, end),
            }
        }
    }
    (passed, Step::Wait)
}

fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nhost: x\r\n{fields}\r\n").into_bytes()
}

fn passes(bytes: &[u8]) {
    let (passed, end) = show(bytes, usize::MAX);
    assert_eq!((passed.len(), end), (bytes.len(), Step::Wait), "{:?}", String::from_utf8_lossy(bytes));
}

fn refused(bytes: &[u8], status: u16, code: &str) {
    let (passed, end) = show(bytes, usize::MAX);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let Step::Refuse(refusal) = end else { panic!("{end:?}: {shown:?}") };
    assert_eq!((refusal.status, refusal.code, passed.len()), (status, code, 0), "{shown:?}");
}

#[test]
fn ordinary_requests_pass() {
    for head in [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost:x\r\n\r\n",
        "GET http://x/a?b HTTP/1.1\r\nHost: X:80\r\n\r\n",
        "GET https://x HTTP/1.1\r\nHost: x:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
        "GET /v1beta/models/m:generate?alt=sse&x={a}|`b HTTP/1.1\r\nhost: a-b.example:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \t x \t\r\nempty:\r\nlatin: \u{e9}\r\ntab: a\tb\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nt: v\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        passes(head.as_bytes());
    }
}

#[test]
fn what_has_two_readings_is_refused() {
    for (line, fields, code) in [
        ("GET  / HTTP/1.1", "", "invalid_request_line"),
        ("GET / HTTP/1.1 ", "", "invalid_request_line"),
        ("GET /", "", "invalid_request_line"),
        ("GET / HTTP/2.0", "", "invalid_request_line"),
        ("GET / http/1.1", "", "invalid_request_line"),
        ("G(T / HTTP/1.1", "", "invalid_request_line"),
        ("get / HTTP/1.1", "", "invalid_method"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2", "", "proxy_not_trusted"),
        ("GET x HTTP/1.1", "", "invalid_target"),
        ("GET * HTTP/1.1", "", "invalid_target"),
        ("GET ftp://x/ HTTP/1.1", "", "invalid_target"),
        ("GET /a#b HTTP/1.1", "", "invalid_target"),
        ("GET /a\\b HTTP/1.1", "", "invalid_target"),
        ("GET /\u{e9} HTTP/1.1", "", "invalid_target"),
        ("GET http://u@x/ HTTP/1.1", "", "invalid_target"),
        ("GET http://evil/ HTTP/1.1", "", "invalid_host"),
        ("GET / HTTP/1.1", "host: x\r\n", "invalid_host"),
        ("GET / HTTP/1.1", "a\r\n", "invalid_header"),
        ("GET / HTTP/1.1", "a : b\r\n", "invalid_header"),
        ("GET / HTTP/1.1", " a: b\r\n", "invalid_header"),
        ("GET / HTTP/1.1", ": b\r\n", "invalid_header"),
        ("GET / HTTP/1.1", "a: b\rc\r\n", "invalid_header"),
        ("GET / HTTP/1.1", "a: b\0c\r\n", "invalid_header"),
        ("GET / HTTP/1.1", "a: b\u{b}c\r\n", "invalid_header"),
        ("GET / HTTP/1.1", "a: b\n", "invalid_line_ending"),
        ("POST / HTTP/1.1", "content-length: 3\r\ntransfer-encoding: chunked\r\n", "invalid_transfer_encoding"),
        ("POST / HTTP/1.1", "transfer-encoding: chunked\r\ncontent-length: 3\r\n", "invalid_transfer_encoding"),
        (
            "POST / HTTP/1.1",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "invalid_transfer_encoding",
        ),
        ("POST / HTTP/1.0", "transfer-encoding: chunked\r\n", "invalid_transfer_encoding"),
    ] {
        refused(&request(line, fields), 400, code);
    }
    refused(&request("CONNECT x:80 HTTP/1.1", ""), 405, "method_not_allowed");
    for value in ["identity", "xchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked,", ""] {
        let fields = format!("transfer-encoding: {value}\r\n");
        refused(&request("POST / HTTP/1.1", &fields), 400, "invalid_transfer_encoding");
    }
    for value in [
        "3\r\ncontent-length: 3",
        "3\r\ncontent-length: 4",
        "3, 3",
        "+3",
        "0x3",
        "-1",
        "",
        "3 3",
        "99999999999999999999",
    ] {
        let fields = format!("content-length: {value}\r\n");
        refused(&request("POST / HTTP/1.1", &fields), 400, "invalid_content_length");
    }
    for host in [
        "",
        "a b",
        "a@b",
        "a/b",
        "a#b",
        "localhost:4000/#@evil",
        "a:b",
        "a:",
        ":80",
        "[::1",
        "a,b",
        "a%2fb",
        "\u{e9}",
        "x:123456",
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        refused(head.as_bytes(), 400, "invalid_host");
    }
    refused(b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_host");
    refused(b"GET / HTTP/1.1\nhost: x\n\n", 400, "invalid_line_ending");
    refused(b"\n\n", 400, "invalid_line_ending");
}

#[test]
fn what_cannot_become_a_head_is_not_waited_for() {
    refused(b"\x16\x03\x01", 400, "tls_on_plain_port");
    refused(b"\x00", 400, "invalid_request_line");
    refused(b"{\"model\"", 400, "invalid_request_line");
    assert_eq!(show(b"G", 1), (vec![], Step::Wait));
}

#[test]
fn heads_are_bounded() {
    let with = |count: usize| request("GET / HTTP/1.1", &"a: 1\r\n".repeat(count - 1));
    passes(&with(MAX_HEADERS));
    refused(&with(MAX_HEADERS + 1), 431, "headers_too_many");
    let long = |length: usize| {
        let rest = request("GET / HTTP/1.1", "a: \r\n").len();
        request("GET / HTTP/1.1", &format!("a: {}\r\n", "y".repeat(length - rest)))
    };
    passes(&long(MAX_HEAD));
    refused(&long(MAX_HEAD + 1), 431, "headers_too_large");
    refused(&vec![b'G'; MAX_HEAD], 431, "headers_too_large");
}

#[test]
fn a_broken_body_ends_it_after_what_was_right() {
    let head = request("POST / HTTP/1.1", "transfer-encoding: chunked\r\n");
    for (right, wrong) in [
        ("", "x"),
        ("", "\r\n"),
        ("0", "x3\r\n"),
        ("2", "\n"),
        ("2", " \r\n"),
        ("2;a", "\n"),
        ("2\r", "x"),
        ("2\r\nab", "c"),
        ("2\r\nab\r", "c"),
        ("2\r\nab", "\n"),
        ("0\r\n", "\n"),
        ("0\r\nt: v", "\n"),
        ("0\r\nt: v\r", "x"),
        ("0\r\n\r", "x"),
        ("0000000000000001", "0"),
    ] {
        let bytes = [&head, right.as_bytes(), wrong.as_bytes()].concat();
        for pieces in [1, 7, usize::MAX] {
            let (passed, end) = show(&bytes, pieces);
            assert!(matches!(end, Step::Broken(_)), "{right:?} {wrong:?}: {end:?}");
            assert_eq!(passed.len(), head.len() + right.len(), "{right:?} {wrong:?}");
        }
    }
    let endless = [&head, b"1;".as_slice(), &vec![b'x'; 17 * 1024]].concat();
    assert!(matches!(show(&endless, 1000).1, Step::Broken(_)));
}

#[test]
fn hosts_are_compared_with_their_ports() {
    assert!(are_same(b"http", b"X", b"x:80") && are_same(b"HTTPS", b"x:443", b"x"));
    assert!(!are_same(b"http", b"x", b"x:81") && !are_same(b"http", b"x", b"y") && !are_same(b"https", b"x", b"x:80"));
    assert!(are_same(b"http", b"[::1]:80", b"[::1]"));
    assert!(is_plain(b"[::ffff:1.2.3.4]:1") && !is_plain(b"[x]") && !is_plain(b"[]") && !is_plain(b"::1"));
}

/// Pieces of requests, right and wrong ones.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\n",
        "POST /a HTTP/1.0\r\n",
        "host: x\r\n",
        "Host: y\r\n",
        "\r\n",
        "\n",
        "\r",
        "content-length: 5\r\n",
        "content-length: 0\r\n",
        "Content-Length : 5\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "5;x\r\n",
        "a: b\r\n",
        " b\r\n",
        "\0",
        ":",
        "GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]);
    prop_oneof![
        4 => proptest::collection::vec(words, 0..12).prop_map(|words| words.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the bytes are cut, the same ones pass and the end is the same.
    #[test]
    fn cutting_changes_nothing(bytes in soup(), pieces in 1_usize..40) {
        prop_assert_eq!(show(&bytes, pieces), show(&bytes, usize::MAX));
    }

    /// A head that passes is one for the parser behind, which sees the same host and lengths and no byte more.
    #[test]
    fn a_parser_agrees(bytes in soup()) {
        let mut inspector = Inspector::default();
        let Step::Pass(length) = inspector.step(&bytes) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut fields);
        prop_assert_eq!(parsed.parse(&bytes), Ok(httparse::Status::Complete(length)));
        let named = |name: &str| parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
        prop_assert!(named("host") <= 1 && named("content-length") + named("transfer-encoding") <= 1);
    }

    /// What was passed on and is shown again passes again.
    #[test]
    fn what_passed_passes(bytes in soup()) {
        let (passed, _) = show(&bytes, usize::MAX);
        prop_assert_eq!(show(&passed, 3).0.len(), passed.len());
    }
}
