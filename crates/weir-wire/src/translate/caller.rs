//! The caller's side: whose request it was, and how it reads its answer.

use crate::fault::UpstreamError;
use crate::gemini::Framing;
use crate::hub::{Answer, DecodeError, Dialect, Encoded, Event, Extra, Reply, Request, unfold};
use crate::{anthropic, gemini, openai_chat, openai_responses};

/// The forms in which requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inbound {
    /// OpenAI `chat/completions`.
    Chat,
    /// OpenAI `responses`.
    Responses,
    /// Anthropic `messages`.
    Anthropic,
    /// Gemini `generateContent` and `streamGenerateContent`.
    Gemini,
}

impl Inbound {
    /// The dialect it is of.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Chat => Dialect::OpenAiChat,
            Self::Responses => Dialect::OpenAiResponses,
            Self::Anthropic => Dialect::Anthropic,
            Self::Gemini => Dialect::Gemini,
        }
    }

    /// Reads a request.
    pub fn decode_request(self, body: &[u8]) -> Result<Request, DecodeError> {
        super::decode_request(self.dialect(), body)
    }
}

/// Writes the answer to one request in its caller's form.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The form of the request.
    pub form: Inbound,
    /// The dialect of the answer, and what the answer may lack.
    pub reply: Reply,
    /// Whether a stream is to end with its usage (chat; elsewhere it always does).
    pub include_usage: bool,
    /// How the chunks of a stream are told apart (Gemini).
    pub framing: Framing,
    /// What the answer repeats of its request (Responses: [`openai_responses::echo`]).
    pub echo: Extra,
}

impl Caller {
    /// Writes a whole answer.
    #[must_use]
    pub fn encode_answer(&mut self, mut answer: Answer) -> Encoded {
        self.repeat(&mut answer.head.extra);
        match self.form {
            Inbound::Chat => openai_chat::encode_answer(&answer, &mut self.reply),
            Inbound::Responses => openai_responses::encode_answer(&answer, &mut self.reply),
            Inbound::Anthropic => anthropic::encode_answer(&answer, &mut self.reply),
            Inbound::Gemini => gemini::encode_answer(&answer, &mut self.reply),
        }
    }

    /// Writes a whole answer as a stream, for a caller who wants one from a provider that gave none.
    #[must_use]
    pub fn stream_answer(&self, answer: Answer) -> String {
        let (mut encoder, mut out) = (self.encoder(), String::new());
        unfold(answer).into_iter().for_each(|event| encoder.push(event, &mut out));
        out
    }

    /// For the events of one stream.
    #[must_use]
    pub fn encoder(&self) -> Encoder {
        let reply = self.reply.clone();
        let form = match self.form {
            Inbound::Chat => Form::Chat(openai_chat::StreamEncoder::new(reply, self.include_usage)),
            Inbound::Responses => Form::Responses(openai_responses::StreamEncoder::new(reply)),
            Inbound::Anthropic => Form::Anthropic(anthropic::StreamEncoder::new(reply)),
            Inbound::Gemini => Form::Gemini(gemini::StreamEncoder::new(reply, self.framing)),
        };
        Encoder { form, echo: self.echo.clone() }
    }

    fn repeat(&self, extra: &mut Extra) {
        if self.form == Inbound::Responses {
            extra.update(self.echo.clone());
        }
    }
}

/// Writes a stream in its caller's form.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    /// What the first event repeats of the request.
    echo: Extra,
}

#[derive(Debug)]
enum Form {
    Chat(openai_chat::StreamEncoder),
    Responses(openai_responses::StreamEncoder),
    Anthropic(anthropic::StreamEncoder),
    Gemini(gemini::StreamEncoder),
}

impl Encoder {
    /// Writes what the event adds to the stream.
    pub fn push(&mut self, mut event: Event, out: &mut String) {
        if let Event::Start(head) = &mut event {
            head.extra.update(std::mem::take(&mut self.echo));
        }
        match &mut self.form {
            Form::Chat(encoder) => encoder.push(&event, out),
            Form::Responses(encoder) => encoder.push(&event, out),
            Form::Anthropic(encoder) => encoder.push(&event, out),
            Form::Gemini(encoder) => encoder.push(&event, out),
        }
    }

    /// What the answer cost, in US dollars, for the usage in the stream (chat).
    pub fn cost(&mut self, usd: &str) {
        if let Form::Chat(encoder) = &mut self.form {
            encoder.cost(usd);
        }
    }

    /// Ends the stream with an error, as the last event.
    pub fn fail(&mut self, error: UpstreamError, out: &mut String) {
        self.push(Event::Error(error), out);
    }
}
