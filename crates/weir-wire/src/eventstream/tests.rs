use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a framer makes of these chunks, and whether the end is clean.
fn run(limit: usize, chunks: &[&[u8]]) -> (Vec<Result<Message, MessageError>>, Result<(), MessageError>) {
    let mut framer = MessageFramer::new(limit);
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        out.extend(std::iter::from_fn(|| framer.next()));
    }
    (out, framer.end())
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let (out, end) = run(usize::MAX, &[bytes]);
    assert_eq!(end, Ok(()));
    out.into_iter().map(Result::unwrap).collect()
}

fn fails(bytes: &[u8]) -> MessageError {
    run(1 << 20, &[bytes]).0.pop().unwrap().unwrap_err()
}

/// The test vectors that the AWS SDKs ship: an empty message, and one with a payload and a header.
#[test]
fn the_published_vectors_are_read() {
    let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
    assert_eq!(messages(&empty), [Message { headers: vec![], payload: Bytes::new() }]);
    assert_eq!(encode(&messages(&empty)[0]), empty);
    let payload = [
        0, 0, 0, 29, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a, b'{', b'\'', b'f', b'o', b'o', b'\'', b':', b'\'', b'b', b'a',
        b'r', b'\'', b'}', 0xc3, 0x65, 0x39, 0x36,
    ];
    assert_eq!(messages(&payload)[0].payload, "{'foo':'bar'}");
}

#[test]
fn messages_say_what_they_are() {
    assert_eq!(Message::event("messageStop", "{}").kind(), Kind::Event("messageStop"));
    assert_eq!(Message::exception("throttlingException", "{}").kind(), Kind::Exception("throttlingException"));
    let headers = vec![
        Header::text(":message-type", "error"),
        Header::text(":error-code", "InternalError"),
        Header::text(":error-message", "it broke"),
    ];
    let error = Message { headers, payload: Bytes::new() };
    assert_eq!(error.kind(), Kind::Error { code: "InternalError", message: "it broke" });
    let none = Message { headers: vec![Header::text(":message-type", "gossip")], payload: Bytes::new() };
    assert_eq!(none.kind(), Kind::Unknown);
    let odd = Header { name: ":message-type".into(), value: HeaderValue::Bool(true) };
    assert_eq!(Message { headers: vec![odd], payload: Bytes::new() }.kind(), Kind::Unknown);
}

#[test]
fn broken_messages_are_refused_and_nothing_follows() {
    let good = encode(&Message::event("a", "{\"b\":1}"));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(fails(&bad), MessageError::Sum, "byte {at}");
    }
    let mut framer = MessageFramer::new(1 << 20);
    framer.push(&[1; 64]);
    assert_eq!(framer.next(), Some(Err(MessageError::Sum)));
    framer.push(&good);
    assert_eq!(framer.next(), None);
}

/// A prelude of these lengths with its sum.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

#[test]
fn impossible_and_excessive_lengths_are_refused_before_anything_is_held() {
    assert_eq!(fails(&prelude(15, 0)), MessageError::Lengths);
    assert_eq!(fails(&prelude(20, 5)), MessageError::Lengths);
    assert_eq!(fails(&prelude(u32::MAX, 0)), MessageError::TooLarge { limit: 1 << 20 });
    let framed = |total| run(usize::MAX, &[&prelude(total, 0)]).0.pop();
    assert_eq!(framed(30 << 20), Some(Err(MessageError::TooLarge { limit: MAX_PAYLOAD })));
    assert_eq!(framed(20 << 20), None);
    let headers = run(usize::MAX, &[&prelude(1 << 20, 200 << 10)]).0.pop();
    assert_eq!(headers, Some(Err(MessageError::TooLarge { limit: MAX_PAYLOAD })));
}

#[test]
fn a_message_cut_short_is_known_at_the_end() {
    let good = encode(&Message::event("a", "{}"));
    for cut in 1..good.len() {
        let (out, end) = run(1 << 20, &[&good[..cut]]);
        assert_eq!((out.len(), end), (0, Err(MessageError::Truncated)), "cut at {cut}");
    }
}

/// A message of these header bytes, its sums right.
fn with_headers(headers: &[u8]) -> Vec<u8> {
    let total = u32::try_from(OVERHEAD + headers.len()).unwrap();
    let mut out = prelude(total, total - 16);
    out.extend_from_slice(headers);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

#[test]
fn malformed_headers_are_refused() {
    for headers in [
        &[1][..],
        &[1, b'a'],
        &[1, b'a', 10],
        &[1, b'a', 7, 0],
        &[1, b'a', 7, 0, 9, b'x'],
        &[1, 0xff, 0],
        &[1, b'a', 7, 0, 1, 0xff],
        &[1, b'a', 9, 1, 2, 3],
    ] {
        assert_eq!(fails(&with_headers(headers)), MessageError::Headers, "{headers:?}");
    }
    assert_eq!(fails(&with_headers(&[1, b'a', 0].repeat(257))), MessageError::Headers);
}

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Short),
        any::<i32>().prop_map(HeaderValue::Int),
        any::<i64>().prop_map(HeaderValue::Long),
        vec(any::<u8>(), 0..20).prop_map(|bytes| HeaderValue::Bytes(bytes.into())),
        "\\PC{0,12}".prop_map(HeaderValue::Text),
        any::<i64>().prop_map(HeaderValue::Timestamp),
        any::<[u8; 16]>().prop_map(HeaderValue::Uuid),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let header = ("[:a-z-]{0,12}", value()).prop_map(|(name, value)| Header { name, value });
    (vec(header, 0..5), vec(any::<u8>(), 0..60))
        .prop_map(|(headers, payload)| Message { headers, payload: payload.into() })
}

proptest! {
    #[test]
    fn any_cutting_gives_the_messages_that_were_written(all in vec(message(), 0..5), size in 1..40usize) {
        let bytes: Vec<u8> = all.iter().flat_map(encode).collect();
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        let (out, end) = run(1 << 20, &chunks);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(out.into_iter().map(Result::unwrap).collect::<Vec<_>>(), all);
    }

    #[test]
    fn no_bytes_make_it_panic_and_cutting_changes_nothing(
        all in vec(message(), 0..3),
        noise in vec(any::<u8>(), 0..60),
        headers in vec(any::<u8>(), 0..40),
        at in any::<prop::sample::Index>(),
        size in 1..20usize,
    ) {
        let mut bytes: Vec<u8> = all.iter().flat_map(encode).collect();
        bytes.extend(with_headers(&headers));
        let at = at.index(bytes.len());
        bytes.splice(at..at, noise);
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        prop_assert_eq!(run(4096, &[&bytes]), run(4096, &chunks));
    }
}
