//! The laws of streams, and the odd things that servers send.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::{stream_of, streamable};
use super::laws::replace;
use crate::hub::{Answer, Dialect, Event, Extra, Fold, FoldError, StopReason};
use crate::ndjson::NdjsonFramer;
use crate::ollama::{StreamDecoder, decode_answer};
use crate::rules::UsageRules;

/// The events of a stream's bytes, cut at these places.
fn decode_cut(stream: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    let mut framer = NdjsonFramer::new(1 << 20);
    let mut decoder = StreamDecoder::new(Arc::new(UsageRules::default()));
    let mut events = Vec::new();
    for pair in cuts.windows(2) {
        framer.push(Bytes::copy_from_slice(&stream[pair[0]..pair[1]]));
        while let Some(line) = framer.next() {
            decoder.push_line(&line.unwrap().raw, &mut events);
        }
    }
    if let Some(line) = framer.end() {
        decoder.push_line(line.data(), &mut events);
    }
    decoder.end(&mut events);
    events
}

/// The bytes of these lines.
fn stream(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn decode(lines: &[Value]) -> Vec<Event> {
    decode_cut(stream(lines).as_bytes(), &[])
}

fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(1 << 20);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

/// Members come in another order in a stream.
fn sort(answer: &mut Answer) {
    let sorted = |extra: &Extra| {
        let mut members = extra.members().to_vec();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        Extra::new(Dialect::Ollama, members)
    };
    answer.head.extra = sorted(&answer.head.extra);
    answer.choices[0].message_extra = sorted(&answer.choices[0].message_extra);
}

proptest! {
    #[test]
    fn a_stream_folds_to_the_whole_answer(tree in streamable(), step in 1..6usize, cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let mut whole = decode_answer(tree.to_string().as_bytes(), &UsageRules::default()).unwrap();
        let bytes = stream(&stream_of(&tree, step));
        let mut folded = fold(decode_cut(bytes.as_bytes(), &cuts)).unwrap();
        sort(&mut folded);
        sort(&mut whole);
        prop_assert_eq!(folded, whole);
    }

    #[test]
    fn any_cutting_gives_the_same_events(tree in streamable(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let lines = stream_of(&tree, 2);
        prop_assert_eq!(decode_cut(stream(&lines).as_bytes(), &cuts), decode(&lines));
    }

    #[test]
    fn a_stream_cut_short_is_an_error(tree in streamable(), at in any::<usize>()) {
        let mut lines = stream_of(&tree, 2);
        lines.pop();
        let bytes = stream(&lines);
        let events = decode_cut(&bytes.as_bytes()[..at % (bytes.len() + 1)], &[]);
        prop_assert!(matches!(events.last(), Some(Event::Error(_))));
        let finished = events.iter().any(|event| matches!(event, Event::End | Event::Finish { .. }));
        prop_assert!(!finished);
    }

    #[test]
    fn one_part_is_open_at_a_time(tree in streamable()) {
        let mut open = None;
        for event in decode(&stream_of(&tree, 3)) {
            match event {
                Event::PartStart { part, .. } => prop_assert_eq!(open.replace(part), None),
                Event::Delta { part, .. } => prop_assert_eq!(open, Some(part)),
                Event::PartEnd { part, .. } => prop_assert_eq!(open.take(), Some(part)),
                _ => {}
            }
        }
        prop_assert_eq!(open, None);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let events = decode_cut(&bytes, &[3, 17]);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
    }

    #[test]
    fn odd_lines_do_not_make_it_panic(tree in streamable(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), odd in 0..6usize) {
        let odd = [Value::Null, true.into(), json!(-1), "x".into(), json!([1, {}]), json!({"a": 1})][odd].clone();
        let mut lines = stream_of(&tree, 4);
        let which = which.index(lines.len());
        replace(&mut lines[which], at, odd);
        let events = decode(&lines);
        prop_assert!(matches!(events.last(), Some(Event::End | Event::Error(_))));
        prop_assert!(!matches!(fold(events), Err(FoldError::Misplaced)));
    }
}

fn line(content: &str) -> Value {
    json!({"model": "m", "message": {"role": "assistant", "content": content}, "done": false})
}

#[test]
fn an_error_may_come_in_place_of_any_line() {
    for before in 0..3 {
        let mut lines = vec![line("a"); before];
        lines.push(json!({"error": "the runner stopped"}));
        lines.push(json!({"message": {"content": ""}, "done": true, "done_reason": "stop"}));
        let events = decode(&lines);
        assert!(matches!(events.last(), Some(Event::Error(error)) if error.message == "the runner stopped"));
    }
}

#[test]
fn done_alone_ends_and_nothing_is_read_behind_it() {
    assert!(matches!(decode(&[line("a"), line("")]).last(), Some(Event::Error(_))));
    let last = json!({"message": {"content": "b"}, "done": true, "done_reason": "length"});
    let answer = fold(decode(&[line("a"), json!({"done": false}), last.clone(), last])).unwrap();
    assert_eq!(answer.choices[0].parts.len(), 1);
    assert_eq!(answer.choices[0].parts[0].as_text(), Some("ab"));
    assert_eq!(answer.choices[0].stop.as_ref().unwrap().reason, StopReason::Length);
    let silent = fold(decode(&[json!({"message": {"content": "b"}, "done": true})])).unwrap();
    assert_eq!(silent.choices[0].stop, None);
}

#[test]
fn blank_lines_say_nothing_and_broken_ones_end_the_stream() {
    let mut text = stream(&[line("a")]) + "\r\n\n";
    text += "{\"message\":{\"content\":\"b\"},\"done\":true}";
    assert_eq!(fold(decode_cut(text.as_bytes(), &[])).unwrap().choices[0].parts[0].as_text(), Some("ab"));
    let events = decode_cut(b"{\"message\":\n{}}\n", &[]);
    assert!(
        matches!(&events[..], [Event::Error(error)] if error.message.starts_with("the provider's stream is broken"))
    );
}
