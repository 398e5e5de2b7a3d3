//! A stream's bytes to events, whatever their framing.

use std::sync::Arc;

use bytes::Bytes;

use crate::eventstream::MessageFramer;
use crate::fault::UpstreamError;
use crate::hub::{Dialect, Event};
use crate::ndjson::NdjsonFramer;
use crate::rules::UsageRules;
use crate::sse::{Frame, SseFramer};
use crate::{anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses};

/// Reads one stream of a provider. It ends in exactly one of [`Event::End`] and [`Event::Error`].
#[derive(Debug)]
pub struct Decoder {
    form: Form,
    /// The stream is over, or its framing was broken.
    closed: bool,
}

#[derive(Debug)]
enum Form {
    Sse(SseFramer, Box<Sse>),
    Messages(MessageFramer, bedrock::StreamDecoder),
    Lines(NdjsonFramer, ollama::StreamDecoder),
}

#[derive(Debug)]
enum Sse {
    Chat(openai_chat::StreamDecoder),
    Responses(openai_responses::StreamDecoder),
    Anthropic(anthropic::StreamDecoder),
    Gemini(gemini::StreamDecoder),
    Cohere(cohere::StreamDecoder),
}

impl Decoder {
    /// For one stream of a provider with these usage rules; an event has at most `max_event` bytes.
    #[must_use]
    pub fn new(dialect: Dialect, rules: Arc<UsageRules>, max_event: usize) -> Self {
        let sse = |sse| Form::Sse(SseFramer::new(max_event), Box::new(sse));
        let form = match dialect {
            Dialect::OpenAiChat => sse(Sse::Chat(openai_chat::StreamDecoder::new(rules))),
            Dialect::OpenAiResponses => sse(Sse::Responses(openai_responses::StreamDecoder::new(rules))),
            Dialect::Anthropic => sse(Sse::Anthropic(anthropic::StreamDecoder::new(rules))),
            Dialect::Gemini => sse(Sse::Gemini(gemini::StreamDecoder::new(rules))),
            Dialect::Cohere => sse(Sse::Cohere(cohere::StreamDecoder::new(rules))),
            Dialect::Ollama => Form::Lines(NdjsonFramer::new(max_event), ollama::StreamDecoder::new(rules)),
            Dialect::Bedrock => Form::Messages(MessageFramer::new(max_event), bedrock::StreamDecoder::new()),
        };
        Self { form, closed: false }
    }

    /// Reads the next bytes and appends what happens in them.
    pub fn push(&mut self, chunk: Bytes, events: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        let broken = match &mut self.form {
            Form::Sse(framer, decoder) => push_sse(framer, decoder, chunk, events),
            Form::Messages(framer, decoder) => push_messages(framer, decoder, &chunk, events),
            Form::Lines(framer, decoder) => push_lines(framer, decoder, chunk, events),
        };
        if let Err(why) = broken {
            self.fail(why, events);
        }
    }

    /// One frame of server-sent events that somebody else has cut; nothing for other framings.
    pub fn frame(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        if let (Form::Sse(_, decoder), false) = (&mut self.form, self.closed) {
            decoder.push(frame, events);
        }
    }

    /// Whether the stream would be complete if it ended here: for dialects that end with their
    /// connection (Gemini).
    #[must_use]
    pub fn could_end(&self) -> bool {
        match &self.form {
            Form::Sse(_, decoder) => matches!(&**decoder, Sse::Gemini(decoder) if decoder.could_end()),
            Form::Messages(..) | Form::Lines(..) => false,
        }
    }

    /// Says that no more bytes come.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        match &mut self.form {
            Form::Sse(framer, decoder) => {
                // The last event of a stream may lack its blank line.
                let last = framer.end().unwrap_or_else(|| Frame::new(framer.take_rest(), false));
                if !last.raw.is_empty() {
                    decoder.push(&last, events);
                }
                decoder.end(events);
            }
            Form::Messages(_, decoder) => decoder.end(events),
            Form::Lines(framer, decoder) => {
                if let Some(line) = framer.end() {
                    decoder.push_line(line.data(), events);
                }
                decoder.end(events);
            }
        }
    }

    /// Ends a stream whose framing is broken: what had ended before stays so.
    fn fail(&mut self, why: String, events: &mut Vec<Event>) {
        self.closed = true;
        let before = events.len();
        match &mut self.form {
            Form::Sse(_, decoder) => decoder.end(events),
            Form::Messages(_, decoder) => decoder.end(events),
            Form::Lines(_, decoder) => decoder.end(events),
        }
        for event in &mut events[before..] {
            if let Event::Error(error) = event {
                *error = UpstreamError { message: why.clone(), ..UpstreamError::default() };
            }
        }
    }
}

fn push_sse(framer: &mut SseFramer, decoder: &mut Sse, chunk: Bytes, events: &mut Vec<Event>) -> Result<(), String> {
    framer.push(chunk);
    while let Some(frame) = framer.next() {
        decoder.push(&frame.map_err(|error| error.to_string())?, events);
    }
    Ok(())
}

fn push_messages(
    framer: &mut MessageFramer,
    decoder: &mut bedrock::StreamDecoder,
    chunk: &[u8],
    events: &mut Vec<Event>,
) -> Result<(), String> {
    framer.push(chunk);
    while let Some(message) = framer.next() {
        decoder.push(&message.map_err(|error| error.to_string())?, events);
    }
    Ok(())
}

fn push_lines(
    framer: &mut NdjsonFramer,
    decoder: &mut ollama::StreamDecoder,
    chunk: Bytes,
    events: &mut Vec<Event>,
) -> Result<(), String> {
    framer.push(chunk);
    while let Some(line) = framer.next() {
        decoder.push_line(line.map_err(|error| error.to_string())?.data(), events);
    }
    Ok(())
}

impl Sse {
    fn push(&mut self, frame: &Frame, events: &mut Vec<Event>) {
        match self {
            Self::Chat(decoder) => decoder.push(frame, events),
            Self::Responses(decoder) => decoder.push(frame, events),
            Self::Anthropic(decoder) => decoder.push(frame, events),
            Self::Gemini(decoder) => decoder.push(frame, events),
            Self::Cohere(decoder) => decoder.push(frame, events),
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        match self {
            Self::Chat(decoder) => decoder.end(events),
            Self::Responses(decoder) => decoder.end(events),
            Self::Anthropic(decoder) => decoder.end(events),
            Self::Gemini(decoder) => decoder.end(events),
            Self::Cohere(decoder) => decoder.end(events),
        }
    }
}
