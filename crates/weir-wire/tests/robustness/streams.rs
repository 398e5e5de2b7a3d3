//! Streams, and what cuts them into frames.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::eventstream::{Message, MessageFramer};
use weir_wire::gemini::{ArrayFramer, Framing};
use weir_wire::http1::{Inspector, MAX_HEAD, Step};
use weir_wire::hub::{Dialect, Event, Fold, Ids, Reply};
use weir_wire::ndjson::NdjsonFramer;
use weir_wire::rules::UsageRules;
use weir_wire::sse::{Frame, SseFramer};
use weir_wire::tap::{Flavor, Seen, StreamTap};
use weir_wire::{anthropic, bedrock, cohere, gemini, openai_chat, openai_responses};

use super::{bounded, is_json, whole};

/// The most a framer may hold: small, so that its bound is met.
const FRAME: usize = 64 << 10;
/// How a body comes: in pieces that are no frames.
const PIECE: usize = 61;
/// By how much the bytes of a stream may grow: an event of one letter becomes one of 300 bytes, and a
/// response repeats its text four times.
const FACTOR: usize = 512;

fn rules() -> Arc<UsageRules> {
    Arc::new(UsageRules::default())
}

/// Cuts server-sent events. Their bytes are those that came, until one is too large.
fn frames(data: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = SseFramer::new(FRAME);
    let mut frames = Vec::new();
    for chunk in data.chunks(piece.max(1)) {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next() {
            let Ok(frame) = frame else { return frames };
            frames.push(frame);
        }
    }
    frames.extend(framer.end());
    let rest = framer.take_rest();
    let came: usize = frames.iter().map(|frame| frame.raw.len()).sum();
    assert!(came + rest.len() <= data.len(), "{came} and {} bytes of {}", rest.len(), data.len());
    frames
}

/// What a decoder made of a stream: bounded, and ended once, at its end. Then it is written for every
/// caller, as a stream and as a whole answer.
fn events(data: &[u8], source: Dialect, events: Vec<Event>) {
    let ends = |event: &Event| matches!(event, Event::End | Event::Error(_));
    assert_eq!(events.iter().filter(|event| ends(event)).count(), 1, "{:?}", events.last());
    assert!(events.last().is_some_and(ends), "{:?}", events.last());
    bounded("events", data, events.len(), 16);
    let good = matches!(events.last(), Some(Event::End));
    if let Some(Event::Error(error)) = events.last() {
        whole::upstream(data, error);
    }
    encoded(data, source, &events, good);
    let mut fold = Fold::new(1 << 20);
    let folded = events.into_iter().try_for_each(|event| fold.push(event)).and_then(|()| fold.finish());
    assert!(good || folded.is_err(), "an answer that failed is none");
    if let Ok(answer) = folded {
        whole::encode_answer(data, source, &answer);
    }
}

/// Writes events for callers of every dialect. Only a stream that ended well has a last word.
fn encoded(data: &[u8], source: Dialect, events: &[Event], good: bool) {
    let reply = || Reply { source, now: 1, model: "m".to_owned(), ids: Ids::new(1) };
    let mut chat = (openai_chat::StreamEncoder::new(reply(), true), String::new());
    let mut responses = (openai_responses::StreamEncoder::new(reply()), String::new());
    let mut messages = (anthropic::StreamEncoder::new(reply()), String::new());
    let mut google = (gemini::StreamEncoder::new(reply(), Framing::Sse), String::new());
    let mut array = (gemini::StreamEncoder::new(reply(), Framing::Array), String::new());
    for event in events {
        chat.0.push(event, &mut chat.1);
        responses.0.push(event, &mut responses.1);
        messages.0.push(event, &mut messages.1);
        google.0.push(event, &mut google.1);
        array.0.push(event, &mut array.1);
    }
    let ended =
        |text: &str, word: &str| assert!(good || text.lines().all(|line| line != word), "{word} behind an error");
    ended(&chat.1, "data: [DONE]");
    ended(&responses.1, "event: response.completed");
    ended(&messages.1, "event: message_stop");
    for (name, text) in
        [("chat", &chat.1), ("responses", &responses.1), ("anthropic", &messages.1), ("gemini", &google.1)]
    {
        bounded(name, data, text.len(), FACTOR);
        lines(name, text);
    }
    is_json("a stream that is a list", &array.1);
}

/// Every line of data is JSON, and every event ends.
fn lines(name: &str, text: &str) {
    assert!(text.is_empty() || text.ends_with("\n\n"), "{name}: {text}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with([':'])) {
        match line.strip_prefix("data: ") {
            Some("[DONE]") => {}
            Some(json) => is_json(name, json),
            None => assert!(line.starts_with("event: "), "{name}: {line}"),
        }
    }
}

/// A decoder of server-sent events, fed.
macro_rules! decoded {
    ($data:expr, $source:expr, $decoder:expr) => {{
        let (mut decoder, mut made) = ($decoder, Vec::new());
        for frame in frames($data, PIECE) {
            decoder.push(&frame, &mut made);
        }
        decoder.end(&mut made);
        decoder.end(&mut made);
        events($data, $source, made);
    }};
}

pub(super) fn openai_chat(data: &[u8]) {
    decoded!(data, Dialect::OpenAiChat, openai_chat::StreamDecoder::new(rules()));
}

pub(super) fn openai_responses(data: &[u8]) {
    decoded!(data, Dialect::OpenAiResponses, openai_responses::StreamDecoder::new(rules()));
}

pub(super) fn anthropic(data: &[u8]) {
    decoded!(data, Dialect::Anthropic, anthropic::StreamDecoder::new(rules()));
}

pub(super) fn gemini(data: &[u8]) {
    decoded!(data, Dialect::Gemini, gemini::StreamDecoder::new(rules()));
}

pub(super) fn cohere(data: &[u8]) {
    decoded!(data, Dialect::Cohere, cohere::StreamDecoder::new(rules()));
}

pub(super) fn gemini_array(data: &[u8]) {
    let (mut decoder, mut made) = (gemini::StreamDecoder::new(rules()), Vec::new());
    for element in elements(data, PIECE).0 {
        decoder.push_chunk(&element, &mut made);
    }
    decoder.end(&mut made);
    events(data, Dialect::Gemini, made);
}

/// Lines of `name {json}`, as events of that name: checksums would keep mutations from the decoder.
pub(super) fn bedrock(data: &[u8]) {
    let (mut decoder, mut made) = (bedrock::StreamDecoder::new(), Vec::new());
    for line in data.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let (name, json) = text.split_once(' ').unwrap_or((&text, ""));
        let json = Bytes::copy_from_slice(json.as_bytes());
        let exception = name.ends_with("Exception");
        let message = if exception { Message::exception(name, json) } else { Message::event(name, json) };
        decoder.push(&message, &mut made);
    }
    decoder.end(&mut made);
    events(data, Dialect::Bedrock, made);
}

pub(super) fn bedrock_binary(data: &[u8]) {
    let (mut decoder, mut made) = (bedrock::StreamDecoder::new(), Vec::new());
    messages(data, PIECE).iter().for_each(|message| decoder.push(message, &mut made));
    decoder.end(&mut made);
    events(data, Dialect::Bedrock, made);
}

pub(super) fn tap(data: &[u8]) {
    for flavor in [Flavor::Chat, Flavor::Completions, Flavor::Responses, Flavor::Other] {
        let mut tap = StreamTap::new(flavor, rules());
        for frame in frames(data, PIECE) {
            if let Seen::Error(error) = tap.observe(&frame) {
                whole::upstream(data, &error);
            }
        }
        bounded("the tap's text", data, tap.output_text().len(), 4);
    }
}

/// However the bytes are cut the frames are the same.
pub(super) fn sse(data: &[u8]) {
    let told = |frames: Vec<Frame>| -> Vec<_> {
        frames
            .iter()
            .map(|frame| (frame.raw.clone(), frame.event().map(str::to_owned), frame.data().to_vec()))
            .collect()
    };
    assert_eq!(told(frames(data, data.len())), told(frames(data, 1)));
}

pub(super) fn ndjson(data: &[u8]) {
    let lines = |piece: usize| {
        let mut framer = NdjsonFramer::new(FRAME);
        let mut lines = Vec::new();
        for chunk in data.chunks(piece.max(1)) {
            framer.push(Bytes::copy_from_slice(chunk));
            while let Some(line) = framer.next() {
                let Ok(line) = line else { return lines };
                lines.push(line.data().to_vec());
            }
        }
        lines.extend(framer.end().map(|line| line.data().to_vec()));
        lines
    };
    let made = lines(data.len());
    assert_eq!(made, lines(1));
    bounded("lines", data, made.iter().map(Vec::len).sum(), 1);
}

fn messages(data: &[u8], piece: usize) -> Vec<Message> {
    let mut framer = MessageFramer::new(FRAME);
    let mut messages = Vec::new();
    for chunk in data.chunks(piece.max(1)) {
        framer.push(chunk);
        while let Some(message) = framer.next() {
            let Ok(message) = message else { return messages };
            messages.push(message);
        }
    }
    messages
}

pub(super) fn eventstream(data: &[u8]) {
    let whole = messages(data, data.len());
    assert_eq!(whole, messages(data, 1));
    bounded("messages", data, whole.iter().map(|message| message.payload.len()).sum(), 1);
}

/// The elements, and whether the array is whole.
fn elements(data: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = ArrayFramer::new(FRAME);
    let mut elements = Vec::new();
    for chunk in data.chunks(piece.max(1)) {
        if framer.push(chunk, &mut elements).is_err() {
            break;
        }
    }
    let complete = framer.complete();
    (elements, complete)
}

pub(super) fn array(data: &[u8]) {
    let made = elements(data, data.len());
    assert_eq!(made, elements(data, 1));
    bounded("elements", data, made.0.iter().map(Vec::len).sum(), 1);
}

/// The requests of a connection: however they come, the same bytes pass and the end is the same; heads are bounded.
pub(super) fn http1(data: &[u8]) {
    let whole = inspected(data, data.len().max(1));
    for pieces in [1, 3, 64] {
        assert_eq!(inspected(data, pieces), whole, "in pieces of {pieces}");
    }
}

fn inspected(data: &[u8], pieces: usize) -> (usize, Step) {
    let (mut inspector, mut held, mut passed) = (Inspector::default(), Vec::new(), 0);
    for piece in data.chunks(pieces) {
        held.extend_from_slice(piece);
        loop {
            match inspector.step(&held) {
                Step::Pass(taken) => {
                    assert!((1..=held.len()).contains(&taken), "{taken} of {}", held.len());
                    held.drain(..taken);
                    passed += taken;
                }
                Step::Wait => break,
                end => return (passed, end),
            }
        }
        assert!(held.len() < MAX_HEAD, "a head of {}", held.len());
    }
    (passed, Step::Wait)
}
