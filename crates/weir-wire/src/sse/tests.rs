use proptest::prelude::*;

use super::*;

/// Everything a framer makes of these chunks: the outcomes in order, and the rest.
fn run(max_frame: usize, chunks: &[&[u8]]) -> (Vec<Result<Frame, FrameTooLarge>>, Bytes) {
    let mut framer = SseFramer::new(max_frame);
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        out.extend(std::iter::from_fn(|| framer.next()));
    }
    out.extend(framer.end().map(Ok));
    (out, framer.take_rest())
}

fn frames(input: &[u8]) -> Vec<Frame> {
    let (out, _) = run(usize::MAX, &[input]);
    out.into_iter().map(Result::unwrap).collect()
}

/// The events in `input`: name and data, frames without data left out.
fn check(input: &str, expected: &[(Option<&str>, &str)]) {
    let frames = frames(input.as_bytes());
    let events: Vec<_> = frames
        .iter()
        .map(|frame| (frame.event(), String::from_utf8(frame.data().into_owned()).unwrap()))
        .filter(|(_, data)| !data.is_empty())
        .collect();
    let events: Vec<_> = events.iter().map(|(event, data)| (*event, data.as_str())).collect();
    assert_eq!(events, expected, "{input:?}");
}

#[test]
fn f18_lines_end_in_every_way() {
    for eol in ["\n", "\r", "\r\n"] {
        let input = "event: a|data: 1||data:2||: note||data: 3|data: 4||".replace('|', eol);
        check(&input, &[(Some("a"), "1"), (None, "2"), (None, "3\n4")]);
    }
    check("data: 1\r\n\ndata: 2\n\rdata: 3\r\r\n", &[(None, "1"), (None, "2"), (None, "3")]);
}

#[test]
fn f18_fields_follow_the_standard() {
    check("data:  two spaces\n\n", &[(None, " two spaces")]);
    check("data\ndata: x\n\n", &[(None, "\nx")]);
    check("data:\ndata:\n\n", &[(None, "\n")]);
    check("id: 7\nretry: 10\ndata: x\n\n", &[(None, "x")]);
    check("datax: no\n data: no\nDATA: no\n\n", &[]);
    check("event: a\nevent: b\ndata: x\n\n", &[(Some("b"), "x")]);
    check(":data: comment\n\n", &[]);
}

#[test]
fn f18_a_byte_order_mark_counts_only_at_the_start() {
    check("\u{feff}data: x\n\n\u{feff}data: y\n\n", &[(None, "x")]);
    check("\u{feff}\ndata: x\n\n", &[(None, "x")]);
}

#[test]
fn f18_without_a_blank_line_there_is_no_frame() {
    let (out, rest) = run(100, &[b"data: x\ndata: y\n"]);
    assert_eq!((out.len(), rest.as_ref()), (0, b"data: x\ndata: y\n".as_ref()));
}

#[test]
fn comments_and_blank_lines_are_frames_to_forward() {
    let raws: Vec<_> = frames(b": ping\n\n\n\r\ndata: x\n\n").into_iter().map(|f| f.raw).collect();
    assert_eq!(raws, [": ping\n\n", "\n", "\r\n", "data: x\n\n"]);
}

#[test]
fn a_frame_within_a_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\ndata:");
    let mut framer = SseFramer::new(100);
    framer.push(chunk.clone());
    let first = framer.next().unwrap().unwrap();
    let second = framer.next().unwrap().unwrap();
    assert_eq!(first.raw.as_ptr(), chunk.as_ptr());
    assert_eq!(second.raw.as_ptr(), chunk[9..].as_ptr());
    assert!(framer.next().is_none());
    framer.push(Bytes::from_static(b" 3\n\n"));
    assert_eq!(framer.next().unwrap().unwrap().raw, "data: 3\n\n");
    assert_eq!(framer.take_rest(), "");
}

#[test]
fn a_frame_ending_in_a_carriage_return_waits_for_its_line_feed() {
    let mut framer = SseFramer::new(100);
    framer.push(Bytes::from_static(b"data: 1\r\r"));
    assert!(framer.next().is_none());
    framer.push(Bytes::from_static(b"\ndata: 2\r\r"));
    assert_eq!(framer.next().unwrap().unwrap().raw, "data: 1\r\r\n");
    assert!(framer.next().is_none());
    assert_eq!(framer.end().unwrap().raw, "data: 2\r\r");
    assert_eq!(framer.end(), None);
    assert_eq!(framer.take_rest(), "");
}

#[test]
fn f21_a_frame_beyond_the_limit_is_refused_and_nothing_is_kept() {
    let limit = FrameTooLarge { limit: 16 };
    let mut framer = SseFramer::new(16);
    framer.push(Bytes::from_static(b"data: ok\n\ndata: "));
    assert!(framer.next().unwrap().is_ok());
    assert!(framer.next().is_none());
    framer.push(Bytes::from(vec![b'x'; 50 << 20]));
    assert_eq!(framer.next(), Some(Err(limit)));
    framer.push(Bytes::from_static(b"data: ok\n\n"));
    assert_eq!(framer.next(), None);
    assert_eq!(framer.take_rest(), "");
    assert_eq!(limit.to_string(), "a stream event is larger than 16 bytes");
}

#[test]
fn raw_offsets_lead_from_data_to_the_bytes() {
    let frame = Frame::new(Bytes::from_static(b": c\ndata: ab\r\nid: 1\r\ndata:cd\r\n\r\n"), true);
    assert_eq!(frame.data().as_ref(), b"ab\ncd");
    for (offset, byte) in [(0, b'a'), (1, b'b'), (3, b'c'), (4, b'd')] {
        assert_eq!(frame.raw[frame.raw_offset(offset).unwrap()], byte);
    }
    assert_eq!(frame.raw_offset(6), None);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("data: "),
        Just("data:"),
        Just("event: x"),
        Just(": note"),
        Just("{\"a\":\"é😀\"}"),
        Just("\u{feff}"),
        Just("[DONE]"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn f19_any_cutting_gives_the_same_frames(
        input in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        max_frame in prop_oneof![Just(usize::MAX), 1usize..40],
    ) {
        let whole = run(max_frame, &[&input]);
        prop_assert_eq!(&whole, &run(max_frame, &cut(&input, &cuts)));
        let bytes: Vec<_> = input.chunks(1).collect();
        prop_assert_eq!(&whole, &run(max_frame, &bytes));
    }

    #[test]
    fn frames_and_rest_are_the_input(input in stream()) {
        let (out, rest) = run(usize::MAX, &[&input]);
        let mut joined: Vec<u8> = out.iter().flat_map(|f| f.as_ref().unwrap().raw.to_vec()).collect();
        joined.extend_from_slice(&rest);
        prop_assert_eq!(joined, input);
    }

    #[test]
    fn takes_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
        for frame in frames(&input) {
            let data = frame.data();
            let _ = frame.event();
            for (offset, byte) in data.iter().enumerate() {
                let at = frame.raw_offset(offset).unwrap();
                prop_assert!(frame.raw[at] == *byte || *byte == b'\n');
            }
        }
    }
}
