//! One candidate of a stream: the parts of its chunks become parts.

use super::form::{GEMINI, KIND_SNAKE, MIME_SNAKE, NO_ARGS, NO_TEXT, SEAL_SNAKE, form, is_missing};
use super::partial_args::PartialArgs;
use super::{candidate::Candidate, grounding, stop};
use crate::hub::fold::MAX_PARTS;
use crate::hub::{
    Citation, DecodeError, Delta, Event, Extra, Json, Mode, Node, Opaque, Part, PartKind, Place, Stop, Text, Thinking,
};

/// The most bytes of members kept for comparison with those of later chunks.
const MAX_EXTRA: usize = 1 << 20;
/// The most bytes of text kept for citations, which point into it by bytes.
const MAX_TEXT: usize = 4 << 20;

/// What is known of a candidate.
#[derive(Debug)]
pub(super) struct CandidateState {
    pub(super) index: u32,
    began: bool,
    extra: Extra,
    message_extra: Extra,
    /// How many parts have begun.
    parts: usize,
    /// The text or thought that is being said.
    open: Option<(u32, Part)>,
    /// A call whose arguments come in pieces.
    pending: Option<(u32, PartialArgs)>,
    /// The texts so far, with the numbers of their parts, unless they are too long.
    texts: Vec<(u32, String)>,
    held: usize,
    called: bool,
    pub(super) stop: Option<Stop>,
}

impl CandidateState {
    pub(super) fn new(index: u32) -> Self {
        Self {
            index,
            began: false,
            extra: Extra::default(),
            message_extra: Extra::default(),
            parts: 0,
            open: None,
            pending: None,
            texts: Vec::new(),
            held: 0,
            called: false,
            stop: None,
        }
    }

    /// What a chunk says of the candidate.
    pub(super) fn chunk(&mut self, said: Candidate, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.note(&said.extra, &said.message_extra, events)?;
        for part in said.parts {
            self.part(part, events)?;
        }
        let choice = self.index;
        events.extend(said.logprobs.map(|more| Event::Logprobs { choice, more }));
        // Some models say a reason in every chunk: the last counts.
        self.stop = said.stop.or(self.stop.take());
        Ok(())
    }

    /// The candidate has ended: its citations, whose members are complete only now, and its reason.
    pub(super) fn finish(&mut self, events: &mut Vec<Event>) {
        self.settle(events);
        let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        let found: Vec<(usize, Citation)> = grounding::citations(&self.extra, &texts);
        for (number, citation) in found {
            if let Some((part, _)) = self.texts.get(number) {
                events.push(Event::Delta { choice: self.index, part: *part, delta: Delta::Citation(citation) });
            }
        }
        self.close(events);
        if let Some(stop) = self.stop.take() {
            let stop = if self.called { stop::with_calls(stop) } else { stop };
            events.push(Event::Finish { choice: self.index, stop });
        }
    }

    /// Members that are new.
    fn note(&mut self, extra: &Extra, message: &Extra, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let first = !std::mem::replace(&mut self.began, true);
        let (extra, message_extra) = (news(&self.extra, extra, first), news(&self.message_extra, message, first));
        if !first && extra.is_empty() && message_extra.is_empty() {
            return Ok(());
        }
        self.extra.update(extra.clone());
        self.message_extra.update(message_extra.clone());
        if self.extra.size() + self.message_extra.size() > MAX_EXTRA {
            return Err(DecodeError::new("candidates", "too many members beside the content"));
        }
        events.push(Event::Choice { choice: self.index, extra, message_extra });
        Ok(())
    }

    fn part(&mut self, part: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        match &part.kind {
            PartKind::Text(_) | PartKind::Thinking(_) => {
                self.settle(events);
                self.fragment(part, events)
            }
            PartKind::ToolCall(_) => self.call(part, events),
            PartKind::Opaque(opaque) if self.pending.is_some() && is_call(opaque) => self.more(opaque, events),
            _ => {
                self.settle(events);
                self.close(events);
                let number = self.begin(part, events)?;
                events.push(Event::PartEnd { choice: self.index, part: number });
                Ok(())
            }
        }
    }

    /// More of the text or thought that is being said, or a new one. With its seal it is complete.
    fn fragment(&mut self, mut part: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let seal = part.signature.take();
        let text = match &mut part.kind {
            PartKind::Text(Text { text, .. }) | PartKind::Thinking(Thinking { text, .. }) => std::mem::take(text),
            _ => String::new(),
        };
        if text.is_empty() && seal.is_none() && part.extra.is_empty() {
            return Ok(());
        }
        let number = match &self.open {
            Some((number, open)) if continues(open, &part) => *number,
            _ => {
                self.close(events);
                let number = self.begin(part.clone(), events)?;
                if part.as_text().is_some() {
                    self.texts.push((number, String::new()));
                }
                self.open = Some((number, part));
                number
            }
        };
        self.keep(number, &text);
        let choice = self.index;
        if !text.is_empty() {
            events.push(Event::Delta { choice, part: number, delta: Delta::Text(text) });
        }
        if let Some(seal) = seal {
            events.push(Event::Delta { choice, part: number, delta: Delta::Signature(seal) });
            self.close(events);
        }
        Ok(())
    }

    /// Keeps a text for the citations that point into it.
    fn keep(&mut self, number: u32, text: &str) {
        self.held += text.len();
        if self.held <= MAX_TEXT
            && let Some((_, known)) = self.texts.last_mut().filter(|(part, _)| *part == number)
        {
            known.push_str(text);
        }
    }

    /// A call: whole, or the first of its pieces.
    fn call(&mut self, mut part: Part, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        self.settle(events);
        self.close(events);
        self.called = true;
        let PartKind::ToolCall(call) = &mut part.kind else { return Ok(()) };
        let arguments = std::mem::take(&mut call.arguments);
        let pieces = call.extra.get(GEMINI, "partialArgs").cloned();
        let more = goes_on(&call.extra);
        if pieces.is_some() || more {
            call.extra = without_pieces(&call.extra);
            part.form = form(part.form.bits(GEMINI) & !NO_ARGS);
        }
        let seal = part.signature.take();
        let choice = self.index;
        let number = self.begin(part, events)?;
        events.extend(seal.map(|seal| Event::Delta { choice, part: number, delta: Delta::Signature(seal) }));
        if pieces.is_none() && !more {
            if !arguments.is_empty() {
                events.push(Event::Delta { choice, part: number, delta: Delta::Arguments(arguments) });
            }
            events.push(Event::PartEnd { choice, part: number });
            return Ok(());
        }
        let mut partial = PartialArgs::new(&arguments);
        pieces.iter().try_for_each(|pieces| partial.add(pieces))?;
        self.pending = Some((number, partial));
        if !more {
            self.settle(events);
        }
        Ok(())
    }

    /// The next pieces of a call's arguments, which has no name again.
    fn more(&mut self, opaque: &Opaque, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Some(json) = opaque.native.of(GEMINI) else { return Ok(()) };
        let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer)?;
        let Some(inner) = node.fields(Place::root())?.object("functionCall")? else { return Ok(()) };
        let inner = inner.rest(GEMINI);
        if let (Some(pieces), Some((_, partial))) = (inner.get(GEMINI, "partialArgs"), &mut self.pending) {
            partial.add(pieces)?;
        }
        if !goes_on(&inner) {
            self.settle(events);
        }
        Ok(())
    }

    /// A call whose pieces have all come.
    fn settle(&mut self, events: &mut Vec<Event>) {
        if let Some((part, partial)) = self.pending.take() {
            let choice = self.index;
            events.push(Event::Delta { choice, part, delta: Delta::Arguments(partial.text()) });
            events.push(Event::PartEnd { choice, part });
        }
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((part, _)) = self.open.take() {
            events.push(Event::PartEnd { choice: self.index, part });
        }
    }

    fn begin(&mut self, shell: Part, events: &mut Vec<Event>) -> Result<u32, DecodeError> {
        if self.parts >= MAX_PARTS {
            return Err(DecodeError::new("candidates", "too many parts"));
        }
        let part = u32::try_from(self.parts).unwrap_or(u32::MAX);
        self.parts += 1;
        events.push(Event::PartStart { choice: self.index, part, shell: Box::new(shell) });
        Ok(part)
    }
}

/// The members that say something new, and at first those that mark missing ones.
fn news(known: &Extra, said: &Extra, first: bool) -> Extra {
    let mark = |name: &str| first && name != "content" && is_missing(said, name);
    let members = said.members().iter();
    let kept = members.filter(|(name, value)| {
        let new = known.get(GEMINI, name) != Some(value);
        new && (!value.is_empty() || mark(name))
    });
    Extra::new(GEMINI, kept.cloned().collect())
}

/// Whether a fragment goes on with what is being said.
fn continues(open: &Part, fragment: &Part) -> bool {
    let spelling = |part: &Part| part.form.bits(GEMINI) & !(NO_TEXT | SEAL_SNAKE | KIND_SNAKE | MIME_SNAKE);
    let same = std::mem::discriminant(&open.kind) == std::mem::discriminant(&fragment.kind);
    same && spelling(open) == spelling(fragment) && (fragment.extra.is_empty() || fragment.extra == open.extra)
}

fn is_call(opaque: &Opaque) -> bool {
    opaque.name == "functionCall"
}

fn goes_on(extra: &Extra) -> bool {
    extra.get(GEMINI, "willContinue").is_some_and(|value| value.as_str() == "true")
}

fn without_pieces(extra: &Extra) -> Extra {
    let members = extra.members().iter().filter(|(name, _)| !matches!(name.as_str(), "partialArgs" | "willContinue"));
    Extra::new(GEMINI, members.cloned().collect::<Vec<(String, Json)>>())
}
