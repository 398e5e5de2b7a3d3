//! A streamed Converse answer, read message by message.

use super::content;
use super::decode_answer::{assistant, sequence, stop, usage};
use super::form::BEDROCK;
use super::stream_blocks::Blocks;
use crate::eventstream::{Kind as MessageKind, Message};
use crate::fault::{self, UpstreamError};
use crate::hub::{DecodeError, Event, Extra, Fields, Head, Mode, Node, Place};

/// Padding that says nothing to anybody.
const SILENT: &str = "p";

/// The statuses of the failures a stream may report.
const STATUS: [(&str, &str); 8] = [
    ("internalServerException", "500"),
    ("modelStreamErrorException", "424"),
    ("modelErrorException", "424"),
    ("modelTimeoutException", "408"),
    ("validationException", "400"),
    ("throttlingException", "429"),
    ("serviceUnavailableException", "503"),
    ("accessDeniedException", "403"),
];

/// Reads the messages of one stream.
///
/// Its end is `messageStop`, behind which `metadata` tells the usage: [`Event::End`] comes with the
/// second of them, or with [`StreamDecoder::end`] if only the first came.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    started: bool,
    blocks: Blocks,
    stopped: bool,
    told: bool,
    closed: bool,
}

impl StreamDecoder {
    /// For one stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one message and appends its events. Behind the last event nothing is read.
    pub fn push(&mut self, message: &Message, events: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        match message.kind() {
            MessageKind::Event(name) => {
                if let Err(error) = self.event(name, &message.payload, events) {
                    self.fail(broken(&error.to_string()), events);
                }
            }
            MessageKind::Exception(name) => self.fail(exception(name, &message.payload), events),
            MessageKind::Error { code, message } => self.fail(beneath(code, message), events),
            MessageKind::Unknown => {}
        }
    }

    /// Says that no more messages come, or none that could be read. Without the answer's stop
    /// before, that is an error.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if self.closed {
            return;
        }
        if self.stopped {
            return self.close(events);
        }
        self.fail(broken("it ended before its last event"), events);
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        events.push(Event::End);
        self.closed = true;
    }

    fn fail(&mut self, error: UpstreamError, events: &mut Vec<Event>) {
        events.push(Event::Error(error));
        self.closed = true;
    }

    fn event(&mut self, name: &str, payload: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Node::of_body(payload, Mode::Answer)?.fields(Place::root())?;
        fields.take(SILENT);
        match name {
            "messageStart" => {
                assistant(&mut fields);
                self.start(fields.rest(BEDROCK), events);
            }
            "contentBlockStart" | "contentBlockDelta" | "contentBlockStop" => {
                self.start(Extra::default(), events);
                self.blocks.event(name, fields, events)?;
            }
            "messageStop" => {
                self.start(Extra::default(), events);
                self.stop(fields, events)?;
            }
            "metadata" => {
                self.start(Extra::default(), events);
                self.metadata(fields, events)?;
            }
            // Events of tomorrow.
            _ => {}
        }
        Ok(())
    }

    /// The answer begins; some stand-ins leave `messageStart` out.
    fn start(&mut self, message_extra: Extra, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        events.push(Event::Start(Head::default()));
        events.push(Event::Choice { choice: 0, extra: Extra::default(), message_extra });
    }

    fn stop(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.stopped {
            return Ok(());
        }
        self.blocks.close(events)?;
        let sequence = sequence(&fields);
        let word = fields.word("stopReason")?;
        update(Head { extra: fields.rest(BEDROCK), ..Head::default() }, events);
        events.extend(word.map(|word| Event::Finish { choice: 0, stop: stop(&word, sequence) }));
        self.stopped = true;
        if self.told {
            self.close(events);
        }
        Ok(())
    }

    fn metadata(&mut self, mut fields: Fields<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        events.extend(usage(&mut fields)?.map(Event::Usage));
        let tier = super::params::tier(&mut fields)?;
        update(Head { tier, extra: fields.rest(BEDROCK), ..Head::default() }, events);
        self.told = true;
        if self.stopped {
            self.close(events);
        }
        Ok(())
    }
}

fn update(head: Head, events: &mut Vec<Event>) {
    if head != Head::default() {
        events.push(Event::Update(head));
    }
}

fn broken(why: &str) -> UpstreamError {
    UpstreamError {
        message: format!("the provider's stream broke: {why}"),
        kind: Some("upstream_error".to_owned()),
        ..UpstreamError::default()
    }
}

/// A failure the API describes. Its status is the code, which tells whether to try again.
fn exception(name: &str, payload: &[u8]) -> UpstreamError {
    let read = fault::read_error(502, None, payload);
    let status = STATUS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, status)| *status);
    let kind = Some(crate::text::label(name, fault::MAX_WORD));
    UpstreamError { kind, code: Some(status.unwrap_or("502").to_owned()), ..read }.classified()
}

/// A failure beneath the API.
fn beneath(code: &str, message: &str) -> UpstreamError {
    let message = match message {
        "" => "the provider's stream failed and does not say why".to_owned(),
        said => crate::text::message(said, fault::MAX_MESSAGE),
    };
    UpstreamError {
        message,
        kind: Some(crate::text::label(code, fault::MAX_WORD)),
        code: Some("500".to_owned()),
        ..UpstreamError::default()
    }
    .classified()
}

/// A block that is kept whole, under the name of its member.
pub(super) fn whole(name: &str, json: &str) -> Result<crate::hub::Part, DecodeError> {
    let node = Node::of_body(json.as_bytes(), Mode::Answer)?;
    Ok(content::opaque(name, node, Place::root()))
}
