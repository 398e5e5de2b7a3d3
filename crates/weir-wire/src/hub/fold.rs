//! Events to an answer, and back: `fold(unfold(a)) == a`.

use std::fmt;

use super::{Answer, Choice, Delta, Event, Extra, Head, Logprobs, Media, Part, PartKind, Seal, Source, Text, Thinking};
use crate::fault::UpstreamError;

/// The most choices of an answer.
pub const MAX_CHOICES: usize = 128;
/// The most parts of a choice.
pub const MAX_PARTS: usize = 16_384;

/// Why events make no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// The provider failed.
    Upstream(UpstreamError),
    /// There was no [`Event::End`].
    Unfinished,
    /// More than the limit in bytes, or too many choices or parts.
    TooLarge,
    /// A delta of a part that has not begun, or of another kind than its part: a codec's fault.
    Misplaced,
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the provider failed: {}", error.message),
            Self::Unfinished => f.write_str("the stream ended without its terminal event"),
            Self::TooLarge => f.write_str("the answer is too large to be kept whole"),
            Self::Misplaced => f.write_str("the stream's parts are out of order"),
        }
    }
}

impl std::error::Error for FoldError {}

/// Gathers events into an answer.
#[derive(Debug)]
pub struct Fold {
    answer: Answer,
    left: usize,
    ended: bool,
}

impl Fold {
    /// A fold that keeps at most about `limit` bytes of text.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { answer: Answer::default(), left: limit, ended: false }
    }

    /// Takes the next event.
    pub fn push(&mut self, event: Event) -> Result<(), FoldError> {
        match event {
            Event::Start(head) | Event::Update(head) => {
                self.spend(&head.extra)?;
                self.answer.head.update(head);
            }
            Event::Choice { choice, extra, message_extra } => {
                self.spend(&extra)?;
                self.spend(&message_extra)?;
                let choice = self.choice(choice)?;
                choice.extra.update(extra);
                choice.message_extra.update(message_extra);
            }
            Event::PartStart { choice, part, shell } => self.part_start(choice, part, *shell)?,
            Event::Delta { choice, part, delta } => self.delta(choice, part, delta)?,
            Event::PartEnd { .. } => {}
            Event::Logprobs { choice, more } => {
                self.take(64 * (more.content.len() + more.refusal.len()))?;
                self.choice(choice)?.logprobs.get_or_insert_default().append(more);
            }
            Event::Finish { choice, stop } => self.choice(choice)?.stop = Some(stop),
            Event::Usage(spent) => self.answer.usage = Some(spent),
            Event::Error(error) => return Err(FoldError::Upstream(error)),
            Event::End => self.ended = true,
        }
        Ok(())
    }

    /// The answer, if it is complete.
    pub fn finish(self) -> Result<Answer, FoldError> {
        if self.ended { Ok(self.answer) } else { Err(FoldError::Unfinished) }
    }

    fn take(&mut self, bytes: usize) -> Result<(), FoldError> {
        self.left = self.left.checked_sub(bytes).ok_or(FoldError::TooLarge)?;
        Ok(())
    }

    fn spend(&mut self, extra: &Extra) -> Result<(), FoldError> {
        self.take(extra.size())
    }

    fn choice(&mut self, index: u32) -> Result<&mut Choice, FoldError> {
        let choices = &mut self.answer.choices;
        let found = choices.iter().position(|choice| choice.index == index).unwrap_or(choices.len());
        if found == choices.len() {
            if found >= MAX_CHOICES {
                return Err(FoldError::TooLarge);
            }
            choices.push(Choice { index, ..Choice::default() });
        }
        choices.get_mut(found).ok_or(FoldError::Misplaced)
    }

    fn part_start(&mut self, choice: u32, part: u32, shell: Part) -> Result<(), FoldError> {
        self.spend(&shell.extra)?;
        let parts = &mut self.choice(choice)?.parts;
        if parts.len() >= MAX_PARTS {
            return Err(FoldError::TooLarge);
        }
        if parts.len() != part as usize {
            return Err(FoldError::Misplaced);
        }
        parts.push(shell);
        Ok(())
    }

    fn delta(&mut self, choice: u32, part: u32, delta: Delta) -> Result<(), FoldError> {
        self.take(size(&delta))?;
        let parts = &mut self.choice(choice)?.parts;
        let part = parts.get_mut(part as usize).ok_or(FoldError::Misplaced)?;
        if apply(part, delta) { Ok(()) } else { Err(FoldError::Misplaced) }
    }
}

/// Adds a delta to the part; false if it does not belong to that kind of part.
pub fn apply(part: &mut Part, delta: Delta) -> bool {
    match (&mut part.kind, delta) {
        (_, Delta::Extra(extra)) => part.extra.update(extra),
        (_, Delta::Signature(more)) => seal(&mut part.signature, more),
        (PartKind::Text(Text { text, .. }) | PartKind::Refusal(text), Delta::Text(more)) => text.push_str(&more),
        (PartKind::Thinking(thinking), Delta::Text(more)) => thinking.text.push_str(&more),
        (PartKind::Thinking(thinking), Delta::Encrypted(more)) => seal(&mut thinking.encrypted, more),
        (PartKind::Text(text), Delta::Citation(citation)) => text.citations.push(citation),
        (PartKind::ToolCall(call), Delta::Arguments(more)) => call.arguments.push_str(&more),
        (PartKind::Audio(media) | PartKind::Image(media), Delta::Data(more)) => match &mut media.source {
            Source::Base64(data) => data.push_str(&more),
            _ => return false,
        },
        (PartKind::Audio(media), Delta::Transcript(more)) => {
            media.transcript.get_or_insert_default().push_str(&more);
        }
        _ => return false,
    }
    true
}

fn seal(place: &mut Option<Seal>, more: Seal) {
    match place {
        Some(seal) => seal.text.push_str(&more.text),
        None => *place = Some(more),
    }
}

/// Bytes of text of a delta.
pub(crate) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Arguments(text) | Delta::Data(text) | Delta::Transcript(text) => text.len(),
        Delta::Signature(seal) | Delta::Encrypted(seal) => seal.text.len(),
        Delta::Citation(_) => 256,
        Delta::Extra(extra) => extra.size(),
    }
}

/// The events of which [`Fold`] makes this answer.
#[must_use]
pub fn unfold(answer: Answer) -> Vec<Event> {
    let mut events = vec![Event::Start(Head { ..answer.head })];
    for choice in answer.choices {
        unfold_choice(choice, &mut events);
    }
    events.extend(answer.usage.map(Event::Usage));
    events.push(Event::End);
    events
}

fn unfold_choice(choice: Choice, events: &mut Vec<Event>) {
    let Choice { index, parts, stop, logprobs, extra, message_extra } = choice;
    events.push(Event::Choice { choice: index, extra, message_extra });
    for (part, mut shell) in (0..).zip(parts) {
        let deltas = empty(&mut shell);
        events.push(Event::PartStart { choice: index, part, shell: Box::new(shell) });
        events.extend(deltas.into_iter().map(|delta| Event::Delta { choice: index, part, delta }));
        events.push(Event::PartEnd { choice: index, part });
    }
    events.extend(logprobs.map(|more: Logprobs| Event::Logprobs { choice: index, more }));
    events.extend(stop.map(|stop| Event::Finish { choice: index, stop }));
}

/// Takes out of the part what can be sent as deltas.
fn empty(part: &mut Part) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match &mut part.kind {
        PartKind::Text(Text { text, citations }) => {
            text_delta(&mut deltas, text, Delta::Text);
            deltas.extend(citations.drain(..).map(Delta::Citation));
        }
        PartKind::Refusal(text) => text_delta(&mut deltas, text, Delta::Text),
        PartKind::Thinking(Thinking { text, encrypted, .. }) => {
            text_delta(&mut deltas, text, Delta::Text);
            deltas.extend(encrypted.take().map(Delta::Encrypted));
        }
        PartKind::ToolCall(call) => {
            // The seal of a call is told with its beginning.
            deltas.extend(part.signature.take().map(Delta::Signature));
            text_delta(&mut deltas, &mut call.arguments, Delta::Arguments);
        }
        PartKind::Audio(Media { source, transcript, .. }) => {
            if let Source::Base64(data) = source {
                text_delta(&mut deltas, data, Delta::Data);
            }
            // An empty transcript stays: it would otherwise come back as none.
            if transcript.as_ref().is_some_and(|text| !text.is_empty()) {
                deltas.extend(transcript.take().map(Delta::Transcript));
            }
        }
        _ => {}
    }
    deltas.extend(part.signature.take().map(Delta::Signature));
    deltas
}

fn text_delta(deltas: &mut Vec<Delta>, text: &mut String, make: impl FnOnce(String) -> Delta) {
    if !text.is_empty() {
        deltas.push(make(std::mem::take(text)));
    }
}
