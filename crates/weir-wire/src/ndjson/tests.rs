use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Everything a framer makes of these chunks.
fn run(limit: usize, chunks: &[&[u8]]) -> Vec<Result<Line, LineTooLarge>> {
    let mut framer = NdjsonFramer::new(limit);
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        out.extend(std::iter::from_fn(|| framer.next()));
    }
    out.extend(framer.end().map(Ok));
    out
}

fn check(input: &str, expected: &[&str]) {
    let lines: Vec<Line> = run(1000, &[input.as_bytes()]).into_iter().map(Result::unwrap).collect();
    let data: Vec<&str> = lines.iter().map(|line| std::str::from_utf8(line.data()).unwrap()).collect();
    assert_eq!(data, expected, "{input:?}");
}

#[test]
fn lines_end_in_a_line_feed_and_the_last_may_lack_it() {
    check("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]);
    check("{\"a\":1}\r\n\r\n{\"b\":2}", &["{\"a\":1}", "", "{\"b\":2}"]);
    check("{\r}\n", &["{\r}"]);
    check("", &[]);
    check("\n", &[""]);
}

#[test]
fn a_line_within_a_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from_static(b"1\n2\n3");
    let mut framer = NdjsonFramer::new(10);
    framer.push(chunk.clone());
    assert_eq!(framer.next().unwrap().unwrap().raw.as_ptr(), chunk.as_ptr());
    assert_eq!(framer.next().unwrap().unwrap().raw.as_ptr(), chunk[2..].as_ptr());
    assert!(framer.next().is_none());
    framer.push(Bytes::from_static(b"4\n"));
    assert_eq!(framer.next().unwrap().unwrap().raw, "34\n");
    assert_eq!(framer.end(), None);
}

#[test]
fn a_line_beyond_the_limit_is_refused_and_nothing_is_kept() {
    let refused = Err(LineTooLarge { limit: 4 });
    assert_eq!(run(4, &[b"123\n1234\n", b"1\n"]).pop().as_ref(), Some(&refused));
    assert_eq!(run(4, &[b"12", b"34", b"5", b"\n1\n"]), [refused]);
    assert_eq!(run(4, &[b"123\n"]).len(), 1);
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_lines_and_loses_nothing(
        input in vec(prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 6 => any::<u8>()], 0..80),
        size in 1..20usize,
    ) {
        let chunks: Vec<&[u8]> = input.chunks(size).collect();
        let lines = run(1000, &chunks);
        prop_assert_eq!(&lines, &run(1000, &[&input]));
        let raw: Vec<u8> = lines.into_iter().flat_map(|line| line.unwrap().raw).collect();
        prop_assert_eq!(raw, input);
    }

    #[test]
    fn the_limit_holds_whatever_the_cutting(input in vec(prop_oneof![1 => Just(b'\n'), 4 => any::<u8>()], 0..60), size in 1..9usize) {
        let chunks: Vec<&[u8]> = input.chunks(size).collect();
        prop_assert_eq!(run(6, &chunks), run(6, &[&input]));
    }
}
