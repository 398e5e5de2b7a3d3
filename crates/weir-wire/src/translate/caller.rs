//! The caller's side: whose request it was, and how it reads its answer.

use crate::fault::UpstreamError;
use crate::gemini::Framing;
use crate::hub::{Answer, CustomCalls, DecodeError, Dialect, Encoded, Event, Extra, Reply, Request, unfold};
use crate::{anthropic, gemini, openai_chat, openai_completions, openai_responses};

/// The forms in which requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inbound {
    /// OpenAI `chat/completions`.
    Chat,
    /// OpenAI `completions`.
    Completions,
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
            Self::Chat | Self::Completions => Dialect::OpenAiChat,
            Self::Responses => Dialect::OpenAiResponses,
            Self::Anthropic => Dialect::Anthropic,
            Self::Gemini => Dialect::Gemini,
        }
    }

    /// Reads a request.
    pub fn decode_request(self, body: &[u8]) -> Result<Request, DecodeError> {
        match self {
            Self::Completions => openai_completions::decode_request(body),
            _ => super::decode_request(self.dialect(), body),
        }
    }
}

/// Writes the answer to one request in its caller's form.
#[derive(Debug)]
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
    /// Tells calls of functions that stand for the request's custom tools as calls of those.
    pub custom: CustomCalls,
    /// The model's name in the answer, in place of the provider's. Anthropic's clients send thoughts
    /// back only to the model that they came from, which they tell by its name.
    pub model: Option<String>,
}

impl Caller {
    /// Writes a whole answer.
    #[must_use]
    pub fn encode_answer(mut self, mut answer: Answer) -> Encoded {
        if self.form == Inbound::Responses {
            answer.head.extra.update(self.echo);
        }
        if own_id(self.form, &self.reply) {
            answer.head.id = None;
        }
        if let Some(model) = self.model {
            answer.head.model = Some(model);
        }
        self.custom.answer(&mut answer);
        match self.form {
            Inbound::Chat => openai_chat::encode_answer(&answer, &mut self.reply),
            Inbound::Completions => openai_completions::encode_answer(&answer, &mut self.reply),
            Inbound::Responses => openai_responses::encode_answer(&answer, &mut self.reply),
            Inbound::Anthropic => anthropic::encode_answer(&answer, &mut self.reply),
            Inbound::Gemini => gemini::encode_answer(&answer, &mut self.reply),
        }
    }

    /// Writes a whole answer as a stream, for a caller who wants one from a provider that gave none.
    #[must_use]
    pub fn stream_answer(self, answer: Answer) -> String {
        let (mut encoder, mut out) = (self.encoder(), String::new());
        unfold(answer).into_iter().for_each(|event| encoder.push(event, &mut out));
        out
    }

    /// For the events of one stream.
    #[must_use]
    pub fn encoder(self) -> Encoder {
        let own_id = own_id(self.form, &self.reply);
        let reply = self.reply;
        let form = match self.form {
            Inbound::Chat => Form::Chat(openai_chat::StreamEncoder::new(reply, self.include_usage)),
            Inbound::Completions => {
                Form::Completions(openai_completions::StreamEncoder::new(reply, self.include_usage))
            }
            Inbound::Responses => Form::Responses(openai_responses::StreamEncoder::new(reply)),
            Inbound::Anthropic => Form::Anthropic(anthropic::StreamEncoder::new(reply)),
            Inbound::Gemini => Form::Gemini(gemini::StreamEncoder::new(reply, self.framing)),
        };
        Encoder { form, own_id, echo: self.echo, custom: self.custom, model: self.model, changed: Vec::new() }
    }
}

/// A response goes on being asked for by its id, which must be unlike all others.
fn own_id(form: Inbound, reply: &Reply) -> bool {
    form == Inbound::Responses && reply.source != Dialect::OpenAiResponses
}

/// Writes a stream in its caller's form.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    /// The answer has an id of its own, and not the provider's.
    own_id: bool,
    /// What the first event repeats of the request.
    echo: Extra,
    custom: CustomCalls,
    model: Option<String>,
    /// Events on their way through `custom`, kept for its memory.
    changed: Vec<Event>,
}

#[derive(Debug)]
enum Form {
    Chat(openai_chat::StreamEncoder),
    Completions(openai_completions::StreamEncoder),
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
        if let (Event::Start(head) | Event::Update(head), true) = (&mut event, self.own_id) {
            head.id = None;
        }
        if let (Event::Start(head) | Event::Update(head), Some(model)) = (&mut event, &self.model) {
            head.model = Some(model.clone());
        }
        if self.custom.is_empty() {
            return self.form.push(&event, out);
        }
        self.custom.push(event, &mut self.changed);
        for event in self.changed.drain(..) {
            self.form.push(&event, out);
        }
    }

    /// What the answer cost, in US dollars, for the usage in the stream (chat).
    pub fn cost(&mut self, usd: &str) {
        match &mut self.form {
            Form::Chat(encoder) => encoder.cost(usd),
            Form::Completions(encoder) => encoder.cost(usd),
            Form::Responses(_) | Form::Anthropic(_) | Form::Gemini(_) => {}
        }
    }

    /// Ends the stream with an error, as the last event.
    pub fn fail(&mut self, error: UpstreamError, out: &mut String) {
        self.push(Event::Error(error), out);
    }
}

impl Form {
    fn push(&mut self, event: &Event, out: &mut String) {
        match self {
            Self::Chat(encoder) => encoder.push(event, out),
            Self::Completions(encoder) => encoder.push(event, out),
            Self::Responses(encoder) => encoder.push(event, out),
            Self::Anthropic(encoder) => encoder.push(event, out),
            Self::Gemini(encoder) => encoder.push(event, out),
        }
    }
}
