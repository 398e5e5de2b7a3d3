//! What the record must know of an answer, whole or streamed, from any dialect.

use crate::answer::MAX_LABEL;
use crate::fault::UpstreamError;
use crate::hub::{Answer, Delta, Event, Head, Part, PartKind, Spent, Stop, StopReason};
use crate::tap::Output;
use crate::text;
use crate::usage::Usage;

/// What an answer said about itself so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// What was consumed.
    pub usage: Option<Usage>,
    /// Whether that cannot be as it was told.
    pub bent: bool,
    /// The model that served.
    pub model: Option<String>,
    /// The tier that is billed, in OpenAI's word.
    pub tier: Option<String>,
    /// The answer's id.
    pub id: Option<String>,
    /// Whether it came to its proper end.
    pub complete: bool,
    /// The error it ended in.
    pub error: Option<UpstreamError>,
    output: Output,
    /// It says something that is no text.
    beyond_text: bool,
    /// A choice ended because of what it, or the prompt, is about.
    filtered: bool,
    /// A choice ended for another reason.
    ended: bool,
}

impl Facts {
    /// Notes an event. Says whether it shows more than that somebody is at work.
    pub fn event(&mut self, event: &Event) -> bool {
        match event {
            Event::Start(head) | Event::Update(head) => {
                self.head(head);
                false
            }
            Event::Choice { .. } | Event::PartEnd { .. } => false,
            Event::PartStart { shell, .. } => {
                self.part(shell);
                true
            }
            Event::Delta { delta, .. } => {
                self.delta(delta);
                true
            }
            Event::Logprobs { .. } => true,
            Event::Finish { stop, .. } => {
                self.stop(stop);
                true
            }
            Event::Usage(spent) => {
                self.spent(spent);
                false
            }
            Event::Error(error) => {
                self.error = Some(error.clone());
                true
            }
            Event::End => {
                self.complete = true;
                true
            }
        }
    }

    /// Notes a whole answer.
    pub fn answer(&mut self, answer: &Answer) {
        self.head(&answer.head);
        for choice in &answer.choices {
            choice.parts.iter().for_each(|part| self.part(part));
            choice.stop.iter().for_each(|stop| self.stop(stop));
        }
        if let Some(spent) = &answer.usage {
            self.spent(spent);
        }
        self.complete = true;
    }

    /// The text produced so far: the first [`crate::tap::OUTPUT_CAP`] bytes of it.
    #[must_use]
    pub fn output_text(&self) -> &str {
        self.output.text()
    }

    /// How many bytes of text were produced, kept or not.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.output.bytes()
    }

    /// Whether a filter ended it before anything was said (`content_filter`, `SAFETY`, `refusal` and nothing else): an
    /// answer by its form, and no use to anybody.
    #[must_use]
    pub fn withheld(&self) -> bool {
        self.filtered && !self.ended && !self.beyond_text && self.output.bytes() == 0
    }

    fn stop(&mut self, stop: &Stop) {
        match stop.reason {
            StopReason::Filter | StopReason::Refusal => self.filtered = true,
            _ => self.ended = true,
        }
    }

    fn head(&mut self, head: &Head) {
        note(&mut self.model, head.model.as_deref());
        note(&mut self.id, head.id.as_deref());
        note(&mut self.tier, head.tier.as_ref().map(crate::hub::Tier::word));
    }

    fn spent(&mut self, spent: &Spent) {
        // No answer uses nothing at all: zeros, like an object without counts, tell nothing.
        if !spent.tokens.is_zero() || spent.bent {
            self.usage = Some(spent.tokens);
            self.bent = spent.bent;
        }
    }

    fn part(&mut self, part: &Part) {
        match &part.kind {
            PartKind::Text(said) => self.output.push(&said.text),
            PartKind::Thinking(thinking) => self.output.push(&thinking.text),
            PartKind::Refusal(text) => self.output.push(text),
            PartKind::ToolCall(call) => {
                self.output.push(&call.name);
                self.output.push(&call.arguments);
            }
            PartKind::ToolResult(_) => {}
            PartKind::Image(_)
            | PartKind::Audio(_)
            | PartKind::Video(_)
            | PartKind::Document(_)
            | PartKind::Opaque(_) => self.beyond_text = true,
        }
    }

    fn delta(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Transcript(text) => self.output.push(text),
            Delta::Data(_) => self.beyond_text = true,
            Delta::Citation(_) | Delta::Signature(_) | Delta::Encrypted(_) | Delta::Extra(_) => {}
        }
    }
}

fn note(place: &mut Option<String>, said: Option<&str>) {
    if let Some(said) = said.filter(|said| !said.is_empty() && place.as_deref() != Some(said)) {
        *place = Some(text::label(said, MAX_LABEL));
    }
}
